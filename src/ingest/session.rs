//! Feed sequences within a session: which records of two feeds of one market are new, late, or there twice.
//!
//! Ingest thread; pure. A session lives as long as a connection holds it, and then among the idle ones until newer
//! ones push it out. Invariant: what was taken once is never taken again, and what was skipped is never taken late.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::RandomState;

use super::refusal::{Refusal, RefusalCode};
use crate::channel::ChannelId;

/// Longest name of a session, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Sessions kept that no connection holds: a feed that reconnects finds its own again.
const IDLE_MAX: usize = 64;
/// Gaps of a channel told apart; a record older than all of them counts as late.
const GAPS_MAX: usize = 16;
/// Hashes of a channel's newest records: how far the second feed may lag and still be compared.
const HASHES: u64 = 32;

/// A session as connections hold it.
pub(super) type Shared = Rc<RefCell<Session>>;

/// How far each channel has come in one session.
#[derive(Debug, Default)]
pub(super) struct Session {
    channels: HashMap<u32, Progress, RandomState>,
}

/// What a session says of a record's feed sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Newer than all before.
    New,
    /// Taken before; `agrees` is false if its payload is known to have been another one.
    Duplicate { agrees: bool },
    /// Never taken, but newer ones were.
    Late,
}

#[derive(Debug)]
struct Progress {
    generation: u32,
    /// Nothing below was taken, or it is too long ago to say.
    first: u64,
    newest: u64,
    /// Sequences above `first` that were skipped, both ends included, rising.
    gaps: Vec<(u64, u64)>,
    /// Payload hashes by sequence modulo their number.
    hashes: [u64; HASHES as usize],
}

impl Session {
    /// Judges a sequence; `channel` is `None` if the channel has no record yet.
    pub(super) fn judge(&self, channel: Option<ChannelId>, sequence: u64, hash: u64) -> Verdict {
        let progress = channel.and_then(|channel| self.progress(channel));
        progress.map_or(Verdict::New, |progress| progress.judge(sequence, hash))
    }

    /// Takes a record that was judged new and has been published. Returns how many sequences it skipped.
    pub(super) fn take(&mut self, channel: ChannelId, sequence: u64, hash: u64) -> u64 {
        let progress = self.channels.entry(channel.index).or_insert_with(|| Progress::new(channel, sequence));
        if progress.generation != channel.generation {
            *progress = Progress::new(channel, sequence);
        }
        progress.take(sequence, hash)
    }

    fn progress(&self, channel: ChannelId) -> Option<&Progress> {
        self.channels.get(&channel.index).filter(|progress| progress.generation == channel.generation)
    }
}

impl Progress {
    fn new(channel: ChannelId, first: u64) -> Self {
        let generation = channel.generation;
        Self { generation, first, newest: first, gaps: Vec::new(), hashes: [0; HASHES as usize] }
    }

    fn judge(&self, sequence: u64, hash: u64) -> Verdict {
        if sequence > self.newest {
            return Verdict::New;
        }
        let skipped = self.gaps.iter().any(|(from, to)| (*from..=*to).contains(&sequence));
        if sequence < self.first || skipped {
            return Verdict::Late;
        }
        let remembered = self.newest - sequence < HASHES;
        Verdict::Duplicate { agrees: !remembered || self.hashes[slot(sequence)] == hash }
    }

    fn take(&mut self, sequence: u64, hash: u64) -> u64 {
        let skipped = sequence.saturating_sub(self.newest).saturating_sub(1);
        if skipped > 0 {
            self.remember_gap((self.newest + 1, sequence - 1));
        }
        self.newest = sequence;
        self.hashes[slot(sequence)] = hash;
        skipped
    }

    fn remember_gap(&mut self, gap: (u64, u64)) {
        if self.gaps.len() == GAPS_MAX {
            self.first = self.gaps.remove(0).1 + 1;
        }
        self.gaps.push(gap);
    }
}

fn slot(sequence: u64) -> usize {
    (sequence % HASHES) as usize
}

/// The sessions that have names.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    named: HashMap<Box<str>, Named, RandomState>,
    opened: u64,
}

#[derive(Debug)]
struct Named {
    session: Shared,
    /// Count of openings when it was last opened: the idle one with the lowest goes first.
    opened: u64,
}

impl Sessions {
    /// The session of this name, new or as it was left.
    ///
    /// # Errors
    /// When the name is empty, too long, or not plain text.
    pub(super) fn open(&mut self, name: &str) -> Result<Shared, Refusal> {
        check_name(name)?;
        self.opened += 1;
        if let Some(named) = self.named.get_mut(name) {
            named.opened = self.opened;
            return Ok(Rc::clone(&named.session));
        }
        self.push_out_idle();
        let session = Shared::default();
        self.named.insert(name.into(), Named { session: Rc::clone(&session), opened: self.opened });
        Ok(session)
    }

    fn push_out_idle(&mut self) {
        let idle = || self.named.iter().filter(|(_, named)| Rc::strong_count(&named.session) == 1);
        if idle().count() < IDLE_MAX {
            return;
        }
        let oldest = idle().min_by_key(|(_, named)| named.opened).map(|(name, _)| name.clone());
        if let Some(name) = oldest {
            self.named.remove(&name);
        }
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let plain = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control());
    if plain && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::Malformed,
        "a session's name is 1 to 128 bytes without white space or control characters",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const CHANNEL: ChannelId = ChannelId { index: 3, generation: 0 };

    fn offer(session: &mut Session, sequence: u64, hash: u64) -> (Verdict, u64) {
        let verdict = session.judge(Some(CHANNEL), sequence, hash);
        let skipped = if verdict == Verdict::New { session.take(CHANNEL, sequence, hash) } else { 0 };
        (verdict, skipped)
    }

    #[test]
    fn two_feeds_make_one_and_their_losses_are_told_apart() {
        let mut session = Session::default();
        let same = Verdict::Duplicate { agrees: true };
        assert_eq!(offer(&mut session, 100, 1), (Verdict::New, 0));
        assert_eq!(offer(&mut session, 100, 1), (same, 0));
        assert_eq!(offer(&mut session, 100, 2), (Verdict::Duplicate { agrees: false }, 0));
        assert_eq!(offer(&mut session, 104, 5), (Verdict::New, 3));
        assert_eq!(offer(&mut session, 102, 3), (Verdict::Late, 0));
        assert_eq!(offer(&mut session, 102, 3), (Verdict::Late, 0), "a late one twice is no duplicate");
        assert_eq!(offer(&mut session, 99, 0), (Verdict::Late, 0), "before the first");
        assert_eq!(offer(&mut session, 104, 5), (same, 0));
        assert_eq!(offer(&mut session, u64::MAX, 5), (Verdict::New, u64::MAX - 105));
        assert_eq!(offer(&mut session, u64::MAX, 5), (same, 0));
    }

    #[test]
    fn a_channel_that_came_back_after_it_expired_is_another_one() {
        let mut session = Session::default();
        offer(&mut session, 100, 1);
        let reborn = ChannelId { generation: 1, ..CHANNEL };
        assert_eq!(session.judge(Some(reborn), 1, 1), Verdict::New);
        session.take(reborn, 1, 1);
        assert_eq!(session.judge(Some(reborn), 2, 1), Verdict::New);
        assert_eq!(session.judge(None, 1, 1), Verdict::New);
    }

    #[test]
    fn more_gaps_than_are_kept_make_old_records_late() {
        let mut session = Session::default();
        for sequence in (0..100).step_by(2) {
            assert_eq!(offer(&mut session, sequence, sequence).0, Verdict::New);
        }
        for sequence in (1..99).step_by(2) {
            assert_eq!(offer(&mut session, sequence, 0).0, Verdict::Late, "{sequence}");
        }
        assert_eq!(offer(&mut session, 0, 0).0, Verdict::Late, "too long ago to say");
        assert_eq!(offer(&mut session, 98, 98).0, Verdict::Duplicate { agrees: true });
    }

    proptest! {
        #[test]
        fn a_session_agrees_with_one_that_remembers_all(sequences in proptest::collection::vec(0u64..40, 1..60)) {
            let (mut session, mut taken, mut newest) = (Session::default(), HashSet::new(), None);
            for sequence in sequences {
                let (verdict, skipped) = offer(&mut session, sequence, sequence);
                if newest.is_none_or(|newest| sequence > newest) {
                    prop_assert_eq!(verdict, Verdict::New);
                    prop_assert_eq!(skipped, newest.map_or(0, |newest| sequence - newest - 1));
                    taken.insert(sequence);
                    newest = Some(sequence);
                } else if taken.contains(&sequence) {
                    prop_assert_eq!(verdict, Verdict::Duplicate { agrees: true });
                } else {
                    prop_assert_eq!(verdict, Verdict::Late);
                }
            }
        }
    }

    #[test]
    fn idle_sessions_are_bounded_and_held_ones_stay() {
        let mut sessions = Sessions::default();
        let held = sessions.open("held").unwrap();
        held.borrow_mut().take(CHANNEL, 5, 0);
        for number in 0..3 * IDLE_MAX {
            sessions.open(&format!("idle-{number}")).unwrap();
        }
        assert!(sessions.named.len() <= IDLE_MAX + 1);
        let again = sessions.open("held").unwrap();
        assert_eq!(again.borrow().judge(Some(CHANNEL), 5, 0), Verdict::Duplicate { agrees: true });
    }

    #[test]
    fn names_of_sessions_are_checked() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for bad in ["", "a b", "a\u{1b}[31m", &long] {
            assert!(Sessions::default().open(bad).is_err(), "{bad:?}");
        }
        assert!(Sessions::default().open(&long[1..]).is_ok());
    }
}
