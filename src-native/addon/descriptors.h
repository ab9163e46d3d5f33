// Descriptors of this program's: pipes, locks, and sockets that packets go through.
#pragma once

#include <napi.h>

namespace cofferdam {

// keep(fd): it goes with the environment, unless somebody has taken or closed it
void keep(const Napi::CallbackInfo& info);

// take(fd): somebody else owns it from now on, a stream object say
void take(const Napi::CallbackInfo& info);

// close(fd): for descriptors of ours; Node's closeSync warns of them in workers
void close_descriptor(const Napi::CallbackInfo& info);

// watch(fd): of a file of the kernel's that tells of changes, the watch's number and a
// descriptor of its own. What the caller has may be Node's, which must close it itself.
Napi::Value watch(const Napi::CallbackInfo& info);

// unwatch(number)
void unwatch(const Napi::CallbackInfo& info);

// drain(fd, most): what the pipe holds, if nobody can write to it any more and it
// is no more than so many bytes; the descriptor is closed then. Otherwise null,
// and nothing has been done.
Napi::Value drain(const Napi::CallbackInfo& info);

// lock(folder): whether nobody else has it; flock(2)
Napi::Value has_changed(const Napi::CallbackInfo& info);

Napi::Value lock(const Napi::CallbackInfo& info);

// pipe(): its two ends, to be taken or closed
Napi::Value pipe(const Napi::CallbackInfo& info);

// dial(folder, name): a connection to the socket in this folder
Napi::Value dial(const Napi::CallbackInfo& info);

// send(fd, bytes, descriptors): as one packet
void send_packet(const Napi::CallbackInfo& info);

// receive(fd, timeout): a packet's bytes and its descriptors, which are the
// caller's; null when none comes within so many milliseconds
Napi::Value receive_packet(const Napi::CallbackInfo& info);

}  // namespace cofferdam
