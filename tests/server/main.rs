//! The whole program over real sockets: its binary as a child process, feeds and subscribers as clients of it.
//!
//! A file a promise or topic; `harness` starts and reads the server, `client` speaks to it. Nothing here looks inside the server:
//! what a test knows it was sent, or it stands on `/metrics`. Invariant: no test waits for a time, each waits for a state.

mod admin;
mod client;
mod crowd;
mod events;
mod fallbacks;
mod faults_client;
mod faults_feed;
mod gaps;
mod handshake;
mod harness;
mod join;
mod laps;
mod ledger;
mod lifecycle;
mod many;
mod native;
mod patterns;
mod rates;
mod recorded;
mod resume;
mod scene;
mod slow;
mod status;
mod tape;
