//! The measurements of a sweep, server by server, round by round.
//!
//! The driver's thread. Must not compare or draw. Invariant: each measurement that was begun is a row, also where it
//! failed; a server that is left out from then on has a row that says so.

use super::row::{Figures, Row, State};
use super::saturation::{DISTURBED, Saturation, Tried, Worth};
use super::sweep::{Setting, fan_out};
use crate::scenario::Scenario;
use crate::step::{self, Step, StepOptions};
use crate::swarm::share;
use crate::target::Target;
use crate::verdict::Verdict;
use std::io;

/// Loads that are tried for one measurement at saturation, at most.
const TRIES_MAX: u32 = 4;
/// Share of the time in which something else may have the server's core before a measurement is disturbed.
pub(super) const ROBBED_MAX: f64 = 0.1;
/// A server that failed so often in a row is left out of the rest of its sweep.
const FAILURES_MAX: u32 = 2;

/// A server in a sweep.
pub(super) struct Runner {
    pub(super) target: Target,
    failures: u32,
    saturation: Saturation,
}

impl Runner {
    /// One that has not failed yet.
    pub(super) fn new(target: Target) -> Self {
        Self { target, failures: 0, saturation: Saturation::new() }
    }

    /// Whether it takes part still.
    pub(super) fn runs(&self) -> bool {
        self.failures < FAILURES_MAX
    }

    /// The row of a measurement, taken or failed.
    pub(super) fn row(&mut self, at: f64, round: u32, measured: io::Result<(Figures, State, String)>) -> Row {
        let (figures, state, why) = match measured {
            Ok(measured) => {
                self.failures = 0;
                measured
            }
            Err(error) => {
                self.failures += 1;
                let last = if self.runs() { "" } else { "; left out from here on" };
                (Figures::default(), State::Failed, format!("failed: {error}{last}"))
            }
        };
        let row = Row { server: self.target.name.clone(), at, round, figures, state, why };
        println!("  {}", row.line());
        row
    }
}

/// Rising loads of one scenario; a server leaves when it failed, or when most rounds did not hold.
pub(super) fn by_load(
    loads: &[f64],
    scenario: &Scenario,
    runners: &mut [Runner],
    repeat: u32,
    options: &StepOptions,
) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut runs = vec![true; runners.len()];
    for load in loads {
        let before = rows.len();
        for round in 0..repeat {
            for (runner, _) in runners.iter_mut().zip(&runs).filter(|(runner, runs)| **runs && runner.runs())
            {
                let measured = at_load(*load, scenario, &runner.target, options);
                rows.push(runner.row(*load, round, measured));
            }
        }
        for (runner, runs) in runners.iter().zip(&mut runs) {
            let mine = rows[before..].iter().filter(|row| row.server == runner.target.name);
            let sound = mine.filter(|row| row.state == State::Sound).count();
            *runs &= sound * 2 > repeat as usize;
        }
    }
    rows
}

fn at_load(
    load: f64,
    scenario: &Scenario,
    target: &Target,
    options: &StepOptions,
) -> io::Result<(Figures, State, String)> {
    let step = step::measure(scenario, load / fan_out(scenario), target, options)?;
    let (state, why) = match step.verdict {
        Verdict::None => (State::Sound, String::new()),
        Verdict::Server | Verdict::Unexplained if is_disturbed(&step) => {
            (State::Doubtful, DISTURBED.to_owned())
        }
        Verdict::Server | Verdict::Unexplained => {
            (State::NotHeld, format!("not held; saturated: {}", step.verdict))
        }
        Verdict::Swarm | Verdict::Feed | Verdict::ServerAndSwarm => {
            (State::Doubtful, format!("not held; saturated: {}", step.verdict))
        }
    };
    Ok((figures(&step, load), state, why))
}

fn is_disturbed(step: &Step) -> bool {
    step.server_robbed > ROBBED_MAX
}

/// Each setting at saturation.
pub(super) fn saturated(
    settings: &[Setting],
    runners: &mut [Runner],
    repeat: u32,
    options: &StepOptions,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for setting in settings {
        for round in 0..repeat {
            for runner in runners.iter_mut().filter(|runner| runner.runs()) {
                let measured = at_saturation(setting, runner, options);
                rows.push(runner.row(setting.at, round, measured));
            }
        }
    }
    rows
}

fn at_saturation(
    setting: &Setting,
    runner: &mut Runner,
    options: &StepOptions,
) -> io::Result<(Figures, State, String)> {
    let options = StepOptions { bytes: setting.payload_bytes.unwrap_or(options.bytes), ..options.clone() };
    let target = with_shards(&runner.target, setting.shards);
    let mut tries = 0;
    loop {
        tries += 1;
        let offered = runner.saturation.offered();
        let step = step::measure(&setting.scenario, offered / fan_out(&setting.scenario), &target, &options)?;
        let measured = figures(&step, offered);
        match runner.saturation.tell(tried(&step, offered)) {
            Worth::Sound => return Ok((measured, State::Sound, String::new())),
            Worth::Doubtful(why) => return Ok((measured, State::Doubtful, why.to_owned())),
            Worth::Again(why) if tries == TRIES_MAX => {
                return Ok((measured, State::Doubtful, why.to_owned()));
            }
            Worth::Again(_) => {}
        }
    }
}

fn tried(step: &Step, offered: f64) -> Tried {
    Tried {
        offered,
        carried: step.swarm.deliveries_rate(),
        arrived_share: share(step.swarm.arrived_total, step.due_total),
        closed: step.swarm.closed,
        is_disturbed: is_disturbed(step),
        verdict: step.verdict,
    }
}

fn figures(step: &Step, offered: f64) -> Figures {
    let arrived = step.swarm.deliveries_rate();
    Figures {
        offered,
        arrived,
        frames_a_read: step.swarm.frames_a_read,
        cpu_ns: if arrived > 0.0 { step.server_ns_a_delivery() } else { 0.0 },
        p50_us: step.swarm.latency.p50 as f64 / 1e3,
        p99_us: step.swarm.latency.p99 as f64 / 1e3,
        server_cpu: step.server_cpu,
        server_waited: step.server_waited,
        tools_cpu: step.swarm.cpu_share + step.feed_cpu,
    }
}

/// The same server with as many shards.
fn with_shards(target: &Target, shards: Option<usize>) -> Target {
    let mut target = target.clone();
    let at = target.command.iter().position(|word| word == "--shards");
    if let (Some(shards), Some(at)) = (shards, at)
        && let Some(value) = target.command.get_mut(at + 1)
    {
        *value = shards.to_string();
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_put_into_the_command() {
        let target = Target::named("server --shards 1 --listen x").expect("a command");
        assert_eq!(with_shards(&target, Some(4)).command, ["server", "--shards", "4", "--listen", "x"]);
        assert_eq!(with_shards(&target, None).command, target.command);
    }

    #[test]
    fn a_server_that_fails_twice_is_left_out_and_its_row_says_so() {
        let mut runner = Runner::new(Target::named("nothing").expect("a command"));
        let mut fail = || {
            let row = runner.row(1.0, 0, Err(io::Error::other("no such program")));
            (row.state, row.why, runner.runs())
        };
        assert_eq!(fail(), (State::Failed, "failed: no such program".to_owned(), true));
        assert_eq!(
            fail(),
            (State::Failed, "failed: no such program; left out from here on".to_owned(), false)
        );
    }
}
