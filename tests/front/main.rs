//! The front over real sockets: what it hands to a shard, and what it answers to everybody else.

mod answers;
mod events;
mod fallbacks;
mod handover;
mod harness;
mod limits;
mod page;
