// What the kernel says of a process in /proc.
#pragma once

#include <stddef.h>

namespace cofferdam {

// A file of the process's folder as text; empty when there is none.
void read_proc(int pid, const char* name, char* text, size_t size);

// A number of /proc/PID/stat, by its place in proc_pid_stat(5), from 4 on.
bool read_stat(int pid, int field, unsigned long long* value);

constexpr int kStatFlags = 9;
constexpr int kStatStartTime = 22;  // in clock ticks since boot

}  // namespace cofferdam
