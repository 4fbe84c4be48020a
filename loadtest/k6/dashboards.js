// People who open a dashboard, choose symbols, change them and their rate, and leave: what each of them sees.

import { counted, KEPT_UP, PROMISES } from './lib/measures.js';
import { assertFed } from './lib/page.js';
import { session } from './lib/person.js';
import { boundMs, number, seconds } from './lib/settings.js';

const SECONDS = seconds(30);
const USERS = number('USERS', 40, 1, 1000);
const SESSION_MS = number('SESSION_S', 12, 2, 3600) * 1000;
const CONNECT_P95_MS = boundMs('CONNECT_P95_MS', 500);
const SNAPSHOT_P95_MS = boundMs('SNAPSHOT_P95_MS', 500);
const DELAY_P95_MS = boundMs('DELAY_P95_MS', 250);

export const options = {
  scenarios: { people: { executor: 'constant-vus', vus: USERS, duration: `${SECONDS}s`, gracefulStop: '15s' } },
  thresholds: {
    ...PROMISES,
    ...KEPT_UP,
    refusals: ['count==0'],
    gap_records: ['count==0'],
    connect_ms: [`p(95)<${CONNECT_P95_MS}`],
    snapshot_ms: [`p(95)<${SNAPSHOT_P95_MS}`],
    delay_ms: [`p(95)<${DELAY_P95_MS}`],
    // At the very least, everybody sees a record a second.
    records: [`count>${USERS * SECONDS}`],
  },
};

export function setup() {
  assertFed();
  return { endsAtMs: Date.now() + SECONDS * 1000 };
}

const person = counted(session);

export default function ({ endsAtMs }) {
  return person(SESSION_MS, endsAtMs);
}
