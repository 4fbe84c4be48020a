//! One subscriber: its handshake, its frames, its session, its outbox, its socket, its end.

pub mod close;
pub mod frame;
pub mod handshake;
pub mod outbox;
pub mod session;
#[cfg(feature = "drive")]
pub mod sim;
pub mod socket;
