//! What is in force, as a file that `serve --config` takes again.
//!
//! Pure. Invariant: every key stands in it once, with where it came from; no secret does.

use std::collections::HashMap;
use std::fmt::{self, Write};

use toml::{Table, Value};

use super::keys::{Key, Keys};
use super::problem::Origin;

/// Every key with its value and where that came from.
#[derive(Clone, Debug)]
pub(in super::super) struct InForce {
    pub(super) keys: Keys,
    pub(super) origins: HashMap<String, Origin>,
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("# What is in force, and where each value comes from.\n")?;
        let mut section = "";
        for key in self.keys.iter() {
            let (its, name) = key.split();
            if its != section {
                section = its;
                write!(f, "\n[{section}]\n")?;
            }
            self.write_key(f, key, name)?;
        }
        Ok(())
    }
}

impl InForce {
    fn write_key(&self, f: &mut fmt::Formatter<'_>, key: &Key, name: &str) -> fmt::Result {
        let origin = self.origin(&key.name);
        match &key.value {
            None => writeln!(f, "# {name} is not set"),
            Some(_) if key.is_secret() => writeln!(f, "# {name} is set, not shown ({origin})"),
            Some(Value::Array(rules)) if !rules.is_empty() => {
                writeln!(f, "{name} = [ # {origin}")?;
                rules.iter().try_for_each(|rule| writeln!(f, "  {},", in_a_line(rule)))?;
                f.write_str("]\n")
            }
            Some(value) => writeln!(f, "{name} = {value} # {origin}"),
        }
    }

    /// In a comment: what a path may hold beyond the line would not be one.
    fn origin(&self, key: &str) -> String {
        let default = || if key == "shards" { "default: the number of cores" } else { "default" }.to_owned();
        let origin = self.origins.get(key).map_or_else(default, Origin::to_string);
        origin.replace(char::is_control, "?")
    }
}

/// A rule begins with what it is for.
fn in_a_line(rule: &Value) -> String {
    let none = Table::new();
    let mut parts: Vec<_> = rule.as_table().unwrap_or(&none).iter().collect();
    parts.sort_by_key(|(name, _)| *name != "kind");
    let mut line = String::from("{");
    for (place, (name, value)) in parts.into_iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        // Writing to a string does not fail.
        let _ = write!(line, "{comma} {name} = {value}");
    }
    line + " }"
}
