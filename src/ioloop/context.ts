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

/** Calls a function in a resource. Without arguments nothing is spread, which would take 20 ns of 30 (Node 20). */
export function callIn(resource: AsyncResource, callback: Callback, args: readonly unknown[]): unknown {
  return args.length === 0 ? resource.runInAsyncScope(callback) : resource.runInAsyncScope(callback, undefined, ...args);
}

/** A user's function with its arguments and the async context it was scheduled in. */
export class BoundCallback extends AsyncResource implements QueuedCallback {
  readonly callback: Callback<never>;
  readonly args: readonly unknown[];

  constructor(callback: Callback<never>, args: readonly unknown[]) {
    super("IOLoop.callback", UNTRACKED);
    this.callback = callback;
    this.args = args.length === 0 ? NO_ARGUMENTS : args;
  }

  run(): unknown {
    return callIn(this, this.callback as Callback, this.args);
  }
}

/**
 * Calls `callback` in a resource made for this one call, in the context that is active. Up to Node 22 `AsyncLocalStorage.enterWith` writes into
 * the resource that runs, so what a function enters would be there for the next one in the same resource.
 */
function callInOwnResource(callback: Callback, args: readonly unknown[]): unknown {
  return callIn(new AsyncResource("IOLoop.call", UNTRACKED), callback, args);
}

/** The same for `spawnCallback` and `addCallbackFromSignal`: runs in the turn's own context, which is none. */
export class FreeCallback implements QueuedCallback {
  readonly callback: Callback<never>;
  readonly args: readonly unknown[];

  constructor(callback: Callback<never>, args: readonly unknown[]) {
    this.callback = callback;
    this.args = args.length === 0 ? NO_ARGUMENTS : args;
  }

  run(): unknown {
    return callInOwnResource(this.callback as Callback, this.args);
  }
}

/** A function to be called in the async context that is active now. Where that is none, and there are no arguments, nothing goes with it. */
export function bindCallback(callback: Callback<never>, args: readonly unknown[]): QueuedCallback {
  return args.length === 0 && !hasContext() ? new FreeCallback(callback, args) : new BoundCallback(callback, args);
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
  readonly #context: Context;

  constructor(callback: Callback<never>, context: Context) {
    this.callback = callback;
    this.#context = context;
  }

  run(): unknown {
    return this.#context.call(this.callback);
  }
}

/** What a callback queue holds. */
export interface QueuedCallback extends Runnable {
  readonly callback: Callback<never>;
}

/** What has been found out about this Node. */
interface ContextKeeping {
  /** A resource whose context holds no store; `undefined` where there is no way to make one. */
  readonly bare: AsyncResource | undefined;
  /** Under which key a resource has its context, if it is always the same one. */
  readonly frame: symbol | undefined;
  /** Whether a look at a new resource tells if there is a context. */
  tells: boolean;
}

/**
 * Looks at a resource made inside a store.
 *
 * There is no public way to leave every store at once, and this module may itself be imported inside one. Where the store lives differs:
 * up to Node 22 a hook of each AsyncLocalStorage puts it on the resource under a symbol of its own (kResourceStore), from Node 24 on the
 * resource holds one frame (context_frame), or with --no-async-context-frame one object for all, put there by a hook too
 * (kAsyncLocalStorageContext). All are own symbol properties, so they are removed by name. Should a future Node keep it elsewhere, the probe
 * notices: what should run in no context runs in whatever the turn met, and a context is taken to be there always.
 */
function findOut(): ContextKeeping {
  const probe = new AsyncLocalStorage<boolean>();
  const found = (): ContextKeeping => {
    const resource = new AsyncResource("IOLoop", UNTRACKED);
    const keys = Object.getOwnPropertySymbols(resource).filter((key) => /store|storage|frame/i.test(key.description ?? ""));
    const frame = keys.find((key) => /frame/i.test(key.description ?? "") && Reflect.get(resource, key) !== undefined);
    for (const key of keys) Reflect.deleteProperty(resource, key);
    const bare = resource.runInAsyncScope(() => probe.getStore()) === undefined ? resource : undefined;
    return { bare, frame, tells: frame !== undefined || untoldResource() === undefined };
  };
  // In a scope of its own: from Node 24 on, code that has entered a store once goes on with a frame, if an empty one, where it had none.
  const keeping = new AsyncResource("IOLoop", UNTRACKED).runInAsyncScope(() => probe.run(true, found));
  // A storage in use keeps Node's promise hooks on up to Node 22, and with them every `await` of the process takes four times as long.
  probe.disable();
  return keeping;
}

let keeping: ContextKeeping | undefined;

/** A new resource; `undefined` if there is a hook to be told of it, for then Node refuses one whose type is empty (ERR_ASYNC_TYPE). */
function untoldResource(): AsyncResource | undefined {
  try {
    return new AsyncResource("", UNTRACKED);
  } catch {
    return undefined;
  }
}

/**
 * Whether there may be an async context to take along.
 *
 * It is asked because a resource that waits is dear: less for the 20 ns of making it than because the collector moves it twice. A million
 * callbacks, added and then run, take 0.12 µs of CPU each without one and 0.24 µs with it (Node 20, `npm run bench:loop`).
 */
function hasContext(): boolean {
  keeping ??= findOut();
  if (!keeping.tells) return true;
  const resource = untoldResource();
  if (resource === undefined) {
    // Where there are hooks they tend to stay, and to be refused costs 5 µs: it is not asked again.
    keeping.tells = false;
    return true;
  }
  const { frame } = keeping;
  return frame !== undefined && (resource as unknown as Record<symbol, unknown>)[frame] !== undefined;
}

/** Calls `fn` with no store active, so that what it schedules with Node runs without one too. Used where a turn is set off from user code. */
export function withoutContext<R>(fn: () => R): R {
  keeping ??= findOut();
  const { bare } = keeping;
  return bare === undefined ? fn() : bare.runInAsyncScope(fn);
}
