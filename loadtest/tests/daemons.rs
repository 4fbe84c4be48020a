//! Swarm and feed against the peers that are daemons of Debian packages, each in its own protocol.
//!
//! Packages that are not there are installed first: a test that passed without them would show nothing. Must not wait by the clock: each step follows a printed line or a stream's end.

mod tool;

use std::env;
use std::fs;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tool::{Tool, addresses, swarm};

/// A name, what its subscribers and its feed speak, and how many of 20 connections are parsed when one in 5 is to be.
const PEERS: [(&str, &str, &str, u32); 3] =
    [("nats", "nats", "nats", 20), ("nchan", "nchan", "nchan", 4), ("mosquitto", "mqtt", "mqtt", 4)];

/// A daemon, installed first where it is not, and its two addresses.
fn daemon(name: &str) -> (Tool, String, String) {
    Tool::start(&format!("install {name}")).line(&format!("{name}: installed"));
    addresses(Tool::start(&format!("daemon {name}")))
}

/// The folder that a daemon's holder makes.
fn folder_of(process: u32) -> PathBuf {
    env::temp_dir().join(format!("loadtest-daemon-{process}"))
}

/// The daemon's end is its connections'; of one that lives on, this one would say nothing until the timeout.
fn expect_end(mut client: TcpStream) {
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    let read = client.read_to_end(&mut Vec::new());
    // One that was not accepted yet is reset.
    let ended = read.is_ok() || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
    assert!(ended, "the daemon lives on");
}

/// Some 1,600 records on 50 channels to 20 subscribers of all of them.
fn deliver(name: &str, dialect: &str, protocol: &str, parsed: u32, parse_one_in: u32) {
    let (holder, subscribers, ingest) = daemon(name);
    // The window outlasts the feed: on a busy machine a daemon may be kept from its core at the very end.
    let who = "--subscribers 20 --channels-each 50 --of 50 --seconds 1.5";
    let mut swarm = swarm(&subscribers, &format!("--dialect {dialect} {who} --parse-one-in {parse_one_in}"));
    let what = "--channels 50 --rate 2000 --seconds 0.8";
    let mut feed = Tool::start(&format!("feed --to {ingest} --protocol {protocol} {what}"));
    let fed = feed.line("feed: ");
    // On a busy machine the last few may be left out at the feed's end; what was sent is what counts.
    let sent = fed.split(' ').nth(1).and_then(|count| count.parse::<u64>().ok()).expect("a count");
    assert!(sent > 1000, "{name}: {fed}");
    assert!(fed.contains(&format!("accepted {sent}, refused 0;")), "{name}: {fed}");
    let report = swarm.line("swarm: ");
    assert!(report.contains("missing 0 duplicates 0 swapped 0; closed 0;"), "{name}: {report}");
    assert!(report.contains(&format!("100.000 % of all {} ", sent * 20)), "{name}: {report}");
    assert!(!report.contains("IN DOUBT") && !report.contains("nobody asked for"), "{name}: {report}");
    assert!(swarm.line("swarm: ").contains(&format!("{parsed} connections parsed")), "{name}");
    let folder = folder_of(holder.child.id());
    assert!(folder.exists());
    let client = TcpStream::connect(&ingest).expect("it listens");
    drop(holder);
    expect_end(client);
    assert!(!folder.exists(), "{name} left its folder");
}

#[test]
fn each_delivers_everything_in_order() {
    for (name, dialect, protocol, _) in PEERS {
        deliver(name, dialect, protocol, 20, 1);
    }
}

#[test]
fn counting_by_bytes_agrees_where_frames_have_one_size() {
    for (name, dialect, protocol, parsed) in PEERS {
        deliver(name, dialect, protocol, parsed, 5);
    }
}

#[test]
fn each_plays_a_burst_to_the_byte() {
    for (name, ..) in PEERS {
        Tool::start(&format!("install {name}")).line(&format!("{name}: installed"));
        let what = "--generated --seconds 10 --speeds 10 --subscribers 3 --server-core 0 --tools-core 0";
        let line = Tool::start(&format!("burst --server {name} {what}")).line(&format!("burst 10x {name}: "));
        assert!(!line.contains("VOID") && !line.contains("FAILED"), "{line}");
        let (arrived, rest) =
            line.split_once(" deliveries; ").expect("deliveries").0.rsplit_once(" of ").expect("both");
        assert!(arrived.ends_with(&format!(" {rest}")), "{line}");
    }
}

#[test]
fn a_daemon_ends_with_the_process_that_holds_it_even_if_that_is_killed() {
    let (mut holder, _, ingest) = daemon("nats");
    let folder = folder_of(holder.child.id());
    let client = TcpStream::connect(&ingest).expect("it listens");
    holder.child.kill().expect("it is ours");
    expect_end(client);
    fs::remove_dir_all(folder).expect("who is killed leaves it behind");
}

/// A folder with a program that says something and ends.
struct Broken(PathBuf);

impl Broken {
    fn new(program: &str) -> Self {
        let path = env::temp_dir().join(format!("loadtest-broken-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        let file = path.join(program);
        fs::write(&file, "#!/bin/sh\nprintf 'one\\ntwo\\nthree\\nbad luck\\n' >&2\nexit 7\n")
            .expect("a program");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("that runs");
        Self(path)
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What `arguments` print, and whether they succeed, with `folder` as the only one in the path.
fn printed(arguments: &[&str], folder: &Path) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(arguments)
        .env("PATH", folder)
        .stderr(Stdio::null())
        .output()
        .expect("the tool starts");
    (done.status.success(), String::from_utf8(done.stdout).expect("text"))
}

#[test]
fn a_daemon_that_ends_at_once_is_named_and_its_last_words_are_quoted() {
    let broken = Broken::new("nats-server");
    let why = "nats-server ended (exit status: 7): two | three | bad luck\n";
    let (succeeded, said) = printed(&["daemon", "nats"], &broken.0);
    assert_eq!((succeeded, said), (false, format!("failed {why}")));
    let run = ["run", "hot", "--server", "nats", "--server-core", "0", "--tools-core", "0"];
    assert_eq!(printed(&run, &broken.0), (true, format!("hot nats: FAILED: {why}")));
}
