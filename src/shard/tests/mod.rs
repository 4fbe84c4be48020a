//! A shard taken a turn at a time, over real sockets: what depends on what the publisher does between two turns.
//!
//! Single-threaded and by a clock of its own, so that a lap, a stall or a deadline is where the test puts it. Invariant: no test waits
//! for a time.

mod basics;
mod holes;
mod laid;
mod rated;
mod resume;
mod slow;
mod subscribe;
mod tally;
mod window;

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use socket2::SockRef;

use super::mailbox::{Mailbox, Newborn};
use super::worker::{Seat, Shard};
use super::*;
use crate::channel::{Catalogue, ChannelId, ChannelName, DeliveryRules};
use crate::dialect::shape::GapReason;
use crate::dialect::{self, Opening, Shape, Subscribe, Wanted};
use crate::record::{Format, Head};
use crate::ring::{self, Kind, Publisher, Stamp};
use crate::subscriber::close::CloseReason;
use crate::subscriber::outbox::{Outbox, Stop, Stretch};
use crate::subscriber::socket::Connection;

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
    /// Milliseconds; it goes on only where a test says so.
    now: u64,
    /// Sequence of the last record of a channel that nobody wants.
    noise: u64,
}

impl Bench {
    fn new() -> Self {
        Self::of(RING_BYTES, BODY_BYTES_MAX)
    }

    fn of(bytes: usize, body_bytes_max: usize) -> Self {
        Self::with(bytes, body_bytes_max, options(), DeliveryRules::default())
    }

    /// A small ring, and these rules.
    fn ruled(options: Options, rules: DeliveryRules) -> Self {
        Self::with(RING_BYTES, BODY_BYTES_MAX, options, rules)
    }

    fn with(bytes: usize, body_bytes_max: usize, options: Options, rules: DeliveryRules) -> Self {
        let sizes = ring::Options { bytes, channels_max: 16, body_bytes_max, readers: 1 };
        let (publisher, ring) = ring::new(&sizes).unwrap();
        let catalogue = Arc::new(Catalogue::new(rules));
        let (mailbox, seat) = Seat::new(&options);
        let (reader, names) = (ring.reader(0), Arc::clone(&catalogue));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let shard = Shard::new(options, seat, reader, names, "epoch".into());
        Self { runtime, shard, mailbox, publisher, catalogue, ordinal: 0, now: 0, noise: 0 }
    }

    /// Publishes a channel's next record, of so many bytes.
    fn publish(&mut self, name: &str, id: (u32, u32), sequence: u64, bytes: usize) {
        let payload = format!("{}{sequence}", "7".repeat(bytes - sequence.to_string().len()));
        self.publish_payload(name, id, sequence, &payload);
    }

    fn publish_payload(&mut self, name: &str, id: (u32, u32), sequence: u64, payload: &str) {
        if sequence == 1 {
            self.found(name, id);
        }
        self.ordinal += 1;
        let head = Head { wall_us: 0, feed_sequence: None, payload_hash: 0, format: Format::Text, epoch: 0 };
        self.publisher
            .publish(&self.stamp(Kind::Data, id, sequence), &[&head.to_bytes(), payload.as_bytes()])
            .unwrap();
    }

    /// A channel comes to be.
    fn found(&self, name: &str, (index, generation): (u32, u32)) {
        self.catalogue.insert(&ChannelName::parse(name).unwrap(), ChannelId { index, generation });
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
            self.shard.turn_at(self.now);
        });
    }

    /// A native subscriber to these channels, born and served what was there.
    fn subscriber(&mut self, channels: &[&str]) -> TcpStream {
        self.subscriber_in(Shape::Native, channels)
    }

    /// The same in a shape.
    fn subscriber_in(&mut self, shape: Shape, channels: &[&str]) -> TcpStream {
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
        let opening = Opening { dialect: dialect::ALL[0], shape, subscribe };
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
        assert!(of.adds_up(), "{of:?}");
        let outboxes = self.shard.members.iter().filter_map(|(_, member)| member.outbox.as_ref());
        assert_eq!(of.pending, outboxes.map(|outbox| outbox.pending()).sum::<u64>(), "{of:?}");
    }

    fn outbox(&mut self, id: u32) -> &mut Outbox {
        self.shard.members[id as usize].outbox.as_mut().unwrap()
    }

    /// Its socket is full from now on, as far as the shard knows.
    fn block(&mut self, id: u32) {
        self.shard.leave_fast_path(id);
        self.outbox(id).blocked = true;
    }

    /// Its socket takes again, and it is served.
    fn unblock(&mut self, id: u32) {
        self.outbox(id).blocked = false;
        self.shard.has_backlog(id);
        self.turn();
    }

    /// A turn, so many milliseconds later.
    fn turn_after(&mut self, ms: u64) {
        self.now += ms;
        self.turn();
    }

    /// Publishes so much, with turns between, that what was drained before leaves the ring.
    fn overwrite(&mut self) {
        for _ in 0..20 {
            let first = self.noise + 1;
            self.noise += 10;
            for sequence in first..=self.noise {
                self.publish("noise@trade", (0, 0), sequence, BODY_BYTES_MAX - Head::BYTES);
            }
            self.turn();
        }
    }

    /// Records of a channel above `base`, with stops at these sequences.
    fn stretch(&self, name: &str, base: u64, stops: &[u64]) -> Stretch {
        let channel = self.catalogue.find(name).unwrap().id.index;
        let ring = self.shard.reader.ring();
        let newest = ring.latest(channel).unwrap();
        let mut found: Vec<_> =
            ring.walk_back(&newest, base).filter(|e| stops.contains(&e.sequence)).collect();
        found.reverse();
        let stops = found.iter().map(|e| Stop { position: e.position, sequence: e.sequence }).collect();
        Stretch { slot: self.slot(name), base, stops }
    }

    /// The slot of a name that somebody subscribes to.
    fn slot(&self, name: &str) -> u32 {
        self.shard.index.slots_named(&ChannelName::parse(name).unwrap()).next().unwrap()
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
        coalesce: Duration::ZERO,
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

/// The next text messages of a client's, as JSON.
fn messages(client: &mut TcpStream, count: usize) -> Vec<Value> {
    (0..count).map(|_| serde_json::from_str(&text(client)).unwrap()).collect()
}

/// What a native client was told, in short: `5` a record, `5s` a snapshot, `5+2` a record behind two skipped ones, `5m2` one that holds
/// two more, `3-4 slow` a gap, else a channel's state.
fn told(client: &mut TcpStream, count: usize) -> Vec<String> {
    let short = |message: Value| match message["op"].as_str() {
        Some("gap") => {
            format!("{}-{} {}", message["from"], message["to"], message["reason"].as_str().unwrap())
        }
        Some("status") => message["state"].as_str().unwrap().to_owned(),
        Some(op) => op.to_owned(),
        None => {
            let skipped = message["skipped"].as_u64();
            let mark = skipped.map_or(String::new(), |skipped| {
                format!("{}{skipped}", if message["merged"] == true { "m" } else { "+" })
            });
            format!("{}{mark}{}", message["seq"], if message["snap"] == true { "s" } else { "" })
        }
    };
    messages(client, count).into_iter().map(short).collect()
}

/// The close code that a client gets next.
fn close_code(client: &mut TcpStream) -> u16 {
    let mut head = [0; 4];
    client.read_exact(&mut head).unwrap();
    assert_eq!(head[0], 0x88, "a close frame");
    u16::from_be_bytes([head[2], head[3]])
}

/// Whether a message is a record with this sequence and this said of it.
fn is_record(message: &str, sequence: u64, said: &str) -> bool {
    message.contains(&format!(r#""seq":{sequence},"ts":0{said},"data""#))
}
