/** What every server here does for the one that started it: tells its port, and ends when its standard input does. */
export function ready(port: number): void {
  process.stdin.on("end", () => process.exit()).resume();
  console.log(port);
}
