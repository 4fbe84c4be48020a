//! The program told wrong or contradictory things: it says which key, where, and what to write, and exits with 2.
//!
//! Black box: each test runs the binary. No test opens a socket of the server.

use std::path::PathBuf;
use std::process::{Command, Output};

/// A file that is gone when the test ends.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tapecast-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn tapecast(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tapecast")).args(arguments).output().unwrap()
}

/// What `serve` says on stderr before it ends with 2.
fn refused(arguments: &[&str]) -> String {
    let output = tapecast(&[&["serve"], arguments].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "nothing listens: {arguments:?}");
    said
}

/// What `check` says on stdout, with its exit code.
fn checked(file: &File) -> (String, Option<i32>) {
    let output = tapecast(&["check", file.path()]);
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn check_says_ok_to_every_key_there_is() {
    let file = File::new(
        "whole",
        r#"
        shards = 2
        delivery = [
            { kind = "ticker*", delivery = "latest" },
            { kind = "depth", delivery = "every", merge = "binance-depth", slow = "gap" },
            { kind = "arr", merge = "binance-array" },
            { kind = "*", delivery = "every", slow = "close" },
        ]
        [subscribers]
        listen = "127.0.0.1:0"
        [ingest]
        listen = "none"
        unix = "feed.sock"
        token = "secret"
        payload_bytes_max = 32768
        connections_max = 0
        [admin]
        listen = "[::1]:0"
        [ring]
        bytes = 4_194_304
        channels_max = 1024
        [channel]
        expire_after = "1d 12h"
        [feed]
        stale_after = "0s"
        silence_after = "1m"
        [limits]
        connections = 0
        connections_per_address = 0
        handshakes = 16
        head_bytes = 16384
        head_timeout = "5s"
        close_timeout = "500ms"
        channels = 0
        patterns = 0
        pattern_channels = 0
        message_bytes = 4096
        fragments = 0
        messages_per_second = 0
        messages_burst = 0
        [outbox]
        bytes_max = 65536
        torn_pool_bytes_max = 1048576
        [resume]
        records_max = 0
        [dialect]
        on_gap = "skip"
        [heartbeat]
        ping_every = "10s"
        pong_timeout = "30s"
        [socket]
        notsent_lowat_bytes = 65536
        [shutdown]
        drain = "0s"
        [shard]
        coalesce = "2ms"
        "#,
    );
    assert_eq!(checked(&file), ("ok\n".to_owned(), Some(0)));
    assert_eq!(checked(&File::new("empty", "")), ("ok\n".to_owned(), Some(0)));
}

#[test]
fn check_names_the_line_of_each_problem() {
    let file = File::new(
        "wrong",
        "shards = \"two\"\n[ring]\nbyte = 4096\n\n[limits]\nchannels = -1\nhead_timeout = \"10\"\n[rings]\nx = 1\n",
    );
    let (said, code) = checked(&file);
    assert_eq!(code, Some(2));
    let expected = [
        "1: shards: invalid type: string \"two\", expected a whole number, not negative, below 2^64",
        "3: ring.byte: unknown field `byte`, expected `bytes` or `channels_max`",
        "6: limits.channels: invalid value: integer `-1`, expected a whole number, not negative, below 2^32",
        "7: limits.head_timeout: invalid value: string \"10\", expected a time with its unit, as \"20s\", \"500ms\" or \"7d\"",
        "9: rings.x: unknown field `rings`, expected one of `subscribers`, `ingest`, `admin`, `ring`, `channel`, \
         `feed`, `limits`, `outbox`, `resume`, `dialect`, `heartbeat`, `socket`, `shutdown`, `shard`, `shards`, `delivery`",
    ];
    let expected: Vec<_> = expected.iter().map(|line| format!("{}:{line}", file.path())).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn check_names_the_line_of_what_is_not_toml_or_contradicts_itself() {
    let (said, code) = checked(&File::new("syntax", "shards = 1\nring.bytes = = 5\n"));
    assert!(said.contains(".toml:2: not TOML: ") && code == Some(2), "{said}");

    let file = File::new("sizes", "[ingest]\n\n[ring]\nbytes = 65536\n[heartbeat]\npong_timeout = \"20s\"\n");
    let (said, code) = checked(&file);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!((lines.len(), code), (2, Some(2)), "{said}");
    assert!(lines[0].contains(".toml:4: ring.bytes: a payload of 1048576 bytes must fit 64 times"), "{said}");
    assert!(lines[1].contains(".toml:6: heartbeat.pong_timeout: "), "{said}");
}

#[test]
fn check_names_the_line_of_a_rule_that_contradicts_itself() {
    let rules = "[[delivery]]\nkind = \"kline*\"\ndelivery = \"latest\"\nslow = \"gap\"\n";
    let (said, code) =
        checked(&File::new("rules", &format!("shards = 1\n{rules}[shutdown]\ndrain = \"2h\"\n")));
    let lines: Vec<_> = said.lines().collect();
    assert_eq!((lines.len(), code), (1, Some(2)), "{said}");
    assert!(
        lines[0].contains(".toml:2: delivery: \"kline*\": with delivery = \"latest\" no queue grows"),
        "{said}"
    );

    let (said, _) =
        checked(&File::new("drain", "[shutdown]\ndrain = \"2h\"\n[resume]\nrecords_max = 2_000_000\n"));
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].contains(".toml:2: shutdown.drain: an end that takes 2h cannot be"), "{said}");
    assert!(lines[1].contains(".toml:4: resume.records_max: 2000000 records are more"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = tapecast(&["check", "no-such-file.toml"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.starts_with("no-such-file.toml cannot be read: "), "{said}");
    assert!(refused(&["--config", "no-such-file.toml"]).contains("no-such-file.toml cannot be read"));
}

#[test]
fn serve_refuses_what_check_refuses() {
    let file = File::new("serve", "\nring.bytes = 1000\n");
    let said = refused(&["--config", file.path()]);
    assert!(said.contains(".toml:2: ring.bytes: 1000 cannot be; the ring is a power of two"), "{said}");
    assert!(said.lines().all(|line| line.starts_with("tapecast: ")), "{said}");
}

#[test]
fn set_weighs_more_than_the_file_and_a_flag_more_than_set() {
    // Only the value that wins is judged; its place tells which one that was.
    let file = File::new("weights", "shards = 5000\n");
    assert!(refused(&["--config", file.path()]).contains(".toml:1: shards: 5000 shards cannot be"));
    let said = refused(&["--config", file.path(), "--set", "shards=6000"]);
    assert!(said.contains("--set: shards: 6000 shards cannot be") && !said.contains("5000"), "{said}");
    let said = refused(&["--config", file.path(), "--shards", "7000", "--set", "shards=6000"]);
    assert!(said.contains("--shards: shards: 7000 shards cannot be") && !said.contains("6000"), "{said}");
    let said = refused(&["--set", "shards=6000", "--set", "shards=8000"]);
    assert!(said.contains("8000") && !said.contains("6000"), "the later --set wins: {said}");
}

#[test]
fn set_is_refused_with_the_key_and_what_is_expected() {
    assert!(refused(&["--set", "ring.bytes"]).contains("write --set KEY=VALUE"));
    assert!(refused(&["--set", "ring.byte=1"]).contains("--set: ring.byte: unknown field `byte`"));
    assert!(refused(&["--set", "delivery=newest"]).contains("expected \"every\", \"latest\", or rules"));
    let said =
        refused(&["--set", r#"delivery=[{ kind = "depth", delivery = "latest", merge = "binance-depth" }]"#]);
    assert!(
        said.contains("--set: delivery: \"depth\": ") && said.contains("write `merge` without"),
        "{said}"
    );
    let said = refused(&["--listen", "127.0.0.1:9", "--ingest-listen", "127.0.0.1:9"]);
    assert!(said.contains("subscribers.listen = 127.0.0.1:9 and ingest.listen = 127.0.0.1:9"), "{said}");
}

#[test]
fn a_wrong_command_line_exits_with_2_and_help_with_0() {
    for arguments in [&["serve", "--shard", "2"][..], &["nothing"], &[], &["serve", "--listen", "here"]] {
        assert_eq!(tapecast(arguments).status.code(), Some(2), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        assert_eq!(tapecast(arguments).status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn a_wrong_log_filter_is_refused() {
    let serve = Command::new(env!("CARGO_BIN_EXE_tapecast"))
        .args(["check", "x"])
        .env("TAPECAST_LOG", "a=b=c")
        .output();
    let output = serve.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("tapecast: TAPECAST_LOG: "), "{said}");
}
