/**
 * `Resolver` and its family: from a host name to addresses, without blocking. Depends on `node:dns` for names, on the platform for literals.
 */
import dns from "node:dns";
import { Future } from "../concurrent/index.js";
import { type ConfigurableClass, configureFamily, familyOf, registerImplementation, type SavedConfiguration } from "../ioloop/index.js";
import { constructing } from "../names.js";
import {
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  AI_NUMERICHOST,
  getaddrinfo,
  type InetAddress,
  namedSystemError,
  SOCK_STREAM,
} from "../platform/index.js";
import { checkOptions, checkWhole, show } from "../process/index.js";
import { isValidIp } from "./is-valid-ip.js";

/** One answer of a resolver: the family of a socket, and what to give to its `connect`. */
export type ResolvedAddress = [family: number, address: InetAddress];

/** A class that `Resolver.configure` takes. */
export type ResolverClass = ConfigurableClass<Resolver>;

/** UV_EAI_NONAME, which Node gives as `errno` for a name that is not found. */
const UV_EAI_NONAME = -3008;

/**
 * Looks host names up. `new Resolver()` makes an instance of the configured class, by default {@link DefaultLoopResolver}; a class of one's own
 * extends it and overrides `resolve`.
 *
 * Tornado: `Resolver`, with the behaviour of 5.0.
 *
 * @example
 * const resolver = new Resolver();
 * for (const [family, address] of await resolver.resolve("localhost", 80)) console.log(family, address);
 */
export class Resolver {
  /**
   * @param options - for the configured class; they come before those given to `configure`
   */
  constructor(options: object = {}) {
    if (new.target === Resolver) {
      const { defaults } = familyOf(Resolver);
      const Class = Resolver.configuredClass();
      return new Class({ ...defaults, ...options });
    }
    constructing(new.target);
  }

  /**
   * Chooses the class that `new Resolver()` makes, with default options for it; `undefined` restores the default.
   *
   * @throws RangeError for a class that does not extend `Resolver`, or an unknown name
   */
  static configure(impl: ResolverClass | string | undefined, options: object = {}): void {
    configureFamily(Resolver, impl, options);
  }

  /** The class that `new Resolver()` would make now. */
  static configuredClass(): ResolverClass {
    return (familyOf(Resolver).implementation as ResolverClass | undefined) ?? DefaultLoopResolver;
  }

  /** The root of the family. */
  static configurableBase(): typeof Resolver {
    return Resolver;
  }

  /** The class when nothing is configured. */
  static configurableDefault(): ResolverClass {
    return DefaultLoopResolver;
  }

  /** For tests: what is configured now. */
  static _saveConfiguration(): SavedConfiguration {
    const { implementation, defaults } = familyOf(Resolver);
    return { implementation, defaults };
  }

  /** For tests: configures what was saved. */
  static _restoreConfiguration(saved: SavedConfiguration): void {
    configureFamily(Resolver, saved.implementation, saved.defaults);
  }

  /**
   * The addresses of a host, in the system's order, at least one.
   *
   * All failures come as rejections: ENOTFOUND (with `hostname`), EAI_AGAIN and so on for a name, TypeError and RangeError for wrong arguments.
   *
   * @param host - a name or a literal
   * @param port - comes back in each address
   * @param family - `AF_INET`, `AF_INET6`, or `AF_UNSPEC` for both
   */
  resolve(_host: string, _port: number, _family?: number): Future<ResolvedAddress[]> {
    const future = new Future<ResolvedAddress[]>();
    future.setException(new Error(`${this.constructor.name} does not provide resolve(): override it, or extend DefaultLoopResolver`));
    return future;
  }

  /** Frees what the resolver holds. The library's own hold nothing. */
  close(): void {
    // Nothing to free.
  }
}

/** The error for a name that has no address. */
export function notFound(host: string): Error {
  return namedSystemError("ENOTFOUND", UV_EAI_NONAME, "getaddrinfo", { hostname: host });
}

/** The default: Node's `dns.lookup`, so the C library's own answer, asked for in Node's thread pool. Tornado 5.0. */
export class DefaultLoopResolver extends Resolver {
  constructor(options: object = {}) {
    super();
    checkOptions(`new ${new.target.name}()`, this._optionKeys(), options);
  }

  /** Options of classes that keep them for ported code. @internal */
  _optionKeys(): readonly string[] {
    return [];
  }

  override resolve(host: string, port: number, family: number = AF_UNSPEC): Future<ResolvedAddress[]> {
    const future = new Future<ResolvedAddress[]>();
    try {
      if (typeof host !== "string") throw new TypeError(`host is ${show(host)}: pass a string`);
      checkWhole("port", port, 0, 65535);
      if (family !== AF_UNSPEC && family !== AF_INET && family !== AF_INET6) {
        throw new RangeError(`family is ${show(family)}: pass AF_INET, AF_INET6 or AF_UNSPEC`);
      }
      if (isValidIp(host)) {
        future.setResult(literal(host, port, family));
      } else {
        // Node's lookup answers an empty list for "", and the C library may take a name for what stands before a space or a NUL.
        // eslint-disable-next-line no-control-regex -- control characters are what is looked for
        if (host === "" || /[\s\0-\x1f\x7f]/.test(host)) throw notFound(host);
        lookup(host, port, family, future);
      }
    } catch (error) {
      future.setException(error);
    }
    return future;
  }
}

/** A literal answers itself. */
function literal(host: string, port: number, family: number): ResolvedAddress[] {
  return getaddrinfo(host, port, family, SOCK_STREAM, 0, AI_NUMERICHOST).map(([each, , , , address]) => [each, address]);
}

const NODE_FAMILIES: Readonly<Record<number, number>> = { [AF_UNSPEC]: 0, [AF_INET]: 4, [AF_INET6]: 6 };

function lookup(host: string, port: number, family: number, future: Future<ResolvedAddress[]>): void {
  dns.lookup(host, { all: true, family: NODE_FAMILIES[family] ?? 0, verbatim: true }, (error, found) => {
    if (future.done()) return; // Cancelled meanwhile.
    if (error !== null) future.setException(error);
    else if (found.length === 0) future.setException(notFound(host));
    else future.setResult(found.flatMap(({ address }) => literal(address, port, family)));
  });
}

/** The same under the name it has in Tornado 5.0 and later. */
export class DefaultExecutorResolver extends DefaultLoopResolver {}

/** Options that are accepted and change nothing: Node has its own threads for lookups. */
export interface ExecutorResolverOptions {
  executor?: unknown;
  closeExecutor?: boolean;
}

/** A kept name (Tornado 3.0): lookups do not block here either. */
export class ExecutorResolver extends DefaultLoopResolver {
  // eslint-disable-next-line @typescript-eslint/no-useless-constructor -- it narrows the type
  constructor(options?: ExecutorResolverOptions) {
    super(options);
  }

  /** @internal */
  override _optionKeys(): readonly string[] {
    return ["executor", "closeExecutor"];
  }
}

/** A kept name (Tornado 3.0): lookups do not block here either. */
export class BlockingResolver extends ExecutorResolver {}

/** A kept name (Tornado 3.0). */
export class ThreadedResolver extends DefaultLoopResolver {
  // eslint-disable-next-line @typescript-eslint/no-useless-constructor -- it narrows the type
  constructor(options?: { numThreads?: number }) {
    super(options);
  }

  /** @internal */
  override _optionKeys(): readonly string[] {
    return ["numThreads"];
  }
}

/** What stands for a host: another host, or for a key with a port another host and port. */
export type OverrideTarget = string | readonly [host: string, port: number];
/** What is looked for: a host, a host and port, or these for one family. */
export type OverrideKey = string | readonly [host: string, port: number] | readonly [host: string, port: number, family: number];
/** The exceptions of an {@link OverrideResolver}: an object by host, or pairs (a `Map`, an array). Array keys are compared by their contents. */
export type OverrideMapping = Readonly<Record<string, string>> | Iterable<readonly [OverrideKey, OverrideTarget]>;

/**
 * A resolver with exceptions: what the mapping names is looked up under its replacement, once; the rest passes through unchanged. It looks for
 * `[host, port, family]`, then `[host, port]`, then `host`.
 *
 * Tornado: `OverrideResolver`, keys with a family from 5.0. `Resolver.configure(OverrideResolver, { resolver, mapping })` works too.
 *
 * @example
 * const resolver = new OverrideResolver(new Resolver(), [
 *   ["example.com", "127.0.1.1"],
 *   [["login.example.com", 443], ["localhost", 1443]],
 * ]);
 */
export class OverrideResolver extends Resolver {
  /** Who looks up what is not replaced, and the replacements. */
  readonly resolver: Resolver;
  /** The exceptions, as given. */
  readonly mapping: OverrideMapping;
  readonly #targets: ReadonlyMap<string, OverrideTarget>;

  /**
   * @throws TypeError for what is no resolver or no mapping
   */
  constructor(resolver: Resolver, mapping: OverrideMapping);
  constructor(options: { resolver: Resolver; mapping: OverrideMapping });
  constructor(first: Resolver | { resolver: Resolver; mapping: OverrideMapping }, second?: OverrideMapping) {
    super();
    let resolver: unknown = first;
    let mapping: unknown = second;
    if (!isResolver(first)) {
      checkOptions("new OverrideResolver()", ["resolver", "mapping"], first);
      ({ resolver, mapping } = first);
    }
    if (!isResolver(resolver)) throw new TypeError(`resolver is ${show(resolver)}: pass a Resolver`);
    if (typeof mapping !== "object" || mapping === null) {
      throw new TypeError(`mapping is ${show(mapping)}: pass an object by host, or pairs of key and replacement`);
    }
    this.resolver = resolver;
    this.mapping = mapping as OverrideMapping;
    this.#targets = readMapping(this.mapping);
  }

  override resolve(host: string, port: number, family: number = AF_UNSPEC): Future<ResolvedAddress[]> {
    const exact = this.#targets.get(keyOf([host, port, family])) ?? this.#targets.get(keyOf([host, port]));
    if (exact !== undefined) return this.resolver.resolve(exact[0], exact[1] as number, family);
    return this.resolver.resolve((this.#targets.get(keyOf(host)) as string | undefined) ?? host, port, family);
  }

  override close(): void {
    this.resolver.close();
  }
}

export function isResolver(value: unknown): value is Resolver {
  return typeof (value as Partial<Resolver> | null | undefined)?.resolve === "function";
}

function keyOf(key: unknown): string {
  return JSON.stringify(key);
}

function readMapping(mapping: OverrideMapping): ReadonlyMap<string, OverrideTarget> {
  const pairs = (Symbol.iterator in mapping ? mapping : Object.entries(mapping)) as Iterable<readonly [OverrideKey, OverrideTarget]>;
  const targets = new Map<string, OverrideTarget>();
  for (const [key, target] of pairs) {
    if (typeof key === "string" ? typeof target !== "string" : !isHostAndPort(target)) {
      const right = typeof key === "string" ? "a host" : "[host, port]";
      throw new TypeError(`mapping has ${show(target)} for ${show(key)}: pass ${right}`);
    }
    if (typeof key !== "string" && !isHostAndPort(key.slice(0, 2))) {
      throw new TypeError(`mapping has the key ${show(key)}: pass a host, [host, port] or [host, port, family]`);
    }
    targets.set(keyOf(key), target);
  }
  return targets;
}

function isHostAndPort(value: unknown): boolean {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === "string" && typeof value[1] === "number";
}

for (const implementation of [DefaultLoopResolver, DefaultExecutorResolver, BlockingResolver, ThreadedResolver, ExecutorResolver]) {
  registerImplementation(Resolver, implementation.name, implementation);
}
registerImplementation(Resolver, "OverrideResolver", OverrideResolver);
