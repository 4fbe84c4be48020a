//! The server's own account, read from `/metrics` at the end.
//!
//! The driver's thread. Must not trust a sum over shards: each shard's ledger has to add up. Invariant: what is told is one
//! scrape.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// What becomes of a record that a subscriber had to get.
const FATES: [&str; 7] = ["delivered", "conflated", "merged", "dropped", "withdrawn", "abandoned", "pending"];

/// One scrape.
pub(crate) struct Metrics(BTreeMap<String, u64>);

impl Metrics {
    /// Asks the admin listener.
    pub(crate) fn scrape(admin: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(admin)?;
        stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(Self::parse(&page))
    }

    fn parse(page: &str) -> Self {
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse::<f64>().ok()? as u64))
        };
        Self(page.lines().filter(|line| line.starts_with("tapecast_")).filter_map(sample).collect())
    }

    /// A term of each shard's ledger, without its prefix and `_total`; empty where there is none.
    pub(crate) fn shards(&self, term: &str) -> Vec<u64> {
        let of = |shard: usize| {
            let counter = format!("tapecast_shard_{term}_total{{shard=\"{shard}\"}}");
            let gauge = format!("tapecast_shard_{term}{{shard=\"{shard}\"}}");
            self.0.get(&counter).or_else(|| self.0.get(&gauge)).copied()
        };
        (0..).map_while(of).collect()
    }

    /// The same, summed up.
    pub(crate) fn shard(&self, term: &str) -> u64 {
        self.shards(term).iter().sum()
    }

    /// What does not add up, after `published` records.
    pub(crate) fn wrongs(&self, published: u64) -> Vec<String> {
        let mut wrongs = Vec::new();
        let mut demand = |what: String, left: u64, right: u64| {
            if left != right {
                wrongs.push(format!("ledger: {what}: {left} is not {right}"));
            }
        };
        let shards = self.shards("ordinal").len();
        let term = |term: &str, shard: usize| self.shards(term).get(shard).copied().unwrap_or(0);
        let accepted = self.0.get("tapecast_ingest_accepted_records_total").copied().unwrap_or(0);
        demand("accepted, published".to_owned(), accepted, published);
        demand("there are shards".to_owned(), u64::from(shards > 0), 1);
        for shard in 0..shards {
            let both = term("seen_records", shard) + term("missed_records", shard);
            demand(format!("shard {shard}: ordinal, seen + missed"), term("ordinal", shard), both);
            let fates = FATES.iter().map(|fate| term(&format!("{fate}_records"), shard)).sum();
            demand(format!("shard {shard}: matched, its fates"), term("matched_records", shard), fates);
            demand(format!("shard {shard}: ordinal, published"), term("ordinal", shard), published);
        }
        wrongs
    }

    /// The ledger in one line.
    pub(crate) fn line(&self) -> String {
        let fates = FATES.iter().map(|fate| format!("{fate} {}", self.shard(&format!("{fate}_records"))));
        format!(
            "matched {} = {}; missed {}, gaps {}, recovered {}, not {}",
            self.shard("matched_records"),
            fates.collect::<Vec<_>>().join(" + "),
            self.shard("missed_records"),
            self.shard("gaps"),
            self.shard("recovered_channels"),
            self.shard("unrecovered_channels"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(delivered: u64) -> String {
        let counters =
            [("seen_records", 7), ("missed_records", 3), ("matched_records", 20), ("dropped_records", 5)];
        let mut page =
            "tapecast_ingest_accepted_records_total 10\ntapecast_shard_ordinal{shard=\"0\"} 10\n".to_owned();
        for (name, value) in counters.into_iter().chain([("delivered_records", delivered)]) {
            page += &format!("tapecast_shard_{name}_total{{shard=\"0\"}} {value}\n");
        }
        page
    }

    #[test]
    fn a_ledger_that_adds_up_is_right_and_no_other() {
        assert_eq!(Metrics::parse(&page(15)).wrongs(10), Vec::<String>::new());
        assert_eq!(Metrics::parse(&page(14)).wrongs(10).len(), 1);
        assert_eq!(Metrics::parse(&page(15)).wrongs(11).len(), 2);
        assert!(!Metrics::parse("").wrongs(0).is_empty());
    }
}
