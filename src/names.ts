/**
 * Two names for one thing: how a TypeScript name reads in Python, and the point where a class learns that it has been subclassed.
 *
 * The library itself speaks camelCase. `ioloop/tornado` gives its classes Tornado's names as well; for a subclass that overrides `handle_stream`
 * to be reached by the library's call of `handleStream`, that entry has to see the subclass before the first such call. JavaScript has no hook
 * for the making of a subclass, so the constructors that are made to be inherited from say here what is being constructed. Without
 * `ioloop/tornado` that is one comparison for each object.
 */

let listener: ((constructor: object) => void) | undefined;
const seen = new WeakSet();

/** Called by constructors with `new.target`. */
export function constructing(constructor: object): void {
  if (listener === undefined || seen.has(constructor)) return;
  seen.add(constructor);
  listener(constructor);
}

/** Has `listen` called once for each class that is constructed from here on. @internal */
export function onFirstConstruction(listen: (constructor: object) => void): void {
  listener = listen;
}

/** `addHandler` in Tornado's spelling: `add_handler`. Names of classes and constants stay as they are. */
export function snakeName(name: string): string {
  const start = /^_*/.exec(name)?.[0] ?? "";
  const rest = name.slice(start.length);
  return /^[a-z]/.test(rest) ? start + rest.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) : name;
}

/** `snakeName` on the level of types. */
export type SnakeName<S extends string> = S extends `_${infer R}` ? `_${SnakeName<R>}` : S extends Uncapitalize<S> ? SnakeTail<S> : S;

type SnakeTail<S extends string> = S extends `${infer C}${infer R}`
  ? C extends Lowercase<C>
    ? `${C}${SnakeTail<R>}`
    : `_${Lowercase<C>}${SnakeTail<R>}`
  : "";
