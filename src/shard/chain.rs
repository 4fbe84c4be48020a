//! Runs of records, found again by walking their channel's chain: sent each by itself where a subscriber came back, merged where it
//! is slow or chose a rate.
//!
//! Runs on the shard's thread. Invariant: one walk reads a bounded number of records, and what it does not find any more is told
//! before what it finds.

use super::batch::{Batch, Laid, What, read_one};
use super::cycle::open_frame;
use super::index::SlotId;
use super::worker::Shard;
use crate::channel::{Delivery, Merge};
use crate::dialect::Shape;
use crate::dialect::shape::{GapReason, Label, Mark as Said, Notice};
use crate::merge::{Merged, merge};
use crate::record::Head;
use crate::ring::{Entry, Lapped};
use crate::subscriber::outbox::{Loss, Outbox, Stretch};

/// How much of a run is merged at once: a bound on what is read and copied for it, so that no shard is held up. The more, the smaller is
/// the union beside what it stands for, and a slow subscriber catches up; one that chose a rate is to get one frame a window, and what
/// goes beyond this follows at once.
#[derive(Clone, Copy)]
struct Reach {
    stops: usize,
    payload_bytes: usize,
}

const SLOW: Reach = Reach { stops: 8, payload_bytes: 1024 * 1024 };
const RATED: Reach = Reach { stops: 16, payload_bytes: 4 * 1024 * 1024 };

/// Which list a run stands in.
#[derive(Clone, Copy)]
enum Of {
    Resumes,
    Marks,
}

impl Shard {
    /// Records of channels that are being resumed, each in a frame of its own.
    pub(super) fn lay_missed(
        &mut self,
        outbox: &Outbox,
        shape: Shape,
        reads: &mut usize,
        batch: &mut Batch,
    ) -> Result<(), Laid> {
        for place in 0.. {
            let Some(run) = outbox.resumed(place) else { break };
            let is_last = outbox.resumed(place + 1).is_none() && outbox.queued(0).is_none();
            let ends = is_last && outbox.mark(0).is_none() && !outbox.has_parked();
            self.find(run, shape, Of::Resumes, reads, batch)?;
            let chain = std::mem::take(&mut batch.chain);
            let laid = self.lay_chain(run, &chain, shape, ends, batch);
            batch.chain = chain;
            laid?;
        }
        Ok(())
    }

    fn lay_chain(
        &mut self,
        run: &Stretch,
        chain: &[Entry],
        shape: Shape,
        ends: bool,
        batch: &mut Batch,
    ) -> Result<(), Laid> {
        for entry in chain {
            let ends = ends && entry.sequence == run.last();
            let encoded = self.encode_singly(entry, run.slot, shape, Said::Live, ends, batch);
            // One that was overwritten meanwhile is missed by the next walk.
            encoded.map_err(|Lapped| Laid::More)?;
            batch.place(What::Missed);
            batch.check_full()?;
        }
        is_through(run, chain.last().map_or_else(|| run.last(), |entry| entry.sequence))
    }

    /// Finds the next records of a run, oldest first, and lays out what of it has left the ring.
    fn find(
        &mut self,
        run: &Stretch,
        shape: Shape,
        of: Of,
        reads: &mut usize,
        batch: &mut Batch,
    ) -> Result<(), Laid> {
        read_one(reads)?;
        self.walk_run(run, self.reach(run.slot).stops, &mut batch.chain);
        *reads = reads.saturating_sub(batch.chain.len());
        let found = batch.chain.first().map_or_else(|| run.last(), |first| first.sequence - 1);
        if found == run.base {
            return Ok(());
        }
        let is_told = match self.loss(shape, run.slot) {
            Loss::Tell => true,
            Loss::Skip => false,
            Loss::Close => return Err(Laid::Lost),
        };
        if is_told {
            let gap = Notice::Gap { from: run.base + 1, to: found, reason: GapReason::Slow };
            self.write_told(shape, run.slot, &gap, batch);
        }
        batch.place(match of {
            Of::Resumes => What::MissedGone { to: found, is_told },
            Of::Marks => What::RunGone { to: found, is_told },
        });
        Ok(())
    }

    fn reach(&self, slot: SlotId) -> Reach {
        if self.index.slot(slot).every_ms > 0 { RATED } else { SLOW }
    }

    /// The records from a run's base so many stops on, as far as they are in the ring.
    fn walk_run(&self, run: &Stretch, reach: usize, chain: &mut Vec<Entry>) {
        chain.clear();
        let ring = self.reader.ring();
        let mut stops = run.stops.iter().skip(reach.min(run.stops.len()).saturating_sub(1));
        // Where a stop has left the ring, so has all before it, but a channel's latest record is published again.
        let newest = stops.find_map(|stop| ring.entry(stop.position).ok());
        let newest = newest.or_else(|| self.latest(run.slot).filter(|latest| latest.sequence == run.last()));
        if let Some(newest) = newest {
            chain.extend(ring.walk_back(&newest, run.base));
            chain.reverse();
        }
    }

    /// The next records of a merging channel, as few frames as they can be merged into.
    pub(super) fn lay_run(
        &mut self,
        run: &Stretch,
        shape: Shape,
        ends: bool,
        reads: &mut usize,
        batch: &mut Batch,
    ) -> Result<(), Laid> {
        self.find(run, shape, Of::Marks, reads, batch)?;
        let Delivery::Merge(how) = self.index.slot(run.slot).rule.delivery else { return Ok(()) };
        let Batch { chain, payloads, payload_ends, .. } = batch;
        if chain.is_empty() {
            return Ok(());
        }
        self.copy_payloads(chain, self.reach(run.slot).payload_bytes, payloads, payload_ends)?;
        let merged = merge_payloads(how, payloads, payload_ends);
        let mut first = 0;
        for Merged { last, payload } in merged {
            let Some(entry) = batch.chain.get(last).copied() else { break };
            let frame = Made { slot: run.slot, entry, left_out: (last - first) as u64, payload, place: last };
            self.lay_made(&frame, shape, ends && entry.sequence == run.last(), batch)?;
            first = last + 1;
        }
        let to = first.checked_sub(1).map_or(run.base, |last| batch.chain[last].sequence);
        is_through(run, to)
    }

    /// Copies payloads from the oldest on, at least one, up to a bound.
    fn copy_payloads(
        &self,
        chain: &[Entry],
        bytes_max: usize,
        payloads: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), Laid> {
        payloads.clear();
        ends.clear();
        for entry in chain {
            let copied = self.reader.ring().copy_body(entry, Head::BYTES, payloads);
            // One that was overwritten meanwhile is missed by the next walk.
            copied.map_err(|Lapped| Laid::More)?;
            ends.push(payloads.len());
            if payloads.len() >= bytes_max {
                break;
            }
        }
        Ok(())
    }

    fn lay_made(&mut self, made: &Made, shape: Shape, ends: bool, batch: &mut Batch) -> Result<(), Laid> {
        let &Made { slot, ref entry, left_out, ref payload, place } = made;
        let head = self.reader.ring().body_words(entry).map_err(|Lapped| Laid::More)?;
        let mark = match (left_out, payload) {
            (0, _) => Said::Live,
            (_, Some(_)) => Said::Merged(left_out + 1),
            (_, None) => Said::Skipped(left_out),
        };
        let start = place.checked_sub(1).map_or(0, |before| batch.payload_ends[before]);
        let payload = payload.as_deref().unwrap_or_else(|| &batch.payloads[start..batch.payload_ends[place]]);
        let channel = self.index.slot(slot).name.as_str();
        let resume = self.can_resume_at(entry, ends).then_some((&*self.epoch, entry.ordinal));
        let label = Label { channel, sequence: entry.sequence, wall_us: 0, mark, resume };
        let (head, out) = (Head::from_words(head), &mut batch.bytes);
        open_frame(shape, &head, label, payload.len(), &mut self.buffers.label, out);
        out.extend_from_slice(payload);
        out.extend_from_slice(shape.close());
        self.ledger.encoded_singly += 1;
        batch.place(What::Run { to: entry.sequence, is_union: made.payload.is_some() });
        Ok(())
    }
}

/// A frame made of several records.
struct Made {
    slot: SlotId,
    /// The newest of them, whose labels it carries.
    entry: Entry,
    /// How many others.
    left_out: u64,
    /// `None`: the newest one's own.
    payload: Option<Vec<u8>>,
    /// Of the newest one, among the payloads.
    place: usize,
}

fn merge_payloads(how: Merge, payloads: &[u8], ends: &[usize]) -> Vec<Merged> {
    let mut start = 0;
    let slices: Vec<&[u8]> =
        ends.iter().map(|&end| &payloads[std::mem::replace(&mut start, end)..end]).collect();
    merge(how, &slices)
}

/// The rest of a run is found from another stop, once this much of it is gone.
fn is_through(run: &Stretch, to: u64) -> Result<(), Laid> {
    if to < run.last() { Err(Laid::More) } else { Ok(()) }
}
