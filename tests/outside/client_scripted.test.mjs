// The JavaScript client against a scripted socket: others than Tapecast, servers of other versions, clocks that differ, a server that throws it out.
//
// Only what the real server cannot be brought to do, and the types; for the rest see client.test.mjs.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import { promisify } from "node:util";

import { Connection } from "../../clients/js/tapecast.js";
import { until, within } from "./harness.mjs";
import { Told } from "./told.mjs";

test("what does not speak the protocol is named, and asked again late", async (t) => {
  const greetings = ['{"welcome":true}', "<html>", '{"op":"hello"}', undefined];
  for (const greeting of greetings) {
    const client = new Connection("ws://scripted/", { backOffMs: [1, 1000], silenceMs: 50, WebSocket: scripted((say) => greeting && say(greeting)) });
    t.after(() => client.close());
    const told = new Told(client);
    await until(() => told.errors.length > 0, `an error about ${greeting}`);
    assert.equal(told.errors[0].code, "not_tapecast");
    assert.match(told.errors[0].message, /ws:\/\/scripted\/ .*\/v1\/ws of a Tapecast server/);
    assert.ok(told.ends[0].retryInMs >= 500, `${told.ends[0].retryInMs}`);
  }
  const page = http.createServer((_, answer) => answer.end("<html>")).listen(0, "127.0.0.1");
  t.after(() => page.close());
  await once(page, "listening");
  const client = new Connection(`http://127.0.0.1:${page.address().port}/v1/ws`, { backOffMs: [1000, 1000] });
  t.after(() => client.close());
  const told = new Told(client);
  await until(() => told.ends.length > 0, "the end");
  assert.match(told.ends[0].reason, /is there a Tapecast server at ws:\/\/127/);
});

test("a newer server's words are passed over, an older one's missing time leaves the clocks alone", async (t) => {
  const client = new Connection("ws://scripted/", {
    WebSocket: scripted((say, heard) => {
      if (!heard) for (const message of [HELLO, '{"op":"weather"}', "null", "7", "[]", '{"ch":7}', '{"ch":"z@trade","seq":1,"data":0}']) say(message);
      if (heard?.op === "ping") say(`{"op":"pong","id":${heard.id}}`);
      if (heard?.op === "subscribe") say(`{"op":"ack","id":${heard.id},"new":{}}`), say('{"ch":"a@trade","seq":1,"ts":1,"new":[],"data":0}');
    }),
  });
  t.after(() => client.close());
  const told = new Told(client);
  await within(client.subscribe("a@trade", told.take).ready, "an acknowledgement");
  await until(() => told.isAt("a@trade", 1), "a record");
  assert.deepEqual([client.clockOffsetUs, told.records.length, told.errors, client.state], [0, 1, [], "open"]);
});

test("the clock's offset is the quickest round trip's; a sequence that falls is passed over, a step that nobody explains is told", async (t) => {
  let pings = 0;
  const client = new Connection("ws://scripted/", {
    silenceMs: 1000,
    WebSocket: scripted((say, heard) => {
      if (!heard) say(HELLO);
      if (heard?.op === "subscribe") say(`{"op":"ack","id":${heard.id},"channels":[]}`);
      if (heard?.op === "subscribe") for (const seq of [5, 4, 5, 6, 9]) say(`{"ch":"a@trade","seq":${seq},"ts":1,"data":0}`);
      // The first answer is late, and so tells a time that has passed.
      const at = (performance.timeOrigin + performance.now()) * 1000 + 5_000_000;
      const pong = () => say(`{"op":"pong","id":${heard.id},"ts":${Math.round(at)}}`);
      if (heard?.op === "ping") setTimeout(pong, pings++ === 0 ? 350 : 0);
    }),
  });
  t.after(() => client.close());
  const told = new Told(client);
  client.subscribe("a@trade", told.take);
  await until(() => pings > 3, "two quick answers");
  assert.ok(Math.abs(client.clockOffsetUs - 5_000_000) < 100_000, `${client.clockOffsetUs}`);
  assert.deepEqual(told.seqs("a@trade"), [5, 6, 9]);
  assert.deepEqual(told.gaps, [{ channel: "a@trade", from: 7, to: 8, reason: "lapped" }]);
  assert.equal(client.stats.passedOver, 2);
});

test("who is thrown out at once waits longer each time, and a burst of wishes stays below what a client may send", async (t) => {
  const client = new Connection("ws://scripted/", {
    backOffMs: [8, 64],
    WebSocket: scripted((say, heard, end) => (heard ? heard.op === "ping" && end(1008, "Too many requests") : say(HELLO))),
  });
  const told = new Told(client);
  await until(() => told.ends.length >= 6, "ends");
  client.close();
  told.ends.slice(0, 6).forEach(({ retryInMs }, at) => {
    const bound = Math.min(64, 8 * 2 ** at);
    assert.ok(retryInMs >= bound / 2 && retryInMs <= bound, `${retryInMs} at ${at}`);
  });
  const heard = [];
  const busy = new Connection("ws://scripted/", {
    WebSocket: scripted((say, message) => {
      if (!message) return say(HELLO);
      if (message.op !== "ping") heard.push(message);
      if (message.op === "subscribe") say(`{"op":"ack","id":${message.id},"channels":[]}`);
    }),
  });
  t.after(() => busy.close());
  // One rate each, so that each asks by itself.
  const many = Array.from({ length: 200 }, (_, at) => busy.subscribe(`s${at}@ticker`, () => {}, { everyMs: at }));
  await until(() => heard.length > 30, "more than the burst");
  assert.ok(heard.length < 40, `${heard.length} messages at once`);
  many.forEach((one) => one.unsubscribe());
  await until(() => heard.at(-1).op === "unsubscribe", "the end of it");
  const asked = heard.filter(({ op }) => op === "subscribe").flatMap(({ channels }) => channels);
  assert.deepEqual(heard.at(-1).channels, asked, "what was never asked for is not left");
});

test("who shares a request with what is refused, and comes while it is out, is not blamed", async (t) => {
  const answers = [];
  const answer = () => answers.splice(0).forEach((give) => give());
  const client = new Connection("ws://scripted/", {
    WebSocket: scripted((say, heard) => {
      if (!heard) return say(HELLO);
      const isBad = heard.channels?.includes("bad") || heard.every_ms === 7;
      const rest = isBad ? '"op":"error","code":"invalid_channel","message":"bad"' : '"op":"ack","channels":[]';
      if (heard.op === "subscribe") answers.push(() => say(`{"id":${heard.id},${rest}}`));
    }),
  });
  t.after(() => client.close());
  const told = new Told(client);
  const bad = client.subscribe(["a@trade", "bad"], () => {});
  const beside = client.subscribe("b@trade", () => {});
  await until(() => answers.length === 1, "one request");
  bad.unsubscribe();
  const late = client.subscribe("a@trade", () => {});
  answer();
  await until(() => answers.length > 0, "another request");
  const answering = setInterval(answer, 5);
  t.after(() => clearInterval(answering));
  await within(Promise.all([beside.ready, late.ready]), "what is right");
  assert.deepEqual(told.errors, []);
  // A rate that was refused leaves what there was.
  const rated = client.subscribe("c@ticker", () => {}, { everyMs: 50 });
  await within(rated.ready, "a rate");
  const faster = client.subscribe("c@ticker", () => {}, { everyMs: 7 });
  await until(() => told.errors.length === 1, "a refusal");
  assert.deepEqual(told.errors[0].channels, faster.channels);
  await within(client.subscribe("c@ticker", () => {}, { everyMs: 60 }).ready, "what is there already");
});

test("a subscription made between two records of one burst is given the later one once", async (t) => {
  const client = new Connection("ws://scripted/", {
    WebSocket: scripted((say, heard) => {
      if (!heard) say(HELLO);
      if (heard?.op === "subscribe") for (const rest of [`"op":"ack","id":${heard.id}`, ...[1, 2, 3].map((seq) => `"ch":"a@trade","seq":${seq},"ts":1,"data":0`)]) say(`{${rest}}`);
    }),
  });
  t.after(() => client.close());
  const given = [];
  const first = client.subscribe("a@trade", ({ seq }) => seq === 1 && client.subscribe("a@trade", ({ seq, snapshot }) => given.push([seq, snapshot])));
  await within(first.ready, "an acknowledgement");
  await until(() => given.length > 0, "a record");
  assert.deepEqual(given, [[3, true]]);
});

test("a clock that is set is believed at once", async (t) => {
  let pings = 0;
  const client = new Connection("ws://scripted/", {
    silenceMs: 1000,
    WebSocket: scripted((say, heard) => {
      if (!heard) say(HELLO);
      // The first answers are the quickest; then an hour has passed there.
      const at = (performance.timeOrigin + performance.now()) * 1000 + (pings < 2 ? 0 : 3_600_000_000);
      if (heard?.op === "ping") setTimeout(() => say(`{"op":"pong","id":${heard.id},"ts":${Math.round(at)}}`), pings++ < 2 ? 0 : 50);
    }),
  });
  t.after(() => client.close());
  await until(() => pings === 3 && client.clockOffsetUs > 3_500_000_000, "the hour", 5000);
});

test("a server that bids everybody back at once is not believed for ever, and who closes hears no more", async (t) => {
  const bidding = scripted((say, heard, end) => heard || (say(HELLO), say('{"op":"shutdown","in_ms":0,"reconnect_ms":[0,0]}'), end(1001, "")));
  const client = new Connection("ws://scripted/", { backOffMs: [8, 64], WebSocket: bidding });
  t.after(() => client.close());
  const told = new Told(client);
  await until(() => told.ends.length >= 5, "ends");
  assert.ok(told.ends[4].retryInMs >= 32, `${told.ends[4].retryInMs}`);
  t.mock.method(console, "warn", (what) => assert.fail(`${what}`));
  const foreign = new Connection("ws://scripted/", { WebSocket: scripted((say) => say("<html>")) });
  foreign.on("end", () => foreign.close());
  await until(() => foreign.state === "closed", "the end");
});

test("types: the client keeps its contract, and users can write against it", async () => {
  const flags = "--noEmit --strict --allowJs --checkJs --target es2022 --module nodenext --lib es2022,dom,dom.iterable".split(" ");
  const files = ["client.types.ts", "../../clients/js/tapecast.js"];
  const compiled = promisify(execFile)(process.execPath, ["node_modules/typescript/bin/tsc", ...flags, ...files], { cwd: new URL(".", import.meta.url) });
  await compiled.catch(({ stdout, message }) => assert.fail(stdout || message));
});

const HELLO = '{"op":"hello","epoch":"e","version":"9.9","heartbeat_ms":20000,"limits":{"channels":1024,"message_bytes":65536},"new":1}';

/** A WebSocket whose other side is `script(say, heard, end)`: called at the opening, and for each message that it hears. */
function scripted(script) {
  return class {
    readyState = 0;
    constructor() {
      this.answer = (heard) => script((data) => this.onmessage?.({ data }), heard, (code, reason) => this.onclose?.({ code, reason }));
      setTimeout(() => {
        this.readyState = 1;
        this.onopen?.();
        this.answer();
      });
    }
    send(text) {
      setTimeout(() => this.answer(JSON.parse(text)));
    }
    close() {
      this.readyState = 3;
      this.onmessage = this.onclose = this.onopen = null;
    }
  };
}
