//! How channels of each kind are delivered, and what becomes of a subscriber that cannot keep up with one.
//!
//! Values; any thread. Invariant: every kind has one rule, whatever rules were written.

/// What a subscriber that cannot keep up gets of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Only the newest record matters: older waiting ones are conflated.
    Latest,
    /// Each record is an event: none may be left out silently.
    Every,
    /// Waiting records are sent as one, or a few, that hold what all of them said.
    Merge(Merge),
}

impl Delivery {
    /// Whether waiting records may become fewer: what a chosen rate needs.
    #[must_use]
    pub fn is_conflatable(self) -> bool {
        self != Self::Every
    }
}

/// How waiting records are made fewer without losing what they said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Merge {
    /// Binance's diff depth: the union of the levels, `U` (and `pu`) of the first, `u` of the last.
    BinanceDepth,
    /// Binance's whole-market arrays: each symbol's newest element.
    BinanceArray,
    /// Binance's klines: each closed bar, and the newest record.
    BinanceKline,
}

/// What becomes of a subscriber whose queue of `every` records outgrew its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnSlow {
    /// The oldest are dropped, and it is told which.
    Gap,
    /// It is closed.
    Close,
}

/// How channels of a kind are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// What may be left out.
    pub delivery: Delivery,
    /// And where nothing may, what happens past the bound.
    pub on_slow: OnSlow,
}

impl Rule {
    /// A rule that tells gaps.
    #[must_use]
    pub const fn new(delivery: Delivery) -> Self {
        Self { delivery, on_slow: OnSlow::Gap }
    }
}

/// Which kinds are delivered how; the first rule that matches wins, no rule means [`Delivery::Every`].
///
/// `latest` for klines and for whole-market arrays is a merge: the newest alone would lose what older ones said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRules(Vec<(Box<str>, Rule)>);

impl Default for DeliveryRules {
    /// `latest` for states (`ticker*`, `miniTicker`, `bookTicker`, `avgPrice`, `depth<N>`, `orderbook`), `every` for events.
    fn default() -> Self {
        let latest = ["ticker*", "miniTicker", "bookTicker", "avgPrice", "depth#", "orderbook"];
        Self(latest.iter().map(|kind| ((*kind).into(), Rule::new(Delivery::Latest))).collect())
    }
}

impl DeliveryRules {
    /// Rules in order. A `*` at the end of a kind stands for any run of characters, a `#` there for digits.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = (Box<str>, Rule)>) -> Self {
        Self(rules.into_iter().collect())
    }

    /// One delivery for all kinds.
    #[must_use]
    pub fn all(delivery: Delivery) -> Self {
        Self::new([("*".into(), Rule::new(delivery))])
    }

    /// The rules as they were written, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Rule)> {
        self.0.iter().map(|(kind, rule)| (kind.as_ref(), *rule))
    }

    /// How channels of this kind are delivered. An update speed behind a further `@` is ignored.
    #[must_use]
    pub fn rule(&self, kind: &str) -> Rule {
        let kind = kind.split('@').next().unwrap_or(kind);
        let rule = self.0.iter().find(|(pattern, _)| kind_matches(pattern, kind));
        let rule = rule.map_or(Rule::new(Delivery::Every), |(_, rule)| *rule);
        match (rule.delivery, newest_needs(kind)) {
            (Delivery::Latest, Some(merge)) => Rule { delivery: Delivery::Merge(merge), ..rule },
            _ => rule,
        }
    }
}

/// What `latest` means for a kind whose newest record does not say all: a closed bar is never replaced by the next bar's first
/// update, nor an array of what changed by another one. Futures have kinds as `continuousKline_1m`.
fn newest_needs(kind: &str) -> Option<Merge> {
    let is_kline =
        kind.starts_with("kline") || kind.split('_').next().is_some_and(|stem| stem.ends_with("Kline"));
    if is_kline {
        return Some(Merge::BinanceKline);
    }
    (kind == "arr").then_some(Merge::BinanceArray)
}

fn kind_matches(pattern: &str, kind: &str) -> bool {
    if let Some(prefix) = pattern.strip_suffix('*') {
        return kind.starts_with(prefix);
    }
    if let Some(prefix) = pattern.strip_suffix('#') {
        let digits = kind.strip_prefix(prefix).unwrap_or("");
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    }
    pattern == kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_deliveries_are_the_wire_documents() {
        let rules = DeliveryRules::default();
        for kind in [
            "trade",
            "aggTrade",
            "blockTrade",
            "depth",
            "depth@100ms",
            "kline_1m",
            "continuousKline_1m",
            "candle.1s",
            "arr",
            "arr@1s",
            "other",
        ] {
            assert_eq!(rules.rule(kind).delivery, Delivery::Every, "{kind}");
        }
        for kind in [
            "ticker",
            "ticker_1h",
            "miniTicker",
            "bookTicker",
            "avgPrice",
            "depth5",
            "depth20@100ms",
            "orderbook",
        ] {
            assert_eq!(rules.rule(kind).delivery, Delivery::Latest, "{kind}");
        }
    }

    #[test]
    fn first_matching_rule_wins() {
        let rules = DeliveryRules::new([
            ("tra*".into(), Rule::new(Delivery::Latest)),
            ("trade".into(), Rule::new(Delivery::Every)),
        ]);
        assert_eq!(rules.rule("trade").delivery, Delivery::Latest);
        assert_eq!(DeliveryRules::all(Delivery::Every).rule("ticker").delivery, Delivery::Every);
    }

    #[test]
    fn latest_loses_no_closed_bar_and_no_symbol() {
        let (klines, arrays) = (Delivery::Merge(Merge::BinanceKline), Delivery::Merge(Merge::BinanceArray));
        let closing = Rule { delivery: Delivery::Latest, on_slow: OnSlow::Close };
        for kind in ["kline_1m", "kline_1m@+08:00", "kline", "continuousKline_1d", "markPriceKline_5m"] {
            let pattern = kind.split('@').next().unwrap().into();
            let own = DeliveryRules::new([(pattern, closing)]).rule(kind);
            assert_eq!(own, Rule { delivery: klines, on_slow: OnSlow::Close }, "{kind}");
            assert_eq!(DeliveryRules::all(Delivery::Latest).rule(kind).delivery, klines, "{kind}");
            assert_eq!(DeliveryRules::all(Delivery::Every).rule(kind).delivery, Delivery::Every, "{kind}");
            assert_eq!(DeliveryRules::all(arrays).rule(kind).delivery, arrays, "what is written is so");
        }
        assert_eq!(DeliveryRules::all(Delivery::Latest).rule("arr@1s").delivery, arrays);
        for kind in ["ticker", "candle.1s", "array", "markPrice", "trade"] {
            assert_eq!(DeliveryRules::all(Delivery::Latest).rule(kind).delivery, Delivery::Latest, "{kind}");
        }
    }
}
