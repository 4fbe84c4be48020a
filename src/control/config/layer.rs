//! The layers of a configuration, each a list of settings: the file, `--set`, the flags.
//!
//! Pure but for reading the file. It knows no key. Invariant: each setting keeps the place where it was written.

use std::path::Path;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

use super::problem::{Origin, Problem, Problems};

/// One key given a value somewhere.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    /// The key's parts: `ring.bytes` is two.
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    /// What was typed, where the value may also be meant as a bare string.
    pub(super) bare: Option<String>,
    pub(super) origin: Origin,
}

impl Setting {
    /// The key as it is written.
    pub(super) fn key(&self) -> String {
        self.path.join(".")
    }

    /// A configuration that holds this setting alone, with `value` in its place.
    pub(super) fn alone(&self, value: Value) -> Table {
        let mut table = Table::new();
        insert(&mut table, &self.path, value);
        table
    }
}

/// Puts a value at a path; what stood there is replaced.
pub(super) fn insert(table: &mut Table, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        table.insert(first.clone(), value);
        return;
    }
    let inner = table.entry(first.clone()).or_insert_with(|| Value::Table(Table::new()));
    if !inner.is_table() {
        *inner = Value::Table(Table::new());
    }
    if let Value::Table(inner) = inner {
        insert(inner, rest, value);
    }
}

/// The settings of a file.
pub(super) fn of_file(path: &Path, problems: &mut Problems) -> Vec<Setting> {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => of_text(&file, &text, problems),
        Err(error) => {
            problems.push(Problem::new(None, "", format!("{file} cannot be read: {error}; check the path")));
            Vec::new()
        }
    }
}

/// The settings of a file's text. After an error of syntax the rest is still read where it can be.
pub(super) fn of_text(file: &str, text: &str, problems: &mut Problems) -> Vec<Setting> {
    let place = |at: usize| Origin::Line { file: file.to_owned(), line: line_of(text, at) };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        problems.push(Problem::new(Some(place(at)), "", format!("not TOML: {}", error.message().trim())));
    }
    let mut settings = Vec::new();
    if errors.is_empty() {
        flatten(&[], document.into_inner(), &place, &mut settings);
    }
    settings
}

fn flatten(above: &[String], table: DeTable<'_>, place: &impl Fn(usize) -> Origin, out: &mut Vec<Setting>) {
    for (name, value) in table {
        let origin = place(name.span().start);
        let path: Vec<String> = above.iter().cloned().chain([name.into_inner().into_owned()]).collect();
        let span = value.span();
        match value.into_inner() {
            // An empty table stays a setting, so that a misspelt section without keys is still found.
            DeValue::Table(inner) if !inner.is_empty() => flatten(&path, inner, place, out),
            other => match Value::deserialize(ValueDeserializer::from(Spanned::new(span, other))) {
                Ok(value) => out.push(Setting { path, value, bare: None, origin }),
                // Only a number beyond 64 bits gets here: kept as text, it fails by its key's own rule.
                Err(error) => out.push(Setting { path, value: error.message().into(), bare: None, origin }),
            },
        }
    }
}

/// Which line a byte stands in, from 1.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    1 + memchr::memchr_iter(b'\n', before).count()
}

/// The setting of one `--set KEY=VALUE`. The value is TOML, or a bare string where it is not.
pub(super) fn of_set(argument: &str, problems: &mut Problems) -> Option<Setting> {
    let Some((key, value)) = argument.split_once('=') else {
        let text = format!("{argument:?} has no '='; write --set KEY=VALUE, as --set ring.bytes=268435456");
        problems.push(Problem::new(Some(Origin::Set), "", text));
        return None;
    };
    let path = key.trim().split('.').map(|part| part.trim().to_owned()).collect();
    let toml = value.parse().unwrap_or_else(|_| Value::String(value.to_owned()));
    Some(Setting { path, value: toml, bare: Some(value.to_owned()), origin: Origin::Set })
}

/// The setting of a flag that was given.
pub(super) fn of_flag(flag: &'static str, key: &str, value: Value) -> Setting {
    let path = key.split('.').map(str::to_owned).collect();
    Setting { path, value, bare: None, origin: Origin::Flag(flag) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> (Vec<(String, Value, usize)>, Vec<String>) {
        let mut problems = Problems::default();
        let settings = of_text("t", text, &mut problems);
        let problems = problems.into_result().err().unwrap_or_default();
        let lines = settings.into_iter().map(|setting| match &setting.origin {
            Origin::Line { line, .. } => (setting.key(), setting.value.clone(), *line),
            other => panic!("a file's setting comes from {other:?}"),
        });
        (lines.collect(), problems.to_string().lines().map(str::to_owned).collect())
    }

    #[test]
    fn each_setting_keeps_its_line() {
        let (settings, problems) =
            settings("shards = 2\n\n[ring]\n# a comment\nbytes = 4096\n[limits]\nchannels=7");
        assert!(problems.is_empty());
        let expected = [
            ("limits.channels".to_owned(), Value::Integer(7), 7),
            ("ring.bytes".to_owned(), Value::Integer(4096), 5),
            ("shards".to_owned(), Value::Integer(2), 1),
        ];
        assert_eq!(settings, expected);
    }

    #[test]
    fn errors_of_syntax_name_their_line() {
        let (_, problems) = settings("shards = 2\nring.bytes = \n\n[limits\n");
        assert!(problems[0].starts_with("t:2: not TOML: "), "{problems:?}");
        assert!(problems.iter().any(|problem| problem.starts_with("t:4: ")), "{problems:?}");
        let (_, twice) = settings("shards = 2\nshards = 3\n");
        assert!(twice[0].starts_with("t:2: ") && twice[0].contains("duplicate"), "{twice:?}");
    }

    #[test]
    fn a_misspelt_empty_section_is_still_seen() {
        assert_eq!(settings("\n[rings]\n").0, [("rings".to_owned(), Value::Table(Table::new()), 2)]);
    }

    #[test]
    fn the_value_of_set_is_toml_or_a_bare_string() {
        let mut problems = Problems::default();
        let value = |argument: &str| of_set(argument, &mut Problems::default()).map(|setting| setting.value);
        assert_eq!(value("limits.connections=20000"), Some(Value::Integer(20_000)));
        assert_eq!(value("ingest.token=secret"), Some("secret".into()));
        assert_eq!(value("ingest.token=a=b"), Some("a=b".into()));
        assert_eq!(value("ingest.token=\"12\""), Some("12".into()));
        assert_eq!(value("heartbeat.ping_every=20s"), Some("20s".into()));
        assert_eq!(value("ingest.token="), Some("".into()));
        assert_eq!(of_set("ring.bytes", &mut problems), None);
        assert!(problems.to_string().contains("has no '='"), "{problems}");
    }
}
