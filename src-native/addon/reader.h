// Many small files of the kernel's, read by one call on a thread of libuv's pool.
#pragma once

#include <napi.h>

namespace cofferdam {

// readFiles(folders, kinds, names, descriptors | null, most):
// Promise of [bytes, sizes, descriptors | null]
Napi::Value read_files(const Napi::CallbackInfo& info);

}  // namespace cofferdam
