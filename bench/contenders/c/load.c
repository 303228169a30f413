/*
 * The load of `npm run bench`, on epoll and as few system calls as there can be.
 *
 *     load MODE PORT [NAME=NUMBER ...]
 *
 *     echo    connections= connections that each have depth= lines of 64 bytes under way and send as many lines as answers came
 *     churn   connections= at a time: connect, send a line, wait until it has come back, close
 *     sink    asks on each of connections= connections for its share of bytes= and reads it
 *     source  sends on each of connections= connections its share of bytes=, ends it, and waits for the other side's end
 *     hold    for each line on its standard input opens connections= more connections and prints `held`; closes all when the input ends
 *
 * Prints `measuring` after warmup= milliseconds (sink, source: after the first warmup= bytes), then measures for ms= milliseconds (or to the end of
 * the bytes) and prints one line of JSON: items (answers, connections, bytes), seconds, the share of its core that it used meanwhile, and for echo and
 * churn the quantiles of latency in microseconds. A wrong answer, a lost connection or nothing at all for ten seconds is a failure.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 64, READY = 512, DEEPEST = 64, SILENCE_MS = 10000, CHUNK = 1 << 20 };

static _Noreturn void fail(const char *message, ...) {
  va_list list;
  va_start(list, message);
  vfprintf(stderr, message, list);
  fprintf(stderr, errno ? ": %s\n" : "\n", strerror(errno));
  exit(1);
}

/* ---- Options: NAME=NUMBER ---- */

static int option_count;
static char **option_list;

static double option(const char *name, double otherwise) {
  size_t length = strlen(name);
  for (int i = 0; i < option_count; i++)
    if (!strncmp(option_list[i], name, length) && option_list[i][length] == '=') return atof(option_list[i] + length + 1);
  return otherwise;
}

/* ---- Clock, CPU time, histogram ---- */

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int64_t cpu_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* Nanoseconds in buckets that are 1/32 of a power of two wide: a quantile is told within 3%. */
enum { STEPS = 32, STEP_BITS = 5 };
static long histogram[64 * STEPS];

static void record(int64_t nanoseconds) {
  uint64_t n = nanoseconds < STEPS ? STEPS : (uint64_t)nanoseconds;
  int power = 63 - __builtin_clzll(n);
  histogram[power * STEPS + ((n >> (power - STEP_BITS)) & (STEPS - 1))]++;
}

static double quantile(double share) {
  long total = 0, seen = 0;
  for (size_t i = 0; i < sizeof histogram / sizeof *histogram; i++) total += histogram[i];
  for (size_t i = 0; i < sizeof histogram / sizeof *histogram; i++) {
    seen += histogram[i];
    if (total && seen >= share * total) {
      int power = i / STEPS;
      return (double)((STEPS + i % STEPS + 0.5) * ((uint64_t)1 << (power - STEP_BITS))) / 1e3;
    }
  }
  return 0;
}

static int64_t begun, begun_cpu;

static void begin_measuring(void) {
  memset(histogram, 0, sizeof histogram);
  printf("measuring\n");
  fflush(stdout);
  begun = now();
  begun_cpu = cpu_time();
}

static void report(double items, int with_latency) {
  double seconds = (now() - begun) / 1e9, cpu = (cpu_time() - begun_cpu) / 1e9;
  printf("{\"items\":%.0f,\"seconds\":%.6f,\"loadCpu\":%.4f", items, seconds, cpu / seconds);
  if (with_latency) {
    printf(",\"latency\":{\"p50\":%.2f,\"p99\":%.2f,\"p999\":%.2f}", quantile(0.5), quantile(0.99), quantile(0.999));
  }
  printf("}\n");
  fflush(stdout);
  /* The suite now reads the server's CPU time: what the end of thousands of connections costs there must come later. */
  usleep(20000);
}

/* ---- Connections ---- */

/* What is under way on a connection. The times of lines that were sent and not answered stand in a ring. */
struct connection {
  int fd, got, first, waiting;
  int64_t sent[DEEPEST];
  double left;
};

static struct sockaddr_in server = {.sin_family = AF_INET};
static int set;
static int one = 1;
static char line[LINE * DEEPEST];
static char buffer[1 << 16], chunk[CHUNK];

/*
 * A client's address is one of 127.0.1.1 to 127.0.1.250, in turns: a single one would run out of ports, for one that has been closed here rests
 * in TIME-WAIT.
 */
static int open_socket(int flags) {
  static int turn;
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000101 + turn++ % 250)};
  int fd = socket(AF_INET, SOCK_STREAM | flags, 0);
  if (fd < 0) fail("socket");
  if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one)) fail("IP_BIND_ADDRESS_NO_PORT");
  if (bind(fd, (struct sockaddr *)&own, sizeof own)) fail("bind");
  return fd;
}

static struct connection *open_connections(int count) {
  struct connection *all = calloc(count, sizeof *all);
  for (int i = 0; i < count; i++) {
    int fd = all[i].fd = open_socket(0);
    if (connect(fd, (struct sockaddr *)&server, sizeof server)) fail("connect");
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)) fail("TCP_NODELAY");
  }
  return all;
}

static void watch(struct connection *connection, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = connection};
  if (epoll_ctl(set, EPOLL_CTL_ADD, connection->fd, &event)) fail("epoll_ctl");
}

static int wait_ready(struct epoll_event *ready) {
  int count = epoll_wait(set, ready, READY, SILENCE_MS);
  if (count < 0) fail("epoll_wait");
  if (count == 0) errno = 0, fail("Nothing happened for %d ms", SILENCE_MS);
  return count;
}

static void send_lines(struct connection *connection, int count, int64_t time) {
  for (int i = 0; i < count; i++) connection->sent[(connection->first + connection->waiting++) % DEEPEST] = time;
  /* What is under way on one connection is far less than a socket's buffer holds. */
  if (send(connection->fd, line, count * LINE, MSG_NOSIGNAL) != count * LINE) fail("send");
}

/* Receives what is there; how many whole answers that completes. */
static int receive_answers(struct connection *connection, int64_t *time) {
  ssize_t n = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return 0;
  if (n <= 0) fail("A connection was lost (recv: %zd)", n);
  for (ssize_t at = 0; at < n; at++) {
    /* Every byte is checked only at the ends of lines: the load must stay the cheaper side. */
    at += LINE - 1 - (connection->got + at) % LINE;
    if (at < n && buffer[at] != '\n') errno = 0, fail("A wrong answer");
  }
  connection->got += n;
  int answers = connection->got / LINE;
  connection->got %= LINE;
  if (answers > connection->waiting) errno = 0, fail("More answers than lines");
  *time = now();
  for (int i = 0; i < answers; i++) record(*time - connection->sent[(connection->first + i) % DEEPEST]);
  connection->first = (connection->first + answers) % DEEPEST;
  connection->waiting -= answers;
  return answers;
}

static void echo(int connections, int depth) {
  struct connection *all = open_connections(connections);
  for (int i = 0; i < connections; i++) {
    watch(&all[i], EPOLLIN);
    send_lines(&all[i], depth, now());
  }
  struct epoll_event ready[READY];
  long answers = 0;
  int64_t end = now() + (int64_t)(option("warmup", 1000) * 1e6), duration = option("ms", 1500) * 1e6;
  for (int measuring = 0;;) {
    int count = wait_ready(ready);
    int64_t time = 0;
    for (int i = 0; i < count; i++) {
      struct connection *connection = ready[i].data.ptr;
      int more = receive_answers(connection, &time);
      if (more == 0) continue;
      answers += more;
      send_lines(connection, more, time);
    }
    if (time < end) continue;
    if (measuring) break;
    measuring = 1;
    begin_measuring();
    answers = 0;
    end = now() + duration;
  }
  report(answers, 1);
}

static void reconnect(struct connection *connection) {
  memset(connection, 0, sizeof *connection);
  connection->fd = open_socket(SOCK_NONBLOCK);
  connection->sent[0] = now();
  if (connect(connection->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) fail("connect");
  watch(connection, EPOLLOUT);
}

static void churn(int connections) {
  struct connection *all = calloc(connections, sizeof *all);
  for (int i = 0; i < connections; i++) reconnect(&all[i]);
  struct epoll_event ready[READY];
  long done = 0;
  int64_t end = now() + (int64_t)(option("warmup", 1000) * 1e6), duration = option("ms", 1500) * 1e6;
  for (int measuring = 0;;) {
    int count = wait_ready(ready);
    for (int i = 0; i < count; i++) {
      struct connection *connection = ready[i].data.ptr;
      if (connection->waiting == 0) {
        /* Connected. The latency counts from `connect`. */
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        send_lines(connection, 1, connection->sent[0]);
        if (epoll_ctl(set, EPOLL_CTL_MOD, connection->fd, &event)) fail("epoll_ctl");
        continue;
      }
      int64_t time;
      if (receive_answers(connection, &time) == 0) continue;
      close(connection->fd);
      done++;
      reconnect(connection);
    }
    if (now() < end) continue;
    if (measuring) break;
    measuring = 1;
    begin_measuring();
    done = 0;
    end = now() + duration;
  }
  report(done, 1);
}

/* Measuring starts when `warm` bytes have gone over all connections. */
static void count_bytes(double *total, double n, double warm, double *before) {
  *total += n;
  if (begun || *total < warm) return;
  *before = *total;
  begin_measuring();
}

static void sink(int connections) {
  struct connection *all = open_connections(connections);
  double warm = option("warmup", 0), share = (double)(int64_t)((option("bytes", 1e9) + warm) / connections), total = 0, before = 0;
  for (int i = 0; i < connections; i++) {
    int length = snprintf(buffer, sizeof buffer, "%.0f\n", share);
    watch(&all[i], EPOLLIN);
    all[i].left = share;
    if (send(all[i].fd, buffer, length, MSG_NOSIGNAL) != length) fail("send");
  }
  struct epoll_event ready[READY];
  for (int open = connections; open > 0;) {
    int count = wait_ready(ready);
    for (int i = 0; i < count; i++) {
      struct connection *connection = ready[i].data.ptr;
      /* tcp(7): MSG_TRUNC discards what was received without copying it. Without it the load would be dearer than what it measures. */
      ssize_t n = recv(connection->fd, NULL, 1 << 22, MSG_DONTWAIT | MSG_TRUNC);
      if (n < 0 && errno == EAGAIN) continue;
      if (n <= 0) fail("A connection was lost with %.0f bytes to come", connection->left);
      if ((connection->left -= n) < 0) errno = 0, fail("More bytes than were asked for");
      count_bytes(&total, n, warm, &before);
      if (connection->left > 0) continue;
      open--;
      if (epoll_ctl(set, EPOLL_CTL_DEL, connection->fd, NULL)) fail("epoll_ctl");
    }
  }
  report(total - before, 0);
}

static void source(int connections) {
  struct connection *all = open_connections(connections);
  double warm = option("warmup", 0), share = (double)(int64_t)((option("bytes", 1e9) + warm) / connections), total = 0, before = 0;
  for (int i = 0; i < connections; i++) {
    all[i].left = share;
    /* Sending must not wait: the others have their turn. */
    watch(&all[i], EPOLLOUT);
  }
  struct epoll_event ready[READY];
  for (int open = connections; open > 0;) {
    int count = wait_ready(ready);
    for (int i = 0; i < count; i++) {
      struct connection *connection = ready[i].data.ptr;
      if (connection->left > 0) {
        /*
         * As much as the kernel takes at once. sendfile(2) from memory copies nothing, but hands over single pages: with one stream that took twice the
         * load's CPU time, and more of the reader's (Linux 6.18).
         */
        size_t wanted = connection->left < CHUNK ? connection->left : CHUNK;
        ssize_t n = send(connection->fd, chunk, wanted, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) continue;
        if (n <= 0) fail("send");
        count_bytes(&total, n, warm, &before);
        if ((connection->left -= n) > 0) continue;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (shutdown(connection->fd, SHUT_WR) || epoll_ctl(set, EPOLL_CTL_MOD, connection->fd, &event)) fail("shutdown");
        continue;
      }
      ssize_t n = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
      if (n < 0 && errno == EAGAIN) continue;
      if (n != 0) fail("A connection did not end as it should (recv: %zd)", n);
      open--;
      close(connection->fd);
    }
  }
  report(total - before, 0);
}

static void hold(int connections) {
  while (fgets(buffer, sizeof buffer, stdin)) {
    open_connections(connections);
    printf("held\n");
    fflush(stdout);
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  option_count = argc - 3;
  option_list = argv + 3;
  server.sin_port = htons(atoi(argv[2]));
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int connections = option("connections", 50), depth = option("depth", 1);
  if (depth < 1 || depth > DEEPEST) return 2;
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if ((rlim_t)connections + 16 > limit.rlim_max) errno = 0, fail("%d connections need more descriptors than the limit of %lu", connections, (unsigned long)limit.rlim_max);
  memset(line, 'x', sizeof line);
  for (int i = LINE - 1; i < (int)sizeof line; i += LINE) line[i] = '\n';
  set = epoll_create1(0);
  errno = 0;
  if (!strcmp(argv[1], "echo")) echo(connections, depth);
  else if (!strcmp(argv[1], "churn")) churn(connections);
  else if (!strcmp(argv[1], "sink")) sink(connections);
  else if (!strcmp(argv[1], "source")) source(connections);
  else if (!strcmp(argv[1], "hold")) hold(connections);
  else return 2;
  return 0;
}
