#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "../core/syscall_names.h"
#include "errors.h"

namespace cofferdam {
namespace {

// linux/mount.h and linux/stat.h; written out since the headers of the build
// machine may be older.
struct MountRequest {
  uint32_t size;
  uint32_t spare;
  uint64_t id;
  uint64_t parameter;
  uint64_t name_space;
};
constexpr uint32_t kFirstSize = 24;  // MNT_ID_REQ_SIZE_VER0: without the namespace
constexpr uint64_t kReverse = 1;     // LISTMOUNT_REVERSE

constexpr size_t kLeast = 4096;
// More than any file system's options come to: those that don't fit a page of
// the kernel's are an error there already.
constexpr size_t kMost = 1 << 24;

constexpr unsigned kUniqueId = 0x4000;  // STATX_MNT_ID_UNIQUE
constexpr int kDontSync = 0x4000;       // AT_STATX_DONT_SYNC
struct Statx {
  uint32_t mask;
  uint32_t before[35];
  uint64_t mount_id;
  uint64_t after[13];
};
static_assert(sizeof(Statx) == 256, "as the kernel has it");

uint64_t bits(const Napi::Value& value) {
  bool lossless;
  return value.As<Napi::BigInt>().Uint64Value(&lossless);
}

MountRequest request(const Napi::CallbackInfo& info) {
  MountRequest result = {sizeof result, 0, bits(info[0]), 0, bits(info[1])};
  // Linux 6.8 to 6.10 know no namespaces but the own one.
  if (result.name_space == 0) result.size = kFirstSize;
  return result;
}

}  // namespace

Napi::Value statmount(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  MountRequest wanted = request(info);
  wanted.parameter = bits(info[2]);
  std::vector<uint64_t> room(kLeast / sizeof(uint64_t));
  for (;;) {
    size_t capacity = room.size() * sizeof(uint64_t);
    if (syscall(__NR_statmount, &wanted, room.data(), capacity, 0) == 0) {
      // Its first field is how much there is.
      uint32_t size;
      memcpy(&size, room.data(), sizeof size);
      return Napi::Buffer<char>::Copy(env, reinterpret_cast<char*>(room.data()),
                                      std::min<size_t>(size, capacity));
    }
    if (errno == EINTR) continue;
    if (errno != EOVERFLOW || capacity >= kMost) throw system_error(env, __NR_statmount, errno);
    room.assign(room.size() * 2, 0);
  }
}

Napi::Value listmount(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  MountRequest wanted = request(info);
  uint64_t flags = info[2].As<Napi::Boolean>().Value() ? kReverse : 0;
  std::vector<uint64_t> all;
  uint64_t some[512];
  for (;;) {
    long count = syscall(__NR_listmount, &wanted, some, std::size(some), flags);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw system_error(env, __NR_listmount, errno);
    all.insert(all.end(), some, some + count);
    if (count < static_cast<long>(std::size(some))) break;
    wanted.parameter = some[count - 1];  // the next ones come after this
  }
  auto result = Napi::BigUint64Array::New(env, all.size());
  std::copy(all.begin(), all.end(), result.Data());
  return result;
}

Napi::Value mount_number(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto path = info[0].As<Napi::Uint8Array>();
  std::string name(reinterpret_cast<const char*>(path.Data()), path.ByteLength());
  Statx status = {};
  if (syscall(__NR_statx, AT_FDCWD, name.c_str(), AT_NO_AUTOMOUNT | kDontSync, kUniqueId, &status) < 0)
    throw system_error(env, __NR_statx, errno);
  if ((status.mask & kUniqueId) == 0) throw system_error(env, __NR_statx, ENOSYS);
  return Napi::BigInt::New(env, status.mount_id);
}

}  // namespace cofferdam
