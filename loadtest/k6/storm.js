// Everybody hangs up and comes back within two seconds, again and again, while others go on reading.
//
// Whoever comes back asks for what was missed (`resume`), waits longer after each refusal, and has to be back in time.

import { Counter, Trend } from 'k6/metrics';
import { both, pick } from './lib/market.js';
import { counted, KEPT_UP, PROMISES } from './lib/measures.js';
import { connect, pause, Refused } from './lib/native.js';
import { assertFed } from './lib/page.js';
import { boundMs, number, seconds } from './lib/settings.js';

const SECONDS = seconds(40);
const USERS = number('USERS', 200, 1, 5000);
const WATCHERS = number('WATCHERS', 10, 1, 500);
const DELAY_P95_MS = boundMs('DELAY_P95_MS', 200);
const BACK_WITHIN_MS = boundMs('BACK_WITHIN_MS', 10_000);
const EVERY_MS = 10_000;
const WITHIN_MS = 2000;
const ROUNDS = Math.max(1, Math.floor((SECONDS * 1000) / EVERY_MS) - 1);
const BACK_OFF_MS = [200, 5000];

const backMs = new Trend('back_ms', true); // from a storm's beginning until the acknowledgement
const returned = new Counter('returned'); // acknowledged after a storm
const recovered = new Counter('recovered_channels'); // went on where they were
const begunAnew = new Counter('begun_anew_channels'); // began with a snapshot: history did not reach back

export const options = {
  scenarios: {
    watchers: { executor: 'per-vu-iterations', vus: WATCHERS, exec: 'watch', maxDuration: `${SECONDS + 60}s` },
    crowd: { executor: 'per-vu-iterations', vus: USERS, exec: 'comeAndGo', maxDuration: `${SECONDS + 60}s` },
  },
  thresholds: {
    ...PROMISES,
    ...KEPT_UP,
    'delay_ms{role:watcher}': [`p(95)<${DELAY_P95_MS}`],
    'records{role:watcher}': [`count>${WATCHERS * SECONDS}`],
    'gap_records{role:watcher}': ['count==0'],
    returned: [`count==${USERS * ROUNDS}`],
    back_ms: [`max<${BACK_WITHIN_MS}`],
    // A 503 is the server's right in a storm, within limits: on average one for each return.
    refusals: [`count<=${USERS * ROUNDS}`],
    begun_anew_channels: ['count==0'],
    recovered_channels: ['count>0'],
  },
};

export function setup() {
  assertFed();
  return { beganMs: Date.now() };
}

export const watch = counted(async ({ beganMs }) => {
  const watcher = await connect({ role: 'watcher' });
  await watcher.subscribe({ channels: both(pick(4)) });
  if (await watcher.stay(beganMs + SECONDS * 1000 - Date.now())) await watcher.close();
});

export const comeAndGo = counted(async ({ beganMs }) => {
  await pause(Math.random() * WITHIN_MS);
  let user = await persistent();
  await user.subscribe({ channels: both(pick(4)) });
  for (let round = 1; round <= ROUNDS; round++) {
    const stormMs = beganMs + round * EVERY_MS;
    if (!(await user.stay(stormMs - Date.now()))) return;
    user = await comeBack(user, stormMs);
  }
  if (await user.stay(beganMs + SECONDS * 1000 - Date.now())) await user.close();
});

async function comeBack(user, stormMs) {
  await user.close();
  await pause(Math.random() * WITHIN_MS);
  const resume = user.position();
  const again = await persistent();
  const ack = await again.subscribe({ channels: Object.keys(resume.seq), resume });
  if (ack.op !== 'ack') throw new Error(`refused: ${JSON.stringify(ack)}`);
  backMs.add(Date.now() - stormMs);
  returned.add(1);
  const whole = ack.channels.filter((channel) => channel.recovered).length;
  recovered.add(whole);
  begunAnew.add(ack.channels.length - whole);
  return again;
}

// Tries until it is let in, each time waiting twice as long and up to half of that more.
async function persistent() {
  let [backOffMs, most] = BACK_OFF_MS;
  for (;;) {
    try {
      return await connect({ role: 'crowd' });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
    await pause(backOffMs * (1 + Math.random() / 2));
    backOffMs = Math.min(backOffMs * 2, most);
  }
}
