//! Which feeds are here, and since when the others are gone: what decides that a channel is stale.
//!
//! Ingest thread. A feed is a connection; requests of `POST /publish` together are one that is never here. Invariant: a
//! feed that is gone is remembered for as long as a channel of its own need not be stale, and not longer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::clock::Now;

/// A feed's number; a connection's is not given away again while the feed is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct FeedId(u32);

impl FeedId {
    /// No feed.
    pub(super) const NONE: Self = Self(0);
    /// Whoever sends `POST /publish`.
    pub(super) const POST: Self = Self(1);
}

/// Every feed that is here or has just gone.
#[derive(Debug)]
pub(super) struct Feeds {
    /// Nanoseconds for which a feed that is gone counts as here; `None`: for good.
    grace_ns: Option<u64>,
    known: RefCell<Known>,
}

#[derive(Debug, Default)]
struct Known {
    feeds: HashMap<FeedId, Feed, RandomState>,
    newest: FeedId,
}

#[derive(Debug)]
struct Feed {
    name: Arc<str>,
    gone_ns: Option<u64>,
}

impl Feeds {
    /// `stale_after` zero: a feed that is gone makes nothing stale.
    pub(super) fn new(stale_after: Duration) -> Self {
        Self { grace_ns: ns_unless_zero(stale_after), known: RefCell::default() }
    }

    /// A connection is here until what this returns is dropped.
    pub(super) fn arrive(self: &Rc<Self>, name: &Arc<str>) -> Presence {
        let mut known = self.known.borrow_mut();
        let id = known.unused();
        known.newest = id;
        known.feeds.insert(id, Feed { name: Arc::clone(name), gone_ns: None });
        Presence { feeds: Rc::clone(self), id }
    }

    /// Whether a channel that this feed published still has it: it is here, or has not been gone for long.
    /// `heard_ns`: when the channel was last spoken of.
    pub(super) fn counts(&self, feed: FeedId, heard_ns: u64, now_ns: u64) -> bool {
        let Some(grace_ns) = self.grace_ns else { return feed != FeedId::NONE };
        let since_ns = match feed {
            FeedId::NONE => return false,
            FeedId::POST => Some(heard_ns),
            FeedId(_) => match self.known.borrow().feeds.get(&feed) {
                Some(known) => known.gone_ns,
                None => return false,
            },
        };
        since_ns.is_none_or(|since_ns| now_ns < since_ns.saturating_add(grace_ns))
    }

    /// What a feed is called in a log, if it is remembered.
    pub(super) fn name(&self, feed: FeedId) -> Option<Arc<str>> {
        if feed == FeedId::POST {
            return Some("POST".into());
        }
        self.known.borrow().feeds.get(&feed).map(|known| Arc::clone(&known.name))
    }

    /// Forgets those that count for no channel any more.
    pub(super) fn forget_gone(&self, now_ns: u64) {
        let grace_ns = self.grace_ns.unwrap_or(0);
        let counts = |gone_ns: u64| now_ns < gone_ns.saturating_add(grace_ns);
        self.known.borrow_mut().feeds.retain(|_, feed| feed.gone_ns.is_none_or(counts));
    }

    fn leave(&self, id: FeedId, now_ns: u64) {
        let mut known = self.known.borrow_mut();
        if self.grace_ns.is_none() {
            known.feeds.remove(&id);
        } else if let Some(feed) = known.feeds.get_mut(&id) {
            feed.gone_ns = Some(now_ns);
        }
    }
}

impl Known {
    // Numbers go round after four thousand million connections; by then who had one is long gone, or still here.
    fn unused(&self) -> FeedId {
        let mut id = self.newest;
        loop {
            id = FeedId(id.0.wrapping_add(1).max(FeedId::POST.0 + 1));
            if !self.feeds.contains_key(&id) {
                return id;
            }
        }
    }
}

/// A connection's being here; dropped, it is gone.
#[derive(Debug)]
pub(super) struct Presence {
    feeds: Rc<Feeds>,
    id: FeedId,
}

impl Presence {
    pub(super) fn id(&self) -> FeedId {
        self.id
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.feeds.leave(self.id, Now::read().monotonic_ns);
    }
}

/// Nanoseconds of a duration that is off when it is zero.
pub(super) fn ns_unless_zero(duration: Duration) -> Option<u64> {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    (ns > 0).then_some(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feeds(stale_after_ns: u64) -> Rc<Feeds> {
        Rc::new(Feeds::new(Duration::from_nanos(stale_after_ns)))
    }

    #[test]
    fn who_is_gone_counts_for_a_while_and_is_then_forgotten() {
        let feeds = feeds(10);
        let (a, b) = (feeds.arrive(&"a".into()), feeds.arrive(&"b".into()));
        assert!(feeds.counts(a.id(), 0, u64::MAX), "who is here counts, however long it says nothing");
        feeds.leave(a.id(), 100);
        assert!(feeds.counts(a.id(), 0, 109));
        assert!(!feeds.counts(a.id(), 105, 110), "gone is gone, whatever it said last");
        feeds.forget_gone(109);
        assert_eq!(feeds.name(a.id()).as_deref(), Some("a"));
        feeds.forget_gone(110);
        assert_eq!(feeds.name(a.id()), None);
        assert!(!feeds.counts(a.id(), 0, 105));
        assert!(feeds.counts(b.id(), 0, 1_000));
    }

    #[test]
    fn posts_count_from_what_was_last_said() {
        let feeds = feeds(10);
        assert!(feeds.counts(FeedId::POST, 100, 109));
        assert!(!feeds.counts(FeedId::POST, 100, 110));
        assert!(!feeds.counts(FeedId::NONE, 100, 100));
    }

    #[test]
    fn without_a_limit_nobody_is_missed_and_nobody_remembered() {
        let feeds = feeds(0);
        let a = feeds.arrive(&"a".into());
        feeds.leave(a.id(), 1);
        assert!(feeds.counts(a.id(), 0, u64::MAX));
        assert!(feeds.known.borrow().feeds.is_empty());
    }

    #[test]
    fn a_number_that_is_in_use_is_not_given_again_when_they_go_round() {
        let feeds = feeds(10);
        let first = feeds.arrive(&"a".into());
        feeds.known.borrow_mut().newest = FeedId(u32::MAX);
        assert_eq!((first.id(), feeds.arrive(&"b".into()).id()), (FeedId(2), FeedId(3)));
    }
}
