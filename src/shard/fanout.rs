//! The fast path of a cycle: frames encoded once a shape into arenas, and for each cohort which of them it gets.
//!
//! Owned by one shard's thread; knows no socket. Everything here is emptied at a cycle's end and keeps its memory.
//! Invariant: a lane's frames lie in its shape's arena, in the order of the ring.

use super::index::{CohortId, SlotId};
use crate::channel::ChannelId;
use crate::dialect::Shape;
use crate::dialect::shape::{GapReason, Notice};
use crate::ring::Position;

/// No block: the end of a lane's list.
const NONE: u32 = u32::MAX;
/// Places in a block: with the link to the next one they fill a cache line.
const PLACES_A_BLOCK: usize = 30;
/// What a cycle may hold, records and notices. Its end may bring one or two more than where it is asked for the last time.
pub(super) const DRAINED_MAX: usize = Place::MAX as usize / 2;

/// Where something drained stands in its cycle. Small, for there is one for each frame that a cohort gets.
type Place = u16;

/// Lanes that there is room for from the beginning. Untouched memory costs nothing; what growth by doubling would leave behind does.
const LANES_AT_FIRST: usize = 16 * 1024;

/// Something drained in this cycle that somebody here gets: what is needed to find the rest for one that was cut off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drained {
    pub(super) slot: SlotId,
    pub(super) channel: ChannelId,
    pub(super) position: Position,
    pub(super) sequence: u64,
    /// The sequence seen before it: what lies between will not come, for this reason.
    pub(super) base: u64,
    pub(super) reason: GapReason,
    /// It is no record: its place among the cycle's notices.
    pub(super) notice: Option<u32>,
}

/// The frame of something drained in each shape's arena; an empty range where nobody needed that shape.
pub(super) type Frames = [Range; Shape::COUNT];

/// Bytes of an arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Range {
    pub(super) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }

    fn of(self, arena: &[u8]) -> &[u8] {
        &arena[self.start as usize..self.end as usize]
    }
}

/// What a cohort gets in this cycle.
#[derive(Clone, Copy, Debug)]
struct Lane {
    /// From its first frame's beginning to its last one's end. As long as its frames together, where they are neighbours.
    span: Range,
    bytes: u32,
    records: u32,
    /// The places of its frames: the first block, and the one being filled.
    first: u32,
    last: u32,
    /// Places in the last block.
    filled: u8,
    /// What its frames look like; here, so that giving a frame touches nothing but the lane and its last block.
    shape: Shape,
    /// A cohort of one off the fast path: it gets no frames.
    single: bool,
}

impl Lane {
    fn new(shape: Shape, single: bool) -> Self {
        Self {
            span: Range::default(),
            bytes: 0,
            records: 0,
            first: NONE,
            last: NONE,
            filled: 0,
            shape,
            single,
        }
    }

    fn begin(&mut self, blocks: &mut Vec<Block>, place: Place) {
        self.first = Block::append(blocks, place);
        (self.last, self.filled) = (self.first, 1);
    }

    fn append(&mut self, blocks: &mut Vec<Block>, place: Place) {
        if usize::from(self.filled) < PLACES_A_BLOCK {
            blocks[self.last as usize].places[usize::from(self.filled)] = place;
            self.filled += 1;
        } else {
            let next = Block::append(blocks, place);
            blocks[self.last as usize].next = next;
            (self.last, self.filled) = (next, 1);
        }
    }
}

/// Places of frames that one lane gets, oldest first. A cache line each: with lists of single ranges a delivery was measured at 80 instead
/// of 54 ns where a cycle is large, for the lanes are filled in turn, and each range was in a line of its own.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Block {
    places: [Place; PLACES_A_BLOCK],
    next: u32,
}

impl Block {
    /// A block with one place in it.
    fn append(blocks: &mut Vec<Self>, place: Place) -> u32 {
        let mut places = [0; PLACES_A_BLOCK];
        places[0] = place;
        blocks.push(Self { places, next: NONE });
        (blocks.len() - 1) as u32
    }
}

/// Arenas, frames and the dirty list of one cycle.
#[derive(Debug)]
pub(super) struct Fanout {
    pub(super) arenas: [Vec<u8>; Shape::COUNT],
    pub(super) records: Vec<Drained>,
    /// The frames of each of them.
    frames: [Vec<Range>; Shape::COUNT],
    pub(super) notices: Vec<Notice>,
    /// Cohorts that got something.
    dirty: Vec<CohortId>,
    /// Which way round the next flush goes.
    is_backwards: bool,
    lanes: Vec<Lane>,
    /// Of all lanes.
    blocks: Vec<Block>,
    /// Frames given, those of singles included: the measure of work done so far.
    appended: usize,
    /// Most bytes that one subscriber gets.
    lane_bytes_max: u32,
    scratch: Vec<u8>,
}

impl Default for Fanout {
    fn default() -> Self {
        Self {
            arenas: [const { Vec::new() }; Shape::COUNT],
            records: Vec::new(),
            frames: [const { Vec::new() }; Shape::COUNT],
            notices: Vec::new(),
            dirty: Vec::new(),
            is_backwards: false,
            lanes: Vec::with_capacity(LANES_AT_FIRST),
            blocks: Vec::new(),
            appended: 0,
            lane_bytes_max: 0,
            scratch: Vec::new(),
        }
    }
}

impl Fanout {
    /// A cohort begins, or is served otherwise from now on: in another shape, or `single`, off the fast path.
    pub(super) fn enlist(&mut self, cohort: CohortId, shape: Shape, single: bool) {
        let place = cohort as usize;
        if self.lanes.len() <= place {
            self.lanes.resize(place + 1, Lane::new(shape, false));
        }
        self.lanes[place] = Lane::new(shape, single);
    }

    /// Takes in something drained that somebody may get on the fast path, with its frames. What is given to cohorts after that is this.
    pub(super) fn push(&mut self, drained: Drained, frames: &Frames) {
        self.records.push(drained);
        for (all, frame) in self.frames.iter_mut().zip(frames) {
            all.push(*frame);
        }
    }

    /// The frame of what stands at a place of `records`, in a shape.
    pub(super) fn frame(&self, place: usize, shape: Shape) -> Range {
        self.frames[shape.index()][place]
    }

    /// Gives cohorts their shape's frame of the newest of `records`, which may be a notice. Those served singly are appended to
    /// `singles` instead.
    ///
    /// One call for all: the counts that bound the cycle stay in registers meanwhile.
    pub(super) fn give(
        &mut self,
        cohorts: impl Iterator<Item = CohortId>,
        frames: &Frames,
        singles: &mut Vec<CohortId>,
    ) {
        let place = self.records.len() - 1;
        let records = u32::from(self.records[place].notice.is_none());
        debug_assert!(place <= usize::from(Place::MAX), "the cycle's bound");
        let place = place as Place;
        let (mut given, mut lane_bytes_max) = (0, self.lane_bytes_max);
        for cohort in cohorts {
            given += 1;
            let lane = &mut self.lanes[cohort as usize];
            if lane.single {
                singles.push(cohort);
                continue;
            }
            let frame = frames[lane.shape.index()];
            debug_assert!(!frame.is_empty(), "what a cohort gets was encoded in its shape");
            if lane.first == NONE {
                self.dirty.push(cohort);
                lane.span = frame;
                lane.begin(&mut self.blocks, place);
            } else {
                lane.append(&mut self.blocks, place);
            }
            lane.span.end = frame.end;
            lane.records += records;
            lane.bytes += frame.end - frame.start;
            lane_bytes_max = lane_bytes_max.max(lane.bytes);
        }
        // What is put aside costs as much as a frame, and bounds the cycle with them.
        self.appended += given;
        self.lane_bytes_max = lane_bytes_max;
    }

    /// Cohorts that are served singly got something that needs no frame.
    pub(super) fn count_singles(&mut self, cohorts: usize) {
        self.appended += cohorts;
    }

    /// Frames given so far in this cycle.
    pub(super) fn appended(&self) -> usize {
        self.appended
    }

    /// Bytes encoded so far in this cycle.
    pub(super) fn bytes(&self) -> usize {
        self.arenas.iter().map(Vec::len).sum()
    }

    /// Most bytes that wait for one subscriber in this cycle.
    pub(super) fn lane_bytes_max(&self) -> usize {
        self.lane_bytes_max as usize
    }

    /// Puts the cohorts that got something into the order of the flush: that of their numbers, which is about the order in which their
    /// sockets were made and lie in memory; every other time the other way round, so that nobody is always the last.
    pub(super) fn order_dirty(&mut self) {
        self.dirty.sort_unstable();
        if self.is_backwards {
            self.dirty.reverse();
        }
        // A flush of nothing is none: there are turns without a record between records that are rare.
        self.is_backwards ^= !self.dirty.is_empty();
    }

    pub(super) fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    pub(super) fn dirty(&self, place: usize) -> CohortId {
        self.dirty[place]
    }

    /// Whether a cohort is served singly.
    pub(super) fn is_single(&self, cohort: CohortId) -> bool {
        self.lanes[cohort as usize].single
    }

    /// How many records a cohort gets.
    pub(super) fn lane_records(&self, cohort: CohortId) -> u64 {
        u64::from(self.lanes[cohort as usize].records)
    }

    /// The bytes a cohort gets: a slice of the arena where its frames are neighbours, else gathered.
    pub(super) fn gather(&mut self, cohort: CohortId) -> &[u8] {
        let lane = &self.lanes[cohort as usize];
        let arena = &self.arenas[lane.shape.index()];
        if lane.span.len() == lane.bytes as usize {
            return lane.span.of(arena);
        }
        let frames = &self.frames[lane.shape.index()];
        self.scratch.clear();
        let mut block = &self.blocks[lane.first as usize];
        while block.next != NONE {
            for &place in &block.places {
                self.scratch.extend_from_slice(frames[usize::from(place)].of(arena));
            }
            block = &self.blocks[block.next as usize];
        }
        for &place in &block.places[..usize::from(lane.filled)] {
            self.scratch.extend_from_slice(frames[usize::from(place)].of(arena));
        }
        &self.scratch
    }

    /// Empties everything for the next cycle.
    pub(super) fn clear(&mut self) {
        for cohort in self.dirty.drain(..) {
            let lane = &mut self.lanes[cohort as usize];
            *lane = Lane::new(lane.shape, lane.single);
        }
        self.arenas.iter_mut().for_each(Vec::clear);
        self.records.clear();
        self.frames.iter_mut().for_each(Vec::clear);
        self.notices.clear();
        self.blocks.clear();
        self.appended = 0;
        self.lane_bytes_max = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drained() -> Drained {
        let channel = ChannelId { index: 0, generation: 0 };
        Drained {
            slot: 0,
            channel,
            position: 0,
            sequence: 1,
            base: 0,
            reason: GapReason::Lapped,
            notice: None,
        }
    }

    /// Thousands of slow subscribers to a busy channel would else make one cycle last a second.
    #[test]
    fn what_is_put_aside_counts_towards_the_cycles_bound() {
        let mut fanout = Fanout::default();
        fanout.enlist(0, Shape::Payload, true);
        fanout.enlist(1, Shape::Payload, false);
        let frames = [Range { start: 0, end: 5 }; Shape::COUNT];
        fanout.push(drained(), &frames);
        let mut singles = Vec::new();
        fanout.give([0, 1].into_iter(), &frames, &mut singles);
        assert_eq!((singles, fanout.appended(), fanout.dirty_len()), (vec![0], 2, 1));
    }

    /// Also where turns in which nobody gets anything lie between: there are many where records are rare.
    #[test]
    fn who_is_the_last_in_one_flush_is_the_first_in_the_next() {
        let mut fanout = Fanout::default();
        (0..3).for_each(|cohort| fanout.enlist(cohort, Shape::Payload, false));
        let frames = [Range { start: 0, end: 5 }; Shape::COUNT];
        let mut flush = |takers: &[CohortId]| {
            if !takers.is_empty() {
                fanout.push(drained(), &frames);
                fanout.give(takers.iter().copied(), &frames, &mut Vec::new());
            }
            fanout.order_dirty();
            let order: Vec<_> = (0..fanout.dirty_len()).map(|place| fanout.dirty(place)).collect();
            fanout.clear();
            order
        };
        assert_eq!(flush(&[1, 0, 2]), [0, 1, 2]);
        flush(&[]);
        assert_eq!(flush(&[1, 0, 2]), [2, 1, 0]);
        assert_eq!(flush(&[1, 2, 0]), [0, 1, 2]);
    }

    proptest! {
        /// Whatever cohorts get which frames, each gathers exactly its frames in order.
        #[test]
        fn a_cohort_gathers_its_frames_in_order(
            frames in prop::collection::vec((1_u8..20, prop::collection::vec(any::<bool>(), 4)), 1..80),
            cycles in 1_usize..3,
        ) {
            let mut fanout = Fanout::default();
            (0..4).for_each(|cohort| fanout.enlist(cohort, Shape::Payload, false));
            for _ in 0..cycles {
                let mut expected = vec![Vec::new(); 4];
                for (number, (len, takers)) in frames.iter().enumerate() {
                    let frame = vec![number as u8; usize::from(*len)];
                    let arena = &mut fanout.arenas[Shape::Payload.index()];
                    let start = arena.len() as u32;
                    arena.extend_from_slice(&frame);
                    let range = Range { start, end: arena.len() as u32 };
                    fanout.push(drained(), &[range; Shape::COUNT]);
                    let takers: Vec<_> = (0..4).filter(|&cohort| takers[cohort as usize]).collect();
                    fanout.give(takers.iter().copied(), &[range; Shape::COUNT], &mut Vec::new());
                    takers.iter().for_each(|&cohort| expected[cohort as usize].extend_from_slice(&frame));
                }
                let most = expected.iter().map(Vec::len).max().unwrap_or(0);
                prop_assert_eq!(fanout.lane_bytes_max(), most);
                let dirty: Vec<_> = (0..fanout.dirty_len()).map(|place| fanout.dirty(place)).collect();
                for cohort in dirty {
                    let bytes = fanout.gather(cohort).to_vec();
                    prop_assert_eq!(&bytes, &expected[cohort as usize]);
                    expected[cohort as usize].clear();
                }
                prop_assert!(expected.iter().all(Vec::is_empty), "a cohort with frames was not dirty");
                fanout.clear();
            }
        }
    }
}
