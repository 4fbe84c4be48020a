//! Peers that are daemons of Debian packages: configured in a folder of their own, started, watched, ended.
//!
//! A process of its own, on one thread; it sleeps while the daemon works. Must not stand between the daemon and
//! its clients. Invariant: when this process ends, the daemon has ended and its folder is gone; killed, it takes
//! the daemon along.
//!
//! None of them can be asked for port 0 and for the port that it got. Two free ports are found by binding and
//! letting go again: somebody else could take one in between, and then the daemon ends with an error that is told.

mod config;

use clap::{Args, ValueEnum};
use config::{Folder, Ports};
use rustix::process::{
    Pid, Resource, Signal, getrlimit, kill_process, set_parent_process_death_signal, setrlimit,
};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long both ports may take to accept.
const UP_WITHIN: Duration = Duration::from_secs(15);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// How long the daemon may take to end; then it is killed. Less than whoever ends us allows.
const DOWN_WITHIN: Duration = Duration::from_secs(4);
/// What is kept of the daemon's standard error.
const LAST_LINES_MAX: usize = 3;
/// Where Debian has daemons, which is not in everybody's path.
const SYSTEM_PROGRAMS: &str = "/usr/sbin";

/// Which daemon.
#[derive(Debug, Clone, Args)]
pub(crate) struct DaemonArguments {
    #[arg(value_enum)]
    daemon: Daemon,
}

/// The daemons that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Daemon {
    /// nats-server with its WebSocket
    Nats,
    /// nginx with the module nchan
    Nchan,
    /// mosquitto with its WebSocket
    Mosquitto,
}

/// A program and its arguments.
#[derive(Debug, Clone, Args)]
pub(crate) struct WithParentArguments {
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// The `with-parent` tool: becomes the program, which the kernel ends with the process that started this one.
pub(crate) fn with_parent(arguments: &WithParentArguments) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let program = &arguments.words[0];
    let become_it = |path: &str| std::process::Command::new(path).args(&arguments.words[1..]).exec();
    let mut error = become_it(program);
    if error.kind() == io::ErrorKind::NotFound {
        error = become_it(&format!("{SYSTEM_PROGRAMS}/{program}"));
    }
    Err(io::Error::new(error.kind(), format!("{program}: {error}")))
}

/// The `daemon` tool. Why it failed is told on standard output too, where whoever waits for addresses reads.
pub(crate) fn main(arguments: &DaemonArguments) -> io::Result<()> {
    let done = hold(arguments.daemon);
    if let Err(error) = &done {
        println!("failed {error}");
    }
    done
}

/// Starts the daemon and returns when it has ended.
fn hold(daemon: Daemon) -> io::Result<()> {
    raise_open_files()?;
    let folder = Folder::new()?;
    let ports = Ports::free()?;
    let command = daemon.command(&folder, ports)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(command, ports))
}

/// As many open files as the process may have: every subscriber is one.
fn raise_open_files() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Starts the daemon, announces it, and ends it when asked to. An error if it ends by itself.
async fn supervise(words: Vec<String>, ports: Ports) -> io::Result<()> {
    let mut end = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let name = words[0].clone();
    let (mut child, lines) = start(&words)?;
    let running = async {
        timeout(UP_WITHIN, ports_accept(ports)).await.map_err(|_| silent(&name))?;
        announce(ports)?;
        std::future::pending::<io::Result<()>>().await
    };
    tokio::select! {
        status = child.wait() => return Err(ended(&name, status?, lines).await),
        failed = running => { stop(&mut child).await?; return failed; }
        _ = end.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop(&mut child).await
}

fn start(words: &[String]) -> io::Result<(Child, JoinHandle<VecDeque<String>>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("with-parent")
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stderr = child.stderr.take().ok_or_else(|| io::Error::other("no standard error"))?;
    Ok((child, tokio::spawn(last_lines(stderr))))
}

/// Reads to the end, so that the daemon never waits for a reader, and keeps the last lines.
async fn last_lines(stderr: ChildStderr) -> VecDeque<String> {
    let (mut reader, mut kept) = (BufReader::new(stderr), VecDeque::new());
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line).await, Ok(bytes) if bytes > 0) {
        if kept.len() == LAST_LINES_MAX {
            kept.pop_front();
        }
        kept.push_back(String::from_utf8_lossy(&line).trim().to_owned());
        line.clear();
    }
    kept
}

async fn ports_accept(ports: Ports) {
    for address in [ports.subscribers, ports.ingest] {
        while TcpStream::connect(address).await.is_err() {
            sleep(ASK_AGAIN_AFTER).await;
        }
    }
}

fn announce(ports: Ports) -> io::Result<()> {
    println!("listening subscribers {}\nlistening ingest {}", ports.subscribers, ports.ingest);
    io::stdout().flush()
}

fn silent(name: &str) -> io::Error {
    io::Error::other(format!("{name} did not listen within {} s", UP_WITHIN.as_secs()))
}

async fn ended(name: &str, status: ExitStatus, lines: JoinHandle<VecDeque<String>>) -> io::Error {
    // A worker that outlives its master may hold the pipe open; then nothing is quoted.
    let said = timeout(DOWN_WITHIN, lines).await;
    let said = said.ok().and_then(Result::ok).map(|lines| Vec::from(lines).join(" | ")).unwrap_or_default();
    io::Error::other(format!("{name} ended ({status}): {said}"))
}

/// Asks the daemon to end, by its process id, and kills it if it does not.
async fn stop(child: &mut Child) -> io::Result<()> {
    if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid as i32)) {
        kill_process(pid, Signal::TERM)?;
    }
    match timeout(DOWN_WITHIN, child.wait()).await {
        Ok(status) => status.map(|_| ()),
        Err(_) => child.kill().await,
    }
}
