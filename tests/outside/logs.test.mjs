// Logs: text for people unless JSON is asked for, and then every line is an object, whatever peers say.

import assert from "node:assert/strict";
import net from "node:net";
import { once } from "node:events";
import { test } from "node:test";

import { Feed, Process, program, Server, until } from "./harness.mjs";

/** What a peer may say to spoil a line: a terminal's escapes, quotes, line ends, what is not UTF-8. */
const HOSTILE = Buffer.concat([Buffer.from('\x1b[31m"quoted"\\\t{"level":"FORGED"}\u0085'), Buffer.from([0xff, 0xfe, 0x07])]);

/** An environment with this format and filter. */
function environment(format, filter = "debug") {
  const { TAPECAST_LOG_FORMAT, ...others } = process.env;
  return { ...others, TAPECAST_LOG: filter, ...(format === undefined ? {} : { TAPECAST_LOG_FORMAT: format }) };
}

/** All that a server has logged to whoever spoke to it so. */
async function logged(format) {
  const server = await Server.start({ env: environment(format) });
  try {
    const feed = await Feed.connect(server.at.ingest);
    feed.socket.write(Buffer.concat([HOSTILE, Buffer.from(" {}\n"), Buffer.from("a@b "), HOSTILE, Buffer.from("\n")]));
    assert.equal(await spoken(server.at.subscribers, `GET /%1b%22\u202e${HOSTILE.toString("latin1")} HTTP/1.1\r\n\r\n`), 400);
    assert.equal(await spoken(server.at.subscribers, 'GET /"%1b[31m HTTP/1.1\r\nHost: a\r\n\r\n'), 404);
    await until(() => /record refused/.test(server.process.said) && /404/.test(server.process.said), "the lines");
    feed.close();
  } finally {
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  }
  assert(server.process.said.endsWith("\n"));
  return server.process.said.slice(0, -1).split("\n");
}

/** The status that is answered to these bytes. */
async function spoken(address, bytes) {
  const [host, port] = address.split(":");
  const socket = net.connect(Number(port), host, () => socket.write(bytes, "latin1"));
  const [answer] = await once(socket, "data");
  socket.destroy();
  return Number(answer.toString("latin1").split(" ")[1]);
}

/** What `serve` with these arguments says on stderr, and how it ends. */
async function failed(format, args) {
  const served = new Process(program, ["serve", ...args], { env: environment(format, "off") });
  const { code } = await served.ended;
  return { code, said: served.said.trimEnd().split("\n") };
}

test("JSON, where it is asked for, is one object a line", async () => {
  const lines = await logged("json");
  const events = lines.map((line) => JSON.parse(line));
  for (const [place, event] of events.entries()) {
    assert(!Number.isNaN(Date.parse(event.timestamp)), lines[place]);
    assert.match(event.level, /^(DEBUG|INFO|WARN|ERROR)$/);
    assert(typeof event.target === "string" && typeof event.fields.message === "string", lines[place]);
    assert.doesNotMatch(lines[place], /[\u0000-\u001f\u007f-\u009f]/);
  }
  const refused = events.find((event) => event.fields.message === "record refused");
  assert(refused?.target === "tapecast::ingest::faults" && refused.level === "WARN" && refused.fields.code, JSON.stringify(refused));
});

test("text is the default, and escapes as well", async () => {
  for (const line of await logged(undefined)) {
    assert.match(line, /^\d{4}-\d\d-\d\dT\S+Z +(DEBUG|INFO|WARN|ERROR) /);
    assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f]/);
  }
});

test("why the program ends is told in the same way, whatever the filter", async () => {
  const taken = net.createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const args = ["--listen", `127.0.0.1:${taken.address().port}`, "--ingest-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
  const text = await failed("text", args);
  assert(text.code === 1 && text.said.at(-1).startsWith("tapecast: "), text.said);
  const json = await failed("json", args);
  assert.equal(`tapecast: ${JSON.parse(json.said.at(-1)).fields.message}`, text.said.at(-1));
  assert.equal(json.code, 1);
  taken.close();
});

test("another format is refused by its name", async () => {
  const { code, said } = await failed("xml", []);
  assert.deepEqual([code, said], [2, ['tapecast: TAPECAST_LOG_FORMAT: "xml" is no format; write text or json']]);
});
