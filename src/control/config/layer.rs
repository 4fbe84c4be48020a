//! The layers of a configuration, each a list of settings: the file, typed values (the environment, `--set`), the flags.
//!
//! Pure but for reading the file. It knows no key. Invariant: each setting keeps the place where it was written.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

use super::problem::{Origin, Problem, Problems};

/// What is larger is no configuration: a device without an end would fill the memory.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// One key given a value somewhere.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    /// The key's parts: `ring.bytes` is two.
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    /// What was typed, where the value may also be meant as a bare string.
    pub(super) bare: Option<String>,
    /// What is wrong with the line where it stands: `value` is a guess then.
    pub(super) broken: Option<String>,
    /// For a list of tables: the place of each table (under an empty name) and of each of its keys.
    pub(super) within: HashMap<(usize, String), Origin>,
    pub(super) origin: Origin,
}

impl Setting {
    /// The key as it is written.
    pub(super) fn key(&self) -> String {
        dotted(&self.path)
    }

    /// A configuration that holds this setting alone, with `value` in its place.
    pub(super) fn alone(&self, value: Value) -> Table {
        let mut table = Table::new();
        insert(&mut table, &self.path, value);
        table
    }
}

/// Parts that are no plain names are quoted, so that they are taken for nothing else and end no line.
fn dotted(path: &[String]) -> String {
    let is_plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let parts = path.iter().map(|part| if is_plain(part) { part.clone() } else { format!("{part:?}") });
    parts.collect::<Vec<_>>().join(".")
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
pub(super) fn of_file(path: &Path, named_by: Option<Origin>, problems: &mut Problems) -> Vec<Setting> {
    let file = path.display().to_string();
    let text = match bytes_of(path) {
        Ok(bytes) => String::from_utf8(bytes),
        Err(error) => {
            problems.push(Problem::new(
                named_by,
                "",
                format!("{file} cannot be read: {error}; check the path"),
            ));
            return Vec::new();
        }
    };
    match text {
        Ok(text) => of_text(&file, &text, problems),
        Err(error) => {
            let line = 1 + line_ends(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
            let text = "not UTF-8, so not TOML; check that this is the file, and write it in UTF-8";
            problems.push(Problem::new(Some(Origin::Line { file, line }), "", text));
            Vec::new()
        }
    }
}

fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("more than {FILE_BYTES_MAX} bytes are no configuration")));
    }
    Ok(bytes)
}

fn line_ends(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}

/// The settings of a file's text. After an error of syntax the rest is still read where it can be.
pub(super) fn of_text(file: &str, text: &str, problems: &mut Problems) -> Vec<Setting> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let places = errors.iter().map(|error| error.span().unwrap_or_default().start).collect();
    let text = Text { file, text, errors: places };
    let mut settings = Vec::new();
    flatten(&[], document.into_inner(), &text, &mut settings);
    let mut broken = BTreeMap::new();
    for error in &errors {
        let span = error.span().unwrap_or_default();
        broken.entry(text.line(span.start)).or_insert_with(|| text.told(error.message(), span));
    }
    for setting in &mut settings {
        let Origin::Line { line, .. } = setting.origin else { continue };
        if let Some(message) = broken.remove(&line) {
            setting.broken = Some(message);
            setting.bare = text.behind_equals(line);
        }
    }
    for (line, message) in broken {
        problems.push(Problem::new(Some(text.origin(line)), "", format!("not TOML: {message}")));
    }
    settings
}

/// A file's name and text, and where it is not TOML.
struct Text<'a> {
    file: &'a str,
    text: &'a str,
    errors: Vec<usize>,
}

impl Text<'_> {
    /// Which line a byte stands in, from 1.
    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        1 + line_ends(before)
    }

    fn origin(&self, line: usize) -> Origin {
        Origin::Line { file: self.file.to_owned(), line }
    }

    fn place(&self, at: usize) -> Origin {
        self.origin(self.line(at))
    }

    /// What is written as a line's value, quoted or not.
    fn behind_equals(&self, line: usize) -> Option<String> {
        let (_, value) = self.text.lines().nth(line - 1)?.split_once('=')?;
        Some(value.split('#').next().unwrap_or(value).trim().to_owned())
    }

    /// An error of syntax, with the cure where the error's own words have none.
    fn told(&self, message: &str, span: Range<usize>) -> String {
        match (message.trim(), self.text.get(span)) {
            ("duplicate key", Some(key)) => {
                format!("{key} stands here for the second time; keep one of the two")
            }
            (message, _) => message.trim_end_matches(", expected nothing").to_owned(),
        }
    }
}

fn flatten(above: &[String], table: DeTable<'_>, text: &Text<'_>, out: &mut Vec<Setting>) {
    for (name, value) in table {
        let origin = text.place(name.span().start);
        let path: Vec<String> = above.iter().cloned().chain([name.into_inner().into_owned()]).collect();
        let span = value.span();
        match value.into_inner() {
            // An empty table stays a setting, so that a misspelt section without keys is still found.
            DeValue::Table(inner) if !inner.is_empty() => flatten(&path, inner, text, out),
            // Its rest may be lost.
            DeValue::Array(_) if text.errors.iter().any(|at| span.contains(at)) => {}
            other => {
                let within = places_within(&other, text);
                let value = Value::deserialize(ValueDeserializer::from(Spanned::new(span, other)));
                let broken = value.is_err().then(|| "no number may be as large as this".to_owned());
                let value = value.unwrap_or_else(|_| Value::String(String::new()));
                out.push(Setting { path, value, bare: None, broken, within, origin });
            }
        }
    }
}

/// Where each table of a list stands, and each of its keys.
fn places_within(value: &DeValue<'_>, text: &Text<'_>) -> HashMap<(usize, String), Origin> {
    let mut places = HashMap::new();
    for (at, element) in value.as_array().into_iter().flatten().enumerate() {
        places.insert((at, String::new()), text.place(element.span().start));
        for (name, _) in element.get_ref().as_table().into_iter().flatten() {
            places.insert((at, name.get_ref().to_string()), text.place(name.span().start));
        }
    }
    places
}

/// The setting of one `--set KEY=VALUE`. The value is TOML, or a bare string where it is not.
pub(super) fn of_set(argument: &str, problems: &mut Problems) -> Option<Setting> {
    let Some((key, value)) = argument.split_once('=') else {
        // As far as it can be a key: a token may stand behind it.
        let end = argument.find(|at: char| !at.is_ascii_alphanumeric() && at != '.' && at != '_');
        let key = &argument[..end.unwrap_or(argument.len())];
        let text =
            format!("{key:?} has no '=' behind it; write --set KEY=VALUE, as --set ring.bytes=268435456");
        problems.push(Problem::new(Some(Origin::Set), "", text));
        return None;
    };
    Some(of_typed(key.trim(), value, Origin::Set))
}

/// The setting of a value that was typed without a file's quotes: TOML, or a bare string where it is not.
pub(super) fn of_typed(key: &str, value: &str, origin: Origin) -> Setting {
    let toml = value.parse().unwrap_or_else(|_| Value::String(value.to_owned()));
    Setting { bare: Some(value.to_owned()), ..of_key(key, toml, origin) }
}

/// The setting of a flag that was given.
pub(super) fn of_flag(flag: &'static str, key: &str, value: Value) -> Setting {
    of_key(key, value, Origin::Flag(flag))
}

fn of_key(key: &str, value: Value, origin: Origin) -> Setting {
    let path = key.split('.').map(|part| part.trim().to_owned()).collect();
    Setting { path, value, bare: None, broken: None, within: HashMap::new(), origin }
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
        let (kept, problems) = settings("shards = 2\n\n[limits\nchannels = 5\n[ring]\nbytes = 4096\n");
        assert_eq!(problems, ["t:3: not TOML: unclosed table, expected `]`"]);
        let kept: Vec<_> = kept.into_iter().map(|(key, ..)| key).collect();
        assert_eq!(kept, ["ring.bytes", "shards"], "what stood in the broken section is in none");
        let (_, twice) = settings("shards = 2\nshards = 3\n");
        assert_eq!(twice, ["t:2: not TOML: shards stands here for the second time; keep one of the two"]);
    }

    #[test]
    fn a_value_that_is_not_toml_stays_with_its_key() {
        let text = "[subscribers]\nlisten = 127.0.0.1:9001 # here\n[ring]\nbytes = 99999999999999999999\n";
        let found = of_text("t", text, &mut Problems::default());
        let found: Vec<_> =
            found.iter().map(|one| (one.key(), one.bare.as_deref(), one.broken.is_some())).collect();
        let expected = [("ring.bytes", None, true), ("subscribers.listen", Some("127.0.0.1:9001"), true)];
        assert_eq!(found, expected.map(|(key, bare, broken)| (key.to_owned(), bare, broken)));
        // A list that is cut off is no list.
        assert_eq!(settings("delivery = [{ kind = \"x\" }, { kind\n[ring]\nbytes = 1\n").0, []);
    }

    #[test]
    fn names_that_are_not_plain_are_quoted() {
        assert_eq!(settings("\"ring.bytes\" = 1\n").0[0].0, "\"ring.bytes\"");
        assert_eq!(settings("\"a\\nb\".c = 1\n").0[0].0, "\"a\\nb\".c");
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
        assert!(problems.to_string().contains("\"ring.bytes\" has no '='"), "{problems}");
    }
}
