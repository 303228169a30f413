/** Listening sockets, resolvers, TCP server and client, as in Tornado's `netutil`, `tcpserver` and `tcpclient`. Other parts import from here. */
export { ACCEPT_RETRY_DELAY, type AcceptCallback, addAcceptHandler } from "./accept-handler.js";
export { bindSockets, type BindSocketsOptions, bindUnixSocket, type BindUnixSocketOptions, DEFAULT_BACKLOG } from "./bind-sockets.js";
export { _Connector, type ConnectFunction } from "./connector.js";
export { isValidIp } from "./is-valid-ip.js";
export {
  BlockingResolver,
  DefaultExecutorResolver,
  DefaultLoopResolver,
  ExecutorResolver,
  type ExecutorResolverOptions,
  type OverrideKey,
  type OverrideMapping,
  OverrideResolver,
  type OverrideTarget,
  type ResolvedAddress,
  Resolver,
  type ResolverClass,
  ThreadedResolver,
} from "./resolver.js";
export { TCPClient, type TCPConnectOptions } from "./tcp-client.js";
export { TCPServer, type TCPServerOptions } from "./tcp-server.js";

// Where Tornado has them (`netutil`); they live below, for streams need them too.
export { sslOptionsToContext, sslWrapSocket } from "../ssl/index.js";
