// What the page asks of the server, and no more than the screen can show.
//
// All symbols by pattern, at a rate that keeps the order of the list right; what is on the screen by name, at the screen's own rate; the open symbol's trades and
// book while it is open. Symbols that have trades and nothing else are found by asking what exists, and read while they are seen.

/** Of what is not on the screen: a few times a second, and less in a market so large that it would fill the wire, or where nobody looks at the page. */
const UNSEEN_MS = 250;
const UNSEEN_LARGE_MS = 1000;
const LARGE_ROWS = 2000;

/** One frame of a screen. */
const FRAME_MS = 16;

/** Books change by twenty lines at once: faster than this nobody reads. */
const BOOK_MS = 100;

/** After the list was moved, until what is seen now is asked for; the first time at once. */
const SETTLE_MS = 200;

/** Between two questions about what exists: in a market without symbols, in one that has some. */
const ASK_EMPTY_MS = 1000;
const ASK_MS = 15_000;
/** For the channels of the open symbol, while some are missing. */
const ASK_OPEN_MS = 3000;

/** Kinds that tell trades and books, the best first. */
const TRADES = ["trade", "aggTrade"];
const BOOKS = ["depth20", "depth20@100ms", "depth10", "depth10@100ms", "depth5", "depth5@100ms", "depth", "depth@100ms"];

const nothing = () => {};

export class Wants {
  /** The server was asked what exists since the connection opened: what is not here is not there. */
  hasAsked = false;
  #seen;
  #seenTrades;
  #settling;
  #asking;
  #unseen;
  #unseenMs;
  /** On the screen, or they would be if anybody looked at it. */
  #rows = [];
  #isLookedAt = !document.hidden;

  /** `take` gets each record of the list's channels. */
  constructor(connection, market, take) {
    Object.assign(this, { connection, market, take });
    this.#askPatterns();
    connection.on("state", (state) => {
      clearTimeout(this.#asking);
      this.hasAsked = false;
      if (state === "open") void this.#ask();
    });
  }

  #askPatterns() {
    const everyMs = this.#isLookedAt && this.market.rows.size <= LARGE_ROWS ? UNSEEN_MS : UNSEEN_LARGE_MS;
    if (everyMs === this.#unseenMs) return;
    this.#unseenMs = everyMs;
    const before = this.#unseen;
    this.#unseen = this.connection.subscribe(["*@ticker", "*@bookTicker"], this.take, { everyMs, newest: true });
    before?.unsubscribe();
  }

  /** Rows that are on the screen from now on. */
  seen(rows) {
    this.#rows = rows;
    this.#settle(this.#seen ? SETTLE_MS : 0);
  }

  /** Whether anybody looks at the page. */
  look(isLookedAt) {
    this.#isLookedAt = isLookedAt;
    this.#settle(SETTLE_MS);
  }

  #settle(delayMs) {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#askSeen(this.#isLookedAt ? this.#rows : []), delayMs);
  }

  #askSeen(rows) {
    this.#askPatterns();
    const named = rows.flatMap((row) => [row.hasTicker && `${row.symbol}@ticker`, row.hasQuotes && `${row.symbol}@bookTicker`]);
    const trades = rows.filter((row) => row.hasTradesAlone).map((row) => `${row.symbol}@trade`);
    // The patterns' callback has each record already; the name only chooses another rate.
    this.#seen = this.#exchange(this.#seen, named.filter(Boolean), nothing, { everyMs: FRAME_MS, snapshot: false });
    this.#seenTrades = this.#exchange(this.#seenTrades, trades, this.take, {});
  }

  /** The new one first: what is in both is not interrupted. */
  #exchange(before, channels, take, options) {
    if (before && before.channels.length === channels.length && channels.every((name) => before.channels.includes(name))) return before;
    const now = channels.length > 0 ? this.connection.subscribe(channels, take, options) : undefined;
    before?.unsubscribe();
    return now;
  }

  /** Asks what exists, now and again. */
  async #ask() {
    const channels = await existing("*@trade");
    if (this.connection.state !== "open") return;
    for (const { channel, stale } of channels ?? []) {
      this.market.expect(channel);
      this.market.status(channel, stale === true);
    }
    this.hasAsked ||= channels !== undefined;
    this.#askPatterns();
    clearTimeout(this.#asking);
    this.#asking = setTimeout(() => void this.#ask(), this.market.rows.size > 0 ? ASK_MS : ASK_EMPTY_MS);
  }

  /** One symbol's own channels, until the function that this gives is called. `trades` and `book` get its records, `kinds` what there is. */
  open(row, { trades, book, kinds }) {
    const opened = new Opened(this.connection, row.symbol, { trades, book, kinds });
    return () => opened.close();
  }
}

/** The subscriptions of an open symbol. */
class Opened {
  #subscriptions = [];
  #has = { trades: "", book: "" };
  #timer;
  #isClosed = false;

  constructor(connection, symbol, calls) {
    Object.assign(this, { connection, symbol, calls });
    this.#subscribe("ticker", nothing, { everyMs: FRAME_MS, snapshot: false });
    this.#subscribe("bookTicker", nothing, { everyMs: FRAME_MS, snapshot: false });
    void this.#look();
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  /** Looks what channels there are until there are trades and a book. */
  async #look() {
    const found = this.connection.state === "open" ? await existing(`${this.symbol}@*`) : undefined;
    if (this.#isClosed) return;
    const kinds = new Set(found?.map(({ kind }) => kind));
    if (!this.#has.trades) this.#take("trades", TRADES.find((kind) => kinds.has(kind)), {});
    if (!this.#has.book) {
      const kind = BOOKS.find((kind) => kinds.has(kind));
      // Every diff counts; of whole books the newest does.
      const everyMs = kind === undefined || /^depth(@|$)/.test(kind) ? 0 : BOOK_MS;
      this.#take("book", kind, { everyMs, newest: everyMs > 0 });
    }
    if (found) this.calls.kinds(this.#has);
    if (!this.#has.trades || !this.#has.book) this.#timer = setTimeout(() => void this.#look(), ASK_OPEN_MS);
  }

  #take(what, kind, options) {
    if (kind === undefined) return;
    this.#has[what] = kind;
    this.calls.kinds(this.#has);
    this.#subscribe(kind, this.calls[what], options);
  }

  #subscribe(kind, take, options) {
    const refused = (code) => {
      // A server whose rules say that each of these counts: then each is taken.
      if (code === "not_conflatable" && !this.#isClosed) this.#subscribe(kind, take, {});
    };
    this.#subscriptions.push(this.connection.subscribe([`${this.symbol}@${kind}`], take, { ...options, refused }));
  }
}

/** The channels that exist and match; nothing where the server did not say. */
async function existing(pattern) {
  try {
    const answer = await fetch(new URL(`v1/channels?match=${encodeURIComponent(pattern)}`, document.baseURI), { signal: AbortSignal.timeout(5000) });
    return answer.ok ? (await answer.json()).channels : undefined;
  } catch {
    return undefined;
  }
}
