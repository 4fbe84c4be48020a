//! Recordings held against what they must give: verbatim payloads, numbered bad lines, damage told where it is.
//!
//! No file is touched: what is read lies in memory.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const TRADE: &str =
    r#"{"t":1723161254024619568,"venue":"x","channel":"btcusdt@trade","raw":{"p": "1.10", "n":1e2}}"#;
const CONTROL: &str = r#"{"t":null,"channel":null,"raw":{"result":null,"id":1}}"#;
const COMBINED: &str =
    r#"{"t":5,"venue":"x","channel":"a@trade","raw":{"stream":"a@trade@0ms","data": [ 1.50 ,"\u00e9"] }}"#;

fn read_all(bytes: Vec<u8>, line_bytes_max: usize) -> Result<Vec<String>, Error> {
    let mut recording = Recording::new(Cursor::new(bytes), line_bytes_max)?;
    let mut lines = Vec::new();
    while let Some(line) = recording.next_line()? {
        lines.push(match line {
            Line::Message(m) => format!("{:?} {:?} {}", m.time_ns, m.channel.as_deref(), m.payload),
            Line::Bad(bad) => format!("bad {}", bad.number),
        });
    }
    Ok(lines)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn plain_and_gzip_give_the_same_verbatim_payloads() {
    let text = format!("{TRADE}\n\n{CONTROL}\r\n{COMBINED}");
    let expected = [
        r#"Some(1723161254024619568) Some("btcusdt@trade") {"p": "1.10", "n":1e2}"#,
        r#"None None {"result":null,"id":1}"#,
        r#"Some(5) Some("a@trade") [ 1.50 ,"\u00e9"]"#,
    ];
    assert_eq!(read_all(text.clone().into(), 1000).unwrap(), expected);
    assert_eq!(read_all(gzip(&text), 1000).unwrap(), expected);
    let members = [gzip(&format!("{TRADE}\n")), gzip(CONTROL)].concat();
    assert_eq!(read_all(members, 1000).unwrap(), expected[..2], "gzip files put one behind another");
}

#[test]
fn only_the_exact_combined_form_is_an_envelope() {
    for raw in
        [r#"{"stream":1,"data":2}"#, r#"{"stream":"a","data":2,"x":3}"#, r#"{"topic":"a","data":2}"#, "[1]"]
    {
        assert_eq!(payload_of(raw), raw);
    }
    assert_eq!(payload_of(r#"{"data":2.0,"stream":"a"}"#), "2.0");
}

#[test]
fn bad_lines_are_told_with_their_numbers_and_skipped() {
    let no_channel = r#"{"t":1,"raw":1}"#;
    let bad_channel = r#"{"t":1,"channel":"btc usdt@trade","raw":1}"#;
    let long = format!("{{\"channel\":\"a@b\",\"raw\":\"{}\"}}", "x".repeat(300));
    let bad_utf8 = b"{\"channel\":\"a@b\",\"raw\":\"\xff\"}";
    let text = format!("{TRADE}\nnonsense\n\n{no_channel}\n{bad_channel}\n{long}\n").into_bytes();
    let text = [text.as_slice(), bad_utf8, b"\n", CONTROL.as_bytes(), b"\n"].concat();
    let lines = read_all(text, 200).unwrap();
    assert_eq!(lines[1..6], ["bad 2", "bad 4", "bad 5", "bad 6", "bad 7"]);
    assert_eq!(lines.len(), 7);
}

#[test]
fn a_line_of_exactly_the_bound_is_read() {
    let text = format!("{TRADE}\n{TRADE}");
    assert!(read_all(text.clone().into(), TRADE.len()).is_ok());
    assert!(read_all(text.into(), TRADE.len() - 1).is_err(), "all lines too long: not a recording");
}

#[test]
fn a_truncated_gzip_gives_its_lines_and_then_says_so() {
    let text = format!("{TRADE}\n").repeat(1000);
    let mut bytes = gzip(&text);
    bytes.truncate(bytes.len() - 9);
    let mut recording = Recording::new(Cursor::new(bytes), 1000).unwrap();
    let mut good = 0;
    let error = loop {
        match recording.next_line() {
            Ok(line) => good += u64::from(matches!(line.expect("no clean end"), Line::Message(_))),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Gzip(lines, _) if lines == good && good > 900), "{error:?} after {good}");
}

#[test]
fn what_is_not_a_recording_is_told_early() {
    assert!(matches!(read_all(Vec::new(), 100), Err(Error::Empty)));
    assert!(matches!(read_all(b"\n\n".to_vec(), 100), Err(Error::Empty)));
    let short = read_all(b"a,b,c\n1,2,3\n".to_vec(), 100);
    assert!(matches!(short, Err(Error::NotARecording(BadLine { number: 1, .. }))), "{short:?}");
    let mut endless = io::repeat(b'\n').take(1 << 16);
    assert!(matches!(Recording::new(endless, 100), Err(Error::Empty)));
    endless = io::repeat(b'x').take(1 << 16);
    assert!(matches!(Recording::new(endless, 100), Err(Error::NotARecording(_))));
    let quoted = format!("{{\"channel\":\"{}\",\"raw\":1}}", "é".repeat(10_000));
    let Err(Error::NotARecording(bad)) = read_all(quoted.into(), 100_000) else { panic!("it is one") };
    assert_eq!(bad.problem.chars().count(), PROBLEM_CHARS_MAX);
    let bad_lines = |count| format!("{}{TRADE}\n", "1,2\n".repeat(count)).into_bytes();
    assert_eq!(read_all(bad_lines(19), 1000).unwrap().len(), 20, "bad lines at the start are told");
    assert!(matches!(read_all(bad_lines(20), 1000), Err(Error::NotARecording(_))));
}

#[test]
fn how_much_is_read_is_told_of_a_file_as_it_lies_there() {
    let text = format!("{TRADE}\n").repeat(20_000);
    for bytes in [gzip(&text), text.into_bytes()] {
        let mut recording = Recording::new(Cursor::new(bytes.clone()), 1000).unwrap();
        assert_eq!(recording.share_read(), None, "a stream has no size");
        recording.bytes = Some(bytes.len() as u64);
        for share in [0.25, 0.5, 0.75, 1.0] {
            (0..5_000).for_each(|_| assert!(recording.next_line().unwrap().is_some()));
            let read = recording.share_read().unwrap();
            assert!((read - share).abs() < 0.05, "{read} for {share} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn an_endless_line_is_skipped_without_being_kept() {
    let source = io::repeat(b'x').take(1 << 24).chain(Cursor::new(format!("\n{TRADE}\n")));
    let mut recording = Recording::new(source, 1000).unwrap();
    assert!(matches!(recording.next_line(), Ok(Some(Line::Bad(BadLine { number: 1, .. })))));
    assert!(recording.line.capacity() < 10_000);
    assert!(matches!(recording.next_line(), Ok(Some(Line::Message(_)))));
}
