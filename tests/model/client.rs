//! A client: asks at random, and checks every byte that it gets.
//!
//! It holds the other end of a connection in memory. Invariant: what it knows of the server it was told on this connection.

use std::collections::VecDeque;

use serde_json::value::RawValue;
use tapecast::channel::{ChannelId, Delivery};
use tapecast::subscriber::sim::SimClient;

use crate::market::{Market, UPDATES};
use crate::promise::{Checked, Heard, Snapshot, Told};
use crate::spell::spell;
use crate::wire::{self, Acked, Frame, Message, Payload};

/// The patterns of the model.
pub(crate) const PATTERNS: [&str; 5] = ["*@ticker", "s1@*", "*@*", "s*@t*", "*0@*de"];

/// How it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tongue {
    Native,
    Raw,
    Combined,
}

/// How it subscribed to something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) every_ms: u64,
}

/// What it asked for, and was not answered yet.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Subscribe(Ask),
    Unsubscribe {
        places: Vec<usize>,
        patterns: Vec<usize>,
    },
    List,
    Ping,
    /// It must be refused with this.
    Bad(&'static str),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) places: Vec<usize>,
    pub(crate) patterns: Vec<usize>,
    pub(crate) snapshot: bool,
    pub(crate) every_ms: u64,
    /// Whether the epoch is the server's, and how far each place had come.
    pub(crate) resume: Option<(bool, Vec<(usize, u64)>)>,
}

#[derive(Debug)]
struct Asked {
    id: u64,
    command: Command,
    /// Of each place, when it was asked: the channel there was, and its last sequence.
    then: Vec<(Option<ChannelId>, u64)>,
}

pub(crate) struct Client {
    /// Tells it from all others of its world.
    pub(crate) number: usize,
    pub(crate) pipe: SimClient,
    pub(crate) tongue: Tongue,
    pub(crate) told: Vec<Told>,
    pub(crate) named: Vec<Option<Chosen>>,
    pub(crate) patterns: Vec<Option<Chosen>>,
    /// The server always had room for all that it had to say.
    pub(crate) is_ready: bool,
    pub(crate) greeted: bool,
    /// The close frame's code and text.
    pub(crate) closed: Option<(u16, String)>,
    /// It lost records, and the server may skip them without a word.
    pub(crate) may_skip: bool,
    /// What came, where somebody wants to know.
    pub(crate) heard: Option<Vec<String>>,
    asked: VecDeque<Asked>,
    requests: u64,
    unread: Vec<u8>,
    begun_ms: u64,
}

impl Client {
    pub(crate) fn new(number: usize, pipe: SimClient, tongue: Tongue, places: usize) -> Self {
        Self {
            number,
            pipe,
            tongue,
            told: vec![Told::default(); places],
            named: vec![None; places],
            patterns: vec![None; PATTERNS.len()],
            is_ready: true,
            greeted: false,
            closed: None,
            may_skip: false,
            heard: None,
            asked: VecDeque::new(),
            requests: 0,
            unread: Vec::new(),
            begun_ms: 0,
        }
    }

    /// What it waits for an answer to.
    pub(crate) fn waits_for(&self) -> Option<String> {
        self.asked.front().map(|asked| format!("{:?}", asked.command))
    }

    /// Whether an answer is due.
    pub(crate) fn waits(&self) -> bool {
        !self.asked.is_empty()
    }

    pub(crate) fn ask(&mut self, command: Command, market: &Market) {
        self.requests += 1;
        let id = self.requests;
        let text = spell(self.tongue, &command, id, market);
        self.pipe.say(&wire::masked(1, text.as_bytes()));
        let then = market.channels.iter().map(|channel| (channel.id, channel.last())).collect();
        self.asked.push_back(Asked { id, command, then });
    }

    /// Reads what came, and checks it.
    pub(crate) fn read(&mut self, market: &Market, now_ms: u64) -> Checked {
        if self.unread.is_empty() {
            self.begun_ms = now_ms;
        }
        let mut bytes = std::mem::take(&mut self.unread);
        self.pipe.take(&mut bytes);
        let mut at = 0;
        while let Some((frame, length)) = wire::frame(&bytes[at..])? {
            at += length;
            if let Some(heard) = &mut self.heard {
                heard.push(format!("{frame:?}"));
            }
            let heard = self.hear(&frame, market);
            heard.map_err(|why| format!("{why}; in {frame:?}"))?;
            self.begun_ms = now_ms;
        }
        bytes.drain(..at);
        self.unread = bytes;
        Ok(())
    }

    fn hear(&mut self, frame: &Frame<'_>, market: &Market) -> Checked {
        if let Some(closed) = &self.closed {
            return Err(format!("a frame behind the close frame {closed:?}"));
        }
        match *frame {
            Frame::Close(code, why) => self.closed = Some((code, why.to_owned())),
            Frame::Ping(payload) => self.pipe.say(&wire::masked(10, payload)),
            Frame::Pong => {}
            Frame::Text(text) if self.tongue == Tongue::Raw && !text.starts_with(r#"{"result""#) => {
                let data: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
                return self.hear_bare(data, market);
            }
            Frame::Text(text) => {
                let message = serde_json::from_str(text).map_err(|error| error.to_string())?;
                return self.hear_message(&message, market);
            }
        }
        Ok(())
    }

    fn hear_message(&mut self, message: &Message<'_>, market: &Market) -> Checked {
        if self.tongue == Tongue::Combined && message.stream.is_some() {
            return self.hear_bare(message.data.ok_or("a record without data")?, market);
        }
        if message.op == Some("hello") {
            return match std::mem::replace(&mut self.greeted, true) {
                true => Err("a second greeting".to_owned()),
                false => Ok(()),
            };
        }
        if self.tongue == Tongue::Native && !self.greeted {
            return Err("something before the greeting".to_owned());
        }
        match message.op {
            None if message.ch.is_some() => self.hear_record(message, market),
            None if self.tongue != Tongue::Native => self.hear_answer(message, market),
            Some("ack" | "pong" | "list" | "error") => self.hear_answer(message, market),
            Some("gap") => {
                let place = place_of(message.ch, market)?;
                let ends = message.from.zip(message.to).ok_or("a gap without ends")?;
                let reason = message.reason.unwrap_or("");
                self.told[place].hear_gap(ends.0, ends.1, reason, &market.channels[place])
            }
            Some("status") => self.hear_status(message, market),
            Some("shutdown") => Ok(()),
            _ => Err("a message without a meaning".to_owned()),
        }
    }

    fn hear_status(&mut self, message: &Message<'_>, market: &Market) -> Checked {
        let told = &mut self.told[place_of(message.ch, market)?];
        let stale = message.state == Some("stale");
        if !told.joined {
            return Err("the state of a channel that is not subscribed to".to_owned());
        }
        told.stale = stale;
        Ok(())
    }

    fn hear_record(&mut self, message: &Message<'_>, market: &Market) -> Checked {
        let place = place_of(message.ch, market)?;
        let (sequence, data) = message.seq.zip(message.data).ok_or("a record without sequence or data")?;
        if message.ts != Some(sequence) {
            return Err("the time of another record".to_owned());
        }
        let heard = Heard {
            sequence,
            skipped: message.skipped.unwrap_or(0),
            snap: message.snap,
            begun_ms: self.begun_ms,
        };
        let first = sequence.saturating_sub(heard.skipped);
        self.take_record(place, &heard, message.merged.then_some(first), data, market)
    }

    /// A record whose channel and sequence are told by its payload alone.
    fn hear_bare(&mut self, data: &RawValue, market: &Market) -> Checked {
        let payload: Payload<'_> = serde_json::from_str(data.get()).map_err(|error| error.to_string())?;
        let text = payload.s.get().trim_matches('"');
        let number: u64 = text.parse().map_err(|_| "a payload that nobody published")?;
        let (place, sequence, first) = match (payload.c, payload.first, payload.last) {
            (Some(place), ..) => (place, number, number),
            (None, Some(first), Some(last)) => (number as usize, last / UPDATES, first / UPDATES),
            _ => return Err("a payload that nobody published".to_owned()),
        };
        let channel = market.channels.get(place).ok_or("a payload of a channel that nobody published")?;
        // What is skipped is not said: of a state any number may be, of an event none but where the server was told so.
        let may_skip = channel.rule.delivery == Delivery::Latest || self.may_skip;
        let told = &self.told[place];
        let base = if may_skip { told.last.unwrap_or(told.most) } else { channel.before(first) };
        let skipped = sequence.saturating_sub(base + 1);
        let snap = false;
        let heard = Heard { sequence, skipped, snap, begun_ms: self.begun_ms };
        self.take_record(place, &heard, (sequence > first).then_some(first), data, market)
    }

    fn take_record(
        &mut self,
        place: usize,
        heard: &Heard,
        merged_from: Option<u64>,
        data: &RawValue,
        market: &Market,
    ) -> Checked {
        let channel = &market.channels[place];
        let is_event = channel.rule.delivery == Delivery::Every && self.tongue == Tongue::Native;
        let merges = matches!(channel.rule.delivery, Delivery::Merge(_));
        if let Some(first) = merged_from.filter(|_| merges) {
            crate::book::is_sum_of(place, first, heard.sequence, data, market)?;
        } else {
            if merges && heard.skipped > 0 && self.tongue == Tongue::Native {
                return Err("of a merged channel something was skipped".to_owned());
            }
            let mut expected = Vec::new();
            market.payload_of(place, heard.sequence, &mut expected);
            if data.get().as_bytes() != expected {
                return Err(format!("the payload is not {:?}", String::from_utf8_lossy(&expected)));
            }
        }
        self.told[place].hear(heard, channel, is_event)
    }

    fn hear_answer(&mut self, message: &Message<'_>, market: &Market) -> Checked {
        let Some(asked) = self.asked.pop_front().filter(|asked| message.id == Some(asked.id)) else {
            return Err("an answer to nothing, or out of order".to_owned());
        };
        let is_refused = message.op == Some("error") || message.error.is_some();
        match asked.command {
            Command::Bad(code) if message.code == Some(code) => Ok(()),
            _ if is_refused => Err(format!("a refusal of {:?}", asked.command)),
            Command::Bad(_) => Err("a request that should have been refused".to_owned()),
            Command::Subscribe(ask) => self.has_subscribed(&ask, &asked.then, message.channels, market),
            Command::Unsubscribe { places, patterns } => {
                places.iter().for_each(|&place| self.named[place] = None);
                patterns.iter().for_each(|&pattern| self.patterns[pattern] = None);
                self.settle(market, Snapshot::No);
                Ok(())
            }
            Command::List => self.check_list(message, market),
            Command::Ping => Ok(()),
        }
    }

    fn check_list(&self, message: &Message<'_>, market: &Market) -> Checked {
        let names = message.channels.or(message.result).ok_or("a list without names")?;
        let mut names: Vec<&str> = serde_json::from_str(names.get()).map_err(|error| error.to_string())?;
        names.sort_unstable();
        let named = market.channels.iter().zip(&self.named).filter(|(_, named)| named.is_some());
        let mut expected: Vec<_> = named.map(|(channel, _)| channel.name.as_str()).collect();
        let patterns = PATTERNS.iter().zip(&self.patterns).filter(|(_, pattern)| pattern.is_some());
        expected.extend(patterns.map(|(pattern, _)| *pattern));
        expected.sort_unstable();
        if names == expected { Ok(()) } else { Err(format!("the list should be {expected:?}")) }
    }

    fn has_subscribed(
        &mut self,
        ask: &Ask,
        then: &[(Option<ChannelId>, u64)],
        acked: Option<&RawValue>,
        market: &Market,
    ) -> Checked {
        let acked: Vec<Acked<'_>> = match acked {
            Some(list) => serde_json::from_str(list.get()).map_err(|error| error.to_string())?,
            None => Vec::new(),
        };
        let chosen = Some(Chosen { every_ms: ask.every_ms });
        if self.tongue != Tongue::Native {
            for &place in ask.places.iter().filter(|&&place| self.named[place].is_none()) {
                let channel = &market.channels[place];
                self.told[place].join(channel.last(), Snapshot::No, channel);
            }
        } else if acked.iter().filter(|acked| acked.channel.is_some()).count() < ask.places.len() {
            return Err("not every channel was acknowledged".to_owned());
        }
        for acked in &acked {
            let Some(name) = acked.channel else { continue };
            self.has_joined(place_of(Some(name), market)?, acked, ask, then, market)?;
        }
        ask.places.iter().for_each(|&place| self.named[place] = chosen);
        ask.patterns.iter().for_each(|&pattern| self.patterns[pattern] = chosen);
        self.settle(market, if ask.snapshot { Snapshot::May } else { Snapshot::No });
        Ok(())
    }

    fn has_joined(
        &mut self,
        place: usize,
        acked: &Acked<'_>,
        ask: &Ask,
        then: &[(Option<ChannelId>, u64)],
        market: &Market,
    ) -> Checked {
        let channel = &market.channels[place];
        let stands_at = acked.seq.ok_or("an acknowledgement without a sequence")?;
        let (id, last) = then[place];
        // Of a channel in another one's place the shard may not have seen that the other one is gone.
        let is_unseen = stands_at == 0 && channel.id.is_some_and(|id| id.generation > 0);
        if stands_at > channel.last() || (id.is_some() && id == channel.id && stands_at < last && !is_unseen)
        {
            return Err(format!("{} stands at {stands_at}?", channel.name.as_str()));
        }
        if self.told[place].joined && !self.told[place].waits_for_pattern(channel) {
            return Ok(());
        }
        let resume = ask.resume.as_ref();
        let after = resume.and_then(|(_, places)| places.iter().find(|(known, _)| *known == place));
        if self.told[place].joined && after.is_some() && acked.recovered.is_none() {
            return Ok(());
        }
        let wants_snapshot = ask.snapshot || acked.recovered == Some(false);
        let snapshot = match wants_snapshot && stands_at > 0 {
            _ if self.told[place].joined && self.told[place].snapshot != Snapshot::No => Snapshot::May,
            true if self.told[place].waits_for_pattern(channel) => Snapshot::May,
            true => Snapshot::Must,
            false => Snapshot::No,
        };
        self.told[place].join(stands_at, snapshot, channel);
        match (after, acked.recovered) {
            (Some(&(_, after)), Some(recovered)) => {
                let is_ours = resume.is_some_and(|(is_ours, _)| *is_ours);
                let is_rated = ask.every_ms > 0 && channel.rule.delivery == Delivery::Latest;
                market.judge_resume(place, is_ours, after, stands_at, recovered, is_rated)?;
                // Of a channel that is not there, nothing was missed by who had nothing of it.
                if recovered && stands_at > 0 {
                    self.told[place].recover(after);
                }
                Ok(())
            }
            (None, None) => Ok(()),
            _ => Err("whether it was recovered is told where it was to be resumed".to_owned()),
        }
    }

    /// What is subscribed to changed: which channels that means, and at which rates.
    fn settle(&mut self, market: &Market, snapshot: Snapshot) {
        for (place, channel) in market.channels.iter().enumerate() {
            let matching = PATTERNS.iter().zip(&self.patterns);
            let matching = matching.filter(|(pattern, _)| matches(pattern, channel.name.as_str()));
            let by_pattern = matching.filter_map(|(_, chosen)| *chosen).min_by_key(|chosen| chosen.every_ms);
            let told = &mut self.told[place];
            match self.named[place].or(by_pattern) {
                None => told.leave(),
                Some(_) if !told.joined => told.join(channel.last(), snapshot, channel),
                Some(_) => {}
            }
            let every_ms = self.named[place].or(by_pattern).map_or(0, |chosen| chosen.every_ms);
            let every_ms = if channel.rule.delivery.is_conflatable() { every_ms } else { 0 };
            let told = &mut self.told[place];
            told.by_pattern = self.named[place].is_none();
            told.set_rate(every_ms);
        }
    }
}

/// Whether a name is like a pattern: on both sides of the `@`, by brute force.
fn matches(pattern: &str, name: &str) -> bool {
    fn is_like(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| is_like(rest, &text[skip..])),
            Some((byte, rest)) => text.first() == Some(byte) && is_like(rest, &text[1..]),
        }
    }
    let ((symbols, kinds), (symbol, kind)) =
        (pattern.split_once('@').unwrap(), name.split_once('@').unwrap());
    is_like(symbols.as_bytes(), symbol.as_bytes()) && is_like(kinds.as_bytes(), kind.as_bytes())
}

fn place_of(name: Option<&str>, market: &Market) -> Result<usize, String> {
    let known =
        name.and_then(|name| market.channels.iter().position(|channel| channel.name.as_str() == name));
    known.ok_or_else(|| "a channel that does not exist".to_owned())
}
