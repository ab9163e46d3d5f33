// What the kernel says of a namespace by a descriptor of it.
#pragma once

#include <napi.h>

namespace cofferdam {

// namespaceQuery(fd, request, argument): a bigint
Napi::Value namespace_query(const Napi::CallbackInfo& info);

}  // namespace cofferdam
