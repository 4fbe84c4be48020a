// The worker that holds the connection: it hears and reads every message, so that thousands a second do not stand before the next frame.
//
// What came goes to the page in batches, one at a time: while the page is at one, the next gathers. Of subscriptions that want the newest alone it holds the newest
// of each channel; the others have a bound, behind which a gap is told.

import { Connection } from "../tapecast.js";

/** Between two batches. */
const BATCH_MS = 4;

/** Records and events that wait while the page does not take any. */
const WAITING_MAX = 20_000;

const url = new URL("../v1/ws", import.meta.url);
url.protocol = url.protocol === "https:" ? "wss:" : "ws:";

const connection = new Connection(url);
const subscriptions = new Map();

/** What waits, in order; and behind it the newest of each channel. */
let items = [];
let newest = new Map();
/** Records that found no room, by channel. */
let missed = new Map();
let isTaking = false;
let timer;

function later() {
  if (!isTaking) timer ??= setTimeout(send, BATCH_MS);
}

function send() {
  timer = undefined;
  isTaking = true;
  const { state, hello, clockOffsetUs, stats } = connection;
  for (const gap of missed.values()) items.push({ event: "gap", told: gap });
  postMessage({ items, newest: [...newest.values()], state, hello, clockOffsetUs, stats });
  items = [];
  newest = new Map();
  missed = new Map();
}

function record(key, record) {
  if (items.length < WAITING_MAX) items.push({ key, record });
  else missed.set(record.channel, { channel: record.channel, from: missed.get(record.channel)?.from ?? record.seq, to: record.seq, reason: "slow" });
  later();
}

function newestOf(key, record) {
  newest.set(record.channel, { key, record });
  later();
}

for (const event of ["state", "gap", "status", "shutdown", "error", "end"]) {
  connection.on(event, (told) => {
    // What came before it is not to be taken for what came after.
    items.push(...newest.values());
    newest.clear();
    items.push({ event, told: event === "error" ? { code: told.code, message: told.message } : told });
    later();
  });
}

function subscribe({ key, channels, everyMs, snapshot, newest }) {
  const take = newest ? newestOf : record;
  const subscription = connection.subscribe(channels, (record) => take(key, record), { everyMs, snapshot });
  subscriptions.set(key, subscription);
  subscription.ready.catch(({ code }) => {
    items.push({ key, refused: code });
    later();
  });
}

addEventListener("message", ({ data }) => {
  if (data.op === "subscribe") subscribe(data);
  else if (data.op === "unsubscribe") {
    subscriptions.get(data.key)?.unsubscribe();
    subscriptions.delete(data.key);
  } else if (data.op === "taken") {
    isTaking = false;
    if (items.length + newest.size > 0) later();
  }
});
