//! Carrying out what clients ask for: changes of the index, between cycles, and their answers.
//!
//! Runs on the shard's thread. Invariant: a request is carried out whole or refused whole, and answered once.

use super::index::{CohortId, SubscriberId};
use super::worker::Shard;
use crate::channel::ChannelName;
use crate::dialect::{
    Command, Fault, FaultCode, Joined, Outcome, Request, RequestId, Shape, Subscribe, Subscribed,
};

impl Shard {
    /// Reads and carries out one message of a client.
    pub(super) fn obey(&mut self, id: SubscriberId, message: &[u8]) {
        let dialect = self.members[id as usize].session.dialect;
        match dialect.read(message) {
            Ok(Request { id: request, command }) => self.carry_out(id, &request, command),
            Err(rejected) => self.refuse(id, &rejected.id, &rejected.fault),
        }
    }

    fn carry_out(&mut self, id: SubscriberId, request: &RequestId, command: Command) {
        match command {
            Command::Subscribe(wanted) => match self.subscribe(id, &wanted) {
                Ok(sequences) => {
                    let channels = wanted.channels.iter().zip(sequences);
                    let joined: Vec<_> = channels
                        .map(|(wanted, sequence)| Joined {
                            channel: wanted.name.as_str(),
                            sequence,
                            recovered: None,
                        })
                        .collect();
                    let subscribed = Subscribed { channels: &joined, patterns: &[] };
                    self.answer(id, request, &Outcome::Subscribed(subscribed));
                }
                Err(fault) => return self.refuse(id, request, &fault),
            },
            Command::Unsubscribe { channels, patterns } => {
                self.unsubscribe(id, &channels);
                self.answer(id, request, &Outcome::Unsubscribed(&channels, &patterns));
            }
            Command::List => self.list(id, request),
            Command::Ping => self.answer(id, request, &Outcome::Pong),
            Command::SetShape(shape) => {
                self.set_shape(id, shape);
                self.answer(id, request, &Outcome::ShapeSet);
            }
            Command::GetShape => {
                let shape = self.cohort_of(id).map(|cohort| self.index.cohort(cohort).shape);
                if let Some(shape) = shape {
                    self.answer(id, request, &Outcome::ShapeIs(shape));
                }
            }
        }
        self.ledger.requests += 1;
    }

    fn cohort_of(&self, id: SubscriberId) -> Option<CohortId> {
        self.members[id as usize].cohort
    }

    /// Adds channels; the sequence that each of them stands at, 0 where it does not exist yet.
    pub(super) fn subscribe(&mut self, id: SubscriberId, wanted: &Subscribe) -> Result<Vec<u64>, Fault> {
        let own = self.own_cohort(id);
        self.is_restless(id);
        let channels: Vec<_> = wanted.channels.iter().map(|wanted| wanted.name.clone()).collect();
        self.check_room(own, &channels)?;
        if wanted.snapshot {
            self.leave_fast_path(id);
        }
        let sequences = channels.iter().map(|name| self.join(id, own, name, wanted.snapshot)).collect();
        self.note_rates(id);
        self.has_backlog(id);
        Ok(sequences)
    }

    fn check_room(&self, own: CohortId, channels: &[ChannelName]) -> Result<(), Fault> {
        let is_new =
            |name: &&ChannelName| self.index.find(name).is_none_or(|slot| !self.index.has_slot(own, slot));
        let wanted = self.index.cohort(own).slots.len() + channels.iter().filter(is_new).count();
        let channels_max = self.options.channels_max;
        if wanted <= channels_max {
            return Ok(());
        }
        let text = format!("{wanted} channels are more than a subscriber may have: {channels_max}");
        Err(Fault { code: FaultCode::TooManyChannels, text })
    }

    /// Adds one channel. A snapshot is a mark like any other: filled with the latest record when the socket has room, after
    /// which what the cursor still brings up to that record is passed over.
    fn join(&mut self, id: SubscriberId, own: CohortId, name: &ChannelName, snapshot: bool) -> u64 {
        let info = self.catalogue.find(name.as_str());
        let rule = self.catalogue.rule(name);
        let slot = self.index.intern(name, rule, info.as_ref());
        let is_new = self.index.add(own, slot);
        let sequence = self.latest(slot).map_or(0, |entry| entry.sequence);
        if !is_new {
            return sequence;
        }
        self.ledger.subscriptions += 1;
        if snapshot && sequence > 0 {
            self.owe_snapshot(id, slot);
        }
        sequence
    }

    /// Takes channels away, with what waits of them; those never subscribed are passed over.
    fn unsubscribe(&mut self, id: SubscriberId, channels: &[ChannelName]) {
        let own = self.own_cohort(id);
        for name in channels {
            let Some(slot) = self.index.find(name) else { continue };
            if self.index.remove(own, slot) {
                self.ledger.subscriptions -= 1;
                self.withdraw(id, slot);
            }
        }
        self.note_rates(id);
        self.is_restless(id);
    }

    fn set_shape(&mut self, id: SubscriberId, shape: Shape) {
        let own = self.own_cohort(id);
        self.index.set_shape(own, shape);
        self.fanout.enlist(own, shape, self.members[id as usize].outbox.is_some());
        self.is_restless(id);
    }

    fn list(&mut self, id: SubscriberId, request: &RequestId) {
        let Some(cohort) = self.cohort_of(id) else { return };
        let slots = &self.index.cohort(cohort).slots;
        let names: Vec<ChannelName> = slots.iter().map(|&slot| self.index.slot(slot).name.clone()).collect();
        let names: Vec<&str> = names.iter().map(ChannelName::as_str).collect();
        self.answer(id, request, &Outcome::Listed(&names));
    }

    fn refuse(&mut self, id: SubscriberId, request: &RequestId, fault: &Fault) {
        self.ledger.requests_refused += 1;
        self.journal.refused(self.members[id as usize].peer, fault, self.now);
        self.answer(id, request, &Outcome::Refused(fault));
    }

    fn answer(&mut self, id: SubscriberId, request: &RequestId, outcome: &Outcome<'_>) {
        let mut text = Vec::new();
        self.members[id as usize].session.dialect.answer(request, outcome, &mut text);
        self.say(id, &text);
    }
}
