//! `/v1/last`: the latest record of each channel asked for, as an array of native frames.
//!
//! Thread: front. Read from the ring as the client takes it, so nothing but a page waits here. Invariant: an array that was begun is
//! ended, and holds each channel once at most.

use bytes::Bytes;
use hyper::StatusCode;

use super::super::Market;
use super::super::answer::{Answer, Pages, Refused, streamed};
use super::{Call, PAGE_BYTES, names};
use crate::channel::ChannelInfo;
use crate::dialect::shape::Mark;

/// Bytes of an answer: about what a slow line takes within a connection's time.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) async fn answer(call: &Call, query: &str) -> Result<Answer, Refused> {
    let (market, options) = (&call.shared.market, &call.shared.options);
    let names = names(query, options)?;
    let channels = market.resolve(&names, options.pattern_channels_max).await?;
    let entries = channels.iter().filter_map(|info| market.latest(info));
    if entries.map(|entry| entry.body_bytes as usize).sum::<usize>() > ANSWER_BYTES_MAX {
        return Err(Refused {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            code: "too_large",
            ..Refused::bad(format!("more than {ANSWER_BYTES_MAX} bytes; ask for fewer channels at once"))
        });
    }
    Ok(streamed("application/json", Pages::new(pages(market.clone(), channels))))
}

/// The array, page by page.
fn pages(market: Market, channels: Vec<ChannelInfo>) -> impl FnMut() -> Option<Bytes> {
    let mut rest = Some(channels.into_iter());
    let mut before = b'[';
    move || {
        let channels = rest.as_mut()?;
        let mut page = Vec::new();
        while page.len() < PAGE_BYTES {
            let Some(info) = channels.next() else {
                if before == b'[' {
                    page.push(b'[');
                }
                page.push(b']');
                rest = None;
                break;
            };
            let start = page.len();
            page.push(before);
            let name = info.name.as_str();
            match market.with_latest(&info, |entry| market.push(entry, name, Mark::Snapshot, &mut page)) {
                Some(()) => before = b',',
                None => page.truncate(start),
            }
        }
        Some(page.into())
    }
}
