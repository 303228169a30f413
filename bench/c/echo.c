/*
 * A raw echo server on epoll, as few system calls as there can be: what the other servers of `npm run bench:echo` are compared with.
 * Prints its port, then serves until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int one = 1;
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) return 1;
  getsockname(listener, (struct sockaddr *)&address, &length);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  int set = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[256];
  epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
  static char buffer[65536];
  for (;;) {
    int count = epoll_wait(set, ready, 256, -1);
    for (int i = 0; i < count; i++) {
      int fd = ready[i].data.fd;
      if (fd == listener) {
        int connection;
        while ((connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
          setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          event.events = EPOLLIN;
          event.data.fd = connection;
          epoll_ctl(set, EPOLL_CTL_ADD, connection, &event);
        }
        continue;
      }
      ssize_t got = recv(fd, buffer, sizeof buffer, 0);
      if (got <= 0) close(fd);
      /* Lines are small and their sender waits for each: the kernel always has room. */
      else if (send(fd, buffer, got, MSG_NOSIGNAL) != got) abort();
    }
  }
}
