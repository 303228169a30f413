/** Descriptors that are closed while they are registered, with and without a duplicate, and reused numbers (L55 of docs/spec/ioloop.md). */
import { expect } from "chai";
import { IOLoop, type PollIOLoop } from "../../src/ioloop/index.js";
import { eachCombination } from "../support/combinations.js";
import { realDelay, settle } from "../support/real-timers.js";
import { debugMessages, drain, Files, put, runPolls } from "./driving.js";

const nothing = (): void => undefined;
const { READ, WRITE, NONE } = IOLoop;

eachCombination((_, makeCombinedLoop) => {
  describe("IOLoop: a descriptor closed while it is registered", () => {
    const files = new Files();
    let loop: PollIOLoop;

    beforeEach(() => {
      loop = makeCombinedLoop();
    });

    afterEach(() => {
      files.close();
    });

    /** Runs the started loop until nothing is left of the registration, then sees that it sleeps. */
    const expectToSleep = async (): Promise<void> => {
      await settle(() => loop.statistics().waiting);
      await realDelay(30);
      let made = Infinity;
      // What it takes until then is over in a few iterations, which a busy machine may spread; a spinning loop makes thousands each time.
      for (let attempt = 0; attempt < 20 && made > 1; attempt++) {
        const { iterations } = loop.statistics();
        await realDelay(60);
        made = loop.statistics().iterations - iterations;
      }
      expect(made).to.be.at.most(1);
    };

    it("L55 gives no further events", async () => {
      const [reader, writer] = files.pipe();
      let runs = 0;
      loop.addHandler(reader, () => runs++, READ);
      const ended = loop.start();
      await settle(() => loop.statistics().waiting);
      const copy = files.dup(writer);
      files.drop(reader);
      files.drop(writer);
      files.drop(copy);
      await expectToSleep();
      expect(runs).to.equal(0);
      loop.stop();
      await ended;
      loop.removeHandler(reader);
    });

    it("L55 gives at most a few while a duplicate stays open, and the loop does not spin", async () => {
      const [reader] = files.fullPipe();
      files.dup(reader);
      let runs = 0;
      loop.addHandler(reader, () => runs++, READ);
      const ended = loop.start();
      files.drop(reader);
      expect(await settle(() => !loop._handlers.has(reader))).to.equal(true);
      expect(runs).to.be.at.most(8);
      await expectToSleep();
      expect(runs).to.be.at.most(8);
      expect(debugMessages().join()).to.include(`Descriptor ${reader} was closed`);
      loop.stop();
      await ended;
    });

    it("L55 gives none after removeHandler, though that came after the close and a duplicate stays open", async () => {
      const [reader] = files.fullPipe();
      files.dup(reader);
      let runs = 0;
      loop.addHandler(reader, () => runs++, READ);
      files.drop(reader);
      loop.removeHandler(reader);
      const ended = loop.start();
      await expectToSleep();
      expect(runs).to.equal(0);
      loop.stop();
      await ended;
    });

    it("L55 goes on with the other registrations after that", async () => {
      const [reader] = files.fullPipe();
      const [other, writer] = files.pipe();
      files.dup(reader);
      let runs = 0;
      loop.addHandler(reader, nothing, READ);
      loop.addHandler(
        other,
        (fd) => {
          drain(fd);
          runs++;
        },
        READ,
      );
      const ended = loop.start();
      files.drop(reader);
      await settle(() => !loop._handlers.has(reader));
      await expectToSleep();
      for (let each = 1; each <= 3; each++) {
        put(writer);
        expect(await settle(() => runs === each)).to.equal(true);
      }
      loop.updateHandler(other, NONE);
      put(writer);
      await expectToSleep();
      expect(runs).to.equal(3);
      loop.updateHandler(other, READ);
      expect(await settle(() => runs === 4)).to.equal(true);
      loop.stop();
      await ended;
      loop.removeHandler(other);
    });

    for (const duplicate of [false, true]) {
      it(`L55 leaves its number to a new registration${duplicate ? " also while a duplicate stays open" : ""}`, async () => {
        const [reader] = files.fullPipe();
        if (duplicate) files.dup(reader);
        const [fresh, writer] = files.fullPipe();
        const ran: string[] = [];
        loop.addHandler(reader, () => ran.push("old"), READ);
        files.drop(reader);
        files.moveTo(fresh, reader);
        loop.addHandler(
          reader,
          (fd) => {
            ran.push("new");
            drain(fd);
          },
          READ,
        );
        const ended = loop.start();
        expect(await settle(() => ran.length > 0)).to.equal(true);
        await expectToSleep();
        expect(ran).to.deep.equal(["new"]);
        put(writer);
        expect(await settle(() => ran.length > 1)).to.equal(true);
        expect(ran).to.deep.equal(["new", "new"]);
        loop.stop();
        await ended;
        loop.removeHandler(reader);
        expect(loop.statistics().handlers).to.equal(0);
      });
    }

    it("L55 does not let an interest that was still to be told reach the new registration", async () => {
      const [socket, fresh] = [files.pair()[0], files.pair()[0]];
      const number = files.adopt(socket.detach());
      const ran: string[] = [];
      loop.addHandler(number, () => ran.push("old"), READ);
      loop.updateHandler(number, WRITE);
      files.drop(number);
      files.moveTo(files.adopt(fresh.detach()), number);
      loop.addHandler(number, () => ran.push("new"), NONE);
      await runPolls(loop, 2);
      // It is writable, but that was asked for the old one.
      expect(ran).to.deep.equal([]);
      loop.removeHandler(number);
    });

    it("L47 L55 does not give an event of the batch to a file that was closed and followed by another within it", async () => {
      const pipes = [files.fullPipe(), files.fullPipe()];
      const [fresh] = files.pipe();
      const ran: string[] = [];
      const handler = (fd: number): void => {
        ran.push("old");
        loop.removeHandler(fd);
        // The other one of the batch, without a removeHandler().
        const [[other] = [-1]] = pipes.filter(([reader]) => reader !== fd);
        files.drop(other);
        files.moveTo(fresh, other);
        loop.addHandler(other, () => ran.push("new"), READ);
      };
      for (const [reader] of pipes) loop.addHandler(reader, handler, READ);
      await runPolls(loop, 3);
      expect(ran).to.deep.equal(["old"]);
      for (const [reader] of pipes) loop.removeHandler(reader);
    });

    it("L55 gives at most a few events of another file that got the number and was never registered", async () => {
      const [reader] = files.pipe();
      files.dup(reader);
      const [fresh] = files.fullPipe();
      let runs = 0;
      loop.addHandler(reader, () => runs++, READ);
      files.drop(reader);
      files.moveTo(fresh, reader);
      const ended = loop.start();
      await expectToSleep();
      expect(runs).to.be.at.most(8);
      loop.stop();
      await ended;
      loop.removeHandler(reader);
    });
  });
});
