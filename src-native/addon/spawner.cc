#include "spawner.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <memory>

#include "environment.h"
#include "procfs.h"

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
  cf_this_is_home();
  static_cast<Spawner*>(self)->leave_place();
  static_cast<Spawner*>(self)->run();
  return nullptr;
}

// The scheduler tends to leave this thread on the processor where init runs,
// and the two would take turns there while others idle. So it moves away as
// long as this object lives.
class OutOfTheWay {
 public:
  explicit OutOfTheWay(int pid) {
    unsigned long long cpu;
    if (!read_stat(pid, kStatProcessor, &cpu) || cpu >= CPU_SETSIZE ||
        sched_getaffinity(0, sizeof all_, &all_) != 0) return;
    cpu_set_t others = all_;
    CPU_CLR(cpu, &others);
    moved_ = CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0;
  }
  ~OutOfTheWay() {
    if (moved_) sched_setaffinity(0, sizeof all_, &all_);
  }

 private:
  cpu_set_t all_;
  bool moved_ = false;
};

// How long a spare is kept when nothing starts.
constexpr int kSpareSeconds = 10;

void Spawner::run() {
  for (;;) {
    std::unique_ptr<Job> job;
    bool busy;  // others wait: every processor has enough to do
    {
      std::unique_lock<std::mutex> lock(mutex_);
      while (queue_.empty()) {
        if (!has_spare_) {
          pthread_cond_wait(&wake_, mutex_.native_handle());
          continue;
        }
        timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += kSpareSeconds;
        if (pthread_cond_timedwait(&wake_, mutex_.native_handle(), &until) == ETIMEDOUT)
          drop_spare();
      }
      job.reset(queue_.front());
      queue_.erase(queue_.begin());
      busy = !queue_.empty();
      busy_with_ = job->environment;
    }
    int init = spawn(*job);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      busy_with_ = nullptr;
      pthread_cond_broadcast(&idle_);
      busy = busy || !queue_.empty();
    }
    if (!busy && job->ahead.size > 0 && !has_spare_) make_spare(std::move(job->ahead), init);
  }
}

void Spawner::make_spare(PlanCopy plan, int init) {
  OutOfTheWay out_of_the_way(init);
  cf_fds made = {};
  cf_message failure;  // if it fails, init does without, and says what is wrong
  if (cf_run_host(plan.bytes(), &made, &failure) < 0) {
    if (failure.value == CF_LOST) lost_ = failure;
    return;
  }
  if (made.count == 1) {
    close(spare_);
    spare_ = made.fds[0];
    spare_plan_ = std::move(plan);
    has_spare_ = true;
  } else {
    for (unsigned i = 0; i < made.count; i++) close(made.fds[i]);
  }
}

void Spawner::leave_place() {
  spare_ = eventfd(0, EFD_CLOEXEC);
  has_spare_ = false;
}

void Spawner::drop_spare() {
  close(spare_);
  leave_place();
}

void Spawner::take_spare(const PlanCopy& plan, cf_fds& fds) {
  if (!has_spare_) return;
  if (spare_plan_.size != plan.size || memcmp(spare_plan_.bytes(), plan.bytes(), plan.size) != 0)
    return drop_spare();
  fds.fds[fds.count++] = spare_;
  leave_place();
}

int Spawner::spawn(Job& job) {
  Container* container = job.container;
  cf_spawn_request request = {};
  request.host_plan = job.host_plan.bytes();
  request.plan = job.plan.bytes();
  request.plan_size = job.plan.size;
  request.clone_flags = job.clone_flags;
  request.init_fd = job.init_fd;
  request.null_fd = job.null_fd;
  if (job.ahead.size > 0) take_spare(job.ahead, request.ahead);
  cf_spawn_result result;
  if (lost_.type != 0 || cf_spawn(&request, &result) < 0) {
    job.environment->spawn_failed(container, lost_.type != 0 ? lost_ : result.failure);
    return 0;
  }
  container->pid = result.pid;
  container->pidfd = result.pidfd;
  container->channel = result.channel;
  container->held.assign(result.held.fds, result.held.fds + result.held.count);
  job.environment->spawned(container);
  return result.pid;
}

}  // namespace cofferdam
