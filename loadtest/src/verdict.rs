//! Which side was at its end.
//!
//! Pure. Must not hide doubt: where server and load tool were both busy it says both.
//! Invariant: a run that held its scenario's bounds has no saturated side.

use std::fmt;

/// Share of a core from which a thread counts as saturated.
pub(crate) const SATURATED: f64 = 0.95;
/// Share of its rate that a feed must reach.
const FEED_HOLDS: f64 = 0.98;

/// What a verdict is formed from; shares are of one core, 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence {
    /// Everything arrived within the bound.
    pub(crate) held: bool,
    /// The server's core: its CPU time and the time it waited for the core.
    pub(crate) server_busy: f64,
    /// Swarm and feed together, on theirs, and what something else had of it: a late reader is no late server.
    pub(crate) tools_busy: f64,
    /// What the feed sent of what it should have.
    pub(crate) feed_sent: f64,
    /// Share of the time in which the server did not take what the feed had to send.
    pub(crate) feed_blocked: f64,
}

/// The side that was saturated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    None,
    Swarm,
    Server,
    Feed,
    ServerAndSwarm,
    /// The bounds were missed though nobody was busy: closed connections, lost records.
    Unexplained,
}

impl Verdict {
    /// The verdict that the evidence supports.
    pub(crate) fn of(evidence: Evidence) -> Self {
        let server = evidence.server_busy >= SATURATED;
        let tools = evidence.tools_busy >= SATURATED;
        match (evidence.held, server, tools) {
            (true, ..) => Self::None,
            (_, true, true) => Self::ServerAndSwarm,
            (_, true, false) => Self::Server,
            (_, false, true) => Self::Swarm,
            _ if evidence.feed_sent < FEED_HOLDS && evidence.feed_blocked < 0.01 => Self::Feed,
            _ => Self::Unexplained,
        }
    }

    /// Whether the load tool was at its end, alone or with the server: then nobody knows what the server could have done.
    pub(crate) fn is_the_tools(self) -> bool {
        matches!(self, Self::Swarm | Self::Feed | Self::ServerAndSwarm)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::None => "none",
            Self::Swarm => "swarm",
            Self::Server => "server",
            Self::Feed => "feed",
            Self::ServerAndSwarm => "server+swarm",
            Self::Unexplained => "unexplained",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Evidence =
        Evidence { held: false, server_busy: 0.5, tools_busy: 0.5, feed_sent: 1.0, feed_blocked: 0.0 };

    #[test]
    fn each_side_is_named_by_its_own_evidence() {
        assert_eq!(Verdict::of(Evidence { held: true, tools_busy: 1.0, ..IDLE }), Verdict::None);
        assert_eq!(Verdict::of(Evidence { tools_busy: 0.97, ..IDLE }), Verdict::Swarm);
        assert_eq!(Verdict::of(Evidence { server_busy: 0.99, ..IDLE }), Verdict::Server);
        assert_eq!(
            Verdict::of(Evidence { server_busy: 0.99, tools_busy: 0.99, ..IDLE }),
            Verdict::ServerAndSwarm
        );
        assert_eq!(Verdict::of(Evidence { feed_sent: 0.9, ..IDLE }), Verdict::Feed);
        assert_eq!(Verdict::of(IDLE), Verdict::Unexplained);
    }

    #[test]
    fn a_feed_that_the_server_blocks_is_not_at_fault() {
        let blocked = Evidence { feed_sent: 0.5, feed_blocked: 0.4, ..IDLE };
        assert_eq!(Verdict::of(blocked), Verdict::Unexplained);
        assert_eq!(Verdict::of(Evidence { server_busy: 1.0, ..blocked }), Verdict::Server);
    }
}
