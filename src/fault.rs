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
    /// What waits to be told of a channel stays when it is unsubscribed.
    WithdrawLeaves,
    /// Records that are lost to a slow subscriber are not told.
    GapUntold,
    /// A gap begins one record too late.
    GapOffByOne,
    /// Records that are dropped past the bound are not counted.
    DropUncounted,
    /// What comes within a chosen time is forgotten, not sent at its end.
    RateLosesLast,
    /// A chosen time is not kept.
    RateTooFast,
    /// A channel that appears is not joined by whose pattern it matches.
    PatternMissesNew,
    /// A merged record does not hold what its first one said.
    MergeForgetsFirst,
    /// What was read ahead of the cursor is forgotten before the cursor met it.
    AfterForgotten,
    /// The state of a channel is not told to who is slow.
    StatusLost,
    /// Whose pattern joins a channel is not told that it is stale.
    PatternMissesState,
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
        Self::GapUntold,
        Self::GapOffByOne,
        Self::DropUncounted,
        Self::RateLosesLast,
        Self::RateTooFast,
        Self::PatternMissesNew,
        Self::MergeForgetsFirst,
        Self::AfterForgotten,
        Self::StatusLost,
        Self::PatternMissesState,
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
