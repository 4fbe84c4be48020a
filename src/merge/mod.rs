//! Merging: waiting records of one channel become fewer, and nothing that they said is lost.
//!
//! Pure; runs on a shard's thread when a waiting channel is flushed, never on the fast path. One file a rule. Invariants: the
//! payloads that come out cover the records that went in, each once and in their order; a record that a rule cannot read
//! comes out as it is; a merged payload is no longer than those it was made of.

mod array;
mod depth;
mod kline;
#[cfg(test)]
mod tests;

use crate::channel::Merge;

/// One frame's payload made of several records: of those behind the previous `last`, up to its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Place of its last record among those given.
    pub last: usize,
    /// `None`: that record's own payload as it is.
    pub payload: Option<Vec<u8>>,
}

/// Merges the payloads of one channel's records, oldest first.
///
/// The places rise, and the last one is that of the last payload. A payload that the rule does not expect (not JSON, another
/// event, a field missing, a diff that does not follow its predecessor) ends the merge before it and begins the next one.
#[must_use]
pub fn merge(how: Merge, payloads: &[&[u8]]) -> Vec<Merged> {
    match how {
        Merge::BinanceDepth => depth::merge(payloads),
        Merge::BinanceArray => array::merge(payloads),
        Merge::BinanceKline => kline::merge(payloads),
    }
}

/// Makes one payload of each run of records that were read and go on from one another. A record alone stays as it is.
fn unite<T>(
    read: &[Option<T>],
    goes_on: impl Fn(&T, &T) -> bool,
    mut union: impl FnMut(&T, &T) -> Vec<u8>,
) -> Vec<Merged> {
    let mut end = 0;
    let one_of = |run: &[Option<T>]| {
        end += run.len();
        let payload = match run {
            [Some(first), .., Some(last)] => Some(union(first, last)),
            _ => None,
        };
        Merged { last: end - 1, payload }
    };
    read.chunk_by(|one, next| one.as_ref().zip(next.as_ref()).is_some_and(|(one, next)| goes_on(one, next)))
        .map(one_of)
        .collect()
}
