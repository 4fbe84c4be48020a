//! Who is in a cohort.
//!
//! Owned by one shard's thread. Invariant: never empty; one alone needs no memory of its own, and most are alone.

use std::ops::Deref;
use std::slice;

use super::SubscriberId;

/// The subscribers of a cohort, in no order.
#[derive(Clone, Debug)]
pub(in crate::shard) enum Members {
    One(SubscriberId),
    Many(Vec<SubscriberId>),
}

impl Members {
    /// One more comes.
    pub(super) fn join(&mut self, one: SubscriberId) {
        match self {
            Self::One(id) => *self = Self::Many(vec![*id, one]),
            Self::Many(ids) => ids.push(one),
        }
    }

    /// One of several leaves.
    pub(super) fn leave(&mut self, one: SubscriberId) {
        let Self::Many(ids) = self else { return };
        ids.retain(|&id| id != one);
        if let [last] = ids[..] {
            *self = Self::One(last);
        }
    }
}

impl Deref for Members {
    type Target = [SubscriberId];

    fn deref(&self) -> &[SubscriberId] {
        match self {
            Self::One(id) => slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

impl<'a> IntoIterator for &'a Members {
    type Item = &'a SubscriberId;
    type IntoIter = slice::Iter<'a, SubscriberId>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
