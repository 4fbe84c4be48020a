//! Binance's whole-market arrays: each symbol's newest element.
//!
//! Pure. An array holds the symbols that changed, so a later one does not replace an earlier one. Invariant: each symbol of
//! the arrays has one element in the merged one, its newest, as it was written.

use std::collections::HashSet;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Merged, unite};

/// An element's symbol, and the element as it is written.
type Element<'a> = (&'a str, &'a RawValue);

#[derive(Deserialize)]
struct Symbol<'a> {
    s: &'a str,
}

pub(super) fn merge(payloads: &[&[u8]]) -> Vec<Merged> {
    let mut elements = Vec::new();
    let arrays: Vec<_> = payloads.iter().map(|payload| read(payload, &mut elements)).collect();
    let mut seen = HashSet::default();
    unite(
        &arrays,
        |_, _| true,
        |first, last| {
            seen.clear();
            write(&newest(&elements[first.start..last.end], &mut seen))
        },
    )
}

/// The places of an array's elements among all. What a payload that is none leaves there lies between two merges, and so in
/// neither.
fn read<'a>(payload: &'a [u8], elements: &mut Vec<Element<'a>>) -> Option<Range<usize>> {
    let start = elements.len();
    let array: Vec<&RawValue> = serde_json::from_slice(payload).ok()?;
    for element in array {
        let Symbol { s } = serde_json::from_str(element.get()).ok()?;
        elements.push((s, element));
    }
    Some(start..elements.len())
}

/// Each symbol's last element, in the order of these.
fn newest<'a>(
    elements: &[Element<'a>],
    seen: &mut HashSet<&'a str, foldhash::fast::RandomState>,
) -> Vec<&'a str> {
    let last_of_each = elements.iter().rev().filter(|(symbol, _)| seen.insert(symbol));
    let mut newest: Vec<_> = last_of_each.map(|(_, element)| element.get()).collect();
    newest.reverse();
    newest
}

fn write(elements: &[&str]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + elements.iter().map(|element| element.len() + 1).sum::<usize>());
    out.push(b'[');
    for (place, element) in elements.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(element.as_bytes());
    }
    out.push(b']');
    out
}
