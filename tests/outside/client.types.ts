// What users write against the client's types, and the client itself against them: compiled by client_scripted.test.mjs, never run.
import { Connection, TapecastError, type Events, type MarketRecord, type Options } from "../../clients/js/tapecast.js";

interface Trade {
  p: string;
  q: string;
}

const options: Options = { backOffMs: [100, 1000], silenceMs: 5000, WebSocket };
const connection = new Connection(new URL("ws://127.0.0.1:9001/v1/ws"), options);
const trades = connection.subscribe(["btcusdt@trade"], ({ data, seq }: MarketRecord<Trade>) => `${data.p} ${seq + 1}`, { everyMs: 0, snapshot: false });
connection.subscribe<Trade>("*@trade", (record) => record.data.q.length);
connection.subscribe("*@ticker", (record) => record.data.c);
const off: () => void = connection.on("gap", ({ channel, from, to, reason }) => `${channel} ${to - from} ${reason === "restart"}`);
connection.on("error", (error: TapecastError) => error.code + error.channels?.join());
connection.on("end", (end: Events["end"]) => end.retryInMs?.toFixed());
// @ts-expect-error: no such event
connection.on("gaps", () => {});
// @ts-expect-error: where it stands is not for others to say
connection.state = "open";
trades.ready.then(() => trades.unsubscribe()).finally(off);
const age: number = connection.serverTimeUs() - 1;
if (connection.hello && connection.stats.records > age) connection.close();
