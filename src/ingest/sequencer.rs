//! The sequencer: stamps records and writes them into the ring. Nothing else writes it.
//!
//! Ingest thread. It neither reads sockets nor clocks, and never waits. Invariants: ordinals count published records
//! from 1, a channel's sequences count from 1, and a channel is in the catalogue before its first record is in the ring.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::quality::FixedState;

use super::Stats;
use super::clock::Now;
use super::line::Record;
use super::refusal::{Refusal, RefusalCode};
use super::session::{Session, Verdict};
use super::table::Table;
use crate::channel::{Catalogue, ChannelId};
use crate::record::{Format, Head};
use crate::ring::{Kind, Publisher, Refused, Stamp};

/// Places of the channel table looked at in one turn of the search for silent channels.
const SWEEP_STEPS: usize = 1_024;
/// The numbering that this sequencer makes itself; adopted ones have other numbers.
const OWN_EPOCH: u32 = 0;

/// The one writer of the ring.
pub(super) struct Sequencer {
    publisher: Publisher,
    catalogue: Arc<Catalogue>,
    stats: Arc<Stats>,
    wake: Box<dyn Fn(usize)>,
    table: Table,
    payload_bytes_max: usize,
    accepted_bytes: u64,
    ordinal: u64,
    announced: u64,
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
        limits: (u32, usize),
    ) -> Self {
        let (channels_max, payload_bytes_max) = limits;
        Self {
            publisher,
            catalogue,
            stats,
            wake,
            table: Table::new(channels_max),
            payload_bytes_max,
            accepted_bytes: 0,
            ordinal: 0,
            announced: 0,
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
        now: Now,
    ) -> Result<Taken, Refusal> {
        if record.payload.len() > self.payload_bytes_max {
            return Err(too_large());
        }
        let known = self.table.find(record.channel);
        let hash = record.sequence.map_or(0, |_| hash(record.payload));
        if let Some(sequence) = record.sequence {
            let verdict = session.judge(known, sequence, hash);
            if verdict != Verdict::New {
                self.count_dropped(verdict);
                return Ok(Taken::Dropped);
            }
        }
        let id = self.write(record, known, hash, now)?;
        if let Some(sequence) = record.sequence {
            add(&self.stats.feed_gaps, session.take(id, sequence, hash));
        }
        Ok(Taken::Published)
    }

    /// Ends a batch: brings the counters up to date and wakes the readers that sleep.
    pub(super) fn announce(&mut self) {
        if self.announced == self.ordinal {
            return;
        }
        self.announced = self.ordinal;
        self.stats.accepted.store(self.ordinal, Ordering::Relaxed);
        self.stats.accepted_bytes.store(self.accepted_bytes, Ordering::Relaxed);
        self.stats.ordinal.store(self.ordinal, Ordering::Relaxed);
        self.wake_sleepers();
    }

    /// Lets channels expire that were silent for so long; a bounded part of the table a call.
    pub(super) fn sweep(&mut self, expire_after: Duration, now: Now) {
        let silence_ns = u64::try_from(expire_after.as_nanos()).unwrap_or(u64::MAX);
        let Some(before_ns) = now.monotonic_ns.checked_sub(silence_ns) else { return };
        let (mut steps, mut expired) = (SWEEP_STEPS, 0);
        while let Some(id) = self.table.next_silent(before_ns, &mut steps) {
            self.expire(id, now);
            expired += 1;
        }
        if expired > 0 {
            add(&self.stats.expired, expired);
            self.wake_sleepers();
        }
    }

    /// Says that nothing follows.
    pub(super) fn end(&mut self, now: Now) {
        self.announce();
        let stamp = self.stamp(Kind::End, ChannelId { index: 0, generation: 0 }, 0, now);
        self.publish_bare(&stamp);
        self.wake_sleepers();
    }

    fn write(
        &mut self,
        record: &Record<'_>,
        known: Option<ChannelId>,
        hash: u64,
        now: Now,
    ) -> Result<ChannelId, Refusal> {
        let id = match known {
            Some(id) => id,
            None => self.create(record.channel)?,
        };
        let head = Head {
            wall_us: now.wall_us,
            feed_sequence: record.sequence,
            payload_hash: hash,
            format: Format::Text,
            epoch: OWN_EPOCH,
        };
        let mut stamp = self.stamp(Kind::Data, id, self.table.next_sequence(id), now);
        stamp.ordinal += 1;
        let body: [&[u8]; 2] = [&head.to_bytes(), record.payload.as_bytes()];
        if let Err(refused) = self.publisher.publish(&stamp, &body) {
            if known.is_none() {
                self.forget(id);
            }
            return Err(refusal(refused));
        }
        self.table.advance(id, now.monotonic_ns);
        self.ordinal += 1;
        self.accepted_bytes += record.payload.len() as u64;
        Ok(id)
    }

    fn create(&mut self, name: &str) -> Result<ChannelId, Refusal> {
        let (id, name) = self.table.create(name)?;
        self.catalogue.insert(&name, id);
        Ok(id)
    }

    fn expire(&mut self, id: ChannelId, now: Now) {
        let sequence = self.table.release(id);
        let stamp = self.stamp(Kind::Expired, id, sequence, now);
        self.publish_bare(&stamp);
        self.catalogue.remove(id);
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

    // An entry without a body takes no live bytes and is never too large: the ring has no ground to refuse it.
    fn publish_bare(&mut self, stamp: &Stamp) {
        if let Err(refused) = self.publisher.publish(stamp, &[]) {
            tracing::error!(kind = ?stamp.kind, ?refused, "the ring refused an entry without a body");
        }
    }

    fn count_dropped(&self, verdict: Verdict) {
        match verdict {
            Verdict::Duplicate { agrees } => {
                add(&self.stats.duplicates, 1);
                add(&self.stats.disagreed, u64::from(!agrees));
            }
            Verdict::Late => add(&self.stats.late, 1),
            Verdict::New => {}
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
