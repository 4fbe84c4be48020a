//! `docs/tapecast.example.toml` held equal to the code: the same keys, in the same order, at the same defaults.
//!
//! Tests only. Invariant: what the example says in its `# key = value` lines is what a server does without them.

use serde::Deserialize;
use toml::{Table, Value};

use super::keys::{Key, Keys};
use super::layer;
use super::sections::Written;

const EXAMPLE: &str = include_str!("../../../docs/tapecast.example.toml");

/// A comment of fewer words says nothing.
const WORDS_MIN: usize = 12;

/// One key of the example.
struct Entry {
    name: String,
    comment: String,
    /// The lines `key = value`, without their `# `.
    lines: String,
}

/// The key that a line sets, where it is a comment that sets one.
fn key_of(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("# ")?.split_once(" = ")?;
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_').then_some(name)
}

fn entries(text: &str) -> Vec<Entry> {
    let (mut entries, mut section, mut comment) = (Vec::new(), String::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = key_of(line) {
            let mut value = line[2..].to_owned();
            while value.contains("= [") && !value.ends_with(']') {
                value += "\n";
                value += lines.next().and_then(|line| line.strip_prefix("# ")).expect("a list ends with # ]");
            }
            let name = format!("{section}{name}");
            entries.push(Entry { name, comment: std::mem::take(&mut comment), lines: value });
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = format!("{name}.");
        } else if line.is_empty() {
            comment.clear();
        } else {
            let text = line.strip_prefix('#').unwrap_or_else(|| panic!("no comment, no section: {line}"));
            comment += text;
        }
    }
    entries
}

/// What the code makes of an entry's lines.
fn value_of(entry: &Entry) -> Key {
    let read: Table = entry.lines.parse().unwrap();
    let value = read.into_iter().next().unwrap().1;
    let path: Vec<String> = entry.name.split('.').map(str::to_owned).collect();
    let mut alone = Table::new();
    layer::insert(&mut alone, &path, value);
    let written = Written::deserialize(Value::Table(alone)).unwrap();
    Keys::of(&written).get(&entry.name).unwrap().clone()
}

#[test]
fn the_example_has_every_key_once_in_the_order_of_the_code() {
    let said: Vec<String> = entries(EXAMPLE).into_iter().map(|entry| entry.name).collect();
    let keys: Vec<String> = Keys::default().iter().map(|key| key.name.clone()).collect();
    assert_eq!(said, keys);
}

#[test]
fn the_example_has_the_defaults_and_says_more_of_each_key_than_its_name() {
    let keys = Keys::default();
    for entry in entries(EXAMPLE) {
        let key = keys.get(&entry.name).unwrap();
        let says =
            |words: &str| assert!(entry.comment.contains(words), "{}: {words:?} is not said", entry.name);
        match &key.value {
            _ if key.name == "shards" => says("Default: the number of cores"),
            Some(_) => assert_eq!(value_of(&entry), *key),
            None => says("Default: none"),
        }
        let words = entry.comment.split_whitespace().count();
        assert!(words >= WORDS_MIN, "{}: what it is, and why one would change it", entry.name);
    }
}

#[test]
fn the_reader_of_the_example_sees_what_is_wrong_with_one() {
    let text = "[ring]\n\n# Some words.\n# More of them.\n# bytes = 5\n\n# list = [\n#   1,\n# ]\n";
    let found = entries(text);
    let said: Vec<_> = found.iter().map(|entry| (entry.name.as_str(), entry.lines.as_str())).collect();
    assert_eq!(said, [("ring.bytes", "bytes = 5"), ("ring.list", "list = [\n  1,\n]")]);
    assert_eq!((found[0].comment.as_str(), found[1].comment.as_str()), (" Some words. More of them.", ""));
}
