// docs/protocol.md and docs/asyncapi.yaml against the real server: examples are played, messages are what is described, and nothing described is
// never seen. Takes about twelve seconds.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Description } from "./description.mjs";
import { Feed, Server, root, until, within } from "./harness.mjs";
import { Socket, Stream } from "./listeners.mjs";
import { blocks, play } from "./transcript.mjs";

const PROTOCOL = readFileSync(path.join(root, "docs/protocol.md"), "utf8");
const SMALL = "ring.bytes=67108864";
let described;

before(async () => {
  described = await Description.read();
});

after(() => {
  assert.deepEqual(described.unseen(), [], "these stand in docs/asyncapi.yaml, and were never seen");
});

test("the examples of the description are what it says", () => {
  for (const { channel, direction, name, payload } of described.examples()) {
    assert.deepEqual(described.matches(channel, direction, payload).map(({ name }) => name), [name]);
  }
});

test("each example of the protocol is played", { concurrency: 6 }, async (t) => {
  await Promise.all(blocks(PROTOCOL).map((block) => t.test(`line ${block.line}`, async () => judge(await play(block)))));
});

// What nobody has to read, but what is described all the same.
const MORE = {
  "requests without an id, and with all that they may hold": [[], `
client> {"op":"list"}
client< {"op":"list","channels":[]}
client> {"op":"ping"}
client< {"op":"pong","ts":1}
client> {"op":"subscribe","id":1,"channels":["a@ticker"],"snapshot":false,"every_ms":100,"resume":{"epoch":"","seq":{"a@ticker":3}}}
client< {"op":"ack","id":1,"channels":[{"channel":"a@ticker","seq":0,"recovered":false}]}
client> {"op":"subscribe","id":2,"channels":["a@ticker"],"snapshot":true}
client< {"op":"ack","id":2,"channels":[{"channel":"a@ticker","seq":0}]}
client> {"op":"unsubscribe","channels":["a@ticker"]}
client> {"op":"ping","id":3}
client< {"op":"pong","id":3,"ts":1}`],
  "more than the limits allow": [["limits.channels=1"], `
client> {"op":"subscribe","id":1,"channels":["a@trade","b@trade"]}
client< {"op":"error","id":1,"code":"too_many_channels","message":"2 channels are more than a subscriber may have: 1"}`],
  "records merged": [['delivery=[{kind="depth",merge="binance-depth"}]'], `
client> {"op":"subscribe","id":1,"channels":["a@depth"],"every_ms":1000}
client< {"op":"ack","id":1,"channels":[{"channel":"a@depth","seq":0}]}
feed> a@depth {"e":"depthUpdate","s":"A","U":1,"u":2,"b":[["1","1"]],"a":[]}
client< {"ch":"a@depth","seq":1,"ts":1,"data":…}
feed> a@depth {"e":"depthUpdate","s":"A","U":3,"u":4,"b":[["1","2"]],"a":[]}
feed> a@depth {"e":"depthUpdate","s":"A","U":5,"u":6,"b":[],"a":[["2","1"]]}
client< {"ch":"a@depth","seq":3,"ts":1,"skipped":1,"merged":true,"data":{"e":"depthUpdate","s":"A","U":3,"u":6,"b":[["1","2"]],"a":[["2","1"]]}}`],
  "a token": [["ingest.token=secret"], `
feed> AUTH secret
feed> a@trade 1
feed> PING
feed< +PONG 1
feed-b> PING
feed-b< -ERR 1 unauthorized …
$ curl -s -o /dev/null -w '%{http_code}' -d '{"channel":"a@trade","data":1}' 127.0.0.1:9002/publish
401
$ curl -s -H 'authorization: Bearer secret' -d '{"channel":"a@trade","data":1}' 127.0.0.1:9002/publish
{"accepted":1}`],
  "what feeds do wrong": [["ring.bytes=65536", "ingest.payload_bytes_max=1024", "ring.channels_max=40"], `
feed> GET /ingest
feed> {"channel":"a@trade","data":1,"seq":1}
feed< {"accepted":1}
feed> {"stream":"a@trade","data":1,"seq":2}
feed< {"accepted":1}
feed> [{"channel":"a@trade","data":1,"seq":3},{"stream":"a@trade","data":1,"seq":4},{"e":"trade","s":"A"}]
feed< {"accepted":3}
feed> [{"channel":"a@trade"},{"channel":"a","data":1},{"e":"no"},{"channel":"a@b","data":1,"seq":1.5}]
feed< {"accepted":0,"rejected":[{"index":0,"code":"malformed",…},{"index":1,"code":"invalid_channel",…},{"index":2,"code":"unknown_event",…},{"index":3,"code":"invalid_sequence",…}]}
feed> {"channel":"a@b",
feed< {"accepted":0,"rejected":[{"index":0,"code":"invalid_json",…}]}
feed> {"channel":"a@b","data":"${"x".repeat(1024)}"}
feed< {"accepted":0,"rejected":[{"index":0,"code":"too_large",…}]}
feed> [${Array.from({ length: 50 }, (_, i) => `{"channel":"${i}@x","data":1}`)}]
feed< {"accepted":39,"rejected":[{"index":39,"code":"too_many_channels",…}]}`],
};

test("what is not in the examples is as described too", { concurrency: 6 }, async (t) => {
  const play_one = async ([name, [set, lines]]) =>
    t.test(name, async () => judge(await play({ line: 0, set, lines: lines.trim().split("\n") })));
  await Promise.all(Object.entries(MORE).map(play_one));
});

/** Hears a stream of events or a WebSocket until it says something, each message of it as it is described. */
async function hear(listener, wanted, what) {
  const heard = new Set();
  for (;;) {
    const { type, text } = await within(listener.take(), what);
    const value = JSON.parse(text);
    const name = described.note(listener.channel, "<", value);
    if (listener.channel === "events") assert.equal(type, ["hello", "error", "close"].includes(name) ? name : "message");
    if (wanted(value, name, heard.add(name))) return value;
  }
}

/** Runs `body` with a server that ends with it. */
async function serving(set, body) {
  const server = await Server.start({ set });
  try {
    await body(server);
  } finally {
    await server.stop();
  }
}

/** Runs a scene with a server, a feed, and a WebSocket and an event stream that ask for the same. */
async function scene({ set = [], query }, body) {
  await serving([SMALL, ...set], async (server) => {
    const feed = await Feed.connect(server.at.ingest);
    const listeners = [await Socket.open(server, query), await Stream.open(server, query)];
    const all = (wanted, what) => Promise.all(listeners.map((listener) => hear(listener, wanted, what)));
    try {
      await all(({ op }) => op === "hello", "hello");
      await body({ server, feed, listeners, all });
    } finally {
      for (const one of [feed, ...listeners]) one.close();
    }
  });
}

/** Notes what was said; what is not described must have been refused. */
function judge(log) {
  log.forEach(({ actor, channel, direction, text }, at) => {
    if (text.startsWith("CLOSE")) return;
    const value = channel === "lines" ? text : json(text);
    if (direction === "<" || described.matches(channel, direction, value).length > 0) return described.note(channel, direction, value);
    const answer = log.slice(at + 1).find((next) => next.actor === actor && next.direction === "<")?.text;
    assert.match(answer ?? "", /^-ERR|"op":"error"|"rejected":/, `taken, though not described: ${text}`);
  });
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

test("answers to what is too much or no text", async () => {
  await serving(["ring.bytes=65536", "ingest.payload_bytes_max=1024"], async (server) => {
    const large = Array.from({ length: 30 }, (_, i) => `{"channel":"${i}@x","data":"${"x".repeat(900)}"}`);
    const codes = new Set();
    for (const body of ["1\n".repeat(300), Buffer.from([0xff]), ...large]) {
      const headers = { "content-type": "application/x-ndjson", connection: "close" };
      const answer = await (await fetch(`http://${server.at.ingest}/publish`, { method: "POST", headers, body })).json();
      described.note("ingest", "<", answer);
      for (const { code } of answer.rejected ?? []) codes.add(code);
    }
    assert.deepEqual([...codes].sort(), ["invalid_utf8", "malformed", "ring_full"]);
  });
});

test("each path is told, and each that is told is served", async () => {
  await serving([SMALL], async (server) => {
    const ask = (at, path) => fetch(`http://${at}${path}`, { headers: { connection: "close" } });
    const paths = (text) => text.match(/(?<=[\s`,])\/[a-z][\w/]*(\.js)?/g);
    const told = paths(PROTOCOL.slice(0, PROTOCOL.indexOf("## Channels")));
    // What the server itself says of its paths: in its index, and where there is none.
    const { subscribers, ingest, admin } = server.at;
    const asked = await Promise.all([ask(subscribers, "/"), ask(ingest, "/none"), ask(admin, "/none")]);
    const said = await Promise.all(asked.map((answer) => answer.text()));
    for (const path of said.flatMap(paths)) assert.ok(told.some((one) => path.startsWith(one)), `docs/protocol.md does not tell ${path}`);
    for (const path of told) {
      const statuses = await Promise.all(Object.values(server.at).map(async (at) => (await ask(at, path)).status));
      assert.equal(statuses.filter((status) => status !== 404).length, 1, `${path}: ${statuses}`);
    }
  });
});

test("limits are the configuration's defaults", () => {
  const defaults = new Map();
  let section = "";
  for (const line of readFileSync(path.join(root, "docs/tapecast.example.toml"), "utf8").split("\n")) {
    section = /^\[(\w+)\]$/.exec(line)?.[1] ?? section;
    const [, key, value] = /^# (\w+) = (\d+)$/.exec(line) ?? [];
    if (key) defaults.set(`${section}.${key}`, value);
  }
  const rows = [...PROTOCOL.matchAll(/^\| `(\w+\.\w+)` \| (\d+) /gm)];
  assert.ok(rows.length > 10);
  for (const [, key, value] of rows) assert.equal(value, defaults.get(key), key);
});

describe("a WebSocket and an event stream", { concurrency: 3 }, () => {
  test("a stream says what a WebSocket says", async () => {
    await scene({ set: ["feed.stale_after=50ms"], query: "channels=*@*" }, async ({ server, feed, all }) => {
      feed.publish("a@trade#1", 1);
      await all((_, name) => name === "record", "a record");
      const late = await Stream.open(server, "channels=a@trade");
      await hear(late, (_, name) => name === "snapshot", "a snapshot");
      late.close();
      feed.publish("a@trade#3", 3);
      await all(({ reason }) => reason === "feed", "a gap of the feed");
      feed.close();
      await all(({ state }) => state === "stale", "a stale channel");
      const next = await Feed.connect(server.at.ingest);
      next.publish("a@trade", 4);
      await all(({ state }) => state === "live", "its return");
      next.close();
    });
  });

  test("records in the place of others", async () => {
    const set = ['delivery=[{kind="depth",merge="binance-depth"},{kind="ticker",delivery="latest"}]'];
    await scene({ set, query: "channels=a@depth,a@ticker&every_ms=200" }, async ({ feed, all }) => {
      let u = 0;
      const pump = setInterval(() => {
        u += 1;
        feed.publish("a@depth", { e: "depthUpdate", s: "A", U: u, u, b: [], a: [] });
        feed.publish("a@ticker", { c: u });
      }, 20);
      await all((_, __, heard) => heard.has("conflated") && heard.has("merged"), "both").finally(() => clearInterval(pump));
    });
  });

  test("who does not read is told what it lost", async () => {
    await scene({ set: ["outbox.bytes_max=65536"], query: "channels=a@trade" }, async ({ server, feed, listeners, all }) => {
      for (const listener of listeners) listener.stop();
      const publish = async () => {
        feed.publish("a@trade", "x".repeat(500_000));
        await feed.settled();
      };
      await until(async () => {
        await publish();
        return (await server.metric('tapecast_shard_slow_subscribers{shard="0"}')) === 2;
      }, "two slow readers");
      // Neither has room for one of these any more.
      for (let i = 0; i < 5; i += 1) await publish();
      for (const listener of listeners) listener.go();
      await all(({ reason }) => reason === "slow", "a gap");
    });
  });

  test("a name that comes again begins above all that were forgotten", async () => {
    await scene({ set: ["channel.expire_after=100ms"], query: "channels=a@trade" }, async ({ server, feed, all }) => {
      for (const channel of ["a@trade", "b@trade", "b@trade", "b@trade"]) feed.publish(channel, 1);
      await all(({ seq }) => seq === 1, "the first record");
      await until(async () => (await server.metric("tapecast_ingest_expired_channels_total")) === 2, "the end of both");
      feed.publish("a@trade", 2);
      const gaps = await all(({ op }) => op === "gap", "a gap");
      for (const { from, to, reason } of gaps) assert.deepEqual([from, to, reason], [2, 3, "expired"]);
      await all(({ seq }) => seq === 4, "the record behind it");
    });
  });

  test("a server that its feed overtook says so", async () => {
    const set = ["ring.bytes=65536", "ingest.payload_bytes_max=512"];
    await scene({ set, query: "channels=a@trade" }, async ({ feed, all }) => {
      // One write of many rings: the shard that is woken behind it is overtaken, sooner or later.
      const burst = "a@trade 1\n".concat("noise@trade 0\n".repeat(50)).repeat(500);
      const pump = setInterval(() => feed.socket.writableLength === 0 && feed.socket.write(burst), 5);
      await all(({ reason }) => reason === "lapped", "a gap").finally(() => clearInterval(pump));
    });
  });

  test("the end is told, and closes", async () => {
    await scene({ set: ["shutdown.drain=500ms"], query: "channels=a@trade" }, async ({ server, listeners: [socket, stream], all }) => {
      server.process.child.kill("SIGTERM");
      await all(({ op }) => op === "shutdown", "the word");
      await hear(stream, ({ code }) => code === 1001, "the last event");
      assert.equal(await socket.talk.next(), "CLOSE 1001 server is shutting down");
    });
  });

  test("a stream that cannot be says why", async () => {
    await serving([SMALL, "limits.pattern_channels=1"], async (server) => {
      const feed = await Feed.connect(server.at.ingest);
      for (const channel of ["a@trade", "b@trade"]) feed.publish(channel, 1);
      await feed.settled();
      const stream = await Stream.open(server, "channels=*@trade");
      await hear(stream, (_, name) => name === "error", "why");
      await hear(stream, ({ code }) => code === 1008, "the last event");
      for (const one of [stream, feed]) one.close();
    });
  });
});

test("what is described otherwise is not taken for it", () => {
  const right = { ch: "a@trade", seq: 1, ts: 1, data: null };
  assert.deepEqual(described.matches("native", "<", right).map(({ name }) => name), ["record"]);
  for (const wrong of [{ seq: 0 }, { seq: "1" }, { ts: undefined }, { ch: "a" }, { ch: "$a@b" }, { ch: "a..b@c" }, { ch: "a.@b" }, { snap: false }, { skipped: 0 }, { merged: true }, { more: 1 }]) {
    const message = JSON.parse(JSON.stringify({ ...right, ...wrong }));
    assert.deepEqual(described.matches("native", "<", message), [], JSON.stringify(message));
  }
});
