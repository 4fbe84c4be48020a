//! Depth diffs: the union of some, and the book that they make.
//!
//! Pure. Must not use the server's code: what is compared with its merging is written anew, on whole JSON values.
//! Invariant: a level is known by its price as it is spelled; an exchange spells a price one way.

use foldhash::fast::FixedState;
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::BuildHasher;

/// A side and a price, and the quantity there.
type Levels = BTreeMap<(char, String), String>;

/// What one diff says, or several together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diff {
    symbol: Value,
    first: Value,
    /// Futures: the `u` of the diff before.
    previous: Value,
    /// Its `u`.
    pub(crate) last: u64,
    levels: Levels,
}

impl Diff {
    /// Reads a diff; a price that stands twice on one side is a fault.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        let mut levels = Levels::new();
        for (side, field) in [('b', "b"), ('a', "a")] {
            let list = value[field].as_array().ok_or_else(|| format!("no levels in {field:?}"))?;
            for level in list {
                let text = |at: usize| level[at].as_str().ok_or_else(|| format!("a level is {level}"));
                if levels.insert((side, text(0)?.to_owned()), text(1)?.to_owned()).is_some() {
                    return Err(format!("the level {level} stands twice"));
                }
            }
        }
        let last = value["u"].as_u64().ok_or("no u")?;
        let [symbol, first, previous] = ["s", "U", "pu"].map(|field| value[field].clone());
        Ok(Self { symbol, first, previous, last, levels })
    }

    /// What diffs say one after another: the newest quantity of each level, `U` and `pu` of the first, `u` of the last.
    pub(crate) fn union(mut diffs: impl Iterator<Item = Result<Self, String>>) -> Result<Self, String> {
        let mut all = diffs.next().ok_or("a union of nothing")??;
        for diff in diffs {
            let diff = diff?;
            all.last = diff.last;
            all.levels.extend(diff.levels);
        }
        Ok(all)
    }
}

/// The levels of one channel, from its first diff on.
#[derive(Debug, Default)]
pub(crate) struct Book {
    levels: Levels,
    digest: u64,
}

impl Book {
    /// Applies a diff. The whole book's digest then: equal books have equal ones, in whatever steps they were made.
    pub(crate) fn apply(&mut self, diff: &Diff) -> u64 {
        for (level, quantity) in &diff.levels {
            let before = match is_zero(quantity) {
                true => self.levels.remove(level),
                false => self.levels.insert(level.clone(), quantity.clone()),
            };
            if let Some(before) = before {
                self.digest ^= hash(level, &before);
            }
            if !is_zero(quantity) {
                self.digest ^= hash(level, quantity);
            }
        }
        self.digest
    }
}

fn is_zero(quantity: &str) -> bool {
    quantity.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

fn hash(level: &(char, String), quantity: &str) -> u64 {
    FixedState::default().hash_one((level, quantity))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(first: u64, last: u64, bids: &str, asks: &str) -> Result<Diff, String> {
        Diff::read(format!(r#"{{"s":"X","U":{first},"u":{last},"b":[{bids}],"a":[{asks}]}}"#).as_bytes())
    }

    #[test]
    fn a_union_has_the_newest_of_each_level() {
        let parts =
            [diff(1, 3, r#"["1.0","5"],["2.0","6"]"#, r#"["3.0","1"]"#), diff(4, 9, r#"["1.0","0.00"]"#, "")];
        let union = Diff::union(parts.clone().into_iter()).expect("diffs");
        assert_eq!(Ok(&union), diff(1, 9, r#"["2.0","6"],["1.0","0.00"]"#, r#"["3.0","1"]"#).as_ref());
        for other in [
            diff(2, 9, r#"["2.0","6"],["1.0","0.00"]"#, r#"["3.0","1"]"#),
            diff(1, 9, r#"["2.0","6"]"#, r#"["3.0","1"]"#),
            diff(1, 9, r#"["2.0","6"],["1.0","5"]"#, r#"["3.0","1"]"#),
        ] {
            assert_ne!(Ok(&union), other.as_ref());
        }
        let (mut slow, mut fast) = (Book::default(), Book::default());
        let ends = parts.map(|part| fast.apply(&part.expect("a diff")));
        assert_eq!(slow.apply(&union), ends[1]);
        assert_ne!(ends[0], ends[1]);
    }

    #[test]
    fn what_is_no_diff_is_told() {
        assert!(diff(1, 2, r#"["1","5"],["1","6"]"#, "").is_err(), "a level twice");
        assert!(Diff::read(b"{}").is_err());
        assert!(Diff::union(std::iter::empty()).is_err());
    }

    #[test]
    fn a_book_forgets_what_is_gone() {
        let mut book = Book::default();
        let empty = Book::default().digest;
        assert_ne!(book.apply(&diff(1, 1, r#"["1","5"]"#, "").expect("a diff")), empty);
        assert_eq!(book.apply(&diff(2, 2, r#"["1","0"],["7","0"]"#, "").expect("a diff")), empty);
    }
}
