//! Carrying out what clients ask for: changes of the index, between cycles, and their answers.
//!
//! Runs on the shard's thread. `subscribe` does what most of them ask. Invariant: a request is carried out whole or refused whole, and
//! answered once.

use super::index::{CohortId, SubscriberId};
use super::worker::Shard;
use crate::channel::{ChannelName, ChannelPattern};
use crate::clock::wall_us;
use crate::dialect::{Command, Fault, Outcome, Request, RequestId, Shape};

impl Shard {
    /// Reads and carries out one message of a client.
    pub(super) fn obey(&mut self, id: SubscriberId, message: &[u8]) {
        let dialect = self.members[id as usize].session.dialect;
        match dialect.read(message) {
            Ok(Request { id: request, command }) => self.carry_out(id, request, command),
            Err(rejected) => self.refuse(id, &rejected.id, &rejected.fault),
        }
    }

    fn carry_out(&mut self, id: SubscriberId, request: RequestId, command: Command) {
        match command {
            Command::Subscribe(wanted) => {
                if let Err(fault) = self.subscribe(id, &wanted, Some(request.clone())) {
                    return self.refuse(id, &request, &fault);
                }
            }
            Command::Unsubscribe { channels, patterns } => {
                self.unsubscribe(id, &channels, &patterns);
                self.answer(id, &request, &Outcome::Unsubscribed(&channels, &patterns));
            }
            Command::List => self.list(id, &request),
            Command::Ping => self.answer(id, &request, &Outcome::Pong { wall_us: wall_us() }),
            Command::SetShape(shape) => {
                self.set_shape(id, shape);
                self.answer(id, &request, &Outcome::ShapeSet);
            }
            Command::GetShape => {
                let shape = self.cohort_of(id).map(|cohort| self.index.cohort(cohort).shape);
                if let Some(shape) = shape {
                    self.answer(id, &request, &Outcome::ShapeIs(shape));
                }
            }
        }
        self.ledger.requests += 1;
    }

    pub(super) fn cohort_of(&self, id: SubscriberId) -> Option<CohortId> {
        self.members[id as usize].cohort
    }

    fn set_shape(&mut self, id: SubscriberId, shape: Shape) {
        let own = self.own_cohort(id);
        self.index.set_shape(own, shape);
        self.fanout.enlist(own, shape, self.members[id as usize].outbox.is_some());
        self.is_restless(id);
    }

    /// Tells what was asked for: not what patterns joined.
    fn list(&mut self, id: SubscriberId, request: &RequestId) {
        let Some(cohort) = self.cohort_of(id) else { return };
        let of = self.index.cohort(cohort);
        let named = of.slots.iter().filter(|&&slot| of.is_named(slot));
        let names: Vec<ChannelName> = named.map(|&slot| self.index.slot(slot).name.clone()).collect();
        let patterns: Vec<ChannelPattern> = self.index.patterns_of(cohort).cloned().collect();
        let names = names.iter().map(ChannelName::as_str);
        let all: Vec<&str> = names.chain(patterns.iter().map(ChannelPattern::as_str)).collect();
        self.answer(id, request, &Outcome::Listed(&all));
    }

    fn refuse(&mut self, id: SubscriberId, request: &RequestId, fault: &Fault) {
        self.ledger.requests_refused += 1;
        self.journal.refused(self.members[id as usize].peer, fault, self.now);
        self.answer(id, request, &Outcome::Refused(fault));
    }

    pub(super) fn answer(&mut self, id: SubscriberId, request: &RequestId, outcome: &Outcome<'_>) {
        let mut text = Vec::new();
        self.members[id as usize].session.dialect.answer(request, outcome, &mut text);
        self.say(id, &text);
    }
}
