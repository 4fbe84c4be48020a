//! The fast path of a cycle: frames encoded once a shape into arenas, and for each cohort the ranges it gets of them.
//!
//! Owned by one shard's thread; knows no socket. Everything here is emptied at a cycle's end and keeps its memory.
//! Invariant: a lane's ranges lie in its shape's arena, in the order of the ring.

use super::index::{CohortId, SlotId};
use crate::channel::ChannelId;
use crate::dialect::Shape;
use crate::dialect::shape::{GapReason, Notice};
use crate::ring::Position;

/// No node: the end of a lane's list.
const NONE: u32 = u32::MAX;

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
    /// Its frame in each shape's arena; an empty range where nobody needed that shape.
    pub(super) frames: [Range; Shape::COUNT],
}

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

/// What a cohort gets in this cycle: the range being extended, and a list of finished ones, newest first.
#[derive(Clone, Copy, Debug)]
struct Lane {
    last: Range,
    finished: u32,
    bytes: u32,
    records: u32,
    /// What its frames look like; here, so that giving a frame touches nothing but the lane.
    shape: Shape,
    /// A cohort of one off the fast path: it gets no ranges.
    single: bool,
}

impl Lane {
    fn new(shape: Shape, single: bool) -> Self {
        Self { last: Range::default(), finished: NONE, bytes: 0, records: 0, shape, single }
    }
}

#[derive(Clone, Copy, Debug)]
struct Node {
    range: Range,
    older: u32,
}

/// Arenas, ranges and the dirty list of one cycle.
#[derive(Debug)]
pub(super) struct Fanout {
    pub(super) arenas: [Vec<u8>; Shape::COUNT],
    pub(super) records: Vec<Drained>,
    pub(super) notices: Vec<Notice>,
    /// Cohorts that got something, in the order of their first record.
    dirty: Vec<CohortId>,
    lanes: Vec<Lane>,
    /// Finished ranges of all lanes.
    nodes: Vec<Node>,
    /// Ranges appended, joined ones and those of singles included: the measure of work done so far.
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
            notices: Vec::new(),
            dirty: Vec::new(),
            lanes: Vec::new(),
            nodes: Vec::new(),
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

    /// Gives a cohort its shape's frame of a record; neighbours are joined. False: it is served singly.
    pub(super) fn give(&mut self, cohort: CohortId, frames: &[Range; Shape::COUNT]) -> bool {
        self.hand(cohort, frames, 1)
    }

    /// Gives a cohort its shape's frame of something that is no record; otherwise the same.
    pub(super) fn give_notice(&mut self, cohort: CohortId, frames: &[Range; Shape::COUNT]) -> bool {
        self.hand(cohort, frames, 0)
    }

    fn hand(&mut self, cohort: CohortId, frames: &[Range; Shape::COUNT], records: u32) -> bool {
        // What is put aside costs as much as a range, and bounds the cycle with them.
        self.appended += 1;
        let lane = &mut self.lanes[cohort as usize];
        if lane.single {
            return false;
        }
        let frame = frames[lane.shape.index()];
        debug_assert!(!frame.is_empty(), "what a cohort gets was encoded in its shape");
        if lane.bytes == 0 {
            self.dirty.push(cohort);
            lane.last = frame;
        } else if lane.last.end == frame.start {
            lane.last.end = frame.end;
        } else {
            let older = lane.finished;
            lane.finished = self.nodes.len() as u32;
            self.nodes.push(Node { range: lane.last, older });
            lane.last = frame;
        }
        lane.records += records;
        lane.bytes += frame.end - frame.start;
        self.lane_bytes_max = self.lane_bytes_max.max(lane.bytes);
        true
    }

    /// Ranges appended so far in this cycle.
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

    /// The bytes a cohort gets: a slice of the arena where its ranges join to one, else gathered.
    pub(super) fn gather(&mut self, cohort: CohortId) -> &[u8] {
        let lane = self.lanes[cohort as usize];
        let arena = &self.arenas[lane.shape.index()];
        if lane.finished == NONE {
            return lane.last.of(arena);
        }
        // The list is newest first, so the scratch is filled from its end.
        let mut end = lane.bytes as usize;
        if self.scratch.len() < end {
            self.scratch.resize(end, 0);
        }
        let mut place = |range: Range| {
            let start = end - range.len();
            self.scratch[start..end].copy_from_slice(range.of(arena));
            end = start;
        };
        place(lane.last);
        let mut node = lane.finished;
        while node != NONE {
            let Node { range, older } = self.nodes[node as usize];
            place(range);
            node = older;
        }
        &self.scratch[..lane.bytes as usize]
    }

    /// Empties everything for the next cycle.
    pub(super) fn clear(&mut self) {
        for cohort in self.dirty.drain(..) {
            let lane = &mut self.lanes[cohort as usize];
            *lane = Lane::new(lane.shape, lane.single);
        }
        self.arenas.iter_mut().for_each(Vec::clear);
        self.records.clear();
        self.notices.clear();
        self.nodes.clear();
        self.appended = 0;
        self.lane_bytes_max = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Thousands of slow subscribers to a busy channel would else make one cycle last a second.
    #[test]
    fn what_is_put_aside_counts_towards_the_cycles_bound() {
        let mut fanout = Fanout::default();
        fanout.enlist(0, Shape::Payload, true);
        fanout.enlist(1, Shape::Payload, false);
        let frames = [Range { start: 0, end: 5 }; Shape::COUNT];
        assert!(!fanout.give(0, &frames) && fanout.give(1, &frames));
        assert_eq!((fanout.appended(), fanout.dirty_len()), (2, 1));
    }

    proptest! {
        /// Whatever cohorts get which frames, each gathers exactly its frames in order.
        #[test]
        fn a_cohort_gathers_its_frames_in_order(
            frames in prop::collection::vec((1_u8..20, prop::collection::vec(any::<bool>(), 4)), 1..40),
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
                    for (cohort, _) in takers.iter().enumerate().filter(|(_, takes)| **takes) {
                        prop_assert!(fanout.give(cohort as CohortId, &[range; Shape::COUNT]));
                        expected[cohort].extend_from_slice(&frame);
                    }
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
