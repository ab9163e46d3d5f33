// What one JavaScript environment (the main thread, or a worker) owns: its
// containers, and one epoll descriptor through which its event loop hears of
// them. Instance data of the addon, so that workers don't share it.
#pragma once

#include <node_api.h>
#include <napi.h>
#include <uv.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "spawner.h"

namespace cofferdam {

// Told to JavaScript as (container, event, a, b, c, d). lib/base/native.ts
// has the same list.
enum class Event : uint32_t {
  kParked = 1,       // a: pid
  kFailed = 2,       // a: half, b: operation, c: system call, d: errno
  kOmitted = 3,      // likewise
  kWaiting = 4,      // a: waiting point, b: descriptor or -1, c: pid
  kMaking = 5,       // a: operation
  kStarted = 6,      // a: pid
  kExited = 7,       // a: exit code or -1, b: signal or 0
  kTerminal = 9,     // of a terminal's number: it can be read or written again
  kChanged = 11,     // of a watch's number: the file has changed, or may have
  kKept = 10,        // a: pid of the keeper, b: pid of init
  kSpawnFailed = 8,  // as kFailed, a: 0; there is no process, and no kExited follows
};

class Environment {
 public:
  explicit Environment(napi_env env) : env_(env) {}
  // 0, or an errno value.
  int open();

  void set_listener(napi_value listener);
  Container* add();
  // A process that somebody else may be the parent of. 0, or an errno value.
  int adopt(int pid, unsigned long long start_time, uint64_t number, Container** adopted);
  // Connects a parked init that waits for whoever comes. 0, or an errno value.
  int connect(Container* container, int folder);
  // SIGKILL, or what comes to the same. 0, or an errno value.
  int kill(Container* container);
  // Whether the container keeps the event loop alive.
  void hold(Container* container, bool holds);
  void remove(Container* container);
  Container* find(uint32_t id);

  // A number under which the event loop hears of a descriptor, which is the
  // environment's from then on: of a terminal's master side, or of a file of the
  // kernel's that tells of changes. 0 when it can't be, with errno.
  uint32_t watch_terminal(int fd);
  uint32_t watch_changes(int fd);
  void unwatch(uint32_t id);
  int watched(uint32_t id) const;
  void hold_watched(uint32_t id, bool holds);

  // Descriptors that go with the environment: the host's ends of pipes that no
  // stream object owns yet, and what JavaScript has and has not closed.
  void keep(int fd) { loose_.insert(fd); }
  void let_go(int fd) { loose_.erase(fd); }

  // Whoever comes back from another thread asks whether this has expired: then the
  // environment is at its end, and takes nothing any more.
  std::weak_ptr<const bool> life() const { return life_; }

  // The names of its containers, under names_mutex.
  std::unordered_set<std::string> names;

  // Called on the spawner's thread.
  void spawned(Container* container);
  void spawn_failed(Container* container, const cf_message& failure);

 private:
  static void on_poll(uv_poll_t* handle, int status, int events);
  static void on_cleanup(napi_async_cleanup_hook_handle handle, void* self);
  void dispatch();
  void read_channel(Container* container);
  void end_channel(Container* container);
  void handle_message(Container* container, const cf_message& message, int fd);
  void read_exit(Container* container);
  void follow(Container* container, int pid, int pidfd);
  void reap_followed(int pidfd);
  void report_spawn_failures();
  void emit(const Container* container, Event event, int64_t a = 0, int64_t b = 0, int64_t c = 0,
            int64_t d = 0);
  void emit(uint32_t id, Event event, int64_t a, int64_t b, int64_t c, int64_t d);
  void close_channel(Container* container);
  void hold_loop(int change);
  void unwatch_and_close(int fd);
  static void on_timer(uv_timer_t* handle);
  void retry_exits();
  void destroy_containers();
  bool kill_successor(Container* container);

  napi_env env_;
  napi_ref listener_ = nullptr;
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
  uv_poll_t poll_ = {};
  uv_timer_t timer_ = {};
  std::unordered_set<uint32_t> unwaitable_;  // ended, but traced by another process
  int epoll_ = -1;
  int holders_ = 0;  // how many keep the event loop alive
  int event_ = -1;  // eventfd: the spawner has a failure to report
  uint32_t next_id_ = 1;
  std::unordered_map<uint32_t, std::unique_ptr<Container>> containers_;
  struct Watched {
    int fd;
    Event event;
    bool holds;  // somebody waits for it: it keeps the event loop alive
  };
  uint32_t watch_descriptor(int fd, uint32_t events, Event event);
  void tell(uint32_t id);
  std::unordered_map<uint32_t, Watched> watched_;
  std::unordered_set<int> loose_;
  std::shared_ptr<const bool> life_ = std::make_shared<const bool>(true);
  std::unordered_map<int, bool> followed_;  // pidfds of processes that another has followed;
                                            // true: a keeper, which stays
  std::vector<std::unique_ptr<Container>> ended_;  // still named by the epoll batch under way

  std::mutex mutex_;
  std::vector<std::pair<Container*, cf_message>> failures_;
};

// That of the thread that calls, made on first use.
Environment* environment(Napi::Env env);

// The names of all containers of this process.
extern std::mutex names_mutex;
extern std::unordered_set<std::string> names;

// Connects to a socket in a folder; 0, or an errno value. connect(2)
int connect_socket(int folder, const char* name, int* connected);

}  // namespace cofferdam
