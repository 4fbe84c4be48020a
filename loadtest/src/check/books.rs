//! The books of slow and fast readers, compared at every `u` that they have in common.
//!
//! Pure. Must not compare behind a gap: who lost diffs has no book any more. Invariant: a book is followed from its channel's first
//! diff, and its digest is written down behind every diff under the diff's `u`.

use super::depth::{Book, Diff};
use super::record::Record;
use std::collections::BTreeMap;

/// One subscriber's view of one channel.
#[derive(Default)]
struct View {
    book: Book,
    /// A gap was told, so that the book is none any more.
    is_broken: bool,
    digests: BTreeMap<u64, u64>,
    merged: u64,
}

/// Of each subscriber and depth channel its books.
#[derive(Default)]
pub(crate) struct Books(BTreeMap<(usize, String), View>);

/// What came of a comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) views: u64,
    /// Messages that were unions.
    pub(crate) merged: u64,
    /// Comparisons of whole books at one `u`.
    pub(crate) common: u64,
    /// A slow reader's `u` that the fast one never had.
    pub(crate) strange: u64,
    pub(crate) unequal: u64,
    /// Views that ended with a gap.
    pub(crate) broken: u64,
    pub(crate) first: Option<String>,
}

impl Books {
    /// Applies what came, where it is a diff.
    pub(crate) fn record(&mut self, subscriber: usize, record: &Record<'_>) {
        if !record.channel.ends_with("@depth") {
            return;
        }
        let view = self.0.entry((subscriber, record.channel.to_owned())).or_default();
        // What is no diff was accused already.
        let Ok(diff) = Diff::read(record.payload) else { return };
        if !view.is_broken {
            view.merged += u64::from(record.is_merged);
            let digest = view.book.apply(&diff);
            view.digests.insert(diff.last, digest);
        }
    }

    /// Diffs were lost.
    pub(crate) fn gap(&mut self, subscriber: usize, channel: &str) {
        self.0.entry((subscriber, channel.to_owned())).or_default().is_broken = true;
    }

    /// Compares everybody's books with those of `fast`.
    pub(crate) fn compare(&self, fast: usize) -> Compared {
        let mut compared = Compared::default();
        for ((subscriber, channel), view) in self.0.iter().filter(|((subscriber, _), _)| *subscriber != fast)
        {
            let Some(right) = self.0.get(&(fast, channel.clone())) else { continue };
            compared.views += 1;
            compared.merged += view.merged;
            compared.broken += u64::from(view.is_broken);
            for (last, digest) in &view.digests {
                match right.digests.get(last) {
                    None => compared.strange += 1,
                    Some(right) => {
                        compared.common += 1;
                        if right != digest {
                            compared.unequal += 1;
                            let first = || format!("subscriber {subscriber}, {channel}, u {last}");
                            compared.first.get_or_insert_with(first);
                        }
                    }
                }
            }
        }
        compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(books: &mut Books, subscriber: usize, last: u64, levels: &str, is_merged: bool) {
        let payload = format!(r#"{{"s":"X","U":1,"u":{last},"b":[{levels}],"a":[]}}"#);
        let (channel, payload) = ("x@depth", payload.as_bytes());
        books.record(
            subscriber,
            &Record { channel, sequence: 1, is_snapshot: false, skipped: 0, is_merged, payload },
        );
    }

    #[test]
    fn a_union_that_forgets_a_level_is_found() {
        let mut books = Books::default();
        hear(&mut books, 0, 5, r#"["1","5"]"#, false);
        hear(&mut books, 0, 9, r#"["2","6"]"#, false);
        hear(&mut books, 1, 9, r#"["1","5"],["2","6"]"#, true);
        hear(&mut books, 2, 9, r#"["2","6"]"#, true);
        hear(&mut books, 3, 7, r#"["1","5"]"#, true);
        let compared = books.compare(0);
        let counts = (compared.views, compared.merged, compared.common, compared.strange, compared.unequal);
        assert_eq!(counts, (3, 3, 2, 1, 1));
        assert_eq!(compared.first.as_deref(), Some("subscriber 2, x@depth, u 9"));
    }

    #[test]
    fn behind_a_gap_nothing_is_compared() {
        let mut books = Books::default();
        hear(&mut books, 0, 5, r#"["1","5"]"#, false);
        books.gap(1, "x@depth");
        hear(&mut books, 1, 5, r#"["9","5"]"#, false);
        let compared = books.compare(0);
        assert_eq!((compared.common, compared.unequal, compared.broken), (0, 0, 1));
    }
}
