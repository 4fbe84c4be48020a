//! Who gets what: channels to slots, slots to cohorts, cohorts to subscribers.
//!
//! Owned by one shard's thread; knows no socket, no clock and no ring. Members change only between cycles.
//! Invariant: the slots of one channel are one list, found by its name and, once it exists, by its place in the ring's table.
//!
//! `cohorts` holds the subscribers of the same slots, `patterns` what they asked for by patterns.

mod cohorts;
mod patterns;

use std::collections::HashMap;

use foldhash::fast::RandomState;
use slab::Slab;

use self::cohorts::Cohorts;
use self::patterns::Patterns;
use crate::channel::{ChannelId, ChannelInfo, ChannelName, Rule};
use crate::dialect::Shape;
use crate::fault::{self, Planted};

pub(super) use self::patterns::PatternId;

/// A channel at a rate that somebody here subscribes to, whether the channel exists yet or not.
pub(super) type SlotId = u32;
/// Subscribers with the same channels and shape.
pub(super) type CohortId = u32;
/// A subscriber of this shard.
pub(super) type SubscriberId = u32;

/// What tells slots apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotKey<'a> {
    /// What its subscribers call it.
    pub(super) label: &'a ChannelName,
    /// The channel's own name.
    pub(super) source: &'a ChannelName,
    /// Milliseconds between records; 0: every change at once.
    pub(super) every_ms: u32,
}

impl<'a> SlotKey<'a> {
    /// A channel by its own name.
    pub(super) fn of(name: &'a ChannelName, every_ms: u32) -> Self {
        Self { label: name, source: name, every_ms }
    }
}

/// A channel at a rate that somebody here subscribes to.
#[derive(Debug)]
pub(super) struct Slot {
    /// What its subscribers call it.
    pub(super) name: ChannelName,
    /// The channel's own name: another one where its subscribers chose a rate by a suffix.
    pub(super) source: ChannelName,
    /// Milliseconds between records that its subscribers chose; 0: every change at once.
    pub(super) every_ms: u32,
    pub(super) rule: Rule,
    /// The channel's id, once it exists.
    pub(super) channel: Option<ChannelId>,
    /// The channel's next slot. The one without a rate stands first.
    pub(super) next: Option<SlotId>,
    /// Last sequence of the channel that had the name before; 0: none is known.
    pub(super) past: u64,
    /// Its subscribers were told that the channel is stale.
    pub(super) stale: bool,
    pub(super) cohorts: Vec<CohortId>,
    /// How many of them want each shape.
    takers: [u32; Shape::COUNT],
}

impl Slot {
    fn new(key: SlotKey<'_>, rule: Rule) -> Self {
        Self {
            name: key.label.clone(),
            source: key.source.clone(),
            every_ms: key.every_ms,
            rule,
            channel: None,
            next: None,
            past: 0,
            stale: false,
            cohorts: Vec::new(),
            takers: [0; Shape::COUNT],
        }
    }

    /// Tells subscriptions of one subscriber to the same channel apart: 0, unless the rate is part of the name.
    pub(super) fn alias(&self) -> u32 {
        if self.name == self.source { 0 } else { self.every_ms }
    }

    /// Whether its records go out at once: whoever chose a rate is served singly.
    pub(super) fn is_at_once(&self) -> bool {
        self.every_ms == 0
    }

    /// Whether somebody wants this shape of the channel's records.
    pub(super) fn wants(&self, shape: Shape) -> bool {
        self.takers[shape.index()] > 0
    }

    fn is(&self, key: SlotKey<'_>) -> bool {
        self.every_ms == key.every_ms && self.name == *key.label
    }

    fn enlist(&mut self, cohort: CohortId, shape: Shape) {
        self.cohorts.push(cohort);
        self.takers[shape.index()] += 1;
    }

    fn strike(&mut self, cohort: CohortId, shape: Shape) {
        if let Some(place) = self.cohorts.iter().position(|&other| other == cohort) {
            self.cohorts.swap_remove(place);
            self.takers[shape.index()] -= 1;
        }
    }
}

/// What this shard knows of a channel in the ring.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    generation: u32,
    /// The cursor has met the channel in this generation: its name was looked up, and patterns were asked.
    known: bool,
    /// Where somebody here subscribes to it: the first of its slots.
    pub(super) slot: Option<SlotId>,
    /// Last sequence drained, 0 before the first.
    pub(super) sequence: u64,
}

/// The index of one shard.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Slab<Slot>,
    /// By the channel's own name: the first of its slots.
    by_source: HashMap<ChannelName, SlotId, RandomState>,
    /// Slots that are called otherwise than their channel. Such a label tells the rate, so no two slots have the same.
    by_alias: HashMap<ChannelName, SlotId, RandomState>,
    /// By the channel's index in the ring's table.
    channels: Vec<Seen>,
    cohorts: Cohorts,
    patterns: Patterns,
}

impl Index {
    /// What was seen of a channel of the ring. `look_up` finds its name when it is met for the first time. `None`: patterns here
    /// match it, so their cohorts must join (see [`Index::enter`]) before its record is given to anybody.
    pub(super) fn meet(
        &mut self,
        id: ChannelId,
        look_up: impl FnOnce() -> Option<ChannelInfo>,
    ) -> Option<Seen> {
        if self.has_met(id) {
            return self.channels.get(id.index as usize).copied();
        }
        let info = look_up().filter(|info| info.id == id);
        let is_matched = info.as_ref().is_some_and(|info| self.patterns.is_matched(&info.name));
        if is_matched && !fault::is(Planted::PatternMissesNew) {
            return None;
        }
        self.enter(id, info.as_ref());
        Some(self.channels[id.index as usize])
    }

    /// Whether the cursor has met a channel.
    pub(super) fn has_met(&self, id: ChannelId) -> bool {
        let seen = self.channels.get(id.index as usize);
        seen.is_some_and(|seen| seen.known && seen.generation == id.generation)
    }

    /// The cursor has met a channel; `info` tells its name.
    pub(super) fn enter(&mut self, id: ChannelId, info: Option<&ChannelInfo>) {
        self.make_place(id.index);
        let is_bound = self.is_bound(id);
        let seen = &mut self.channels[id.index as usize];
        if is_bound {
            seen.known = true;
            return;
        }
        self.forget(id.index);
        let slot = info.and_then(|info| self.by_source.get(&info.name).copied());
        if let Some(slot) = slot {
            self.rebind(slot, id);
        }
        self.channels[id.index as usize] = Seen { generation: id.generation, known: true, slot, sequence: 0 };
    }

    fn make_place(&mut self, index: u32) {
        let place = index as usize;
        if self.channels.len() <= place {
            self.channels.resize(place + 1, Seen::default());
        }
    }

    /// Somebody subscribes to this channel, whether the cursor has met it or not.
    fn is_bound(&self, id: ChannelId) -> bool {
        let seen = self.channels.get(id.index as usize);
        seen.is_some_and(|seen| seen.generation == id.generation && seen.slot.is_some())
    }

    /// The slots of a name have a new channel. The old one is let go of: its end may have been lost to a lap.
    fn rebind(&mut self, first: SlotId, id: ChannelId) {
        if let Some(old) = self.slot(first).channel {
            self.forget(old.index);
        }
        self.set_channel(first, Some(id));
    }

    fn set_channel(&mut self, first: SlotId, channel: Option<ChannelId>) {
        let mut next = Some(first);
        while let Some(slot) = next {
            let slot = &mut self.slots[slot as usize];
            slot.channel = channel;
            next = slot.next;
        }
    }

    /// A channel expired: whoever subscribed to it waits for its name again.
    pub(super) fn expire(&mut self, id: ChannelId) {
        if self.channels.get(id.index as usize).is_some_and(|seen| seen.generation == id.generation) {
            self.forget(id.index);
        }
    }

    /// A channel is no more; its slots remember how far it came.
    fn forget(&mut self, index: u32) {
        let seen = std::mem::take(&mut self.channels[index as usize]);
        let mut next = seen.slot;
        while let Some(slot) = next {
            let slot = &mut self.slots[slot as usize];
            slot.channel = None;
            slot.past = slot.past.max(seen.sequence);
            next = slot.next;
        }
    }

    /// A slot's channel, if there is one, and the last sequence drained of it.
    pub(super) fn seen(&self, slot: SlotId) -> Option<(ChannelId, u64)> {
        let id = self.slots[slot as usize].channel?;
        Some((id, self.channels[id.index as usize].sequence))
    }

    /// The cursor has passed this sequence of a channel that it has met.
    pub(super) fn set_seen(&mut self, channel: u32, sequence: u64) {
        self.channels[channel as usize].sequence = sequence;
    }

    /// The first slot of a channel; none where nobody subscribes to it.
    pub(super) fn first_slot_of(&self, id: ChannelId) -> Option<SlotId> {
        self.channels.get(id.index as usize).filter(|seen| seen.generation == id.generation)?.slot
    }

    /// Whether somebody subscribes to the channel at this place.
    pub(super) fn is_subscribed(&self, place: u32) -> bool {
        self.channels.get(place as usize).is_some_and(|seen| seen.slot.is_some())
    }

    /// The slots of a name; none where nobody subscribes to it.
    pub(super) fn slots_named(&self, source: &ChannelName) -> impl Iterator<Item = SlotId> {
        self.list(self.by_source.get(source).copied())
    }

    fn list(&self, first: Option<SlotId>) -> impl Iterator<Item = SlotId> {
        std::iter::successors(first, |&slot| self.slot(slot).next)
    }

    /// The slot of a channel at a rate; `info` where the channel exists.
    pub(super) fn intern(&mut self, key: SlotKey<'_>, rule: Rule, info: Option<&ChannelInfo>) -> SlotId {
        let found = self.slots_named(key.source).find(|&slot| self.slot(slot).is(key));
        let slot = found.unwrap_or_else(|| self.new_slot(key, rule, info));
        if let Some(info) = info {
            self.bind(slot, info.id);
        }
        slot
    }

    fn new_slot(&mut self, key: SlotKey<'_>, rule: Rule, info: Option<&ChannelInfo>) -> SlotId {
        let slot = self.slots.insert(Slot::new(key, rule)) as SlotId;
        // Whoever comes with it is told by the answer to its request.
        self.slots[slot as usize].stale = info.is_some_and(|info| info.stale);
        if key.label != key.source {
            self.by_alias.insert(key.label.clone(), slot);
        }
        self.enlist_slot(slot);
        slot
    }

    /// Puts a new slot into its channel's list: first if it has no rate, else behind the first.
    fn enlist_slot(&mut self, slot: SlotId) {
        let Slot { source, every_ms, .. } = self.slot(slot);
        let (source, is_first) = (source.clone(), *every_ms == 0);
        let Some(&first) = self.by_source.get(&source) else {
            self.by_source.insert(source, slot);
            return;
        };
        let Slot { channel, past, next, stale, .. } = *self.slot(first);
        let new = &mut self.slots[slot as usize];
        // Its first subscriber may come from another of the channel's slots, and is told what those are told.
        (new.channel, new.past, new.stale) = (channel, past, stale);
        if is_first {
            new.next = Some(first);
            self.set_first(&source, channel, slot);
        } else {
            new.next = next;
            self.slots[first as usize].next = Some(slot);
        }
    }

    fn set_first(&mut self, source: &ChannelName, channel: Option<ChannelId>, first: SlotId) {
        self.by_source.insert(source.clone(), first);
        if let Some(id) = channel {
            self.channels[id.index as usize].slot = Some(first);
        }
    }

    /// Joins the slots of a name to a channel that exists: met by the cursor already (what was seen stays) or not yet. Where the
    /// cursor has not seen the end of the channel whose place it took, they join when that is over.
    fn bind(&mut self, slot: SlotId, id: ChannelId) {
        if self.slot(slot).channel.is_some() {
            return;
        }
        self.make_place(id.index);
        let first = self.by_source[&self.slot(slot).source];
        let seen = &mut self.channels[id.index as usize];
        let is_other = seen.generation != id.generation;
        if is_other && (seen.known || seen.slot.is_some()) {
            return;
        }
        seen.generation = id.generation;
        seen.slot = Some(first);
        self.set_channel(first, Some(id));
    }

    pub(super) fn slot(&self, slot: SlotId) -> &Slot {
        &self.slots[slot as usize]
    }

    /// Its subscribers were told that the channel is stale, or that it is not any more; false: they knew.
    pub(super) fn set_stale(&mut self, slot: SlotId, stale: bool) -> bool {
        std::mem::replace(&mut self.slots[slot as usize].stale, stale) != stale
    }

    /// Drops a slot that nobody subscribes to (any more).
    pub(super) fn release(&mut self, slot: SlotId) {
        if !self.slots[slot as usize].cohorts.is_empty() {
            return;
        }
        let before = self.list(self.by_source.get(&self.slot(slot).source).copied());
        let before = before.take_while(|&other| other != slot).last();
        let gone = self.slots.remove(slot as usize);
        if gone.name != gone.source {
            self.by_alias.remove(&gone.name);
        }
        match (before, gone.next) {
            (Some(before), next) => self.slots[before as usize].next = next,
            (None, Some(next)) => self.set_first(&gone.source, gone.channel, next),
            (None, None) => {
                self.by_source.remove(&gone.source);
                if let Some(id) = gone.channel {
                    self.channels[id.index as usize].slot = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
