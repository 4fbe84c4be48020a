//! Log lines: to stderr, filtered by `TAPECAST_LOG`.
//!
//! Set up once, before any thread runs. stdout is left to what a command prints. Invariants: a line is one event, and
//! control bytes in what peers sent are escaped; who logs never waits for who reads the log.

use std::io::IsTerminal;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

/// The environment variable that says what is logged, as `info` or `tapecast::ingest=debug`.
const VARIABLE: &str = "TAPECAST_LOG";

/// Lines that may wait for whoever reads stderr; those beyond are dropped.
const WAITING_LINES_MAX: usize = 8192;

/// Starts logging; what waits is written when the guard is dropped.
///
/// # Errors
/// What is wrong with the filter.
pub(super) fn start() -> Result<WorkerGuard, String> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var(VARIABLE)
        .from_env()
        .map_err(|error| format!("{VARIABLE}: {error}; write a level as info, or target=level pairs"))?;
    let stderr = std::io::stderr();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(stderr.is_terminal());
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING_LINES_MAX);
    let (writer, guard) = builder.thread_name("log").finish(stderr);
    // It fails only where a program that embeds us logs already: then its own way is kept.
    let _ = lines.with_writer(writer).try_init();
    Ok(guard)
}
