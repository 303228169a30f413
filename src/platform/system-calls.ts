/**
 * The one module that loads koffi, and the one replaceable seam for system calls.
 *
 * Every wrapper calls through the mutable object `sys`, so a test injects a fault by replacing a member. Members have the C functions'
 * names, argument order and results (-1 on failure, then `sys.errno()`); nothing here throws for a failed call.
 *
 * koffi is loaded at the first call and not before: importing works on every platform. A member starts as a loader that puts the native
 * function in its own place, so afterwards `sys.recv` *is* koffi's function and a call costs 0.15-0.3 µs with nothing of ours around it.
 *
 * Depends on koffi (optional binary packages, no install script).
 */
import { createRequire } from "node:module";
import type * as koffi from "koffi";

/** Bytes for a call that reads or fills memory before it returns. Any view will do, by its own offset and length. */
export type Bytes = Uint8Array;

/** A pointer as koffi has it. */
export type Pointer = bigint;

/** Memory that the garbage collector never moves or frees; see `allocNative`. */
export interface NativeMemory {
  /** The memory as bytes. Unusable after `free()`. */
  readonly bytes: Buffer;
  /** Its address, for a call. */
  readonly pointer: Pointer;
  /** Gives the memory back; idempotent. Never while a call in another thread uses it. */
  free(): void;
}

/** The functions of the C library, by their prototypes. `long` stands for ssize_t, which koffi does not know. */
const PROTOTYPES = {
  epoll_create1: "int epoll_create1(int flags)",
  epoll_ctl: "int epoll_ctl(int epfd, int op, int fd, void *event)",
  epoll_wait: "int epoll_wait(int epfd, void *events, int maxevents, int timeout)",
  eventfd: "int eventfd(unsigned int initval, int flags)",
  poll: "int poll(void *fds, unsigned long nfds, int timeout)",
  read: "long read(int fd, void *buf, size_t count)",
  write: "long write(int fd, const void *buf, size_t count)",
  writev: "long writev(int fd, const void *iov, int iovcnt)",
  close: "int close(int fd)",
  // Variadic in C. On x64 and arm64 Linux an int is passed the same way either way.
  fcntl: "int fcntl(int fd, int cmd, int arg)",
  pipe2: "int pipe2(void *pipefd, int flags)",
  dup: "int dup(int oldfd)",
  socket: "int socket(int domain, int type, int protocol)",
  socketpair: "int socketpair(int domain, int type, int protocol, void *sv)",
  bind: "int bind(int sockfd, const void *addr, unsigned int addrlen)",
  listen: "int listen(int sockfd, int backlog)",
  accept4: "int accept4(int sockfd, void *addr, void *addrlen, int flags)",
  connect: "int connect(int sockfd, const void *addr, unsigned int addrlen)",
  getsockname: "int getsockname(int sockfd, void *addr, void *addrlen)",
  getpeername: "int getpeername(int sockfd, void *addr, void *addrlen)",
  getsockopt: "int getsockopt(int sockfd, int level, int optname, void *optval, void *optlen)",
  setsockopt: "int setsockopt(int sockfd, int level, int optname, const void *optval, unsigned int optlen)",
  send: "long send(int sockfd, const void *buf, size_t len, int flags)",
  sendto: "long sendto(int sockfd, const void *buf, size_t len, int flags, const void *addr, unsigned int addrlen)",
  sendmsg: "long sendmsg(int sockfd, const void *msg, int flags)",
  recv: "long recv(int sockfd, void *buf, size_t len, int flags)",
  recvfrom: "long recvfrom(int sockfd, void *buf, size_t len, int flags, void *addr, void *addrlen)",
  shutdown: "int shutdown(int sockfd, int how)",
  getaddrinfo: "int getaddrinfo(const char *node, const char *service, const void *hints, void *res)",
  freeaddrinfo: "void freeaddrinfo(void *res)",
  if_nametoindex: "unsigned int if_nametoindex(const char *ifname)",
} as const;

/**
 * The system calls, with the C names and argument order. Buffers are views of any `Uint8Array`, `null` where C takes NULL. A result of -1
 * means that `errno()` tells why.
 */
export interface SystemCalls {
  /** epoll_create1(2): a new epoll set. */
  epoll_create1(flags: number): number;
  /** epoll_ctl(2); `event` is a `struct epoll_event`, `null` for a removal. */
  epoll_ctl(epfd: number, op: number, fd: number, event: Bytes | null): number;
  /** epoll_wait(2); `timeout` in milliseconds. */
  epoll_wait(epfd: number, events: Bytes, maxevents: number, timeout: number): number;
  /** eventfd(2). */
  eventfd(initval: number, flags: number): number;
  /** poll(2); `fds` is an array of `struct pollfd`, `timeout` in milliseconds. */
  poll(fds: Bytes | null, nfds: number, timeout: number): number;
  /** read(2). */
  read(fd: number, buf: Bytes, count: number): number;
  /** write(2). */
  write(fd: number, buf: Bytes, count: number): number;
  /** writev(2); `iov` holds pointers that `address()` gave. */
  writev(fd: number, iov: Bytes, iovcnt: number): number;
  /** close(2). Never repeated after EINTR: on Linux the descriptor is gone either way. */
  close(fd: number): number;
  /** fcntl(2) with an integer argument. */
  fcntl(fd: number, cmd: number, arg: number): number;
  /** pipe2(2); `pipefd` takes two ints. */
  pipe2(pipefd: Bytes, flags: number): number;
  /** dup(2). */
  dup(oldfd: number): number;
  /** socket(2). */
  socket(domain: number, type: number, protocol: number): number;
  /** socketpair(2); `sv` takes two ints. */
  socketpair(domain: number, type: number, protocol: number, sv: Bytes): number;
  /** bind(2). */
  bind(sockfd: number, addr: Bytes, addrlen: number): number;
  /** listen(2). */
  listen(sockfd: number, backlog: number): number;
  /** accept4(2); `addrlen` is an int, in and out. */
  accept4(sockfd: number, addr: Bytes | null, addrlen: Bytes | null, flags: number): number;
  /** connect(2). */
  connect(sockfd: number, addr: Bytes, addrlen: number): number;
  /** getsockname(2). */
  getsockname(sockfd: number, addr: Bytes, addrlen: Bytes): number;
  /** getpeername(2). */
  getpeername(sockfd: number, addr: Bytes, addrlen: Bytes): number;
  /** getsockopt(2). */
  getsockopt(sockfd: number, level: number, optname: number, optval: Bytes, optlen: Bytes): number;
  /** setsockopt(2). */
  setsockopt(sockfd: number, level: number, optname: number, optval: Bytes, optlen: number): number;
  /** send(2). */
  send(sockfd: number, buf: Bytes, len: number, flags: number): number;
  /** sendto(2). */
  sendto(sockfd: number, buf: Bytes, len: number, flags: number, addr: Bytes, addrlen: number): number;
  /** sendmsg(2); `msg` is a `struct msghdr` with pointers that `address()` gave. */
  sendmsg(sockfd: number, msg: Bytes, flags: number): number;
  /** recv(2). */
  recv(sockfd: number, buf: Bytes, len: number, flags: number): number;
  /** recvfrom(2). */
  recvfrom(sockfd: number, buf: Bytes, len: number, flags: number, addr: Bytes, addrlen: Bytes): number;
  /** shutdown(2). */
  shutdown(sockfd: number, how: number): number;
  /** getaddrinfo(3): 0 or an EAI number; `res` takes a pointer to the list. Blocks. */
  getaddrinfo(node: string | null, service: string | null, hints: Bytes | null, res: Bytes): number;
  /** freeaddrinfo(3). */
  freeaddrinfo(res: Pointer): void;
  /** if_nametoindex(3): 0 when there is no such interface. */
  if_nametoindex(ifname: string): number;

  /** errno of the last call that answered -1. */
  errno(): number;
  /** The address of a view's first byte. It is good as long as the view is alive, within one synchronous stretch. */
  address(bytes: Bytes): Pointer;
  /** A copy of `length` bytes at `pointer`. */
  copyMemory(pointer: Pointer, length: number): Uint8Array;
  /** The NUL-terminated UTF-8 string at `pointer`. */
  copyString(pointer: Pointer): string;
  /**
   * Runs poll(2) in libuv's thread pool. `done` is called once, on the JavaScript thread, straight from libuv: no AsyncLocalStorage store,
   * and from Node 26.4 on no promise job runs after it, so it should do no more than schedule something. The memory must come from
   * `allocNative` and must not be freed before: the garbage collector knows nothing of a call in flight (a collected Buffer is written
   * to by the thread, and the process dies of it). The call keeps the process alive; a time-out of -1 would make `process.exit()` hang.
   */
  pollAsync(memory: NativeMemory, nfds: number, timeoutMs: number, done: (result: number, errno: number) => void): void;
}

/** koffi's module object. */
export type Koffi = typeof koffi;

let loaded: Koffi | undefined;

/**
 * koffi itself, loaded now if it was not, for the few who need more of it than a system call (`ssl`, the poll handle).
 *
 * @throws Error (code ERR_UNSUPPORTED_PLATFORM) where the library has no system calls
 */
export function loadKoffi(platform: string = process.platform, arch: string = process.arch): Koffi {
  assertSupported(platform, arch);
  // require, not import(): the first call that needs it cannot wait.
  loaded ??= createRequire(import.meta.url)("koffi") as Koffi;
  return loaded;
}

/** The platforms whose constants and structures are known here. */
const SUPPORTED = ["linux x64", "linux arm64"];

/**
 * Throws unless the library has system calls for this platform.
 *
 * @throws Error (code ERR_UNSUPPORTED_PLATFORM) naming the platform and what is supported
 */
export function assertSupported(platform: string = process.platform, arch: string = process.arch): void {
  if (SUPPORTED.includes(`${platform} ${arch}`)) return;
  const message = `System calls are not available on ${platform} ${arch}: ioloop runs on ${SUPPORTED.join(" and ")} (glibc and musl)`;
  throw Object.assign(new Error(message), { code: "ERR_UNSUPPORTED_PLATFORM" });
}

let pollsInFlight = 0;

/** How many `pollAsync` calls have not reported yet. */
export function pendingPolls(): number {
  return pollsInFlight;
}

/** Declares a C function of this process (libc, libuv, OpenSSL: whatever Node exports) by its prototype. Loads koffi. */
export function nativeFunction<F extends (...args: never[]) => unknown>(prototype: string): F {
  return loadKoffi().load(null).func(prototype) as unknown as F;
}

/** The members for one platform, bound all at once by the first that is called. */
function bindAll(platform: string, arch: string): SystemCalls {
  const ffi = loadKoffi(platform, arch);
  const library = ffi.load(null);
  const calls = Object.fromEntries(Object.entries(PROTOTYPES).map(([name, prototype]) => [name, library.func(prototype)]));
  const poll = calls["poll"] as { async(...args: unknown[]): void };
  const extra: Pick<SystemCalls, Exclude<keyof SystemCalls, keyof typeof PROTOTYPES>> = {
    errno: () => ffi.errno(),
    address: (bytes) => ffi.address(bytes),
    copyMemory: (pointer, length) => ffi.decode(pointer, "uint8_t", length) as Uint8Array,
    copyString: (pointer) => ffi.decode.string(pointer),
    pollAsync(memory, nfds, timeoutMs, done) {
      poll.async(memory.pointer, nfds, timeoutMs, (error: unknown, result: number) => {
        pollsInFlight--;
        if (error) done(-1, ffi.errno());
        else done(result, result === -1 ? ffi.errno() : 0);
      });
      pollsInFlight++;
    },
  };
  return { ...calls, ...extra } as unknown as SystemCalls;
}

/** The members that are no C functions of their own name. */
const EXTRA = ["errno", "address", "copyMemory", "copyString", "pollAsync"] as const;

/**
 * A seam for one platform, unbound until its first call.
 *
 * @internal exported so that a test can ask what happens on another platform
 */
export function createSystemCalls(platform: string = process.platform, arch: string = process.arch): SystemCalls {
  type Call = (...args: unknown[]) => unknown;
  const loaders = new Map<string, Call>();
  let native: Record<string, Call> | undefined;
  const bind = (): Record<string, Call> => {
    native ??= bindAll(platform, arch) as unknown as Record<string, Call>;
    // A member that a test has replaced stays replaced. When it puts the loader back, the loader's next call puts the native one there.
    for (const [name, loader] of loaders) if (members[name] === loader) Object.assign(members, { [name]: native[name] });
    return native;
  };
  for (const name of [...Object.keys(PROTOTYPES), ...EXTRA]) loaders.set(name, (...args) => bind()[name]?.(...args));
  // The spread matters: an object filled by computed names alone is a dictionary to V8, and each call would look its member up by hash.
  const members: Record<string, Call> = { ...Object.fromEntries(loaders) };
  return members as unknown as SystemCalls;
}

/** The seam. Call members on the object (`sys.recv(...)`), never through a copy: a copy does not see what a test has put there. */
export const sys: SystemCalls = createSystemCalls();
