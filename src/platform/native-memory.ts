/**
 * Memory outside the JavaScript heap, for calls that run in another thread.
 *
 * A koffi call with `.async` keeps none of its arguments alive: a Buffer that is collected meanwhile is written to all the same. What is
 * allocated here stays until it is freed by hand. Depends on the FFI binding.
 */
import { loadKoffi, type NativeMemory } from "./system-calls.js";

let allocated = 0;

/** How many pieces of native memory are not freed yet: for leak tests. */
export function nativeAllocations(): number {
  return allocated;
}

/**
 * Allocates zeroed memory that never moves. The caller frees it, and never while a call is in flight.
 *
 * @param bytes how many, at least 1
 * @throws RangeError when `bytes` is not a positive integer
 */
export function allocNative(bytes: number): NativeMemory {
  if (!Number.isSafeInteger(bytes) || bytes < 1) throw new RangeError(`Invalid size ${bytes} of native memory: use a positive integer`);
  const ffi = loadKoffi();
  const pointer = ffi.alloc("uint8_t", bytes) as bigint;
  allocated++;
  let view: Buffer | undefined = Buffer.from(ffi.view(pointer, bytes)).fill(0);
  return {
    get bytes() {
      if (view === undefined) throw new Error("This native memory has been freed");
      return view;
    },
    pointer,
    free() {
      if (view === undefined) return;
      view = undefined;
      allocated--;
      ffi.free(pointer);
    },
  };
}
