/**
 * `Socket`: a thin object over a real, non-blocking descriptor, in the shape of Python's `socket.socket`.
 *
 * Rules that hold for every method. Would-block is the value `undefined`, never an exception and never 0. Every other failure throws a
 * system error. Arguments are checked before the first system call. A closed socket answers EBADF without one, for its number may be
 * somebody else's by now. EINTR is retried by every call but close.
 *
 * Depends on the system-call seam, and calls through it each time.
 */
import { Buffer } from "node:buffer";
import { existsSync } from "node:fs";
import { addressDetails, encodeAddress } from "./addresses.js";
import { checkInt, checkInteger, describeValue } from "./arguments.js";
import {
  AF_INET,
  AF_UNIX,
  F_DUPFD_CLOEXEC,
  IOV_MAX,
  MSG_NOSIGNAL,
  SO_DOMAIN,
  SO_PROTOCOL,
  SO_TYPE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "./constants.js";
import { checkDescriptor, closeDescriptor, isInheritable, setInheritable, setNonblocking } from "./descriptors.js";
import { EAGAIN, EALREADY, EBADF, EINPROGRESS, EINTR, EISCONN, type SystemError, systemError } from "./errno.js";
import { type Address, decodeAddress, SOCKADDR_SIZE } from "./sockaddr.js";
import { sys } from "./system-calls.js";

/** What can be sent: any view of bytes, by its own offset and length, or a string, which is UTF-8. */
export type Data = Uint8Array | string;

/** Options of `new Socket()`. */
export interface SocketOptions {
  /** A descriptor to take over instead of opening one. */
  fileno?: number;
}

/** Whether the kernel has IPv6, so that an AF_INET6 socket can be made. (It need not have an address or a route.) */
export const hasIpv6: boolean = existsSync("/proc/net/if_inet6");

const TYPE_FLAGS = SOCK_NONBLOCK | SOCK_CLOEXEC;

/** The most bytes one call moves (MAX_RW_COUNT in the kernel's fs.h). */
const MAX_TRANSFER = 0x7ffff000;

/** Up to this size `recv` reads into one buffer that all sockets share, and copies what came. */
const SCRATCH_SIZE = 65536;

// One of each for the thread: filled and read within one synchronous call.
let scratch: Buffer | undefined;
const nameBytes = new Uint8Array(SOCKADDR_SIZE);
const nameLength = new Int32Array(1);
const nameLengthBytes = new Uint8Array(nameLength.buffer);

/** A descriptor whose family, type and flags are known, so that nobody has to ask the kernel. */
class KnownDescriptor implements SocketOptions {
  readonly fileno: number;

  constructor(fileno: number) {
    this.fileno = fileno;
  }
}

function closedError(syscall: string): SystemError {
  return systemError(EBADF, syscall, { reason: "the socket is closed" });
}

/** Repeats a call after a signal; answers a result that is no failure, or the errno as a negative number. */
function repeat(call: () => number): number {
  for (;;) {
    const result = call();
    if (result >= 0) return result;
    const errno = sys.errno();
    if (errno !== EINTR) return -errno;
  }
}

function checked(syscall: string, call: () => number): number {
  const result = repeat(call);
  if (result < 0) throw systemError(-result, syscall);
  return result;
}

function toBytes(data: Data): Uint8Array {
  if (typeof data === "string") return Buffer.from(data);
  if (!(data instanceof Uint8Array)) throw new TypeError(`Invalid data ${describeValue(data)}: use a string or a Uint8Array`);
  return data;
}

function integerOption(fd: number, name: number): number {
  const value = new Int32Array(1);
  const length = Int32Array.of(4);
  checked("getsockopt", () => sys.getsockopt(fd, SOL_SOCKET, name, new Uint8Array(value.buffer), new Uint8Array(length.buffer)));
  return value[0] ?? 0;
}

function checkTarget(buf: Uint8Array, nbytes: number | undefined): number {
  if (!(buf instanceof Uint8Array)) throw new TypeError(`Invalid buffer ${describeValue(buf)}: use a Uint8Array`);
  const room = buf.length;
  if (room === 0) throw new RangeError("Invalid buffer of 0 bytes to receive into: the answer 0 would look like end of file");
  if (nbytes === undefined) return room;
  checkInteger(nbytes, "nbytes", 1, room);
  return nbytes;
}

/** Where `recv(n)` reads to: the shared buffer, or one of its own for a large n. */
function receiveBuffer(n: number): Buffer {
  checkInteger(n, "number of bytes", 0, Number.MAX_SAFE_INTEGER);
  if (n > SCRATCH_SIZE) return Buffer.allocUnsafeSlow(Math.min(n, MAX_TRANSFER));
  scratch ??= Buffer.allocUnsafeSlow(SCRATCH_SIZE);
  return scratch;
}

/** What came, in memory that is the caller's own and exactly as long. */
function received(buffer: Buffer, count: number): Buffer {
  return buffer !== scratch && count === buffer.length ? buffer : Buffer.from(buffer.subarray(0, count));
}

// struct msghdr on 64-bit Linux, as seven words: name, its length, iov, how many, control, its length, flags.
const MSGHDR_IOV = 2;
const MSGHDR_IOVLEN = 3;
const messageHeader = new BigUint64Array(7);
const messageHeaderBytes = new Uint8Array(messageHeader.buffer);
const vector = new BigUint64Array(2 * IOV_MAX);
const vectorBytes = new Uint8Array(vector.buffer);
/** Holds the buffers whose addresses stand in `vector` while the kernel reads them: the collector knows nothing of those numbers. */
const pinned: { parts: readonly Uint8Array[] } = { parts: [] };

/** Fills the message header in for these buffers. */
function gather(parts: readonly Uint8Array[]): void {
  pinned.parts = parts;
  for (const [i, part] of parts.entries()) {
    vector[2 * i] = sys.address(part);
    vector[2 * i + 1] = BigInt(part.length);
  }
  messageHeader[MSGHDR_IOV] = sys.address(vectorBytes);
  messageHeader[MSGHDR_IOVLEN] = BigInt(parts.length);
}

/**
 * A real, non-blocking, close-on-exec socket. Python's `socket.socket`; nothing here waits, the loop does.
 *
 * It must be closed, by `close()` or `using`: a forgotten one stays open, for JavaScript does not count references.
 */
export class Socket implements Disposable {
  /** The address family: `AF_INET`, `AF_INET6`, `AF_UNIX`. */
  readonly family: number;
  /** The socket type without the NONBLOCK and CLOEXEC bits: `SOCK_STREAM`, `SOCK_DGRAM`. */
  readonly type: number;
  /** The protocol as it was asked for, 0 for the type's usual one; of an adopted descriptor, what the kernel says. */
  readonly proto: number;
  /** The descriptor, -1 when closed or detached. */
  protected _fd: number;

  /**
   * Opens a socket, or takes over a descriptor: its family, type and protocol are then asked from the kernel whatever the first arguments
   * say, and non-blocking and close-on-exec are switched on.
   *
   * @param options `fileno`: the descriptor to take over. It stays open and the caller's when this throws.
   * @throws SystemError EAFNOSUPPORT or EINVAL (`syscall: "socket"`) for an unknown family or type; EBADF or ENOTSOCK for a bad `fileno`
   */
  constructor(family: number = AF_INET, type: number = SOCK_STREAM, proto = 0, options?: SocketOptions) {
    if (options instanceof KnownDescriptor) {
      this.family = family;
      this.type = type;
      this.proto = proto;
      this._fd = options.fileno;
      return;
    }
    checkInt(family, "family");
    checkInt(type, "type");
    checkInt(proto, "proto");
    const fileno = checkOptions(options);
    if (fileno === undefined) {
      this.family = family;
      this.type = type & ~TYPE_FLAGS;
      this.proto = proto;
      this._fd = checked("socket", () => sys.socket(family, type | TYPE_FLAGS, proto));
    } else {
      this.family = integerOption(fileno, SO_DOMAIN);
      this.type = integerOption(fileno, SO_TYPE);
      this.proto = integerOption(fileno, SO_PROTOCOL);
      setNonblocking(fileno);
      setInheritable(fileno, false);
      this._fd = fileno;
    }
  }

  /** Whether it is closed or detached. */
  get closed(): boolean {
    return this._fd < 0;
  }

  /** The descriptor's number, -1 when closed or detached. */
  fileno(): number {
    return this._fd;
  }

  /** The descriptor, for a call; throws EBADF on a closed socket. */
  protected _open(syscall: string): number {
    if (this._fd < 0) throw closedError(syscall);
    return this._fd;
  }

  /**
   * Gives the socket its local name.
   *
   * @throws TypeError or RangeError for what is no address of the family; SystemError EADDRINUSE and so on, with `address` and `port` or `path`
   */
  bind(address: Address): void {
    const fd = this._open("bind");
    const sockaddr = encodeAddress(this.family, address, "bind");
    const result = repeat(() => sys.bind(fd, sockaddr, sockaddr.length));
    if (result < 0) throw systemError(-result, "bind", addressDetails(sockaddr));
  }

  /** Makes it a listening socket; `backlog` connections may wait to be accepted. */
  listen(backlog = 128): void {
    const fd = this._open("listen");
    checkInteger(backlog, "backlog", 0, 0x7fffffff);
    checked("listen", () => sys.listen(fd, backlog));
  }

  /**
   * The next connection and its peer's address, `undefined` when nobody waits.
   *
   * @throws SystemError EINVAL when the socket does not listen; ECONNABORTED, EMFILE and so on
   */
  accept(): [Socket, Address] | undefined {
    const fd = this._open("accept");
    for (;;) {
      nameLength[0] = SOCKADDR_SIZE;
      const accepted = sys.accept4(fd, nameBytes, nameLengthBytes, TYPE_FLAGS);
      if (accepted >= 0) {
        return [new Socket(this.family, this.type, this.proto, new KnownDescriptor(accepted)), decodeAddress(nameBytes, nameLength[0])];
      }
      const errno = sys.errno();
      if (errno === EAGAIN) return undefined;
      if (errno !== EINTR) throw systemError(errno, "accept");
    }
  }

  /** 0 when connected at once, else the errno. */
  #connect(fd: number, sockaddr: Uint8Array): number {
    let interrupted = false;
    for (;;) {
      if (sys.connect(fd, sockaddr, sockaddr.length) === 0) return 0;
      const errno = sys.errno();
      if (errno !== EINTR) {
        // An interrupted connect goes on in the background (connect(2)); the repeated call only tells how far it is.
        if (interrupted && errno === EALREADY) return EINPROGRESS;
        return interrupted && errno === EISCONN ? 0 : errno;
      }
      interrupted = true;
    }
  }

  /**
   * Connects to a peer: true when it is done, false when it is in progress; then wait for WRITE and read `SO_ERROR`.
   *
   * @throws SystemError with `address` and `port` or `path`. EAGAIN of a unix socket means that the listener's queue is full: nothing is in
   *   progress and no readiness follows, so try again later
   */
  connect(address: Address): boolean {
    const fd = this._open("connect");
    const sockaddr = encodeAddress(this.family, address, "connect");
    const errno = this.#connect(fd, sockaddr);
    if (errno === 0) return true;
    if (errno === EINPROGRESS) return false;
    throw systemError(errno, "connect", addressDetails(sockaddr));
  }

  /** `connect` that answers 0 or the positive errno (115, EINPROGRESS, when it goes on). Wrong arguments and a closed socket still throw. */
  connectEx(address: Address): number {
    const fd = this._open("connect");
    return this.#connect(fd, encodeAddress(this.family, address, "connect"));
  }

  /**
   * Sends bytes and answers how many the kernel took, which may be fewer; `undefined` when it would block. Never raises SIGPIPE. Nothing
   * to send on a stream is 0 without a system call; elsewhere it is an empty datagram.
   *
   * @param flags bits of `MSG_*`; `MSG_NOSIGNAL` is always added
   * @throws SystemError EPIPE, ECONNRESET and so on
   */
  send(data: Data, flags = 0): number | undefined {
    const fd = this._fd;
    if (fd < 0) throw closedError("send");
    const bytes = toBytes(data);
    const length = bytes.length;
    if (length === 0 && this.type === SOCK_STREAM) return 0;
    for (;;) {
      const sent = sys.send(fd, bytes, length, flags | MSG_NOSIGNAL);
      if (sent >= 0) return sent;
      const errno = sys.errno();
      if (errno === EAGAIN) return undefined;
      if (errno !== EINTR) throw systemError(errno, "send");
    }
  }

  /**
   * Sends several buffers in order with one system call; what it answers is `send`'s, counted over all of them, and it may stop inside any.
   * Of more than 1024 (IOV_MAX) buffers that are not empty the first 1024 are tried.
   */
  sendmsg(buffers: readonly Data[], flags = 0): number | undefined {
    const fd = this._open("sendmsg");
    if (!Array.isArray(buffers)) throw new TypeError(`Invalid buffers ${describeValue(buffers)}: use an array of strings or Uint8Arrays`);
    const parts: Uint8Array[] = [];
    for (const buffer of buffers as readonly Data[]) {
      const bytes = toBytes(buffer);
      if (bytes.length > 0 && parts.length < IOV_MAX) parts.push(bytes);
    }
    if (parts.length === 0 && (buffers.length === 0 || this.type === SOCK_STREAM)) return 0;
    gather(parts);
    try {
      for (;;) {
        const sent = sys.sendmsg(fd, messageHeaderBytes, flags | MSG_NOSIGNAL);
        if (sent >= 0) return sent;
        const errno = sys.errno();
        if (errno === EAGAIN) return undefined;
        if (errno !== EINTR) throw systemError(errno, "sendmsg");
      }
    } finally {
      pinned.parts = [];
    }
  }

  /** `sendmsg` under the name of the call for plain descriptors. */
  writev(buffers: readonly Data[], flags = 0): number | undefined {
    return this.sendmsg(buffers, flags);
  }

  /**
   * Sends one datagram to `address`.
   *
   * @throws SystemError EMSGSIZE for one that is too long, with `address` and `port` or `path`
   */
  sendto(data: Data, address: Address, flags = 0): number | undefined {
    const fd = this._open("sendto");
    const bytes = toBytes(data);
    const sockaddr = encodeAddress(this.family, address, "sendto");
    const result = repeat(() => sys.sendto(fd, bytes, bytes.length, flags | MSG_NOSIGNAL, sockaddr, sockaddr.length));
    if (result >= 0) return result;
    if (result === -EAGAIN) return undefined;
    throw systemError(-result, "sendto", addressDetails(sockaddr));
  }

  /**
   * Receives up to `n` bytes into a buffer that is the caller's own, exactly as long as what came: empty at end of file (or for n = 0),
   * `undefined` when it would block. Of a datagram that is longer the rest is lost.
   *
   * @throws RangeError when `n` is negative or fractional; SystemError ECONNRESET and so on
   */
  recv(n: number, flags = 0): Buffer | undefined {
    const fd = this._fd;
    if (fd < 0) throw closedError("recv");
    const buffer = receiveBuffer(n);
    // The kernel would answer "would block" for 0 bytes of an idle unix stream, "0" for those of a TCP one.
    if (n === 0 && this.type === SOCK_STREAM) return Buffer.alloc(0);
    for (;;) {
      const count = sys.recv(fd, buffer, Math.min(n, MAX_TRANSFER), flags);
      // With MSG_TRUNC the kernel answers a datagram's real length, however much of it was wanted.
      if (count >= 0) return received(buffer, Math.min(count, n));
      const errno = sys.errno();
      if (errno === EAGAIN) return undefined;
      if (errno !== EINTR) throw systemError(errno, "recv");
    }
  }

  /**
   * Receives into the caller's memory, within the view and at most `nbytes`: the count, 0 at end of file, `undefined` when it would block.
   *
   * @throws RangeError for a view of length 0 or `nbytes` outside 1..length: the answer 0 would look like end of file
   */
  recvInto(buf: Uint8Array, nbytes?: number, flags = 0): number | undefined {
    const fd = this._fd;
    if (fd < 0) throw closedError("recv");
    const length = checkTarget(buf, nbytes);
    for (;;) {
      const count = sys.recv(fd, buf, length, flags);
      if (count >= 0) return count;
      const errno = sys.errno();
      if (errno === EAGAIN) return undefined;
      if (errno !== EINTR) throw systemError(errno, "recv");
    }
  }

  /**
   * Receives one datagram, cut to `n` bytes, and its sender's address; `undefined` when there is none. An empty datagram is an empty
   * buffer, not end of file. The address is `""` where the kernel gives none: of a stream, or from a unix socket without a name.
   */
  recvfrom(n: number, flags = 0): [Buffer, Address] | undefined {
    const fd = this._open("recvfrom");
    const buffer = receiveBuffer(n);
    const count = this.#receiveFrom(fd, buffer, Math.min(n, MAX_TRANSFER), flags);
    if (count === undefined) return undefined;
    return [received(buffer, Math.min(count, n)), decodeAddress(nameBytes, nameLength[0] ?? 0)];
  }

  /** `recvfrom` into the caller's memory, by the rules of `recvInto`. */
  recvfromInto(buf: Uint8Array, nbytes?: number, flags = 0): [number, Address] | undefined {
    const fd = this._open("recvfrom");
    const count = this.#receiveFrom(fd, buf, checkTarget(buf, nbytes), flags);
    return count === undefined ? undefined : [count, decodeAddress(nameBytes, nameLength[0] ?? 0)];
  }

  #receiveFrom(fd: number, buf: Uint8Array, length: number, flags: number): number | undefined {
    for (;;) {
      nameLength[0] = SOCKADDR_SIZE;
      const count = sys.recvfrom(fd, buf, length, flags, nameBytes, nameLengthBytes);
      if (count >= 0) return count;
      const errno = sys.errno();
      if (errno === EAGAIN) return undefined;
      if (errno !== EINTR) throw systemError(errno, "recvfrom");
    }
  }

  /** Ends reading (`SHUT_RD`), writing (`SHUT_WR`) or both (`SHUT_RDWR`) of a connection, whoever else has its descriptor. */
  shutdown(how: number): void {
    const fd = this._open("shutdown");
    checkInt(how, "how");
    checked("shutdown", () => sys.shutdown(fd, how));
  }

  /** An option that is an integer. */
  getsockopt(level: number, name: number): number;
  /** An option's bytes, at most `length` of them (1 to 65536). */
  getsockopt(level: number, name: number, length: number): Buffer;
  getsockopt(level: number, name: number, length?: number): number | Buffer {
    const fd = this._open("getsockopt");
    checkInt(level, "level");
    checkInt(name, "option");
    if (length !== undefined) checkInteger(length, "length", 1, 65536);
    const value = Buffer.alloc(length ?? 4);
    const size = Int32Array.of(value.length);
    checked("getsockopt", () => sys.getsockopt(fd, level, name, value, new Uint8Array(size.buffer)));
    return length === undefined ? value.readInt32LE() : value.subarray(0, size[0]);
  }

  /**
   * Sets an option: a number or a boolean (1 and 0) as a C int, bytes as they are.
   *
   * @throws TypeError for a value of another type; SystemError ENOPROTOOPT for an unknown option
   */
  setsockopt(level: number, name: number, value: number | boolean | Uint8Array): void {
    const fd = this._open("setsockopt");
    checkInt(level, "level");
    checkInt(name, "option");
    let bytes: Uint8Array;
    if (value instanceof Uint8Array) {
      bytes = value;
    } else if (typeof value === "number" || typeof value === "boolean") {
      // Both signed and unsigned ints are wanted by one option or another.
      if (typeof value === "number") checkInteger(value, "option value", -0x80000000, 0xffffffff);
      bytes = new Uint8Array(Int32Array.of(Number(value)).buffer);
    } else {
      throw new TypeError(`Invalid option value ${describeValue(value)}: use a number, a boolean or a Uint8Array`);
    }
    checked("setsockopt", () => sys.setsockopt(fd, level, name, bytes, bytes.length));
  }

  /** The socket's own address; `""` for a unix socket without a name. */
  getsockname(): Address {
    const fd = this._open("getsockname");
    nameLength[0] = SOCKADDR_SIZE;
    checked("getsockname", () => sys.getsockname(fd, nameBytes, nameLengthBytes));
    return decodeAddress(nameBytes, nameLength[0]);
  }

  /**
   * The address of the other end.
   *
   * @throws SystemError ENOTCONN when there is none
   */
  getpeername(): Address {
    const fd = this._open("getpeername");
    nameLength[0] = SOCKADDR_SIZE;
    checked("getpeername", () => sys.getpeername(fd, nameBytes, nameLengthBytes));
    return decodeAddress(nameBytes, nameLength[0]);
  }

  /**
   * For ported code: only `false` is possible.
   *
   * @throws RangeError for `true`: a blocking call would stop the loop
   */
  setblocking(flag: boolean): void {
    this._open("setblocking");
    if (typeof flag !== "boolean") throw new TypeError(`Invalid flag ${describeValue(flag)}: use a boolean`);
    if (flag) throw new RangeError("A socket cannot be made blocking: use the loop to wait until it is ready");
  }

  /**
   * For ported code: only 0 is possible.
   *
   * @throws RangeError for any other time, and for `undefined`, which would mean to wait for ever
   */
  settimeout(seconds: number | undefined): void {
    this._open("settimeout");
    if (seconds !== undefined && typeof seconds !== "number") {
      throw new TypeError(`Invalid time-out ${describeValue(seconds)}: use a number`);
    }
    if (seconds !== 0)
      throw new RangeError(`A socket cannot have the time-out ${String(seconds)}, only 0: use the loop to wait until it is ready`);
  }

  /** Always 0: no call waits. */
  gettimeout(): 0 {
    this._open("gettimeout");
    return 0;
  }

  /** Always false: no call waits. */
  getblocking(): false {
    this._open("getblocking");
    return false;
  }

  /** Whether programs that this process starts get the descriptor. False at first. */
  getInheritable(): boolean {
    return isInheritable(this._open("fcntl"));
  }

  /** Lets programs that this process starts have the descriptor, or not. */
  setInheritable(on: boolean): void {
    const fd = this._open("fcntl");
    if (typeof on !== "boolean") throw new TypeError(`Invalid flag ${describeValue(on)}: use a boolean`);
    setInheritable(fd, on);
  }

  /** Another, independent descriptor of the same connection, close-on-exec as every one of ours. */
  dup(): Socket {
    const fd = this._open("dup");
    const copy = checked("dup", () => sys.fcntl(fd, F_DUPFD_CLOEXEC, 0));
    return new Socket(this.family, this.type, this.proto, new KnownDescriptor(copy));
  }

  /** Gives the descriptor away, open: this object is closed afterwards. -1 when it was already. */
  detach(): number {
    const fd = this._fd;
    this._fd = -1;
    return fd;
  }

  /** Closes it; idempotent. */
  close(): void {
    const fd = this.detach();
    if (fd >= 0) closeDescriptor(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function checkOptions(options: SocketOptions | undefined): number | undefined {
  if (options === undefined) return undefined;
  if (typeof options !== "object" || (options as unknown) === null) {
    throw new TypeError(`Invalid options ${describeValue(options)}: use an object { fileno }`);
  }
  const unknown = Object.keys(options).find((key) => key !== "fileno");
  if (unknown !== undefined) throw new TypeError(`Unknown option ${describeValue(unknown)} of a socket: the only one is fileno`);
  if (options.fileno !== undefined) checkDescriptor(options.fileno);
  return options.fileno;
}

/** `new Socket(family, type, proto)` as a function. */
export function socket(family: number = AF_INET, type: number = SOCK_STREAM, proto = 0): Socket {
  return new Socket(family, type, proto);
}

/** Two connected sockets, by default a unix stream. */
export function socketpair(family: number = AF_UNIX, type: number = SOCK_STREAM, proto = 0): [Socket, Socket] {
  checkInt(family, "family");
  checkInt(type, "type");
  checkInt(proto, "proto");
  const pair = new Int32Array(2);
  checked("socketpair", () => sys.socketpair(family, type | TYPE_FLAGS, proto, new Uint8Array(pair.buffer)));
  const make = (fd: number): Socket => new Socket(family, type & ~TYPE_FLAGS, proto, new KnownDescriptor(fd));
  return [make(pair[0] ?? -1), make(pair[1] ?? -1)];
}
