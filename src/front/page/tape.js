// A symbol's trades on the screen: the newest above, what was missed told as a line between those it lay between.

import { decimals, price, text } from "./numbers.js";
import { makeLine, put } from "./table.js";

/** Lines that are kept and shown. */
const LINES = 40;

/** Milliseconds that a date can have. */
const TIME_MAX = 8.64e15;

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export class Tape {
  #body = document.getElementById("trades");
  #note = document.getElementById("tape-note");
  /** A ring: line `n` stands at `n % LINES`. */
  #lines = new Array(LINES);
  #count = 0;
  #shown = Array.from({ length: LINES }, makeLine);
  #isOld = true;
  #kind;
  /** Decimals that sizes needed so far: all of them are written with as many. */
  #sized = 0;

  constructor() {
    this.#body.append(...this.#shown.map(({ line }) => line));
  }

  /** Begins anew with a channel's kind; empty: there is none, undefined: nobody knows yet. */
  begin(kind) {
    this.#kind = kind;
    this.#lines.fill(undefined);
    this.#count = 0;
    this.#sized = 0;
    this.#isOld = true;
  }

  take(record) {
    const data = record.data;
    if (data === null || typeof data !== "object") return;
    const at = typeof data.T === "number" && Math.abs(data.T) < TIME_MAX ? data.T : record.ts / 1000;
    const way = typeof data.m === "boolean" ? (data.m ? "down" : "up") : "";
    this.#sized = Math.max(this.#sized, decimals(text(data.q)));
    this.#add({ at, price: text(data.p), size: text(data.q), way, missed: "" });
  }

  /** `from` to `to` will not come. */
  gap({ from, to, reason }) {
    const count = to - from + 1;
    const many = count === 1 ? "1 trade missed" : `${count.toLocaleString("en")} trades missed`;
    this.#add({ missed: reason === "restart" ? "server began anew: trades between are unknown" : many });
  }

  #add(line) {
    this.#lines[this.#count++ % LINES] = line;
    this.#isOld = true;
  }

  /** `places`: the decimals of the row's prices. */
  paint(places) {
    if (!this.#isOld) return;
    this.#isOld = false;
    for (let at = 0; at < LINES; at++) {
      const number = this.#count - 1 - at;
      write(this.#shown[at], number < 0 ? undefined : this.#lines[number % LINES], places, this.#sized);
    }
    const none = this.#kind === "" ? "no channel of this symbol has any" : "";
    const waiting = this.#kind ? "waiting for the first" : none;
    const note = this.#count === 0 ? waiting : "";
    if (this.#note.textContent !== note) this.#note.textContent = note;
  }
}

function write({ line, cells }, trade, places, sized) {
  line.hidden = trade === undefined;
  if (trade === undefined) return;
  const isGap = trade.missed !== "";
  line.dataset.way = isGap ? "gap" : trade.way;
  const arrow = { up: "▲ ", down: "▼ " }[trade.way] ?? "";
  cells[1].parentNode.colSpan = isGap ? 3 : 1;
  put(cells[0], isGap ? "" : clock.format(trade.at));
  put(cells[1], isGap ? trade.missed : arrow + price(trade.price, places));
  put(cells[2], isGap ? "" : price(trade.size, sized));
  cells[1].parentNode.ariaLabel = trade.way ? `${trade.way === "up" ? "bought" : "sold"} ${price(trade.price, places)}` : null;
}
