//! The check against the real server, short: all roles, and the comparison of books.
//!
//! Each test starts the tool as a user would and reads what it prints. Invariant: the server is the one
//! that was built beside the tool.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Once;

/// Short queues, so that what slow readers are owed at the end is read in seconds; and room for a machine that builds meanwhile.
const SETTINGS: [&str; 6] =
    ["--set", "outbox.bytes_max=65536", "--set", "socket.notsent_lowat_bytes=16384", "--last-within", "5"];

/// The server's program: a test of the whole workspace has just built it, a test of this package alone may have to.
fn program() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_loadtest")).with_file_name("tapecast");
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if !program.is_file() {
            build();
        }
    });
    program
}

fn build() {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "tapecast", "--bin", "tapecast"]);
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo runs").success());
}

/// The recording, where it is.
#[expect(clippy::disallowed_methods, reason = "where the recordings lie is not the program's configuration")]
fn recording() -> Option<PathBuf> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data").to_owned();
    let folder = std::env::var("TAPECAST_DATA").unwrap_or_else(|_| beside());
    let path = PathBuf::from(folder).join("binance_6inst_20240808.jsonl.gz");
    path.is_file().then_some(path)
}

fn check(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.arg("check").arg("--program").arg(program()).args(SETTINGS).args(arguments);
    if let Some(recording) = recording() {
        command.arg("--recording").arg(recording);
    }
    command.output().expect("the check runs")
}

/// What it printed, of a check that found nothing wrong.
fn passed(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = check(arguments);
    let (said, complained) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    println!("{said}{complained}");
    assert!(status.success());
    said.into_owned()
}

/// The number that begins a cell of a role's row.
fn cell(said: &str, role: &str, column: usize) -> u64 {
    let row = said.lines().find(|line| line.starts_with(&format!("| {role} "))).expect("a row");
    let text = row.split('|').nth(column + 1).expect("a column").trim();
    text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn every_step_of_every_subscriber_is_explained() {
    let said =
        passed(&["--subscribers=60", "--seconds=4", "--speed=2", "--stopped-processes=4", "--stop-max=1"]);
    let [subscribers, records, skipped, returns, recovered] = [1, 2, 4, 7, 8];
    for role in ["healthy", "stopped", "slow", "returning", "rated"] {
        assert_eq!(cell(&said, role, subscribers), 12, "{role}");
        assert!(cell(&said, role, records) > 0, "{role}");
    }
    assert!(cell(&said, "rated", skipped) > 0, "a rate skips");
    assert!(cell(&said, "returning", returns) > 0, "somebody came back");
    assert!(cell(&said, "returning", recovered) > 0, "and went on where it was");
}

#[test]
fn the_books_of_slow_readers_are_the_fast_ones() {
    let merged = 5;
    let said = passed(&["--depth", "--seconds=3", "--speed=2"]);
    assert!(cell(&said, "depth", merged) > 0, "something was merged");
}
