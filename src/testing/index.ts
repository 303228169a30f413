/** `ioloop/testing`: for people who test code that uses the loop, as in Tornado's `testing` module. */
export {
  AsyncTestCase,
  genTest,
  type GenTestFunction,
  type GenTestOptions,
  type GenTestWrapper,
  getAsyncTestTimeout,
  type WaitForStopOptions,
} from "./async-test-case.js";
export { ExpectLog, type ExpectLogOptions } from "./expect-log.js";
export { main, type MainOptions } from "./main.js";
export { bindUnusedPort, refusingPort } from "./unused-ports.js";
export { VirtualTimeIOLoop, type VirtualTimeOptions } from "./virtual-time-ioloop.js";
