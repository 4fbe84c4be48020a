//! Every key that may be set: its name, its form and its default. The list of what a configuration may hold.
//!
//! Pure. It judges no value beyond its form: what values mean together is in `stages.rs`. Invariant: a key that is
//! not here is refused by name.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value;
use crate::channel::DeliveryRules;
use crate::shard::OnGap;

/// A configuration as it is written. The order is that of `--print-config`: what has no section, then a record's way.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    #[serde(deserialize_with = "value::whole")]
    pub(super) shards: usize,
    #[serde(with = "value::delivery")]
    pub(super) delivery: DeliveryRules,
    pub(super) ingest: Ingest,
    pub(super) feed: Feed,
    pub(super) channel: Channel,
    pub(super) ring: Ring,
    pub(super) shard: Shard,
    pub(super) subscribers: Subscribers,
    pub(super) limits: Limits,
    pub(super) outbox: Outbox,
    pub(super) resume: Resume,
    pub(super) dialect: Dialect,
    pub(super) heartbeat: Heartbeat,
    pub(super) socket: Socket,
    pub(super) admin: Admin,
    pub(super) shutdown: Shutdown,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            delivery: DeliveryRules::default(),
            ingest: Ingest::default(),
            feed: Feed::default(),
            channel: Channel::default(),
            ring: Ring::default(),
            shard: Shard::default(),
            subscribers: Subscribers::default(),
            limits: Limits::default(),
            outbox: Outbox::default(),
            resume: Resume::default(),
            dialect: Dialect::default(),
            heartbeat: Heartbeat::default(),
            socket: Socket::default(),
            admin: Admin::default(),
            shutdown: Shutdown::default(),
        }
    }
}

/// `[ingest]`: who connects to publish.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Ingest {
    #[serde(with = "value::address_or_none")]
    pub(super) listen: Option<SocketAddr>,
    #[serde(deserialize_with = "value::path")]
    pub(super) unix: Option<PathBuf>,
    #[serde(deserialize_with = "value::secret")]
    pub(super) token: Option<String>,
    #[serde(deserialize_with = "value::whole")]
    pub(super) payload_bytes_max: usize,
    #[serde(deserialize_with = "value::whole")]
    pub(super) connections_max: usize,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9002))),
            unix: None,
            token: None,
            payload_bytes_max: 1 << 20,
            connections_max: 256,
        }
    }
}

/// `[feed]`: when what a feed said is old.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Feed {
    #[serde(with = "value::time")]
    pub(super) stale_after: Duration,
    #[serde(with = "value::time")]
    pub(super) silence_after: Duration,
}

impl Default for Feed {
    fn default() -> Self {
        Self { stale_after: Duration::from_secs(10), silence_after: Duration::ZERO }
    }
}

/// `[channel]`: the life of a channel.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Channel {
    #[serde(with = "value::time")]
    pub(super) expire_after: Duration,
}

impl Default for Channel {
    fn default() -> Self {
        Self { expire_after: Duration::from_hours(7 * 24) }
    }
}

/// `[ring]`: the history that all shards read.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Ring {
    #[serde(deserialize_with = "value::whole")]
    pub(super) bytes: usize,
    #[serde(deserialize_with = "value::whole")]
    pub(super) channels_max: u32,
}

impl Default for Ring {
    fn default() -> Self {
        Self { bytes: 256 << 20, channels_max: 65_536 }
    }
}

/// `[shard]`: when a shard sends. How many there are is `shards`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Shard {
    #[serde(with = "value::time")]
    pub(super) coalesce: Duration,
}

impl Default for Shard {
    fn default() -> Self {
        Self { coalesce: Duration::ZERO }
    }
}

/// `[subscribers]`: who connects to read.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Subscribers {
    #[serde(deserialize_with = "value::address")]
    pub(super) listen: SocketAddr,
}

impl Default for Subscribers {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9001)) }
    }
}

/// `[limits]`: what subscribers may ask of the server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    #[serde(deserialize_with = "value::whole")]
    pub(super) connections: usize,
    #[serde(deserialize_with = "value::whole")]
    pub(super) connections_per_address: usize,
    #[serde(deserialize_with = "value::whole")]
    pub(super) handshakes: usize,
    #[serde(deserialize_with = "value::whole")]
    pub(super) head_bytes: usize,
    #[serde(with = "value::time")]
    pub(super) head_timeout: Duration,
    #[serde(with = "value::time")]
    pub(super) close_timeout: Duration,
    #[serde(deserialize_with = "value::whole")]
    pub(super) channels: u32,
    #[serde(deserialize_with = "value::whole")]
    pub(super) patterns: u32,
    #[serde(deserialize_with = "value::whole")]
    pub(super) pattern_channels: u32,
    #[serde(deserialize_with = "value::whole")]
    pub(super) message_bytes: usize,
    #[serde(deserialize_with = "value::whole")]
    pub(super) fragments: u32,
    #[serde(deserialize_with = "value::whole")]
    pub(super) messages_per_second: u32,
    #[serde(deserialize_with = "value::whole")]
    pub(super) messages_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 1024,
            handshakes: 256,
            head_bytes: 64 << 10,
            head_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            channels: 1024,
            patterns: 16,
            pattern_channels: 10_000,
            message_bytes: 64 << 10,
            fragments: 16,
            messages_per_second: 5,
            messages_burst: 50,
        }
    }
}

/// `[outbox]`: what may wait for subscribers that are slow.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Outbox {
    #[serde(deserialize_with = "value::whole")]
    pub(super) bytes_max: usize,
    #[serde(deserialize_with = "value::whole")]
    pub(super) torn_pool_bytes_max: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { bytes_max: 256 << 10, torn_pool_bytes_max: 64 << 20 }
    }
}

/// `[resume]`: what is sent again to who comes back.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Resume {
    #[serde(deserialize_with = "value::whole")]
    pub(super) records_max: usize,
}

impl Default for Resume {
    fn default() -> Self {
        Self { records_max: 10_000 }
    }
}

/// `[dialect]`: what exchanges' own clients get where the exchange has no word for it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Dialect {
    #[serde(with = "value::on_gap")]
    pub(super) on_gap: OnGap,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { on_gap: OnGap::Close }
    }
}

/// `[heartbeat]`: how dead connections are found.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Heartbeat {
    #[serde(with = "value::time")]
    pub(super) ping_every: Duration,
    #[serde(with = "value::time")]
    pub(super) pong_timeout: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { ping_every: Duration::from_secs(20), pong_timeout: Duration::from_secs(60) }
    }
}

/// `[socket]`: options of subscribers' sockets.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Socket {
    #[serde(deserialize_with = "value::whole")]
    pub(super) notsent_lowat_bytes: u32,
}

impl Default for Socket {
    fn default() -> Self {
        Self { notsent_lowat_bytes: 128 << 10 }
    }
}

/// `[admin]`: who looks after the server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Admin {
    #[serde(deserialize_with = "value::address")]
    pub(super) listen: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9003)) }
    }
}

/// `[shutdown]`: how the server ends.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Shutdown {
    #[serde(with = "value::time")]
    pub(super) drain: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain: Duration::from_secs(30) }
    }
}
