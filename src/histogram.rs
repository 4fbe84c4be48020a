//! Histograms of times: counts by powers of two, so that taking one is a subtraction, a count of zeros and an addition.
//!
//! One thread writes, any thread reads; a path that cannot afford atomics counts in [`Bins`] and publishes them. Invariant: each time
//! stands in exactly one bin, that of the smallest bound that is not below it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bins: the last one holds everything above 2^46 ns, which is most of a day.
pub const BINS: usize = 48;

/// Counts in plain memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bins {
    counts: [u64; BINS],
    sum_ns: u64,
}

impl Default for Bins {
    fn default() -> Self {
        Self { counts: [0; BINS], sum_ns: 0 }
    }
}

impl Bins {
    /// Takes a time, in nanoseconds, so many times.
    pub fn add(&mut self, ns: u64, count: u64) {
        self.counts[bin_of(ns)] += count;
        self.sum_ns = self.sum_ns.wrapping_add(ns.wrapping_mul(count));
    }

    /// Times in each bin: those up to [`Bins::bound_ns`] and above the bound before.
    #[must_use]
    pub fn counts(&self) -> &[u64; BINS] {
        &self.counts
    }

    /// Upper bound of a bin, inclusive; `None`: the last one has none.
    #[must_use]
    pub fn bound_ns(bin: usize) -> Option<u64> {
        (bin + 1 < BINS).then(|| 1 << bin)
    }

    /// All times, summed, in nanoseconds.
    #[must_use]
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// How many times there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Up to 1 ns is bin 0, up to 2 bin 1, up to 4 bin 2, and so on.
fn bin_of(ns: u64) -> usize {
    let bits = u64::BITS - ns.saturating_sub(1).leading_zeros();
    (bits as usize).min(BINS - 1)
}

/// Counts that other threads read.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU64; BINS],
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BINS], sum_ns: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Takes a time, in nanoseconds, so many times. One thread only.
    pub fn record(&self, ns: u64, count: u64) {
        let add = |to: &AtomicU64, more: u64| {
            // ORDERING: Relaxed: counts guard no other memory; one writer, so a load and a store do.
            to.store(to.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        };
        add(&self.counts[bin_of(ns)], count);
        add(&self.sum_ns, ns.wrapping_mul(count));
    }

    /// Publishes what was counted elsewhere, all of it since the start. One thread only.
    pub fn publish(&self, bins: &Bins) {
        for (to, count) in self.counts.iter().zip(bins.counts) {
            // ORDERING: Relaxed: counts guard no other memory.
            to.store(count, Ordering::Relaxed);
        }
        self.sum_ns.store(bins.sum_ns, Ordering::Relaxed);
    }

    /// The counts as of now, each by itself: a sum may be ahead of its counts by what is just being taken.
    #[must_use]
    pub fn snapshot(&self) -> Bins {
        // ORDERING: Relaxed: counts guard no other memory.
        let counts = std::array::from_fn(|bin| self.counts[bin].load(Ordering::Relaxed));
        Bins { counts, sum_ns: self.sum_ns.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_stands_below_the_smallest_bound_that_holds_it() {
        for bin in 1..BINS - 1 {
            let bound = Bins::bound_ns(bin).unwrap();
            assert_eq!((bin_of(bound), bin_of(bound + 1)), (bin, bin + 1));
        }
        assert_eq!((bin_of(0), bin_of(1), bin_of(2), bin_of(u64::MAX)), (0, 0, 1, BINS - 1));
        assert_eq!(Bins::bound_ns(BINS - 1), None);
    }

    #[test]
    fn what_is_recorded_and_what_is_published_are_read_alike() {
        let (one, other, mut bins) = (Histogram::default(), Histogram::default(), Bins::default());
        for (ns, count) in [(0, 1), (700, 3), (1 << 20, 2), (u64::MAX >> 8, 1)] {
            one.record(ns, count);
            bins.add(ns, count);
        }
        other.publish(&bins);
        assert_eq!((one.snapshot(), other.snapshot()), (bins.clone(), bins.clone()));
        assert_eq!(bins.count(), 7);
        assert_eq!(bins.sum_ns(), 3 * 700 + 2 * (1 << 20) + (u64::MAX >> 8));
    }
}
