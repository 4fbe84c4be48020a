//! Event streams on the front: what a shard gets of one, and how its end, the client's and the server's meet.
//!
//! The test plays the shard: it has the far end of the pipe.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tapecast::dialect::{ResumeFrom, Shape};
use tapecast::front::Options;
use tapecast::shard::mailbox::Newborn;
use tapecast::subscriber::socket::Connection;

use crate::harness::{Harness, assert_refused, dechunked, everything, exactly, head, now, options};

fn request(query: &str, more: &str) -> String {
    format!("GET /v1/sse?{query} HTTP/1.1\r\nHost: test\r\n{more}\r\n")
}

/// The shard's end of a stream.
fn pipe(newborn: &mut Newborn) -> &mut UnixStream {
    let Connection::Pipe(pipe) = &mut newborn.socket else { panic!("not a pipe") };
    pipe
}

/// A stream that has begun.
fn begin(front: &Harness) -> (TcpStream, Newborn) {
    let mut client = front.send(request("channels=a@b", ""));
    assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
    (client, front.newborn(0))
}

#[test]
fn a_stream_is_a_pipe_to_a_shard() {
    let front = Harness::new(options());
    let mut client =
        front.send(request("channels=a@ticker,*@x&every_ms=250&snapshot=false", "Last-Event-ID: e1:7\r\n"));
    let head = head(&mut client).to_ascii_lowercase();
    for header in [
        "content-type: text/event-stream",
        "cache-control: no-store",
        "x-accel-buffering: no",
        "access-control-allow-origin: *",
        "connection: close",
    ] {
        assert!(head.contains(&format!("\r\n{header}\r\n")), "{head}");
    }
    let mut newborn = front.newborn(0);
    assert_eq!(newborn.peer, client.local_addr().unwrap());
    assert_eq!((newborn.opening.shape, newborn.opening.dialect.name()), (Shape::Sse, "sse"));
    let subscribe = &newborn.opening.subscribe;
    assert_eq!((subscribe.channels.len(), subscribe.patterns.len()), (1, 1));
    assert_eq!((subscribe.every_ms, subscribe.snapshot), (250, false));
    let resume = subscribe.resume.as_ref().unwrap();
    assert_eq!((&*resume.epoch, &resume.from), ("e1", &ResumeFrom::Ordinal(7)));

    // Non-blocking, and what is written there arrives at once.
    assert_eq!(pipe(&mut newborn).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    pipe(&mut newborn).write_all(b"data: 1\n\n").unwrap();
    assert_eq!(exactly(&mut client, 14), "9\r\ndata: 1\n\n\r\n");
    assert_eq!((front.read(|s| &s.streams), front.read(|s| &s.connections)), (1, 1));
    pipe(&mut newborn).write_all(b"data: 2\n\n").unwrap();
    drop(newborn);
    assert_eq!(dechunked(&everything(client)), "data: 2\n\n", "the end of the pipe is the end of the stream");
    front.expect(|s| &s.connections, 0);
    assert_eq!((front.read(|s| &s.streams), front.read(|s| &s.bad_requests)), (0, 0));
}

#[test]
fn a_rubbish_id_begins_anew() {
    let front = Harness::new(options());
    for id in ["rubbish", "e1:x", ":", "\u{fffd}"] {
        let _client = front.send(request("channels=a@b", &format!("Last-Event-ID: {id}\r\n")));
        let resume = front.newborn(0).opening.subscribe.resume.unwrap();
        assert_eq!((&*resume.epoch, resume.from), ("", ResumeFrom::Ordinal(0)), "{id}: no numbering of ours");
    }
}

#[test]
fn a_stream_outlives_the_time_of_a_request_and_holds_no_handshakes_place() {
    let options = Options { handshakes_max: 1, head_timeout: Duration::from_millis(100), ..options() };
    let front = Harness::new(options);
    let (mut client, mut newborn) = begin(&front);
    let begun = now();
    while now() - begun < Duration::from_millis(700) {
        pipe(&mut newborn).write_all(b":\n\n").unwrap();
        exactly(&mut client, 8);
        assert_eq!(front.get("/v1/channels").0, 200, "the one place is free");
    }
    // Once its subscriber is gone it is a connection as any other: one that does not read is cut.
    while pipe(&mut newborn).write(&[b'x'; 4096]).is_ok() {}
    drop(newborn);
    front.expect(|s| &s.connections, 0);
}

#[test]
fn a_client_that_does_not_read_fills_a_pipe_and_no_more() {
    let front = Harness::new(options());
    let (client, mut newborn) = begin(&front);
    let mut taken = 0;
    let deadline = now() + Duration::from_millis(500);
    while now() < deadline {
        match pipe(&mut newborn).write(&[b'x'; 16 * 1024]) {
            Ok(bytes) => taken += bytes,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    // The client's receive buffer is the kernel's affair, and grows to some MB.
    assert!(taken < 16 * 1024 * 1024, "{taken} bytes went somewhere");
    drop(client);
    crate::harness::retry(|| match pipe(&mut newborn).write(b"x") {
        Err(error) if error.kind() != ErrorKind::WouldBlock => std::ops::ControlFlow::Break(()),
        _ => std::ops::ControlFlow::Continue(()),
    });
    drop(newborn);
    front.expect(|s| &s.connections, 0);
}

#[test]
fn the_shutdown_leaves_a_stream_to_its_shard() {
    let mut front = Harness::new(options());
    let (mut client, mut newborn) = begin(&front);
    front.shutdown.send_replace(true);
    crate::harness::retry(|| match TcpStream::connect(front.address) {
        Err(_) => std::ops::ControlFlow::Break(()),
        Ok(_) => std::ops::ControlFlow::Continue(()),
    });
    pipe(&mut newborn).write_all(b"data: still here\n\n").unwrap();
    assert!(exactly(&mut client, 24).contains("still here"));
    pipe(&mut newborn).write_all(b"event: close\n\n").unwrap();
    drop(newborn);
    front.shut_down();
    assert!(everything(client).contains("event: close"));
}

#[test]
fn without_a_place_at_a_shard_it_is_refused() {
    let front = Harness::with_shards(options(), 1, 1);
    let _client = front.send(request("channels=a@b", ""));
    front.expect(|s| &s.streams, 1);
    let refused = front.say(request("channels=a@b", ""));
    assert_refused(&refused, 503);
    assert!(refused.contains(r#"{"code":"busy","#), "{refused}");
    drop(front.newborn(0));
}
