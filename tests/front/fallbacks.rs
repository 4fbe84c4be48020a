//! The market over plain HTTP: latest records, the list of channels, polls; and what each refuses.

use std::io::Write as _;
use std::time::Duration;

use serde_json::Value;
use tapecast::front::Options;

use crate::harness::{Harness, PATIENCE, everything, now, options};

/// A market of three channels.
fn market() -> Harness {
    let mut front = Harness::new(options());
    for (name, payload) in
        [("a@trade", "1"), ("b@ticker", r#"{"p": "0.10"}"#), ("a@trade", "2"), ("c@trade", "3")]
    {
        front.tape.publish(name, payload);
    }
    front
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// An answer of 200, which any page may read and no cache keeps.
#[track_caller]
fn good(front: &Harness, target: &str) -> Value {
    let (status, head, body) = front.get(target);
    assert_eq!(status, 200, "{target}: {body}");
    for header in
        ["content-type: application/json", "access-control-allow-origin: *", "cache-control: no-store"]
    {
        assert!(head.contains(&format!("\r\n{header}")), "{head}");
    }
    json(&body)
}

/// A cursor and the records in short: name, sequence, and what marks it.
fn polled(answer: &Value) -> (&str, Vec<String>) {
    let short = |record: &Value| match record["op"].as_str() {
        Some(_) => format!("{} {}", record["ch"].as_str().unwrap(), record["state"].as_str().unwrap()),
        None => {
            let snap = if record["snap"] == true { " snap" } else { "" };
            format!("{} {}{snap}", record["ch"].as_str().unwrap(), record["seq"])
        }
    };
    let records = answer["records"].as_array().unwrap().iter().map(short).collect();
    (answer["cursor"].as_str().unwrap(), records)
}

#[test]
fn the_latest_records_are_an_array() {
    let front = market();
    let (_, _, body) = front.get("/v1/last?channels=a@trade,none@trade,b@ticker,a@trade");
    let a = r#"{"ch":"a@trade","seq":2,"ts":7,"snap":true,"data":2}"#;
    let b = r#"{"ch":"b@ticker","seq":1,"ts":7,"snap":true,"data":{"p": "0.10"}}"#;
    assert_eq!(body, format!("[{a},{b}]"));
    assert_eq!(front.get("/v1/last?channels=c@trade,*@trade").2.matches(r#""ch":"#).count(), 2);
    assert_eq!(front.get("/v1/last?channels=none@trade,no*@x").2, "[]");
    assert_eq!(good(&front, "/v1/last?channels=*@*").as_array().unwrap().len(), 3);
}

#[test]
fn an_answer_larger_than_its_bound_is_refused() {
    let mut front = Harness::with_ring(1 << 27);
    let payload = format!("\"{}\"", "x".repeat(250_000));
    (0..70).for_each(|number| front.tape.publish(&format!("c{number}@big"), &payload));
    refused(&front, "/v1/last?channels=*@big", 413, "too_large");
    // 16 MB in pages, and by a poll in two parts.
    assert_eq!(good(&front, "/v1/last?channels=c1*@big,c2*@big,c3*@big").as_array().unwrap().len(), 33);
    let answer = good(&front, "/v1/poll?channels=c1*@big,c2*@big");
    let (cursor, records) = polled(&answer);
    assert!(records.len() < 20, "4 MB: {}", records.len());
    let rest = good(&front, &format!("/v1/poll?channels=c1*@big,c2*@big&cursor={cursor}"));
    assert_eq!(records.len() + polled(&rest).1.len(), 22);
}

#[test]
fn the_list_of_channels_is_made_of_pages() {
    let mut front = Harness::new(options());
    assert_eq!(front.get("/v1/channels").2, r#"{"epoch":"e1","channels":[]}"#);
    for number in 0..2500 {
        front.tape.publish(&format!("c{number}@depth@100ms"), "0");
    }
    front.tape.publish("c7@depth@100ms", "0");
    front.tape.catalogue.set_stale(front.tape.id("c8@depth@100ms"), true);
    let all = good(&front, "/v1/channels");
    let channels = all["channels"].as_array().unwrap();
    assert_eq!((channels.len(), all["epoch"].as_str()), (2500, Some("e1")));
    let one = |name: &str| good(&front, &format!("/v1/channels?match={name}"))["channels"].to_string();
    let c7 = r#"[{"channel":"c7@depth@100ms","kind":"depth@100ms","seq":2,"ts":7}]"#;
    assert_eq!(json(&one("c7@depth@100ms")), json(c7));
    assert!(one("*8@depth@100ms").contains(r#""stale":true"#));
    assert_eq!(one("c2499@*").matches("depth").count(), 2);
    assert_eq!(one("none@*"), "[]");
}

#[test]
fn a_poll_begins_with_snapshots_and_goes_on_without_a_hole() {
    let mut front = market();
    let target = "/v1/poll?channels=a@trade,new@trade,*@ticker&wait_ms=0";
    let answer = good(&front, target);
    let (cursor, records) = polled(&answer);
    assert_eq!((cursor, records), ("e1:3", vec!["b@ticker 1 snap".to_owned(), "a@trade 2 snap".to_owned()]));
    assert!(polled(&good(&front, &format!("{target}&cursor=e1:3"))).1.is_empty());
    for name in ["a@trade", "c@trade", "new@trade", "z@ticker", "a@trade", "b@ticker", "b@ticker"] {
        front.tape.publish(name, "0");
    }
    let answer = good(&front, &format!("{target}&cursor={cursor}"));
    let all = ["a@trade 3", "new@trade 1", "z@ticker 1", "a@trade 4", "b@ticker 2", "b@ticker 3"];
    assert_eq!(polled(&answer), ("e1:11", all.map(str::to_owned).to_vec()));
    // As often as one asks, and from wherever.
    assert_eq!(polled(&good(&front, &format!("{target}&cursor=e1:9"))).1, ["b@ticker 2", "b@ticker 3"]);
}

#[test]
fn a_cursor_of_another_numbering_or_of_the_future_begins_anew() {
    let front = market();
    for cursor in ["e0:2", "e1:5", "e1:18446744073709551615", "e11:4", ""] {
        let answer = good(&front, &format!("/v1/poll?channels=a@trade&cursor={cursor}"));
        assert_eq!(polled(&answer), ("e1:3", vec!["a@trade 2 snap".to_owned()]), "{cursor}");
    }
    // Beyond the channel, but not beyond the feed: nothing is new, and nothing is sent again.
    let answer = good(&front, "/v1/poll?channels=a@trade&cursor=e1:4&wait_ms=0");
    assert_eq!(polled(&answer), ("e1:4", vec![]));
}

#[test]
fn a_poll_waits_for_what_comes() {
    let mut front = market();
    let request = |front: &Harness, more: &str| {
        let cursor = format!("e1:{}", front.tape.ordinal);
        format!(
            "GET /v1/poll?channels=a@trade,late@trade,*@ticker&cursor={cursor}{more} HTTP/1.1\r\nHost: test\r\n\
             Connection: close\r\n\r\n"
        )
    };
    for name in ["a@trade", "late@trade", "later@ticker"] {
        let begun = now();
        let client = front.send(request(&front, ""));
        front.expect(|stats| &stats.polls, 1);
        front.tape.publish("c@trade", "0");
        front.tape.publish(name, "0");
        let body = everything(client);
        assert!(body.contains(&format!(r#"{{"ch":"{name}","#)) && !body.contains("c@trade"), "{body}");
        assert!(now() - begun < Duration::from_secs(20), "not the end of the wait");
        front.expect(|stats| &stats.polls, 0);
    }
    let begun = now();
    let body = everything(front.send(request(&front, "&wait_ms=300")));
    assert!(body.ends_with(&format!(r#"{{"cursor":"e1:{}","records":[]}}"#, front.tape.ordinal)), "{body}");
    assert!(now() - begun >= Duration::from_millis(300));
}

#[test]
fn a_poll_tells_what_is_stale() {
    let front = market();
    let id = front.tape.id("a@trade");
    let target = "/v1/poll?channels=a@trade,b@ticker";
    let client =
        front.send(format!("GET {target}&cursor=e1:4 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
    front.expect(|stats| &stats.polls, 1);
    front.tape.catalogue.set_stale(id, true);
    assert!(everything(client).ends_with(r#""records":[{"op":"status","ch":"a@trade","state":"stale"}]}"#));
    assert_eq!(polled(&good(&front, target)).1, ["b@ticker 1 snap", "a@trade 2 snap", "a@trade stale"]);
    let client =
        front.send(format!("GET {target}&cursor=e1:4 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
    front.expect(|stats| &stats.polls, 1);
    front.tape.catalogue.set_stale(id, false);
    assert!(everything(client).ends_with(r#""records":[{"op":"status","ch":"a@trade","state":"live"}]}"#));
}

#[test]
fn a_waiting_poll_outlives_the_time_of_a_request_and_holds_no_handshakes_place() {
    let options = Options { handshakes_max: 1, head_timeout: Duration::from_millis(200), ..options() };
    let mut front = Harness::new(options);
    front.tape.publish("a@trade", "0");
    let mut client =
        front.send("GET /v1/poll?channels=a@trade&cursor=e1:1&wait_ms=1500 HTTP/1.1\r\nHost: test\r\n\r\n");
    front.expect(|stats| &stats.polls, 1);
    assert_eq!(front.get("/v1/last?channels=a@trade").0, 200, "the one place is free");
    // The connection is kept: another poll may follow on it.
    let head = crate::harness::head(&mut client).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ") && !head.contains("connection: close"), "{head}");
    client
        .write_all(
            b"GET /v1/poll?channels=a@trade&wait_ms=0 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
    assert!(everything(client).ends_with("]}"));
    assert_eq!(front.read(|stats| &stats.bad_requests), 0);
}

#[test]
fn the_shutdown_answers_those_who_wait() {
    let mut front = market();
    let client =
        front.send("GET /v1/poll?channels=a@trade&cursor=e1:4&wait_ms=60000 HTTP/1.1\r\nHost: test\r\n\r\n");
    front.expect(|stats| &stats.polls, 1);
    let begun = now();
    front.shut_down();
    assert!(everything(client).ends_with(r#"{"cursor":"e1:4","records":[]}"#));
    assert!(now() - begun < PATIENCE);
}

#[test]
fn what_cannot_be_is_refused_with_a_code() {
    let front = Harness::new(Options { pattern_channels_max: 2, patterns_max: 1, ..options() });
    let many = |count: usize| (0..count).map(|n| format!("s{n}@t")).collect::<Vec<_>>().join(",");
    for path in ["sse", "poll", "last"] {
        let cases = [
            ("", "invalid_request"),
            ("channels=", "invalid_request"),
            ("channels=a", "invalid_channel"),
            ("channels=a@b,%22@x", "invalid_channel"),
            ("channels=%ff", "invalid_request"),
            ("channels=a*@b,b*@b", "too_many_channels"),
            (&format!("channels={}", many(1025)), "too_many_channels"),
        ];
        for (query, code) in cases {
            refused(&front, &format!("/v1/{path}?{query}"), 400, code);
        }
        for method in ["HEAD", "POST", "OPTIONS", "DELETE"] {
            let (status, head, _) = front.ask(method, &format!("/v1/{path}?channels=a@b"));
            assert!(status == 405 && head.contains("\r\nallow: get"), "{method}: {head}");
        }
    }
    let cases = [
        ("poll?channels=a@b&cursor=rubbish", "invalid_cursor"),
        ("poll?channels=a@b&cursor=e1:-1", "invalid_cursor"),
        ("poll?channels=a@b&cursor=e1:1:", "invalid_cursor"),
        ("poll?channels=a@b&cursor=e1:99999999999999999999", "invalid_cursor"),
        ("poll?channels=a@b&wait_ms=60001", "invalid_request"),
        ("poll?channels=a@b&wait_ms=soon", "invalid_request"),
        ("channels?match=a", "invalid_channel"),
        ("sse?channels=a@b&every_ms=x", "invalid_request"),
        ("sse?channels=a@ticker,a@trade&every_ms=100", "not_conflatable"),
        ("sse?channels=a@b&snapshot=maybe", "invalid_request"),
    ];
    for (target, code) in cases {
        refused(&front, &format!("/v1/{target}"), 400, code);
    }
    assert_eq!((front.read(|s| &s.upgraded), front.read(|s| &s.streams)), (0, 0));
}

#[test]
fn patterns_that_match_too_much_are_refused() {
    let mut front = Harness::new(Options { pattern_channels_max: 2, ..options() });
    ["a@t", "b@t", "c@t"].into_iter().for_each(|name| front.tape.publish(name, "0"));
    for path in ["last", "poll"] {
        refused(&front, &format!("/v1/{path}?channels=*@t"), 400, "too_many_channels");
        assert_eq!(
            front.get(&format!("/v1/{path}?channels=*@t,a@t&wait_ms=0")).0,
            200,
            "a named one counts apart"
        );
    }
}

#[track_caller]
fn refused(front: &Harness, target: &str, expected: u16, code: &str) {
    let (status, head, body) = front.get(target);
    let short = &target[..target.len().min(100)];
    assert_eq!((status, json(&body)["code"].as_str()), (expected, Some(code)), "{short}: {body}");
    assert!(json(&body)["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    assert!(head.contains("access-control-allow-origin: *") && head.contains("connection: close"), "{head}");
}
