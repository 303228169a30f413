/** The library's face: everything public, under its TypeScript names. `ioloop/tornado` has the same classes under Tornado's. */
export * from "./concurrent/index.js";
export * from "./ioloop/index.js";
