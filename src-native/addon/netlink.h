// Dialogues with the kernel over a netlink socket, netlink(7). What the messages say is
// written and read in TypeScript; here only their headers are looked at.
#pragma once

#include <napi.h>

namespace cofferdam {

// netlinkExchange(fd, bytes, kind, first, last, most): a promise of what came back
Napi::Value netlink_exchange(const Napi::CallbackInfo& info);
// netlinkReceive(fd, most): what is there, or null
Napi::Value netlink_receive(const Napi::CallbackInfo& info);

}  // namespace cofferdam
