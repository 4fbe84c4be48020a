// What a client of clients/js told, and whether of each channel every sequence came once or is explained.
//
// It asks nothing of the client but its callbacks. Invariant: a hole, or something that came twice, is never forgotten.

import assert from "node:assert/strict";

export class Told {
  constructor(client) {
    Object.assign(this, { records: [], gaps: [], errors: [], states: [], statuses: [], ends: [] });
    this.next = new Map();
    client.on("gap", (gap) => this.gaps.push(gap) && gap.reason !== "feed" && this.follow(gap.channel, gap.from, gap.to));
    for (const [event, list] of [["error", "errors"], ["state", "states"], ["status", "statuses"], ["end", "ends"]]) {
      client.on(event, (told) => this[list].push(told));
    }
  }

  take = (record) => {
    this.records.push(record);
    if (record.snapshot) this.next.delete(record.channel);
    this.follow(record.channel, record.seq - record.skipped, record.seq);
  };

  /** A hole or something twice is noticed here; after a restart all begins anew. */
  follow(channel, from, to) {
    const next = this.next.get(channel) ?? from;
    if (from !== next) this.broken ??= `${channel}: ${from} instead of ${next}`;
    this.next.set(channel, to === Infinity ? undefined : to + 1);
  }

  /** All that was fed of a channel was given or explained. */
  isAt(channel, seq) {
    assert.equal(this.broken, undefined);
    return this.next.get(channel) === seq + 1;
  }

  seqs(channel) {
    return this.records.filter((record) => record.channel === channel).map(({ seq }) => seq);
  }
}

/** Records of one channel, one behind the other. */
export function publish(feed, channel, count) {
  for (let number = 0; number < count; number++) feed.publish(channel, { number });
}
