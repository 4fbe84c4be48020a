//! Memory of a connection, in the driver's words.
//!
//! The driver's thread. Must not measure anything itself. Invariant: one figure, the one that `memory` gives.

use super::{Figure, Outcome, RunArguments, Standing};
use crate::memory;
use crate::target::Target;
use std::io;

/// Runs the scenario once.
pub(super) fn run(target: &Target, arguments: &RunArguments) -> io::Result<Outcome> {
    let found = memory::measure(target, arguments.subscribers, &arguments.step)?;
    let figure = Figure { name: "resident bytes a connection", value: found.bytes_each() };
    Ok(Outcome { line: found.to_string(), standing: Standing::Held, figures: vec![figure] })
}
