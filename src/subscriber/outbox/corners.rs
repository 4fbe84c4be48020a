//! Corners of the outbox, one by one.

use super::*;

const CHANNEL: ChannelId = ChannelId { index: 7, generation: 1 };

fn stop(sequence: u64) -> Stop {
    Stop { position: 100 * sequence, sequence }
}

fn record(slot: Slot, sequence: u64) -> Waiting {
    Waiting::Record(Queued { position: sequence, sequence, slot, bytes: 10 })
}

#[test]
fn a_torn_record_waits_until_its_last_byte() {
    let mut outbox = Outbox::default();
    outbox.tear(b"rest", true, 0);
    assert_eq!(outbox.pending(), 1);
    assert!(!outbox.torn_taken(3));
    assert_eq!((outbox.torn(), outbox.pending()), (&b"t"[..], 1));
    assert!(outbox.torn_taken(1));
    assert!(outbox.pending() == 0 && outbox.torn().is_empty());
}

#[test]
fn a_torn_notice_is_no_record() {
    let mut outbox = Outbox::default();
    outbox.tear(b"rest", false, 0);
    assert_eq!(outbox.pending(), 0);
    assert!(!outbox.torn_taken(4), "no record was delivered by it");
    assert!(outbox.torn().is_empty());
}

#[test]
fn what_was_read_ahead_of_the_cursor_comes_no_more_until_the_cursor_has_passed_it() {
    let mut outbox = Outbox::default();
    outbox.set_after(CHANNEL, 0, stop(10));
    let next = ChannelId { generation: 2, ..CHANNEL };
    let said = [outbox.after(CHANNEL, 0), outbox.after(CHANNEL, 250), outbox.after(next, 0)];
    assert_eq!(said, [10, 0, 0], "another alias and another channel at the place have nothing to do with it");
    outbox.withdraw(&[3]);
    outbox.settle(1000);
    assert!(outbox.is_joining(), "the cursor stands at the record");
    outbox.settle(1001);
    assert!(!outbox.is_joining());
}

#[test]
fn a_record_whose_subscriber_is_to_be_closed_for_it_is_not_dropped() {
    let mut outbox = Outbox::default();
    let loss = |slot| if slot == 1 { Loss::Close } else { Loss::Tell };
    assert_eq!(outbox.enqueue(record(2, 1), 20, loss), Ok(0));
    assert_eq!(outbox.enqueue(record(1, 1), 20, loss), Ok(0));
    assert_eq!(outbox.enqueue(record(1, 2), 20, loss), Ok(1), "the oldest was another channel's");
    assert_eq!(outbox.enqueue(record(2, 2), 20, loss), Err(Overflow { dropped: 0 }));
    assert_eq!((outbox.pending(), outbox.gap(0).map(|gap| gap.slot)), (2, Some(2)));
}

#[test]
fn a_record_that_no_bound_has_room_for_is_a_gap_by_itself() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.enqueue(record(1, 1), 9, |_| Loss::Tell), Ok(1));
    let gap = Gap { slot: 1, from: 1, to: 1, reason: GapReason::Slow };
    assert_eq!((outbox.gap(0), outbox.pending()), (Some(&gap), 0));
    assert_eq!(outbox.enqueue(record(1, 2), 9, |_| Loss::Skip), Ok(1));
    assert_eq!(outbox.gap(0), Some(&gap), "what is passed over is not told");
}

#[test]
fn a_mark_keeps_its_base_and_its_window_when_the_rate_changes() {
    let mut outbox = Outbox::default();
    let pace = |every_ms, now| Pace { every_ms, now };
    outbox.was_sent(1, pace(100, 1000));
    assert_eq!(outbox.newest(1, 5, 6, pace(100, 1001)), Taken::Parked);
    outbox.move_slot(1, 2, pace(250, 1010));
    assert_eq!(outbox.next_due(), Some(1250), "the window began when the channel was sent");
    outbox.move_slot(2, 3, pace(0, 1020));
    assert_eq!(outbox.mark(0), Some(&Mark::Newest { slot: 3, base: 5, last: 6 }));
    assert_eq!(outbox.withdraw(&[3]), 1);
    assert!(outbox.mark(0).is_none() && !outbox.has_parked());
}

#[test]
fn many_channels_are_taken_away_at_once_and_no_other() {
    let mut outbox = Outbox::default();
    let pace = Pace { every_ms: 0, now: 0 };
    for slot in 0..6 {
        outbox.tell(slot, Notice::Stale);
        assert_eq!(outbox.enqueue(record(slot, 9), 1000, |_| Loss::Tell), Ok(0));
        assert_eq!(
            outbox.break_run(slot, Some(Gap { slot, from: 1, to: 2, reason: GapReason::Slow }), Loss::Tell),
            Ok(0)
        );
        assert_eq!(outbox.merge(slot, 2, stop(3), pace), Taken::Waits);
        outbox.resume(Stretch::new(slot, 0, stop(1)));
    }
    assert_eq!((outbox.withdraw(&[1, 2, 4, 7]), outbox.pending()), (9, 9));
    let left = [0, 3, 5];
    assert_eq!(outbox.notices().map(|(slot, _)| slot).collect::<Vec<_>>(), left);
    assert_eq!((0..).map_while(|at| outbox.gap(at)).map(|gap| gap.slot).collect::<Vec<_>>(), left);
    assert_eq!((0..).map_while(|at| outbox.mark(at)).map(Mark::slot).collect::<Vec<_>>(), left);
    assert_eq!((0..).map_while(|at| outbox.resumed(at)).map(|run| run.slot).collect::<Vec<_>>(), left);
    assert_eq!((0..).map_while(|at| outbox.queued(at)).map(Waiting::slot).collect::<Vec<_>>(), left);
    assert_eq!(outbox.queued_bytes(), 30);
}
