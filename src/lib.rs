//! Tapecast: a market-data fan-out server.
//!
//! ```text
//! feed sockets -> ingest: decode -> sequencer -> ring -> shard: drain -> index -> ranges -> one send each -> sockets
//!    (thread: ingest)                      (atomic words)        (threads: shard-0..n)
//! front: accept, HTTP, WebSocket handshake -> mailbox of a shard          (thread: front)
//! control: config, admin listener, metrics, shutdown                      (thread: front)
//! ```
//!
//! One sentence decides the design: drain the ring, index what came, send once to each subscriber that got
//! something, repeat. Threads share the ring, the catalogue and the mailboxes, and nothing else.
//!
//! Who may name whom (`tests/layering.rs` holds it): `channel`, `clock` and `histogram` nothing; `record` channel; `ring` nothing of ours;
//! `ingest` ring, record, channel; `dialect` record, channel; `subscriber` dialect, channel; `merge` channel; `shard` ring, record,
//! channel, dialect, subscriber, merge; `front` ring, record, subscriber, dialect, channel and the shards' mailboxes;
//! `feed` record, channel; `control` the public faces; `server` all. `ingest`, `shard` and `control` also name `clock` and
//! `histogram`; `ring`, `subscriber` and `shard` name `fault`. No stage names `control`.

pub mod channel;
pub mod clock;
pub mod fault;
pub mod histogram;
pub mod record;

pub mod ingest;
pub mod ring;

pub mod dialect;
pub mod merge;
pub mod shard;
pub mod subscriber;

pub mod front;

pub mod control;
pub mod feed;
pub mod server;
