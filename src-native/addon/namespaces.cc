#include "namespaces.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "errors.h"

namespace cofferdam {
namespace {

// linux/nsfs.h; written out since the headers of the build machine may be older.
constexpr unsigned kNsio = 0xb7;
constexpr long kNamespaceFileSystem = 0x6e736673;  // NSFS_MAGIC

// Whether a descriptor is of a namespace. The same requests mean something else
// to other files.
bool is_namespace(int fd) {
  struct statfs file_system;
  if (fstatfs(fd, &file_system) < 0) return false;
  if (file_system.f_type == kNamespaceFileSystem) return true;
  errno = ENOTTY;
  return false;
}

}  // namespace

// By the numbers of ioctl_nsfs(2), and 13 for NS_GET_ID: a descriptor, a number, or
// what the kernel has written.
Napi::Value namespace_query(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = info[0].As<Napi::Number>().Int32Value();
  unsigned request = info[1].As<Napi::Number>().Uint32Value();
  unsigned long argument = info[2].As<Napi::Number>().Uint32Value();
  uint64_t value = 0;
  int result = -1;
  if (is_namespace(fd)) {
    errno = EINVAL;
    switch (request) {
    case 1:  // NS_GET_USERNS
    case 2:  // NS_GET_PARENT
    case 3:  // NS_GET_NSTYPE
      value = static_cast<uint64_t>(result = ioctl(fd, _IO(kNsio, request)));
      break;
    case 4: {  // NS_GET_OWNER_UID
      uid_t uid = 0;
      result = ioctl(fd, _IO(kNsio, request), &uid);
      value = uid;
      break;
    }
    case 5:   // NS_GET_MNTNS_ID
    case 13:  // NS_GET_ID
      result = ioctl(fd, _IOR(kNsio, request, uint64_t), &value);
      break;
    case 6:  // NS_GET_PID_FROM_PIDNS
    case 7:  // NS_GET_TGID_FROM_PIDNS
    case 8:  // NS_GET_PID_IN_PIDNS
    case 9:  // NS_GET_TGID_IN_PIDNS
      value = static_cast<uint64_t>(result = ioctl(fd, _IOR(kNsio, request, int), argument));
      break;
    default: break;
    }
  }
  if (result < 0) throw system_error(env, __NR_ioctl, errno);
  return Napi::BigInt::New(env, value);
}

}  // namespace cofferdam
