//! What a shard gets, and which shard gets it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tapecast::front::{Front, Options};
use tapecast::shard::mailbox::Newborn;
use tapecast::subscriber::socket::Connection;

use crate::harness::{
    ACCEPT, Harness, assert_refused, assert_switches, everything, exactly, handshake, head, now, options,
};

/// The socket of a WebSocket client's newborn.
fn tcp(newborn: &mut Newborn) -> &mut TcpStream {
    let Connection::Tcp(socket) = &mut newborn.socket else { panic!("not a TCP socket") };
    socket
}

#[test]
fn a_handshake_hands_over_the_socket_and_the_bytes_behind_it() {
    let front = Harness::new(options());
    let agent = "User-Agent: a client/1\r\n";
    let mut client = front.send(handshake("/ws/btcusdt@trade/ethusdt@ticker", agent) + "early");

    let head = head(&mut client);
    assert_switches(&head);
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains("\r\nupgrade: websocket\r\n"), "{head}");
    assert!(lower.contains("\r\nconnection: upgrade\r\n"), "{head}");
    assert!(head.contains(&format!(": {ACCEPT}\r\n")), "{head}");
    assert!(!lower.contains("sec-websocket-extensions"), "{head}");

    let mut newborn = front.newborn(0);
    assert_eq!(newborn.read_ahead, b"early");
    assert_eq!(newborn.peer, client.local_addr().unwrap());
    assert_eq!(newborn.agent.as_deref(), Some("a client/1"));
    assert!(tcp(&mut newborn).nodelay().unwrap());
    assert_eq!(newborn.opening.dialect.name(), "binance");
    let channels: Vec<_> =
        newborn.opening.subscribe.channels.iter().map(|wanted| wanted.name.as_str()).collect();
    assert_eq!(channels, ["btcusdt@trade", "ethusdt@ticker"]);

    // It is non-blocking and whole: what the shard writes, the client reads.
    let nothing_yet = tcp(&mut newborn).read(&mut [0]).unwrap_err();
    assert_eq!(nothing_yet.kind(), ErrorKind::WouldBlock);
    tcp(&mut newborn).write_all(b"from the shard").unwrap();
    assert_eq!(exactly(&mut client, 14), "from the shard");
    assert_eq!((front.read(|s| &s.upgraded), front.read(|s| &s.connections)), (1, 1));
}

#[test]
fn a_socket_handed_over_outlives_the_front() {
    let mut front = Harness::new(options());
    let mut client = front.upgrade();
    let mut newborn = front.newborn(0);
    front.shut_down();
    tcp(&mut newborn).write_all(b"still here").unwrap();
    assert_eq!(exactly(&mut client, 10), "still here");
    assert_eq!(front.read(|s| &s.connections), 1);
    drop(newborn);
    assert_eq!(front.read(|s| &s.connections), 0, "the permit went with it");
}

#[test]
fn the_least_loaded_shard_gets_the_next_one() {
    let front = Harness::with_shards(options(), 3, 64);
    let _clients: Vec<_> = (0..6).map(|_| front.upgrade()).collect();
    for post in 0..3 {
        (0..2).for_each(|_| drop(front.newborn(post)));
    }
    (0..2).for_each(|_| front.posts[1].departed());
    let _more: Vec<_> = (0..2).map(|_| front.upgrade()).collect();
    (0..2).for_each(|_| drop(front.newborn(1)));
}

#[test]
fn a_full_mailbox_passes_to_the_next_shard_and_then_refuses() {
    let front = Harness::with_shards(options(), 2, 1);
    let _clients = [front.upgrade(), front.upgrade()];
    drop(front.newborn(0));
    // The second shard has nobody now, so it is tried first, but its one place is taken.
    front.posts[1].departed();
    let _third = front.upgrade();
    assert_refused(&front.say(handshake("/v1/ws", "")), 503);
    assert_eq!(front.read(|s| &s.refused_busy), 1);
    drop(front.newborn(1));
    let _fourth = front.upgrade();
    drop(front.newborn(1));
}

#[test]
fn a_url_may_name_as_many_channels_as_a_subscriber_may_have() {
    let front = Harness::new(options());
    let names = |count: usize| (0..count).map(|n| format!("symbol{n:05}usdt@bookTicker")).collect::<Vec<_>>();
    let target = |count: usize| format!("/stream?streams={}", names(count).join("/"));
    let mut client = front.send(handshake(&target(1024), ""));
    assert_switches(&head(&mut client));
    assert_eq!(front.newborn(0).opening.subscribe.channels.len(), 1024);
    assert_refused(&front.say(handshake(&target(1025), "")), 400);
}

#[test]
fn the_shutdown_ends_what_is_not_handed_over() {
    let mut front = Harness::new(options());
    let idle = front.connect();
    let mut halfway = front.send("GET / HTTP/1.1\r\n");
    front.expect(|s| &s.connections, 2);
    let begun = now();
    front.shutdown.send_replace(true);
    assert_eq!(everything(idle), "");
    let took = now() - begun;
    assert!(took < Duration::from_millis(900), "an idle one ends at once, not after {took:?}");
    front.shut_down();
    assert_eq!(front.read(|s| &s.connections), 0);
    // What it had sent was read, or not: then the end is a reset.
    assert!(matches!(halfway.read(&mut [0]), Ok(0) | Err(_)));
    assert!(TcpStream::connect(front.address).is_err(), "nobody listens");
}

#[test]
fn a_taken_port_is_named() {
    let front = Harness::new(options());
    let again = Front::bind(Options { listen: front.address, ..options() }, Arc::default());
    let error = again.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&front.address.to_string()), "{error}");
}
