//! What can happen in a world, and how often.
//!
//! Invariant: a step is one thing that one of the world's parts does.

use tapecast::channel::Delivery;

use crate::client::{Ask, Client, Command, PATTERNS, Tongue};
use crate::promise::Checked;
use crate::world::World;

/// Bytes of room that let frames be torn.
const NARROW_BYTES: usize = 300;
/// Rates that clients choose.
const RATES_MS: [u64; 6] = [0, 1, 5, 50, 250, 1000];
/// Steps between two rests, about.
const REST_ONCE_IN: usize = 1_000;
/// More room than anything takes.
const PLENTY: usize = 1 << 40;

impl World {
    /// One thing happens.
    pub(crate) fn step(&mut self) -> Checked {
        if self.dice.once_in(REST_ONCE_IN) {
            self.trace(|| "rest".to_owned());
            return self.come_to_rest();
        }
        if self.dice.once_in(self.plan.lap_once_in) {
            return self.burst();
        }
        if self.dice.once_in(self.plan.expire_once_in) {
            let place = self.dice.below(self.market.channels.len());
            self.trace(|| format!("expire {place}"));
            self.expire(place);
            return Ok(());
        }
        match self.dice.below(100) {
            0..45 => self.publish(),
            45..75 => return self.take_turn(),
            75..87 => self.give_room(),
            87..96 => self.command(),
            96 => self.turn_state(),
            97 => self.join_or_leave(),
            98 => self.skip_in_feed(),
            _ => self.wait(),
        }
        Ok(())
    }

    fn publish(&mut self) {
        // A few channels get most of it.
        let channels = self.market.channels.len();
        let place = self.dice.below(channels).min(self.dice.below(channels));
        let is_new = self.market.channels[place].id.is_none();
        self.market.publish(place);
        self.trace(|| format!("publish {place}"));
        // Some are gone again before anybody has met them.
        if is_new && self.dice.once_in(4) {
            self.trace(|| format!("state of {place}"));
            self.market.turn_stale(place);
        }
    }

    fn take_turn(&mut self) -> Checked {
        self.now_ms += self.dice.one_of(&[0, 0, 1, 3]);
        let now_ms = self.now_ms;
        self.trace(|| format!("turn at {now_ms}"));
        self.turn().map(drop)
    }

    /// So much that what was not drained is overwritten, and maybe more.
    fn burst(&mut self) -> Checked {
        let channels = self.market.channels.len();
        let until = self.market.bytes + (self.plan.ring_bytes / 8 * (1 + self.dice.below(16))) as u64;
        self.trace(|| format!("burst up to {until} bytes"));
        while self.market.bytes < until {
            let place = self.dice.below(channels);
            self.market.publish(place);
        }
        Ok(())
    }

    fn give_room(&mut self) {
        if self.clients.is_empty() || !self.plan.stalls {
            return;
        }
        let place = self.dice.below(self.clients.len());
        let room = match self.dice.below(10) {
            0..2 => 0,
            2..6 => self.dice.below(NARROW_BYTES),
            _ => PLENTY,
        };
        let number = self.clients[place].number;
        self.trace(|| format!("client {number} has room for {room}"));
        let client = &mut self.clients[place];
        client.is_ready &= room == PLENTY;
        client.pipe.set_room(room);
    }

    fn turn_state(&mut self) {
        let place = self.dice.below(self.market.channels.len());
        self.trace(|| format!("state of {place}"));
        self.market.turn_stale(place);
    }

    fn skip_in_feed(&mut self) {
        let place = self.dice.below(self.market.channels.len());
        self.trace(|| format!("feed gap of {place}"));
        self.market.skip_in_feed(place, &mut self.dice);
    }

    fn wait(&mut self) {
        self.now_ms += self.dice.below(400) as u64;
    }

    fn join_or_leave(&mut self) {
        if self.clients.len() < self.plan.clients_max {
            let tongues = [Tongue::Native, Tongue::Native, Tongue::Native, Tongue::Raw, Tongue::Combined];
            let tongue = self.dice.one_of(&tongues);
            self.trace(|| format!("a client connects: {tongue:?}"));
            self.connect(tongue);
        } else if self.dice.once_in(3) {
            let place = self.dice.below(self.clients.len());
            let number = self.clients[place].number;
            self.trace(|| format!("client {number} vanishes"));
            self.vanish(place);
        }
    }

    fn command(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let place = self.dice.below(self.clients.len());
        // Who does not read its answers asks for no more.
        if self.clients[place].waits() {
            return;
        }
        let command = match self.dice.below(20) {
            0..11 => Command::Subscribe(self.some_ask(place)),
            11..17 => self.some_unsubscribe(),
            17 => Command::List,
            18 if self.clients[place].tongue == Tongue::Native => Command::Ping,
            _ if self.clients[place].tongue == Tongue::Native => Command::Bad("invalid_channel"),
            _ => Command::List,
        };
        let number = self.clients[place].number;
        self.trace(|| format!("client {number}: {command:?}"));
        self.clients[place].ask(command, &self.market);
    }

    fn some_ask(&mut self, place: usize) -> Ask {
        let is_native = self.clients[place].tongue == Tongue::Native;
        let mut ask = Ask {
            places: self.some_places(),
            snapshot: is_native && !self.dice.once_in(4),
            ..Ask::default()
        };
        ask.snapshot &= is_native;
        if is_native {
            self.refine(place, &mut ask);
        }
        ask
    }

    /// Patterns, rates and resumes.
    fn refine(&mut self, place: usize, ask: &mut Ask) {
        if self.dice.once_in(3) {
            ask.patterns = vec![self.dice.below(PATTERNS.len())];
        }
        if self.dice.once_in(3) {
            ask.every_ms = self.dice.one_of(&RATES_MS);
            let channels = &self.market.channels;
            ask.places.retain(|&place| channels[place].rule.delivery.is_conflatable());
        }
        let is_new = self.clients[place].named.iter().all(Option::is_none);
        if is_new && !self.memories.is_empty() && !self.dice.once_in(4) {
            self.resume(ask);
        }
    }

    /// Goes on where somebody was cut, or pretends to.
    fn resume(&mut self, ask: &mut Ask) {
        let memory = self.memories.swap_remove(self.dice.below(self.memories.len()));
        let is_ours = !self.dice.once_in(8);
        let mut places = Vec::new();
        for (place, last) in memory {
            let last = match self.dice.below(10) {
                0 => last + self.dice.below(100) as u64,
                1 => last.saturating_sub(self.dice.below(10) as u64),
                _ => last,
            };
            places.push((place, last));
            let can_rate = self.market.channels[place].rule.delivery.is_conflatable();
            if !ask.places.contains(&place) && (ask.every_ms == 0 || can_rate) {
                ask.places.push(place);
            }
        }
        ask.resume = Some((is_ours, places));
    }

    fn some_unsubscribe(&mut self) -> Command {
        let patterns = if self.dice.once_in(3) { vec![self.dice.below(PATTERNS.len())] } else { Vec::new() };
        Command::Unsubscribe { places: self.some_places(), patterns }
    }

    fn some_places(&mut self) -> Vec<usize> {
        let channels = self.market.channels.len();
        let mut places: Vec<_> = (0..1 + self.dice.below(4)).map(|_| self.dice.below(channels)).collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

impl Client {
    /// All is quiet: what it was told is all there is to tell.
    pub(crate) fn check_rest(&self, market: &crate::market::Market, lapped: bool) -> Checked {
        if let Some(command) = self.waits_for() {
            return Err(format!("no answer to {command}"));
        }
        for (told, channel) in self.told.iter().zip(&market.channels) {
            if self.may_skip && channel.rule.delivery != Delivery::Latest {
                continue;
            }
            let name = channel.name.as_str();
            let is_native = self.tongue == Tongue::Native;
            let forgives = lapped && channel.id.is_none();
            let is_conflatable = channel.rule.delivery.is_conflatable() || forgives;
            told.is_complete(channel, is_conflatable, is_native).map_err(|why| format!("{name}: {why}"))?;
            if is_native && !lapped {
                told.knows_feed_gaps(channel).map_err(|why| format!("{name}: {why}"))?;
            }
        }
        Ok(())
    }
}
