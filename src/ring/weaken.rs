//! What a model may take away from the ring, to show that the models would notice.
//!
//! The switch is there with the feature `loom` alone; in every other build [`is`] is the constant `false`.
//! Invariant: one switch for each ordering that the ring's text claims to need.

use super::sync::{Ordering, fence};

/// One thing that the ring needs and a model can do without.
#[cfg_attr(not(feature = "loom"), expect(unreachable_pub, reason = "the models alone reach it"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weak {
    /// The writer's fence between the floor and the words that follow.
    WriterFence,
    /// The reader's fence between the words and the floor.
    ReaderFence,
    /// Release of the tail.
    TailRelease,
    /// Release of a channel's latest position.
    LatestRelease,
    /// Release of the floor.
    FloorRelease,
    /// Refresh first, floor afterwards.
    RefreshFirst,
    /// Refresh at all.
    Refresh,
    /// The writer's fence between the tail and the sleepers' flags.
    WakeFence,
    /// The reader's fence between its flag and the tail.
    DozeFence,
}

/// Release, unless this model does without.
pub(super) fn release(what: Weak) -> Ordering {
    if is(what) { Ordering::Relaxed } else { Ordering::Release }
}

/// The fence, unless this model does without.
pub(super) fn fence_unless(what: Weak, ordering: Ordering) {
    if !is(what) {
        fence(ordering);
    }
}

/// Whether this model does without it: never.
#[cfg(not(feature = "loom"))]
pub(super) const fn is(_what: Weak) -> bool {
    false
}

#[cfg(feature = "loom")]
pub(super) use model::is;
#[cfg(feature = "loom")]
pub use model::without;

#[cfg(feature = "loom")]
mod model {
    use super::Weak;
    use std::cell::Cell;

    // Loom runs all threads of a model on the thread that explores it, so models side by side do not meet here.
    thread_local! {
        static WITHOUT: Cell<Option<Weak>> = const { Cell::new(None) };
    }

    /// Runs a model without one thing.
    pub fn without<T>(what: Weak, model: impl FnOnce() -> T) -> T {
        WITHOUT.set(Some(what));
        let outcome = model();
        WITHOUT.set(None);
        outcome
    }

    pub(in super::super) fn is(what: Weak) -> bool {
        WITHOUT.get() == Some(what)
    }
}
