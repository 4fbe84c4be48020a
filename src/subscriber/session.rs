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

/// A token bucket; counts thousandths of a message, so that a millisecond is worth a whole number.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: u32,
    at_ms: u64,
}

/// One subscriber's conversation.
pub struct Session {
    /// Who reads and answers its messages.
    pub dialect: &'static dyn Dialect,
    /// Its frames, as far as they came.
    pub decoder: Decoder,
    bucket: Bucket,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("dialect", &self.dialect.name()).finish_non_exhaustive()
    }
}

impl Session {
    /// A conversation that begins now, with a full bucket.
    #[must_use]
    pub fn new(dialect: &'static dyn Dialect, rate: Rate, now_ms: u64) -> Self {
        let bucket = Bucket { level: rate.burst.saturating_mul(1000), at_ms: now_ms };
        Self { dialect, decoder: Decoder::default(), bucket }
    }

    /// Takes one message from the bucket; false: it came faster than the rate allows.
    pub fn admit(&mut self, rate: Rate, now_ms: u64) -> bool {
        let since = u32::try_from(now_ms.saturating_sub(self.bucket.at_ms)).unwrap_or(u32::MAX);
        let full = rate.burst.saturating_mul(1000);
        self.bucket.level = self.bucket.level.saturating_add(since.saturating_mul(rate.per_second)).min(full);
        self.bucket.at_ms = now_ms;
        let left = self.bucket.level.checked_sub(1000);
        self.bucket.level = left.unwrap_or(self.bucket.level);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let rate = Rate { per_second: 5, burst: 50 };
        let mut session = Session::new(crate::dialect::ALL[0], rate, 0);
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
