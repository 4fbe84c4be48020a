//! The law of sequences: one channel as one connection sees it.
//!
//! Pure. Must not know payloads. Invariant: what was taken is explained without a hole from the trail's start to `last`, so
//! a step that is refused is a violation of the protocol and of nothing else.

use super::record::Record;
use std::fmt;
use std::ops::RangeInclusive;

/// Where a trail may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// With a snapshot of this sequence or a later one: the acknowledgement named it.
    Snapshot(u64),
    /// With a snapshot, or with what follows sequence 0.
    Any,
    Begun,
}

/// How far one subscriber was brought in one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trail {
    start: Start,
    last: u64,
}

/// A step that the protocol does not explain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    NoSnapshot,
    SnapshotTooOld { acknowledged: u64 },
    SecondSnapshot,
    SnapshotThatSkips,
    Again { last: u64 },
    Unexplained { last: u64, skipped: u64 },
    MergedNothing,
    GapFrom { last: u64, from: u64 },
    GapBackwards { to: u64 },
    GapReason(String),
}

impl Trail {
    /// After an acknowledgement that named the channel's latest sequence; 0 where it has none.
    pub(crate) fn acknowledged(sequence: u64) -> Self {
        let start = if sequence == 0 { Start::Any } else { Start::Snapshot(sequence) };
        Self { start, last: 0 }
    }

    /// A channel that a pattern joined.
    pub(crate) fn joined() -> Self {
        Self { start: Start::Any, last: 0 }
    }

    /// After an acknowledgement that the records behind `last` follow.
    pub(crate) fn resumed(last: u64) -> Self {
        Self { start: Start::Begun, last }
    }

    /// The newest sequence that came or was explained; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Takes a record; the sequences that it stands for. After a fault the trail goes on behind the record.
    pub(crate) fn record(&mut self, record: &Record<'_>) -> Result<RangeInclusive<u64>, Fault> {
        let before = self.clone();
        self.start = Start::Begun;
        self.last = self.last.max(record.sequence);
        if record.is_snapshot { before.snapshot(record) } else { before.step(record) }
    }

    fn snapshot(&self, record: &Record<'_>) -> Result<RangeInclusive<u64>, Fault> {
        match self.start {
            Start::Begun => Err(Fault::SecondSnapshot),
            _ if record.skipped > 0 || record.is_merged => Err(Fault::SnapshotThatSkips),
            Start::Snapshot(acknowledged) if record.sequence < acknowledged => {
                Err(Fault::SnapshotTooOld { acknowledged })
            }
            Start::Snapshot(_) | Start::Any => Ok(record.sequence..=record.sequence),
        }
    }

    fn step(&self, record: &Record<'_>) -> Result<RangeInclusive<u64>, Fault> {
        if matches!(self.start, Start::Snapshot(_)) {
            return Err(Fault::NoSnapshot);
        }
        if record.sequence <= self.last {
            return Err(Fault::Again { last: self.last });
        }
        if record.sequence - self.last != record.skipped.saturating_add(1) {
            return Err(Fault::Unexplained { last: self.last, skipped: record.skipped });
        }
        if record.is_merged && record.skipped == 0 {
            return Err(Fault::MergedNothing);
        }
        Ok(self.last + 1..=record.sequence)
    }

    /// Takes a gap; how many records it stands for.
    pub(crate) fn gap(&mut self, from: u64, to: u64, reason: &str) -> Result<u64, Fault> {
        let before = self.clone();
        self.start = Start::Begun;
        self.last = self.last.max(to);
        match before.start {
            // The checker's feed has no sequences of its own, and no channel of it expires.
            _ if !matches!(reason, "slow" | "lapped") => Err(Fault::GapReason(reason.to_owned())),
            Start::Snapshot(_) => Err(Fault::NoSnapshot),
            _ if from != before.last + 1 => Err(Fault::GapFrom { last: before.last, from }),
            _ if to < from => Err(Fault::GapBackwards { to }),
            _ => Ok(to - from + 1),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSnapshot => write!(out, "no snapshot came first"),
            Self::SnapshotTooOld { acknowledged } => {
                write!(out, "a snapshot older than {acknowledged}, which was acknowledged")
            }
            Self::SecondSnapshot => write!(out, "a snapshot behind the first record"),
            Self::SnapshotThatSkips => write!(out, "a snapshot says that it skips"),
            Self::Again { last } => write!(out, "comes behind {last}"),
            Self::Unexplained { last, skipped } => {
                write!(out, "comes behind {last} and says {skipped} skipped")
            }
            Self::MergedNothing => write!(out, "merged, but of one record"),
            Self::GapFrom { last, from } => write!(out, "a gap from {from} behind {last}"),
            Self::GapBackwards { to } => write!(out, "a gap that ends at {to}, before it begins"),
            Self::GapReason(reason) => write!(out, "a gap for the reason {reason:?}, which cannot be"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64, skipped: u64) -> Record<'static> {
        Record { channel: "a@b", sequence, is_snapshot: false, skipped, is_merged: false, payload: b"1" }
    }

    fn snapshot(sequence: u64) -> Record<'static> {
        Record { is_snapshot: true, ..record(sequence, 0) }
    }

    #[test]
    fn every_explained_step_is_taken() {
        let mut trail = Trail::acknowledged(5);
        assert_eq!(trail.record(&snapshot(6)), Ok(6..=6));
        assert_eq!(trail.record(&record(7, 0)), Ok(7..=7));
        assert_eq!(trail.record(&record(10, 2)), Ok(8..=10));
        assert_eq!(trail.gap(11, 20, "slow"), Ok(10));
        assert_eq!(trail.record(&Record { is_merged: true, ..record(23, 2) }), Ok(21..=23));
        assert_eq!(trail.last(), 23);
        assert_eq!(Trail::acknowledged(0).record(&record(3, 2)), Ok(1..=3));
        assert_eq!(Trail::joined().record(&record(1, 0)), Ok(1..=1));
        assert_eq!(Trail::resumed(8).record(&record(9, 0)), Ok(9..=9));
    }

    /// The faults that a server may make, planted one by one.
    #[test]
    fn every_unexplained_step_is_a_fault() {
        let begun = || Trail::resumed(5);
        assert_eq!(begun().record(&record(7, 0)), Err(Fault::Unexplained { last: 5, skipped: 0 }));
        assert_eq!(begun().record(&record(7, 2)), Err(Fault::Unexplained { last: 5, skipped: 2 }));
        assert_eq!(
            begun().record(&record(7, u64::MAX)),
            Err(Fault::Unexplained { last: 5, skipped: u64::MAX })
        );
        assert_eq!(begun().record(&record(5, 0)), Err(Fault::Again { last: 5 }));
        assert_eq!(begun().record(&record(4, 0)), Err(Fault::Again { last: 5 }));
        assert_eq!(begun().record(&snapshot(6)), Err(Fault::SecondSnapshot));
        assert_eq!(begun().record(&Record { is_merged: true, ..record(6, 0) }), Err(Fault::MergedNothing));
        assert_eq!(begun().gap(7, 9, "slow"), Err(Fault::GapFrom { last: 5, from: 7 }));
        assert_eq!(begun().gap(5, 9, "slow"), Err(Fault::GapFrom { last: 5, from: 5 }));
        assert_eq!(begun().gap(6, 5, "lapped"), Err(Fault::GapBackwards { to: 5 }));
        assert_eq!(begun().gap(6, 6, "feed"), Err(Fault::GapReason("feed".to_owned())));
        let acknowledged = || Trail::acknowledged(5);
        assert_eq!(acknowledged().record(&record(6, 0)), Err(Fault::NoSnapshot));
        assert_eq!(acknowledged().record(&snapshot(4)), Err(Fault::SnapshotTooOld { acknowledged: 5 }));
        assert_eq!(acknowledged().gap(1, 5, "slow"), Err(Fault::NoSnapshot));
        assert_eq!(Trail::joined().record(&record(2, 0)), Err(Fault::Unexplained { last: 0, skipped: 0 }));
        let skipping = Record { skipped: 1, ..snapshot(9) };
        assert_eq!(acknowledged().record(&skipping), Err(Fault::SnapshotThatSkips));
    }

    #[test]
    fn a_fault_is_told_once() {
        let mut trail = Trail::resumed(5);
        assert!(trail.record(&record(9, 0)).is_err());
        assert_eq!(trail.record(&record(10, 0)), Ok(10..=10));
    }
}
