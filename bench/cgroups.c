/*
 * The system calls of a group's life, without anything around them. For each byte of its
 * input it carries out the lines of a file that begin with that letter, and prints how many
 * microseconds they took: "c mkdir PATH", "c write PATH VALUE", "d rmdir PATH".
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct line {
  char which, what[8], path[512], value[64];
};

static int carry_out(const struct line *line) {
  if (strcmp(line->what, "mkdir") == 0) return mkdir(line->path, 0755);
  if (strcmp(line->what, "rmdir") == 0) return rmdir(line->path);
  int fd = open(line->path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t written = write(fd, line->value, strlen(line->value));
  close(fd);
  return written < 0 ? -1 : 0;
}

int main(int argc, char **argv) {
  static struct line lines[256];
  int count = 0;
  FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
  if (file == NULL) return 2;
  while (count < 256) {
    struct line *line = &lines[count];
    line->value[0] = 0;
    if (fscanf(file, " %c %7s %511s", &line->which, line->what, line->path) != 3) break;
    if (strcmp(line->what, "write") == 0) {
      getc(file);
      if (fgets(line->value, sizeof line->value, file) == NULL) return 2;
      line->value[strcspn(line->value, "\n")] = 0;
    }
    count++;
  }
  fclose(file);
  char byte;
  while (read(0, &byte, 1) == 1) {
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < count; i++)
      if (lines[i].which == byte && carry_out(&lines[i]) != 0) {
        perror(lines[i].path);
        return 1;
      }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.1f\n", (end.tv_sec - begin.tv_sec) * 1e6 + (end.tv_nsec - begin.tv_nsec) / 1e3);
    fflush(stdout);
  }
  return 0;
}
