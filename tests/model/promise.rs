//! The reference: what one subscriber may rely on of one channel, said as plainly as the wire document says it.
//!
//! Pure. It knows nothing of outboxes, cohorts or rings: only what was published, what was asked for, and what was received. Invariant:
//! between two calls, everything up to `last` was received, or was said to be skipped or lost.

use crate::market::Channel;

pub(crate) type Checked = Result<(), String>;

/// A record as it was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) sequence: u64,
    pub(crate) skipped: u64,
    pub(crate) snap: bool,
    /// When its first byte came.
    pub(crate) begun_ms: u64,
}

/// Whether a snapshot comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Snapshot {
    #[default]
    No,
    /// It depends on what the client cannot know.
    May,
    Must,
}

/// What one subscriber was told of one channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// It is subscribed to, by what was acknowledged.
    pub(crate) joined: bool,
    /// Everything up to here is accounted for; `None`: nothing came yet since it was joined.
    pub(crate) last: Option<u64>,
    /// Where it stood at most when it was joined: what came up to there need not come.
    pub(crate) most: u64,
    /// The same, or where the name's last channel ended, where there was none.
    since: u64,
    pub(crate) snapshot: Snapshot,
    pub(crate) every_ms: u64,
    /// Only patterns hold it.
    pub(crate) by_pattern: bool,
    pub(crate) stale: bool,
    /// Gaps of the feed that it was told of.
    pub(crate) feed_gaps: Vec<(u64, u64)>,
    /// How many of the channel's feed gaps need not be told: they were before it was joined.
    pub(crate) feed_gaps_before: usize,
    /// Missed records follow in order, whatever the delivery.
    pub(crate) resumed: bool,
    /// The highest sequence of the connection.
    highest: u64,
    /// When the last record that counts for the rate began.
    begun_ms: Option<u64>,
}

impl Told {
    /// The channel was joined, where it stood at `most` at most.
    pub(crate) fn join(&mut self, most: u64, snapshot: Snapshot, channel: &Channel) {
        let ended = match channel.spans.last() {
            Some(&(first, _)) if channel.id.is_some() => first - 1,
            last => last.map_or(0, |&(_, last)| last),
        };
        *self = Self {
            joined: true,
            most,
            since: if most == 0 { ended } else { most },
            snapshot,
            highest: self.highest,
            // It may have been joined all the time.
            stale: self.joined && self.stale,
            feed_gaps_before: channel.feed_gaps.len(),
            ..Self::default()
        };
    }

    /// Only a pattern holds it, since before there was this channel, and nothing came yet: the shard may not have met it.
    pub(crate) fn waits_for_pattern(&self, channel: &Channel) -> bool {
        let first = channel.spans.last().map_or(0, |&(first, _)| first);
        self.by_pattern && self.last.is_none() && self.most < first
    }

    /// All that was missed since this sequence follows.
    pub(crate) fn recover(&mut self, after: u64) {
        self.last = Some(after);
        self.highest = after;
        self.snapshot = Snapshot::No;
        self.resumed = true;
    }

    pub(crate) fn leave(&mut self) {
        *self = Self { highest: self.highest, ..Self::default() };
    }

    /// Another rate counts from the next record on.
    pub(crate) fn set_rate(&mut self, every_ms: u64) {
        if self.every_ms != every_ms {
            (self.every_ms, self.begun_ms) = (every_ms, None);
        }
    }

    /// A record came. `is_event`: of its channel none may be skipped.
    pub(crate) fn hear(&mut self, heard: &Heard, channel: &Channel, is_event: bool) -> Checked {
        let Heard { sequence, skipped, snap, begun_ms } = *heard;
        if !self.joined {
            return Err("a record of a channel that is not subscribed to".to_owned());
        }
        let Some(first) = channel.first_of(sequence) else {
            return Err("a record that was never published".to_owned());
        };
        if snap {
            self.hear_snapshot(sequence)?;
        } else {
            if sequence <= self.highest {
                return Err(format!("not above {}, which came before", self.highest));
            }
            if is_event && skipped > 0 {
                return Err("an event was skipped".to_owned());
            }
            self.step((sequence - 1).checked_sub(skipped), first)?;
            // What was missed follows at once.
            if !self.resumed || sequence > self.most {
                self.keep_rate(begun_ms)?;
            }
        }
        self.last = Some(sequence);
        self.highest = self.highest.max(sequence);
        self.snapshot = Snapshot::No;
        Ok(())
    }

    fn hear_snapshot(&self, sequence: u64) -> Checked {
        if self.snapshot == Snapshot::No {
            return Err("a snapshot that was not asked for, or behind what it should come before".to_owned());
        }
        if sequence < self.highest {
            return Err(format!("a snapshot below {}, which came before", self.highest));
        }
        Ok(())
    }

    /// What is new stands directly behind `base`, and belongs to the channel that began with `first`.
    fn step(&self, base: Option<u64>, first: u64) -> Checked {
        let base = base.ok_or("more was skipped than there was")?;
        if let Some(last) = self.last {
            if base != last {
                return Err(format!(
                    "an unexplained step: {last} was the last one, and this goes on from {base}"
                ));
            }
            return Ok(());
        }
        // A channel that began anew since then may take the place of the one that was joined.
        let began_anew = first > self.most;
        if self.snapshot == Snapshot::Must && !began_anew {
            return Err("a record before the snapshot".to_owned());
        }
        let most = if began_anew { self.since.max(first - 1) } else { self.most };
        if base > most {
            return Err(format!("joined at {most}, and the first record goes on from {base}"));
        }
        Ok(())
    }

    fn keep_rate(&mut self, begun_ms: u64) -> Checked {
        let before = self.begun_ms.replace(begun_ms);
        if before.is_some_and(|before| begun_ms < before + self.every_ms) {
            return Err(format!("two records within {} ms", self.every_ms));
        }
        Ok(())
    }

    /// Records were said to be lost.
    pub(crate) fn hear_gap(&mut self, from: u64, to: u64, reason: &str, channel: &Channel) -> Checked {
        if !self.joined {
            return Err("a gap of a channel that is not subscribed to".to_owned());
        }
        if reason == "feed" {
            self.feed_gaps.push((from, to));
            return Ok(());
        }
        if from > to {
            return Err("a gap that holds nothing".to_owned());
        }
        let is_expired = reason == "expired";
        let is_next = match self.last {
            Some(last) => from == last + 1,
            // Of a channel that had the name before, this subscriber need not have known.
            None => {
                from <= self.since + 1
                    || is_expired
                    || channel.first_of(from) == Some(from)
                    || self.snapshot != Snapshot::No
            }
        };
        if !is_next {
            return Err(format!("a gap that does not begin behind {:?}", self.last));
        }
        self.last = Some(to);
        self.highest = self.highest.max(to);
        Ok(())
    }

    /// All is quiet, and everything could be sent: nothing is missing.
    pub(crate) fn is_complete(&self, channel: &Channel, is_conflatable: bool, tells_state: bool) -> Checked {
        if !self.joined {
            return Ok(());
        }
        let newest = channel.last();
        let is_there = match self.last {
            Some(last) => last == newest,
            None if channel.id.is_none() => true,
            None => self.since >= newest && self.snapshot != Snapshot::Must,
        };
        // Of a channel that expired, a state's last value is gone with it.
        if !is_there && (channel.id.is_some() || !is_conflatable) {
            return Err(format!("{newest} is the newest, and {:?} the last one told", self.last));
        }
        if tells_state && channel.id.is_some() && self.stale != channel.stale {
            return Err(format!("that it is stale is {}, and was told as {}", channel.stale, self.stale));
        }
        Ok(())
    }

    /// Each gap of the feed since it was joined lies within one that was told.
    pub(crate) fn knows_feed_gaps(&self, channel: &Channel) -> Checked {
        let due = channel.feed_gaps.iter().skip(self.feed_gaps_before);
        let is_told =
            |gap: &&(u64, u64)| self.feed_gaps.iter().any(|told| told.0 <= gap.0 && told.1 >= gap.1);
        match due.filter(|_| self.joined).find(|gap| !is_told(gap)) {
            Some(gap) => Err(format!("the feed's gap {gap:?} was not told")),
            None => Ok(()),
        }
    }
}
