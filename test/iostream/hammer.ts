/**
 * The hammer: streams under random operations in random callbacks, over a kernel that takes and gives as little as it likes, checked against
 * a model that is only an offset into a known sequence of bytes.
 *
 * A round is the life of one pair of streams. Each direction carries the bytes `contentOf(direction, offset)`, so whoever gets a piece knows
 * which bytes it must be: none lost, doubled or reordered. When the round is over every Future has settled, every close callback that was
 * not replaced has run exactly once, and a writer that closed in good order has had all its bytes delivered.
 */
import { type Future, isCancellation } from "../../src/concurrent/index.js";
import type { PollIOLoop } from "../../src/ioloop/index.js";
import { type BaseIOStream, SSLIOStream, StreamClosedError } from "../../src/iostream/index.js";
import { errno as errnoOf, sys, type SystemCalls } from "../../src/platform/index.js";
import { type Kind, kinds, randomNumbers } from "./kinds.js";

type Random = (limit: number) => number;

/**
 * TLS makes its system calls inside OpenSSL, out of the seam's reach, so its socket gives and takes little instead. It never says "not ready" of
 * itself: bytes that OpenSSL holds would then be told of by no event.
 */
function hostileTls({ socket }: SSLIOStream, random: Random): void {
  const recvInto = socket.recvInto.bind(socket);
  const send = socket.send.bind(socket);
  let refused = false;
  Object.assign(socket, {
    recvInto: (bytes: Uint8Array) => (random(3) === 0 ? recvInto(bytes, 1 + random(bytes.length)) : recvInto(bytes)),
    send: (bytes: Uint8Array) => {
      // What was refused may be encrypted already, and has to come again whole.
      const count = send(refused || random(3) > 0 ? bytes : bytes.subarray(0, 1 + random(bytes.length)));
      refused = count === undefined;
      return count;
    },
  });
}

/** Why a read is withdrawn: one for all, for each DOMException of an `abort()` without a reason has its own stack, a tenth of all the time. */
const WITHDRAWN = Object.assign(new Error("withdrawn"), { name: "AbortError" });

const SPAN = 1 << 16;

/** The bytes of a direction: letters, a line feed now and then. The same again after `SPAN` bytes, a prime less than a power of two. */
const sequences = [1, 2].map((seed) => {
  const random = randomNumbers(seed);
  return Buffer.from(Array.from({ length: SPAN - 15 }, () => (random(24) === 0 ? 10 : 97 + random(26))));
});

function contentOf(direction: number, offset: number, length: number): Buffer {
  const sequence = sequences[direction] as Buffer;
  const result = Buffer.allocUnsafe(length);
  for (let done = 0; done < length;) {
    const from = (offset + done) % sequence.length;
    done += sequence.copy(result, done, from, Math.min(sequence.length, from + length - done));
  }
  return result;
}

/** A kernel that gives and takes little, is interrupted, is not ready although it said so, and fails when it is allowed to. */
export class HostileKernel implements Disposable {
  readonly #random: Random;
  readonly #real: Partial<SystemCalls> = {};
  #errno = 0;
  /** The descriptors of streams: the loop's own are left alone. */
  readonly streams = new Set<number>();
  /** Those of them whose calls may fail for good. */
  readonly doomed = new Set<number>();

  constructor(random: Random) {
    this.#random = random;
    this.#take("errno", (real) => () => {
      const number = this.#errno;
      this.#errno = 0;
      return number === 0 ? real() : number;
    });
    for (const name of ["recv", "read"] as const) this.#take(name, (real) => this.#transfer(real, ["ECONNRESET", "ETIMEDOUT", "EIO"]));
    for (const name of ["send", "write"] as const) this.#take(name, (real) => this.#transfer(real, ["EPIPE", "ECONNRESET", "EIO"]));
    this.#take(
      "epoll_wait",
      (real) =>
        (...args) =>
          this.#random(40) === 0 ? this.#fail("EINTR") : real(...args),
    );
    this.#take("close", (real) => (fd) => {
      this.doomed.delete(fd);
      this.streams.delete(fd);
      const result = real(fd);
      // The number is free all the same (close(2)).
      return this.#random(40) === 0 ? this.#fail("EINTR") : result;
    });
    this.#take(
      "getsockopt",
      (real) =>
        (...args) =>
          this.#random(40) === 0 ? this.#fail("EINTR") : real(...args),
    );
  }

  #take<K extends keyof SystemCalls>(name: K, make: (real: SystemCalls[K]) => SystemCalls[K]): void {
    const real = sys[name];
    this.#real[name] = real;
    sys[name] = make(real);
  }

  #fail(code: string): number {
    this.#errno = errnoOf(code);
    return -1;
  }

  #transfer(real: SystemCalls["recv"], fatal: readonly string[]): SystemCalls["recv"] {
    return (fd, buf, length, flags) => {
      if (!this.streams.has(fd)) return real(fd, buf, length, flags);
      const fate = this.#random(64);
      if (fate < 3) return this.#fail("EINTR");
      if (fate < 7) return this.#fail("EAGAIN");
      if (fate === 7 && this.doomed.has(fd)) return this.#fail(fatal[this.#random(fatal.length)] as string);
      return real(fd, buf, fate < 40 ? Math.min(length, 1 + this.#random(fate < 20 ? 9 : 3000)) : length, flags);
    };
  }

  [Symbol.dispose](): void {
    Object.assign(sys, this.#real);
  }
}

/** One direction of a pair: what has been accepted for sending, and how far the reader has got. */
class Flow {
  readonly direction: number;
  sent = 0;
  got = 0;

  constructor(direction: number) {
    this.direction = direction;
  }

  /** The reader has got these bytes. */
  take(bytes: Uint8Array, what: string): void {
    const expected = contentOf(this.direction, this.got, bytes.length);
    demand(this.got + bytes.length <= this.sent, `${what}: ${this.got + bytes.length} bytes came, ${this.sent} were sent`);
    demand(expected.equals(bytes), `${what}: wrong bytes at ${this.got}, length ${bytes.length}`);
    this.got += bytes.length;
  }
}

/** A close callback that was set. */
interface CloseCallback {
  ran: number;
  /** Another took its place before the stream closed. */
  replaced: boolean;
}

/** One end of a pair. */
class End {
  readonly stream: BaseIOStream;
  /** What it receives, and what it sends; a pipe's end has one of them. */
  readonly incoming: Flow | undefined;
  readonly outgoing: Flow | undefined;
  readonly closeCallbacks: CloseCallback[] = [];
  /** Somebody else has closed it. */
  disturbed = false;
  /** The other end. */
  peer: End | undefined;
  /** It will write no more. */
  written = false;
  /** Its random reads. */
  reads: Promise<void> = Promise.resolve();

  constructor(stream: BaseIOStream, incoming: Flow | undefined, outgoing: Flow | undefined) {
    this.stream = stream;
    this.incoming = incoming;
    this.outgoing = outgoing;
  }
}

/** Rounds that share a loop, so that they close one another's streams and inherit one another's descriptor numbers. */
export class Hammer {
  readonly #loop: PollIOLoop;
  readonly #random: Random;
  readonly #kernel: HostileKernel;
  readonly #kinds: readonly Kind[];
  readonly #ends: End[] = [];
  readonly #futures: { done(): boolean }[] = [];
  #failure: unknown;

  constructor(loop: PollIOLoop, random: Random, kernel: HostileKernel, kindNames: readonly Kind["name"][]) {
    this.#loop = loop;
    this.#random = random;
    this.#kernel = kernel;
    this.#kinds = kinds.filter(({ name }) => kindNames.includes(name));
  }

  /** Runs `rounds` at once and checks what is left. */
  async run(rounds: number): Promise<void> {
    await Promise.all(Array.from({ length: rounds }, () => this.#guard(this.#round())));
    // Close callbacks come a few iterations after the close.
    for (let i = 0; i < 5; i++) await this.#turn();
    if (this.#failure !== undefined) throw this.#failure as Error;
    if (!this.#futures.every((future) => future.done())) throw new Error("A Future never settled");
    for (const { closeCallbacks, stream } of this.#ends) {
      for (const { ran, replaced } of closeCallbacks) {
        if (ran !== (replaced ? 0 : 1)) throw new Error(`A close callback ran ${ran} times, replaced: ${String(replaced)}`);
      }
      if (!stream.closed() || stream.reading() || stream.writing()) throw new Error("A stream is not done with");
    }
  }

  async #round(): Promise<void> {
    const random = this.#random;
    const kind = this.#kinds[random(this.#kinds.length)] as Kind;
    const options = () => ({
      ioLoop: this.#loop,
      readChunkSize: [0, 16, 100, 256, 4096][random(5)],
      maxBufferSize: random(3) === 0 ? 60_000 : 0,
    });
    const { reader, writer } = kind.connect(options(), options());
    const there = new Flow(0);
    const back = kind.duplex ? new Flow(1) : undefined;
    const receiver = new End(reader, there, back);
    const sender = new End(writer, back, there);
    receiver.peer = sender;
    sender.peer = receiver;
    this.#ends.push(receiver, sender);
    const descriptors = [reader.fileno(), writer.fileno()];
    for (const fd of descriptors) this.#kernel.streams.add(fd);
    if (random(4) === 0) for (const fd of descriptors) this.#kernel.doomed.add(fd);
    for (const end of [receiver, sender]) if (random(2) === 0) this.#setCloseCallback(end);
    for (const { stream } of [receiver, sender]) if (stream instanceof SSLIOStream) hostileTls(stream, random);
    const work: Promise<void>[] = [];
    for (const end of [receiver, sender]) {
      if (end.outgoing !== undefined) work.push(this.#write(end, end.outgoing));
      if (end.incoming !== undefined) end.reads = this.#read(end, end.incoming, random(6));
    }
    await this.#finish(receiver, sender, Promise.all(work));
    if (random(3) === 0) this.#setCloseCallback(sender);
    for (const { stream } of [receiver, sender]) stream.close();
    await this.#turn();
  }

  /** Ends a pair in good order: the sender has its answer, closes when all is written, and the receiver reads to the end. */
  async #finish(receiver: End, sender: End, work: Promise<unknown>): Promise<void> {
    const ends = [receiver, sender];
    const drained = ends.map(async (end) => {
      await end.reads;
      if (end.incoming !== undefined) await this.#drain(end);
    });
    await work;
    await Promise.all(drained);
    const { incoming } = receiver;
    const undisturbed = ends.every(({ disturbed, stream }) => !disturbed && stream.error === undefined);
    if (undisturbed && incoming !== undefined && incoming.got !== incoming.sent) {
      throw new Error(`${incoming.sent} bytes were sent, ${incoming.got} came`);
    }
  }

  /** Turns a failed check into a failed batch, without leaving the other rounds alone. */
  async #guard(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#failure ??= error;
    }
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#loop.addCallback(resolve);
    });
  }

  #setCloseCallback({ stream, closeCallbacks }: End): void {
    const earlier = closeCallbacks.at(-1);
    // On a closed stream the earlier one is scheduled already, and this one is too.
    if (earlier?.ran === 0 && !stream.closed()) earlier.replaced = true;
    if (earlier?.ran === 0 && stream.closed() && !earlier.replaced && stream._closeCallback !== undefined) {
      earlier.replaced = true;
    }
    const live = { ran: 0, replaced: false };
    closeCallbacks.push(live);
    stream.setCloseCallback(() => {
      live.ran++;
      if (!stream.closed()) this.#failure ??= new Error("A close callback ran before the close");
      this.#maybeCloseSomebody();
    });
  }

  #maybeCloseSomebody(): void {
    if (this.#random(60) !== 0) return;
    const end = this.#ends[this.#random(this.#ends.length)] as End;
    end.disturbed = true;
    end.stream.close(this.#random(2) === 0 ? new Error("by another") : undefined);
  }

  #track<T extends { done(): boolean }>(future: T): T {
    this.#futures.push(future);
    return future;
  }

  async #write(end: End, flow: Flow): Promise<void> {
    try {
      await this.#writes(end.stream, flow);
      while (end.stream.writing()) await this.#turn();
    } catch (error) {
      if (!(error instanceof StreamClosedError)) throw error;
    } finally {
      end.written = true;
    }
  }

  async #writes(stream: BaseIOStream, flow: Flow): Promise<void> {
    const random = this.#random;
    // Mostly little, for a byte costs a call where the kernel gives one at a time; now and then more than it can hold.
    const most = random(25) === 0 ? 150_000 : 1500;
    for (let left = random(6); left >= 0; left--) {
      const size = [0, 1, random(20), random(20), random(200), random(most)][random(6)] ?? 0;
      const data = contentOf(flow.direction, flow.sent, size);
      // Accepted, whatever becomes of it; the memory is the caller's again.
      const accept = (): void => {
        flow.sent += size;
        data.fill(0);
      };
      if (random(3) === 0) {
        stream.write(data, () => {
          this.#maybeCloseSomebody();
        });
        accept();
        if (random(2) === 0) await this.#turn();
      } else {
        const future = this.#track(stream.write(data));
        accept();
        if (random(12) === 0) future.cancel();
        else if (random(3) !== 0) await future;
      }
      this.#maybeCloseSomebody();
    }
  }

  async #read(end: End, flow: Flow, operations: number): Promise<void> {
    for (let left = operations; left > 0; left--) {
      try {
        await this.#readOnce(end.stream, flow);
      } catch (error) {
        if (error instanceof WrongResult || !(end.stream.closed() || isCancellation(error))) throw error;
        // Withdrawn, closed, or its descriptor failed within the call.
      }
      this.#maybeCloseSomebody();
    }
  }

  /** One read of any kind and style, which may be withdrawn; checks what it gives. */
  async #readOnce(stream: BaseIOStream, flow: Flow): Promise<void> {
    const random = this.#random;
    const controller = new AbortController();
    const { signal } = controller;
    const read = this.#someRead(flow);
    // Withdrawn after a few iterations at the latest: the sender may have no more to send.
    const withdraw = async (cancel: () => void): Promise<void> => {
      for (let i = random(12); i > 0; i--) await this.#turn();
      cancel();
    };
    try {
      if (random(3) === 0) {
        const called = new Promise<void>((resolve) => {
          read.begin(stream, signal, (result) => {
            this.#check(() => {
              read.check(result);
            });
            this.#maybeCloseSomebody();
            resolve();
          });
        });
        await Promise.race([called, withdraw(() => controller.abort(WITHDRAWN))]);
      } else {
        const future = this.#track(read.begin(stream, signal, undefined) as Future<Buffer | number>);
        void withdraw(random(2) === 0 ? () => controller.abort(WITHDRAWN) : () => future.cancel());
        read.check(await future);
      }
    } finally {
      // What was scheduled before the end still comes, and belongs to this read.
      await this.#turn();
      await this.#turn();
    }
  }

  #someRead(flow: Flow): SomeRead {
    const random = this.#random;
    const size = [0, 1, random(10), random(40), random(500)][random(5)] ?? 0;
    const partial = random(2) === 0;
    switch (random(6)) {
      case 0: {
        const target = Buffer.alloc(size);
        return {
          begin: (stream, signal, callback) => stream.readInto(target, callback as never, { partial, signal }),
          check: (count) => {
            demand(
              count === size || (partial && Number(count) > 0 && Number(count) < size),
              `readInto gave ${String(count)} bytes of ${size}`,
            );
            flow.take(target.subarray(0, count as number), "readInto");
          },
        };
      }
      case 1:
      case 2: {
        // One that two arrivals may split, and one that they cannot.
        const delimiter = random(2) === 0 ? "\n" : "ea";
        return {
          begin: (stream, signal, callback) => stream.readUntil(delimiter, callback as never, { signal }),
          check: (line) => {
            const bytes = line as Buffer;
            demand(
              bytes.indexOf(delimiter) === bytes.length - delimiter.length,
              "readUntil gave bytes that do not end with the first delimiter",
            );
            flow.take(bytes, "readUntil");
          },
        };
      }
      case 3:
        return {
          begin: (stream, signal, callback) => stream.readUntilRegex(/[a-m]\n/, callback as never, { signal }),
          check: (match) => {
            const text = String(match);
            demand(text.search(/[a-m]\n/) === text.length - 2, "readUntilRegex gave bytes that do not end with the first match");
            flow.take(match as Buffer, "readUntilRegex");
          },
        };
      case 4:
        return {
          begin: (stream, signal, callback) =>
            stream.readBytes(size, callback as never, { streamingCallback: this.#chunkTaker(flow), signal }),
          check: (rest) => {
            demand((rest as Buffer).length === 0, "A streamed read gave bytes at its end");
          },
        };
      default:
        return {
          begin: (stream, signal, callback) => stream.readBytes(size, callback as never, { partial, signal }),
          check: (bytes) => {
            const { length } = bytes as Buffer;
            demand(partial && size > 0 ? length > 0 && length <= size : length === size, `readBytes gave ${length} bytes of ${size}`);
            flow.take(bytes as Buffer, "readBytes");
          },
        };
    }
  }

  #chunkTaker(flow: Flow): (chunk: Buffer) => void {
    return (chunk) => {
      this.#check(() => {
        demand(chunk.length > 0, "A streamed chunk was empty");
        flow.take(chunk, "A chunk");
      });
      this.#maybeCloseSomebody();
    };
  }

  /** Reads what the other end has sent and will send, to the last byte that it has accepted for writing. */
  async #drain({ stream, incoming, peer }: End): Promise<void> {
    const flow = incoming as Flow;
    try {
      while (!(peer as End).written || flow.got < flow.sent) {
        const controller = new AbortController();
        this.#loop.callLater(0.002, () => controller.abort(WITHDRAWN));
        try {
          flow.take(await stream.readBytes(100_000, { partial: true, signal: controller.signal }), "A drained piece");
        } catch (error) {
          if (!isCancellation(error)) throw error;
        }
      }
    } catch (error) {
      if (error instanceof WrongResult || !stream.closed()) throw error;
    }
  }

  #check(verify: () => void): void {
    try {
      verify();
    } catch (error) {
      this.#failure ??= error;
    }
  }
}

interface SomeRead {
  begin(stream: BaseIOStream, signal: AbortSignal, callback: ((result: Buffer | number) => void) | undefined): unknown;
  check(result: Buffer | number): void;
}

/** The model and the stream disagree. */
class WrongResult extends Error {}

function demand(holds: boolean, otherwise: string): void {
  if (!holds) throw new WrongResult(otherwise);
}
