//! What the other threads say to a shard, through a bounded queue.
//!
//! Invariant: a letter that was reserved a place for always fits, so nobody ever waits to post one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::Notify;

use crate::dialect::Opening;
use crate::subscriber::socket::Connection;

/// Something that lives as long as a subscriber's connection (a limit's permit).
pub type Permit = Box<dyn Send>;

/// A connection whose handshake is done.
pub struct Newborn {
    /// The raw socket, non-blocking.
    pub socket: Connection,
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// What was read behind the handshake's request.
    pub read_ahead: Vec<u8>,
    /// What the handshake asked for.
    pub opening: Opening,
    /// Dropped when the subscriber is gone.
    pub permit: Permit,
}

/// One thing told to a shard.
pub enum Letter {
    /// Take this connection.
    Newborn(Box<Newborn>),
    /// Close everyone with 1001 and end.
    Shutdown,
}

/// The posting side; cheap to clone.
#[derive(Clone)]
pub struct Mailbox {
    sender: Sender<Letter>,
    bell: Arc<Notify>,
    places: Arc<AtomicUsize>,
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
    population: Arc<AtomicUsize>,
}

/// A mailbox for this many newborn letters, and one more for the shutdown. `bell` wakes the shard.
#[must_use]
pub fn new(letters_max: usize, bell: Arc<Notify>) -> (Mailbox, Post) {
    let (sender, receiver) = bounded(letters_max + 1);
    let places = Arc::new(AtomicUsize::new(letters_max));
    let population = Arc::new(AtomicUsize::new(0));
    let post = Post { receiver, places: Arc::clone(&places), population: Arc::clone(&population) };
    (Mailbox { sender, bell, places, population }, post)
}

impl Mailbox {
    /// Keeps a place for a newborn; `None`: the mailbox is full, answer 503.
    #[must_use]
    pub fn reserve(&self) -> Option<Reservation> {
        // ORDERING: Relaxed: the count guards no other memory; the queue itself orders the letters.
        self.places
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |places| places.checked_sub(1))
            .ok()?;
        // ORDERING: Relaxed: a hint for choosing the least loaded shard.
        self.population.fetch_add(1, Ordering::Relaxed);
        Some(Reservation { mailbox: self.clone(), used: false })
    }

    /// Subscribers that the shard has or has been promised.
    #[must_use]
    pub fn population(&self) -> usize {
        self.population.load(Ordering::Relaxed)
    }

    /// Tells the shard to close everyone and end. Twice is once.
    pub fn shut_down(&self) {
        // Full means that the one place beyond the newborns' is taken: by an earlier shutdown.
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
        if matches!(letter, Letter::Newborn(_)) {
            self.places.fetch_add(1, Ordering::Relaxed);
        }
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
