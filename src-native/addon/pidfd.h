// What can be asked of a process by its pidfd, and done to it. pidfd_open(2)
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

namespace cofferdam {

// Whether there is nothing left of it but its exit status.
bool has_ended(int pidfd);
// The inode of a pidfd, which no other process of this boot has (pidfs, since
// Linux 6.9); 0 where there is none.
uint64_t process_number(int pidfd);
// 0, or an errno value. pidfd_send_signal(2)
int send_signal(int pidfd, int number);
// How a process ended: exit code or -1, signal or 0; and reaps it. Nothing while
// it can't be waited for: it has not ended, or somebody traces it.
std::optional<std::pair<int, int>> reap(int pidfd);

}  // namespace cofferdam
