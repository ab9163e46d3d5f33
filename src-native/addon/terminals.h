// The host's side of terminals; pty(7).
#pragma once

#include <napi.h>

namespace cofferdam {

// openTerminal(fd): its number; the descriptor is the addon's from now on
Napi::Value open_terminal(const Napi::CallbackInfo& info);

// readTerminal(terminal): bytes, null when there are none yet, or none for ever
// as undefined
Napi::Value read_terminal(const Napi::CallbackInfo& info);

// writeTerminal(terminal, bytes): how many were taken, -1 when nobody reads any
// more
Napi::Value write_terminal(const Napi::CallbackInfo& info);

// resizeTerminal(terminal, rows, columns): TIOCSWINSZ, ioctl_tty(2)
void resize_terminal(const Napi::CallbackInfo& info);

// closeTerminal(terminal)
void close_terminal(const Napi::CallbackInfo& info);

}  // namespace cofferdam
