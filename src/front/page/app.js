// Starts the page: the connection, what is known, what is shown, and the one frame in which all of it is drawn.
//
// A message changes numbers in memory and asks for a frame, if what it changed is on the screen; the frame draws what differs.

import { Delay } from "./delay.js";
import { Head } from "./head.js";
import { List } from "./list.js";
import { Market, SAMPLE_MS } from "./market.js";
import { COLUMNS } from "./order.js";
import { Pane } from "./pane.js";
import * as place from "./place.js";
import { Remote } from "./remote.js";
import * as spark from "./spark.js";
import { Wants } from "./wants.js";

const where = place.read(COLUMNS.map(({ key }) => key));
const filter = document.getElementById("filter");
const connection = new Remote();
const market = new Market();
const delay = new Delay();
const head = new Head(connection, market, delay);

// The frame.

let isAsked = false;
// A message to itself comes after the frame that was just drawn is painted: that is when a record is on the screen.
const painted = new MessageChannel();
painted.port1.onmessage = () => delay.painted(nowUs() + connection.clockOffsetUs);

/** By this page's clock. */
function nowUs() {
  return (performance.timeOrigin + performance.now()) * 1000;
}

let openedUs = 0;

function dirty() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(draw);
}

function draw(now) {
  isAsked = false;
  delay.drew();
  list.paint(now);
  pane.paint();
  painted.port2.postMessage(0);
}

/** Something came that is on the screen. What is older than the connection was not delayed by it. */
function shown(record) {
  const isNews = record && !record.snapshot && record.ts >= openedUs + connection.clockOffsetUs;
  if (isNews && !document.hidden) delay.arrived(record.ts);
  dirty();
}

// What comes.

const wants = new Wants(connection, market, (record) => {
  sample();
  const row = market.take(record);
  if (row && (row.visible || row === pane.row)) shown(record);
  else if (market.version !== list.marketVersion) dirty();
});

let epoch;
connection.on("state", (state) => {
  if (state === "open") openedUs = nowUs();
  if (state === "open" && epoch !== connection.hello.epoch) {
    if (epoch !== undefined) market.age();
    epoch = connection.hello.epoch;
  }
  dirty();
});
connection.on("status", ({ channel, state }) => {
  market.status(channel, state === "stale");
  dirty();
});
connection.on("gap", (gap) => {
  pane.gap(gap);
  dirty();
});

// What is shown.

const pane = new Pane({
  wants,
  market,
  shown,
  closed() {
    keep({ open: "" });
    list.focus();
  },
});

const list = new List(market, where, {
  dirty,
  changed: keep,
  seen: (rows) => wants.seen(rows),
  open(row) {
    keep({ open: row.symbol });
    pane.open(row, true);
  },
});

function keep(changed) {
  place.write(Object.assign(where, changed));
}

// Once a second: figures, and now and then a point of the price lines.

setInterval(() => {
  delay.tick();
  head.second();
  sample();
  document.getElementById("empty").hidden = market.rows.size > 0 || !wants.hasAsked;
  reopen();
  dirty();
}, 1000);

let sampledAt = Date.now();

/** By the clock on the wall: a page that is not looked at gets its timers late, but its records in time, and a machine that sleeps neither. */
function sample() {
  const points = Math.floor((Date.now() - sampledAt) / SAMPLE_MS);
  if (points === 0) return;
  sampledAt += points * SAMPLE_MS;
  market.sample(points);
  list.sampled();
}

/** Opens what the address names, as soon as it is there. */
function reopen() {
  const row = where.open && !pane.row ? market.rows.get(where.open) : undefined;
  if (!row) return;
  list.select(row);
  pane.open(row, false);
}

// Keys, theme, and a page that nobody looks at.

filter.value = where.filter;
filter.addEventListener("input", () => list.filter(filter.value));
filter.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "Enter") list.focus();
});
document.addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLInputElement;
  if (event.key === "/" && !isTyping) {
    filter.select();
    event.preventDefault();
  } else if (event.key === "Escape" && !document.getElementById("pane").contains(event.target)) {
    if (filter.value) list.filter((filter.value = ""));
    else pane.close();
  }
});
document.addEventListener("visibilitychange", () => {
  delay.forget();
  wants.look(!document.hidden);
});
// Somebody went by a link to another place of this page; what it writes itself does not come here.
addEventListener("hashchange", () => location.reload());
spark.theme();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  spark.theme();
  list.sampled();
});
dirty();
