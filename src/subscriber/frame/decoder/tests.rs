//! What a client may send, in any pieces, and what it may not.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { message_bytes_max: 65_536, fragments_max: 16 };
const KEY: [u8; 4] = [0xa1, 0x02, 0x93, 0xf4];

/// A client's frame. The bits of `first` are sent as they are.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0xfe);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0xff);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4]));
    out
}

fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

/// An event that owns what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

impl From<Event<'_>> for Said {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary => Self::Binary,
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong => Self::Pong,
            Event::Close(code) => Self::Close(code),
        }
    }
}

/// Feeds pieces until an error; the events before it, and the decoder.
fn decode(pieces: &[&[u8]], limits: &Limits) -> (Vec<Said>, Result<Decoder, CloseReason>) {
    let (mut decoder, mut said) = (Decoder::default(), Vec::new());
    for piece in pieces {
        let (mut input, mut at) = (piece.to_vec(), 0);
        loop {
            match decoder.next(&mut input, &mut at, limits) {
                Ok(Some(event)) => said.push(event.into()),
                Ok(None) => break,
                Err(reason) => return (said, Err(reason)),
            }
        }
        assert_eq!(at, input.len(), "None means that all was taken");
    }
    (said, Ok(decoder))
}

/// How a stream ends that breaks a rule: the same whether it comes whole or byte by byte.
fn refusal(stream: &[u8]) -> Option<CloseReason> {
    let whole = decode(&[stream], &LIMITS);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    let single = decode(&bytes, &LIMITS);
    assert_eq!(whole.0, single.0);
    let (whole, single) = (whole.1.err(), single.1.err());
    assert_eq!(whole, single);
    whole
}

fn said(stream: &[u8]) -> Vec<Said> {
    let (said, end) = decode(&[stream], &LIMITS);
    assert!(!end.unwrap().is_partial());
    said
}

#[test]
fn a_decoder_is_one_pointer_and_its_partial_state_small() {
    assert_eq!(size_of::<Decoder>(), size_of::<usize>());
    assert!(size_of::<Partial>() <= 256, "{}", size_of::<Partial>());
}

#[test]
fn a_head_that_promises_much_costs_nothing() {
    let head = &frame(0x81, &[b'x'; 65_536])[..14];
    let decoder = decode(&[head], &LIMITS).1.unwrap();
    let partial = decoder.partial.unwrap();
    assert!(partial.message.is_none() && partial.control.capacity() == 0);
}

#[test]
fn unmasked_frames_are_refused() {
    for first in [0x81, 0x88, 0x89] {
        assert_eq!(refusal(&[first, 0x02, 3, 232]), Some(CloseReason::ProtocolError));
    }
}

#[test]
fn reserved_bits_and_opcodes_are_refused() {
    for first in [0x91, 0xa1, 0xc1].into_iter().chain(0x83..=0x87).chain(0x8b..=0x8f) {
        assert_eq!(refusal(&frame(first, b"x")), Some(CloseReason::ProtocolError), "{first:#x}");
    }
}

#[test]
fn fragments_come_in_order() {
    let begun = frame(0x01, b"a");
    for (name, stream) in [
        ("a fragmented ping", frame(0x09, b"")),
        ("a continuation without a start", frame(0x80, b"x")),
        ("a message inside a message", [begun.clone(), text("b")].concat()),
        ("a fragment of another message", [begun, frame(0x02, b"b")].concat()),
        ("a continuation behind the end", [frame(0x01, b"a"), frame(0x80, b"b"), frame(0x80, b"c")].concat()),
    ] {
        assert_eq!(refusal(&stream), Some(CloseReason::ProtocolError), "{name}");
    }
}

#[test]
fn long_control_frames_are_refused() {
    for first in [0x88, 0x89, 0x8a] {
        assert_eq!(refusal(&frame(first, &[b'x'; 126])), Some(CloseReason::ProtocolError));
    }
    assert_eq!(said(&frame(0x89, &[b'x'; 125])), [Said::Ping(vec![b'x'; 125])]);
}

#[test]
fn close_frames_are_checked() {
    let close = |code: u16, text: &[u8]| frame(0x88, &[&code.to_be_bytes(), text].concat());
    assert_eq!(refusal(&frame(0x88, &[3])), Some(CloseReason::ProtocolError), "one byte");
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        assert_eq!(refusal(&close(code, b"")), Some(CloseReason::ProtocolError), "{code}");
    }
    assert_eq!(refusal(&close(1000, b"\xff")), Some(CloseReason::InvalidUtf8));
    assert_eq!(refusal(&close(1000, b"\xe2\x82")), Some(CloseReason::InvalidUtf8), "half a character");
    assert_eq!(said(&frame(0x88, b"")), [Said::Close(None)]);
    for code in [1000, 1003, 1007, 1011, 1012, 1014, 3000, 4999] {
        assert_eq!(said(&close(code, "tschüß".as_bytes())), [Said::Close(Some(code))]);
    }
}

#[test]
fn lengths_that_lie_are_refused_at_the_head() {
    let long = |length: u64| [&[0x81, 0xff][..], &length.to_be_bytes()].concat();
    for (length, reason) in [
        (1 << 63, CloseReason::ProtocolError),
        (u64::MAX, CloseReason::ProtocolError),
        (65_537, CloseReason::MessageTooBig),
        (u64::MAX >> 1, CloseReason::MessageTooBig),
        (125, CloseReason::ProtocolError),
        (65_535, CloseReason::ProtocolError),
    ] {
        assert_eq!(refusal(&long(length)), Some(reason), "{length}");
    }
    assert_eq!(refusal(&[0x81, 0xfe, 0, 125]), Some(CloseReason::ProtocolError));
}

#[test]
fn a_message_is_bounded_over_its_fragments() {
    let begun = frame(0x01, &[b'x'; 40_000]);
    let fits = [begun.clone(), frame(0x80, &[b'y'; 25_536])].concat();
    assert_eq!(said(&fits).len(), 1);
    let last_head = &frame(0x80, &[b'y'; 25_537])[..4];
    assert_eq!(refusal(&[&begun, last_head].concat()), Some(CloseReason::MessageTooBig));
    let binary = [frame(0x02, &[0; 40_000]), frame(0x80, &[0; 25_537])].concat();
    assert_eq!(refusal(&binary), Some(CloseReason::MessageTooBig), "discarded, but bounded");
}

#[test]
fn fragments_are_counted_empty_ones_too() {
    let stream =
        |count: usize| [frame(0x01, b""), frame(0x00, b"").repeat(count - 2), frame(0x80, b"")].concat();
    assert_eq!(said(&stream(16)), [Said::Text(String::new())]);
    assert_eq!(refusal(&stream(17)), Some(CloseReason::TooManyFragments));
    assert_eq!(refusal(&stream(1_000_000)[..7_000]), Some(CloseReason::TooManyFragments));
}

#[test]
fn text_is_utf8_and_fails_at_the_first_wrong_byte() {
    let euro = "€".as_bytes();
    assert_eq!(refusal(&frame(0x81, b"\xc0\xaf")), Some(CloseReason::InvalidUtf8));
    assert_eq!(refusal(&frame(0x81, &euro[..2])), Some(CloseReason::InvalidUtf8), "ends in a character");
    let split = [frame(0x01, &euro[..1]), frame(0x00, &euro[1..2]), frame(0x80, &euro[2..])].concat();
    assert_eq!(said(&split), [Said::Text("€".to_owned())]);

    // Neither the frame nor the message is complete: `F4 90` begins no character, `ED A0` a surrogate.
    for wrong in [b"\xf4\x90", b"\xed\xa0"] {
        let begun = [frame(0x01, b"ok"), frame(0x00, &[wrong, &b"more"[..]].concat())].concat();
        assert_eq!(refusal(&begun[..begun.len() - 4]), Some(CloseReason::InvalidUtf8));
        let torn = [frame(0x01, &wrong[..1]), frame(0x00, &wrong[1..])].concat();
        assert_eq!(refusal(&torn), Some(CloseReason::InvalidUtf8), "between fragments");
    }
}

#[test]
fn a_control_frame_may_stand_inside_a_message() {
    let stream = [
        frame(0x01, b"one "),
        frame(0x89, b"ping"),
        frame(0x00, b"two "),
        frame(0x8a, b"pong"),
        frame(0x80, b"three"),
        frame(0x82, b"\xff\xfe"),
    ]
    .concat();
    let expected =
        [Said::Ping(b"ping".to_vec()), Said::Pong, Said::Text("one two three".to_owned()), Said::Binary];
    assert_eq!(said(&stream), expected);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(decode(&bytes, &LIMITS).0, expected);
}

#[test]
fn partial_is_what_is_begun_and_not_ended() {
    let stream = [frame(0x01, b"ab"), frame(0x89, b""), frame(0x80, b"cd")].concat();
    for length in 0..=stream.len() {
        let decoder = decode(&[&stream[..length]], &LIMITS).1.unwrap();
        assert_eq!(decoder.is_partial(), (1..stream.len()).contains(&length), "{length}");
        assert_eq!(decoder.partial.is_some(), decoder.is_partial(), "nothing is held without a reason");
    }
}

#[test]
fn a_thousand_frames_in_one_piece() {
    assert_eq!(said(&text("x").repeat(1000)), vec![Said::Text("x".to_owned()); 1000]);
}

/// Messages and control frames with their wire form: fragmented anywhere, control frames between the fragments.
fn stream() -> impl Strategy<Value = (Vec<Said>, Vec<u8>)> {
    let control = prop_oneof![
        vec(any::<u8>(), 0..=125).prop_map(|payload| (Said::Ping(payload.clone()), frame(0x89, &payload))),
        vec(any::<u8>(), 0..=125).prop_map(|payload| (Said::Pong, frame(0x8a, &payload))),
    ];
    let long = ("[a-zé]{9}", 3000..3600_usize).prop_map(|(body, times)| body.repeat(times));
    let body = prop_oneof![3 => "\\PC{0,40}", 1 => "\\PC{100,200}", 1 => long];
    let message = (any::<bool>(), body, vec(any::<prop::sample::Index>(), 0..4), vec(control, 0..3));
    vec(message, 0..6).prop_map(|messages| {
        let (mut said, mut wire) = (Vec::new(), Vec::new());
        for (is_text, body, cuts, controls) in messages {
            fragment(is_text, &body, &cuts, &controls, &mut said, &mut wire);
        }
        (said, wire)
    })
}

fn fragment(
    is_text: bool,
    body: &str,
    cuts: &[prop::sample::Index],
    controls: &[(Said, Vec<u8>)],
    said: &mut Vec<Said>,
    wire: &mut Vec<u8>,
) {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    ends.push(body.len());
    ends.sort_unstable();
    let (mut begin, last) = (0, ends.len() - 1);
    for (place, end) in ends.into_iter().enumerate() {
        let opcode = if place > 0 { 0 } else { 2 - u8::from(is_text) };
        let fin = if place == last { 0x80 } else { 0 };
        wire.extend(frame(fin | opcode, &body.as_bytes()[begin..end]));
        if let Some((event, bytes)) = controls.get(place).filter(|_| place < last) {
            said.push(event.clone());
            wire.extend(bytes);
        }
        begin = end;
    }
    said.push(if is_text { Said::Text(body.to_owned()) } else { Said::Binary });
}

/// Cuts bytes at these places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut begin = 0;
    let cut = |end| {
        let piece = &bytes[begin..end];
        begin = end;
        piece
    };
    ends.into_iter().map(cut).collect()
}

proptest! {
    #[test]
    fn a_stream_in_any_pieces_says_what_the_whole_says(
        (expected, wire) in stream(),
        cuts in vec(any::<prop::sample::Index>(), 0..40),
    ) {
        prop_assert_eq!(&said(&wire), &expected);
        let (said, end) = decode(&pieces(&wire, &cuts), &LIMITS);
        prop_assert_eq!(&said, &expected);
        prop_assert!(!end.unwrap().is_partial());
    }

    #[test]
    fn any_bytes_end_the_same_in_any_pieces(
        wire in vec(any::<u8>(), 0..300),
        cuts in vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let (whole, whole_end) = decode(&[&wire], &LIMITS);
        let (said, end) = decode(&pieces(&wire, &cuts), &LIMITS);
        prop_assert_eq!(whole, said);
        prop_assert_eq!(whole_end.err(), end.err());
    }

    #[test]
    fn a_valid_stream_with_a_wrong_byte_never_panics(
        (_, mut wire) in stream(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        if !wire.is_empty() {
            let place = place.index(wire.len());
            wire[place] = byte;
        }
        let _ = decode(&[&wire], &LIMITS);
    }
}
