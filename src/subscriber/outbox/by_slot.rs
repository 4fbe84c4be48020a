//! Something for some channels of a subscriber, one each, in the order in which they came.
//!
//! Pure. Invariant: a slot stands in the order exactly when it has a value.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use super::Slot;

/// One value a slot, first come first served.
#[derive(Debug)]
pub(super) struct BySlot<T> {
    order: VecDeque<Slot>,
    values: HashMap<Slot, T, RandomState>,
}

impl<T> Default for BySlot<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), values: HashMap::default() }
    }
}

impl<T> BySlot<T> {
    /// The slot's value; a new one stands behind all others.
    pub(super) fn entry(&mut self, slot: Slot, new: impl FnOnce() -> T) -> &mut T {
        let order = &mut self.order;
        self.values.entry(slot).or_insert_with(|| {
            order.push_back(slot);
            new()
        })
    }

    /// The `place`-th from the first on.
    pub(super) fn at(&self, place: usize) -> Option<(Slot, &T)> {
        let slot = *self.order.get(place)?;
        Some((slot, self.values.get(&slot)?))
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut T> {
        self.values.get_mut(self.order.front()?)
    }

    pub(super) fn pop(&mut self) {
        if let Some(slot) = self.order.pop_front() {
            self.values.remove(&slot);
        }
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<T> {
        let value = self.values.remove(&slot)?;
        self.order.retain(|&other| other != slot);
        Some(value)
    }

    /// Takes the values of these slots away.
    pub(super) fn withdraw(&mut self, slots: &[Slot]) {
        let before = self.values.len();
        slots.iter().for_each(|slot| drop(self.values.remove(slot)));
        if self.values.len() < before {
            self.order.retain(|slot| self.values.contains_key(slot));
        }
    }

    pub(super) fn clear(&mut self) {
        self.order.clear();
        self.values.clear();
    }
}
