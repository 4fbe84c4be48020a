//! Promises 3 and 5: each record has exactly one fate for each subscriber, counted as the clients count; and a record is encoded once
//! a shape.
//!
//! Traffic of every sort, and what stands on `/metrics` once it is quiet.

use crate::client::{CLOSE, Feed, Subscriber, TEXT};
use crate::harness::{Metrics, Server};
use crate::native::filled;

const SETTINGS: [&str; 4] = [
    "ring.bytes=134217728",
    "outbox.bytes_max=1048576",
    "limits.close_timeout=60s",
    r#"delivery=[{kind="trade",delivery="every",slow="close"},{kind="bookTicker",delivery="latest"}]"#,
];

#[test]
fn every_fate_is_counted_once_as_the_clients_count() {
    let mut server = Server::start(2, &SETTINGS);
    let mut feed = Feed::connect(&server);
    feed.publish("a@trade", "0");
    feed.publish("a@bookTicker", "0");
    feed.ping();
    let paths = [
        "/ws/a@trade/a@bookTicker",
        "/stream?streams=a@trade/a@bookTicker",
        "/v1/ws?channels=a@trade,a@bookTicker",
    ];
    let fast: Vec<_> = (0..12).map(|number| Subscriber::connect(&server, paths[number % 3])).collect();
    let stopped: Vec<_> =
        (0..6).map(|number| Subscriber::connect_with_room(&server, paths[number % 3], 4096)).collect();
    let mut leaving: Vec<_> =
        (0..6).map(|number| Subscriber::connect_with_room(&server, paths[number % 3], 4096)).collect();
    let mut changing: Vec<_> =
        (0..6).map(|_| Subscriber::connect_with_room(&server, paths[2], 4096)).collect();
    server.wait_until("everyone to have subscribed", |metrics| metrics.shard("subscriptions") == 60);
    let fast: Vec<_> = fast.into_iter().map(|client| std::thread::spawn(|| count(client))).collect();
    let mut published = 2;
    let mut publish = |records: u64| {
        for number in 0..records {
            feed.publish(["a@trade", "a@bookTicker"][number as usize % 2], &filled(number, 1000));
        }
        published += records;
        feed.ping();
        // On a busy machine those that read may lag as well; they get the time to come up.
        server.wait_until_seen(published);
        server.wait_until("those that read to come up", |metrics| metrics.shard("slow_subscribers") <= 18);
        published
    };
    publish(800);
    leaving.iter_mut().for_each(|client| client.send(CLOSE, &1000_u16.to_be_bytes()));
    let request = r#"{"op":"unsubscribe","id":1,"channels":["a@trade"]}"#;
    changing.iter_mut().for_each(|client| client.say(request));
    server.wait_until("them to have left", |metrics| metrics.shard("subscriptions") == 60 - 12 - 6);
    let published = (0..8).map(|_| publish(500)).last().unwrap();
    // Those that stopped reading on an `every` channel have outgrown their bound.
    let gone = |metrics: &Metrics| metrics.shard("subscriptions") == 24 + 6;
    server.wait_until("the stopped ones to be closed", gone).assert_adds_up();
    let late = stopped.into_iter().chain(leaving).chain(changing);
    let late: Vec<_> = late.map(|client| std::thread::spawn(|| count(client))).collect();
    server.wait_until("all who end to have ended", |metrics| metrics.closed_by_any() == 12);
    let metrics = server.wait_until_quiet(published);
    for fate in ["delivered", "conflated", "withdrawn", "abandoned"] {
        assert!(metrics.shard(&format!("{fate}_records")) > 0, "nothing was {fate}: {metrics}");
    }
    assert_eq!((metrics.closed("slow"), metrics.closed_by_any()), (6, 12), "{metrics}");
    let shapes = 3;
    assert!(metrics.shard("encoded_frames") <= metrics.shard("seen_records") * shapes, "{metrics}");
    server.signal(rustix::process::Signal::TERM);
    let counted: u64 = fast.into_iter().chain(late).map(|client| client.join().unwrap()).sum();
    assert_eq!(metrics.shard("delivered_records"), counted, "{metrics}");
    assert_eq!(server.wait_for_end().code(), Some(0));
}

/// Records that come to a client until its connection is closed, by whom ever.
fn count(mut client: Subscriber) -> u64 {
    let mut records = 0;
    while let Some(frame) = client.next() {
        match frame.opcode {
            TEXT => records += u64::from(!frame.text().starts_with(r#"{"op":"#)),
            CLOSE => client.send(CLOSE, &frame.payload),
            other => panic!("opcode {other}"),
        }
    }
    records
}

#[test]
fn a_record_is_encoded_once_a_shape_however_many_subscribe() {
    const RECORDS: u64 = 300;
    let server = Server::start(1, &SETTINGS);
    let mut raw: Vec<_> = (0..50).map(|_| Subscriber::connect(&server, "/ws/a@trade")).collect();
    raw.extend((0..50).map(|_| Subscriber::connect(&server, "/ws/a@trade/b@trade")));
    let mut combined: Vec<_> =
        (0..50).map(|_| Subscriber::connect(&server, "/stream?streams=a@trade")).collect();
    server.wait_until("everyone on the fast path", |metrics| {
        metrics.shard("subscriptions") == 200 && metrics.shard("slow_subscribers") == 0
    });
    let mut feed = Feed::connect(&server);
    for number in 1..=RECORDS {
        feed.publish("a@trade", &number.to_string());
        feed.publish("unheard@trade", "0");
    }
    feed.ping();
    let metrics = server.wait_until_quiet(2 * RECORDS);
    assert_eq!(metrics.shard("encoded_frames"), 2 * RECORDS, "{metrics}");
    assert_eq!(metrics.shard("singly_encoded_frames"), 0, "{metrics}");
    assert_eq!(metrics.shard("delivered_records"), 150 * RECORDS, "{metrics}");
    for number in 1..=RECORDS {
        raw.iter_mut().for_each(|client| assert_eq!(client.text(), number.to_string()));
        let due = format!(r#"{{"stream":"a@trade","data":{number}}}"#);
        combined.iter_mut().for_each(|client| assert_eq!(client.text(), due));
    }
}
