//! Connections that never become subscribers: bad handshakes, slow ones, those above a limit, and what is not HTTP.
//!
//! Each is answered as documented, counted once, told in one log line, and noticed by nobody else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, prlimit};

use crate::client::Subscriber;
use crate::harness::{Server, Turn};
use crate::scene::{SMALL, Scene, everything};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

fn handshake(target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\n{KEY}\r\n{more}\r\n"
    )
}

/// One answer of this status, which closes.
#[track_caller]
fn assert_refused(answer: &str, status: u16) {
    let lower = answer.to_ascii_lowercase();
    assert!(lower.starts_with(&format!("http/1.1 {status} ")), "{answer:?}");
    assert!(lower.contains("\r\nconnection: close\r\n"), "{answer:?}");
    assert_eq!(lower.matches("http/1.1 ").count(), 1, "{answer:?}");
}

#[test]
fn a_bad_handshake_is_never_answered_with_101() {
    let mut scene = Scene::new(&[]);
    let good = handshake("/v1/ws", "");
    let swap = |from: &str, to: &str| (good.replacen(from, to, 1), 400);
    let upgrade_required = |(request, _): (String, u16)| (request, 426);
    let mut cases = vec![
        swap("Upgrade: websocket", "Upgrade: h2c"),
        swap("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: websocket"),
        swap("Connection: Upgrade", "Connection: close"),
        swap("Connection: Upgrade\r\n", ""),
        swap(KEY, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"),
        swap(KEY, &format!("{KEY}\r\n{KEY}")),
        swap(&format!("{KEY}\r\n"), ""),
        swap("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n12345"),
        swap("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"),
        (handshake("/stream?streams=nonsense", ""), 400),
        (handshake("/v1/ws?channels=%FF@trade", ""), 400),
        (good.replacen("GET", "POST", 1), 405),
        upgrade_required(swap("Upgrade: websocket\r\n", "")),
    ];
    cases.extend(
        ["7", "8", "12", "14"]
            .map(|version| upgrade_required(swap("Version: 13", &format!("Version: {version}")))),
    );
    for (request, status) in &cases {
        // Whatever a proxy takes for a tunnel, nothing behind the refusal is answered.
        let answer =
            scene.say("subscribers", format!("{request}GET / HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        assert_refused(&answer, *status);
        assert_eq!(*status == 426, answer.contains("sec-websocket-version: 13\r\n"), "{answer}");
        scene.expect(&[("front_bad_handshakes", 1)], &["refused a request"]);
    }
    let old = scene.say("subscribers", good.replacen("HTTP/1.1", "HTTP/1.0", 1).as_bytes());
    assert!(old.starts_with("HTTP/1.0 400 "), "{old:?}");
    scene.expect(&[("front_bad_handshakes", 1)], &["refused a request"]);
}

#[test]
fn who_has_nothing_more_to_say_is_answered() {
    let mut scene = Scene::new(&[]);
    for role in ["subscribers", "ingest", "admin"] {
        for _ in 0..100 {
            let answer = scene.say(role, b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 "), "{role}: {answer:?}");
        }
    }
    let counts = [("front_not_found_requests", 100), ("ingest_bad_requests", 100)];
    scene.expect_storm(&counts, 200);
}

#[test]
fn an_unknown_path_is_404() {
    let mut scene = Scene::new(&[]);
    for target in ["/nope", "/v1/wss", "/metrics", "/ingest"] {
        assert_refused(&scene.say("subscribers", handshake(target, "").as_bytes()), 404);
        scene.expect(&[("front_not_found_requests", 1)], &[&format!("path={target:?} status=404")]);
    }
}

#[test]
fn a_message_whose_bounds_two_readers_may_see_differently_is_refused() {
    let mut scene = Scene::new(&[]);
    let next = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked";
    for head in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Host: a\0b",
        "Content-Length : 5",
        "X: a\r\n folded",
        "Transfer-Encoding: gzip",
        &format!("{chunked}, gzip"),
    ] {
        let answer = scene.say(
            "subscribers",
            format!("GET /v1/ws HTTP/1.1\r\nHost: test\r\n{head}\r\n\r\n{next}").as_bytes(),
        );
        let refusals = answer.matches("HTTP/1.1 4").count();
        assert_eq!((refusals, answer.matches("HTTP/1.1 ").count()), (1, 1), "{head:?}: {answer:?}");
    }
    scene.beat();
}

#[test]
fn a_head_without_measure_is_cut_and_costs_little() {
    let _alone = Turn::alone();
    let mut scene = Scene::new(&[]);
    let lines = |count: usize| handshake("/v1/ws", &"x: y\r\n".repeat(count - 5));
    assert_refused(&scene.say("subscribers", lines(101).as_bytes()), 431);
    scene.expect(&[("front_bad_requests", 1)], &["too"]);
    assert_refused(
        &scene.say("subscribers", handshake("/v1/ws", &format!("x: {}\r\n", "y".repeat(65_536))).as_bytes()),
        431,
    );
    scene.expect(&[("front_bad_requests", 1)], &["too"]);

    let before = scene.cpu();
    let mut dripping = scene.send("subscribers", b"GET /v1/ws HTTP/1.1\r\nHost: test\r\nx: ");
    dripping.set_nodelay(true).unwrap();
    let taken = (0..10_000_000).take_while(|_| dripping.write_all(b"y").is_ok()).count();
    assert!(taken < 10_000_000, "it was never cut");
    scene.expect(&[("front_bad_requests", 1)], &["too"]);
    // A parser that begins anew with each byte would take minutes.
    let took = scene.cpu() - before;
    assert!(took < Duration::from_secs(4), "{took:?} for one client's head");
}

#[test]
fn connections_that_do_not_finish_their_head_are_cut() {
    let mut scene = Scene::new(&["limits.head_timeout=1s"]);
    let silent: Vec<_> = (0..100).map(|_| scene.send("subscribers", b"")).collect();
    let slow: Vec<_> = (0..100).map(|_| scene.send("subscribers", b"GET /v1/ws HT")).collect();
    scene.beat();
    for peer in silent.into_iter().chain(slow) {
        assert_eq!(everything(peer), "");
    }
    scene.expect_each(200, "front_bad_requests", "a connection ended without a whole request");
    // As many again find their places free.
    let _subscribers: Vec<_> = (0..10).map(|_| Subscriber::native(&scene.server)).collect();
}

#[test]
fn hostile_offers_are_passed_over() {
    let mut scene = Scene::new(&[]);
    let offers = [
        format!("Sec-WebSocket-Extensions: a; b=\"{}\r\n", r"\c".repeat(4096)),
        format!("Sec-WebSocket-Protocol: {}x\r\n", " ".repeat(32_000)),
        "Sec-WebSocket-Extensions: __proto__, constructor\r\n".to_owned(),
        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7\r\n".to_owned(),
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=16; x, permessage-deflate\r\n"
            .to_owned(),
    ];
    for offer in offers {
        let mut peer = scene.send("subscribers", handshake("/v1/ws", &offer).as_bytes());
        let head = read_head(&mut peer).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(
            !head.contains("sec-websocket-extensions") && !head.contains("sec-websocket-protocol"),
            "{head}"
        );
        drop(peer);
        scene.expect(&[(r#"shard_closed_subscribers{reason="client_vanished"}"#, 1)], &["client_vanished"]);
    }
}

fn read_head(peer: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(peer.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn what_is_not_http_is_closed() {
    let mut scene = Scene::new(&[]);
    let seed = 0x7a9e_ca57_u64;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    let beginnings: [&[u8]; 5] = [
        b"",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x05\x01\x00",
        b"GET /v1/ws HTTP/1.1\r\n",
    ];
    let peers = 200;
    for number in 0..peers {
        // The first byte decides nothing by chance: no noise of this seed is a request.
        let noise: Vec<u8> = (0..random.below(4096)).map(|_| random.next() as u8).collect();
        let bytes = [beginnings[number % beginnings.len()], &[0xff], &noise].concat();
        let answer = scene.say("subscribers", &bytes);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{number}: {answer:?}");
        if number % 50 == 0 {
            scene.beat();
        }
    }
    scene.expect_each(peers as u64, "front_bad_requests", "a connection ended without a whole request");
    // A megabyte of it from one client.
    let noise: Vec<u8> = (0..1 << 20).map(|_| random.next() as u8).collect();
    scene.say("subscribers", &noise);
    scene.expect_each(1, "front_bad_requests", "a connection ended without a whole request");
}

/// A generator whose seed is printed (PCG's multiplier, upper half).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }
}

#[test]
fn what_a_client_sends_cannot_forge_a_log_line() {
    let mut scene = Scene::new(&[]);
    let long = "A".repeat(10_000);
    let cases = [
        handshake("/%0d%0aINFO%20forged%1b[31m", ""),
        handshake(&format!("/{long}"), ""),
        handshake("/nope", &format!("User-Agent: {long}\r\nX-Forwarded-For: \x1b[2J{long}\r\n")),
        handshake("/nope\x1b[31m", ""),
        handshake("/\u{202e}\u{fffd}", ""),
        handshake("/stream?streams=\x7f%1b%0a", ""),
        handshake(&format!("/stream?streams={long}"), ""),
    ];
    for request in cases {
        let answer = scene.say("subscribers", request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 4"), "{request:?}: {answer}");
        scene.expect_any_one();
    }
    let answer = scene.say("subscribers", b"GET /\xff\xfe HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    scene.expect_any_one();
}

#[test]
fn connections_above_a_limit_are_told_when_to_come_back() {
    let mut scene = Scene::new(&["limits.connections=2"]);
    let second = Subscriber::native(&scene.server);
    let answer = scene.say("subscribers", handshake("/v1/ws", "").as_bytes());
    assert_refused(&answer, 503);
    assert!(answer.contains("\r\nRetry-After: 5\r\n"), "{answer}");
    scene.expect(&[(r#"front_refused_connections{limit="total"}"#, 1)], &["too many connections"]);
    drop(second);
    scene.expect(&[(r#"shard_closed_subscribers{reason="client_vanished"}"#, 1)], &["client_vanished"]);
    Subscriber::native(&scene.server);

    let mut scene = Scene::new(&["limits.connections_per_address=2"]);
    let _second = Subscriber::native(&scene.server);
    assert_refused(&scene.say("subscribers", handshake("/v1/ws", "").as_bytes()), 503);
    scene.expect(&[(r#"front_refused_connections{limit="address"}"#, 1)], &["from this address"]);
}

#[test]
fn a_storm_of_connections_is_taken_or_told() {
    let mut scene = Scene::new(&["limits.connections_per_address=0"]);
    let peers: Vec<_> =
        (0..500).map(|_| scene.send("subscribers", handshake("/v1/ws", "").as_bytes())).collect();
    let mut taken = Vec::new();
    for mut peer in peers {
        scene.beat();
        let head = read_head(&mut peer);
        assert!(head.starts_with("HTTP/1.1 101 ") || head.contains("Retry-After: 5"), "{head}");
        if head.starts_with("HTTP/1.1 101 ") {
            taken.push(peer);
        }
    }
    let metrics = scene
        .server
        .wait_until("all to be counted", |metrics| metrics.shard("subscribers") == taken.len() as u64 + 1);
    let busy = metrics.get(r#"tapecast_front_refused_connections_total{limit="busy"}"#);
    assert_eq!(busy + taken.len() as u64, 500);
}

#[test]
fn out_of_descriptors_the_operator_is_still_served() {
    let _alone = Turn::alone();
    let mut scene = Scene::of(Server::start(1, &SMALL), "");
    let few = Rlimit { current: Some(100), maximum: Some(100) };
    prlimit(Some(scene.server.pid()), Resource::Nofile, few).unwrap();
    let before = scene.cpu();
    let peers: Vec<_> = (0..150)
        .map(|_| {
            let mut peer = scene.send("subscribers", handshake("/v1/ws", "").as_bytes());
            let head = read_head(&mut peer);
            (head.starts_with("HTTP/1.1 101 "), peer)
        })
        .collect();
    let refused = peers.iter().filter(|(taken, _)| !taken).count() as u64;
    assert!((51..150).contains(&refused), "{refused} refused");
    // Scrapes, a new feed, and who is there go on.
    for _ in 0..10 {
        scene.beat();
    }
    assert!(scene.server.admin("/healthz").starts_with("HTTP/1.1 200 "));
    assert!(scene.descriptors() < 100);
    scene.expect_storm(&[(r#"front_refused_connections{limit="descriptors"}"#, refused)], 8);
    let took = scene.cpu() - before;
    assert!(took < Duration::from_secs(2), "{took:?} for 150 connections");
    drop(peers);
    scene.server.wait_until("the places to be free", |metrics| metrics.shard("subscribers") == 1);
    Subscriber::native(&scene.server);
}
