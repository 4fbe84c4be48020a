//! The configuration: a file, `--set` and flags, in growing weight, resolved into the stages' `Options`.
//!
//! Before any thread runs. It opens no socket and reads one file. Invariant: a [`Config`] that exists fits together;
//! everything that can be checked before a socket is opened was checked here, and each problem names its place.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use toml::{Table, Value};

use crate::channel::DeliveryRules;
use crate::{front, ingest, ring, shard};

mod layer;
mod problem;
mod sections;
mod stages;
mod value;

use layer::Setting;
pub use problem::Problems;
use problem::{Checks, Problem};
use sections::Written;

/// What a server needs to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// For the ring; its readers are the shards.
    pub ring: ring::Options,
    /// For ingest.
    pub ingest: ingest::Options,
    /// For each shard.
    pub shard: shard::Options,
    /// For the front.
    pub front: front::Options,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub admin_listen: SocketAddr,
    /// How many shards: a thread each.
    pub shards: usize,
    /// Which kinds of channels are delivered how.
    pub delivery: DeliveryRules,
    /// Time over which subscribers are closed when the server ends.
    pub drain: Duration,
}

impl Default for Config {
    /// What an empty configuration says.
    fn default() -> Self {
        resolve(&Written::default(), &mut Checks::default())
    }
}

/// A flag that stands for a key.
#[derive(Clone, Debug)]
pub(super) struct FlagSetting {
    /// As it is typed: `--listen`.
    pub(super) flag: &'static str,
    /// What it stands for: `subscribers.listen`.
    pub(super) key: &'static str,
    pub(super) value: Value,
}

impl Config {
    /// Reads a configuration file alone.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line.
    pub fn from_file(path: &Path) -> Result<Self, Problems> {
        Self::load(Some(path), &[], Vec::new())
    }

    /// The configuration that settings as `ring.bytes=65536` make of the defaults, as `--set` takes them.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn from_settings(settings: &[&str]) -> Result<Self, Problems> {
        let set: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        Self::load(None, &set, Vec::new())
    }

    /// File, `--set` and flags: what comes later weighs more.
    pub(super) fn load(
        file: Option<&Path>,
        set: &[String],
        flags: Vec<FlagSetting>,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut settings = file.map_or_else(Vec::new, |path| layer::of_file(path, &mut problems));
        settings.extend(set.iter().filter_map(|argument| layer::of_set(argument, &mut problems)));
        settings.extend(flags.into_iter().map(|given| layer::of_flag(given.flag, given.key, given.value)));
        build(settings, problems)
    }
}

fn build(settings: Vec<Setting>, mut problems: Problems) -> Result<Config, Problems> {
    let mut merged = Table::new();
    let mut origins = HashMap::new();
    for setting in settings {
        match accepted(&setting) {
            Ok(value) => {
                origins.insert(setting.key(), setting.origin.clone());
                layer::insert(&mut merged, &setting.path, value);
            }
            Err(text) => problems.push(Problem::new(Some(setting.origin.clone()), setting.key(), text)),
        }
    }
    problems.into_result()?;
    // Each setting was accepted alone, so together they are read too.
    let written = Written::deserialize(Value::Table(merged)).map_err(|error| {
        let mut problems = Problems::default();
        problems.push(Problem::new(None, "", error.message()));
        problems
    })?;
    let mut checks = Checks::new(origins);
    let config = resolve(&written, &mut checks);
    checks.into_problems().into_result().map(|()| config)
}

/// The value as it is taken, once its key and form were tried. A `--set` value that is TOML but not what the key
/// wants is tried as a bare string: a token of digits need not be quoted twice.
fn accepted(setting: &Setting) -> Result<Value, String> {
    let fits = |value: &Value| Written::deserialize(Value::Table(setting.alone(value.clone())));
    let Err(error) = fits(&setting.value) else { return Ok(setting.value.clone()) };
    let bare = setting.bare.clone().map(Value::String).filter(|bare| fits(bare).is_ok());
    bare.ok_or_else(|| error.message().to_owned())
}

fn resolve(written: &Written, checks: &mut Checks) -> Config {
    stages::listeners_differ(written, checks);
    Config {
        ring: stages::ring(written, checks),
        ingest: stages::ingest(written, checks),
        shard: stages::shard(written, checks),
        front: stages::front(written, checks),
        admin_listen: written.admin.listen,
        shards: stages::shards(written, checks),
        delivery: written.delivery.clone(),
        drain: stages::drain(written, checks),
    }
}

#[cfg(test)]
mod tests {
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
            (
                &["heartbeat.pong_timeout=20s"],
                &["heartbeat.pong_timeout", "longer than heartbeat.ping_every"],
            ),
            (&["heartbeat.ping_every=2m"], &["--set: heartbeat.ping_every", "2m"]),
            (&["outbox.torn_pool_bytes_max=1"], &["cannot hold one payload"]),
            (&["limits.head_bytes=4096"], &["limits.head_bytes: 4096 cannot be", "from 8192 to"]),
            (&["limits.message_bytes=0"], &["limits.message_bytes: 0 would leave memory without a bound"]),
            (
                &["feed.stale_after=10us"],
                &["feed.stale_after: 10us is below a millisecond", r#""0s" for never"#],
            ),
            (&["feed.silence_after=1ns"], &["feed.silence_after: 1ns is below a millisecond"]),
            (&["feed.silence_after=5"], &["feed.silence_after: invalid type: integer `5`, expected a time"]),
            (&["resume.records_max=1000001"], &["resume.records_max: 1000001 records are", "to 1000000"]),
            (&["resume.records_max=-1"], &["resume.records_max: invalid value: integer `-1`"]),
            (
                &["dialect.on_gap=drop"],
                &["dialect.on_gap: invalid value: string \"drop\"", r#""close" or "skip""#],
            ),
            (&["limits.patterns=4294967296"], &["limits.patterns: ", "below 2^32"]),
            (&["limits.pattern_channels=-1"], &["limits.pattern_channels: ", "not negative"]),
            (
                &["shutdown.drain=61m"],
                &["shutdown.drain: an end that takes 1h 1m cannot be", "from 0s", "to 1h"],
            ),
            (&["shard.coalesce=101ms"], &["shard.coalesce: 101ms cannot be waited", "from 0s", "to 100ms"]),
            (&["shard.coalesce=1500us"], &["shard.coalesce: 1ms 500us cannot be", "whole milliseconds"]),
            (&["feed.stale=1s"], &["unknown field `stale`, expected `stale_after` or `silence_after`"]),
            (&["shards=0"], &["shards: 0 shards cannot be"]),
            (&["ingest.listen=none"], &["ingest.listen", "write ingest.unix too"]),
            (&["ingest.token="], &["ingest.token: a token is printable ASCII"]),
            (&["ingest.listen=127.0.0.1:9001"], &["want the same port"]),
            (&["limits.head_timeout=0s"], &["limits.head_timeout: no time at all cannot be"]),
            (&["ring.byte=1"], &["ring.byte: unknown field `byte`, expected `bytes` or `channels_max`"]),
            (&["rings=1"], &["rings: unknown field `rings`, expected one of `subscribers`, `ingest`"]),
            (&["ring=1"], &["ring: invalid type: integer `1`, expected a section [ring]"]),
            (&["shards=many"], &["shards: invalid type: string \"many\", expected a whole number"]),
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
}
