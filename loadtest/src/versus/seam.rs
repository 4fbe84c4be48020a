//! What a comparison takes from elsewhere: the installation of a peer, and the measurement of the recorded feed.
//!
//! The driver's thread. Must not measure or compare. Invariant: nobody else in `versus` names where these come from.

use super::VersusArguments;
use super::case::Speed;
use super::row::Sample;
use crate::target::Target;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

const NPM_FOLDER: &str = "loadtest/peers";

/// Gets what the peer of that name needs, if it is not there yet.
pub(super) fn install(name: &str) -> io::Result<()> {
    if name != "bun" || Path::new(NPM_FOLDER).join("node_modules/.bin/bun").exists() {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    let status = npm.args(["ci", "--prefix", NPM_FOLDER]).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("npm ci: {status}"))) }
}

/// The recorded feed at that speed against one server.
pub(super) fn burst(_speed: Speed, _target: &Target, _arguments: &VersusArguments) -> io::Result<Sample> {
    Err(io::Error::other("this build cannot play the recorded feed"))
}
