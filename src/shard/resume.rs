//! Going on where an earlier connection was cut: looking for what was missed, and saying whether all of it follows.
//!
//! Runs on the shard's thread, a bounded number of ring reads a turn, judged by the shared table and never by what this shard has
//! drained. Invariant: until everything of a request was looked for, its subscriber is neither read nor sent records.

use std::collections::VecDeque;

use super::cycle::id_of;
use super::index::{SlotId, SubscriberId};
use super::subscribe::Joining;
use super::worker::Shard;
use crate::channel::{ChannelName, Delivery};
use crate::dialect::{Resume, ResumeFrom};
use crate::fault::{self, Planted};
use crate::record::FIRST;
use crate::ring::Entry;
use crate::subscriber::outbox::{STOP_EVERY, Stop, Stretch};

/// Reads for one subscriber before the next one's turn.
const READS_A_SHARE: usize = 256;

/// How far an earlier connection had come in one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// To this sequence.
    Sequence(u64),
    /// To this ordinal.
    Ordinal(u64),
}

/// A search for what was missed of one channel: back along its chain.
#[derive(Debug)]
pub(super) struct Search {
    /// Which of the channels that the answer tells.
    place: usize,
    slot: SlotId,
    origin: Origin,
    newest: Entry,
    /// Where the search has come to: missed, as all above it.
    oldest: Entry,
    /// Records found.
    count: u64,
    stops: VecDeque<Stop>,
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// All above this sequence is there.
    All(u64),
    /// Some of it is gone, or it is more than is sent again.
    Lost,
}

/// Channels that a client says it had.
pub(super) fn channels_of(resume: &Resume) -> usize {
    match &resume.from {
        ResumeFrom::Sequences(sequences) => sequences.len(),
        ResumeFrom::Ordinal(_) => 0,
    }
}

/// Where a channel is to go on; `None`: it begins anew.
pub(super) fn origin(resume: &Resume, channel: &ChannelName) -> Option<Origin> {
    match &resume.from {
        ResumeFrom::Sequences(sequences) => sequences.get(channel).copied().map(Origin::Sequence),
        ResumeFrom::Ordinal(ordinal) => Some(Origin::Ordinal(*ordinal)),
    }
}

impl Search {
    fn new(place: usize, slot: SlotId, origin: Origin, newest: Entry) -> Self {
        let stops = VecDeque::from([stop(&newest)]);
        Self { place, slot, origin, newest, oldest: newest, count: 1, stops }
    }

    /// One step further back. `None`: go on.
    fn step(&mut self, ring: &crate::ring::Ring, records_max: u64) -> Option<Found> {
        if self.count > records_max {
            return Some(Found::Lost);
        }
        if let Origin::Sequence(sequence) = self.origin
            && self.oldest.sequence <= sequence + 1
        {
            let is_whole = self.oldest.sequence == sequence + 1;
            return Some(if is_whole { Found::All(sequence) } else { Found::Lost });
        }
        let before = self.oldest.previous.and_then(|position| ring.entry(position).ok());
        let before = before.filter(|entry| entry.generation == self.newest.generation);
        match (before, self.origin) {
            (Some(entry), Origin::Ordinal(ordinal)) if entry.ordinal <= ordinal => {
                Some(Found::All(entry.sequence))
            }
            (Some(entry), _) => {
                self.take(entry);
                None
            }
            // Nothing of the channel is older than its first record; but where an older channel may have had the name, the client may have
            // missed some of that one.
            (None, Origin::Ordinal(_)) if self.oldest.flags & FIRST != 0 && self.oldest.sequence == 1 => {
                Some(Found::All(0))
            }
            (None, _) => Some(Found::Lost),
        }
    }

    fn take(&mut self, entry: Entry) {
        self.oldest = entry;
        if self.count.is_multiple_of(STOP_EVERY) {
            self.stops.push_front(stop(&entry));
        }
        self.count += 1;
    }
}

fn stop(entry: &Entry) -> Stop {
    Stop { position: entry.position, sequence: entry.sequence }
}

impl Shard {
    /// A new subscription, the last that the answer tells, goes on where an earlier connection was cut, if that can be. What can be
    /// judged at once is.
    pub(super) fn begin_resume(
        &mut self,
        id: SubscriberId,
        slot: SlotId,
        epoch: &str,
        origin: Origin,
        joining: &mut Joining,
    ) {
        let newest = self.latest(slot);
        let place = joining.told.len() - 1;
        let found =
            if *epoch == *self.epoch { self.judge(slot, newest.as_ref(), origin) } else { Some(Found::Lost) };
        match (found, newest) {
            (None, Some(newest)) => {
                joining.searches.push_back(Search::new(place, slot, origin, newest));
                self.pass_over(id, slot, &newest);
            }
            (found, newest) => {
                let found = found.unwrap_or(Found::Lost);
                joining.told[place].recovered = Some(found != Found::Lost);
                self.settle(id, slot, newest, found, VecDeque::new());
            }
        }
    }

    /// What is found without a search, if it is.
    fn judge(&self, slot: SlotId, newest: Option<&Entry>, origin: Origin) -> Option<Found> {
        let Some(newest) = newest else {
            let had_some = matches!(origin, Origin::Sequence(1..));
            return Some(if had_some { Found::Lost } else { Found::All(0) });
        };
        match origin {
            Origin::Ordinal(ordinal) => (newest.ordinal <= ordinal).then_some(Found::All(newest.sequence)),
            Origin::Sequence(sequence) if sequence > newest.sequence => Some(Found::Lost),
            Origin::Sequence(sequence) if sequence == newest.sequence || self.sends_newest(slot) => {
                Some(Found::All(sequence))
            }
            Origin::Sequence(sequence) => {
                (newest.sequence - sequence > self.resume_records_max()).then_some(Found::Lost)
            }
        }
    }

    /// Whether of what was missed only the newest is sent: the channel has a rate, and its records replace each other.
    fn sends_newest(&self, slot: SlotId) -> bool {
        let of = self.index.slot(slot);
        of.every_ms > 0 && of.rule.delivery == Delivery::Latest
    }

    fn resume_records_max(&self) -> u64 {
        self.options.resume_records_max as u64
    }

    /// Sends on what was found, or a snapshot. What the cursor brings up to the newest record is passed over.
    fn settle(
        &mut self,
        id: SubscriberId,
        slot: SlotId,
        newest: Option<Entry>,
        found: Found,
        stops: VecDeque<Stop>,
    ) {
        match found {
            Found::All(_) => self.ledger.recovered += 1,
            Found::Lost => self.ledger.unrecovered += 1,
        }
        let Some(newest) = newest else { return };
        self.pass_over(id, slot, &newest);
        match found {
            Found::Lost => self.owe_snapshot(id, slot),
            Found::All(base) if base == newest.sequence => {}
            Found::All(base) if self.sends_newest(slot) => self.owe_newest(id, slot, base, newest.sequence),
            Found::All(base) => {
                let base = base + u64::from(fault::is(Planted::ResumeOffByOne));
                self.owe_missed(id, Stretch { slot, base, stops });
            }
        }
    }

    /// Answers a subscribe at once where nothing is to be searched for, or else when that is done.
    pub(super) fn look_for_missed(&mut self, id: SubscriberId, joining: Joining) {
        if joining.searches.is_empty() {
            return self.finish_joining(id, &joining);
        }
        self.members[id as usize].joining = Some(Box::new(joining));
        self.joiners.push_back(id);
    }

    /// Goes on with the searches, half of the turn's reads at most, and all their subscribers in turn.
    pub(super) fn go_on_resuming(&mut self, reads: &mut usize) {
        let mut budget = *reads / 2;
        *reads -= budget;
        while budget > 0
            && let Some(id) = self.joiners.pop_front()
        {
            let member = self.members.get_mut(id as usize);
            // One who was closed meanwhile, or has the number of one who was, has nothing to search for.
            let Some(mut joining) = member.and_then(|member| member.joining.take()) else { continue };
            let mut share = budget.min(READS_A_SHARE);
            budget -= share;
            self.search(id, &mut joining, &mut share);
            budget += share;
            if joining.searches.is_empty() {
                self.finish_joining(id, &joining);
                self.is_heard_again(id);
            } else {
                self.members[id as usize].joining = Some(joining);
                self.joiners.push_back(id);
            }
        }
        *reads += budget;
    }

    fn search(&mut self, id: SubscriberId, joining: &mut Joining, share: &mut usize) {
        let records_max = self.resume_records_max();
        while *share > 0
            && let Some(search) = joining.searches.front_mut()
        {
            *share -= 1;
            let Some(found) = search.step(self.reader.ring(), records_max) else { continue };
            let Some(search) = joining.searches.pop_front() else { return };
            let place = search.place;
            joining.told[place].recovered = Some(self.end_search(id, search, found));
        }
    }

    /// Whether what was missed follows. A channel that expired meanwhile has nothing to send: what was found of it is not sent.
    fn end_search(&mut self, id: SubscriberId, search: Search, found: Found) -> bool {
        let Search { slot, newest, stops, .. } = search;
        let has_slot = self.cohort_of(id).is_some_and(|own| self.index.has_slot(own, slot));
        if has_slot && self.index.slot(slot).channel == Some(id_of(&newest)) {
            self.settle(id, slot, Some(newest), found, stops);
            return found != Found::Lost;
        }
        self.ledger.unrecovered += 1;
        false
    }

    /// All it missed was looked for: it is sent records, and read, again.
    fn is_heard_again(&mut self, id: SubscriberId) {
        self.has_backlog(id);
        let member = &mut self.members[id as usize];
        if std::mem::take(&mut member.deaf) {
            member.ear.speak();
        }
    }
}
