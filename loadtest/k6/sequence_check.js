// Whether the law of sequences finds what it is there for: each fault that a server may make, planted once. Needs no server.
//
// `run` starts with it: a checker that takes everything would make every other script pass.

import { check } from 'k6';
import { Trail } from './lib/sequence.js';

export const options = { thresholds: { checks: ['rate==1'], iterations: ['count==1'] } };

const begun = () => Trail.resumed(5);
const acknowledged = () => Trail.acknowledged(5);

const EXPLAINED = {
  'the next': () => begun().record({ seq: 6 }),
  'what says what it replaces': () => begun().record({ seq: 9, skipped: 3 }),
  'a gap behind the last': () => begun().gap({ from: 6, to: 9, reason: 'slow' }),
  'a gap in the feed': () => begun().gap({ from: 100, to: 200, reason: 'feed' }),
  'a snapshot as acknowledged': () => acknowledged().record({ seq: 5, snap: true }),
  'a newer snapshot': () => acknowledged().record({ seq: 7, snap: true }),
  'the first of a channel': () => Trail.joined().record({ seq: 1 }),
  'after a fault, the next': () => {
    const trail = begun();
    trail.record({ seq: 8 });
    return trail.record({ seq: 9 });
  },
};

const FAULTS = {
  'a hole': () => begun().record({ seq: 7 }),
  'too few skipped': () => begun().record({ seq: 9, skipped: 2 }),
  'too many skipped': () => begun().record({ seq: 9, skipped: 4 }),
  'the last again': () => begun().record({ seq: 5 }),
  'one from before': () => begun().record({ seq: 4 }),
  'a second snapshot': () => begun().record({ seq: 6, snap: true }),
  'a gap that begins late': () => begun().gap({ from: 7, to: 9, reason: 'slow' }),
  'a gap that begins early': () => begun().gap({ from: 5, to: 9, reason: 'slow' }),
  'a gap backwards': () => begun().gap({ from: 6, to: 5, reason: 'lapped' }),
  'no snapshot first': () => acknowledged().record({ seq: 6 }),
  'an old snapshot': () => acknowledged().record({ seq: 4, snap: true }),
  'a snapshot that skips': () => acknowledged().record({ seq: 6, snap: true, skipped: 1 }),
  'a joined channel with a hole': () => Trail.joined().record({ seq: 2 }),
};

export default function () {
  for (const [name, take] of Object.entries(EXPLAINED)) check(take(), { [`taken: ${name}`]: (fault) => fault === null });
  for (const [name, take] of Object.entries(FAULTS)) check(take(), { [`found: ${name}`]: (fault) => fault !== null });
}
