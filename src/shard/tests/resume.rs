//! Going on where an earlier connection was cut: exactly, or with a word that it cannot be.
//!
//! A shard taken a turn at a time, by a clock of its own. Invariant: no test waits for a time.

use serde_json::json;

use super::subscribe::{answer, ask, greeted, subscribe, until, with};
use super::*;

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
    bench.publish_first("new@trade", (2, 0), 1);
    bench.publish_first("again@trade", (3, 0), 8);
    bench.publish("again@trade", (3, 0), 9, 1);
    bench.turn();
    let mut client = greeted(&mut bench);
    let name = |name| Wanted::from(ChannelName::parse(name).unwrap());
    let wanted = Subscribe {
        channels: ["old@trade", "a@trade", "new@trade", "again@trade"].map(name).into(),
        resume: Some(dialect::Resume { epoch: epoch.into(), from: dialect::ResumeFrom::Ordinal(at) }),
        ..Subscribe::default()
    };
    bench.shard.subscribe(FIRST, &wanted, None).unwrap();
    bench.turn();
    assert_eq!((bench.shard.ledger.recovered, bench.shard.ledger.unrecovered), (3, 1));
    let mut got = told(&mut client, 3);
    got.sort();
    assert_eq!(got, ["1", "3", "9s"], "an older channel may have had the name that begins at 8");
    bench.assert_adds_up();
}

/// What was found is not sent once the channel has expired, so nobody is told that it follows.
#[test]
fn a_channel_that_expires_while_it_is_searched_is_not_recovered() {
    let mut bench = Bench::new();
    bench.shard.options.resume_records_max = 10_000;
    bench.publish_all("a@trade", (0, 0), 1..=600);
    bench.turn();
    let mut client = greeted(&mut bench);
    bench.shard.obey(FIRST, resume(&["a@trade"], "epoch", json!({"a@trade": 0})).to_string().as_bytes());
    assert_eq!(bench.shard.joiners.len(), 1);
    bench.expire((0, 0), 600);
    bench.turn();
    until(&mut bench, |bench| bench.shard.joiners.is_empty() && bench.shard.backlog.is_empty());
    assert_eq!(answer(&mut client)["channels"][0]["recovered"], json!(false));
    assert_eq!((bench.shard.ledger.recovered, bench.shard.ledger.unrecovered), (0, 1));
    bench.assert_adds_up();
}
