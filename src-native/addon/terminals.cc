#include "terminals.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "environment.h"
#include "errors.h"

namespace cofferdam {

Napi::Value open_terminal(const Napi::CallbackInfo& info) {
  int fd = info[0].As<Napi::Number>().Int32Value();
  fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
  uint32_t id = environment(info.Env())->watch_terminal(fd);
  if (id == 0) {
    int error = errno;
    close(fd);
    throw system_error(info.Env(), __NR_epoll_ctl, error);
  }
  return Napi::Number::New(info.Env(), id);
}

static int terminal_of(const Napi::CallbackInfo& info) {
  return environment(info.Env())->watched(info[0].As<Napi::Number>().Uint32Value());
}

Napi::Value read_terminal(const Napi::CallbackInfo& info) {
  char bytes[16384];
  ssize_t size = read(terminal_of(info), bytes, sizeof bytes);
  if (size > 0) return Napi::Buffer<char>::Copy(info.Env(), bytes, static_cast<size_t>(size));
  // EIO: the last process that had the other side open has closed it. tty(4)
  return size < 0 && (errno == EAGAIN || errno == EINTR) ? info.Env().Null()
                                                         : info.Env().Undefined();
}

Napi::Value write_terminal(const Napi::CallbackInfo& info) {
  auto bytes = info[1].As<Napi::Uint8Array>();
  ssize_t size = write(terminal_of(info), bytes.Data(), bytes.ByteLength());
  if (size < 0) size = errno == EAGAIN || errno == EINTR ? 0 : -1;
  return Napi::Number::New(info.Env(), static_cast<double>(size));
}

void resize_terminal(const Napi::CallbackInfo& info) {
  winsize size = {};
  size.ws_row = static_cast<unsigned short>(info[1].As<Napi::Number>().Uint32Value());
  size.ws_col = static_cast<unsigned short>(info[2].As<Napi::Number>().Uint32Value());
  if (ioctl(terminal_of(info), TIOCSWINSZ, &size) != 0)
    throw system_error(info.Env(), __NR_ioctl, errno);
}

void close_terminal(const Napi::CallbackInfo& info) {
  environment(info.Env())->unwatch(info[0].As<Napi::Number>().Uint32Value());
}

}  // namespace cofferdam
