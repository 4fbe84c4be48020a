//! Who subscribes to what, and how each behaves: decided by the seed and a subscriber's number alone.
//!
//! Pure. Must not depend on the process that asks: driver and readers come to the same plan. Invariant: a channel that a
//! subscriber gets is named in its wish or matches one of its patterns.

use clap::{Args, ValueEnum};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// What a fifth of the subscribers does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Reads what comes.
    Healthy,
    /// Its process is stopped and continued.
    Stopped,
    /// Reads 20 KB a second.
    Slow,
    /// Hangs up, and comes back to resume.
    Returning,
    /// Chose a rate.
    Rated,
}

impl Role {
    /// In the order in which tables tell them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Healthy, Self::Stopped, Self::Slow, Self::Returning, Self::Rated];

    /// As it is named in arguments and tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Stopped => "stopped",
            Self::Slow => "slow",
            Self::Returning => "returning",
            Self::Rated => "rated",
        }
    }
}

/// What the plan is made from.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlanArguments {
    /// Subscribers, a fifth of each role
    #[arg(long, default_value_t = 500)]
    pub(crate) subscribers: usize,
    /// Channels each subscribes to
    #[arg(long, default_value_t = 3)]
    pub(crate) channels_each: usize,
    /// Everything random follows from it
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Deliver depth diffs whole instead of merging them
    #[arg(long)]
    pub(crate) plain_depth: bool,
}

/// What one subscriber asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) role: Role,
    /// Channels by name.
    pub(crate) channels: Vec<usize>,
    pub(crate) patterns: Vec<String>,
    /// 0: every change.
    pub(crate) every_ms: u64,
}

impl PlanArguments {
    /// Subscribers of a role, by number.
    pub(crate) fn numbers(&self, role: Role) -> impl Iterator<Item = usize> {
        let place = Role::ALL.iter().position(|other| *other == role).unwrap_or(0);
        (place..self.subscribers).step_by(Role::ALL.len())
    }

    /// A subscriber's own random numbers.
    pub(crate) fn random(&self, number: usize) -> Rng {
        Rng::with_seed(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number as u64)
    }

    /// What subscriber `number` asks for, of channels with these names.
    pub(crate) fn wish(&self, number: usize, names: &[String]) -> Wish {
        let mut random = self.random(number);
        let role = Role::ALL[number % Role::ALL.len()];
        if role == Role::Rated {
            return self.rated_wish(&mut random, names);
        }
        let mut channels = random.choose_multiple(0..names.len(), self.channels_each);
        channels.sort_unstable();
        Wish { role, channels, patterns: Vec::new(), every_ms: 0 }
    }

    /// By name what takes a rate; or by patterns, where a rate passes over what does not.
    fn rated_wish(&self, random: &mut Rng, names: &[String]) -> Wish {
        let every_ms = [100, 250, 1000][random.usize(..3)];
        let conflatable =
            (0..names.len()).filter(|channel| is_conflatable(&names[*channel], self.plain_depth));
        let mut wish = Wish { role: Role::Rated, channels: Vec::new(), patterns: Vec::new(), every_ms };
        match random.choice(names) {
            Some(name) if random.u8(..3) == 0 => wish.patterns.push(pattern_for(name, random)),
            _ => wish.channels = random.choose_multiple(conflatable, self.channels_each),
        }
        wish.channels.sort_unstable();
        wish
    }
}

/// Whether a channel takes a rate.
pub(crate) fn is_conflatable(name: &str, plain_depth: bool) -> bool {
    match name.split_once('@') {
        Some((_, "bookTicker")) => true,
        Some((_, "depth")) => !plain_depth,
        _ => false,
    }
}

/// The server's rules for a tape's kinds.
pub(crate) fn delivery(plain_depth: bool) -> String {
    let latest = r#"{kind="bookTicker",delivery="latest"}"#;
    let merge = r#",{kind="depth",merge="binance-depth"}"#;
    format!("delivery=[{latest}{}]", if plain_depth { "" } else { merge })
}

/// A pattern that matches `name` and few others.
fn pattern_for(name: &str, random: &mut Rng) -> String {
    let (symbol, kind) = name.split_once('@').unwrap_or((name, ""));
    if random.bool() {
        return format!("{symbol}@*");
    }
    let venue = symbol.split_once(':').map_or("", |(venue, _)| venue);
    format!("{venue}*@{kind}")
}

impl Wish {
    /// Whether a channel comes to who wished this.
    pub(crate) fn includes(&self, channel: usize, name: &str) -> bool {
        self.channels.contains(&channel) || self.patterns.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether a name matches a pattern: `*` is any run of characters on either side of the first `@`.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.split_once('@'), name.split_once('@')) {
        (Some((symbols, kinds)), Some((symbol, kind))) => glob(symbols, symbol) && glob(kinds, kind),
        _ => false,
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && glob(tail, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_on_each_side_alone() {
        for (pattern, name) in
            [("*@trade", "btc@trade"), ("b*c@*", "btc@depth@100ms"), ("*@*", "a@b"), ("v:*@x", "v:a@x")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*@trade", "btc@trades"), ("*trade", "btc@trade"), ("b*@x", "ab@x"), ("a@b", "a@bc")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_fifth_has_each_role_and_a_seed_decides() {
        let names: Vec<String> = ["bookTicker", "trade", "depth"]
            .iter()
            .flat_map(|kind| (0..4).map(move |n| format!("v:{n}@{kind}")))
            .collect();
        let plan = PlanArguments { subscribers: 100, channels_each: 3, seed: 5, plain_depth: true };
        for role in Role::ALL {
            assert_eq!(plan.numbers(role).count(), 20);
            for number in plan.numbers(role) {
                let wish = plan.wish(number, &names);
                assert_eq!(wish, plan.wish(number, &names));
                assert_eq!(wish.role, role);
                assert_eq!(wish.every_ms > 0, role == Role::Rated);
                let channels = (0..names.len()).filter(|channel| wish.includes(*channel, &names[*channel]));
                assert!(channels.count() > 0);
                let rated = role == Role::Rated;
                assert!(
                    wish.channels.iter().all(|channel| !rated || names[*channel].ends_with("@bookTicker"))
                );
            }
        }
    }
}
