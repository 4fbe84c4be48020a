//! Binance's klines: each closed bar, and the newest record.
//!
//! Pure. An update of a bar says all that earlier ones of it said, so only these matter. Invariant: no closed bar is left out.

use serde::Deserialize;

use super::Merged;

#[derive(Deserialize)]
struct Kline {
    k: Bar,
}

#[derive(Deserialize)]
struct Bar {
    /// Whether it is closed.
    x: bool,
}

pub(super) fn merge(payloads: &[&[u8]]) -> Vec<Merged> {
    let is_closed: Vec<Option<bool>> = payloads.iter().map(|payload| read(payload)).collect();
    // An update is left out where another record of a bar follows; what cannot be read replaces nothing and stays.
    let is_replaced =
        |last: usize| is_closed[last] == Some(false) && matches!(is_closed.get(last + 1), Some(Some(_)));
    let kept = (0..payloads.len()).filter(|&last| !is_replaced(last));
    kept.map(|last| Merged { last, payload: None }).collect()
}

fn read(payload: &[u8]) -> Option<bool> {
    serde_json::from_slice(payload).ok().map(|Kline { k }| k.x)
}
