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

/// Records looked at for an answer: bounds what is kept of them until it is written.
const RECORDS_MAX: usize = 16 * 1024;

/// Bytes of JSON around a payload, about.
const LABEL_BYTES: usize = 128;

/// Headers read before others get their turn.
const READS_A_TURN: usize = 1024;

/// Bytes written before others get their turn.
const BYTES_A_TURN: usize = 256 * 1024;

/// A record above the cursor.
#[derive(Clone, Copy, Debug)]
struct Missed {
    ordinal: u64,
    sequence: u64,
    position: Position,
    bytes: usize,
    /// Its channel's place in the list of those asked for.
    channel: usize,
    mark: Mark,
}

/// What there is to give.
pub(super) struct Haul {
    /// Everything up to this ordinal is in.
    upto: u64,
    records: Vec<Missed>,
    /// Of which channels not all was found, or too much: their newest record stands for all.
    broken: Vec<bool>,
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
    /// Finds what these channels hold above `after` and up to `upto`; without `after`, each channel's latest record. Who missed more
    /// than `records_max` records of a channel, or some that the ring no longer holds, gets the newest one as a snapshot.
    ///
    /// It is cut at about so many bytes; at one record at the earliest.
    pub(super) async fn of(
        market: &Market,
        channels: &[ChannelInfo],
        (after, upto): (Option<u64>, u64),
        (records_max, bytes_max): (usize, usize),
    ) -> Self {
        let broken = vec![after.is_none(); channels.len()];
        let mut haul = Self { upto, records: Vec::new(), broken, reads: 0 };
        for (channel, info) in channels.iter().enumerate() {
            let Some(latest) = market.latest(info) else { continue };
            haul.walk(market, channel, latest, after, records_max).await;
        }
        haul.keep_oldest();
        haul.records.sort_unstable_by_key(|record| record.ordinal);
        haul.cut(bytes_max);
        haul
    }

    /// Walks one channel's chain back from its latest record. To the cursor even where that is too much: how far the answer will reach
    /// is not known yet, and the newest record up to there is wanted.
    async fn walk(
        &mut self,
        market: &Market,
        channel: usize,
        latest: Entry,
        after: Option<u64>,
        records_max: usize,
    ) {
        let (mut found, mut entry) = (0, latest);
        while after.is_none_or(|after| entry.ordinal > after) {
            found += 1;
            if entry.ordinal <= self.upto {
                self.records.push(Missed::new(&entry, channel));
                if after.is_none() {
                    return;
                }
            }
            if is_first(&entry) {
                break;
            }
            self.rest().await;
            let previous = entry.previous.and_then(|position| market.ring.entry(position).ok());
            let Some(previous) = previous else {
                self.broken[channel] = true;
                return;
            };
            entry = previous;
        }
        self.broken[channel] |= found > records_max;
    }

    async fn rest(&mut self) {
        self.reads += 1;
        if self.records.len() >= 2 * RECORDS_MAX {
            self.keep_oldest();
        }
        if self.reads.is_multiple_of(READS_A_TURN) {
            yield_now().await;
        }
    }

    /// Keeps the oldest records, as many as may be looked at; what is newer is for the next poll.
    fn keep_oldest(&mut self) {
        if self.records.len() <= RECORDS_MAX {
            return;
        }
        let (_, newest, _) =
            self.records.select_nth_unstable_by_key(RECORDS_MAX - 1, |record| record.ordinal);
        self.upto = newest.ordinal;
        self.records.truncate(RECORDS_MAX);
    }

    /// Goes up the ordinals while the answer fits, and keeps what belongs into it: of a broken channel the newest record alone.
    fn cut(&mut self, bytes_max: usize) {
        let mut newest: Vec<Option<usize>> = vec![None; self.broken.len()];
        let (mut bytes, mut end) = (0, self.records.len());
        for (place, record) in self.records.iter().enumerate() {
            bytes += record.bytes;
            if self.broken[record.channel] {
                let replaced = newest[record.channel];
                bytes -= replaced.map_or(0, |replaced| self.records[replaced].bytes);
            }
            if bytes > bytes_max && place > 0 {
                end = place;
                self.upto = self.records[place - 1].ordinal;
                break;
            }
            newest[record.channel] = Some(place);
        }
        self.records.truncate(end);
        let mut place = 0;
        self.records.retain_mut(|record| {
            let is_newest = newest[record.channel] == Some(place);
            place += 1;
            if !self.broken[record.channel] {
                return true;
            }
            record.mark = Mark::Snapshot;
            is_newest
        });
    }

    /// Writes the records, separated by commas. Everything up to the ordinal that it returns was written then, or explained.
    pub(super) async fn write(&self, market: &Market, channels: &[ChannelInfo], out: &mut Vec<u8>) -> u64 {
        let mut turn = out.len();
        for record in &self.records {
            if out.len() - turn >= BYTES_A_TURN {
                turn = out.len();
                yield_now().await;
            }
            record.write(market, &channels[record.channel], out);
        }
        self.upto
    }
}

impl Missed {
    fn new(entry: &Entry, channel: usize) -> Self {
        let Entry { ordinal, sequence, position, body_bytes, .. } = *entry;
        // The first record of a channel that took the name of one that expired follows on nothing that a client may have.
        let mark = if is_first(entry) && sequence > 1 { Mark::Snapshot } else { Mark::Live };
        Self { ordinal, sequence, position, bytes: body_bytes as usize + LABEL_BYTES, channel, mark }
    }

    /// Writes the record, or where it was overtaken meanwhile, that it will not come. For a snapshot nothing: the next poll finds the
    /// same hole, and a newer record that stands for it.
    fn write(&self, market: &Market, info: &ChannelInfo, out: &mut Vec<u8>) {
        let (start, name) = (out.len(), info.name.as_str());
        separate(out);
        let entry = market.ring.entry(self.position);
        if entry.is_ok_and(|entry| market.push(&entry, name, self.mark, out).is_ok()) {
            return;
        }
        // The latest record is never lost: it was published again.
        let again = market.with_latest(info, |entry| match entry.ordinal == self.ordinal {
            true => market.push(entry, name, self.mark, out).map(|()| true),
            false => Ok(false),
        });
        if again == Some(true) {
            return;
        }
        if self.mark == Mark::Snapshot {
            return out.truncate(start);
        }
        let gap = Notice::Gap { from: self.sequence, to: self.sequence, reason: GapReason::Slow };
        Shape::Native.tell(name, &gap, out);
    }
}

/// Whether nothing of its channel came before it.
fn is_first(entry: &Entry) -> bool {
    entry.sequence == 1 || entry.flags & record::FIRST != 0
}

/// Appends what stands between two elements of an array that is written without its brackets.
pub(super) fn separate(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests;
