//! Shards: drain the ring, index what came, send once to each subscriber that got something, repeat.
//!
//! A thread each, tokio current-thread, no work stealing. A shard owns its ring reader, its index and its subscribers; from
//! other threads come the ring, the catalogue, letters in its mailbox and its bell, and out goes its ledger.
//!
//! | file | owns |
//! |---|---|
//! | `worker` | the loop: the order of a turn, and when to sleep |
//! | `cycle` | drain, encode, flush: the fast path |
//! | `fanout` | the cycle's arenas and ranges |
//! | `index` | channels to cohorts to subscribers |
//! | `aside` | from the fast path to the side: what of a cycle waits for a subscriber |
//! | `told` | what is told beside records on the fast path |
//! | `singles` | subscribers off the fast path, served one by one |
//! | `batch`, `chain` | what is offered to one of them at once, read from the ring |
//! | `commit` | what went leaves the outbox, and is counted |
//! | `owed` | what is owed beside what the cursor brings: snapshots, missed records, rates |
//! | `inbound`, `commands` | what clients send, and doing it |
//! | `subscribe`, `patterns`, `resume` | who joins which channel, when, and from where on |
//! | `member` | what is kept for a subscriber |
//! | `life` | birth, deadlines and end of a subscriber |
//! | `tally` | one subscriber's ledger, in step with the shard's |
//! | `census` | subscribers as the operator sees them, and closing one |
//! | `departure` | seeing everyone off when the server ends |
//! | `latency` | how old records are when they are drained, and sent |
//! | `window` | the option to wait a moment, so that sends carry more |
//! | `lapped` | what was lost when the publisher overtook the shard |
//! | `shelf` | subscribers and cohorts by their numbers, where they never move |
//! | `journal` | the log about clients, and its bound |

use std::time::Duration;

mod aside;
mod batch;
pub mod census;
mod chain;
mod commands;
mod commit;
mod cycle;
mod departure;
#[cfg(feature = "drive")]
pub mod drive;
mod fanout;
mod inbound;
mod index;
mod journal;
mod lapped;
mod latency;
mod life;
pub mod mailbox;
mod member;
mod owed;
mod patterns;
mod ready;
mod resume;
mod shelf;
mod singles;
pub mod stats;
mod subscribe;
mod tally;
#[cfg(test)]
mod tests;
mod timers;
mod told;
mod window;
mod worker;

pub use tally::Tally;
pub use worker::{Seat, Shard};

use crate::subscriber::frame;
use crate::subscriber::session::Rate;

/// What a shard must know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Channels a subscriber may have.
    pub channels_max: usize,
    /// Patterns a subscriber may have.
    pub patterns_max: usize,
    /// Channels that the patterns of one subscriber may join.
    pub pattern_channels_max: usize,
    /// Records of a channel that are sent again to a subscriber that resumes; who missed more gets a snapshot.
    pub resume_records_max: usize,
    /// Bytes of records that may wait for one subscriber.
    pub outbox_bytes_max: usize,
    /// What becomes of a subscriber that lost `every` records, where its dialect has no word for a gap.
    pub on_gap: OnGap,
    /// Bytes of torn frames' rests that may wait in the whole shard.
    pub torn_pool_bytes_max: usize,
    /// Bytes of a message from a client.
    pub message_bytes_max: usize,
    /// Fragments of a message from a client.
    pub fragments_max: usize,
    /// Messages and pings a client may send a second, on average.
    pub messages_per_second: u32,
    /// And in one burst.
    pub messages_burst: u32,
    /// Time between pings.
    pub ping_every: Duration,
    /// A subscriber without any pong for this long is cut.
    pub pong_timeout: Duration,
    /// A message or close handshake begun must be finished within this.
    pub close_timeout: Duration,
    /// `TCP_NOTSENT_LOWAT` of subscribers' sockets, in bytes.
    pub notsent_lowat_bytes: u32,
    /// Whole milliseconds from a cycle that sent something to the next drain, so that sends carry more. Zero: none, drain at once.
    pub coalesce: Duration,
    /// Letters that may wait in a shard's mailbox.
    pub mailbox_letters_max: usize,
}

/// What becomes of a subscriber that lost `every` records, where its dialect has no word for a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGap {
    /// It is closed, so that it knows.
    Close,
    /// It goes on behind the gap.
    Skip,
}

impl Options {
    fn limits(&self) -> frame::Limits {
        frame::Limits { message_bytes_max: self.message_bytes_max, fragments_max: self.fragments_max }
    }

    fn rate(&self) -> Rate {
        Rate { per_second: self.messages_per_second, burst: self.messages_burst }
    }
}
