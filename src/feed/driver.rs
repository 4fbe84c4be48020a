//! What the drivers of feeds touch of the world beside their connection: the clock, and whoever reads their progress.
//!
//! On the runtime of whoever publishes. Everything else in `feed` takes time as an argument and gives text back.
//! Invariant: nobody reading progress ends nothing.

use std::io::{self, Write};
use std::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "the drivers read the clock; pace and market take time as an argument"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Writes to stderr. Progress is a courtesy: nobody reading it must not end a replay or a simulation.
pub(super) fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
