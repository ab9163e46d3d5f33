#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "environment.h"
#include "errors.h"

namespace cofferdam {

void keep(const Napi::CallbackInfo& info) {
  environment(info.Env())->keep(info[0].As<Napi::Number>().Int32Value());
}

void take(const Napi::CallbackInfo& info) {
  environment(info.Env())->let_go(info[0].As<Napi::Number>().Int32Value());
}

void close_descriptor(const Napi::CallbackInfo& info) {
  take(info);
  close(info[0].As<Napi::Number>().Int32Value());
}

Napi::Value watch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = fcntl(info[0].As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 10);
  if (fd < 0) throw system_error(env, __NR_fcntl, errno);
  uint32_t id = environment(env)->watch_changes(fd);
  if (id == 0) {
    int error = errno;
    close(fd);
    throw system_error(env, __NR_epoll_ctl, error);
  }
  auto result = Napi::Array::New(env, 2);
  result.Set(0u, Napi::Number::New(env, id));
  result.Set(1u, Napi::Number::New(env, fd));
  return result;
}

void unwatch(const Napi::CallbackInfo& info) {
  environment(info.Env())->unwatch(info[0].As<Napi::Number>().Uint32Value());
}

Napi::Value drain(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = info[0].As<Napi::Number>().Int32Value();
  pollfd ended = {fd, 0, 0};
  int size = 0;
  if (poll(&ended, 1, 0) != 1 || (ended.revents & POLLHUP) == 0 || ioctl(fd, FIONREAD, &size) != 0 ||
      size > info[1].As<Napi::Number>().Int64Value())
    return env.Null();
  auto bytes = Napi::Buffer<uint8_t>::New(env, static_cast<size_t>(size));
  for (int done = 0; done < size;) {
    ssize_t count = read(fd, bytes.Data() + done, static_cast<size_t>(size - done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;  // it can't be: there is that much
    done += static_cast<int>(count);
  }
  close_descriptor(info);
  return bytes;
}

Napi::Value has_changed(const Napi::CallbackInfo& info) {
  pollfd file = {info[0].As<Napi::Number>().Int32Value(), POLLPRI, 0};
  return Napi::Boolean::New(info.Env(), poll(&file, 1, 0) != 0);
}

Napi::Value lock(const Napi::CallbackInfo& info) {
  bool free = flock(info[0].As<Napi::Number>().Int32Value(), LOCK_EX | LOCK_NB) == 0;
  if (!free && errno != EWOULDBLOCK) throw system_error(info.Env(), __NR_flock, errno);
  return Napi::Boolean::New(info.Env(), free);
}

Napi::Value pipe(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) throw system_error(env, __NR_pipe2, errno);
  auto result = Napi::Array::New(env, 2);
  for (uint32_t i = 0; i < 2; i++) {
    environment(env)->keep(ends[i]);
    result.Set(i, Napi::Number::New(env, ends[i]));
  }
  return result;
}

Napi::Value dial(const Napi::CallbackInfo& info) {
  int fd = -1;
  std::string name = info[1].As<Napi::String>().Utf8Value();
  int error = connect_socket(info[0].As<Napi::Number>().Int32Value(), name.c_str(), &fd);
  if (error != 0) throw system_error(info.Env(), __NR_connect, error);
  return Napi::Number::New(info.Env(), fd);
}

void send_packet(const Napi::CallbackInfo& info) {
  auto bytes = info[1].As<Napi::Uint8Array>();
  auto list = info[2].As<Napi::Array>();
  int fds[CF_MAX_FDS];
  uint32_t count = list.Length();
  for (uint32_t i = 0; i < count && i < CF_MAX_FDS; i++)
    fds[i] = list.Get(i).As<Napi::Number>().Int32Value();
  long result = cf_send(info[0].As<Napi::Number>().Int32Value(), bytes.Data(), bytes.ByteLength(),
                        fds, count, MSG_DONTWAIT);
  if (result < 0) throw system_error(info.Env(), __NR_sendmsg, -result);
}

Napi::Value receive_packet(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  char bytes[256];
  int fds[CF_MAX_FDS];
  unsigned count;
  pollfd answer = {info[0].As<Napi::Number>().Int32Value(), POLLIN, 0};
  poll(&answer, 1, info[1].As<Napi::Number>().Int32Value());
  long size = cf_receive(answer.fd, bytes, sizeof bytes, fds, &count, MSG_DONTWAIT);
  if (size <= 0) return env.Null();
  auto descriptors = Napi::Array::New(env, count);
  for (uint32_t i = 0; i < count; i++) descriptors.Set(i, Napi::Number::New(env, fds[i]));
  auto result = Napi::Object::New(env);
  result.Set("bytes", Napi::Buffer<char>::Copy(env, bytes, static_cast<size_t>(size)));
  result.Set("descriptors", descriptors);
  return result;
}

}  // namespace cofferdam
