//! `versus`: the same scenarios against Tapecast and its peers in turn, as one table.
//!
//! The driver's thread is the swarm's; the feed has one of its own; both are bound to the tools' core, the servers, one at a time, to
//! another. Must not leave a server out: one that cannot be installed, does not start or breaks is a row that says so, and the others go
//! on. Invariant: servers alternate, round by round, so that a ratio is of two measurements that followed each other.

mod budget;
mod case;
mod copy;
mod measure;
mod recording;
mod roof;
mod row;
mod table;
mod versions;

use crate::clock;
use crate::install;
use crate::limit::SearchOptions;
use crate::machine::{Machine, listed};
use crate::server::pin_to;
use crate::spread::Spread;
use crate::step::StepOptions;
use crate::target::Target;
use budget::Budget;
use case::{Case, Which};
use clap::Args;
use copy::Copy;
use roof::Roof;
use row::Row;
use std::fs;
use std::io;
use std::path::PathBuf;

/// What to compare, with whom, and how long.
#[derive(Debug, Clone, Args)]
#[command(mut_arg("seconds", |it| it.default_value("1")), mut_arg("warmup", |it| it.default_value("0.3")))]
#[command(mut_arg("tries", |it| it.default_value("1")))]
pub(crate) struct VersusArguments {
    /// Scenarios, by name
    #[arg(value_enum, default_values = ["hot", "dash", "all", "wide", "quiet", "idle", "burst"])]
    scenarios: Vec<Which>,
    /// The server that ratios are of, as for `run`
    #[arg(long, default_value = "tapecast")]
    server: String,
    /// Its peers, by name or command line
    #[arg(long, value_delimiter = ',', default_value = "bare,bun,ws,socketio,nchan,nats,mosquitto,obvious")]
    peers: Vec<String>,
    /// Rounds over all servers, as far as the time allows; one at least
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Rounds of the scenario `quiet`
    #[arg(long, default_value_t = 5)]
    quiet_rounds: u32,
    /// Minutes for all of it: rounds that would go beyond are left out, and the table says how many were run
    #[arg(long, default_value_t = 38.0)]
    minutes: f64,
    /// Folder for the table (versus.md) and every round (versus.jsonl)
    #[arg(long)]
    out: Option<PathBuf>,
    /// What `burst` plays: newline-delimited JSON, plain or gzip [default: as for the tool `burst`]
    #[arg(long)]
    recording: Option<PathBuf>,
    /// Subscribers [default: the scenario's]
    #[arg(long)]
    subscribers: Option<usize>,
    #[command(flatten)]
    limit: SearchOptions,
    #[command(flatten)]
    step: StepOptions,
}

/// A server, or why there is none.
struct Competitor {
    name: String,
    target: Result<Target, String>,
}

/// The `versus` tool. An error: it could not measure at all, or not write; a server's failure is a row.
pub(crate) fn main(arguments: &VersusArguments) -> io::Result<()> {
    let mut copy = Copy::create(arguments.out.as_deref())?;
    let peers = arguments.peers.iter().filter(|name| !name.is_empty());
    let names: Vec<&String> = std::iter::once(&arguments.server).chain(peers).collect();
    let competitors: Vec<Competitor> = names.iter().map(|name| prepare(name)).collect();
    let versions: Vec<(String, String)> =
        names.iter().map(|name| ((*name).clone(), versions::of(name))).collect();
    let machine = Machine::here();
    copy.run(&machine, &versions)?;
    pin_to(arguments.step.cores.tools_core)?;
    let (rows, roofs) = Versus::new(arguments, &competitors, copy).all()?;
    let mut text = head(&machine, &versions, arguments);
    text.push_str(&table::render(&rows));
    text.push('\n');
    text.push_str(&table::legend(&arguments.server));
    if !roofs.is_empty() {
        text.push('\n');
        text.push_str(&roof::render(&roofs, &arguments.server));
    }
    print!("{text}");
    match &arguments.out {
        Some(folder) => fs::write(folder.join("versus.md"), text),
        None => Ok(()),
    }
}

/// Installs what a server needs and finds its command.
fn prepare(name: &str) -> Competitor {
    eprintln!("versus: {name}: looking for what it needs");
    let target = install::install(name).and_then(|()| Target::named(name)).map_err(|error| error.to_string());
    if let Err(error) = &target {
        eprintln!("versus: {name}: {error}");
    }
    Competitor { name: name.to_owned(), target }
}

/// Method, machine and versions, above the table.
fn head(machine: &Machine, versions: &[(String, String)], arguments: &VersusArguments) -> String {
    let versions: Vec<String> = versions.iter().map(|(name, version)| format!("{name}: {version}")).collect();
    let StepOptions { seconds, warmup, bytes, cores, .. } = &arguments.step;
    format!(
        "    {}\n\n{}; {} cores of {}, Linux {}. Server on core {}, swarm and feed on core {}; payloads of {bytes} \
         bytes; {seconds} s a measurement after {warmup} s. Servers take turns, round by round. A scout finds the neighbourhood of each \
         server's limit and is not counted; a round's search begins where the server's round before ended. Versions: {}.\n\n",
        machine.command,
        machine.date,
        machine.cores,
        machine.processor,
        machine.kernel,
        listed(&cores.server_cores),
        cores.tools_core,
        versions.join("; "),
    )
}

/// A comparison under way.
struct Versus<'a> {
    arguments: &'a VersusArguments,
    competitors: &'a [Competitor],
    copy: Copy,
    budget: Budget,
}

/// A scenario's points under the roof, or its name and why there are none.
type RoofOrError = Result<Roof, (String, String)>;

impl<'a> Versus<'a> {
    fn new(arguments: &'a VersusArguments, competitors: &'a [Competitor], copy: Copy) -> Self {
        let cases = arguments.scenarios.iter().flat_map(|which| which.cases());
        let budget = Budget::new(clock::now_ns(), arguments.minutes, cases.map(Case::weight).sum());
        Self { arguments, competitors, copy, budget }
    }

    /// Every case, one after the other.
    fn all(mut self) -> io::Result<(Vec<Row>, Vec<RoofOrError>)> {
        let (mut rows, mut roofs) = (Vec::new(), Vec::new());
        for case in self.arguments.scenarios.iter().flat_map(|which| which.cases()) {
            let measured = self.case(case)?;
            if let Some(roof) = self.roof(case, &measured) {
                if let Ok(roof) = &roof {
                    self.copy.roof(roof)?;
                }
                roofs.push(roof);
            }
            rows.extend(measured);
        }
        Ok((rows, roofs))
    }

    /// All rounds of one case.
    fn case(&mut self, case: Case) -> io::Result<Vec<Row>> {
        self.budget.begin(case.weight());
        let mut starts = Vec::new();
        let mut rows = Vec::new();
        for competitor in self.competitors {
            let mut row = Row { case, server: competitor.name.clone(), rounds: Vec::new() };
            match self.start(case, competitor) {
                Ok(start) => starts.push(Some(start)),
                Err(error) => {
                    starts.push(None);
                    row.rounds.push(Err(error));
                    self.copy.round(&case.title(), &row.server, 0, &row.rounds[0])?;
                }
            }
            rows.push(row);
        }
        let rounds = match case {
            Case::Quiet => self.arguments.quiet_rounds,
            Case::Burst(_) => 1,
            Case::Limit(_) | Case::Idle => self.arguments.rounds,
        };
        for round in 1..=rounds.max(1) {
            let began_ns = clock::now_ns();
            self.round(round, &mut rows, &mut starts)?;
            let now_ns = clock::now_ns();
            if !self.budget.has_time_for(now_ns, now_ns - began_ns) {
                break;
            }
        }
        Ok(rows)
    }

    /// Where a server's rounds start, records a second: a search is scouted.
    fn start(&self, case: Case, competitor: &Competitor) -> Result<f64, String> {
        let target = competitor.target.as_ref().map_err(Clone::clone)?;
        let Case::Limit(name) = case else { return Ok(0.0) };
        self.tell(case, "scout", &competitor.name);
        let found = measure::scout(name, target, self.arguments);
        found.map_err(|error| self.told(&error))
    }

    /// One round over all servers that can be started and have not failed throughout.
    fn round(&mut self, round: u32, rows: &mut [Row], starts: &mut [Option<f64>]) -> io::Result<()> {
        for ((competitor, row), start) in self.competitors.iter().zip(rows).zip(starts) {
            let (Ok(target), Some(start)) = (&competitor.target, start) else { continue };
            if row.is_given_up() {
                continue;
            }
            self.tell(row.case, &format!("round {round}"), &row.server);
            let outcome = measure::round(row.case, *start, target, self.arguments);
            let outcome = outcome.map_err(|error| self.told(&error));
            if let Ok(sample) = &outcome {
                *start = sample.rate;
            }
            self.copy.round(&row.case.title(), &row.server, round as usize, &outcome)?;
            row.rounds.push(outcome);
        }
        Ok(())
    }

    /// The case beside the roof at the same frames a send, if it is searched and the roof is there.
    fn roof(&self, case: Case, rows: &[Row]) -> Option<RoofOrError> {
        let Case::Limit(name) = case else { return None };
        let roof = self.competitors.iter().skip(1).find(|competitor| competitor.name == table::ROOF)?;
        let rates: Vec<f64> = rows[0].samples().map(|sample| sample.rate).collect();
        let title = case.title();
        let (Ok(ours), Ok(bare)) = (&self.competitors[0].target, &roof.target) else {
            return Some(Err((title, "one of the two is not there".to_owned())));
        };
        let Some(Spread { median: limit, .. }) = Spread::of(&rates) else {
            return Some(Err((title, format!("{} has no limit", self.arguments.server))));
        };
        self.tell(case, "the same frames a send", table::ROOF);
        let measured = roof::measure(name, title.clone(), limit, [ours, bare], self.arguments);
        Some(measured.map_err(|error| (title, self.told(&error))))
    }

    /// Says on standard error what is measured now.
    fn tell(&self, case: Case, what: &str, server: &str) {
        let elapsed = self.budget.elapsed(clock::now_ns());
        eprintln!("[{elapsed} of {} min] {} {what}: {server}", self.arguments.minutes, case.title());
    }

    /// An error in words, said on standard error as well.
    fn told(&self, error: &io::Error) -> String {
        eprintln!("  failed: {error}");
        error.to_string()
    }
}
