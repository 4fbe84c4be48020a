//! `/v1/channels`: every channel that exists, with its kind, sequence and the time of its last record.
//!
//! Thread: front. The catalogue is read page by page as the client takes it, so its lock is held briefly and nothing but a page waits
//! here. Invariant: an object that was begun is ended; a channel that came or went meanwhile stands there or not.

use bytes::Bytes;

use super::super::Market;
use super::super::answer::{Answer, Pages, Refused, streamed};
use super::Call;
use crate::channel::{ChannelInfo, PLACES_A_PAGE};
use crate::dialect::{Named, query};
use crate::record::Head;

pub(super) fn answer(call: &Call, query: &str) -> Result<Answer, Refused> {
    let only = query::pattern(query, "match")?;
    Ok(streamed("application/json", Pages::new(pages(call.shared.market.clone(), only))))
}

/// The object, page by page.
fn pages(market: Market, only: Option<Named>) -> impl FnMut() -> Option<Bytes> {
    let mut next = Some(0);
    let mut is_first = true;
    move || {
        let first = next?;
        let mut page = Vec::new();
        if first == 0 {
            page.extend_from_slice(format!(r#"{{"epoch":"{}","channels":["#, market.epoch).as_bytes());
        }
        for info in market.catalogue.page(first) {
            if only.as_ref().is_some_and(|only| !only.matches(&info.name)) {
                continue;
            }
            let start = page.len();
            if !std::mem::take(&mut is_first) {
                page.push(b',');
            }
            if push(&market, &info, &mut page).is_none() {
                is_first = start == page.len();
                page.truncate(start);
            }
        }
        next = first.checked_add(PLACES_A_PAGE).filter(|&next| next < market.catalogue.places());
        if next.is_none() {
            page.extend_from_slice(b"]}");
        }
        Some(page.into())
    }
}

/// Appends one channel; `None` where it has no record yet, or no more.
fn push(market: &Market, info: &ChannelInfo, page: &mut Vec<u8>) -> Option<()> {
    let read = |entry: &crate::ring::Entry| {
        let head = Head::from_words(market.ring.body_words(entry)?);
        Ok((entry.sequence, head.wall_us))
    };
    let (sequence, wall_us) = market.with_latest(info, read)?;
    // A channel's name holds nothing that JSON would escape: see `channel::validate`.
    let (name, kind) = (info.name.as_str(), info.name.kind());
    let stale = if info.stale { r#","stale":true"# } else { "" };
    let text = format!(r#"{{"channel":"{name}","kind":"{kind}","seq":{sequence},"ts":{wall_us}{stale}}}"#);
    page.extend_from_slice(text.as_bytes());
    Some(())
}
