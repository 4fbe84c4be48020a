//! Patterns: the channels that match now, and those that appear later.
//!
//! Runs on the shard's thread. The catalogue is read by pages, so that its lock is held briefly. Invariant: a channel's first record is
//! given to nobody before everybody whose patterns match it has joined; nobody joins or leaves while a cycle runs.

use std::collections::HashSet;

use super::index::{CohortId, SlotKey};
use super::subscribe::{Choice, check_at_most};
use super::worker::Shard;
use crate::channel::{ChannelId, ChannelInfo, ChannelName, ChannelPattern, PLACES_A_PAGE, Rule};
use crate::dialect::{Fault, Outcome, RequestId, Subscribe};
use crate::fault::{self, Planted};

/// What a request's patterns match.
pub(super) struct Matches {
    /// Each channel once.
    pub(super) channels: Vec<ChannelInfo>,
    /// How many channels each pattern matches.
    pub(super) counts: Vec<usize>,
}

impl Shard {
    /// Finds what a request's patterns match, if that is no more than a subscriber may join.
    pub(super) fn find_matches(
        &self,
        own: CohortId,
        chosen: &[Choice],
        wanted: &Subscribe,
    ) -> Result<Matches, Fault> {
        let patterns = &wanted.patterns;
        let of = self.index.cohort(own);
        let new = patterns.iter().filter(|pattern| !self.index.has_pattern(own, pattern)).count();
        check_at_most(of.patterns().len() + new, self.options.patterns_max, "patterns")?;
        let joined_max = self.options.pattern_channels_max;
        // One more than could pass is enough to refuse.
        let enough = joined_max.saturating_add(of.slots.len()).saturating_add(chosen.len());
        let matches = self.scan(patterns, enough);
        let named: HashSet<_> = chosen.iter().map(|choice| &choice.label).collect();
        let is_new =
            |info: &&ChannelInfo| !named.contains(&info.name) && self.index.find(own, &info.name).is_none();
        let joined = self.index.joined(own, true).count() + matches.channels.iter().filter(is_new).count();
        check_at_most(joined, joined_max, "channels by patterns")?;
        Ok(matches)
    }

    fn scan(&self, patterns: &[ChannelPattern], enough: usize) -> Matches {
        let mut matches = Matches { channels: Vec::new(), counts: vec![0; patterns.len()] };
        let mut first = 0;
        while !patterns.is_empty() && first < self.catalogue.places() && matches.channels.len() <= enough {
            let page = self.catalogue.page(first);
            matches.channels.extend(page.into_iter().filter(|info| {
                let matching = patterns.iter().zip(&mut matches.counts);
                let matching = matching.filter(|(pattern, _)| pattern.matches(&info.name));
                matching.map(|(_, count)| *count += 1).count() > 0
            }));
            first += PLACES_A_PAGE;
        }
        matches
    }

    /// The rate at which a cohort's patterns want a channel, as far as the channel can have one.
    pub(super) fn rate_of(&self, cohort: CohortId, name: &ChannelName, rule: Rule) -> u32 {
        let every_ms = self.index.wanted_rate(cohort, name, None).unwrap_or(0);
        if rule.delivery.is_conflatable() { every_ms } else { 0 }
    }

    /// A cycle ended before a channel's first record: whoever has a pattern that matches joins.
    pub(super) fn admit_channel(&mut self, id: ChannelId) {
        let info = self.catalogue.at(id.index).filter(|info| info.id == id);
        self.index.enter(id, info.as_ref());
        // Whether it is stale is told behind its first record, to all: nobody who joins here is told by an answer.
        let Some(info) = info.map(|info| ChannelInfo { stale: false, ..info }) else { return };
        for cohort in self.index.cohorts_matching(&info.name) {
            if self.index.find(cohort, &info.name).is_none() {
                self.join_cohort(cohort, &info);
            }
        }
    }

    fn join_cohort(&mut self, cohort: CohortId, info: &ChannelInfo) {
        if !self.has_room(cohort) {
            return self.tell_overfull(cohort);
        }
        let every_ms = self.rate_of(cohort, &info.name, info.rule);
        let slot = self.index.intern(SlotKey::of(&info.name, every_ms), info.rule, Some(info));
        self.index.add(cohort, slot, false);
        self.ledger.subscriptions += self.index.cohort(cohort).members.len() as u64;
        // What the slot's others were told, the ring does not tell again.
        if self.index.slot(slot).stale && !fault::is(Planted::PatternMissesState) {
            for &id in &self.index.cohort(cohort).members.clone() {
                self.say_stale(id, &info.name);
            }
        }
    }

    /// Whether a cohort's patterns may join one more channel. Those that expired are left only for the room they take: what is known of
    /// them explains the step of the sequence when their names come again.
    fn has_room(&mut self, cohort: CohortId) -> bool {
        let most = self.options.pattern_channels_max;
        let joined = self.index.cohort(cohort).joined_len();
        let many = PLACES_A_PAGE as usize + 2 * self.catalogue.places() as usize;
        if joined < most.min(many) {
            return true;
        }
        let expired: Vec<_> = self.index.joined(cohort, false).collect();
        for &id in &self.index.cohort(cohort).members.clone() {
            self.withdraw(id, &expired);
            self.ledger.subscriptions -= expired.len() as u64;
        }
        for slot in expired {
            self.index.remove(cohort, slot);
        }
        self.index.cohort(cohort).joined_len() < most
    }

    /// Tells the members of a cohort, once, that their patterns match more than they may join.
    fn tell_overfull(&mut self, cohort: CohortId) {
        if !self.index.set_overfull(cohort) {
            return;
        }
        let most = self.options.pattern_channels_max;
        let Err(fault) = check_at_most(most.saturating_add(1), most, "channels by patterns") else { return };
        for &id in &self.index.cohort(cohort).members.clone() {
            self.ledger.requests_refused += 1;
            self.answer(id, &RequestId(None), &Outcome::Refused(&fault));
        }
    }
}
