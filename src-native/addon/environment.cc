#include "environment.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "pidfd.h"
#include "procfs.h"

namespace cofferdam {

namespace {

// epoll_data of a container's pidfd is its address plus one; of its channel,
// the address; of the eventfd, 0; of a process that another one has followed,
// the descriptor times eight plus two; of a descriptor that is watched, its
// number times eight plus four.
constexpr uintptr_t kPidfdTag = 1;
constexpr uintptr_t kFollowedTag = 2;
constexpr uintptr_t kWatchedTag = 4;

constexpr uint64_t kRetryMilliseconds = 20;

void watch(int epoll, int fd, uintptr_t data, uint32_t events = EPOLLIN) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = data;
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

// What the kernel calls a process that runs init: the memfd's name, cut off
// after 15 characters (TASK_COMM_LEN).
constexpr char kInitName[] = "memfd:cofferdam\n";

constexpr unsigned kExiting = 0x4;  // PF_EXITING of the kernel's sched.h

bool is_init(const Container* container) {
  char name[32];
  read_proc(container->pid, "comm", name, sizeof name);
  return strcmp(name, kInitName) == 0;
}

// The channel has closed, and nothing failed. Either execve has succeeded, or
// init was killed. The name tells, which execve changes and a dead process
// keeps until it is waited for. But execve does so a moment after it closes the
// channel, and a program may give itself init's name: only of a process that is
// about to end the name is the last word.
bool executed(const Container* container) {
  if (!is_init(container)) return true;
  unsigned long long flags;
  if (!read_stat(container->pid, kStatFlags, &flags)) return true;
  return (flags & kExiting) == 0 || !is_init(container);
}

}  // namespace

int connect_socket(int folder, const char* name, int* connected) {
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return errno;
  // By way of /proc, since the folder's path may be too long. unix(7)
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", folder, name);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    int error = errno;
    close(fd);
    return error;
  }
  *connected = fd;
  return 0;
}

std::mutex names_mutex;
std::unordered_set<std::string> names;

int Environment::open() {
  uv_loop_t* loop;
  if (napi_get_uv_event_loop(env_, &loop) != napi_ok) return EINVAL;
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return errno;
  event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event_ < 0) {
    int error = errno;
    close(epoll_);
    return error;
  }
  watch(epoll_, event_, 0);
  uv_poll_init(loop, &poll_, epoll_);
  poll_.data = this;
  uv_poll_start(&poll_, UV_READABLE, on_poll);
  uv_timer_init(loop, &timer_);
  timer_.data = this;
  uv_unref(reinterpret_cast<uv_handle_t*>(&timer_));
  uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
  napi_add_async_cleanup_hook(env_, on_cleanup, this, &cleanup_);
  return 0;
}

void Environment::set_listener(napi_value listener) {
  if (listener_ != nullptr) napi_delete_reference(env_, listener_);
  napi_create_reference(env_, listener, 1, &listener_);
}

// An environment with a container keeps its event loop alive, as one with a
// child process does.
Container* Environment::add() {
  auto container = std::make_unique<Container>();
  Container* result = container.get();
  result->id = next_id_++;
  hold_loop(1);
  containers_.emplace(result->id, std::move(container));
  return result;
}

void Environment::remove(Container* container) {
  auto entry = containers_.find(container->id);
  close_channel(container);
  if (container->pidfd >= 0) unwatch_and_close(container->pidfd);
  container->pidfd = -1;
  close_fds(container->held);
  ended_.push_back(std::move(entry->second));
  containers_.erase(entry);
  hold(container, false);
}

// An init that is killed between making its successor and telling of it would
// leave a child that nobody here knows and waits for; and a PID namespace can't
// end before all that were in it have been waited for. So until then it is told
// that the host has gone: it ends at the next word that it expects, and what it
// says itself still arrives.
int Environment::kill(Container* container) {
  if (container->forks && !container->followed && container->channel >= 0)
    return shutdown(container->channel, SHUT_WR) < 0 ? errno : 0;
  return send_signal(container->pidfd, SIGKILL);
}

void Environment::hold(Container* container, bool holds) {
  if (container->holds == holds) return;
  container->holds = holds;
  hold_loop(holds ? 1 : -1);
}

void Environment::hold_loop(int change) {
  bool before = holders_ > 0;
  holders_ += change;
  if (before == (holders_ > 0)) return;
  auto* poll = reinterpret_cast<uv_handle_t*>(&poll_);
  if (before) uv_unref(poll);
  else uv_ref(poll);
}

int Environment::adopt(int pid, unsigned long long start_time, uint64_t number,
                       Container** adopted) {
  int pidfd = static_cast<int>(syscall(__NR_pidfd_open, pid, 0));
  if (pidfd < 0) return errno;
  // Looked at after it is held: a pid that was given again is not taken for the old one.
  unsigned long long value;
  if (!read_stat(pid, kStatStartTime, &value) || value != start_time ||
      process_number(pidfd) != number || has_ended(pidfd)) {
    close(pidfd);
    return ESRCH;
  }
  Container* container = add();
  container->pid = pid;
  container->pidfd = pidfd;
  container->kept = container->parked = true;
  hold(container, false);
  watch(epoll_, pidfd, reinterpret_cast<uintptr_t>(container) + kPidfdTag);
  *adopted = container;
  return 0;
}

int Environment::connect(Container* container, int folder) {
  int fd = -1;
  int error = connect_socket(folder, "start", &fd);
  if (error != 0) return error;
  close_channel(container);
  container->channel = fd;
  container->foreign = true;
  watch(epoll_, fd, reinterpret_cast<uintptr_t>(container));
  return 0;
}

Container* Environment::find(uint32_t id) {
  auto entry = containers_.find(id);
  return entry == containers_.end() ? nullptr : entry->second.get();
}

void Environment::spawned(Container* container) {
  int pidfd = container->pidfd;
  uintptr_t data = reinterpret_cast<uintptr_t>(container);
  // With the first of these the environment's thread may already act on it.
  watch(epoll_, container->channel, data);
  watch(epoll_, pidfd, data + kPidfdTag);
}

void Environment::spawn_failed(Container* container, const cf_message& failure) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    failures_.emplace_back(container, failure);
  }
  uint64_t one = 1;
  if (write(event_, &one, sizeof one) < 0) return;  // only when it is full, and then readable
}

void Environment::report_spawn_failures() {
  std::vector<std::pair<Container*, cf_message>> failures;
  uint64_t count;
  if (read(event_, &count, sizeof count) < 0) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    failures.swap(failures_);
  }
  for (auto& [container, failure] : failures) {
    Container* gone = container;
    remove(gone);
    emit(gone, Event::kSpawnFailed, 0, failure.op, failure.nr, failure.error);
  }
}

void Environment::on_poll(uv_poll_t* handle, int, int) {
  static_cast<Environment*>(handle->data)->dispatch();
}

void Environment::dispatch() {
  epoll_event events[64];
  int count;
  do {
    count = epoll_wait(epoll_, events, 64, 0);
    for (int i = 0; i < count; i++) {
      uintptr_t data = events[i].data.u64;
      auto* container = reinterpret_cast<Container*>(data & ~kPidfdTag);
      if (data & kWatchedTag) tell(static_cast<uint32_t>(data >> 3));
      else if (data & kFollowedTag) reap_followed(static_cast<int>(data >> 3));
      else if (container == nullptr) report_spawn_failures();
      else if (container->exited) continue;  // ended earlier in this batch
      else if (data & kPidfdTag) read_exit(container);
      else read_channel(container);
    }
    ended_.clear();
  } while (count == 64);
}

// What comes through here is written by a process that has already touched a
// hostile file system, so it is checked as if that process were hostile too.
void Environment::read_channel(Container* container) {
  while (container->channel >= 0) {
    cf_message message;
    int fds[CF_MAX_FDS];
    unsigned fd_count;
    long size =
        cf_receive(container->channel, &message, sizeof message, fds, &fd_count, MSG_DONTWAIT);
    if (size == -EAGAIN) return;
    // It closed its end without reading all; what it said itself comes next.
    if (size == -ECONNRESET) continue;
    for (unsigned i = 1; i < fd_count; i++) close(fds[i]);
    int fd = fd_count > 0 ? fds[0] : -1;
    if (size != sizeof message) {
      if (fd >= 0) close(fd);
      // Garbage is no message: whoever sent it does not go on.
      if (size != 0) {
        close_channel(container);
        send_signal(container->pidfd, SIGKILL);
      } else {
        end_channel(container);
      }
      return;
    }
    handle_message(container, message, fd);
    // It waits for an answer now, so there is nothing more to read.
    if (message.type == CF_MSG_PARKED) return;
  }
}

// It has nothing more to say: either it has been executed, or it has ended.
void Environment::end_channel(Container* container) {
  bool started = container->starting && !container->failed &&
                 (container->foreign ? container->executing : executed(container));
  close_channel(container);
  if (started) emit(container, Event::kStarted, container->pid);
}

void Environment::handle_message(Container* container, const cf_message& message, int fd) {
  if (message.type == CF_MSG_SIBLING) return follow(container, static_cast<int>(message.value), fd);
  if (fd >= 0 && message.type != CF_MSG_WAITING) {
    close(fd);
    fd = -1;
  }
  switch (message.type) {
    case CF_MSG_PARKED:
      container->parked = true;
      return emit(container, Event::kParked, container->pid);
    case CF_MSG_FAILED:
      container->failed = true;
      return emit(container, Event::kFailed, message.value, message.op, message.nr, message.error);
    case CF_MSG_OMITTED:
      return emit(container, Event::kOmitted, message.value, message.op, message.nr, message.error);
    case CF_MSG_WAITING:
      // A worker that is being terminated does not hear of it any more.
      if (fd >= 0) keep(fd);
      return emit(container, Event::kWaiting, message.value, fd, container->pid);
    case CF_MSG_EXECUTING: container->executing = true; return;
    case CF_MSG_MAKING: return emit(container, Event::kMaking, message.op);
    default: return;
  }
}

// init has gone on in another process, and will be gone itself in a moment.
void Environment::follow(Container* container, int pid, int pidfd) {
  if (pidfd < 0) return;
  int keeper = container->pid;
  int before = container->pidfd.exchange(pidfd);
  container->pid = pid;
  epoll_ctl(epoll_, EPOLL_CTL_DEL, before, nullptr);
  watch(epoll_, before, static_cast<uintptr_t>(before) << 3 | kFollowedTag);
  watch(epoll_, pidfd, reinterpret_cast<uintptr_t>(container) + kPidfdTag);
  followed_.emplace(before, container->kept);
  container->followed = true;
  if (container->kept) emit(container, Event::kKept, keeper, pid);
  // Until now it could only be told that the host has gone, and may not be listening.
  if (container->doomed) send_signal(pidfd, SIGKILL);
}

void Environment::reap_followed(int pidfd) {
  if (followed_.count(pidfd) == 0 || !reap(pidfd)) return;
  followed_.erase(pidfd);
  unwatch_and_close(pidfd);
}

void Environment::read_exit(Container* container) {
  read_channel(container);  // what it said before it ended comes first
  if (container->exited) return;
  // The news may be of the process that another has just followed.
  if (container->followed && !has_ended(container->pidfd)) return;
  // The first look may have ended with a message that was answered since.
  read_channel(container);
  // And the process that it has followed may not be gone yet.
  if (container->channel >= 0) end_channel(container);
  auto ending = reap(container->pidfd);
  if (!ending) {
    // A process of the container's may trace another, and until it lets go of it
    // nobody else can wait. There is nothing to be told by.
    epoll_ctl(epoll_, EPOLL_CTL_DEL, container->pidfd, nullptr);
    unwaitable_.insert(container->id);
    uv_timer_start(&timer_, on_timer, kRetryMilliseconds, 0);
    return;
  }
  container->exited = true;
  auto [code, signal] = *ending;
  remove(container);
  emit(container, Event::kExited, code, signal);
}

void Environment::on_timer(uv_timer_t* handle) {
  static_cast<Environment*>(handle->data)->retry_exits();
}

void Environment::retry_exits() {
  auto again = std::move(unwaitable_);
  unwaitable_.clear();
  for (uint32_t id : again)
    if (Container* container = find(id)) read_exit(container);
  ended_.clear();
}

void Environment::close_channel(Container* container) {
  if (container->channel >= 0) unwatch_and_close(container->channel);
  container->channel = -1;
}

// Closing alone would not do: until its execve, the child of a spawn that is
// under way holds a copy of every descriptor, and with it the entry in the
// epoll set, which would go on to report for a container that is gone.
void Environment::unwatch_and_close(int fd) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  close(fd);
}

// Told of each change once (EPOLLET): whoever reads or writes does so until it
// would block.
uint32_t Environment::watch_terminal(int fd) {
  return watch_descriptor(fd, EPOLLIN | EPOLLOUT | EPOLLET, Event::kTerminal);
}

// Such a file can always be read, and says EPOLLPRI once after each change, to
// the first who asks; proc_pid_mounts(5). The first is not this epoll set but the
// one of the event loop that it is in. So what counts is that it says anything at
// all again, edge-triggered. Once it does so at the beginning.
uint32_t Environment::watch_changes(int fd) {
  return watch_descriptor(fd, EPOLLIN | EPOLLPRI | EPOLLET, Event::kChanged);
}

uint32_t Environment::watch_descriptor(int fd, uint32_t events, Event event) {
  uint32_t id = next_id_++;
  epoll_event wanted = {};
  wanted.events = events;
  wanted.data.u64 = static_cast<uintptr_t>(id) << 3 | kWatchedTag;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &wanted) != 0) return 0;
  watched_.emplace(id, Watched{fd, event, false});
  return id;
}

// It may have been closed earlier in this batch.
void Environment::tell(uint32_t id) {
  auto entry = watched_.find(id);
  if (entry != watched_.end()) emit(id, entry->second.event, 0, 0, 0, 0);
}

void Environment::unwatch(uint32_t id) {
  auto entry = watched_.find(id);
  if (entry == watched_.end()) return;
  hold_watched(id, false);
  unwatch_and_close(entry->second.fd);
  watched_.erase(entry);
}

int Environment::watched(uint32_t id) const {
  auto entry = watched_.find(id);
  return entry == watched_.end() ? -1 : entry->second.fd;
}

void Environment::hold_watched(uint32_t id, bool holds) {
  auto entry = watched_.find(id);
  if (entry == watched_.end() || entry->second.holds == holds) return;
  entry->second.holds = holds;
  hold_loop(holds ? 1 : -1);
}

void Environment::emit(const Container* container, Event event, int64_t a, int64_t b, int64_t c,
                       int64_t d) {
  emit(container->id, event, a, b, c, d);
}

void Environment::emit(uint32_t id, Event event, int64_t a, int64_t b, int64_t c, int64_t d) {
  if (listener_ == nullptr) return;
  napi_handle_scope scope;
  napi_open_handle_scope(env_, &scope);
  napi_value listener, global, argv[6];
  napi_get_reference_value(env_, listener_, &listener);
  napi_get_global(env_, &global);
  napi_create_uint32(env_, id, &argv[0]);
  napi_create_uint32(env_, static_cast<uint32_t>(event), &argv[1]);
  const int64_t values[] = {a, b, c, d};
  for (int i = 0; i < 4; i++) napi_create_int64(env_, values[i], &argv[2 + i]);
  // An exception in the listener becomes an uncaught exception, as in any
  // other event handler.
  if (napi_make_callback(env_, nullptr, global, listener, 6, argv, nullptr) ==
      napi_pending_exception) {
    napi_value error;
    napi_get_and_clear_last_exception(env_, &error);
    napi_fatal_exception(env_, error);
  }
  napi_close_handle_scope(env_, scope);
}

}  // namespace cofferdam
