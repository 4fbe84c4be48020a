//! A daemon's configuration: its text with the ports filled in, in a folder that goes away.
//!
//! Used by `daemon`. Must not start anything. Invariant: a folder that was made is removed with its value.

use super::Daemon;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

/// Where the daemon is to listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) subscribers: SocketAddr,
    pub(super) ingest: SocketAddr,
}

impl Ports {
    /// Two that were free a moment ago.
    pub(super) fn free() -> io::Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (subscribers, ingest) = (TcpListener::bind(any)?, TcpListener::bind(any)?);
        Ok(Self { subscribers: subscribers.local_addr()?, ingest: ingest.local_addr()? })
    }
}

/// A folder of the daemon's own.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes it, named after this process.
    pub(super) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("loadtest-daemon-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Writes `text` into it, its own name and the ports filled in.
    fn write(&self, text: &str, ports: Ports) -> io::Result<String> {
        let filled = text
            .replace("@FOLDER@", &self.0.to_string_lossy())
            .replace("@SUBSCRIBERS@", &ports.subscribers.to_string())
            .replace("@INGEST@", &ports.ingest.to_string())
            .replace("@SUBSCRIBERS_PORT@", &ports.subscribers.port().to_string())
            .replace("@INGEST_PORT@", &ports.ingest.port().to_string());
        let path = self.0.join("daemon.conf");
        fs::write(&path, filled)?;
        Ok(path.to_string_lossy().into_owned())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left then is a few files in the temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Daemon {
    /// Writes the configuration and returns the command line.
    pub(super) fn command(self, folder: &Folder, ports: Ports) -> io::Result<Vec<String>> {
        let (text, command): (_, &[&str]) = match self {
            Self::Nats => (include_str!("../../peers/nats.conf"), &["nats-server", "-c"]),
            Self::Nchan => (include_str!("../../peers/nginx.conf"), &["nginx", "-e", "stderr", "-c"]),
            Self::Mosquitto => (include_str!("../../peers/mosquitto.conf"), &["mosquitto", "-c"]),
        };
        let path = folder.write(text, ports)?;
        Ok(command.iter().map(|word| (*word).to_owned()).chain([path]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configuration_names_both_ports_and_goes_away_with_its_folder() {
        let folder = Folder::new().expect("a folder");
        let ports = Ports::free().expect("ports");
        assert_ne!(ports.subscribers, ports.ingest);
        for daemon in [Daemon::Nats, Daemon::Nchan, Daemon::Mosquitto] {
            let command = daemon.command(&folder, ports).expect("a command");
            let text = fs::read_to_string(&command[command.len() - 1]).expect("a configuration");
            assert!(!text.contains('@'), "{text}");
            for port in [ports.subscribers.port(), ports.ingest.port()] {
                assert!(text.contains(&port.to_string()), "{daemon:?}");
            }
        }
        let path = folder.0.clone();
        drop(folder);
        assert!(!path.exists());
    }
}
