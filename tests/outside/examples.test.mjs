// The examples as a reader of README runs them: each feed against the real server, over a proxy that sees what it sends and cuts it off once.
//
// What a subscriber gets is held against what the example wrote, byte for byte and in order.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";

import { launch } from "./browser.mjs";
import { Feed, Process, Server, root, until, within } from "./harness.mjs";

const RECORDS = 60;
const EACH_OF_THEM = "delivery=[{ kind = \"*\", delivery = \"every\" }]";

let folder;
const feeds = {
  Python: (...args) => ["python3", ["examples/feed.py", ...args]],
  "Node.js": (...args) => [process.execPath, ["examples/feed.mjs", ...args]],
  Rust: (...args) => [path.join(folder, "feed"), args],
};

before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "tapecast-examples-"));
  const compiler = new Process("rustc", ["--edition", "2024", "-O", "examples/feed.rs", "-o", path.join(folder, "feed")]);
  assert.equal((await within(compiler.ended, "rustc")).code, 0, compiler.said);
});

after(() => rm(folder, { recursive: true }));

/** Runs `body` with a server, which ends with it. */
async function withServer(set, body) {
  const server = await Server.start({ set });
  try {
    await body(server);
  } finally {
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  }
}

/** All records from now on, as `<channel> <payload>`, the payload's bytes as they came. */
async function subscriber(t, server) {
  const records = [];
  const socket = new WebSocket(server.ws);
  t.after(() => socket.close());
  const isReady = new Promise((resolve) => {
    socket.onmessage = ({ data: text }) => {
      const { op, ch } = JSON.parse(text);
      if (op === "hello") socket.send('{"op":"subscribe","id":1,"channels":["*@*"]}');
      if (op === "ack") resolve();
      if (ch) records.push(`${ch} ${text.slice(text.indexOf('"data":') + 7, -1)}`);
    };
  });
  await within(isReady, "the acknowledgement");
  return records;
}

/** Stands between a feed and the server. `lines` are the feed's; at the answer with this number both sides are cut off, and the feed never sees it. */
async function proxy(t, address, { cutAt }) {
  const lines = [];
  let answers = 0;
  const listener = net.createServer((feed) => {
    const server = net.connect(Number(address.split(":")[1]), "127.0.0.1");
    let rest = "";
    feed.on("data", (bytes) => {
      const parts = (rest + bytes).split("\n");
      rest = parts.pop();
      lines.push(...parts);
      server.write(bytes);
    });
    server.on("data", (bytes) => {
      answers += 1;
      if (answers === cutAt) [feed, server].forEach((socket) => socket.destroy());
      else feed.write(bytes);
    });
    for (const [one, other] of [[feed, server], [server, feed]]) one.on("error", () => {}).on("close", () => other.destroy());
  });
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  t.after(() => listener.close());
  return { address: `127.0.0.1:${listener.address().port}`, lines };
}

/** The records among a feed's lines, as a subscriber sees them: each sequence of a channel once. */
function taken(lines) {
  const byName = new Map();
  for (const line of lines) {
    const found = /^([^ #]+@[^ #]+)#(\d+) (.*)$/.exec(line);
    if (found) byName.set(`${found[1]}#${found[2]}`, `${found[1]} ${found[3]}`);
  }
  return [...byName.values()];
}

/** How an example ended, and what it said on stderr. */
async function run([command, args], env = {}) {
  const feed = new Process(command, args, { env: { ...process.env, ...env } });
  const { code } = await within(feed.ended, "the end of the example");
  return { code, said: feed.said };
}

for (const [language, example] of Object.entries(feeds)) {
  test(`${language}: what it publishes arrives once and in order, although the connection is cut`, (t) =>
    withServer([EACH_OF_THEM, "ingest.token=secret"], async (server) => {
      const records = await subscriber(t, server);
      // The first answer is to the greeting, the third to the second batch: that was taken, and its feed does not know.
      const between = await proxy(t, server.at.ingest, { cutAt: 3 });
      const { code, said } = await run(example(between.address, String(RECORDS)), { TAPECAST_INGEST_TOKEN: "secret" });
      assert.equal(code, 0, said);
      assert.match(said, /reconnecting/);
      await until(() => records.length >= RECORDS, "the records");
      assert.equal(await server.metric("tapecast_ingest_duplicate_records_total"), 20, "the batch that was cut off came twice");
      const expected = taken(between.lines);
      assert.equal(expected.length, RECORDS);
      assert.deepEqual(records, expected);
    }));

  test(`${language}: a line that is refused is told, and the others are taken`, (t) =>
    withServer([EACH_OF_THEM, "ingest.payload_bytes_max=55"], async (server) => {
      const records = await subscriber(t, server);
      const { code, said } = await run(example(server.at.ingest, "8"));
      assert.equal(code, 0, said);
      assert.equal(said.match(/^refused: -ERR \d+ \S+ .*$/gm)?.length, 4, said);
      await until(() => records.length >= 4, "the tickers");
      assert.deepEqual(records.map((record) => record.split(" ")[0]), ["btcusdt@ticker", "ethusdt@ticker", "btcusdt@ticker", "ethusdt@ticker"]);
    }));

  test(`${language}: a wrong address and a wrong token end it with a clear message`, () =>
    withServer(["ingest.token=secret"], async (server) => {
      const [nobody, wrong, elsewhere] = await Promise.all([
        run(example("127.0.0.1:1", "1")),
        run(example(server.at.ingest, "1"), { TAPECAST_INGEST_TOKEN: "guess" }),
        run(example(server.at.subscribers, "1")),
      ]);
      assert.match(nobody.said, /^cannot feed.*refused.*; does a server listen for feeds there \(tapecast serve\)\?$/im);
      assert.match(wrong.said, /^refused: -ERR 1 unauthorized .*\ncannot feed/);
      assert.match(elsewhere.said, /^refused: HTTP.*\n[^]*cannot feed/);
      assert.deepEqual([nobody.code, wrong.code, elsewhere.code], [1, 1, 1]);
    }));
}

test("the page shows each trade, wherever it was opened from", () =>
  withServer([], async (server) =>
    withPage(async (page) => {
      const html = await readFile(path.join(root, "examples/subscribe.html"), "utf8");
      const copy = path.join(folder, "subscribe.html");
      await writeFile(copy, html.replaceAll("127.0.0.1:9001", server.at.subscribers));
      await page.goto(`file://${copy}`);
      const tape = page.locator("#tape");
      await within(tape.getByText("connection: open").waitFor(), "the connection");
      const feed = await Feed.connect(server.at.ingest);
      for (const p of ["61737.63", "61737.64"]) feed.publish("btcusdt@trade", { e: "trade", p, q: "0.010" });
      await until(async () => (await tape.textContent()).includes("btcusdt@trade 2: 0.010 at 61737.64\nbtcusdt@trade 1: 0.010 at 61737.63\n"), "both trades");
      feed.close();
    }),
  ));

/** Runs `body` with a browser's page, of which nothing may complain. */
async function withPage(body) {
  const browser = await launch();
  try {
    const page = await browser.newPage();
    const complaints = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    await body(page);
    assert.deepEqual(complaints, []);
  } finally {
    await browser.close();
  }
}
