// The harness itself: a server that starts, a feed that publishes, a metric that moves.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Feed, Server, until } from "./harness.mjs";

test("a record that is fed in is accepted and counted", async () => {
  const server = await Server.start();
  try {
    const feed = await Feed.connect(server.at.ingest);
    feed.publish("btcusdt@trade", { p: "61737.63" });
    assert.equal(await feed.settled(), 1);
    await until(async () => (await server.metric("tapecast_ingest_accepted_records_total")) === 1, "the count");
    feed.close();
  } finally {
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  }
});
