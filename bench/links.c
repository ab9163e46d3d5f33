/*
 * What a plain program does with rtnetlink. Works in the network namespace it is started in, once
 * for each byte of its input, and prints how many microseconds that took:
 *   c, d  makes and deletes COUNT pairs: one message a send(2), one answer a recv(2)
 *   C, D  the same, 32 messages a send(2)
 *   l     lists all devices, and looks at each attribute
 */
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TOGETHER 32
static int fd, count;
static unsigned number = 1;
static char answers[1 << 20];

static void add(char *message, unsigned short type, const void *data, size_t size) {
  struct nlmsghdr *header = (void *)message;
  struct rtattr *attribute = (void *)(message + NLMSG_ALIGN(header->nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = RTA_LENGTH(size);
  memcpy(RTA_DATA(attribute), data, size);
  header->nlmsg_len = NLMSG_ALIGN(header->nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

static char *open_nest(char *message, unsigned short type) {
  char *at = message + NLMSG_ALIGN(((struct nlmsghdr *)message)->nlmsg_len);
  add(message, type, "", 0);
  return at;
}

static void close_nest(char *message, char *at) {
  ((struct rtattr *)at)->rta_len = message + ((struct nlmsghdr *)message)->nlmsg_len - at;
}

static size_t make(char *message, int create, int i) {
  struct nlmsghdr *header = (void *)message;
  char name[16];
  memset(message, 0, 256);
  header->nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg));
  header->nlmsg_type = create ? RTM_NEWLINK : RTM_DELLINK;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | (create ? NLM_F_CREATE | NLM_F_EXCL : 0);
  header->nlmsg_seq = number++;
  int length = snprintf(name, sizeof name, "a%d", i) + 1;
  add(message, IFLA_IFNAME, name, length);
  if (create) {
    char *info = open_nest(message, IFLA_LINKINFO | NLA_F_NESTED);
    add(message, IFLA_INFO_KIND, "veth", 5);
    char *data = open_nest(message, IFLA_INFO_DATA | NLA_F_NESTED);
    char *peer = open_nest(message, VETH_INFO_PEER);
    header->nlmsg_len += sizeof(struct ifinfomsg);
    name[0] = 'b';
    add(message, IFLA_IFNAME, name, length);
    close_nest(message, peer);
    close_nest(message, data);
    close_nest(message, info);
  }
  return header->nlmsg_len;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void exchange(const char *messages, size_t size, int answered) {
  if (send(fd, messages, size, 0) < 0) fail("send");
  while (answered > 0) {
    ssize_t got = recv(fd, answers, sizeof answers, 0);
    if (got < 0) fail("recv");
    for (struct nlmsghdr *h = (void *)answers; NLMSG_OK(h, got); h = NLMSG_NEXT(h, got)) {
      if (h->nlmsg_type != NLMSG_ERROR || *(int *)NLMSG_DATA(h) != 0) fail("answer");
      answered--;
    }
  }
}

static void all(int create, int together) {
  static char messages[TOGETHER * 256];
  for (int i = 0; i < count;) {
    size_t size = 0;
    int now = 0;
    while (now < together && i < count) {
      size += NLMSG_ALIGN(make(messages + size, create, i++));
      now++;
    }
    exchange(messages, size, now);
  }
}

static unsigned long list(void) {
  struct { struct nlmsghdr h; struct ifinfomsg i; struct rtattr a; unsigned mask; } ask = {
      {sizeof ask, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, number++, 0}, {0}, {8, IFLA_EXT_MASK}, 8};
  unsigned long sum = 0;
  if (send(fd, &ask, sizeof ask, 0) < 0) fail("send");
  for (;;) {
    ssize_t got = recv(fd, answers, sizeof answers, 0);
    if (got < 0) fail("recv");
    for (struct nlmsghdr *h = (void *)answers; NLMSG_OK(h, got); h = NLMSG_NEXT(h, got)) {
      if (h->nlmsg_type == NLMSG_DONE) return sum;
      if (h->nlmsg_type == NLMSG_ERROR) fail("answer");
      struct rtattr *table[64] = {0};
      int left = IFLA_PAYLOAD(h);
      for (struct rtattr *a = IFLA_RTA(NLMSG_DATA(h)); RTA_OK(a, left); a = RTA_NEXT(a, left))
        if ((a->rta_type & NLA_TYPE_MASK) < 64) table[a->rta_type & NLA_TYPE_MASK] = a;
      for (int i = 0; i < 64; i++)
        if (table[i] != NULL) sum += *(unsigned char *)RTA_DATA(table[i]);
    }
  }
}

int main(int argc, char **argv) {
  count = argc > 1 ? atoi(argv[1]) : 1000;
  fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  int one = 1;
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
  setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one);
  char byte;
  volatile unsigned long sum = 0;
  while (read(0, &byte, 1) == 1) {
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (byte == 'l') sum += list();
    else all(byte == 'c' || byte == 'C', byte == 'c' || byte == 'd' ? 1 : TOGETHER);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.1f\n", (end.tv_sec - begin.tv_sec) * 1e6 + (end.tv_nsec - begin.tv_nsec) / 1e3);
    fflush(stdout);
  }
  return 0;
}
