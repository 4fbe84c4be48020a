//! Which load to offer so that a server is saturated, but not buried.
//!
//! Pure. Must not run anything: it is told how each try went. Invariant: a measurement counts only if the server was
//! short of the load, by no more than what its buffers can hold for the time, and all arrived in the end.
//!
//! Below saturation a server's CPU says little: as long as it has time, it sends each record at once in a send of
//! its own. At saturation its sends are as large as the backlog allows, and CPU a delivery is what a delivery costs.

use crate::verdict::Verdict;

/// Offered first to a server of which nothing is known, deliveries a second.
const FIRST: f64 = 4e6;
/// What is offered of what was carried.
const OVERLOAD: f64 = 1.5;
/// A server that carried more of the load than this was not saturated.
const CARRIED_MAX: f64 = 0.95;
/// One that carried less was buried: what it could not carry was lost, or cost it something.
const CARRIED_MIN: f64 = 0.3;
/// Of everything published, the share that must have arrived in the end.
const ARRIVED_MIN: f64 = 0.98;

/// Why a disturbed measurement is doubtful.
pub(super) const DISTURBED: &str = "something else had the server's core";

/// How one try went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried {
    /// Deliveries a second.
    pub(super) offered: f64,
    pub(super) carried: f64,
    /// Of everything published, what arrived in the end.
    pub(super) arrived_share: f64,
    pub(super) closed: usize,
    /// Something else had the server's core for a good part of the time.
    pub(super) is_disturbed: bool,
    pub(super) verdict: Verdict,
}

/// What a try is worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Worth {
    Sound,
    /// Another load should be tried; if there is no more time, this is why it is doubtful.
    Again(&'static str),
    /// Another load would not help.
    Doubtful(&'static str),
}

/// The load to offer next.
pub(super) struct Saturation {
    offered: f64,
}

impl Saturation {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self { offered: FIRST }
    }

    /// Deliveries a second.
    pub(super) fn offered(&self) -> f64 {
        self.offered
    }

    /// Takes a try, and aims the next one by it.
    pub(super) fn tell(&mut self, tried: Tried) -> Worth {
        let share = tried.carried / tried.offered;
        let (next, worth) = if tried.closed > 0 {
            (tried.offered * 0.6, Worth::Again("the server closed connections"))
        } else if share > CARRIED_MAX {
            (tried.offered * 3.0, Worth::Again("the server was not saturated"))
        } else if tried.is_disturbed {
            // What it carried meanwhile says little of what it can: the aim is not given up for it.
            ((tried.carried * OVERLOAD).max(tried.offered / 2.0), Worth::Again(DISTURBED))
        } else if share < CARRIED_MIN {
            (
                (tried.carried * OVERLOAD).max(tried.offered / 30.0),
                Worth::Again("far more was offered than it carries"),
            )
        } else {
            (tried.carried * OVERLOAD, worth_at_saturation(&tried))
        };
        self.offered = next;
        worth
    }
}

fn worth_at_saturation(tried: &Tried) -> Worth {
    match tried.verdict {
        _ if tried.arrived_share < ARRIVED_MIN => Worth::Again("not all arrived in the end"),
        Verdict::Server => Worth::Sound,
        Verdict::Swarm | Verdict::ServerAndSwarm => Worth::Doubtful("the load tool was saturated"),
        Verdict::Feed => Worth::Doubtful("the feed was saturated"),
        Verdict::None | Verdict::Unexplained => Worth::Doubtful("nobody was saturated"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(offered: f64, capacity: f64) -> Tried {
        let carried = offered.min(capacity);
        Tried {
            offered,
            carried,
            arrived_share: 1.0,
            closed: 0,
            is_disturbed: false,
            verdict: Verdict::Server,
        }
    }

    #[test]
    fn it_comes_to_a_sound_load_within_four_tries_whatever_the_server_carries() {
        for capacity in [0.15e6, 0.5e6, 2e6, 4e6, 9e6, 25e6] {
            let mut saturation = Saturation::new();
            let tries =
                (1..=4).find(|_| saturation.tell(tried(saturation.offered(), capacity)) == Worth::Sound);
            assert!(tries.is_some(), "{capacity}");
            assert_eq!(saturation.tell(tried(saturation.offered(), capacity)), Worth::Sound, "{capacity}");
        }
    }

    #[test]
    fn what_does_not_show_the_server_is_not_sound() {
        let middling = tried(4e6, 3e6);
        for (told, sound) in [
            (middling, true),
            (Tried { verdict: Verdict::Swarm, ..middling }, false),
            (Tried { verdict: Verdict::ServerAndSwarm, ..middling }, false),
            (Tried { verdict: Verdict::Feed, ..middling }, false),
            (Tried { verdict: Verdict::Unexplained, ..middling }, false),
            (Tried { is_disturbed: true, ..middling }, false),
            (Tried { arrived_share: 0.9, ..middling }, false),
            (Tried { closed: 1, ..middling }, false),
        ] {
            assert_eq!(Saturation::new().tell(told) == Worth::Sound, sound, "{told:?}");
        }
    }

    #[test]
    fn a_server_that_closes_connections_is_offered_less() {
        let mut saturation = Saturation::new();
        saturation.tell(Tried { closed: 3, ..tried(4e6, 3e6) });
        assert!(saturation.offered() < 3e6);
    }
}
