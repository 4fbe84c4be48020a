//! Every channel that exists, by name and by index.
//!
//! Written by the ingest thread when a channel appears, expires, or goes stale; read by shards and the front when somebody
//! subscribes. Never on a record's path. Invariant: an id names one channel for as long as its generation is unchanged.

use std::collections::HashMap;
#[expect(
    clippy::disallowed_types,
    reason = "the catalogue: touched when channels change, never by a record"
)]
use std::sync::RwLock;

use super::{ChannelId, ChannelName, DeliveryRules, Rule};

/// Places looked at while the lock is held: the feed's thread may wait for it.
pub const PLACES_A_PAGE: u32 = 1024;

/// What the catalogue knows of a channel.
#[derive(Clone, Debug)]
pub struct ChannelInfo {
    /// Its name.
    pub name: ChannelName,
    /// Its id.
    pub id: ChannelId,
    /// How it is delivered.
    pub rule: Rule,
    /// Its feeds are gone or silent: what it holds may be old.
    pub stale: bool,
}

/// Every channel that exists, by name and by index. Shared; see the module's header for who touches it when.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "touched when channels change, never by a record")]
pub struct Catalogue {
    rules: DeliveryRules,
    tables: RwLock<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    by_name: HashMap<ChannelName, u32>,
    by_index: Vec<Option<ChannelInfo>>,
    revision: u64,
}

#[expect(clippy::disallowed_types, reason = "touched when channels change, never by a record")]
impl Catalogue {
    /// An empty catalogue whose channels will be delivered by these rules.
    #[must_use]
    pub fn new(rules: DeliveryRules) -> Self {
        Self { rules, tables: RwLock::new(Tables::default()) }
    }

    /// How a channel of this name is or would be delivered.
    #[must_use]
    pub fn rule(&self, name: &ChannelName) -> Rule {
        self.rules.rule(name.kind())
    }

    /// Enters a channel, before its first record is published. An older channel at the same index is forgotten.
    pub fn insert(&self, name: &ChannelName, id: ChannelId) {
        let info = ChannelInfo { name: name.clone(), id, rule: self.rule(name), stale: false };
        let mut tables = self.write();
        tables.revision += 1;
        let place = id.index as usize;
        if tables.by_index.len() <= place {
            tables.by_index.resize(place + 1, None);
        }
        if let Some(old) = tables.by_index[place].replace(info) {
            tables.by_name.remove(&old.name);
        }
        tables.by_name.insert(name.clone(), id.index);
    }

    /// Forgets a channel, after its `expired` entry was published.
    pub fn remove(&self, id: ChannelId) {
        let mut tables = self.write();
        tables.revision += 1;
        let Some(place) = tables.by_index.get_mut(id.index as usize) else { return };
        if let Some(old) = place.take_if(|info| info.id == id) {
            tables.by_name.remove(&old.name);
        }
    }

    /// Notes that a channel's feeds are gone or silent, or back. Before the entry that tells so is published.
    pub fn set_stale(&self, id: ChannelId, stale: bool) {
        let mut tables = self.write();
        tables.revision += 1;
        let info = tables.by_index.get_mut(id.index as usize).and_then(Option::as_mut);
        if let Some(info) = info.filter(|info| info.id == id) {
            info.stale = stale;
        }
    }

    /// Rises with each change: two looks between which it stayed the same saw the same channels.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.read().revision
    }

    /// The channels at [`PLACES_A_PAGE`] places from `first` on: a bounded look at all of them, which holds the lock as long.
    #[must_use]
    pub fn page(&self, first: u32) -> Vec<ChannelInfo> {
        let tables = self.read();
        let page = tables.by_index.iter().skip(first as usize).take(PLACES_A_PAGE as usize);
        page.flatten().cloned().collect()
    }

    /// The channel of this name, if it exists.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ChannelInfo> {
        let tables = self.read();
        let index = *tables.by_name.get(name)?;
        tables.by_index.get(index as usize)?.clone()
    }

    /// The channel at this index, if there is one.
    #[must_use]
    pub fn at(&self, index: u32) -> Option<ChannelInfo> {
        self.read().by_index.get(index as usize)?.clone()
    }

    /// How many channels exist.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().by_name.len()
    }

    /// Places given to channels so far, expired ones included: no channel's index is as high.
    #[must_use]
    pub fn places(&self) -> u32 {
        u32::try_from(self.read().by_index.len()).unwrap_or(u32::MAX)
    }

    /// Whether none exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // A panic while the lock is held leaves maps that are whole: every change to them is one call.
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Delivery;

    #[test]
    fn a_place_given_to_another_channel_forgets_the_first() {
        let catalogue = Catalogue::new(DeliveryRules::default());
        let (one, two) = (ChannelName::parse("a@trade").unwrap(), ChannelName::parse("b@ticker").unwrap());
        let first = ChannelId { index: 3, generation: 0 };
        let second = ChannelId { index: 3, generation: 1 };
        catalogue.insert(&one, first);
        assert_eq!(catalogue.find("a@trade").map(|info| info.id), Some(first));
        catalogue.insert(&two, second);
        assert!(catalogue.find("a@trade").is_none());
        catalogue.remove(first);
        assert_eq!(
            catalogue.at(3).map(|info| info.rule.delivery),
            Some(Delivery::Latest),
            "an old id removes nothing"
        );
        catalogue.remove(second);
        assert!(catalogue.is_empty());
    }

    #[test]
    fn each_change_is_told_by_the_revision() {
        let catalogue = Catalogue::new(DeliveryRules::default());
        let (name, id) = (ChannelName::parse("a@trade").unwrap(), ChannelId { index: 0, generation: 0 });
        let mut before = catalogue.revision();
        let changes: [&dyn Fn(); 4] = [
            &|| catalogue.insert(&name, id),
            &|| catalogue.set_stale(id, true),
            &|| catalogue.remove(id),
            &|| catalogue.insert(&name, ChannelId { generation: 1, ..id }),
        ];
        for change in changes {
            change();
            assert!(catalogue.revision() > before);
            before = catalogue.revision();
        }
    }
}
