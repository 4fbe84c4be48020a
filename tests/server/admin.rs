//! The operator's view of subscribers: who lags, what became of what was due to each, and closing one.
//!
//! The slow ones have small receive buffers, so that little is enough to stop them. Nothing here waits for a time.

use serde_json::Value;

use crate::client::{CLOSE, Feed, Subscriber};
use crate::harness::{PATIENCE, Server, now};
use crate::native::filled;
use crate::scene::SMALL;
use crate::slow::stopped;

/// The rows of an answer.
fn subscribers(server: &Server, query: &str) -> Vec<Value> {
    let answer = server.admin(&format!("/admin/subscribers{query}"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/json"), "{answer}");
    let rows: Vec<Value> = serde_json::from_str(body).unwrap();
    rows.iter().for_each(assert_adds_up);
    rows
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {row}"))
}

fn assert_adds_up(row: &Value) {
    let fates = ["delivered", "conflated", "merged", "dropped", "withdrawn", "pending"];
    assert_eq!(number(row, "matched"), fates.iter().map(|fate| number(row, fate)).sum::<u64>(), "{row}");
}

/// The row of a subscriber, by its own address.
fn row_of<'a>(rows: &'a [Value], subscriber: &Subscriber) -> &'a Value {
    let address = subscriber.address().to_string();
    rows.iter().find(|row| row["address"] == address.as_str()).expect("its row")
}

#[test]
fn one_that_does_not_read_is_seen_first_and_closed() {
    let server = Server::start(1, &SMALL);
    let mut slow = stopped(&server, &["a@ticker"]).0;
    let mut healthy = Subscriber::native(&server);
    healthy.subscribe(1, &["a@ticker", "b@ticker"]);
    let mut feed = Feed::connect(&server);
    let mut published = 0;
    while number(&subscribers(&server, "?sort=conflated&limit=1")[0], "conflated") < 10 {
        published += 1;
        feed.publish("a@ticker", &filled(published, 10_000));
        feed.ping();
        assert!(healthy.text().contains(r#""data":"#));
    }
    let rows = subscribers(&server, "");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["address"], slow.address().to_string().as_str(), "who waits longest stands first");
    assert!(number(&rows[0], "conflated") >= 10 && number(&rows[0], "pending") > 0, "{}", rows[0]);
    assert!(number(&rows[0], "outbox_bytes") > 0 && rows[0]["slow"] == true, "{}", rows[0]);
    assert_eq!((number(&rows[0], "channels"), number(&rows[1], "channels")), (1, 2));
    assert_eq!((&rows[0]["agent"], &rows[0]["dialect"]), (&"a test's client".into(), &"native".into()));
    let its = row_of(&rows, &healthy);
    assert_eq!((number(its, "matched"), number(its, "delivered")), (published, published), "{its}");
    assert_eq!((number(its, "oldest_waiting_ms"), &its["slow"]), (0, &false.into()), "{its}");

    let waited = number(&rows[0], "oldest_waiting_ms");
    let deadline = now() + PATIENCE;
    while number(&subscribers(&server, "")[0], "oldest_waiting_ms") <= waited {
        assert!(now() < deadline, "it does not age");
    }

    let path = format!("/admin/subscribers/{}", rows[0]["id"].as_str().unwrap());
    assert!(server.ask_admin("DELETE", &path).starts_with("HTTP/1.1 204 "));
    assert!(server.ask_admin("DELETE", &path).starts_with("HTTP/1.1 404 "), "it is gone");
    let left = subscribers(&server, "?sort=age");
    assert_eq!(left.len(), 1);
    assert_eq!(number(row_of(&left, &healthy), "delivered"), published, "another one notices nothing");
    let close = loop {
        let frame = slow.next().expect("a close frame");
        if frame.opcode == CLOSE {
            break frame;
        }
    };
    assert_eq!(close.close(), (1008, "closed by the operator"));
    slow.send(CLOSE, &close.payload);
    assert_eq!(slow.next(), None);
    assert_eq!(server.wait_until("its end", |metrics| metrics.closed_by_any() == 1).closed("admin"), 1);
    feed.publish("b@ticker", "1");
    feed.ping();
    assert!(healthy.text().starts_with(r#"{"ch":"b@ticker","seq":1,"#));
}

#[test]
fn what_is_held_by_name_and_by_pattern_is_counted() {
    let server = Server::start(1, &SMALL);
    let mut subscriber = Subscriber::native(&server);
    subscriber.subscribe(1, &["a@ticker", "*@trade", "b@*"]);
    let rows = subscribers(&server, "");
    assert_eq!((number(&rows[0], "channels"), number(&rows[0], "patterns")), (1, 2), "{}", rows[0]);
}

/// Together they are the shards' ledgers, as nobody has ended.
#[test]
fn each_subscribers_ledger_adds_up_and_all_of_them_to_the_shards() {
    let server = Server::start(2, &SMALL);
    let slow: Vec<_> = ["a@ticker", "b@trade"].iter().map(|channel| stopped(&server, &[channel]).0).collect();
    let mut leaver = stopped(&server, &["a@ticker"]).0;
    let mut healthy: Vec<_> = (0..4).map(|_| Subscriber::connect(&server, "/ws/a@ticker/b@trade")).collect();
    server.wait_until("all to subscribe", |metrics| metrics.shard("subscriptions") == 11);
    let mut feed = Feed::connect(&server);
    let mut published = 0;
    // As many as make the slow ones slow, and few enough that none is closed.
    while server.metrics().shard("conflated_records") < 20 {
        for channel in ["a@ticker", "b@trade"] {
            published += 1;
            feed.publish(channel, &filled(published, 10_000));
        }
        feed.ping();
        for subscriber in &mut healthy {
            let _ = (subscriber.text(), subscriber.text());
        }
    }
    leaver.say(r#"{"op":"unsubscribe","id":2,"channels":["a@ticker"]}"#);
    server.wait_until("it to be withdrawn", |metrics| metrics.shard("withdrawn_records") > 0);
    let metrics = server.wait_until_seen(published);
    assert_eq!(metrics.closed_by_any(), 0, "{metrics}");
    let rows = subscribers(&server, "?sort=outbox&limit=1000");
    assert_eq!(rows.len(), slow.len() + 1 + healthy.len());
    for term in ["matched", "delivered", "conflated", "merged", "dropped", "withdrawn", "pending"] {
        let sum: u64 = rows.iter().map(|row| number(row, term)).sum();
        assert_eq!(sum, metrics.shard(&format!("{term}_records")), "{term}: {metrics}");
    }
    let withdrawn: Vec<_> = rows.iter().filter(|row| number(row, "withdrawn") > 0).collect();
    assert_eq!(withdrawn.len(), 1);
    assert_eq!(withdrawn[0]["address"], leaver.address().to_string().as_str());
    let outboxes: Vec<_> = rows.iter().map(|row| number(row, "outbox_bytes")).collect();
    assert!(outboxes.is_sorted_by(|one, other| one >= other), "{outboxes:?}");
}

/// A feed's record is timed three times on its way.
#[test]
fn each_record_and_delivery_is_timed() {
    let server = Server::start(1, &SMALL);
    let mut clients: Vec<_> = (0..3).map(|_| Subscriber::connect(&server, "/ws/a@trade")).collect();
    server.wait_until("everyone on the fast path", |metrics| {
        metrics.shard("subscriptions") == 3 && metrics.shard("slow_subscribers") == 0
    });
    let mut feed = Feed::connect(&server);
    for number in 1..=100 {
        feed.publish("a@trade", &number.to_string());
    }
    feed.ping();
    clients.iter_mut().for_each(|client| (0..100).for_each(|_| drop(client.text())));
    let metrics = server.wait_until_quiet(100);
    let counted = |stage: &str| metrics.get(&format!("tapecast_shard_{stage}_seconds_count{{shard=\"0\"}}"));
    assert_eq!((counted("drain"), counted("send")), (100, 300), "{metrics}");
    let within = |stage: &str| {
        metrics.get(&format!(r#"tapecast_shard_{stage}_seconds_bucket{{le="68.719476736",shard="0"}}"#))
    };
    assert_eq!((within("drain"), within("send")), (100, 300), "{metrics}");
}
