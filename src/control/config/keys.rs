//! All keys, with what each is set to: read off the sections themselves, so that no second list can differ.
//!
//! Pure. Invariant: every key of [`Written`] is here once, in the order of the sections, also one that is not set.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use toml::Value;

use super::nearest;
use super::sections::Written;

/// Keys whose values are never shown.
const SECRETS: [&str; 1] = ["ingest.token"];

/// One key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    /// Dotted: `ring.bytes`.
    pub(super) name: String,
    /// As TOML has it; `None` where the key is not set and has no default.
    pub(super) value: Option<Value>,
}

impl Key {
    /// The section, empty for keys that stand above all sections, and the name within it.
    pub(super) fn split(&self) -> (&str, &str) {
        self.name.rsplit_once('.').unwrap_or(("", &self.name))
    }

    pub(super) fn is_secret(&self) -> bool {
        SECRETS.contains(&self.name.as_str())
    }
}

/// Every key there is.
#[derive(Clone, Debug)]
pub(super) struct Keys(Vec<Key>);

impl Default for Keys {
    /// All keys at their defaults.
    fn default() -> Self {
        Self::of(&Written::default())
    }
}

impl Keys {
    /// All keys as a configuration sets them. JSON is the way there because it keeps the order and has a `null`.
    pub(super) fn of(written: &Written) -> Self {
        let mut keys = Vec::new();
        for (name, value) in members(&serde_json::to_string(written).unwrap_or_default()) {
            let section = if value.get().starts_with('{') { members(value.get()) } else { Vec::new() };
            if section.is_empty() {
                keys.push(Key { name, value: read(&value) });
                continue;
            }
            let dotted = |key: String| format!("{name}.{key}");
            keys.extend(
                section.into_iter().map(|(key, value)| Key { name: dotted(key), value: read(&value) }),
            );
        }
        Self(keys)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.name == name)
    }

    pub(super) fn is_section(&self, name: &str) -> bool {
        !name.is_empty() && self.0.iter().any(|key| key.split().0 == name)
    }

    /// The keys that somebody may have meant.
    pub(super) fn nearest(&self, wrong: &str) -> Vec<&str> {
        nearest::keys(wrong, self.0.iter().map(|key| key.name.as_str()))
    }

    /// The section that somebody may have meant.
    pub(super) fn nearest_section(&self, wrong: &str) -> Option<&str> {
        let sections = self.0.iter().map(|key| key.split().0).filter(|section| !section.is_empty());
        let mut sections: Vec<&str> = sections.collect();
        sections.dedup();
        nearest::word(wrong, &sections)
    }
}

fn read(value: &RawValue) -> Option<Value> {
    serde_json::from_str(value.get()).unwrap_or_default()
}

fn members(json: &str) -> Vec<(String, Box<RawValue>)> {
    serde_json::from_str(json).map_or_else(|_| Vec::new(), |Members(members)| members)
}

/// An object's members in their order.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::Table;

    #[test]
    fn keys_stand_in_the_order_of_the_sections_also_those_without_a_value() {
        let keys = Keys::default();
        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        let first = [
            "shards",
            "delivery",
            "ingest.listen",
            "ingest.unix",
            "ingest.token",
            "ingest.payload_bytes_max",
        ];
        assert_eq!(names[..6], first);
        assert_eq!(names.last(), Some(&"shutdown.drain"));
        assert_eq!(keys.get("ingest.unix").unwrap().value, None);
        assert_eq!(keys.get("ring.bytes").unwrap().value, Some(Value::Integer(268_435_456)));
        assert!(keys.is_section("ring") && !keys.is_section("shards") && !keys.is_section(""));
        assert!(SECRETS.iter().all(|secret| keys.get(secret).is_some()));
    }

    /// What serde says of a key that cannot be names all that can be: the sections' own list.
    #[test]
    fn no_key_of_the_sections_is_missing() {
        let fields = |table: Table| -> Vec<String> {
            let said = Written::deserialize(Value::Table(table)).unwrap_err().message().to_owned();
            let (_, list) = said.split_once("expected ").unwrap();
            list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        let unknown = || Table::from_iter([("?".to_owned(), Value::Integer(1))]);
        let (keys, mut all) = (Keys::default(), Vec::new());
        for name in fields(unknown()) {
            if keys.is_section(&name) {
                let within = fields(Table::from_iter([(name.clone(), Value::Table(unknown()))]));
                all.extend(within.into_iter().map(|key| format!("{name}.{key}")));
            } else {
                all.push(name);
            }
        }
        assert_eq!(all, keys.iter().map(|key| key.name.clone()).collect::<Vec<_>>());
    }
}
