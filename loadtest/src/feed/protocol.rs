//! How records are written to a server, and how it is asked what became of them.
//!
//! Pure. Must not read what the server answers: `answers` does. Invariant: for one protocol, a channel's name
//! and a payload of constant size make a record of constant size that holds both byte for byte.

use crate::mqtt;
use clap::ValueEnum;
use std::io::Write;

/// What a server's ingest listener understands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// Tapecast's and the peers': `<channel> <payload>\n`
    #[default]
    Lines,
    /// NATS over plain TCP: PUB
    Nats,
    /// MQTT 3.1.1 over plain TCP: PUBLISH at quality of service 0
    Mqtt,
    /// nchan's: HTTP POSTs to `/pub/<channel>`, pipelined on one connection
    Nchan,
}

impl Protocol {
    /// What is sent first on a connection. None of them has to be answered before records may follow.
    pub(crate) fn greeting(self) -> Vec<u8> {
        let mut greeting = Vec::new();
        match self {
            Self::Lines | Self::Nchan => {}
            Self::Nats => greeting.extend_from_slice(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n"),
            Self::Mqtt => mqtt::append_connect(&mut greeting),
        }
        greeting
    }

    /// Appends one record.
    pub(crate) fn append(self, out: &mut Vec<u8>, channel: &str, payload: &[u8]) {
        let bytes = payload.len();
        // Writing to a vector does not fail.
        let _ = match self {
            Self::Lines => write!(out, "{channel} "),
            Self::Nats => write!(out, "PUB {channel} {bytes}\r\n"),
            Self::Nchan => {
                write!(out, "POST /pub/{channel} HTTP/1.1\r\nHost: h\r\nContent-Length: {bytes}\r\n\r\n")
            }
            Self::Mqtt => return mqtt::append_publish(out, channel, payload),
        };
        out.extend_from_slice(payload);
        out.extend_from_slice(self.record_end());
    }

    fn record_end(self) -> &'static [u8] {
        match self {
            Self::Lines => b"\n",
            Self::Nats => b"\r\n",
            Self::Mqtt | Self::Nchan => b"",
        }
    }

    /// What is sent behind the last record, so that its answer says that all before it were taken: each of
    /// these servers works through a connection in order. nchan answers every record, and is asked nothing.
    pub(crate) fn question(self) -> &'static [u8] {
        match self {
            Self::Lines => b"PING\n",
            Self::Nats => b"PING\r\n",
            Self::Mqtt => mqtt::PING,
            Self::Nchan => b"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_written_as_each_server_reads_them() {
        let written = |protocol: Protocol| {
            let mut out = Vec::new();
            protocol.append(&mut out, "a@trade", b"{\"p\":1}");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(written(Protocol::Lines), "a@trade {\"p\":1}\n");
        assert_eq!(written(Protocol::Nats), "PUB a@trade 7\r\n{\"p\":1}\r\n");
        assert_eq!(written(Protocol::Mqtt), "\x30\x10\x00\x07a@trade{\"p\":1}");
        assert_eq!(
            written(Protocol::Nchan),
            "POST /pub/a@trade HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n{\"p\":1}"
        );
    }
}
