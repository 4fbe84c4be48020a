/** A connection to a Tapecast server that outlives its sockets. */
export class Connection {
  /** Opens at once, and again after each end, until `close`. */
  constructor(url: string | URL, options?: Options);
  /** Where it stands now. */
  readonly state: State;
  /** The server's `hello`, once there was one. */
  readonly hello: Hello | undefined;
  /** Microseconds to add to this machine's wall clock to have the server's, from the quickest `ping` of late; 0 until one was answered. */
  readonly clockOffsetUs: number;
  /** Counts since the beginning. */
  readonly stats: Stats;
  /**
   * Subscribes to channels and patterns (`btcusdt@trade`, `*@ticker`), now and after each reconnect. `onRecord` is called for each record,
   * in the order of arrival. Where several subscriptions name one channel, each is called, and the shortest `everyMs` of them is asked for.
   */
  subscribe(channels: string | string[], onRecord: (record: MarketRecord) => void, options?: SubscribeOptions): Subscription;
  /** Calls back for what happens beside records; gives what takes it off again. */
  on<E extends keyof Events>(event: E, callback: (event: Events[E]) => void): () => void;
  /** Ends it for good. */
  close(): void;
}

/** `waiting`: for the next attempt, after an end. `closed`: by `close()`, or for good by the server (see the `end` event). */
export type State = "connecting" | "open" | "waiting" | "closed";

export interface Options {
  /** What opens sockets, where the platform has no global `WebSocket` (Node.js before 22: the package `ws`, or `--experimental-websocket`). */
  WebSocket?: new (url: string) => WebSocket;
  /** Bounds of the time before an attempt, in milliseconds: it doubles from the first to the second, each drawn at random from its upper half. Default 250 and 15,000. */
  backOffMs?: [first: number, longest: number];
  /** Closes and reconnects where nothing came, not even an answer to `ping`, for this long, in milliseconds. Default: 2.5 times the server's heartbeat. */
  silenceMs?: number;
}

export interface SubscribeOptions {
  /** At most one record a channel in this many milliseconds, always the newest; only for kinds of which the newest stands for those before. Default 0: each change at once. */
  everyMs?: number;
  /** The latest record first. Default true. */
  snapshot?: boolean;
}

export interface Subscription {
  readonly channels: readonly string[];
  /** Resolves when the server acknowledges it, first or again; rejects with a `TapecastError` where it refuses. */
  readonly ready: Promise<void>;
  unsubscribe(): void;
}

/** A record of the market. `Data` is the exchange's own payload. */
export interface MarketRecord<Data = unknown> {
  channel: string;
  /** Rises by one a record; a larger step is explained by `skipped`, or by a `gap` before it. */
  seq: number;
  /** When it came in, in microseconds since 1970, by the server's clock. */
  ts: number;
  data: Data;
  /** The latest record at the time of subscribing, not news. */
  snapshot: boolean;
  /** How many records this one replaces. */
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
  bytes: number;
  records: number;
  connects: number;
}

export interface Events {
  state: State;
  /** These will not come. `feed` is by the feed's own numbers. After an epoch that changed, `restart`: what lay between is unknown. */
  gap: { channel: string; from: number; to: number; reason: "slow" | "lapped" | "expired" | "feed" | "restart" };
  /** A channel's feeds are gone or silent, or back. */
  status: { channel: string; state: "stale" | "live" };
  /** The server is about to end; the client reconnects by itself. */
  shutdown: { in_ms: number; reconnect_ms: [number, number] };
  /** The server refused something; where a subscription is meant, it is named. */
  error: TapecastError;
  /** A socket ended: why, and how long until the next attempt (undefined: none). */
  end: { code: number; reason: string; retryInMs: number | undefined };
}

export class TapecastError extends Error {
  /** As the protocol names it (`invalid_channel`), or `not_tapecast` where the other side speaks something else. */
  code: string;
  channels?: readonly string[];
}
