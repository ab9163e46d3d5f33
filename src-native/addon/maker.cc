#include "maker.h"

#include <errno.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cofferdam {

namespace {

// Anywhere but on this processor, if there is another: init will run here. The
// scheduler would put the other thread here too, and the two would take turns
// while others idle.
cpu_set_t elsewhere() {
  cpu_set_t all, others;
  CPU_ZERO(&all);
  sched_getaffinity(0, sizeof all, &all);
  others = all;
  int here = sched_getcpu();
  if (here >= 0 && here < CPU_SETSIZE) CPU_CLR(here, &others);
  return CPU_COUNT(&others) > 0 ? others : all;
}

void close_all(const cf_fds& fds) {
  for (unsigned i = 0; i < fds.count; i++) close(fds.fds[i]);
}

}  // namespace

void Maker::start() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return;
  inbox_ = pair[0];
  outbox_ = pair[1];
  pthread_t thread;
  if (pthread_create(&thread, nullptr, entry, this) == 0) {
    pthread_detach(thread);
    std::unique_lock<std::mutex> lock(mutex_);
    while (!settled_) pthread_cond_wait(&changed_, mutex_.native_handle());
    started_ = outbox_ >= 0;
  }
  close(pair[1]);
}

void* Maker::entry(void* self) {
  static_cast<Maker*>(self)->run();
  return nullptr;
}

void Maker::run() {
  pthread_setname_np(pthread_self(), "cofferdam-maker");
  sched_param param = {};
  sched_setscheduler(0, SCHED_BATCH, &param);
  // Of all that was open in the process, only the outbox is left in this table.
  thread_ = static_cast<int>(syscall(SYS_gettid));
  bool own = unshare(CLONE_FILES) == 0;
  if (own) {
    if (outbox_ > 0) syscall(SYS_close_range, 0, outbox_ - 1, 0);
    syscall(SYS_close_range, outbox_ + 1, ~0U, 0);
    own = cf_this_is_home() == 0;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!own) outbox_ = -1;
    settled_ = true;
    pthread_cond_broadcast(&changed_);
  }
  while (own) {
    PlanCopy plan;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      while (request_.size == 0) pthread_cond_wait(&changed_, mutex_.native_handle());
      plan = std::move(request_);
      request_.size = 0;
    }
    cf_fds fds = {};
    cf_message failure = {};
    char failed = cf_run_host(plan.bytes(), &fds, &failure) < 0;
    cf_send(outbox_, &failed, sizeof failed, fds.fds, fds.count, 0);
    close_all(fds);
    own = failure.value != CF_LOST;
  }
}

bool Maker::receive(cf_fds& fds) {
  char failed;
  fds.count = 0;
  long size = cf_receive(inbox_, &failed, sizeof failed, fds.fds, &fds.count, MSG_DONTWAIT);
  if (size == -EAGAIN) return false;  // not finished yet
  ready_ = false;
  return size == sizeof failed && !failed;
}

void Maker::take(const PlanCopy& plan, cf_fds& fds) {
  if (!ready_ || !receive(fds) || made_by_.same_as(plan)) return;
  close_all(fds);
  fds.count = 0;
}

void Maker::make(PlanCopy plan) {
  if (!started_ || ready_) return;
  made_by_ = PlanCopy(plan.bytes(), plan.size);
  ready_ = true;
  cpu_set_t where = elsewhere();
  sched_setaffinity(thread_, sizeof where, &where);  // a hint: it works anywhere
  std::lock_guard<std::mutex> lock(mutex_);
  request_ = std::move(plan);
  pthread_cond_broadcast(&changed_);
}

void Maker::drop() {
  cf_fds fds;
  if (receive(fds)) close_all(fds);
}

}  // namespace cofferdam
