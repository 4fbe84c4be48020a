//! The places of the channel table: which channel has which, how far its sequence has come, when and by whom it was
//! last spoken of.
//!
//! Ingest thread; pure. Never looks at a name's rules but for a new channel. Invariants: a place that was left is
//! given away again only under a new generation, and a channel that is new goes on above every one that expired.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::aging::{Aging, Due};
use super::presence::{FeedId, Feeds};
use super::refusal::{Refusal, RefusalCode};
use crate::channel::{ChannelId, ChannelName};

/// Feeds that a channel remembers, those that spoke last. Of more than these, one that is here but says nothing of the
/// channel does not keep it from going stale.
const FEEDS_MAX: usize = 4;

/// Every channel that exists, as the sequencer needs it.
#[derive(Debug)]
pub(super) struct Table {
    by_name: HashMap<ChannelName, u32, RandomState>,
    places: Vec<Place>,
    free: Vec<u32>,
    places_max: u32,
    /// Highest last sequence of any channel that expired: a name that comes back must not begin anew below it.
    floor: u64,
    /// Where the round over all places goes on.
    cursor: usize,
}

#[derive(Debug, Default)]
struct Place {
    name: Option<ChannelName>,
    generation: u32,
    freshness: Freshness,
    sequence: u64,
    heard_ns: u64,
    /// Who published it, the latest first.
    feeds: [FeedId; FEEDS_MAX],
}

/// How far a round over all places has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// To this channel, to which something is due.
    Due(ChannelId, Due),
    /// As far as it may in one turn.
    GoesOn,
    /// To its end.
    Over,
}

/// Whether a channel's value is as new as can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Freshness {
    #[default]
    Fresh,
    /// Its feeds are gone or silent.
    Quiet,
    /// Its newest record was refused.
    Refused,
}

impl Table {
    pub(super) fn new(places_max: u32) -> Self {
        Self {
            by_name: HashMap::default(),
            places: Vec::new(),
            free: Vec::new(),
            places_max,
            floor: 0,
            cursor: 0,
        }
    }

    /// The channel of this name.
    pub(super) fn find(&self, name: &str) -> Option<ChannelId> {
        let index = *self.by_name.get(name)?;
        Some(ChannelId { index, generation: self.places[index as usize].generation })
    }

    /// Gives a place to a channel that has none.
    ///
    /// # Errors
    /// When the name breaks the rules, or every place is taken.
    pub(super) fn create(&mut self, name: &str) -> Result<(ChannelId, ChannelName), Refusal> {
        let name = ChannelName::parse(name)?;
        let index = self.free.pop().or_else(|| self.another_place()).ok_or_else(|| {
            Refusal::new(RefusalCode::TooManyChannels, "every place of the channel table is taken")
        })?;
        let place = &mut self.places[index as usize];
        let generation = place.generation;
        *place = Place { name: Some(name.clone()), generation, sequence: self.floor, ..Place::default() };
        self.by_name.insert(name.clone(), index);
        Ok((ChannelId { index, generation }, name))
    }

    /// Its last record's sequence; of a new channel, the one below its first.
    pub(super) fn sequence(&self, id: ChannelId) -> u64 {
        self.places[id.index as usize].sequence
    }

    /// Notes that the channel's next record was published.
    pub(super) fn advance(&mut self, id: ChannelId, feed: FeedId, now_ns: u64) {
        let place = &mut self.places[id.index as usize];
        place.sequence += 1;
        place.hear(feed, now_ns);
    }

    /// Notes that a feed spoke of the channel, though nothing was published.
    pub(super) fn hear(&mut self, id: ChannelId, feed: FeedId, now_ns: u64) {
        self.places[id.index as usize].hear(feed, now_ns);
    }

    pub(super) fn freshness(&self, id: ChannelId) -> Freshness {
        self.places[id.index as usize].freshness
    }

    pub(super) fn set_freshness(&mut self, id: ChannelId, freshness: Freshness) {
        self.places[id.index as usize].freshness = freshness;
    }

    /// Takes a channel's place away from it. Returns its last sequence.
    pub(super) fn release(&mut self, id: ChannelId) -> u64 {
        let place = &mut self.places[id.index as usize];
        if let Some(name) = place.name.take() {
            self.by_name.remove(&name);
            place.generation = place.generation.wrapping_add(1);
            self.free.push(id.index);
            self.floor = self.floor.max(place.sequence);
        }
        place.sequence
    }

    /// Goes on with the round over all places, looking at no more than `steps` of them, up to a channel to which
    /// something is due.
    pub(super) fn next_due(&mut self, aging: &Aging, feeds: &Feeds, now_ns: u64, steps: &mut usize) -> Round {
        while *steps > 0 {
            let index = self.cursor as u32;
            let Some(place) = self.places.get_mut(self.cursor) else {
                self.cursor = 0;
                return Round::Over;
            };
            (self.cursor, *steps) = (self.cursor + 1, *steps - 1);
            if place.name.is_some()
                && let Some(due) = place.due(aging, feeds, now_ns)
            {
                return Round::Due(ChannelId { index, generation: place.generation }, due);
            }
        }
        Round::GoesOn
    }

    fn another_place(&mut self) -> Option<u32> {
        let index = u32::try_from(self.places.len()).ok().filter(|index| *index < self.places_max)?;
        self.places.push(Place::default());
        Some(index)
    }
}

impl Place {
    // One feed a channel is what there mostly is, and costs one comparison.
    fn hear(&mut self, feed: FeedId, now_ns: u64) {
        self.heard_ns = now_ns;
        if self.feeds[0] != feed {
            self.put_first(feed);
        }
    }

    fn put_first(&mut self, feed: FeedId) {
        let known = self.feeds.iter().position(|known| *known == feed);
        let place = known.or_else(|| self.feeds.iter().position(|known| *known == FeedId::NONE));
        self.feeds[..=place.unwrap_or(FEEDS_MAX - 1)].rotate_right(1);
        self.feeds[0] = feed;
    }

    fn due(&mut self, aging: &Aging, feeds: &Feeds, now_ns: u64) -> Option<Due> {
        let silent_ns = now_ns.saturating_sub(self.heard_ns);
        if aging.expire_ns.is_some_and(|expire_ns| silent_ns > expire_ns) {
            return Some(Due::Expired);
        }
        if self.freshness != Freshness::Fresh {
            return None;
        }
        for feed in &mut self.feeds {
            if !feeds.counts(*feed, self.heard_ns, now_ns) {
                *feed = FeedId::NONE;
            }
        }
        let forsaken = self.feeds == [FeedId::NONE; FEEDS_MAX];
        let silent = aging.silence_ns.is_some_and(|silence_ns| silent_ns >= silence_ns);
        (forsaken || silent).then_some(Due::Stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use std::time::Duration;

    const FEED: FeedId = FeedId::POST;

    #[test]
    fn places_are_bounded_and_come_back_under_a_new_generation() {
        let mut table = Table::new(2);
        let (one, _) = table.create("a@trade").unwrap();
        let (two, _) = table.create("b@trade").unwrap();
        assert_eq!(table.create("c@trade").map_err(|why| why.code).err(), Some(RefusalCode::TooManyChannels));
        assert_eq!(table.create("c trade").map_err(|why| why.code).err(), Some(RefusalCode::InvalidChannel));
        table.advance(one, FEED, 5);
        assert_eq!(table.sequence(one), 1);
        assert_eq!(table.release(one), 1);
        assert_eq!(table.find("a@trade"), None);
        let (three, _) = table.create("c@trade").unwrap();
        assert_eq!(three, ChannelId { index: one.index, generation: 1 });
        assert_eq!((table.find("b@trade"), table.find("c@trade")), (Some(two), Some(three)));
    }

    #[test]
    fn no_name_that_comes_back_has_a_sequence_twice() {
        let mut table = Table::new(3);
        let ids = ["a@trade", "b@trade", "c@trade"].map(|name| table.create(name).unwrap().0);
        for (id, records) in ids.into_iter().zip([7, 3, 9]) {
            (0..records).for_each(|_| table.advance(id, FEED, 1));
        }
        assert_eq!((table.release(ids[1]), table.release(ids[0])), (3, 7));
        let (again, _) = table.create("b@trade").unwrap();
        assert_eq!(table.sequence(again), 7, "above all that expired, whichever place it gets");
        assert_eq!(table.release(again), 7, "one that never had a record leaves no trace");
        assert_eq!(table.sequence(table.find("c@trade").unwrap()), 9);
        let (other, _) = table.create("d@trade").unwrap();
        assert_eq!(table.sequence(other), 7);
    }

    /// What is due to each of the channels at `now_ns`, by its number, and whether the round came to its end.
    fn round(table: &mut Table, aging: &Aging, feeds: &Feeds, now_ns: u64) -> Vec<(u32, Due)> {
        let mut all = Vec::new();
        loop {
            let mut steps = 4;
            let (id, due) = loop {
                match table.next_due(aging, feeds, now_ns, &mut steps) {
                    Round::Due(id, due) => break (id, due),
                    Round::GoesOn => steps = 4,
                    Round::Over => return all,
                }
            };
            all.push((id.index, due));
            match due {
                Due::Stale => table.set_freshness(id, Freshness::Quiet),
                Due::Expired => {
                    table.release(id);
                }
            }
        }
    }

    #[test]
    fn a_round_takes_bounded_steps_and_finds_each_channel_that_is_due_once() {
        let never = Feeds::new(Duration::ZERO);
        for places in [0, 3, 4, 10] {
            let mut table = Table::new(10);
            for number in 0..places {
                let (id, _) = table.create(&format!("s{number}@trade")).unwrap();
                table.advance(id, FEED, u64::from(number));
            }
            let aging = Aging { expire_ns: Some(93), ..Aging::default() };
            let found = round(&mut table, &aging, &never, 100);
            let due: Vec<_> = (0..places.min(7)).map(|index| (index, Due::Expired)).collect();
            assert_eq!(found, due, "{places} places");
            assert_eq!(round(&mut table, &aging, &never, 100), []);
        }
    }

    #[test]
    fn a_channel_is_stale_when_all_who_published_it_are_gone_or_silent() {
        let feeds = Rc::new(Feeds::new(Duration::from_nanos(10)));
        let (far, aging) = (u64::MAX, Aging::default());
        let mut table = Table::new(3);
        let ids = ["a@trade", "b@trade", "c@trade"].map(|name| table.create(name).unwrap().0);
        let (a, b) = (feeds.arrive(&"a".into()), feeds.arrive(&"b".into()));
        table.advance(ids[0], a.id(), 100);
        table.advance(ids[1], a.id(), 100);
        table.hear(ids[1], b.id(), 100);
        table.advance(ids[2], FEED, 100);
        assert_eq!(round(&mut table, &aging, &feeds, 109), []);
        assert_eq!(round(&mut table, &aging, &feeds, 110), [(2, Due::Stale)], "a post is gone at once");
        drop(a);
        assert_eq!(round(&mut table, &aging, &feeds, far), [(0, Due::Stale)], "b is still here");
        let silence = Aging { silence_ns: Some(1_000), ..aging };
        assert_eq!(round(&mut table, &silence, &feeds, 1_099), []);
        assert_eq!(round(&mut table, &silence, &feeds, 1_100), [(1, Due::Stale)]);
        assert_eq!(round(&mut table, &silence, &feeds, far), [], "and each is told once");
    }

    #[test]
    fn a_place_remembers_those_who_spoke_last() {
        let feeds = Rc::new(Feeds::new(Duration::from_nanos(10)));
        let present: Vec<_> = (0..FEEDS_MAX + 1).map(|_| feeds.arrive(&"x".into())).collect();
        let ids: Vec<_> = present.iter().map(|presence| presence.id()).collect();
        let mut place = Place::default();
        for id in [ids[0], ids[1], ids[0], ids[2], ids[2], ids[3]] {
            place.hear(id, 1);
        }
        assert_eq!(place.feeds, [ids[3], ids[2], ids[0], ids[1]]);
        place.hear(ids[4], 1);
        assert_eq!(place.feeds, [ids[4], ids[3], ids[2], ids[0]]);
        drop(present);
        assert_eq!(place.due(&Aging::default(), &feeds, u64::MAX), Some(Due::Stale));
        place.hear(ids[1], 1);
        assert_eq!(place.feeds[1], FeedId::NONE, "the gone leave their places");
    }
}
