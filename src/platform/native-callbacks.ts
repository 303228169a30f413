/**
 * JavaScript functions that C code may call, each taking a slot of koffi's until it is released. Depends on the FFI binding.
 */
import { type Koffi, loadKoffi, type Pointer } from "./system-calls.js";

/** A function pointer for C and the way to give it up. */
export interface NativeCallback {
  /** What to pass where C wants a function pointer. */
  readonly pointer: Pointer;
  /** Frees the slot; idempotent. Never while the callback runs or C may still call it. */
  release(): void;
}

let registered = 0;

/** The types of callbacks by their signature: koffi keeps every type it was ever told of, 2 KB each. */
const types = new Map<string, ReturnType<Koffi["pointer"]>>();

/** How many callbacks are registered with koffi and not released. */
export function nativeCallbacks(): number {
  return registered;
}

/**
 * Makes a function that C may call on this thread. An exception that it throws does not reach whoever is waiting: catch inside.
 *
 * @param result the C type of the result
 * @param parameters the C types of the parameters
 */
export function registerCallback(result: string, parameters: readonly string[], callback: (...args: never[]) => unknown): NativeCallback {
  const ffi = loadKoffi();
  const signature = `${result}(${parameters.join()})`;
  let type = types.get(signature);
  if (type === undefined) types.set(signature, (type = ffi.pointer(ffi.proto(result, [...parameters]))));
  const pointer = ffi.register(callback, type);
  registered++;
  let live = true;
  return {
    pointer,
    release() {
      if (!live) return;
      live = false;
      registered--;
      ffi.unregister(pointer);
    },
  };
}
