//! Many subscribers, and the heartbeat by which the dead ones among many are found.

use std::time::Duration;

use crate::client::{CLOSE, Feed, PING, PONG, Subscriber, TEXT};
use crate::crowd::{Crowd, Listener};
use crate::harness::Server;
use crate::native::filled;
use crate::tape::Random;

const SEED: u64 = 2000;
const SUBSCRIBERS: usize = 2000;
const CHANNELS: usize = 50;
const RECORDS: u64 = 5000;

#[test]
fn two_thousand_subscribers_get_exactly_theirs() {
    println!("seed {SEED}");
    let settings = ["ring.bytes=134217728", "limits.connections_per_address=0"];
    let server = Server::start(2, &settings);
    let mut random = Random::new(SEED);
    let listeners: Vec<_> =
        (0..SUBSCRIBERS).map(|number| Three::choose(&mut random, number % 2 == 0)).collect();
    let due: u64 = listeners.iter().map(|(_, three)| three.due).sum();
    let crowd = Crowd::gather(&server, listeners, Duration::from_secs(120));
    let subscriptions = 3 * SUBSCRIBERS as u64;
    server
        .wait_until("everyone to have subscribed", |metrics| metrics.shard("subscriptions") == subscriptions);
    let mut feed = Feed::connect(&server);
    for number in 0..RECORDS {
        feed.publish(&format!("m{}@trade", number % CHANNELS as u64), &number.to_string());
    }
    assert_eq!(feed.ping(), RECORDS);
    let done = crowd.finish();
    let metrics = server.wait_until_quiet(RECORDS);
    assert_eq!(done.len(), SUBSCRIBERS);
    assert_eq!(
        (metrics.shard("matched_records"), metrics.shard("delivered_records")),
        (due, due),
        "{metrics}"
    );
    assert_eq!(metrics.closed_by_any(), 0, "{metrics}");
}

/// Listens to three channels; the payload is the record's number, its channel that number modulo [`CHANNELS`].
struct Three {
    channels: [usize; 3],
    combined: bool,
    /// The least number that may come next.
    next: u64,
    heard: u64,
    due: u64,
}

impl Three {
    /// Its path, and itself.
    fn choose(random: &mut Random, combined: bool) -> (String, Self) {
        let first = random.below(CHANNELS);
        let second = (first + 1 + random.below(CHANNELS / 2)) % CHANNELS;
        let channels = [first, second, (second + 1 + random.below(CHANNELS / 2 - 1)) % CHANNELS];
        let names = channels.map(|channel| format!("m{channel}@trade")).join("/");
        let path = if combined { "/stream?streams=" } else { "/ws/" };
        let due = 3 * RECORDS / CHANNELS as u64;
        (format!("{path}{names}"), Self { channels, combined, next: 0, heard: 0, due })
    }
}

impl Listener for Three {
    fn hear(&mut self, message: &[u8]) {
        let mine = |number: &u64| self.channels.contains(&((number % CHANNELS as u64) as usize));
        let number = (self.next..).find(mine).unwrap();
        let name = format!("m{}@trade", number % CHANNELS as u64);
        let due = if self.combined {
            format!(r#"{{"stream":"{name}","data":{number}}}"#)
        } else {
            number.to_string()
        };
        assert_eq!(String::from_utf8_lossy(message), due);
        self.next = number + 1;
        self.heard += 1;
    }

    fn is_done(&self) -> bool {
        self.heard == self.due
    }

    fn state(&self) -> String {
        format!("{} of {} records", self.heard, self.due)
    }
}

#[test]
fn who_answers_pings_stays_and_who_does_not_is_closed() {
    let server = Server::start(1, &["heartbeat.ping_every=500ms", "heartbeat.pong_timeout=2s"]);
    let mut living = Subscriber::connect(&server, "/ws/a@trade");
    let mut silent = Subscriber::connect(&server, "/ws/a@trade");
    let living = std::thread::spawn(move || {
        // Longer than the time-out; the end of the pings is a ping not answered, which is forgiven once.
        for _ in 0..8 {
            let ping = living.frame().expect("a living subscriber stays");
            assert_eq!((ping.opcode, ping.payload.as_slice()), (PING, &b""[..]));
            living.send(PONG, &ping.payload);
        }
        living.send(PING, b"still here?");
        let answer = std::iter::from_fn(|| living.frame()).find(|frame| frame.opcode != PING).unwrap();
        assert_eq!((answer.opcode, answer.payload.as_slice()), (PONG, &b"still here?"[..]));
        living
    });
    let mut frames = std::iter::from_fn(|| silent.frame()).take(60);
    let close = frames.find(|frame| frame.opcode != PING).expect("it is not pinged for ever");
    assert_eq!(close.close(), (1008, "no pong"));
    silent.send(CLOSE, &close.payload);
    assert_eq!(silent.next(), None);
    let _still_open = living.join().unwrap();
    let metrics = server.wait_until("the silent one to be gone", |metrics| metrics.shard("subscribers") == 1);
    assert_eq!((metrics.closed("pong_timeout"), metrics.closed_by_any()), (1, 1), "{metrics}");
}

/// A ping is answered ahead of the records that wait, with its payload, and so is a request.
#[test]
fn pings_of_clients_are_answered_ahead_of_data() {
    const WAITING: u64 = 4000;
    let settings = ["ring.bytes=134217728", "outbox.bytes_max=134217728"];
    let server = Server::start(1, &settings);
    let mut client = Subscriber::connect_with_room(&server, "/ws/a@trade", 4096);
    server.wait_until("the subscription", |metrics| metrics.shard("subscriptions") == 1);
    let mut feed = Feed::connect(&server);
    for number in 1..=WAITING {
        feed.publish("a@trade", &filled(number, 1000));
    }
    feed.ping();
    server.wait_until("all of it to be seen", |metrics| metrics.shard("seen_records") == WAITING);
    client.send(PING, b"anybody there?");
    client.send(TEXT, br#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#);
    let metrics = server.wait_until("the request to be read", |metrics| metrics.shard("requests") == 1);
    let waiting = metrics.shard("pending_records");
    assert!(waiting > WAITING / 2, "the kernel took more than this test knows of: {metrics}");
    let mut before = 0;
    let pong = loop {
        let frame = client.frame().unwrap();
        if frame.opcode != TEXT {
            break frame;
        }
        before += 1;
    };
    assert_eq!((pong.opcode, pong.payload.as_slice()), (PONG, &b"anybody there?"[..]));
    assert_eq!(client.text(), r#"{"result":["a@trade"],"id":1}"#);
    assert!(before <= WAITING - waiting + 1, "{before} came before the pong, and {waiting} waited");
    for number in before + 1..=WAITING {
        assert_eq!(client.text(), filled(number, 1000));
    }
}
