// The page where things are not as usual: no market, a market of trades alone, another version, something that is not Tapecast, a narrow
// screen, a reader who does not see it.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

import { launch, Visit } from "./browser.mjs";
import { Exchange } from "./exchange.mjs";
import { Feed, Server, until } from "./harness.mjs";

let browser;
let server;
let feed;
before(async () => {
  browser = await launch();
  server = await Server.start();
  feed = await Feed.connect(server.at.ingest);
});
after(async () => {
  feed?.close();
  await browser?.close();
  await server?.stop();
});

test("an empty market says how to feed it, and one line of trades is enough to be seen", async () => {
  const visit = await Visit.open(browser, server.at.subscribers);
  await until(() => visit.page.isVisible("#empty"), "the words for an empty market");
  assert.match(await visit.words("empty"), /tapecast simulate/);
  feed.publish("btcusdt@trade", { p: "61737.63", q: "0.002" });
  await until(async () => (await visit.cell("BTCUSDT", "last")) === "61,737.63", "the one trade's price");
  await until(() => visit.page.isHidden("#empty"), "the end of the words");
  feed.publish("btcusdt@trade", { p: "61738.5", q: "0.002" });
  await until(async () => (await visit.cell("BTCUSDT", "last")) === "61,738.50", "the next, with as many decimals");
  await visit.close();
});

test("a symbol whose feed is gone is marked, until the feed returns", async (t) => {
  const forgetful = await Server.start({ set: ["feed.stale_after=100ms"] });
  t.after(() => forgetful.stop());
  const first = await Feed.connect(forgetful.at.ingest);
  new Exchange(first, 5).open();
  const visit = await Visit.open(browser, forgetful.at.subscribers);
  await until(async () => (await visit.words("symbols")) === "5", "the symbols");
  first.close();
  await until(async () => (await visit.words("symbols")) === "5 · 5 stale", "the marks");
  assert.equal(await visit.page.locator("#rows .note", { hasText: "stale" }).count(), 5);
  const second = await Feed.connect(forgetful.at.ingest);
  t.after(() => second.close());
  new Exchange(second, 5).open();
  await until(async () => (await visit.words("symbols")) === "5", "the marks' end");
  await visit.close();
});

test("payloads that are not as expected break nothing, and are never markup", async () => {
  const visit = await Visit.open(browser, server.at.subscribers);
  const odd = [null, 7, "text", [], { c: null, P: {}, b: [], q: "x" }, { c: "<img src=x onerror=alert(1)>", P: "1e400" }];
  for (const data of odd) for (const kind of ["ticker", "bookTicker", "depth20", "trade"]) feed.publish(`oddusdt@${kind}`, data);
  feed.publish("oddusdt@depth20", { bids: [null, ["x", "y"], [{}, []]], asks: 3 });
  await until(async () => (await visit.cell("ODDUSDT", "last"))?.startsWith("<img src=x"), "the odd text, as text");
  await visit.page.getByText("ODDUSDT", { exact: true }).click();
  feed.publish("oddusdt@trade", { p: "1.5", q: "<b>", T: 1e300, m: "no" });
  await until(async () => (await visit.table("trades"))[0]?.[1] === "1.5", "a trade between odd ones");
  await visit.close();
});

test("a page of another version than its server says so", async () => {
  const visit = await Visit.open(browser, server.at.subscribers, {
    before: () => {
      // Before the page's own module runs.
      new MutationObserver(() => {
        const meta = document.querySelector('meta[name="tapecast-version"]');
        if (meta && meta.content !== "0.0.1") meta.content = "0.0.1";
      }).observe(document, { childList: true, subtree: true });
    },
  });
  await until(() => visit.page.isVisible("#bar"), "the bar");
  assert.match(await visit.words("bar-words"), /^This page is of version 0\.0\.1, the server now runs \d+\.\d+\.\d+\. Reload\.$/);
  assert.ok(await visit.page.getByRole("alert").getByRole("button", { name: "Reload" }).isVisible());
  await visit.close();
});

/** Serves the page's files as the server does, and greets on WebSocket with something else. */
async function impostor(t) {
  const files = http.createServer(async (request, answer) => {
    const real = await fetch(`http://${server.at.subscribers}${request.url}`, { headers: { accept: request.headers.accept ?? "*/*" } });
    answer.writeHead(real.status, { "content-type": real.headers.get("content-type") }).end(Buffer.from(await real.arrayBuffer()));
  });
  files.on("upgrade", (request, socket) => {
    const key = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.on("error", () => {});
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\n\r\n\x81\x02{}`, "latin1");
  });
  await new Promise((resolve) => files.listen(0, "127.0.0.1", resolve));
  t.after(() => files.closeAllConnections() ?? files.close());
  return `127.0.0.1:${files.address().port}`;
}

test("a WebSocket that is not Tapecast's is told, with what to do", async (t) => {
  const address = await impostor(t);
  const visit = await Visit.open(browser, address);
  await until(() => visit.page.isVisible("#bar"), "the bar");
  const words = await visit.words("bar-words");
  assert.ok(words.includes(address) && words.includes("does not speak Tapecast's protocol"), words);
  await visit.close();
});

test("on a phone's width nothing is cut off, and the open symbol has the screen to itself", async () => {
  const exchange = new Exchange(feed, 30);
  exchange.open();
  const visit = await Visit.open(browser, server.at.subscribers, { viewport: { width: 380, height: 700 } });
  await until(() => visit.cell("ETHUSDT", "last"), "a price");
  const { page } = visit;
  const wide = () => page.evaluate(() => [document.documentElement, document.getElementById("grid"), document.getElementById("pane")].map((box) => box.scrollWidth - box.clientWidth));
  assert.deepEqual(await wide(), [0, 0, 0]);
  for (const name of ["Symbol", "Last", "24h change", "5 min"]) assert.ok(await page.getByRole("columnheader", { name }).isVisible(), name);
  await page.getByText("ETHUSDT", { exact: true }).click();
  await until(() => page.isVisible("#pane"), "the pane");
  assert.equal(await page.isVisible("#grid"), false);
  assert.deepEqual(await wide(), [0, 0, 0]);
  await page.getByRole("button", { name: "Close" }).click();
  await until(() => page.isVisible("#grid"), "the list");
  await visit.close();
});

test("no rule of accessibility is broken, light or dark, and prices are not read out", async () => {
  const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  const exchange = new Exchange(feed, 30);
  exchange.open();
  exchange.trade(exchange.symbol("btcusdt"));
  exchange.book(exchange.symbol("btcusdt"));
  // Themes differ in their colours alone.
  const themes = { light: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"], dark: { type: "rule", values: ["color-contrast"] } };
  for (const [colorScheme, runOnly] of Object.entries(themes)) {
    const visit = await Visit.open(browser, server.at.subscribers, { hash: "#open=btcusdt", colorScheme });
    await until(async () => (await visit.table("trades")).length > 0, "a trade");
    await visit.page.evaluate(axe);
    const { violations } = await visit.page.evaluate((runOnly) => globalThis.axe.run({ runOnly }), runOnly);
    const told = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("\n")}`);
    assert.deepEqual(told, [], colorScheme);
    const live = await visit.page.$$eval("[aria-live], [role=status], [role=alert]", (all) => all.map(({ id }) => id));
    assert.deepEqual(live.sort(), ["bar", "state-words"]);
    await visit.close();
  }
});
