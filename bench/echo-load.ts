/** The load of `bench/c/load.c` in Node, for machines without a compiler: `node --import tsx bench/echo-load.ts PORT CONNECTIONS MILLISECONDS`. */
import { connect } from "node:net";

const [port = 0, connections = 50, milliseconds = 2000] = process.argv.slice(2).map(Number);
const line = Buffer.from(`${"x".repeat(63)}\n`);
let answers = 0;
for (let i = 0; i < connections; i++) {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  let got = 0;
  socket.on("data", (data) => {
    got += data.length;
    if (got > line.length) throw new Error("A wrong answer");
    if (got < line.length) return;
    got = 0;
    answers++;
    socket.write(line);
  });
  socket.write(line);
}
setTimeout(() => {
  const begun = performance.now();
  answers = 0;
  setTimeout(() => {
    console.log(Math.round((answers / (performance.now() - begun)) * 1000));
    process.exit();
  }, milliseconds);
}, milliseconds / 10);
