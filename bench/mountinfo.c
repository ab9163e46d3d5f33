// What a C program pays to parse the file that it is given, a table of mounts:
// each field copied and decoded into a list. Once for each byte on standard
// input; prints microseconds.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct mount {
  unsigned id, parent, major, minor, shared, master, propagate_from;
  int unbindable;
  char *root, *mount_point, *options, *fs_type, *source, *super_options;
};

static char *decode(const char *from, const char *end) {
  char *text = malloc((size_t)(end - from) + 1), *to = text;
  while (from < end) {
    if (*from == '\\' && end - from > 3) {
      *to++ = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + from[3] - '0');
      from += 4;
    } else {
      *to++ = *from++;
    }
  }
  *to = 0;
  return text;
}

static char *field(char **at, char separator) {
  char *end = strchr(*at, separator);
  if (end == NULL) exit(3);
  char *text = decode(*at, end);
  *at = end + 1;
  return text;
}

static void parse(char *at, struct mount *mount) {
  memset(mount, 0, sizeof *mount);
  mount->id = (unsigned)strtoul(at, &at, 10);
  mount->parent = (unsigned)strtoul(at, &at, 10);
  mount->major = (unsigned)strtoul(at, &at, 10);
  mount->minor = (unsigned)strtoul(at + 1, &at, 10);
  at++;
  mount->root = field(&at, ' ');
  mount->mount_point = field(&at, ' ');
  mount->options = field(&at, ' ');
  for (; *at != '-'; at = strchr(at, ' ') + 1) {
    if (strncmp(at, "shared:", 7) == 0) mount->shared = (unsigned)strtoul(at + 7, NULL, 10);
    else if (strncmp(at, "master:", 7) == 0) mount->master = (unsigned)strtoul(at + 7, NULL, 10);
    else if (strncmp(at, "propagate_from:", 15) == 0)
      mount->propagate_from = (unsigned)strtoul(at + 15, NULL, 10);
    else if (strncmp(at, "unbindable ", 11) == 0) mount->unbindable = 1;
  }
  at += 2;
  mount->fs_type = field(&at, ' ');
  mount->source = field(&at, ' ');
  mount->super_options = field(&at, '\n');
}

static void release(struct mount *mount) {
  free(mount->root);
  free(mount->mount_point);
  free(mount->options);
  free(mount->fs_type);
  free(mount->source);
  free(mount->super_options);
}

int main(int argc, char **argv) {
  char byte;
  if (argc != 2) return 2;
  while (read(0, &byte, 1) == 1) {
    struct timespec begin, end;
    struct stat status;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0) return 3;
    char *text = malloc((size_t)status.st_size + 1);
    if (read(fd, text, (size_t)status.st_size) != status.st_size) return 3;
    text[status.st_size] = 0;
    close(fd);
    size_t room = 64, count = 0;
    struct mount *mounts = malloc(room * sizeof *mounts);
    for (char *line = text; *line != 0; line = strchr(line, '\n') + 1) {
      if (count == room) mounts = realloc(mounts, (room *= 2) * sizeof *mounts);
      parse(line, &mounts[count++]);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.1f\n", (end.tv_sec - begin.tv_sec) * 1e6 + (end.tv_nsec - begin.tv_nsec) / 1e3);
    fflush(stdout);
    for (size_t i = 0; i < count; i++) release(&mounts[i]);
    free(mounts);
    free(text);
  }
  return 0;
}
