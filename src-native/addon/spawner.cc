#include "spawner.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "environment.h"

namespace cofferdam {

void close_fds(std::vector<int>& fds) {
  for (int fd : fds) close(fd);
  fds.clear();
}

// Never destroyed: the thread outlives every static destructor's turn.
Spawner& Spawner::instance() {
  static Spawner* spawner = new Spawner();
  return *spawner;
}

int Spawner::start() {
  // A signal handler of Node must not run on this thread, least of all while
  // a child borrows its stack.
  sigset_t all, before;
  sigfillset(&all);
  pthread_t thread;
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&thread, nullptr, entry, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) return error;
  pthread_detach(thread);
  started_ = true;
  return 0;
}

int Spawner::submit(Job* job) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!started_) {
    int error = start();
    if (error != 0) return error;
  }
  queue_.push_back(job);
  pthread_cond_signal(&wake_);
  return 0;
}

void Spawner::forget(Environment* environment) {
  std::unique_lock<std::mutex> lock(mutex_);
  std::vector<Job*> kept;
  for (Job* job : queue_) {
    if (job->environment == environment) delete job;
    else kept.push_back(job);
  }
  queue_.swap(kept);
  while (busy_with_ == environment) pthread_cond_wait(&idle_, mutex_.native_handle());
}

void* Spawner::entry(void* self) {
  pthread_setname_np(pthread_self(), "cofferdam");
  // As a batch thread it does not preempt the JavaScript thread that has just
  // woken it. init, which inherits this, goes back to SCHED_OTHER in its plan.
  sched_param param = {};
  sched_setscheduler(0, SCHED_BATCH, &param);
  static_cast<Spawner*>(self)->run();
  return nullptr;
}

// How long what was made in advance is kept when nothing starts.
constexpr int kKeptSeconds = 10;

void Spawner::run() {
  maker_.start();
  for (;;) {
    std::unique_ptr<Job> job;
    bool busy;  // others wait: every processor has enough to do
    {
      std::unique_lock<std::mutex> lock(mutex_);
      while (queue_.empty()) {
        if (!maker_.ready()) {
          pthread_cond_wait(&wake_, mutex_.native_handle());
          continue;
        }
        timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += kKeptSeconds;
        if (pthread_cond_timedwait(&wake_, mutex_.native_handle(), &until) == ETIMEDOUT)
          maker_.drop();
      }
      job.reset(queue_.front());
      queue_.erase(queue_.begin());
      busy = !queue_.empty();
      busy_with_ = job->environment;
    }
    cf_fds ready = {};
    if (job->ahead.size > 0) {
      maker_.take(job->ahead, ready);
      // Now and not later, while JavaScript waits for init.
      if (!busy) maker_.make(std::move(job->ahead));
    }
    spawn(*job, ready);
    std::lock_guard<std::mutex> lock(mutex_);
    busy_with_ = nullptr;
    pthread_cond_broadcast(&idle_);
  }
}

void Spawner::spawn(Job& job, const cf_fds& ready) {
  Container* container = job.container;
  cf_spawn_request request = {};
  request.host_plan = job.host_plan.bytes();
  request.plan = job.plan.bytes();
  request.plan_size = job.plan.size;
  request.clone_flags = job.clone_flags;
  request.init_fd = job.init_fd;
  request.null_fd = job.null_fd;
  request.ahead = ready;
  request.into = job.into;
  request.first = std::exchange(job.first, -1);
  cf_spawn_result result;
  if (cf_spawn(&request, &result) < 0)
    return job.environment->spawn_failed(container, result.failure);

  container->pid = result.pid;
  container->channel = result.channel;
  container->held.assign(result.held.fds, result.held.fds + result.held.count);
  // Last, since by it the environment's thread knows that the rest is there.
  container->pidfd = result.pidfd;
  if (container->doomed) job.environment->kill(container);
  job.environment->spawned(container);
}

}  // namespace cofferdam
