#!/usr/bin/env node
// A feed of one's own: publishes made-up trades and tickers. Node.js alone is all that it needs.
//
//     node examples/feed.mjs [HOST:PORT] [RECORDS]      127.0.0.1:9002, until Ctrl-C
//
// TAPECAST_INGEST_TOKEN holds the ingest's token, where it wants one. Keep `connect`, `publish` and `main`; replace `market`.

import { once } from "node:events";
import net from "node:net";
import readline from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const BATCH = 20; // records a write: the larger, the cheaper; the last of them waits for the first

/** Made-up records, a line each: channel, `#` and the feed's own sequence in that channel, payload. */
function* market() {
  const cents = { btcusdt: 6_173_763, ethusdt: 268_380 };
  for (let number = 1; ; number++) {
    for (const symbol in cents) {
      cents[symbol] += Math.round(Math.random() * 100 - 50);
      const price = (cents[symbol] / 100).toFixed(2);
      const trade = { e: "trade", s: symbol.toUpperCase(), t: number, p: price, q: "0.010" };
      const ticker = { e: "24hrTicker", s: symbol.toUpperCase(), c: price };
      yield `${symbol}@trade#${number} ${JSON.stringify(trade)}\n`;
      yield `${symbol}@ticker#${number} ${JSON.stringify(ticker)}\n`;
    }
  }
}

/** The session keeps its name over reconnects: what is then published twice is taken once. */
async function connect(address, session) {
  const [, host, port] = /^(.*):(\d+)$/.exec(address) ?? [];
  if (!port) throw new Error(`${address} is not HOST:PORT`);
  const socket = net.connect(Number(port), host).setNoDelay(true);
  await once(socket, "connect");
  // What goes wrong later is told where an answer is waited for.
  socket.on("error", () => {}).on("timeout", () => socket.destroy(new Error("no answer in 15 s")));
  const feed = { socket, answers: readline.createInterface({ input: socket })[Symbol.asyncIterator]() };
  const token = process.env.TAPECAST_INGEST_TOKEN;
  await publish(feed, [...(token ? [`AUTH ${token}\n`] : []), `SESSION ${session}\n`]);
  return feed;
}

/** Sends a batch and waits for `+PONG`: by then each line was taken, or refused with an answer that says why. */
async function publish({ socket, answers }, lines) {
  socket.setTimeout(15_000).write([...lines, "PING\n"].join(""));
  for (;;) {
    const { value: answer, done } = await answers.next();
    if (done) throw socket.errored ?? new Error("the server closed the connection");
    if (answer.startsWith("+PONG ")) return socket.setTimeout(0);
    console.error("refused:", answer);
  }
}

async function reconnect(address, session) {
  for (let delay = 250; ; delay = Math.min(2 * delay, 15_000)) {
    await sleep(delay);
    try {
      return await connect(address, session);
    } catch (error) {
      console.error(`${address}: ${error.message}`);
    }
  }
}

async function main(address = "127.0.0.1:9002", records = Infinity) {
  const session = `feed-${process.pid}-${Date.now()}`;
  const lines = market();
  let feed = await connect(address, session);
  for (let left = Number(records); left > 0; left -= BATCH) {
    const batch = Array.from({ length: Math.min(left, BATCH) }, () => lines.next().value);
    for (let published = false; !published; ) {
      try {
        await publish(feed, batch);
        published = true;
      } catch (error) {
        console.error(`${address}: ${error.message}; reconnecting`);
        feed = await reconnect(address, session);
      }
    }
    await sleep(100);
  }
  feed.socket.end();
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(`cannot feed: ${error.message}; does a server listen for feeds there (tapecast serve)?`);
  process.exitCode = 1;
});
