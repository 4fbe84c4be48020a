//! A shard taken a turn at a time, over real sockets: what depends on what the publisher does between two turns.
//!
//! Single-threaded, so that a lap or a stall is where the test puts it. Invariant: no test waits for a time.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use super::census::{Query, Sort};
use super::mailbox::{Mailbox, Newborn};
use super::worker::{Seat, Shard};
use super::*;
use crate::channel::{Catalogue, ChannelId, ChannelName, DeliveryRules};
use crate::dialect::{self, Opening, Shape, Subscribe, Wanted};
use crate::record::{Format, Head};
use crate::ring::{self, Kind, Publisher, Stamp};
use crate::subscriber::socket::Connection;

mod tally;

const RING_BYTES: usize = 1 << 16;
const BODY_BYTES_MAX: usize = 1 << 10;

/// A shard, and what stands at its other ends.
struct Bench {
    runtime: tokio::runtime::Runtime,
    shard: Shard,
    mailbox: Mailbox,
    publisher: Publisher,
    catalogue: Arc<Catalogue>,
    ordinal: u64,
}

impl Bench {
    fn new() -> Self {
        Self::of(RING_BYTES, BODY_BYTES_MAX)
    }

    fn of(bytes: usize, body_bytes_max: usize) -> Self {
        let sizes = ring::Options { bytes, channels_max: 16, body_bytes_max, readers: 1 };
        let (publisher, ring) = ring::new(&sizes).unwrap();
        let catalogue = Arc::new(Catalogue::new(DeliveryRules::default()));
        let (mailbox, seat) = Seat::new(&options());
        let (reader, names) = (ring.reader(0), Arc::clone(&catalogue));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let shard = Shard::new(options(), seat, reader, names, "epoch".into());
        Self { runtime, shard, mailbox, publisher, catalogue, ordinal: 0 }
    }

    /// Publishes a channel's next record, of so many bytes.
    fn publish(&mut self, name: &str, id: (u32, u32), sequence: u64, bytes: usize) {
        let (name, (index, generation)) = (ChannelName::parse(name).unwrap(), id);
        if sequence == 1 {
            self.catalogue.insert(&name, ChannelId { index, generation });
        }
        self.ordinal += 1;
        let head = Head { wall_us: 0, feed_sequence: None, payload_hash: 0, format: Format::Text, epoch: 0 };
        let payload = format!("{}{sequence}", "0".repeat(bytes - sequence.to_string().len()));
        self.publisher
            .publish(&self.stamp(Kind::Data, id, sequence), &[&head.to_bytes(), payload.as_bytes()])
            .unwrap();
    }

    fn stamp(&self, kind: Kind, (channel, generation): (u32, u32), sequence: u64) -> Stamp {
        let ordinal = self.ordinal;
        Stamp { kind, flags: 0, channel, generation, sequence, ordinal, monotonic_ns: 0 }
    }

    /// Publishes so much that whatever was not drained before is overwritten.
    fn lap(&mut self, id: (u32, u32), first: u64) {
        for sequence in first..first + 200 {
            self.publish("noise@trade", id, sequence, BODY_BYTES_MAX - Head::BYTES);
        }
    }

    /// A turn, after the reactor has looked at the sockets.
    fn turn(&mut self) {
        self.runtime.block_on(async {
            tokio::time::sleep(Duration::ZERO).await;
            tokio::task::yield_now().await;
            self.shard.turn();
        });
    }

    /// A native subscriber to these channels, born and served what was there.
    fn subscriber(&mut self, channels: &[&str]) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (socket, peer) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        // Little is enough to fill it.
        SockRef::from(&socket).set_send_buffer_size(1 << 16).unwrap();
        SockRef::from(&client).set_recv_buffer_size(1 << 16).unwrap();
        let channels = channels.iter().map(|name| Wanted::from(ChannelName::parse(name).unwrap())).collect();
        let subscribe = Subscribe { channels, snapshot: true, ..Subscribe::default() };
        let opening = Opening { dialect: dialect::ALL[0], shape: Shape::Native, subscribe };
        let newborn = Newborn {
            socket: Connection::Tcp(socket),
            peer,
            agent: None,
            read_ahead: Vec::new(),
            opening,
            permit: Box::new(()),
        };
        self.mailbox.reserve().unwrap().post(newborn);
        let served = self.shard.ledger.sends;
        while self.shard.ledger.sends == served || self.shard.ledger.slow > 0 {
            self.turn();
        }
        client
    }

    fn assert_adds_up(&self) {
        let of = &self.shard.ledger;
        assert_eq!(of.ordinal, of.seen + of.missed, "{of:?}");
        let fates =
            of.delivered + of.conflated + of.merged + of.dropped + of.withdrawn + of.abandoned + of.pending;
        assert_eq!(of.matched, fates, "{of:?}");
    }
}

/// The subscriber that was adopted first.
const FIRST: u32 = 0;

fn options() -> Options {
    Options {
        channels_max: 100,
        patterns_max: 16,
        pattern_channels_max: 100,
        resume_records_max: 1000,
        outbox_bytes_max: 1 << 20,
        on_gap: OnGap::Close,
        torn_pool_bytes_max: 1 << 20,
        message_bytes_max: 1 << 16,
        fragments_max: 16,
        messages_per_second: 1000,
        messages_burst: 1000,
        ping_every: Duration::from_mins(1),
        pong_timeout: Duration::from_mins(3),
        close_timeout: Duration::from_secs(5),
        notsent_lowat_bytes: 1 << 17,
        mailbox_letters_max: 16,
    }
}

/// The next text message of a client's.
fn text(client: &mut TcpStream) -> String {
    let mut head = [0; 2];
    client.read_exact(&mut head).unwrap();
    assert_eq!(head[0], 0x81, "a text frame");
    let mut bytes = usize::from(head[1]);
    if bytes == 126 {
        client.read_exact(&mut head).unwrap();
        bytes = usize::from(u16::from_be_bytes(head));
    }
    let mut payload = vec![0; bytes];
    client.read_exact(&mut payload).unwrap();
    String::from_utf8(payload).unwrap()
}

/// Whether a message is a record with this sequence and this said of it.
fn is_record(message: &str, sequence: u64, said: &str) -> bool {
    message.contains(&format!(r#""seq":{sequence},"ts":0{said},"data""#))
}

/// A frame of so many bytes was torn for a subscriber off the fast path.
fn tear(bench: &mut Bench, id: u32, bytes: usize) {
    bench.shard.leave_fast_path(id);
    bench.shard.members[id as usize].outbox.as_mut().unwrap().tear(&vec![0; bytes], 0);
    bench.shard.is_torn_now(id, bytes);
}

#[test]
fn frames_torn_and_finished_again_and_again_leave_nothing_behind_one_that_stays_torn() {
    let mut bench = Bench::new();
    let _clients = [bench.subscriber(&[]), bench.subscriber(&[])];
    tear(&mut bench, FIRST, 10);
    for _ in 0..1000 {
        tear(&mut bench, 1, 10);
        bench.shard.members[1].outbox.as_mut().unwrap().torn_taken(10);
        bench.shard.ledger.torn_bytes -= 10;
        bench.shard.bound_torn_pool();
    }
    assert!(bench.shard.torn.len() <= 5, "{} are listed for two subscribers", bench.shard.torn.len());
    assert_eq!(bench.shard.torn.front().map(|&(id, _)| id), Some(FIRST), "the oldest is still known");
}

#[test]
fn the_torn_pool_is_kept_within_its_bound_while_a_cycle_is_sent() {
    let mut bench = Bench::of(1 << 26, 1 << 20);
    let _clients: Vec<_> = (0..8).map(|_| bench.subscriber(&["a@trade"])).collect();
    bench.publish("a@trade", (0, 0), 1, (1 << 20) - Head::BYTES);
    bench.shard.drain();
    bench.shard.flush();
    let torn_bytes = bench.shard.ledger.torn_bytes;
    assert!(torn_bytes > 0 && torn_bytes <= options().torn_pool_bytes_max as u64, "{torn_bytes} bytes wait");
}

#[test]
fn a_channel_whose_only_record_was_lost_to_a_lap_is_found() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&["new@ticker"]);
    text(&mut client);
    bench.lap((0, 0), 1);
    bench.publish("new@ticker", (1, 0), 1, 1);
    bench.lap((0, 0), 201);
    while bench.shard.ledger.lapped == 0 || bench.shard.walk.is_some() {
        bench.turn();
    }
    assert!(is_record(&text(&mut client), 1, ""));
    bench.assert_adds_up();
}

#[test]
fn who_is_off_the_fast_path_is_told_what_a_lap_took() {
    let mut bench = Bench::new();
    bench.publish("a@ticker", (1, 0), 1, 1);
    let mut client = bench.subscriber(&["a@ticker"]);
    text(&mut client);
    assert!(is_record(&text(&mut client), 1, r#","snap":true"#));
    bench.shard.leave_fast_path(FIRST);
    bench.lap((0, 0), 1);
    (2..=5).for_each(|sequence| bench.publish("a@ticker", (1, 0), sequence, 1));
    while bench.shard.ledger.lapped == 0 || bench.shard.walk.is_some() {
        bench.turn();
    }
    assert!(is_record(&text(&mut client), 5, r#","skipped":3"#));
    bench.assert_adds_up();
}

/// A subscriber that takes nothing while a channel expires and its name comes again, which is numbered from 1.
#[test]
fn a_name_that_comes_again_meets_who_waited_for_the_one_before() {
    let mut bench = Bench::new();
    (1..=5).for_each(|sequence| bench.publish("a@ticker", (0, 0), sequence, 1));
    let mut client = bench.subscriber(&["a@ticker"]);
    text(&mut client);
    assert!(is_record(&text(&mut client), 5, r#","snap":true"#));
    bench.shard.leave_fast_path(FIRST);
    let blocked = |bench: &mut Bench, is_blocked| {
        let outbox = bench.shard.members[FIRST as usize].outbox.as_mut().unwrap();
        outbox.blocked = is_blocked;
        outbox.set_after(0, ChannelId { index: 0, generation: 0 }, 5);
    };
    blocked(&mut bench, true);
    bench.publish("a@ticker", (0, 0), 6, 1);
    bench.turn();
    let expired = bench.stamp(Kind::Expired, (0, 0), 6);
    bench.publisher.publish(&expired, &[]).unwrap();
    bench.publish("a@ticker", (0, 1), 1, 1);
    bench.publish("a@ticker", (0, 1), 2, 1);
    bench.turn();
    blocked(&mut bench, false);
    bench.shard.has_backlog(FIRST);
    bench.turn();
    assert!(is_record(&text(&mut client), 2, r#","skipped":1"#));
    assert_eq!(bench.shard.ledger.slow, 0, "it waits for nothing more");
    bench.assert_adds_up();
}

/// What a client says in a text message of less than 126 bytes; masked with zeros.
fn say(client: &mut TcpStream, message: &str, times: usize) {
    let frame = [&[0x81, 0x80 | message.len() as u8, 0, 0, 0, 0], message.as_bytes()].concat();
    client.write_all(&frame.repeat(times)).unwrap();
}

#[test]
fn many_requests_in_one_read_are_answered_as_the_client_takes_the_answers() {
    const ASKED: u64 = 50;
    let mut bench = Bench::new();
    let names: Vec<_> = (0..100).map(|number| format!("{number:0>90}@trade")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut client = bench.subscriber(&names);
    text(&mut client);
    say(&mut client, r#"{"op":"list","id":1}"#, ASKED as usize);
    while bench.shard.ledger.requests == 0 {
        bench.turn();
    }
    let control = bench.shard.members[FIRST as usize].outbox.as_ref().unwrap().control();
    assert!(control.len() < 20_000, "{} bytes of answers of 10 kB each wait", control.len());
    let reading = std::thread::spawn(move || {
        (0..ASKED).for_each(|_| assert!(text(&mut client).starts_with(r#"{"op":"list","id":1"#)));
        client
    });
    while !reading.is_finished() {
        bench.turn();
    }
    reading.join().unwrap();
    assert_eq!(bench.shard.ledger.requests, ASKED);
}

#[test]
fn a_subscriber_that_never_rests_stands_among_the_restless_once() {
    let mut bench = Bench::new();
    let _client = bench.subscriber(&["a@trade"]);
    (0..1000).for_each(|_| bench.shard.is_restless(FIRST));
    assert_eq!(bench.shard.restless.len(), 1);
}

#[test]
fn pongs_inside_a_message_give_it_no_more_time() {
    const NOT_HEARD: u64 = 1 << 40;
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&[]);
    let [begun, pong] = [[0x01, 0x81, 0, 0, 0, 0, b' '].as_slice(), &[0x8a, 0x80, 0, 0, 0, 0]];
    client.write_all(begun).unwrap();
    while bench.shard.members[FIRST as usize].partial_since.is_none() {
        bench.turn();
    }
    let since = bench.shard.members[FIRST as usize].partial_since;
    for _ in 0..3 {
        bench.shard.members[FIRST as usize].heard_pong_at = NOT_HEARD;
        client.write_all(pong).unwrap();
        while bench.shard.members[FIRST as usize].heard_pong_at == NOT_HEARD {
            bench.turn();
            bench.shard.now += 1000;
            bench.shard.hear(FIRST);
        }
    }
    assert_eq!(bench.shard.members[FIRST as usize].partial_since, since);
}

#[test]
fn the_walk_after_a_lap_goes_on_however_much_the_cycle_put_aside() {
    let mut bench = Bench::new();
    bench.lap((0, 0), 1);
    bench.shard.was_lapped();
    bench.shard.aside = usize::MAX;
    bench.shard.finish_cycle();
    bench.shard.walk_on();
    assert!(bench.shard.walk.is_none());
}
