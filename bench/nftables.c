// Sends the bytes of a file as one message of nf_tables and reads what is answered, which of a
// batch that succeeds is nothing. Prints the milliseconds that it took, opening the socket among
// them. bench/nftables.bench.ts makes the files.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  FILE *file = fopen(argv[1], "rb");
  if (file == NULL) return 3;
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  rewind(file);
  char *bytes = malloc(size);
  if (fread(bytes, 1, size, file) != (size_t)size) return 4;

  double begin = now();
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  int room = size + 4096;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  if (send(fd, bytes, size, 0) != size) return 5;
  char answer[8192];
  ssize_t count = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
  double end = now();
  if (count >= 0 || errno != EAGAIN) {
    fprintf(stderr, "something was refused\n");
    return 6;
  }
  printf("%.3f\n", end - begin);
  return 0;
}
