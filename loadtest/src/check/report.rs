//! What readers found: counted, added up, and passed from process to process as one line of JSON.
//!
//! Pure. Must not drop a violation silently: all are counted, the first are kept. Invariant: reports may be added in any
//! order.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Violations kept by a report; further ones are only counted.
const KEPT_MAX: usize = 20;

/// One thing that may not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Violation {
    pub(crate) subscriber: usize,
    pub(crate) role: String,
    /// Empty where it is of the connection.
    pub(crate) channel: String,
    pub(crate) sequence: u64,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscriber, role, channel, sequence, what } = self;
        match channel.as_str() {
            "" => write!(out, "subscriber {subscriber} ({role}): {what}"),
            _ => write!(out, "subscriber {subscriber} ({role}): {channel} {sequence}: {what}"),
        }
    }
}

/// What some subscribers saw.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    pub(crate) subscribers: u64,
    /// Messages that were records.
    pub(crate) records: u64,
    pub(crate) snapshots: u64,
    /// Records that others stood for.
    pub(crate) skipped: u64,
    /// Messages that stood for more than one record with all that they said.
    pub(crate) merged: u64,
    pub(crate) gaps: u64,
    pub(crate) gap_records: u64,
    /// Times somebody came back.
    pub(crate) returns: u64,
    pub(crate) recovered: u64,
    pub(crate) unrecovered: u64,
    /// From the feed's end to the last subscriber's last value; reading time of what lay before it taken off. ns.
    pub(crate) late_ns_max: u64,
    /// The same with it.
    pub(crate) last_ns_max: u64,
    pub(crate) violations: u64,
    pub(crate) first: Vec<Violation>,
}

impl Report {
    /// Counts a violation.
    pub(crate) fn accuse(&mut self, violation: Violation) {
        self.violations += 1;
        if self.first.len() < KEPT_MAX {
            self.first.push(violation);
        }
    }

    /// Adds another's counts.
    pub(crate) fn add(&mut self, other: Self) {
        let fields: [(&mut u64, u64); 11] = [
            (&mut self.subscribers, other.subscribers),
            (&mut self.records, other.records),
            (&mut self.snapshots, other.snapshots),
            (&mut self.skipped, other.skipped),
            (&mut self.merged, other.merged),
            (&mut self.gaps, other.gaps),
            (&mut self.gap_records, other.gap_records),
            (&mut self.returns, other.returns),
            (&mut self.recovered, other.recovered),
            (&mut self.unrecovered, other.unrecovered),
            (&mut self.violations, other.violations),
        ];
        fields.into_iter().for_each(|(sum, more)| *sum += more);
        self.late_ns_max = self.late_ns_max.max(other.late_ns_max);
        self.last_ns_max = self.last_ns_max.max(other.last_ns_max);
        let room = KEPT_MAX - self.first.len();
        self.first.extend(other.first.into_iter().take(room));
    }

    /// The head of a table of reports.
    pub(crate) fn head() -> &'static str {
        "| who | subscribers | records | snapshots | skipped | merged | gaps (records) | returns | recovered / not | \
         last value after ms (of that late) | violations |\n|---|---|---|---|---|---|---|---|---|---|---|"
    }

    /// Its row.
    pub(crate) fn row(&self, who: &str) -> String {
        let ms = |ns: u64| ns as f64 / 1e6;
        format!(
            "| {who} | {} | {} | {} | {} | {} | {} ({}) | {} | {} / {} | {:.0} ({:.0}) | {} |",
            self.subscribers,
            self.records,
            self.snapshots,
            self.skipped,
            self.merged,
            self.gaps,
            self.gap_records,
            self.returns,
            self.recovered,
            self.unrecovered,
            ms(self.last_ns_max),
            ms(self.late_ns_max),
            self.violations,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_violation_is_lost_in_adding_up() {
        let violation = |subscriber| Violation {
            subscriber,
            role: "slow".to_owned(),
            channel: "a@b".to_owned(),
            sequence: 3,
            what: "is wrong".to_owned(),
        };
        let mut all = Report { records: 5, late_ns_max: 3, ..Report::default() };
        for subscriber in 0..30 {
            let mut one = Report { records: 2, late_ns_max: 2, ..Report::default() };
            one.accuse(violation(subscriber));
            let line = serde_json::to_string(&one).expect("JSON");
            all.add(serde_json::from_str(&line).expect("a report"));
        }
        assert_eq!((all.records, all.violations, all.first.len(), all.late_ns_max), (65, 30, KEPT_MAX, 3));
        assert_eq!(all.first[7].to_string(), "subscriber 7 (slow): a@b 3: is wrong");
    }
}
