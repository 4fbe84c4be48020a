//! The index against a naive one: a map from subscriber to what it asked for, by name and by pattern.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::channel::{ChannelPattern, Delivery};

const RULE: Rule = Rule::new(Delivery::Latest);

const NAMES: [&str; 5] = ["a@trade", "b@trade", "c@ticker", "d@trade", "e@ticker"];
const PATTERNS: [&str; 3] = ["*@trade", "*@*", "c*@ticker"];
const RATES: [u32; 3] = [0, 100, 250];
const SHAPES: [Shape; 3] = [Shape::Payload, Shape::Combined, Shape::Native];

#[derive(Clone, Debug)]
enum Step {
    Admit(u32, usize),
    /// A name at a rate; true: as an alias, where it has a rate.
    Add(u32, usize, usize, bool),
    Remove(u32, usize),
    AddPattern(u32, usize, usize),
    RemovePattern(u32, usize),
    Reshape(u32, usize),
    Merge(u32),
    Leave(u32),
    Record(usize),
    /// The catalogue knows a channel before the cursor meets it.
    Appear(usize),
    Expire(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (who, name, shape) = (0_u32..6, 0..NAMES.len(), 0..SHAPES.len());
    let (pattern, rate) = (0..PATTERNS.len(), 0..RATES.len());
    let step = prop_oneof![
        3 => (who.clone(), shape.clone()).prop_map(|(who, shape)| Step::Admit(who, shape)),
        6 => (who.clone(), name.clone(), rate.clone(), any::<bool>())
            .prop_map(|(who, name, rate, alias)| Step::Add(who, name, rate, alias)),
        3 => (who.clone(), name.clone()).prop_map(|(who, name)| Step::Remove(who, name)),
        3 => (who.clone(), pattern.clone(), rate).prop_map(|(who, of, rate)| Step::AddPattern(who, of, rate)),
        2 => (who.clone(), pattern).prop_map(|(who, pattern)| Step::RemovePattern(who, pattern)),
        1 => (who.clone(), shape).prop_map(|(who, shape)| Step::Reshape(who, shape)),
        4 => who.clone().prop_map(Step::Merge),
        1 => who.prop_map(Step::Leave),
        4 => name.clone().prop_map(Step::Record),
        1 => name.clone().prop_map(Step::Appear),
        1 => name.prop_map(Step::Expire),
    ];
    prop::collection::vec(step, 1..150)
}

fn name(place: usize) -> ChannelName {
    ChannelName::parse(NAMES[place]).unwrap()
}

fn pattern(place: usize) -> ChannelPattern {
    ChannelPattern::parse(PATTERNS[place]).unwrap()
}

/// What a subscriber asked for.
#[derive(Clone, Debug)]
struct Wish {
    shape: Shape,
    /// Rates of channels by name.
    named: BTreeMap<usize, u32>,
    /// Those by an alias.
    aliases: BTreeSet<(usize, u32)>,
    /// Rates of patterns.
    patterns: BTreeMap<usize, u32>,
}

impl Wish {
    fn of(shape: Shape) -> Self {
        Self { shape, named: BTreeMap::new(), aliases: BTreeSet::new(), patterns: BTreeMap::new() }
    }

    /// The rate that its patterns want.
    fn rate(&self, place: usize) -> Option<u32> {
        let matching = self.patterns.iter().filter(|(of, _)| pattern(**of).matches(&name(place)));
        matching.map(|(_, rate)| *rate).min()
    }
}

/// A channel as the catalogue and the cursor know it; it stands at its name's number.
#[derive(Clone, Copy, Debug, Default)]
struct Channel {
    generation: u32,
    exists: bool,
    sequence: u64,
}

#[derive(Default)]
struct Pair {
    index: Index,
    cohorts: BTreeMap<u32, CohortId>,
    naive: BTreeMap<u32, Wish>,
    channels: [Channel; NAMES.len()],
}

impl Pair {
    fn id(&self, place: usize) -> ChannelId {
        ChannelId { index: place as u32, generation: self.channels[place].generation }
    }

    fn info(&self, place: usize) -> Option<ChannelInfo> {
        let info = ChannelInfo { name: name(place), id: self.id(place), rule: RULE, stale: false };
        self.channels[place].exists.then_some(info)
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
                self.naive.insert(who, Wish::of(SHAPES[shape]));
            }
            Step::Record(name) => self.record(name),
            Step::Appear(name) => self.channels[name].exists = true,
            Step::Expire(name) => self.expire(name),
            Step::Add(who, ..)
            | Step::Remove(who, _)
            | Step::AddPattern(who, ..)
            | Step::RemovePattern(who, _)
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

    fn record(&mut self, place: usize) {
        self.channels[place].exists = true;
        let info = self.info(place).unwrap();
        let is_wanted = self.naive.values().any(|wish| wish.rate(place).is_some());
        let seen = match self.index.meet(info.id, || Some(info.clone())) {
            Some(seen) => seen,
            None => {
                assert!(is_wanted && self.channels[place].sequence == 0, "held without need");
                self.index.enter(info.id, Some(&info));
                for cohort in self.index.cohorts_matching(&info.name) {
                    self.join(cohort, place);
                }
                self.index.meet(info.id, || None).expect("a channel is held once")
            }
        };
        assert_eq!(seen.sequence, self.channels[place].sequence);
        self.channels[place].sequence += 1;
        self.index.set_seen(info.id.index, self.channels[place].sequence);
    }

    fn expire(&mut self, place: usize) {
        let Channel { generation, exists, sequence } = self.channels[place];
        if !exists || sequence == 0 {
            return;
        }
        self.index.expire(self.id(place));
        self.channels[place] = Channel { generation: generation + 1, ..Channel::default() };
    }

    /// Joins a channel because a pattern matches.
    fn join(&mut self, cohort: CohortId, place: usize) {
        let (name, info) = (name(place), self.info(place));
        let every_ms = self.index.wanted_rate(cohort, &name, None).unwrap();
        let before = self.index.find(cohort, &name);
        if before.is_some_and(|slot| self.index.cohort(cohort).is_named(slot)) {
            return;
        }
        let slot = self.index.intern(SlotKey::of(&name, every_ms), RULE, info.as_ref());
        self.index.add(cohort, slot, false);
        before.filter(|&before| before != slot).map(|before| self.index.remove(cohort, before));
    }

    fn edit(&mut self, who: u32, step: &Step) {
        let own = self.own(who);
        match *step {
            Step::Add(_, place, rate, false) => self.add(who, own, place, RATES[rate]),
            Step::Add(_, place, rate, true) => self.add_alias(who, own, place, RATES[rate].max(50)),
            Step::Remove(_, place) => self.remove(who, own, place),
            Step::AddPattern(_, of, rate) => {
                self.naive.get_mut(&who).unwrap().patterns.insert(of, RATES[rate]);
                self.index.add_pattern(own, &pattern(of), RATES[rate]);
                let matching = (0..NAMES.len()).filter(|&place| pattern(of).matches(&name(place)));
                let exist: Vec<_> = matching.filter(|&place| self.channels[place].exists).collect();
                exist.into_iter().for_each(|place| self.join(own, place));
            }
            Step::RemovePattern(_, of) => self.remove_pattern(who, own, of),
            Step::Reshape(_, to) => {
                self.naive.get_mut(&who).unwrap().shape = SHAPES[to];
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

    fn add(&mut self, who: u32, own: CohortId, place: usize, every_ms: u32) {
        self.naive.get_mut(&who).unwrap().named.insert(place, every_ms);
        let before = self.index.find(own, &name(place));
        let slot = self.index.intern(SlotKey::of(&name(place), every_ms), RULE, self.info(place).as_ref());
        assert_eq!(self.index.add(own, slot, true), before != Some(slot));
        before.filter(|&before| before != slot).map(|before| self.index.remove(own, before));
    }

    fn add_alias(&mut self, who: u32, own: CohortId, place: usize, every_ms: u32) {
        let is_new = self.naive.get_mut(&who).unwrap().aliases.insert((place, every_ms));
        let (label, source) = (alias(place, every_ms), name(place));
        let key = SlotKey { label: &label, source: &source, every_ms };
        let slot = self.index.intern(key, RULE, self.info(place).as_ref());
        assert_eq!(self.index.add(own, slot, true), is_new);
        assert_eq!(self.index.find(own, &label), Some(slot));
    }

    fn remove(&mut self, who: u32, own: CohortId, place: usize) {
        let wish = self.naive.get_mut(&who).unwrap();
        if let Some((place, every_ms)) = wish.aliases.pop_first() {
            let slot = self.index.find(own, &alias(place, every_ms)).unwrap();
            assert!(self.index.remove(own, slot));
        }
        let had = wish.named.remove(&place).is_some();
        let found = self.index.find(own, &name(place)).filter(|&it| self.index.cohort(own).is_named(it));
        assert_eq!(found.is_some(), had);
        let Some(slot) = found else { return };
        match self.info(place).filter(|_| self.index.wanted_rate(own, &name(place), None).is_some()) {
            Some(_) if self.index.slot(slot).channel.is_some() => {
                self.index.unname(own, slot);
                self.join(own, place);
            }
            _ => assert!(self.index.remove(own, slot)),
        }
    }

    fn remove_pattern(&mut self, who: u32, own: CohortId, of: usize) {
        let had = self.naive.get_mut(&who).unwrap().patterns.remove(&of).is_some();
        assert_eq!(self.index.has_pattern(own, &pattern(of)), had);
        let joined = |index: &Index, slot: &SlotId| {
            !index.cohort(own).is_named(*slot) && pattern(of).matches(&index.slot(*slot).source)
        };
        let slots = self.index.cohort(own).slots.clone();
        let joined: Vec<_> = slots.into_iter().filter(|slot| joined(&self.index, slot)).collect();
        let sources: Vec<_> = joined.iter().map(|&slot| self.index.slot(slot).source.clone()).collect();
        for (&slot, source) in joined.iter().zip(&sources) {
            if self.index.wanted_rate(own, source, Some(&pattern(of))).is_none() {
                assert!(self.index.remove(own, slot));
            }
        }
        self.index.remove_pattern(own, &pattern(of));
        for source in &sources {
            if self.index.find(own, source).is_some() {
                let place = NAMES.iter().position(|name| *name == source.as_str()).unwrap();
                self.join(own, place);
            }
        }
    }

    /// Whom a record of a channel reaches, at which rate, in which shape, and under which name. Those who joined by a pattern a channel
    /// that has expired are left out.
    fn reached(&self, place: usize) -> Vec<(u32, u32, usize, String)> {
        let mut reached = Vec::new();
        for slot in self.index.slots_named(&name(place)) {
            let (id, slot) = (slot, self.index.slot(slot));
            for &cohort in &slot.cohorts {
                let cohort = self.index.cohort(cohort);
                assert!(slot.wants(cohort.shape));
                if self.channels[place].sequence == 0 && !cohort.is_named(id) {
                    continue;
                }
                let label = slot.name.as_str();
                reached.extend(
                    cohort
                        .members
                        .iter()
                        .map(|&who| (who, slot.every_ms, cohort.shape.index(), label.to_owned())),
                );
            }
        }
        reached.sort();
        reached
    }

    /// A channel that exists, but was not met, is joined by those patterns that came after it: so it is left out.
    fn expected(&self, place: usize) -> Vec<(u32, u32, usize, String)> {
        let mut expected = Vec::new();
        for (&who, wish) in &self.naive {
            let joined = wish.rate(place).filter(|_| self.channels[place].sequence > 0);
            let plain = wish.named.get(&place).copied().or(joined);
            expected.extend(plain.map(|rate| (who, rate, wish.shape.index(), NAMES[place].to_owned())));
            let aliases = wish.aliases.iter().filter(|(of, _)| *of == place);
            let label = |rate| alias(place, rate).as_str().to_owned();
            expected.extend(aliases.map(|&(_, rate)| (who, rate, wish.shape.index(), label(rate))));
        }
        expected.sort();
        expected
    }

    fn check(&self) {
        for (place, text) in NAMES.iter().enumerate() {
            if !self.channels[place].exists || self.channels[place].sequence > 0 {
                assert_eq!(self.reached(place), self.expected(place), "{text}");
            }
            self.check_slots(place);
        }
        for (who, &cohort) in &self.cohorts {
            let of = self.index.cohort(cohort);
            assert!(of.members.contains(who));
            assert_eq!(of.patterns().len(), self.naive[who].patterns.len());
            assert_eq!(of.named_len(), self.naive[who].named.len() + self.naive[who].aliases.len());
        }
    }

    /// The slots of a channel are one list, each with takers and once, the one without a rate first; a channel that was met leads to
    /// them, and they to it.
    fn check_slots(&self, place: usize) {
        let slots: Vec<_> = self.index.slots_named(&name(place)).collect();
        let id = self.id(place);
        for (nth, &slot) in slots.iter().enumerate() {
            let of = self.index.slot(slot);
            assert!(!of.cohorts.is_empty() && !slots[..nth].contains(&slot));
            assert!(of.every_ms > 0 || nth == 0);
            assert_eq!(of.channel, self.index.slot(slots[0]).channel);
            if self.channels[place].sequence > 0 {
                assert_eq!(self.index.seen(slot), Some((id, self.channels[place].sequence)));
            }
        }
        let bound = slots.first().and_then(|&slot| self.index.slot(slot).channel);
        assert!(bound.is_none_or(|bound| bound == id));
        if bound.is_some() || self.channels[place].sequence > 0 {
            assert_eq!(self.index.first_slot_of(id), slots.first().copied());
        }
    }
}

fn alias(place: usize, every_ms: u32) -> ChannelName {
    ChannelName::parse(&format!("{}@{every_ms}ms", NAMES[place])).unwrap()
}

/// A channel's end may be lost to a lap: its name then comes again at another place while the old one is still entered.
#[test]
fn a_name_that_moves_leaves_its_old_place() {
    let mut index = Index::default();
    let [one, other] = [name(0), name(1)];
    let info = |name: &ChannelName, index| {
        let id = ChannelId { index, generation: 1 };
        ChannelInfo { name: name.clone(), id, rule: RULE, stale: false }
    };
    let cohort = index.admit(0, Shape::Native);
    let old = ChannelInfo { id: ChannelId { index: 0, generation: 0 }, ..info(&one, 0) };
    let slot = index.intern(SlotKey::of(&one, 0), RULE, Some(&old));
    index.add(cohort, slot, true);
    index.set_seen(0, 9);
    let moved = info(&one, 1);
    assert_eq!(index.meet(moved.id, || Some(moved.clone())).unwrap().slot, Some(slot));
    assert_eq!(index.slot(slot).past, 9, "how far the old one came is remembered");
    let newcomer = info(&other, 0);
    assert_eq!(index.meet(newcomer.id, || Some(newcomer.clone())).unwrap().slot, None);
    assert_eq!(index.slot(slot).channel, Some(moved.id), "the old place's new owner took nothing away");
    index.remove(cohort, slot);
    assert_eq!(
        index.meet(moved.id, || None).unwrap().slot,
        None,
        "and nothing points to a slot that is gone"
    );
}

/// The catalogue is ahead of the cursor: a place's next channel is joined when the cursor has seen the end of the one before.
#[test]
fn a_channel_is_not_taken_from_its_place_before_its_end_was_seen() {
    let mut index = Index::default();
    let id = |generation| ChannelId { index: 0, generation };
    let info =
        |place, generation| ChannelInfo { name: name(place), id: id(generation), rule: RULE, stale: false };
    let cohort = index.admit(0, Shape::Native);
    let [old, new] = [info(0, 0), info(1, 1)];
    let slot = index.intern(SlotKey::of(&old.name, 0), RULE, Some(&old));
    index.add(cohort, slot, true);
    index.meet(old.id, || Some(old.clone()));
    let next = index.intern(SlotKey::of(&new.name, 0), RULE, Some(&new));
    index.add(cohort, next, true);
    assert_eq!(index.meet(old.id, || None).unwrap().slot, Some(slot), "its last records are still to come");
    index.expire(old.id);
    assert_eq!(index.meet(new.id, || Some(new.clone())).unwrap().slot, Some(next));
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

    /// However they came to the same channels, subscribers that are still share one cohort; also while patterns join more.
    #[test]
    fn the_same_channels_are_one_cohort(
        orders in prop::collection::vec(Just((0..NAMES.len()).collect::<Vec<_>>()).prop_shuffle(), 2..5),
        of in 0..PATTERNS.len(),
        later in 0..NAMES.len(),
    ) {
        let mut pair = Pair::default();
        for (who, order) in orders.iter().enumerate() {
            let who = who as u32;
            pair.step(&Step::Admit(who, 0));
            let kept = order.iter().filter(|&&name| name != later);
            kept.for_each(|&name| pair.step(&Step::Add(who, name, 0, false)));
            pair.step(&Step::AddPattern(who, of, 0));
            pair.step(&Step::Merge(who));
        }
        prop_assert_eq!(pair.index.cohorts_len(), 1);
        pair.step(&Step::Record(later));
        pair.check();
        pair.step(&Step::Merge(0));
        prop_assert_eq!(pair.index.cohorts_len(), 1);
        pair.step(&Step::Expire(later));
        pair.check();
    }
}

impl Index {
    /// A slot's subscribers have chosen a rate.
    pub(in crate::shard) fn rate(&mut self, slot: SlotId, every_ms: u32) {
        self.slots[slot as usize].every_ms = every_ms;
    }
}
