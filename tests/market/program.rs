//! The demo and the simulation as somebody runs them: what they print, and what they say where it cannot be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// After this a test gives up on what should come within a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program, ended with its test.
struct Program(Option<Child>);

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapecast"));
        let command = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().unwrap()))
    }

    fn first_line(&mut self) -> String {
        // A byte at a time: what stands behind the line is left for the end.
        let stdout = self.0.as_mut().unwrap().stdout.as_mut().unwrap();
        let bytes = stdout.bytes().map_while(Result::ok).take_while(|byte| *byte != b'\n');
        String::from_utf8(bytes.collect()).unwrap()
    }

    /// Ends it as Ctrl-C does; gives what it said since.
    fn interrupt(mut self) -> Output {
        let child = self.0.take().unwrap();
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        child.wait_with_output().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_demo_prints_one_line_shows_a_market_and_ends_in_order() {
    let mut demo = Program::start(&["demo", "--listen", "127.0.0.1:0"]);
    let line = demo.first_line();
    let address = line.strip_prefix("open http://").and_then(|rest| rest.strip_suffix('/'));
    let address: SocketAddr = address.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
    assert!(address.ip().is_loopback());
    let end = Instant::now() + PATIENCE;
    let wanted = ["btcusdt@ticker", "btcusdt@depth20", "btcusdt@bookTicker", "ethusdt@ticker"];
    loop {
        let channels = get(address, "/v1/channels");
        if wanted.iter().all(|channel| channels.contains(channel)) {
            break;
        }
        assert!(Instant::now() < end, "no market: {channels}");
    }
    let output = demo.interrupt();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout.is_empty(), "{said}");
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
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
        if asked == 1 && accepted > 200 && let Some(simulation) = simulation.take() {
            waiting = Some(std::thread::spawn(move || simulation.interrupt()));
        }
    }
    let output = waiting.unwrap().join().unwrap();
    let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
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
