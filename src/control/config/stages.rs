//! From what is written to what each stage must know: one function a stage, each with its checks.
//!
//! Pure. It reads no file and opens no socket. Invariant: options that leave here without a problem fit together, so
//! that what fails later is the system's answer, never the configuration.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::problem::Checks;
use super::sections::Written;
use crate::record::Head;
use crate::{front, ingest, ring, shard};

/// Shards beyond this are a slip of the keyboard: each is a thread.
const SHARDS_MAX: usize = 1024;

/// Letters that may wait in a shard's mailbox: connections handed over between two of its cycles.
const MAILBOX_LETTERS_MAX: usize = 1024;

/// How often the largest payload must fit into the ring.
const PAYLOADS_IN_RING_MIN: usize = 64;

/// A ring below this holds no market; one above it is a slip of the keyboard.
const RING_BYTES: RangeInclusive<usize> = 1 << 16..=1 << 37;

/// Channels beyond this are a slip of the keyboard: each has a place in tables that are taken at the start.
const CHANNELS_MAX: u32 = 1 << 24;

/// A request's head: hyper reads with a buffer of 8 KiB at least, and a megabyte of names is no request any more.
const HEAD_BYTES: RangeInclusive<usize> = 8 << 10..=1 << 20;

/// Records sent again to who comes back: places along them are kept for each of its channels, one in 256 records.
const RESUME_RECORDS_MAX: usize = 1_000_000;

/// Records wait this long at most to be sent together; a market watched from further away chooses a rate.
const COALESCE_MAX: Duration = Duration::from_millis(100);

/// A server that ends for longer than this seems not to end.
const DRAIN_MAX: Duration = Duration::from_hours(1);

/// Times are told apart by the millisecond; 0 says that something never happens.
const SHORTEST: Duration = Duration::from_millis(1);

/// Longest path of a Unix socket: `sun_path` less its final zero.
const UNIX_PATH_BYTES_MAX: usize = 107;

pub(super) fn ring(written: &Written, checks: &mut Checks) -> ring::Options {
    let (bytes, channels_max) = (written.ring.bytes, written.ring.channels_max);
    let possible = bytes.is_power_of_two() && RING_BYTES.contains(&bytes);
    checks.require(possible, "ring.bytes", || {
        let (least, most) = (*RING_BYTES.start(), *RING_BYTES.end());
        let near = bytes.clamp(least, most).next_power_of_two();
        format!("{bytes} cannot be; the ring is a power of two from {least} to {most} bytes; write {near}")
    });
    checks.require((1..=CHANNELS_MAX).contains(&channels_max), "ring.channels_max", || {
        format!("{channels_max} channels cannot be; write 1 to {CHANNELS_MAX}")
    });
    payload_fits(written, checks);
    ring::Options {
        bytes,
        channels_max,
        body_bytes_max: Head::BYTES.saturating_add(written.ingest.payload_bytes_max),
        readers: written.shards,
    }
}

fn payload_fits(written: &Written, checks: &mut Checks) {
    let (payload, ring) = (written.ingest.payload_bytes_max, written.ring.bytes);
    let key = checks.blame("ingest.payload_bytes_max", "ring.bytes");
    let most = ring / PAYLOADS_IN_RING_MIN;
    checks.require(payload <= most, key, || {
        let least = payload.saturating_mul(PAYLOADS_IN_RING_MIN).checked_next_power_of_two();
        let larger = least.filter(|least| RING_BYTES.contains(least));
        let larger = larger.map_or_else(String::new, |least| format!(", or ring.bytes of at least {least}"));
        format!(
            "a payload of {payload} bytes must fit {PAYLOADS_IN_RING_MIN} times into the ring of {ring} bytes; \
             write ingest.payload_bytes_max of at most {most}{larger}"
        )
    });
}

pub(super) fn ingest(written: &Written, checks: &mut Checks) -> ingest::Options {
    let section = &written.ingest;
    above_zero(checks, "ingest.payload_bytes_max", section.payload_bytes_max);
    checks.require(section.listen.is_some() || section.unix.is_some(), "ingest.listen", || {
        r#"no feed could come in: with "none" here, write ingest.unix too"#.to_owned()
    });
    if let Some(path) = &section.unix {
        let bytes = path.as_os_str().len();
        checks.require((1..=UNIX_PATH_BYTES_MAX).contains(&bytes), "ingest.unix", || {
            format!("the path has {bytes} bytes; a Unix socket's path has 1 to {UNIX_PATH_BYTES_MAX}")
        });
    }
    if let Some(token) = &section.token {
        let printable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        checks.require(printable, "ingest.token", || {
            "a token is printable ASCII without spaces, and not empty; leave the key out for no token"
                .to_owned()
        });
    }
    zero_or_some_time(checks, "channel.expire_after", written.channel.expire_after);
    zero_or_some_time(checks, "feed.stale_after", written.feed.stale_after);
    zero_or_some_time(checks, "feed.silence_after", written.feed.silence_after);
    ingest::Options {
        listen: section.listen,
        unix: section.unix.clone(),
        token: section.token.clone(),
        payload_bytes_max: section.payload_bytes_max,
        connections_max: section.connections_max,
        channels_max: written.ring.channels_max,
        expire_after: written.channel.expire_after,
        stale_after: written.feed.stale_after,
        silence_after: written.feed.silence_after,
    }
}

pub(super) fn shard(written: &Written, checks: &mut Checks) -> shard::Options {
    let (limits, outbox) = (&written.limits, &written.outbox);
    bounds_memory(checks, "limits.message_bytes", limits.message_bytes);
    bounds_memory(checks, "outbox.bytes_max", outbox.bytes_max);
    some_time(checks, "limits.close_timeout", limits.close_timeout);
    above_zero(checks, "socket.notsent_lowat_bytes", written.socket.notsent_lowat_bytes as usize);
    torn_pool_fits(written, checks);
    heartbeat(written, checks);
    resume_is_bounded(written, checks);
    window_is_short(written, checks);
    shard::Options {
        channels_max: unlimited_if_zero(limits.channels) as usize,
        patterns_max: unlimited_if_zero(limits.patterns) as usize,
        pattern_channels_max: unlimited_if_zero(limits.pattern_channels) as usize,
        resume_records_max: written.resume.records_max,
        on_gap: written.dialect.on_gap,
        outbox_bytes_max: outbox.bytes_max,
        torn_pool_bytes_max: outbox.torn_pool_bytes_max,
        message_bytes_max: limits.message_bytes,
        fragments_max: unlimited_if_zero(limits.fragments) as usize,
        messages_per_second: unlimited_if_zero(limits.messages_per_second),
        // Without a limit on the rate, one on the burst would still be one.
        messages_burst: unlimited_if_zero(if limits.messages_per_second == 0 {
            0
        } else {
            limits.messages_burst
        }),
        ping_every: written.heartbeat.ping_every,
        pong_timeout: written.heartbeat.pong_timeout,
        close_timeout: limits.close_timeout,
        notsent_lowat_bytes: written.socket.notsent_lowat_bytes,
        coalesce: written.shard.coalesce,
        mailbox_letters_max: MAILBOX_LETTERS_MAX,
    }
}

fn torn_pool_fits(written: &Written, checks: &mut Checks) {
    let (pool, payload) = (written.outbox.torn_pool_bytes_max, written.ingest.payload_bytes_max);
    let key = checks.blame("outbox.torn_pool_bytes_max", "ingest.payload_bytes_max");
    checks.require(pool >= payload, key, || {
        format!(
            "the pool of {pool} bytes for cut frames cannot hold one payload of {payload} bytes; write \
             outbox.torn_pool_bytes_max of at least {payload}, or a smaller ingest.payload_bytes_max"
        )
    });
}

fn resume_is_bounded(written: &Written, checks: &mut Checks) {
    let records_max = written.resume.records_max;
    checks.require(records_max <= RESUME_RECORDS_MAX, "resume.records_max", || {
        format!(
            "{records_max} records are more than can be sent again; write a number from 0 (each resume begins anew) to \
             {RESUME_RECORDS_MAX}"
        )
    });
}

fn window_is_short(written: &Written, checks: &mut Checks) {
    let window = written.shard.coalesce;
    let is_whole = window.subsec_nanos().is_multiple_of(1_000_000);
    checks.require(is_whole && window <= COALESCE_MAX, "shard.coalesce", || {
        let (window, most) = (humantime::format_duration(window), humantime::format_duration(COALESCE_MAX));
        format!("{window} cannot be waited; write whole milliseconds from 0s (each record is sent at once) to {most}")
    });
}

fn heartbeat(written: &Written, checks: &mut Checks) {
    let (ping, pong) = (written.heartbeat.ping_every, written.heartbeat.pong_timeout);
    some_time(checks, "heartbeat.ping_every", ping);
    let key = checks.blame("heartbeat.pong_timeout", "heartbeat.ping_every");
    checks.require(pong > ping, key, || {
        let (ping, pong) = (humantime::format_duration(ping), humantime::format_duration(pong));
        format!(
            "a pong time-out of {pong} would cut subscribers that were not pinged yet (every {ping}); write \
             heartbeat.pong_timeout longer than heartbeat.ping_every, best three times as long"
        )
    });
}

pub(super) fn front(written: &Written, checks: &mut Checks) -> front::Options {
    let limits = &written.limits;
    bounds_memory(checks, "limits.handshakes", limits.handshakes);
    checks.require(HEAD_BYTES.contains(&limits.head_bytes), "limits.head_bytes", || {
        let (least, most) = (HEAD_BYTES.start(), HEAD_BYTES.end());
        format!("{} cannot be; write a number from {least} to {most}", limits.head_bytes)
    });
    some_time(checks, "limits.head_timeout", limits.head_timeout);
    front::Options {
        listen: written.subscribers.listen,
        connections_max: limits.connections,
        connections_per_address_max: limits.connections_per_address,
        handshakes_max: limits.handshakes,
        head_bytes_max: limits.head_bytes,
        head_timeout: limits.head_timeout,
        channels_max: unlimited_if_zero(limits.channels) as usize,
        patterns_max: unlimited_if_zero(limits.patterns) as usize,
        pattern_channels_max: unlimited_if_zero(limits.pattern_channels) as usize,
        resume_records_max: written.resume.records_max,
        notsent_lowat_bytes: written.socket.notsent_lowat_bytes,
    }
}

pub(super) fn shards(written: &Written, checks: &mut Checks) -> usize {
    let shards = written.shards;
    checks.require((1..=SHARDS_MAX).contains(&shards), "shards", || {
        format!("{shards} shards cannot be; write 1 to {SHARDS_MAX}, best the number of cores")
    });
    shards
}

pub(super) fn drain(written: &Written, checks: &mut Checks) -> Duration {
    let drain = written.shutdown.drain;
    checks.require(drain <= DRAIN_MAX, "shutdown.drain", || {
        let (drain, most) = (humantime::format_duration(drain), humantime::format_duration(DRAIN_MAX));
        format!(
            "an end that takes {drain} cannot be; write a time from 0s (all are closed at once) to {most}"
        )
    });
    drain
}

/// Feeds, subscribers and the operator each have a listener of their own.
pub(super) fn listeners_differ(written: &Written, checks: &mut Checks) {
    let subscribers = ("subscribers.listen", Some(written.subscribers.listen));
    let ingest = ("ingest.listen", written.ingest.listen);
    let admin = ("admin.listen", Some(written.admin.listen));
    for ((one, at), (other, there)) in [(subscribers, ingest), (subscribers, admin), (ingest, admin)] {
        let (Some(at), Some(there)) = (at, there) else { continue };
        let key = checks.blame(other, one);
        checks.require(!collide(at, there), key, || {
            format!(
                "{one} = {at} and {other} = {there} want the same port; write another port for one of them"
            )
        });
    }
}

fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let meet = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && meet
}

/// 0 is "no limit" where a limit counts things.
fn unlimited_if_zero(limit: u32) -> u32 {
    if limit == 0 { u32::MAX } else { limit }
}

/// Limits that memory is reserved by: "no limit" would be a promise that the server cannot keep.
fn bounds_memory(checks: &mut Checks, key: &str, value: usize) {
    checks.require(value > 0, key, || {
        "0 would leave memory without a bound; write a number above 0".to_owned()
    });
}

fn above_zero(checks: &mut Checks, key: &str, value: usize) {
    checks.require(value > 0, key, || "0 cannot be; write a number above 0".to_owned());
}

fn some_time(checks: &mut Checks, key: &str, time: Duration) {
    checks.require(time >= SHORTEST, key, || {
        format!("{} is below a millisecond; write a time as \"10s\"", humantime::format_duration(time))
    });
}

fn zero_or_some_time(checks: &mut Checks, key: &str, time: Duration) {
    checks.require(time.is_zero() || time >= SHORTEST, key, || {
        format!(
            "{} is below a millisecond; write a time as \"10s\", or \"0s\" for never",
            humantime::format_duration(time)
        )
    });
}
