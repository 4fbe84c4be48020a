//! How long something took, in buckets by powers of two.
//!
//! Written by one thread, read by any (Relaxed: a count guards no other memory). Recording neither allocates nor waits.
//! Invariant: a bucket never falls; its counts and the sum are each true by themselves, not of one moment.

use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets of a histogram.
pub const BUCKETS: usize = 48;

/// Counts by time taken: bucket 0 holds 0 ns, bucket `b` what is below `2^b` and not below half of that, the last one
/// all from `2^46` ns (19 hours) on.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum_ns: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Notes that `count` things took `ns` nanoseconds each. Called by one thread only.
    pub fn record(&self, ns: u64, count: u64) {
        add(&self.buckets[bucket(ns)], count);
        add(&self.sum_ns, ns.wrapping_mul(count));
    }

    /// Counts of the buckets, in order; [`Histogram::below_ns`] says what each one holds.
    #[must_use]
    pub fn buckets(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed))
    }

    /// Nanoseconds of all that was recorded together; wraps after 584 years.
    #[must_use]
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns.load(Ordering::Relaxed)
    }

    /// What a bucket holds is below so many nanoseconds. `None`: the last bucket has no bound.
    #[must_use]
    pub fn below_ns(bucket: usize) -> Option<u64> {
        (bucket + 1 < BUCKETS).then(|| 1 << bucket)
    }
}

fn bucket(ns: u64) -> usize {
    ((u64::BITS - ns.leading_zeros()) as usize).min(BUCKETS - 1)
}

// One writer: to load and store costs less than an addition that others could interrupt.
fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_one_bucket_whose_bounds_hold_it() {
        for ns in [0, 1, 2, 3, 4, 1_000, (1 << 46) - 1, 1 << 46, u64::MAX] {
            let histogram = Histogram::default();
            histogram.record(ns, 3);
            let counts = histogram.buckets();
            let found = counts.iter().position(|count| *count == 3).unwrap();
            assert_eq!(counts.iter().sum::<u64>(), 3, "{ns}");
            assert!(Histogram::below_ns(found).is_none_or(|below| ns < below), "{ns} in {found}");
            let least = found.checked_sub(1).and_then(Histogram::below_ns).unwrap_or(0);
            assert!(ns >= least, "{ns} in {found}");
        }
    }

    #[test]
    fn a_batch_counts_as_often_as_it_has_records() {
        let histogram = Histogram::default();
        histogram.record(100, 7);
        histogram.record(70, 2);
        assert_eq!((histogram.buckets()[7], histogram.sum_ns()), (9, 840));
    }
}
