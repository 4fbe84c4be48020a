//! Who joins what: patterns, names, rates, what is told of a channel's state, and what is refused.
//!
//! A shard taken a turn at a time, by a clock of its own. Invariant: no test waits for a time.

use std::io::Write as _;

use serde_json::json;

use super::*;
use crate::record::{self, Status};

/// A client says something, and the shard hears it.
pub(super) fn ask(bench: &mut Bench, client: &mut TcpStream, message: &Value) {
    let message = message.to_string();
    let bytes = u16::try_from(message.len()).unwrap();
    let mut frame = vec![0x81];
    match u8::try_from(bytes).ok().filter(|bytes| *bytes < 126) {
        Some(bytes) => frame.push(0x80 | bytes),
        None => frame.extend([0x80 | 126, (bytes >> 8) as u8, bytes as u8]),
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(message.as_bytes());
    let heard = |bench: &Bench| bench.shard.ledger.requests + bench.shard.ledger.requests_refused;
    let before = heard(bench);
    client.write_all(&frame).unwrap();
    until(bench, |bench| heard(bench) > before);
    bench.turn();
}

/// Many more turns than anything takes.
const TURNS_MAX: usize = 20_000;

/// Turns until something is so, but not for ever.
pub(super) fn until(bench: &mut Bench, is_so: impl Fn(&Bench) -> bool) {
    for _ in 0..TURNS_MAX {
        if is_so(bench) {
            return;
        }
        bench.turn();
    }
    panic!("it never is: {:?}", bench.shard.ledger);
}

/// What the next message answers.
pub(super) fn answer(client: &mut TcpStream) -> Value {
    messages(client, 1).remove(0)
}

pub(super) fn greeted(bench: &mut Bench) -> TcpStream {
    let mut client = bench.subscriber(&[]);
    assert_eq!(told(&mut client, 1), ["hello"]);
    client
}

pub(super) fn subscribe(channels: &[&str]) -> Value {
    json!({"op": "subscribe", "id": 1, "channels": channels})
}

/// A request with one more field.
pub(super) fn with(mut request: Value, key: &str, value: Value) -> Value {
    request[key] = value;
    request
}

impl Bench {
    /// Publishes a channel's first record, at this sequence.
    pub(super) fn publish_first(&mut self, name: &str, id: (u32, u32), sequence: u64) {
        self.found(name, id);
        self.ordinal += 1;
        let head = Head { wall_us: 0, feed_sequence: None, payload_hash: 0, format: Format::Text, epoch: 0 };
        let stamp = Stamp { flags: record::FIRST, ..self.stamp(Kind::Data, id, sequence) };
        self.publisher.publish(&stamp, &[&head.to_bytes(), b"1"]).unwrap();
    }

    pub(super) fn publish_all(
        &mut self,
        name: &str,
        id: (u32, u32),
        sequences: std::ops::RangeInclusive<u64>,
    ) {
        sequences.for_each(|sequence| self.publish_payload(name, id, sequence, "1"));
    }

    pub(super) fn expire(&mut self, id: (u32, u32), sequence: u64) {
        let stamp = self.stamp(Kind::Expired, id, sequence);
        self.publisher.publish(&stamp, &[]).unwrap();
        self.catalogue.remove(ChannelId { index: id.0, generation: id.1 });
    }

    fn say_status(&mut self, id: (u32, u32), status: Status) {
        let channel = ChannelId { index: id.0, generation: id.1 };
        match status {
            Status::Stale => self.catalogue.set_stale(channel, true),
            Status::Live => self.catalogue.set_stale(channel, false),
            Status::FeedGap { .. } => {}
        }
        let stamp = Stamp { flags: status.flags(), ..self.stamp(Kind::Status, id, 0) };
        self.publisher.publish(&stamp, &[&status.body()]).unwrap();
    }
}

/// Those who asked for a pattern before a channel was there are given its first record, in order with all others.
#[test]
fn a_channel_that_appears_is_joined_before_its_first_record() {
    let mut bench = Bench::new();
    let [mut early, mut named] = [greeted(&mut bench), greeted(&mut bench)];
    ask(&mut bench, &mut early, &subscribe(&["*@trade"]));
    assert_eq!(answer(&mut early)["channels"], json!([{"pattern": "*@trade", "count": 0}]));
    ask(&mut bench, &mut named, &subscribe(&["b@trade"]));
    answer(&mut named);
    bench.publish_all("a@trade", (0, 0), 1..=2);
    bench.publish_all("b@trade", (1, 0), 1..=1);
    bench.publish_all("a@trade", (0, 0), 3..=3);
    bench.publish_all("c@ticker", (2, 0), 1..=1);
    (0..4).for_each(|_| bench.turn());
    let got: Vec<_> = messages(&mut early, 4).iter().map(|it| format!("{}{}", it["ch"], it["seq"])).collect();
    assert_eq!(got, [r#""a@trade"1"#, r#""a@trade"2"#, r#""b@trade"1"#, r#""a@trade"3"#]);
    assert_eq!(told(&mut named, 1), ["1"]);
    assert_eq!(bench.shard.ledger.subscriptions, 3);
    ask(&mut bench, &mut early, &json!({"op": "list", "id": 2}));
    assert_eq!(answer(&mut early)["channels"], json!(["*@trade"]), "not what it joined");
    bench.assert_adds_up();
}

#[test]
fn what_a_pattern_matches_now_begins_with_snapshots() {
    let mut bench = Bench::new();
    bench.publish_all("a@trade", (0, 0), 1..=5);
    bench.publish_all("b@trade", (1, 0), 1..=1);
    let mut client = greeted(&mut bench);
    ask(&mut bench, &mut client, &subscribe(&["b@trade", "*@trade"]));
    let ack = answer(&mut client);
    assert_eq!(
        ack["channels"],
        json!([{"channel": "b@trade", "seq": 1}, {"pattern": "*@trade", "count": 2}])
    );
    let mut got = told(&mut client, 2);
    got.sort();
    assert_eq!(got, ["1s", "5s"], "each once");
    bench.publish_all("a@trade", (0, 0), 6..=6);
    bench.turn();
    assert_eq!(told(&mut client, 1), ["6"]);
    bench.assert_adds_up();
}

/// A lap may take the first records of a channel: the walk meets it, and those with a pattern join.
#[test]
fn a_channel_met_by_the_walk_after_a_lap_is_joined_too() {
    let mut bench = Bench::new();
    let mut client = greeted(&mut bench);
    ask(&mut bench, &mut client, &subscribe(&["*@ticker"]));
    answer(&mut client);
    bench.lap((0, 0), 1);
    bench.publish_all("new@ticker", (1, 0), 1..=3);
    bench.lap((0, 0), 201);
    until(&mut bench, |bench| bench.shard.ledger.lapped > 0 && bench.shard.walk.is_none());
    assert_eq!(told(&mut client, 1), ["3+2"]);
    bench.assert_adds_up();
}

/// Who joins by a pattern has no answer that could tell so.
#[test]
fn a_channel_that_is_stale_when_a_pattern_joins_it_is_said_to_be() {
    let mut bench = Bench::new();
    let mut client = greeted(&mut bench);
    ask(&mut bench, &mut client, &subscribe(&["*@ticker"]));
    answer(&mut client);
    bench.publish_all("new@ticker", (1, 0), 1..=1);
    bench.say_status((1, 0), Status::Stale);
    (0..3).for_each(|_| bench.turn());
    assert_eq!(told(&mut client, 2), ["1", "stale"]);
    bench.assert_adds_up();
}

/// What came before and what comes again of a name is explained to those who joined it by a pattern.
#[test]
fn a_name_that_comes_again_goes_on_behind_a_gap() {
    let mut bench = Bench::new();
    let mut client = greeted(&mut bench);
    ask(&mut bench, &mut client, &subscribe(&["*@trade"]));
    answer(&mut client);
    bench.publish_first("a@trade", (0, 0), 4);
    bench.publish_all("a@trade", (0, 0), 5..=5);
    (0..2).for_each(|_| bench.turn());
    bench.expire((0, 0), 5);
    bench.publish_first("a@trade", (0, 1), 9);
    (0..3).for_each(|_| bench.turn());
    assert_eq!(told(&mut client, 4), ["4", "5", "6-8 expired", "9"], "of an unknown past nothing is told");
    bench.assert_adds_up();
}

#[test]
fn patterns_join_no_more_than_is_allowed_and_say_so_once() {
    let options = Options { pattern_channels_max: 1, patterns_max: 2, ..options() };
    let mut bench = Bench::ruled(options, DeliveryRules::default());
    let mut client = greeted(&mut bench);
    ask(&mut bench, &mut client, &subscribe(&["*@trade"]));
    answer(&mut client);
    bench.publish_all("a@trade", (0, 0), 1..=1);
    bench.publish_all("b@trade", (1, 0), 1..=1);
    bench.publish_all("c@trade", (2, 0), 1..=1);
    (0..5).for_each(|_| bench.turn());
    assert_eq!(told(&mut client, 1), ["1"]);
    assert_eq!(answer(&mut client)["code"], "too_many_channels");
    bench.expire((0, 0), 1);
    bench.publish_all("d@trade", (3, 0), 1..=1);
    (0..3).for_each(|_| bench.turn());
    assert_eq!(answer(&mut client)["ch"], "d@trade", "one that expired makes room, and it was told once");
    ask(&mut bench, &mut client, &subscribe(&["x@ticker", "b*@*"]));
    assert_eq!(answer(&mut client)["code"], "too_many_channels");
    ask(&mut bench, &mut client, &subscribe(&["x@*", "y@*"]));
    assert_eq!(answer(&mut client)["code"], "too_many_channels");
    ask(&mut bench, &mut client, &json!({"op": "list", "id": 3}));
    assert_eq!(answer(&mut client)["channels"], json!(["*@trade"]), "refused whole");
    ask(&mut bench, &mut client, &subscribe(&["b@trade"]));
    assert_eq!(answer(&mut client)["op"], "ack", "by name it may");
    assert_eq!(told(&mut client, 1), ["1s"]);
}

/// Names and patterns of one channel: it comes once, the name's options win, and each may be left without the other.
#[test]
fn a_name_and_a_pattern_of_one_channel_are_one_subscription() {
    let mut bench = Bench::new();
    bench.publish_all("a@ticker", (0, 0), 1..=1);
    let mut client = greeted(&mut bench);
    ask(&mut bench, &mut client, &with(subscribe(&["*@ticker"]), "every_ms", json!(100)));
    assert_eq!(told(&mut client, 2), ["ack", "1s"]);
    ask(&mut bench, &mut client, &subscribe(&["a@ticker"]));
    assert_eq!(told(&mut client, 1), ["ack"], "it is there already");
    bench.publish_all("a@ticker", (0, 0), 2..=2);
    bench.turn();
    assert_eq!(told(&mut client, 1), ["2"], "the name has no rate");
    ask(&mut bench, &mut client, &json!({"op": "unsubscribe", "id": 2, "channels": ["a@ticker"]}));
    assert_eq!(told(&mut client, 1), ["ack"]);
    bench.publish_all("a@ticker", (0, 0), 3..=3);
    bench.turn();
    bench.publish_all("a@ticker", (0, 0), 4..=5);
    bench.turn_after(50);
    bench.turn_after(60);
    assert_eq!(told(&mut client, 1), ["5+2"], "at the pattern's rate again");
    ask(&mut bench, &mut client, &subscribe(&["a@ticker"]));
    ask(&mut bench, &mut client, &json!({"op": "unsubscribe", "id": 3, "channels": ["*@ticker"]}));
    bench.publish_all("a@ticker", (0, 0), 6..=6);
    bench.turn();
    assert_eq!(told(&mut client, 3), ["ack", "ack", "6"]);
    assert_eq!((bench.shard.ledger.subscriptions, bench.shard.ledger.rated), (1, 0));
    bench.assert_adds_up();
}

#[test]
fn a_rate_is_changed_without_a_duplicate_or_a_lost_last_change() {
    let mut bench = Bench::new();
    bench.publish_all("a@ticker", (0, 0), 1..=1);
    let mut client = greeted(&mut bench);
    let at = |every_ms: u32| with(subscribe(&["a@ticker"]), "every_ms", json!(every_ms));
    ask(&mut bench, &mut client, &at(1000));
    assert_eq!(told(&mut client, 2), ["ack", "1s"]);
    bench.publish_all("a@ticker", (0, 0), 2..=4);
    bench.turn();
    ask(&mut bench, &mut client, &at(500));
    assert_eq!(told(&mut client, 1), ["ack"]);
    bench.publish_all("a@ticker", (0, 0), 5..=5);
    bench.turn();
    ask(&mut bench, &mut client, &at(0));
    bench.turn();
    assert_eq!(told(&mut client, 2), ["ack", "5+3"]);
    bench.publish_all("a@ticker", (0, 0), 6..=6);
    bench.turn();
    assert_eq!(told(&mut client, 1), ["6"]);
    assert_eq!((bench.shard.ledger.subscriptions, bench.shard.ledger.slow), (1, 0));
    bench.assert_adds_up();
}

#[test]
fn a_rate_is_refused_whole_where_each_record_counts_and_patterns_pass_it_over() {
    let mut bench = Bench::new();
    bench.publish_all("a@trade", (0, 0), 1..=1);
    bench.publish_all("a@ticker", (1, 0), 1..=1);
    let mut client = greeted(&mut bench);
    ask(&mut bench, &mut client, &with(subscribe(&["a@ticker", "a@trade"]), "every_ms", json!(100)));
    assert_eq!(answer(&mut client)["code"], "not_conflatable");
    assert_eq!(bench.shard.ledger.subscriptions, 0);
    ask(&mut bench, &mut client, &with(subscribe(&["a@*"]), "every_ms", json!(100)));
    assert_eq!(told(&mut client, 1), ["ack"]);
    let mut got = told(&mut client, 2);
    got.sort();
    assert_eq!(got, ["1s", "1s"]);
    bench.publish_all("a@trade", (0, 0), 2..=3);
    bench.publish_all("a@ticker", (1, 0), 2..=3);
    bench.turn();
    assert_eq!(told(&mut client, 2), ["2", "3"], "each trade");
    bench.turn_after(100);
    assert_eq!(told(&mut client, 1), ["3+1"], "the newest ticker");
}

/// A stream's name that ends in a rate: the exchange's own speeds wait for their channels, others are a rate of ours.
#[test]
fn a_name_may_end_in_a_rate() {
    let mut bench = Bench::new();
    bench.publish_all("a@ticker", (0, 0), 1..=1);
    bench.publish_all("b@ticker@500ms", (1, 0), 1..=1);
    let _client = greeted(&mut bench);
    let binance = dialect::ALL.iter().find(|dialect| dialect.name() == "binance").unwrap();
    let mut asked = |names: Value| {
        let message = json!({"method": "SUBSCRIBE", "params": names, "id": 1}).to_string();
        let dialect::Command::Subscribe(wanted) = binance.read(message.as_bytes()).unwrap().command else {
            panic!("{message}");
        };
        bench.shard.subscribe(FIRST, &wanted, None).map_err(|fault| fault.code)?;
        let own = bench.shard.members[FIRST as usize].cohort.unwrap();
        let slot = bench.shard.index.find(own, &wanted.channels[0].name).unwrap();
        let slot = bench.shard.index.slot(slot);
        Ok((slot.source.as_str().to_owned(), slot.every_ms))
    };
    let is = |source: &str, every_ms| Ok((source.to_owned(), every_ms));
    assert_eq!(asked(json!(["a@ticker@250ms"])), is("a@ticker", 250));
    assert_eq!(asked(json!(["a@ticker@100ms"])), is("a@ticker@100ms", 0), "the exchange's own");
    assert_eq!(asked(json!(["a@depth5@1000ms"])), is("a@depth5@1000ms", 0));
    assert_eq!(asked(json!(["a@depth5@100ms@1500ms"])), is("a@depth5@100ms", 1500));
    assert_eq!(asked(json!(["a@depth@500ms"])), is("a@depth@500ms", 0), "a speed of depth diffs");
    assert_eq!(asked(json!(["b@ticker@500ms"])), is("b@ticker@500ms", 0), "the feed has it");
    let refused = asked(json!(["x@ticker", "a@trade@250ms"]));
    assert_eq!(refused, Err(dialect::FaultCode::NotConflatable));
    bench.found("a@ticker@250ms", (2, 0));
    let (own, label) = (bench.shard.members[FIRST as usize].cohort.unwrap(), "a@ticker@250ms");
    let wanted = Wanted::from(ChannelName::parse(label).unwrap());
    let rated = dialect::Rated { source: ChannelName::parse("a@ticker").unwrap(), every_ms: 250 };
    let again = Subscribe { channels: vec![Wanted { rated: Some(rated), ..wanted }], ..Subscribe::default() };
    let before = bench.shard.index.cohort(own).slots.clone();
    bench.shard.subscribe(FIRST, &again, None).unwrap();
    assert_eq!(bench.shard.index.cohort(own).slots, before, "it goes on to mean what it meant");
    assert_eq!(bench.shard.ledger.subscriptions, 6);
    bench.shard.unsubscribe(FIRST, &[ChannelName::parse(label).unwrap()], &[]);
    assert_eq!(bench.shard.ledger.subscriptions, 5);
}

/// What the feed said of its channels while the shard was overtaken is told by the walk.
#[test]
fn a_state_that_changed_in_a_lap_is_told() {
    let mut bench = Bench::new();
    bench.publish_all("a@ticker", (1, 0), 1..=1);
    let mut client = bench.subscriber(&["a@ticker"]);
    assert_eq!(told(&mut client, 2), ["hello", "1s"]);
    bench.say_status((1, 0), Status::Stale);
    bench.lap((0, 0), 1);
    until(&mut bench, |bench| bench.shard.ledger.lapped > 0 && bench.shard.walk.is_none());
    assert_eq!(told(&mut client, 1), ["stale"]);
}

#[test]
fn the_state_of_a_channel_is_told_when_it_changes_and_to_those_who_come() {
    let mut bench = Bench::new();
    bench.publish_all("a@ticker", (0, 0), 1..=1);
    let mut client = bench.subscriber(&["a@ticker"]);
    assert_eq!(told(&mut client, 2), ["hello", "1s"]);
    bench.say_status((0, 0), Status::FeedGap { from: 70, to: 79 });
    bench.publish_all("a@ticker", (0, 0), 2..=2);
    bench.say_status((0, 0), Status::Stale);
    bench.say_status((0, 0), Status::Stale);
    bench.turn();
    assert_eq!(told(&mut client, 3), ["70-79 feed", "2", "stale"]);
    let mut late = greeted(&mut bench);
    ask(&mut bench, &mut late, &subscribe(&["a@ticker"]));
    assert_eq!(told(&mut late, 3), ["ack", "stale", "2s"]);
    bench.say_status((0, 0), Status::Live);
    bench.publish_all("a@ticker", (0, 0), 3..=3);
    bench.turn();
    assert_eq!((told(&mut client, 2), told(&mut late, 2)), (told_live(), told_live()));
}

fn told_live() -> Vec<String> {
    vec!["live".to_owned(), "3".to_owned()]
}
