// What a thread may do and what a file adds to it, as far as Node has no call
// for it: prctl(2), xattr(7).
#pragma once

#include <napi.h>

namespace cofferdam {

// securebits(): of the calling thread
Napi::Value securebits(const Napi::CallbackInfo& info);

// inBounding(capability): 1, 0, or -1 when the kernel knows no such capability
Napi::Value in_bounding(const Napi::CallbackInfo& info);

// getXattr(path, name): bytes | null
Napi::Value get_xattr(const Napi::CallbackInfo& info);

// setXattr(path, name, bytes)
void set_xattr(const Napi::CallbackInfo& info);

// removeXattr(path, name)
void remove_xattr(const Napi::CallbackInfo& info);

}  // namespace cofferdam
