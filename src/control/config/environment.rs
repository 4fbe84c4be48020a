//! The layer of the environment: `TAPECAST_RING_BYTES` is `ring.bytes`.
//!
//! Pure: the environment is an argument. Invariant: a variable stands for one key at most, and one that stands for
//! none never keeps a server from starting.

use std::ffi::OsString;
use std::path::PathBuf;

use super::keys::Keys;
use super::layer::{self, Setting};
use super::nearest;
use super::problem::{Origin, Problem, Problems};

const PREFIX: &str = "TAPECAST_";

/// Names the file, where `--config` does not.
const FILE: &str = "TAPECAST_CONFIG";

/// Variables that are no keys: the file's, and the log's own.
const NO_KEYS: [&str; 3] = [FILE, "TAPECAST_LOG", "TAPECAST_LOG_FORMAT"];

/// What of a process's environment is meant for Tapecast.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Environment(Vec<(String, OsString)>);

impl Environment {
    /// Keeps the variables whose names begin with `TAPECAST_`.
    pub(in super::super) fn new(all: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let named = all.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let mut ours: Vec<_> = named.filter(|(name, _)| name.starts_with(PREFIX)).collect();
        ours.sort();
        Self(ours)
    }

    /// The configuration file that the environment names, and by which variable; an empty one names none.
    pub(super) fn file(&self) -> Option<(PathBuf, Origin)> {
        let (name, path) = self.0.iter().find(|(name, path)| name == FILE && !path.is_empty())?;
        Some((PathBuf::from(path), Origin::Variable(name.clone())))
    }

    /// What to say of each variable that stands for no key. They are no errors: for a service called tapecast,
    /// Kubernetes gives every pod beside it `TAPECAST_SERVICE_HOST`, `TAPECAST_PORT` and a few more.
    pub(in super::super) fn strangers(&self) -> Vec<String> {
        let keys = Keys::default();
        let known: Vec<String> = keys.iter().map(|key| variable(&key.name)).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).chain(NO_KEYS).collect();
        let strange = self.0.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        strange.map(|(name, _)| stranger(name, &known)).collect()
    }

    /// The settings that the environment makes.
    pub(super) fn settings(&self, keys: &Keys, problems: &mut Problems) -> Vec<Setting> {
        let mut settings = Vec::new();
        for (name, value) in &self.0 {
            let Some(key) = keys.iter().find(|key| variable(&key.name) == *name) else { continue };
            let origin = Origin::Variable(name.clone());
            match value.to_str() {
                Some(text) => settings.push(layer::of_typed(&key.name, text, origin)),
                None => {
                    let text = "the value is not UTF-8; write it in UTF-8";
                    problems.push(Problem::new(Some(origin), key.name.as_str(), text));
                }
            }
        }
        settings
    }
}

/// The variable that stands for a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "_"))
}

fn stranger(name: &str, known: &[&str]) -> String {
    // Behind the prefix, which all have in common.
    let behind = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
    let known: Vec<(String, &str)> = known.iter().map(|known| (behind(known), *known)).collect();
    let words: Vec<&str> = known.iter().map(|(word, _)| word.as_str()).collect();
    let near = nearest::word(&behind(name), &words);
    // In a line of the log.
    let name = name.escape_debug();
    match near.and_then(|near| known.iter().find(|(word, _)| word == near)) {
        Some((_, known)) => format!("{name} stands for no key and is passed over; did you mean {known}?"),
        None => format!("{name} stands for no key and is passed over"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::new(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    #[test]
    fn a_variable_stands_for_one_key() {
        let mut names: Vec<String> = Keys::default().iter().map(|key| variable(&key.name)).collect();
        assert!(names.contains(&"TAPECAST_LIMITS_CONNECTIONS_PER_ADDRESS".to_owned()));
        assert!(names.contains(&"TAPECAST_SHARDS".to_owned()));
        names.extend(NO_KEYS.map(str::to_owned));
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "two keys want the same variable: {names:?}");
    }

    #[test]
    fn a_value_that_is_not_utf8_is_told_with_its_variable() {
        let wrong = OsString::from_vec(b"\xff".to_vec());
        let environment = Environment::new([("TAPECAST_INGEST_UNIX".into(), wrong)]);
        let mut problems = Problems::default();
        assert!(environment.settings(&Keys::default(), &mut problems).is_empty());
        let said = problems.into_result().unwrap_err().to_string();
        assert_eq!(said, "TAPECAST_INGEST_UNIX: ingest.unix: the value is not UTF-8; write it in UTF-8");
    }

    #[test]
    fn only_what_is_meant_for_us_is_kept_and_what_is_strange_is_told() {
        let environment = environment(&[
            ("PATH", "/bin"),
            ("TAPECAST_CONFIG", "a.toml"),
            ("TAPECAST_LOG", "debug"),
            ("TAPECAST_LOG_FORMAT", "json"),
            ("TAPECAST_RING_BYTES", "65536"),
            ("TAPECAST_RING_BYTE", "1"),
            ("TAPECAST_SERVICE_HOST", "10.0.0.1"),
            ("TAPECAST_PORT", "tcp://10.0.0.1:9001"),
            ("TAPECAST_\n\u{9b}31m", "1"),
        ]);
        assert_eq!(environment.file().map(|(path, _)| path), Some(PathBuf::from("a.toml")));
        assert_eq!(Environment::new([(FILE.into(), "".into())]).file(), None);
        assert_eq!(
            environment.strangers(),
            [
                r"TAPECAST_\n\u{9b}31m stands for no key and is passed over",
                "TAPECAST_PORT stands for no key and is passed over",
                "TAPECAST_RING_BYTE stands for no key and is passed over; did you mean TAPECAST_RING_BYTES?",
                "TAPECAST_SERVICE_HOST stands for no key and is passed over",
            ]
        );
        let settings = environment.settings(&Keys::default(), &mut Problems::default());
        let keys: Vec<String> = settings.iter().map(Setting::key).collect();
        assert_eq!(keys, ["ring.bytes"]);
    }
}
