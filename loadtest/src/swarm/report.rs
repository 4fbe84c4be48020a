//! What a swarm saw, in one line.
//!
//! Pure. Must not judge: a scenario's bounds and the other processes' figures are not known here.
//! Invariant: `arrived` and `due` of the window are counts between the same two moments.

use crate::latency::Summary;
use crate::order::Disorder;
use std::fmt;

/// Figures of one measurement.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// Connections that the server closed.
    pub(crate) closed: usize,
    /// What the first close frame said.
    pub(crate) close_said: Option<String>,
    pub(crate) window_s: f64,
    /// Deliveries within the window.
    pub(crate) arrived: u64,
    /// Deliveries that the records published within the window make due.
    pub(crate) due: u64,
    /// Deliveries from the first record to the last, when all was quiet again.
    pub(crate) arrived_total: u64,
    /// Deliveries due by all that was published, as the parsed connections show it.
    pub(crate) due_total_seen: u64,
    pub(crate) latency: Summary,
    /// Of the parsed connections.
    pub(crate) disorder: Disorder,
    /// Records on channels that were not subscribed to.
    pub(crate) strangers: u64,
    pub(crate) parsed_connections: usize,
    pub(crate) frames_a_read: f64,
    /// CPU of the swarm's thread within the window, as a share of one core.
    pub(crate) cpu_share: f64,
    /// Control bytes would have made a counted connection's count wrong.
    pub(crate) count_in_doubt: bool,
}

impl Report {
    /// Whether there was something to measure, all of `due` arrived in the end, each once and in order, and nobody was cut off.
    pub(crate) fn is_whole(&self, due: u64) -> bool {
        self.arrived > 0
            && self.latency.count > 0
            && self.arrived_total == due
            && self.disorder == Disorder::default()
            && self.strangers == 0
            && self.closed == 0
            && !self.count_in_doubt
    }

    /// Share of the window's due deliveries that arrived in it.
    pub(crate) fn arrived_share(&self) -> f64 {
        share(self.arrived, self.due)
    }

    /// Deliveries a second within the window.
    pub(crate) fn deliveries_rate(&self) -> f64 {
        self.arrived as f64 / self.window_s
    }
}

/// `part` of `whole`; 1 where nothing was due.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:.3} M/s, {:.2} % of due; {}; missing {} duplicates {} swapped {}; closed {}",
            self.deliveries_rate() / 1e6,
            self.arrived_share() * 100.0,
            self.latency,
            self.disorder.missing,
            self.disorder.duplicates,
            self.disorder.swapped,
            self.closed,
        )?;
        if let Some(said) = &self.close_said {
            write!(out, " ({said})")?;
        }
        if self.strangers > 0 {
            write!(out, "; {} records nobody asked for", self.strangers)?;
        }
        if self.count_in_doubt {
            write!(out, "; COUNT IN DOUBT: control frames outweigh a record, use --parse-one-in 1")?;
        }
        write!(out, "; {:.1} frames a read; swarm {:.0} %", self.frames_a_read, self.cpu_share * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Report {
        Report {
            closed: 0,
            close_said: None,
            window_s: 1.0,
            arrived: 90,
            due: 90,
            arrived_total: 100,
            due_total_seen: 100,
            latency: Summary { count: 50, p50: 1, p99: 1, p999: 1, max: 1 },
            disorder: Disorder::default(),
            strangers: 0,
            parsed_connections: 1,
            frames_a_read: 1.0,
            cpu_share: 0.1,
            count_in_doubt: false,
        }
    }

    #[test]
    fn what_was_lost_doubled_moved_or_not_there_at_all_is_not_whole() {
        assert!(whole().is_whole(100));
        for broken in [
            Report { arrived: 0, ..whole() },
            Report { latency: Summary::default(), ..whole() },
            Report { arrived_total: 99, ..whole() },
            Report { arrived_total: 101, ..whole() },
            Report { disorder: Disorder { swapped: 1, ..Disorder::default() }, ..whole() },
            Report { strangers: 1, ..whole() },
            Report { closed: 1, ..whole() },
            Report { count_in_doubt: true, ..whole() },
        ] {
            assert!(!broken.is_whole(100), "{broken:?}");
        }
    }
}
