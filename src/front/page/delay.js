// The delay from ingest to screen: a histogram of the last half minute, in fixed room.
//
// A record counts once the frame that shows it is painted. One that a newer one replaced before a frame may count too, with the frame that
// showed the newer: never for less than it took.

/** Seconds of the window: a slot each. */
const SLOTS = 30;

/** Each bucket is 6 % longer than the one before, from a tenth of a millisecond to two minutes. */
const FIRST_MS = 0.1;
const GROWTH = 1.06;
const BUCKETS = 240;

/** Records of one frame that are counted; more of them tell nothing new. */
const FRAME_MAX = 4096;

export class Delay {
  #slots = Array.from({ length: SLOTS }, () => new Uint32Array(BUCKETS));
  #slot = 0;
  #sum = new Uint32Array(BUCKETS);
  #waiting = new Float64Array(FRAME_MAX);
  #waitingCount = 0;
  #drawn = new Float64Array(FRAME_MAX);
  #drawnCount = 0;

  /** A record came whose place is on the screen; `ts` in microseconds by the server's clock. */
  arrived(ts) {
    if (this.#waitingCount < FRAME_MAX) this.#waiting[this.#waitingCount++] = ts;
  }

  /** A frame was drawn with all that arrived. */
  drew() {
    [this.#waiting, this.#drawn] = [this.#drawn, this.#waiting];
    this.#drawnCount = this.#waitingCount;
    this.#waitingCount = 0;
  }

  /** The frame is painted, at this time by the server's clock. */
  painted(nowUs) {
    const slot = this.#slots[this.#slot];
    for (let at = 0; at < this.#drawnCount; at++) slot[bucket((nowUs - this.#drawn[at]) / 1000)]++;
    this.#drawnCount = 0;
  }

  /** Nobody looks: what waits was not delayed by this page. */
  forget() {
    this.#waitingCount = 0;
    this.#drawnCount = 0;
  }

  /** Another second begins; the oldest is forgotten. */
  tick() {
    this.#slot = (this.#slot + 1) % SLOTS;
    this.#slots[this.#slot].fill(0);
  }

  /** Milliseconds that these shares of the window's records did not exceed, or NaN. */
  quantiles(...shares) {
    this.#sum.fill(0);
    let all = 0;
    for (const slot of this.#slots) {
      for (let at = 0; at < BUCKETS; at++) {
        this.#sum[at] += slot[at];
        all += slot[at];
      }
    }
    return shares.map((share) => this.#quantile(share * all, all));
  }

  #quantile(wanted, all) {
    if (all === 0) return NaN;
    let counted = 0;
    for (let at = 0; at < BUCKETS; at++) {
      counted += this.#sum[at];
      if (counted >= wanted) return FIRST_MS * GROWTH ** at;
    }
    return FIRST_MS * GROWTH ** (BUCKETS - 1);
  }
}

/** The bucket whose upper end is the first that is not below. Clocks that differ a little may make a delay negative. */
function bucket(ms) {
  if (!(ms > FIRST_MS)) return 0;
  return Math.min(BUCKETS - 1, Math.ceil(Math.log(ms / FIRST_MS) / Math.log(GROWTH)));
}
