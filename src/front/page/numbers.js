// How prices and amounts are written. A price stays the text that the exchange wrote: it is grouped and padded, never rounded through a float.

const PLAIN = /^-?\d{1,24}(\.\d{1,18})?$/;

/** Characters of a text from outside that are shown. */
const SHOWN_MAX = 24;

/** What a payload's field says, as text; empty where it says nothing. */
export function text(field) {
  if (typeof field === "string") return field;
  return typeof field === "number" ? String(field) : "";
}

/** Decimals up to the last that is not a zero. */
export function decimals(price) {
  const point = price.indexOf(".");
  if (point < 0 || !PLAIN.test(price)) return 0;
  let end = price.length;
  while (price.charCodeAt(end - 1) === 48) end--;
  return end - point - 1;
}

/** With thousands apart, and with `places` decimals or as many more as it needs. What is no plain number is shown as it came. */
export function price(written, places) {
  if (written === "") return "–";
  if (!PLAIN.test(written)) return written.slice(0, SHOWN_MAX);
  const point = written.indexOf(".");
  const whole = point < 0 ? written : written.slice(0, point);
  const fraction = point < 0 ? "" : written.slice(point + 1, point + 1 + decimals(written));
  const shown = fraction.padEnd(places, "0");
  return shown === "" ? grouped(whole) : `${grouped(whole)}.${shown}`;
}

function grouped(whole) {
  const sign = whole.startsWith("-") ? "−" : "";
  const digits = sign ? whole.slice(1) : whole;
  if (digits.length < 4) return sign + digits;
  let out = "";
  for (let end = digits.length; end > 0; end -= 3) {
    const part = digits.slice(Math.max(0, end - 3), end);
    out = out ? `${part},${out}` : part;
  }
  return sign + out;
}

const UNITS = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]];

/** A large amount in three figures: 1.23B. */
export function compact(value) {
  if (!Number.isFinite(value)) return "–";
  for (const [unit, letter] of UNITS) {
    // What rounds up to a thousand belongs to the next unit.
    if (Math.abs(value) >= unit * 0.9995) return figures(value / unit) + letter;
  }
  return figures(value);
}

function figures(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

/** A change, with its direction in sign and arrow, so that colour is not all that tells it. */
export function percent(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value).toFixed(2);
  const way = direction(value);
  if (way === "") return "0.00 %";
  return way === "up" ? `▲ +${size} %` : `▼ −${size} %`;
}

/** `up`, `down` or nothing, of percent as they are written: what is written as zero did neither. */
export function direction(value) {
  if (value >= 0.005) return "up";
  return value <= -0.005 ? "down" : "";
}

/** Milliseconds of a delay. */
export function milliseconds(value) {
  if (!Number.isFinite(value)) return "–";
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value).toLocaleString("en")} ms`;
}
