//! Patterns: one word for many channels, also for those that come later.

use crate::client::{Feed, Subscriber};
use crate::harness::Server;
use crate::native::{Record, Stands};

fn ask(subscriber: &mut Subscriber, id: u64, op: &str, channels: &str) -> String {
    subscriber.ask(id, &format!(r#"{{"op":"{op}","id":{id},"channels":[{channels}]}}"#)).text
}

#[test]
fn channels_that_match_are_joined_now_and_as_they_appear() {
    let server = Server::start(2, &[]);
    let mut feed = Feed::connect(&server);
    for channel in ["a@trade", "b@trade", "a@ticker"] {
        feed.publish(channel, "1");
    }
    feed.ping();
    let mut subscriber = Subscriber::native(&server);
    let answer = ask(&mut subscriber, 1, "subscribe", r#""*@trade""#);
    assert_eq!(answer, r#"{"op":"ack","id":1,"channels":[{"pattern":"*@trade","count":2}]}"#);
    let mut snapshots: Vec<_> = (0..2).map(|_| subscriber.text()).collect();
    snapshots.sort();
    assert!(snapshots[0].starts_with(r#"{"ch":"a@trade","seq":1,"#) && snapshots[0].contains("snap"));
    assert!(snapshots[1].starts_with(r#"{"ch":"b@trade","seq":1,"#), "{snapshots:?}");
    let mut stands = Stands::default();
    ["a@trade", "b@trade"].iter().for_each(|channel| stands.stand_at(channel, 1));
    let mut published = 3;
    // Channels appear in the middle of a batch, beside those that do not match.
    for number in 0..200 {
        let channel = format!("n{number}@trade");
        stands.stand_at(&channel, 0);
        feed.publish("a@trade", &(number + 2).to_string());
        feed.publish(&channel, "1");
        feed.publish(&format!("n{number}@ticker"), "1");
        feed.publish(&channel, "2");
        published += 4;
    }
    feed.ping();
    for _ in 0..600 {
        stands.hear(&subscriber.text());
    }
    assert!((0..200).all(|number| stands.is_at(&format!("n{number}@trade"), 2)));
    server.wait_until_quiet(published);
}

#[test]
fn a_record_that_matches_twice_comes_once_and_the_name_outlives_the_pattern() {
    let server = Server::start(1, &["limits.messages_per_second=0"]);
    let mut feed = Feed::connect(&server);
    let mut subscriber = Subscriber::native(&server);
    ask(&mut subscriber, 1, "subscribe", r#""a@trade","a@*","*@trade""#);
    feed.publish("a@trade", "1");
    feed.publish("b@trade", "1");
    feed.ping();
    assert_eq!(
        (Record::read(&subscriber.text()).ch, Record::read(&subscriber.text()).ch),
        ("a@trade", "b@trade")
    );
    let listed = ask(&mut subscriber, 2, "list", "");
    assert!(["a@trade", "a@*", "*@trade"].iter().all(|name| listed.contains(name)), "{listed}");
    assert!(!listed.contains("b@trade"), "what a pattern joined is not listed: {listed}");
    ask(&mut subscriber, 3, "unsubscribe", r#""*@trade","a@*""#);
    feed.publish("b@trade", "2");
    feed.publish("a@trade", "2");
    feed.ping();
    let text = subscriber.text();
    assert_eq!((Record::read(&text).ch, Record::read(&text).seq), ("a@trade", 2));
    ask(&mut subscriber, 4, "subscribe", r#""a@*""#);
    ask(&mut subscriber, 5, "unsubscribe", r#""a@trade""#);
    feed.publish("a@trade", "3");
    feed.ping();
    assert_eq!(Record::read(&subscriber.text()).seq, 3, "the pattern outlives the name");
    ask(&mut subscriber, 6, "unsubscribe", r#""a@*""#);
    feed.publish("a@trade", "4");
    feed.ping();
    server.wait_until_quiet(6);
    assert_eq!(server.metrics().shard("subscriptions"), 0);
    assert_eq!(ask(&mut subscriber, 7, "list", ""), r#"{"op":"list","id":7,"channels":[]}"#);
}

#[test]
fn a_pattern_joins_no_more_than_it_may() {
    let server = Server::start(1, &["limits.pattern_channels=10", "limits.patterns=2"]);
    let mut feed = Feed::connect(&server);
    (0..8).for_each(|number| feed.publish(&format!("c{number}@trade"), "1"));
    feed.ping();
    let mut neighbour = Subscriber::native(&server);
    neighbour.subscribe(1, &["c11@trade"]);
    let mut subscriber = Subscriber::native(&server);
    let answer = ask(&mut subscriber, 1, "subscribe", r#""*@*""#);
    assert!(answer.contains(r#""count":8"#), "{answer}");
    (0..8).for_each(|_| drop(subscriber.text()));
    (8..14).for_each(|number| feed.publish(&format!("c{number}@trade"), "1"));
    feed.ping();
    let mut told = 0;
    let mut records = 0;
    while told + records < 3 {
        let text = subscriber.text();
        if text.starts_with(r#"{"op":"error""#) {
            assert!(text.contains(r#""code":"too_many_channels""#), "{text}");
            told += 1;
        } else {
            records += 1;
        }
    }
    assert_eq!((records, told), (2, 1), "ten channels and one word");
    assert_eq!(Record::read(&neighbour.text()).ch, "c11@trade");
    let mut other = Subscriber::native(&server);
    let refused = ask(&mut other, 1, "subscribe", r#""*@trade""#);
    assert!(refused.contains(r#""code":"too_many_channels""#), "{refused}");
    let refused = ask(&mut other, 2, "subscribe", r#""a@*","b@*","d@*""#);
    assert!(refused.contains(r#""code":"too_many_channels""#), "{refused}");
    assert_eq!(ask(&mut other, 3, "list", ""), r#"{"op":"list","id":3,"channels":[]}"#);
    server.wait_until_quiet(14);
}

#[test]
fn a_channel_that_expired_comes_back_to_its_patterns() {
    let server = Server::start(1, &["channel.expire_after=300ms"]);
    let mut feed = Feed::connect(&server);
    let mut subscriber = Subscriber::native(&server);
    ask(&mut subscriber, 1, "subscribe", r#""*@trade""#);
    feed.publish("a@trade", "1");
    feed.ping();
    assert_eq!(Record::read(&subscriber.text()).seq, 1);
    server.wait_until("its end", |metrics| metrics.get("tapecast_ingest_expired_channels_total") == 1);
    feed.publish("a@trade", "2");
    feed.ping();
    let text = subscriber.text();
    assert!(text.starts_with(r#"{"ch":"a@trade","seq":2,"#), "sequences of a name only rise: {text}");
}
