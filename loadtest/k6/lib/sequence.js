// The law of sequences: one channel as one connection sees it.
//
// Pure. Must not know sockets or payloads. Invariant: what was taken is explained without a hole from the trail's start to `last`;
// after a fault the trail goes on behind it, so that one fault is told once. `sequence_check.js` plants each fault.

const SNAPSHOT = 'snapshot';
const ANY = 'any';
const BEGUN = 'begun';

export class Trail {
  constructor(start, last, acknowledged) {
    this.start = start;
    this.last = last;
    this.acknowledged = acknowledged;
  }

  // After an acknowledgement that named the channel's latest sequence; 0 where it has none.
  static acknowledged(sequence) {
    return new Trail(sequence > 0 ? SNAPSHOT : ANY, 0, sequence);
  }

  // A channel that a pattern joined.
  static joined() {
    return new Trail(ANY, 0, 0);
  }

  // After an acknowledgement that the records behind `last` follow.
  static resumed(last) {
    return new Trail(BEGUN, last, 0);
  }

  // Takes a record. Returns what is wrong with it, or null.
  record({ seq, snap, skipped = 0 }) {
    const { start, last } = this;
    this.start = BEGUN;
    this.last = Math.max(last, seq);
    if (snap) return this.snapshot(start, seq, skipped);
    if (start === SNAPSHOT) return `${seq} comes before the snapshot`;
    if (seq <= last) return `${seq} comes behind ${last}`;
    if (seq !== last + skipped + 1) return `${seq} comes behind ${last} and says ${skipped} skipped`;
    return null;
  }

  snapshot(start, seq, skipped) {
    if (start === BEGUN) return `a second snapshot, ${seq}`;
    if (skipped > 0) return `snapshot ${seq} says that it skips`;
    if (seq < this.acknowledged) return `snapshot ${seq} is older than ${this.acknowledged}, which was acknowledged`;
    return null;
  }

  // Takes a gap. Returns what is wrong with it, or null.
  gap({ from, to, reason }) {
    // The feed's own numbers, which are not ours.
    if (reason === 'feed') return null;
    const { start, last } = this;
    this.start = BEGUN;
    this.last = Math.max(last, to);
    if (start === SNAPSHOT) return `a gap from ${from} comes before the snapshot`;
    if (from !== last + 1) return `a gap from ${from} comes behind ${last}`;
    if (to < from) return `a gap from ${from} to ${to}`;
    return null;
  }
}
