//! What was lost when the publisher overtook the shard: found by sequences, told, never silent.
//!
//! Runs on the shard's thread, a bounded step a turn. Invariant: after the walk, each channel was either seen up to its latest record or
//! its loss was told to everyone who subscribes to it.

use super::OnGap;
use super::cycle::{Took, id_of};
use super::index::SlotId;
use super::timers::part_of;
use super::worker::Shard;
use crate::dialect::shape::GapReason;
use crate::fault::{self, Planted};
use crate::ring::Position;
use crate::subscriber::close::CloseReason;

/// Channels looked at in a turn.
const CHANNELS_A_TURN: u32 = 1024;
/// Those that lost `every` records are closed over this time, so that they do not all return at once.
const SPREAD_MS: u64 = 10_000;

/// A walk over the table of latest positions, after a lap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    next: u32,
    /// Behind the last channel that there was at the lap; some may never have been met.
    end: u32,
    /// What stands from here on the cursor will meet by itself.
    resumed_at: Position,
}

impl Shard {
    /// The publisher overtook the cursor: go on at the tail, and find by the table what was lost.
    pub(super) fn was_lapped(&mut self) {
        self.ledger.lapped += 1;
        self.reader.skip_to_tail();
        let resumed_at = self.reader.position();
        self.walk = Some(Walk { next: 0, end: self.catalogue.places(), resumed_at });
        tracing::warn!(lapped = self.ledger.lapped, "the publisher overtook this shard; records were lost");
    }

    /// Goes on with the walk: quiet channels whose newest record was overtaken are given it now.
    pub(super) fn walk_on(&mut self) {
        if fault::is(Planted::WalkForgotten) {
            self.walk = None;
        }
        let Some(Walk { mut next, end, resumed_at }) = self.walk else { return };
        let stop = end.min(next + CHANNELS_A_TURN);
        let mut held = None;
        while next < stop && !self.cycle_is_full() {
            let overtaken = self.reader.ring().latest(next).filter(|entry| entry.position < resumed_at);
            // Lapped once more means that it was refreshed, to a place that the cursor meets.
            if let Some(entry) = overtaken
                && let Ok(Took::Held(entry)) = self.take_record(&entry)
            {
                held = Some(entry);
                break;
            }
            self.tell_missed_state(next);
            next += 1;
        }
        self.finish_cycle();
        if let Some(entry) = held {
            self.admit_channel(id_of(&entry));
        }
        self.walk = (next < end).then_some(Walk { next, end, resumed_at });
        if self.walk.is_none() {
            self.walked_to = self.reader.ring().tail();
        }
    }

    /// What was told of a channel's state may have been overtaken by the lap.
    fn tell_missed_state(&mut self, place: u32) {
        if !self.index.is_subscribed(place) {
            return;
        }
        let Some(info) = self.catalogue.at(place) else { return };
        let mut slots = self.index.first_slot_of(info.id);
        while let Some(slot) = slots {
            slots = self.index.slot(slot).next;
            self.tell_stale(slot, info.stale);
        }
    }

    /// Records that count were lost before one of this slot. Where that cannot be told, its subscribers are closed when the cycle is
    /// over, and are sent nothing from behind the hole.
    pub(super) fn note_hole(&mut self, slot: SlotId, reason: GapReason) {
        // Who is told no sequences loses nothing where a channel that came again is numbered from further on.
        let is_lost = reason == GapReason::Lapped && self.options.on_gap == OnGap::Close;
        if is_lost && !self.holed.contains(&slot) {
            self.holed.push(slot);
        }
    }

    /// Whether subscribers without a word for a gap get no more of this slot in this cycle.
    pub(super) fn is_silenced(&self, slot: SlotId) -> bool {
        self.holed.contains(&slot)
    }

    pub(super) fn close_holed(&mut self) {
        for slot in std::mem::take(&mut self.holed) {
            for &cohort in &self.index.slot(slot).cohorts {
                let of = self.index.cohort(cohort);
                if !of.shape.can_tell() {
                    self.condemned.extend(of.members.iter().map(|&id| (id, CloseReason::Lapped)));
                }
            }
        }
    }

    /// When a subscriber that lost records is closed.
    pub(super) fn spread(&self, serial: u32) -> u64 {
        self.now + part_of(serial, SPREAD_MS)
    }
}
