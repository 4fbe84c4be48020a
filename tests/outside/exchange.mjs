// A small made-up market in Binance's shapes for the page's tests: prices are whole steps, so that what was fed can be compared as text.

import { Feed, Server } from "./harness.mjs";

const NAMES = ["btcusdt", "ethusdt", "solusdt", "xrpusdt", "bnbusdt", "dogeusdt", "adausdt", "linkusdt"];
const STEPS_A_UNIT = 100;

/** Steps as the exchange writes them: eight decimals, six of them for nothing. */
const written = (steps) => `${Math.trunc(steps / STEPS_A_UNIT)}.${String(steps % STEPS_A_UNIT).padStart(2, "0")}000000`;

export class Exchange {
  /** `count` symbols that publish to `feed`; the same seed makes the same market. */
  constructor(feed, count, seed = 7) {
    this.feed = feed;
    this.state = seed;
    this.trades = 0;
    this.symbols = Array.from({ length: count }, (_, at) => ({
      name: NAMES[at] ?? `coin${at}usdt`,
      price: Math.max(500, Math.round(6_000_000 / (at + 1) ** 1.2)),
      open: Math.max(500, Math.round(6_000_000 / (at + 1) ** 1.2)),
      turnover: Math.round(9e9 / (at + 1)),
    }));
  }

  /** The next of a row of numbers from 0 to 1. */
  dice() {
    this.state = (Math.imul(this.state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.state / 2 ** 32;
  }

  symbol(name) {
    return this.symbols.find((symbol) => symbol.name === name);
  }

  /** Moves a price by up to four hundredths of a percent. */
  move(symbol) {
    const reach = Math.max(2, Math.round(symbol.price / 2500));
    symbol.price = Math.max(100, symbol.price + Math.round((this.dice() * 2 - 1) * reach));
  }

  quote(symbol) {
    const [bid, ask] = [symbol.price - 1, symbol.price + 1];
    this.feed.publish(`${symbol.name}@bookTicker`, { u: ++this.trades, s: symbol.name.toUpperCase(), b: written(bid), B: "1.50000000", a: written(ask), A: "2.25000000" });
  }

  ticker(symbol) {
    const { name, price, open, turnover } = symbol;
    const change = ((price / open - 1) * 100).toFixed(3);
    this.feed.publish(`${name}@ticker`, {
      e: "24hrTicker", E: Date.now(), s: name.toUpperCase(), p: "0", P: change, c: written(price), o: written(open),
      h: written(Math.max(price, open) + 50), l: written(Math.min(price, open) - 50), v: (turnover / price).toFixed(2), q: turnover.toFixed(2),
    });
  }

  trade(symbol, size = "0.01500000", isSold = this.dice() < 0.5) {
    const trade = { e: "trade", E: Date.now(), s: symbol.name.toUpperCase(), t: ++this.trades, p: written(symbol.price), q: size, T: Date.now(), m: isSold };
    this.feed.publish(`${symbol.name}@trade`, trade);
    return trade;
  }

  book(symbol) {
    const side = (way) => Array.from({ length: 20 }, (_, at) => [written(symbol.price + way * (at + 1)), `${at + 1}.50000000`]);
    const book = { lastUpdateId: ++this.trades, bids: side(-1), asks: side(1) };
    this.feed.publish(`${symbol.name}@depth20`, book);
    return book;
  }

  /** Every symbol once, so that the list is whole. */
  open() {
    for (const symbol of this.symbols) {
      this.ticker(symbol);
      this.quote(symbol);
    }
  }

  /** Moves and quotes `perSecond` symbols a second, each in its turn, a ticker with every fifth, until `stop()` of what it gives. */
  run(perSecond) {
    const began = performance.now();
    let done = 0;
    const timer = setInterval(() => {
      const due = ((performance.now() - began) / 1000) * perSecond;
      for (; done < due; done++) {
        const symbol = this.symbols[done % this.symbols.length];
        this.move(symbol);
        this.quote(symbol);
        // Each symbol's turn comes in another round.
        if ((done + Math.floor(done / this.symbols.length)) % 5 === 0) this.ticker(symbol);
      }
    }, 10);
    return { stop: () => clearInterval(timer) };
  }
}

/** A server with an opened market of so many symbols, and its feed; all of it goes with the test. */
export async function serve(t, count, options) {
  const server = await Server.start(options);
  t.after(() => server.stop());
  const feed = await Feed.connect(server.at.ingest);
  t.after(() => feed.close());
  const exchange = new Exchange(feed, count);
  exchange.open();
  await feed.settled();
  return { server, feed, exchange };
}
