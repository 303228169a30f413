/**
 * A concurrent spider: ten workers share a Queue of addresses, and what a page links to goes back into it. Tornado's spider demonstration.
 *
 *     npm start -- examples/web-spider.ts                                over a small site made for it on loopback
 *     npm start -- examples/web-spider.ts http://127.0.0.1:8000/docs/    over the pages beneath an address of yours
 */
import { createServer, get, type Server } from "node:http";
import { get as secureGet } from "node:https";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { type Duration, IOLoop, multi, Queue } from "ioloop";

export interface CrawlOptions {
  /** How many pages are fetched at the same time. */
  readonly concurrency?: number;
  /** When to give up. */
  readonly timeout?: Duration;
  /** Told of every page. */
  readonly onPage?: (url: string, error: unknown) => void;
}

export interface CrawlResult {
  readonly fetched: ReadonlySet<string>;
  readonly failed: ReadonlyMap<string, unknown>;
}

function fetchText(url: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = (url.startsWith("https:") ? secureGet : get)(url, { agent: false, signal }, (response) => {
      const { statusCode } = response;
      if (statusCode !== 200) {
        response.resume();
        reject(new Error(`${url} answered ${String(statusCode)}`));
        return;
      }
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve(text));
      response.on("error", reject);
    });
    request.on("error", reject);
  });
}

/** The targets of a page's links, absolute and without fragment. */
export function links(html: string, base: string): string[] {
  const targets: string[] = [];
  for (const [, quoted, single, bare] of html.matchAll(/<a\s[^>]*?\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))/gi)) {
    const href = quoted ?? single ?? bare ?? "";
    if (!URL.canParse(href, base)) continue;
    const target = new URL(href, base);
    target.hash = "";
    targets.push(target.href);
  }
  return targets;
}

/** Fetches `start` and everything beneath it that can be reached by links, each page once. */
export async function crawl(
  start: string,
  { concurrency = 10, timeout = { minutes: 5 }, onPage }: CrawlOptions = {},
): Promise<CrawlResult> {
  const queue = new Queue<string>();
  const seen = new Set<string>();
  const fetched = new Set<string>();
  const failed = new Map<string, unknown>();
  const stop = new AbortController();

  const visit = async (url: string): Promise<void> => {
    if (seen.has(url)) return;
    seen.add(url);
    try {
      const html = await fetchText(url, stop.signal);
      fetched.add(url);
      for (const link of links(html, url)) if (link.startsWith(start)) await queue.put(link);
      onPage?.(url, undefined);
    } catch (error) {
      failed.set(url, error);
      onPage?.(url, error);
    }
  };

  const worker = async (): Promise<void> => {
    try {
      for await (const url of queue.iterate({ signal: stop.signal })) {
        try {
          await visit(url);
        } finally {
          queue.taskDone();
        }
      }
    } catch (error) {
      if (error !== stop.signal.reason) throw error;
    }
  };

  await queue.put(start);
  const workers = multi(Array.from({ length: concurrency }, worker));
  try {
    await queue.join(timeout);
  } finally {
    // Every worker waits in the queue now or, after the deadline, for a page: both end here.
    stop.abort();
    await workers;
  }
  return { fetched, failed };
}

/** A site of `pages` numbered pages in a tree, each linking to its children, its neighbour, the root and somewhere else. */
export function generatedSite(pages: number): Server {
  return createServer((request, response) => {
    const page = Number(/^\/site\/(\d*)$/.exec(request.url ?? "")?.[1] ?? NaN);
    if (Number.isNaN(page) || page >= pages) {
      response.writeHead(404).end("no such page");
      return;
    }
    const targets = [2 * page + 1, 2 * page + 2, page + 1].filter((each) => each < pages);
    const anchors = targets.map((each) => `<a class=x href="${each}#top">page ${each}</a>`);
    response.writeHead(200, { "Content-Type": "text/html" });
    response.end(`<h1>Page ${page}</h1>${anchors.join("")}<a href='/site/'>root</a><a href=/elsewhere/>elsewhere</a>`);
  });
}

async function main(): Promise<void> {
  let [, , start] = process.argv;
  let site: Server | undefined;
  if (start === undefined) {
    site = generatedSite(100);
    await new Promise<void>((resolve) => site?.listen(0, "127.0.0.1", resolve));
    start = `http://127.0.0.1:${(site.address() as AddressInfo).port}/site/`;
  }
  const begun = performance.now();
  const { fetched, failed } = await crawl(start, {
    onPage: (url, error) =>
      console.log(error === undefined ? `fetched ${url}` : `failed  ${url}: ${error instanceof Error ? error.message : "?"}`),
  });
  site?.close();
  console.log(`${fetched.size} pages in ${((performance.now() - begun) / 1000).toFixed(1)} s, ${failed.size} failed`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await IOLoop.current().runSync(main);
