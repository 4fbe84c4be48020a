//! A server under test: started on its own core, watched through `/proc`, stopped at the end.
//!
//! Used by the driver's thread; one more thread drains the server's output. Must not talk to the server.
//! Invariant: a server that was started is stopped, whatever happens in between.

use crate::clock;
use crate::process_tree;
pub(crate) use crate::process_tree::Usage;
use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

const LISTENING_WITHIN: Duration = Duration::from_secs(20);
const STOPPED_WITHIN_NS: u64 = 5_000_000_000;

/// Binds the calling thread, and what it starts from now on, to `core`.
pub(crate) fn pin_to(core: usize) -> io::Result<()> {
    pin_to_all(&[core])
}

fn pin_to_all(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        if *core >= CpuSet::MAX_CPU {
            return Err(io::Error::other(format!("there is no core {core}")));
        }
        set.set(*core);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// The cores that the calling thread may use: before it is bound, those of the machine.
pub(crate) fn cores() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// The cores of a measurement.
#[derive(Debug, Clone, Args)]
pub(crate) struct Cores {
    /// The server's core, or cores: 0 or 0,2,3
    #[arg(long, alias = "server-core", value_delimiter = ',', default_values_t = [0], num_args = 1)]
    pub(crate) server_cores: Vec<usize>,
    /// The core of the load tool: subscribers and feed
    #[arg(long, default_value_t = 1)]
    pub(crate) tools_core: usize,
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Where subscribers connect.
    pub(crate) subscribers: SocketAddr,
    /// Where the feed connects.
    pub(crate) ingest: SocketAddr,
    /// Where its metrics are, of a server that was asked for it.
    pub(crate) admin: Option<SocketAddr>,
    /// How many cores it has.
    pub(crate) cores: usize,
}

/// Where a server said that it listens, so far.
#[derive(Default)]
struct Listening {
    subscribers: Option<SocketAddr>,
    ingest: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Server {
    /// Starts `command` on `cores` and waits until it has said where it listens: for metrics too, where it was asked to.
    pub(crate) fn start(command: &[String], cores: &[usize]) -> io::Result<Self> {
        let has_admin = command.iter().any(|word| word == "--admin-listen");
        Self::start_until(command, Some(cores), |server| {
            server.subscribers.is_some() && server.ingest.is_some() && (server.admin.is_some() || !has_admin)
        })
    }

    /// Starts `command` on whatever core, and waits until it has said all of its addresses, the admin listener's included.
    pub(crate) fn start_with_admin(command: &[String]) -> io::Result<Self> {
        let said = |server: &Listening| {
            server.subscribers.is_some() && server.ingest.is_some() && server.admin.is_some()
        };
        Self::start_until(command, None, said)
    }

    fn start_until(
        command: &[String],
        cores: Option<&[usize]>,
        is_up: impl Fn(&Listening) -> bool,
    ) -> io::Result<Self> {
        let mut child = spawn_on(command, cores)?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        let stopping = Stopping(Some(child));
        let roles = listen_to(output);
        let mut listening = Listening::default();
        while !is_up(&listening) {
            let said = roles.recv_timeout(LISTENING_WITHIN);
            let (role, address) =
                said.map_err(|error| not_listening(command, error))?.map_err(io::Error::other)?;
            match role.as_str() {
                "subscribers" => listening.subscribers = Some(address),
                "ingest" => listening.ingest = Some(address),
                "admin" => listening.admin = Some(address),
                _ => {}
            }
        }
        match (stopping.into_inner(), listening) {
            (Some(child), Listening { subscribers: Some(subscribers), ingest: Some(ingest), admin }) => {
                let cores =
                    cores.map_or_else(|| self::cores().map(|all| all.len()), |cores| Ok(cores.len()))?;
                Ok(Self { child, subscribers, ingest, admin, cores })
            }
            _ => Err(io::Error::other("the server has no addresses")),
        }
    }

    /// CPU so far, of the server and of all that it started.
    pub(crate) fn usage(&self) -> Usage {
        process_tree::usage(self.child.id())
    }

    /// Resident bytes, of the server and of all that it started.
    pub(crate) fn resident_bytes(&self) -> u64 {
        process_tree::resident_bytes(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// A child that is stopped unless it is taken out.
struct Stopping(Option<Child>);

impl Stopping {
    fn into_inner(mut self) -> Option<Child> {
        self.0.take()
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            stop(child);
        }
    }
}

/// Asks the process to end, waits, and ends it. Nothing is left to do where one of these fails.
fn stop(child: &mut Child) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        let _ = kill_process(pid, Signal::TERM);
        if let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) {
            let mut watched = [PollFd::new(&process, PollFlags::IN)];
            let _ = poll(&mut watched, Some(&clock::timespec(STOPPED_WITHIN_NS)));
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// A process inherits the cores of the thread that starts it.
fn spawn_on(command: &[String], cores: Option<&[usize]>) -> io::Result<Child> {
    thread::scope(|scope| {
        scope
            .spawn(|| {
                cores.map_or(Ok(()), pin_to_all)?;
                Command::new(&command[0])
                    .args(&command[1..])
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .spawn()
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", command.join(" "))))
            })
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the starting thread panicked")))
    })
}

/// The whole command line is named: several servers are the same program with another script.
fn not_listening(command: &[String], error: RecvTimeoutError) -> io::Error {
    let what = match error {
        RecvTimeoutError::Timeout => format!("did not listen within {} s", LISTENING_WITHIN.as_secs()),
        RecvTimeoutError::Disconnected => "ended before it listened".to_owned(),
    };
    io::Error::other(format!("{}: {what}", command.join(" ")))
}

/// Reads the server's output to its end, so that it never waits for a reader, and passes its addresses on.
fn listen_to(output: ChildStdout) -> Receiver<Said> {
    let (sender, receiver) = sync_channel(8);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(said) = parse_said(&line) {
                // Full or closed: nobody waits for addresses any more.
                let _ = sender.try_send(said);
            }
        }
    });
    receiver
}

/// A role and its address, or why the server cannot start.
type Said = Result<(String, SocketAddr), String>;

fn parse_said(line: &str) -> Option<Said> {
    if let Some(why) = line.strip_prefix("failed ") {
        return Some(Err(why.to_owned()));
    }
    let (role, address) = line.strip_prefix("listening ")?.split_once(' ')?;
    Some(Ok((role.to_owned(), address.trim().parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_what_a_server_prints() {
        let parsed = parse_said("listening ingest 127.0.0.1:9002");
        assert_eq!(parsed, Some(Ok(("ingest".to_owned(), "127.0.0.1:9002".parse().expect("an address")))));
        assert_eq!(parse_said("listening ingest somewhere"), None);
        assert_eq!(parse_said("ready"), None);
        assert_eq!(parse_said("failed no such program"), Some(Err("no such program".to_owned())));
    }

    #[test]
    fn a_server_that_does_not_start_is_an_error_that_names_it() {
        let error = |line: &str| {
            let command: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            Server::start_with_admin(&command).err().expect("nothing listens").to_string()
        };
        assert_eq!(error("true some/peer.js"), "true some/peer.js: ended before it listened");
        let said = error("no-such-program some/peer.js");
        assert!(said.starts_with("no-such-program some/peer.js: "), "{said}");
    }
}
