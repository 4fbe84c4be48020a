//! The shards' ledgers as metrics, each term by its own name, told apart by the label `shard`.
//!
//! Read-only. Invariant: every term of a ledger is on the page (a new one does not compile until it is), and all
//! terms of a shard come from one reading, so promise 3 can be checked from one scrape.

use std::fmt;
use std::sync::Arc;

use super::page::{Kind, Page};
use crate::shard::stats::{Ledger, Stats};
use crate::subscriber::close::CloseReason;

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

/// `ledgers`: one reading of each shard's, by the shard's number.
pub(super) fn write(ledgers: &[Ledger], page: &mut Page<'_>) -> fmt::Result {
    let terms: Vec<_> = ledgers.iter().map(terms).collect();
    let Some(first) = terms.first() else { return Ok(()) };
    for (place, term) in first.iter().enumerate() {
        let values = terms.iter().enumerate().map(|(shard, terms)| (shard, terms[place].value));
        page.family(term.kind, term.name, term.help, "shard", values)?;
    }
    let closed = ledgers.iter().enumerate().flat_map(|(shard, ledger)| {
        CloseReason::ALL.map(|reason| (shard, reason.label(), ledger.closed[reason.index()]))
    });
    let help = "Subscribers ended, by reason.";
    page.counters_by_two("tapecast_shard_closed_subscribers", help, ("shard", "reason"), closed)
}

/// How long records took on their way, told apart by the label `shard`.
pub(super) fn write_latencies(shards: &[Arc<Stats>], page: &mut Page<'_>) -> fmt::Result {
    let drain = shards.iter().map(|stats| stats.drain.snapshot()).enumerate();
    let help = "Age of a record, from its batch's reading at ingest to the shard's drain.";
    page.histograms("tapecast_shard_drain_seconds", help, "shard", drain)?;
    let send = shards.iter().map(|stats| stats.send.snapshot()).enumerate();
    let help = "Time from a drain to the end of its sends, once for each delivery of the fast path.";
    page.histograms("tapecast_shard_send_seconds", help, "shard", send)
}

/// Every term but `closed`, which has a label of its own.
#[rustfmt::skip]
fn terms(ledger: &Ledger) -> [Term; 29] {
    let Ledger {
        ordinal, seen, missed, lapped,
        matched, delivered, conflated, merged, dropped, withdrawn, abandoned, pending,
        subscribers, slow, rated, subscriptions, cohorts,
        cycles, sends, sent_bytes, encoded, encoded_singly,
        gaps, recovered, unrecovered, requests, requests_refused,
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
        counter("tapecast_shard_dropped_records", "Records dropped past a bound, each told to its subscriber.", dropped),
        counter("tapecast_shard_withdrawn_records", "Records that waited when their channel was unsubscribed.", withdrawn),
        counter("tapecast_shard_abandoned_records", "Records that waited when their subscriber ended.", abandoned),
        gauge("tapecast_shard_pending_records", "Records that wait now.", pending),
        gauge("tapecast_shard_subscribers", "Subscribers now.", subscribers),
        gauge("tapecast_shard_slow_subscribers", "Subscribers off the fast path now: those who cannot keep up, who just came, and all with a chosen rate.", slow),
        gauge("tapecast_shard_rated_subscribers", "Subscribers with a chosen rate now.", rated),
        gauge("tapecast_shard_subscriptions", "Subscriptions now: channels, summed over subscribers.", subscriptions),
        gauge("tapecast_shard_cohorts", "Cohorts now: sets of subscribers with the same channels.", cohorts),
        counter("tapecast_shard_cycles", "Cycles that drained something.", cycles),
        counter("tapecast_shard_sends", "Calls of send.", sends),
        counter("tapecast_shard_sent_bytes", "Bytes that the kernel took.", sent_bytes),
        counter("tapecast_shard_encoded_frames", "Frames encoded on the fast path.", encoded),
        counter("tapecast_shard_singly_encoded_frames", "Frames encoded for one subscriber alone.", encoded_singly),
        counter("tapecast_shard_gaps", "Gaps told to subscribers.", gaps),
        counter("tapecast_shard_recovered_channels", "Channels resumed with all that was missed.", recovered),
        counter("tapecast_shard_unrecovered_channels", "Channels to be resumed that began anew with a snapshot.", unrecovered),
        counter("tapecast_shard_requests", "Requests of clients that were carried out.", requests),
        counter("tapecast_shard_refused_requests", "Requests of clients that were refused.", requests_refused),
        gauge("tapecast_shard_torn_bytes", "Bytes of torn frames' rests that wait now.", torn_bytes),
        gauge("tapecast_shard_queued_bytes", "Bytes for which queued records stand now.", queued_bytes),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::{DescriptorEncoder, text};
    use prometheus_client::registry::Registry;

    use super::*;

    #[derive(Debug)]
    struct Two(Ledger);

    impl Collector for Two {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
            write(&[Ledger::default(), self.0], &mut Page::new(encoder))
        }
    }

    fn scrape(ledger: Ledger) -> HashMap<String, u64> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Two(ledger)));
        let mut page = String::new();
        text::encode(&mut page, &registry).unwrap();
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let sample =
            |line: &str| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
        samples.filter_map(sample).collect()
    }

    #[test]
    fn a_shards_terms_add_up_within_one_scrape() {
        let waiting =
            Ledger { delivered: 1, conflated: 2, merged: 4, dropped: 8, withdrawn: 16, ..Ledger::default() };
        let ledger = Ledger {
            ordinal: 1100,
            seen: 1000,
            missed: 100,
            matched: 127,
            abandoned: 32,
            pending: 64,
            ..waiting
        };
        let page = scrape(ledger);
        let of = |term: &str| page[&format!("tapecast_shard_{term}{{shard=\"1\"}}")];
        assert_eq!(of("ordinal"), of("seen_records_total") + of("missed_records_total"));
        let ends = ["delivered", "conflated", "merged", "dropped", "withdrawn", "abandoned"];
        let ended: u64 = ends.iter().map(|end| of(&format!("{end}_records_total"))).sum();
        assert_eq!((of("matched_records_total"), ended), (127, 63));
        assert_eq!(of("pending_records"), 64);
        assert_eq!(page["tapecast_shard_seen_records_total{shard=\"0\"}"], 0);
    }

    #[test]
    fn every_reason_to_close_has_its_count() {
        let mut ledger = Ledger::default();
        for (place, count) in ledger.closed.iter_mut().enumerate() {
            *count = 100 + place as u64;
        }
        let page = scrape(ledger);
        for reason in CloseReason::ALL {
            let name = format!(
                "tapecast_shard_closed_subscribers_total{{shard=\"1\",reason=\"{}\"}}",
                reason.label()
            );
            assert_eq!(page[&name], 100 + reason.index() as u64, "{name}");
        }
    }
}
