//! What is wrong with a configuration, where it was said, and what to write instead.
//!
//! Pure. Invariant: a problem names the place that its reader must edit: a line of the file, a variable of the
//! environment, a `--set`, or a flag.

use std::collections::{HashMap, HashSet};
use std::fmt;

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A line of the configuration file, counted from 1.
    Line { file: String, line: usize },
    /// A variable of the environment.
    Variable(String),
    /// A `--set` on the command line.
    Set,
    /// A flag of its own, named as it is typed.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::Variable(name) => f.write_str(name),
            Self::Set => f.write_str("--set"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    origin: Option<Origin>,
    key: String,
    text: String,
}

impl Problem {
    pub(super) fn new(origin: Option<Origin>, key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { origin, key: key.into(), text: text.into() }
    }
}

impl fmt::Display for Problem {
    /// `FILE:LINE: KEY: text`, and the like for what was not said in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// Everything that is wrong with a configuration: the file's lines in their order, then the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    pub(super) fn append(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// `Ok` when nothing is wrong.
    pub(super) fn into_result(mut self) -> Result<(), Self> {
        self.0.sort_by_key(|problem| match problem.origin {
            Some(Origin::Line { line, .. }) => line,
            _ => usize::MAX,
        });
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    /// One problem a line, without a line end behind the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Collects what the checks of values find; knows where each key was set, and which ones were refused already.
#[derive(Debug, Default)]
pub(super) struct Checks {
    origins: HashMap<String, Origin>,
    refused: HashSet<String>,
    problems: Problems,
}

impl Checks {
    pub(super) fn new(origins: HashMap<String, Origin>, refused: HashSet<String>) -> Self {
        Self { origins, refused, problems: Problems::default() }
    }

    /// Notes `text` against `key` unless `holds`. Of a key that was refused nothing more is said: what else its value
    /// would not go with may go with the next one.
    pub(super) fn require(&mut self, holds: bool, key: &str, text: impl FnOnce() -> String) {
        if !holds && self.refused.insert(key.to_owned()) {
            self.problems.push(Problem::new(self.origins.get(key).cloned(), key, text()));
        }
    }

    /// Of two keys that contradict each other, the one that was refused already; else the one that somebody wrote; the
    /// first where both were.
    pub(super) fn blame<'a>(&self, first: &'a str, second: &'a str) -> &'a str {
        if self.refused.contains(first) || self.refused.contains(second) {
            return if self.refused.contains(first) { first } else { second };
        }
        if !self.origins.contains_key(first) && self.origins.contains_key(second) { second } else { first }
    }

    /// What was found, and where each key was set.
    pub(super) fn finish(self) -> (Problems, HashMap<String, Origin>) {
        (self.problems, self.origins)
    }
}
