//! Log lines: to stderr, filtered by `TAPECAST_LOG`.
//!
//! Set up once, before any thread runs. stdout is left to what a command prints. Invariant: a line is one event;
//! control bytes in what peers sent are escaped by the subscriber.

use std::io::IsTerminal;

use tracing_subscriber::filter::{EnvFilter, LevelFilter};

/// The environment variable that says what is logged, as `info` or `tapecast::ingest=debug`.
const VARIABLE: &str = "TAPECAST_LOG";

/// Starts logging.
///
/// # Errors
/// What is wrong with the filter.
pub(super) fn start() -> Result<(), String> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var(VARIABLE)
        .from_env()
        .map_err(|error| format!("{VARIABLE}: {error}; write a level as info, or target=level pairs"))?;
    let stderr = std::io::stderr();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(stderr.is_terminal());
    // It fails only where a program that embeds us logs already: then its own way is kept.
    let _ = lines.with_writer(std::io::stderr).try_init();
    Ok(())
}
