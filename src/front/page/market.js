// What is known of each symbol. No DOM: a record changes a row's fields and its version, and whoever shows the row compares versions.
//
// Payloads are Binance's; a field that is missing or of another kind leaves what it would say unknown, and never throws.

import { decimals, text } from "./numbers.js";

/** Symbols that are kept; what comes beyond is not shown, and the head says that there is more. */
const SYMBOLS_MAX = 10_000;

/** A price line: a sample every two seconds, five minutes in all. */
export const SAMPLES = 150;
export const SAMPLE_MS = 2000;

/** Kinds of channels that say something of a row, as bits. */
const BITS = { ticker: 1, bookTicker: 2, trade: 4 };

export class Row {
  /** Rises with each change. */
  version = 0;
  /** On the screen now; set by the list. */
  visible = false;
  /** Bits of the kinds that were seen, and of those whose feeds are gone. */
  kinds = 0;
  stale = 0;
  /** Nothing came of it since the server began anew. */
  isOld = false;
  last = "";
  lastValue = NaN;
  changeValue = NaN;
  bid = "";
  bidValue = NaN;
  ask = "";
  askValue = NaN;
  open = "";
  high = "";
  low = "";
  volumeValue = NaN;
  turnoverValue = NaN;
  /** Decimals that its prices needed so far: all of them are written with as many. */
  places = 0;
  samples = new Float32Array(SAMPLES).fill(NaN);
  /** Percent between the first and the last sample. */
  trend = NaN;

  constructor(symbol) {
    this.symbol = symbol;
    this.name = symbol.toUpperCase();
  }

  /** Where there is a ticker, its trades' feed may rest. */
  get isStale() {
    const telling = this.hasTicker ? ~BITS.trade : ~0;
    return (this.stale & telling) !== 0 || this.isOld;
  }

  get hasTicker() {
    return (this.kinds & BITS.ticker) !== 0;
  }

  get hasQuotes() {
    return (this.kinds & BITS.bookTicker) !== 0;
  }

  /** Nothing but its trades tells its price. */
  get hasTradesAlone() {
    return (this.kinds & BITS.trade) !== 0 && !this.hasTicker;
  }
}

export class Market {
  rows = new Map();
  /** Rises when a row comes. */
  version = 0;
  /** Where in the samples the next one goes, and how many there are. */
  next = 0;
  sampled = 0;
  /** Symbols came for which there is no room. */
  isFull = false;
  #byChannel = new Map();

  /** Takes a record of `ticker`, `bookTicker` or `trade`; gives its row, or nothing where there is no room. */
  take(record) {
    const { row, kind } = this.#place(record.channel);
    const data = record.data;
    if (!row || data === null || typeof data !== "object") return undefined;
    row.kinds |= BITS[kind] ?? 0;
    row.isOld = false;
    row.version++;
    if (kind === "ticker") takeTicker(row, data);
    else if (kind === "bookTicker") takeQuote(row, data);
    else if (kind === "trade") takeLast(row, data.p);
    return row;
  }

  /** A trade of a row that is open: its price is newer than the ticker's. */
  trade(row, record) {
    if (record.data === null || typeof record.data !== "object") return;
    takeLast(row, record.data.p);
    row.version++;
  }

  /** A symbol that the server named, before any record of it. */
  expect(channel) {
    const { row, kind } = this.#place(channel);
    if (row) row.kinds |= BITS[kind] ?? 0;
  }

  /** A channel's feeds are gone, or back. */
  status(channel, isStale) {
    const { row, kind } = this.#place(channel);
    const bit = BITS[kind];
    if (!row || bit === undefined) return;
    const stale = isStale ? row.stale | bit : row.stale & ~bit;
    if (stale === row.stale) return;
    row.stale = stale;
    row.version++;
  }

  /** The server began anew: what is known may be gone. It says again what is stale. */
  age() {
    for (const row of this.rows.values()) {
      row.isOld = true;
      row.stale = 0;
      row.version++;
    }
  }

  /** Adds so many points to each price line: the last is of now, those before it were missed, and are holes. */
  sample(points) {
    for (let left = Math.min(points, SAMPLES); left > 0; left--) this.#sample(left === 1);
  }

  #sample(isKnown) {
    const first = this.sampled < SAMPLES ? 0 : (this.next + 1) % SAMPLES;
    for (const row of this.rows.values()) {
      row.samples[this.next] = row.isStale || !isKnown ? NaN : row.lastValue;
      row.trend = trend(row.samples, first, row.lastValue);
    }
    this.next = (this.next + 1) % SAMPLES;
    this.sampled = Math.min(SAMPLES, this.sampled + 1);
  }

  /** The row and kind of a channel. Names are cut once a channel, not once a record. */
  #place(channel) {
    const known = this.#byChannel.get(channel);
    if (known) return known;
    const at = channel.indexOf("@");
    const symbol = channel.slice(0, at);
    let row = this.rows.get(symbol);
    if (!row && this.rows.size < SYMBOLS_MAX) {
      row = new Row(symbol);
      this.rows.set(symbol, row);
      this.version++;
    }
    const place = { row, kind: channel.slice(at + 1) };
    if (row) this.#byChannel.set(channel, place);
    else this.isFull = true;
    return place;
  }
}

function takeTicker(row, data) {
  takeLast(row, data.c);
  row.changeValue = number(data.P);
  row.open = text(data.o);
  row.high = text(data.h);
  row.low = text(data.l);
  row.volumeValue = number(data.v);
  row.turnoverValue = number(data.q);
  // Where there are no quotes of their own, the ticker's are better than none.
  if (!row.hasQuotes) takeQuote(row, data);
}

function takeQuote(row, data) {
  row.bid = priced(row, data.b);
  row.bidValue = number(data.b);
  row.ask = priced(row, data.a);
  row.askValue = number(data.a);
}

function takeLast(row, last) {
  row.last = priced(row, last);
  row.lastValue = number(last);
}

function priced(row, field) {
  const written = text(field);
  row.places = Math.max(row.places, decimals(written));
  return written;
}

/** For colour, order and lines; what no number can be is unknown. */
function number(field) {
  const written = text(field);
  const value = written === "" ? NaN : Number(written);
  return Number.isFinite(value) ? value : NaN;
}

function trend(samples, first, last) {
  for (let at = 0; at < SAMPLES; at++) {
    const before = samples[(first + at) % SAMPLES];
    if (before > 0) return (last / before - 1) * 100;
  }
  return NaN;
}
