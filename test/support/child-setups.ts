/**
 * Every way in which a loop can wait, for child processes: poller, host and, on the main thread, which handle watches the epoll descriptor. Each
 * is forced by environment variables, so a program that makes plain `new IOLoop()` runs over all of them.
 */
export interface ChildSetup {
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
}

export const childSetups: readonly ChildSetup[] = [
  { name: "epoll on uv-poll, koffi's handle", env: { IOLOOP_POLLER: "epoll", IOLOOP_HOST: "uv-poll", IOLOOP_POLL_HANDLE: "koffi" } },
  { name: "epoll on uv-poll, raw handle", env: { IOLOOP_POLLER: "epoll", IOLOOP_HOST: "uv-poll", IOLOOP_POLL_HANDLE: "raw" } },
  { name: "epoll on thread-pool", env: { IOLOOP_POLLER: "epoll", IOLOOP_HOST: "thread-pool" } },
  { name: "poll on thread-pool", env: { IOLOOP_POLLER: "poll", IOLOOP_HOST: "thread-pool" } },
];
