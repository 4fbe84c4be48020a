//! Subscribers that break the protocol, flood, do not read, or vanish.
//!
//! Each is closed with its documented code, counted by its reason, told in one log line, and noticed by nobody else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::client::{CLOSE, Feed, Frame, PING, PONG, Subscriber, TEXT, masked};
use crate::handshake::Random;
use crate::harness::Turn;
use crate::scene::{Scene, reset};

const UNLIMITED: &str = "limits.messages_per_second=0";

/// A head with a mask of zeros, so that the payload stands as it is.
fn head(first: u8, length: &[u8]) -> Vec<u8> {
    let (short, rest) = length.split_first().unwrap();
    [&[first, 0x80 | short], rest, &[0; 4]].concat()
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [head(first, &[u8::try_from(payload.len()).unwrap()]), payload.to_vec()].concat()
}

fn long(length: u64) -> Vec<u8> {
    [&[127][..], &length.to_be_bytes()].concat()
}

fn close(code: u16, text: &[u8]) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), text].concat())
}

fn ended(reason: &str) -> String {
    format!(r#"shard_closed_subscribers{{reason="{reason}"}}"#)
}

/// Each of these bytes closes a subscriber with this code, for this reason.
fn assert_closes(scene: &mut Scene, code: u16, reason: &str, cases: &[Vec<u8>]) {
    for bytes in cases {
        let mut subscriber = Subscriber::native(&scene.server);
        subscriber.write(bytes);
        scene.expect_close(&mut subscriber, code);
        scene.beat();
    }
    scene.expect_each(cases.len() as u64, &ended(reason), &format!("reason={reason:?}"));
}

#[test]
fn frames_that_break_the_protocol_close_with_1002() {
    let mut scene = Scene::new(&[]);
    let request = br#"{"op":"subscribe","id":1,"channels":["calm@trade"]}"#;
    let unmasked = [&[0x81, request.len() as u8], &request[..]].concat();
    let mut cases = vec![unmasked, vec![0x89, 0], vec![0x88, 0]];
    cases.extend([0xc1, 0xa1, 0x91].map(|reserved_bit| frame(reserved_bit, b"{}")));
    cases.extend([3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf].map(|opcode| frame(0x80 | opcode, b"")));
    cases.extend([
        frame(0x09, b"fragmented ping"),
        frame(0x80, b"continuation of nothing"),
        [frame(0x01, b"{"), frame(0x81, b"}")].concat(),
    ]);
    cases.extend([0x88, 0x89, 0x8a].map(|control| head(control, &[126, 0, 126])));
    cases.push(frame(0x88, &[3]));
    cases.extend([0, 999, 1004, 1005, 1006, 1015, 5000].map(|code| close(code, b"")));
    cases.extend([1 << 63, u64::MAX, 125, 65_535].map(|length| head(0x81, &long(length))));
    cases.push(head(0x81, &[126, 0, 125]));
    assert_closes(&mut scene, 1002, "protocol_error", &cases);
}

#[test]
fn messages_past_a_bound_or_not_text_close_with_their_code() {
    let mut scene = Scene::new(&[]);
    let too_big = [head(0x81, &long(65_537)), head(0x01, &long(1 << 40))];
    assert_closes(&mut scene, 1009, "message_too_big", &too_big);
    let grown = [head(0x01, &long(65_536)), vec![b' '; 65_536], frame(0x80, b" ")].concat();
    assert_closes(&mut scene, 1009, "message_too_big", &[grown]);

    // Fail-fast: at the first byte that cannot be, in the middle of a message.
    let split = [frame(0x01, b"\xe2\x82"), frame(0x00, b"\x28")].concat();
    let invalid = [frame(0x81, b"\xff"), frame(0x01, b"\xc0\xaf"), split, close(1000, b"\xff")];
    assert_closes(&mut scene, 1007, "invalid_utf8", &invalid);

    assert_closes(&mut scene, 1003, "unsupported_data", &[frame(0x82, b"\0")]);
    scene.expect(&[], &[]);
}

#[test]
fn a_flood_of_fragments_ends_at_the_sixteenth() {
    let mut scene = Scene::new(&[]);
    for (first, fragment) in [(frame(0x01, b""), frame(0x00, b"")), (frame(0x01, b" "), frame(0x00, b" "))] {
        let mut subscriber = Subscriber::native(&scene.server);
        let before = scene.cpu();
        subscriber.write(&first);
        // Written by whom nobody hears any more: as far as the server reads on.
        let (mut stream, _) = subscriber.into_stream();
        let flood = fragment.repeat(10_000);
        let written = (0..100).take_while(|_| stream.write_all(&flood).is_ok()).count();
        let took = scene.cpu() - before;
        assert!(took.as_millis() < 1500, "{took:?} for {written} times {} bytes", flood.len());
        let mut close = [0; 4];
        stream.read_exact(&mut close).unwrap();
        assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, 1008));
        drop(stream);
        scene.expect_each(1, &ended("too_many_fragments"), r#"reason="too_many_fragments""#);
    }
}

#[test]
fn messages_announced_and_never_sent_cost_nothing_and_time_out() {
    let _alone = Turn::alone();
    let mut scene = Scene::new(&["limits.close_timeout=2s", UNLIMITED]);
    let mut liars: Vec<_> = (0..500).map(|_| Subscriber::native(&scene.server)).collect();
    let mut witness = Subscriber::native(&scene.server);
    witness.ask(1, r#"{"op":"ping","id":1}"#);
    let before = scene.server.resident_bytes();
    for liar in &mut liars {
        liar.write(&head(0x81, &[126, 0xff, 0xff]));
    }
    scene.beat();
    witness.ask(2, r#"{"op":"ping","id":2}"#);
    let grown = scene.server.resident_bytes().saturating_sub(before);
    // The allocator's steps are large; 500 times what was announced is 32 MiB.
    assert!(grown <= 4 << 20, "{grown} bytes for 500 heads");
    for liar in &mut liars {
        assert_eq!(liar.next().unwrap().close(), (1008, "message not finished in time"));
    }
    let before = scene.cpu();
    // They do not answer: after as much time again they are cut, and waiting for that is free.
    for liar in &mut liars {
        assert_eq!(liar.next(), None);
    }
    let took = scene.cpu() - before;
    assert!(took.as_millis() < 100, "{took:?} of processor time to wait");
    scene.expect_storm(&[(&ended("read_timeout"), 500)], 500);
}

#[test]
fn a_message_in_single_bytes_is_a_message() {
    let mut scene = Scene::new(&[UNLIMITED]);
    let mut slow = Subscriber::native(&scene.server);
    let mut witness = Subscriber::native(&scene.server);
    let request = r#"{"op":"list","id":7}"#;
    for byte in masked(TEXT, request.as_bytes()) {
        slow.write(&[byte]);
        // The shard has had a turn when this is answered, so each byte is read by itself.
        witness.ask(1, r#"{"op":"ping","id":1}"#);
    }
    assert_eq!(slow.text(), r#"{"op":"list","id":7,"channels":[]}"#);
    scene.expect(&[], &[]);
}

#[test]
fn a_thousand_requests_at_once_are_too_many() {
    let mut scene = Scene::new(&[]);
    let requests = masked(TEXT, br#"{"op":"ping","id":1}"#).repeat(1000);
    let floods = [requests, masked(PING, b"x").repeat(1000), masked(TEXT, b"").repeat(1000)];
    for (flood, answered) in floods.iter().zip([true, true, false]) {
        let mut subscriber = Subscriber::native(&scene.server);
        subscriber.write(flood);
        let mut answers = up_to_close(&mut subscriber);
        let close = answers.pop().unwrap();
        assert_eq!(close.close(), (1008, "Too many requests"));
        assert!((50..60).contains(&answers.len()), "{} answers", answers.len());
        assert!(answers.iter().all(|answer| matches!(answer.opcode, PONG | TEXT)));
        drop(subscriber);
        let refused = if answered { 0 } else { answers.len() as u64 };
        let reason = ended("too_many_requests");
        let counts = [(reason.as_str(), 1), ("shard_refused_requests", refused)];
        let mut lines = vec!["a request was refused"; answers.len()];
        lines.truncate(refused as usize);
        lines.push(r#"reason="too_many_requests""#);
        scene.expect(&counts[..if answered { 1 } else { 2 }], &lines);
    }
}

/// Frames up to the close frame, with it.
fn up_to_close(subscriber: &mut Subscriber) -> Vec<Frame> {
    let mut frames = Vec::new();
    while frames.last().is_none_or(|last: &Frame| last.opcode != CLOSE) {
        frames.push(subscriber.next().expect("a close frame, not the end"));
    }
    frames
}

#[test]
fn every_way_to_close_frees_the_socket() {
    let mut scene = Scene::new(&["limits.close_timeout=500ms"]);
    let descriptors = scene.descriptors();

    let mut first = Subscriber::native(&scene.server);
    first.send(CLOSE, &4321_u16.to_be_bytes());
    assert_eq!(first.next().unwrap().close(), (4321, ""));
    assert_eq!(first.next(), None);
    scene.expect(&[(&ended("client_closed"), 1)], &[]);

    let mut wordless = Subscriber::native(&scene.server);
    wordless.write(&[masked(CLOSE, b""), masked(TEXT, b"data after it"), masked(CLOSE, b"")].concat());
    assert_eq!(wordless.next(), Some(Frame { opcode: CLOSE, payload: Vec::new() }));
    assert_eq!(wordless.next(), None);
    scene.expect(&[(&ended("client_closed"), 1)], &[]);

    // The server first; the client answers nothing and is cut.
    let mut silent = Subscriber::native(&scene.server);
    silent.write(&frame(0x83, b""));
    assert_eq!(silent.next().unwrap().close().0, 1002);
    assert_eq!(silent.next(), None);
    scene.expect_each(1, &ended("protocol_error"), r#"reason="protocol_error""#);

    // Who answered is let go at once, and not kept for the time-out: its side is ended by ours.
    let mut both = Subscriber::native(&scene.server);
    both.write(&[frame(0x83, b""), masked(CLOSE, &1000_u16.to_be_bytes())].concat());
    scene.expect_close(&mut both, 1002);
    scene.expect_each(1, &ended("protocol_error"), r#"reason="protocol_error""#);

    // No close at all: its side ended, all of it, or by a reset in the middle of a frame.
    let half = Subscriber::native(&scene.server);
    let (half, _) = half.into_stream();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(crate::scene::everything(half), "");
    drop(Subscriber::native(&scene.server));
    let mut torn = Subscriber::native(&scene.server);
    torn.write(&head(0x81, &[50]));
    reset(torn.into_stream().0);
    scene.expect_each(3, &ended("client_vanished"), r#"reason="client_vanished""#);

    assert_eq!(scene.descriptors(), descriptors);
}

#[test]
fn malformed_channels_are_refused_and_nothing_is_subscribed() {
    let mut scene = Scene::new(&[UNLIMITED]);
    let mut native = Subscriber::native(&scene.server);
    let mut binance = Subscriber::connect(&scene.server, "/ws");
    let long = format!("{}@trade", "a".repeat(123));
    let names = [
        "",
        "@",
        "a@",
        "@trade",
        "nothing",
        &long,
        "a b@trade",
        r"a\r\nPUB@trade",
        r"a\u0000@trade",
        "a>@trade",
        "a..b@trade",
        ".a@trade",
        "a.@trade",
        "$JS.API.>@x",
        "$SYS@trade",
        "a#1@trade",
        r"a\u001b[31m@trade",
    ];
    for name in names {
        let request = format!(r#"{{"op":"subscribe","id":1,"channels":["calm@trade","{name}"]}}"#);
        let answer = native.ask(1, &request);
        let expected = r#"{"op":"error","id":1,"code":"invalid_channel","message":""#;
        assert!(answer.text.starts_with(expected) && answer.before.is_empty(), "{answer:?}");
        scene.expect(&[("shard_refused_requests", 1)], &[r#"code="invalid_channel""#]);

        let request = format!(r#"{{"method":"SUBSCRIBE","params":["calm@trade","{name}"],"id":1}}"#);
        let answer = binance.ask(1, &request);
        let expected = r#"{"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":1}"#;
        assert!(answer.text == expected && answer.before.is_empty(), "{answer:?}");
        scene.expect(&[("shard_refused_requests", 1)], &[r#"code="invalid_channel""#]);
    }
    assert_eq!(native.ask(2, r#"{"op":"list","id":2}"#).text, r#"{"op":"list","id":2,"channels":[]}"#);
    let listed = binance.ask(2, r#"{"method":"LIST_SUBSCRIPTIONS","id":2}"#);
    assert_eq!(listed.text, r#"{"result":[],"id":2}"#);
}

#[test]
fn requests_that_are_none_are_answered_and_the_connection_stays() {
    let mut scene = Scene::new(&[UNLIMITED]);
    let deep = "[".repeat(50_000);
    let mut kept = Vec::new();
    for (path, expected) in [("/v1/ws", r#"{"op":"error","#), ("/ws", r#"{"error":{"code":"#)] {
        let mut subscriber = Subscriber::connect(&scene.server, path);
        if path == "/v1/ws" {
            subscriber.text();
        }
        for text in [
            "",
            "{",
            "[]",
            "null",
            "\"\u{1b}[31m\"",
            r#"{"op":"fly","method":"FLY","id":1}"#,
            "{\"op\"",
            &deep,
        ] {
            subscriber.say(text);
            let answer = subscriber.text();
            assert!(answer.starts_with(expected) && answer.len() < 1024, "{text:?}: {answer}");
            scene.expect(&[("shard_refused_requests", 1)], &["a request was refused"]);
        }
        kept.push(subscriber);
    }
}

#[test]
fn a_subscriber_has_its_channels_and_not_one_more() {
    let mut scene = Scene::new(&["limits.messages_burst=200"]);
    let before = scene.server.metrics().shard("subscriptions");
    let mut subscriber = Subscriber::native(&scene.server);
    let names: Vec<String> = (0..1024).map(|number| format!("c{number}@trade")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (id, names) in (1..).zip(names.chunks(512)) {
        subscriber.subscribe(id, names);
    }
    let answer = subscriber.ask(9, r#"{"op":"subscribe","id":9,"channels":["one@more"]}"#);
    assert!(answer.text.starts_with(r#"{"op":"error","id":9,"code":"too_many_channels""#), "{answer:?}");
    scene.expect(&[("shard_refused_requests", 1)], &["too_many_channels"]);
    subscriber.subscribe(10, &["c1@trade"]);

    // On and off, faster than anybody should.
    let on = masked(TEXT, br#"{"op":"subscribe","channels":["c1@trade","calm@trade"]}"#);
    let off = masked(TEXT, br#"{"op":"unsubscribe","channels":["c1@trade","calm@trade"]}"#);
    subscriber.unsubscribe(11, &["c2@trade"]);
    subscriber.write(&[on, off].concat().repeat(1000));
    let frames = up_to_close(&mut subscriber);
    assert_eq!(frames.last().unwrap().close(), (1008, "Too many requests"));
    drop(subscriber);
    scene.expect_each(1, &ended("too_many_requests"), "too_many_requests");
    assert_eq!(scene.server.metrics().shard("subscriptions"), before);
}

#[test]
fn who_never_reads_is_closed_and_disturbs_nobody() {
    let close = r#"delivery=[{kind="trade",delivery="every",slow="close"}]"#;
    let mut scene = Scene::new(&["outbox.bytes_max=65536", "limits.close_timeout=500ms", close]);
    let mut deaf = Subscriber::connect_with_room(&scene.server, "/v1/ws", 4096);
    deaf.subscribe(1, &["flood@trade"]);
    let mut feed = Feed::connect(&scene.server);
    let payload = format!("\"{}\"", "x".repeat(10_000));
    for number in 1..=600 {
        feed.publish("flood@trade", &payload);
        if number % 20 == 0 {
            feed.ping();
            scene.beat();
        }
    }
    scene.expect_each(1, &ended("slow"), r#"reason="slow""#);
    scene.server.metrics().assert_adds_up();

    // On a channel of which only the newest counts nothing piles up; its silence is what ends it.
    let settings = ["heartbeat.ping_every=300ms", "heartbeat.pong_timeout=2s", "limits.close_timeout=300ms"];
    let mut scene = Scene::new(&settings);
    let mut deaf = Subscriber::connect_with_room(&scene.server, "/v1/ws", 4096);
    deaf.subscribe(1, &["flood@ticker"]);
    let mut feed = Feed::connect(&scene.server);
    for _ in 0..30 {
        (0..20).for_each(|_| feed.publish("flood@ticker", &payload));
        feed.ping();
        scene.beat();
    }
    assert!(scene.server.metrics().shard("conflated_records") > 0);
    scene.expect_each(1, &ended("pong_timeout"), r#"reason="pong_timeout""#);
    scene.server.metrics().assert_adds_up();
}

#[test]
fn pings_without_reading_the_pongs_are_bounded() {
    let mut scene = Scene::new(&["limits.close_timeout=500ms"]);
    let mut subscriber = Subscriber::connect_with_room(&scene.server, "/v1/ws", 4096);
    subscriber.write(&masked(PING, &[b'p'; 125]).repeat(10_000)[..60_000]);
    // Not read: the close goes out all the same, and then the connection.
    scene.expect_each(1, &ended("too_many_requests"), r#"reason="too_many_requests""#);
}

#[test]
fn resets_during_a_broadcast_leave_nothing_behind() {
    let mut scene = Scene::new(&["limits.connections_per_address=0", UNLIMITED]);
    let descriptors = scene.descriptors();
    let mut feed = Feed::connect(&scene.server);
    let mut vanished = 0;
    for _ in 0..3 {
        let peers: Vec<TcpStream> =
            (0..100).map(|_| Subscriber::connect(&scene.server, "/ws/flood@trade").into_stream().0).collect();
        scene.server.wait_until("all to be there", |metrics| metrics.shard("subscribers") == 101);
        for peer in peers {
            feed.publish("flood@trade", r#""a record that is being sent while its reader goes""#);
            feed.ping();
            reset(peer);
            vanished += 1;
        }
        scene.beat();
    }
    scene.expect_storm(&[(&ended("client_vanished"), vanished)], 300);
    let metrics = scene.server.wait_until_quiet(scene.published() + vanished);
    assert_eq!((metrics.shard("subscribers"), metrics.shard("subscriptions")), (1, 1));
    drop(feed);
    scene.server.wait_until("the feed to be gone", |metrics| metrics.get("tapecast_ingest_connections") == 1);
    assert_eq!(scene.descriptors(), descriptors);
}

#[test]
fn random_frames_end_nobody_but_their_sender() {
    let mut scene = Scene::new(&["limits.close_timeout=500ms", UNLIMITED]);
    let seed = 0x0fa5_7ca5_e5ee_d001;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    for number in 0..200 {
        let path = ["/v1/ws", "/ws", "/stream?streams=calm@trade"][number % 3];
        let (mut peer, _) = Subscriber::connect(&scene.server, path).into_stream();
        let mut bytes = Vec::new();
        for _ in 0..random.below(20) {
            let payload: Vec<u8> = (0..random.below(125)).map(|_| random.next() as u8).collect();
            // Mostly plausible heads, now and then any byte at all.
            let opcode = [0x81, 0x01, 0x00, 0x80, 0x89, 0x8a, 0x88, 0x82][random.below(8)];
            let first = if random.below(4) == 0 { random.next() as u8 } else { opcode };
            bytes.extend(frame(first, &payload));
        }
        // One that was closed early meets a reset here.
        let _ = peer.write_all(&bytes);
        drop(peer);
        if number % 20 == 0 {
            scene.beat();
        }
    }
    scene.server.wait_until("all to be gone", |metrics| metrics.closed_by_any() == 200);
    scene.beat();
    scene.server.wait_until_quiet(scene.published());
}
