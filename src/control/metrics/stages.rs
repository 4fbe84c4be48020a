//! What ingest, the front and the ring tell of themselves, as metrics.
//!
//! Read-only. Invariant: counts are read Relaxed and each by itself; only the shards' ledgers are of one moment.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Sources;
use super::page::{Kind, Page};
use crate::clock::monotonic_ns;
use crate::ingest::RefusalCode;
use crate::{front, ingest};

// ORDERING: Relaxed: a count guards no other memory.
fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[rustfmt::skip]
pub(super) fn write_ingest(stats: &ingest::Stats, page: &mut Page<'_>) -> fmt::Result {
    for (name, help, count) in [
        ("tapecast_ingest_accepted_records", "Records published.", &stats.accepted),
        ("tapecast_ingest_accepted_bytes", "Bytes of published records' payloads.", &stats.accepted_bytes),
        ("tapecast_ingest_duplicate_records", "Records whose feed sequence was taken already.", &stats.duplicates),
        ("tapecast_ingest_late_records", "Records that came after the gap they would have filled was told.", &stats.late),
        ("tapecast_ingest_feed_gap_records", "Records that feeds skipped, by their own sequences.", &stats.feed_gaps),
        ("tapecast_ingest_disagreed_records", "Duplicates whose payload differed from the first.", &stats.disagreed),
        ("tapecast_ingest_unauthorized_connections", "Feed connections and requests refused for a wrong or missing token.", &stats.unauthorized),
        ("tapecast_ingest_refused_connections", "Feed connections refused because ingest.connections_max was reached.", &stats.connections_refused),
        ("tapecast_ingest_cut_off_connections", "Feed connections that ended inside a line or message; that part is dropped.", &stats.cut_off),
        ("tapecast_ingest_broken_connections", "Feed connections closed because they broke HTTP or the WebSocket's protocol.", &stats.broken),
        ("tapecast_ingest_bad_requests", "Feeds' HTTP requests refused whole: unknown path, wrong method, no sound handshake.", &stats.bad_requests),
        ("tapecast_ingest_expired_channels", "Channels that expired.", &stats.expired),
        ("tapecast_ingest_told_stale", "Times that a channel was told stale.", &stats.told_stale),
        ("tapecast_ingest_told_live", "Times that a stale channel was told live again.", &stats.told_live),
    ] {
        page.counter(name, help, read(count))?;
    }
    let refused = RefusalCode::ALL.map(|code| (code.as_str(), read(&stats.refused[code as usize])));
    page.family(Kind::Counter, "tapecast_ingest_refused_records", "Records refused, by code.", "code", refused)?;
    page.histogram(
        "tapecast_ingest_publish_seconds",
        "Time from reading a record's batch to publishing it.",
        &stats.publish.snapshot(),
    )?;
    page.gauge("tapecast_ingest_connections", "Feed connections now.", read(&stats.connections))?;
    page.gauge("tapecast_ingest_stale_channels", "Channels that are stale now.", read(&stats.stale_channels))?;
    page.gauge("tapecast_ingest_ordinal", "Newest ordinal published.", read(&stats.ordinal))
}

#[rustfmt::skip]
pub(super) fn write_front(stats: &front::Stats, page: &mut Page<'_>) -> fmt::Result {
    for (name, help, count) in [
        ("tapecast_front_accepted_connections", "Subscribers' connections accepted.", &stats.accepted),
        ("tapecast_front_upgraded_connections", "Connections handed to a shard, event streams included.", &stats.upgraded),
        ("tapecast_front_bad_handshakes", "Handshakes that broke RFC 6455 or asked for the impossible.", &stats.bad_handshakes),
        ("tapecast_front_bad_requests", "Connections that ended before a whole request, or were not HTTP.", &stats.bad_requests),
        ("tapecast_front_not_found_requests", "Subscribers' requests for a path that does not exist.", &stats.not_found),
        ("tapecast_front_accept_errors", "Calls of accept that failed, for want of file descriptors say.", &stats.accept_errors),
    ] {
        page.counter(name, help, read(count))?;
    }
    let refused = [
        ("total", read(&stats.refused_total)),
        ("address", read(&stats.refused_address)),
        ("descriptors", read(&stats.refused_descriptors)),
        ("busy", read(&stats.refused_busy)),
    ];
    page.family(
        Kind::Counter, "tapecast_front_refused_connections", "Subscribers' connections refused, by limit.", "limit", refused,
    )?;
    page.gauge("tapecast_front_streams", "Event streams now.", read(&stats.streams))?;
    page.gauge("tapecast_front_polls", "Polls that wait now.", read(&stats.polls))?;
    page.gauge("tapecast_front_connections", "Subscribers' connections now, those handed to a shard included.", read(&stats.connections))
}

pub(super) fn write_ring(sources: &Sources, page: &mut Page<'_>) -> fmt::Result {
    let history = sources.ring.oldest_ns().map_or(0, |oldest| monotonic_ns().saturating_sub(oldest));
    let seconds = history as f64 / 1e9;
    page.gauge("tapecast_ring_history_seconds", "How far the ring's history reaches back.", seconds)?;
    page.gauge("tapecast_ring_size_bytes", "Size of the ring.", sources.ring_bytes as u64)?;
    page.gauge("tapecast_channels", "Channels that exist.", sources.catalogue.len() as u64)
}
