//! Joining: snapshot and live records meet at one sequence, whatever is published meanwhile.

use crate::client::{Feed, Subscriber};
use crate::harness::Server;

#[test]
fn a_channel_that_does_not_exist_yet_is_waited_for() {
    let server = Server::start(1, &["ring.bytes=16777216", "ingest.payload_bytes_max=65536"]);
    let mut subscriber = Subscriber::native(&server);
    let answer = subscriber.subscribe(1, &["new@trade"]);
    assert_eq!(answer.text, r#"{"op":"ack","id":1,"channels":[{"channel":"new@trade","seq":0}]}"#);
    assert!(answer.before.is_empty());
    let mut feed = Feed::connect(&server);
    feed.publish("new@trade", "1");
    feed.publish("new@trade", "2");
    assert_eq!(feed.ping(), 2);
    let first = subscriber.text();
    assert!(first.starts_with(r#"{"ch":"new@trade","seq":1,"ts":"#) && !first.contains("snap"), "{first}");
    assert!(subscriber.text().starts_with(r#"{"ch":"new@trade","seq":2,"ts":"#));
    server.wait_until_quiet(2);
}
