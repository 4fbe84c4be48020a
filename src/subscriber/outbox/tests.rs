//! The outbox against naive lists.

use proptest::prelude::*;

use super::*;

const BYTES_MAX: usize = 1500;
/// Slots below are `latest`, up to twice as many merge, then `every`. The odd ones of the first two are rated.
const OF_A_KIND: Slot = 3;
const EVERY_MS: u32 = 10;

#[derive(Clone, Debug)]
enum Step {
    /// A record of a slot, of so many bytes; above so many that are missing.
    Record(Slot, u32, u64),
    Tell(Slot, Notice),
    Resume(Slot, u64),
    Snapshot(Slot),
    /// The first item of all is sent, or so many records of it.
    Send(u64),
    Wait(u64),
    Withdraw(Slot),
    WithdrawAll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let slot = || 0..3 * OF_A_KIND;
    let missing = prop_oneof![6 => Just(0_u64), 1 => 1_u64..5];
    let notice = prop_oneof![
        Just(Notice::Stale),
        Just(Notice::Live),
        (0_u64..50, 0_u64..50)
            .prop_map(|(from, more)| { Notice::Gap { from, to: from + more, reason: GapReason::Feed } }),
    ];
    let step = prop_oneof![
        12 => (slot(), 1_u32..400, missing).prop_map(|(slot, bytes, missing)| Step::Record(slot, bytes, missing)),
        2 => (slot(), notice).prop_map(|(slot, notice)| Step::Tell(slot, notice)),
        1 => (slot(), 1_u64..9).prop_map(|(slot, records)| Step::Resume(slot, records)),
        1 => slot().prop_map(Step::Snapshot),
        6 => (1_u64..4).prop_map(Step::Send),
        2 => (0_u64..15).prop_map(Step::Wait),
        1 => slot().prop_map(Step::Withdraw),
        1 => Just(Step::WithdrawAll),
    ];
    prop::collection::vec(step, 1..150)
}

/// What is to be sent next.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    Notice(Slot, Notice),
    Missed(Slot, u64, u64),
    Gap(Gap),
    Mark(Mark),
    Queued(Waiting),
}

/// A mark: what it is follows from the slot's number, unless it is a snapshot.
#[derive(Clone, Copy, Debug)]
struct Flat {
    slot: Slot,
    is_snapshot: bool,
    base: u64,
    last: u64,
}

impl Flat {
    fn is_run(&self) -> bool {
        !self.is_snapshot && self.slot >= OF_A_KIND
    }

    fn records(&self) -> u64 {
        if self.is_run() { self.last - self.base } else { 1 }
    }

    /// Stops of runs are tested by themselves: only the ends are compared.
    fn mark(&self) -> Mark {
        let &Self { slot, is_snapshot, base, last } = self;
        match (is_snapshot, self.is_run()) {
            (true, _) => Mark::Snapshot(slot),
            (false, false) => Mark::Newest { slot, base, last },
            (false, true) => Mark::Merge(Stretch::new(slot, base, Stop { position: last, sequence: last })),
        }
    }
}

/// One flat list a kind, searched from the front.
#[derive(Default)]
struct Naive {
    /// Slot, feed gap, state.
    notices: Vec<(Slot, Option<Notice>, Option<Notice>)>,
    resumes: Vec<(Slot, u64, u64)>,
    gaps: Vec<Gap>,
    marks: Vec<Flat>,
    /// By their time.
    parked: Vec<(u64, Flat)>,
    queue: Vec<Waiting>,
    sent: std::collections::BTreeMap<Slot, u64>,
    sequences: [u64; 3 * OF_A_KIND as usize],
    now: u64,
}

fn bytes(waiting: &Waiting) -> usize {
    match waiting {
        Waiting::Record(queued) => queued.bytes as usize,
        Waiting::Gap(_) => GAP_BYTES as usize,
    }
}

fn pace(slot: Slot, now: u64) -> Pace {
    Pace { every_ms: if slot < 2 * OF_A_KIND && slot % 2 == 1 { EVERY_MS } else { 0 }, now }
}

impl Naive {
    fn all_marks(&mut self) -> impl Iterator<Item = &mut Flat> {
        self.marks.iter_mut().chain(self.parked.iter_mut().map(|(_, mark)| mark))
    }

    fn lose(&mut self, gap: Gap) {
        match self.gaps.iter_mut().find(|other| other.slot == gap.slot) {
            Some(waiting) => {
                (waiting.from, waiting.to) = (waiting.from.min(gap.from), waiting.to.max(gap.to));
            }
            None => self.gaps.push(gap),
        }
    }

    fn mark(&mut self, slot: Slot, base: u64, last: u64) -> Taken {
        if let Some(mark) = self.all_marks().find(|mark| mark.slot == slot) {
            mark.last = last;
            return if mark.is_run() { Taken::Joined } else { Taken::Conflated };
        }
        let mark = Flat { slot, is_snapshot: false, base, last };
        let pace = pace(slot, self.now);
        let due = self.sent.get(&slot).map_or(0, |sent| sent + u64::from(pace.every_ms));
        if due > self.now {
            self.parked.push((due, mark));
            return Taken::Parked;
        }
        self.marks.push(mark);
        Taken::Waits
    }

    /// A run that waits is lost with what is missing behind it; how many records.
    fn break_run(&mut self, gap: Gap) -> u64 {
        let waiting = self.all_marks().find(|mark| mark.slot == gap.slot).copied();
        if waiting.is_some_and(|mark| mark.is_snapshot) {
            return 0;
        }
        self.marks.retain(|mark| mark.slot != gap.slot);
        self.parked.retain(|(_, mark)| mark.slot != gap.slot);
        self.lose(Gap { from: waiting.map_or(gap.from, |mark| mark.base + 1), ..gap });
        waiting.map_or(0, |mark| mark.records())
    }

    /// How many records are dropped for this one.
    fn enqueue(&mut self, waiting: Waiting) -> u64 {
        let mut dropped = 0;
        self.queue.push(waiting);
        while self.queue.iter().map(bytes).sum::<usize>() > BYTES_MAX {
            match self.queue.remove(0) {
                Waiting::Gap(gap) => self.lose(gap),
                Waiting::Record(Queued { slot, sequence, .. }) => {
                    dropped += 1;
                    self.lose(Gap { slot, from: sequence, to: sequence, reason: GapReason::Slow });
                }
            }
        }
        dropped
    }

    fn tell(&mut self, slot: Slot, notice: Notice) {
        if !self.notices.iter().any(|told| told.0 == slot) {
            self.notices.push((slot, None, None));
        }
        let told = self.notices.iter_mut().find(|told| told.0 == slot).unwrap();
        match (notice, told.1) {
            (Notice::Gap { from, to, reason }, Some(Notice::Gap { from: first, to: last, .. })) => {
                told.1 = Some(Notice::Gap { from: from.min(first), to: to.max(last), reason });
            }
            (Notice::Gap { .. }, _) => told.1 = Some(notice),
            _ => told.2 = Some(notice),
        }
    }

    fn withdraw(&mut self, slot: Slot) -> u64 {
        let before = self.pending();
        self.resumes.retain(|run| run.0 != slot);
        self.gaps.retain(|gap| gap.slot != slot);
        self.marks.retain(|mark| mark.slot != slot);
        self.parked.retain(|(_, mark)| mark.slot != slot);
        self.queue.retain(|waiting| waiting.slot() != slot);
        before - self.pending()
    }

    fn unpark(&mut self) {
        self.parked.sort_by_key(|(due, mark)| (*due, mark.slot));
        let now = self.now;
        self.marks.extend(self.parked.extract_if(.., |(due, _)| *due <= now).map(|(_, mark)| mark));
    }

    fn pending(&self) -> u64 {
        let marks = self.marks.iter().chain(self.parked.iter().map(|(_, mark)| mark));
        let queued = self.queue.iter().filter(|waiting| matches!(waiting, Waiting::Record(_))).count();
        let missed: u64 = self.resumes.iter().map(|(_, base, last)| last - base).sum();
        marks.map(Flat::records).sum::<u64>() + queued as u64 + missed
    }

    fn next(&self) -> Option<Item> {
        let notice = self.notices.first().map(|&(slot, gap, state)| (slot, gap.or(state)));
        notice
            .and_then(|(slot, notice)| Some(Item::Notice(slot, notice?)))
            .or_else(|| self.resumes.first().map(|&(slot, base, last)| Item::Missed(slot, base, last)))
            .or_else(|| self.gaps.first().copied().map(Item::Gap))
            .or_else(|| self.marks.first().map(|mark| Item::Mark(mark.mark())))
            .or_else(|| self.queue.first().copied().map(Item::Queued))
    }

    fn send(&mut self, records: u64) {
        if let Some((_, gap, state)) = self.notices.first_mut() {
            if gap.take().is_none() || state.is_none() {
                self.notices.remove(0);
            }
        } else if let Some((_, base, last)) = self.resumes.first_mut() {
            *base = (*last).min(*base + records);
            if base == last {
                self.resumes.remove(0);
            }
        } else if !self.gaps.is_empty() {
            self.gaps.remove(0);
        } else if let Some(mark) = self.marks.first_mut() {
            mark.base = mark.last.min(mark.base + records);
            if !mark.is_run() || mark.records() == 0 {
                let slot = self.marks.remove(0).slot;
                if pace(slot, 0).every_ms > 0 {
                    self.sent.insert(slot, self.now);
                }
            }
        } else if !self.queue.is_empty() {
            self.queue.remove(0);
        }
    }
}

fn next(outbox: &Outbox) -> Option<Item> {
    let ends = |mark: &Mark| match mark {
        Mark::Merge(run) => {
            Flat { slot: run.slot, is_snapshot: false, base: run.base, last: run.last() }.mark()
        }
        other => other.clone(),
    };
    let notice = outbox.notices().next().map(|(slot, notice)| Item::Notice(slot, notice));
    notice
        .or_else(|| outbox.resumed(0).map(|run| Item::Missed(run.slot, run.base, run.last())))
        .or_else(|| outbox.gap(0).copied().map(Item::Gap))
        .or_else(|| outbox.mark(0).map(|mark| Item::Mark(ends(mark))))
        .or_else(|| outbox.queued(0).copied().map(Item::Queued))
}

/// The first item is sent, as the shard does.
fn send(outbox: &mut Outbox, records: u64, now: u64) {
    match next(outbox) {
        Some(Item::Notice(..)) => outbox.pop_notice(),
        Some(Item::Missed(_, base, last)) => {
            outbox.resumed_to(last.min(base + records));
        }
        Some(Item::Gap(_)) => outbox.pop_gap(),
        Some(Item::Mark(Mark::Merge(run))) => {
            outbox.merged_to(run.last().min(run.base + records));
            if outbox.mark(0).map(Mark::slot) != Some(run.slot) {
                outbox.was_sent(run.slot, pace(run.slot, now));
            }
        }
        Some(Item::Mark(mark)) => {
            outbox.was_sent(mark.slot(), pace(mark.slot(), now));
            outbox.pop_mark();
        }
        Some(Item::Queued(_)) => outbox.pop_queued(),
        None => {}
    }
}

/// A record comes, as the shard puts it aside.
fn arrive(outbox: &mut Outbox, naive: &mut Naive, slot: Slot, bytes: u32, missing: u64) {
    let base = naive.sequences[slot as usize];
    let sequence = base + missing + 1;
    naive.sequences[slot as usize] = sequence;
    let stop = Stop { position: sequence, sequence };
    let gap = Gap { slot, from: base + 1, to: sequence - 1, reason: GapReason::Lapped };
    let gap = Some(gap).filter(|_| missing > 0);
    let pace = pace(slot, naive.now);
    if slot < OF_A_KIND {
        assert_eq!(outbox.newest(slot, base, sequence, pace), naive.mark(slot, base, sequence));
    } else if slot < 2 * OF_A_KIND {
        if let Some(gap) = gap {
            assert_eq!(outbox.break_run(slot, Some(gap), Loss::Tell), Ok(naive.break_run(gap)));
        }
        assert_eq!(outbox.merge(slot, sequence - 1, stop, pace), naive.mark(slot, sequence - 1, sequence));
    } else if !outbox.awaits_snapshot(slot) {
        let record = Waiting::Record(Queued { position: sequence, sequence, slot, bytes });
        for waiting in gap.map(Waiting::Gap).into_iter().chain([record]) {
            assert_eq!(outbox.enqueue(waiting, BYTES_MAX, |_| Loss::Tell), Ok(naive.enqueue(waiting)));
        }
    }
}

fn take(step: Step, outbox: &mut Outbox, naive: &mut Naive) {
    match step {
        Step::Record(slot, bytes, missing) => arrive(outbox, naive, slot, bytes, missing),
        Step::Tell(slot, notice) => {
            outbox.tell(slot, notice);
            naive.tell(slot, notice);
        }
        Step::Resume(slot, records) => {
            let last = naive.sequences[slot as usize] + records;
            outbox.resume(Stretch::new(slot, last - records, Stop { position: last, sequence: last }));
            naive.resumes.push((slot, last - records, last));
        }
        Step::Snapshot(slot) => {
            assert_eq!(outbox.snapshot(slot, 0), naive.withdraw(slot));
            naive.marks.push(Flat { slot, is_snapshot: true, base: 0, last: 0 });
        }
        Step::Send(records) => {
            send(outbox, records, naive.now);
            naive.send(records);
        }
        Step::Wait(ms) => {
            naive.now += ms;
            outbox.unpark(naive.now);
            naive.unpark();
        }
        Step::Withdraw(slot) => {
            naive.notices.retain(|told| told.0 != slot);
            naive.sent.remove(&slot);
            assert_eq!(outbox.withdraw(&[slot]), naive.withdraw(slot));
        }
        Step::WithdrawAll => {
            assert_eq!(outbox.withdraw_all(), naive.pending());
            let (sequences, now) = (naive.sequences, naive.now);
            *naive = Naive { sequences, now, ..Naive::default() };
        }
    }
}

proptest! {
    /// Nothing lost, nothing twice, everything in its order; one mark, gap and notice of a kind a channel; the bound held.
    #[test]
    fn it_holds_what_plain_lists_hold(steps in steps()) {
        let (mut outbox, mut naive) = (Outbox::default(), Naive::default());
        for step in steps {
            take(step, &mut outbox, &mut naive);
            prop_assert_eq!(next(&outbox), naive.next());
            prop_assert_eq!(outbox.pending(), naive.pending());
            prop_assert_eq!(outbox.next_due(), naive.parked.iter().map(|(due, _)| *due).min());
            prop_assert_eq!(outbox.queued_bytes(), naive.queue.iter().map(bytes).sum::<usize>());
            prop_assert!(outbox.queued_bytes() <= BYTES_MAX);
        }
    }
}
