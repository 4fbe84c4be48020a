//! The ingest stage over real sockets: what feeds send, what they are answered, and what then stands in the ring.
//!
//! Every test has its own stage on port 0. Nothing sleeps to wait for a state: an answer, or the end of a
//! connection, says that all before it has been done.

mod faults;
mod harness;
mod http;
mod lines;
mod presence;
mod sessions;
mod websocket;
