//! Feeds that send nonsense, break off, come twice, or may not come at all.
//!
//! Each is answered as documented, counted once, told in one log line, and noticed by nobody else.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tungstenite::{Message, WebSocket};

use crate::client::{Feed, Subscriber};
use crate::harness::Server;
use crate::scene::{SMALL, Scene, everything, reset};

fn refused(code: &str) -> String {
    format!(r#"ingest_refused_records{{code="{code}"}}"#)
}

#[test]
fn a_bad_line_is_answered_and_skipped() {
    let mut scene = Scene::new(&[]);
    let mut witness = Subscriber::native(&scene.server);
    witness.subscribe(1, &["good@trade"]);
    let (large, endless) = ("1".repeat(65_537), "x".repeat(1 << 20));
    let cases: [(&[u8], &str); 19] = [
        (b"", "malformed"),
        (b"nonsense", "malformed"),
        (b"a@trade", "malformed"),
        (b"AUTH late", "malformed"),
        (b"SESSION late", "malformed"),
        (b"a@trade ", "invalid_json"),
        (b"a@trade {\"p\":", "invalid_json"),
        (b"a@trade 1 2", "invalid_json"),
        (b"a@trade 'x'", "invalid_json"),
        (b"a@trade \"\xff\"", "invalid_utf8"),
        (b"\xc0\xaf@trade 1", "invalid_utf8"),
        (b"nokind 1", "invalid_channel"),
        (b"a..b@trade 1", "invalid_channel"),
        (b"a\x1b[31m@trade 1", "invalid_channel"),
        (b"a>@trade 1", "invalid_channel"),
        (b"a@trade#-1 1", "invalid_sequence"),
        (b"a@trade#18446744073709551616 1", "invalid_sequence"),
        (&[b"a@trade ", large.as_bytes()].concat(), "too_large"),
        (&[b"a@trade ", endless.as_bytes()].concat(), "line_too_long"),
    ];
    for (number, (line, code)) in cases.into_iter().enumerate() {
        let mut feed = Feed::connect(&scene.server);
        feed.publish("good@trade", "1");
        feed.write(&[line, b"\n"].concat());
        feed.publish("good@trade", "2");
        feed.flush();
        let answer = feed.answer();
        assert!(answer.starts_with(&format!("-ERR 2 {code} ")) && answer.len() < 200, "{answer:?}");
        assert_eq!(feed.ping(), 2);
        for sequence in [2 * number + 1, 2 * number + 2] {
            let record = witness.text();
            assert!(record.starts_with(&format!(r#"{{"ch":"good@trade","seq":{sequence},"#)), "{record}");
        }
        scene.expect(&[(&refused(code), 1)], &[&format!("code={code:?}")]);
    }
}

#[test]
fn a_flood_of_bad_lines_is_counted_and_hardly_logged() {
    let mut scene = Scene::new(&[]);
    let mut feed = Feed::connect(&scene.server);
    for line in 1..=20_000 {
        feed.write(b"a@trade {nonsense\n");
        if line % 100 == 0 {
            feed.flush();
            (0..100).for_each(|_| assert!(feed.answer().starts_with("-ERR ")));
        }
        if line % 4000 == 0 {
            scene.beat();
        }
    }
    assert_eq!(feed.ping(), 0);
    scene.expect_storm(&[(&refused("invalid_json"), 20_000)], 20);
}

#[test]
fn a_line_without_end_is_told_once_and_kept_nowhere() {
    let mut scene = Scene::new(&[]);
    let mut feed = Feed::connect(&scene.server);
    feed.publish("a@trade", "1");
    feed.ping();
    let before = scene.server.resident_bytes();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..32 {
        feed.write(&piece);
    }
    feed.flush();
    assert!(feed.answer().starts_with("-ERR 3 line_too_long "));
    let grown = scene.server.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes for a line of 32 MiB");
    scene.expect(&[(&refused("line_too_long"), 1)], &[r#"code="line_too_long""#]);
    // Its end is found, and the line behind it is a line.
    feed.write(b"\n");
    assert_eq!(feed.ping(), 1);
    feed.write(&piece);
    feed.flush();
    assert!(feed.answer().starts_with("-ERR 5 line_too_long "), "a second one is a fault of its own");
    drop(feed);
    // Whether the second line got a line of its own in the log depends on the second that it fell into.
    scene.expect_storm(&[(&refused("line_too_long"), 1), ("ingest_cut_off_connections", 1)], 2);
}

#[test]
fn a_feed_killed_in_the_middle_of_a_line_loses_that_line_alone() {
    let mut scene = Scene::new(&[]);
    let mut witness = Subscriber::native(&scene.server);
    witness.subscribe(1, &["a@trade"]);
    for (number, ends_by_reset) in [(1, false), (2, true)] {
        let mut peer =
            scene.send("ingest", format!("a@trade {number}\na@trade {{\"never\":\"fin").as_bytes());
        peer.write_all(b"ish").unwrap();
        // It was taken: what follows is not overtaken by the reset.
        let record = witness.text();
        assert!(record.starts_with(&format!(r#"{{"ch":"a@trade","seq":{number},"#)), "{record}");
        if ends_by_reset {
            reset(peer);
        } else {
            drop(peer);
        }
        scene.expect(&[("ingest_cut_off_connections", 1)], &["ended inside a line"]);
    }
    // The next one goes on with the numbering.
    let mut feed = Feed::connect(&scene.server);
    feed.publish("a@trade", "3");
    feed.ping();
    assert!(witness.text().starts_with(r#"{"ch":"a@trade","seq":3,"#));
}

#[test]
fn two_feeds_at_once_share_the_numbering() {
    let mut scene = Scene::new(&[]);
    let mut witness = Subscriber::native(&scene.server);
    witness.subscribe(1, &["a@trade"]);
    let mut feeds = [Feed::connect(&scene.server), Feed::connect(&scene.server)];
    for number in 1..=100 {
        let feed = &mut feeds[number % 2];
        feed.publish("a@trade", &number.to_string());
        feed.ping();
        let record = witness.text();
        let whole = record.starts_with(&format!(r#"{{"ch":"a@trade","seq":{number},"#));
        assert!(whole && record.ends_with(&format!(r#""data":{number}}}"#)), "{record}");
    }
    scene.expect(&[], &[]);

    // The A and the B feed of one market: each record once, whoever is first; the rest is counted.
    let mut feeds = [Feed::connect(&scene.server), Feed::connect(&scene.server)];
    feeds.iter_mut().for_each(|feed| feed.write(b"SESSION market\n"));
    for number in 1..=50 {
        for place in [number % 2, 1 - number % 2] {
            feeds[place].write(format!("b@trade#{number} {number}\n").as_bytes());
            feeds[place].ping();
        }
    }
    feeds[0].write(b"b@trade#50 \"another value\"\n");
    feeds[0].write(b"b@trade#60 60\nb@trade#55 55\n");
    assert_eq!(feeds[0].ping() + feeds[1].ping(), 51);
    let counts =
        [("ingest_duplicate_records", 51), ("ingest_disagreed_records", 1), ("ingest_late_records", 1)];
    scene.expect(&counts, &["feeds disagree"]);
    assert_eq!(scene.server.metrics().get("tapecast_ingest_feed_gap_records_total"), 9);
}

#[test]
fn a_feed_without_the_token_is_shown_out() {
    let settings = [&SMALL[..], &["ingest.token=secret"]].concat();
    let mut scene = Scene::of(Server::start(1, &settings), "AUTH secret\n");
    let mut silent = scene.send("ingest", b"");
    for first in ["AUTH wrong\n", "AUTH secrets\n", "a@trade 1\n", "PING\n", "\n", "AUTH \u{1b}[31m\n"] {
        let answer = scene.say("ingest", format!("{first}a@trade 1\nPING\n").as_bytes());
        assert!(answer.starts_with("-ERR 1 unauthorized ") && answer.lines().count() == 1, "{answer:?}");
        scene.expect(&[("ingest_unauthorized_connections", 1)], &["wrong or missing token"]);
    }
    for (head, body) in
        [("", ""), ("Authorization: Bearer wrong\r\n", "a"), ("Authorization: Basic secret\r\n", "")]
    {
        let answer = scene.say("ingest", post(head, body).as_bytes());
        assert!(
            answer.starts_with("HTTP/1.1 401 ") && answer.contains("www-authenticate: Bearer"),
            "{answer}"
        );
        scene.expect(&[("ingest_unauthorized_connections", 1)], &["wrong or missing token"]);
    }
    let answer = scene.say(
        "ingest",
        post("Authorization: Bearer secret\r\n", r#"{"channel":"a@trade","data":1}"#).as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(r#"{"accepted":1}"#), "{answer}");
    // Who says nothing at all is shown out too, after its time.
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    scene.expect(&[("ingest_unauthorized_connections", 1)], &["wrong or missing token"]);
}

fn post(head: &str, body: &str) -> String {
    format!("POST /publish HTTP/1.1\r\nHost: test\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn http_that_is_wrong_is_answered_with_its_status() {
    let mut scene = Scene::new(&[]);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n");
    for (request, status) in [
        (get("/nope"), 404),
        (get("/%1b[31m"), 404),
        (get("/publish"), 405),
        (post("", "").replace("/publish", "/ingest"), 405),
        (get("/ingest"), 400),
        (
            get("/ingest").replace(
                "\r\n\r\n",
                "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n\r\n",
            ),
            400,
        ),
    ] {
        let answer = scene.say("ingest", request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        scene.expect(&[("ingest_bad_requests", 1)], &["request refused"]);
    }
    let large = format!(r#"{{"channel":"a@trade","data":"{}"}}"#, "x".repeat(65_536));
    let ndjson = "Content-Type: application/x-ndjson\r\n";
    for (request, status, code) in [
        (post("", "nonsense"), 400, "invalid_json"),
        (post("", r#"{"channel":"a@trade","data":}"#), 400, "invalid_json"),
        (post("", r#"{"e":"unknown","s":"X"}"#), 400, "unknown_event"),
        (post("", r#"{"channel":"nokind","data":1}"#), 200, "invalid_channel"),
        (post(ndjson, "{\"channel\":\"a@trade\",\"data\":1}\nnonsense\n"), 200, "malformed"),
        (post("", &large), 413, "too_large"),
        (post("", &" ".repeat(300_000)), 413, "too_large"),
    ] {
        let answer = scene.say("ingest", request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{code}: {answer}");
        assert!(answer.contains(&format!(r#""code":"{code}""#)), "{code}: {answer}");
        scene.expect(&[(&refused(code), 1)], &["record refused"]);
    }
    let cut = scene.say("ingest", post("", "12345").trim_end_matches("345").as_bytes());
    assert!(!cut.contains("200 OK"), "{cut}");
    scene.expect(&[("ingest_cut_off_connections", 1)], &["inside a line or message"]);
    scene.say("ingest", b"GET / HTTP/9.9\r\nnonsense\r\n\r\n");
    scene.expect(&[("ingest_broken_connections", 1)], &["feed closed"]);
}

fn websocket(scene: &Scene) -> WebSocket<TcpStream> {
    let stream = scene.send("ingest", b"");
    tungstenite::client(format!("ws://{}/ingest", scene.server.address("ingest")), stream).unwrap().0
}

#[test]
fn a_websocket_feed_is_answered_message_by_message() {
    let mut scene = Scene::new(&[]);
    let good = r#"{"channel":"a@trade","data":1}"#;
    for (text, answer, code) in [
        ("nonsense", r#"{"accepted":0,"rejected":[{"index":0,"code":"invalid_json""#, "invalid_json"),
        (
            &format!(r#"[{good},{{"channel":"x","data":1}},{good}]"#),
            r#"{"accepted":2,"rejected":[{"index":1,"code":"invalid_channel""#,
            "invalid_channel",
        ),
        (
            r#"{"channel":"a@trade","seq":-1,"data":1}"#,
            r#"{"accepted":0,"rejected":[{"index":0,"code":"invalid_sequence""#,
            "invalid_sequence",
        ),
    ] {
        let mut feed = websocket(&scene);
        feed.send(Message::text(text)).unwrap();
        let said = feed.read().unwrap().into_text().unwrap();
        assert!(said.starts_with(answer), "{text}: {said}");
        feed.send(Message::text(good)).unwrap();
        assert_eq!(feed.read().unwrap().into_text().unwrap().as_str(), r#"{"accepted":1}"#);
        feed.close(None).unwrap();
        while feed.read().is_ok() {}
        scene.expect(&[(&refused(code), 1)], &["record refused"]);
    }
}

#[test]
fn a_websocket_feed_that_breaks_its_protocol_is_closed() {
    let mut scene = Scene::new(&[]);
    let frame =
        |first: u8, payload: &[u8]| [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat();
    let too_large = [&[0x81, 0xff], &(1_u64 << 40).to_be_bytes()[..], &[0; 4]].concat();
    let fragments = [frame(0x01, b""), frame(0x00, b"").repeat(2000)].concat();
    let (too_large_counter, utf8, malformed) =
        (refused("too_large"), refused("invalid_utf8"), refused("malformed"));
    let broken = "ingest_broken_connections";
    for (bytes, code, counter) in [
        (too_large, 1009, too_large_counter.as_str()),
        (frame(0x82, b"binary"), 1003, &malformed),
        (frame(0xc1, b"reserved"), 1002, broken),
        (frame(0x80, b"continuation"), 1002, broken),
        (fragments, 1008, broken),
    ] {
        let mut feed = websocket(&scene);
        feed.get_mut().write_all(&bytes).unwrap();
        let Ok(Message::Close(Some(close))) = feed.read() else { panic!("{bytes:?}: no close frame") };
        assert_eq!(u16::from(close.code), code);
        drop(feed);
        scene.expect(&[(counter, 1)], &[""]);
    }
    let mut feed = websocket(&scene);
    feed.get_mut().write_all(&frame(0x81, b"\xff\xfe")).unwrap();
    assert!(feed.read().is_ok(), "an answer or a close frame");
    drop(feed);
    scene.expect(&[(&utf8, 1)], &["record refused"]);

    let mut feed = websocket(&scene);
    feed.get_mut().write_all(&frame(0x01, b"{\"channel\"")).unwrap();
    drop(feed);
    scene.expect(&[("ingest_cut_off_connections", 1)], &["inside a line or message"]);
}

#[test]
fn a_feed_that_reads_no_answers_is_not_read() {
    let mut scene = Scene::new(&[]);
    let mut peer = scene.send("ingest", b"");
    peer.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let pings = b"PING\n".repeat(20_000);
    let mut sent = 0;
    let stopped = loop {
        match peer.write(&pings[sent % 5..]) {
            Ok(bytes) => sent += bytes,
            Err(error) => break error.kind(),
        }
        assert!(sent < 1 << 30, "it takes everything and answers into nowhere");
    };
    assert!(matches!(stopped, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{stopped}");
    scene.beat();
    // Once it reads, nothing is missing.
    let expected = sent / 5;
    let mut writer = peer.try_clone().unwrap();
    let rest = [&b"PING\n"[sent % 5..], b"nonsense\n"].concat();
    std::thread::scope(|scope| {
        writer.set_write_timeout(None).unwrap();
        scope.spawn(move || writer.write_all(&rest).unwrap());
        let mut lines = BufReader::new(&peer).lines().map(Result::unwrap);
        let pongs = lines.by_ref().take_while(|line| line == "+PONG 0").count();
        assert_eq!(pongs, expected + 1);
    });
    scene.expect(&[(&refused("malformed"), 1)], &["record refused"]);
}

#[test]
fn feeds_above_the_limit_are_refused() {
    let mut scene = Scene::new(&["ingest.connections_max=2"]);
    let second = Feed::connect(&scene.server);
    assert_eq!(everything(scene.send("ingest", b"")), "");
    scene.expect(&[("ingest_refused_connections", 1)], &["too many connections"]);
    drop(second);
    scene
        .server
        .wait_until("the place to be free", |metrics| metrics.get("tapecast_ingest_connections") == 1);
    assert_eq!(Feed::connect(&scene.server).ping(), 0);
}
