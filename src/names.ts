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

/** Has `listen` called once for each class that is constructed from here on. */
function onFirstConstruction(listen: (constructor: object) => void): void {
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

// ---- Giving both names ----

/** Of each method name in Python's spelling the library's own. */
const libraryNames = new Map<string, string>();
/** Classes that have both names: the library's. What is between one of them and an object is a user's. */
const libraryClasses = new Set<unknown>();

/** Gives the members of one prototype or constructor their other names. */
function giveOtherNames(holder: object): void {
  for (const name of Object.getOwnPropertyNames(holder)) {
    const other = snakeName(name);
    if (other === name || Object.hasOwn(holder, other)) continue;
    libraryNames.set(other, name);
    Object.defineProperty(holder, other, {
      configurable: true,
      // What this very level has under the name, not what the object would answer: `super.handle_stream()` must not end in the override again.
      get(this: object): unknown {
        const owner = Object.hasOwn(this, name) ? this : holder;
        return Reflect.get(owner, name, this);
      },
      set(this: object, value: unknown) {
        Reflect.set(this, name, value);
      },
    });
  }
}

/** Makes the overrides of a user's class count under both names, on each level between it and the library. */
function adopt(constructor: object): void {
  const own: (object & { readonly prototype: object })[] = [];
  let each: unknown = constructor;
  for (; typeof each === "function" && !libraryClasses.has(each); each = Object.getPrototypeOf(each)) own.push(each);
  // A class of a part of the library whose other names nobody has asked for.
  if (typeof each !== "function") return;
  for (const holder of own.flatMap((one) => [one.prototype, one])) {
    for (const other of Object.getOwnPropertyNames(holder)) {
      const name = libraryNames.get(other);
      if (name === undefined || Object.hasOwn(holder, name) || !(name in holder)) continue;
      const descriptor = Object.getOwnPropertyDescriptor(holder, other);
      if (descriptor !== undefined) Object.defineProperty(holder, name, descriptor);
    }
    giveOtherNames(holder);
  }
}

/** Gives attributes that are no more than a field of an object, which no prototype shows, their other names. @internal */
export function giveFieldNames({ prototype }: { readonly prototype: object }, names: readonly string[]): void {
  for (const name of names) {
    Object.defineProperty(prototype, snakeName(name), {
      configurable: true,
      get(this: object): unknown {
        return Reflect.get(this, name);
      },
      set(this: object, value: unknown) {
        Reflect.set(this, name, value);
      },
    });
  }
}

/**
 * Gives the classes among a module's exports both names for each member, from here on also those of users that extend them, and answers all
 * exports under their other names.
 *
 * @internal
 */
export function giveBothNames(exports: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  for (const value of Object.values(exports)) {
    if (typeof value !== "function" || !("prototype" in value)) continue;
    // Base classes that are not exported by themselves have members of their own; built-in ones, such as Error, are not ours to rename.
    for (let each: unknown = value; typeof each === "function" && !isBuiltIn(each); each = Object.getPrototypeOf(each)) {
      if (libraryClasses.has(each)) break;
      libraryClasses.add(each);
      giveOtherNames(each.prototype as object);
      giveOtherNames(each);
    }
  }
  onFirstConstruction(adopt);
  return Object.fromEntries(Object.entries(exports).map(([name, value]) => [snakeName(name), value]));
}

function isBuiltIn(constructor: object): boolean {
  return constructor === Function.prototype || Function.prototype.toString.call(constructor).includes("[native code]");
}
