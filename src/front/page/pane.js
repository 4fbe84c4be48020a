// The open symbol: its day, its book, its trades. Its subscriptions are made when it opens and given back when it closes.

import { Ladder } from "./ladder.js";
import { compact, decimals, direction, percent, price } from "./numbers.js";
import { Tape } from "./tape.js";

const at = (id) => document.getElementById(id);

export class Pane {
  /** The open row, if any. */
  row;
  #element = at("pane");
  #title = at("pane-symbol");
  #fields = {};
  #tape = new Tape();
  #ladder = new Ladder();
  #channels = {};
  #release;
  #version = -1;

  /** `wants` subscribes; `market` learns the last price; `shown` is called for each record that is to be drawn, `closed` when it was. */
  constructor({ wants, market, shown, closed }) {
    Object.assign(this, { wants, market, shown, closed });
    for (const id of ["pane-last", "pane-change", "day-open", "day-high", "day-low", "day-volume", "day-turnover", "day-spread"]) {
      this.#fields[id] = at(id).appendChild(document.createTextNode(""));
    }
    at("pane-close").addEventListener("click", () => this.close());
    this.#element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
  }

  /** `focus`: the reader asked for it, and goes on from there. */
  open(row, focus) {
    if (row !== this.row) {
      this.#release?.();
      this.row = row;
      this.#version = -1;
      this.#begin({});
      this.#release = this.wants.open(row, {
        trades: (record) => this.#trade(record),
        book: (record) => this.#book(record),
        kinds: (has) => this.#begin(has),
      });
      this.#title.textContent = row.name;
      document.body.classList.add("has-pane");
      this.#element.hidden = false;
    }
    if (focus) this.#title.focus({ preventScroll: true });
  }

  close() {
    if (!this.row) return;
    this.#release();
    this.row = undefined;
    this.#element.hidden = true;
    document.body.classList.remove("has-pane");
    this.closed();
  }

  /** Records of a channel will not come. */
  gap(gap) {
    if (gap.channel === this.#channels.trades) this.#tape.gap(gap);
    else if (gap.channel === this.#channels.book) this.#ladder.gap();
  }

  paint() {
    const row = this.row;
    if (!row) return;
    this.#tape.paint(row.places);
    this.#ladder.paint(row);
    if (this.#version === row.version) return;
    this.#version = row.version;
    const put = (id, words) => {
      if (this.#fields[id].data !== words) this.#fields[id].data = words;
    };
    put("pane-last", price(row.last, row.places));
    put("pane-change", percent(row.changeValue));
    at("pane-change").dataset.way = direction(row.changeValue);
    put("day-open", price(row.open, row.places));
    put("day-high", price(row.high, row.places));
    put("day-low", price(row.low, row.places));
    put("day-volume", compact(row.volumeValue));
    put("day-turnover", compact(row.turnoverValue));
    put("day-spread", spread(row));
    at("pane-stale").hidden = !row.isStale;
  }

  #begin({ trades, book }) {
    const channels = { trades: trades && `${this.row.symbol}@${trades}`, book: book && `${this.row.symbol}@${book}` };
    if (channels.trades !== this.#channels.trades || !trades) this.#tape.begin(trades);
    if (channels.book !== this.#channels.book || !book) this.#ladder.begin(book);
    this.#channels = channels;
    this.shown();
  }

  #trade(record) {
    this.#tape.take(record);
    this.market.trade(this.row, record);
    this.shown(record);
  }

  #book(record) {
    this.#ladder.take(record.data);
    this.shown(record);
  }
}

/** The difference of ask and bid in the quote's currency, and beside the price. */
function spread({ bid, ask, bidValue, askValue }) {
  const difference = askValue - bidValue;
  if (!Number.isFinite(difference)) return "–";
  const places = Math.max(decimals(bid), decimals(ask));
  const written = price(difference.toFixed(places), places);
  return askValue > 0 ? `${written} (${((difference / askValue) * 10_000).toFixed(2)} bp)` : written;
}
