//! The sequencer: stamps records and writes them into the ring, and what there is to tell of their channels. Nothing else
//! writes it.
//!
//! Ingest thread. It neither reads sockets nor clocks, and never waits. Invariants: ordinals count published records
//! from 1; a name's sequences never begin anew; a channel is in the catalogue before its first record is in the ring, and
//! marked there as stale or not before the entry that says so is.

use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::FixedState;

use super::aging::{Aging, Due};
use super::clock::Now;
use super::faults::Disagreements;
use super::line::Record;
use super::presence::{FeedId, Feeds};
use super::refusal::{Refusal, RefusalCode};
use super::session::{Gap, Session, Verdict};
use super::table::{Freshness, Round, Table};
use super::{Options, Stats};
use crate::channel::{Catalogue, ChannelId};
use crate::record::{self, Format, Head, Status};
use crate::ring::{Kind, Publisher, Refused, Stamp};

/// Places of the channel table looked at in one turn of a round over it,
const SWEEP_STEPS: usize = 1_024;
/// of which one where something is due counts for so many: a feed of 60,000 channels that dies holds up nobody.
const SWEEP_STEPS_DUE: usize = 8;
/// The numbering that this sequencer makes itself; adopted ones have other numbers.
const OWN_EPOCH: u32 = 0;

/// The one writer of the ring.
pub(super) struct Sequencer {
    publisher: Publisher,
    catalogue: Arc<Catalogue>,
    stats: Arc<Stats>,
    wake: Box<dyn Fn(usize)>,
    table: Table,
    aging: Aging,
    feeds: Rc<Feeds>,
    disagreements: Disagreements,
    payload_bytes_max: usize,
    accepted_bytes: u64,
    ordinal: u64,
    announced: u64,
    /// Whether entries that are no records wait for their readers to be woken.
    has_told: bool,
}

/// What became of a record that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is in the ring.
    Published,
    /// Its session had it, or had gone past it: dropped and counted.
    Dropped,
}

impl Sequencer {
    pub(super) fn new(
        publisher: Publisher,
        catalogue: Arc<Catalogue>,
        stats: Arc<Stats>,
        wake: Box<dyn Fn(usize)>,
        options: &Options,
        feeds: Rc<Feeds>,
    ) -> Self {
        Self {
            publisher,
            catalogue,
            stats,
            wake,
            table: Table::new(options.channels_max),
            aging: Aging::new(options),
            feeds,
            disagreements: Disagreements::default(),
            payload_bytes_max: options.payload_bytes_max,
            accepted_bytes: 0,
            ordinal: 0,
            announced: 0,
            has_told: false,
        }
    }

    /// Publishes a record, unless its session has it already. [`Sequencer::announce`] is due once the batch is over.
    ///
    /// # Errors
    /// When the payload is too large, the channel cannot be, or the ring refuses.
    pub(super) fn publish(
        &mut self,
        record: &Record<'_>,
        session: &mut Session,
        feed: FeedId,
        now: Now,
    ) -> Result<Taken, Refusal> {
        if record.payload.len() > self.payload_bytes_max {
            return Err(too_large());
        }
        let known = self.table.find(record.channel);
        let Some(sequence) = record.sequence else {
            self.write(record, known, 0, None, feed, now)?;
            return Ok(Taken::Published);
        };
        let hash = hash(record.payload);
        let gap = match session.judge(known, sequence, hash) {
            Verdict::New { gap } => gap,
            dropped => {
                self.drop_record(record, known, dropped, feed, now);
                return Ok(Taken::Dropped);
            }
        };
        let id = self.write(record, known, hash, gap, feed, now)?;
        session.take(id, sequence, hash, feed);
        Ok(Taken::Published)
    }

    /// Ends a batch that took so long: brings the counters up to date and wakes the readers that sleep.
    pub(super) fn announce(&mut self, batch_ns: u64) {
        let records = self.ordinal - self.announced;
        if records > 0 {
            self.announced = self.ordinal;
            self.stats.accepted.store(self.ordinal, Ordering::Relaxed);
            self.stats.accepted_bytes.store(self.accepted_bytes, Ordering::Relaxed);
            self.stats.ordinal.store(self.ordinal, Ordering::Relaxed);
            self.stats.publish.record(batch_ns, records);
        }
        let has_told = std::mem::take(&mut self.has_told);
        if records > 0 || has_told {
            self.wake_sleepers();
        }
    }

    /// Goes on with the round over all channels, in which those that were silent for too long expire, and those whose
    /// feeds are gone go stale. A bounded part of it a call; true: the round is over.
    pub(super) fn sweep(&mut self, now: Now) -> bool {
        let mut steps = SWEEP_STEPS;
        let is_over = loop {
            match self.table.next_due(&self.aging, &self.feeds, now.monotonic_ns, &mut steps) {
                Round::Due(id, Due::Expired) => self.expire(id, now),
                Round::Due(id, Due::Stale) => self.set_freshness(id, Freshness::Quiet, now),
                Round::GoesOn => break false,
                Round::Over => break true,
            }
            steps = steps.saturating_sub(SWEEP_STEPS_DUE);
        };
        if is_over {
            self.feeds.forget_gone(now.monotonic_ns);
        }
        // Every batch has announced its own records.
        self.announce(0);
        is_over
    }

    /// Says that nothing follows.
    pub(super) fn end(&mut self, now: Now) {
        self.announce(0);
        let stamp = self.stamp(Kind::End, ChannelId { index: 0, generation: 0 }, 0, now);
        self.publish_word(&stamp, &[]);
        self.wake_sleepers();
    }

    fn write(
        &mut self,
        record: &Record<'_>,
        known: Option<ChannelId>,
        hash: u64,
        gap: Option<Gap>,
        feed: FeedId,
        now: Now,
    ) -> Result<ChannelId, Refusal> {
        let id = match known {
            Some(id) => id,
            None => self.create(record.channel)?,
        };
        let mut stamp = self.stamp(Kind::Data, id, self.table.sequence(id) + 1, now);
        stamp.ordinal += 1;
        if known.is_none() {
            stamp.flags = record::FIRST;
        }
        let head = Head {
            wall_us: now.wall_us,
            feed_sequence: record.sequence,
            payload_hash: hash,
            format: Format::Text,
            epoch: OWN_EPOCH,
        };
        let body: [&[u8]; 2] = [&head.to_bytes(), record.payload.as_bytes()];
        let has_news = gap.is_some() || self.table.freshness(id) != Freshness::Fresh;
        let foretold = if has_news { self.foretell(&stamp, &body, gap, now) } else { Ok(()) };
        if let Err(refused) = foretold.and_then(|()| self.publisher.publish(&stamp, &body).map(drop)) {
            self.refused(id, known.is_none(), refused, feed, now);
            return Err(refusal(refused));
        }
        self.table.advance(id, feed, now.monotonic_ns);
        self.ordinal += 1;
        self.accepted_bytes += record.payload.len() as u64;
        Ok(id)
    }

    /// Tells what must be known before a record: that its channel is live again, that its feed skipped some. Nothing if
    /// the record will be refused: then the channel is as it was, and the gap is told with the one that comes through.
    fn foretell(
        &mut self,
        stamp: &Stamp,
        body: &[&[u8]; 2],
        gap: Option<Gap>,
        now: Now,
    ) -> Result<(), Refused> {
        self.publisher.check(stamp, body[0].len() + body[1].len())?;
        let id = ChannelId { index: stamp.channel, generation: stamp.generation };
        self.set_freshness(id, Freshness::Fresh, now);
        if let Some(gap) = gap {
            add(&self.stats.feed_gaps, gap.records());
            self.tell(id, Status::FeedGap { from: gap.from, to: gap.to }, now);
        }
        Ok(())
    }

    // What is refused for its size alone says nothing of the channel; where the ring is full, the channel's value is old.
    fn refused(&mut self, id: ChannelId, is_new: bool, refused: Refused, feed: FeedId, now: Now) {
        if is_new {
            return self.forget(id);
        }
        self.table.hear(id, feed, now.monotonic_ns);
        if refused == Refused::LiveBytes {
            self.set_freshness(id, Freshness::Refused, now);
        }
    }

    /// Counts a record that is not taken. A feed that is back is back, though it says nothing new.
    fn drop_record(
        &mut self,
        record: &Record<'_>,
        known: Option<ChannelId>,
        verdict: Verdict,
        feed: FeedId,
        now: Now,
    ) {
        if let Some(id) = known {
            self.table.hear(id, feed, now.monotonic_ns);
            if self.table.freshness(id) == Freshness::Quiet {
                self.set_freshness(id, Freshness::Fresh, now);
            }
        }
        match verdict {
            Verdict::Duplicate => add(&self.stats.duplicates, 1),
            Verdict::Disagrees { first } => {
                add(&self.stats.duplicates, 1);
                add(&self.stats.disagreed, 1);
                let names = (first.and_then(|first| self.feeds.name(first)), self.feeds.name(feed));
                self.disagreements.log(record, names, now);
            }
            Verdict::Late => add(&self.stats.late, 1),
            Verdict::New { .. } => {}
        }
    }

    /// Notes how fresh a channel's value is, and tells where that makes it stale or live.
    fn set_freshness(&mut self, id: ChannelId, freshness: Freshness, now: Now) {
        let (was_stale, is_stale) =
            (self.table.freshness(id) != Freshness::Fresh, freshness != Freshness::Fresh);
        self.table.set_freshness(id, freshness);
        if was_stale == is_stale {
            return;
        }
        self.catalogue.set_stale(id, is_stale);
        if is_stale {
            add(&self.stats.stale_channels, 1);
            add(&self.stats.told_stale, 1);
            self.tell(id, Status::Stale, now);
        } else {
            self.stats.stale_channels.fetch_sub(1, Ordering::Relaxed);
            add(&self.stats.told_live, 1);
            self.tell(id, Status::Live, now);
        }
    }

    fn tell(&mut self, id: ChannelId, status: Status, now: Now) {
        let mut stamp = self.stamp(Kind::Status, id, self.table.sequence(id), now);
        stamp.flags = status.flags();
        self.publish_word(&stamp, &status.body());
    }

    fn create(&mut self, name: &str) -> Result<ChannelId, Refusal> {
        let (id, name) = self.table.create(name)?;
        self.catalogue.insert(&name, id);
        Ok(id)
    }

    fn expire(&mut self, id: ChannelId, now: Now) {
        self.leave_stale(id);
        let sequence = self.table.release(id);
        let stamp = self.stamp(Kind::Expired, id, sequence, now);
        self.publish_word(&stamp, &[]);
        self.catalogue.remove(id);
        add(&self.stats.expired, 1);
    }

    // A stale channel that is no more is no stale channel, and nobody is told that it is live.
    fn leave_stale(&self, id: ChannelId) {
        if self.table.freshness(id) != Freshness::Fresh {
            self.stats.stale_channels.fetch_sub(1, Ordering::Relaxed);
        }
    }

    // A channel whose first record was refused never was.
    fn forget(&mut self, id: ChannelId) {
        self.table.release(id);
        self.catalogue.remove(id);
    }

    fn stamp(&self, kind: Kind, id: ChannelId, sequence: u64, now: Now) -> Stamp {
        Stamp {
            kind,
            flags: 0,
            channel: id.index,
            generation: id.generation,
            sequence,
            ordinal: self.ordinal,
            monotonic_ns: now.monotonic_ns,
        }
    }

    // Such an entry takes no live bytes and is smaller than any head of a record: the ring has no ground to refuse it.
    fn publish_word(&mut self, stamp: &Stamp, body: &[u8]) {
        self.has_told = true;
        if let Err(refused) = self.publisher.publish(stamp, &[body]) {
            tracing::error!(kind = ?stamp.kind, ?refused, "the ring refused an entry that is no record");
        }
    }

    fn wake_sleepers(&self) {
        self.publisher.wake_sleepers(&self.wake);
    }
}

/// Adds to a counter that only this thread writes.
pub(super) fn add(counter: &AtomicU64, more: u64) {
    if more > 0 {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

// Fixed, so that hashes from several nodes can be compared.
fn hash(payload: &str) -> u64 {
    FixedState::with_seed(0).hash_one(payload.as_bytes())
}

fn refusal(refused: Refused) -> Refusal {
    match refused {
        Refused::TooLarge => too_large(),
        Refused::LiveBytes => Refusal::new(
            RefusalCode::RingFull,
            "the latest records of all channels would take more than a quarter of the ring",
        ),
    }
}

fn too_large() -> Refusal {
    Refusal::new(RefusalCode::TooLarge, "the payload is over the limit")
}

#[cfg(test)]
mod tests;
