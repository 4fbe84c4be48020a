//! The market as the front reads it: channels by name and pattern, and their records in the ring.
//!
//! Thread: front, between its other tasks: a long look gives the thread away. It has no cursor, so it is never lapped for good.
//! Invariant: a record is copied whole or not at all.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::yield_now;

use crate::channel::{Catalogue, ChannelInfo, PLACES_A_PAGE};
use crate::dialect::query::Names;
use crate::dialect::shape::{Label, Mark};
use crate::dialect::{Fault, FaultCode, Shape};
use crate::record::Head;
use crate::ring::{Entry, Lapped, Ring};

/// Times that the publisher may overtake one read of a latest record before the read is given up.
const REFRESHES_MAX: usize = 4;

/// Where the front reads.
#[derive(Clone, Debug)]
pub struct Market {
    /// The records.
    pub ring: Arc<Ring>,
    /// The channels.
    pub catalogue: Arc<Catalogue>,
    /// Names the numbering of sequences.
    pub epoch: Arc<str>,
    /// An ordinal that is known to be published.
    newest: Arc<AtomicU64>,
}

impl Market {
    /// A market that nobody has looked at yet.
    #[must_use]
    pub fn new(ring: Arc<Ring>, catalogue: Arc<Catalogue>, epoch: Arc<str>) -> Self {
        Self { ring, catalogue, epoch, newest: Arc::default() }
    }

    /// The channels that exist of those named, each once: by name first, in the order of the request.
    ///
    /// # Errors
    /// When the patterns match more than `matched_max`.
    pub(super) async fn resolve(&self, names: &Names, matched_max: usize) -> Result<Vec<ChannelInfo>, Fault> {
        let named = names.channels.iter().filter_map(|name| self.catalogue.find(name.as_str()));
        let mut found: Vec<ChannelInfo> = named.collect();
        if names.patterns.is_empty() {
            return Ok(found);
        }
        let named: HashSet<u32> = found.iter().map(|info| info.id.index).collect();
        let most = found.len().saturating_add(matched_max);
        for first in (0..self.catalogue.places()).step_by(PLACES_A_PAGE as usize) {
            let page = self.catalogue.page(first).into_iter();
            let is_meant = |info: &ChannelInfo| {
                !named.contains(&info.id.index) && names.patterns.iter().any(|it| it.matches(&info.name))
            };
            found.extend(page.filter(is_meant));
            if found.len() > most {
                let text = format!("the patterns match more than {matched_max} channels");
                return Err(Fault::new(FaultCode::TooManyChannels, text));
            }
            yield_now().await;
        }
        Ok(found)
    }

    /// Header of a channel's latest record; `None` where the channel has expired, or has no record yet.
    pub(super) fn latest(&self, info: &ChannelInfo) -> Option<Entry> {
        self.ring.latest(info.id.index).filter(|entry| entry.generation == info.id.generation)
    }

    /// Uses a channel's latest record; looks it up again where it was overtaken meanwhile. `None`: there is none.
    pub(super) fn with_latest<T>(
        &self,
        info: &ChannelInfo,
        mut read: impl FnMut(&Entry) -> Result<T, Lapped>,
    ) -> Option<T> {
        (0..REFRESHES_MAX).find_map(|_| read(&self.latest(info)?).ok())
    }

    /// Appends a record in the native shape; `out` is as it was when this fails.
    pub(super) fn push(
        &self,
        entry: &Entry,
        name: &str,
        mark: Mark,
        out: &mut Vec<u8>,
    ) -> Result<(), Lapped> {
        let head = Head::from_words(self.ring.body_words(entry)?);
        let (before, sequence) = (out.len(), entry.sequence);
        Shape::Native
            .open(&Label { channel: name, sequence, wall_us: head.wall_us, mark, resume: None }, out);
        self.ring.copy_body(entry, Head::BYTES, out).inspect_err(|Lapped| out.truncate(before))?;
        out.extend_from_slice(Shape::Native.close());
        Ok(())
    }

    /// Notes an ordinal that was seen in the ring.
    pub(super) fn is_published(&self, ordinal: u64) {
        // ORDERING: Relaxed: it guards no other memory; the front's thread alone writes and reads it.
        self.newest.fetch_max(ordinal, Ordering::Relaxed);
    }

    /// Whether an ordinal has not been published yet. A look at all channels, but only where it is above all that was seen so far.
    pub(super) async fn is_to_come(&self, ordinal: u64) -> bool {
        for first in (0..self.catalogue.places()).step_by(PLACES_A_PAGE as usize) {
            if ordinal <= self.newest.load(Ordering::Relaxed) {
                return false;
            }
            let page = first..first.saturating_add(PLACES_A_PAGE);
            let newest =
                page.filter_map(|channel| self.ring.latest(channel)).map(|entry| entry.ordinal).max();
            self.is_published(newest.unwrap_or(0));
            yield_now().await;
        }
        ordinal > self.newest.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{ChannelId, ChannelName, DeliveryRules};
    use crate::ring::{self, Kind, Stamp};

    #[test]
    fn a_record_that_is_overtaken_while_it_is_read_is_looked_up_again() {
        let options = ring::Options { bytes: 1 << 16, body_bytes_max: 64, readers: 1, channels_max: 1 };
        let (mut publisher, ring) = ring::new(&options).unwrap();
        let catalogue = Arc::new(Catalogue::new(DeliveryRules::default()));
        let id = ChannelId { index: 0, generation: 0 };
        catalogue.insert(&ChannelName::parse("a@trade").unwrap(), id);
        let stamp = Stamp {
            kind: Kind::Data,
            flags: 0,
            channel: id.index,
            generation: id.generation,
            sequence: 1,
            ordinal: 1,
            monotonic_ns: 0,
        };
        publisher.publish(&stamp, &[b"1"]).unwrap();
        let market = Market::new(ring, Arc::clone(&catalogue), "e".into());
        let info = catalogue.at(0).unwrap();
        for (overtaken, found) in [(0, Some(1)), (1, Some(1)), (REFRESHES_MAX, None)] {
            let mut reads = 0;
            let read = market.with_latest(&info, |entry| {
                reads += 1;
                if reads > overtaken { Ok(entry.sequence) } else { Err(Lapped) }
            });
            assert_eq!(read, found, "overtaken {overtaken} times");
        }
    }
}
