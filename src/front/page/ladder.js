// The book on the screen: asks above, bids below, best prices in the middle, a bar for what stands up to each price.

import { Book } from "./book.js";
import { compact, decimals, price } from "./numbers.js";
import { makeLine, put } from "./table.js";

/** Levels a side. */
const LEVELS = 15;

export class Ladder {
  #book = new Book();
  #asks = rows(document.getElementById("asks"));
  #bids = rows(document.getElementById("bids"));
  #middle = document.getElementById("book-middle");
  #note = document.getElementById("book-note");
  #isOld = true;
  #kind;
  #hole = "";
  /** The price that stands in the middle. */
  #last = "";

  /** Begins anew with a channel's kind; empty: there is none, undefined: nobody knows yet. */
  begin(kind) {
    this.#kind = kind;
    this.#hole = "";
    this.#book.clear();
    this.#isOld = true;
  }

  take(data) {
    if (this.#book.take(data)) this.#isOld = true;
  }

  /** Diffs are missing: levels may have gone unseen, so it begins anew. A partial book stands for itself. */
  gap() {
    if (!this.#book.isPartial) return;
    this.#book.clear();
    this.#hole = "the last gap";
    this.#isOld = true;
  }

  /** `row`: whose book it is. */
  paint({ places, last }) {
    if (!this.#isOld && last === this.#last) return;
    this.#isOld = false;
    this.#last = last;
    const { bids, asks } = this.#book.best(LEVELS);
    const sums = [sumsOf(bids), sumsOf(asks)];
    const most = Math.max(sums[0].at(-1) ?? 0, sums[1].at(-1) ?? 0);
    const sized = sizes(bids, asks);
    write(this.#bids, bids, sums[0], most, places, sized);
    write(this.#asks, asks, sums[1], most, places, sized);
    this.#say(bids.length + asks.length > 0, price(last, places));
  }

  #say(hasLevels, last) {
    const since = this.#book.isPartial ? `levels that changed since ${this.#hole || "opening"}` : "";
    const none = this.#kind === "" ? "no channel of this symbol has one" : "";
    const note = this.#kind ? since : none;
    if (this.#note.textContent !== note) this.#note.textContent = note;
    const empty = this.#kind ? "waiting for the book" : "";
    const words = hasLevels ? `last ${last}` : empty;
    if (this.#middle.textContent !== words) this.#middle.textContent = words;
  }
}

function rows(body) {
  const isAsks = body.id === "asks";
  const lines = [];
  for (let at = 0; at < LEVELS; at++) {
    const { line, cells } = makeLine();
    // The best ask stands lowest, beside the best bid.
    if (isAsks) body.prepend(line);
    else body.append(line);
    lines.push({ line, cells, bar: "" });
  }
  return lines;
}

function sumsOf(levels) {
  let sum = 0;
  return levels.map(({ size }) => (sum += Number(size)));
}

/** Decimals that all sizes on the screen need. */
function sizes(...sides) {
  return Math.max(0, ...sides.flat().map(({ size }) => decimals(size)));
}

function write(lines, levels, sums, most, places, sized) {
  lines.forEach((shown, at) => {
    const level = levels[at];
    put(shown.cells[0], level ? price(level.price, places) : "\u00a0");
    put(shown.cells[1], level ? price(level.size, sized) : "");
    put(shown.cells[2], level ? sum(sums[at], sized) : "");
    const bar = level && most > 0 ? `${((sums[at] / most) * 100).toFixed(1)}%` : "0%";
    if (bar !== shown.bar) shown.line.style.setProperty("--bar", bar);
    shown.bar = bar;
  });
}

/** With the decimals of the sizes that it is made of, as long as it fits. */
function sum(value, sized) {
  return value < 1e5 ? price(value.toFixed(sized), sized) : compact(value);
}
