/** 2.A: construction. */
import { expect } from "chai";
import { BaseIOStream, IOStream, PipeIOStream } from "../../src/iostream/index.js";
import { closeDescriptor, pipe, Socket, socketpair, sys } from "../../src/platform/index.js";
import { makeLoop } from "../support/loop.js";
import { eachStream, thrown } from "./kinds.js";

const O_NONBLOCK = 0o4000;

describe("Constructing a stream", () => {
  it("S1 takes the defaults of Tornado, also for 0 and undefined", () => {
    const loop = makeLoop();
    const [a, b] = socketpair();
    const stream = new IOStream(a, { maxBufferSize: 0, readChunkSize: 0, maxWriteBufferSize: undefined });
    expect(stream.maxBufferSize).to.equal(104857600);
    expect(stream.readChunkSize).to.equal(65536);
    expect(stream.maxWriteBufferSize).to.equal(undefined);
    expect(stream.ioLoop).to.equal(loop);
    const other = makeLoop({ makeCurrent: false });
    const elsewhere = new IOStream(b, { ioLoop: other });
    expect(elsewhere.ioLoop).to.equal(other);
    stream.close();
    elsewhere.close();
  });

  it("S2 caps the chunk at half the buffer, never below 1", () => {
    makeLoop();
    const chunk = (options: object): number => {
      const stream = new IOStream(new Socket(), options);
      stream.close();
      return stream.readChunkSize;
    };
    expect(chunk({ maxBufferSize: 1000 })).to.equal(500);
    expect(chunk({ maxBufferSize: 10240 })).to.equal(5120);
    expect(chunk({ readChunkSize: 256 })).to.equal(256);
    expect(chunk({ maxBufferSize: 1 })).to.equal(1);
  });

  it("S2 refuses sizes that count nothing, and options it does not know", () => {
    makeLoop();
    using socket = new Socket();
    for (const name of ["maxBufferSize", "readChunkSize", "maxWriteBufferSize"]) {
      for (const value of [-1, 1.5, NaN]) {
        expect(() => new IOStream(socket, { [name]: value })).to.throw(RangeError, name);
      }
      expect(() => new IOStream(socket, { [name]: "1" })).to.throw(TypeError, name);
    }
    expect(() => new IOStream(socket, { chunk: 1 } as never)).to.throw(TypeError, "'chunk'");
    expect(() => new IOStream(socket, { ioLoop: {} } as never)).to.throw(TypeError, "ioLoop");
    expect(() => new IOStream(7 as never)).to.throw(TypeError, "socket is 7");
    expect(() => new PipeIOStream(-1)).to.throw(RangeError, "-1");
    expect(() => new PipeIOStream("x" as never)).to.throw(TypeError);
    expect(socket.closed).to.equal(false);
  });

  it("S4 makes the descriptor non-blocking", () => {
    makeLoop();
    const [readEnd, writeEnd] = pipe();
    sys.fcntl(readEnd, 4, 0);
    const stream = new PipeIOStream(readEnd);
    expect(sys.fcntl(readEnd, 3, 0) & O_NONBLOCK).to.equal(O_NONBLOCK);
    stream.close();
    closeDescriptor(writeEnd);
    const [a, b] = socketpair();
    sys.fcntl(a.fileno(), 4, 0);
    const overSocket = new IOStream(new Socket(undefined, undefined, undefined, { fileno: a.detach() }));
    expect(sys.fcntl(overSocket.fileno(), 3, 0) & O_NONBLOCK).to.equal(O_NONBLOCK);
    overSocket.close();
    b.close();
  });

  it("S4 S191 says that a closed descriptor is closed", () => {
    makeLoop();
    const [readEnd, writeEnd] = pipe();
    closeDescriptor(readEnd);
    expect(thrown(() => new PipeIOStream(readEnd))).to.include({ code: "EBADF" });
    closeDescriptor(writeEnd);
  });

  eachStream((it) => {
    it("S3 registers nothing", ({ loop, pair }) => {
      const before = loop.statistics().handlers;
      pair();
      expect(loop.statistics().handlers).to.equal(before);
    });

    it("S5 has a descriptor while it is open, -1 afterwards", ({ pair }) => {
      const { reader } = pair();
      expect(reader.fileno()).to.be.greaterThan(2);
      reader.close();
      expect(reader.fileno()).to.equal(-1);
    });

    it("S6 is fresh", ({ pair }) => {
      const { reader } = pair();
      expect([reader.reading(), reader.writing(), reader.closed(), reader.error]).to.deep.equal([false, false, false, undefined]);
      expect(reader).to.be.instanceOf(BaseIOStream);
    });

    it("S7 refuses what is no callback, and starts nothing", ({ pair }) => {
      const { reader, writer } = pair();
      for (const callback of ["x", 1, true, Symbol("s")] as never[]) {
        expect(() => reader.readBytes(1, callback)).to.throw(TypeError, "callback of readBytes");
        expect(() => reader.readUntil("\n", callback)).to.throw(TypeError, "callback of readUntil");
        expect(() => reader.readUntilRegex("\n", callback)).to.throw(TypeError, "callback of readUntilRegex");
        expect(() => reader.readInto(Buffer.alloc(1), callback)).to.throw(TypeError, "callback of readInto");
        expect(() => reader.readUntilClose(callback)).to.throw(TypeError, "callback of readUntilClose");
        expect(() => writer.write("x", callback)).to.throw(TypeError, "callback of write");
        expect(() => reader.setCloseCallback(callback)).to.throw(TypeError, "callback of setCloseCallback");
      }
      expect(() => writer.write("x", {} as never)).to.throw(TypeError);
      expect(() => reader.readBytes(1, { parcial: true } as never)).to.throw(TypeError, "'parcial'");
      expect(() => reader.readBytes(1, { partial: 1 } as never)).to.throw(TypeError, "partial is 1");
      expect(() => reader.readBytes(1, { streamingCallback: 1 } as never)).to.throw(TypeError, "streamingCallback");
      expect(() => reader.readUntil("x", { maxBytes: -1 })).to.throw(RangeError, "maxBytes is -1");
      expect(() => reader.readUntil("x", { maxBytes: "9" as never })).to.throw(TypeError, "maxBytes");
      expect(() => reader.readBytes(1, undefined, { signal: {} as never })).to.throw(TypeError, "signal");
      expect(reader.reading()).to.equal(false);
    });
  });
});
