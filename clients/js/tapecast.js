// A connection to a Tapecast server that outlives its sockets: the native protocol, for browsers, Node.js, Deno and Bun. Types: tapecast.d.ts.
//
// It owns one socket at a time, what is wanted, and how far each channel came; it runs where it is imported, by the platform's events.
// It must not queue: while there is no socket, all that is kept is what is wanted, and each channel's latest record.
// Invariant: of one channel each sequence is given once, in rising order, and every step of it is explained.

/** @typedef {import("./tapecast.d.ts").MarketRecord} MarketRecord */
/** @typedef {import("./tapecast.d.ts").Hello} Hello */
/** @typedef {import("./tapecast.d.ts").Options} Options */
/** @typedef {import("./tapecast.d.ts").State} State */
/** What is wanted under one name or pattern; at which rate the server acknowledged it, if it did. @typedef {{ name: string, matches: ((name: string) => boolean) | undefined, by: Set<Wanted>, has: number | undefined }} Wish */
/** A name in a request, and where its channels are to go on. @typedef {{ name: string, resume: [string, number][] }} Item */
/** A request that was not answered yet, and who asked together. @typedef {{ wishes: Wish[], everyMs: number, by: Wanted[] }} Asked */

/** @type {[number, number]} */
const BACK_OFF_MS = [250, 15_000];
/** No greeting for this long: whoever is there does not speak the protocol. */
const HELLO_MS = 10_000;
/** Between two pings, which count among the messages. */
const PERIOD_MS_MIN = 400;
/** Kept well below what the server lets a client send, 50 messages at once and 5 a second: it closes whoever sends more. */
const MESSAGES_BURST = 30, MESSAGES_A_SECOND = 4;
/** What stands around the names of a request, and the most that a sequence and its separators take. */
const ENVELOPE_BYTES = 400, SEQUENCE_BYTES = 18;
/** Channels of which is known how far they came: many more than a server lets one subscriber join. */
const CHANNELS_MAX = 65_536;
const NAME_LENGTH_MAX = 128;
const ROUND_TRIPS = 8;
const TIMER_MS_MAX = 600_000;

export class TapecastError extends Error {
  name = "TapecastError";

  /** @param {string} code @param {string} message @param {readonly string[]} [channels] */
  constructor(code, message, channels) {
    super(message);
    this.code = code;
    this.channels = channels;
  }
}

/** @implements {Pick<import("./tapecast.d.ts").Connection, keyof import("./tapecast.d.ts").Connection>} */
export class Connection {
  /** @type {State} */ state = "connecting";
  /** @type {Hello | undefined} */ hello;
  clockOffsetUs = 0;
  stats = { messages: 0, bytes: 0, records: 0, passedOver: 0, connects: 0 };
  #url;
  #WebSocket;
  #backOffMs;
  #silenceMs;
  /** @type {WebSocket | undefined} */ #socket;
  /** The one timer of its state: for the greeting, the next look, or the next attempt. @type {any} */ #timer;
  /** @type {any} */ #flushTimer;
  #willFlush = false;
  #attempts = 0;
  #openedAt = 0;
  /** When the server said that one should come back. @type {[number, number] | undefined} */ #window;
  /** @type {Map<string, Set<(event: any) => void>>} */ #listeners = new Map();
  /** By channel or pattern. @type {Map<string, Wish>} */ #wishes = new Map();
  /** Those of them that are patterns. @type {Wish[]} */ #patterns = [];
  /** Rises when wishes change, so that each channel finds anew whom it goes to. */ #version = 1;
  /** @type {Map<string, Channel>} */ #channels = new Map();
  /** By the request's id. @type {Map<number, Asked>} */ #asked = new Map();
  /** Channels that are asked for by name only until their pattern has joined them. @type {Set<string>} */ #lent = new Set();
  #id = 0;
  #room = { messages: MESSAGES_BURST, at: 0 };
  #heard = { messages: 0, at: 0, periodMs: 0 };
  /** The one that is not answered yet; 0: none. */
  #ping = { id: 0, at: 0 };
  /** @type {{ tookMs: number, offsetUs: number }[]} */ #roundTrips = [];
  /** The network is back: no need to wait much longer. */
  #online = () => void (this.state === "waiting" && this.#retryIn(upperHalf(Math.min(1000, this.#backOffMs[0]))));

  /** @param {string | URL} url @param {Options} [options] */
  constructor(url, options = {}) {
    const WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!WebSocket) throw new TapecastError("no_websocket", "this platform has no WebSocket: pass one as an option (the package `ws`), or run node with --experimental-websocket");
    this.#url = String(url).replace(/^http/, "ws");
    this.#WebSocket = WebSocket;
    this.#backOffMs = options.backOffMs ?? BACK_OFF_MS;
    this.#silenceMs = options.silenceMs;
    this.#connect();
    globalThis.addEventListener?.("online", this.#online);
  }

  serverTimeUs() {
    return (performance.timeOrigin + performance.now()) * 1000 + this.clockOffsetUs;
  }

  /** @param {string | string[]} channels @param {(record: any) => void} onRecord @param {import("./tapecast.d.ts").SubscribeOptions} [options] */
  subscribe(channels, onRecord, { everyMs = 0, snapshot = true } = {}) {
    const names = [...new Set(typeof channels === "string" ? [channels] : channels)];
    if (this.state === "closed") throw new TapecastError("closed", "the connection was closed: make a new one", names);
    if (!Number.isInteger(everyMs) || everyMs < 0) throw new TapecastError("invalid_request", "everyMs must be a whole number of milliseconds, 0 or more", names);
    const bad = names.find((name) => typeof name !== "string" || name.length > NAME_LENGTH_MAX);
    if (bad !== undefined) throw new TapecastError("invalid_channel", `no text, or longer than ${NAME_LENGTH_MAX} bytes: ${String(bad).slice(0, 40)}`, names);
    const wanted = new Wanted(names, onRecord, everyMs, snapshot, () => {
      this.#leave(wanted, new TapecastError("unsubscribed", "it was unsubscribed before the server acknowledged it", names));
    });
    for (const name of names) {
      const wish = this.#wishes.get(name) ?? { name, matches: matcher(name), by: new Set(), has: undefined };
      this.#wishes.set(name, wish);
      wish.by.add(wanted);
    }
    this.#accept(wanted);
    // Not before `subscribe` has returned.
    queueMicrotask(() => this.#begin(wanted));
    this.#wishesChanged();
    return wanted;
  }

  /** @param {string} event @param {(event: any) => void} callback */
  on(event, callback) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(callback));
    return () => void listeners.delete(callback);
  }

  close() {
    if (this.state === "closed") return;
    globalThis.removeEventListener?.("online", this.#online);
    clearTimeout(this.#flushTimer);
    const hadSocket = this.#letGo(1000, "");
    this.#become("closed");
    if (hadSocket) this.#emit("end", { code: 1000, reason: "closed by this side", retryInMs: undefined });
    for (const wanted of owners(this.#wishes.values())) wanted.end(new TapecastError("closed", "the connection was closed", wanted.channels));
    for (const kept of [this.#wishes, this.#channels, this.#asked, this.#listeners]) kept.clear();
  }

  // The socket.

  #connect() {
    this.#window = undefined;
    this.#openedAt = 0;
    const socket = new this.#WebSocket(this.#url);
    this.#socket = socket;
    let isThere = false;
    const isMine = () => socket === this.#socket;
    socket.onopen = () => void (isThere = true);
    const isNowhere = () => this.#ended(1006, `no connection: is there a Tapecast server at ${this.#url}?`);
    // Node.js 20 says no more than this where there was no connection; where there was one, its end tells more.
    socket.onerror = () => void (isMine() && !isThere && isNowhere());
    socket.onmessage = ({ data }) => void (isMine() && this.#hear(data));
    socket.onclose = ({ code, reason }) => void (isMine() && (isThere ? this.#ended(code, reason) : isNowhere()));
    const late = () => (isThere ? this.#isForeign("it does not greet") : isNowhere());
    this.#timer = setTimeout(late, Math.min(HELLO_MS, this.#silenceMs ?? HELLO_MS));
    this.#become("connecting");
  }

  /** Does not wait for the socket's own end: a dead one answers no close. @param {number} code @param {string} reason */
  #letGo(code, reason) {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket && socket.readyState < 2) socket.close(code, reason);
    return socket !== undefined;
  }

  /** @param {number} code @param {string} reason @param {number} [retryInMs] */
  #ended(code, reason, retryInMs) {
    this.#letGo(4000, "given up");
    const [first, longest] = this.#backOffMs;
    // Who is thrown out as soon as it is in must not come back at once again and again.
    if (this.#openedAt > 0 && performance.now() - this.#openedAt >= longest) this.#attempts = 0;
    const bound = Math.min(longest, first * 2 ** this.#attempts++);
    const wait = retryInMs ?? Math.max(upperHalf(bound), this.#window ? between(...this.#window) : 0);
    this.#retryIn(wait);
    this.#become("waiting");
    this.#emit("end", { code, reason, retryInMs: wait });
  }

  /** @param {number} ms */
  #retryIn(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), ms);
  }

  /** @param {string} why */
  #isForeign(why) {
    this.#ended(4001, "not Tapecast", upperHalf(this.#backOffMs[1]));
    this.#emit("error", new TapecastError("not_tapecast", `${this.#url} does not speak Tapecast's native protocol (${why}): name the /v1/ws of a Tapecast server`));
  }

  /** Every period: asks what time it is there, and ends the socket where nothing came for two. */
  #look() {
    const now = performance.now();
    const { messages, at, periodMs } = this.#heard;
    if (messages !== this.stats.messages) this.#heard = { messages: this.stats.messages, at: now, periodMs };
    else if (now - at > 1.9 * periodMs) return this.#ended(4002, "silence");
    const isLearning = this.#ping.id === 0 && this.#roundTrips.length < ROUND_TRIPS / 2;
    this.#timer = setTimeout(() => this.#look(), isLearning ? Math.min(1000, periodMs) : periodMs);
    this.#ping = { id: ++this.#id, at: now };
    this.#send({ op: "ping", id: this.#id });
  }

  // What comes in.

  /** @param {any} data */
  #hear(data) {
    this.stats.messages++;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return this.#isForeign("it sent something else than JSON");
    }
    this.stats.bytes += data.length;
    if (this.state !== "open") return this.#greeted(message);
    switch (message?.op) {
      case undefined: return this.#record(message);
      case "ack": return this.#acknowledged(message);
      case "gap": return this.#gap(message);
      case "status": return this.#channel(message.ch)?.setStale(message.state === "stale", this.#tell);
      case "pong": return this.#pong(message);
      case "error": return this.#refused(message);
      case "shutdown": return this.#shutdown(message);
      default: // A newer server may say more.
    }
  }

  /** @param {any} hello */
  #greeted(hello) {
    if (hello?.op !== "hello" || typeof hello.epoch !== "string") return this.#isForeign("its first message is no hello");
    const isOtherEpoch = this.hello !== undefined && this.hello.epoch !== hello.epoch;
    const now = performance.now();
    this.hello = hello;
    this.stats.connects++;
    this.#openedAt = now;
    this.#roundTrips = [];
    this.#ping = { id: 0, at: 0 };
    this.#asked.clear();
    this.#lent.clear();
    this.#room = { messages: MESSAGES_BURST, at: now };
    for (const wish of this.#wishes.values()) wish.has = undefined;
    this.#version++;
    const gaps = [];
    for (const channel of this.#channels.values()) {
      channel.isInDoubt = channel.isStale;
      if (isOtherEpoch) gaps.push(channel.restart());
    }
    clearTimeout(this.#timer);
    const silenceMs = this.#silenceMs ?? 2.5 * (hello.heartbeat_ms > 0 ? hello.heartbeat_ms : 20_000);
    this.#heard = { messages: 0, at: 0, periodMs: Math.max(PERIOD_MS_MIN, Math.min(TIMER_MS_MAX, silenceMs / 2.5)) };
    this.#look();
    this.#become("open");
    this.#flush();
    for (const gap of gaps) if (gap) this.#emit("gap", gap);
  }

  /** The hot path. Sequences and times are far below 2^53, to which a number holds every integer. @param {any} message */
  #record(message) {
    const channel = this.#channel(message?.ch);
    if (!channel) return;
    const { seq, ts, data } = message, known = channel.seq;
    // From a snapshot of what was known, mostly.
    if (!(seq > known)) return void this.stats.passedOver++;
    this.stats.records++;
    let skipped = message.skipped ?? 0;
    if (skipped > 0 && message.merged !== true) channel.isNewestOnly = true;
    const missing = known >= 0 ? seq - known - 1 - skipped : 0;
    channel.seq = seq;
    if (missing > 0 && channel.isNewestOnly) skipped += missing;
    else if (missing > 0) this.#emit("gap", { channel: channel.name, from: known + 1, to: known + missing, reason: "lapped" });
    if (channel.isInDoubt) channel.setStale(false, this.#tell);
    channel.last = { channel: channel.name, seq, ts, data, snapshot: message.snap === true && known < 0, skipped };
    for (const wanted of channel.by) wanted.give(channel.last);
  }

  /** What is known of a channel, if anybody here wants it. @param {string} name */
  #channel(name) {
    const known = this.#channels.get(name);
    if (known?.version === this.#version) return known;
    const wishes = typeof name === "string" ? this.#meant(name) : [];
    const by = owners(wishes);
    if (by.length === 0) return void this.#channels.delete(name);
    // What comes before the answer was sent for a subscription that has been left since; there may be a hole behind it.
    if (!this.#lent.has(name) && wishes.every(({ has }) => has === undefined)) return;
    const channel = known ?? new Channel(name);
    channel.by = by;
    channel.version = this.#version;
    const [oldest] = !known && this.#channels.size >= CHANNELS_MAX ? this.#channels.keys() : [];
    if (oldest !== undefined) this.#channels.delete(oldest);
    this.#channels.set(name, channel);
    return channel;
  }

  /** The wishes that a channel goes to. @param {string} name */
  #meant(name) {
    const named = this.#wishes.get(name);
    const alike = this.#patterns.filter(({ matches }) => matches?.(name));
    return named ? [named, ...alike] : alike;
  }

  /** @param {any} message */
  #gap({ ch, from, to, reason }) {
    const channel = this.#channel(ch);
    if (!channel) return;
    // `feed` is by the feed's own numbers.
    if (reason !== "feed" && to > channel.seq) channel.seq = to;
    this.#emit("gap", { channel: ch, from, to, reason });
  }

  /** The clock's offset by the quickest of the last round trips: half of that is the most that it is wrong by. @param {any} message */
  #pong({ id, ts }) {
    const { id: asked, at } = this.#ping, now = performance.now();
    if (id !== asked) return;
    this.#ping = { id: 0, at: 0 };
    if (!(ts > 0)) return;
    const latest = { tookMs: now - at, offsetUs: ts - (performance.timeOrigin + (at + now) / 2) * 1000 };
    // What contradicts it was measured before a clock was set, or before one stood still while the machine slept.
    const agreeing = this.#roundTrips.filter((trip) => Math.abs(trip.offsetUs - latest.offsetUs) <= (trip.tookMs + latest.tookMs) * 500);
    this.#roundTrips = [...agreeing, latest].slice(-ROUND_TRIPS);
    this.clockOffsetUs = Math.round(this.#roundTrips.reduce((best, trip) => (trip.tookMs < best.tookMs ? trip : best)).offsetUs);
  }

  /** @param {any} message */
  #shutdown({ in_ms, reconnect_ms }) {
    const [from, to] = Array.isArray(reconnect_ms) ? reconnect_ms : [];
    if (from >= 0 && to >= from) this.#window = [Math.min(from, TIMER_MS_MAX), Math.min(to, TIMER_MS_MAX)];
    this.#emit("shutdown", { in_ms, reconnect_ms });
  }

  /** @param {any} message */
  #acknowledged({ id, channels }) {
    const { wishes, everyMs } = this.#asked.get(id) ?? { wishes: [] };
    this.#asked.delete(id);
    for (const wish of wishes) wish.has = everyMs;
    this.#version++;
    for (const wanted of owners(wishes)) this.#accept(wanted);
    for (const { channel: name, seq } of Array.isArray(channels) ? channels : []) {
      // It has no record yet: after a cut its first one is missed like any other.
      const channel = seq === 0 ? this.#channel(name) : undefined;
      if (channel && channel.seq < 0) channel.seq = 0;
    }
    this.#flushSoon();
  }

  /** Resolves its `ready` once the server has all of it. @param {Wanted} wanted */
  #accept(wanted) {
    if (wanted.channels.every((name) => (this.#wishes.get(name)?.has ?? Infinity) <= wanted.everyMs)) wanted.accept();
  }

  /** A request is refused whole. Those who asked together ask in two halves now, until the bad one asks alone, and is left out. @param {any} message */
  #refused({ id, code, message }) {
    const { by } = this.#asked.get(id) ?? { by: [] };
    this.#asked.delete(id);
    this.#flushSoon();
    if (by.length > 1) {
      const halves = [++this.#id, ++this.#id];
      return by.forEach((wanted, at) => void (wanted.party = halves[at % 2]));
    }
    const [blamed] = by;
    if (blamed?.isEnded) return;
    const error = new TapecastError(String(code), String(message), blamed?.channels);
    if (blamed) this.#leave(blamed, error);
    this.#emit("error", error);
  }

  // What is asked for.

  /** @param {Wanted} wanted @param {TapecastError} why */
  #leave(wanted, why) {
    for (const name of wanted.channels) this.#wishes.get(name)?.by.delete(wanted);
    wanted.end(why);
    this.#wishesChanged();
  }

  /** From here on it is given what comes; first the latest record of each channel that came already, which the server sends once. @param {Wanted} wanted */
  #begin(wanted) {
    wanted.isBegun = true;
    const wishes = wanted.channels.map((name) => this.#wishes.get(name));
    const joined = wishes.some((wish) => wish?.matches)
      ? [...this.#channels.values()].filter(({ name }) => wishes.some((wish) => wish?.name === name || wish?.matches?.(name)))
      : wanted.channels.map((name) => this.#channels.get(name));
    for (const channel of joined) if (channel?.last) wanted.give({ ...channel.last, snapshot: true, skipped: 0 });
  }

  #wishesChanged() {
    this.#version++;
    this.#patterns = [...this.#wishes.values()].filter(({ matches }) => matches);
    this.#flushSoon();
  }

  /** Once for all changes that are made together. */
  #flushSoon() {
    if (this.#willFlush) return;
    this.#willFlush = true;
    queueMicrotask(() => {
      this.#willFlush = false;
      this.#flush();
    });
  }

  /** Says what the server does not know yet, as fast as it lets. By turns: while an answer is due, nobody could say what the server has. */
  #flush() {
    clearTimeout(this.#flushTimer);
    if (this.state !== "open" || this.#asked.size > 0) return;
    for (const due = this.#due(); ; ) {
      const now = performance.now();
      const earned = ((now - this.#room.at) * MESSAGES_A_SECOND) / 1000;
      this.#room = { messages: Math.min(MESSAGES_BURST, this.#room.messages + earned), at: now };
      if (this.#room.messages < 1) return void (this.#flushTimer = setTimeout(() => this.#flush(), 1000 / MESSAGES_A_SECOND));
      const { value, done } = due.next();
      if (done) return;
      this.#send(value);
    }
  }

  /** @param {object} message */
  #send(message) {
    this.#room.messages--;
    this.#socket?.send(JSON.stringify(message));
  }

  /** The messages that make what is asked for equal to what is wanted. Names before patterns: what is joined already is not resumed. */
  *#due() {
    const wishes = [...this.#wishes.values()];
    const gone = wishes.filter(({ by }) => by.size === 0);
    for (const { name, has } of gone) if (has === undefined) this.#wishes.delete(name);
    yield* this.#leaving(gone.filter(({ has }) => has !== undefined).map(({ name }) => name), this.#wishes);
    if (gone.length > 0) for (const name of this.#channels.keys()) if (this.#meant(name).length === 0) this.#channels.delete(name);
    for (const name of this.#lent) if (this.#wishes.has(name)) this.#lent.delete(name);
    yield* this.#leaving([...this.#lent], this.#lent);
    const changed = wishes.filter((wish) => wish.by.size > 0 && wish.has !== this.#rate(wish));
    const names = changed.filter(({ matches }) => !matches), patterns = changed.filter(({ matches }) => matches);
    yield* this.#requests(names);
    // A name that is refused would be joined by the pattern, and not be resumed.
    const unsure = names.filter(({ name, has }) => has === undefined && this.#channels.has(name));
    yield* this.#requests(patterns.filter(({ matches }) => !unsure.some(({ name }) => matches?.(name))));
  }

  /** @param {string[]} names @param {{ delete(name: string): boolean }} from */
  *#leaving(names, from) {
    for (const items of this.#cut(names.map((name) => ({ name, resume: [] })))) {
      const channels = items.map(({ name }) => name);
      for (const name of channels) from.delete(name);
      yield { op: "unsubscribe", channels };
    }
  }

  /** The shortest that anybody wants: by the name, or by a pattern, which the server would let the name overrule. @param {Wish} wish */
  #rate(wish) {
    return Math.min(...owners(wish.matches ? [wish] : this.#meant(wish.name)).map(({ everyMs }) => everyMs));
  }

  /** Wishes of one rate and one party are asked for together. @param {Wish[]} wishes */
  *#requests(wishes) {
    /** @type {Map<string, { everyMs: number, party: number, wishes: Wish[] }>} */
    const groups = new Map();
    for (const wish of wishes) {
      const everyMs = this.#rate(wish), party = Math.max(...[...wish.by].map((wanted) => wanted.party));
      const key = `${party} ${everyMs}`;
      const group = groups.get(key) ?? { everyMs, party, wishes: [] };
      groups.set(key, group).get(key)?.wishes.push(wish);
    }
    for (const { everyMs, party, wishes } of groups.values()) {
      const items = wishes.map((wish) => ({ wish, name: wish.name, resume: wish.has === undefined ? this.#cameTo(wish) : [] }));
      for (const item of items) yield* this.#lend(item);
      for (const some of this.#cut(items)) {
        const asked = some.map(({ wish }) => wish);
        this.#asked.set(++this.#id, { wishes: asked, everyMs, by: owners(asked).filter((wanted) => wanted.party === party) });
        yield this.#subscribing(some, { id: this.#id, every_ms: everyMs || undefined });
      }
    }
  }

  /** @param {Item[]} items @param {object} options */
  #subscribing(items, options) {
    const seq = items.flatMap((item) => item.resume);
    const resume = seq.length > 0 ? { epoch: this.hello?.epoch, seq: Object.fromEntries(seq) } : undefined;
    return { op: "subscribe", channels: items.map(({ name }) => name), ...options, resume };
  }

  /** How far the channels of a wish came, but for those of which only the newest counts: a snapshot is all of that. @param {Wish} wish */
  #cameTo({ name, matches }) {
    const meant = matches ? [...this.#channels.values()].filter((channel) => matches(channel.name) && !this.#wishes.has(channel.name)) : [this.#channels.get(name)];
    /** @type {[string, number][]} */
    const resume = [];
    for (const channel of meant) if (channel && channel.seq >= 0 && !channel.isNewestOnly && !this.#lent.has(channel.name)) resume.push([channel.name, channel.seq]);
    return resume;
  }

  /** What of a pattern's channels does not fit its message is asked for by name first, as many as the server lets, and left once the pattern has them. @param {Item} item */
  *#lend(item) {
    const entries = item.resume.map((entry) => ({ name: entry[0], resume: [entry] }));
    const [fitting = []] = this.#cut(entries, bytesOf(item.name));
    item.resume.splice(fitting.length);
    const names = this.#wishes.size - this.#patterns.length;
    const lent = entries.slice(fitting.length).slice(0, Math.max(0, this.#limits().channels - names - this.#lent.size));
    for (const items of this.#cut(lent)) {
      for (const { name } of items) this.#lent.add(name);
      this.#version++;
      yield this.#subscribing(items, {});
    }
  }

  #limits() {
    const { channels = 0, message_bytes = 0 } = this.hello?.limits ?? {};
    return { channels: channels > 0 ? channels : 1024, bytes: message_bytes > 0 ? message_bytes : 65_536 };
  }

  /** Cuts what is to be said into messages that the server reads. @template {Item} T @param {T[]} items */
  #cut(items, taken = 0) {
    const most = this.#limits();
    const room = most.bytes - ENVELOPE_BYTES - taken;
    /** @type {T[][]} */
    const messages = [];
    let bytes = Infinity, resumed = 0;
    for (const item of items) {
      const own = item.resume.reduce((sum, [name]) => sum + bytesOf(name) + SEQUENCE_BYTES, bytesOf(item.name));
      if (bytes + own > room || resumed + item.resume.length > most.channels) {
        messages.push([]);
        bytes = resumed = 0;
      }
      messages.at(-1)?.push(item);
      bytes += own;
      resumed += item.resume.length;
    }
    return messages;
  }

  // What is told.

  /** @param {State} state */
  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.#emit("state", state);
  }

  #tell = (/** @type {string} */ event, /** @type {any} */ told) => this.#emit(event, told);

  /** @param {string} event @param {any} told */
  #emit(event, told) {
    const listeners = this.#listeners.get(event);
    if (event === "error" && !listeners?.size && this.state !== "closed") console.warn(told);
    for (const listener of listeners ?? []) call(listener, told);
  }
}

/** How far a channel came, and whom it goes to. */
class Channel {
  /** The last one that is had or explained; below 0: not known. */
  seq = -1;
  /** @type {MarketRecord | undefined} */ last;
  /** A record stood for those before it: what is missed of it is not missed. */
  isNewestOnly = false;
  isStale = false;
  /** It was stale when the socket ended: until the server says so again, or something new comes. */
  isInDoubt = false;
  /** @type {Wanted[]} */ by = [];
  version = 0;

  /** @param {string} name */
  constructor(name) {
    this.name = name;
  }

  /** Its sequences began anew; gives what is to be told of it, if something may have been lost. */
  restart() {
    const { name, seq, isNewestOnly } = this;
    Object.assign(this, { seq: -1, last: undefined, isNewestOnly: false });
    return seq > 0 && !isNewestOnly ? { channel: name, from: seq + 1, to: Infinity, reason: "restart" } : undefined;
  }

  /** @param {boolean} isStale @param {(event: string, told: any) => void} tell */
  setStale(isStale, tell) {
    this.isInDoubt = false;
    if (this.isStale === isStale) return;
    this.isStale = isStale;
    tell("status", { channel: this.name, state: isStale ? "stale" : "live" });
  }
}

/** A subscription, as its owner has it. */
class Wanted {
  /** With whom it asks: 0, all; another number, those whose request was refused with its own. */
  party = 0;
  isBegun = false;
  isEnded = false;
  #resolve = () => {};
  #reject = (/** @type {Error} */ _why) => {};
  /** @type {Promise<void>} */ ready;

  /** @param {readonly string[]} channels @param {(record: any) => void} onRecord @param {number} everyMs @param {boolean} snapshot @param {() => void} unsubscribe */
  constructor(channels, onRecord, everyMs, snapshot, unsubscribe) {
    this.channels = channels;
    this.onRecord = onRecord;
    this.everyMs = everyMs;
    this.snapshot = snapshot;
    this.unsubscribe = unsubscribe;
    this.ready = new Promise((resolve, reject) => [this.#resolve, this.#reject] = [resolve, reject]);
    this.ready.catch(() => {}); // Who does not wait for it is told by the event.
  }

  accept() {
    this.party = 0;
    this.#resolve();
  }

  /** @param {MarketRecord} record */
  give(record) {
    if (this.isBegun && !this.isEnded && (this.snapshot || !record.snapshot)) call(this.onRecord, record);
  }

  /** @param {Error} why */
  end(why) {
    this.isEnded = true;
    this.#reject(why);
  }
}

/** A callback's failure is its owner's, and is reported as one that nobody caught; the connection goes on. @param {(told: any) => void} callback @param {any} told */
function call(callback, told) {
  try {
    callback(told);
  } catch (failure) {
    if (typeof reportError === "function") reportError(failure);
    else queueMicrotask(() => { throw failure; });
  }
}

/** @param {Iterable<Wish>} wishes */
function owners(wishes) {
  const all = new Set(/** @type {Wanted[]} */ ([]));
  for (const { by } of wishes) for (const wanted of by) all.add(wanted);
  return [...all];
}

/** @param {number} from @param {number} to */
function between(from, to) {
  return from + Math.random() * (to - from);
}

/** @param {number} bound */
function upperHalf(bound) {
  return between(bound / 2, bound);
}

const utf8 = new TextEncoder();
/** @param {string} name */
function bytesOf(name) {
  return utf8.encode(JSON.stringify(name)).length + 1;
}

/** What a pattern means: `*` for any run of characters on either side of the first `@`. Undefined: it is a name. @param {string} pattern */
function matcher(pattern) {
  if (!pattern.includes("*")) return undefined;
  const [symbols, kinds] = halves(pattern).map((half) => half.split("*"));
  return (/** @type {string} */ name) => {
    const [symbol, kind] = halves(name);
    return isLike(symbols, symbol) && isLike(kinds, kind);
  };
}

/** @param {string} name */
function halves(name) {
  const at = name.indexOf("@");
  return at < 0 ? [name, ""] : [name.slice(0, at), name.slice(at + 1)];
}

/** Whether a text begins with the first piece, ends with the last, and holds those between in their order. @param {string[]} pieces @param {string} text */
function isLike([first, ...between], text) {
  const last = between.pop();
  if (last === undefined) return first === text;
  const end = text.length - last.length;
  let from = first.length;
  if (from > end || !text.startsWith(first) || !text.endsWith(last)) return false;
  for (const piece of between) {
    const at = text.indexOf(piece, from);
    if (at < 0 || at + piece.length > end) return false;
    from = at + piece.length;
  }
  return true;
}
