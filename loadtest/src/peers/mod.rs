//! Peers: other ways to do the same work, behind the same two protocols.
//!
//! Each is a process of its own. Must not share code with Tapecast, and speaks only what the scenarios need:
//! feed lines in; Binance's raw `/ws` with SUBSCRIBE out. Invariant: a peer drops nothing in silence;
//! who falls too far behind is disconnected.

pub(crate) mod bare;
mod line;
pub(crate) mod obvious;

use clap::Args;
use std::io::{self, Write};
use std::net::SocketAddr;

/// Where a peer listens.
#[derive(Debug, Clone, Args)]
pub(crate) struct PeerArguments {
    /// Subscribers' address
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// The feed's address
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) ingest_listen: SocketAddr,
}

/// The answer to every SUBSCRIBE of the swarm.
const SUBSCRIBED: &[u8] = br#"{"result":null,"id":1}"#;

/// Prints the bound addresses as Tapecast does.
fn announce(subscribers: SocketAddr, ingest: SocketAddr) -> io::Result<()> {
    println!("listening subscribers {subscribers}\nlistening ingest {ingest}");
    io::stdout().flush()
}

/// The channels of a SUBSCRIBE; empty for anything else.
fn channels_of(message: &[u8]) -> Vec<String> {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(message).ok();
    parsed
        .as_ref()
        .filter(|message| message["method"] == "SUBSCRIBE")
        .and_then(|message| message["params"].as_array())
        .map(|names| names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_subscribe_names_channels() {
        assert_eq!(channels_of(br#"{"method":"SUBSCRIBE","params":["a@b","c@d"],"id":1}"#), ["a@b", "c@d"]);
        assert!(channels_of(br#"{"method":"UNSUBSCRIBE","params":["a@b"],"id":1}"#).is_empty());
        assert!(channels_of(b"nonsense").is_empty());
    }
}
