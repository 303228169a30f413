/**
 * Async context (`AsyncLocalStorage`) of what the loop runs: the context of the call that scheduled it, or none at all (H12).
 *
 * `AsyncResource` carries it on every Node: making one costs about 50 ns, where `AsyncLocalStorage.snapshot()` costs 7 µs on Node 20.
 */
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";

/** Any function a user may schedule. */
export type Callback<A extends unknown[] = unknown[]> = (...args: A) => unknown;

/** Neither init nor destroy hooks are ours to serve; without this every resource would be tracked for collection while a hook is active. */
export const UNTRACKED = { requireManualDestroy: true } as const;

/** What the loop runs once: the user's function, to name where it fails, and how. */
export interface Runnable {
  readonly callback: Callback<never> | undefined;
  run(): unknown;
}

/** Most callbacks have no arguments; sharing one array for those makes a queue of a million of them 16 MB smaller. */
export const NO_ARGUMENTS: readonly unknown[] = [];

/** A user's function with its arguments and the async context it was scheduled in. */
export class BoundCallback extends AsyncResource implements QueuedCallback {
  readonly callback: Callback<never>;
  readonly args: readonly unknown[];
  /** Link of the callback queue, which is a list of these. */
  next: QueuedCallback | undefined = undefined;

  constructor(callback: Callback<never>, args: readonly unknown[]) {
    super("IOLoop.callback", UNTRACKED);
    this.callback = callback;
    this.args = args.length === 0 ? NO_ARGUMENTS : args;
  }

  run(): unknown {
    return this.runInAsyncScope(this.callback as Callback, undefined, ...this.args);
  }
}

/**
 * Calls `callback` in a resource made for this one call, in the context that is active. Up to Node 22 `AsyncLocalStorage.enterWith` writes into
 * the resource that runs, so what a function enters would be there for the next one in the same resource.
 */
function callInOwnResource(callback: Callback, args: readonly unknown[]): unknown {
  return new AsyncResource("IOLoop.call", UNTRACKED).runInAsyncScope(callback, undefined, ...args);
}

/** The same for `spawnCallback` and `addCallbackFromSignal`: runs in the turn's own context, which is none. */
export class FreeCallback implements QueuedCallback {
  readonly callback: Callback<never>;
  readonly args: readonly unknown[];
  next: QueuedCallback | undefined = undefined;

  constructor(callback: Callback<never>, args: readonly unknown[]) {
    this.callback = callback;
    this.args = args;
  }

  run(): unknown {
    return callInOwnResource(this.callback as Callback, this.args);
  }
}

/** A context that serves more than one call: of a handler, of a wake handle's callback, of a schedule. */
export class Context extends AsyncResource {
  constructor() {
    super("IOLoop.context", UNTRACKED);
  }

  call(callback: Callback<never>, ...args: unknown[]): unknown {
    return this.runInAsyncScope(callInOwnResource, undefined, callback, args);
  }
}

/** The same for a wake handle, whose one context serves every wake. */
export class ContextCallback implements QueuedCallback {
  readonly callback: Callback<never>;
  next: QueuedCallback | undefined = undefined;
  readonly #context: Context;

  constructor(callback: Callback<never>, context: Context) {
    this.callback = callback;
    this.#context = context;
  }

  run(): unknown {
    return this.#context.call(this.callback);
  }
}

/** What a callback queue holds; each is the link to the next. */
export interface QueuedCallback extends Runnable {
  readonly callback: Callback<never>;
  next: QueuedCallback | undefined;
}

/**
 * A resource whose context holds no store.
 *
 * There is no public way to leave every store at once, and this module may itself be imported inside one. Where the store lives differs:
 * up to Node 22 each AsyncLocalStorage puts it on the resource under a symbol of its own (kResourceStore), from Node 24 on the resource holds
 * one frame (context_frame), or with --no-async-context-frame one object for all (kAsyncLocalStorageContext). All are own symbol properties,
 * so they are removed by name. Should a future Node keep it elsewhere, the probe notices, and such callbacks run in whatever context the
 * turn met.
 */
function makeBareResource(): AsyncResource | undefined {
  const probe = new AsyncLocalStorage<boolean>();
  const resource = probe.run(true, () => new AsyncResource("IOLoop", UNTRACKED));
  for (const key of Object.getOwnPropertySymbols(resource)) {
    if (/store|storage|frame/i.test(key.description ?? "")) Reflect.deleteProperty(resource, key);
  }
  const bare = resource.runInAsyncScope(() => probe.getStore()) === undefined;
  // A storage in use keeps Node's promise hooks on up to Node 22, and with them every `await` of the process takes four times as long.
  probe.disable();
  return bare ? resource : undefined;
}

let bareResource: { resource: AsyncResource | undefined } | undefined;

/** Calls `fn` with no store active, so that what it schedules with Node runs without one too. Used where a turn is set off from user code. */
export function withoutContext<R>(fn: () => R): R {
  bareResource ??= { resource: makeBareResource() };
  const { resource } = bareResource;
  return resource === undefined ? fn() : resource.runInAsyncScope(fn);
}
