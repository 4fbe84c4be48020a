//! Tests of the line protocol: whole feeds against feeds in pieces, and each kind of bad line.

use super::*;
use proptest::prelude::*;

const LINE_MAX: usize = 24;

#[derive(Debug, PartialEq, Eq)]
enum Owned {
    Whole(Vec<u8>),
    TooLong,
}

fn fill(splitter: &mut Splitter, mut chunk: &[u8], lines: &mut Vec<Owned>) {
    while !chunk.is_empty() {
        let room = splitter.room();
        let bytes = room.len().min(chunk.len());
        assert!(bytes > 0, "no room although every line was taken");
        room[..bytes].copy_from_slice(&chunk[..bytes]);
        splitter.filled(bytes);
        chunk = &chunk[bytes..];
        while let Some(line) = splitter.next_line() {
            lines.push(match line {
                Line::Whole(bytes) => Owned::Whole(bytes.to_vec()),
                Line::TooLong => Owned::TooLong,
            });
        }
        assert!(splitter.buffer.len() <= LINE_MAX + 1, "the buffer grew past its bound");
    }
}

/// What the splitter should say, from the whole feed at once.
fn expected(feed: &[u8]) -> (Vec<Owned>, bool) {
    let mut parts: Vec<&[u8]> = feed.split(|byte| *byte == b'\n').collect();
    let last = parts.pop().unwrap_or(b"");
    let mut lines: Vec<Owned> = parts
        .into_iter()
        .map(|line| {
            if line.len() > LINE_MAX {
                return Owned::TooLong;
            }
            Owned::Whole(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
        })
        .collect();
    if last.len() > LINE_MAX {
        lines.push(Owned::TooLong);
    }
    (lines, !last.is_empty())
}

proptest! {
    #[test]
    fn lines_do_not_depend_on_how_the_bytes_arrive(
        feed in proptest::collection::vec(prop_oneof![4 => Just(b'x'), 1 => Just(b'\n'), 1 => Just(b'\r'), 1 => any::<u8>()], 0..400),
        cuts in proptest::collection::vec(1usize..60, 1..40),
    ) {
        let mut splitter = Splitter::new(LINE_MAX);
        let (mut lines, mut at) = (Vec::new(), 0);
        for cut in cuts.iter().cycle() {
            let end = (at + cut).min(feed.len());
            fill(&mut splitter, &feed[at..end], &mut lines);
            at = end;
            if at == feed.len() {
                break;
            }
        }
        prop_assert_eq!((lines, splitter.is_inside_line()), expected(&feed));
    }

    #[test]
    fn no_bytes_make_the_parser_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = parse(&line);
    }

    #[test]
    fn a_record_comes_back_as_it_went(sequence: Option<u64>, number: i64) {
        let payload = format!("{{\"p\":{number}}}");
        let name = sequence.map_or_else(|| "a@trade".to_owned(), |sequence| format!("a@trade#{sequence}"));
        let line = format!("{name}  {payload} \t");
        let record = Record { channel: "a@trade", sequence, payload: &payload };
        prop_assert_eq!(parse(line.as_bytes()), Ok(Parsed::Record(record)));
    }
}

#[test]
fn a_line_of_just_the_bound_is_whole() {
    let mut lines = Vec::new();
    let feed = [vec![b'x'; LINE_MAX], vec![b'\n'], vec![b'x'; LINE_MAX + 1], b"\nok\n".to_vec()].concat();
    fill(&mut Splitter::new(LINE_MAX), &feed, &mut lines);
    assert_eq!(lines, [Owned::Whole(vec![b'x'; LINE_MAX]), Owned::TooLong, Owned::Whole(b"ok".to_vec())]);
}

#[test]
fn each_bad_line_has_its_code() {
    let cases: [(&[u8], RefusalCode); 16] = [
        (b"", RefusalCode::Malformed),
        (b"PING ME", RefusalCode::InvalidJson),
        (b"ping", RefusalCode::Malformed),
        (b"a@trade", RefusalCode::Malformed),
        (b"a@trade\t{}", RefusalCode::Malformed),
        (b"a@trade ", RefusalCode::InvalidJson),
        (b"a@trade {", RefusalCode::InvalidJson),
        (b"a@trade {} {}", RefusalCode::InvalidJson),
        (b"a@trade {\"a\":01}", RefusalCode::InvalidJson),
        (b"a@trade NaN", RefusalCode::InvalidJson),
        (b"a@trade \"\xff\"", RefusalCode::InvalidUtf8),
        (b"\xc3\x28@trade {}", RefusalCode::InvalidUtf8),
        (b"a@trade# {}", RefusalCode::InvalidSequence),
        (b"a@trade#+1 {}", RefusalCode::InvalidSequence),
        (b"a@trade#1.5 {}", RefusalCode::InvalidSequence),
        (b"a@trade#18446744073709551616 {}", RefusalCode::InvalidSequence),
    ];
    for (line, code) in cases {
        let refusal = parse(line).expect_err("a bad line");
        assert_eq!(refusal.code, code, "{:?}", String::from_utf8_lossy(line));
        assert!(!refusal.message.contains(['\n', '\r']), "{:?}", refusal.message);
    }
}

#[test]
fn numbers_beyond_a_double_keep_their_bytes() {
    for payload in
        ["1e400", "{\"p\":0.10000000000000000000000000000000001}", "123456789012345678901234567890"]
    {
        let line = format!("a@trade {payload}");
        let Ok(Parsed::Record(record)) = parse(line.as_bytes()) else { panic!("{payload} was refused") };
        assert_eq!(record.payload, payload);
    }
}

#[test]
fn commands_are_told_from_records() {
    assert_eq!(parse(b"PING"), Ok(Parsed::Ping));
    assert_eq!(parse(b"AUTH se cret"), Ok(Parsed::Auth("se cret")));
    assert_eq!(parse(b"SESSION ab"), Ok(Parsed::Session("ab")));
}

#[test]
fn answers_come_in_order_and_know_their_bound() {
    let mut answers = Answers::default();
    answers.error(7, "malformed", "why");
    answers.pong(3);
    assert_eq!(answers.unsent(), b"-ERR 7 malformed why\n+PONG 3\n");
    answers.sent(5);
    assert_eq!(answers.unsent(), b"7 malformed why\n+PONG 3\n");
    while !answers.is_full() {
        answers.pong(1);
    }
    assert!(answers.unsent().len() < Answers::BYTES_MAX + 16);
    answers.sent(answers.unsent().len());
    assert!(answers.unsent().is_empty() && !answers.is_full());
}
