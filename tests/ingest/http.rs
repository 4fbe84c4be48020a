//! `POST /publish`, and what else may be asked of the listener over HTTP.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;

use crate::harness::{Stage, options, pairs};
use tapecast::ingest::{Options, RefusalCode};

/// Sends a request, returns status and body.
pub(crate) fn ask(stage: &Stage, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = stage.tcp();
    let head = format!("{head}\r\nHost: test\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).expect("a stage that reads");
    // An answer may come before the body is through; then the rest need not be sent.
    let _ = stream.write_all(body);
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    let reply = String::from_utf8(reply).expect("text");
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = reply.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}

fn post(stage: &Stage, body: &str) -> (u16, String) {
    ask(stage, "POST /publish HTTP/1.1", body.as_bytes())
}

const NDJSON: &str = "POST /publish HTTP/1.1\r\nContent-Type: application/x-ndjson; charset=utf-8";

#[test]
fn one_envelope_or_an_array_or_lines() {
    let mut stage = Stage::start();
    let one = r#"{"channel":"a@trade","data":{"p": 1.10}}"#;
    assert_eq!(post(&stage, one), (200, r#"{"accepted":1}"#.to_owned()));
    let array = r#" [{"stream":"b@depth@100ms","data":[ 1 ]}, {"e":"trade","s":"ETHUSDT","p":1e400}]"#;
    assert_eq!(post(&stage, array), (200, r#"{"accepted":2}"#.to_owned()));
    let lines = format!("{one}\r\n\n{}", r#"{"ty":"ticker","cd":"KRW-BTC"}"#);
    assert_eq!(ask(&stage, NDJSON, lines.as_bytes()), (200, r#"{"accepted":2}"#.to_owned()));
    let expected = [
        ("a@trade", r#"{"p": 1.10}"#),
        ("b@depth@100ms", "[ 1 ]"),
        ("ethusdt@trade", r#"{"e":"trade","s":"ETHUSDT","p":1e400}"#),
        ("a@trade", r#"{"p": 1.10}"#),
        ("KRW-BTC@ticker", r#"{"ty":"ticker","cd":"KRW-BTC"}"#),
    ];
    assert_eq!(stage.payloads(), pairs(&expected));
}

#[test]
fn a_market_array_is_one_record() {
    let mut stage = Stage::start();
    let array = r#"[{"e":"24hrMiniTicker","s":"A"}, {"e":"24hrMiniTicker","s":"B"}]"#;
    assert_eq!(post(&stage, &format!("{array}\n")), (200, r#"{"accepted":1}"#.to_owned()));
    assert_eq!(stage.payloads(), pairs(&[("!miniTicker@arr", array)]));
}

#[test]
fn bad_envelopes_are_named_and_the_others_kept() {
    let mut stage = Stage::start();
    let body = r#"[{"channel":"a b@trade","data":1},{"channel":"a@trade","data":1},{"x":1}]"#;
    let (status, answer) = post(&stage, body);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!((status, &answer["accepted"]), (200, &1.into()));
    let rejected = answer["rejected"].as_array().expect("a list");
    let named: Vec<_> = rejected.iter().map(|one| (one["index"].as_u64(), one["code"].as_str())).collect();
    assert_eq!(named, [(Some(0), Some("invalid_channel")), (Some(2), Some("unknown_event"))]);
    assert!(rejected.iter().all(|one| one["message"].is_string()));
    let lines = b"{bad\n{\"channel\":\"a@trade\",\"data\":2}\n\xff\n";
    let (status, answer) = ask(&stage, NDJSON, lines);
    assert_eq!(status, 200);
    assert!(answer.starts_with(r#"{"accepted":1,"rejected":[{"index":0,"code":"invalid_json""#), "{answer}");
    assert!(answer.contains(r#"{"index":2,"code":"invalid_utf8""#), "{answer}");
    assert_eq!(stage.payloads().len(), 2);
}

#[test]
fn answers_are_bounded() {
    let stage = Stage::start();
    let (status, answer) = post(&stage, &format!("[{}1]", "{\"channel\":\"x\",\"data\":1},".repeat(500)));
    assert!(answer.len() < 64 * 1024, "{} bytes", answer.len());
    assert_eq!(status, 200);
    assert!(answer.ends_with(r#","rejected_unlisted":245}"#), "{answer}");
}

#[test]
fn what_cannot_be_read_is_400_and_too_much_is_413() {
    let stage = Stage::start();
    for bad in ["", "{", "12", "[1,", r#"{"x":1}"#, r#"{"channel":"a@trade"}"#] {
        let (status, answer) = post(&stage, bad);
        assert_eq!(status, 400, "{bad:?}: {answer}");
        assert!(answer.contains("code"), "{bad:?}: {answer}");
    }
    assert_eq!(ask(&stage, "POST /publish HTTP/1.1", b"\"\xff\"").0, 400);
    assert_eq!(ask(&stage, NDJSON, b"\n\n").0, 400);
    assert_eq!(post(&stage, r#"{"channel":"nothing","data":1}"#).0, 200, "read, though refused");
    let large = format!(r#"{{"channel":"a@trade","data":"{}"}}"#, "x".repeat(5_000));
    assert_eq!(post(&stage, &large).0, 413, "a payload over the limit");
    let larger = format!(r#"{{"channel":"a@trade","data":"{}"}}"#, "x".repeat(50_000));
    assert_eq!(post(&stage, &larger).0, 413, "a body over the limit");
    let chunked = format!("{:x}\r\n{larger}\r\n0\r\n\r\n", larger.len());
    let head =
        "POST /publish HTTP/1.1\r\nHost: test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut stream = stage.tcp();
    let _ = stream.write_all(format!("{head}{chunked}").as_bytes());
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).expect("an answer");
    assert_eq!(&reply, b"HTTP/1.1 413", "a body over the limit that did not say so");
    assert_eq!(stage.refused(RefusalCode::TooLarge), 3);
    assert_eq!(stage.stats.accepted.load(Ordering::Relaxed), 0);
}

#[test]
fn unknown_paths_and_methods_have_their_answers() {
    let stage = Stage::start();
    assert_eq!(ask(&stage, "GET / HTTP/1.1", b"").0, 404);
    assert_eq!(ask(&stage, "POST /nothing HTTP/1.1", b"").0, 404);
    assert_eq!(ask(&stage, "GET /publish HTTP/1.1", b"").0, 405);
    assert_eq!(ask(&stage, "DELETE /ingest HTTP/1.1", b"").0, 405);
    assert_eq!(ask(&stage, "GET /ingest HTTP/1.1", b"").0, 400, "no upgrade");
    assert_eq!(ask(&stage, "GET /ingest\r\n\r\n", b"").0, 400, "no HTTP");
    let body = "GET /ingest HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\
                \r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    assert_eq!(ask(&stage, body, b"hello").0, 400, "a body behind a handshake");
    let old = "GET /ingest HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\nX: y";
    assert_eq!(ask(&stage, old, b"").0, 400, "another version");
    // What is no HTTP at all ends the connection instead.
    assert_eq!(stage.stats.bad_requests.load(Ordering::Relaxed), 7);
    assert_eq!(stage.stats.broken.load(Ordering::Relaxed), 1);
}

#[test]
fn a_bearer_token_is_asked_for() {
    let stage = Stage::with(Options { token: Some("secret".to_owned()), ..options() });
    let body = br#"{"channel":"a@trade","data":1}"#;
    for wrong in ["", "\r\nAuthorization: Bearer wrong", "\r\nAuthorization: Basic secret"] {
        assert_eq!(ask(&stage, &format!("POST /publish HTTP/1.1{wrong}"), body).0, 401, "{wrong:?}");
    }
    assert_eq!(ask(&stage, "GET /ingest HTTP/1.1", b"").0, 401);
    assert_eq!(stage.stats.unauthorized.load(Ordering::Relaxed), 4);
    let right = "POST /publish HTTP/1.1\r\nAuthorization: bearer secret";
    assert_eq!(ask(&stage, right, body), (200, r#"{"accepted":1}"#.to_owned()));
}

#[test]
fn posts_of_one_session_are_compared() {
    let stage = Stage::start();
    let head = "POST /publish?session=a%2Db HTTP/1.1";
    let body = br#"{"channel":"a@trade","data":1,"seq":7}"#;
    assert_eq!(ask(&stage, head, body).1, r#"{"accepted":1}"#);
    assert_eq!(ask(&stage, "POST /publish?x=1&session=a-b HTTP/1.1", body).1, r#"{"accepted":0}"#);
    assert_eq!(ask(&stage, "POST /publish HTTP/1.1", body).1, r#"{"accepted":1}"#);
    assert_eq!(ask(&stage, "POST /publish?session= HTTP/1.1", body).0, 400);
    assert_eq!(stage.stats.duplicates.load(Ordering::Relaxed), 1);
}
