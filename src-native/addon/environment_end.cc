// The end of an environment, of a worker say: what becomes of its containers.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "environment.h"
#include "pidfd.h"

namespace cofferdam {

namespace {

constexpr int kMostTries = 2000;  // a millisecond apart

}  // namespace

// The environment goes, and its containers with it: nobody could reach them
// any more. Others' containers live on.
void Environment::destroy_containers() {
  Spawner::instance().forget(this);
  // But those that are kept live on, once they are whole.
  for (auto& [id, container] : containers_) {
    if (container->pidfd < 0) continue;
    if (container->kept && container->parked) {
      unwatch_and_close(container->pidfd);
      container->pidfd = -1;
    } else {
      kill(container.get());
    }
  }
  for (auto pidfd = followed_.begin(); pidfd != followed_.end();) {
    if (pidfd->second) {
      unwatch_and_close(pidfd->first);
      pidfd = followed_.erase(pidfd);
    } else {
      send_signal(pidfd->first, SIGKILL);
      ++pidfd;
    }
  }
  // In no order: process 1 of a PID namespace ends after all that have joined it.
  bool left = true;
  for (int tries = 0; left && tries < kMostTries; tries++) {
    left = false;
    for (auto& [id, container] : containers_) {
      if (container->pidfd < 0) continue;
      if (reap(container->pidfd)) {
        unwatch_and_close(container->pidfd);
        container->pidfd = -1;
        left = kill_successor(container.get()) || left;
      } else {
        left = true;
      }
    }
    for (auto pidfd = followed_.begin(); pidfd != followed_.end();) {
      if (reap(pidfd->first)) {
        unwatch_and_close(pidfd->first);
        pidfd = followed_.erase(pidfd);
      } else {
        left = true;
        ++pidfd;
      }
    }
    if (left) usleep(1000);
  }
  for (auto& [id, container] : containers_) {
    if (container->pidfd >= 0) unwatch_and_close(container->pidfd);
    close_channel(container.get());
    close_fds(container->held);
  }
  containers_.clear();
  {
    std::lock_guard<std::mutex> lock(names_mutex);
    for (const std::string& name : names) cofferdam::names.erase(name);
  }
  for (auto& [id, watched] : watched_) unwatch_and_close(watched.fd);
  watched_.clear();
  for (int fd : loose_) close(fd);
  loose_.clear();
}

// Of an init that has told of another, which nobody has heard.
bool Environment::kill_successor(Container* container) {
  cf_message message;
  int fds[CF_MAX_FDS];
  unsigned count;
  bool any = false;
  while (container->channel >= 0 && cf_receive(container->channel, &message, sizeof message, fds,
                                               &count, MSG_DONTWAIT) > 0) {
    for (unsigned i = 0; i < count; i++) {
      if (i > 0 || message.type != CF_MSG_SIBLING) {
        close(fds[i]);
        continue;
      }
      send_signal(fds[i], SIGKILL);
      followed_.emplace(fds[i], false);
      any = true;
    }
  }
  return any;
}

void Environment::on_cleanup(napi_async_cleanup_hook_handle handle, void* self) {
  auto* environment = static_cast<Environment*>(self);
  environment->cleanup_ = handle;
  environment->life_.reset();
  environment->destroy_containers();
  uv_poll_stop(&environment->poll_);
  uv_timer_stop(&environment->timer_);
  uv_close(reinterpret_cast<uv_handle_t*>(&environment->timer_), [](uv_handle_t* timer) {
    auto* half = static_cast<Environment*>(timer->data);
    uv_close(reinterpret_cast<uv_handle_t*>(&half->poll_), [](uv_handle_t* closed) {
      auto* gone = static_cast<Environment*>(closed->data);
      close(gone->epoll_);
      close(gone->event_);
      napi_remove_async_cleanup_hook(gone->cleanup_);
      delete gone;
    });
  });
}

}  // namespace cofferdam
