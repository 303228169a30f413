/*
 * The load of `npm run bench:echo`: connections that each send a line of 64 bytes, wait until it has come back, and send the next.
 *
 *     load PORT CONNECTIONS MILLISECONDS
 *
 * After a tenth of the time again as long to warm up, prints the answers per second. Reports an answer of the wrong length as an error.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 64 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int connections = atoi(argv[2]);
  double duration = atof(argv[3]);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int set = epoll_create1(0), one = 1;
  char line[LINE], buffer[4096];
  memset(line, 'x', LINE);
  line[LINE - 1] = '\n';
  int *got = calloc(65536, sizeof *got);
  for (int i = 0; i < connections; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) return perror("connect"), 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    if (send(fd, line, LINE, 0) != LINE) return perror("send"), 1;
  }
  double begin = now() + duration / 10, end = begin + duration, time = 0;
  long answers = 0;
  struct epoll_event ready[256];
  while ((time = now()) < end) {
    if (time < begin) answers = 0;
    int count = epoll_wait(set, ready, 256, 100);
    for (int i = 0; i < count; i++) {
      int fd = ready[i].data.fd;
      ssize_t n = recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0 || (got[fd] += n) > LINE) return fprintf(stderr, "A wrong answer\n"), 1;
      if (got[fd] < LINE) continue;
      got[fd] = 0;
      answers++;
      if (send(fd, line, LINE, MSG_NOSIGNAL) != LINE) return perror("send"), 1;
    }
  }
  printf("%.0f\n", answers / (time - begin) * 1e3);
  return 0;
}
