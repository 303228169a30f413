/** What every script pays for before it does anything, for `start.ts` to be compared with. */
export {};
