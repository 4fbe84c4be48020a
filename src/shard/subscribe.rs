//! Subscribing and unsubscribing: names, rates, and what is said of them.
//!
//! Runs on the shard's thread, between cycles. Patterns are looked up by `patterns`, what was missed by `resume`. Invariant: a
//! subscribe is judged whole before anything is changed, and what a subscriber has of a channel is one slot.

use std::collections::VecDeque;

use super::cycle::id_of;
use super::index::{CohortId, Slot, SlotId, SlotKey, SubscriberId};
use super::patterns::Matches;
use super::resume::{Search, channels_of, origin};
use super::worker::Shard;
use crate::channel::{ChannelInfo, ChannelName, ChannelPattern, Rule};
use crate::dialect::{
    Fault, FaultCode, Joined, Matched, Outcome, Rated, RequestId, Resume, Subscribe, Subscribed, Wanted,
};
use crate::ring::Entry;
use crate::subscriber::outbox::Stop;

/// A channel that a request names, and what the name means here.
pub(super) struct Choice {
    /// As the client says it.
    pub(super) label: ChannelName,
    source: ChannelName,
    every_ms: u32,
    rule: Rule,
    info: Option<ChannelInfo>,
    /// The subscriber's patterns held it before: of a channel that the cursor has not met yet it is due every record.
    is_held: bool,
}

impl Choice {
    /// A channel by its own name.
    pub(super) fn plain(info: ChannelInfo, every_ms: u32) -> Self {
        let (label, source) = (info.name.clone(), info.name.clone());
        Self { label, source, every_ms, rule: info.rule, info: Some(info), is_held: false }
    }

    fn key(&self) -> SlotKey<'_> {
        SlotKey { label: &self.label, source: &self.source, every_ms: self.every_ms }
    }
}

/// A channel that a subscribe joined, as its answer tells it.
pub(super) struct Told {
    name: ChannelName,
    sequence: u64,
    pub(super) recovered: Option<bool>,
}

/// A subscribe that is being carried out.
pub(super) struct Joining {
    /// The request that is answered in the end; the one that came with the handshake is not.
    request: Option<RequestId>,
    pub(super) told: Vec<Told>,
    patterns: Vec<(ChannelPattern, usize)>,
    /// Channels whose feeds are gone.
    stale: Vec<ChannelName>,
    /// What was missed and is still looked for.
    pub(super) searches: VecDeque<Search>,
}

impl Shard {
    /// Adds channels and patterns. The answer is given when all that is to be resumed was looked for.
    pub(super) fn subscribe(
        &mut self,
        id: SubscriberId,
        wanted: &Subscribe,
        request: Option<RequestId>,
    ) -> Result<(), Fault> {
        let own = self.own_cohort(id);
        self.is_restless(id);
        let chosen: Result<Vec<_>, _> =
            wanted.channels.iter().map(|name| self.choose(own, name, wanted.every_ms)).collect();
        let chosen = chosen?;
        self.check_room(own, &chosen)?;
        self.check_resume(wanted.resume.as_ref())?;
        let matches = self.find_matches(own, &chosen, wanted)?;
        if wanted.snapshot || wanted.resume.is_some() {
            self.leave_fast_path(id);
        }
        let patterns = wanted.patterns.iter().cloned().zip(matches.counts.iter().copied()).collect();
        let (told, searches) = (Vec::with_capacity(chosen.len()), VecDeque::new());
        let mut joining = Joining { request, told, patterns, stale: Vec::new(), searches };
        self.index.make_room(own, chosen.len());
        for choice in &chosen {
            self.join_named(id, own, choice, wanted, &mut joining);
        }
        self.join_matches(id, own, matches, wanted, &mut joining);
        self.note_rates(id);
        self.has_backlog(id);
        self.look_for_missed(id, joining);
        Ok(())
    }

    /// What a name means: the channel that has it; or, where its end asks for a rate and there is no such channel, the channel before
    /// that end. A name that means something to this subscriber already goes on to mean that.
    fn choose(&self, own: CohortId, wanted: &Wanted, every_ms: u32) -> Result<Choice, Fault> {
        let (info, rule) = self.look_up(&wanted.name);
        if let Some(rated) = &wanted.rated {
            let is_known = self.index.find(own, &wanted.name).map(|slot| self.index.slot(slot).alias() > 0);
            let is_alias = match is_known {
                Some(is_alias) => is_alias,
                None => info.is_none() && self.is_rate(rated)?,
            };
            if is_alias {
                let (info, rule) = self.look_up(&rated.source);
                let (label, source) = (wanted.name.clone(), rated.source.clone());
                return Ok(Choice { label, source, every_ms: rated.every_ms, rule, info, is_held: false });
            }
        }
        if every_ms > 0 && !rule.delivery.is_conflatable() {
            return Err(not_conflatable(&wanted.name));
        }
        let is_held = self.index.wanted_rate(own, &wanted.name, None).is_some();
        Ok(Choice { label: wanted.name.clone(), source: wanted.name.clone(), every_ms, rule, info, is_held })
    }

    fn look_up(&self, name: &ChannelName) -> (Option<ChannelInfo>, Rule) {
        let info = self.catalogue.find(name.as_str());
        let rule = info.as_ref().map_or_else(|| self.catalogue.rule(name), |info| info.rule);
        (info, rule)
    }

    /// Whether a name's end asks for a rate of ours. The exchange's own speeds are part of the names of its channels, which wait for
    /// them: 100 ms of anything, 1000 ms of depth, and any speed of depth diffs.
    fn is_rate(&self, rated: &Rated) -> Result<bool, Fault> {
        let (_, rule) = self.look_up(&rated.source);
        let (is_conflatable, is_depth) =
            (rule.delivery.is_conflatable(), rated.source.kind().starts_with("depth"));
        if rated.every_ms == 100 || (is_depth && (rated.every_ms == 1000 || !is_conflatable)) {
            return Ok(false);
        }
        if is_conflatable { Ok(true) } else { Err(not_conflatable(&rated.source)) }
    }

    fn check_room(&self, own: CohortId, chosen: &[Choice]) -> Result<(), Fault> {
        let of = self.index.cohort(own);
        let is_new = |choice: &&Choice| {
            !self.index.find(own, &choice.label).is_some_and(|slot| self.index.cohort(own).is_named(slot))
        };
        let wanted = of.named_len() + chosen.iter().filter(is_new).count();
        check_at_most(wanted, self.options.channels_max, "channels")
    }

    fn check_resume(&self, resume: Option<&Resume>) -> Result<(), Fault> {
        check_at_most(resume.map_or(0, channels_of), self.options.channels_max, "channels to resume")
    }

    fn join_named(
        &mut self,
        id: SubscriberId,
        own: CohortId,
        choice: &Choice,
        wanted: &Subscribe,
        joining: &mut Joining,
    ) {
        let (slot, is_new) = self.join(id, own, choice, true);
        let sequence = self.latest(slot).map_or(0, |entry| entry.sequence);
        joining.told.push(Told { name: choice.label.clone(), sequence, recovered: None });
        if is_new {
            self.begin(id, slot, choice, wanted, joining);
        }
    }

    /// Joins what the request's patterns match, but for what was asked for by name.
    fn join_matches(
        &mut self,
        id: SubscriberId,
        own: CohortId,
        matches: Matches,
        wanted: &Subscribe,
        joining: &mut Joining,
    ) {
        // One that a pattern of before matches and that the cursor is yet to meet is joined when it is met, from its first record on.
        let is_awaited = |info: &ChannelInfo| {
            self.index.wanted_rate(own, &info.name, None).is_some() && !self.index.has_met(info.id)
        };
        let channels: Vec<_> = matches.channels.into_iter().filter(|info| !is_awaited(info)).collect();
        for pattern in &wanted.patterns {
            self.index.add_pattern(own, pattern, wanted.every_ms);
        }
        self.follow_new_rates(id, own, &wanted.patterns);
        for info in channels {
            let found = self.index.find(own, &info.name);
            if found.is_some_and(|slot| self.index.cohort(own).is_named(slot)) {
                continue;
            }
            let every_ms = self.rate_of(own, &info.name, info.rule);
            let choice = Choice::plain(info, every_ms);
            let (slot, is_new) = self.join(id, own, &choice, false);
            if !is_new {
                continue;
            }
            if wanted.resume.as_ref().is_some_and(|resume| origin(resume, &choice.label).is_some()) {
                let sequence = self.latest(slot).map_or(0, |entry| entry.sequence);
                joining.told.push(Told { name: choice.label.clone(), sequence, recovered: None });
            }
            self.begin(id, slot, &choice, wanted, joining);
        }
    }

    /// Adds one channel to a cohort of one, in the place of the same channel at another rate; true: it had none such.
    fn join(&mut self, id: SubscriberId, own: CohortId, choice: &Choice, by_name: bool) -> (SlotId, bool) {
        let before = self.index.find(own, &choice.label);
        let slot = self.index.intern(choice.key(), choice.rule, choice.info.as_ref());
        self.index.add(own, slot, by_name);
        match before {
            Some(before) if before != slot => self.replace(id, own, before, slot),
            Some(_) => {}
            None => self.ledger.subscriptions += 1,
        }
        (slot, before.is_none())
    }

    /// What waits of a slot waits as the channel's at another rate.
    fn replace(&mut self, id: SubscriberId, own: CohortId, from: SlotId, to: SlotId) {
        self.change_rate(id, from, to);
        self.index.remove(own, from);
    }

    /// Where a new subscription begins: at the latest record, at the next one, or where an earlier connection was cut.
    fn begin(
        &mut self,
        id: SubscriberId,
        slot: SlotId,
        choice: &Choice,
        wanted: &Subscribe,
        joining: &mut Joining,
    ) {
        // What the slot's other subscribers were told last is what the next change is told against. What they are yet to be told, even
        // after a lap, this one is told with them; a new slot begins with what the catalogue says.
        if self.index.slot(slot).stale {
            joining.stale.push(choice.label.clone());
        }
        if let Some(resume) = &wanted.resume
            && let Some(origin) = origin(resume, &choice.label)
        {
            return self.begin_resume(id, slot, &resume.epoch, origin, joining);
        }
        let Some(entry) = self.latest(slot) else { return };
        if wanted.snapshot {
            return self.owe_snapshot(id, slot);
        }
        let seen = self.index.seen(slot).map(|(_, seen)| seen);
        let is_due = choice.is_held && seen == Some(0);
        if !is_due && seen.is_some_and(|seen| entry.sequence > seen) {
            // The answer tells this sequence, so what the cursor still brings up to it is not for this subscriber.
            self.leave_fast_path(id);
            self.pass_over(id, slot, &entry);
        }
    }

    /// What the cursor brings of a channel up to this record is not for this subscriber.
    pub(super) fn pass_over(&mut self, id: SubscriberId, slot: SlotId, entry: &Entry) {
        if let Some(outbox) = self.members[id as usize].outbox.as_mut() {
            let stop = Stop { position: entry.position, sequence: entry.sequence };
            outbox.set_after(id_of(entry), self.index.slot(slot).alias(), stop);
            self.has_backlog(id);
        }
    }

    /// Answers a subscribe that was carried out, and then tells which of its channels are stale.
    pub(super) fn finish_joining(&mut self, id: SubscriberId, joining: &Joining) {
        if let Some(request) = &joining.request {
            let channels: Vec<_> = joining.told.iter().map(Told::as_joined).collect();
            let patterns = joining.patterns.iter();
            let patterns: Vec<_> = patterns
                .map(|(pattern, count)| Matched { pattern: pattern.as_str(), count: *count })
                .collect();
            let subscribed = Subscribed { channels: &channels, patterns: &patterns };
            self.answer(id, request, &Outcome::Subscribed(subscribed));
        }
        for channel in &joining.stale {
            self.say_stale(id, channel);
        }
    }

    /// Takes channels and patterns away, with what waits of them; those never subscribed are passed over.
    pub(super) fn unsubscribe(
        &mut self,
        id: SubscriberId,
        channels: &[ChannelName],
        patterns: &[ChannelPattern],
    ) {
        let own = self.own_cohort(id);
        for name in channels {
            self.leave_named(id, own, name);
        }
        for pattern in patterns {
            self.leave_pattern(id, own, pattern);
        }
        self.is_restless(id);
        self.note_rates(id);
        self.has_backlog(id);
    }

    /// What a pattern matches as well stays, at the pattern's rate.
    fn leave_named(&mut self, id: SubscriberId, own: CohortId, name: &ChannelName) {
        let slot = self.index.find(own, name).filter(|&slot| self.index.cohort(own).is_named(slot));
        let Some(slot) = slot else { return };
        // A pattern keeps what is known of a channel that expired, but no name that never was one.
        let Slot { channel, past, .. } = self.index.slot(slot);
        let existed = channel.is_some() || *past > 0;
        if existed && self.index.wanted_rate(own, name, None).is_some() {
            self.index.unname(own, slot);
            return self.follow_patterns(id, own, slot);
        }
        self.leave(id, own, &[slot]);
    }

    /// What other patterns match as well, or what was asked for by name, stays.
    fn leave_pattern(&mut self, id: SubscriberId, own: CohortId, pattern: &ChannelPattern) {
        if !self.index.has_pattern(own, pattern) {
            return;
        }
        let of = self.index.cohort(own);
        let joined = of.slots.iter().copied().filter(|&slot| !of.is_named(slot));
        let joined: Vec<_> = joined.filter(|&slot| pattern.matches(&self.index.slot(slot).source)).collect();
        let goes = |shard: &Self, slot| {
            shard.index.wanted_rate(own, &shard.index.slot(slot).source, Some(pattern)).is_none()
        };
        let (gone, kept): (Vec<_>, Vec<_>) = joined.into_iter().partition(|&slot| goes(self, slot));
        self.leave(id, own, &gone);
        self.index.remove_pattern(own, pattern);
        kept.into_iter().for_each(|slot| self.follow_patterns(id, own, slot));
    }

    /// What these patterns hold alone comes at their rate from now on, channels that expired included.
    fn follow_new_rates(&mut self, id: SubscriberId, own: CohortId, patterns: &[ChannelPattern]) {
        let of = self.index.cohort(own);
        let joined = of.slots.iter().copied().filter(|&slot| !of.is_named(slot));
        let is_meant = |slot: &SlotId| {
            let source = &self.index.slot(*slot).source;
            patterns.iter().any(|pattern| pattern.matches(source))
        };
        let meant: Vec<_> = joined.filter(is_meant).collect();
        meant.into_iter().for_each(|slot| self.follow_patterns(id, own, slot));
    }

    /// A channel that only patterns hold comes at the rate that they want.
    fn follow_patterns(&mut self, id: SubscriberId, own: CohortId, slot: SlotId) {
        let of = self.index.slot(slot);
        let (name, rule) = (of.source.clone(), of.rule);
        let every_ms = self.rate_of(own, &name, rule);
        if every_ms != of.every_ms {
            let to = self.index.intern(SlotKey::of(&name, every_ms), rule, None);
            self.index.add(own, to, false);
            self.replace(id, own, slot, to);
        }
    }

    fn leave(&mut self, id: SubscriberId, own: CohortId, slots: &[SlotId]) {
        // From the last one, so that those before it need not move.
        for &slot in slots.iter().rev() {
            self.ledger.subscriptions -= u64::from(self.index.remove(own, slot));
        }
        self.withdraw(id, slots);
    }
}

impl Told {
    fn as_joined(&self) -> Joined<'_> {
        Joined { channel: self.name.as_str(), sequence: self.sequence, recovered: self.recovered }
    }
}

/// Refuses what goes beyond a limit.
pub(super) fn check_at_most(wanted: usize, most: usize, what: &str) -> Result<(), Fault> {
    if wanted <= most {
        return Ok(());
    }
    let text = format!("{wanted} {what} are more than a subscriber may have: {most}");
    Err(Fault::new(FaultCode::TooManyChannels, text))
}

fn not_conflatable(name: &ChannelName) -> Fault {
    let text = format!("each record of {} counts: it cannot come at a chosen rate", name.as_str());
    Fault::new(FaultCode::NotConflatable, text)
}
