/**
 * Tornado's `util.Configurable`: a class whose constructor is a factory. `new Base()` makes an instance of the class that was configured
 * for it, by default the one that suits the platform; `new Implementation()` makes just that.
 */
import { inspect } from "node:util";

/** Options of a configurable class, as the factory passes them on. */
export type ConfigurableOptions = object;

/** A class of a configurable family. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each implementation has options of its own, and `new Base()` must accept them
export type ConfigurableClass<T> = new (options?: any) => T;

/** What `_saveConfiguration` gives and `_restoreConfiguration` takes. Opaque. */
export interface SavedConfiguration {
  readonly implementation: ConfigurableClass<unknown> | undefined;
  readonly defaults: ConfigurableOptions;
}

interface Family {
  implementation: ConfigurableClass<unknown> | undefined;
  defaults: ConfigurableOptions;
  readonly named: Map<string, ConfigurableClass<unknown>>;
}

/** By the root class of each family, so that every family is configured on its own. */
const families = new Map<unknown, Family>();

/** The settings of a family, by its root class. */
export function familyOf(base: unknown): Family {
  let family = families.get(base);
  if (family === undefined) {
    family = { implementation: undefined, defaults: {}, named: new Map() };
    families.set(base, family);
  }
  return family;
}

/** Lets `configure` know an implementation by its name. Modules that define one call this, so that the root need not import them. */
export function registerImplementation(base: unknown, name: string, implementation: ConfigurableClass<unknown>): void {
  familyOf(base).named.set(name, implementation);
}

/** The implementation of that name. */
export function implementationNamed<T>(base: unknown, name: string): ConfigurableClass<T> | undefined {
  return familyOf(base).named.get(name) as ConfigurableClass<T> | undefined;
}

/**
 * Chooses what `new Base()` makes and with which default options.
 *
 * @throws RangeError for a class that does not extend `base`, or an unknown name
 */
export function configureFamily(
  base: { name: string; prototype: object },
  implementation: ConfigurableClass<unknown> | string | undefined,
  defaults: ConfigurableOptions,
): void {
  const family = familyOf(base);
  let chosen = implementation;
  if (typeof chosen === "string") {
    chosen = family.named.get(chosen);
    if (chosen === undefined) {
      const known = [...family.named.keys()].join(", ");
      throw new RangeError(`impl is ${inspect(implementation)}, which names no implementation of ${base.name}: use one of ${known}`);
    }
  }
  if (chosen !== undefined && !isSubclass(chosen, base)) {
    throw new RangeError(`impl is ${inspect(implementation, { depth: 0 })}: pass a class that extends ${base.name}, a name, or undefined`);
  }
  family.implementation = chosen;
  family.defaults = { ...defaults };
}

function isSubclass(candidate: unknown, base: { prototype: object }): boolean {
  if (typeof candidate !== "function") return false;
  const { prototype } = candidate as { prototype?: unknown };
  // The root itself is not one: `new Base()` would make a `new Base()` for ever.
  return typeof prototype === "object" && prototype !== null && Object.prototype.isPrototypeOf.call(base.prototype, prototype);
}
