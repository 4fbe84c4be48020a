//! Lines over TCP and the Unix socket.

use std::io::Write;
use std::sync::atomic::Ordering;

use crate::harness::{Published, Stage, options, pairs, ping_until};
use tapecast::ingest::RefusalCode;
use tapecast::ring::Kind;

#[test]
fn good_lines_around_bad_ones_are_kept() {
    let mut stage = Stage::start();
    let mut feed = stage.feed();
    feed.send("a@trade {\"p\": 1.10 }\nnonsense\na@trade {bad}\na b {}\n@x 1\na@trade#x 1\n");
    feed.send(b"a@trade \"\xff\"\n");
    feed.send(format!("a@trade \"{}\"\n", "x".repeat(4_095)));
    feed.send("b@ticker  [1e400] \t\r\n");
    let errors: Vec<_> = (0..7).map(|_| feed.error()).collect();
    assert_eq!(
        errors,
        [
            "2 malformed",
            "3 invalid_json",
            "4 invalid_json",
            "5 invalid_channel",
            "6 invalid_sequence",
            "7 invalid_utf8",
            "8 too_large"
        ]
    );
    assert_eq!(feed.ping(), 2);
    assert_eq!(stage.payloads(), pairs(&[("a@trade", "{\"p\": 1.10 }"), ("b@ticker", "[1e400]")]));
    assert_eq!(stage.stats.accepted.load(Ordering::Relaxed), 2);
    assert_eq!(stage.refused(RefusalCode::InvalidJson), 2);
    assert_eq!(stage.refused(RefusalCode::InvalidUtf8), 1);
}

#[test]
fn sequences_and_ordinals_count_from_one() {
    let mut stage = Stage::start();
    let mut feed = stage.unix_feed();
    feed.send("a@trade 1\nb@trade#18446744073709551615 2\na@trade 3\n");
    assert_eq!(feed.ping(), 3);
    let record = |channel: &str, sequence, ordinal, feed_sequence, payload: &str| Published {
        channel: channel.to_owned(),
        sequence,
        ordinal,
        feed_sequence,
        payload: payload.to_owned(),
    };
    assert_eq!(
        stage.published(),
        [
            record("a@trade", 1, 1, None, "1"),
            record("b@trade", 1, 2, Some(u64::MAX), "2"),
            record("a@trade", 2, 3, None, "3"),
        ]
    );
    assert_eq!(stage.stats.ordinal.load(Ordering::Relaxed), 3);
}

#[test]
fn it_does_not_matter_how_the_bytes_are_cut() {
    let mut stage = Stage::start();
    let mut feed = stage.feed();
    let text = "PING\na@trade#1 {\"p\":\"1\"}\nPING\nx\nb@trade 2\nPING\n";
    for byte in text.as_bytes() {
        feed.stream.write_all(&[*byte]).expect("a stage that reads");
    }
    let answers: Vec<_> = (0..3).map(|_| feed.answer()).collect();
    assert_eq!(answers[..2], ["+PONG 0", "+PONG 1"]);
    assert!(answers[2].starts_with("-ERR 4 malformed "), "{answers:?}");
    assert_eq!(feed.answer(), "+PONG 2");
    assert_eq!(stage.payloads().len(), 2);
}

#[test]
fn a_line_over_the_limit_is_passed_over_and_the_connection_stays() {
    let mut stage = Stage::start();
    let mut feed = stage.feed();
    feed.send("a@trade 1\n");
    for _ in 0..100 {
        feed.send("x".repeat(10_000));
    }
    assert_eq!(feed.error(), "2 line_too_long", "answered before its end");
    feed.send("\na@trade 2\n");
    assert_eq!(feed.ping(), 2);
    assert_eq!(stage.refused(RefusalCode::LineTooLong), 1);
    assert_eq!(stage.payloads().len(), 2);
}

#[test]
fn a_feed_cut_inside_a_line_loses_that_line_only() {
    let mut stage = Stage::start();
    let mut feed = stage.feed();
    feed.send("a@trade 1\na@trade {\"p\":");
    feed.stream.shutdown(std::net::Shutdown::Write).expect("a connection");
    assert_eq!(feed.answer(), "", "the stage closes");
    assert_eq!(stage.payloads(), pairs(&[("a@trade", "1")]));
    assert_eq!(stage.stats.cut_off.load(Ordering::Relaxed), 1);
}

#[test]
fn a_feed_that_is_gone_before_its_answers_still_gets_its_records_in() {
    let mut stage = Stage::start();
    // A Unix socket: what was written to it is the stage's, where TCP would take back what is still on its way.
    let (mut feed, mut other) = (stage.unix_feed(), stage.feed());
    assert_eq!((feed.ping(), other.ping()), (0, 0));
    feed.send("bad\na@trade 1\n".repeat(10_000));
    drop(feed);
    ping_until(&mut other, || stage.stats.connections.load(Ordering::Relaxed) == 1);
    assert_eq!(stage.payloads().len(), 10_000);
}

#[test]
fn two_feeds_at_once_do_not_mix() {
    let mut stage = Stage::start();
    let (mut one, mut two) = (stage.feed(), stage.unix_feed());
    one.send("a@trade {\"from\":");
    two.send("b@trade {\"from\":2}\nbad\n");
    assert_eq!(two.error(), "2 malformed");
    assert_eq!(two.ping(), 1);
    one.send("1}\n");
    assert_eq!(one.ping(), 1);
    assert_eq!(stage.payloads(), pairs(&[("b@trade", "{\"from\":2}"), ("a@trade", "{\"from\":1}")]));
    assert_eq!(stage.stats.connections.load(Ordering::Relaxed), 2);
}

#[test]
fn a_token_is_asked_for_first() {
    let stage = Stage::with(tapecast::ingest::Options { token: Some("se cret".to_owned()), ..options() });
    for wrong in ["a@trade 1\n", "AUTH wrong\n", "AUTH\n", "PING\n", "AUTH se cret \n"] {
        let mut feed = stage.feed();
        feed.send(wrong);
        assert_eq!(feed.error(), "1 unauthorized", "{wrong:?}");
        assert_eq!(feed.answer(), "", "and closed");
    }
    assert_eq!(stage.stats.unauthorized.load(Ordering::Relaxed), 5);
    let mut feed = stage.feed();
    feed.send("AUTH se cret\nSESSION x\na@trade 1\nAUTH se cret\n");
    assert_eq!(feed.error(), "4 malformed", "too late for that");
    assert_eq!(feed.ping(), 1);
    assert_eq!(stage.stats.accepted.load(Ordering::Relaxed), 1);
}

#[test]
fn readers_that_sleep_are_woken_once_a_batch_and_told_the_end() {
    let mut stage = Stage::start();
    let mut feed = stage.feed();
    assert!(stage.reader.doze());
    feed.send("a@trade 1\n".repeat(100));
    feed.ping();
    assert!(stage.wakes() >= 1);
    stage.reader.rouse();
    assert_eq!(stage.published().len(), 100);
    let path = stage.unix.clone();
    assert_eq!(stage.finish(), [Some(Kind::End)]);
    assert!(!path.exists(), "the socket's file is removed");
}
