//! One offer to one subscriber, laid out from its outbox in the order of sending.
//!
//! Runs on the shard's thread. A record's bytes are read from the ring here, never kept. Invariant: laying out changes nothing of the
//! outbox but that what was overwritten in its queue becomes a gap; `commit` takes out what went.

use super::aside::loss;
use super::cycle::{id_of, write_frame, write_notice};
use super::index::{SlotId, SubscriberId};
use super::tally::Fate;
use super::worker::Shard;
use crate::channel::ChannelId;
use crate::dialect::Shape;
use crate::dialect::shape::{GapReason, Label, Mark as Said, Notice};
use crate::fault::{self, Planted};
use crate::ring::{Entry, Lapped};
use crate::subscriber::outbox::{Loss, Mark, Outbox, Overflow, Queued, Stop, Waiting};

/// Bytes gathered for one offer. More than a socket is likely to take is encoded in vain.
const BATCH_BYTES: usize = 64 * 1024;
/// Times that the publisher may overtake one read of a latest record before the read is given up: a ring that turns over so often within a
/// microsecond is too small for its feed.
const REFRESHES_MAX: usize = 4;

/// How far the outbox was laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Laid {
    /// All that is ready.
    All,
    /// The batch is full, or the rest is found better once this is gone.
    More,
    /// The turn's reads are used up.
    OutOfReads,
    /// All but records: what was missed is still being looked for, and goes first.
    Joining,
    /// What comes next was overwritten, and that ends the subscriber.
    Lost,
}

/// An item of the batch: where its bytes end, and what went when they are taken. Some have no bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) end: usize,
    pub(super) what: What,
}

/// What an item is.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// The rest of the frame that was torn.
    Torn,
    /// Control frames and answers.
    Control,
    /// The first notice; whether it is a gap.
    Notice { is_gap: bool },
    /// The first pending gap.
    Gap,
    /// Of the first run of missed records those up to this one are gone.
    MissedGone { to: u64, is_told: bool },
    /// Its next record.
    Missed,
    /// Of the first mark's run those up to this one are gone.
    RunGone { to: u64, is_told: bool },
    /// Of it those up to this one, as one frame that holds the newest; whether it holds what the others said, too.
    Run { to: u64, is_union: bool },
    /// The first mark: the channel's newest record.
    Newest { channel: ChannelId, stop: Stop },
    /// The first mark: its channel has expired.
    Expired { is_told: bool },
    /// The queue's first: a record.
    Queued,
    /// The queue's first: a gap.
    QueuedGap,
}

/// What is offered at once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) placed: Vec<Placed>,
    /// Records of a run, oldest first.
    pub(super) chain: Vec<Entry>,
    /// Payloads of those, and where each ends.
    pub(super) payloads: Vec<u8>,
    pub(super) payload_ends: Vec<usize>,
}

impl Batch {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.placed.clear();
    }

    /// What was appended last is this.
    pub(super) fn place(&mut self, what: What) {
        self.placed.push(Placed { end: self.bytes.len(), what });
    }

    /// Ends the layout once enough was gathered.
    pub(super) fn check_full(&self) -> Result<(), Laid> {
        if self.bytes.len() >= BATCH_BYTES { Err(Laid::More) } else { Ok(()) }
    }

    fn lay_bytes(&mut self, outbox: &Outbox) -> Result<(), Laid> {
        for (bytes, what) in [(outbox.torn(), What::Torn), (outbox.control(), What::Control)] {
            if !bytes.is_empty() {
                self.bytes.extend_from_slice(bytes);
                self.place(what);
                self.check_full()?;
            }
        }
        Ok(())
    }
}

/// Takes one from the turn's reads.
pub(super) fn read_one(reads: &mut usize) -> Result<(), Laid> {
    *reads = reads.checked_sub(1).ok_or(Laid::OutOfReads)?;
    Ok(())
}

impl Shard {
    /// Lays out what waits for a subscriber, as far as a batch and the turn's reads allow.
    pub(super) fn lay_out(
        &mut self,
        id: SubscriberId,
        outbox: &mut Outbox,
        reads: &mut usize,
        batch: &mut Batch,
    ) -> Laid {
        self.try_lay_out(id, outbox, reads, batch).err().unwrap_or(Laid::All)
    }

    fn try_lay_out(
        &mut self,
        id: SubscriberId,
        outbox: &mut Outbox,
        reads: &mut usize,
        batch: &mut Batch,
    ) -> Result<(), Laid> {
        batch.lay_bytes(outbox)?;
        // Who has left the index is sent no more than that.
        let Some(cohort) = self.members[id as usize].cohort else { return Ok(()) };
        if self.members[id as usize].joining.is_some() {
            return Err(Laid::Joining);
        }
        let shape = self.index.cohort(cohort).shape;
        self.lose_overwritten(id, outbox, shape)?;
        self.lay_notices(outbox, shape, batch)?;
        self.lay_missed(outbox, shape, reads, batch)?;
        self.lay_gaps(outbox, shape, batch)?;
        if fault::is(Planted::SnapshotAfterLive) {
            self.lay_queue(outbox, shape, reads, batch)?;
            return self.lay_marks(outbox, shape, reads, batch);
        }
        self.lay_marks(outbox, shape, reads, batch)?;
        self.lay_queue(outbox, shape, reads, batch)
    }

    /// Records of the queue that have left the ring become gaps, which are told before all that is marked or queued.
    fn lose_overwritten(&mut self, id: SubscriberId, outbox: &mut Outbox, shape: Shape) -> Result<(), Laid> {
        let floor = self.reader.ring().floor();
        while let Some(&Waiting::Record(first)) = outbox.queued(0) {
            if first.position >= floor {
                break;
            }
            // A channel's latest record is published again before it is overwritten.
            if let Some(latest) = self.latest(first.slot).filter(|latest| latest.sequence == first.sequence) {
                outbox.first_moved(latest.position);
                break;
            }
            let before = outbox.queued_bytes();
            let lost = outbox.lose_first(self.loss(shape, first.slot));
            self.ledger.queued_bytes -= (before - outbox.queued_bytes()) as u64;
            let records = lost.map_err(|Overflow { .. }| Laid::Lost)?;
            self.ledger.pending -= records;
            self.note(id, Fate::Dropped, records);
        }
        Ok(())
    }

    /// What becomes of a subscriber of this shape that loses a record of a slot.
    pub(super) fn loss(&self, shape: Shape, slot: SlotId) -> Loss {
        loss(&self.index, self.options.on_gap, shape, slot)
    }

    fn lay_notices(&mut self, outbox: &Outbox, shape: Shape, batch: &mut Batch) -> Result<(), Laid> {
        for (slot, notice) in outbox.notices() {
            self.write_told(shape, slot, &notice, batch);
            batch.place(What::Notice { is_gap: matches!(notice, Notice::Gap { .. }) });
            batch.check_full()?;
        }
        Ok(())
    }

    fn lay_gaps(&mut self, outbox: &Outbox, shape: Shape, batch: &mut Batch) -> Result<(), Laid> {
        for gap in (0..).map_while(|place| outbox.gap(place)) {
            self.write_told(shape, gap.slot, &gap.notice(), batch);
            batch.place(What::Gap);
            batch.check_full()?;
        }
        Ok(())
    }

    /// Appends a message about a slot's channel, where the shape has words for it.
    pub(super) fn write_told(&mut self, shape: Shape, slot: SlotId, notice: &Notice, batch: &mut Batch) {
        let channel = self.index.slot(slot).name.as_str();
        write_notice(shape, channel, notice, &mut self.buffers.label, &mut batch.bytes);
    }

    fn lay_marks(
        &mut self,
        outbox: &Outbox,
        shape: Shape,
        reads: &mut usize,
        batch: &mut Batch,
    ) -> Result<(), Laid> {
        // Who goes on from events is sent them by a mark only where nothing else waits behind it.
        let may_end = shape == Shape::Sse && outbox.queued(0).is_none() && !outbox.has_parked();
        for (place, mark) in (0..).map_while(|place| outbox.mark(place).map(|mark| (place, mark))) {
            let ends = may_end && outbox.mark(place + 1).is_none();
            match mark {
                Mark::Merge(run) => self.lay_run(run, shape, ends, reads, batch)?,
                Mark::Snapshot(_) | Mark::Newest { .. } => {
                    read_one(reads)?;
                    self.lay_newest(mark, shape, ends, batch)?;
                }
            }
            batch.check_full()?;
        }
        Ok(())
    }

    /// The newest record of the channel, which may stand ahead of the cursor: then the cursor's come no more.
    fn lay_newest(&mut self, mark: &Mark, shape: Shape, ends: bool, batch: &mut Batch) -> Result<(), Laid> {
        let slot = mark.slot();
        for _ in 0..REFRESHES_MAX {
            let Some(entry) = self.latest(slot) else {
                self.lay_expired(mark, shape, batch);
                return Ok(());
            };
            let said = match mark {
                Mark::Newest { .. } if fault::is(Planted::SkippedUntold) => Said::Live,
                Mark::Newest { base, .. } if entry.sequence > base + 1 => {
                    Said::Skipped(entry.sequence - base - 1)
                }
                Mark::Newest { .. } | Mark::Merge(_) => Said::Live,
                Mark::Snapshot(_) => Said::Snapshot,
            };
            if self.encode_singly(&entry, slot, shape, said, ends, batch).is_ok() {
                let stop = Stop { position: entry.position, sequence: entry.sequence };
                batch.place(What::Newest { channel: id_of(&entry), stop });
                return Ok(());
            }
        }
        Err(Laid::Lost)
    }

    /// There is no value any more. What the subscriber was not sent of it is told, so that the next record's step is explained.
    fn lay_expired(&mut self, mark: &Mark, shape: Shape, batch: &mut Batch) {
        let is_told = match *mark {
            Mark::Newest { slot, base, last } if shape.can_tell() => {
                let gap = Notice::Gap { from: base + 1, to: last, reason: GapReason::Expired };
                self.write_told(shape, slot, &gap, batch);
                true
            }
            _ => false,
        };
        batch.place(What::Expired { is_told });
    }

    fn lay_queue(
        &mut self,
        outbox: &Outbox,
        shape: Shape,
        reads: &mut usize,
        batch: &mut Batch,
    ) -> Result<(), Laid> {
        // Behind a record of the queue only newer ones wait, unless something is parked or the walk after a lap found older ones.
        let ends = !outbox.has_parked() && !outbox.unordered;
        for waiting in (0..).map_while(|place| outbox.queued(place)) {
            match waiting {
                Waiting::Gap(gap) => {
                    self.write_told(shape, gap.slot, &gap.notice(), batch);
                    batch.place(What::QueuedGap);
                }
                Waiting::Record(queued) => {
                    read_one(reads)?;
                    self.lay_queued(queued, shape, ends, batch)?;
                }
            }
            batch.check_full()?;
        }
        Ok(())
    }

    fn lay_queued(
        &mut self,
        queued: &Queued,
        shape: Shape,
        ends: bool,
        batch: &mut Batch,
    ) -> Result<(), Laid> {
        // One that was overwritten meanwhile is lost by the next layout.
        let entry = self.reader.ring().entry(queued.position).map_err(|Lapped| Laid::More)?;
        let encoded = self.encode_singly(&entry, queued.slot, shape, Said::Live, ends, batch);
        encoded.map_err(|Lapped| Laid::More)?;
        batch.place(What::Queued);
        Ok(())
    }

    /// `ends`: nothing older waits behind this record, so that a client may go on from it.
    pub(super) fn encode_singly(
        &mut self,
        entry: &Entry,
        slot: SlotId,
        shape: Shape,
        mark: Said,
        ends: bool,
        batch: &mut Batch,
    ) -> Result<(), Lapped> {
        let channel = self.index.slot(slot).name.as_str();
        let resume = self.can_resume_at(entry, ends).then_some((&*self.epoch, entry.ordinal));
        let label = Label { channel, sequence: entry.sequence, wall_us: 0, mark, resume };
        write_frame(&self.reader, entry, shape, label, &mut self.buffers.label, &mut batch.bytes)?;
        self.ledger.encoded_singly += 1;
        Ok(())
    }

    /// Whether a client may go on from here: only where the cursor has passed this record, and nothing older is still to come.
    pub(super) fn can_resume_at(&self, entry: &Entry, ends: bool) -> bool {
        ends && entry.ordinal <= self.ledger.ordinal && self.walk.is_none()
    }
}
