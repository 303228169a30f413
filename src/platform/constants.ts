/**
 * Linux's numbers for x64 and arm64, which agree in everything here but the layout of `struct epoll_event`.
 *
 * Sources: the kernel's include/uapi (socket.h, in.h, tcp.h, eventpoll.h, poll.h, fcntl.h) and glibc's netdb.h. musl has the same values.
 * Depends on nothing: importing works on every platform, the numbers mean something on Linux alone.
 */

/** Any address family: for `getaddrinfo`. */
export const AF_UNSPEC = 0;
/** Unix domain sockets; addresses are paths or abstract names. */
export const AF_UNIX = 1;
/** IPv4. */
export const AF_INET = 2;
/** IPv6. */
export const AF_INET6 = 10;

/** A byte stream. */
export const SOCK_STREAM = 1;
/** Datagrams. */
export const SOCK_DGRAM = 2;
/** A sequence of packets with a connection (unix sockets). */
export const SOCK_SEQPACKET = 5;
/** Bit of `socket`, `socketpair`, `accept4`: non-blocking from the start. */
export const SOCK_NONBLOCK = 0x800;
/** Bit of `socket`, `socketpair`, `accept4`: close-on-exec from the start. */
export const SOCK_CLOEXEC = 0x80000;

/** The option level of the socket itself. */
export const SOL_SOCKET = 1;
/** Allow an address in TIME_WAIT to be bound. */
export const SO_REUSEADDR = 2;
/** The type of the socket, read-only. */
export const SO_TYPE = 3;
/** The pending error; reading clears it. */
export const SO_ERROR = 4;
/** Allow datagrams to a broadcast address. */
export const SO_BROADCAST = 6;
/** Size of the send buffer; the kernel doubles what is set. */
export const SO_SNDBUF = 7;
/** Size of the receive buffer; the kernel doubles what is set. */
export const SO_RCVBUF = 8;
/** Probe an idle connection. */
export const SO_KEEPALIVE = 9;
/** `struct linger`: two ints, on/off and seconds. */
export const SO_LINGER = 13;
/** Let several sockets share one port. */
export const SO_REUSEPORT = 15;
/** `struct ucred` of a unix peer: pid, uid, gid. */
export const SO_PEERCRED = 17;
/** 1 when the socket listens, read-only. */
export const SO_ACCEPTCONN = 30;
/** The protocol of the socket, read-only. */
export const SO_PROTOCOL = 38;
/** The address family of the socket, read-only. */
export const SO_DOMAIN = 39;

/** TCP: a protocol and an option level. */
export const IPPROTO_TCP = 6;
/** Send small segments at once (no Nagle). */
export const TCP_NODELAY = 1;
/** Hold partial segments back. */
export const TCP_CORK = 3;
/** Idle seconds before the first keepalive probe. */
export const TCP_KEEPIDLE = 4;
/** Seconds between keepalive probes. */
export const TCP_KEEPINTVL = 5;
/** Unanswered keepalive probes before the connection is dropped. */
export const TCP_KEEPCNT = 6;
/** Milliseconds that sent data may stay unacknowledged. */
export const TCP_USER_TIMEOUT = 18;
/** UDP: a protocol. */
export const IPPROTO_UDP = 17;
/** IPv6: an option level. */
export const IPPROTO_IPV6 = 41;
/** An IPv6 socket takes IPv6 only. */
export const IPV6_V6ONLY = 26;

/** Read without taking the data away. */
export const MSG_PEEK = 2;
/** Answer a datagram's real length. */
export const MSG_TRUNC = 0x20;
/** This call does not block. */
export const MSG_DONTWAIT = 0x40;
/** A broken connection raises no SIGPIPE. */
export const MSG_NOSIGNAL = 0x4000;
/** More is about to be sent: the kernel may wait for it before it sends the last, partial segment (send(2)). */
export const MSG_MORE = 0x8000;

/** `shutdown`: no more reading. */
export const SHUT_RD = 0;
/** `shutdown`: no more writing; the peer reads end of file. */
export const SHUT_WR = 1;
/** `shutdown`: neither. */
export const SHUT_RDWR = 2;

/** `getaddrinfo` without a host: wildcard addresses, for `bind`. */
export const AI_PASSIVE = 1;
/** `getaddrinfo`: the canonical name comes with the first result. */
export const AI_CANONNAME = 2;
/** `getaddrinfo`: the host must be a literal. */
export const AI_NUMERICHOST = 4;
/** `getaddrinfo`: IPv4 addresses in IPv6 form when there is no IPv6 one. */
export const AI_V4MAPPED = 8;
/** `getaddrinfo`: only families that this machine has an address of. */
export const AI_ADDRCONFIG = 0x20;
/** `getaddrinfo`: the service is a number. */
export const AI_NUMERICSERV = 0x400;

/** The largest backlog that `listen` takes by itself (the kernel's net.core.somaxconn since 5.4). */
export const SOMAXCONN = 4096;
/** The most buffers that one `sendmsg` or `writev` takes. */
export const IOV_MAX = 1024;

/** `fcntl`: read the descriptor's flags. */
export const F_GETFD = 1;
/** `fcntl`: set the descriptor's flags. */
export const F_SETFD = 2;
/** `fcntl`: read the open file's flags. */
export const F_GETFL = 3;
/** `fcntl`: set the open file's flags. */
export const F_SETFL = 4;
/** `fcntl`: duplicate with close-on-exec. */
export const F_DUPFD_CLOEXEC = 1030;
/** `fcntl`: set how many bytes a pipe holds. */
export const F_SETPIPE_SZ = 1031;
/** `fcntl`: read how many bytes a pipe holds. */
export const F_GETPIPE_SZ = 1032;
/** Descriptor flag: close on exec. */
export const FD_CLOEXEC = 1;
/** File flag: non-blocking. */
export const O_NONBLOCK = 0x800;
/** Flag of `open` and `pipe2`: close on exec. */
export const O_CLOEXEC = 0x80000;
/** Flag of `eventfd`: non-blocking. */
export const EFD_NONBLOCK = 0x800;
/** Flag of `eventfd`: close on exec. */
export const EFD_CLOEXEC = 0x80000;

/** `poll`: readable. */
export const POLLIN = 0x001;
/** `poll`: urgent data. */
export const POLLPRI = 0x002;
/** `poll`: writable. */
export const POLLOUT = 0x004;
/** `poll`: an error is pending; always reported. */
export const POLLERR = 0x008;
/** `poll`: hung up; always reported. */
export const POLLHUP = 0x010;
/** `poll`: the descriptor is not open; always reported. */
export const POLLNVAL = 0x020;
/** `poll`: the peer will send no more. */
export const POLLRDHUP = 0x2000;

/** `epoll`: readable. */
export const EPOLLIN = 0x001;
/** `epoll`: urgent data. */
export const EPOLLPRI = 0x002;
/** `epoll`: writable. */
export const EPOLLOUT = 0x004;
/** `epoll`: an error is pending; always reported. */
export const EPOLLERR = 0x008;
/** `epoll`: hung up; always reported. */
export const EPOLLHUP = 0x010;
/** `epoll`: the peer will send no more. */
export const EPOLLRDHUP = 0x2000;
/** `epoll`: wake one of several epoll sets. */
export const EPOLLEXCLUSIVE = 0x10000000;
/** `epoll`: disarm after one event. */
export const EPOLLONESHOT = 0x40000000;
/** `epoll`: edge-triggered (as a signed 32-bit number would be negative; this is the unsigned one). */
export const EPOLLET = 0x80000000;
/** Flag of `epoll_create1`: close on exec. */
export const EPOLL_CLOEXEC = 0x80000;
/** `epoll_ctl`: register. */
export const EPOLL_CTL_ADD = 1;
/** `epoll_ctl`: unregister. */
export const EPOLL_CTL_DEL = 2;
/** `epoll_ctl`: change the interest. */
export const EPOLL_CTL_MOD = 3;

/**
 * `struct epoll_event { uint32_t events; epoll_data_t data; }` is packed on x86-64 alone (EPOLL_PACKED in eventpoll.h): 12 bytes with the
 * 8 bytes of data at 4; elsewhere 16 bytes with data at 8. `events` is at 0 in both.
 */
export const EPOLL_EVENT_LAYOUT: { readonly size: number; readonly dataOffset: number } =
  process.arch === "x64" ? { size: 12, dataOffset: 4 } : { size: 16, dataOffset: 8 };

/** `struct pollfd { int fd; short events; short revents; }` in bytes. */
export const POLLFD_SIZE = 8;
/** Where `events` begins in a `struct pollfd`; `fd` is at 0. */
export const POLLFD_EVENTS_OFFSET = 4;
/** Where `revents` begins in a `struct pollfd`. */
export const POLLFD_REVENTS_OFFSET = 6;
