//! One setting judged by itself: is there such a key, and is its value of the right form.
//!
//! Pure. Invariant: whoever wrote a wrong key or value is told what to write instead, in one line, without a list of
//! all that could be.

use serde::Deserialize;
use toml::Value;

use super::keys::{Key, Keys};
use super::layer::Setting;
use super::problem::Problem;
use super::sections::Written;
use super::{nearest, rules};

/// Where all keys are to be found.
const ALL_KEYS: &str = "`tapecast serve --print-config` shows all keys";

/// For whoever wrote `[delivery]`.
const LIST_OF_RULES: &str = "delivery is a list of rules; write [[delivery]] above each, or \
     delivery = [{ kind = \"ticker*\", delivery = \"latest\" }]";

/// The value as it is taken; else what is wrong. A `--set` or a variable that is TOML but not what the key wants is
/// tried as a bare string: a token of digits need not be quoted twice.
pub(super) fn accepted(setting: &Setting, keys: &Keys) -> Result<Value, Vec<Problem>> {
    let one = |text: String| vec![Problem::new(Some(setting.origin.clone()), setting.key(), text)];
    if let Some(message) = &setting.broken {
        return Err(one(not_toml(setting, message, keys)));
    }
    let is_empty = setting.value.as_table().is_some_and(toml::Table::is_empty);
    if is_empty && keys.is_section(&setting.key()) {
        return Ok(setting.value.clone());
    }
    let Some(key) = keys.get(&setting.key()) else { return Err(one(no_such_key(setting, keys))) };
    let text = match fits(setting, &setting.value) {
        Ok(()) => return Ok(setting.value.clone()),
        Err(text) => text,
    };
    let bare = setting.bare.clone().map(Value::String).filter(|bare| fits(setting, bare).is_ok());
    bare.ok_or_else(|| faults_of_rules(setting).unwrap_or_else(|| one(format!("{text}{}", default_of(key)))))
}

fn fits(setting: &Setting, value: &Value) -> Result<(), String> {
    let alone = Written::deserialize(Value::Table(setting.alone(value.clone())));
    alone.map(drop).map_err(|error| error.message().to_owned())
}

/// A list of rules has its faults in lines of their own.
fn faults_of_rules(setting: &Setting) -> Option<Vec<Problem>> {
    let faults = (setting.key() == "delivery").then(|| rules::read(&setting.value).err()).flatten()?;
    let problem = |fault: rules::Fault| {
        let line = fault.place.and_then(|place| setting.within.get(&place));
        Problem::new(Some(line.unwrap_or(&setting.origin).clone()), setting.key(), fault.text)
    };
    Some(faults.into_iter().map(problem).collect())
}

fn default_of(key: &Key) -> String {
    match &key.value {
        Some(Value::Array(_)) | None => String::new(),
        Some(value) => format!(" (default: {value})"),
    }
}

/// What is not TOML may only lack its quotes; else what the key wants says more than what TOML expected.
fn not_toml(setting: &Setting, message: &str, keys: &Keys) -> String {
    let (Some(key), Some(text)) = (keys.get(&setting.key()), &setting.bare) else {
        return format!("not TOML: {message}");
    };
    match fits(setting, &Value::String(text.clone())) {
        Err(refused) => format!("{refused}{}", default_of(key)),
        // With quotes of its own it needs no others.
        Ok(()) if text.is_empty() || text.starts_with(['"', '\'']) => format!("not TOML: {message}"),
        Ok(()) if key.is_secret() => "text stands in quotes".to_owned(),
        Ok(()) => format!("text stands in quotes; write {} = {text:?}", key.split().1),
    }
}

fn no_such_key(setting: &Setting, keys: &Keys) -> String {
    let name = setting.key();
    if let Some(within) = keys.iter().find(|key| key.split().0 == name) {
        return format!("this is a section; set one of its keys, as {}", within.name);
    }
    if name.starts_with("delivery.") {
        return LIST_OF_RULES.to_owned();
    }
    if let Some(key) = holder(&name, keys) {
        return format!("{key} is a key, not a section; {ALL_KEYS}");
    }
    let near = keys.nearest(&name);
    if !near.is_empty() {
        return format!("no such key; did you mean {}?", nearest::or(&near));
    }
    let section = setting.path.first().map_or("", String::as_str);
    if keys.is_section(section) {
        return format!("no such key in [{section}]; {ALL_KEYS}");
    }
    let what = if setting.path.len() > 1 || setting.value.is_table() { "section" } else { "key" };
    match keys.nearest_section(section) {
        Some(near) => format!("no such {what}; did you mean [{near}]?"),
        None => format!("no such {what}; {ALL_KEYS}"),
    }
}

/// The key that stands where a section would have to.
fn holder<'a>(name: &str, keys: &'a Keys) -> Option<&'a str> {
    let ends = name.match_indices('.').map(|(at, _)| &name[..at]);
    ends.filter_map(|above| keys.get(above)).map(|key| key.name.as_str()).next()
}
