/**
 * Types of objects that have both names, the library's and Python's: the entry `ioloop/asyncio` gives them at run time (`index.ts`). Depends on
 * `names.ts`.
 */
import type { SnakeName } from "../names.js";

/** The other name of a member, if it has one; internal members have none. */
type OtherName<K> = K extends `_${string}` ? never : K extends string ? (SnakeName<K> extends K ? never : SnakeName<K>) : never;

/** The members under their other names, but those in `Except`. */
export type OtherNames<T, Except = never> = { [K in keyof T as K extends Except ? never : OtherName<K>]: T[K] };

/** An object under both names. */
export type Both<T> = T & OtherNames<T>;
