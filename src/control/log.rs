//! Log lines: to stderr, filtered by `TAPECAST_LOG`, written as `TAPECAST_LOG_FORMAT` says.
//!
//! Set up once, before any thread runs. stdout is left to what a command prints. Invariants: a line is one event, and
//! control bytes in what peers sent are escaped; who logs never waits for who reads the log.

use std::env;
use std::io::IsTerminal;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

/// The environment variable that says what is logged, as `info` or `tapecast::ingest=debug`.
const FILTER: &str = "TAPECAST_LOG";

/// The environment variable that says how: `text` or `json`.
const FORMAT: &str = "TAPECAST_LOG_FORMAT";

/// What says why the program ends; no filter keeps that back.
pub(super) const END: &str = "tapecast::end";

/// Lines that may wait for whoever reads stderr; those beyond are dropped.
const WAITING_LINES_MAX: usize = 8192;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// For people, with colours where stderr is a terminal.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Logging that was started; what waits is written when this is dropped.
pub(super) struct Log {
    pub(super) format: Format,
    _writes_what_waits: WorkerGuard,
}

/// Starts logging.
///
/// # Errors
/// What is wrong with the filter or the format.
pub(super) fn start() -> Result<Log, String> {
    let format = format()?;
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var(FILTER)
        .from_env()
        .map_err(|error| format!("{FILTER}: {error}; write a level as info, or target=level pairs"))?
        .add_directive(format!("{END}=error").parse().map_err(|error| format!("{END}: {error}"))?);
    let stderr = std::io::stderr();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(stderr.is_terminal());
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING_LINES_MAX);
    let (writer, guard) = builder.thread_name("log").finish(stderr);
    let lines = lines.with_writer(writer);
    // It fails only where a program that embeds us logs already: then its own way is kept.
    let _ = match format {
        Format::Text => lines.try_init(),
        Format::Json => lines.json().try_init(),
    };
    Ok(Log { format, _writes_what_waits: guard })
}

#[expect(clippy::disallowed_methods, reason = "logging starts before the configuration is read")]
fn format() -> Result<Format, String> {
    match env::var(FORMAT).as_deref() {
        Err(env::VarError::NotPresent) | Ok("" | "text") => Ok(Format::Text),
        Ok("json") => Ok(Format::Json),
        Ok(other) => Err(format!("{FORMAT}: {other:?} is no format; write text or json")),
        Err(error) => Err(format!("{FORMAT}: {error}; write text or json")),
    }
}
