/*
 * Raw servers on epoll, as few system calls as there can be: what the others are measured against.
 *
 *     server MODE
 *
 *     echo      sends back what comes
 *     bulk-out  reads a line with a number and sends as many bytes
 *     bulk-in   reads until the end, then closes
 *
 * Prints its port, then serves until its standard input ends. To each line there it answers how many connections it has.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READY = 512, BACKLOG = 4096, BUFFER = 1 << 18, DESCRIPTORS = 1 << 17 };

static char buffer[BUFFER];
/* bulk-out: what is left to send, by descriptor. */
static long long left[DESCRIPTORS];
static int set, connections;

static void watch(int operation, int fd, unsigned events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(set, operation, fd, &event)) abort();
}

static void end(int fd) {
  close(fd);
  connections--;
}

static void echo(int fd) {
  ssize_t got = recv(fd, buffer, 65536, 0);
  if (got <= 0) end(fd);
  /* Lines are small and their sender waits for them: the kernel always has room. */
  else if (send(fd, buffer, got, MSG_NOSIGNAL) != got) abort();
}

static void bulk_in(int fd) {
  if (recv(fd, buffer, sizeof buffer, 0) <= 0) end(fd);
}

static void bulk_out(int fd) {
  if (left[fd] == 0) {
    char number[64];
    ssize_t got = recv(fd, number, sizeof number - 1, 0);
    if (got <= 0) {
      end(fd);
      return;
    }
    number[got] = 0;
    left[fd] = atoll(number);
    watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
    return;
  }
  ssize_t sent = send(fd, buffer, left[fd] < BUFFER ? left[fd] : BUFFER, MSG_NOSIGNAL);
  if (sent < 0) {
    left[fd] = 0;
    end(fd);
  } else if ((left[fd] -= sent) == 0) {
    watch(EPOLL_CTL_MOD, fd, EPOLLIN);
  }
}

static void accept_all(int listener) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    connections++;
  }
}

int main(int argc, char **argv) {
  void (*serve)(int) = NULL;
  if (argc == 2 && !strcmp(argv[1], "echo")) serve = echo;
  if (argc == 2 && !strcmp(argv[1], "bulk-out")) serve = bulk_out;
  if (argc == 2 && !strcmp(argv[1], "bulk-in")) serve = bulk_in;
  if (!serve) return 2;
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
  setrlimit(RLIMIT_NOFILE, &limit);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, BACKLOG)) return 1;
  getsockname(listener, (struct sockaddr *)&address, &length);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  set = epoll_create1(0);
  watch(EPOLL_CTL_ADD, listener, EPOLLIN);
  watch(EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN);
  struct epoll_event ready[READY];
  for (;;) {
    int count = epoll_wait(set, ready, READY, -1);
    for (int i = 0; i < count; i++) {
      int fd = ready[i].data.fd;
      if (fd == listener) {
        accept_all(listener);
      } else if (fd == STDIN_FILENO) {
        if (read(STDIN_FILENO, buffer, 256) <= 0) return 0;
        printf("%d\n", connections);
        fflush(stdout);
      } else {
        serve(fd);
      }
    }
  }
}
