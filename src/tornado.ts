/**
 * `ioloop/tornado`: the same classes and functions under Tornado's own names, for those who port a program. `add_handler` is `addHandler`: one
 * method, two names. A subclass may override it under either, and so may one object (`loop.add_callback = ...`); the library calls the override.
 *
 * No name is written twice: `OtherNames` derives them for the compiler, `giveOtherNames` at run time. What is listed below are the
 * exports, for an ES module has to name its own. Keys of options objects stay camelCase: a keyword call is rewritten as an object anyway.
 *
 * Two limits. A subclass's override must be a method, not a class field, to be seen under its other name. And TypeScript lets a *method*
 * override a derived member only where it knows of it (TS2425): those that are made to be overridden, see `Overridable`; for others use the
 * camelCase name.
 */
import * as library from "./index.js";
import { giveBothNames, giveFieldNames, type SnakeName } from "./names.js";

// ---- Types ----

/** Methods that subclasses override: left out of the derived members of a class one extends, so that they can be written as methods. */
type Overridable =
  "handleCallbackException" | "handleStream" | "readFromFd" | "writeToFd" | "closeFd" | "getFdError" | "splitFd" | "logStack";

/** The other name of member `K`, if it has one: methods, and attributes that are not internal. */
type OtherName<T, K extends keyof T> = K extends string
  ? SnakeName<K> extends K
    ? never
    : K extends `_${string}`
      ? T[K] extends (...args: never) => unknown
        ? SnakeName<K>
        : never
      : SnakeName<K>
  : never;

/** The members of `T` under their other names, but those in `Except`. */
export type OtherNames<T, Except = never> = {
  [K in keyof T as K extends Except ? never : OtherName<T, K>]: Results<T[K]>;
};

/** An object of the library under both names. */
export type Both<T> = T & OtherNames<T>;

/** A result that is an object of the library has both names too. */
type Result<R> = R extends library.Future<infer T> ? Both<library.Future<T>> : R extends library.IOLoop | library.Socket ? Both<R> : R;

/**
 * A method whose results have both names. Inferring a signature loses its type parameters, so one that has any (its arguments or its result
 * come out `unknown`) is left as it is.
 */
type Results<F> = F extends { (...args: infer A): infer A0; (...args: infer B): infer B0; (...args: infer C): infer C0 }
  ? Renamed<F, A, A0> & Renamed<F, B, B0> & Renamed<F, C, C0>
  : F;

type Renamed<F, A extends unknown[], R> = IsGeneric<A, R> extends true ? F : (...args: A) => Result<R>;

type IsGeneric<A extends unknown[], R> = unknown extends A[number]
  ? true
  : R extends PromiseLike<infer T>
    ? unknown extends T
      ? true
      : false
    : false;

/** A class of the library: `new` gives an object with both names, and it can be extended. */
type BothClass<C extends abstract new (...args: never) => unknown> = OtherNames<C, Overridable> & {
  [K in Exclude<keyof C, "prototype">]: Results<C[K]>;
} & {
  // Generic, so that only `new` sees it: an extends clause without type arguments takes the signatures without type parameters.
  new <_Made>(...args: ConstructorParameters<C>): Both<InstanceType<C>>;
  new (...args: ConstructorParameters<C>): InstanceType<C> & OtherNames<InstanceType<C>, Overridable>;
  readonly prototype: InstanceType<C>;
};

type BothNames<M> = {
  [K in keyof M as K extends string ? SnakeName<K> : K]: M[K] extends abstract new (...args: never) => unknown
    ? BothClass<M[K]>
    : Results<M[K]>;
};

// ---- Run time ----

/**
 * Attributes that are no more than a field of an object, which no prototype shows: by the class that has them. A test compares this list with
 * real objects.
 */
const FIELDS: readonly (readonly [constructor: { readonly prototype: object }, names: readonly string[]])[] = [
  [library.IOLoop, ["timeFunc"] satisfies (keyof library.IOLoop)[]],
  [library.PeriodicCallback, ["callbackTime", "ioLoop"] satisfies (keyof library.PeriodicCallback)[]],
  [library.BaseIOStream, ["ioLoop", "maxBufferSize", "readChunkSize", "maxWriteBufferSize"] satisfies (keyof library.BaseIOStream)[]],
  [library.TCPServer, ["sslOptions", "maxBufferSize", "readChunkSize"] satisfies (keyof library.TCPServer)[]],
  [library.Subprocess, ["ioLoop"] satisfies (keyof library.Subprocess)[]],
  [library.StreamClosedError, ["realError"] satisfies (keyof library.StreamClosedError)[]],
];

for (const [constructor, names] of FIELDS) giveFieldNames(constructor, names);

const tornado = giveBothNames(library) as BothNames<typeof library>;

// ---- Exports ----

// Constants, types, errors and whatever has one name in both languages. What follows takes precedence over it.
export * from "./index.js";

export const {
  _merge_prefix,
  access_log,
  add_accept_handler,
  application_log,
  bind_sockets,
  bind_unix_socket,
  chain_future,
  close_descriptor,
  convert_yielded,
  cpu_count,
  create_default_context,
  describe_mask,
  dummy_executor,
  fork_processes,
  future_add_done_callback,
  future_set_exc_info,
  future_set_exception_unless_cancelled,
  future_set_result_unless_cancelled,
  general_log,
  has_ipv6,
  is_coroutine_function,
  is_future,
  is_valid_ip,
  maybe_future,
  multi_future,
  native_tls_objects,
  open_descriptors,
  read_descriptor,
  run_on_executor,
  set_logger,
  socket,
  socketpair,
  ssl_options_to_context,
  ssl_wrap_socket,
  task_id,
  wake_loop,
  with_timeout,
  write_descriptor,
} = tornado;

export const BaseIOStream = tornado.BaseIOStream;
export type BaseIOStream = Both<library.BaseIOStream>;
export const EPollIOLoop = tornado.EPollIOLoop;
export type EPollIOLoop = Both<library.EPollIOLoop>;
export const IOLoop = tornado.IOLoop;
export type IOLoop = Both<library.IOLoop>;
export const IOStream = tornado.IOStream;
export type IOStream = Both<library.IOStream>;
export const PeriodicCallback = tornado.PeriodicCallback;
export type PeriodicCallback = Both<library.PeriodicCallback>;
export const PipeIOStream = tornado.PipeIOStream;
export type PipeIOStream = Both<library.PipeIOStream>;
export const PollIOLoop = tornado.PollIOLoop;
export type PollIOLoop = Both<library.PollIOLoop>;
export const PosixPollIOLoop = tornado.PosixPollIOLoop;
export type PosixPollIOLoop = Both<library.PosixPollIOLoop>;
export const SSLContext = tornado.SSLContext;
export type SSLContext = Both<library.SSLContext>;
export const SSLIOStream = tornado.SSLIOStream;
export type SSLIOStream = Both<library.SSLIOStream>;
export const SSLSocket = tornado.SSLSocket;
export type SSLSocket = Both<library.SSLSocket>;
export const StreamClosedError = tornado.StreamClosedError;
export type StreamClosedError = Both<library.StreamClosedError>;
export const Socket = tornado.Socket;
export type Socket = Both<library.Socket>;
export const Condition = tornado.Condition;
export type Condition = Both<library.Condition>;
export const Event = tornado.Event;
export type Event = Both<library.Event>;
export const Lock = tornado.Lock;
export type Lock = Both<library.Lock>;
export const Semaphore = tornado.Semaphore;
export type Semaphore = Both<library.Semaphore>;
export const BoundedSemaphore = tornado.BoundedSemaphore;
export type BoundedSemaphore = Both<library.BoundedSemaphore>;
export const BlockingResolver = tornado.BlockingResolver;
export type BlockingResolver = Both<library.BlockingResolver>;
export const DefaultExecutorResolver = tornado.DefaultExecutorResolver;
export type DefaultExecutorResolver = Both<library.DefaultExecutorResolver>;
export const DefaultLoopResolver = tornado.DefaultLoopResolver;
export type DefaultLoopResolver = Both<library.DefaultLoopResolver>;
export const ExecutorResolver = tornado.ExecutorResolver;
export type ExecutorResolver = Both<library.ExecutorResolver>;
export const OverrideResolver = tornado.OverrideResolver;
export type OverrideResolver = Both<library.OverrideResolver>;
export const Resolver = tornado.Resolver;
export type Resolver = Both<library.Resolver>;
export const Subprocess = tornado.Subprocess;
export type Subprocess = Both<library.Subprocess>;
export const TCPClient = tornado.TCPClient;
export type TCPClient = Both<library.TCPClient>;
export const TCPServer = tornado.TCPServer;
export type TCPServer = Both<library.TCPServer>;
export const ThreadedResolver = tornado.ThreadedResolver;
export type ThreadedResolver = Both<library.ThreadedResolver>;
/** Generic classes: the mapping, which would fix their type parameter, is spelt out. */
interface GenericClass<C> {
  readonly prototype: C;
}
export const Future = library.Future as unknown as GenericClass<Future<unknown>> & (new <T>(options?: library.FutureOptions) => Future<T>);
export type Future<T> = Both<library.Future<T>>;
export const Queue = library.Queue as unknown as GenericClass<Queue<unknown>> & (new <T>(maxsize?: number) => Queue<T>);
export type Queue<T> = Both<library.Queue<T>>;
export const LifoQueue = library.LifoQueue as unknown as GenericClass<LifoQueue<unknown>> & (new <T>(maxsize?: number) => LifoQueue<T>);
export type LifoQueue<T> = Both<library.LifoQueue<T>>;
export const PriorityQueue = library.PriorityQueue as unknown as GenericClass<PriorityQueue<unknown>> &
  (new <T>(maxsize?: number, options?: library.PriorityQueueOptions<T>) => PriorityQueue<T>);
export type PriorityQueue<T> = Both<library.PriorityQueue<T>>;
export const WaitIterator = library.WaitIterator as unknown as GenericClass<WaitIterator<unknown>> & {
  new <T>(...futures: readonly PromiseLike<T>[]): WaitIterator<T>;
  new <T>(byKey: Readonly<Record<string, PromiseLike<T>>>): WaitIterator<T>;
};
export type WaitIterator<T> = Both<library.WaitIterator<T>>;
