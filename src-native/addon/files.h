// Lists of small file operations, as control groups take them.
#pragma once

#include <napi.h>

namespace cofferdam {

// files(operations): carries them out in their order, on another thread, up to the
// first that fails in a way it does not tolerate; a promise of what came of each
Napi::Value files(const Napi::CallbackInfo& info);

// filesNow(operations): the same on this thread, and what came of them at once
Napi::Value files_now(const Napi::CallbackInfo& info);

}  // namespace cofferdam
