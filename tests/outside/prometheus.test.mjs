// A real Prometheus scrapes a real server with our rules: every expression of the dashboard and of the alerts is about something that is
// there, a healthy server alerts nobody, and what goes wrong is seen.
//
// One scene in four acts, since each scrape takes its time: healthy, refused and slow, a feed that is gone, a server that is gone.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, test } from "node:test";

import { Feed, root, Server, until, within } from "./harness.mjs";
import { EVERY_MS, Prometheus } from "./prometheus.mjs";

/** An alert that waits on a new server, and would fire if history were still as short after its `for`. */
const WAITS_WHILE_NEW = "TapecastHistoryShort";

const CHANNELS = ["btcusdt@trade", "ethusdt@trade", "btcusdt@ticker"];

let server;
let feed;
let feeding;
let reader;
let prometheus;

/** Publishes a record of each channel again and again. */
function publish(feed) {
  let price = 60_000;
  return setInterval(() => CHANNELS.forEach((channel) => feed.publish(channel, { p: (price += 1) })), 20);
}

/** A subscriber of the native protocol that reads all it gets. */
async function read(server) {
  const socket = new WebSocket(server.ws);
  await within(once(socket, "open"), "a subscriber");
  socket.send(JSON.stringify({ op: "subscribe", id: 1, channels: CHANNELS }));
  return socket;
}

/** A subscriber that subscribes and never reads: its socket. */
async function neverRead(server) {
  const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": randomBytes(16).toString("base64") };
  const request = http.get(`http://${server.at.subscribers}/v1/ws`, { headers });
  const [, socket] = await within(once(request, "upgrade"), "a handshake");
  socket.pause();
  const text = Buffer.from(JSON.stringify({ op: "subscribe", id: 1, channels: ["big@trade"] }));
  // A text frame, masked with zeros.
  socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), text]));
  return socket;
}

before(async () => {
  server = await Server.start({ set: ["feed.stale_after=1s", "limits.connections=2"] });
  feed = await Feed.connect(server.at.ingest);
  feeding = publish(feed);
  reader = await read(server);
  prometheus = await Prometheus.start(server.at.admin);
  await until(async () => (await prometheus.query("count_over_time(up[1h])"))[0]?.value >= 6, "six scrapes");
});

after(async () => {
  clearInterval(feeding);
  feed?.close();
  await server?.stop("SIGKILL");
  await prometheus?.stop();
});

const dashboard = JSON.parse(readFileSync(path.join(root, "docs/grafana.json"), "utf8"));

/** Each query of the dashboard as Grafana would send it: `{title, expr, legend}`. */
function queries() {
  const filled = (text) => text.replaceAll("$__rate_interval", `${20 * EVERY_MS}ms`).replaceAll("$__range", "1m")
    .replaceAll("$job", "tapecast").replaceAll("$instance", ".*");
  return dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({ title, expr: filled(expr), legend: legendFormat })));
}

const labelsOf = (text, pattern) => [...text.matchAll(pattern)].map(([, label]) => label);

/** The one number that a panel's query gives now. */
async function shown(title, legend) {
  const { expr } = queries().find((query) => query.title === title && (legend === undefined || query.legend === legend));
  return (await prometheus.query(expr))[0].value;
}

const state = async (alert) => (await prometheus.alerts()).get(alert).state;

test("every query of the dashboard has data on a healthy server, with the labels of its legend", async () => {
  assert(queries().length > 70);
  for (const { title, expr, legend } of queries()) {
    const samples = await prometheus.query(expr);
    assert(samples.length > 0 && samples.every(({ value }) => Number.isFinite(value)), `${title}: ${expr}: ${JSON.stringify(samples)}`);
    for (const label of labelsOf(legend, /\{\{(\w+)\}\}/g)) {
      assert(samples.every(({ metric }) => metric[label]), `${title}: no ${label} from ${expr}`);
    }
  }
  for (const { name, query, type } of dashboard.templating.list.filter(({ type }) => type === "query")) {
    const [, metric, label] = query.query.match(/^label_values\((\w+)\S*, (\w+)\)$/);
    assert((await prometheus.query(metric))[0].metric[label], `${name}, a ${type}, has no value`);
  }
});

test("what the dashboard shows is what happens", async () => {
  assert.equal(await shown("Servers that serve"), 1);
  assert.equal(await shown("Subscribers"), 1);
  const published = await shown("Records in");
  assert(published > 1 && published < 1000, `${published} records a second`);
  assert.equal(await shown("Deliveries unaccounted for"), 0);
  assert.equal(await shown("Records unaccounted for"), 0);
});

test("every alert is evaluated, names metrics that there are, and leaves a healthy server alone", async () => {
  const page = await (await fetch(`http://${server.at.admin}/metrics`)).text();
  await until(async () => [...(await prometheus.alerts()).values()].every(({ health }) => health !== "unknown"), "the rules");
  for (const [name, { health, lastError, state, query }] of await prometheus.alerts()) {
    assert.equal(health, "ok", `${name}: ${lastError}`);
    assert.equal(state, name === WAITS_WHILE_NEW ? "pending" : "inactive", name);
    for (const metric of query.match(/\b(?:tapecast|process)_\w+/g) ?? []) {
      assert(page.includes(`\n${metric}{`) || page.includes(`\n${metric} `), `${name}: there is no ${metric}`);
    }
  }
});

test("records and connections that are refused, and a reader that never reads, are seen", async () => {
  const stuck = await neverRead(server);
  const third = await fetch(`http://${server.at.subscribers}/v1/channels`);
  assert.equal(third.status, 503);
  feed.socket.write("btcusdt@trade {no JSON\n");
  const big = "x".repeat(250_000);
  await until(async () => {
    feed.publish("big@trade", big);
    const torn = await shown("Bytes that wait", "{{instance}} torn");
    return torn > 0 && (await shown("Subscribers off the fast path", "slow or new")) === 1;
  }, "the slow reader");
  await until(async () => (await state("TapecastRecordsRefused")) === "firing", "TapecastRecordsRefused");
  await until(async () => (await state("TapecastConnectionsRefused")) === "pending", "TapecastConnectionsRefused");
  const alerts = (await prometheus.alerts()).get("TapecastRecordsRefused").alerts;
  assert.deepEqual(alerts.map(({ labels, annotations }) => [labels.code, annotations.summary.split(" ")[0]]), [["invalid_json", server.at.admin]]);
  assert.equal(await shown("Deliveries unaccounted for"), 0);
  stuck.destroy();
});

test("a feed that is gone makes its channels stale", async () => {
  clearInterval(feeding);
  feed.close();
  await until(async () => (await state("TapecastStaleChannels")) === "pending", "TapecastStaleChannels");
  assert.equal(await shown("Feed connections"), 0);
});

test("a server that is gone is down", async () => {
  reader.close();
  await server.stop("SIGKILL");
  await until(async () => (await state("TapecastDown")) === "pending", "TapecastDown");
});
