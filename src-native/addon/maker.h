// A thread that makes in advance what takes long and depends on no container:
// network namespaces. It has a table of descriptors of its own, so that what it
// opens on the way is nobody else's, and what it has made waits in a socket.
#pragma once

#include <pthread.h>

#include <mutex>

#include "plan_copy.h"

extern "C" {
#include "../core/spawn.h"
}

namespace cofferdam {

// All but entry() and run() is called by the spawner's thread.
class Maker {
 public:
  // Without a thread nothing is ever ready, and init makes what it needs.
  void start();

  // The descriptors that this plan leaves, if they are ready. They are given
  // once. What has been made by another plan is dropped.
  void take(const PlanCopy& plan, cf_fds& fds);
  // Has them made for the next take(), unless some are ready or being made.
  void make(PlanCopy plan);
  bool ready() const { return ready_; }
  void drop();

 private:
  static void* entry(void* self);
  void run();
  bool receive(cf_fds& fds);

  int inbox_ = -1;   // what has been made comes here
  int outbox_ = -1;  // the other end, in the thread's own table
  bool started_ = false;
  bool ready_ = false;  // made, or about to be
  PlanCopy made_by_;

  std::mutex mutex_;
  pthread_cond_t changed_ = PTHREAD_COND_INITIALIZER;
  bool settled_ = false;  // the thread has its own table
  int thread_ = 0;        // its number, for sched_setaffinity(2)
  PlanCopy request_;
};

}  // namespace cofferdam
