/** examples/web-spider.ts over a small generated site on loopback. */
import { once } from "node:events";
import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { expect } from "chai";

import { crawl, generatedSite, links } from "../../examples/web-spider.js";
import { TimeoutError } from "../../src/concurrent/index.js";
import { makeLoop } from "../support/loop.js";

describe("examples/web-spider.ts", () => {
  let site: Server;
  let start: string;
  let most = 0;

  beforeEach(async () => {
    let open = 0;
    most = 0;
    site = generatedSite(60);
    const [answer] = site.listeners("request") as RequestListener[];
    site.removeAllListeners("request").on("request", (incoming: IncomingMessage, response: ServerResponse) => {
      most = Math.max(most, ++open);
      response.once("close", () => open--);
      // Time for the others to come in.
      setTimeout(() => answer?.(incoming, response as Parameters<RequestListener>[1]), 5);
    });
    site.listen(0, "127.0.0.1");
    await once(site, "listening");
    start = `http://127.0.0.1:${(site.address() as AddressInfo).port}/site/`;
  });

  afterEach(async () => {
    site.closeAllConnections();
    site.close();
    await once(site, "close");
  });

  it("fetches every page beneath the start once, several at a time", async () => {
    const loop = makeLoop();
    loop.makeCurrent();
    const pages: string[] = [];
    await loop.runSync(async () => {
      const { fetched, failed } = await crawl(start, { concurrency: 5, onPage: (url) => pages.push(url) });
      expect(failed.size).to.equal(0);
      // The root is a page of its own, besides the number 0 that it also is.
      expect([...fetched].toSorted()).to.deep.equal([start, ...Array.from({ length: 59 }, (_, i) => `${start}${i + 1}`)].toSorted());
      expect(pages.length).to.equal(new Set(pages).size);
    });
    expect(most).to.be.within(2, 5);
  });

  it("reports pages that fail and goes on", async () => {
    const loop = makeLoop();
    loop.makeCurrent();
    await loop.runSync(async () => {
      const { fetched, failed } = await crawl(`${start}nowhere`);
      expect(fetched.size).to.equal(0);
      expect([...failed.keys()]).to.deep.equal([`${start}nowhere`]);
      expect(String(failed.get(`${start}nowhere`))).to.contain("404");
    });
  });

  it("gives up at the deadline and ends its workers", async () => {
    site.removeAllListeners("request");
    const loop = makeLoop();
    loop.makeCurrent();
    await loop.runSync(async () => {
      // The site accepts, and never answers.
      const outcome = crawl(start, { timeout: { milliseconds: 20 } });
      expect(await outcome.catch((error: unknown) => error)).to.be.instanceOf(TimeoutError);
    });
  });

  it("reads links in every quoting, absolute and without fragment", () => {
    const html = `<A HREF="a.html#x">a</A> <a class="c" href='/b'>b</a> <a href=c>c</a> <area href="no"> <a name="x">n</a> <a href="http://[">bad</a>`;
    expect(links(html, "http://host/dir/page")).to.deep.equal(["http://host/dir/a.html", "http://host/b", "http://host/dir/c"]);
  });
});
