// Readers that stop for seconds: they are told what they will not get and catch up, they are not cut off, and nobody else waits.
//
// Needs a feed that fills the kernel's buffers within a stall: `run` gives one of some MB/s, and the server a small outbox.

import { Rate } from 'k6/metrics';
import { both, pick, trade, bookTicker } from './lib/market.js';
import { counted, failed, KEPT_UP, PROMISES } from './lib/measures.js';
import { connect } from './lib/native.js';
import { assertFed } from './lib/page.js';
import { boundMs, number, seconds } from './lib/settings.js';
import { readAndStall } from './lib/stalling.js';

const SECONDS = seconds(30);
const HEALTHY = number('HEALTHY', 5, 1, 500);
const STALLED = number('STALLED', 3, 1, 100);
const STALL_MS = number('STALL_S', 6, 1, 50) * 1000;
const READ_MS = number('READ_S', 5, 1, 600) * 1000;
const SYMBOLS_STALLED = number('SYMBOLS_STALLED', 25, 1, 50);
const DELAY_P95_MS = boundMs('DELAY_P95_MS', 100);
// What came last, before a reader that stalled left, is news.
const NEWS_WITHIN_MS = 1000;

const caughtUp = new Rate('caught_up');

export const options = {
  scenarios: {
    healthy: { executor: 'per-vu-iterations', vus: HEALTHY, exec: 'read', maxDuration: `${SECONDS + 30}s` },
    stalled: { executor: 'per-vu-iterations', vus: STALLED, exec: 'stall', maxDuration: `${SECONDS + 60}s` },
  },
  thresholds: {
    ...PROMISES,
    ...KEPT_UP,
    refusals: ['count==0'],
    'delay_ms{role:healthy}': [`p(95)<${DELAY_P95_MS}`],
    'records{role:healthy}': [`count>${HEALTHY * SECONDS}`],
    'gap_records{role:healthy}': ['count==0'],
    // They did miss something, and were told: trades by `gap`, best prices by `skipped`.
    'gap_records{role:stalled}': ['count>0'],
    'skipped{role:stalled}': ['count>0'],
    caught_up: ['rate==1'],
  },
};

export function setup() {
  assertFed();
  return { endsAtMs: Date.now() + SECONDS * 1000 };
}

export const read = counted(async ({ endsAtMs }) => {
  const reader = await connect({ role: 'healthy' });
  await reader.subscribe({ channels: both(pick(4)) });
  if (await reader.stay(endsAtMs - Date.now())) await reader.close();
});

export function stall({ endsAtMs }) {
  try {
    const symbols = pick(SYMBOLS_STALLED);
    const wish = { channels: [...symbols.map(trade), ...symbols.map(bookTicker)] };
    const follower = readAndStall(wish, { readMs: READ_MS, stallMs: STALL_MS, endsAtMs, tags: { role: 'stalled' } });
    caughtUp.add(follower.freshestMs < NEWS_WITHIN_MS);
  } catch (error) {
    failed(error);
  }
}
