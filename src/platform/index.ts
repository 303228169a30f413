/**
 * What the operating system gives: system calls, errors in Node's form, constants, descriptors, sockets, pipes, memory and watches.
 * Depends on nothing of the library's.
 */
export { encodeAddress } from "./addresses.js";
export * from "./constants.js";
export * from "./descriptors.js";
export * from "./errno.js";
export { type AddrInfo, getaddrinfo } from "./getaddrinfo.js";
export { registerCallback, type NativeCallback } from "./native-callbacks.js";
export { allocNative, nativeAllocations } from "./native-memory.js";
export { ffiCallbacks, watchReadable, type ReadableWatch, type WatchKind } from "./readable-watch.js";
export { type Address, type InetAddress } from "./sockaddr.js";
export { type Data, hasIpv6, Socket, socket, type SocketOptions, socketpair } from "./socket.js";
export {
  assertSupported,
  loadKoffi,
  nativeFunction,
  sys,
  type Koffi,
  type NativeMemory,
  type Pointer,
  type SystemCalls,
} from "./system-calls.js";
