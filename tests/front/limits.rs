//! Limits: on connections, on heads, on time. Each is held, and is free again when its holder is gone.

use std::io::{ErrorKind, Read as _, Write as _};
use std::ops::ControlFlow::{Break, Continue};
use std::time::Duration;

use tapecast::front::Options;

use crate::harness::{
    GET, Harness, PATIENCE, assert_refused, assert_switches, everything, handshake, head, now, options, retry,
};

#[test]
fn the_limit_on_connections_holds_until_a_newborn_is_dropped() {
    let front = Harness::new(Options { connections_max: 2, ..options() });
    let _clients = [front.upgrade(), front.upgrade()];
    let (first, _second) = (front.newborn(0), front.newborn(0));
    assert_refused(&front.say(handshake("/v1/ws", "")), 503);
    assert_eq!((front.read(|s| &s.refused_total), front.read(|s| &s.accepted)), (1, 3));
    drop(first);
    front.upgrade();
}

#[test]
fn the_limit_on_an_address_holds_until_a_newborn_is_dropped() {
    let front = Harness::new(Options { connections_per_address_max: 1, ..options() });
    let _client = front.upgrade();
    let newborn = front.newborn(0);
    assert_refused(&front.say(handshake("/v1/ws", "")), 503);
    assert_eq!(front.read(|s| &s.refused_address), 1);
    drop(newborn);
    front.upgrade();
}

#[test]
fn handshakes_in_progress_are_limited_and_end_with_their_clients() {
    let front = Harness::new(Options { handshakes_max: 1, ..options() });
    let slow = front.send("GET /v1/ws HT");
    assert_refused(&front.say(handshake("/v1/ws", "")), 503);
    assert_eq!(front.read(|s| &s.refused_busy), 1);
    drop(slow);
    front.expect(|s| &s.connections, 0);
    front.upgrade();
    assert_eq!(front.read(|s| &s.bad_requests), 1);
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let front = Harness::new(Options { handshakes_max: 0, ..options() });
    for _ in 0..50 {
        assert_refused(&front.say(handshake("/v1/ws", &"x: y\r\n".repeat(50))), 503);
    }
}

#[test]
fn heads_over_the_bounds_are_refused() {
    let front = Harness::new(options());
    // Five headers stand in each handshake.
    let lines = |count: usize| handshake("/v1/ws", &"x: y\r\n".repeat(count - 5));
    assert_refused(&front.say(lines(101)), 431);
    assert_switches(&head(&mut front.send(lines(100))));

    let padded = |bytes: usize| {
        let padding = bytes - handshake("/v1/ws", "x: \r\n").len();
        handshake("/v1/ws", &format!("x: {}\r\n", "y".repeat(padding)))
    };
    let bytes_max = options().head_bytes_max;
    assert_refused(&front.say(padded(bytes_max + 1)), 431);
    assert_switches(&head(&mut front.send(padded(bytes_max))));
    front.expect(|s| &s.bad_requests, 2);
}

#[test]
fn a_head_that_does_not_end_is_cut_after_its_time() {
    let head_timeout = Duration::from_millis(300);
    let front = Harness::new(Options { head_timeout, ..options() });
    let begun = now();
    let silent = front.connect();
    let mut slow = front.connect();
    // The read's time-out is the pace: a byte of head each 20 ms.
    slow.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let end = retry(|| match slow.read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock && slow.write_all(b"x").is_ok() => Continue(()),
        end => Break(end.unwrap_or(0)),
    });
    assert_eq!((end, everything(silent).as_str()), (0, ""), "closed without an answer");
    let took = now() - begun;
    assert!(took >= head_timeout, "{took:?}");
    front.expect(|s| &s.bad_requests, 2);
    drop(slow);
    front.expect(|s| &s.connections, 0);
}

#[test]
fn a_kept_connection_that_is_idle_ends_and_is_not_counted_as_bad() {
    let front = Harness::new(Options { head_timeout: Duration::from_millis(100), ..options() });
    let answer = front.say(GET);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    front.expect(|s| &s.connections, 0);
    assert_eq!(front.read(|s| &s.bad_requests), 0);
}

#[test]
fn a_client_that_reads_no_answers_is_cut() {
    let front = Harness::new(Options { head_timeout: Duration::from_millis(200), ..options() });
    let mut client = front.connect();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    let requests = GET.repeat(1000);
    let cut = retry(|| match client.write_all(requests.as_bytes()) {
        Ok(()) => Continue(()),
        Err(error) => Break(error.kind()),
    });
    assert!(matches!(cut, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{cut}");
    front.expect(|s| &s.connections, 0);
}
