// The JavaScript client in headless Chromium: the same module, imported by a page, through a proxy that cuts its connection.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { test as untimed } from "node:test";

import { launch } from "./browser.mjs";
import { Feed, PATIENCE_MS, Server, root, until } from "./harness.mjs";
import { Proxy } from "./proxy.mjs";
import { publish } from "./told.mjs";

/** What never comes ends a test, too. */
const test = (name, body) => untimed(name, { timeout: 2 * PATIENCE_MS }, body);

/** A page of the same origin as the module, and nothing else. */
async function pages(t) {
  const module = await readFile(path.join(root, "clients/js/tapecast.js"));
  const listener = http.createServer(({ url }, answer) => {
    const [type, body] = url === "/tapecast.js" ? ["text/javascript", module] : ["text/html", "<!doctype html><link rel=icon href=data:,>"];
    answer.setHeader("content-type", type).end(body);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  t.after(() => listener.close());
  return `http://127.0.0.1:${listener.address().port}/`;
}

test("in Chromium: subscribes, is cut, comes back at once when the network does, and misses nothing", async (t) => {
  const server = await Server.start();
  t.after(() => server.stop("SIGKILL"));
  const proxy = await Proxy.start(server.at.subscribers);
  t.after(() => proxy.stop());
  const feed = await Feed.connect(server.at.ingest);
  t.after(() => feed.close());
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(await pages(t));
  await page.evaluate(async (url) => {
    const { Connection } = await import("/tapecast.js");
    // So long that only the network's return explains an attempt.
    const client = new Connection(url, { backOffMs: [120_000, 300_000] });
    const told = (globalThis.told = { client, seqs: [], gaps: [] });
    client.on("gap", (gap) => told.gaps.push(gap));
    await client.subscribe("*@trade", (record) => told.seqs.push(record.seq)).ready;
  }, proxy.ws.replace("ws:", "http:"));
  const told = () => page.evaluate(() => ({ seqs: told.seqs, gaps: told.gaps, state: told.client.state, stats: told.client.stats, offsetUs: told.client.clockOffsetUs }));
  publish(feed, "a@trade", 10);
  await until(async () => (await told()).seqs.length === 10, "ten records");

  proxy.shut();
  await until(async () => (await told()).state === "waiting", "the cut to be noticed");
  publish(feed, "a@trade", 10);
  await feed.settled();
  await proxy.open();
  await page.evaluate(() => dispatchEvent(new Event("online")));
  publish(feed, "a@trade", 10);
  await until(async () => (await told()).seqs.length === 30, "what was missed, and what came since");
  await until(async () => (await told()).offsetUs !== 0, "the clock's offset");

  const { seqs, gaps, stats, offsetUs } = await told();
  assert.deepEqual(seqs, Array.from({ length: 30 }, (_, at) => at + 1));
  assert.deepEqual(gaps, []);
  assert.equal(stats.connects, 2);
  assert.ok(Math.abs(offsetUs) < 1_000_000, `one clock differs from itself by ${offsetUs} us`);
  await page.evaluate(() => told.client.close());
  assert.deepEqual(complaints, []);
});
