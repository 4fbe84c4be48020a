//! What a comparison takes from elsewhere: the installation of a peer, and the measurement of the recorded feed.
//!
//! The driver's thread. Must not measure or compare. Invariant: nobody else in `versus` names where these come from.

use super::VersusArguments;
use super::case::Speed;
use super::row::Sample;
use crate::target::Target;
use std::io;

/// The recorded feed at that speed against one server.
pub(super) fn burst(_speed: Speed, _target: &Target, _arguments: &VersusArguments) -> io::Result<Sample> {
    Err(io::Error::other("this build cannot play the recorded feed"))
}
