//! One page of metrics: counters, gauges and histograms, alone or by a label, over prometheus-client's encoder.
//!
//! Pure. It knows no stage. Invariant: each name is described once, with all its values behind it.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use crate::histogram::Bins;

/// How a value moves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// It only rises. The encoder appends `_total` to its name.
    Counter,
    /// It rises and falls.
    Gauge,
}

/// Bins that stand on the page by themselves: from a microsecond to a minute. What is below the first is told with it, what is
/// above the last is without a bound.
const BINS_TOLD: std::ops::RangeInclusive<usize> = 10..=36;

pub(super) struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl<'a> Page<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self { encoder }
    }

    /// A count that only rises. The encoder appends `_total` to its name.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// A value that rises and falls.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }

    /// Values told apart by a label.
    pub(super) fn family<L: EncodeLabelValue, V: EncodeCounterValue + EncodeGaugeValue>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let metric = match kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
        };
        let mut family = self.encoder.encode_descriptor(name, help, None, metric)?;
        for (of, value) in values {
            let labels = [(label, of)];
            let mut member = family.encode_family(&labels)?;
            match kind {
                Kind::Counter => member.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
                Kind::Gauge => member.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    /// Counts told apart by two labels.
    pub(super) fn counters_by_two<K: EncodeLabelValue, L: EncodeLabelValue>(
        &mut self,
        name: &str,
        help: &str,
        labels: (&str, &str),
        values: impl IntoIterator<Item = (K, L, u64)>,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (one, other, value) in values {
            let labels = ([(labels.0, one)], [(labels.1, other)]);
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    /// Times, in seconds.
    pub(super) fn histogram(&mut self, name: &str, help: &str, bins: &Bins) -> fmt::Result {
        let metric = self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        write_bins(metric, bins)
    }

    /// Times, in seconds, told apart by a label.
    pub(super) fn histograms<L: EncodeLabelValue>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, Bins)>,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (of, bins) in values {
            write_bins(family.encode_family(&[(label, of)])?, &bins)?;
        }
        Ok(())
    }
}

fn write_bins(mut metric: MetricEncoder<'_>, bins: &Bins) -> fmt::Result {
    let counts = bins.counts();
    let (first, last) = (*BINS_TOLD.start(), *BINS_TOLD.end());
    let told = BINS_TOLD.map(|bin| {
        let count = if bin == first { counts[..=bin].iter().sum() } else { counts[bin] };
        (Bins::bound_ns(bin).map_or(f64::INFINITY, in_seconds), count)
    });
    let beyond = (f64::INFINITY, counts[last + 1..].iter().sum());
    let buckets: Vec<(f64, u64)> = told.chain([beyond]).collect();
    metric.encode_histogram::<NoLabelSet>(in_seconds(bins.sum_ns()), bins.count(), &buckets, None)
}

fn in_seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;

    #[derive(Debug)]
    struct Times(Arc<Bins>);

    impl Collector for Times {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
            Page::new(encoder).histogram("times_seconds", "Times.", &self.0)
        }
    }

    #[test]
    fn a_histogram_tells_each_time_below_each_bound_that_holds_it() {
        let mut bins = Bins::default();
        for (ns, count) in [(3, 1), (1 << 10, 1), ((1 << 10) + 1, 2), (1 << 36, 4), (u64::MAX >> 1, 8)] {
            bins.add(ns, count);
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Times(Arc::new(bins))));
        let mut page = String::new();
        text::encode(&mut page, &registry).unwrap();
        for line in [
            "# TYPE times_seconds histogram",
            "times_seconds_count 16",
            "times_seconds_bucket{le=\"0.000001024\"} 2",
            "times_seconds_bucket{le=\"0.000002048\"} 4",
            "times_seconds_bucket{le=\"34.359738368\"} 4",
            "times_seconds_bucket{le=\"68.719476736\"} 8",
            "times_seconds_bucket{le=\"+Inf\"} 16",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not on\n{page}");
        }
    }
}
