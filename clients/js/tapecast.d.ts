/** A connection to a Tapecast server that outlives its sockets. */
export class Connection {
  /** Opens at once, and again after each end, until `close`. */
  constructor(url: string | URL, options?: Options);
  /** Where it stands now. */
  readonly state: State;
  /** The server's `hello`, once there was one. */
  readonly hello: Hello | undefined;
  /**
   * Microseconds to add to this machine's `performance.timeOrigin + performance.now()` to have the server's time, from the quickest `ping` of
   * late; 0 until one was answered, and where the server does not tell its time.
   */
  readonly clockOffsetUs: number;
  /** The server's time now, in microseconds since 1970: a record is `connection.serverTimeUs() - record.ts` old. */
  serverTimeUs(): number;
  /** Counts since the beginning. */
  readonly stats: Readonly<Stats>;
  /**
   * Subscribes to channels and patterns (`btcusdt@trade`, `*@ticker`), now and after each reconnect. `onRecord` is called for each record,
   * in the order of arrival. Where several subscriptions name one channel, each is called, and the shortest `everyMs` of them is asked for.
   * Throws where `everyMs` is no whole number, a name is longer than any channel's, or the connection was closed.
   */
  subscribe<Data = any>(channels: string | readonly string[], onRecord: (record: MarketRecord<Data>) => void, options?: SubscribeOptions): Subscription;
  /** Calls back for what happens beside records; gives what takes it off again. */
  on<E extends keyof Events>(event: E, callback: (event: Events[E]) => void): () => void;
  /** Ends it for good. */
  close(): void;
}

/** `waiting`: for the next attempt, after an end. `closed`: by `close()`, and by nothing else. */
export type State = "connecting" | "open" | "waiting" | "closed";

export interface Options {
  /** What opens sockets, where the platform has no global `WebSocket` (Node.js before 22: the package `ws`, or `--experimental-websocket`). */
  WebSocket?: new (url: string) => WebSocket;
  /**
   * Bounds of the time before an attempt, in milliseconds: it doubles from the first to the second, each drawn at random from its upper half, and begins anew
   * after a connection that lasted as long as the second. A server that ends says itself when to come back. Default 250 and 15,000.
   */
  backOffMs?: [first: number, longest: number];
  /**
   * Reconnects where nothing came, not even an answer to `ping`, for about this long, in milliseconds: 1,000 or more. Also bounds the time until the
   * server greets, which is 10 s at most. Default: 2.5 times the server's heartbeat.
   */
  silenceMs?: number;
}

export interface SubscribeOptions {
  /** At most one record a channel in this many milliseconds, always the newest; only for kinds of which the newest stands for those before. Default 0: each change at once. */
  everyMs?: number;
  /** The latest record first. Default true. What came while there was no connection is given either way. The server is asked for it in any case: it says where one is to go on. */
  snapshot?: boolean;
}

export interface Subscription {
  readonly channels: readonly string[];
  /** Resolves when the server acknowledges it; rejects with a `TapecastError` where it refuses, which ends the subscription, or where it ended before. */
  readonly ready: Promise<void>;
  /** Nothing is called back any more from here on. What others here subscribed to goes on. */
  unsubscribe(): void;
}

/** A record of the market. `Data` is the exchange's own payload. */
export interface MarketRecord<Data = any> {
  channel: string;
  /** Rises by one a record; a larger step is explained by `skipped`, or by a `gap` before it. */
  seq: number;
  /** When it came in, in microseconds since 1970, by the server's clock. */
  ts: number;
  data: Data;
  /** The latest record at the time of subscribing, or of coming back to a server that began anew: not news. */
  snapshot: boolean;
  /** How many records this one stands for beside itself: each replaced the one before, or all are in this one (kinds that merge). */
  skipped: number;
}

export interface Hello {
  epoch: string;
  version: string;
  heartbeat_ms: number;
  limits: { channels: number; message_bytes: number };
}

export interface Stats {
  /** Text frames that came in. */
  messages: number;
  /** Their characters: bytes, where all is ASCII. */
  bytes: number;
  records: number;
  /** Records that were had already, as a snapshot says again what is known. */
  passedOver: number;
  /** Greetings. */
  connects: number;
}

export interface Events {
  state: State;
  /**
   * These will not come, both ends included. `feed` is by the feed's own numbers. `lapped` also where the server's history did not reach back to
   * where the connection was cut. `restart`: the server's numbers began anew, and how many lie between is not known: `to` is Infinity.
   * A channel of which only the newest record counts has none of these: `skipped` says it.
   */
  gap: { channel: string; from: number; to: number; reason: "slow" | "lapped" | "expired" | "feed" | "restart" };
  /** A channel's feeds are gone or silent, or back. */
  status: { channel: string; state: "stale" | "live" };
  /** The server is about to end; the client reconnects by itself. */
  shutdown: { in_ms: number; reconnect_ms: [number, number] };
  /** The server refused something; where a subscription is meant, it is named. */
  error: TapecastError;
  /**
   * A socket ended: why, and how long until the next attempt (undefined: none, after `close`). Beside the server's own codes: 1006 no connection,
   * 4001 not Tapecast, 4002 silence.
   */
  end: { code: number; reason: string; retryInMs: number | undefined };
}

export class TapecastError extends Error {
  constructor(code: string, message: string, channels?: readonly string[]);
  /** As the protocol names it (`invalid_channel`), or `not_tapecast` where the other side speaks something else. */
  code: string;
  channels?: readonly string[];
}
