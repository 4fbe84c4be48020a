//! Whether a merged depth record holds what its records said: their union, naively.
//!
//! Pure. Invariant: a price is said once, with the newest quantity.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::market::Market;
use crate::promise::Checked;
use crate::wire::Payload;

/// Whether this is the union of the records from the first to the last.
pub(crate) fn is_sum_of(place: usize, first: u64, last: u64, data: &RawValue, market: &Market) -> Checked {
    let payload: Payload<'_> = serde_json::from_str(data.get()).map_err(|error| error.to_string())?;
    let (mut bids, mut asks) = (BTreeMap::new(), BTreeMap::new());
    let name = &market.channels[place];
    for sequence in (first..=last).filter(|sequence| name.first_of(*sequence).is_some()) {
        let book = market.book_of(place, sequence);
        bids.extend(book.bids);
        asks.extend(book.asks);
    }
    let ends = (Some(market.book_of(place, first).first), Some(market.book_of(place, last).last));
    if (payload.first, payload.last) != ends {
        return Err(format!("the ends of a merged record should be {ends:?}"));
    }
    let said = |side: Option<Vec<[&str; 2]>>| {
        side.and_then(|side| side.iter().map(level).collect::<Option<Vec<_>>>())
    };
    for (said, expected) in [(said(payload.b), bids), (said(payload.a), asks)] {
        let mut said = said.ok_or("a side of a merged record is missing or cannot be read")?;
        said.sort_unstable();
        if said != expected.into_iter().collect::<Vec<_>>() {
            return Err("a merged record is not the union of its records".to_owned());
        }
    }
    Ok(())
}

fn level([price, quantity]: &[&str; 2]) -> Option<(u64, u64)> {
    let price = price.strip_suffix(".0")?.parse().ok()?;
    Some((price, quantity.strip_suffix(".5")?.parse().ok()?))
}
