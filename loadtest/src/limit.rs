//! The highest rate that a server holds in a scenario.
//!
//! The driver's thread. Must not compare servers. Invariant: the step that is told was held; what it held
//! against is the verdict on the last one that was not.

use crate::scenario::Scenario;
use crate::search::{Pace, Search};
use crate::step::{self, Step, StepOptions};
use crate::target::Target;
use crate::verdict::Verdict;
use clap::Args;
use std::io;

/// How long to search.
#[derive(Debug, Clone, Args)]
pub(crate) struct SearchOptions {
    /// Rates that a search tries at most
    #[arg(long, default_value_t = 14)]
    pub(crate) steps: u32,
    /// Tries before a rate counts as not held: a shared machine has bad moments
    #[arg(long, default_value_t = 2)]
    pub(crate) tries: u32,
}

/// Where a search ended.
pub(crate) struct Limit {
    /// The highest rate that was held; `None`: none that was tried.
    pub(crate) best: Option<Step>,
    /// What the last rate that was not held was short of; `None`: each was held, the steps ended.
    pub(crate) beyond: Option<Verdict>,
}

impl Limit {
    /// Whether the load tool ended the search, not the server: the server's limit is higher, nobody knows how much.
    pub(crate) fn is_the_tools(&self) -> bool {
        self.beyond.is_none_or(Verdict::is_the_tools)
    }
}

/// Searches from the scenario's rate on.
pub(crate) fn find(
    scenario: &Scenario,
    target: &Target,
    search: &SearchOptions,
    options: &StepOptions,
) -> io::Result<Limit> {
    find_at(Pace::FROM_AFAR, scenario, target, search, options)
}

/// Searches from the scenario's rate on, at that pace.
pub(crate) fn find_at(
    pace: Pace,
    scenario: &Scenario,
    target: &Target,
    search: &SearchOptions,
    options: &StepOptions,
) -> io::Result<Limit> {
    let mut rates = Search::new(scenario.rate, search.steps, pace);
    let mut limit = Limit { best: None, beyond: None };
    while let Some(rate) = rates.next() {
        let step = try_rate(scenario, rate, target, search.tries, options)?;
        rates.tell(step.held);
        if step.held {
            limit.best = Some(step);
        } else {
            limit.beyond = Some(step.verdict);
        }
    }
    Ok(limit)
}

fn try_rate(
    scenario: &Scenario,
    rate: f64,
    target: &Target,
    tries: u32,
    options: &StepOptions,
) -> io::Result<Step> {
    let mut tried = step::measure(scenario, rate, target, options)?;
    for _ in 1..tries {
        if tried.held {
            break;
        }
        tried = step::measure(scenario, rate, target, options)?;
    }
    Ok(tried)
}
