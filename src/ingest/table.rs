//! The places of the channel table: which channel has which, how far its sequence has come, when it last spoke.
//!
//! Ingest thread; pure. Never looks at a name's rules but for a new channel. Invariant: a place that was left is
//! given away again only under a new generation.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::refusal::{Refusal, RefusalCode};
use crate::channel::{ChannelId, ChannelName};

/// Every channel that exists, as the sequencer needs it.
#[derive(Debug)]
pub(super) struct Table {
    by_name: HashMap<ChannelName, u32, RandomState>,
    places: Vec<Place>,
    free: Vec<u32>,
    places_max: u32,
    /// Where the search for silent channels goes on.
    cursor: usize,
}

#[derive(Debug, Default)]
struct Place {
    name: Option<ChannelName>,
    generation: u32,
    sequence: u64,
    last_ns: u64,
}

impl Table {
    pub(super) fn new(places_max: u32) -> Self {
        Self { by_name: HashMap::default(), places: Vec::new(), free: Vec::new(), places_max, cursor: 0 }
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
        place.name = Some(name.clone());
        place.sequence = 0;
        self.by_name.insert(name.clone(), index);
        Ok((ChannelId { index, generation: place.generation }, name))
    }

    /// The sequence that the channel's next record will have.
    pub(super) fn next_sequence(&self, id: ChannelId) -> u64 {
        self.places[id.index as usize].sequence + 1
    }

    /// Notes that the channel's next record was published.
    pub(super) fn advance(&mut self, id: ChannelId, now_ns: u64) {
        let place = &mut self.places[id.index as usize];
        place.sequence += 1;
        place.last_ns = now_ns;
    }

    /// Takes a channel's place away from it. Returns its last sequence.
    pub(super) fn release(&mut self, id: ChannelId) -> u64 {
        let place = &mut self.places[id.index as usize];
        if let Some(name) = place.name.take() {
            self.by_name.remove(&name);
            place.generation = place.generation.wrapping_add(1);
            self.free.push(id.index);
        }
        place.sequence
    }

    /// The next channel whose last record is older than `before_ns`, looking at no more than `steps` places; what
    /// is left of them afterwards is in `steps`.
    pub(super) fn next_silent(&mut self, before_ns: u64, steps: &mut usize) -> Option<ChannelId> {
        while *steps > 0 && !self.places.is_empty() {
            *steps -= 1;
            let index = self.cursor % self.places.len();
            self.cursor = index + 1;
            let place = &self.places[index];
            if place.name.is_some() && place.last_ns < before_ns {
                return Some(ChannelId { index: index as u32, generation: place.generation });
            }
        }
        None
    }

    fn another_place(&mut self) -> Option<u32> {
        let index = u32::try_from(self.places.len()).ok().filter(|index| *index < self.places_max)?;
        self.places.push(Place::default());
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back_under_a_new_generation() {
        let mut table = Table::new(2);
        let (one, _) = table.create("a@trade").unwrap();
        let (two, _) = table.create("b@trade").unwrap();
        assert_eq!(table.create("c@trade").map_err(|why| why.code).err(), Some(RefusalCode::TooManyChannels));
        assert_eq!(table.create("c trade").map_err(|why| why.code).err(), Some(RefusalCode::InvalidChannel));
        table.advance(one, 5);
        assert_eq!(table.next_sequence(one), 2);
        assert_eq!(table.release(one), 1);
        assert_eq!(table.find("a@trade"), None);
        let (three, _) = table.create("c@trade").unwrap();
        assert_eq!(three, ChannelId { index: one.index, generation: 1 });
        assert_eq!(table.next_sequence(three), 1);
        assert_eq!((table.find("b@trade"), table.find("c@trade")), (Some(two), Some(three)));
    }

    #[test]
    fn the_search_for_silent_channels_takes_bounded_steps_and_goes_round() {
        let mut table = Table::new(10);
        for number in 0..10 {
            let (id, _) = table.create(&format!("s{number}@trade")).unwrap();
            table.advance(id, number);
        }
        let mut found = Vec::new();
        for _ in 0..5 {
            let mut steps = 4;
            while let Some(id) = table.next_silent(7, &mut steps) {
                found.push(id.index);
                table.release(id);
            }
            assert_eq!(steps, 0);
        }
        assert_eq!(found, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(Table::new(1).next_silent(7, &mut 3), None);
    }
}
