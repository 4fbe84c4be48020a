// The page in Chromium: prices move, the list is filtered and sorted, a symbol opens and agrees with what was fed, and a server that
// comes back is found again. With SCREENSHOTS=docs it also takes the pictures of the documentation, of the simulated market.

import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";

import { launch, Visit } from "./browser.mjs";
import { Exchange, serve } from "./exchange.mjs";
import { Feed, Process, Server, program, root, until } from "./harness.mjs";

/** What the pictures show, by the names of their files. */
const PICTURES = [
  ["page-dark", { viewport: { width: 1440, height: 810 }, colorScheme: "dark", hash: "#open=btcusdt" }],
  ["page-light", { viewport: { width: 1280, height: 720 }, colorScheme: "light" }],
  ["page-phone", { viewport: { width: 390, height: 760 }, colorScheme: "dark" }],
];

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

/** A server with a market of so many symbols, and a page that shows it. */
async function market(t, count, options = {}) {
  const { server, feed, exchange } = await serve(t, count, options.server);
  const visit = await Visit.open(browser, server.at.subscribers, options.visit);
  await until(() => visit.cell("BTCUSDT", "last"), "the first price");
  return { server, feed, exchange, visit };
}

/** As the page writes a price of two decimals. */
const shown = (steps) => (steps / 100).toLocaleString("en", { minimumFractionDigits: 2 });

test("prices move, and the last of them is what was fed", async (t) => {
  const { exchange, visit } = await market(t, 40);
  const first = await visit.cell("ETHUSDT", "last");
  assert.equal(first, shown(exchange.symbol("ethusdt").price));
  const running = exchange.run(400);
  await until(async () => (await visit.cell("ETHUSDT", "last")) !== first, "a price that moves");
  await until(async () => Number((await visit.words("messages")).replace(",", "")) > 100, "messages a second");
  running.stop();
  const symbol = exchange.symbol("ethusdt");
  exchange.ticker(symbol);
  exchange.quote(symbol);
  await until(async () => (await visit.cell("ETHUSDT", "last")) === shown(symbol.price), `the last price, ${shown(symbol.price)}`);
  await until(async () => (await visit.cell("ETHUSDT", "ask")) === shown(symbol.price + 1), "the last ask");
  assert.match(await visit.cell("ETHUSDT", "change"), /^([▲] \+|[▼] −)?\d+\.\d\d %$/, "sign and arrow beside the colour");
  await until(async () => /^\d/.test(await visit.words("p99")), "a delay");
  await visit.close();
});

test("filter, order and selection by keyboard alone; a reload leads back", async (t) => {
  const { visit, exchange } = await market(t, 60);
  const { page } = visit;
  const { keyboard } = page;
  await keyboard.press("/");
  await keyboard.type("eth SOL");
  await until(async () => (await visit.names()).join() === "ETHUSDT,SOLUSDT", "two symbols");
  await keyboard.press("Escape");
  await until(async () => (await visit.names()).length > 20, "all symbols");
  await keyboard.type("nosuch");
  await until(async () => (await visit.words("nothing")).includes("“nosuch”"), "a word on an empty list");
  await keyboard.press("Escape");

  const header = page.getByRole("columnheader", { name: "Last" });
  await header.getByRole("button").focus();
  await keyboard.press("Enter");
  assert.equal(await header.getAttribute("aria-sort"), "descending");
  await keyboard.press("Space");
  assert.equal(await header.getAttribute("aria-sort"), "ascending");
  const dearer = [...exchange.symbols].sort((a, b) => a.price - b.price || (a.name < b.name ? -1 : 1)).map(({ name }) => name.toUpperCase());
  await until(async () => (await visit.names()).slice(0, 5).join() === dearer.slice(0, 5).join(), "the cheapest above");

  await page.getByRole("grid").focus();
  await keyboard.press("ArrowDown");
  await keyboard.press("ArrowDown");
  const active = await page.getAttribute("#grid", "aria-activedescendant");
  assert.equal(await page.textContent(`#${active} .symbol span`), dearer[1]);
  await keyboard.press("End");
  await until(async () => (await visit.names()).includes(dearer.at(-1)), "the end of the list");
  await keyboard.press("Home");
  await keyboard.press("Enter");
  await until(async () => (await visit.words("pane-symbol")) === dearer[0], "the open symbol");
  assert.equal(await page.evaluate(() => document.activeElement.id), "pane-symbol");

  await page.reload();
  await until(async () => (await visit.words("pane-symbol")) === dearer[0], "the symbol that was open");
  assert.equal(await header.getAttribute("aria-sort"), "ascending");
  await keyboard.press("Escape");
  await until(() => page.isHidden("#pane"), "the pane's end");
  assert.equal(await page.evaluate(() => document.activeElement.id), "grid");
  await visit.close();
});

test("an open symbol shows the trades and the book that were fed, and what was missed", async (t) => {
  const { visit, exchange, feed } = await market(t, 30);
  const symbol = exchange.symbol("solusdt");
  exchange.trade(symbol);
  exchange.book(symbol);
  await visit.page.getByText("SOLUSDT", { exact: true }).click();
  await until(async () => (await visit.table("trades")).length === 1, "the latest trade");
  const sold = exchange.trade(symbol, "1234.50000000", true);
  exchange.move(symbol);
  const bought = exchange.trade(symbol, "0.25000000", false);
  const book = exchange.book(symbol);
  await until(async () => (await visit.table("trades")).length === 3, "three trades");
  const trades = (await visit.table("trades")).map(([, price, size]) => [price, size]);
  const words = (trade, arrow) => `${arrow} ${shown(Math.round(Number(trade.p) * 100))}`;
  assert.deepEqual(trades.slice(0, 2), [[words(bought, "▲"), "0.250"], [words(sold, "▼"), "1,234.500"]]);
  const level = ([price, size]) => [shown(Math.round(Number(price) * 100)), String(Number(size).toFixed(1))];
  const levels = async (side) => (await visit.table(side)).map(([price, size]) => [price, size]);
  await until(async () => (await levels("bids"))[0]?.[0] === level(book.bids[0])[0], "the newest book");
  assert.deepEqual(await levels("bids"), book.bids.slice(0, 15).map(level));
  assert.deepEqual(await levels("asks"), book.asks.slice(0, 15).map(level).reverse());
  // By the feed's own numbers twelve are missing.
  for (const own of [1, 2, 15]) feed.publish(`solusdt@trade#${own}`, sold);
  await until(async () => (await visit.table("trades")).some(([, words]) => words === "12 trades missed"), "the gap");
  await visit.page.keyboard.press("Escape");
  await visit.close();
});

test("a book of diffs is said to be one since opening", async (t) => {
  const { visit, feed } = await market(t, 3);
  feed.publish("ethusdt@depth", { e: "depthUpdate", U: 1, u: 2, b: [["10.50000000", "3.0"], ["10.40000000", "1.0"]], a: [["10.60000000", "2.0"]] });
  await visit.page.getByText("ETHUSDT", { exact: true }).click();
  await until(async () => (await visit.table("bids")).length === 2, "the first diff");
  feed.publish("ethusdt@depth", { e: "depthUpdate", U: 3, u: 3, b: [["10.40000000", "0"], ["10.50000000", "4.0"]], a: [] });
  await until(async () => (await visit.table("bids")).length === 1, "a level that went");
  assert.deepEqual((await visit.table("bids"))[0].slice(1), ["4", "4"]);
  assert.equal(await visit.words("book-note"), "levels that changed since opening");
  await visit.close();
});

test("a server that ends and comes back on its port is found again, and what it no longer has is marked", async (t) => {
  const { server, feed, visit, exchange } = await market(t, 20);
  await visit.page.getByText("ETHUSDT", { exact: true }).click();
  exchange.trade(exchange.symbol("ethusdt"));
  await until(async () => (await visit.table("trades")).length === 1, "a trade");
  visit.isDown = true;
  feed.close();
  await server.stop("SIGKILL");
  await visit.state("Reconnecting");
  const again = await Server.start({ at: { subscribers: server.at.subscribers } });
  t.after(() => again.stop());
  await visit.state("Live");
  visit.isDown = false;
  const fed = await Feed.connect(again.at.ingest);
  t.after(() => fed.close());
  // Of its market only ten symbols come back.
  const other = new Exchange(fed, 10, 8);
  const running = other.run(200);
  t.after(() => running.stop());
  const before = await visit.cell("ETHUSDT", "last");
  await until(async () => (await visit.cell("ETHUSDT", "last")) !== before, "a price of the new server");
  await until(async () => /^20 · 10 stale$/.test(await visit.words("symbols")), "ten that are gone");
  assert.equal(await visit.page.isHidden("#bar"), true);
  const trade = other.trade(other.symbol("ethusdt"), "7.00000000");
  await until(async () => (await visit.table("trades")).some(([, , size]) => Number(size) === 7), `the trade ${trade.t} of the new server`);
  assert.ok((await visit.table("trades")).some(([, words]) => words.startsWith("server began anew")), "the hole is told");
  await visit.close();
});

test("the demo, as one meets it", async (t) => {
  const demo = new Process(program, ["demo", "--listen", "127.0.0.1:0"]);
  t.after(() => demo.stop());
  const address = await demo.line((line) => /^open http:\/\/(.*)\/$/.exec(line)?.[1]);
  const folder = process.env.SCREENSHOTS && path.resolve(root, process.env.SCREENSHOTS);
  for (const [name, options] of folder ? PICTURES : PICTURES.slice(0, 1)) {
    const visit = await Visit.open(browser, address, options);
    await until(async () => /^\d/.test(await visit.words("p99")), "a delay");
    await until(async () => (await visit.cell("BTCUSDT", "trend"))?.length > 1, "a price line");
    if (options.hash) await until(async () => (await visit.table("trades")).length > 0 && (await visit.table("bids")).length === 15, "trades and book");
    if (folder) {
      // Price lines of some length; and the start of the page is out of the window of delays.
      await new Promise((resolve) => setTimeout(resolve, 60_000));
      await visit.page.screenshot({ path: path.join(folder, `${name}.png`) });
    }
    await visit.close();
  }
});
