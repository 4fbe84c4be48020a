//! What a subscriber's conversation keeps between two messages.
//!
//! Pure: time is an argument. Owned by the shard's thread. Invariant: no message is read past the limit of the bucket.

use super::frame::Decoder;
use crate::dialect::Dialect;

/// Messages a client may send: an average rate and a burst.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Messages a second.
    pub per_second: u32,
    /// Messages at once.
    pub burst: u32,
}

/// One subscriber's conversation.
pub struct Session {
    /// Who reads and answers its messages.
    pub dialect: &'static dyn Dialect,
    /// Its frames, as far as they came.
    pub decoder: Decoder,
    /// Its token bucket, as the time at which that is full again. The clock counts thousandths of a message at the average rate, so
    /// that a millisecond is worth a whole number.
    full_at: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("dialect", &self.dialect.name()).finish_non_exhaustive()
    }
}

impl Session {
    /// A conversation that begins, with a full bucket.
    #[must_use]
    pub fn new(dialect: &'static dyn Dialect) -> Self {
        Self { dialect, decoder: Decoder::default(), full_at: 0 }
    }

    /// Takes one message from the bucket; false: it came faster than the rate, which is always the same, allows.
    pub fn admit(&mut self, rate: Rate, now_ms: u64) -> bool {
        let now = now_ms.saturating_mul(u64::from(rate.per_second));
        let taken = self.full_at.saturating_sub(now) + 1000;
        let has_room = taken <= u64::from(rate.burst) * 1000;
        if has_room {
            self.full_at = now.saturating_add(taken);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let rate = Rate { per_second: 5, burst: 50 };
        let mut session = Session::new(crate::dialect::ALL[0]);
        assert_eq!((0..60).filter(|_| session.admit(rate, 0)).count(), 50);
        assert!(!session.admit(rate, 199));
        assert!(session.admit(rate, 200));
        assert!(!session.admit(rate, 399));
        assert_eq!(
            (0..100).filter(|_| session.admit(rate, 3_600_000)).count(),
            50,
            "the bucket has its bound"
        );
    }
}
