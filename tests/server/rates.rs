//! The chosen rate: a subscriber says how often it wants to be told, and never misses the last change.
//!
//! Times are the client's own, taken where a message was read: they are only compared with bounds that a busy machine keeps, too.

use std::time::Duration;

use crate::client::{Feed, Subscriber};
use crate::harness::{Server, now};
use crate::native::{Record, Stands, publish};

fn rated(server: &Server, channel: &str, every_ms: u64) -> (Subscriber, Stands) {
    let (mut subscriber, mut stands) = (Subscriber::native(server), Stands::default());
    let request = format!(r#"{{"op":"subscribe","id":1,"channels":["{channel}"],"every_ms":{every_ms}}}"#);
    let answer = subscriber.ask(1, &request);
    assert!(answer.text.starts_with(r#"{"op":"ack""#), "{}", answer.text);
    stands.join(&answer.text);
    (subscriber, stands)
}

#[test]
fn the_first_change_goes_at_once_the_last_one_at_the_windows_end() {
    const EVERY: Duration = Duration::from_millis(500);
    let server = Server::start(1, &[]);
    let (mut subscriber, mut stands) = rated(&server, "a@bookTicker", 500);
    let mut feed = Feed::connect(&server);
    let mut last = 0;
    for round in 0..3 {
        let began = now();
        last = publish(&mut feed, "a@bookTicker", last, 100);
        let first = stands.hear(&subscriber.text());
        assert!(round > 0 || began.elapsed() < EVERY, "the first one waited for {:?}", began.elapsed());
        if first < last {
            let at = now();
            assert_eq!(stands.hear(&subscriber.text()), last, "the last change comes");
            assert!(at.elapsed() < 3 * EVERY, "after {:?}", at.elapsed());
        }
        server.wait_until_quiet(last);
    }
    assert_eq!(stands.heard + stands.skipped, last);
    let metrics = server.metrics();
    assert_eq!((metrics.shard("delivered_records"), metrics.shard("rated_subscribers")), (stands.heard, 1));
    // A record that is read ahead of the cursor skips some that were never due.
    assert!(metrics.shard("conflated_records") <= stands.skipped, "{metrics}");
}

#[test]
fn a_steady_stream_comes_once_a_window() {
    let server = Server::start(1, &[]);
    let (mut subscriber, mut stands) = rated(&server, "a@bookTicker", 200);
    let mut feed = Feed::connect(&server);
    let (began, mut last) = (now(), 0);
    while began.elapsed() < Duration::from_secs(2) {
        last = publish(&mut feed, "a@bookTicker", last, 20);
    }
    while stands.hear(&subscriber.text()) < last {}
    let windows = began.elapsed().as_millis() as u64 / 200 + 2;
    assert!((5..=windows).contains(&stands.heard), "{} records in {windows} windows", stands.heard);
    server.wait_until_quiet(last);
}

#[test]
fn the_rate_can_be_changed_while_it_is_live_and_nothing_comes_twice() {
    let server = Server::start(1, &["limits.messages_per_second=0", "limits.messages_burst=0"]);
    let (mut subscriber, mut stands) = rated(&server, "a@bookTicker", 3_600_000);
    let mut feed = Feed::connect(&server);
    let last = publish(&mut feed, "a@bookTicker", 0, 1);
    assert_eq!(stands.hear(&subscriber.text()), last);
    let last = publish(&mut feed, "a@bookTicker", last, 10);
    server.wait_until_seen(last);
    // Within the hour nothing would come: with another rate the last change is due at once or soon.
    for (id, every_ms) in [(2, 50), (3, 0), (4, 100), (5, 0)] {
        let request =
            format!(r#"{{"op":"subscribe","id":{id},"channels":["a@bookTicker"],"every_ms":{every_ms}}}"#);
        let answer = subscriber.ask(id, &request);
        answer.before.iter().for_each(|text| {
            stands.hear(text);
        });
        if id == 2 && !stands.is_at("a@bookTicker", last) {
            assert_eq!(stands.hear(&subscriber.text()), last);
        }
    }
    let mut last = last;
    for _ in 0..5 {
        last = publish(&mut feed, "a@bookTicker", last, 1);
        assert_eq!(stands.hear(&subscriber.text()), last, "every change at once again");
    }
    let metrics = server.wait_until_quiet(last);
    assert_eq!(metrics.shard("rated_subscribers"), 0, "{metrics}");
}

#[test]
fn an_every_channel_takes_no_rate_but_a_pattern_passes_it_by() {
    let server = Server::start(1, &[]);
    let mut subscriber = Subscriber::native(&server);
    let request = r#"{"op":"subscribe","id":1,"channels":["a@bookTicker","a@trade"],"every_ms":100}"#;
    let refused = subscriber.ask(1, request).text;
    assert!(refused.contains(r#""code":"not_conflatable""#) && refused.contains("a@trade"), "{refused}");
    let listed = subscriber.ask(2, r#"{"op":"list","id":2}"#).text;
    assert_eq!(listed, r#"{"op":"list","id":2,"channels":[]}"#, "refused whole");
    let answer = subscriber.ask(3, r#"{"op":"subscribe","id":3,"channels":["a@*"],"every_ms":3600000}"#).text;
    assert_eq!(answer, r#"{"op":"ack","id":3,"channels":[{"pattern":"a@*","count":0}]}"#);
    let mut feed = Feed::connect(&server);
    let mut stands = Stands::default();
    stands.stand_at("a@trade", 0);
    stands.stand_at("a@bookTicker", 0);
    let trades = publish(&mut feed, "a@trade", 0, 20);
    let books = publish(&mut feed, "a@bookTicker", 0, 20);
    let trades = publish(&mut feed, "a@trade", trades, 20);
    server.wait_until_seen(trades + books);
    while !stands.is_at("a@trade", trades) {
        stands.hear(&subscriber.text());
    }
    assert_eq!(stands.heard, trades + 1, "each trade, and the first of the books");
}

#[test]
fn a_binance_client_chooses_its_rate_by_a_suffix() {
    let server = Server::start(1, &[]);
    let mut feed = Feed::connect(&server);
    feed.publish("btcusdt@bookTicker", "1");
    feed.ping();
    let mut subscriber = Subscriber::connect(&server, "/stream?streams=btcusdt@bookTicker@60000ms/eth@trade");
    server.wait_until("the subscriptions", |metrics| metrics.shard("subscriptions") == 2);
    let listed = subscriber.ask(1, r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#).text;
    assert!(listed.contains("btcusdt@bookTicker@60000ms"), "{listed}");
    for number in 2..=50 {
        feed.publish("btcusdt@bookTicker", &number.to_string());
    }
    feed.publish("eth@trade", "1");
    feed.ping();
    let first = subscriber.text();
    assert!(first.starts_with(r#"{"stream":"btcusdt@bookTicker@60000ms","data":"#), "{first}");
    assert_eq!(subscriber.text(), r#"{"stream":"eth@trade","data":1}"#, "the others of the hour wait");
    let refused = subscriber.ask(2, r#"{"method":"SUBSCRIBE","params":["x@trade@250ms"],"id":2}"#).text;
    assert!(refused.contains(r#""code":2"#), "{refused}");
    let left =
        subscriber.ask(3, r#"{"method":"UNSUBSCRIBE","params":["btcusdt@bookTicker@60000ms"],"id":3}"#);
    assert_eq!(left.text, r#"{"result":null,"id":3}"#);
    server.wait_until("one subscription", |metrics| metrics.shard("subscriptions") == 1);
    server.wait_until_quiet(51).assert_adds_up();
}

/// The exchange's own speeds are names like others: they mean the feed's channel.
#[test]
fn the_exchanges_own_speeds_stay_what_the_feed_calls_them() {
    let server = Server::start(1, &[]);
    let mut subscriber = Subscriber::connect(&server, "/ws/btcusdt@depth@100ms/btcusdt@depth20@100ms");
    server.wait_until("the subscriptions", |metrics| metrics.shard("subscriptions") == 2);
    let mut feed = Feed::connect(&server);
    feed.publish("btcusdt@depth@100ms", "1");
    feed.publish("btcusdt@depth20@100ms", "2");
    feed.publish("btcusdt@depth", "3");
    feed.ping();
    assert_eq!((subscriber.text(), subscriber.text()), ("1".to_owned(), "2".to_owned()));
    server.wait_until_quiet(3);
    assert_eq!(server.metrics().shard("delivered_records"), 2);
}

#[test]
fn a_record_of_a_rated_channel_says_what_it_skipped() {
    let server = Server::start(1, &[]);
    let (mut subscriber, _) = rated(&server, "a@bookTicker", 1000);
    let mut feed = Feed::connect(&server);
    publish(&mut feed, "a@bookTicker", 0, 1);
    assert_eq!(Record::read(&subscriber.text()).seq, 1);
    publish(&mut feed, "a@bookTicker", 1, 7);
    let text = subscriber.text();
    assert_eq!((Record::read(&text).seq, Record::read(&text).skipped), (8, 6), "{text}");
}
