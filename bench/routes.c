// What a C program pays to have all routes of IPv4 given to it and to read them: each into a
// struct, with its addresses as text. Once for each byte on standard input; prints microseconds.
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct route {
  char destination[INET_ADDRSTRLEN + 3], gateway[INET_ADDRSTRLEN], source[INET_ADDRSTRLEN];
  unsigned device, table, priority, flags;
  unsigned char type, protocol, scope, tos;
};

static struct route *routes;
static size_t count, capacity;

static void text(const struct rtattr *attribute, char *to) {
  inet_ntop(AF_INET, RTA_DATA(attribute), to, INET_ADDRSTRLEN);
}

static unsigned number(const struct rtattr *attribute) {
  unsigned value;
  memcpy(&value, RTA_DATA(attribute), sizeof value);
  return value;
}

static void parse(const struct nlmsghdr *message) {
  if (count == capacity) {
    capacity = capacity ? capacity * 2 : 1024;
    routes = realloc(routes, capacity * sizeof *routes);
    if (routes == NULL) exit(3);
  }
  struct route *route = &routes[count++];
  memset(route, 0, sizeof *route);
  const struct rtmsg *head = NLMSG_DATA(message);
  route->type = head->rtm_type;
  route->protocol = head->rtm_protocol;
  route->scope = head->rtm_scope;
  route->tos = head->rtm_tos;
  route->flags = head->rtm_flags;
  route->table = head->rtm_table;
  strcpy(route->destination, "default");
  int left = (int)RTM_PAYLOAD(message);
  for (const struct rtattr *at = RTM_RTA(head); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
    switch (at->rta_type) {
      case RTA_DST:
        text(at, route->destination);
        sprintf(route->destination + strlen(route->destination), "/%u", head->rtm_dst_len);
        break;
      case RTA_GATEWAY: text(at, route->gateway); break;
      case RTA_PREFSRC: text(at, route->source); break;
      case RTA_OIF: route->device = number(at); break;
      case RTA_TABLE: route->table = number(at); break;
      case RTA_PRIORITY: route->priority = number(at); break;
    }
  }
}

static void dump(int fd) {
  static char bytes[1 << 20];
  struct { struct nlmsghdr head; struct rtmsg route; } request = {
      .head = {sizeof request, RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, 1, 0},
      .route = {.rtm_family = AF_INET}};
  if (send(fd, &request, sizeof request, 0) < 0) exit(4);
  for (;;) {
    ssize_t size = recv(fd, bytes, sizeof bytes, 0);
    if (size < 0) exit(5);
    unsigned left = (unsigned)size;
    for (struct nlmsghdr *at = (struct nlmsghdr *)bytes; NLMSG_OK(at, left);
         at = NLMSG_NEXT(at, left)) {
      if (at->nlmsg_type == NLMSG_DONE) return;
      if (at->nlmsg_type == NLMSG_ERROR) exit(6);
      parse(at);
    }
  }
}

int main(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return 2;
  char byte;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (read(0, &byte, 1) == 1) {
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    count = 0;
    dump(fd);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (count < 10000) return 7;
    printf("%.1f\n", (double)(end.tv_sec - begin.tv_sec) * 1e6 + (double)(end.tv_nsec - begin.tv_nsec) / 1e3);
  }
  return 0;
}
