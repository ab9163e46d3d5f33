// Programs that look at each access to a device, and the control groups that they are
// attached to. bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE
#pragma once

#include <napi.h>

namespace cofferdam {

// bpfLoad(instructions, name): a descriptor of the program
Napi::Value bpf_load(const Napi::CallbackInfo& info);
// bpfAttach(group, program, replaced | -1), bpfDetach(group, program): descriptors
void bpf_attach(const Napi::CallbackInfo& info);
void bpf_detach(const Napi::CallbackInfo& info);
// bpfQuery(group): numbers of the programs that are attached to it, not above
Napi::Value bpf_query(const Napi::CallbackInfo& info);
// bpfOpen(number): a descriptor of the program
Napi::Value bpf_open(const Napi::CallbackInfo& info);
// bpfInfo(program): [number, name, instructions]
Napi::Value bpf_info(const Napi::CallbackInfo& info);

}  // namespace cofferdam
