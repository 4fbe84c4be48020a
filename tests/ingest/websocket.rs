//! Envelopes over `GET /ingest`, driven by a client of another make.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::Ordering;

use crate::harness::{Stage, options, pairs};
use tapecast::ingest::{Options, RefusalCode};
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::{Message, WebSocket};

pub(crate) fn connect(stage: &Stage, path: &str) -> WebSocket<TcpStream> {
    let url = format!("ws://{}{path}", stage.address);
    tungstenite::client(url, stage.tcp()).expect("a handshake").0
}

pub(crate) fn ask(socket: &mut WebSocket<TcpStream>, message: &str) -> String {
    socket.send(Message::text(message)).expect("a stage that reads");
    socket.read().expect("an answer").into_text().expect("a text").to_string()
}

fn close_code(socket: &mut WebSocket<TcpStream>) -> Option<CloseCode> {
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => return frame.map(|frame| frame.code),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

#[test]
fn each_message_is_answered_once_and_in_order() {
    let mut stage = Stage::start();
    let mut socket = connect(&stage, "/ingest");
    let messages = [
        r#"{"channel":"a@trade","data":{"p": 1.10}}"#,
        r#"[{"stream":"b@trade","data":1},{"channel":"","data":1}]"#,
        "{bad",
        r#"{"u":1,"s":"BNBUSDT","b":"1","B":"1","a":"1","A":"1"}"#,
    ];
    for message in messages {
        socket.write(Message::text(message)).expect("a stage that reads");
    }
    socket.flush().expect("a stage that reads");
    let answers: Vec<_> = (0..4).map(|_| socket.read().expect("an answer").to_string()).collect();
    assert_eq!(answers[0], r#"{"accepted":1}"#);
    assert!(
        answers[1].starts_with(r#"{"accepted":1,"rejected":[{"index":1,"code":"invalid_channel""#),
        "{answers:?}"
    );
    assert!(
        answers[2].starts_with(r#"{"accepted":0,"rejected":[{"index":0,"code":"invalid_json""#),
        "{answers:?}"
    );
    assert_eq!(answers[3], r#"{"accepted":1}"#);
    let expected = [("a@trade", r#"{"p": 1.10}"#), ("b@trade", "1"), ("bnbusdt@bookTicker", messages[3])];
    assert_eq!(stage.payloads(), pairs(&expected));
}

#[test]
fn a_message_may_come_in_fragments_with_pings_between() {
    let mut stage = Stage::start();
    let mut socket = connect(&stage, "/ingest");
    let parts = [r#"{"channel":"a@tr"#, r#"ade","#, "", r#""data":"é"}"#];
    for (place, part) in parts.iter().enumerate() {
        let opcode = if place == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(part.as_bytes().to_vec(), OpCode::Data(opcode), place == parts.len() - 1);
        socket.write(Message::Frame(frame)).expect("a stage that reads");
        socket.write(Message::Ping("x".into())).expect("a stage that reads");
    }
    socket.flush().expect("a stage that reads");
    let answer = loop {
        if let Message::Text(text) = socket.read().expect("an answer") {
            break text;
        }
    };
    assert_eq!(answer, r#"{"accepted":1}"#);
    assert_eq!(stage.payloads(), pairs(&[("a@trade", "\"é\"")]));
}

#[test]
fn sessions_span_sockets_and_lines() {
    let stage = Stage::start();
    let mut socket = connect(&stage, "/ingest?session=m");
    assert_eq!(ask(&mut socket, r#"{"channel":"a@trade","data":1,"seq":1}"#), r#"{"accepted":1}"#);
    let mut lines = stage.feed();
    lines.send("SESSION m\na@trade#1 1\na@trade#2 1\n");
    assert_eq!(lines.ping(), 1);
    assert_eq!(ask(&mut socket, r#"{"channel":"a@trade","data":1,"seq":2}"#), r#"{"accepted":0}"#);
    assert_eq!(stage.stats.duplicates.load(Ordering::Relaxed), 2);
}

#[test]
fn what_breaks_the_protocol_is_closed_with_its_code() {
    let stage = Stage::start();
    let mut large = connect(&stage, "/ingest");
    let _ = large.send(Message::text("x".repeat(20_000)));
    assert_eq!(close_code(&mut large), Some(CloseCode::Size));
    let mut binary = connect(&stage, "/ingest");
    let _ = binary.send(Message::binary(vec![1]));
    assert_eq!(close_code(&mut binary), Some(CloseCode::Unsupported));
    let mut broken = connect(&stage, "/ingest");
    let frame = Frame::message(b"\xff".to_vec(), OpCode::Data(Data::Text), true);
    let _ = broken.send(Message::Frame(frame));
    assert_eq!(close_code(&mut broken), Some(CloseCode::Invalid));
    let mut many = connect(&stage, "/ingest");
    for place in 0..2_000 {
        let opcode = if place == 0 { Data::Text } else { Data::Continue };
        if many.write(Message::Frame(Frame::message(Vec::new(), OpCode::Data(opcode), false))).is_err() {
            break;
        }
    }
    let _ = many.flush();
    assert_eq!(close_code(&mut many), Some(CloseCode::Policy));
    assert_eq!(stage.refused(RefusalCode::TooLarge), 1);
    assert_eq!(stage.refused(RefusalCode::InvalidUtf8), 1);
}

#[test]
fn a_socket_that_ends_inside_a_message_is_counted() {
    let stage = Stage::start();
    let mut socket = connect(&stage, "/ingest");
    let frame = Frame::message(b"{\"channel\":".to_vec(), OpCode::Data(Data::Text), false);
    socket.send(Message::Frame(frame)).expect("a stage that reads");
    socket.get_ref().shutdown(std::net::Shutdown::Write).expect("a connection");
    assert_eq!(close_code(&mut socket), None);
    assert_eq!(stage.stats.cut_off.load(Ordering::Relaxed), 1);
    // Inside a frame, in its head and behind it; and between two, which is no harm.
    for (bytes, cut_off) in [(&b"\x81"[..], 2), (b"\x81\x85abcd12", 3), (b"\x8a\x80abcd", 3), (b"", 3)] {
        let mut socket = connect(&stage, "/ingest");
        socket.get_mut().write_all(bytes).expect("a stage that reads");
        socket.get_ref().shutdown(std::net::Shutdown::Write).expect("a connection");
        assert_eq!(close_code(&mut socket), None);
        assert_eq!(stage.stats.cut_off.load(Ordering::Relaxed), cut_off, "{bytes:?}");
    }
}

#[test]
fn a_handshake_needs_its_token() {
    let stage = Stage::with(Options { token: Some("secret".to_owned()), ..options() });
    let handshake = |token: &str| {
        let mut request = format!("ws://{}/ingest", stage.address).into_client_request().expect("a request");
        request.headers_mut().insert("Authorization", token.parse().expect("a header"));
        tungstenite::client(request, stage.tcp()).ok()
    };
    assert!(handshake("Bearer wrong").is_none());
    let (mut socket, _) = handshake("Bearer secret").expect("a handshake");
    assert_eq!(ask(&mut socket, r#"{"channel":"a@trade","data":1}"#), r#"{"accepted":1}"#);
    assert_eq!(stage.stats.unauthorized.load(Ordering::Relaxed), 1);
}
