// The one thread that starts containers, for all environments of the process.
//
// It is a thread of its own because clone3 suspends its caller until the
// child's execve, and it lives as long as the process because the kernel sends
// the parent-death signal of a child when the *thread* that made it ends
// (prctl(2), PR_SET_PDEATHSIG): a worker may come and go.
#pragma once

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "maker.h"
#include "plan_copy.h"

extern "C" {
#include "../core/spawn.h"
}

namespace cofferdam {

class Environment;

// A container as the native side sees it. Made by its environment's thread,
// filled in by the spawner before its descriptors enter the epoll set, and
// from then on touched by the environment's thread alone.
struct Container {
  uint32_t id = 0;
  int pid = 0;
  std::atomic<int> pidfd{-1};  // -1 while there is no process yet
  std::atomic<bool> doomed{false};  // it has been killed, or is to be as soon as there is one
  int channel = -1;
  std::vector<int> held;  // descriptors that live as long as the container
  bool forks = false;     // init is to go on in another process, a child of this one
  bool followed = false;  // and has
  bool kept = false;      // it may outlive this process, once it is whole
  bool parked = false;    // it is, and waits for its program or has had it
  bool holds = true;  // it keeps the event loop alive
  bool starting = false;  // it has been sent the process half
  bool failed = false;
  bool foreign = false;    // it was connected to: it says itself that it is
  bool executing = false;  // about to execute
  bool exited = false;
};

struct Job {
  ~Job() {
    if (first >= 0) close(first);
  }

  Environment* environment = nullptr;
  Container* container = nullptr;
  PlanCopy ahead;  // what the host may do in advance, for another; or empty
  PlanCopy host_plan;  // what else it does; or empty
  PlanCopy plan;
  uint64_t clone_flags = 0;
  int into = -1;   // which descriptor of the host plan's is the group to be made in
  int first = -1;  // for the first slot of init's plan
  int init_fd = -1;
  int null_fd = -1;
};

class Spawner {
 public:
  static Spawner& instance();

  // Takes ownership of the job. Starts the thread on first use.
  // Returns 0 or an errno value, and then the job is untouched.
  int submit(Job* job);
  // Drops what waits for this environment, and returns when nothing of it is
  // under way any more. The dropped jobs' containers never had a process.
  void forget(Environment* environment);

 private:
  Spawner() = default;
  int start();
  void run();
  void spawn(Job& job, const cf_fds& ready);
  static void* entry(void* self);

  std::mutex mutex_;
  pthread_cond_t wake_ = PTHREAD_COND_INITIALIZER;
  pthread_cond_t idle_ = PTHREAD_COND_INITIALIZER;
  std::vector<Job*> queue_;
  Environment* busy_with_ = nullptr;
  bool started_ = false;
  Maker maker_;
};

void close_fds(std::vector<int>& fds);

}  // namespace cofferdam
