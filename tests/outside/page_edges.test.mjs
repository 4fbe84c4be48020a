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
import { Proxy } from "./proxy.mjs";

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
  // Opened while nobody can be asked: nothing is said of what there is.
  visit.isDown = true;
  second.close();
  await forgetful.stop("SIGKILL");
  await visit.state("Reconnecting");
  await visit.page.getByText("ETHUSDT", { exact: true }).click();
  await until(() => visit.page.isVisible("#pane"), "the pane");
  assert.deepEqual([await visit.words("book-note"), await visit.words("tape-note")], ["", ""]);
  await visit.close();
});

test("payloads that are not as expected break nothing, and are never markup", async () => {
  const visit = await Visit.open(browser, server.at.subscribers);
  const long = "x".repeat(10_000);
  const odd = [null, 7, "text", [], { c: null, P: {}, b: [], q: "x" }, { c: "<img src=x onerror=alert(1)>", P: "1e400", b: long, a: "9".repeat(24), q: "1e300" }];
  for (const data of odd) for (const kind of ["ticker", "bookTicker", "depth20", "trade"]) feed.publish(`oddusdt@${kind}`, data);
  feed.publish("oddusdt@depth20", { bids: [null, ["x", "y"], [{}, []]], asks: 3 });
  await until(async () => (await visit.cell("ODDUSDT", "last"))?.startsWith("<img src=x"), "the odd text, as text");
  await visit.page.getByText("ODDUSDT", { exact: true }).click();
  feed.publish("oddusdt@trade", { p: "1.5", q: "<b>", T: 1e300, m: "no" });
  await until(async () => (await visit.table("trades"))[0]?.[1] === "1.5", "a trade between odd ones");
  const minute = () => new Date().toTimeString().slice(0, 5);
  const began = minute();
  feed.publish("oddusdt@trade", { p: "1.75", q: long, T: null });
  await until(async () => (await visit.table("trades"))[0]?.[1] === "1.75", "a trade without a time");
  const [told] = (await visit.table("trades"))[0];
  assert.ok([began, minute()].includes(told.slice(0, 5)), `${told}: the server's time where the exchange said none`);
  await visit.close();
});

test("names, figures and quotes that no market has keep their places", async () => {
  const visit = await Visit.open(browser, server.at.subscribers);
  for (const name of ["__proto__", "constructor", "l".repeat(100), "<img/src=x/onerror=alert(1)"]) feed.publish(`${name}@ticker`, { c: "123456789012345678901234.5", P: "9".repeat(20), q: "5" });
  feed.socket.write('endless@ticker {"c":1e999,"P":-1e999,"q":1e999}\n');
  feed.publish("halted@ticker", { c: "0.00000000", P: "0.000", q: "0.00", b: "0.00000000", a: "0.00000000" });
  for (const name of ["__PROTO__", "CONSTRUCTOR", "HALTED", "<IMG/SRC=X/ONERROR=ALERT(1)"]) await until(() => visit.cell(name, "last"), name);
  const spilt = () => visit.page.$$eval(".rows .cell", (cells) => cells.filter((cell) => cell.scrollWidth > cell.clientWidth && getComputedStyle(cell).overflowX === "visible").map((cell) => cell.className));
  assert.deepEqual(await spilt(), []);
  await until(async () => (await visit.cell("ENDLESS", "last")) === "Infinity", "what was sent");
  const names = await visit.names();
  assert.ok(names.indexOf("ENDLESS") > names.indexOf("HALTED"), `no turnover at all is less than a little: ${names}`);
  await visit.page.getByText("HALTED", { exact: true }).click();
  await until(async () => (await visit.words("day-spread")) === "0", "a spread of nothing");
  await visit.close();
});

test("a page that nobody looks at asks for less; a machine that slept leaves holes in the price lines; a link to another place is followed", async (t) => {
  const exchange = new Exchange(feed, 40);
  exchange.open();
  const visit = await Visit.open(browser, server.at.subscribers);
  const { page } = visit;
  const running = exchange.run(800);
  t.after(() => running.stop());
  const rate = async () => Number((await visit.words("messages")).replace(",", ""));
  const look = (hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await until(async () => (await rate()) > 400, "the screen's own rate");
  await look(true);
  await until(async () => (await rate()) < 150, "a rate for nobody");
  await look(false);
  await until(async () => (await rate()) > 400, "the screen's own rate again");
  running.stop();

  const symbol = exchange.symbol("ethusdt");
  const trend = () => visit.cell("ETHUSDT", "trend");
  symbol.price *= 2;
  exchange.ticker(symbol);
  await until(async () => (await trend()).startsWith("▲ +"), "the last minutes");
  await page.evaluate(() => {
    const now = Date.now;
    Date.now = () => now() + 8 * 3_600_000;
  });
  await until(async () => (await trend()) === "0.00 %", "what was eight hours ago is none of the last minutes");

  await page.evaluate(() => (location.hash = "open=solusdt"));
  await until(async () => (await visit.words("pane-symbol").catch(() => "")) === "SOLUSDT", "the symbol that the link named");
  await visit.close();
});

test("trades that are sent again after a cut are shown, and do not count as delayed by the page", async (t) => {
  const proxy = await Proxy.start(server.at.subscribers);
  t.after(() => proxy.shut());
  feed.publish("cutusdt@trade", { p: "1.5", q: "1", m: true });
  const visit = await Visit.open(browser, proxy.address, { hash: "#open=cutusdt" });
  const shown = (count) => until(async () => (await visit.table("trades")).length === count, `${count} trades`);
  await shown(1);
  visit.isDown = true;
  proxy.shut();
  await visit.state("Reconnecting");
  feed.publish("cutusdt@trade", { p: "1.5", q: "2", m: true });
  // Among delays its age would be seen.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await proxy.open();
  await shown(2);
  feed.publish("cutusdt@trade", { p: "1.5", q: "3", m: true });
  await shown(3);
  await until(async () => /^\d/.test(await visit.words("p99")), "a delay");
  const p99 = await visit.words("p99");
  assert.ok(Number.parseFloat(p99.replaceAll(",", "")) < 1000, p99);
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

/** Serves the page's files as the server does, but for one that is `missing`, and greets on WebSocket with something else. */
async function impostor(t, missing) {
  const files = http.createServer(async (request, answer) => {
    if (request.url === missing) return void answer.writeHead(404).end();
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

test("a page whose connection cannot start says what is missing", async (t) => {
  const visit = await Visit.open(browser, await impostor(t, "/tapecast.js"));
  await until(() => visit.page.isVisible("#bar"), "the bar");
  visit.faults = visit.faults.filter((words) => !words.includes("status of 404"));
  assert.match(await visit.words("bar-words"), /holds the connection failed: .*feed\.js, or what it imports, was not served/);
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
