//! The shards' ledgers as metrics, each term by its own name, told apart by the label `shard`.
//!
//! Read-only. Invariant: every term of a ledger is on the page (a new one does not compile until it is), and all
//! terms of a shard come from one reading, so promise 3 can be checked from one scrape.

use std::fmt;
use std::sync::Arc;

use super::page::Page;
use crate::shard::stats::{Ledger, Stats};
use crate::subscriber::close::CloseReason;

enum Kind {
    Counter,
    Gauge,
}

struct Term {
    kind: Kind,
    name: &'static str,
    help: &'static str,
    value: u64,
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Term {
    Term { kind: Kind::Counter, name, help, value }
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Term {
    Term { kind: Kind::Gauge, name, help, value }
}

pub(super) fn write(shards: &[Arc<Stats>], page: &mut Page<'_>) -> fmt::Result {
    let ledgers: Vec<Ledger> = shards.iter().map(|stats| stats.read()).collect();
    let terms: Vec<_> = ledgers.iter().map(terms).collect();
    let Some(first) = terms.first() else { return Ok(()) };
    for (place, term) in first.iter().enumerate() {
        let values = terms.iter().enumerate().map(|(shard, terms)| (shard, terms[place].value));
        match term.kind {
            Kind::Counter => page.counters(term.name, term.help, "shard", values)?,
            Kind::Gauge => page.gauges(term.name, term.help, "shard", values)?,
        }
    }
    let closed = ledgers.iter().enumerate().flat_map(|(shard, ledger)| {
        CloseReason::ALL.map(|reason| (shard, reason.label(), ledger.closed[reason.index()]))
    });
    let help = "Subscribers ended, by reason.";
    page.counters_by_two("tapecast_shard_closed_subscribers", help, ("shard", "reason"), closed)
}

/// Every term but `closed`, which has a label of its own.
#[rustfmt::skip]
fn terms(ledger: &Ledger) -> [Term; 25] {
    let Ledger {
        ordinal, seen, missed, lapped,
        matched, delivered, conflated, merged, dropped, withdrawn, abandoned, pending,
        subscribers, slow, subscriptions, cohorts,
        cycles, sends, sent_bytes, encoded, encoded_singly, requests, requests_refused,
        torn_bytes, queued_bytes, closed: _,
    } = *ledger;
    [
        gauge("tapecast_shard_ordinal", "Newest ordinal seen or known to be missed: seen + missed.", ordinal),
        counter("tapecast_shard_seen_records", "Records drained from the ring.", seen),
        counter("tapecast_shard_missed_records", "Records overwritten before they were drained.", missed),
        counter("tapecast_shard_lapped", "Times the publisher overtook the shard.", lapped),
        counter(
            "tapecast_shard_matched_records",
            "Records due to a subscriber: delivered + conflated + merged + dropped + withdrawn + abandoned + pending.",
            matched,
        ),
        counter("tapecast_shard_delivered_records", "Records whose last byte the kernel took.", delivered),
        counter("tapecast_shard_conflated_records", "Records replaced by a newer value before they were sent.", conflated),
        counter("tapecast_shard_merged_records", "Records sent as part of a merged one.", merged),
        counter("tapecast_shard_dropped_records", "Records dropped past a bound, and told.", dropped),
        counter("tapecast_shard_withdrawn_records", "Records that waited when their channel was unsubscribed.", withdrawn),
        counter("tapecast_shard_abandoned_records", "Records that waited when their subscriber ended.", abandoned),
        gauge("tapecast_shard_pending_records", "Records that wait now.", pending),
        gauge("tapecast_shard_subscribers", "Subscribers now.", subscribers),
        gauge("tapecast_shard_slow_subscribers", "Subscribers off the fast path now.", slow),
        gauge("tapecast_shard_subscriptions", "Channels now, summed over subscribers.", subscriptions),
        gauge("tapecast_shard_cohorts", "Cohorts now.", cohorts),
        counter("tapecast_shard_cycles", "Cycles that drained something.", cycles),
        counter("tapecast_shard_sends", "Calls of send.", sends),
        counter("tapecast_shard_sent_bytes", "Bytes that the kernel took.", sent_bytes),
        counter("tapecast_shard_encoded_frames", "Frames encoded on the fast path.", encoded),
        counter("tapecast_shard_singly_encoded_frames", "Frames encoded for one subscriber alone.", encoded_singly),
        counter("tapecast_shard_requests", "Requests of clients that were carried out.", requests),
        counter("tapecast_shard_refused_requests", "Requests of clients that were refused.", requests_refused),
        gauge("tapecast_shard_torn_bytes", "Bytes of torn frames' rests that wait now.", torn_bytes),
        gauge("tapecast_shard_queued_bytes", "Bytes for which queued records stand now.", queued_bytes),
    ]
}
