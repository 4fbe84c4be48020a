//! What the program says to a person who runs it: where it cannot listen, of what is no recording, and while it replays.
//!
//! Black box: each test runs the binary against sockets and files of its own. Invariant: a message says what is wrong and what to do, and
//! the exit code says the same to a script.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// After this a test gives up on what should come at once or each second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pieces of text after which a test gives up on what should be among the first.
const PIECES_MAX: usize = 64;

/// Who owns nothing.
const NOBODY: u32 = 65_534;

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tapecast-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tapecast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapecast"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `serve` says when it cannot listen. It never began to: nothing stands on stdout.
fn cannot_listen(arguments: &[&str]) -> String {
    let others = ["--listen", "--ingest-listen", "--admin-listen"].into_iter();
    let free = others.filter(|flag| !arguments.contains(flag)).flat_map(|flag| [flag, "127.0.0.1:0"]);
    let output = tapecast(&["serve"]).args(free).args(arguments).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    said
}

#[test]
fn a_port_that_is_taken_is_named_with_its_key_and_the_flag_that_chooses_another() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (flag, key) in [
        ("--listen", "subscribers.listen"),
        ("--ingest-listen", "ingest.listen"),
        ("--admin-listen", "admin.listen"),
    ] {
        let said = cannot_listen(&[flag, &taken]);
        assert!(said.contains(&format!("tapecast: {key} {taken}: Address already in use")), "{said}");
        assert!(said.contains("; end the program that has it, or choose another one by "), "{said}");
        assert!(said.contains(flag), "{said}");
    }
}

#[test]
fn an_address_of_another_machine_is_told() {
    // 192.0.2.0/24 is kept for documentation: nobody has it.
    let said = cannot_listen(&["--listen", "192.0.2.1:9001"]);
    assert!(said.contains("subscribers.listen 192.0.2.1:9001: "), "{said}");
    assert!(said.contains("this machine has no such address: choose one of its own, or 0.0.0.0"), "{said}");
}

#[test]
fn a_unix_socket_that_cannot_be_is_told() {
    let folder = Folder::new("unix");
    let taken = folder.0.join("feed.sock");
    let _holder = UnixListener::bind(&taken).unwrap();
    let said = cannot_listen(&["--ingest-unix", taken.to_str().unwrap()]);
    assert!(said.contains(&format!("ingest.unix {}: Address already in use", taken.display())), "{said}");
    let nowhere = folder.0.join("missing/feed.sock");
    let said = cannot_listen(&["--ingest-unix", nowhere.to_str().unwrap()]);
    assert!(said.contains(&format!("ingest.unix {}: No such file", nowhere.display())), "{said}");
    assert!(said.contains("choose another one by --ingest-listen or --ingest-unix"), "{said}");
}

/// The program as a user without rights runs it: root may do what others may not.
fn unprivileged(folder: &Folder, arguments: &[&str]) -> Output {
    if !rustix::process::geteuid().is_root() {
        return tapecast(arguments).output().unwrap();
    }
    // The build may lie where nobody else can reach it.
    let program = folder.0.join("tapecast");
    fs::copy(env!("CARGO_BIN_EXE_tapecast"), &program).unwrap();
    Command::new(program).args(arguments).uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn what_this_user_may_not_do_is_told() {
    let folder = Folder::new("rights");
    let (file, closed) = (folder.file("closed.jsonl", b"{}"), folder.0.join("closed"));
    fs::create_dir(&closed).unwrap();
    for path in [&file, &closed] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let socket = closed.join("feed.sock");
    let free = ["--listen", "127.0.0.1:0", "--ingest-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let serve = [&["serve", "--ingest-unix", socket.to_str().unwrap()], free.as_slice()].concat();
    let said = [&serve, ["replay", file.to_str().unwrap()].as_slice()].map(|arguments| {
        let output = unprivileged(&folder, arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        text(&output.stderr)
    });
    let place = format!("ingest.unix {}: Permission denied", socket.display());
    assert!(said[0].contains(&place) && said[0].contains("choose a place that it may take"), "{said:?}");
    assert!(said[1].contains("Permission denied (os error 13); let this user read it"), "{said:?}");
}

/// Takes the records of one feed, until it goes.
struct Feeds {
    address: SocketAddr,
    records: JoinHandle<Vec<String>>,
}

impl Feeds {
    fn take() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let records = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut records = Vec::new();
            for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
                match line.as_str() {
                    "PING" => writeln!(stream, "+PONG {}", records.len()).unwrap(),
                    _ => records.push(line),
                }
            }
            records
        });
        Self { address, records }
    }

    fn records(self) -> Vec<String> {
        // Where the feed never came, this one ends the waiting for it.
        let _ = TcpStream::connect(self.address);
        self.records.join().unwrap()
    }
}

/// A replay with what it said and the records that arrived.
fn replayed(file: &Path, arguments: &[&str]) -> (Output, Vec<String>) {
    let feeds = Feeds::take();
    let to = feeds.address.to_string();
    let mut command = tapecast(&["replay", file.to_str().unwrap(), "--to", &to]);
    let output = command.args(arguments).output().unwrap();
    (output, feeds.records())
}

fn trade(seconds: f64, number: usize) -> String {
    let t = 1_723_161_254_000_000_000 + (seconds * 1e9) as u64;
    format!("{{\"t\":{t},\"venue\":\"x\",\"channel\":\"a@trade\",\"raw\":{{\"n\":{number}}}}}\n")
}

fn trades(count: usize) -> String {
    (0..count).map(|number| trade(0.0, number)).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_is_not_a_recording_is_told_before_anything_is_sent() {
    let folder = Folder::new("not-a-recording");
    let binary: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let document = "{\n  \"t\": 1,\n  \"channel\": \"a@trade\"\n}\n";
    let form = r#"a line of one reads {"t":<ns or null>,"#;
    for (name, content, expected) in [
        ("binary", binary.as_slice(), form),
        ("feed.csv", b"time,symbol,price\n1,btcusdt,61737.63\n", form),
        ("document.json", document.as_bytes(), form),
        ("array.json", b"[{\"t\":1,\"channel\":\"a@trade\",\"raw\":1}]\n", form),
        (
            "raw.jsonl",
            b"{\"e\":\"trade\",\"s\":\"BTCUSDT\"}\n",
            "missing field `channel` at column 27); a line",
        ),
        ("csv.gz", &gzip("time,symbol\n"), "line 1: expected ident at column 2); a line"),
        ("empty", b"", "the file is empty; name one that a recorder wrote"),
        ("empty.gz", &gzip(""), "the file is empty; name one that a recorder wrote"),
    ] {
        let file = folder.file(name, content);
        let said = refused(&file);
        assert!(said.starts_with(&format!("tapecast: {}: ", file.display())), "{said}");
        assert!(said.contains(expected), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_told() {
    let folder = Folder::new("cannot-open");
    let said = refused(&folder.0.join("missing.jsonl"));
    assert!(said.contains("cannot be opened: No such file or directory"), "{said}");
    assert!(said.contains("; is the path right"), "{said}");
    let said = refused(&folder.0);
    assert!(said.contains("cannot be opened: is a directory; name one file in it"), "{said}");
}

/// What a replay says of a file of which it sends nothing; nobody needs to listen.
fn refused(file: &Path) -> String {
    let output = tapecast(&["replay", file.to_str().unwrap(), "--to", "127.0.0.1:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    text(&output.stderr)
}

#[test]
fn a_bad_line_is_told_with_its_number_skipped_and_counted() {
    let folder = Folder::new("bad-line");
    let lines = ["oops\n".to_owned(), trade(0.0, 0), "{\"t\":1,\"chan".to_owned() + "\n", trade(0.0, 1)];
    let (output, records) = replayed(&folder.file("some.jsonl", lines.concat().as_bytes()), &[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(records, [r#"a@trade {"n":0}"#, r#"a@trade {"n":1}"#]);
    assert_eq!(
        said,
        "skipped line 1: expected value at column 1\n\
         skipped line 3: EOF while parsing a string at column 12\n"
    );
    let summary = text(&output.stdout);
    assert!(
        summary.starts_with("sent 2, accepted 2, refused 0, passed over 0, bad lines 2, in "),
        "{summary}"
    );
}

#[test]
fn a_gzip_that_is_cut_short_or_damaged_is_sent_as_far_as_it_goes() {
    let folder = Folder::new("gzip");
    let whole = gzip(&trades(20_000));
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    let cut = &whole[..whole.len() - 9];
    for (name, bytes, what) in [("cut", cut, "cut short"), ("damaged", damaged.as_slice(), "damaged")] {
        let (output, records) = replayed(&folder.file(name, bytes), &["--speed", "max"]);
        let (said, summary) = (text(&output.stderr), text(&output.stdout));
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(records.len() > 5_000, "{name}: {} records", records.len());
        assert_eq!(records[5_000], r#"a@trade {"n":5000}"#);
        let counted = format!("sent {0}, accepted {0}, ", records.len());
        assert!(summary.starts_with(&counted), "{summary} for {} records", records.len());
        assert!(said.contains(&format!("the gzip stream is {what} behind line ")), "{said}");
        assert!(said.ends_with("; fetch the file again\n"), "{said}");
    }
}

/// A child whose stderr is a terminal of this width, and that terminal's other side.
fn on_a_terminal(mut command: Command, columns: u16) -> (Child, fs::File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let path = text(ptsname(&master, Vec::new()).unwrap().as_bytes());
    let mut open = fs::OpenOptions::new();
    let terminal = open.read(true).write(true).custom_flags(OFlags::NOCTTY.bits() as i32).open(path).unwrap();
    let child = command.stderr(terminal).spawn().unwrap();
    (child, master.into())
}

/// What a child says there until it is `enough`, or to its end. Who says nothing more, or goes on without saying it, is ended.
fn heard(child: &mut Child, mut said: impl Read + Send + 'static, enough: fn(&str) -> bool) -> String {
    let (sender, pieces) = sync_channel(1);
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        // Linux says EIO when nobody has a terminal's other side open any more.
        while let Ok(read @ 1..) = said.read(&mut piece) {
            if sender.send(piece[..read].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut heard = String::new();
    for _ in 0..PIECES_MAX {
        let Ok(piece) = pieces.recv_timeout(PATIENCE) else { break };
        heard += &text(&piece);
        if enough(&heard) {
            return heard;
        }
    }
    let _ = child.kill();
    heard
}

#[test]
fn progress_is_one_updating_line_on_a_terminal_and_plain_lines_elsewhere() {
    let folder = Folder::new("progress");
    // Larger than what is read ahead, so that a share of it can be told.
    let text_of_it = [trade(0.0, 0), trade(2.3, 1), trades(2_000)].concat();
    let file = folder.file("slow.jsonl", text_of_it.as_bytes());
    let elsewhere = std::thread::scope(|scope| {
        let elsewhere = scope.spawn(|| replayed(&file, &[]));
        let feeds = Feeds::take();
        let to = feeds.address.to_string();
        let command = tapecast(&["replay", file.to_str().unwrap(), "--to", &to]);
        let (mut child, terminal) = on_a_terminal(command, 30);
        let shown = heard(&mut child, terminal, |_| false);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{shown}");
        assert_eq!(feeds.records().len(), 2_002);
        let lines: Vec<&str> = shown.strip_suffix("\r\n").unwrap().split('\r').collect();
        assert!(lines.len() >= 3 && lines[0].is_empty(), "{shown:?}");
        assert!(lines[1].starts_with("sent 1 (") && lines[1].contains("/s), lag 0.0 s, a"), "{shown:?}");
        assert_eq!(lines[1].len(), 29, "cut to the terminal");
        assert!(lines.iter().all(|line| line.len() <= 29 && !line.contains('\n')), "{shown:?}");
        elsewhere.join().unwrap().0
    });
    let said = text(&elsewhere.stderr);
    assert_eq!(said.lines().count(), 1, "no more than one in ten seconds: {said:?}");
    assert!(said.starts_with("sent 1 (1/s), lag 0.0 s, about ") && !said.contains('\r'), "{said:?}");
    assert!(said.contains(" left, refused 0, bad lines 0\n"), "{said:?}");
}

#[test]
fn a_server_that_takes_nothing_is_seen_by_the_lag() {
    let folder = Folder::new("lag");
    // More than sockets hold, and due at once.
    let payload = "x".repeat(1_000);
    let line = trade(0.0, 0).replace("{\"n\":0}", &format!("\"{payload}\""));
    let file = folder.file("much.jsonl", line.repeat(30_000).as_bytes());
    let never_accepts = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = never_accepts.local_addr().unwrap().to_string();
    let command = tapecast(&["replay", file.to_str().unwrap(), "--to", &to, "--loop"]);
    let (mut child, terminal) = on_a_terminal(command, 100);
    let shown = heard(&mut child, terminal, |shown| lag_seconds(shown).is_some_and(|lag| lag >= 2.0));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lag_seconds(&shown).is_some_and(|lag| lag >= 2.0), "{shown:?}");
    let last = shown.rsplit('\r').next().unwrap();
    assert!(last.starts_with("sent ") && last.contains(", pass 1, about "), "{last:?}");
}

/// What the latest line of progress says.
fn lag_seconds(shown: &str) -> Option<f64> {
    let (_, lag) = shown.rsplit_once(", lag ")?;
    lag.split_once(" s,")?.0.parse().ok()
}

#[test]
fn a_pause_in_a_recording_is_told_with_its_line() {
    let folder = Folder::new("pause");
    let file = folder.file("pause.jsonl", [trade(0.0, 0), trade(7_200.0, 1)].concat().as_bytes());
    let feeds = Feeds::take();
    let to = feeds.address.to_string();
    let mut child = tapecast(&["replay", file.to_str().unwrap(), "--to", &to]).spawn().unwrap();
    let stderr = child.stderr.take().unwrap();
    let first = heard(&mut child, stderr, |said| said.ends_with('\n'));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(first, "line 2 is due in 2h: the recording pauses (--speed max does not)\n");
    assert_eq!(feeds.records(), [r#"a@trade {"n":0}"#]);
}

/// Each pass is over before there is anything to wait for.
#[test]
fn a_loop_of_a_short_recording_ends_by_ctrl_c() {
    let folder = Folder::new("short");
    let file = folder.file("short.jsonl", trade(0.0, 0).as_bytes());
    let feeds = Feeds::take();
    let to = feeds.address.to_string();
    let mut child = tapecast(&["replay", file.to_str().unwrap(), "--to", &to, "--loop"]).spawn().unwrap();
    let stderr = child.stderr.take().unwrap();
    let first = heard(&mut child, stderr, |said| said.ends_with('\n'));
    assert!(first.contains(", pass "), "{first}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let stdout = child.stdout.take().unwrap();
    let summary = heard(&mut child, stdout, |said| said.ends_with('\n'));
    assert!(summary.starts_with("sent ") && child.wait().unwrap().success(), "{summary}");
    feeds.records();
}
