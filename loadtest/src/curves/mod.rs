//! `curves`: sweeps, measured and drawn.
//!
//! The driver's thread, on the tools' core. Must not keep figures to itself: each sweep is written as soon as it is
//! measured. Invariant: a picture is drawn from its CSV and nothing else, so `--draw` gives the same one.

mod curve;
mod draw;
mod idle;
mod legend;
mod measure;
mod picture;
mod row;
mod ruler;
mod saturation;
mod scale;
mod sheet;
mod sweep;

use crate::machine::{self, listed};
use crate::scenario::Name;
use crate::server::{cores, pin_to};
use crate::step::StepOptions;
use crate::target::Target;
use clap::{Args, ValueEnum};
use curve::Curve;
use measure::Runner;
use picture::Picture;
use row::Row;
use sheet::Sheet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use sweep::{LOADS, Sweep};

/// What to measure and draw.
#[derive(Debug, Clone, Args)]
pub(crate) struct CurvesArguments {
    /// Curves, by name [default: all]
    #[arg(value_enum)]
    curves: Vec<Curve>,
    /// The server: a known name, or a command line that prints `listening <role> <address>`
    #[arg(long, default_value = "tapecast")]
    server: String,
    /// Others to measure in turn with it, as for --server
    #[arg(long, value_delimiter = ',', default_values_t = ["bare".to_owned(), "bun".to_owned()])]
    peers: Vec<String>,
    /// Where CSV files and pictures go
    #[arg(long, default_value = "loadtest/curves")]
    out: PathBuf,
    /// Only draw the CSV files of this folder again
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    draw: Option<PathBuf>,
    /// Measurements of each point
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Only these settings of a sweep: loads, subscribers, channels, bytes or shards [default: all]
    #[arg(long, value_delimiter = ',')]
    at: Vec<f64>,
    /// What the load sweep subscribes
    #[arg(long, value_enum, default_value_t = Name::Dash)]
    scenario: Name,
    #[command(flatten)]
    step: StepOptions,
}

/// The `curves` tool.
pub(crate) fn main(arguments: &CurvesArguments) -> io::Result<()> {
    let curves = match &arguments.curves[..] {
        [] => Curve::value_variants(),
        named => named,
    };
    match &arguments.draw {
        Some(folder) => draw_again(curves, folder),
        None => measure_all(curves, arguments),
    }
}

fn draw_again(curves: &[Curve], folder: &Path) -> io::Result<()> {
    for curve in curves {
        let file = folder.join(curve.name()).with_extension("csv");
        match fs::read_to_string(&file) {
            Ok(text) => {
                let sheet = Sheet::parse(&text);
                let sheet = sheet
                    .map_err(|error| io::Error::other(format!("{}: {error}", file.to_string_lossy())))?;
                draw(*curve, &sheet, folder)?;
            }
            Err(error) => println!("{}: not drawn: {}: {error}", curve.name(), file.to_string_lossy()),
        }
    }
    Ok(())
}

fn draw(curve: Curve, sheet: &Sheet, folder: &Path) -> io::Result<()> {
    let picture = Picture::of(curve, sheet);
    let svg = draw::svg(&picture).map_err(|error| io::Error::other(error.to_string()))?;
    let file = folder.join(curve.name()).with_extension("svg");
    fs::write(&file, svg)?;
    println!("{}: {}", file.to_string_lossy(), picture.title);
    picture.listing().iter().chain(&picture.notes).for_each(|line| println!("  {line}"));
    Ok(())
}

/// A run of all sweeps: the machine's cores as they were before this thread was bound to one.
struct Machine {
    cores: Vec<usize>,
}

fn measure_all(curves: &[Curve], arguments: &CurvesArguments) -> io::Result<()> {
    let machine = Machine { cores: cores()? };
    pin_to(arguments.step.cores.tools_core)?;
    let names = std::iter::once(&arguments.server).chain(&arguments.peers).filter(|name| !name.is_empty());
    let targets: Vec<Target> = names.map(|name| Target::named(name)).collect::<io::Result<_>>()?;
    fs::create_dir_all(&arguments.out)?;
    for sweep in sweep::sweeps(curves, machine.for_shards(arguments.step.cores.tools_core).len()) {
        measure(&sweep, &targets, &machine, arguments)?;
    }
    Ok(())
}

fn measure(
    sweep: &Sweep,
    targets: &[Target],
    machine: &Machine,
    arguments: &CurvesArguments,
) -> io::Result<()> {
    let step = &arguments.step;
    let mut runners: Vec<Runner> = targets.iter().map(|target| Runner::new(target.clone())).collect();
    match sweep {
        Sweep::Loads(curves) => {
            let loads: Vec<f64> = LOADS.into_iter().filter(|load| arguments.wants(*load)).collect();
            let scenario = arguments.scenario.scenario();
            let rows = measure::by_load(&loads, &scenario, &mut runners, arguments.repeat, step);
            let remark = format!("scenario: {}", arguments.scenario.title());
            curves.iter().try_for_each(|curve| write(*curve, &rows, &[&remark], step, arguments))
        }
        Sweep::Idle(curve) => {
            runners.iter_mut().for_each(|runner| take_many_channels(&mut runner.target));
            let wants = |silent: &f64| arguments.wants(*silent);
            let rows = idle::silent(wants, &mut runners, arguments.repeat, step);
            write(*curve, &rows, &[], step, arguments)
        }
        Sweep::Saturated(curve, settings) => {
            let settings: Vec<_> =
                settings.iter().filter(|setting| arguments.wants(setting.at)).cloned().collect();
            let (step, remarks) = match curve {
                Curve::CostShards => machine.with_all_cores(step, &mut runners),
                _ => (step.clone(), Vec::new()),
            };
            if *curve == Curve::CostChannels {
                runners.iter_mut().for_each(|runner| take_many_channels(&mut runner.target));
            }
            let rows = measure::saturated(&settings, &mut runners, arguments.repeat, &step);
            write(*curve, &rows, &remarks, &step, arguments)
        }
    }
}

/// Writes a curve's CSV and draws it from what was written.
fn write(
    curve: Curve,
    rows: &[Row],
    remarks: &[&str],
    step: &StepOptions,
    arguments: &CurvesArguments,
) -> io::Result<()> {
    let mut sheet = Sheet { rows: rows.to_vec(), ..Sheet::default() };
    sheet.remarks = origin(step);
    sheet.remarks.push(format!(
        "each point: {} times {} s after {} s of load",
        arguments.repeat, step.seconds, step.warmup
    ));
    sheet.remarks.extend(remarks.iter().map(|remark| (*remark).to_owned()));
    fs::write(arguments.out.join(curve.name()).with_extension("csv"), sheet.text())?;
    draw_again(&[curve], &arguments.out)
}

/// Where a sheet comes from; not the machine's name, for a sheet is published.
fn origin(step: &StepOptions) -> Vec<String> {
    let machine::Machine { date, cores, processor, kernel, command } = machine::Machine::here();
    let (server_cores, tools_core) = (listed(&step.cores.server_cores), step.cores.tools_core);
    vec![
        format!("command: target/release/{command}"),
        format!(
            "machine: {cores} cores, {processor}, Linux {kernel}; server on core {server_cores}, swarm and feed on core \
             {tools_core}; loopback"
        ),
        format!("date: {date}"),
    ]
}

impl CurvesArguments {
    fn wants(&self, setting: f64) -> bool {
        self.at.is_empty() || self.at.contains(&setting)
    }
}

impl Machine {
    /// The cores that a server of many shards gets: all but the load tool's, or both where there are two.
    fn for_shards(&self, tools_core: usize) -> Vec<usize> {
        if self.cores.len() <= 2 {
            return self.cores.clone();
        }
        self.cores.iter().copied().filter(|core| *core != tools_core).collect()
    }

    /// Tapecast alone has shards; the others leave.
    fn with_all_cores(
        &self,
        step: &StepOptions,
        runners: &mut Vec<Runner>,
    ) -> (StepOptions, Vec<&'static str>) {
        runners.retain(|runner| runner.target.name == "tapecast");
        let mut remarks = Vec::new();
        if runners.is_empty() {
            remarks.push("Tapecast is not among the servers, and no other has shards.");
        }
        if self.cores.len() <= 2 {
            remarks.push(
                "There are only two cores: the second shard shares its core with the load tool, so what two shards \
                 carry here is less than with cores of their own.",
            );
        }
        let mut step = step.clone();
        step.cores.server_cores = self.for_shards(step.cores.tools_core);
        (step, remarks)
    }
}

/// Tapecast's bound on channels, raised for the sweeps that have more; the peers have none.
fn take_many_channels(target: &mut Target) {
    if target.name == "tapecast" {
        target.command.extend(["--set".to_owned(), "ring.channels_max=262144".to_owned()]);
    }
}
