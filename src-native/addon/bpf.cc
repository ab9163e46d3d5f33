#include "bpf.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "errors.h"

namespace cofferdam {
namespace {

// linux/bpf.h; written out since the headers of the build machine may be older.
enum { kLoad = 5, kAttach = 8, kDetach = 9, kOpenById = 13, kInfo = 15, kQuery = 16 };
constexpr uint32_t kProgramType = 15;  // BPF_PROG_TYPE_CGROUP_DEVICE
constexpr uint32_t kAttachType = 6;    // BPF_CGROUP_DEVICE
constexpr uint32_t kAllowMulti = 2;    // BPF_F_ALLOW_MULTI
constexpr uint32_t kReplace = 4;       // BPF_F_REPLACE
constexpr size_t kInstruction = 8;
constexpr size_t kNameLength = 16;  // BPF_OBJ_NAME_LEN
constexpr uint32_t kMostPrograms = 64;  // BPF_CGROUP_MAX_PROGS

struct LoadAttributes {
  uint32_t type, count;
  uint64_t instructions, license;
  uint32_t log_level, log_size;
  uint64_t log;
  uint32_t kernel_version, flags;
  char name[kNameLength];
  uint32_t interface, attach_type;
};

struct AttachAttributes {
  uint32_t group, program, type, flags, replaced;
};

struct QueryAttributes {
  uint32_t group, type, query_flags, attach_flags;
  uint64_t numbers;
  uint32_t count, padding;
  // Linux 6.17 writes the last of these however long it is told that this is.
  uint64_t attach_flags_of_each, links, attach_flags_of_links, revision;
};

struct InfoAttributes {
  uint32_t program, size;
  uint64_t info;
};

// The beginning of struct bpf_prog_info: older kernels know no more, newer ones do.
struct Info {
  uint32_t type, number;
  uint8_t tag[8];
  uint32_t machine_size, size;
  uint64_t machine_code, instructions;
  uint64_t load_time;
  uint32_t user, map_count;
  uint64_t maps;
  char name[kNameLength];
};

template <typename T>
long bpf(int command, T& attributes) {
  return syscall(__NR_bpf, command, &attributes, sizeof attributes);
}

int number(const Napi::Value& value) { return value.As<Napi::Number>().Int32Value(); }

uint64_t address(const void* at) { return reinterpret_cast<uintptr_t>(at); }

Napi::Error failed(const Napi::CallbackInfo& info) {
  return system_error(info.Env(), __NR_bpf, errno);
}

}  // namespace

Napi::Value bpf_load(const Napi::CallbackInfo& info) {
  auto instructions = info[0].As<Napi::Uint8Array>();
  std::string name = info[1].As<Napi::String>().Utf8Value();
  LoadAttributes attributes = {};
  attributes.type = kProgramType;
  attributes.count = static_cast<uint32_t>(instructions.ByteLength() / kInstruction);
  attributes.instructions = address(instructions.Data());
  attributes.license = address("Apache-2.0");
  attributes.attach_type = kAttachType;
  name.copy(attributes.name, kNameLength - 1);
  long fd;
  // EAGAIN: a signal came while the kernel looked it through.
  do fd = bpf(kLoad, attributes);
  while (fd < 0 && errno == EAGAIN);
  if (fd < 0) throw failed(info);
  return Napi::Number::New(info.Env(), static_cast<double>(fd));
}

void bpf_attach(const Napi::CallbackInfo& info) {
  AttachAttributes attributes = {};
  attributes.group = static_cast<uint32_t>(number(info[0]));
  attributes.program = static_cast<uint32_t>(number(info[1]));
  attributes.type = kAttachType;
  attributes.flags = kAllowMulti;
  if (int replaced = number(info[2]); replaced >= 0) {
    attributes.flags |= kReplace;
    attributes.replaced = static_cast<uint32_t>(replaced);
  }
  if (bpf(kAttach, attributes) < 0) throw failed(info);
}

void bpf_detach(const Napi::CallbackInfo& info) {
  AttachAttributes attributes = {};
  attributes.group = static_cast<uint32_t>(number(info[0]));
  attributes.program = static_cast<uint32_t>(number(info[1]));
  attributes.type = kAttachType;
  if (bpf(kDetach, attributes) < 0) throw failed(info);
}

Napi::Value bpf_query(const Napi::CallbackInfo& info) {
  uint32_t numbers[kMostPrograms] = {};
  QueryAttributes attributes = {};
  attributes.group = static_cast<uint32_t>(number(info[0]));
  attributes.type = kAttachType;
  attributes.numbers = address(numbers);
  attributes.count = kMostPrograms;
  if (bpf(kQuery, attributes) < 0) throw failed(info);
  auto result = Napi::Array::New(info.Env(), attributes.count);
  for (uint32_t i = 0; i < attributes.count; i++)
    result.Set(i, Napi::Number::New(info.Env(), numbers[i]));
  return result;
}

Napi::Value bpf_open(const Napi::CallbackInfo& info) {
  struct {
    uint32_t number, next, flags;
  } attributes = {info[0].As<Napi::Number>().Uint32Value(), 0, 0};
  long fd = bpf(kOpenById, attributes);
  if (fd < 0) throw failed(info);
  return Napi::Number::New(info.Env(), static_cast<double>(fd));
}

Napi::Value bpf_info(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Info known = {};
  InfoAttributes attributes = {static_cast<uint32_t>(number(info[0])), sizeof known,
                               address(&known)};
  if (bpf(kInfo, attributes) < 0) throw failed(info);
  // Once more, when it is known how many there are.
  std::vector<uint8_t> instructions(known.size);
  uint32_t size = known.size;
  known = {};
  known.size = size;
  known.instructions = address(instructions.data());
  attributes.size = sizeof known;
  if (bpf(kInfo, attributes) < 0) throw failed(info);
  if (known.size < size || known.instructions == 0) instructions.resize(0);  // not to be seen
  auto result = Napi::Array::New(env, 3);
  result.Set(0u, Napi::Number::New(env, known.number));
  result.Set(1u, Napi::String::New(env, known.name, strnlen(known.name, kNameLength)));
  result.Set(2u, Napi::Buffer<uint8_t>::Copy(env, instructions.data(), instructions.size()));
  return result;
}

}  // namespace cofferdam
