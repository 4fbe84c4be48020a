//! The configuration: a file, the environment, `--set` and flags, in growing weight, resolved into the stages' `Options`.
//!
//! Before any thread runs. It opens no socket and reads one file; the environment is an argument. Invariant: a [`Config`] that exists fits together;
//! everything that can be checked before a socket is opened was checked here, and each problem names its place.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use toml::{Table, Value};

use crate::channel::DeliveryRules;
use crate::{front, ingest, ring, shard};

mod environment;
#[cfg(test)]
mod example;
mod judge;
mod keys;
mod layer;
mod nearest;
mod print;
mod problem;
mod rules;
mod sections;
mod stages;
#[cfg(test)]
mod tests;
mod value;

pub(super) use environment::Environment;
use keys::Keys;
use layer::Setting;
pub(super) use print::InForce;
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

/// Everything that a configuration is made of, what weighs least first.
#[derive(Debug, Default)]
pub(super) struct Sources<'a> {
    /// The file that the command line names; else the environment may name one.
    pub(super) file: Option<&'a Path>,
    pub(super) environment: Environment,
    pub(super) set: &'a [String],
    pub(super) flags: Vec<FlagSetting>,
}

impl Config {
    /// Reads a configuration file alone: the environment of whoever reads it says nothing about the file.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line.
    pub fn from_file(path: &Path) -> Result<Self, Problems> {
        Self::load(Sources { file: Some(path), ..Sources::default() }).map(|(config, _)| config)
    }

    /// The configuration that settings as `ring.bytes=65536` make of the defaults, as `--set` takes them.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn from_settings(settings: &[&str]) -> Result<Self, Problems> {
        let set: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        Self::load(Sources { set: &set, ..Sources::default() }).map(|(config, _)| config)
    }

    /// What the sources say together, and which of them said what.
    pub(super) fn load(sources: Sources<'_>) -> Result<(Self, InForce), Problems> {
        let mut problems = Problems::default();
        let keys = Keys::default();
        let settings = sources.settings(&keys, &mut problems);
        build(settings, &keys, problems)
    }
}

impl Sources<'_> {
    fn settings(self, keys: &Keys, problems: &mut Problems) -> Vec<Setting> {
        let mut settings = match (self.file, self.environment.file()) {
            (Some(path), _) => layer::of_file(path, None, problems),
            (None, Some((path, variable))) => layer::of_file(&path, Some(variable), problems),
            (None, None) => Vec::new(),
        };
        settings.extend(self.environment.settings(keys, problems));
        settings.extend(self.set.iter().filter_map(|argument| layer::of_set(argument, problems)));
        settings
            .extend(self.flags.into_iter().map(|given| layer::of_flag(given.flag, given.key, given.value)));
        settings
    }
}

/// Judges each setting, then what those that may stay make together: all that is wrong is told at once.
fn build(settings: Vec<Setting>, keys: &Keys, mut problems: Problems) -> Result<(Config, InForce), Problems> {
    let (mut merged, mut origins, mut refused) = (Table::new(), HashMap::new(), HashSet::new());
    for setting in settings {
        match judge::accepted(&setting, keys) {
            // A section without keys: it takes nothing away from what another layer says.
            Ok(value) if value.is_table() => {}
            Ok(value) => {
                layer::insert(&mut merged, &setting.path, value);
                origins.insert(setting.key(), setting.origin);
            }
            Err(found) => {
                refused.insert(setting.key());
                found.into_iter().for_each(|problem| problems.push(problem));
            }
        }
    }
    // Each setting was accepted alone, so together they are read too.
    let written = Written::deserialize(Value::Table(merged)).unwrap_or_else(|error| {
        problems.push(Problem::new(None, "", error.message()));
        Written::default()
    });
    let mut checks = Checks::new(origins, refused);
    let config = resolve(&written, &mut checks);
    let (unfit, origins) = checks.finish();
    problems.append(unfit);
    problems.into_result().map(|()| (config, InForce { keys: Keys::of(&written), origins }))
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
