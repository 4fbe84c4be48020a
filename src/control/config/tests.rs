//! A configuration as a whole: what its layers make together, what is told of one that cannot be, what is printed.
//!
//! Pure but for the example, which is compiled in. Invariant: no test depends on the environment that it runs in.

use super::*;

fn problems(settings: &[&str]) -> String {
    Config::from_settings(settings).map_or_else(|problems| problems.to_string(), |_| String::new())
}

#[test]
fn the_defaults_fit_together() {
    assert_eq!(problems(&[]), "");
    let config = Config::default();
    assert_eq!(config.ring.bytes, 268_435_456);
    assert_eq!(config.front.listen.to_string(), "0.0.0.0:9001");
    assert_eq!(config.ingest.listen.map(|listen| listen.to_string()).as_deref(), Some("127.0.0.1:9002"));
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:9003");
    assert_eq!(config.ingest.expire_after.as_secs(), 7 * 24 * 3600);
    assert!(config.shards >= 1 && config.ring.readers == config.shards);
    assert_eq!((config.ingest.stale_after.as_secs(), config.ingest.silence_after.as_secs()), (10, 0));
    assert_eq!((config.shard.resume_records_max, config.shard.on_gap), (10_000, shard::OnGap::Close));
    assert_eq!((config.shard.patterns_max, config.shard.pattern_channels_max), (16, 10_000));
    assert_eq!(config.drain.as_secs(), 30);
    assert!(config.shard.coalesce.is_zero());
}

#[test]
fn settings_reach_their_stage() {
    let config = Config::from_settings(&[
        "limits.connections=0",
        "limits.connections_per_address=0",
        "limits.messages_per_second=0",
        "ingest.token=1e5",
        "outbox.bytes_max=67108864",
        "heartbeat.ping_every=500ms",
        "delivery=every",
        "shards=3",
        "feed.stale_after=0s",
        "feed.silence_after=1m",
        "resume.records_max=0",
        "dialect.on_gap=skip",
        "limits.patterns=0",
        "limits.pattern_channels=0",
        "shutdown.drain=0s",
        "shard.coalesce=100ms",
    ])
    .unwrap();
    assert_eq!((config.front.connections_max, config.front.connections_per_address_max), (0, 0));
    assert_eq!(config.shard.messages_per_second, u32::MAX);
    assert_eq!(config.ingest.token.as_deref(), Some("1e5"));
    assert_eq!(config.shard.outbox_bytes_max, 67_108_864);
    assert_eq!(config.shard.ping_every.as_millis(), 500);
    assert_eq!(config.delivery, DeliveryRules::all(crate::channel::Delivery::Every));
    assert_eq!((config.shards, config.ring.readers), (3, 3));
    assert_eq!((config.ingest.stale_after.as_secs(), config.ingest.silence_after.as_secs()), (0, 60));
    assert_eq!((config.shard.resume_records_max, config.shard.on_gap), (0, shard::OnGap::Skip));
    let no_limit = u32::MAX as usize;
    assert_eq!((config.shard.patterns_max, config.shard.pattern_channels_max), (no_limit, no_limit));
    assert!(config.drain.is_zero());
    assert_eq!(config.shard.coalesce.as_millis(), 100);
}

#[test]
fn what_does_not_fit_together_names_key_fault_and_cure() {
    for (settings, parts) in [
        (&["ring.bytes=1000000"][..], &["--set: ring.bytes: 1000000 cannot be", "write 1048576"][..]),
        (&["ring.bytes=65536"], &["--set: ring.bytes: ", "of at most 1024", "at least 67108864"]),
        (
            &["ingest.payload_bytes_max=8388608"],
            &["--set: ingest.payload_bytes_max", "at most 4194304", "at least 536870912"],
        ),
        (&["heartbeat.pong_timeout=20s"], &["heartbeat.pong_timeout", "longer than heartbeat.ping_every"]),
        (&["heartbeat.ping_every=2m"], &["--set: heartbeat.ping_every", "2m"]),
        (&["outbox.torn_pool_bytes_max=1"], &["cannot hold one payload"]),
        (&["limits.head_bytes=4096"], &["limits.head_bytes: 4096 cannot be", "from 8192 to"]),
        (&["limits.message_bytes=0"], &["limits.message_bytes: 0 would leave memory without a bound"]),
        (&["feed.stale_after=10us"], &["feed.stale_after: 10us is below a millisecond", r#""0s" for never"#]),
        (&["feed.silence_after=1ns"], &["feed.silence_after: 1ns is below a millisecond"]),
        (&["feed.silence_after=5"], &["feed.silence_after: 5 cannot be; write a time with its unit"]),
        (&["resume.records_max=1000001"], &["resume.records_max: 1000001 records are", "to 1000000"]),
        (
            &["resume.records_max=-1"],
            &["resume.records_max: -1 cannot be; write a whole number, not negative (default: 10000)"],
        ),
        (&["dialect.on_gap=drop"], &["dialect.on_gap: \"drop\" cannot be", r#"write "close" or "skip""#]),
        (&["limits.patterns=4294967296"], &["limits.patterns: ", "below 2^32"]),
        (&["limits.pattern_channels=-1"], &["limits.pattern_channels: ", "not negative"]),
        (&["shutdown.drain=61m"], &["shutdown.drain: an end that takes 1h 1m cannot be", "from 0s", "to 1h"]),
        (&["shard.coalesce=101ms"], &["shard.coalesce: 101ms cannot be waited", "from 0s", "to 100ms"]),
        (&["shard.coalesce=1500us"], &["shard.coalesce: 1ms 500us cannot be", "whole milliseconds"]),
        (&["feed.stale=1s"], &["feed.stale: no such key; did you mean feed.stale_after?"]),
        (&["shards=0"], &["shards: 0 shards cannot be"]),
        (&["ring.channels_max=4294967295"], &["4294967295 channels cannot be; write 1 to 16777216"]),
        (&["delivery.trade=every"], &["delivery.trade: delivery is a list of rules; write [[delivery]]"]),
        (&["heartbeat.pong_timeout=1000years"], &["write a time up to \"100years\""]),
        (&["ingest.listen=none"], &["ingest.listen", "write ingest.unix too"]),
        (&["ingest.token="], &["ingest.token: a token is printable ASCII"]),
        (&["ingest.listen=127.0.0.1:9001"], &["want the same port"]),
        (&["limits.head_timeout=0s"], &["limits.head_timeout: 0s is below a millisecond; write a time"]),
        (&["heartbeat.ping_every=500us"], &["heartbeat.ping_every: 500us is below a millisecond"]),
        (&["channel.expire_after=1ns"], &["channel.expire_after: 1ns is below a millisecond"]),
        (&["ring.byte=1"], &["ring.byte: no such key; did you mean ring.bytes?"]),
        (&["rings=1"], &["rings: no such key; did you mean [ring]?"]),
        (&["ring=1"], &["ring: this is a section; set one of its keys, as ring.bytes"]),
        (&["shards=many"], &["shards: \"many\" cannot be; write a whole number"]),
    ] {
        let said = problems(settings);
        for part in parts {
            assert!(said.contains(part), "{settings:?}: {said}");
        }
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let said = problems(&["ring.byte=1", "shards=x", "ring.bytes"]);
    assert_eq!(said.lines().count(), 3, "{said}");
}

fn sources<'a>(environment: &[(&str, &str)], set: &'a [String]) -> Sources<'a> {
    let variables = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Sources { environment: Environment::new(variables), set, ..Sources::default() }
}

#[test]
fn the_environment_weighs_less_than_set_and_names_itself() {
    let set = ["ring.channels_max=7".to_owned()];
    let environment = [
        ("TAPECAST_RING_CHANNELS_MAX", "6"),
        ("TAPECAST_RING_BYTES", "67108864"),
        ("TAPECAST_INGEST_TOKEN", "12345"),
        ("TAPECAST_DELIVERY", "every"),
        ("TAPECAST_HEARTBEAT_PING_EVERY", "30s"),
        ("TAPECAST_PORT", "tcp://10.0.0.1:9001"),
    ];
    let (config, in_force) = Config::load(sources(&environment, &set)).unwrap();
    assert_eq!((config.ring.channels_max, config.ring.bytes), (7, 67_108_864));
    assert_eq!(config.ingest.token.as_deref(), Some("12345"));
    assert_eq!(config.shard.ping_every.as_secs(), 30);
    let printed = in_force.to_string();
    for line in
        ["channels_max = 7 # --set", "bytes = 67108864 # TAPECAST_RING_BYTES", "drain = \"30s\" # default"]
    {
        assert!(printed.lines().any(|printed| printed == line), "{line}: {printed}");
    }
    for (variable, value, part) in [
        ("TAPECAST_RING_BYTES", "many", "ring.bytes: \"many\" cannot be; write a whole number"),
        ("TAPECAST_RING_BYTES", "1000", "ring.bytes: 1000 cannot be"),
        ("TAPECAST_SHARDS", "", "shards: \"\" cannot be"),
        ("TAPECAST_INGEST_TOKEN", "", "ingest.token: a token is printable ASCII"),
        ("TAPECAST_CONFIG", "/no/such/file", "/no/such/file cannot be read: "),
    ] {
        let said = Config::load(sources(&[(variable, value)], &[])).unwrap_err().to_string();
        assert!(said.starts_with(&format!("{variable}: {part}")), "{variable}={value}: {said}");
    }
}

#[test]
fn what_is_printed_is_taken_again_and_says_the_same() {
    let set = [
        "ingest.listen=none",
        "ingest.unix=a \"b\".sock",
        "shard.coalesce=7ms",
        "channel.expire_after=1d 12h",
        "dialect.on_gap=skip",
        r#"delivery=[{ kind = "depth", merge = "binance-depth", slow = "close" }, { kind = "*", delivery = "every" }]"#,
        "shards=3",
    ]
    .map(str::to_owned);
    for set in [&set[..], &[], &["delivery=[]".to_owned()]] {
        let (_, in_force) = Config::load(sources(&[], set)).unwrap();
        let mut problems = Problems::default();
        let settings = layer::of_text("printed", &in_force.to_string(), &mut problems);
        let (_, again) = build(settings, &Keys::default(), problems).unwrap();
        assert!(in_force.keys.iter().eq(again.keys.iter()), "{in_force}\n{again}");
    }
}

#[test]
fn a_secret_is_printed_nowhere() {
    let set = ["ingest.token=hunter2".to_owned()];
    let (_, in_force) = Config::load(sources(&[], &set)).unwrap();
    let printed = in_force.to_string();
    assert!(
        printed.contains("# token is set, not shown (--set)") && !printed.contains("hunter2"),
        "{printed}"
    );
    for text in [
        "[ingest]\ntoken = hunter2\n",
        "[ingest]\ntoken = \"hunter2\n",
        "[ingest]\ntokn = \"hunter2\"\n",
        "ingest.token = [\"hunter2\"]\n",
    ] {
        let mut problems = Problems::default();
        let settings = layer::of_text("t", text, &mut problems);
        let said = build(settings, &Keys::default(), problems).unwrap_err().to_string();
        assert!(!said.contains("hunter2"), "{said}");
    }
    for argument in ["ingest.token hunter2", "ingest.token:hunter2"] {
        let said = problems(&[argument]);
        assert!(said.contains("\"ingest.token\" has no '='") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn one_wrong_key_makes_no_second_problem() {
    // Each would contradict the default of the other, had that been meant.
    for settings in [
        &["ring.bytes=x", "ingest.payload_bytes_max=8388608", "outbox.torn_pool_bytes_max=8388608"][..],
        &["heartbeat.ping_every=5", "heartbeat.pong_timeout=1s"],
        &["ring.bytes=1"],
    ] {
        assert_eq!(problems(settings).lines().count(), 1, "{}", problems(settings));
    }
    let said = problems(&["ring.byte=1", "limits.head_bytes=1"]);
    assert_eq!(said.lines().count(), 2, "a wrong name hides no wrong value: {said}");
}

#[test]
fn a_section_without_keys_takes_nothing_away() {
    let config = Config::from_settings(&["ring.channels_max=9", "ring={}"]).unwrap();
    assert_eq!(config.ring.channels_max, 9);
}
