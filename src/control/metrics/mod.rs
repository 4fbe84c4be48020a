//! The text of `/metrics`: what each stage counts, read at the moment of the scrape.
//!
//! The admin listener's thread, which only reads what others publish. It counts nothing itself. Invariant: a shard's
//! terms come from one reading of its ledger, so that they add up within one scrape.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::channel::Catalogue;
use crate::{front, ingest, ring, shard};

mod page;
mod process;
mod shards;
mod stages;

use page::{Kind, Page};

/// What a scrape reads.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Each shard's published ledger, by the shard's number.
    pub shards: Vec<Arc<shard::stats::Stats>>,
    /// What ingest counts.
    pub ingest: Arc<ingest::Stats>,
    /// What the front counts.
    pub front: Arc<front::Stats>,
    /// For how far history reaches back.
    pub ring: Arc<ring::Ring>,
    /// The ring's size, in bytes.
    pub ring_bytes: usize,
    /// For how many channels exist.
    pub catalogue: Arc<Catalogue>,
    /// Whether all parts serve: false while starting and draining.
    pub ready: Arc<AtomicBool>,
}

/// The page that a scrape gets.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// What [`Metrics::text`] gives, as an HTTP content type (OpenMetrics, which Prometheus reads).
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// A page over these sources; the process counts as started now.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Everything { sources, started: SystemTime::now() }));
        Self { registry }
    }

    /// The page as of now.
    ///
    /// # Errors
    /// When the encoder refuses, which is a fault of ours.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct Everything {
    sources: Sources,
    started: SystemTime,
}

impl Collector for Everything {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        let ledgers: Vec<_> = self.sources.shards.iter().map(|stats| stats.read()).collect();
        shards::write(&ledgers, &mut page)?;
        shards::write_latencies(&self.sources.shards, &mut page)?;
        stages::write_ingest(&self.sources.ingest, &mut page)?;
        stages::write_front(&self.sources.front, &mut page)?;
        stages::write_ring(&self.sources, &mut page)?;
        self.write_process(&mut page)
    }
}

impl Everything {
    fn write_process(&self, page: &mut Page<'_>) -> fmt::Result {
        let started = self.started.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        page.gauge(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
            started,
        )?;
        process::write(page)?;
        // ORDERING: Relaxed: the flag guards no other memory.
        let ready = u64::from(self.sources.ready.load(Ordering::Relaxed));
        page.gauge("tapecast_ready", "1 while all parts serve, 0 while the server starts or drains.", ready)?;
        let version = [(env!("CARGO_PKG_VERSION"), 1_u64)];
        page.family(
            Kind::Gauge,
            "tapecast_build_info",
            "1; which version this is says the label.",
            "version",
            version,
        )
    }
}
