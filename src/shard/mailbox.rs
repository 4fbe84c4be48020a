//! What the other threads say to a shard, through a bounded queue.
//!
//! Invariant: a letter that was reserved a place for always fits, so nobody ever waits to post one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::{Notify, mpsc, oneshot};

use super::census::{Query, Row};
use crate::dialect::Opening;
use crate::subscriber::socket::Connection;

/// Something that lives as long as a subscriber's connection (a limit's permit).
pub type Permit = Box<dyn Send>;

/// Longest text in [`Newborn::agent`].
pub const AGENT_BYTES_MAX: usize = 128;

/// Questions of the operator's that may wait.
pub const ERRANDS_MAX: usize = 4;

/// Letters that end a shard: the notice and the shutdown.
const ENDINGS: usize = 2;

/// A connection whose handshake is done.
pub struct Newborn {
    /// The raw socket, non-blocking.
    pub socket: Connection,
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// What the client calls itself (`User-Agent`): at most [`AGENT_BYTES_MAX`] bytes without control characters.
    pub agent: Option<Box<str>>,
    /// What was read behind the handshake's request.
    pub read_ahead: Vec<u8>,
    /// What the handshake asked for.
    pub opening: Opening,
    /// Dropped when the subscriber is gone.
    pub permit: Permit,
}

/// A question of the operator's, and where the answer goes.
pub enum Errand {
    /// The first subscribers of an order.
    Census(Query, oneshot::Sender<Vec<Row>>),
    /// Close the subscriber of this serial; false: there is none.
    Evict(u32, oneshot::Sender<bool>),
}

/// Held for as long as somebody is there; its receiver learns of the last one by the channel's end.
pub type Presence = mpsc::Sender<Infallible>;

/// One thing told to a shard.
pub enum Letter {
    /// Take this connection.
    Newborn(Box<Newborn>),
    /// Answer this.
    Errand(Errand),
    /// Tell everyone that the server ends, close each within the window, and let go of the presence when nobody is left.
    Notice {
        /// Milliseconds.
        window_ms: u64,
        /// Of this shard's subscribers.
        presence: Presence,
    },
    /// Close everyone with 1001 and end.
    Shutdown,
}

/// The posting side; cheap to clone.
#[derive(Clone)]
pub struct Mailbox {
    sender: Sender<Letter>,
    bell: Arc<Notify>,
    places: Arc<AtomicUsize>,
    errands: Arc<AtomicUsize>,
    population: Arc<AtomicUsize>,
}

/// A place kept for one letter.
pub struct Reservation {
    mailbox: Mailbox,
    used: bool,
}

/// The shard's side.
pub struct Post {
    receiver: Receiver<Letter>,
    places: Arc<AtomicUsize>,
    errands: Arc<AtomicUsize>,
    population: Arc<AtomicUsize>,
}

/// A mailbox for this many newborn letters, a few errands, and the two letters that end the shard. `bell` wakes it.
#[must_use]
pub fn new(letters_max: usize, bell: Arc<Notify>) -> (Mailbox, Post) {
    let (sender, receiver) = bounded(letters_max + ERRANDS_MAX + ENDINGS);
    let places = Arc::new(AtomicUsize::new(letters_max));
    let errands = Arc::new(AtomicUsize::new(ERRANDS_MAX));
    let population = Arc::new(AtomicUsize::new(0));
    let post = Post {
        receiver,
        places: Arc::clone(&places),
        errands: Arc::clone(&errands),
        population: Arc::clone(&population),
    };
    (Mailbox { sender, bell, places, errands, population }, post)
}

/// `None`: there is none left.
fn take_place(places: &AtomicUsize) -> Option<()> {
    // ORDERING: Relaxed: the count guards no other memory; the queue itself orders the letters.
    places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |places| places.checked_sub(1)).ok()?;
    Some(())
}

impl Mailbox {
    /// Keeps a place for a newborn; `None`: the mailbox is full, answer 503.
    #[must_use]
    pub fn reserve(&self) -> Option<Reservation> {
        take_place(&self.places)?;
        // ORDERING: Relaxed: a hint for choosing the least loaded shard.
        self.population.fetch_add(1, Ordering::Relaxed);
        Some(Reservation { mailbox: self.clone(), used: false })
    }

    /// Subscribers that the shard has or has been promised.
    #[must_use]
    pub fn population(&self) -> usize {
        self.population.load(Ordering::Relaxed)
    }

    /// Asks for the first subscribers of an order; `None`: too many questions wait, answer 503.
    #[must_use]
    pub fn census(&self, query: Query) -> Option<oneshot::Receiver<Vec<Row>>> {
        self.ask(|reply| Errand::Census(query, reply))
    }

    /// Asks for the end of a subscriber; the answer is whether there was one. `None`: too many questions wait, answer 503.
    #[must_use]
    pub fn evict(&self, serial: u32) -> Option<oneshot::Receiver<bool>> {
        self.ask(|reply| Errand::Evict(serial, reply))
    }

    fn ask<T>(&self, errand: impl FnOnce(oneshot::Sender<T>) -> Errand) -> Option<oneshot::Receiver<T>> {
        take_place(&self.errands)?;
        let (reply, answer) = oneshot::channel();
        // It fails only when the shard is gone: then the answer's channel ends with the letter.
        let _ = self.sender.try_send(Letter::Errand(errand(reply)));
        self.bell.notify_one();
        Some(answer)
    }

    /// Tells the shard to see everyone off within this time. Once, and before the shutdown.
    pub fn notice(&self, window_ms: u64, presence: Presence) {
        // There is a place for it; it fails only when the shard is gone.
        let _ = self.sender.try_send(Letter::Notice { window_ms, presence });
        self.bell.notify_one();
    }

    /// Tells the shard to close everyone and end. Twice is once.
    pub fn shut_down(&self) {
        // Full means that the places beyond all others are taken: by an earlier shutdown.
        let _ = self.sender.try_send(Letter::Shutdown);
        self.bell.notify_one();
    }
}

impl Reservation {
    /// Posts the newborn into the place kept for it.
    pub fn post(mut self, newborn: Newborn) {
        self.used = true;
        // It fails only when the shard is gone: then the connection ends with the letter.
        if self.mailbox.sender.try_send(Letter::Newborn(Box::new(newborn))).is_err() {
            self.mailbox.places.fetch_add(1, Ordering::Relaxed);
            self.mailbox.population.fetch_sub(1, Ordering::Relaxed);
        }
        self.mailbox.bell.notify_one();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.used {
            self.mailbox.places.fetch_add(1, Ordering::Relaxed);
            self.mailbox.population.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Post {
    /// The next letter, if there is one; its place is free again.
    #[must_use]
    pub fn take(&self) -> Option<Letter> {
        let letter = self.receiver.try_recv().ok()?;
        let place = match letter {
            Letter::Newborn(_) => &self.places,
            Letter::Errand(_) => &self.errands,
            Letter::Notice { .. } | Letter::Shutdown => return Some(letter),
        };
        place.fetch_add(1, Ordering::Relaxed);
        Some(letter)
    }

    /// Whether a letter waits.
    pub(super) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// A subscriber is gone.
    pub fn departed(&self) {
        self.population.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::census::Sort;
    use super::*;

    #[test]
    fn questions_have_places_of_their_own_and_take_nobody_elses() {
        const LETTERS: usize = 2;
        let (mailbox, post) = new(LETTERS, Arc::default());
        let ask = || mailbox.census(Query { sort: Sort::Lag, limit: 1 });
        let asked: Vec<_> = (0..ERRANDS_MAX).map(|_| ask().unwrap()).collect();
        assert!(ask().is_none() && mailbox.evict(1).is_none());
        let _kept: Vec<_> = (0..LETTERS).map(|_| mailbox.reserve().unwrap()).collect();
        let (presence, _everyone) = mpsc::channel(1);
        mailbox.notice(1000, presence);
        mailbox.shut_down();
        for mut answer in asked {
            let Some(Letter::Errand(Errand::Census(_, reply))) = post.take() else { panic!("no census") };
            assert!(reply.send(Vec::new()).is_ok());
            assert_eq!(answer.try_recv().unwrap(), []);
        }
        assert!(ask().is_some(), "a place is free again");
        assert!(matches!(post.take(), Some(Letter::Notice { .. })));
        assert!(matches!(post.take(), Some(Letter::Shutdown)));
    }
}
