#include "credentials.h"

#include <errno.h>
#include <linux/limits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include <string>
#include <vector>

#include "errors.h"

namespace cofferdam {
namespace {

std::string text(const Napi::Value& value) { return value.As<Napi::String>().Utf8Value(); }

}  // namespace

Napi::Value securebits(const Napi::CallbackInfo& info) {
  int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
  if (bits < 0) throw system_error(info.Env(), __NR_prctl, errno);
  return Napi::Number::New(info.Env(), bits);
}

Napi::Value in_bounding(const Napi::CallbackInfo& info) {
  unsigned long capability = info[0].As<Napi::Number>().Uint32Value();
  int is = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
  if (is < 0 && errno != EINVAL) throw system_error(info.Env(), __NR_prctl, errno);
  return Napi::Number::New(info.Env(), is);
}

Napi::Value get_xattr(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  // No value is larger, so there is no need to ask for its size before, and to
  // ask again when it has changed meanwhile.
  std::vector<char> room(XATTR_SIZE_MAX);
  ssize_t size = getxattr(text(info[0]).c_str(), text(info[1]).c_str(), room.data(), room.size());
  if (size < 0 && errno == ENODATA) return env.Null();
  if (size < 0) throw system_error(env, __NR_getxattr, errno);
  return Napi::Buffer<char>::Copy(env, room.data(), static_cast<size_t>(size));
}

void set_xattr(const Napi::CallbackInfo& info) {
  auto bytes = info[2].As<Napi::Uint8Array>();
  if (setxattr(text(info[0]).c_str(), text(info[1]).c_str(), bytes.Data(), bytes.ByteLength(), 0) < 0)
    throw system_error(info.Env(), __NR_setxattr, errno);
}

void remove_xattr(const Napi::CallbackInfo& info) {
  if (removexattr(text(info[0]).c_str(), text(info[1]).c_str()) < 0)
    throw system_error(info.Env(), __NR_removexattr, errno);
}

}  // namespace cofferdam
