//! The window in which records gather: what it holds back, and what it does not.

use super::*;

const WINDOW_MS: u64 = 5;

/// A shard with a window, and a subscriber that has had everything so far.
fn bench() -> (Bench, TcpStream) {
    let options = Options { coalesce: Duration::from_millis(WINDOW_MS), ..options() };
    let mut bench = Bench::ruled(options, DeliveryRules::default());
    let mut client = bench.subscriber(&["a@trade"]);
    assert_eq!(told(&mut client, 1), ["hello"]);
    (bench, client)
}

impl Bench {
    /// A record of one byte on the subscriber's channel.
    fn trade(&mut self, sequence: u64) {
        self.publish("a@trade", (0, 0), sequence, 1);
    }

    fn sends(&self) -> u64 {
        self.shard.ledger.sends
    }
}

#[test]
fn a_record_that_comes_to_a_shard_at_rest_is_sent_at_once() {
    let (mut bench, mut client) = bench();
    for sequence in 1..=3 {
        let before = bench.sends();
        bench.trade(sequence);
        bench.turn();
        assert_eq!(bench.sends(), before + 1);
        assert_eq!(told(&mut client, 1), [sequence.to_string()]);
        bench.turn_after(WINDOW_MS);
    }
}

#[test]
fn records_within_the_window_after_a_send_go_in_one_send_when_it_ends() {
    let (mut bench, mut client) = bench();
    bench.trade(1);
    bench.turn();
    let before = bench.sends();
    bench.trade(2);
    bench.turn_after(1);
    bench.trade(3);
    bench.turn_after(WINDOW_MS - 2);
    assert_eq!((bench.sends(), bench.shard.sleeps_ms()), (before, 1), "it wakes when the window ends");
    bench.turn_after(1);
    assert_eq!(bench.sends(), before + 1);
    assert_eq!(told(&mut client, 3), ["1", "2", "3"]);
    bench.trade(4);
    bench.turn_after(WINDOW_MS - 1);
    assert_eq!(bench.sends(), before + 1, "and the next one begins with it");
    bench.assert_adds_up();
}

#[test]
fn nothing_that_gathered_is_lost_when_the_server_ends_within_the_window() {
    let (mut bench, mut client) = bench();
    bench.trade(1);
    bench.turn();
    bench.trade(2);
    bench.turn();
    assert!(bench.shard.is_gathering());
    bench.mailbox.shut_down();
    bench.turn();
    assert_eq!(told(&mut client, 2), ["1", "2"]);
    bench.turn();
    assert_eq!(close_code(&mut client), 1001);
    bench.assert_adds_up();
}

#[test]
fn a_drain_that_ended_at_a_bound_is_followed_by_the_next_at_once() {
    let options = Options { coalesce: Duration::from_millis(WINDOW_MS), ..options() };
    let mut bench = Bench::with(1 << 20, BODY_BYTES_MAX, options, DeliveryRules::default());
    let _client = bench.subscriber(&["a@trade"]);
    // More than one subscriber is given in a cycle.
    for sequence in 1..=150 {
        bench.publish("a@trade", (0, 0), sequence, 900);
    }
    bench.turn();
    let of = bench.shard.ledger;
    assert!(of.seen > 0 && of.seen < 150, "{of:?}");
    bench.turn();
    assert_eq!(bench.shard.ledger.seen, 150);
}

#[test]
fn who_comes_within_the_window_ends_it() {
    let (mut bench, mut client) = bench();
    bench.trade(1);
    bench.turn();
    bench.trade(2);
    let mut late = bench.subscriber(&["a@trade"]);
    assert_eq!(told(&mut late, 2), ["hello", "2s"]);
    assert_eq!(told(&mut client, 2), ["1", "2"]);
    bench.assert_adds_up();
}
