#include "netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "errors.h"

namespace cofferdam {
namespace {

// In the order of exchangeKinds in lib/base/native.ts.
enum class Kind : uint32_t { kRequests, kDump, kBatch };

// So many answers, each of them up to a few kilobytes, fit into a socket's buffer before
// any of them is taken out of it.
constexpr unsigned kTogether = 32;
constexpr size_t kBytesTogether = 32768;
// The kernel's messages are no longer than 32 KiB but for a few, such as those of a
// device with hundreds of virtual functions. Memory that is not written to costs nothing.
constexpr size_t kRoom = 1 << 20;
// Who has asked the kernel has an answer when send(2) returns, but for a few requests
// which it hands to threads of its own.
constexpr int kPatience = 30'000;  // milliseconds

// What has been received. It grows, and ends as a Buffer without being copied.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { free(bytes_); }

  // Room for one more message; null when there is no memory.
  uint8_t* room() {
    if (capacity_ - size_ < kRoom) {
      size_t more = capacity_ * 2 + kRoom;
      auto* grown = static_cast<uint8_t*>(realloc(bytes_, more));
      if (grown == nullptr) return nullptr;
      bytes_ = grown;
      capacity_ = more;
    }
    return bytes_ + size_;
  }
  void add(size_t count) { size_ += count; }
  size_t size() const { return size_; }

  Napi::Value give(Napi::Env env) {
    // What is short is copied, which frees the arena at once.
    if (size_ <= 4096) return Napi::Buffer<uint8_t>::Copy(env, bytes_, size_);
    auto* shrunk = static_cast<uint8_t*>(realloc(bytes_, size_));
    uint8_t* bytes = std::exchange(bytes_, nullptr);
    if (shrunk != nullptr) bytes = shrunk;
    return Napi::Buffer<uint8_t>::New(env, bytes, size_, [](Napi::Env, uint8_t* data) { free(data); });
  }

 private:
  uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// One message into the arena: its length, 0 for one that is not the kernel's, or a
// negative errno value. Anybody may send to a socket of some protocols.
long receive_one(int fd, Arena& arena) {
  uint8_t* room = arena.room();
  if (room == nullptr) return -ENOMEM;
  sockaddr_nl from = {};
  iovec part = {room, kRoom};
  msghdr message = {};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ssize_t count;
  do count = recvmsg(fd, &message, MSG_DONTWAIT);
  while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  if (message.msg_flags & MSG_TRUNC) return -EMSGSIZE;
  return from.nl_pid == 0 ? count : 0;
}

class Exchange : public Napi::AsyncWorker {
 public:
  explicit Exchange(const Napi::CallbackInfo& info)
      : Napi::AsyncWorker(info.Env(), "cofferdam:netlink"),
        deferred(Napi::Promise::Deferred::New(info.Env())) {
    auto bytes = info[1].As<Napi::Uint8Array>();
    bytes_.assign(bytes.Data(), bytes.Data() + bytes.ByteLength());
    kind_ = static_cast<Kind>(info[2].As<Napi::Number>().Uint32Value());
    first_ = info[3].As<Napi::Number>().Uint32Value();
    last_ = info[4].As<Napi::Number>().Uint32Value();
    most_ = info[5].As<Napi::Number>().Uint32Value();
    if (!sound()) throw system_error(info.Env(), 0, EINVAL);
    // Of its own: the socket may be closed meanwhile, and its number given away.
    fd_ = fcntl(info[0].As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 3);
    if (fd_ < 0) throw system_error(info.Env(), __NR_fcntl, errno);
  }

  ~Exchange() override {
    if (fd_ >= 0) close(fd_);
  }

  void Execute() override {
    if (kind_ == Kind::kBatch) {
      // The kernel answers only what has failed, and has done so when send(2) returns.
      make_room();
      if (send_all(0, bytes_.size())) receive(0);
      return;
    }
    if (kind_ == Kind::kDump) {
      if (!bytes_.empty() && !send_all(0, bytes_.size())) return;
      left_ = 1;
      receive(most_);
      return;
    }
    for (size_t from = 0; from < bytes_.size() && error_ == 0;) {
      size_t to = from;
      unsigned count = 0;
      while (to < bytes_.size() && count < kTogether) {
        size_t length = NLMSG_ALIGN(header(to).nlmsg_len);
        if (count > 0 && to + length - from > kBytesTogether) break;
        to += length;
        count++;
      }
      if (!send_all(from, to)) return;
      left_ = count;
      receive(SIZE_MAX);
      from = to;
    }
  }

  // [bytes, how many answers are missing, errno, which call failed]
  void OnOK() override {
    Napi::Env env = Env();
    auto result = Napi::Array::New(env, 4);
    result.Set(0u, arena_.give(env));
    result.Set(1u, Napi::Number::New(env, left_));
    result.Set(2u, Napi::Number::New(env, static_cast<double>(error_)));
    result.Set(3u, Napi::String::New(env, call_));
    deferred.Resolve(result);
  }

  void OnError(const Napi::Error& error) override { deferred.Reject(error.Value()); }

  Napi::Promise::Deferred deferred;

 private:
  const nlmsghdr& header(size_t at) const {
    return *reinterpret_cast<const nlmsghdr*>(bytes_.data() + at);
  }

  // Whether the messages fill the bytes.
  bool sound() const {
    size_t at = 0;
    while (at < bytes_.size()) {
      size_t left = bytes_.size() - at;
      if (left < sizeof(nlmsghdr)) return false;
      size_t length = header(at).nlmsg_len;
      if (length < sizeof(nlmsghdr) || NLMSG_ALIGN(length) > left) return false;
      at += NLMSG_ALIGN(length);
    }
    return kind_ <= Kind::kBatch;
  }

  // A batch is one message to the socket, however long it is. Beyond net.core.wmem_max
  // that takes CAP_NET_ADMIN in the first user namespace; without it send(2) will say so.
  void make_room() {
    int size = 0;
    socklen_t length = sizeof size;
    if (getsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &size, &length) == 0 &&
        static_cast<size_t>(size) > bytes_.size() + 4096)
      return;
    size = static_cast<int>(std::min<size_t>(bytes_.size() + 4096, 1 << 30));
    if (setsockopt(fd_, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
      setsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  }

  bool fail(const char* call, long error) {
    call_ = call;
    error_ = error;
    return false;
  }

  bool send_all(size_t from, size_t to) {
    ssize_t count;
    do count = send(fd_, bytes_.data() + from, to - from, 0);
    while (count < 0 && errno == EINTR);
    return count >= 0 || fail("sendto", errno);
  }

  // Until all has been answered, or there are so many bytes. When nothing is left to be
  // answered, as in a batch, until there is nothing more.
  void receive(size_t most) {
    bool waits = left_ > 0;
    bool lost = false;
    while ((!waits || left_ > 0) && (!waits || arena_.size() < most)) {
      long count = receive_one(fd_, arena_);
      if (count == -EAGAIN) {
        if (!waits) {
          if (lost && arena_.size() == 0) fail("recvmsg", ENOBUFS);
          return;
        }
        pollfd wanted = {fd_, POLLIN, 0};
        int ready;
        do ready = poll(&wanted, 1, kPatience);
        while (ready < 0 && errno == EINTR);
        if (ready == 0) fail("recvmsg", ETIMEDOUT);
        else if (ready < 0) fail("poll", errno);
        if (ready <= 0) return;
        continue;
      }
      // Of many refusals the last ones may have been lost; the first ones are still there.
      if (count == -ENOBUFS && !waits) {
        lost = true;
        continue;
      }
      if (count < 0) {
        fail("recvmsg", -count);
        return;
      }
      if (waits) count_answers(arena_.room(), static_cast<size_t>(count));
      arena_.add(static_cast<size_t>(count));
    }
  }

  // Each request ends with one message, that of an error, which may be none, or the last
  // one of a dump.
  void count_answers(const uint8_t* bytes, size_t size) {
    while (size >= sizeof(nlmsghdr)) {
      nlmsghdr head;
      memcpy(&head, bytes, sizeof head);
      if (head.nlmsg_len < sizeof head || head.nlmsg_len > size) return;
      bool ends = head.nlmsg_type == NLMSG_ERROR || head.nlmsg_type == NLMSG_DONE;
      bool ours = head.nlmsg_seq - first_ <= last_ - first_;
      if (ends && ours && left_ > 0) left_--;
      size_t step = std::min<size_t>(NLMSG_ALIGN(head.nlmsg_len), size);
      bytes += step;
      size -= step;
    }
  }

  int fd_ = -1;
  std::vector<uint8_t> bytes_;
  Kind kind_;
  uint32_t first_, last_;  // numbers of the messages, which go on after 2^32 - 1 with 0
  size_t most_;
  Arena arena_;
  unsigned left_ = 0;
  long error_ = 0;
  const char* call_ = "";
};

}  // namespace

Napi::Value netlink_exchange(const Napi::CallbackInfo& info) {
  auto* exchange = new Exchange(info);
  Napi::Promise promise = exchange->deferred.Promise();
  exchange->Queue();
  return promise;
}

Napi::Value netlink_receive(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = info[0].As<Napi::Number>().Int32Value();
  size_t most = info[1].As<Napi::Number>().Uint32Value();
  Arena arena;
  while (arena.size() < most) {
    long count = receive_one(fd, arena);
    // An error that comes after something has been received comes again, but for that of
    // messages that were lost: it is told of at once, and what is here goes with them.
    if (count == -EAGAIN || (count < 0 && count != -ENOBUFS && arena.size() > 0)) break;
    if (count < 0) throw system_error(env, __NR_recvmsg, -count);
    arena.add(static_cast<size_t>(count));
  }
  return arena.size() == 0 ? env.Null() : arena.give(env);
}

}  // namespace cofferdam
