// The one kind of error that the addon throws.
#pragma once

#include <napi.h>

namespace cofferdam {

// The caller in TypeScript turns the two numbers into a typed error.
Napi::Error system_error(Napi::Env env, uint32_t nr, long error);

}  // namespace cofferdam
