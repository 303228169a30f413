/**
 * A chat room over TCP: the first line is a name, every further one goes to all the others. Written with callbacks, as Tornado's own chat
 * examples were: each callback starts the next read.
 *
 *     npm start -- examples/chat-room.ts [port]
 */
import { type Address, IOLoop, IOStream, Socket } from "ioloop";

/** Who is in, by name. */
const guests = new Map<string, IOStream>();

function tellOthers(name: string, text: string): void {
  for (const [other, stream] of guests) if (other !== name && !stream.closed()) stream.write(`${text}\n`);
}

function enter(stream: IOStream): void {
  const onName = (line: Buffer): void => {
    const name = line.toString().trim();
    if (name === "" || guests.has(name)) {
      stream.write("That name will not do. Another?\n");
      stream.readUntil("\n", onName, { maxBytes: 100 });
      return;
    }
    guests.set(name, stream);
    stream.setCloseCallback(() => {
      guests.delete(name);
      tellOthers(name, `* ${name} has left`);
    });
    stream.write(`Welcome, ${name}. Present: ${[...guests.keys()].join(", ")}\n`);
    tellOthers(name, `* ${name} has come in`);
    listen(name, stream);
  };
  stream.write("Your name?\n");
  stream.readUntil("\n", onName, { maxBytes: 100 });
}

function listen(name: string, stream: IOStream): void {
  const onLine = (line: Buffer): void => {
    tellOthers(name, `${name}: ${line.toString().trimEnd()}`);
    stream.readUntil("\n", onLine, { maxBytes: 4096 });
  };
  stream.readUntil("\n", onLine, { maxBytes: 4096 });
}

const door = new Socket();
door.bind(["127.0.0.1", Number(process.argv[2] ?? 8889)]);
door.listen();
console.log(`the room is open on ${(door.getsockname() as Address & unknown[]).join(":")}`);
IOLoop.current().addHandler(
  door,
  () => {
    for (let pending = door.accept(); pending !== undefined; pending = door.accept()) enter(new IOStream(pending[0]));
  },
  IOLoop.READ,
);
IOLoop.current().start();
