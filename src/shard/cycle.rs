//! The fast path of a cycle: drain the ring, encode each shape once, send once to each subscriber that got something.
//!
//! Runs on the shard's thread. It never waits: who does not take all of it leaves the fast path. Invariant: when the cycle is over,
//! each record it drained was taken by the kernel, waits in an outbox, or is counted as lost, for each subscriber it matched.

use super::fanout::{DRAINED_MAX, Drained, Frames, Range};
use super::index::{CohortId, SlotId, SubscriberId};
use super::worker::Shard;
use crate::channel::{ChannelId, Delivery};
use crate::clock::monotonic_ns;
use crate::dialect::Shape;
use crate::dialect::shape::{Framing, GapReason, Label, Mark, Notice};
use crate::record::{FIRST, Format, Head, Status};
use crate::ring::{Entry, Kind, Lapped, Next, Position};
use crate::subscriber::close::CloseReason;
use crate::subscriber::frame::{self, Opcode};

/// Records drained in a cycle: bounds how long sockets are not looked at.
const RECORDS_A_CYCLE: usize = 8192;
/// Bytes encoded in a cycle: about what stays in a core's second-level cache until it is sent.
const BYTES_A_CYCLE: usize = 1024 * 1024;
/// Frames given to cohorts in a cycle: bounds the cycle where each record goes to many of them. At 50 to
/// 90 ns each the longest takes 25 to 45 ms.
const FRAMES_A_CYCLE: usize = 512 * 1024;
/// One subscriber's bytes in a cycle: more would not fit its socket, and it would leave the fast path for nothing.
const LANE_BYTES: usize = 128 * 1024;

/// Records put aside in a cycle for singles that only wait for their turn: half of what a turn reads for singles. So they catch up, and
/// where the shard itself is what is slow, records wait in the ring, and nobody is cut off for it.
const ASIDE_A_CYCLE: usize = super::singles::READS_A_TURN / 2;

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    /// The ring was empty.
    Empty,
    /// A bound was reached: there may be more.
    More,
    /// Records gather: the ring was not looked at.
    Later,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    /// It was given to whoever subscribes to its channel.
    Given,
    /// It is the first of a channel that patterns match. They join when the cycle is over, and then it is taken again.
    Held(Entry),
}

impl Shard {
    /// One cycle. Between cycles nothing of it remains but what waits in outboxes, and an entry that was held.
    pub(super) fn cycle(&mut self) -> Drain {
        self.latency.begin(monotonic_ns());
        let drained = if self.is_gathering() { Drain::Later } else { self.drain() };
        let before = self.ledger.delivered;
        self.finish_cycle();
        let deliveries = self.ledger.delivered - before;
        if deliveries > 0 {
            self.latency.sent(monotonic_ns(), deliveries);
            if drained == Drain::Empty {
                self.gather();
            }
        }
        if let Some(entry) = &self.held {
            self.admit_channel(id_of(entry));
        }
        drained
    }

    /// Sends what was gathered, and acts on what could not be done while the index was in use.
    pub(super) fn finish_cycle(&mut self) {
        self.close_holed();
        self.flush();
        self.fanout.clear();
        self.aside = 0;
        self.carry_out_sentences();
    }

    pub(super) fn drain(&mut self) -> Drain {
        let mut next = self.held.take().map(Next::Entry);
        for _ in 0..RECORDS_A_CYCLE {
            let took = match next.take().unwrap_or_else(|| self.reader.next()) {
                Next::Entry(entry) => self.take(&entry),
                Next::Empty => return Drain::Empty,
                Next::Lapped => Err(Lapped),
            };
            match took {
                Ok(Took::Given) => {}
                Ok(Took::Held(entry)) => {
                    self.held = Some(entry);
                    return Drain::More;
                }
                Err(Lapped) => {
                    self.was_lapped();
                    return Drain::More;
                }
            }
            if self.cycle_is_full() {
                return Drain::More;
            }
        }
        Drain::More
    }

    /// Where the cursor stands: what lies below was given to everybody here, or was lost and told. Not so while a lap is walked, nor
    /// until the channels are met that went on meanwhile: only their next records show how much of them was lost.
    pub(super) fn given_out(&self) -> Position {
        let cursor = self.held.as_ref().map_or_else(|| self.reader.position(), |held| held.position);
        if self.walk.is_some() || cursor < self.walked_to { 0 } else { cursor }
    }

    pub(super) fn cycle_is_full(&self) -> bool {
        self.fanout.lane_bytes_max() >= LANE_BYTES
            || self.fanout.bytes() >= BYTES_A_CYCLE
            || self.fanout.appended() >= FRAMES_A_CYCLE
            || self.fanout.records.len() >= DRAINED_MAX
            || self.aside >= ASIDE_A_CYCLE
    }

    fn take(&mut self, entry: &Entry) -> Result<Took, Lapped> {
        match entry.kind {
            Some(Kind::Data) => {
                let took = self.take_record(entry)?;
                if took == Took::Given {
                    let before = self.ledger.ordinal;
                    self.ledger.ordinal = entry.ordinal;
                    self.ledger.seen += 1;
                    self.latency.drained(entry.monotonic_ns);
                    self.ledger.missed += entry.ordinal - before - 1;
                }
                return Ok(took);
            }
            // Newer than what was seen only where the record itself was lost to a lap.
            Some(Kind::Refresh) => return self.take_record(entry),
            Some(Kind::Expired) => self.index.expire(id_of(entry)),
            Some(Kind::Status) => self.take_status(entry)?,
            Some(Kind::End) | None => {}
        }
        Ok(Took::Given)
    }

    /// Gives a record to whoever subscribes to its channel, unless its sequence is not above the last one seen.
    pub(super) fn take_record(&mut self, entry: &Entry) -> Result<Took, Lapped> {
        let catalogue = &self.catalogue;
        let Some(seen) = self.index.meet(id_of(entry), || catalogue.at(entry.channel)) else {
            return Ok(Took::Held(*entry));
        };
        if entry.sequence <= seen.sequence {
            return Ok(Took::Given);
        }
        let mut next = seen.slot;
        while let Some(slot) = next {
            next = self.index.slot(slot).next;
            if seen.sequence > 0 {
                self.fan_out(entry, slot, entry.sequence - seen.sequence - 1, GapReason::Lapped)?;
            } else {
                self.fan_out_first(entry, slot)?;
            }
        }
        self.index.set_seen(entry.channel, entry.sequence);
        Ok(Took::Given)
    }

    /// The first record that is seen of a channel. What its name had before is known by how far that came; of an unknown past there is
    /// nothing to tell.
    fn fan_out_first(&mut self, entry: &Entry, slot: SlotId) -> Result<(), Lapped> {
        let past = self.index.slot(slot).past;
        let (base, reason) = match entry.flags & FIRST {
            0 => (past, GapReason::Lapped),
            _ if past == 0 => (entry.sequence - 1, GapReason::Expired),
            _ => (past, GapReason::Expired),
        };
        self.fan_out(entry, slot, (entry.sequence - 1).saturating_sub(base), reason)?;
        // A channel that begins anew is live, whatever was told of the one before.
        if self.index.slot(slot).stale
            && self.catalogue.at(entry.channel).is_some_and(|info| info.id == id_of(entry) && !info.stale)
        {
            self.tell_stale(slot, false);
        }
        Ok(())
    }

    /// A channel's state changed, or its feed skipped records.
    fn take_status(&mut self, entry: &Entry) -> Result<(), Lapped> {
        let Some(status) = Status::read(entry.flags, self.reader.ring().body_words(entry)?) else {
            return Ok(());
        };
        let mut next = self.index.first_slot_of(id_of(entry));
        while let Some(slot) = next {
            next = self.index.slot(slot).next;
            match status {
                Status::Stale => self.tell_stale(slot, true),
                Status::Live => self.tell_stale(slot, false),
                Status::FeedGap { from, to } => {
                    self.tell(slot, Notice::Gap { from, to, reason: GapReason::Feed });
                }
            }
        }
        Ok(())
    }

    /// Tells whoever subscribes to a channel that its feeds are gone, or back, unless that was told.
    pub(super) fn tell_stale(&mut self, slot: SlotId, stale: bool) {
        if self.index.set_stale(slot, stale) {
            self.tell(slot, if stale { Notice::Stale } else { Notice::Live });
        }
    }

    /// Gives a record to the subscribers of a slot. `skipped` records before it will not come, for this reason.
    pub(super) fn fan_out(
        &mut self,
        entry: &Entry,
        slot: SlotId,
        skipped: u64,
        reason: GapReason,
    ) -> Result<(), Lapped> {
        let (channel, position, sequence) = (id_of(entry), entry.position, entry.sequence);
        let base = sequence - skipped - 1;
        let is_hole = skipped > 0 && self.index.slot(slot).rule.delivery != Delivery::Latest;
        if is_hole {
            self.note_hole(slot, reason);
        }
        let is_silenced = self.is_silenced(slot);
        let gap = is_hole.then_some(Notice::Gap { from: base + 1, to: sequence - 1, reason });
        let record = Drained { slot, channel, position, sequence, base, reason, notice: None };
        let mut frames = Frames::default();
        if self.index.slot(slot).is_at_once() {
            for shape in Shape::ALL {
                if self.index.slot(slot).wants(shape) && (shape.can_tell() || !is_silenced) {
                    frames[shape.index()] = self.encode(entry, slot, shape, skipped, gap.as_ref())?;
                }
            }
            self.fanout.push(record, &frames);
        }
        let mut singles = self.hand_out(slot, &frames, is_silenced);
        for cohort in singles.drain(..) {
            let of = self.index.cohort(cohort);
            let (id, frame) = (of.members[0], frames[of.shape.index()]);
            self.is_due(id, 1);
            self.put_aside(id, &record, frame);
        }
        self.buffers.singles = singles;
        if gap.is_some() {
            self.count_told(slot);
        }
        Ok(())
    }

    /// Gives what was drained last to a slot's cohorts, or to those whose shape has words for a gap; returns those that are served singly,
    /// as are all that chose a rate.
    pub(super) fn hand_out(&mut self, slot: SlotId, frames: &Frames, only_tellable: bool) -> Vec<CohortId> {
        let mut singles = std::mem::take(&mut self.buffers.singles);
        let cohorts = self.index.slot(slot).cohorts.iter().copied();
        let takers = cohorts.filter(|&cohort| !only_tellable || self.index.cohort(cohort).shape.can_tell());
        if self.index.slot(slot).is_at_once() {
            self.fanout.give(takers, frames, &mut singles);
        } else {
            singles.extend(takers);
            self.fanout.count_singles(singles.len());
        }
        singles
    }

    /// Encodes a record's frame in a shape, once, behind what its arena holds, and the gap before it where there is one.
    fn encode(
        &mut self,
        entry: &Entry,
        slot: SlotId,
        shape: Shape,
        skipped: u64,
        gap: Option<&Notice>,
    ) -> Result<Range, Lapped> {
        let channel = self.index.slot(slot).name.as_str();
        let arena = &mut self.fanout.arenas[shape.index()];
        let start = arena.len() as u32;
        if let Some(gap) = gap {
            write_notice(shape, channel, gap, &mut self.buffers.label, arena);
        }
        let mark = if skipped == 0 || gap.is_some() { Mark::Live } else { Mark::Skipped(skipped) };
        // While a lap is walked, older records are still to come.
        // After a lap ordinals fall: what is found again then says nothing of what came meanwhile.
        let is_in_order = self.walk.is_none() && entry.kind == Some(Kind::Data);
        let resume = is_in_order.then_some((&*self.epoch, entry.ordinal));
        let label = Label { channel, sequence: entry.sequence, wall_us: 0, mark, resume };
        write_frame(&self.reader, entry, shape, label, &mut self.buffers.label, arena)?;
        self.ledger.encoded += 1;
        Ok(Range { start, end: arena.len() as u32 })
    }

    pub(super) fn flush(&mut self) {
        let mut cut = std::mem::take(&mut self.buffers.cut);
        self.fanout.order_dirty();
        for place in 0..self.fanout.dirty_len() {
            let cohort = self.fanout.dirty(place);
            self.send(cohort, &mut cut);
        }
        if self.fanout.dirty_len() > 0 {
            self.ledger.cycles += 1;
        }
        for (cohort, id, taken) in cut.drain(..) {
            match taken {
                Some(taken) => {
                    self.cut_off(cohort, id, taken);
                    // At once: a large record may be torn for everyone. Whoever is cut here was torn before, so not listed.
                    self.bound_torn_pool();
                }
                None => self.condemned.push((id, CloseReason::ClientVanished)),
            }
        }
        self.buffers.cut = cut;
    }

    /// One send to each member; who did not take all of it is listed with how much it took, or `None` if it is gone.
    fn send(&mut self, cohort: CohortId, cut: &mut Vec<(CohortId, SubscriberId, Option<usize>)>) {
        let records = self.fanout.lane_records(cohort);
        let of = self.index.cohort(cohort);
        let bytes = self.fanout.gather(cohort);
        let mut whole = 0;
        for &id in &of.members {
            let member = &mut self.members[id as usize];
            let taken = member.socket.offer(bytes);
            self.ledger.sent_bytes += *taken.as_ref().unwrap_or(&0) as u64;
            match taken {
                Ok(taken) if taken == bytes.len() => {
                    whole += 1;
                    member.tally.streamed(records);
                }
                Ok(taken) => {
                    member.tally.matched += records;
                    cut.push((cohort, id, Some(taken)));
                }
                Err(_) => {
                    self.ledger.abandoned += records;
                    cut.push((cohort, id, None));
                }
            }
        }
        let members = of.members.len() as u64;
        self.ledger.sends += members;
        self.ledger.matched += records * members;
        self.ledger.delivered += records * whole;
    }
}

/// The id of an entry's channel.
pub(super) fn id_of(entry: &Entry) -> ChannelId {
    ChannelId { index: entry.channel, generation: entry.generation }
}

/// Appends a record's frame in a shape to `out`, which is as it was when this fails. The label's time is the record's.
pub(super) fn write_frame(
    reader: &crate::ring::Reader,
    entry: &Entry,
    shape: Shape,
    label: Label<'_>,
    opening: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Lapped> {
    let ring = reader.ring();
    let head = Head::from_words(ring.body_words(entry)?);
    let bytes = (entry.body_bytes as usize).saturating_sub(Head::BYTES);
    let start = out.len();
    open_frame(shape, &head, label, bytes, opening, out);
    let payload = out.len();
    if ring.copy_body(entry, Head::BYTES, out).is_err() {
        out.truncate(start);
        return Err(Lapped);
    }
    shape.fit(out, payload);
    out.extend_from_slice(shape.close());
    Ok(())
}

/// Appends what stands before a payload of so many bytes. The label's time is the record's.
pub(super) fn open_frame(
    shape: Shape,
    head: &Head,
    label: Label<'_>,
    payload_bytes: usize,
    opening: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    opening.clear();
    shape.open(&Label { wall_us: head.wall_us, ..label }, opening);
    if shape.framing() == Framing::WebSocket {
        let opcode = if head.format == Format::Text { Opcode::Text } else { Opcode::Binary };
        frame::write_head(opcode, opening.len() + payload_bytes + shape.close().len(), out);
    }
    out.extend_from_slice(opening);
}

/// Appends a frame that tells something of a channel.
pub(super) fn write_notice(
    shape: Shape,
    channel: &str,
    notice: &Notice,
    text: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    text.clear();
    shape.tell(channel, notice, text);
    if shape.framing() == Framing::WebSocket && !text.is_empty() {
        frame::write_head(Opcode::Text, text.len(), out);
    }
    out.extend_from_slice(text);
}
