// A book: the last partial one as it came, or what diffs made of it since it was opened. Pure; prices stay text.

import { text } from "./numbers.js";

/** Levels a side that are kept; those farthest from the other side go first. */
const LEVELS_MAX = 500;

export class Book {
  #bids = new Map();
  #asks = new Map();
  /** Made of diffs alone: it knows the levels that changed since. */
  isPartial = false;

  clear() {
    this.#bids.clear();
    this.#asks.clear();
  }

  /** Takes a partial book or a diff; whether it was one. */
  take(data) {
    if (data === null || typeof data !== "object") return false;
    const isWhole = Array.isArray(data.bids) && Array.isArray(data.asks);
    const isDiff = Array.isArray(data.b) && Array.isArray(data.a);
    if (!isWhole && !isDiff) return false;
    if (isWhole) this.clear();
    this.isPartial = isDiff && !isWhole;
    apply(this.#bids, isWhole ? data.bids : data.b, -1);
    apply(this.#asks, isWhole ? data.asks : data.a, 1);
    return true;
  }

  /** The best `count` levels a side, best first. */
  best(count) {
    return { bids: sorted(this.#bids, -1).slice(0, count), asks: sorted(this.#asks, 1).slice(0, count) };
  }
}

function apply(side, levels, way) {
  for (const level of levels) {
    if (!Array.isArray(level)) continue;
    const [price, size] = [text(level[0]), text(level[1])];
    const value = Number(price);
    if (price === "" || !Number.isFinite(value)) continue;
    if (Number(size) === 0) side.delete(price);
    else side.set(price, { price, value, size });
  }
  if (side.size <= LEVELS_MAX) return;
  for (const { price } of sorted(side, way).slice(LEVELS_MAX)) side.delete(price);
}

function sorted(side, way) {
  return [...side.values()].sort((a, b) => way * (a.value - b.value));
}
