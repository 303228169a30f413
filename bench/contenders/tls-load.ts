/**
 * The load of the TLS works, on this library's own streams: `tls-load.ts echo|source|sink PORT CONNECTIONS WARM_UP MILLISECONDS`, named for the server's
 * service. Prints "measuring" when the warm-up is over, then a line of JSON: how many answers or bytes, in how many milliseconds, what CPU time in
 * microseconds it took here, and for an echo the latencies in microseconds. The authority's certificate is PEM in the environment: TLS_CA.
 */
import { createDefaultContext, IOLoop, Socket, SSLIOStream } from "ioloop";
import { done, reportTime } from "./counted.js";

const CHUNK = 65_536;
const LINE = Buffer.from(`${"x".repeat(63)}\n`);

/** Microseconds of each answer. */
const latencies: number[] = [];

function echo(stream: SSLIOStream): void {
  let sent = performance.now();
  const onLine = (): void => {
    const now = performance.now();
    latencies.push((now - sent) * 1000);
    sent = now;
    done.count++;
    stream.write(LINE);
    stream.readUntil("\n", onLine);
  };
  stream.write(LINE);
  stream.readUntil("\n", onLine);
}

function source(stream: SSLIOStream): void {
  const target = Buffer.alloc(CHUNK);
  const read = (): void => {
    stream.readInto(target, onBytes, { partial: true });
  };
  const onBytes = (bytes: number): void => {
    done.count += bytes;
    read();
  };
  read();
}

function sink(stream: SSLIOStream): void {
  const chunk = Buffer.alloc(CHUNK, "x");
  const write = (): void => {
    done.count += CHUNK;
    stream.write(chunk, write);
  };
  write();
}

/** What is done with a connection, by the service of its server. */
const clients: Record<string, (stream: SSLIOStream) => void> = { echo, source, sink };
const [service = "", ...numbers] = process.argv.slice(2);
const client = clients[service];
if (client === undefined) throw new Error(`Unknown service ${service}`);
const [port = 0, connections = 50, warmUp = 500, milliseconds = 2000] = numbers.map(Number);

void IOLoop.current().start();
const sslOptions = createDefaultContext({ cadata: process.env["TLS_CA"] ?? "" });
await Promise.all(
  Array.from({ length: connections }, async () => {
    const stream = new SSLIOStream(new Socket(), { sslOptions });
    await stream.connect(["127.0.0.1", port], { serverHostname: "localhost" });
    client(stream);
  }),
);

/** Half, 99% and 99.9% of the answers came within these. */
function quantiles(): object {
  const sorted = latencies.slice(-done.count).sort((a, b) => a - b);
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((part) => sorted[Math.floor(part * sorted.length)]);
  return { latency: { p50, p99, p999 } };
}

// Whoever started this asks for the server's CPU time when "measuring" comes and when the report does.
await reportTime(warmUp, milliseconds, service === "echo" ? { figures: quantiles } : {});
process.exit();
