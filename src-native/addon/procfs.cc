#include "procfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

namespace cofferdam {

void read_proc(int pid, const char* name, char* text, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  ssize_t length = -1;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    length = read(fd, text, size - 1);
    close(fd);
  }
  text[length < 0 ? 0 : length] = 0;
}

bool read_stat(int pid, int field, unsigned long long* value) {
  char text[1024];
  read_proc(pid, "stat", text, sizeof text);
  // Field 2, the name, may hold anything; the last ')' ends it.
  const char* at = strrchr(text, ')');
  for (int before = 2; at != nullptr && before < field; before++) at = strchr(at + 1, ' ');
  if (at == nullptr) return false;
  char* end;
  *value = strtoull(at + 1, &end, 10);
  return end != at + 1;
}

}  // namespace cofferdam
