//! `versus`, `run` and `check-results` as a user starts them, short, over the peers that are within the tool.
//!
//! Asserts the forms that others read: the table's rows, the copy, the summary lines, the exit codes. Must not assert how fast anything
//! is: the machine is shared. Invariant: no test needs a server that this package does not build.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const SHORT: [&str; 8] =
    ["--subscribers", "10", "--seconds", "0.3", "--warmup", "0.1", "--parse-one-in", "2"];

fn tool(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("the tool starts");
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A path for this test alone.
fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()))
}

/// The row that begins so, without its spaces around.
fn row<'a>(table: &'a str, start: &str) -> &'a str {
    table.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no row begins with {start}"))
}

#[test]
fn one_table_has_a_row_for_every_server_whatever_became_of_it() {
    let out = scratch("versus");
    let folder = out.to_str().expect("a path of letters");
    let mut arguments =
        vec!["versus", "hot", "idle", "--server", "bare", "--peers", "no/such/server,obvious"];
    arguments.extend(["--rounds", "1", "--steps", "2", "--minutes", "0", "--out", folder]);
    arguments.extend(SHORT);
    let output = tool(&arguments);
    assert!(output.status.success(), "a server that failed is a row, not the run's end");
    let table = said(&output);
    assert!(table.contains("    loadtest versus hot idle --server bare"), "the command, to be run again");
    for server in ["bare", "obvious"] {
        let columns = row(&table, &format!("| hot | {server} |")).matches('|').count();
        assert_eq!(columns, row(&table, "| scenario |").matches('|').count());
        assert!(!row(&table, &format!("| idle | {server} |")).contains("failed"));
    }
    // On a machine that others keep busy no rate may be held; nothing else may go wrong.
    let hot = row(&table, "| hot | bare |");
    assert!(!hot.contains("failed") || hot.contains("no rate tried was held"), "{hot}");
    for scenario in ["hot", "idle"] {
        let failed = row(&table, &format!("| {scenario} | no/such/server |"));
        assert!(failed.contains("**failed**: no/such/server: No such file"), "{failed}");
    }
    assert_eq!(fs::read_to_string(out.join("versus.md")).expect("a copy of the table"), table);
    let rounds = fs::read_to_string(out.join("versus.jsonl")).expect("every round");
    let lines: Vec<serde_json::Value> =
        rounds.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["kind"], "run");
    let of = |server: &str, key: &str| {
        lines.iter().filter(|line| line["server"] == server && line.get(key).is_some()).count()
    };
    assert_eq!(of("no/such/server", "error"), 2);
    assert_eq!(of("obvious", "resident_bytes_per_connection") + of("obvious", "error"), 2);
    fs::remove_dir_all(out).expect("what the test made");
}

/// A file of ratios, over one command.
fn results(name: &str, rows: &[(&str, &str)]) -> PathBuf {
    let command = "loadtest run idle --server bare --against obvious --repeat 3 --subscribers 50";
    let mut text = "# Results\n\n## Ratios that are checked\n\n\
        | name | command | figure | server / base | ratio | lowest | highest |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for (name, rest) in rows {
        text.push_str(&format!("| {name} | `{command}` | {rest} |\n"));
    }
    let path = scratch(name);
    fs::write(&path, text).expect("a file of ratios");
    path
}

fn check(file: &PathBuf, more: &[&str]) -> Output {
    let path = file.to_str().expect("a path of letters");
    let output = tool(&[&["check-results", "--file", path], more].concat());
    fs::remove_file(file).expect("what the test made");
    output
}

#[test]
fn ratios_that_stand_pass_and_their_command_runs_once() {
    let rows = [
        ("memory", "idle resident bytes a connection | obvious / bare | 5 | 0.001 | 100000"),
        ("the other way", "idle resident bytes a connection | bare / obvious | 0.2 | 0.00001 | 1000"),
    ];
    let output = check(&results("standing", &rows), &[]);
    assert!(output.status.success());
    let text = said(&output);
    assert!(
        row(&text, "memory: stated 5.000 (0.001000 to 100000), found ")
            .contains(") in 3 of 3 rounds compared: holds")
    );
    assert!(text.ends_with("2 of 2 ratios hold\n"), "{text}");
    let progress = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        progress.lines().filter(|line| line.starts_with("loadtest run idle")).count(),
        1,
        "{progress}"
    );
}

#[test]
fn a_ratio_that_is_wrong_fails_and_so_does_one_that_cannot_be_checked() {
    let rows = [
        ("good", "idle resident bytes a connection | obvious / bare | 5 | 0.001 | 100000"),
        ("wrong", "idle resident bytes a connection | obvious / bare | 2000000 | 1000000 | 3000000"),
        ("unprinted", "idle p99 us | obvious / bare | 2 | 1 | 3"),
        ("unreadable", "idle p99 us | obvious | 2 | 1 | 3"),
    ];
    let output = check(&results("wrong", &rows), &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(row(&text, "good: ").contains(": holds"));
    assert!(row(&text, "wrong: ").contains("NO LONGER: every round lies below"));
    let unprinted = "unprinted: ERROR in line 9: the command does not print idle p99 us of obvious / bare";
    assert_eq!(row(&text, "unprinted: "), unprinted);
    assert!(row(&text, "unreadable: ").starts_with("unreadable: ERROR in line 10: "));
    assert!(text.ends_with("1 of 4 ratios hold\n"), "{text}");
    let alone = check(&results("only", &rows), &["--only", "good"]);
    assert!(alone.status.success() && said(&alone).ends_with("1 of 1 ratios hold\n"));
    let nobody = check(&results("nobody", &rows), &["--only", "another"]);
    assert_eq!(nobody.status.code(), Some(1), "nothing checked is no pass");
}
