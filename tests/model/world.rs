//! A world: one feed, one ring, one shard and some clients, and what happens to them, a step at a time.
//!
//! One thread, no sockets, no clock but its own. Invariant: a seed decides everything that happens in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tapecast::channel::{Catalogue, OnSlow};
use tapecast::dialect::{self, Opening, Shape, Subscribe};
use tapecast::ring;
use tapecast::shard::drive::Driven;
use tapecast::shard::mailbox::{Mailbox, Newborn};
use tapecast::shard::stats::Ledger;
use tapecast::shard::{OnGap, Options, Seat, Shard};
use tapecast::subscriber::sim;
use tapecast::subscriber::socket::Connection;

use crate::client::{Client, Tongue};
use crate::dice::Dice;
use crate::market::{KINDS, Market, rules};
use crate::promise::Checked;

/// The server's epoch.
pub(crate) const EPOCH: &str = "model";
/// Steps of a world.
pub(crate) const STEPS: u64 = 20_000;
/// A turn is over after so many at most: else the shard never sleeps.
const TURNS_MAX: usize = 10_000;
/// The slowest rate that a client chooses, and a bit.
const QUIET_MS: u64 = 1200;
/// Who must be closed after a lap is closed within this time.
const SPREAD_MS: u64 = 10_000;
/// Lines that are told of a world that failed.
const TRACED: usize = 20_000;
/// More room than anything takes.
const PLENTY: usize = 1 << 40;

/// What a seed makes of a world before its first step.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) ring_bytes: usize,
    pub(crate) kinds: usize,
    pub(crate) names: usize,
    pub(crate) clients_max: usize,
    pub(crate) outbox_bytes_max: usize,
    pub(crate) torn_pool_bytes_max: usize,
    pub(crate) resume_records_max: usize,
    pub(crate) on_gap: OnGap,
    /// Once in so many steps the publisher overtakes the shard.
    pub(crate) lap_once_in: usize,
    /// Once in so many steps a channel expires.
    pub(crate) expire_once_in: usize,
    /// One client in so many is stalled now and then.
    pub(crate) stalls: bool,
    /// Records gather for so long after a send.
    pub(crate) coalesce_ms: u64,
}

impl Plan {
    fn of(dice: &mut Dice) -> Self {
        Self {
            ring_bytes: dice.one_of(&[1 << 16, 1 << 16, 1 << 18]),
            kinds: KINDS.len(),
            names: 4 + dice.below(13),
            clients_max: 1 + dice.below(8),
            outbox_bytes_max: dice.one_of(&[300, 2_000, 20_000, 200_000]),
            torn_pool_bytes_max: dice.one_of(&[1 << 20, 1 << 20, 1_000]),
            resume_records_max: dice.one_of(&[5, 100, 1_000]),
            on_gap: dice.one_of(&[OnGap::Close, OnGap::Close, OnGap::Skip]),
            lap_once_in: dice.one_of(&[usize::MAX, 5_000, 1_000]),
            expire_once_in: dice.one_of(&[usize::MAX, 1_000, 200, 40]),
            stalls: !dice.once_in(4),
            coalesce_ms: dice.one_of(&[0, 0, 2, 20]),
        }
    }

    fn options(&self) -> Options {
        Options {
            channels_max: 100,
            patterns_max: 16,
            pattern_channels_max: 100,
            resume_records_max: self.resume_records_max,
            outbox_bytes_max: self.outbox_bytes_max,
            on_gap: self.on_gap,
            torn_pool_bytes_max: self.torn_pool_bytes_max,
            message_bytes_max: 1 << 16,
            fragments_max: 16,
            messages_per_second: 100_000,
            messages_burst: 100_000,
            ping_every: Duration::from_mins(1),
            pong_timeout: Duration::from_mins(3),
            close_timeout: Duration::from_secs(5),
            notsent_lowat_bytes: 1 << 17,
            coalesce: Duration::from_millis(self.coalesce_ms),
            mailbox_letters_max: 16,
        }
    }
}

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) plan: Plan,
    pub(crate) market: Market,
    pub(crate) clients: Vec<Client>,
    /// How far clients that are gone had come.
    pub(crate) memories: Vec<Vec<(usize, u64)>>,
    pub(crate) now_ms: u64,
    pub(crate) traced: Option<VecDeque<String>>,
    shard: Driven,
    mailbox: Mailbox,
    /// What was published when the shard last had nothing left to do.
    caught_up: u64,
    /// How often the shard had been lapped when all was quiet last.
    lapped_at_rest: u64,
    /// Clients so far.
    born: usize,
}

impl World {
    pub(crate) fn new(seed: u64, is_traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan::of(&mut dice);
        let sizes =
            ring::Options { bytes: plan.ring_bytes, channels_max: 32, body_bytes_max: 1_000, readers: 1 };
        let (publisher, ring) = ring::new(&sizes).expect("the sizes fit together");
        let catalogue = Arc::new(Catalogue::new(rules()));
        let options = plan.options();
        let (mailbox, seat) = Seat::new(&options);
        let shard =
            Driven::new(Shard::new(options, seat, ring.reader(0), Arc::clone(&catalogue), EPOCH.into()));
        Self {
            market: Market::new(publisher, catalogue, &plan, seed),
            dice,
            plan,
            clients: Vec::new(),
            memories: Vec::new(),
            now_ms: 0,
            traced: is_traced.then(VecDeque::new),
            shard,
            mailbox,
            caught_up: 0,
            lapped_at_rest: 0,
            born: 0,
        }
    }

    /// Notes a step, where somebody wants to know.
    pub(crate) fn trace(&mut self, step: impl FnOnce() -> String) {
        if let Some(traced) = &mut self.traced {
            if traced.len() == TRACED {
                traced.pop_front();
            }
            traced.push_back(step());
        }
    }

    /// The shard's ledger as of now.
    pub(crate) fn ledger(&self) -> Ledger {
        self.shard.ledger()
    }

    /// A channel expires, if it lives and the shard has seen all of it: no shard is as far behind as a channel is silent before.
    /// After a lap the count of what was seen says nothing of what is yet to be found again.
    pub(crate) fn expire(&mut self, place: usize) {
        let ledger = self.ledger();
        let seen = if ledger.lapped == 0 { ledger.ordinal } else { self.caught_up };
        self.market.expire(place, seen);
    }

    /// Lives for so many steps and ends in quiet. Err: the step, and what was wrong.
    pub(crate) fn live(&mut self, steps: u64) -> Result<(), (u64, String)> {
        for step in 0..steps {
            self.step().map_err(|why| (step, why))?;
        }
        self.end().map_err(|why| (steps, why))
    }

    /// A client connects.
    pub(crate) fn connect(&mut self, tongue: Tongue) {
        let (pipe, client) = sim::pipe();
        let (dialect, shape) = match tongue {
            Tongue::Native => (dialect::ALL[0], Shape::Native),
            Tongue::Raw => (dialect::ALL[1], Shape::Payload),
            Tongue::Combined => (dialect::ALL[1], Shape::Combined),
        };
        let newborn = Newborn {
            socket: Connection::Sim(pipe),
            peer: ([127, 0, 0, 1], 1).into(),
            agent: None,
            read_ahead: Vec::new(),
            opening: Opening { dialect, shape, subscribe: Subscribe::default() },
            permit: Box::new(()),
        };
        let Some(place) = self.mailbox.reserve() else { return };
        place.post(newborn);
        let mut client = Client::new(self.born, client, tongue, self.market.channels.len());
        self.born += 1;
        client.may_skip = tongue != Tongue::Native && self.plan.on_gap == OnGap::Skip;
        client.pipe.set_room(PLENTY);
        client.heard = self.traced.is_some().then(Vec::new);
        self.clients.push(client);
    }

    /// A client is gone without a word; how far it had come is remembered.
    pub(crate) fn vanish(&mut self, place: usize) {
        let client = self.clients.swap_remove(place);
        if client.tongue == Tongue::Native {
            let told = client.told.iter().enumerate();
            let memory = told.filter_map(|(place, told)| Some((place, told.last?))).collect();
            self.memories.push(memory);
        }
    }

    /// One turn of the shard, and what clients see of it; whether the shard has more to do at once.
    pub(crate) fn turn(&mut self) -> Result<bool, String> {
        let more = self.shard.turn(self.now_ms);
        if !more && !self.shard.is_gathering() {
            self.caught_up = self.market.ordinal;
        }
        self.check_ledger()?;
        for place in (0..self.clients.len()).rev() {
            let number = self.clients[place].number;
            self.see(place).map_err(|why| format!("client {number}: {why}"))?;
        }
        Ok(more)
    }

    fn see(&mut self, place: usize) -> Checked {
        let client = &mut self.clients[place];
        let number = client.number;
        let read = client.read(&self.market, self.now_ms);
        for heard in client.heard.as_mut().map(std::mem::take).unwrap_or_default() {
            self.trace(|| format!("client {number} hears {heard}"));
        }
        read?;
        let client = &self.clients[place];
        if let Some((code, why)) = client.closed.clone() {
            self.trace(|| format!("client {number} closed: {code} {why}"));
            self.check_close(place, code, &why)?;
            self.vanish(place);
        } else if client.pipe.is_cut() {
            let was_ready = client.is_ready;
            self.trace(|| format!("client {number} cut"));
            self.vanish(place);
            if was_ready {
                return Err("cut without a word".to_owned());
            }
        }
        Ok(())
    }

    /// Whether a client may be closed like this.
    fn check_close(&self, place: usize, code: u16, why: &str) -> Checked {
        let client = &self.clients[place];
        // What comes between two turns may be more than a small outbox takes.
        let may_overflow = self.plan.outbox_bytes_max < 20_000 || self.plan.lap_once_in != usize::MAX;
        let is_expected = match code {
            // Who has a word for a gap is told.
            1012 => client.tongue != Tongue::Native && self.plan.on_gap == OnGap::Close,
            1008 if why == "no pong" => true,
            1008 => (!client.is_ready || may_overflow) && self.may_lose_by_closing(client),
            _ => false,
        };
        if is_expected { Ok(()) } else { Err(format!("closed {code} {why}")) }
    }

    /// Whether a client is closed for a record that it loses, or may be without knowing it yet.
    fn may_lose_by_closing(&self, client: &Client) -> bool {
        if client.tongue != Tongue::Native {
            return self.plan.on_gap == OnGap::Close;
        }
        let mut joined = client.told.iter().zip(&self.market.channels).filter(|(told, _)| told.joined);
        client.waits() || joined.any(|(_, channel)| channel.rule.on_slow == OnSlow::Close)
    }

    fn check_ledger(&self) -> Checked {
        let of = self.ledger();
        let fates =
            [of.delivered, of.conflated, of.merged, of.dropped, of.withdrawn, of.abandoned, of.pending];
        if of.ordinal != of.seen + of.missed || of.ordinal > self.market.ordinal {
            return Err(format!("of {} records: {of:?}", self.market.ordinal));
        }
        if fates.iter().any(|&count| count > of.matched) || of.matched != fates.iter().sum::<u64>() {
            return Err(format!("the ledger does not add up: {of:?}"));
        }
        if of.pending != self.shard.waiting_records() {
            return Err(format!("{} records wait: {of:?}", self.shard.waiting_records()));
        }
        let (queued, torn) = self.shard.waiting_bytes();
        if queued > self.plan.outbox_bytes_max || torn > self.plan.torn_pool_bytes_max {
            return Err(format!("{queued} bytes queued for one, {torn} torn"));
        }
        if torn as u64 != of.torn_bytes {
            return Err(format!("{torn} bytes are torn: {of:?}"));
        }
        Ok(())
    }

    /// The publisher is quiet, everybody takes everything: until nothing moves any more.
    pub(crate) fn come_to_rest(&mut self) -> Checked {
        for client in &mut self.clients {
            client.pipe.set_room(PLENTY);
        }
        let mut until = self.now_ms + QUIET_MS;
        while self.now_ms < until {
            let mut turns = 0;
            while self.turn()? {
                turns += 1;
                if turns == TURNS_MAX {
                    return Err("the shard does not come to rest".to_owned());
                }
            }
            let lapped = self.ledger().lapped;
            if lapped != self.lapped_at_rest {
                self.lapped_at_rest = lapped;
                until += SPREAD_MS;
            }
            self.now_ms += self.shard.sleeps_ms().max(1);
        }
        self.check_rest()
    }

    fn check_rest(&self) -> Checked {
        let ledger = self.ledger();
        if ledger.pending + ledger.torn_bytes + ledger.queued_bytes > 0 {
            return Err(format!("something waits though nothing has to: {ledger:?}"));
        }
        // What was lost to a lap is counted at the next record.
        if ledger.lapped == 0 && ledger.ordinal != self.market.ordinal {
            return Err(format!("of {} records: {ledger:?}", self.market.ordinal));
        }
        for client in &self.clients {
            let place = client.number;
            client
                .check_rest(&self.market, ledger.lapped > 0)
                .map_err(|why| format!("client {place}: {why}"))?;
        }
        Ok(())
    }

    /// Everybody leaves, and nothing of them stays.
    fn end(&mut self) -> Checked {
        self.come_to_rest()?;
        self.clients.clear();
        while self.turn()? {}
        let Ledger { subscribers, slow, rated, subscriptions, cohorts, pending, .. } = self.ledger();
        if subscribers + slow + rated + subscriptions + cohorts + pending > 0 {
            return Err(format!("something stays when everybody is gone: {:?}", self.ledger()));
        }
        Ok(())
    }
}
