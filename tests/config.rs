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
    tapecast_in(&[], arguments)
}

/// Runs it in an environment that holds nothing else.
fn tapecast_in(environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapecast"));
    command.env_clear().envs(environment.iter().copied()).args(arguments).output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
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
        "shards = \"two\"\n[ring]\nbyte = 4096\n\n[limits]\nchannels = -1\nhead_timeout = \"10\"\nbytes_max = 5\n\
         head_bytes = 1\n[rings]\nx = 1\n[heartbeat]\nping_every = 20s\n[dialect]\non_gap = \"skp\"\n[limits]\n",
    );
    let (said, code) = checked(&file);
    assert_eq!(code, Some(2));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let first =
        format!("1: shards: \"two\" cannot be; write a whole number, not negative (default: {cores})");
    let expected = [
        first.as_str(),
        "3: ring.byte: no such key; did you mean ring.bytes?",
        "6: limits.channels: -1 cannot be; write a whole number, not negative, below 2^32 (default: 1024)",
        "7: limits.head_timeout: \"10\" cannot be; write a time with its unit, as \"20s\", \"500ms\" or \"7d\" \
         (default: \"10s\")",
        "8: limits.bytes_max: no such key; did you mean outbox.bytes_max?",
        "9: limits.head_bytes: 1 cannot be; write a number from 8192 to 1048576",
        "11: rings.x: no such section; did you mean [ring]?",
        "13: heartbeat.ping_every: text stands in quotes; write ping_every = \"20s\"",
        "15: dialect.on_gap: \"skp\" cannot be; write \"close\" or \"skip\"; did you mean \"skip\"? (default: \"close\")",
        "16: not TOML: limits stands here for the second time; keep one of the two",
    ];
    let expected: Vec<_> = expected.iter().map(|line| format!("{}:{line}", file.path())).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn check_names_the_line_of_what_is_not_toml_or_contradicts_itself() {
    let file =
        File::new("syntax", "shards = 1\n[ring\nbytes = 5\n[ingest]\nlisten = none\nunix = \"a\\q\"\nport\n");
    let (said, code) = checked(&file);
    let expected = [
        "2: not TOML: unclosed table, expected `]`",
        "5: ingest.listen: text stands in quotes; write listen = \"none\"",
        "6: ingest.unix: not TOML: missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\\`, `\"`, `x`, `u`, `U`",
        "7: not TOML: key with no value, expected `=`",
    ];
    let expected: Vec<_> = expected.iter().map(|line| format!("{}:{line}", file.path())).collect();
    assert_eq!(
        (said.lines().collect::<Vec<_>>(), code),
        (expected.iter().map(String::as_str).collect(), Some(2))
    );

    let file = File::new("sizes", "[ingest]\n\n[ring]\nbytes = 65536\n[heartbeat]\npong_timeout = \"20s\"\n");
    let (said, code) = checked(&file);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!((lines.len(), code), (2, Some(2)), "{said}");
    assert!(lines[0].contains(".toml:4: ring.bytes: a payload of 1048576 bytes must fit 64 times"), "{said}");
    assert!(lines[1].contains(".toml:6: heartbeat.pong_timeout: "), "{said}");
}

#[test]
fn check_names_the_line_of_each_rule_that_cannot_be() {
    let contradicts = "[[delivery]]\nkind = \"kline*\"\ndelivery = \"latest\"\nslow = \"gap\"\n";
    let misspelt = "[[delivery]]\nkind = \"arr\"\nmerge = \"binance-aray\"\ndelivry = \"every\"\n";
    let (said, code) = checked(&File::new(
        "rules",
        &format!("shards = 1\n{contradicts}{misspelt}[shutdown]\ndrain = \"2h\"\n"),
    ));
    let lines: Vec<_> = said.lines().collect();
    assert_eq!((lines.len(), code), (4, Some(2)), "{said}");
    for (line, part) in lines.iter().zip([
        ".toml:2: delivery: \"kline*\": with delivery = \"latest\" no queue grows",
        ".toml:8: delivery: \"arr\": merge = \"binance-aray\" cannot be; ",
        ".toml:9: delivery: \"arr\": \"delivry\" is no key of a rule; did you mean delivery?",
        ".toml:11: shutdown.drain: an end that takes 2h cannot be",
    ]) {
        assert!(line.contains(part), "{line}");
    }
    assert!(lines[1].ends_with("did you mean \"binance-array\"?"), "{said}");

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
fn a_file_without_an_end_is_not_read_to_it() {
    let large = |bytes: usize| File::new("large", &"#".repeat(bytes));
    assert_eq!(checked(&large(262_144)), ("ok\n".to_owned(), Some(0)));
    let (said, code) = checked(&large(262_145));
    assert!(said.contains("more than 262144 bytes are no configuration; check the path"), "{said}");
    assert_eq!(code, Some(2));
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
    assert!(
        refused(&["--set", "ring.byte=1"])
            .contains("--set: ring.byte: no such key; did you mean ring.bytes?")
    );
    assert!(refused(&["--set", "delivery=newest"]).contains("write \"every\", \"latest\", or rules"));
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
    let help = text(tapecast(&["serve", "--help"]).stdout);
    for part in [
        "TAPECAST_RING_BYTES",
        "TAPECAST_CONFIG",
        "TAPECAST_LOG_FORMAT",
        "docs/tapecast.example.toml",
        "tapecast check",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
}

#[test]
fn a_wrong_log_filter_is_refused() {
    let output = tapecast_in(&[("TAPECAST_LOG", "a=b=c")], &["check", "x"]);
    let code = output.status.code();
    let said = text(output.stderr);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.starts_with("tapecast: TAPECAST_LOG: "), "{said}");
}

/// What `serve --print-config` prints, and what it says beside that.
fn printed(environment: &[(&str, &str)], arguments: &[&str]) -> (String, String) {
    let output = tapecast_in(environment, &[&["serve", "--print-config"], arguments].concat());
    let (code, stdout, stderr) = (output.status.code(), text(output.stdout), text(output.stderr));
    assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
    (stdout, stderr)
}

/// TOML without its comments: what the layers made of each key, not where it came from.
fn values(printed: &str) -> toml::Table {
    printed.parse().unwrap()
}

#[test]
fn print_config_names_where_each_value_comes_from_and_can_be_read_again() {
    let file = File::new("layers", "[ring]\n\nbytes = 67108864\n[limits]\nchannels = 1\npatterns = 1\n");
    let environment = [
        ("TAPECAST_CONFIG", file.path()),
        ("TAPECAST_LIMITS_CHANNELS", "2"),
        ("TAPECAST_LIMITS_PATTERNS", "2"),
        ("TAPECAST_INGEST_TOKEN", "hunter2"),
    ];
    let (stdout, stderr) = printed(&environment, &["--set", "limits.patterns=3", "--listen", "127.0.0.1:0"]);
    assert!(stderr.is_empty(), "{stderr}");
    for line in [
        &format!("bytes = 67108864 # {}:3", file.path()),
        "channels = 2 # TAPECAST_LIMITS_CHANNELS",
        "patterns = 3 # --set",
        "listen = \"127.0.0.1:0\" # --listen",
        "listen = \"127.0.0.1:9003\" # default",
        "# token is set, not shown (TAPECAST_INGEST_TOKEN)",
        "# unix is not set",
    ] {
        assert!(stdout.lines().any(|printed| printed == line), "{line}: {stdout}");
    }
    assert!(!stdout.contains("hunter2"), "{stdout}");

    let again = File::new("again", &stdout);
    assert_eq!(checked(&again), ("ok\n".to_owned(), Some(0)));
    // A file that is named on the command line is the only one.
    let (twice, _) = printed(&[("TAPECAST_CONFIG", "/no/such/file")], &["--config", again.path()]);
    assert_eq!(values(&twice), values(&stdout));
    let wrong = tapecast(&["serve", "--print-config", "--set", "ring.byte=1"]);
    assert_eq!((wrong.status.code(), wrong.stdout.is_empty()), (Some(2), true));
}

#[test]
fn a_variable_that_is_no_key_is_told_and_one_that_is_wrong_ends_the_start() {
    let environment = [("TAPECAST_SERVICE_HOST", "10.0.0.1"), ("TAPECAST_RING_BITES", "1")];
    let (stdout, stderr) = printed(&environment, &[]);
    assert_eq!(values(&stdout), values(&printed(&[], &[]).0));
    let lines: Vec<_> = stderr.lines().collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("WARN")), "{stderr}");
    assert!(lines[0].contains("did you mean TAPECAST_RING_BYTES?"), "{stderr}");
    assert!(lines[1].contains("TAPECAST_SERVICE_HOST stands for no key and is passed over"), "{stderr}");

    let output = tapecast_in(&[("TAPECAST_RING_BYTES", "1e9")], &["serve"]);
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true));
    let said = text(output.stderr);
    assert!(
        said.starts_with("tapecast: TAPECAST_RING_BYTES: ring.bytes: 1000000000.0 cannot be; write a whole"),
        "{said}"
    );
}

#[test]
fn check_judges_the_file_whatever_the_environment_says() {
    let file = File::new("alone", "shards = 2\n");
    let environment = [("TAPECAST_SHARDS", "many"), ("TAPECAST_CONFIG", "/no/such/file")];
    let output = tapecast_in(&environment, &["check", file.path()]);
    assert_eq!(
        (output.status.code(), text(output.stdout), text(output.stderr)),
        (Some(0), "ok\n".into(), "".into())
    );
}

#[test]
fn the_example_is_taken_as_it_is_and_with_every_line_in_force() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tapecast.example.toml");
    let output = tapecast(&["check", path]);
    assert_eq!((output.status.code(), text(output.stdout)), (Some(0), "ok\n".to_owned()));
    let example = std::fs::read_to_string(path).unwrap();
    let whole = uncommented(&example);
    assert_eq!(checked(&File::new("example", &whole)), ("ok\n".to_owned(), Some(0)));
    assert!(values(&whole)["ring"]["bytes"].is_integer(), "lines were put in force");
}

/// The example with each `# key = value` in force, lists over several lines included.
fn uncommented(example: &str) -> String {
    let is_key = |line: &str| {
        line.split_once(" = ")
            .is_some_and(|(key, _)| key.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()))
    };
    let mut in_list = false;
    let lines = example.lines().map(|line| match line.strip_prefix("# ") {
        Some(inner) if in_list || is_key(inner) => {
            in_list = if in_list { inner != "]" } else { inner.ends_with('[') };
            inner
        }
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}
