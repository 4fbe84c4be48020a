//! Two feeds of one market, compared by their own sequences.

use std::sync::atomic::Ordering;

use crate::harness::{Stage, pairs};

#[test]
fn two_feeds_of_a_session_make_one_without_duplicates() {
    let mut stage = Stage::start();
    let (mut a, mut b) = (stage.feed(), stage.feed());
    a.send("SESSION m\n");
    b.send("SESSION m\n");
    a.send("x@trade#1 \"1\"\nx@trade#2 \"2\"\n");
    assert_eq!(a.ping(), 2);
    b.send("x@trade#1 \"1\"\nx@trade#2 \"other\"\nx@trade#3 \"3\"\n");
    assert_eq!(b.ping(), 1);
    a.send("x@trade#6 \"6\"\n");
    assert_eq!(a.ping(), 3);
    b.send("x@trade#4 \"4\"\nx@trade#4 \"4\"\nx@trade#6 \"6\"\ny@trade#1 \"1\"\n");
    assert_eq!(b.ping(), 2);
    let expected = [
        ("x@trade", "\"1\""),
        ("x@trade", "\"2\""),
        ("x@trade", "\"3\""),
        ("x@trade", "\"6\""),
        ("y@trade", "\"1\""),
    ];
    assert_eq!(stage.payloads(), pairs(&expected));
    let stats = &stage.stats;
    let counts = [&stats.duplicates, &stats.disagreed, &stats.feed_gaps, &stats.late];
    assert_eq!(counts.map(|counter| counter.load(Ordering::Relaxed)), [3, 1, 2, 2]);
}

#[test]
fn sessions_do_not_touch_each_other() {
    let stage = Stage::start();
    for first_line in ["SESSION one\n", "SESSION two\n", "", ""] {
        let mut feed = stage.feed();
        feed.send(first_line);
        feed.send("x@trade#5 1\nx@trade#5 1\n");
        assert_eq!(feed.ping(), 1, "{first_line:?}");
    }
    let mut again = stage.feed();
    again.send("SESSION one\nx@trade#5 1\nx@trade#6 1\n");
    assert_eq!(again.ping(), 1, "a feed that reconnects finds its session");
}

#[test]
fn a_session_is_chosen_before_the_first_record() {
    let stage = Stage::start();
    let mut feed = stage.feed();
    feed.send("SESSION \nx@trade 1\nSESSION late\n");
    assert_eq!(feed.error(), "1 malformed");
    assert_eq!(feed.error(), "3 malformed");
    assert_eq!(feed.ping(), 1);
}
