// What a C program pays to read the files that it is given a list of, one after the
// other: opened each time, or once and read from the beginning again ("keep"). Once for
// each byte on standard input; prints microseconds.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  static char line[4096], text[65536];
  char byte;
  if (argc < 2) return 2;
  int keep = argc > 2 && strcmp(argv[2], "keep") == 0;
  FILE *list = fopen(argv[1], "r");
  if (list == NULL) return 3;
  size_t count = 0, room = 1024;
  char **paths = malloc(room * sizeof *paths);
  while (fgets(line, sizeof line, list) != NULL) {
    line[strcspn(line, "\n")] = 0;
    if (count == room) paths = realloc(paths, (room *= 2) * sizeof *paths);
    paths[count++] = strdup(line);
  }
  fclose(list);
  int *fds = calloc(count, sizeof *fds);
  for (size_t i = 0; keep && i < count; i++) {
    fds[i] = open(paths[i], O_RDONLY | O_CLOEXEC);
    if (fds[i] < 0) return 4;
  }
  while (read(0, &byte, 1) == 1) {
    struct timespec begin, end;
    long bytes = 0;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (size_t i = 0; i < count; i++) {
      int fd = keep ? fds[i] : open(paths[i], O_RDONLY | O_CLOEXEC);
      if (fd < 0) return 4;
      bytes += pread(fd, text, sizeof text, 0);
      if (!keep) close(fd);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (bytes == 0) return 5;
    printf("%.1f\n", (end.tv_sec - begin.tv_sec) * 1e6 + (end.tv_nsec - begin.tv_nsec) / 1e3);
    fflush(stdout);
  }
  return 0;
}
