//! Control: arguments, configuration, admin listener, metrics, shutdown; and the program's `main`.
//!
//! The process's first thread, until a command runs. It decides nothing for a stage: it fills each stage's `Options`
//! and reads its `Stats`. Invariant: no stage names `control`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

pub mod admin;
mod args;
pub mod config;
mod log;
pub mod metrics;
mod shutdown;

use args::{Args, Command};
use config::{Config, Problems};

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
    log::start().map_err(Failure::Usage)?;
    match command {
        Command::Serve(serve) => self::serve(&serve),
        Command::Check { file } => check(&file),
    }
}

fn serve(serve: &args::Serve) -> Result<(), Failure> {
    let config = Config::load(serve.config.as_deref(), &serve.set, serve.flags())?;
    warn_of_open_ingest(&config);
    let shutdown = shutdown::on_signals().map_err(|error| Failure::Running(format!("signals: {error}")))?;
    crate::server::run(config, print_listening, shutdown).map_err(|error| Failure::Running(error.to_string()))
}

fn warn_of_open_ingest(config: &Config) {
    let open = config.ingest.listen.filter(|listen| !listen.ip().is_loopback());
    if let (Some(listen), None) = (open, &config.ingest.token) {
        tracing::warn!(%listen, "anybody who reaches this address may publish; set ingest.token");
    }
}

/// `listening <role> <address>`, for people and for tests that listen on port 0.
fn print_listening(role: &str, address: SocketAddr) {
    // Fails when nobody reads stdout any more, which must not end a server.
    let _ = say(&format!("listening {role} {address}"));
}

fn check(file: &Path) -> Result<(), Failure> {
    let found = Config::from_file(file);
    let text = found.as_ref().map_or_else(Problems::to_string, |_| "ok".to_owned());
    say(&text).map_err(|error| Failure::Running(format!("stdout: {error}")))?;
    found.map(drop).map_err(|_| Failure::Told)
}

fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
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
