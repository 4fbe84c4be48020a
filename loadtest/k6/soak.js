// Steady users who come and go for an hour: nothing grows, nothing is lost, nobody is cut off. A minute: `-e MINUTES=1`.

import { Counter, Gauge, Trend } from 'k6/metrics';
import { sleep } from 'k6';
import { counted, failed, KEPT_UP, PROMISES } from './lib/measures.js';
import { assertFed, scrape, unaccounted, valueOf, waiting } from './lib/page.js';
import { session } from './lib/person.js';
import { boundMs, number, seconds } from './lib/settings.js';

const SECONDS = seconds(3600);
const USERS = number('USERS', 20, 1, 1000);
const SESSION_MS = number('SESSION_S', 30, 2, 3600) * 1000;
const DELAY_P95_MS = boundMs('DELAY_P95_MS', 250);
const GROWTH_MIB_MAX = number('GROWTH_MIB_MAX', 8, 0, 1024);
// Until then memory may grow: buffers, and the allocator, first come to the size that the load wants.
const WARM_UP_S = Math.min(120, SECONDS / 2);
const SCRAPE_EVERY_S = 1;
const MIB = 1024 * 1024;

const scrapes = new Counter('scrapes');
const growthMiB = new Trend('growth_mib'); // resident memory above what it was after the warm-up
const unaccountedRecords = new Trend('unaccounted_records'); // per scrape: due to somebody, and neither delivered nor told nor waiting
const left = new Gauge('records_left_waiting'); // for subscribers, once all of them are gone

export const options = {
  scenarios: {
    people: { executor: 'constant-vus', vus: USERS, duration: `${SECONDS}s`, gracefulStop: '15s' },
    watch: { executor: 'per-vu-iterations', vus: 1, exec: 'watch', maxDuration: `${SECONDS + 30}s`, gracefulStop: '5s' },
  },
  thresholds: {
    ...PROMISES,
    ...KEPT_UP,
    refusals: ['count==0'],
    gap_records: ['count==0'],
    delay_ms: [`p(95)<${DELAY_P95_MS}`],
    records: [`count>${USERS * SECONDS}`],
    scrapes: [`count>${SECONDS / SCRAPE_EVERY_S / 2}`],
    growth_mib: [`max<${GROWTH_MIB_MAX}`],
    unaccounted_records: ['min==0', 'max==0'],
    records_left_waiting: ['value==0'],
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

export function watch({ endsAtMs }) {
  try {
    const warmAtMs = Date.now() + WARM_UP_S * 1000;
    let base = null;
    while (Date.now() < endsAtMs) {
      const values = scrape();
      const resident = valueOf(values, 'process_resident_memory_bytes');
      scrapes.add(1);
      unaccountedRecords.add(unaccounted(values));
      if (Date.now() >= warmAtMs) base = base === null ? resident : base;
      if (base !== null) growthMiB.add((resident - base) / MIB);
      sleep(SCRAPE_EVERY_S);
    }
    sleep(3);
    left.add(waiting(scrape()));
  } catch (error) {
    failed(error);
  }
}
