//! Which version of a server is measured.
//!
//! The driver's thread asks programs that are installed, once each. Must not install. Invariant: what cannot be found out is said to be
//! unknown.

use serde_json::Value;
use std::fs;
use std::process::Command;

/// What this program was built from: the versions of the peers within it.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// The version of the server of that name, in words.
pub(super) fn of(name: &str) -> String {
    let found = match name {
        "bare" => Some(concat!("of this tool, ", env!("CARGO_PKG_VERSION")).to_owned()),
        "obvious" => locked("fastwebsockets")
            .and_then(|sockets| Some(format!("fastwebsockets {sockets}, tokio {}", locked("tokio")?))),
        "tapecast" => said("target/release/tapecast", &["--version"]),
        "bun" => said("loadtest/peers/node_modules/.bin/bun", &["--version"]),
        "ws" => package("ws"),
        "socketio" => package("socket.io"),
        "nchan" => said("dpkg-query", &["-W", "nginx", "libnginx-mod-nchan"]),
        "nats" => said("nats-server", &["--version"]),
        "mosquitto" => said("dpkg-query", &["-W", "mosquitto"]),
        _ => Some("as given".to_owned()),
    };
    found.unwrap_or_else(|| "unknown".to_owned())
}

/// What a program prints, in one line.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The version of an npm package, and Node's.
fn package(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("loadtest/peers/node_modules/{name}/package.json")).ok()?;
    let manifest: Value = serde_json::from_str(&text).ok()?;
    let version = manifest.get("version")?.as_str()?;
    Some(format!("{name} {version}, Node {}", said("node", &["--version"])?))
}

/// The version of a crate that this program was built with.
fn locked(name: &str) -> Option<&'static str> {
    let entry = LOCK.split("[[package]]").find(|entry| entry.contains(&format!("name = \"{name}\"\n")))?;
    entry.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_within_are_as_locked() {
        let version = locked("fastwebsockets").expect("it is a dependency");
        assert!(version.starts_with("0."), "{version}");
        assert_eq!(locked("no such crate"), None);
        assert_eq!(
            of("obvious"),
            format!("fastwebsockets {version}, tokio {}", locked("tokio").expect("it is one"))
        );
    }

    #[test]
    fn what_is_not_there_is_unknown() {
        assert_eq!(said("no/such/program", &[]), None);
        assert_eq!(of("path/to/server --flag"), "as given");
    }
}
