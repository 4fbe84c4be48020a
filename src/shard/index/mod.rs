//! Who gets what: channels to cohorts, cohorts to subscribers.
//!
//! Owned by one shard's thread; knows no socket, no clock and no ring. It changes only between cycles.
//! Invariant: a cohort stands exactly once in the list of each of its slots, and each of its members has exactly its slots.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use slab::Slab;

use crate::channel::{ChannelId, ChannelInfo, ChannelName, Rule};
use crate::dialect::Shape;

/// A channel that somebody here subscribes to, whether it exists yet or not.
pub(super) type SlotId = u32;
/// Subscribers with the same channels and shape.
pub(super) type CohortId = u32;
/// A subscriber of this shard.
pub(super) type SubscriberId = u32;

/// A channel that somebody here subscribes to.
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
    pub(super) cohorts: Vec<CohortId>,
    /// How many of them want each shape.
    takers: [u32; Shape::COUNT],
}

impl Slot {
    /// Tells subscriptions of one subscriber to the same channel apart: 0, unless the rate is part of the name.
    pub(super) fn alias(&self) -> u32 {
        if self.name == self.source { 0 } else { self.every_ms }
    }

    /// Whether somebody wants this shape of the channel's records.
    pub(super) fn wants(&self, shape: Shape) -> bool {
        self.takers[shape.index()] > 0
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

/// Subscribers whose bytes are gathered once.
#[derive(Debug)]
pub(super) struct Cohort {
    pub(super) shape: Shape,
    /// Sorted.
    pub(super) slots: Vec<SlotId>,
    pub(super) members: Vec<SubscriberId>,
    /// Stands in `by_key`, so that others may merge into it.
    open: bool,
}

/// What this shard knows of a channel in the ring.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    generation: u32,
    /// The channel was met in this generation: its name was looked up.
    known: bool,
    /// Where somebody here subscribes to it.
    pub(super) slot: Option<SlotId>,
    /// Last sequence drained, 0 before the first.
    pub(super) sequence: u64,
}

/// The index of one shard.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Slab<Slot>,
    by_name: HashMap<ChannelName, SlotId, RandomState>,
    /// By the channel's index in the ring's table.
    channels: Vec<Seen>,
    cohorts: Slab<Cohort>,
    by_key: HashMap<u64, CohortId, RandomState>,
    hasher: RandomState,
}

impl Index {
    /// What was seen of a channel of the ring. `look_up` finds its name when it is met for the first time.
    pub(super) fn meet(&mut self, id: ChannelId, look_up: impl FnOnce() -> Option<ChannelInfo>) -> Seen {
        let place = id.index as usize;
        if self.channels.len() <= place {
            self.channels.resize(place + 1, Seen::default());
        }
        let seen = self.channels[place];
        if !seen.known || seen.generation != id.generation {
            self.enter(id, look_up());
        }
        self.channels[place]
    }

    fn enter(&mut self, id: ChannelId, info: Option<ChannelInfo>) {
        self.forget(id.index);
        let info = info.filter(|info| info.id == id);
        let slot = info.and_then(|info| self.by_name.get(&info.name).copied());
        if let Some(slot) = slot {
            self.rebind(slot, id);
        }
        self.channels[id.index as usize] = Seen { generation: id.generation, known: true, slot, sequence: 0 };
    }

    /// A slot's name has a new channel. The old one is let go of: its end may have been lost to a lap.
    fn rebind(&mut self, slot: SlotId, id: ChannelId) {
        if let Some(old) = self.slots[slot as usize].channel.replace(id) {
            self.channels[old.index as usize].slot = None;
        }
    }

    /// A channel expired: whoever subscribed to it waits for its name again.
    pub(super) fn expire(&mut self, id: ChannelId) {
        if self.channels.get(id.index as usize).is_some_and(|seen| seen.generation == id.generation) {
            self.forget(id.index);
        }
    }

    fn forget(&mut self, index: u32) {
        if let Some(slot) = std::mem::take(&mut self.channels[index as usize]).slot {
            self.slots[slot as usize].channel = None;
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

    /// A slot for a name; `info` where the channel exists.
    pub(super) fn intern(&mut self, name: &ChannelName, rule: Rule, info: Option<&ChannelInfo>) -> SlotId {
        if let Some(&slot) = self.by_name.get(name) {
            return slot;
        }
        let slot = Slot {
            name: name.clone(),
            source: name.clone(),
            every_ms: 0,
            rule,
            channel: None,
            cohorts: Vec::new(),
            takers: [0; Shape::COUNT],
        };
        let slot = self.slots.insert(slot) as SlotId;
        self.by_name.insert(name.clone(), slot);
        if let Some(info) = info {
            self.bind(slot, info.id);
        }
        slot
    }

    /// Joins a new slot to a channel that exists: met by the cursor already (`seen` stays) or not yet.
    fn bind(&mut self, slot: SlotId, id: ChannelId) {
        self.meet(id, || None);
        self.channels[id.index as usize].slot = Some(slot);
        self.slots[slot as usize].channel = Some(id);
    }

    pub(super) fn find(&self, name: &ChannelName) -> Option<SlotId> {
        self.by_name.get(name).copied()
    }

    pub(super) fn slot(&self, slot: SlotId) -> &Slot {
        &self.slots[slot as usize]
    }

    pub(super) fn cohort(&self, cohort: CohortId) -> &Cohort {
        &self.cohorts[cohort as usize]
    }

    pub(super) fn has_slot(&self, cohort: CohortId, slot: SlotId) -> bool {
        self.cohort(cohort).slots.binary_search(&slot).is_ok()
    }

    pub(super) fn cohorts_len(&self) -> usize {
        self.cohorts.len()
    }

    /// A cohort of one without channels.
    pub(super) fn admit(&mut self, subscriber: SubscriberId, shape: Shape) -> CohortId {
        let cohort = Cohort { shape, slots: Vec::new(), members: vec![subscriber], open: false };
        self.cohorts.insert(cohort) as CohortId
    }

    /// Takes one member out of its cohort into a cohort of one that may be edited in place. A cohort of one is that already.
    pub(super) fn split(&mut self, cohort: CohortId, subscriber: SubscriberId) -> CohortId {
        if self.cohorts[cohort as usize].members.len() == 1 {
            self.close(cohort);
            return cohort;
        }
        let from = &mut self.cohorts[cohort as usize];
        from.members.retain(|&member| member != subscriber);
        let own =
            Cohort { shape: from.shape, slots: from.slots.clone(), members: vec![subscriber], open: false };
        let id = self.cohorts.vacant_key() as CohortId;
        for &slot in &own.slots {
            self.slots[slot as usize].enlist(id, own.shape);
        }
        self.cohorts.insert(own);
        id
    }

    /// No longer open for others to merge into.
    fn close(&mut self, cohort: CohortId) {
        if std::mem::take(&mut self.cohorts[cohort as usize].open) {
            let key = self.key(cohort);
            self.by_key.remove(&key);
        }
    }

    /// Adds a slot to a cohort of one; false: it had it.
    pub(super) fn add(&mut self, cohort: CohortId, slot: SlotId) -> bool {
        let Cohort { slots, shape, .. } = &mut self.cohorts[cohort as usize];
        let Err(place) = slots.binary_search(&slot) else { return false };
        slots.insert(place, slot);
        self.slots[slot as usize].enlist(cohort, *shape);
        true
    }

    /// Takes a slot from a cohort of one; false: it had none such.
    pub(super) fn remove(&mut self, cohort: CohortId, slot: SlotId) -> bool {
        let Cohort { slots, shape, .. } = &mut self.cohorts[cohort as usize];
        let Ok(place) = slots.binary_search(&slot) else { return false };
        slots.remove(place);
        self.slots[slot as usize].strike(cohort, *shape);
        self.release(slot);
        true
    }

    /// Drops a slot that nobody subscribes to (any more).
    pub(super) fn release(&mut self, slot: SlotId) {
        if !self.slots[slot as usize].cohorts.is_empty() {
            return;
        }
        let slot = self.slots.remove(slot as usize);
        self.by_name.remove(&slot.name);
        if let Some(id) = slot.channel {
            self.channels[id.index as usize].slot = None;
        }
    }

    /// Records shall look like this to a cohort of one.
    pub(super) fn set_shape(&mut self, cohort: CohortId, shape: Shape) {
        let of = &mut self.cohorts[cohort as usize];
        for &slot in &of.slots {
            let takers = &mut self.slots[slot as usize].takers;
            takers[of.shape.index()] -= 1;
            takers[shape.index()] += 1;
        }
        of.shape = shape;
    }

    /// Takes a cohort of one, with its member, out of the index.
    pub(super) fn dissolve(&mut self, cohort: CohortId) {
        self.close(cohort);
        let gone = self.cohorts.remove(cohort as usize);
        for slot in gone.slots {
            self.slots[slot as usize].strike(cohort, gone.shape);
            self.release(slot);
        }
    }

    /// Moves the member of a still cohort of one into an open cohort of the same channels and shape, or opens this one.
    /// Returns where the member is now.
    pub(super) fn merge(&mut self, cohort: CohortId) -> CohortId {
        let key = self.key(cohort);
        let Some(&into) = self.by_key.get(&key) else {
            self.by_key.insert(key, cohort);
            self.cohorts[cohort as usize].open = true;
            return cohort;
        };
        if into == cohort || !self.alike(into, cohort) {
            return cohort;
        }
        let members = self.cohorts[cohort as usize].members.clone();
        self.dissolve(cohort);
        self.cohorts[into as usize].members.extend(members);
        into
    }

    // Two cohorts of one key that are not alike are a collision of the hash: the second stays by itself.
    fn alike(&self, one: CohortId, other: CohortId) -> bool {
        let (one, other) = (self.cohort(one), self.cohort(other));
        one.shape == other.shape && one.slots == other.slots
    }

    fn key(&self, cohort: CohortId) -> u64 {
        let cohort = self.cohort(cohort);
        self.hasher.hash_one((cohort.shape, &cohort.slots))
    }
}

#[cfg(test)]
mod tests;
