//! What a poll gets: of each channel all records above a cursor, up to one ordinal, in the order of ordinals.
//!
//! Thread: front, giving it away now and then. Invariant: with the ordinal it says, no record up to it is left out unexplained, and
//! none above it is in.
//!
//! Why: the publisher enters a record into the table (Release) before it begins the next one. The ordinal is taken from an entry found
//! through the table (Acquire), and the channels are looked up after that; so whatever has a lower ordinal is in the table by then.
//! What came later is passed over, and found by the next poll.

use tokio::task::yield_now;

use super::super::Market;
use crate::channel::ChannelInfo;
use crate::dialect::Shape;
use crate::dialect::shape::{GapReason, Mark, Notice};
use crate::record;
use crate::ring::{Entry, Position};

/// Records of an answer: bounds what is kept of them until it is written.
const RECORDS_MAX: usize = 16 * 1024;

/// Headers read before others get their turn.
const READS_A_TURN: usize = 1024;

/// Bytes written before others get their turn.
const BYTES_A_TURN: usize = 256 * 1024;

/// A record to be given.
#[derive(Clone, Copy, Debug)]
struct Missed {
    ordinal: u64,
    sequence: u64,
    position: Position,
    /// Its channel's place in the list of those asked for.
    channel: usize,
    mark: Mark,
}

/// What there is to give.
pub(super) struct Haul {
    /// Everything up to this ordinal is in.
    upto: u64,
    records: Vec<Missed>,
    reads: usize,
}

/// The newest ordinal of these channels, or 0. To be asked before the channels are looked up that an answer up to it is about: one
/// that appears later has only newer records.
pub(super) fn newest(market: &Market, channels: &[ChannelInfo]) -> u64 {
    let newest = channels.iter().filter_map(|info| market.latest(info)).map(|entry| entry.ordinal).max();
    market.is_published(newest.unwrap_or(0));
    newest.unwrap_or(0)
}

impl Haul {
    /// Finds what these channels hold above `after` and up to `upto`; without `after`, each channel's latest record. Who missed more than `records_max`
    /// records of a channel, or some that the ring no longer holds, gets its latest record as a snapshot.
    pub(super) async fn of(
        market: &Market,
        channels: &[ChannelInfo],
        after: Option<u64>,
        upto: u64,
        records_max: usize,
    ) -> Self {
        let mut haul = Self { upto, records: Vec::new(), reads: 0 };
        for (channel, info) in channels.iter().enumerate() {
            let Some(latest) = market.latest(info) else { continue };
            haul.walk(market, channel, latest, after, records_max).await;
            if haul.records.len() >= 2 * RECORDS_MAX {
                haul.keep_oldest();
            }
        }
        haul.keep_oldest();
        haul.records.sort_unstable_by_key(|record| record.ordinal);
        haul
    }

    /// Walks one channel's chain back from its latest record.
    async fn walk(
        &mut self,
        market: &Market,
        channel: usize,
        latest: Entry,
        after: Option<u64>,
        records_max: usize,
    ) {
        let (first, mut entry) = (self.records.len(), latest);
        let mut left = if after.is_some() { records_max } else { usize::MAX };
        let is_whole = loop {
            if after.is_some_and(|after| entry.ordinal <= after) {
                break true;
            }
            if left == 0 {
                break false;
            }
            left -= 1;
            if entry.ordinal <= self.upto {
                self.records.push(Missed::new(&entry, channel));
                if after.is_none() {
                    break false;
                }
            }
            if is_first(&entry) {
                break true;
            }
            self.rest().await;
            let previous = entry.previous.and_then(|position| market.ring.entry(position).ok());
            let Some(previous) = previous else { break false };
            entry = previous;
        };
        if !is_whole {
            // Of what is not all there, the newest is the state. Where even that is above the ordinal, it is for the next poll.
            self.records.truncate(first + 1);
            if let Some(newest) = self.records.get_mut(first) {
                newest.mark = Mark::Snapshot;
            }
        }
    }

    async fn rest(&mut self) {
        self.reads += 1;
        if self.reads.is_multiple_of(READS_A_TURN) {
            yield_now().await;
        }
    }

    /// Keeps the oldest records, as many as an answer may hold; what is newer is for the next poll.
    fn keep_oldest(&mut self) {
        if self.records.len() <= RECORDS_MAX {
            return;
        }
        let (_, newest, _) =
            self.records.select_nth_unstable_by_key(RECORDS_MAX - 1, |record| record.ordinal);
        self.upto = newest.ordinal;
        self.records.truncate(RECORDS_MAX);
    }

    /// Writes the records one behind another, separated by commas, until so many bytes are there. Everything up to the ordinal that it
    /// returns was written then; one record always is.
    pub(super) async fn write(
        &self,
        market: &Market,
        channels: &[ChannelInfo],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> u64 {
        let (start, mut turn) = (out.len(), out.len());
        let mut before = self.upto;
        for record in &self.records {
            if out.len() - start >= bytes_max {
                return before;
            }
            if out.len() - turn >= BYTES_A_TURN {
                turn = out.len();
                yield_now().await;
            }
            separate(start, out);
            record.write(market, &channels[record.channel], out);
            before = record.ordinal;
        }
        self.upto
    }
}

impl Missed {
    fn new(entry: &Entry, channel: usize) -> Self {
        let Entry { ordinal, sequence, position, .. } = *entry;
        // The first record of a channel that took the name of one that expired follows on nothing that a client may have.
        let mark = if is_first(entry) && sequence > 1 { Mark::Snapshot } else { Mark::Live };
        Self { ordinal, sequence, position, channel, mark }
    }

    /// Writes the record, or where it was overtaken meanwhile, that it will not come.
    fn write(&self, market: &Market, info: &ChannelInfo, out: &mut Vec<u8>) {
        let name = info.name.as_str();
        let entry = market.ring.entry(self.position);
        if entry.is_ok_and(|entry| market.push(&entry, name, self.mark, out).is_ok()) {
            return;
        }
        // The latest record is never lost: it was published again.
        let again = market.with_latest(info, |entry| match entry.ordinal == self.ordinal {
            true => market.push(entry, name, self.mark, out).map(|()| true),
            false => Ok(false),
        });
        if again != Some(true) {
            let gap = Notice::Gap { from: self.sequence, to: self.sequence, reason: GapReason::Slow };
            Shape::Native.tell(name, &gap, out);
        }
    }
}

/// Whether nothing of its channel came before it.
fn is_first(entry: &Entry) -> bool {
    entry.sequence == 1 || entry.flags & record::FIRST != 0
}

/// Appends what stands between two elements.
pub(super) fn separate(start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests;
