// The JavaScript client against the real server, in Node.js: what it gives, what it tells, and what it does when the connection does not hold.
//
// What no Tapecast server says is in client_scripted.test.mjs, browsers in client_browser.test.mjs.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test as untimed } from "node:test";
import { promisify } from "node:util";

import { Connection } from "../../clients/js/tapecast.js";
import { Feed, PATIENCE_MS, Server, until, within } from "./harness.mjs";
import { Proxy } from "./proxy.mjs";
import { Told, publish } from "./told.mjs";

const REFUSED = 'tapecast_shard_refused_requests_total{shard="0"}';
const SUBSCRIPTIONS = 'tapecast_shard_subscriptions{shard="0"}';
/** What never comes ends a test, too. */
const test = (name, body) => untimed(name, { timeout: 2 * PATIENCE_MS }, body);
const QUICK = { backOffMs: [20, 200] };

/** A server, a feed, a proxy before the server, and a client behind it; all ended with the test. */
async function stage(t, { set, options = QUICK } = {}) {
  const server = await Server.start({ set });
  const proxy = await Proxy.start(server.at.subscribers);
  const feed = await Feed.connect(server.at.ingest);
  const client = new Connection(proxy.ws, options);
  t.after(async () => {
    client.close();
    feed.close();
    proxy.stop();
    await server.stop("SIGKILL");
  });
  return { server, proxy, feed, client, told: new Told(client) };
}

test("a snapshot, then each record; a pattern takes in what appears later", async (t) => {
  const { feed, client, told } = await stage(t);
  feed.publish("btcusdt@trade", { p: "61737.63" });
  await feed.settled();
  await client.subscribe(["btcusdt@trade", "*@ticker"], told.take).ready;
  publish(feed, "btcusdt@trade", 3);
  publish(feed, "ethusdt@ticker", 2);
  await until(() => told.isAt("btcusdt@trade", 4) && told.isAt("ethusdt@ticker", 2), "all records");
  const [first, second] = told.records;
  assert.deepEqual({ ...first, ts: 0 }, { channel: "btcusdt@trade", seq: 1, ts: 0, data: { p: "61737.63" }, snapshot: true, skipped: 0 });
  assert.deepEqual([second.data, second.snapshot], [{ number: 0 }, false]);
  assert.equal(told.records.length, 6);
  assert.equal(client.stats.records, 6);
  await until(() => client.clockOffsetUs !== 0, "an answer to ping");
  const ageUs = client.serverTimeUs() - told.records.at(-1).ts;
  assert.ok(ageUs > -50_000 && ageUs < 30_000_000, `a record is ${ageUs} us old`);
});

test("overlapping subscriptions: each is given its own, one leaving takes nothing from another, the shortest rate holds", async (t) => {
  const { server, feed, client } = await stage(t);
  const given = { named: [], pattern: [], late: [], rated: [] };
  const into = (name) => (record) => given[name].push(`${record.seq}${record.snapshot ? "s" : ""}`);
  feed.publish("a@ticker", 1);
  await feed.settled();
  const rated = client.subscribe("a@ticker", into("rated"), { everyMs: 60_000, snapshot: false });
  const named = client.subscribe("a@ticker", into("named"), { everyMs: 60_000 });
  const pattern = client.subscribe("*@ticker", into("pattern"));
  await Promise.all([rated.ready, named.ready, pattern.ready]);
  await until(() => given.pattern.length === 1, "the snapshot");
  feed.publish("a@ticker", 2);
  feed.publish("a@ticker", 3);
  await until(() => given.named.length === 3, "records at the pattern's rate");
  client.subscribe(["a@ticker", "b@ticker"], into("late"));
  named.unsubscribe();
  rated.unsubscribe();
  assert.throws(() => client.subscribe("a@ticker", () => {}, { everyMs: 0.5 }), { code: "invalid_request" });
  await until(() => given.late.length === 1, "a snapshot of what is known already");
  feed.publish("b@ticker", 1);
  feed.publish("a@ticker", 4);
  await until(() => given.late.length === 3, "what others left to it");
  assert.deepEqual(given, { named: ["1s", "2", "3"], rated: ["2", "3"], pattern: ["1s", "2", "3", "1", "4"], late: ["3s", "1", "4"] });
  pattern.unsubscribe();
  await until(async () => (await server.metric(SUBSCRIPTIONS)) === 2, "the pattern to be left");
});

test("a rate: the newest alone, and how many it stands for", async (t) => {
  const { feed, client, told } = await stage(t);
  await client.subscribe("a@ticker", told.take, { everyMs: 250 }).ready;
  publish(feed, "a@ticker", 500);
  await until(() => told.isAt("a@ticker", 500), "the last one");
  assert.ok(told.records.length < 50, `${told.records.length} records`);
  assert.deepEqual(told.gaps, []);
});

test("what the server refuses is told once and not asked again; its neighbours go on", async (t) => {
  const { server, proxy, feed, client, told } = await stage(t);
  const good = client.subscribe(["a@trade", "*@kline"], told.take);
  const bad = client.subscribe(["a@trade", "nonsense"], () => assert.fail("it was refused"));
  const others = Array.from({ length: 300 }, (_, at) => client.subscribe(`s${at}@trade`, told.take));
  const rated = client.subscribe("b@trade", told.take, { everyMs: 100 });
  await Promise.all([good, ...others].map(({ ready }) => ready));
  await assert.rejects(bad.ready, { name: "TapecastError", code: "invalid_channel" });
  await assert.rejects(rated.ready, { code: "not_conflatable", channels: ["b@trade"] });
  assert.deepEqual(told.errors.map(({ code }) => code).sort(), ["invalid_channel", "not_conflatable"]);
  const refused = await server.metric(REFUSED);
  assert.ok(refused >= 2 && refused <= 12, `${refused} requests to find one bad one of 302`);
  proxy.cut();
  await until(() => client.stats.connects === 2, "a second connection");
  publish(feed, "a@trade", 2);
  await until(() => told.isAt("a@trade", 2), "records after it");
  assert.equal(await server.metric(REFUSED), refused);
  assert.equal(told.errors.length, 2);
});

test("a connection that is cut comes back, and misses nothing: names, patterns, more channels than one message may resume", async (t) => {
  const { server, proxy, feed, client, told } = await stage(t, { set: ["limits.channels=40"] });
  const symbols = Array.from({ length: 60 }, (_, at) => `s${at}@trade`);
  client.subscribe(["a@trade", "b@ticker", "*@trade"], told.take);
  await client.subscribe("*@aggTrade", told.take).ready;
  let fed = 0;
  const round = async () => {
    for (const channel of ["a@trade", "b@ticker", "x@aggTrade", ...symbols]) publish(feed, channel, 5);
    fed += 5;
    await feed.settled();
  };
  const isWhole = () => ["a@trade", "b@ticker", "x@aggTrade", ...symbols].every((channel) => told.isAt(channel, fed));
  await round();
  await until(isWhole, "all of the first round");
  for (const cuts of [1, 2]) {
    proxy.shut();
    await until(() => client.state === "waiting", "the cut to be noticed");
    await round();
    await proxy.open();
    await until(() => client.stats.connects === cuts + 1, "another connection");
    await round();
    await until(isWhole, "all that was missed, and all since");
  }
  assert.deepEqual([told.gaps, told.errors], [[], []]);
  // Of a ticker the newest may stand for those before it: it says for how many.
  assert.equal(told.records.reduce((sum, { skipped }) => sum + 1 + skipped, 0), 5 * 5 * 63);
  assert.ok(told.records.every(({ channel, skipped }) => skipped === 0 || channel === "b@ticker"), "each trade comes by itself");
  assert.equal(client.stats.passedOver, 0, "nothing came twice");
  assert.ok(told.records.every(({ snapshot }) => !snapshot), "all of it is news");
  assert.equal(await server.metric(SUBSCRIPTIONS), 63);
  // Names that were asked for only to resume them were left again, and take none of the 40.
  await client.subscribe(symbols.slice(0, 38), () => {}).ready;
});

test("what comes first while there is no connection is not missed; who wants a snapshot has one behind who wants none", async (t) => {
  const { proxy, feed, client, told } = await stage(t);
  publish(feed, "b@trade", 3);
  await feed.settled();
  client.subscribe("a@trade", told.take, { snapshot: false });
  await client.subscribe("b@trade", () => assert.fail("nothing came since"), { snapshot: false }).ready;
  client.subscribe("b@trade", told.take);
  await until(() => told.records.length === 1, "a snapshot");
  proxy.shut();
  await until(() => client.state === "waiting", "the cut to be noticed");
  publish(feed, "a@trade", 3);
  await feed.settled();
  await proxy.open();
  await until(() => told.isAt("a@trade", 3), "all of it");
  assert.deepEqual([told.seqs("a@trade"), told.seqs("b@trade"), told.gaps], [[1, 2, 3], [3], []]);
});

test("a history that does not reach back is a gap, and of a state the newest is enough", async (t) => {
  const { proxy, feed, client, told } = await stage(t, { set: ["resume.records_max=10"] });
  client.subscribe("a@ticker", told.take, { everyMs: 1 });
  await client.subscribe("a@trade", told.take).ready;
  publish(feed, "a@ticker", 50);
  publish(feed, "a@trade", 5);
  await until(() => told.isAt("a@trade", 5) && told.isAt("a@ticker", 50), "the beginning");
  proxy.shut();
  await until(() => client.state === "waiting", "the cut to be noticed");
  publish(feed, "a@ticker", 50);
  publish(feed, "a@trade", 50);
  await feed.settled();
  await proxy.open();
  await until(() => told.isAt("a@trade", 55) && told.isAt("a@ticker", 100), "the newest of each");
  assert.deepEqual(told.gaps, [{ channel: "a@trade", from: 6, to: 54, reason: "lapped" }]);
  assert.deepEqual(told.records.filter(({ seq }) => seq > 50).map(({ channel, snapshot, skipped }) => [channel, snapshot, skipped]).sort(), [
    ["a@ticker", false, 49],
    ["a@trade", false, 0],
  ]);
});

test("a reader that is too slow is told which records it lost", async (t) => {
  const { proxy, feed, client, told } = await stage(t, { set: ["outbox.bytes_max=16384"] });
  await client.subscribe("a@trade", told.take).ready;
  proxy.hold();
  const filler = "x".repeat(1000);
  for (let sent = 0; sent < 20_000; sent++) feed.publish("a@trade", { filler });
  await feed.settled();
  proxy.letGo();
  await until(() => told.isAt("a@trade", 20_000), "the last record");
  assert.ok(told.gaps.length > 0 && told.gaps.every(({ reason }) => reason === "slow"), JSON.stringify(told.gaps));
});

test("a feed that leaves is told as stale, and live when it is back, over a reconnect too", async (t) => {
  const { server, proxy, feed, client, told } = await stage(t, { set: ["feed.stale_after=100ms"] });
  client.subscribe("*@ticker", told.take);
  publish(feed, "a@ticker", 1);
  publish(feed, "b@ticker", 1);
  await until(() => told.records.length === 2, "records");
  feed.close();
  await until(() => told.statuses.length === 2, "both to be stale");
  proxy.shut();
  const again = await Feed.connect(server.at.ingest);
  t.after(() => again.close());
  publish(again, "a@ticker", 1);
  await again.settled();
  await proxy.open();
  await until(() => told.statuses.length > 2, "one to be live");
  publish(again, "b@ticker", 1);
  await until(() => told.statuses.length > 3, "the other one to be live");
  assert.deepEqual(told.statuses.map(({ channel, state }) => `${channel} ${state}`).sort(), [
    "a@ticker live", "a@ticker stale", "b@ticker live", "b@ticker stale",
  ]);
});

test("a server that is started anew counts anew: told as a restart, and it goes on", async (t) => {
  const { server, proxy, feed, client, told } = await stage(t);
  client.subscribe("a@ticker", told.take, { everyMs: 100 });
  await client.subscribe(["a@trade", "b@trade"], told.take).ready;
  publish(feed, "a@ticker", 50);
  publish(feed, "a@trade", 5);
  await until(() => told.isAt("a@trade", 5) && told.isAt("a@ticker", 50), "the beginning");
  proxy.shut();
  await server.stop("SIGKILL");
  const next = await Server.start({ at: { subscribers: server.at.subscribers } });
  t.after(() => next.stop("SIGKILL"));
  const feedAnew = await Feed.connect(next.at.ingest);
  t.after(() => feedAnew.close());
  // More than before: numbers alone do not tell that they are others.
  publish(feedAnew, "a@trade", 7);
  publish(feedAnew, "a@ticker", 70);
  await feedAnew.settled();
  await proxy.open();
  publish(feedAnew, "a@trade", 1);
  await until(() => told.isAt("a@trade", 8) && told.isAt("a@ticker", 70), "records of the new server");
  // Of a state the newest is enough.
  assert.deepEqual(told.gaps, [{ channel: "a@trade", from: 6, to: Infinity, reason: "restart" }]);
  assert.ok(told.records.find(({ snapshot }) => snapshot).seq >= 7);
  assert.deepEqual(told.errors, []);
});

test("a server that ends says when to come back", async (t) => {
  const { server, client, told } = await stage(t, { set: ["shutdown.drain=100ms"] });
  let notice;
  client.on("shutdown", (told) => (notice = told));
  await until(() => client.state === "open", "a connection");
  await server.stop();
  await until(() => told.ends.length === 1, "the end");
  assert.deepEqual(notice.reconnect_ms, [1000, 9000]);
  const [{ code, retryInMs }] = told.ends;
  assert.ok(code === 1001 && retryInMs >= 1000 && retryInMs <= 9000, JSON.stringify(told.ends));
});

test("a connection that is silent is given up, and another one made", async (t) => {
  const { proxy, feed, client, told } = await stage(t, { options: { ...QUICK, silenceMs: 1000 } });
  await client.subscribe("a@trade", told.take).ready;
  publish(feed, "a@trade", 3);
  await until(() => told.isAt("a@trade", 3), "the beginning");
  proxy.mode = "deaf";
  publish(feed, "a@trade", 3);
  await until(() => told.ends.length > 0, "the silence to be noticed");
  assert.equal(told.ends[0].code, 4002);
  proxy.mode = "open";
  await until(() => told.isAt("a@trade", 6), "what was missed");
  assert.deepEqual(told.seqs("a@trade"), [1, 2, 3, 4, 5, 6]);
  const { connects, messages } = client.stats;
  await until(() => client.stats.messages >= messages + 5, "five answers to ping, over twice the silence that is borne");
  assert.equal(client.stats.connects, connects, "one that answers is not given up, though no record comes");
});

test("a program ends by itself once it has closed, whatever the connection was doing", async (t) => {
  const { server, proxy } = await stage(t);
  const deaf = await Proxy.start(server.at.subscribers);
  t.after(() => deaf.stop());
  deaf.mode = "deaf";
  const gone = await Proxy.start(server.at.subscribers);
  gone.shut();
  const program = `
    import { Connection } from "${new URL("../../clients/js/tapecast.js", import.meta.url)}";
    const open = new Connection("${proxy.ws}");
    const waiting = new Connection("${gone.ws}", { backOffMs: [60000, 60000] });
    const connecting = new Connection("${deaf.ws}");
    const untilIs = (connection, state) => new Promise((resolve) => connection.on("state", (now) => now === state && resolve()));
    await Promise.all([open.subscribe("a@trade", () => {}).ready, untilIs(waiting, "waiting")]);
    for (const connection of [open, waiting, connecting]) connection.close();
    console.log("closed");`;
  const run = promisify(execFile)(process.execPath, ["--experimental-websocket", "--no-warnings", "--input-type=module", "-e", program]);
  assert.equal((await within(run, "the end of a program")).stdout, "closed\n");
});

test("a callback that throws is reported, and the connection goes on", async (t) => {
  const { feed, client, told } = await stage(t);
  const reported = [];
  globalThis.reportError = (failure) => reported.push(failure.message);
  t.after(() => delete globalThis.reportError);
  client.on("state", () => { throw new Error("of a state"); });
  client.subscribe("a@trade", () => { throw new Error("of a record"); });
  await client.subscribe("a@trade", told.take).ready;
  publish(feed, "a@trade", 2);
  await until(() => told.isAt("a@trade", 2), "both records");
  assert.deepEqual(reported, ["of a state", "of a record", "of a record"]);
});
