// Which channels the feed publishes, and how people choose among them.
//
// `run` makes a recording of the same names: s00, s01, … with a trade (each one is delivered) and a bookTicker (the newest counts).

import { number } from './settings.js';

const SYMBOLS = number('SYMBOLS', 50, 2, 100);

export const TRADES = '*@trade';

function name(symbol) {
  return `s${String(symbol).padStart(2, '0')}`;
}

// Different symbols, at random.
export function pick(count, besides = []) {
  const free = [];
  for (let symbol = 0; symbol < SYMBOLS; symbol++) {
    if (!besides.includes(name(symbol))) free.push(name(symbol));
  }
  const chosen = [];
  while (chosen.length < count && free.length > 0) {
    chosen.push(free.splice(Math.floor(Math.random() * free.length), 1)[0]);
  }
  return chosen;
}

export function trade(symbol) {
  return `${symbol}@trade`;
}

export function bookTicker(symbol) {
  return `${symbol}@bookTicker`;
}

// Every channel that there is.
export function everything() {
  return both(pick(SYMBOLS));
}

// Both channels of each symbol.
export function both(symbols) {
  return symbols.flatMap((symbol) => [trade(symbol), bookTicker(symbol)]);
}
