/**
 * `tail -f FILE | grep PATTERN`: two real child processes joined by our pipes, and their lines read as they come.
 *
 *     npm start -- examples/tail-grep.ts <file> <pattern> [lines to wait for]
 */
import { spawn } from "node:child_process";
import { closeDescriptor, IOLoop, pipe, PipeIOStream } from "ioloop";

const [file = "/var/log/syslog", pattern = "error", wanted = "Infinity"] = process.argv.slice(2);

// Node makes a descriptor that becomes a child's standard stream blocking, as programs like tail and grep expect theirs to be.
const [grepInput, tailOutput] = pipe();
const [ours, grepOutput] = pipe();
const tail = spawn("tail", ["-n", "+1", "-f", file], { stdio: ["ignore", tailOutput, "inherit"] });
const grep = spawn("grep", ["--line-buffered", pattern], { stdio: [grepInput, grepOutput, "inherit"] });
// The children have theirs now; these would keep the pipes open when a child has ended.
for (const end of [grepInput, tailOutput, grepOutput]) closeDescriptor(end);

const matches = new PipeIOStream(ours);
await IOLoop.current().runSync(async () => {
  let count = 0;
  while (count < Number(wanted)) {
    const line = await matches.readUntil("\n");
    console.log(`${++count}: ${line.toString().trimEnd()}`);
  }
});
matches.close();
tail.kill();
grep.kill();
