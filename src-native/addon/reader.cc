#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "environment.h"
#include "errors.h"

namespace cofferdam {
namespace {

constexpr size_t kRoom = 16384;
// What the kernel says of a group with a thousand disks is a tenth of it.
constexpr size_t kMost = 1 << 22;

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t from = 0; from < text.size();) {
    size_t to = text.find('\0', from);
    if (to == std::string::npos) to = text.size();
    parts.push_back(text.substr(from, to - from));
    from = to + 1;
  }
  return parts;
}

class Reader : public Napi::AsyncWorker {
 public:
  explicit Reader(const Napi::CallbackInfo& info)
      : Napi::AsyncWorker(info.Env()), deferred(Napi::Promise::Deferred::New(info.Env())) {
    folders_ = split(info[0].As<Napi::String>().Utf8Value());
    auto kinds = info[1].As<Napi::Uint32Array>();
    kinds_.assign(kinds.Data(), kinds.Data() + kinds.ElementLength());
    auto names = info[2].As<Napi::Array>();
    for (uint32_t i = 0; i < names.Length(); i++)
      names_.push_back(split(names.Get(i).As<Napi::String>().Utf8Value()));
    size_t files = 0;
    bool sound = kinds_.size() == folders_.size();
    for (uint32_t kind : kinds_) {
      sound = sound && kind < names_.size();
      if (sound) files += names_[kind].size();
    }
    keeps_ = !info[3].IsNull();
    if (keeps_) {
      auto descriptors = info[3].As<Napi::Int32Array>();
      descriptors_.assign(descriptors.Data(), descriptors.Data() + descriptors.ElementLength());
      sound = sound && descriptors_.size() == files;
    }
    if (!sound) throw system_error(info.Env(), 0, EINVAL);
    most_ = info[4].As<Napi::Number>().Uint32Value();
    sizes_.reserve(files);
    environment_ = environment(info.Env());
    life_ = environment_->life();
  }

  // Of an environment that has gone meanwhile: nobody is told of them.
  ~Reader() override {
    for (int fd : opened_) close(fd);
  }

  void Execute() override {
    size_t file = 0;
    for (size_t i = 0; i < folders_.size(); i++) {
      int folder = -1;
      int error = 0;
      for (const std::string& name : names_[kinds_[i]]) {
        int* kept = keeps_ ? &descriptors_[file++] : nullptr;
        long size = kept != nullptr && *kept >= 0 ? read_all(*kept) : -ENOENT;
        if (size < 0 && kept != nullptr && *kept >= 0) drop(kept);
        if (size < 0) {
          if (folder < 0 && error == 0) {
            folder = open(folders_[i].c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
            if (folder < 0) error = errno;
          }
          size = folder < 0 ? -error : read_new(folder, name.c_str(), kept);
        }
        sizes_.push_back(static_cast<int32_t>(size));
      }
      if (folder >= 0) close(folder);
    }
  }

  void OnOK() override {
    if (life_.expired()) return;
    Napi::Env env = Env();
    auto result = Napi::Array::New(env, 3);
    result.Set(0u, Napi::Buffer<char>::Copy(env, bytes_.data(), bytes_.size()));
    result.Set(1u, numbers(sizes_));
    result.Set(2u, keeps_ ? Napi::Value(numbers(descriptors_)) : env.Null());
    for (int fd : opened_) environment_->keep(fd);
    opened_.clear();
    for (int fd : dropped_) {
      environment_->let_go(fd);
      close(fd);
    }
    deferred.Resolve(result);
  }

  // There was no memory for it. What it has opened is closed with it, what it has dropped
  // is the environment's until that ends.
  void OnError(const Napi::Error& error) override { deferred.Reject(error.Value()); }

  Napi::Promise::Deferred deferred;

 private:
  Napi::Int32Array numbers(const std::vector<int32_t>& list) {
    auto array = Napi::Int32Array::New(Env(), list.size());
    if (!list.empty()) memcpy(array.Data(), list.data(), list.size() * sizeof(int32_t));
    return array;
  }

  // A group that is gone answers ENODEV for ever, also when there is a new one of
  // its name. The descriptor is closed when the environment has let go of it.
  void drop(int* kept) {
    dropped_.push_back(*kept);
    *kept = -1;
  }

  long read_new(int folder, const char* name, int* kept) {
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return -errno;
    long size = read_all(fd);
    if (size >= 0 && kept != nullptr && opened_.size() < most_) {
      *kept = fd;
      opened_.push_back(fd);
    } else {
      close(fd);
    }
    return size;
  }

  // Such files are written out whole at each reading from the beginning, so
  // less than there is room for is all; seq_file of the kernel's fs/seq_file.c.
  long read_all(int fd) {
    size_t begin = bytes_.size();
    for (size_t room = kRoom; room <= kMost; room *= 4) {
      if (scratch_.size() < room) scratch_.resize(room);
      ssize_t size;
      do size = pread(fd, scratch_.data(), room, 0);
      while (size < 0 && errno == EINTR);
      if (size < 0) return -errno;
      if (static_cast<size_t>(size) == room) continue;
      bytes_.insert(bytes_.end(), scratch_.data(), scratch_.data() + size);
      return static_cast<long>(bytes_.size() - begin);
    }
    return -EFBIG;
  }

  std::vector<std::string> folders_;
  std::vector<uint32_t> kinds_;
  std::vector<std::vector<std::string>> names_;
  bool keeps_ = false;
  std::vector<int32_t> descriptors_;
  uint32_t most_ = 0;
  std::vector<int> opened_;
  std::vector<int> dropped_;
  std::vector<int32_t> sizes_;
  std::vector<char> bytes_;
  std::vector<char> scratch_;
  Environment* environment_ = nullptr;
  std::weak_ptr<const bool> life_;
};

}  // namespace

Napi::Value read_files(const Napi::CallbackInfo& info) {
  auto* reader = new Reader(info);  // NOLINT: it deletes itself
  Napi::Promise promise = reader->deferred.Promise();
  reader->Queue();
  return promise;
}

}  // namespace cofferdam
