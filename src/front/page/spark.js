// A price line on a canvas: the last minutes of one row, coloured by where it went.

import { SAMPLES } from "./market.js";
import { direction } from "./numbers.js";

/** So many samples fill the width at first; later the line is drawn closer, up to all of them. */
const SAMPLES_FIRST = 15;

let colours;

/** The theme's colours, read once and again when the theme changes. */
export function theme() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  colours = { up: of("--up"), down: of("--down"), flat: of("--faint") };
}

/** Draws the samples of `market` for `row`, its price of this moment last. */
export function draw(canvas, market, row) {
  const ratio = devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (width === 0) return;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  const count = market.sampled;
  const first = (market.next - count + SAMPLES) % SAMPLES;
  const [low, high] = range(row, first, count);
  if (!(high >= low)) return;
  const pad = 2 * ratio;
  const step = width / Math.max(SAMPLES_FIRST, count);
  const flat = high === low;
  const y = (value) => (flat ? height / 2 : pad + ((high - value) / (high - low)) * (height - 2 * pad));
  pen.beginPath();
  line(pen, row, first, count, step, y);
  pen.lineWidth = 1.25 * ratio;
  pen.lineJoin = "round";
  pen.strokeStyle = colours[direction(row.trend) || "flat"];
  pen.stroke();
}

function range(row, first, count) {
  let low = Infinity;
  let high = -Infinity;
  const look = (value) => {
    if (value < low) low = value;
    if (value > high) high = value;
  };
  for (let at = 0; at < count; at++) look(row.samples[(first + at) % SAMPLES]);
  // As the samples are kept, so that a price that did not move is not taken for one that did.
  look(Math.fround(row.lastValue));
  return [low, high];
}

/** What was not known leaves a hole in the line. */
function line(pen, row, first, count, step, y) {
  let isDown = false;
  for (let at = 0; at <= count; at++) {
    const value = at < count ? row.samples[(first + at) % SAMPLES] : Math.fround(row.lastValue);
    if (Number.isNaN(value)) {
      isDown = false;
      continue;
    }
    if (isDown) pen.lineTo(at * step, y(value));
    else pen.moveTo(at * step, y(value));
    isDown = true;
  }
}
