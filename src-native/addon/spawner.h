// The one thread that starts containers, for all environments of the process.
//
// It is a thread of its own because clone3 suspends its caller until the
// child's execve, and it lives as long as the process because the kernel sends
// the parent-death signal of a child when the *thread* that made it ends
// (prctl(2), PR_SET_PDEATHSIG): a worker may come and go.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

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
  int channel = -1;
  std::vector<int> held;  // descriptors that live as long as the container
  bool starting = false;  // it has been sent the process half
  bool failed = false;
  bool exited = false;
};

// A copy of a plan, aligned as the core wants it.
struct PlanCopy {
  std::unique_ptr<uint64_t[]> words;
  uint64_t size = 0;
  uint8_t* bytes() const { return reinterpret_cast<uint8_t*>(words.get()); }
};

struct Job {
  Environment* environment = nullptr;
  Container* container = nullptr;
  PlanCopy ahead;  // what the host may do in advance, for another; or empty
  PlanCopy host_plan;  // what else it does; or empty
  PlanCopy plan;
  uint64_t clone_flags = 0;
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
  int spawn(Job& job);  // gives init's pid, or 0
  void make_spare(PlanCopy plan, int init);
  void take_spare(const PlanCopy& plan, cf_fds& fds);
  void leave_place();
  void drop_spare();
  static void* entry(void* self);

  std::mutex mutex_;
  pthread_cond_t wake_ = PTHREAD_COND_INITIALIZER;
  pthread_cond_t idle_ = PTHREAD_COND_INITIALIZER;
  std::vector<Job*> queue_;
  Environment* busy_with_ = nullptr;

  // The descriptor that the last plan of this kind leaves, made in advance for
  // the next start: a new network namespace takes longer than all the rest. Only
  // the spawner's thread touches it. Where there is none, another descriptor has
  // its place, so that a program always has as many as before.
  PlanCopy spare_plan_;
  int spare_ = -1;
  bool has_spare_ = false;
  // The thread could not come back to its network namespace: it starts nothing
  // any more, and this is why.
  cf_message lost_ = {};
  bool started_ = false;
};

void close_fds(std::vector<int>& fds);

}  // namespace cofferdam
