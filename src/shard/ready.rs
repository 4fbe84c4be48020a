//! The ready list: which subscribers' sockets have something to say.
//!
//! Wakers push, the shard pops; both run on the shard's thread, the types only have to allow otherwise.
//! Invariant: each waker stands in the list at most once, so the list is bounded by the wakers alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use crossbeam_queue::SegQueue;
use tokio::sync::Notify;

use super::index::SubscriberId;

/// Subscribers to be looked at.
#[derive(Debug)]
pub(super) struct ReadyList {
    ears: SegQueue<Arc<Ear>>,
    bell: Arc<Notify>,
}

/// What one subscriber is woken by: instead of a task each.
#[derive(Debug)]
pub(super) struct Ear {
    id: SubscriberId,
    listed: AtomicBool,
    list: Arc<ReadyList>,
}

impl ReadyList {
    pub(super) fn new(bell: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { ears: SegQueue::new(), bell })
    }

    /// What lists this subscriber.
    pub(super) fn ear(self: &Arc<Self>, id: SubscriberId) -> Arc<Ear> {
        Arc::new(Ear { id, listed: AtomicBool::new(false), list: Arc::clone(self) })
    }

    pub(super) fn pop(&self) -> Option<SubscriberId> {
        let ear = self.ears.pop()?;
        // ORDERING: Release pairs with the swap in `speak`: who lists it again does so after this pop.
        ear.listed.store(false, Ordering::Release);
        Some(ear.id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ears.is_empty()
    }
}

impl Ear {
    /// What a socket wakes its subscriber by.
    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Lists its subscriber.
    pub(super) fn speak(self: &Arc<Self>) {
        // ORDERING: AcqRel pairs with the store in `pop`; one lister wins.
        if !self.listed.swap(true, Ordering::AcqRel) {
            self.list.ears.push(Arc::clone(self));
            self.list.bell.notify_one();
        }
    }
}

impl Wake for Ear {
    fn wake(self: Arc<Self>) {
        self.speak();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.speak();
    }
}
