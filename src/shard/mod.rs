//! Shards: drain the ring, index what came, send once to each subscriber that got something, repeat.

use std::time::Duration;

pub mod mailbox;
pub mod stats;

/// What a shard must know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Channels a subscriber may have.
    pub channels_max: usize,
    /// Bytes of records that may wait for one subscriber.
    pub outbox_bytes_max: usize,
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
    /// Letters that may wait in a shard's mailbox.
    pub mailbox_letters_max: usize,
}
