/** `ioloop/tornado`: every public name has its other one, both type-check, and an override counts under either. */
import { expect } from "chai";
import * as library from "../src/index.js";
import { type SnakeName, snakeName } from "../src/names.js";
import * as tornado from "../src/tornado.js";
import { expectLog } from "./support/log-records.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <_T extends true>(): void => undefined;

type AnyClass = new (...args: never[]) => object;

function libraryClasses(): AnyClass[] {
  const isClass = (value: unknown): value is AnyClass =>
    typeof value === "function" && Function.prototype.toString.call(value).startsWith("class");
  return (Object.values(library) as unknown[]).filter(isClass);
}

/** The names of its own and inherited members, but those of JavaScript's own classes. */
function memberNames(object: object): string[] {
  const names = new Set<string>();
  for (let each = object; !builtIn.has(each); each = Object.getPrototypeOf(each) as object) {
    for (const name of Object.getOwnPropertyNames(each)) names.add(name);
  }
  return [...names];
}

const builtIn = new Set<object>([Object.prototype, Function.prototype, Error, Error.prototype]);
const withTwoNames = (name: string): boolean => snakeName(name) !== name;

describe("ioloop/tornado", () => {
  it("derives the names as Tornado spells them, at run time and in types", () => {
    holds<Equal<SnakeName<"addHandler">, "add_handler">>();
    holds<Equal<SnakeName<"_handleEvents">, "_handle_events">>();
    holds<Equal<SnakeName<"putNowait">, "put_nowait">>();
    holds<Equal<SnakeName<"READ" | "_EPOLLIN" | "IOLoop" | "time">, "READ" | "_EPOLLIN" | "IOLoop" | "time">>();
    expect(["addHandler", "_handleEvents", "putNowait", "hasIpv6", "READ", "_EPOLLIN", "IOLoop", "time"].map(snakeName)).to.deep.equal([
      "add_handler",
      "_handle_events",
      "put_nowait",
      "has_ipv6",
      "READ",
      "_EPOLLIN",
      "IOLoop",
      "time",
    ]);
  });

  it("exports everything that the library exports, under its other name", () => {
    for (const [name, value] of Object.entries(library)) {
      expect(tornado, name).to.have.property(snakeName(name));
      expect((tornado as Record<string, unknown>)[snakeName(name)], name).to.equal(value);
    }
  });

  it("gives every method of every class its other name", () => {
    const classes = libraryClasses();
    expect(classes.length).to.be.greaterThan(15);
    for (const each of classes) {
      for (const holder of [each, each.prototype as object]) {
        const names = memberNames(holder);
        for (const name of names.filter(withTwoNames)) expect(names, `${each.name}: ${name}`).to.include(snakeName(name));
      }
    }
  });

  it("gives the attributes of objects their other names", () => {
    using loop = new library.IOLoop({ makeCurrent: false, timeFunc: () => 1000 });
    const [ours, theirs] = library.socketpair();
    using stream = new library.IOStream(ours, { ioLoop: loop });
    const objects = [
      loop,
      new library.PeriodicCallback(() => undefined, 5, { ioLoop: loop }),
      stream,
      new library.StreamClosedError(new Error("cause")),
      new library.Future(),
      theirs,
    ];
    for (const object of objects) {
      for (const name of Object.getOwnPropertyNames(object).filter((each) => withTwoNames(each) && !each.startsWith("_"))) {
        expect(Reflect.get(object, snakeName(name)), `${object.constructor.name}: ${name}`).to.equal(Reflect.get(object, name));
      }
    }
    Reflect.set(stream, "max_buffer_size", 77);
    expect(stream.maxBufferSize).to.equal(77);
    theirs.close();
  });

  it("type-checks under both names, results included", async () => {
    using loop = new tornado.IOLoop({ makeCurrent: false });
    const seen: string[] = [];
    const handle = loop.add_timeout({ milliseconds: 1 }, (word: string) => seen.push(word), "timeout");
    loop.remove_timeout(handle);
    // @ts-expect-error -- the arguments are those of the callback
    loop.add_callback((word: string) => seen.push(word), 5);
    loop.addCallback((word: string) => seen.push(word), "camel");
    loop.call_later(0, loop.stop);
    await loop.start();
    expect(seen).to.deep.equal([5, "camel"]);

    const future = new tornado.Future<number>();
    future.set_result(7);
    expect(future.result()).to.equal(7);
    holds<Equal<ReturnType<tornado.IOStream["read_bytes"]> extends undefined ? true : false, false>>();
    expect(tornado.is_future(future)).to.equal(true);
    expect(tornado.IOLoop).to.equal(library.IOLoop);
  });

  for (const name of ["handleCallbackException", "handle_callback_exception"] as const) {
    it(`calls an override of a subclass named ${name}, which may call the original`, async () => {
      const failures: unknown[] = [];
      class Snake extends tornado.EPollIOLoop {
        handle_callback_exception(callback: unknown, error: unknown): void {
          failures.push(error);
          // Of a method made to be overridden TypeScript knows the original by its camelCase name; at run time either will do.
          const original = Reflect.get(tornado.EPollIOLoop.prototype, "handle_callback_exception") as typeof this.handleCallbackException;
          if (error === "logged") original.call(this, callback, error);
        }
      }
      class Camel extends tornado.EPollIOLoop {
        override handleCallbackException(callback: unknown, error: unknown): void {
          failures.push(error);
          if (error === "logged") super.handleCallbackException(callback, error);
        }
      }
      using loop = new (name === "handleCallbackException" ? Camel : Snake)({ makeCurrent: false });
      loop.add_callback(() => {
        throw new Error("thrown");
      });
      loop.add_callback(loop.stop);
      await loop.start();
      expect(failures.map(String)).to.deep.equal(["Error: thrown"]);
      // Either name reaches it from outside as well.
      loop.handleCallbackException(undefined, "by camel");
      (loop as unknown as tornado.IOLoop).handle_callback_exception(undefined, "by snake");
      expect(failures.slice(1)).to.deep.equal(["by camel", "by snake"]);
      expectLog("application", "error", /Exception in callback/);
      loop.handleCallbackException(undefined, "logged");
    });
  }

  it("calls the override of the subclass that is nearer, whichever names the two use", () => {
    class First extends tornado.EPollIOLoop {
      override handleCallbackException(): void {
        calls.push("first");
      }
    }
    class Second extends First {
      handle_callback_exception(): void {
        calls.push("second");
        super.handleCallbackException();
      }
    }
    const calls: string[] = [];
    using loop = new Second({ makeCurrent: false });
    loop.handleCallbackException();
    expect(calls).to.deep.equal(["second", "first"]);
  });

  for (const name of ["addCallback", "add_callback"] as const) {
    it(`calls an override on one object named ${name}`, async () => {
      using loop = new tornado.IOLoop({ makeCurrent: false });
      const calls: unknown[] = [];
      const original = loop[name].bind(loop);
      loop[name] = ((callback: () => unknown) => {
        calls.push(callback);
        original(callback);
      }) as (typeof loop)[typeof name];
      const future = new tornado.Future<void>({ loop });
      const done = (): void => loop.stop();
      loop.add_future(future, done);
      future.set_result(undefined);
      await loop.start();
      expect(calls).to.have.length(1);
    });
  }

  it("calls an override of a stream's descriptor methods under either name", () => {
    using loop = new tornado.IOLoop({ makeCurrent: false });
    class Counting extends tornado.IOStream {
      read = 0;
      read_from_fd(buf: Uint8Array): number | undefined {
        this.read++;
        return super.readFromFd(buf);
      }
    }
    const [ours, theirs] = tornado.socketpair();
    theirs.send("hello");
    using stream = new Counting(ours, { ioLoop: loop });
    expect(stream.read_bytes(5).result().toString()).to.equal("hello");
    expect(stream.read).to.equal(1);
    theirs.close();
  });
});
