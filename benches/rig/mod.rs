//! A shard with a feed and subscribers in memory, for benches: a scenario in small, of which one cycle after the other is driven.
//!
//! One thread, no sockets, no clock but its own, which stands still once everybody has come. Invariant: every subscriber is on the fast
//! path and takes everything, so that a cycle is drain, encode, fan out and one offer each.

use std::sync::Arc;
use std::time::Duration;

use tapecast::channel::{Catalogue, ChannelId, ChannelName, Delivery, DeliveryRules};
use tapecast::dialect::{self, Opening, Shape, Subscribe};
use tapecast::record::{self, Format, Head};
use tapecast::ring::{self, Kind, Publisher, Stamp};
use tapecast::shard::drive::Driven;
use tapecast::shard::mailbox::{Mailbox, Newborn};
use tapecast::shard::{OnGap, Options, Seat, Shard};
use tapecast::subscriber::sim::{self, SimClient};
use tapecast::subscriber::socket::Connection;

use crate::scenario::Scenario;

/// Records of a cycle: what gathers under load.
pub(crate) const RECORDS_A_CYCLE: usize = 64;
/// A payload, as long as a trade is.
pub(crate) const PAYLOAD: [u8; 200] = [b'7'; 200];
/// Cycles after which the ring was gone round and all buffers have their size.
pub(crate) const WARM_CYCLES: usize = 40;
/// More than a still second, after which subscribers of the same channels become one cohort.
const STILL_MS: u64 = 1100;

/// The feed, the shard, and the other ends of its connections.
pub(crate) struct Rig {
    publisher: Publisher,
    shard: Driven,
    mailbox: Mailbox,
    clients: Vec<SimClient>,
    names: Vec<ChannelName>,
    ordinal: u64,
    now_ms: u64,
}

impl Rig {
    /// Everybody has come, is on the fast path, and was sent something: all buffers have their size, and the ring was gone round.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let sizes = ring::Options {
            bytes: 1 << 19,
            channels_max: scenario.channels as u32,
            body_bytes_max: 1024,
            readers: 1,
        };
        let (publisher, ring) = ring::new(&sizes).expect("the sizes fit");
        let catalogue = Arc::new(Catalogue::new(DeliveryRules::all(Delivery::Every)));
        let names: Vec<_> = (0..scenario.channels).map(name).collect();
        for (index, name) in (0..).zip(&names) {
            catalogue.insert(name, ChannelId { index, generation: 0 });
        }
        let options = options(scenario);
        let (mailbox, seat) = Seat::new(&options);
        let shard = Driven::new(Shard::new(options, seat, ring.reader(0), catalogue, "bench".into()));
        let mut rig = Self { publisher, shard, mailbox, clients: Vec::new(), names, ordinal: 0, now_ms: 0 };
        for channels in scenario.subscriptions() {
            rig.connect(&channels);
        }
        rig.settle(scenario);
        rig
    }

    fn connect(&mut self, channels: &[usize]) {
        let (pipe, client) = sim::pipe();
        client.swallow();
        self.clients.push(client);
        let channels = channels.iter().map(|&place| self.names[place].clone().into()).collect();
        let newborn = Newborn {
            socket: Connection::Sim(pipe),
            peer: ([127, 0, 0, 1], 1).into(),
            agent: None,
            read_ahead: Vec::new(),
            opening: Opening {
                dialect: dialect::ALL[1],
                shape: Shape::Payload,
                subscribe: Subscribe { channels, ..Subscribe::default() },
            },
            permit: Box::new(()),
        };
        self.mailbox.reserve().expect("the mailbox has room for all").post(newborn);
    }

    fn settle(&mut self, scenario: &Scenario) {
        // Few merge in a turn, and a turn does not say that more would; who changed meanwhile is looked at a second later.
        for _ in 0..3 {
            (0..scenario.subscribers).for_each(|_| self.drive());
            self.now_ms += STILL_MS;
        }
        for _ in 0..WARM_CYCLES {
            self.publish();
            self.cycle();
        }
        let ledger = self.shard.ledger();
        assert_eq!((ledger.subscribers, ledger.slow), (scenario.subscribers as u64, 0));
        let is_one = scenario.channels_each == scenario.channels;
        assert!(!is_one || ledger.cohorts == 1, "who has the same channels is one cohort");
    }

    /// Publishes the records of a cycle, on the channels in turn.
    pub(crate) fn publish(&mut self) {
        (0..RECORDS_A_CYCLE).for_each(|_| self.publish_one());
    }

    /// Drives the shard until it has sent what was published; how many deliveries that were.
    pub(crate) fn cycle(&mut self) -> u64 {
        let before = self.shard.ledger().delivered;
        self.drive();
        self.shard.ledger().delivered - before
    }

    fn publish_one(&mut self) {
        let channels = self.names.len() as u64;
        let (index, sequence) = ((self.ordinal % channels) as u32, 1 + self.ordinal / channels);
        self.ordinal += 1;
        let head =
            Head { wall_us: sequence, feed_sequence: None, payload_hash: 0, format: Format::Text, epoch: 0 };
        let stamp = Stamp {
            kind: Kind::Data,
            flags: if sequence == 1 { record::FIRST } else { 0 },
            channel: index,
            generation: 0,
            sequence,
            ordinal: self.ordinal,
            monotonic_ns: self.ordinal,
        };
        self.publisher.publish(&stamp, &[&head.to_bytes(), &PAYLOAD]).expect("the ring takes it");
    }

    fn drive(&mut self) {
        while self.shard.turn(self.now_ms) {}
    }
}

fn name(place: usize) -> ChannelName {
    ChannelName::parse(&format!("s{place}usdt@trade")).expect("a name")
}

fn options(scenario: &Scenario) -> Options {
    Options {
        channels_max: scenario.channels,
        patterns_max: 0,
        pattern_channels_max: 0,
        resume_records_max: 0,
        outbox_bytes_max: 1 << 20,
        on_gap: OnGap::Close,
        torn_pool_bytes_max: 1 << 20,
        message_bytes_max: 1 << 16,
        fragments_max: 1,
        messages_per_second: 1,
        messages_burst: 1,
        ping_every: Duration::from_mins(1),
        pong_timeout: Duration::from_mins(3),
        close_timeout: Duration::from_secs(5),
        notsent_lowat_bytes: 1 << 17,
        coalesce: Duration::ZERO,
        mailbox_letters_max: scenario.subscribers,
    }
}
