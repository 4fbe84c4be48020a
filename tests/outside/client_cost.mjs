// What a message costs the JavaScript client: records of 1,300 channels from a scripted socket, beside the parsing of the same text alone.
//
//   node tests/outside/client_cost.mjs
//
// No network: that is the platform's. Each line is a run of its own on one core; the spread is what the machine does beside it.

import { Connection } from "../../clients/js/tapecast.js";

const MESSAGES = 1_000_000, CHANNELS = 1300, RUNS = 5;
const HELLO = '{"op":"hello","epoch":"e","version":"0","heartbeat_ms":20000,"limits":{"channels":1024,"message_bytes":65536}}';
const TRADE = '{"e":"trade","E":1723161254024,"s":"BTCUSDT","t":3742212345,"p":"61737.63000000","q":"0.00216000","T":1723161254023,"m":true,"M":true}';

const texts = Array.from({ length: MESSAGES }, (_, at) => {
  const [channel, seq] = [at % CHANNELS, Math.floor(at / CHANNELS) + 1];
  return `{"ch":"symbol${channel}usdt@trade","seq":${seq},"ts":1723161254024619,"data":${TRADE}}`;
});

/** A socket that says what the bench gives it. */
class Scripted {
  readyState = 1;
  constructor() {
    Scripted.last = this;
  }
  send(text) {
    const { op, id } = JSON.parse(text);
    if (op === "subscribe") this.onmessage({ data: `{"op":"ack","id":${id},"channels":[]}` });
  }
  close() {}
}

async function client() {
  const connection = new Connection("ws://scripted/", { WebSocket: Scripted });
  const socket = Scripted.last;
  socket.onopen();
  socket.onmessage({ data: HELLO });
  let given = 0;
  connection.subscribe("*@trade", ({ data }) => (given += data.m ? 1 : 0));
  await Promise.resolve(); // The request goes once all wishes of now are known.
  for (const data of texts) socket.onmessage({ data });
  connection.close();
  return given;
}

function parsing() {
  let given = 0;
  for (const text of texts) given += JSON.parse(text).data.m ? 1 : 0;
  return given;
}

for (let run = 0; run < RUNS; run++) {
  for (const [name, work] of Object.entries({ parsing, client })) {
    const began = process.cpuUsage();
    const given = await work();
    const { user, system } = process.cpuUsage(began);
    if (given !== MESSAGES) throw new Error(`${name}: ${given} of ${MESSAGES} records`);
    const us = (user + system) / MESSAGES;
    console.log(`${name}: ${us.toFixed(2)} us of CPU a message, ${Math.round(1e6 / us)} messages/s on one core (${texts[0].length} bytes each)`);
  }
}
