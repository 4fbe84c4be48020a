//! Feed sequences within a session: which records of two feeds of one market are new, late, or there twice.
//!
//! Ingest thread; pure. A session lives as long as a connection holds it, and then among the idle ones until newer
//! ones push it out. Invariant: what was taken once is never taken again, and what was skipped is never taken late.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::RandomState;

use super::presence::FeedId;
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
    /// Newer than all before; `gap`, if it skips some.
    New { gap: Option<Gap> },
    /// Taken before, with this payload as far as is known.
    Duplicate,
    /// Taken before with another payload; `first` is the feed that it was taken from, if that is known.
    Disagrees { first: Option<FeedId> },
    /// Never taken, but newer ones were.
    Late,
}

/// Sequences of a feed that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// First.
    pub(super) from: u64,
    /// Last.
    pub(super) to: u64,
}

impl Gap {
    /// How many they are.
    pub(super) fn records(self) -> u64 {
        self.to - self.from + 1
    }
}

#[derive(Debug)]
struct Progress {
    generation: u32,
    /// Nothing below was taken, or it is too long ago to say.
    first: u64,
    newest: u64,
    /// The feed that all from the sequence `held_from` to the newest was taken from.
    holder: FeedId,
    held_from: u64,
    /// Sequences above `first` that were skipped, rising.
    gaps: Vec<Gap>,
    /// Payload hashes by sequence modulo their number.
    hashes: [u64; HASHES as usize],
}

impl Session {
    /// Judges a sequence; `channel` is `None` if the channel has no record yet.
    pub(super) fn judge(&self, channel: Option<ChannelId>, sequence: u64, hash: u64) -> Verdict {
        let progress = channel.and_then(|channel| self.progress(channel));
        progress.map_or(Verdict::New { gap: None }, |progress| progress.judge(sequence, hash))
    }

    /// Takes a record that was judged new and has been published.
    pub(super) fn take(&mut self, channel: ChannelId, sequence: u64, hash: u64, feed: FeedId) {
        let progress = self.channels.entry(channel.index).or_insert_with(|| Progress::new(channel, sequence));
        if progress.generation != channel.generation {
            *progress = Progress::new(channel, sequence);
        }
        progress.take(sequence, hash, feed);
    }

    fn progress(&self, channel: ChannelId) -> Option<&Progress> {
        self.channels.get(&channel.index).filter(|progress| progress.generation == channel.generation)
    }
}

impl Progress {
    fn new(channel: ChannelId, first: u64) -> Self {
        Self {
            generation: channel.generation,
            first,
            newest: first,
            holder: FeedId::NONE,
            held_from: first,
            gaps: Vec::new(),
            hashes: [0; HASHES as usize],
        }
    }

    fn judge(&self, sequence: u64, hash: u64) -> Verdict {
        if sequence > self.newest {
            return Verdict::New { gap: self.gap_before(sequence) };
        }
        let skipped = self.gaps.iter().any(|gap| (gap.from..=gap.to).contains(&sequence));
        if sequence < self.first || skipped {
            return Verdict::Late;
        }
        let remembered = self.newest - sequence < HASHES;
        if !remembered || self.hashes[slot(sequence)] == hash {
            return Verdict::Duplicate;
        }
        Verdict::Disagrees { first: (sequence >= self.held_from).then_some(self.holder) }
    }

    fn gap_before(&self, sequence: u64) -> Option<Gap> {
        let (from, to) = (self.newest.checked_add(1)?, sequence.checked_sub(1)?);
        (from <= to).then_some(Gap { from, to })
    }

    fn take(&mut self, sequence: u64, hash: u64, feed: FeedId) {
        if let Some(gap) = self.gap_before(sequence) {
            self.remember(gap);
        }
        if self.holder != feed {
            (self.holder, self.held_from) = (feed, sequence);
        }
        self.newest = sequence;
        self.hashes[slot(sequence)] = hash;
    }

    fn remember(&mut self, gap: Gap) {
        if self.gaps.len() == GAPS_MAX {
            self.first = self.gaps.remove(0).to + 1;
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

    /// Many may have become idle at once: all that are too many go.
    fn push_out_idle(&mut self) {
        let is_idle = |named: &Named| Rc::strong_count(&named.session) == 1;
        let mut idle: Vec<_> =
            self.named.values().filter(|named| is_idle(named)).map(|named| named.opened).collect();
        if idle.len() < IDLE_MAX {
            return;
        }
        idle.sort_unstable();
        let newest_out = idle[idle.len() - IDLE_MAX];
        self.named.retain(|_, named| !is_idle(named) || named.opened > newest_out);
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

    const FEED: FeedId = FeedId::POST;
    const NEW: Verdict = Verdict::New { gap: None };

    fn offer(session: &mut Session, sequence: u64, hash: u64) -> Verdict {
        let verdict = session.judge(Some(CHANNEL), sequence, hash);
        if matches!(verdict, Verdict::New { .. }) {
            session.take(CHANNEL, sequence, hash, FEED);
        }
        verdict
    }

    fn new_behind(from: u64, to: u64) -> Verdict {
        Verdict::New { gap: Some(Gap { from, to }) }
    }

    #[test]
    fn two_feeds_make_one_and_their_losses_are_told_apart() {
        let mut session = Session::default();
        assert_eq!(offer(&mut session, 100, 1), NEW);
        assert_eq!(offer(&mut session, 100, 1), Verdict::Duplicate);
        assert_eq!(offer(&mut session, 100, 2), Verdict::Disagrees { first: Some(FEED) });
        assert_eq!(offer(&mut session, 104, 5), new_behind(101, 103));
        assert_eq!(offer(&mut session, 102, 3), Verdict::Late);
        assert_eq!(offer(&mut session, 102, 3), Verdict::Late, "a late one twice is no duplicate");
        assert_eq!(offer(&mut session, 99, 0), Verdict::Late, "before the first");
        assert_eq!(offer(&mut session, 104, 5), Verdict::Duplicate);
        assert_eq!(offer(&mut session, 105, 6), NEW);
        assert_eq!(offer(&mut session, u64::MAX, 5), new_behind(106, u64::MAX - 1));
        assert_eq!(offer(&mut session, u64::MAX, 5), Verdict::Duplicate);
    }

    #[test]
    fn the_whole_range_of_numbers_may_be_one_gap() {
        let mut session = Session::default();
        assert_eq!(offer(&mut session, 0, 1), NEW);
        assert_eq!(offer(&mut session, u64::MAX, 2), new_behind(1, u64::MAX - 1));
        assert_eq!(Gap { from: 1, to: u64::MAX - 1 }.records(), u64::MAX - 1);
        assert_eq!(offer(&mut session, 0, 1), Verdict::Duplicate);
    }

    #[test]
    fn a_disagreement_names_the_feed_that_was_first_where_it_is_known() {
        let (mut session, other) = (Session::default(), FeedId::default());
        for (sequence, feed) in [(1, FEED), (2, FEED), (3, other), (4, other), (5, FEED)] {
            session.take(CHANNEL, sequence, sequence, feed);
        }
        assert_eq!(offer(&mut session, 5, 0), Verdict::Disagrees { first: Some(FEED) });
        assert_eq!(offer(&mut session, 4, 0), Verdict::Disagrees { first: None });
    }

    #[test]
    fn a_channel_that_came_back_after_it_expired_is_another_one() {
        let mut session = Session::default();
        offer(&mut session, 100, 1);
        let reborn = ChannelId { generation: 1, ..CHANNEL };
        assert_eq!(session.judge(Some(reborn), 1, 1), NEW);
        session.take(reborn, 1, 1, FEED);
        assert_eq!(session.judge(Some(reborn), 2, 1), NEW);
        assert_eq!(session.judge(None, 1, 1), NEW);
    }

    #[test]
    fn more_gaps_than_are_kept_make_old_records_late() {
        let mut session = Session::default();
        for sequence in (0..100).step_by(2) {
            assert!(matches!(offer(&mut session, sequence, sequence), Verdict::New { .. }));
        }
        for sequence in (1..99).step_by(2) {
            assert_eq!(offer(&mut session, sequence, 0), Verdict::Late, "{sequence}");
        }
        assert_eq!(offer(&mut session, 0, 0), Verdict::Late, "too long ago to say");
        assert_eq!(offer(&mut session, 98, 98), Verdict::Duplicate);
    }

    proptest! {
        #[test]
        fn a_session_agrees_with_one_that_remembers_all(sequences in proptest::collection::vec(0u64..40, 1..60)) {
            let (mut session, mut taken, mut newest) = (Session::default(), HashSet::new(), None);
            for sequence in sequences {
                let verdict = offer(&mut session, sequence, sequence);
                if newest.is_none_or(|newest| sequence > newest) {
                    let skips = newest.filter(|newest| sequence - newest > 1);
                    let gap = skips.map(|newest| Gap { from: newest + 1, to: sequence - 1 });
                    prop_assert_eq!(verdict, Verdict::New { gap });
                    taken.insert(sequence);
                    newest = Some(sequence);
                } else if taken.contains(&sequence) {
                    prop_assert_eq!(verdict, Verdict::Duplicate);
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
        held.borrow_mut().take(CHANNEL, 5, 0, FEED);
        for number in 0..3 * IDLE_MAX {
            sessions.open(&format!("idle-{number}")).unwrap();
        }
        assert!(sessions.named.len() <= IDLE_MAX + 1);
        let many: Vec<_> =
            (0..3 * IDLE_MAX).map(|number| sessions.open(&format!("many-{number}")).unwrap()).collect();
        drop(many);
        sessions.open("another").unwrap();
        assert!(sessions.named.len() <= IDLE_MAX + 1, "many that were left at once");
        let again = sessions.open("held").unwrap();
        assert_eq!(again.borrow().judge(Some(CHANNEL), 5, 0), Verdict::Duplicate);
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
