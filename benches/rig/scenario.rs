//! The load tool's scenarios in small, for benches: how many subscribers, of which of how many channels.
//!
//! Pure. Invariant: a scenario has the same subscriptions each time.

/// A scenario: so many subscribers, each of so many of all channels.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) subscribers: usize,
    pub(crate) channels_each: usize,
    pub(crate) channels: usize,
}

const fn scenario(name: &'static str, subscribers: usize, channels_each: usize, channels: usize) -> Scenario {
    Scenario { name, subscribers, channels_each, channels }
}

/// The load tool's; but for the first one with fewer subscribers.
pub(crate) const SCENARIOS: [Scenario; 4] = [
    scenario("hot", 1_000, 1, 1),
    scenario("dash", 200, 20, 200),
    scenario("all", 100, 200, 200),
    scenario("wide", 500, 10, 200),
];

impl Scenario {
    /// The channels of each subscriber, drawn without replacement: the same each time.
    pub(crate) fn subscriptions(&self) -> Vec<Vec<usize>> {
        let mut dice = 1_u64;
        let draw = |_| {
            let mut channels: Vec<usize> = (0..self.channels).collect();
            for place in 0..self.channels_each {
                // Knuth's linear congruential generator; its high bits are the good ones.
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let rest = self.channels - place;
                channels.swap(place, place + (dice >> 33) as usize % rest);
            }
            channels.truncate(self.channels_each);
            channels
        };
        (0..self.subscribers).map(draw).collect()
    }
}
