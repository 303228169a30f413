/** What support modules check and take back when a test is over; the root hooks call it before they look for what is left. */
type EndOfTest = () => readonly string[] | Promise<readonly string[]>;

const checks: EndOfTest[] = [];

/** Adds a check that runs after every test: it cleans up what its module made for the test and says, one line each, what was wrong. */
export function atEndOfTest(check: EndOfTest): void {
  checks.push(check);
}

/** Runs every check. */
export async function endOfTestProblems(): Promise<string[]> {
  const problems: string[] = [];
  for (const check of checks) problems.push(...(await check()));
  return problems;
}
