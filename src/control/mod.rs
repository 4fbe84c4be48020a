//! Control: arguments, configuration, admin listener, metrics, shutdown; and the program's `main`.
//!
//! The process's first thread, until a command runs. It decides nothing for a stage: it fills each stage's `Options`
//! and reads its `Stats`. Invariant: no stage names `control`.

use std::process::ExitCode;

use clap::Parser;

pub mod admin;
mod args;
mod commands;
pub mod config;
mod log;
pub mod metrics;
mod shutdown;
mod subscribers;

use args::{Args, Command};
use config::Problems;

/// Runs the program: 0 is done, 1 failed while running, 2 was asked for something that cannot be.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Fails when nobody reads stderr any more: the exit code still tells.
            let _ = error.print();
            return if error.use_stderr() { Failure::Told.tell() } else { ExitCode::SUCCESS };
        }
    };
    match run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let _writes_what_waits = log::start().map_err(Failure::Usage)?;
    match command {
        Command::Serve(serve) => commands::serve(&serve),
        Command::Demo(demo) => commands::demo(&demo),
        Command::Simulate(simulate) => commands::simulate(simulate),
        Command::Replay(replay) => commands::replay(replay),
        Command::Tail(tail) => commands::tail(tail),
        Command::Check { file } => commands::check(&file),
    }
}

/// How a command may fail; its text says what to do.
enum Failure {
    /// Something that was asked for cannot be: mend the command line, the environment or the configuration.
    Usage(String),
    /// As `Usage`, and the command has told it already.
    Told,
    /// It ran, and something outside failed.
    Running(String),
}

impl Failure {
    /// Tells it on stderr, unless it was told, and gives the exit code.
    fn tell(&self) -> ExitCode {
        let (text, code) = match self {
            Self::Usage(text) => (text.as_str(), ExitCode::from(2)),
            Self::Running(text) => (text.as_str(), ExitCode::FAILURE),
            Self::Told => return ExitCode::from(2),
        };
        for line in text.lines() {
            eprintln!("tapecast: {line}");
        }
        code
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Usage(problems.to_string())
    }
}
