//! What a run of the model may take away from the core, to show that the model would notice.
//!
//! The switch is there with the feature `model` alone; in every other build [`is`] is the constant `false`, and what stands behind it is
//! compiled away. Invariant: each of these breaks a promise to a subscriber, and `tests/model` catches each.

/// One fault that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A latest record is not published again before it is overwritten: its channel has no value.
    DroppedRefresh,
    /// A channel is resumed one record too late.
    ResumeOffByOne,
    /// A record that is to wait as a mark is forgotten.
    ForgottenMark,
    /// The rest of a torn frame is not sent.
    TornFrameUnfinished,
    /// A snapshot waits behind what came after it.
    SnapshotAfterLive,
    /// What was read ahead of the cursor is not passed over when the cursor meets it.
    TwiceOnJoining,
    /// A record's frame says that nothing was skipped.
    SkippedUntold,
    /// What waits of a channel stays when it is unsubscribed.
    WithdrawLeaves,
    /// A value that is replaced while it waits is not counted.
    ConflatedUncounted,
    /// What was lost to a lap is not looked for.
    WalkForgotten,
    /// A socket that has room again is not looked at.
    WakeLost,
}

impl Planted {
    /// Every fault.
    pub const ALL: &[Self] = &[
        Self::DroppedRefresh,
        Self::ResumeOffByOne,
        Self::ForgottenMark,
        Self::TornFrameUnfinished,
        Self::SnapshotAfterLive,
        Self::TwiceOnJoining,
        Self::SkippedUntold,
        Self::WithdrawLeaves,
        Self::ConflatedUncounted,
        Self::WalkForgotten,
        Self::WakeLost,
    ];
}

/// Whether this one was planted: never.
#[cfg(not(feature = "model"))]
#[must_use]
pub const fn is(_fault: Planted) -> bool {
    false
}

#[cfg(feature = "model")]
pub use model::{is, plant};

#[cfg(feature = "model")]
mod model {
    use super::Planted;
    use std::cell::Cell;

    // A model's core runs on the model's thread, so that models side by side have a fault each.
    thread_local! {
        static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
    }

    /// Plants a fault in all that this thread runs from now on, or takes it away.
    pub fn plant(fault: Option<Planted>) {
        PLANTED.set(fault);
    }

    /// Whether this one was planted.
    #[must_use]
    pub fn is(fault: Planted) -> bool {
        PLANTED.get() == Some(fault)
    }
}
