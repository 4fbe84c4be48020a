// Somebody in front of a dashboard: opens it, chooses symbols, changes the choice and its rate, leaves.

import { bookTicker, both, pick, trade } from './market.js';
import { connect, pause } from './native.js';

const SYMBOLS_EACH = 4;
const CHANGE_EVERY_MS = [1000, 4000];
const RATES_MS = [0, 100, 250, 1000];

function between([least, most]) {
  return least + Math.random() * (most - least);
}

// One session of at most `stayMs`, over before `endsAtMs` (milliseconds since 1970). Throws when anything is not as it should be.
export async function session(stayMs, endsAtMs) {
  // Not everybody comes in the same instant.
  await pause(between([0, 1000]));
  const leavesAtMs = Math.min(Date.now() + between([stayMs / 2, stayMs]), endsAtMs - 500);
  if (leavesAtMs < Date.now() + 500) return pause(Math.max(0, endsAtMs - Date.now()));
  const dashboard = await connect();
  const symbols = pick(SYMBOLS_EACH);
  await agreed(dashboard.subscribe({ channels: both(symbols) }));
  while (await dashboard.stay(Math.min(between(CHANGE_EVERY_MS), leavesAtMs - Date.now()))) {
    if (Date.now() >= leavesAtMs - 1) return dashboard.close();
    await (Math.random() < 0.5 ? exchange(dashboard, symbols) : rate(dashboard, symbols));
  }
  // Whoever is cut off comes back, but not in a loop without a pause.
  return pause(1000);
}

// One symbol for another.
async function exchange(dashboard, symbols) {
  const [chosen] = pick(1, symbols);
  const [dropped] = symbols.splice(Math.floor(Math.random() * symbols.length), 1, chosen);
  await agreed(dashboard.unsubscribe(both([dropped])));
  await agreed(dashboard.subscribe({ channels: both([chosen]) }));
}

// Another rate for one symbol's best prices; its trades come one by one whatever is asked.
async function rate(dashboard, symbols) {
  const symbol = symbols[Math.floor(Math.random() * symbols.length)];
  const every_ms = RATES_MS[Math.floor(Math.random() * RATES_MS.length)];
  await agreed(dashboard.subscribe({ channels: [bookTicker(symbol)], every_ms }));
  await agreed(dashboard.subscribe({ channels: [trade(symbol)] }));
}

async function agreed(answer) {
  const word = await answer;
  if (word.op !== 'ack') throw new Error(`refused: ${JSON.stringify(word)}`);
  return word;
}
