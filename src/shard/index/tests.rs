//! The index against a naive one: a map from subscriber to its shape and names.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::channel::Delivery;

const RULE: Rule = Rule::new(Delivery::Every);

const NAMES: [&str; 5] = ["a@trade", "b@trade", "c@ticker", "d@trade", "e@ticker"];
const SHAPES: [Shape; 3] = [Shape::Payload, Shape::Combined, Shape::Native];

#[derive(Clone, Debug)]
enum Step {
    Admit(u32, usize),
    Add(u32, usize),
    Remove(u32, usize),
    Reshape(u32, usize),
    Merge(u32),
    Leave(u32),
    Record(usize),
    Expire(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (who, name, shape) = (0_u32..6, 0..NAMES.len(), 0..SHAPES.len());
    let step = prop_oneof![
        3 => (who.clone(), shape.clone()).prop_map(|(who, shape)| Step::Admit(who, shape)),
        6 => (who.clone(), name.clone()).prop_map(|(who, name)| Step::Add(who, name)),
        3 => (who.clone(), name.clone()).prop_map(|(who, name)| Step::Remove(who, name)),
        1 => (who.clone(), shape).prop_map(|(who, shape)| Step::Reshape(who, shape)),
        4 => who.clone().prop_map(Step::Merge),
        1 => who.prop_map(Step::Leave),
        3 => name.clone().prop_map(Step::Record),
        1 => name.prop_map(Step::Expire),
    ];
    prop::collection::vec(step, 1..150)
}

#[derive(Default)]
struct Pair {
    index: Index,
    cohorts: BTreeMap<u32, CohortId>,
    naive: BTreeMap<u32, (Shape, BTreeSet<usize>)>,
    /// Generation and last sequence of each name's channel, which stands at the name's number.
    channels: [(u32, u64); NAMES.len()],
}

impl Pair {
    fn info(&self, name: usize) -> Option<ChannelInfo> {
        let (generation, sequence) = self.channels[name];
        let id = ChannelId { index: name as u32, generation };
        let name = ChannelName::parse(NAMES[name]).unwrap();
        (sequence > 0).then_some(ChannelInfo { name, id, rule: RULE, stale: false })
    }

    /// A cohort of its own, as everybody does who edits.
    fn own(&mut self, who: u32) -> CohortId {
        let own = self.index.split(self.cohorts[&who], who);
        self.cohorts.insert(who, own);
        own
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Admit(who, shape) if !self.naive.contains_key(&who) => {
                self.cohorts.insert(who, self.index.admit(who, SHAPES[shape]));
                self.naive.insert(who, (SHAPES[shape], BTreeSet::new()));
            }
            Step::Record(name) => self.record(name),
            Step::Expire(name) => {
                let (generation, sequence) = &mut self.channels[name];
                self.index.expire(ChannelId { index: name as u32, generation: *generation });
                (*generation, *sequence) = (*generation + 1, 0);
            }
            Step::Add(who, _)
            | Step::Remove(who, _)
            | Step::Reshape(who, _)
            | Step::Merge(who)
            | Step::Leave(who)
                if self.naive.contains_key(&who) =>
            {
                self.edit(who, step);
            }
            _ => {}
        }
    }

    fn record(&mut self, name: usize) {
        self.channels[name].1 += 1;
        let info = self.info(name).unwrap();
        let seen = self.index.meet(info.id, || Some(info.clone()));
        assert_eq!(seen.sequence, self.channels[name].1 - 1);
        self.index.set_seen(info.id.index, self.channels[name].1);
    }

    fn edit(&mut self, who: u32, step: &Step) {
        let own = self.own(who);
        let (shape, names) = self.naive.get_mut(&who).unwrap();
        match *step {
            Step::Add(_, name) => {
                let is_new = names.insert(name);
                let info = self.info(name);
                let slot = self.index.intern(&ChannelName::parse(NAMES[name]).unwrap(), RULE, info.as_ref());
                assert_eq!(self.index.add(own, slot), is_new);
            }
            Step::Remove(_, name) => {
                let had = names.remove(&name);
                let slot = self.index.find(&ChannelName::parse(NAMES[name]).unwrap());
                assert_eq!(slot.is_some_and(|slot| self.index.remove(own, slot)), had);
            }
            Step::Reshape(_, to) => {
                *shape = SHAPES[to];
                self.index.set_shape(own, SHAPES[to]);
            }
            Step::Merge(_) => {
                self.cohorts.insert(who, self.index.merge(own));
            }
            _ => {
                self.index.dissolve(own);
                self.cohorts.remove(&who);
                self.naive.remove(&who);
            }
        }
    }

    /// Whom a record of a channel reaches, and in which shape.
    fn reached(&self, name: usize) -> Vec<(u32, Shape)> {
        let Some(slot) = self.index.find(&ChannelName::parse(NAMES[name]).unwrap()) else {
            return Vec::new();
        };
        let slot = self.index.slot(slot);
        let mut reached = Vec::new();
        for &cohort in &slot.cohorts {
            let cohort = self.index.cohort(cohort);
            assert!(slot.wants(cohort.shape));
            reached.extend(cohort.members.iter().map(|&who| (who, cohort.shape)));
        }
        reached.sort_unstable_by_key(|(who, _)| *who);
        reached
    }

    fn check(&self) {
        for (name, text) in NAMES.iter().enumerate() {
            let takers = self.naive.iter().filter(|(_, (_, names))| names.contains(&name));
            let expected: Vec<_> = takers.map(|(&who, (shape, _))| (who, *shape)).collect();
            assert_eq!(self.reached(name), expected, "{text}");
            self.check_binding(name);
        }
        for (who, &cohort) in &self.cohorts {
            assert!(self.index.cohort(cohort).members.contains(who));
        }
    }

    /// A channel that exists and that somebody subscribes to leads to its slot, and its slot to it.
    fn check_binding(&self, name: usize) {
        let slot = self.index.find(&ChannelName::parse(NAMES[name]).unwrap());
        let (generation, sequence) = self.channels[name];
        let bound = slot.and_then(|slot| self.index.slot(slot).channel);
        if sequence == 0 {
            assert_eq!(bound, None);
        } else if let Some(slot) = slot {
            let id = ChannelId { index: name as u32, generation };
            assert_eq!(bound, Some(id));
            assert_eq!(self.index.seen(slot), Some((id, sequence)));
        }
    }
}

/// A channel's end may be lost to a lap: its name then comes again at another place while the old one is still entered.
#[test]
fn a_name_that_moves_leaves_its_old_place() {
    let mut index = Index::default();
    let [one, other] = ["a@trade", "b@trade"].map(|name| ChannelName::parse(name).unwrap());
    let info = |name: &ChannelName, index| {
        let id = ChannelId { index, generation: 1 };
        ChannelInfo { name: name.clone(), id, rule: RULE, stale: false }
    };
    let cohort = index.admit(0, Shape::Native);
    let old = ChannelInfo { id: ChannelId { index: 0, generation: 0 }, ..info(&one, 0) };
    let slot = index.intern(&one, RULE, Some(&old));
    index.add(cohort, slot);
    let moved = info(&one, 1);
    assert_eq!(index.meet(moved.id, || Some(moved.clone())).slot, Some(slot));
    let newcomer = info(&other, 0);
    assert_eq!(index.meet(newcomer.id, || Some(newcomer.clone())).slot, None);
    assert_eq!(index.slot(slot).channel, Some(moved.id), "the old place's new owner took nothing away");
    index.remove(cohort, slot);
    assert_eq!(index.meet(moved.id, || None).slot, None, "and nothing points to a slot that is gone");
}

proptest! {
    #[test]
    fn a_record_reaches_exactly_its_subscribers(steps in steps()) {
        let mut pair = Pair::default();
        for step in &steps {
            pair.step(step);
            pair.check();
        }
    }

    /// However they came to the same channels, subscribers that are still share one cohort.
    #[test]
    fn the_same_channels_are_one_cohort(orders in prop::collection::vec(Just((0..NAMES.len()).collect::<Vec<_>>()).prop_shuffle(), 2..5)) {
        let mut pair = Pair::default();
        for (who, order) in orders.iter().enumerate() {
            let who = who as u32;
            pair.step(&Step::Admit(who, 0));
            order.iter().for_each(|&name| pair.step(&Step::Add(who, name)));
            pair.step(&Step::Merge(who));
        }
        prop_assert_eq!(pair.index.cohorts_len(), 1);
        pair.check();
    }
}

impl Index {
    /// A slot's subscribers have chosen a rate.
    pub(in crate::shard) fn rate(&mut self, slot: SlotId, every_ms: u32) {
        self.slots[slot as usize].every_ms = every_ms;
    }
}
