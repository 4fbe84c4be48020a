//! Things by their numbers, in pieces that never move: what a slab is, without its growth by copying.
//!
//! Owned by one shard's thread; knows nothing of what it holds. Invariant: a number is given again only after its thing is gone, the
//! one that was freed last first; so numbers stay dense, and none grows beyond the most things that there were at once.
//!
//! A slab of 10,000 subscribers copies megabytes into fresh pages as it doubles, in one turn, and leaves the old ones behind: they
//! were a fifth of an idle subscriber's resident bytes.

use std::ops::{Index, IndexMut};

/// Things a piece: it is allocated at once, and pages that nothing was put on yet are not resident.
const PIECE: usize = 256;
/// No number: the end of the list of free ones.
const NONE: u32 = u32::MAX;

/// Where a thing stands, or stood.
#[derive(Debug)]
pub(super) enum Place<T> {
    Taken(T),
    /// And the next number that is free.
    Free(u32),
}

/// Things by their numbers.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    pieces: Vec<Vec<Place<T>>>,
    /// The number that was freed last.
    free: u32,
    len: usize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), free: NONE, len: 0 }
    }
}

impl<T> Shelf<T> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All numbers are below this.
    pub(super) fn places(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * PIECE + last.len())
    }

    /// The number that the next one will have.
    pub(super) fn vacant_key(&self) -> usize {
        if self.free == NONE { self.places() } else { self.free as usize }
    }

    /// Puts a thing into the place of [`Shelf::vacant_key`].
    pub(super) fn insert(&mut self, thing: T) -> usize {
        let number = self.vacant_key();
        self.len += 1;
        if let Some(place) = self.place_mut(number) {
            if let Place::Free(next) = std::mem::replace(place, Place::Taken(thing)) {
                self.free = next;
            }
            return number;
        }
        if number.is_multiple_of(PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        self.pieces[number / PIECE].push(Place::Taken(thing));
        number
    }

    /// Takes a thing out; `None`: there is none of this number.
    pub(super) fn remove(&mut self, number: usize) -> Option<T> {
        let free = self.free;
        let place = self.place_mut(number).filter(|place| matches!(place, Place::Taken(_)))?;
        let Place::Taken(thing) = std::mem::replace(place, Place::Free(free)) else { return None };
        self.free = number as u32;
        self.len -= 1;
        Some(thing)
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        self.get(number).is_some()
    }

    pub(super) fn get(&self, number: usize) -> Option<&T> {
        match self.pieces.get(number / PIECE)?.get(number % PIECE)? {
            Place::Taken(thing) => Some(thing),
            Place::Free(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        match self.place_mut(number)? {
            Place::Taken(thing) => Some(thing),
            Place::Free(_) => None,
        }
    }

    fn place_mut(&mut self, number: usize) -> Option<&mut Place<T>> {
        self.pieces.get_mut(number / PIECE)?.get_mut(number % PIECE)
    }

    /// All of them with their numbers, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let places = self.pieces.iter().flatten().enumerate();
        places.filter_map(|(number, place)| match place {
            Place::Taken(thing) => Some((number, thing)),
            Place::Free(_) => None,
        })
    }
}

impl<T> Index<usize> for Shelf<T> {
    type Output = T;

    fn index(&self, number: usize) -> &T {
        match &self.pieces[number / PIECE][number % PIECE] {
            Place::Taken(thing) => thing,
            Place::Free(_) => panic!("nothing has the number {number}"),
        }
    }
}

impl<T> IndexMut<usize> for Shelf<T> {
    fn index_mut(&mut self, number: usize) -> &mut T {
        match &mut self.pieces[number / PIECE][number % PIECE] {
            Place::Taken(thing) => thing,
            Place::Free(_) => panic!("nothing has the number {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use slab::Slab;

    use super::*;

    /// What can be seen of it is what can be seen of a slab.
    fn compare(shelf: &mut Shelf<u32>, slab: &mut Slab<u32>) {
        assert_eq!((shelf.len(), shelf.is_empty()), (slab.len(), slab.is_empty()));
        assert_eq!(shelf.vacant_key(), slab.vacant_key());
        assert!(shelf.iter().eq(slab.iter()));
        for number in 0..shelf.places() + 2 {
            assert_eq!(
                (shelf.get(number), shelf.contains(number)),
                (slab.get(number), slab.contains(number))
            );
            assert_eq!(shelf.get_mut(number), slab.get_mut(number));
        }
        assert!(slab.iter().all(|(number, thing)| shelf[number] == *thing));
    }

    proptest! {
        /// Against a slab: the same numbers for the same things, over several pieces.
        #[test]
        fn gives_the_numbers_that_a_slab_gives(
            first in prop_oneof![Just(0), (2 * PIECE - 3)..(2 * PIECE + 3)],
            steps in prop::collection::vec((any::<u16>(), any::<bool>()), 0..40),
        ) {
            let (mut shelf, mut slab) = (Shelf::default(), Slab::new());
            for thing in 0..first as u32 {
                prop_assert_eq!(shelf.insert(thing), slab.insert(thing));
            }
            for (thing, comes) in steps {
                if comes {
                    prop_assert_eq!(shelf.insert(u32::from(thing)), slab.insert(u32::from(thing)));
                } else {
                    let number = usize::from(thing) % (slab.len() + 2);
                    prop_assert_eq!(shelf.remove(number), slab.try_remove(number));
                }
                compare(&mut shelf, &mut slab);
            }
        }
    }

    #[test]
    fn nothing_moves_as_it_grows() {
        let mut shelf = Shelf::default();
        shelf.insert(0_u32);
        let first = std::ptr::from_ref(&shelf[0]);
        for thing in 1..4 * PIECE as u32 {
            shelf.insert(thing);
        }
        assert_eq!(std::ptr::from_ref(&shelf[0]), first);
        assert_eq!(shelf.places(), 4 * PIECE);
    }
}
