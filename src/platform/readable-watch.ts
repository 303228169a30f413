/**
 * One descriptor in Node's own loop: a callback when it is readable. The host of the IOLoop watches its epoll descriptor so.
 *
 * Two ways to the same uv_poll: libuv's functions themselves, which Node exports for addons, on `uv_default_loop()`, which is the main thread's;
 * and koffi's own `koffi.node.poll` (undocumented; koffi >= 2.15), which belongs to the calling thread's loop. The first is used on the main
 * thread where it can be; `IOLOOP_POLL_HANDLE=koffi|raw` forces one.
 *
 * The callback runs inside libuv: no AsyncLocalStorage store, an exception thrown by it is lost, and from Node 26.4 on no promise job or
 * `nextTick` callback runs after it. It should do no more than call `setImmediate`.
 */
import { isMainThread } from "node:worker_threads";
import { EPOLLIN, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_EVENT_LAYOUT } from "./constants.js";
import { checkDescriptor, closeDescriptor } from "./descriptors.js";
import { EEXIST, EINTR, systemError } from "./errno.js";
import { allocNative } from "./native-memory.js";
import { loadKoffi, nativeFunction, pendingPolls, sys, type Pointer } from "./system-calls.js";
import { nativeCallbacks, registerCallback } from "./native-callbacks.js";

/** Which of the two ways is taken. */
export type WatchKind = "koffi" | "raw";

/** A descriptor watched by Node's loop. Made stopped or started, as `watchReadable` says; every method is harmless after `close()`. */
export interface ReadableWatch {
  /** Which way it took. */
  readonly kind: WatchKind;
  /** Calls back from now on, in every round of Node's loop in which the descriptor is readable (level-triggered). */
  start(): void;
  /** Calls back no more until `start()`. */
  stop(): void;
  /** Lets the watch keep the process alive while it is started (as it does at first). */
  ref(): void;
  /** Lets the process end in spite of it. */
  unref(): void;
  /** Gives it up for ever; idempotent. No callback comes after it. The descriptor stays open and may be closed at once. */
  close(): void;
}

/** What both ways have. */
interface PollHandle {
  start(callback: () => void): void;
  stop(): void;
  ref(): void;
  unref(): void;
  close(): void;
}

const HANDLE_METHODS = ["start", "stop", "ref", "unref", "close"] as const;

/** The descriptors under a watch, for libuv has one watcher for each (and koffi ends the process when libuv refuses). */
const watched = new Set<number>();

/** Handles whose memory libuv still holds. */
let handles = 0;

/** How many native callbacks, watches and calls in other threads are alive: for leak tests. */
export function ffiCallbacks(): number {
  return handles + nativeCallbacks() + pendingPolls();
}

/**
 * Refuses what libuv would refuse, before koffi aborts the process over it: a number that is not open (EBADF), a descriptor that cannot be
 * polled, such as a regular file (EPERM).
 */
function assertPollable(fd: number): void {
  const probe = sys.epoll_create1(EPOLL_CLOEXEC);
  if (probe === -1) throw systemError(sys.errno(), "epoll_create1");
  try {
    const event = new Uint8Array(EPOLL_EVENT_LAYOUT.size);
    event[0] = EPOLLIN;
    while (sys.epoll_ctl(probe, EPOLL_CTL_ADD, fd, event) === -1) {
      const errno = sys.errno();
      if (errno !== EINTR) throw systemError(errno, "epoll_ctl");
    }
  } finally {
    closeDescriptor(probe);
  }
}

function koffiHandle(fd: number): PollHandle {
  const poll = loadKoffi().node.poll;
  if (typeof poll !== "function") throw new Error("This koffi has no node.poll; set IOLOOP_POLL_HANDLE=raw");
  const options = { readable: true };
  let started = true;
  // It can only be made started. The callback of a handle that is not closed at once must not be lost, hence the variable.
  let current: (() => void) | undefined;
  const handle = poll(fd, options, () => current?.());
  const missing = HANDLE_METHODS.filter((name) => typeof handle[name] !== "function");
  if (missing.length > 0) throw new Error(`koffi's poll handle has no ${missing.join(", ")}; set IOLOOP_POLL_HANDLE=raw`);
  handle.stop();
  started = false;
  handles++;
  return {
    start(callback) {
      current = callback;
      if (started) return;
      started = true;
      handle.start(options, () => current?.());
    },
    stop() {
      started = false;
      handle.stop();
    },
    ref: () => {
      handle.ref();
    },
    unref: () => {
      handle.unref();
    },
    close() {
      handles--;
      current = undefined;
      handle.close();
    },
  };
}

/** uv_handle_type's number for a poll handle (UV_HANDLE_TYPE_MAP in uv.h), the same since libuv 1.0; checked by its name all the same. */
const UV_POLL = 8;
const UV_READABLE = 1;

interface LibUv {
  defaultLoop: () => Pointer;
  handleSize: (type: number) => number;
  typeName: (type: number) => string | null;
  pollInit: (loop: Pointer, handle: Pointer, fd: number) => number;
  pollStart: (handle: Pointer, events: number, callback: Pointer) => number;
  pollStop: (handle: Pointer) => number;
  close: (handle: Pointer, callback: Pointer) => void;
  ref: (handle: Pointer) => void;
  unref: (handle: Pointer) => void;
}

let libuv: LibUv | undefined;

function loadLibuv(): LibUv {
  libuv ??= {
    defaultLoop: nativeFunction("void *uv_default_loop(void)"),
    handleSize: nativeFunction("size_t uv_handle_size(int type)"),
    typeName: nativeFunction("const char *uv_handle_type_name(int type)"),
    pollInit: nativeFunction("int uv_poll_init(void *loop, void *handle, int fd)"),
    pollStart: nativeFunction("int uv_poll_start(void *handle, int events, void *cb)"),
    pollStop: nativeFunction("int uv_poll_stop(void *handle)"),
    close: nativeFunction("void uv_close(void *handle, void *cb)"),
    ref: nativeFunction("void uv_ref(void *handle)"),
    unref: nativeFunction("void uv_unref(void *handle)"),
  };
  return libuv;
}

/** Whether this Node exports libuv's functions, and what they mean by UV_POLL is a poll handle. */
function hasRawPoll(): boolean {
  try {
    return loadLibuv().typeName(UV_POLL) === "poll";
  } catch {
    // A Node built without the symbols.
    return false;
  }
}

function rawHandle(fd: number): PollHandle {
  if (!isMainThread) throw new Error("The raw poll handle works on the main thread only: uv_default_loop() is that thread's loop");
  if (!hasRawPoll()) throw new Error("This Node has no libuv functions that can be called; set IOLOOP_POLL_HANDLE=koffi");
  const uv = loadLibuv();
  const memory = allocNative(uv.handleSize(UV_POLL));
  const failed = uv.pollInit(uv.defaultLoop(), memory.pointer, fd);
  if (failed < 0) {
    memory.free();
    throw systemError(failed, "uv_poll_init");
  }
  let current: (() => void) | undefined;
  const onEvent = registerCallback("void", ["void *", "int", "int"], () => current?.());
  // libuv owns the memory until this is called, in a later round of its loop.
  const onClose = registerCallback("void", ["void *"], () => {
    memory.free();
    // A callback cannot take away the trampoline it runs on.
    setImmediate(() => {
      handles--;
      onEvent.release();
      onClose.release();
    });
  });
  handles++;
  return {
    start(callback) {
      current = callback;
      const result = uv.pollStart(memory.pointer, UV_READABLE, onEvent.pointer);
      if (result < 0) throw systemError(result, "uv_poll_start");
    },
    stop() {
      uv.pollStop(memory.pointer);
    },
    ref() {
      uv.ref(memory.pointer);
    },
    unref() {
      uv.unref(memory.pointer);
    },
    close() {
      current = undefined;
      uv.close(memory.pointer, onClose.pointer);
    },
  };
}

/**
 * The way to take: the environment's choice, else the raw one on the main thread, where this libuv can be called, else koffi's. koffi makes an
 * object of the events for each callback and enters Node's callback scope, which costs 0.5 µs of the 3.1 µs that an iteration with one event takes
 * (`npm run bench:loop`, one byte on 1 descriptor, with IOLOOP_POLL_HANDLE=koffi and raw).
 */
function preferredKind(): WatchKind {
  const forced = process.env["IOLOOP_POLL_HANDLE"];
  if (forced === "koffi" || forced === "raw") return forced;
  if (forced !== undefined && forced !== "") {
    throw new RangeError(`Unknown poll handle ${JSON.stringify(forced)} in IOLOOP_POLL_HANDLE: use koffi or raw`);
  }
  return isMainThread && hasRawPoll() ? "raw" : "koffi";
}

/**
 * Watches a descriptor in Node's own loop and calls back while it is readable. The watch is stopped at first.
 *
 * @param fd an open descriptor that can be polled, not under a watch already
 * @param callback runs inside libuv; see the module's comment for what it may do
 * @param kind `koffi` or `raw`; by default what `IOLOOP_POLL_HANDLE` says, else what works
 * @throws SystemError EBADF (not open), EPERM (cannot be polled), EEXIST (under a watch)
 */
export function watchReadable(fd: number, callback: () => void, kind: WatchKind = preferredKind()): ReadableWatch {
  checkDescriptor(fd);
  if (watched.has(fd)) throw systemError(EEXIST, "uv_poll_init", { reason: `descriptor ${fd} is under a watch already` });
  assertPollable(fd);
  const made = kind === "koffi" ? koffiHandle(fd) : rawHandle(fd);
  watched.add(fd);
  // koffi dereferences NULL when a closed handle is used, libuv asserts: nothing reaches either after close().
  let handle: PollHandle | undefined = made;
  return {
    kind,
    start: () => handle?.start(callback),
    stop: () => handle?.stop(),
    ref: () => handle?.ref(),
    unref: () => handle?.unref(),
    close() {
      if (handle === undefined) return;
      const closing = handle;
      handle = undefined;
      watched.delete(fd);
      closing.close();
    },
  };
}
