// What one native connection was told: each channel's trail, and what may be counted of it.
//
// No socket and no clock: when a message came is an argument, in milliseconds since 1970. Invariant: every record and gap passes a
// trail, or is a fault because nobody asked for its channel.

import { Trail } from './sequence.js';
import * as measures from './measures.js';

// Counts reach k6 once for so many records: a sample for each would cost k6 more than reading it.
const COUNT_EVERY = 256;

export class Follower {
  // `tags` go with every delay and count.
  constructor(tags = {}) {
    this.tags = tags;
    this.held = new Map(); // channel -> { trail, everyMs, since }
    this.hasPatterns = false;
    this.freshestMs = Infinity; // delay of the latest record
    this.taken = 0;
    this.counts = { records: 0, skipped: 0, gaps: 0 };
    this.snapshotAwaited = null;
  }

  // A `subscribe` was sent: its first snapshot is timed.
  asked(sentMs) {
    this.snapshotAwaited = sentMs;
  }

  // An `ack` of `wish`, the `subscribe` that was sent.
  subscribed(ack, wish, nowMs) {
    for (const { channel, pattern, seq, recovered } of ack.channels) {
      if (pattern !== undefined) {
        this.hasPatterns = true;
        continue;
      }
      const before = this.held.get(channel);
      const trail = before ? before.trail : startOf(channel, seq, recovered, wish);
      this.held.set(channel, { trail, everyMs: wish.every_ms || 0, since: nowMs });
    }
  }

  unsubscribed(ack) {
    for (const { channel } of ack.channels) this.held.delete(channel);
  }

  // Where to go on after a hang-up: channel -> sequence.
  position() {
    const position = {};
    for (const [channel, { trail }] of this.held) {
      if (trail.last > 0) position[channel] = trail.last;
    }
    return position;
  }

  record(record, nowMs) {
    const held = this.heldFor(record.ch);
    if (!held) return this.fault(record.ch, 'a record of a channel that nobody asked for');
    const wrong = held.trail.record(record);
    if (wrong) this.fault(record.ch, wrong);
    this.counts.records += 1;
    this.counts.skipped += record.skipped || 0;
    if (record.snap) this.snapshot(nowMs);
    else this.delay(record, held, nowMs);
    if (this.counts.records >= COUNT_EVERY) this.count();
  }

  gap(gap) {
    const held = this.heldFor(gap.ch);
    if (!held) return this.fault(gap.ch, 'a gap in a channel that nobody asked for');
    const wrong = held.trail.gap(gap);
    if (wrong) this.fault(gap.ch, wrong);
    this.counts.gaps += gap.to - gap.from + 1;
  }

  heldFor(channel) {
    if (!this.held.has(channel) && this.hasPatterns) {
      this.held.set(channel, { trail: Trail.joined(), everyMs: 0, since: Infinity });
    }
    return this.held.get(channel);
  }

  snapshot(nowMs) {
    if (this.snapshotAwaited === null) return;
    measures.snapshotMs.add(nowMs - this.snapshotAwaited);
    this.snapshotAwaited = null;
  }

  // A rated record was held back as asked, and one from before the acknowledgement is history: neither is a delay.
  delay(record, held, nowMs) {
    const ms = nowMs - record.ts / 1000;
    this.freshestMs = ms;
    if (held.everyMs > 0 || record.ts / 1000 < held.since) return;
    this.taken += 1;
    if (this.taken % measures.SAMPLE_ONE_IN === 0) measures.delayMs.add(ms, this.tags);
  }

  // Hands the counts to k6.
  count() {
    measures.records.add(this.counts.records, this.tags);
    measures.skipped.add(this.counts.skipped, this.tags);
    measures.gapRecords.add(this.counts.gaps, this.tags);
    this.counts = { records: 0, skipped: 0, gaps: 0 };
  }

  fault(channel, what) {
    measures.unexplained.add(1, this.tags);
    console.error(`${channel}: ${what}`);
  }
}

function startOf(channel, seq, recovered, wish) {
  if (recovered) return Trail.resumed(wish.resume.seq[channel]);
  return Trail.acknowledged(seq);
}
