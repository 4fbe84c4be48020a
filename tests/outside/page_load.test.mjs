// The page under load: smooth and of one size at 5,000 messages a second, and quick at a demo's load. It prints what it measured.
//
// The bounds leave room for a machine of two cores that others use too: on one of its own the figures are far below them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Bare } from "./bare.mjs";
import { launch } from "./browser.mjs";
import { serve } from "./exchange.mjs";
import { until } from "./harness.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

/** A page of a market whose symbols stand still, settled: what comes from now on is news. */
async function settled(t, count) {
  const { server, exchange } = await serve(t, count);
  const page = await Bare.open(browser, `http://${server.at.subscribers}/`);
  t.after(() => page.close());
  await until(async () => (await page.words("symbols")) === count.toLocaleString("en"), "all symbols");
  await until(async () => (await page.figure("messages")) <= 2, "quiet");
  return { page, exchange };
}

const at = (sorted, share) => sorted[Math.floor((sorted.length - 1) * share)];
const figure = (value) => value.toFixed(1);

test("5,000 messages a second: frames keep their time, and the heap its size", async (t) => {
  const { page, exchange } = await settled(t, 1300);
  const running = exchange.run(5200);
  t.after(() => running.stop());
  await until(async () => (await page.figure("messages")) >= 4500, "4,500 messages a second");
  await page.frames(1.5);
  const before = await page.heap();
  const rates = [];
  const watching = setInterval(async () => rates.push(await page.figure("messages")), 1000);
  const frames = await page.frames(6);
  clearInterval(watching);
  const after = await page.heap();
  const rate = at(rates.sort((a, b) => a - b), 0.5);
  t.diagnostic(`${rate} messages/s; frames: p50 ${figure(at(frames, 0.5))}, p95 ${figure(at(frames, 0.95))}, longest ${figure(frames.at(-1))} ms; heap ${before} to ${after} bytes`);
  assert.ok(rate >= 4500, `${rate} messages a second`);
  assert.ok(at(frames, 0.5) <= 18, `half of the frames took no longer than ${figure(at(frames, 0.5))} ms`);
  assert.ok(at(frames, 0.95) <= 60, `95 % of the frames took no longer than ${figure(at(frames, 0.95))} ms`);
  // What is on its way when it is counted makes some hundred kilobytes; a record that were kept would make a hundred bytes or more each.
  const perMessage = (after - before) / (6 * rate);
  assert.ok(perMessage < 32, `the heap grew from ${before} to ${after} bytes, ${figure(perMessage)} a message`);
});

test("three times a demo's load: from ingest to screen within a few frames", async (t) => {
  const { page, exchange } = await settled(t, 100);
  const running = exchange.run(900);
  t.after(() => running.stop());
  const frames = await page.frames(6);
  const [p50, p99] = [await page.figure("p50"), await page.figure("p99")];
  t.diagnostic(`delay: p50 ${p50} ms, p99 ${p99} ms; frames: p50 ${figure(at(frames, 0.5))} ms`);
  assert.ok(p50 > 0 && p50 <= 50, `p50 ${p50} ms`);
  assert.ok(p99 <= 250, `p99 ${p99} ms`);
});
