// What the scripts measure, and what has to hold whatever the load.
//
// k6 keeps every sample of a Trend until the end, so delays are sampled; counts are exact.

import { Counter, Trend } from 'k6/metrics';
import { boundMs } from './settings.js';

export const connectMs = new Trend('connect_ms', true); // from opening the socket to `hello`
export const snapshotMs = new Trend('snapshot_ms', true); // from sending `subscribe` to its first snapshot
export const delayMs = new Trend('delay_ms', true); // from the record's `ts` to when k6 read it from the socket
export const behindMs = new Trend('k6_behind_ms', true); // from there to when the script was given it: k6's own lag
export const records = new Counter('records');
export const skipped = new Counter('skipped'); // values that newer ones replaced, and that were told
export const gapRecords = new Counter('gap_records'); // records that will not come, and that were told
export const unexplained = new Counter('unexplained'); // steps in a sequence that nothing explains
export const closesUnasked = new Counter('closes_unasked'); // connections that ended and were not to
export const refusals = new Counter('refusals'); // handshakes answered with something else than 101
export const errors = new Counter('errors'); // no connection, no answer, an `error` nobody provoked, a fault of the script

// A delay is taken of one record in so many.
export const SAMPLE_ONE_IN = 8;

// Nothing lost in silence, nobody cut off, no error; and there was something to see.
export const PROMISES = {
  unexplained: ['count==0'],
  closes_unasked: ['count==0'],
  errors: ['count==0'],
  records: ['count>0'],
};

// Beside every bound on a delay: a k6 that falls behind shows delays that are not the server's, and such a run does not count.
export const KEPT_UP = { k6_behind_ms: [`p(95)<${boundMs('BEHIND_P95_MS', 250)}`] };

// Whoever failed comes back, but not in a loop without a pause.
const AFTER_FAILURE_MS = 1000;

// `work`, whose failure is counted: k6 itself would log it and pass.
export function counted(work) {
  return async (...given) => {
    try {
      await work(...given);
    } catch (error) {
      failed(error);
      await new Promise((resolve) => setTimeout(resolve, AFTER_FAILURE_MS));
    }
  };
}

export function failed(error) {
  errors.add(1);
  console.error(error && error.stack ? error.stack : error);
}
