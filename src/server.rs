//! Wiring: ring, threads, mailboxes, drain in order; decides nothing. SKELETON.

use std::fmt;
use std::net::SocketAddr;

use tokio::sync::watch;

use crate::control::config::Config;

/// Why the server could not run.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Runs until `shutdown` says true and everything is drained.
///
/// # Errors
/// What could not be started.
pub fn run(
    _config: Config,
    _on_listening: impl Fn(&str, SocketAddr),
    _shutdown: watch::Receiver<bool>,
) -> Result<(), Error> {
    Err(Error("the server's wiring is not part of this build".to_owned()))
}
