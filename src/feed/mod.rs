//! The feed side of the program: what publishes into a server over its real protocols, and what watches it.
//!
//! Each part is a program of its own (or, for the demo, a thread of its own) and knows a server by its
//! sockets alone: nothing here names a stage, so what works here works for anybody's feed and subscriber.

pub mod client;
mod driver;
pub mod market;
pub mod pace;
pub mod progress;
pub mod recording;
pub mod replay;
mod report;
pub mod simulate;
pub mod tail;
