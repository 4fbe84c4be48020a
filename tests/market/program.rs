//! The demo and the simulation as somebody runs them: what they print, and what they say where it cannot be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// After this a test gives up on what should come within a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program, ended with its test.
struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapecast"));
        let command = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Ends it as Ctrl-C does; gives how it ended, and what else it said on stdout and stderr.
    fn interrupt(mut self) -> (ExitStatus, [String; 2]) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let mut said = [String::new(), String::new()];
        self.stdout.read_to_string(&mut said[0]).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut said[1]).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended is killed in vain.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until each of these channels has had a record.
fn wait_for_records(address: SocketAddr, channels: &[&str]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let names = channels.join(",");
    write!(stream, "GET /v1/sse?channels={names} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut missing = channels.to_vec();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap_or_else(|error| panic!("{error}; no record of {missing:?}"));
        missing.retain(|channel| !line.contains(&format!("\"ch\":\"{channel}\"")));
        if missing.is_empty() {
            return;
        }
    }
    panic!("the stream ended without {missing:?}");
}

#[test]
fn the_demo_prints_one_line_shows_a_market_and_ends_in_order() {
    // All addresses of a machine are none that a browser opens: the loopback one is told.
    let mut demo = Program::start(&["demo", "--listen", "0.0.0.0:0"]);
    let line = demo.line();
    let address = line.strip_prefix("open http://").and_then(|rest| rest.strip_suffix('/'));
    let address: SocketAddr = address.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
    assert!(address.ip().is_loopback());
    let channels =
        ["btcusdt@ticker", "btcusdt@depth20", "btcusdt@bookTicker", "btcusdt@trade", "ethusdt@ticker"];
    wait_for_records(address, &channels);
    let (status, [stdout, stderr]) = demo.interrupt();
    assert!(status.success() && stdout.is_empty(), "{stdout}{stderr}");
    assert!(!stderr.contains("WARN") && !stderr.contains("ERROR"), "{stderr}");
}

#[test]
fn a_demo_whose_port_is_taken_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output =
        Command::new(env!("CARGO_BIN_EXE_tapecast")).args(["demo", "--listen", &address]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{said}");
    for part in [&address, "in use", "tapecast serve", "tapecast demo --listen 127.0.0.1:"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_simulation_tells_what_it_did_at_its_end() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap().to_string();
    let simulation = Program::start(&["simulate", "--to", &to, "--symbols", "3", "--rate", "500"]);
    let stream = server.accept().unwrap().0;
    let mut answers = stream.try_clone().unwrap();
    let (mut accepted, mut asked, mut simulation) = (0, 0, Some(simulation));
    let mut waiting = None;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if line == "PING" {
            asked += 1;
            answers.write_all(format!("+PONG {accepted}\n").as_bytes()).unwrap();
        } else {
            accepted += 1;
        }
        if asked == 1
            && accepted > 200
            && let Some(simulation) = simulation.take()
        {
            waiting = Some(std::thread::spawn(move || simulation.interrupt()));
        }
    }
    let (status, [told, said]) = waiting.unwrap().join().unwrap();
    assert!(status.success(), "{said}");
    let expected = format!("sent {accepted}, accepted {accepted}, refused 0, skipped 0, in ");
    assert!(told.starts_with(&expected) && told.lines().count() == 1, "{told}{said}");
}

#[test]
fn a_simulation_of_nothing_is_refused() {
    for [flag, value] in [["--symbols", "0"], ["--symbols", "5001"], ["--rate", "0"], ["--rate", "fast"]] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_tapecast")).args(["simulate", flag, value]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(flag), "{flag} {value}: {said}");
    }
}
