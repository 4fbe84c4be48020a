//! Subscribers whose bytes are gathered once: those of the same slots, patterns and shape.
//!
//! Owned by one shard's thread; changed between cycles. Invariant: a cohort stands exactly once in the list of each of its slots and
//! patterns, and each of its members has exactly its slots.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::members::Members;
use super::{CohortId, Index, PatternId, SlotId, SubscriberId};
use crate::channel::{ChannelName, ChannelPattern};
use crate::dialect::Shape;
use crate::shard::shelf::Shelf;

/// Subscribers whose bytes are gathered once.
#[derive(Debug)]
pub(in crate::shard) struct Cohort {
    pub(in crate::shard) shape: Shape,
    /// Sorted.
    pub(in crate::shard) slots: Vec<SlotId>,
    pub(in crate::shard) members: Members,
    by_pattern: Option<Box<ByPattern>>,
    /// Its members were told that their patterns match more than they may join.
    pub(in crate::shard) is_overfull: bool,
    /// Stands in `by_key`, so that others may merge into it.
    open: bool,
}

/// What a cohort with patterns has beside the slots: few have any.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct ByPattern {
    /// Sorted, and never empty. Each pattern stands here once, at one rate.
    patterns: Vec<PatternId>,
    /// Of its slots, those asked for by name; sorted. Without patterns all of them are.
    named: Vec<SlotId>,
}

impl Cohort {
    fn new(shape: Shape, subscriber: SubscriberId) -> Self {
        Self {
            shape,
            slots: Vec::new(),
            members: Members::One(subscriber),
            by_pattern: None,
            is_overfull: false,
            open: false,
        }
    }

    /// Sorted. Each pattern stands here once, at one rate.
    pub(in crate::shard) fn patterns(&self) -> &[PatternId] {
        self.by_pattern.as_ref().map_or(&[], |by| &by.patterns)
    }

    /// Whether a slot of its was asked for by name.
    pub(in crate::shard) fn is_named(&self, slot: SlotId) -> bool {
        self.by_pattern.as_ref().is_none_or(|by| by.named.binary_search(&slot).is_ok())
    }

    /// How many of its slots were asked for by name.
    pub(in crate::shard) fn named_len(&self) -> usize {
        self.by_pattern.as_ref().map_or(self.slots.len(), |by| by.named.len())
    }

    /// How many of its slots only patterns have joined.
    pub(in crate::shard) fn joined_len(&self) -> usize {
        self.slots.len() - self.named_len()
    }
}

/// Every cohort of a shard.
#[derive(Debug, Default)]
pub(super) struct Cohorts {
    shelf: Shelf<Cohort>,
    /// By half a hash, which saves memory: of 100,000 cohorts one or two find another one there, and stay by themselves.
    by_key: HashMap<u32, CohortId, RandomState>,
    hasher: RandomState,
}

fn insert(list: &mut Vec<u32>, item: u32) -> bool {
    let place = list.binary_search(&item);
    if let Err(place) = place {
        list.insert(place, item);
    }
    place.is_err()
}

fn take_out(list: &mut Vec<u32>, item: u32) -> bool {
    let place = list.binary_search(&item);
    if let Ok(place) = place {
        list.remove(place);
    }
    place.is_ok()
}

impl Index {
    pub(in crate::shard) fn cohort(&self, cohort: CohortId) -> &Cohort {
        &self.cohorts.shelf[cohort as usize]
    }

    pub(in crate::shard) fn cohorts_len(&self) -> usize {
        self.cohorts.shelf.len()
    }

    pub(in crate::shard) fn has_slot(&self, cohort: CohortId, slot: SlotId) -> bool {
        self.cohort(cohort).slots.binary_search(&slot).is_ok()
    }

    /// The slot of a cohort that its members call so, at whatever rate.
    pub(in crate::shard) fn find(&self, cohort: CohortId, label: &ChannelName) -> Option<SlotId> {
        let plain = self.slots_named(label).filter(|&slot| self.slot(slot).name == *label);
        plain.chain(self.by_alias.get(label).copied()).find(|&slot| self.has_slot(cohort, slot))
    }

    /// The slots that only patterns have joined: those whose channel exists, or has expired.
    pub(in crate::shard) fn joined(&self, cohort: CohortId, exists: bool) -> impl Iterator<Item = SlotId> {
        let of = self.cohort(cohort);
        let joined = of.slots.iter().copied().filter(|&slot| !of.is_named(slot));
        joined.filter(move |&slot| self.slot(slot).channel.is_some() == exists)
    }

    /// Whether records of some channel are to come at a chosen rate: then its one member is served singly.
    pub(in crate::shard) fn is_rated(&self, cohort: CohortId) -> bool {
        let of = self.cohort(cohort);
        of.slots.iter().any(|&slot| self.slot(slot).every_ms > 0)
            || of.patterns().iter().any(|&pattern| self.patterns.every_ms(pattern) > 0)
    }

    /// A cohort of one without channels.
    pub(in crate::shard) fn admit(&mut self, subscriber: SubscriberId, shape: Shape) -> CohortId {
        self.cohorts.shelf.insert(Cohort::new(shape, subscriber)) as CohortId
    }

    /// Takes one member out of its cohort into a cohort of one that may be edited in place. A cohort of one is that already.
    pub(in crate::shard) fn split(&mut self, cohort: CohortId, subscriber: SubscriberId) -> CohortId {
        if self.cohort(cohort).members.len() == 1 {
            self.close(cohort);
            return cohort;
        }
        let id = self.cohorts.shelf.vacant_key() as CohortId;
        let from = &mut self.cohorts.shelf[cohort as usize];
        from.members.leave(subscriber);
        let own = Cohort {
            slots: from.slots.clone(),
            by_pattern: from.by_pattern.clone(),
            is_overfull: from.is_overfull,
            ..Cohort::new(from.shape, subscriber)
        };
        for &slot in &own.slots {
            self.slots[slot as usize].enlist(id, own.shape);
        }
        for &pattern in own.patterns() {
            self.patterns.enlist(pattern, id);
        }
        self.cohorts.shelf.insert(own);
        id
    }

    /// No longer open for others to merge into; whether it was.
    fn close(&mut self, cohort: CohortId) -> bool {
        let was_open = std::mem::take(&mut self.cohorts.shelf[cohort as usize].open);
        if was_open {
            let key = self.key(cohort);
            self.cohorts.by_key.remove(&key);
        }
        was_open
    }

    /// So many slots are about to be added to a cohort: room for just those, as most stay with what they first asked for.
    pub(in crate::shard) fn make_room(&mut self, cohort: CohortId, slots: usize) {
        self.cohorts.shelf[cohort as usize].slots.reserve_exact(slots);
    }

    /// Adds a slot to a cohort, for all its members; false: it had it. By name or, else, because a pattern matches.
    pub(in crate::shard) fn add(&mut self, cohort: CohortId, slot: SlotId, by_name: bool) -> bool {
        let was_open = self.close(cohort);
        let of = &mut self.cohorts.shelf[cohort as usize];
        if by_name && let Some(by) = &mut of.by_pattern {
            insert(&mut by.named, slot);
        }
        let is_new = insert(&mut of.slots, slot);
        if is_new {
            self.slots[slot as usize].enlist(cohort, of.shape);
        }
        self.open_again(cohort, was_open);
        is_new
    }

    /// Takes a slot from a cohort, for all its members; false: it had none such.
    pub(in crate::shard) fn remove(&mut self, cohort: CohortId, slot: SlotId) -> bool {
        let was_open = self.close(cohort);
        let of = &mut self.cohorts.shelf[cohort as usize];
        if let Some(by) = &mut of.by_pattern {
            take_out(&mut by.named, slot);
        }
        let had = take_out(&mut of.slots, slot);
        if had {
            of.is_overfull = false;
            self.slots[slot as usize].strike(cohort, of.shape);
            self.release(slot);
        }
        self.open_again(cohort, was_open);
        had
    }

    /// Others may merge into it as before. Where some other cohort became the same, this one stays by itself.
    fn open_again(&mut self, cohort: CohortId, was_open: bool) {
        if !was_open {
            return;
        }
        let key = self.key(cohort);
        let opened = *self.cohorts.by_key.entry(key).or_insert(cohort);
        self.cohorts.shelf[cohort as usize].open = opened == cohort;
    }

    /// Adds a pattern at a rate to a cohort of one, in the place of the same pattern at another rate.
    pub(in crate::shard) fn add_pattern(
        &mut self,
        cohort: CohortId,
        pattern: &ChannelPattern,
        every_ms: u32,
    ) {
        let id = self.patterns.intern(pattern, every_ms);
        let old = self.patterns_named(cohort, pattern).find(|&other| other != id);
        let Cohort { by_pattern, slots, .. } = &mut self.cohorts.shelf[cohort as usize];
        let by = by_pattern
            .get_or_insert_with(|| Box::new(ByPattern { patterns: Vec::new(), named: slots.clone() }));
        if insert(&mut by.patterns, id) {
            self.patterns.enlist(id, cohort);
        }
        if let Some(old) = old {
            take_out(&mut by.patterns, old);
            self.patterns.strike(old, cohort);
        }
    }

    fn patterns_named(&self, cohort: CohortId, pattern: &ChannelPattern) -> impl Iterator<Item = PatternId> {
        let mut ids = self.cohort(cohort).patterns().iter().copied();
        std::iter::from_fn(move || ids.find(|&id| self.patterns.pattern(id) == pattern))
    }

    pub(in crate::shard) fn has_pattern(&self, cohort: CohortId, pattern: &ChannelPattern) -> bool {
        self.patterns_named(cohort, pattern).next().is_some()
    }

    /// The patterns of a cohort, as they were written.
    pub(in crate::shard) fn patterns_of(&self, cohort: CohortId) -> impl Iterator<Item = &ChannelPattern> {
        self.cohort(cohort).patterns().iter().map(|&id| self.patterns.pattern(id))
    }

    /// Takes a pattern from a cohort of one. What only it joined must have left before: without patterns all is named.
    pub(in crate::shard) fn remove_pattern(&mut self, cohort: CohortId, pattern: &ChannelPattern) {
        let Some(id) = self.patterns_named(cohort, pattern).next() else { return };
        let of = &mut self.cohorts.shelf[cohort as usize];
        of.is_overfull = false;
        of.by_pattern.take_if(|by| {
            take_out(&mut by.patterns, id);
            by.patterns.is_empty()
        });
        self.patterns.strike(id, cohort);
    }

    /// The rate at which a cohort's patterns want a channel, the fastest of those that match. `None`: none matches.
    pub(in crate::shard) fn wanted_rate(
        &self,
        cohort: CohortId,
        name: &ChannelName,
        without: Option<&ChannelPattern>,
    ) -> Option<u32> {
        let patterns = self.cohort(cohort).patterns().iter().copied();
        let others = patterns.filter(|&id| Some(self.patterns.pattern(id)) != without);
        let matching = others.filter(|&id| self.patterns.pattern(id).matches(name));
        matching.map(|id| self.patterns.every_ms(id)).min()
    }

    /// The cohorts whose patterns match a channel.
    pub(in crate::shard) fn cohorts_matching(&self, name: &ChannelName) -> Vec<CohortId> {
        self.patterns.cohorts_matching(name)
    }

    /// A slot of a cohort of one is no longer asked for by name, but a pattern matches.
    pub(in crate::shard) fn unname(&mut self, cohort: CohortId, slot: SlotId) {
        if let Some(by) = &mut self.cohorts.shelf[cohort as usize].by_pattern {
            take_out(&mut by.named, slot);
        }
    }

    /// Its members were told that their patterns match more than they may join; false: before already.
    pub(in crate::shard) fn set_overfull(&mut self, cohort: CohortId) -> bool {
        !std::mem::replace(&mut self.cohorts.shelf[cohort as usize].is_overfull, true)
    }

    /// Records shall look like this to a cohort of one.
    pub(in crate::shard) fn set_shape(&mut self, cohort: CohortId, shape: Shape) {
        let of = &mut self.cohorts.shelf[cohort as usize];
        for &slot in &of.slots {
            let takers = &mut self.slots[slot as usize].takers;
            takers[of.shape.index()] -= 1;
            takers[shape.index()] += 1;
        }
        of.shape = shape;
    }

    /// Takes a cohort of one, with its member, out of the index.
    pub(in crate::shard) fn dissolve(&mut self, cohort: CohortId) {
        self.close(cohort);
        let Some(gone) = self.cohorts.shelf.remove(cohort as usize) else { return };
        for &slot in &gone.slots {
            self.slots[slot as usize].strike(cohort, gone.shape);
            self.release(slot);
        }
        for &pattern in gone.patterns() {
            self.patterns.strike(pattern, cohort);
        }
    }

    /// Moves the member of a still cohort of one into an open cohort of the same channels and shape, or opens this one.
    /// Returns where the member is now.
    pub(in crate::shard) fn merge(&mut self, cohort: CohortId) -> CohortId {
        let key = self.key(cohort);
        let Some(&into) = self.cohorts.by_key.get(&key) else {
            self.cohorts.by_key.insert(key, cohort);
            self.cohorts.shelf[cohort as usize].open = true;
            return cohort;
        };
        // Several stay where they are, also beside a cohort that they became the same as: nobody would tell the others.
        let [member] = self.cohort(cohort).members[..] else { return cohort };
        if into == cohort || !self.alike(into, cohort) {
            return cohort;
        }
        self.dissolve(cohort);
        self.cohorts.shelf[into as usize].members.join(member);
        into
    }

    // Two cohorts of one key that are not alike are a collision of the hash: the second stays by itself.
    fn alike(&self, one: CohortId, other: CohortId) -> bool {
        let (one, other) = (self.cohort(one), self.cohort(other));
        one.shape == other.shape && one.slots == other.slots && one.by_pattern == other.by_pattern
    }

    fn key(&self, cohort: CohortId) -> u32 {
        let of = self.cohort(cohort);
        self.cohorts.hasher.hash_one((of.shape, &of.slots, &of.by_pattern)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::super::SlotKey;
    use super::*;
    use crate::channel::{Delivery, OnSlow, Rule};
    use crate::shard::shelf::Place;

    /// Part of what a connection is promised to cost at most: see `member`. Most cohorts are of one.
    #[test]
    fn a_cohort_is_not_larger_than_it_was_decided_to_be() {
        assert!(size_of::<Place<Cohort>>() <= 64);
    }

    /// A slot of a channel that nobody else subscribes to.
    fn slot(index: &mut Index, number: usize) -> SlotId {
        let name = ChannelName::parse(&format!("{number}@trade")).unwrap();
        let rule = Rule { delivery: Delivery::Every, on_slow: OnSlow::Gap };
        index.intern(SlotKey::of(&name, 0), rule, None)
    }

    /// Keys are short: with a hundred thousand cohorts some two have the same.
    #[test]
    fn two_that_are_not_alike_stay_apart_where_their_keys_are_the_same() {
        let mut index = Index::default();
        let slots: Vec<_> = (0..1000).map(|number| slot(&mut index, number)).collect();
        let cohorts = [index.admit(0, Shape::Native), index.admit(1, Shape::Native)];
        let pairs = slots.iter().flat_map(|&one| slots.iter().map(move |&other| vec![one, other]));
        let mut by_key = HashMap::new();
        let pairs = pairs.filter(|pair| pair[0] < pair[1]).find_map(|pair| {
            index.cohorts.shelf[cohorts[0] as usize].slots.clone_from(&pair);
            by_key.insert(index.key(cohorts[0]), pair.clone()).map(|before| [before, pair])
        });
        index.cohorts.shelf[cohorts[0] as usize].slots.clear();
        for (cohort, pair) in cohorts.into_iter().zip(pairs.expect("two of half a million have the same")) {
            pair.into_iter().for_each(|slot| assert!(index.add(cohort, slot, true)));
            assert_eq!(index.merge(cohort), cohort);
        }
        assert_eq!(index.key(cohorts[0]), index.key(cohorts[1]));
        // The second one leaves the first one's place alone.
        index.split(cohorts[1], 1);
        assert_eq!(index.cohorts.by_key.values().collect::<Vec<_>>(), [&cohorts[0]]);
    }

    /// A cohort that has a channel that expired becomes the same as one that came later, when the channel's name comes again.
    #[test]
    fn many_do_not_move_when_one_of_them_is_looked_at() {
        let mut index = Index::default();
        let late = slot(&mut index, 0);
        let pattern = ChannelPattern::parse("*@trade").unwrap();
        let mut of = |channels: &[SlotId], subscribers: [SubscriberId; 2]| {
            let cohorts = subscribers.map(|subscriber| {
                let cohort = index.admit(subscriber, Shape::Native);
                index.add_pattern(cohort, &pattern, 0);
                channels.iter().for_each(|&slot| assert!(index.add(cohort, slot, false)));
                index.merge(cohort)
            });
            assert_eq!(cohorts[0], cohorts[1]);
            cohorts[0]
        };
        let (early, later) = (of(&[late], [0, 1]), of(&[], [2, 3]));
        index.add(later, late, false);
        assert!(index.alike(early, later));
        assert_eq!(index.merge(later), later);
        assert_eq!(
            (&index.cohort(early).members[..], &index.cohort(later).members[..]),
            (&[0, 1][..], &[2, 3][..])
        );
    }
}
