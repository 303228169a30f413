/**
 * `ioloop/asyncio`: asyncio's streams on the library's own loop, and what lies below them: transports, protocols, servers, a thin `EventLoop`.
 *
 * Everything is there in both forms, `openConnection` and `open_connection`, `reader.atEof()` and `reader.at_eof()`: the same functions and classes. An
 * override in a subclass counts under either name. Names are derived as in `ioloop/tornado`; keys of options objects stay camelCase.
 */
import { giveBothNames, type SnakeName } from "../names.js";
import type { Both, OtherNames } from "./both.js";
import * as library from "./library.js";

// ---- Types ----

/** Methods that subclasses override: left out of a class that one extends, so that they can be written as methods there (TS2425). */
type Overridable = keyof library.Protocol | keyof library.Transport | "feedData" | "feedEof";

/** A class of the library: `new` gives an object with both names, and it can be extended. */
interface BothClass<C extends abstract new (...args: never) => unknown> {
  // Generic, so that only `new` sees it: an extends clause without type arguments takes the signatures without type parameters.
  new <_Made>(...args: ConstructorParameters<C>): Both<InstanceType<C>>;
  new (...args: ConstructorParameters<C>): InstanceType<C> & OtherNames<InstanceType<C>, Overridable>;
  readonly prototype: InstanceType<C>;
}

type Library = typeof library;

type AsyncioNames = {
  [K in keyof Library as SnakeName<K>]: Library[K] extends abstract new (...args: never) => unknown ? BothClass<Library[K]> : Library[K];
};

// ---- Exports ----

const asyncio = giveBothNames(library) as AsyncioNames;

// Types, errors and whatever has one name in both languages. What follows takes precedence over it.
export type { Both } from "./both.js";
export * from "./library.js";

export const {
  create_connection,
  create_server,
  create_unix_connection,
  create_unix_server,
  ensure_future,
  get_event_loop,
  open_connection,
  open_unix_connection,
  start_server,
  start_unix_server,
} = asyncio;

export const BaseTransport = asyncio.BaseTransport;
export type BaseTransport = Both<library.BaseTransport>;
export const EventLoop = asyncio.EventLoop;
export type EventLoop = Both<library.EventLoop>;
export const Protocol = asyncio.Protocol;
export type Protocol = library.Protocol;
export const ReadTransport = asyncio.ReadTransport;
export type ReadTransport = Both<library.ReadTransport>;
export const Server = asyncio.Server;
export type Server = Both<library.Server>;
export const StreamReader = asyncio.StreamReader;
export type StreamReader = Both<library.StreamReader>;
export const StreamReaderProtocol = asyncio.StreamReaderProtocol;
export type StreamReaderProtocol = library.StreamReaderProtocol;
export const StreamWriter = asyncio.StreamWriter;
export type StreamWriter = Both<library.StreamWriter>;
export const Transport = asyncio.Transport;
export type Transport = Both<library.Transport>;
export const WriteTransport = asyncio.WriteTransport;
export type WriteTransport = Both<library.WriteTransport>;
