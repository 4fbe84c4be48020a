//! `check-reader`: subscribers in a process of their own, so that a signal stops only them; and the driver's hold on it.
//!
//! Reader: its one thread, and one that waits for the driver's word. Driver: the main thread, for a reader ends with the thread
//! that started it. Must not outlive its driver. Invariant: a reader says `ready`, is told `end <ns>`, answers one report.

use super::CheckArguments;
use super::expected::Expected;
use super::group::{End, Group, pause_ns};
use super::plan::{PlanArguments, Role};
use super::report::Report;
use crate::clock;
use clap::Args;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

const READY: &str = "ready";

/// Which subscribers, and where.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReaderArguments {
    /// The server's subscriber listener
    #[arg(long)]
    to: SocketAddr,
    /// The folder that says what is expected
    #[arg(long)]
    spool: PathBuf,
    /// Whose part in the check these subscribers have
    #[arg(long, value_enum)]
    role: Role,
    /// Which of the role's subscribers, one in `parts`
    #[arg(long)]
    part: usize,
    /// Readers that share the role
    #[arg(long)]
    parts: usize,
    /// Seconds from the feed's end to the last values
    #[arg(long)]
    last_within: f64,
    #[command(flatten)]
    plan: PlanArguments,
}

/// The `check-reader` tool.
pub(crate) fn main(arguments: &ReaderArguments) -> io::Result<()> {
    // A reader that is stopped could not see its driver go.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let expected = Arc::new(Expected::open(&arguments.spool)?);
    let role = arguments.role;
    let numbers = arguments.plan.numbers(role).skip(arguments.part).step_by(arguments.parts);
    let times_ns = (pause_ns(role), clock::seconds(arguments.last_within));
    let mut group = Group::new(&arguments.plan, numbers, arguments.to, expected, times_ns)?;
    group.gather()?;
    println!("{READY}");
    io::stdout().flush()?;
    let end = Arc::new(End::new(0));
    let told = Arc::clone(&end);
    thread::spawn(move || told.store(wait_for_end(), Relaxed));
    let report = group.run(&end)?;
    println!("{}", serde_json::to_string(&report)?);
    io::stdout().flush()
}

/// When the feed ended. A driver that is gone ended it at the beginning of time, and kills the reader.
fn wait_for_end() -> u64 {
    let mut line = String::new();
    // No line and a bad one are the same: nobody is there to be told.
    let _ = io::stdin().lock().read_line(&mut line);
    line.trim().strip_prefix("end ").and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A reader's process.
pub(crate) struct Reader {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) role: Role,
}

impl Reader {
    /// Starts one of the readers of a role.
    pub(crate) fn start(
        to: SocketAddr,
        spool: &Path,
        role: Role,
        part: (usize, usize),
        check: &CheckArguments,
    ) -> io::Result<Self> {
        let plan = &check.plan;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("check-reader").arg("--spool").arg(spool).args([
            "--to",
            &to.to_string(),
            "--role",
            role.name(),
        ]);
        command.args(["--part", &part.0.to_string(), "--parts", &part.1.to_string()]);
        command.args(["--subscribers", &plan.subscribers.to_string(), "--seed", &plan.seed.to_string()]);
        command.args(["--channels-each", &plan.channels_each.to_string()]);
        command.args(["--last-within", &check.last_within.to_string()]);
        if plan.plain_depth {
            command.arg("--plain-depth");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Ok(Self { child, input, output: BufReader::new(output), role }),
            _ => Err(io::Error::other("a reader has no pipes")),
        }
    }

    /// Waits until all of its subscribers are subscribed.
    pub(crate) fn wait_until_ready(&mut self) -> io::Result<()> {
        match self.line()?.as_str() {
            READY => Ok(()),
            other => Err(io::Error::other(format!("a {} reader said {other:?}", self.role.name()))),
        }
    }

    /// Stops or continues its process.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Tells it when the feed ended, ns.
    pub(crate) fn tell_end(&mut self, end_ns: u64) -> io::Result<()> {
        writeln!(self.input, "end {end_ns}")?;
        self.input.flush()
    }

    /// What its subscribers saw.
    pub(crate) fn report(&mut self) -> io::Result<Report> {
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::other(format!("a {} reader ended", self.role.name())));
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
