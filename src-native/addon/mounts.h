// Mounts by numbers that are never given twice; since Linux 6.8.
#pragma once

#include <napi.h>

namespace cofferdam {

// statmount(id, namespace, mask): struct statmount and the texts behind it
Napi::Value statmount(const Napi::CallbackInfo& info);

// listmount(parent, namespace, reverse): their numbers
Napi::Value listmount(const Napi::CallbackInfo& info);

// mountNumber(path): of the mount that a path is on
Napi::Value mount_number(const Napi::CallbackInfo& info);

}  // namespace cofferdam
