#include "pidfd.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cofferdam {

namespace {

// ioctl_pidfd(2), since Linux 6.13; exit codes since 6.15. Declared here since
// the headers of the build machine may be older.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup_id;
  uint32_t ids[11];
  int32_t exit_code;
};
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);
constexpr uint64_t kPidfdInfoExit = 1 << 3;

constexpr long kPidFileSystem = 0x50494446;  // PID_FS_MAGIC

}  // namespace

bool has_ended(int pidfd) {
  pollfd poll_for = {pidfd, POLLIN, 0};
  return poll(&poll_for, 1, 0) > 0;
}

uint64_t process_number(int pidfd) {
  struct statfs file_system;
  struct stat status;
  bool has = pidfd >= 0 && fstatfs(pidfd, &file_system) == 0 &&
             file_system.f_type == kPidFileSystem && fstat(pidfd, &status) == 0;
  return has ? status.st_ino : 0;
}

int send_signal(int pidfd, int number) {
  return syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0) < 0 ? errno : 0;
}

std::optional<std::pair<int, int>> reap(int pidfd) {
  siginfo_t info = {};
  int result;
  do {
    result = waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info,
                    WEXITED | WNOHANG);
  } while (result < 0 && errno == EINTR);
  if (result == 0 && info.si_pid == 0) return std::nullopt;
  if (result == 0)
    return info.si_code == CLD_EXITED ? std::make_pair(info.si_status, 0)
                                      : std::make_pair(-1, info.si_status);
  // Somebody set SIGCHLD to be ignored, so that the kernel reaped the process
  // itself. Newer kernels still tell.
  PidfdInfo last = {};
  last.mask = kPidfdInfoExit;
  if (ioctl(pidfd, kPidfdGetInfo, &last) == 0 && (last.mask & kPidfdInfoExit) != 0) {
    if (WIFEXITED(last.exit_code)) return std::make_pair(WEXITSTATUS(last.exit_code), 0);
    return std::make_pair(-1, WTERMSIG(last.exit_code));
  }
  return std::make_pair(-1, 0);
}

}  // namespace cofferdam
