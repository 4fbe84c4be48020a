//! Births, torn frames, laps, requests: what a turn does to subscribers that read.

use std::io::Write as _;

use super::*;
use crate::shard::timers::Moment;

/// A frame of so many bytes was torn for a subscriber off the fast path.
fn tear(bench: &mut Bench, id: u32, bytes: usize) {
    bench.shard.leave_fast_path(id);
    bench.shard.members[id as usize].outbox.as_mut().unwrap().tear(&vec![0; bytes], true, 0);
    bench.shard.ledger.matched += 1;
    bench.shard.ledger.pending += 1;
    bench.shard.is_torn_now(id, bytes);
}

#[test]
fn frames_torn_and_finished_again_and_again_leave_nothing_behind_one_that_stays_torn() {
    let mut bench = Bench::new();
    let _clients = [bench.subscriber(&[]), bench.subscriber(&[])];
    tear(&mut bench, FIRST, 10);
    for _ in 0..1000 {
        tear(&mut bench, 1, 10);
        bench.shard.members[1].outbox.as_mut().unwrap().torn_taken(10);
        bench.shard.ledger.torn_bytes -= 10;
        bench.shard.ledger.pending -= 1;
        bench.shard.ledger.delivered += 1;
        bench.shard.bound_torn_pool();
    }
    assert!(bench.shard.torn.len() <= 5, "{} are listed for two subscribers", bench.shard.torn.len());
    assert_eq!(bench.shard.torn.front().map(|&(id, _)| id), Some(FIRST), "the oldest is still known");
}

#[test]
fn the_torn_pool_is_kept_within_its_bound_while_a_cycle_is_sent() {
    let mut bench = Bench::of(1 << 26, 1 << 20);
    let _clients: Vec<_> = (0..8).map(|_| bench.subscriber(&["a@trade"])).collect();
    bench.publish("a@trade", (0, 0), 1, (1 << 20) - Head::BYTES);
    bench.shard.drain();
    bench.shard.flush();
    let torn_bytes = bench.shard.ledger.torn_bytes;
    assert!(torn_bytes > 0 && torn_bytes <= options().torn_pool_bytes_max as u64, "{torn_bytes} bytes wait");
}

#[test]
fn a_channel_whose_only_record_was_lost_to_a_lap_is_found() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&["new@ticker"]);
    text(&mut client);
    bench.lap((0, 0), 1);
    bench.publish("new@ticker", (1, 0), 1, 1);
    bench.lap((0, 0), 201);
    while bench.shard.ledger.lapped == 0 || bench.shard.walk.is_some() {
        bench.turn();
    }
    assert!(is_record(&text(&mut client), 1, ""));
    bench.assert_adds_up();
}

#[test]
fn who_is_off_the_fast_path_is_told_what_a_lap_took() {
    let mut bench = Bench::new();
    bench.publish("a@ticker", (1, 0), 1, 1);
    let mut client = bench.subscriber(&["a@ticker"]);
    text(&mut client);
    assert!(is_record(&text(&mut client), 1, r#","snap":true"#));
    bench.shard.leave_fast_path(FIRST);
    bench.lap((0, 0), 1);
    (2..=5).for_each(|sequence| bench.publish("a@ticker", (1, 0), sequence, 1));
    while bench.shard.ledger.lapped == 0 || bench.shard.walk.is_some() {
        bench.turn();
    }
    assert!(is_record(&text(&mut client), 5, r#","skipped":3"#));
    bench.assert_adds_up();
}

/// A subscriber that takes nothing while a channel expires and its name comes again, which is numbered on.
#[test]
fn a_name_that_comes_again_meets_who_waited_for_the_one_before() {
    let mut bench = Bench::new();
    (1..=5).for_each(|sequence| bench.publish("a@ticker", (0, 0), sequence, 1));
    let mut client = bench.subscriber(&["a@ticker"]);
    text(&mut client);
    assert!(is_record(&text(&mut client), 5, r#","snap":true"#));
    bench.block(FIRST);
    bench.publish("a@ticker", (0, 0), 6, 1);
    bench.turn();
    let expired = bench.stamp(Kind::Expired, (0, 0), 6);
    bench.publisher.publish(&expired, &[]).unwrap();
    bench.found("a@ticker", (0, 1));
    bench.publish("a@ticker", (0, 1), 7, 1);
    bench.publish("a@ticker", (0, 1), 8, 1);
    bench.turn();
    bench.unblock(FIRST);
    assert!(is_record(&text(&mut client), 8, r#","skipped":2"#));
    assert_eq!(bench.shard.ledger.slow, 0, "it waits for nothing more");
    bench.assert_adds_up();
}

/// What a client says in a text message of less than 126 bytes; masked with zeros.
fn say(client: &mut TcpStream, message: &str, times: usize) {
    let frame = [&[0x81, 0x80 | message.len() as u8, 0, 0, 0, 0], message.as_bytes()].concat();
    client.write_all(&frame.repeat(times)).unwrap();
}

#[test]
fn many_requests_in_one_read_are_answered_as_the_client_takes_the_answers() {
    const ASKED: u64 = 50;
    let mut bench = Bench::new();
    let names: Vec<_> = (0..100).map(|number| format!("{number:0>90}@trade")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut client = bench.subscriber(&names);
    text(&mut client);
    say(&mut client, r#"{"op":"list","id":1}"#, ASKED as usize);
    while bench.shard.ledger.requests == 0 {
        bench.turn();
    }
    let control = bench.shard.members[FIRST as usize].outbox.as_ref().unwrap().control();
    assert!(control.len() < 20_000, "{} bytes of answers of 10 kB each wait", control.len());
    let reading = std::thread::spawn(move || {
        (0..ASKED).for_each(|_| assert!(text(&mut client).starts_with(r#"{"op":"list","id":1"#)));
        client
    });
    while !reading.is_finished() {
        bench.turn();
    }
    reading.join().unwrap();
    assert_eq!(bench.shard.ledger.requests, ASKED);
}

#[test]
fn a_subscriber_that_never_rests_stands_among_the_restless_once() {
    let mut bench = Bench::new();
    let _client = bench.subscriber(&["a@trade"]);
    (0..1000).for_each(|_| bench.shard.is_restless(FIRST));
    assert_eq!(bench.shard.restless.len(), 1);
}

/// A subscriber that took the number of one that is gone is looked at once more than it is restless: here when its cohort of two has just
/// become the same as another one, which kept a channel that expired and came again.
#[test]
fn who_shares_a_cohort_stays_with_the_others_when_looked_at_for_one_that_is_gone() {
    const LATE: u32 = 3;
    let ask = |bench: &mut Bench| {
        let client = bench.subscriber(&[]);
        let id = (bench.shard.members.len() - 1) as u32;
        bench.shard.obey(id, br#"{"op":"subscribe","channels":["*@trade"],"snapshot":false}"#);
        bench.turn();
        (id, client)
    };
    let mut bench = Bench::new();
    bench.publish("a@trade", (1, 0), 1, 10);
    let _early = [ask(&mut bench), ask(&mut bench)];
    (0..3).for_each(|_| bench.turn_after(1000));
    bench.catalogue.remove(ChannelId { index: 1, generation: 0 });
    bench.publisher.publish(&bench.stamp(Kind::Expired, (1, 0), 1), &[]).unwrap();
    let (beside, _client) = ask(&mut bench);
    (0..3).for_each(|_| bench.turn_after(1000));
    let (gone, client) = ask(&mut bench);
    bench.shard.bury(gone, CloseReason::ClientVanished);
    drop(client);
    bench.turn_after(500);
    let (late, _client) = ask(&mut bench);
    assert_eq!((gone, late), (LATE, LATE));
    (0..2).for_each(|_| bench.turn_after(500));
    assert_eq!(bench.shard.index.cohorts_len(), 2, "it is with whom it stands beside");
    bench.found("a@trade", (1, 1));
    bench.publish("a@trade", (1, 1), 2, 10);
    (0..4).for_each(|_| bench.turn_after(500));
    assert!(bench.shard.restless.is_empty());
    for id in [beside, late] {
        let cohort = bench.shard.cohort_of(id).unwrap();
        assert!(bench.shard.index.cohort(cohort).members.contains(&id));
    }
    bench.assert_adds_up();
}

/// The times of the restless are kept in 32 bits, which is 49 days.
#[test]
fn who_is_still_finds_others_of_its_kind_also_after_49_days() {
    let mut bench = Bench::new();
    bench.turn_after((1 << 32) - 700);
    let _clients = [bench.subscriber(&["a@trade"]), bench.subscriber(&["a@trade"])];
    bench.turn_after(600);
    assert_eq!(bench.shard.index.cohorts_len(), 2, "they changed a moment ago");
    assert!(bench.shard.sleeps_ms() <= 400);
    (0..3).for_each(|_| bench.turn_after(1000));
    assert_eq!((bench.shard.index.cohorts_len(), bench.shard.restless.len()), (1, 0));
}

#[test]
fn pongs_inside_a_message_give_it_no_more_time() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&[]);
    let [begun, pong] = [[0x01, 0x81, 0, 0, 0, 0, b' '].as_slice(), &[0x8a, 0x80, 0, 0, 0, 0]];
    client.write_all(begun).unwrap();
    while bench.shard.members[FIRST as usize].partial_since.is_none() {
        bench.turn();
    }
    let since = bench.shard.members[FIRST as usize].partial_since;
    for _ in 0..3 {
        bench.shard.members[FIRST as usize].unanswered_since = Some(Moment::at(0));
        client.write_all(pong).unwrap();
        while bench.shard.members[FIRST as usize].unanswered_since.is_some() {
            bench.turn();
            bench.shard.now += 1000;
            bench.shard.hear(FIRST);
        }
    }
    assert_eq!(bench.shard.members[FIRST as usize].partial_since, since);
}

#[test]
fn the_walk_after_a_lap_goes_on_however_much_the_cycle_put_aside() {
    let mut bench = Bench::new();
    bench.lap((0, 0), 1);
    bench.shard.was_lapped();
    bench.shard.aside = usize::MAX;
    bench.shard.finish_cycle();
    bench.shard.walk_on();
    assert!(bench.shard.walk.is_none());
}

#[test]
fn a_shard_that_was_held_up_reads_pongs_before_it_judges() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&[]);
    let _mute = bench.subscriber(&[]);
    bench.turn_after(61_000);
    client.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).unwrap();
    bench.turn_after(200_000);
    let asked = bench.shard.members[FIRST as usize].unanswered_since;
    assert_eq!(asked, Some(Moment::at(bench.now)), "its pong was read, and it is asked again");
    assert_eq!(bench.shard.ledger.closed[CloseReason::PongTimeout.index()], 0);
    bench.turn_after(5001);
    assert_eq!(bench.shard.ledger.closed[CloseReason::PongTimeout.index()], 1);
    assert_eq!(bench.shard.members.len(), 1);
}
