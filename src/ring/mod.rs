//! The ring: one writer that never waits, many readers that learn [`Lapped`]; also the history and the last-value store.
//!
//! It knows bytes, channels by index, sequences and positions, nothing else of ours. The thread that owns the
//! [`Publisher`] writes (ingest); any thread may hold a [`Reader`] or read through an `Arc<Ring>`.
//! Invariant: every entry from the floor to the tail is whole, and every channel's latest record is among them.
//!
//! ```text
//!   reusable      history       the newest               words, by position, modulo the size
//! ...........|eeeeeeeeeeeeee|eeeeeeeeeeeeeeeee|........
//!          floor                             tail                        tail - floor <= size
//! ```
//!
//! How the orderings fit together. The writer stores an entry's words (relaxed), then the channel's place in the
//! table (Release), then `tail` (Release): the table is never behind the tail. Before it stores a word where an old
//! entry stood, it has published the channel's value again if that entry was the latest, moved `floor` past it
//! (Release) and passed `fence(Release)`.
//! A reader learns of an entry by `tail` or the table (Acquire), loads words (relaxed), passes `fence(Acquire)` and
//! loads `floor`: where that still stands at or below the entry, no word of it had been overwritten. The models in
//! `tests/loom_ring.rs` hold this, and fail when any of it is weakened.
//!
//! Reading order: `entry` (what stands in the ring), `words`, `shared` (tail and floor), `publisher`, `reclaim`,
//! `reader`, `history` (table and chain), `wake`; `sync` and `weaken` exist for the models.

mod entry;
mod history;
mod publisher;
mod reader;
mod reclaim;
mod shared;
mod sync;
mod wake;
#[cfg(not(feature = "loom"))]
mod weaken;
#[cfg(feature = "loom")]
pub mod weaken;
mod words;

#[cfg(all(test, not(feature = "loom")))]
mod tests;

pub use entry::{Entry, Kind, Position, Stamp};
pub use history::WalkBack;
pub use publisher::{Publisher, Refused};
pub use reader::{Next, Reader};
pub use shared::{Lapped, Ring};

use std::fmt;
use std::sync::Arc;

/// How many largest entries a ring must hold at least: one is kept free and a quarter may be live, so that half of this would still
/// leave history. The configuration asks for more: 64 largest payloads, without what stands before them.
const LARGEST_ENTRIES_MIN: u64 = 32;

/// Sizes of a ring.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of the ring, a power of two.
    pub bytes: usize,
    /// Places of the channel table.
    pub channels_max: u32,
    /// Largest body, in bytes (record head and payload).
    pub body_bytes_max: usize,
    /// How many readers may sleep on the ring.
    pub readers: usize,
}

/// Why a ring of these sizes cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidOptions {
    /// `bytes` is not a power of two.
    NotPowerOfTwo,
    /// The largest body does not fit often enough (32 times) into the ring.
    BodyTooLarge,
}

/// Builds a ring, touched so that no page fault meets a record.
///
/// # Errors
/// When the sizes do not fit together.
pub fn new(options: &Options) -> Result<(Publisher, Arc<Ring>), InvalidOptions> {
    options.validate()?;
    Ok(build(options))
}

/// Builds a ring of a size that [`new`] would refuse: a model must be small to be explored.
#[cfg(feature = "loom")]
#[must_use]
pub fn tiny(options: &Options) -> (Publisher, Arc<Ring>) {
    build(options)
}

fn build(options: &Options) -> (Publisher, Arc<Ring>) {
    let ring = Arc::new(Ring::new(options));
    (Publisher::new(options, Arc::clone(&ring)), ring)
}

impl Options {
    fn validate(&self) -> Result<(), InvalidOptions> {
        if !self.bytes.is_power_of_two() {
            return Err(InvalidOptions::NotPowerOfTwo);
        }
        let fits = u32::try_from(self.body_bytes_max).is_ok()
            && entry::words_of(self.body_bytes_max) * LARGEST_ENTRIES_MIN <= self.words();
        if fits { Ok(()) } else { Err(InvalidOptions::BodyTooLarge) }
    }

    fn words(&self) -> u64 {
        (self.bytes / 8) as u64
    }
}

impl fmt::Display for InvalidOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPowerOfTwo => "the ring's bytes must be a power of two",
            Self::BodyTooLarge => "the ring must hold the largest record at least 32 times",
        })
    }
}

impl std::error::Error for InvalidOptions {}
