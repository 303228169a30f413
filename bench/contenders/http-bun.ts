/** "Hello" by `Bun.serve`, for `http-ioloop.ts` to be compared with. */
import { ready } from "./ready.js";

/** The part of Bun that is used here. */
declare const Bun: {
  serve(options: { port: number; hostname: string; fetch(request: Request): Response }): { readonly port: number };
};

ready(Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("Hello") }).port);
