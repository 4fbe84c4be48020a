//! Order of one connection's channels: what is missing, what came twice, what came late.
//!
//! Pure. Must not allocate a record: the table is made with the first one (a silent connection has none).
//! Invariant: `next` of a channel only rises.

/// What the checker found so far, over all connections it was added up from.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disorder {
    /// Records that were jumped over (for `latest` channels that is conflation).
    pub(crate) missing: u64,
    /// Records equal to the one before.
    pub(crate) duplicates: u64,
    /// Records older than the one before.
    pub(crate) swapped: u64,
}

/// The checker of one connection.
pub(crate) struct OrderCheck {
    /// The sequence that would be contiguous, a channel; `None` before its first record.
    next: Vec<Option<u64>>,
    channels: usize,
    disorder: Disorder,
}

impl OrderCheck {
    /// A checker for channels `0..channels`.
    pub(crate) fn new(channels: u32) -> Self {
        Self { next: Vec::new(), channels: channels as usize, disorder: Disorder::default() }
    }

    /// Takes note of a record; false if its channel is outside the table.
    pub(crate) fn see(&mut self, channel: u32, sequence: u64) -> bool {
        if self.next.is_empty() {
            self.next.resize(self.channels, None);
        }
        let Some(next) = self.next.get_mut(channel as usize) else { return false };
        let expected = next.unwrap_or(sequence);
        if sequence >= expected {
            self.disorder.missing += sequence - expected;
            *next = Some(sequence + 1);
        } else if sequence + 1 == expected {
            self.disorder.duplicates += 1;
        } else {
            self.disorder.swapped += 1;
        }
        true
    }

    /// What was found so far.
    pub(crate) fn disorder(&self) -> Disorder {
        self.disorder
    }
}

impl std::ops::AddAssign for Disorder {
    fn add_assign(&mut self, other: Self) {
        self.missing += other.missing;
        self.duplicates += other.duplicates;
        self.swapped += other.swapped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sequences: &[u64]) -> Disorder {
        let mut order = OrderCheck::new(2);
        for sequence in sequences {
            assert!(order.see(1, *sequence));
        }
        order.disorder()
    }

    #[test]
    fn contiguous_from_any_start_is_clean() {
        assert_eq!(check(&[7, 8, 9, 10]), Disorder::default());
    }

    #[test]
    fn a_gap_counts_what_is_missing() {
        assert_eq!(check(&[0, 1, 5, 6]), Disorder { missing: 3, ..Disorder::default() });
    }

    #[test]
    fn a_duplicate_is_told_from_a_gap() {
        assert_eq!(check(&[0, 1, 1, 2]), Disorder { duplicates: 1, ..Disorder::default() });
    }

    #[test]
    fn a_swap_is_one_missing_and_one_swapped() {
        assert_eq!(check(&[0, 1, 3, 2, 4]), Disorder { missing: 1, duplicates: 0, swapped: 1 });
    }

    #[test]
    fn channels_do_not_disturb_each_other_and_strangers_are_told() {
        let mut order = OrderCheck::new(2);
        assert!(order.see(0, 4) && order.see(1, 9) && order.see(0, 5));
        assert!(!order.see(2, 0));
        assert_eq!(order.disorder(), Disorder::default());
    }
}
