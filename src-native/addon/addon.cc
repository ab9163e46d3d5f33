// JavaScript values to core calls, and nothing else. What each function takes
// and gives is declared in lib/base/native.ts, its only caller.
#include <errno.h>
#include <fcntl.h>
#include <napi.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <unordered_set>

#include "bpf.h"
#include "credentials.h"
#include "descriptors.h"
#include "environment.h"
#include "errors.h"
#include "files.h"
#include "init_image.h"
#include "namespaces.h"
#include "netlink.h"
#include "mounts.h"
#include "pidfd.h"
#include "reader.h"
#include "terminals.h"

namespace cofferdam {

Napi::Error system_error(Napi::Env env, uint32_t nr, long error) {
  Napi::Error result = Napi::Error::New(env, "system call failed");
  result.Set("nr", Napi::Number::New(env, nr));
  result.Set("errno", Napi::Number::New(env, static_cast<double>(error)));
  return result;
}

Environment* environment(Napi::Env env) {
  auto* existing = env.GetInstanceData<Environment*>();
  if (*existing == nullptr) {
    auto fresh = std::make_unique<Environment>(env);
    int error = fresh->open();
    if (error != 0) throw system_error(env, __NR_epoll_create1, error);
    *existing = fresh.release();
  }
  return *existing;
}

namespace {

// Shared by all environments, opened once, closed with the process.
struct Process {
  std::mutex mutex;
  int init_fd = -1;
  int null_fd = -1;
  int sealed = 0;
};

Process& process() {
  static Process* shared = new Process();
  return *shared;
}

void open_process(Napi::Env env) {
  std::lock_guard<std::mutex> lock(process().mutex);
  if (process().null_fd < 0) {
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0) throw system_error(env, __NR_openat, errno);
    // Above the descriptors that a child overwrites before its execve.
    process().null_fd = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    close(fd);
    if (process().null_fd < 0) throw system_error(env, __NR_fcntl, errno);
  }
  if (process().init_fd < 0) {
    long fd = cf_init_open(init_image, init_image_size, &process().sealed);
    if (fd < 0) throw system_error(env, __NR_memfd_create, -fd);
    process().init_fd = static_cast<int>(fd);
  }
}

Container* container_of(const Napi::CallbackInfo& info) {
  Container* container = environment(info.Env())->find(info[0].As<Napi::Number>().Uint32Value());
  if (container == nullptr || container->exited) throw system_error(info.Env(), 0, ESRCH);
  return container;
}

// init checks its own plan; only what runs in this process is checked in it.
PlanCopy copy_plan(const Napi::Value& value) {
  auto bytes = value.As<Napi::Uint8Array>();
  return PlanCopy(bytes.Data(), bytes.ByteLength());
}

// Fills in a plan's placeholders. `patches` has four numbers for each place:
// which text, whether the text or its length goes there, the offset, and how
// many bytes fit; see EncodedPlan in lib/plan/encode.ts.
void fill_plan(const PlanCopy& plan, const Napi::Value& texts_value,
               const Napi::Value& patches_value) {
  auto texts = texts_value.As<Napi::Array>();
  auto patches = patches_value.As<Napi::Uint32Array>();
  uint8_t* bytes = plan.bytes();
  for (size_t i = 0; i + 3 < patches.ElementLength(); i += 4) {
    const uint32_t* patch = patches.Data() + i;
    std::string text = texts.Get(patch[0]).As<Napi::String>().Utf8Value();
    uint64_t offset = patch[2];
    uint64_t needed = patch[1] == 0 ? patch[3] : sizeof(uint64_t);
    if (text.size() > patch[3] || needed > plan.size || offset > plan.size - needed)
      throw system_error(texts_value.Env(), 0, EINVAL);
    uint64_t length = text.size();
    if (patch[1] == 0) memcpy(bytes + offset, text.data(), text.size());
    else memcpy(bytes + offset, &length, sizeof length);
  }
}

// The same for a plan that runs in this process.
PlanCopy copy_host_plan(const Napi::Value& value, cf_side side, const Napi::Value& texts,
                        const Napi::Value& patches) {
  PlanCopy plan = copy_plan(value);
  if (!patches.IsEmpty()) fill_plan(plan, texts, patches);
  if (cf_check(plan.bytes(), plan.size, side) < 0)
    throw system_error(value.Env(), 0, EBADMSG);
  return plan;
}

// listen(listener)
void listen(const Napi::CallbackInfo& info) { environment(info.Env())->set_listener(info[0]); }

// create(cloneFlags, ahead | null, [hostPlan, texts, patches, into] | null, plan, texts,
// patches, target | 0, folder | -1, forks): id
Napi::Value create(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  open_process(env);
  auto job = std::make_unique<Job>();
  job->environment = environment(env);
  job->clone_flags = static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value());
  if (!info[1].IsNull()) job->ahead = copy_host_plan(info[1], CF_SIDE_MAKER, {}, {});
  if (info[2].IsArray()) {
    auto host = info[2].As<Napi::Array>();
    job->host_plan = copy_host_plan(host.Get(0u), CF_SIDE_HOST, host.Get(1u), host.Get(2u));
    job->into = host.Get(3u).As<Napi::Number>().Int32Value();
  }
  job->plan = copy_plan(info[3]);
  fill_plan(job->plan, info[4], info[5]);
  if (uint32_t id = info[6].As<Napi::Number>().Uint32Value(); id != 0) {
    Container* target = job->environment->find(id);
    if (target == nullptr || target->exited || target->pidfd < 0) throw system_error(env, 0, ESRCH);
    job->first = fcntl(target->pidfd, F_DUPFD_CLOEXEC, 10);
    if (job->first < 0) throw system_error(env, __NR_fcntl, errno);
  }
  int folder = info[7].As<Napi::Number>().Int32Value();
  if (folder >= 0) {
    job->first = fcntl(folder, F_DUPFD_CLOEXEC, 10);
    if (job->first < 0) throw system_error(env, __NR_fcntl, errno);
  }
  job->init_fd = process().init_fd;
  job->null_fd = process().null_fd;
  Container* container = job->environment->add();
  container->kept = folder >= 0;
  container->forks = info[8].As<Napi::Boolean>().Value();
  job->container = container;
  int error = Spawner::instance().submit(job.get());
  if (error != 0) {
    job->environment->remove(container);
    throw system_error(env, __NR_clone3, error);
  }
  job.release();
  return Napi::Number::New(env, container->id);
}

// adopt(pid, startTime, number): id of a process that may be another's child
Napi::Value adopt(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Container* container;
  auto number = static_cast<uint64_t>(info[2].As<Napi::Number>().Int64Value());
  auto start_time = static_cast<unsigned long long>(info[1].As<Napi::Number>().Int64Value());
  int error = environment(env)->adopt(info[0].As<Napi::Number>().Int32Value(), start_time, number,
                                      &container);
  if (error != 0) throw system_error(env, __NR_pidfd_open, error);
  return Napi::Number::New(env, container->id);
}

// processNumber(pid): see process_number()
Napi::Value number_of(const Napi::CallbackInfo& info) {
  int pidfd = static_cast<int>(syscall(__NR_pidfd_open, info[0].As<Napi::Number>().Int32Value(), 0));
  double number = static_cast<double>(process_number(pidfd));
  if (pidfd >= 0) close(pidfd);
  return Napi::Number::New(info.Env(), number);
}

// connect(id, folder): what start() sends goes to the init that listens there
void connect(const Napi::CallbackInfo& info) {
  Container* container = container_of(info);
  int error = environment(info.Env())->connect(container, info[1].As<Napi::Number>().Int32Value());
  if (error != 0) throw system_error(info.Env(), __NR_connect, error);
}

// hold(id, holds): whether a container, a terminal or a watch keeps the event loop alive
void hold(const Napi::CallbackInfo& info) {
  uint32_t id = info[0].As<Napi::Number>().Uint32Value();
  bool holds = info[1].As<Napi::Boolean>().Value();
  Container* container = environment(info.Env())->find(id);
  if (container != nullptr) environment(info.Env())->hold(container, holds);
  else environment(info.Env())->hold_watched(id, holds);
}

// proceed(id, fd): the answer to kWaiting and kMaking
void proceed(const Napi::CallbackInfo& info) {
  Container* container = container_of(info);
  int fd = info[1].As<Napi::Number>().Int32Value();
  cf_message message = {CF_MSG_CONTINUE, 0, 0, 0, 0, 0};
  long result = cf_send(container->channel, &message, sizeof message, &fd, fd >= 0 ? 1 : 0, MSG_DONTWAIT);
  if (result < 0) throw system_error(info.Env(), __NR_sendmsg, -result);
}

constexpr int kPipe = -1;
constexpr int kIgnore = -2;

// start(id, plan, texts, patches, streams, [uid, gid] | undefined): the host's ends
// of the pipes among the first three streams; the other ends belong to uid and gid
Napi::Value start(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Container* container = container_of(info);
  PlanCopy plan = copy_plan(info[1]);
  fill_plan(plan, info[2], info[3]);
  auto streams = info[4].As<Napi::Array>();
  unsigned count = streams.Length();
  if (count < 3 || count > CF_MAX_FDS) throw system_error(env, __NR_sendmsg, EMFILE);
  int send[CF_MAX_FDS], ours[3] = {-1, -1, -1}, theirs[3] = {-1, -1, -1};
  uint32_t nr = __NR_pipe2;
  long status = 0;

  for (unsigned i = 0; i < count && status == 0; i++) {
    send[i] = streams.Get(i).As<Napi::Number>().Int32Value();
    if (send[i] == kIgnore) send[i] = process().null_fd;
    if (send[i] != kPipe || i >= 3) continue;
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0) {
      status = -errno;
      break;
    }
    // One owner for both ends, since both are one file.
    if (info[5].IsArray()) {
      auto owner = info[5].As<Napi::Array>();
      if (fchown(pair[0], owner.Get(0u).As<Napi::Number>().Uint32Value(),
                 owner.Get(1u).As<Napi::Number>().Uint32Value()) < 0) {
        status = -errno;
        nr = __NR_fchown;
      }
    }
    ours[i] = pair[i == 0 ? 1 : 0];
    theirs[i] = send[i] = pair[i == 0 ? 0 : 1];
  }
  if (status == 0)
    status = cf_send_plan(container->channel, plan.bytes(), plan.size, send, count, &nr);
  if (status == 0) container->starting = true;
  for (int fd : theirs)
    if (fd >= 0) close(fd);
  if (status < 0) {
    for (int fd : ours)
      if (fd >= 0) close(fd);
    throw system_error(env, nr, -status);
  }
  auto result = Napi::Array::New(env, 3);
  for (uint32_t i = 0; i < 3; i++) {
    if (ours[i] >= 0) environment(env)->keep(ours[i]);
    result.Set(i, Napi::Number::New(env, ours[i]));
  }
  return result;
}

// signal(id, number); SIGKILL also reaches a process that is yet to be made.
void signal(const Napi::CallbackInfo& info) {
  Container* container = container_of(info);
  int number = info[1].As<Napi::Number>().Int32Value();
  if (number == SIGKILL) container->doomed = true;
  int pidfd = container->pidfd;
  if (pidfd < 0 && number == SIGKILL) return;
  if (pidfd < 0) throw system_error(info.Env(), 0, ESRCH);
  int error = number == SIGKILL ? environment(info.Env())->kill(container)
                                : send_signal(pidfd, number);
  if (error != 0) throw system_error(info.Env(), __NR_pidfd_send_signal, error);
}

// run(hostPlan): the descriptors in its slots, which are now the caller's
Napi::Value run(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  PlanCopy plan = copy_host_plan(info[0], CF_SIDE_HOST, {}, {});
  cf_fds fds = {};
  cf_message failure;
  if (cf_run_host(plan.bytes(), &fds, &failure) < 0)
    throw system_error(env, failure.nr, failure.error);
  auto result = Napi::Array::New(env, fds.count);
  for (uint32_t i = 0; i < fds.count; i++) {
    // A thread that is ended before it has taken them leaves none behind.
    environment(env)->keep(fds.fds[i]);
    result.Set(i, Napi::Number::New(env, fds.fds[i]));
  }
  return result;
}

// outlive(id): from now on it may outlive this process
void outlive(const Napi::CallbackInfo& info) { container_of(info)->parked = true; }

// claim(id): false when a container of this process has that name
Napi::Value claim(const Napi::CallbackInfo& info) {
  std::string id = info[0].As<Napi::String>().Utf8Value();
  std::lock_guard<std::mutex> lock(names_mutex);
  bool free = names.insert(id).second;
  if (free) environment(info.Env())->names.insert(id);
  return Napi::Boolean::New(info.Env(), free);
}

// unclaim(id)
void unclaim(const Napi::CallbackInfo& info) {
  std::string id = info[0].As<Napi::String>().Utf8Value();
  std::lock_guard<std::mutex> lock(names_mutex);
  names.erase(id);
  environment(info.Env())->names.erase(id);
}

// check(plan, host): does the core accept it?
Napi::Value check(const Napi::CallbackInfo& info) {
  PlanCopy plan = copy_plan(info[0]);
  auto side = info[1].As<Napi::Boolean>().Value() ? CF_SIDE_HOST : CF_SIDE_INIT;
  return Napi::Boolean::New(info.Env(), cf_check(plan.bytes(), plan.size, side) == 0);
}

// useInit(bytes): tests put a build of init in place that can be made to fail
void use_init(const Napi::CallbackInfo& info) {
  auto bytes = info[0].As<Napi::Uint8Array>();
  open_process(info.Env());
  int sealed;
  long fd = cf_init_open(bytes.Data(), bytes.ByteLength(), &sealed);
  if (fd < 0) throw system_error(info.Env(), __NR_memfd_create, -fd);
  std::lock_guard<std::mutex> lock(process().mutex);
  close(process().init_fd);
  process().init_fd = static_cast<int>(fd);
}

// facts(): what TypeScript has to know of this build and this machine
Napi::Value facts(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  open_process(env);
  auto syscalls = Napi::Object::New(env);
#define X(name) syscalls.Set(#name, Napi::Number::New(env, __NR_##name));
  CF_SYSCALL_NAMES(X)
#undef X
  auto result = Napi::Object::New(env);
  result.Set("syscalls", syscalls);
  result.Set("initSize", Napi::Number::New(env, static_cast<double>(init_image_size)));
  result.Set("initSealed", Napi::Boolean::New(env, process().sealed != 0));
  return result;
}

Napi::Object load(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData<Environment*>(new Environment*(nullptr));
  const std::pair<const char*, napi_value> functions[] = {
      {"listen", Napi::Function::New(env, listen)},   {"create", Napi::Function::New(env, create)},
      {"proceed", Napi::Function::New(env, proceed)}, {"start", Napi::Function::New(env, start)},
      {"run", Napi::Function::New(env, run)},
      {"keep", Napi::Function::New(env, keep)},
      {"take", Napi::Function::New(env, take)},
      {"close", Napi::Function::New(env, close_descriptor)},
      {"hasChanged", Napi::Function::New(env, has_changed)},
      {"files", Napi::Function::New(env, files)},
      {"netlinkExchange", Napi::Function::New(env, netlink_exchange)},
      {"netlinkReceive", Napi::Function::New(env, netlink_receive)},
      {"filesNow", Napi::Function::New(env, files_now)},
      {"drain", Napi::Function::New(env, drain)},
      {"adopt", Napi::Function::New(env, adopt)},
      {"processNumber", Napi::Function::New(env, number_of)},
      {"connect", Napi::Function::New(env, connect)},
      {"hold", Napi::Function::New(env, hold)},
      {"lock", Napi::Function::New(env, lock)},
      {"namespaceQuery", Napi::Function::New(env, namespace_query)},
      {"outlive", Napi::Function::New(env, outlive)},
      {"pipe", Napi::Function::New(env, pipe)},
      {"dial", Napi::Function::New(env, dial)},
      {"send", Napi::Function::New(env, send_packet)},
      {"receive", Napi::Function::New(env, receive_packet)},
      {"openTerminal", Napi::Function::New(env, open_terminal)},
      {"readTerminal", Napi::Function::New(env, read_terminal)},
      {"writeTerminal", Napi::Function::New(env, write_terminal)},
      {"resizeTerminal", Napi::Function::New(env, resize_terminal)},
      {"watch", Napi::Function::New(env, watch)},
      {"unwatch", Napi::Function::New(env, unwatch)},
      {"closeTerminal", Napi::Function::New(env, close_terminal)},
      {"securebits", Napi::Function::New(env, securebits)},
      {"inBounding", Napi::Function::New(env, in_bounding)},
      {"getXattr", Napi::Function::New(env, get_xattr)},
      {"setXattr", Napi::Function::New(env, set_xattr)},
      {"removeXattr", Napi::Function::New(env, remove_xattr)},
      {"statmount", Napi::Function::New(env, statmount)},
      {"listmount", Napi::Function::New(env, listmount)},
      {"mountNumber", Napi::Function::New(env, mount_number)},
      {"readFiles", Napi::Function::New(env, read_files)},
      {"bpfLoad", Napi::Function::New(env, bpf_load)},
      {"bpfAttach", Napi::Function::New(env, bpf_attach)},
      {"bpfDetach", Napi::Function::New(env, bpf_detach)},
      {"bpfQuery", Napi::Function::New(env, bpf_query)},
      {"bpfOpen", Napi::Function::New(env, bpf_open)},
      {"bpfInfo", Napi::Function::New(env, bpf_info)},
      {"claim", Napi::Function::New(env, claim)},     {"unclaim", Napi::Function::New(env, unclaim)},
      {"signal", Napi::Function::New(env, signal)},   {"check", Napi::Function::New(env, check)},
      {"useInit", Napi::Function::New(env, use_init)}, {"facts", Napi::Function::New(env, facts)},
  };
  for (const auto& [name, function] : functions) exports.Set(name, Napi::Value(env, function));
  return exports;
}

}  // namespace
}  // namespace cofferdam

static Napi::Object Init(Napi::Env env, Napi::Object exports) { return cofferdam::load(env, exports); }

NODE_API_MODULE(cofferdam, Init)
