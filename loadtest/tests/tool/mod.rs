//! The load tools as processes, for tests that read what they print.
//!
//! Must not wait by the clock: each step follows a printed line. Invariant: a tool ends with its test.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A tool that is ended with the test.
pub(crate) struct Tool {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tool {
    pub(crate) fn start(arguments: &str) -> Self {
        Self::start_program(env!("CARGO_BIN_EXE_loadtest"), arguments)
    }

    /// Starts any program from the repository's root, as the load test does.
    pub(crate) fn start_program(program: &str, arguments: &str) -> Self {
        let mut child = Command::new(program)
            .args(arguments.split_whitespace())
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let output = child.stdout.take().expect("its output is piped");
        Self { child, lines: BufReader::new(output).lines() }
    }

    /// The next line that begins with `start`.
    pub(crate) fn line(&mut self, start: &str) -> String {
        let mut lines = self.lines.by_ref().map(|line| line.expect("text"));
        lines.find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no line began with {start}"))
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // Asked and not killed: a tool may hold a daemon and a folder.
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// A peer and its two addresses.
pub(crate) fn addresses(mut peer: Tool) -> (Tool, String, String) {
    let subscribers = peer.line("listening subscribers ")["listening subscribers ".len()..].to_owned();
    let ingest = peer.line("listening ingest ")["listening ingest ".len()..].to_owned();
    (peer, subscribers, ingest)
}

/// A swarm whose connections are all subscribed.
pub(crate) fn swarm(to: &str, rest: &str) -> Tool {
    let mut swarm = Tool::start(&format!("swarm --to {to} --wait 20 --warmup 0 {rest}"));
    swarm.line("swarm: ");
    swarm
}
