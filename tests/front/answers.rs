//! What a request gets that is not a sound handshake: an answer that says why, and an end.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use tapecast::front::Options;

use crate::harness::{
    GET, Harness, KEY, assert_refused, assert_switches, everything, exactly, handshake, head, options,
};

#[test]
fn the_index_says_where_to_connect_and_keeps_the_connection() {
    let front = Harness::new(options());
    let mut client = front.connect();
    for method in ["GET", "HEAD"] {
        client.write_all(GET.replacen("GET", method, 1).as_bytes()).unwrap();
        let head = head(&mut client).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 ") && !head.contains("connection: close"), "{head}");
        let length = head.split_once("content-length: ").unwrap().1.split_once('\r').unwrap().0;
        if method == "GET" {
            assert!(exactly(&mut client, length.parse().unwrap()).contains("/v1/ws"));
        }
    }
    client.write_all(handshake("/v1/ws", "").as_bytes()).unwrap();
    assert_switches(&head(&mut client));
    assert_eq!(front.newborn(0).peer, client.local_addr().unwrap());
}

#[test]
fn an_unknown_path_is_404() {
    let front = Harness::new(options());
    for target in ["/nope", "/v1/wsx", "/%00%1b[31m", "*"] {
        assert_refused(&front.say(handshake(target, "")), 404);
    }
    assert_eq!((front.read(|s| &s.not_found), front.read(|s| &s.bad_requests)), (4, 0));
}

#[test]
fn a_bad_handshake_is_told_what_is_wrong() {
    let front = Harness::new(Options { channels_max: 2, ..options() });
    let good = handshake("/v1/ws", "");
    let cases = [
        (GET.replacen("/", "/v1/ws", 1), 426),
        (good.replace("Version: 13", "Version: 8"), 426),
        (good.replacen("GET", "POST", 1), 405),
        (good.replacen("HTTP/1.1", "HTTP/1.0", 1), 400),
        (good.replace(KEY, "short"), 400),
        (handshake("/v1/ws", "Content-Length: 5\r\n"), 400),
        (handshake("/stream?streams=a@trade/b@trade/c@trade", ""), 400),
    ];
    for (number, (request, status)) in (1..).zip(&cases) {
        // An answer to HTTP/1.0 closes without saying so, unless it is made to.
        let answer = front.say(request).replacen("HTTP/1.0", "HTTP/1.1", 1);
        assert_refused(&answer, *status);
        assert_eq!(*status == 426, answer.contains("sec-websocket-version: 13\r\n"), "{answer}");
        assert_eq!(*status == 405, answer.contains("allow: GET\r\n"), "{answer}");
        assert_eq!(front.read(|s| &s.bad_handshakes), number);
    }
    assert_eq!(front.read(|s| &s.upgraded), 0);
}

#[test]
fn nothing_behind_a_refused_upgrade_is_answered() {
    let front = Harness::new(options());
    let body = handshake("/v1/ws", "Content-Length: 5\r\n") + "12345";
    for (refused, status) in [(handshake("/nope", ""), 404), (body, 400)] {
        assert_refused(&front.say(format!("{refused}{GET}{GET}")), status);
    }
}

#[test]
fn a_client_that_sends_on_behind_its_refusal_is_not_reset() {
    let front = Harness::new(options());
    let mut client = front.send("x: y\r\n".repeat(30_000));
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_refused(&answer, 400);
    for _ in 0..20 {
        client.write_all(b"x").unwrap();
        std::thread::yield_now();
    }
}

#[test]
fn what_is_not_http_is_closed() {
    let front = Harness::new(options());
    let cases: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x5a\xa5",
        b"\x05\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"GET /\x1b[31m HTTP/1.1\r\nHost: test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: te\0st\r\n\r\n",
        b"GET / HTTP/1.1\r\nHo",
    ];
    for (number, case) in (1..).zip(cases) {
        let client = front.send(case);
        client.shutdown(Shutdown::Write).unwrap();
        let answer = everything(client);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
        front.expect(|s| &s.bad_requests, number);
    }
    front.upgrade();
}

#[test]
fn random_bytes_are_closed() {
    let front = Harness::new(options());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    println!("seed {state:#x}");
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for number in 1..=200 {
        let noise: Vec<u8> = (0..number * 16).map(|_| byte()).collect();
        let client = front.send(&noise);
        client.shutdown(Shutdown::Write).unwrap();
        everything(client);
        front.expect(|s| &s.bad_requests, number);
    }
    front.expect(|s| &s.connections, 0);
}
