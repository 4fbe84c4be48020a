//! What waits for one subscriber off the fast path: the rest of a torn frame, control frames, marks, a queue of positions.
//!
//! Pure: no socket, no ring, no clock; the shard reads records and sends. Owned by the shard's thread.
//! Invariant: no record's bytes wait here, except the rest of the one frame that was torn; a channel has at most one mark.

mod stretch;

pub use stretch::{STOP_EVERY, Stop, Stretch};

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use crate::channel::ChannelId;

/// A channel in the shard's numbering.
pub type Slot = u32;

/// A channel whose newest record is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The channel.
    pub slot: Slot,
    /// Last sequence that the subscriber was sent: what lies between is skipped.
    pub base: u64,
    /// It is the answer to a subscription: nothing was sent before it.
    pub snapshot: bool,
}

/// A record that waits where it is, in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its position in the ring.
    pub position: u64,
    /// The channel.
    pub slot: Slot,
    /// Bytes of its frame.
    pub bytes: u32,
}

/// The next thing to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// The newest record of a channel.
    Mark(Mark),
    /// This record.
    Queued(Queued),
}

/// The queue outgrew its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// How a record that arrived was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It waits.
    Waits,
    /// It took the place of an older one of its channel.
    Conflated,
}

/// What waits for one subscriber.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Rest of a record's frame that the kernel took the beginning of; the record waits until the last byte is taken.
    torn: Vec<u8>,
    /// Control frames and answers, ahead of data; the first one's beginning may have been taken.
    control: Vec<u8>,
    /// The kernel took less than offered; nothing is offered before the socket is writable again.
    pub blocked: bool,
    /// In the order in which they were set; each stands in `bases`.
    marks: VecDeque<Slot>,
    bases: HashMap<Slot, Mark, RandomState>,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// Missed records of channels that are being resumed, ahead of everything newer.
    resumes: VecDeque<Stretch>,
    /// What was read past the shard's cursor: records up to there come no more.
    after: HashMap<Slot, After, RandomState>,
}

/// How far a slot was read past the cursor. Another channel of the same name is numbered anew, so this says nothing of it.
#[derive(Clone, Copy, Debug)]
struct After {
    channel: ChannelId,
    sequence: u64,
}

impl Outbox {
    /// Records that wait.
    #[must_use]
    pub fn pending(&self) -> u64 {
        (self.marks.len() + self.queue.len()) as u64 + u64::from(!self.torn.is_empty())
    }

    /// Bytes that the queued records stand for.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Keeps the rest of a record's frame that was cut.
    pub fn tear(&mut self, rest: &[u8]) {
        debug_assert!(self.torn.is_empty(), "a second frame was begun before the first was finished");
        self.torn.extend_from_slice(rest);
    }

    /// The rest of the torn frame.
    #[must_use]
    pub fn torn(&self) -> &[u8] {
        &self.torn
    }

    /// The kernel took this much of the torn frame's rest; true: its record is delivered.
    pub fn torn_taken(&mut self, bytes: usize) -> bool {
        self.torn.drain(..bytes);
        self.torn.is_empty()
    }

    /// Control frames and answers that wait.
    #[must_use]
    pub fn control(&self) -> &[u8] {
        &self.control
    }

    /// Appends a control frame or an answer. The caller stops reading the client while much of it waits.
    pub fn push_control(&mut self, frame: &[u8]) {
        self.control.extend_from_slice(frame);
    }

    /// The kernel took this much of the control frames. The rest is finished before anything else.
    pub fn control_taken(&mut self, bytes: usize) {
        self.control.drain(..bytes);
    }

    /// A record of a `latest` channel arrived; `base` is the sequence before it.
    pub fn mark(&mut self, slot: Slot, base: u64, snapshot: bool) -> Taken {
        if self.bases.contains_key(&slot) {
            return Taken::Conflated;
        }
        self.bases.insert(slot, Mark { slot, base, snapshot });
        self.marks.push_back(slot);
        Taken::Waits
    }

    /// A record of an `every` channel arrived.
    ///
    /// # Errors
    /// When the queued records stand for more than `bytes_max`; the record is not queued.
    pub fn enqueue(&mut self, queued: Queued, bytes_max: usize) -> Result<(), Overflow> {
        let bytes = self.queued_bytes + queued.bytes as usize;
        if bytes > bytes_max {
            return Err(Overflow);
        }
        self.queued_bytes = bytes;
        self.queue.push_back(queued);
        Ok(())
    }

    /// Records that are to be sent again to a subscriber that came back; what is newer of their channel waits behind them.
    pub fn resume(&mut self, missed: Stretch) {
        self.resumes.push_back(missed);
    }

    /// What is to be sent, the `place`-th from now; marks go first, so that a full queue does not starve them.
    #[must_use]
    pub fn item(&self, place: usize) -> Option<Item> {
        match self.marks.get(place) {
            Some(slot) => self.bases.get(slot).copied().map(Item::Mark),
            None => self.queue.get(place - self.marks.len()).copied().map(Item::Queued),
        }
    }

    /// The next item was sent, or is not to be sent.
    pub fn pop(&mut self) {
        if let Some(slot) = self.marks.pop_front() {
            self.bases.remove(&slot);
        } else if let Some(queued) = self.queue.pop_front() {
            self.queued_bytes -= queued.bytes as usize;
        }
    }

    /// What waits of a slot waits as another one's: the same channel at another rate.
    pub fn rename(&mut self, from: Slot, to: Slot) {
        self.marks.iter_mut().filter(|slot| **slot == from).for_each(|slot| *slot = to);
        self.queue.iter_mut().filter(|queued| queued.slot == from).for_each(|queued| queued.slot = to);
        if let Some(mark) = self.bases.remove(&from) {
            self.bases.insert(to, Mark { slot: to, ..mark });
        }
        if let Some(after) = self.after.remove(&from) {
            self.after.insert(to, after);
        }
    }

    /// Takes away what waits of a channel; how many records that was.
    pub fn withdraw(&mut self, slot: Slot) -> u64 {
        let before = self.marks.len() + self.queue.len();
        self.marks.retain(|&marked| marked != slot);
        self.bases.remove(&slot);
        self.queue.retain(|queued| queued.slot != slot);
        self.queued_bytes = self.queue.iter().map(|queued| queued.bytes as usize).sum();
        self.after.remove(&slot);
        (before - self.marks.len() - self.queue.len()) as u64
    }

    /// Takes away everything but torn and control bytes; how many records that was.
    pub fn withdraw_all(&mut self) -> u64 {
        let gone = self.marks.len() + self.queue.len();
        self.marks.clear();
        self.bases.clear();
        self.queue.clear();
        self.queued_bytes = 0;
        self.after.clear();
        gone as u64
    }

    /// The subscriber was sent a record ahead of the shard's cursor: those up to it come no more.
    pub fn set_after(&mut self, slot: Slot, channel: ChannelId, sequence: u64) {
        self.after.insert(slot, After { channel, sequence });
    }

    /// The last sequence of the channel that was read past the cursor; 0: none was.
    #[must_use]
    pub fn after(&self, slot: Slot, channel: ChannelId) -> u64 {
        if self.after.is_empty() {
            return 0;
        }
        self.after.get(&slot).filter(|after| after.channel == channel).map_or(0, |after| after.sequence)
    }

    /// Forgets those slots whose channel the cursor has come up with, or that have another channel or none by now. `seen`:
    /// a slot's channel, and where the cursor stands in it.
    pub fn settle(&mut self, seen: impl Fn(Slot) -> Option<(ChannelId, u64)>) {
        self.after.retain(|&slot, after| {
            seen(slot).is_some_and(|(channel, seen)| channel == after.channel && seen < after.sequence)
        });
    }

    /// Whether some channel still waits for the cursor.
    #[must_use]
    pub fn is_joining(&self) -> bool {
        !self.after.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIRST: ChannelId = ChannelId { index: 0, generation: 0 };

    #[derive(Clone, Debug)]
    enum Step {
        Latest(Slot),
        Every(Slot, u32),
        Pop,
        Withdraw(Slot),
        WithdrawAll,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0_u32..4).prop_map(Step::Latest),
            4 => (4_u32..8, 1_u32..200).prop_map(|(slot, bytes)| Step::Every(slot, bytes)),
            3 => Just(Step::Pop),
            1 => (0_u32..8).prop_map(Step::Withdraw),
            1 => Just(Step::WithdrawAll),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        /// Against two plain lists: nothing lost, nothing twice, one mark a channel, the bound held.
        #[test]
        fn it_holds_what_two_lists_hold(steps in steps()) {
            const BYTES_MAX: usize = 1000;
            let mut outbox = Outbox::default();
            let (mut marks, mut queue): (Vec<Slot>, Vec<Queued>) = (Vec::new(), Vec::new());
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Latest(slot) => {
                        let taken = outbox.mark(slot, number as u64, false);
                        prop_assert_eq!(taken == Taken::Conflated, marks.contains(&slot));
                        if taken == Taken::Waits { marks.push(slot); }
                    }
                    Step::Every(slot, bytes) => {
                        let queued = Queued { position: number as u64, slot, bytes };
                        let fits = queue.iter().map(|q| q.bytes).sum::<u32>() + bytes <= BYTES_MAX as u32;
                        prop_assert_eq!(outbox.enqueue(queued, BYTES_MAX).is_ok(), fits);
                        if fits { queue.push(queued); }
                    }
                    Step::Pop => {
                        let expected = match marks.first() {
                            Some(&slot) => Some(slot),
                            None => queue.first().map(|queued| queued.slot),
                        };
                        let item = outbox.item(0).map(|item| match item {
                            Item::Mark(mark) => mark.slot,
                            Item::Queued(queued) => queued.slot,
                        });
                        prop_assert_eq!(item, expected);
                        outbox.pop();
                        if !marks.is_empty() { marks.remove(0); } else if !queue.is_empty() { queue.remove(0); }
                    }
                    Step::Withdraw(slot) => {
                        let before = marks.len() + queue.len();
                        marks.retain(|marked| *marked != slot);
                        queue.retain(|queued| queued.slot != slot);
                        prop_assert_eq!(outbox.withdraw(slot) as usize, before - marks.len() - queue.len());
                    }
                    Step::WithdrawAll => {
                        prop_assert_eq!(outbox.withdraw_all() as usize, marks.len() + queue.len());
                        marks.clear();
                        queue.clear();
                    }
                }
                prop_assert_eq!(outbox.pending() as usize, marks.len() + queue.len());
                prop_assert_eq!(outbox.queued_bytes(), queue.iter().map(|q| q.bytes as usize).sum::<usize>());
                prop_assert_eq!(outbox.item(marks.len() + queue.len()), None);
            }
        }
    }

    /// Nothing waits and nothing is to be joined.
    fn is_done(outbox: &Outbox) -> bool {
        outbox.pending() == 0 && outbox.control.is_empty() && outbox.after.is_empty()
    }

    #[test]
    fn a_torn_record_waits_until_its_last_byte() {
        let mut outbox = Outbox::default();
        outbox.tear(b"rest");
        assert_eq!(outbox.pending(), 1);
        assert!(!outbox.torn_taken(3));
        assert_eq!((outbox.torn(), outbox.pending()), (&b"t"[..], 1));
        assert!(outbox.torn_taken(1));
        assert!(is_done(&outbox));
    }

    #[test]
    fn what_was_read_ahead_of_the_cursor_comes_no_more() {
        let mut outbox = Outbox::default();
        outbox.set_after(1, FIRST, 10);
        assert_eq!((outbox.after(1, FIRST), outbox.after(2, FIRST)), (10, 0));
        outbox.settle(|_| Some((FIRST, 9)));
        assert!(!is_done(&outbox));
        outbox.settle(|_| Some((FIRST, 10)));
        assert!(is_done(&outbox));
    }

    #[test]
    fn what_was_read_of_a_channel_says_nothing_of_the_next_one_of_its_name() {
        let mut outbox = Outbox::default();
        outbox.set_after(1, FIRST, 10);
        let second = ChannelId { generation: 1, ..FIRST };
        assert_eq!(outbox.after(1, second), 0);
        outbox.settle(|_| Some((second, 1)));
        assert!(is_done(&outbox));
        outbox.set_after(1, second, 10);
        outbox.settle(|_| None);
        assert!(is_done(&outbox));
    }
}
