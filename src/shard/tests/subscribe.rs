//! Who joins what, and where it begins: patterns, rates, resumes, states, and what is refused.

use std::io::Write as _;

use serde_json::json;

use super::*;
use crate::record::{self, Status};

/// A client says something, and the shard hears it.
fn ask(bench: &mut Bench, client: &mut TcpStream, message: &Value) {
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

/// Turns until something is so, but not for ever.
fn until(bench: &mut Bench, is_so: impl Fn(&Bench) -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !is_so(bench) {
        assert!(std::time::Instant::now() < deadline, "{:?}", bench.shard.ledger);
        bench.turn();
    }
}

/// What the next message answers.
fn answer(client: &mut TcpStream) -> Value {
    messages(client, 1).remove(0)
}

fn greeted(bench: &mut Bench) -> TcpStream {
    let mut client = bench.subscriber(&[]);
    assert_eq!(told(&mut client, 1), ["hello"]);
    client
}

fn subscribe(channels: &[&str]) -> Value {
    json!({"op": "subscribe", "id": 1, "channels": channels})
}

/// A request with one more field.
fn with(mut request: Value, key: &str, value: Value) -> Value {
    request[key] = value;
    request
}

impl Bench {
    /// Publishes a channel's first record, at this sequence.
    fn publish_first(&mut self, name: &str, id: (u32, u32), sequence: u64) {
        self.found(name, id);
        self.ordinal += 1;
        let head = Head { wall_us: 0, feed_sequence: None, payload_hash: 0, format: Format::Text, epoch: 0 };
        let stamp = Stamp { flags: record::FIRST, ..self.stamp(Kind::Data, id, sequence) };
        self.publisher.publish(&stamp, &[&head.to_bytes(), b"1"]).unwrap();
    }

    fn publish_all(&mut self, name: &str, id: (u32, u32), sequences: std::ops::RangeInclusive<u64>) {
        sequences.for_each(|sequence| self.publish_payload(name, id, sequence, "1"));
    }

    fn expire(&mut self, id: (u32, u32), sequence: u64) {
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

fn resume(channels: &[&str], epoch: &str, seq: Value) -> Value {
    with(with(subscribe(channels), "snapshot", json!(false)), "resume", json!({"epoch": epoch, "seq": seq}))
}

/// What the acknowledgement of a resume says of the first channel, and what follows.
fn resumed(bench: &mut Bench, request: &Value, count: usize) -> (Value, Vec<String>) {
    let mut client = greeted(bench);
    ask(bench, &mut client, request);
    until(bench, |bench| bench.shard.joiners.is_empty() && bench.shard.ledger.pending == 0);
    let ack = answer(&mut client)["channels"][0]["recovered"].clone();
    let rest = told(&mut client, count);
    ask(bench, &mut client, &json!({"op": "ping", "id": 9}));
    assert_eq!(told(&mut client, 1), ["pong"], "nothing else followed");
    bench.assert_adds_up();
    (ack, rest)
}

#[test]
fn a_resume_goes_on_exactly_or_says_that_it_cannot() {
    let options = Options { resume_records_max: 5, ..options() };
    let mut bench = Bench::ruled(options, DeliveryRules::default());
    bench.publish_all("a@trade", (0, 0), 1..=10);
    bench.publish_all("a@ticker", (1, 0), 1..=10);
    bench.turn();
    let all = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let mut of = |channel: &str, epoch: &str, sequence: u64, count: usize| {
        resumed(&mut bench, &resume(&[channel], epoch, json!({channel: sequence})), count)
    };
    assert_eq!(of("a@trade", "epoch", 7, 3), (json!(true), all(&["8", "9", "10"])));
    assert_eq!(of("a@ticker", "epoch", 8, 2), (json!(true), all(&["9", "10"])), "the skipped ones, too");
    assert_eq!(of("a@trade", "epoch", 5, 5), (json!(true), all(&["6", "7", "8", "9", "10"])));
    assert_eq!(of("a@trade", "epoch", 10, 0), (json!(true), all(&[])));
    assert_eq!(of("a@trade", "epoch", 4, 1), (json!(false), all(&["10s"])), "more than is sent again");
    assert_eq!(of("a@trade", "epoch", 11, 1), (json!(false), all(&["10s"])), "from the future");
    assert_eq!(of("a@trade", "epoch", u64::MAX, 1), (json!(false), all(&["10s"])));
    assert_eq!(of("a@trade", "other", 9, 1), (json!(false), all(&["10s"])), "from another epoch");
    assert_eq!(of("no@trade", "epoch", 0, 0), (json!(true), all(&[])), "nothing came yet");
    assert_eq!(of("no@trade", "epoch", 3, 0), (json!(false), all(&[])), "its channel is gone");
    assert_eq!((bench.shard.ledger.recovered, bench.shard.ledger.unrecovered), (5, 5));
    let many: serde_json::Map<_, _> = (0..101).map(|n| (format!("c{n}@trade"), json!(1))).collect();
    let mut client = greeted(&mut bench);
    ask(&mut bench, &mut client, &resume(&["a@trade"], "epoch", many.into()));
    assert_eq!(answer(&mut client)["code"], "too_many_channels");
}

/// The history no longer reaches back: the records between were overwritten.
#[test]
fn a_resume_from_beyond_the_history_gets_a_snapshot() {
    let mut bench = Bench::new();
    bench.publish_all("a@trade", (1, 0), 1..=10);
    bench.lap((0, 0), 1);
    until(&mut bench, |bench| bench.shard.ledger.lapped > 0 && bench.shard.walk.is_none());
    let got = resumed(&mut bench, &resume(&["a@trade"], "epoch", json!({"a@trade": 7})), 1);
    assert_eq!(got, (json!(false), vec!["10s".to_owned()]));
}

/// Channels that a pattern matches go on as well; those that were not told of begin anew; a rated one skips.
#[test]
fn patterns_and_rates_resume() {
    let mut bench = Bench::new();
    bench.publish_all("a@ticker", (0, 0), 1..=5);
    bench.publish_all("b@ticker", (1, 0), 1..=3);
    bench.turn();
    let mut client = greeted(&mut bench);
    let request = resume(&["*@ticker"], "epoch", json!({"a@ticker": 2, "x@trade": 7}));
    ask(&mut bench, &mut client, &with(with(request, "every_ms", json!(100)), "snapshot", json!(true)));
    let expected =
        json!([{"channel": "a@ticker", "seq": 5, "recovered": true}, {"pattern": "*@ticker", "count": 2}]);
    assert_eq!(answer(&mut client)["channels"], expected);
    let mut got = told(&mut client, 2);
    got.sort();
    assert_eq!(got, ["3s", "5+2"]);
    bench.assert_adds_up();
}

/// A search that takes several turns: what comes meanwhile follows what was missed, and the client is read when it is done.
#[test]
fn a_long_resume_is_searched_for_over_turns_and_keeps_the_order() {
    const CHANNELS: u32 = 5;
    let mut bench = Bench::of(1 << 20, BODY_BYTES_MAX);
    let names: Vec<_> = (0..CHANNELS).map(|number| format!("c{number}@trade")).collect();
    for (number, name) in (0..).zip(&names) {
        bench.publish_all(name, (number, 0), 1..=900);
    }
    bench.turn();
    let mut client = greeted(&mut bench);
    let seq: serde_json::Map<_, _> = names.iter().map(|name| (name.clone(), json!(0))).collect();
    let list: Vec<_> = names.iter().map(String::as_str).collect();
    ask(&mut bench, &mut client, &resume(&list, "epoch", seq.into()));
    assert_eq!(bench.shard.joiners.len(), 1, "it takes more turns than these");
    assert!(bench.shard.ledger.delivered == 0, "nothing is sent before it is known what was missed");
    bench.publish_all("c0@trade", (0, 0), 901..=902);
    let reading = std::thread::spawn(move || {
        let ack = answer(&mut client);
        let mut got = std::collections::HashMap::<String, Vec<u64>>::new();
        for message in messages(&mut client, 900 * CHANNELS as usize + 2) {
            let of = got.entry(message["ch"].as_str().unwrap().to_owned()).or_default();
            of.push(message["seq"].as_u64().unwrap());
        }
        (ack, got)
    });
    until(&mut bench, |_| reading.is_finished());
    let (ack, got) = reading.join().unwrap();
    for (place, name) in names.iter().enumerate() {
        assert_eq!(ack["channels"][place], json!({"channel": name, "seq": 900, "recovered": true}));
        let last = if place == 0 { 902 } else { 900 };
        assert_eq!(got[name], (1..=last).collect::<Vec<_>>(), "{name}");
    }
    bench.assert_adds_up();
}

#[test]
fn a_subscriber_that_is_gone_is_not_searched_for() {
    let mut bench = Bench::new();
    bench.publish_all("a@trade", (0, 0), 1..=600);
    bench.turn();
    let mut client = greeted(&mut bench);
    let seq = json!({"a@trade": 0});
    let frame = resume(&["a@trade"], "epoch", seq);
    bench.shard.options.resume_records_max = 10_000;
    bench.shard.obey(FIRST, frame.to_string().as_bytes());
    assert!(bench.shard.members[FIRST as usize].joining.is_some());
    bench.shard.close(FIRST, CloseReason::Shutdown);
    bench.turn();
    assert_eq!(close_code(&mut client), 1001);
    assert!(bench.shard.joiners.is_empty());
    bench.assert_adds_up();
}

/// An event stream goes on by the feed-wide count of records.
#[test]
fn an_ordinal_resumes_each_channel_behind_it() {
    let mut bench = Bench::new();
    bench.publish_first("old@trade", (0, 0), 7);
    bench.publish_all("a@trade", (1, 0), 1..=3);
    let (at, epoch) = (bench.ordinal - 1, "epoch");
    bench.publish_first("new@trade", (2, 0), 8);
    bench.turn();
    let _client = greeted(&mut bench);
    let name = |name| Wanted::from(ChannelName::parse(name).unwrap());
    let wanted = Subscribe {
        channels: ["old@trade", "a@trade", "new@trade"].map(name).into(),
        resume: Some(dialect::Resume { epoch: epoch.into(), from: dialect::ResumeFrom::Ordinal(at) }),
        ..Subscribe::default()
    };
    bench.shard.subscribe(FIRST, &wanted, None).unwrap();
    bench.turn();
    assert_eq!((bench.shard.ledger.recovered, bench.shard.ledger.unrecovered), (3, 0));
    bench.turn();
    assert_eq!((bench.shard.ledger.matched, bench.shard.ledger.delivered), (2, 2), "a@trade 3, new@trade 8");
    bench.assert_adds_up();
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
