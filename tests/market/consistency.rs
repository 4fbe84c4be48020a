//! Markets of many sizes and rates, each read event by event, with stretches of time skipped in between.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde_json::Value;
use tapecast::feed::market::{Event, Market, Options};

use crate::reader::Reader;

const START_US: u64 = 1_723_161_254_000_000;
const SECOND_US: u64 = 1_000_000;

/// Reads all events up to a time; gives how often each check was made.
fn read(market: &mut Market, until_us: u64, readers: &mut HashMap<String, Reader>) {
    let mut told_us = 0;
    while let Some(Event { due_us, channel, payload }) = market.next(until_us) {
        assert!(told_us <= due_us, "times go back at {channel}");
        told_us = due_us;
        assert!(
            tapecast::channel::validate(&channel).is_ok() && !payload.contains('\n'),
            "{channel} {payload}"
        );
        let event: Value = serde_json::from_str(&payload).unwrap();
        let (symbol, kind) = channel.split_once('@').unwrap();
        assert!(
            event["s"].is_null() || event["s"].as_str().unwrap().to_lowercase() == symbol,
            "{channel} {payload}"
        );
        readers.entry(symbol.to_owned()).or_default().read(kind, &event);
    }
}

fn checks(readers: HashMap<String, Reader>) -> BTreeMap<&'static str, usize> {
    let mut all = BTreeMap::new();
    for (what, count) in readers.into_values().flat_map(|reader| reader.checked) {
        *all.entry(what).or_default() += count;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn events_agree_with_each_other(seed: u64, symbols in 1..30_usize, seconds in 20..150_u64, skipped in 0..70_u64) {
        // As many messages whatever the time, so that minutes end in some and much happens in others.
        let rate = (4000 / seconds) as u32;
        let mut market = Market::new(&Options { symbols, rate, seed }, START_US);
        let mut readers = HashMap::new();
        market.introduce(START_US);
        let skip_us = START_US + seconds * SECOND_US / 2;
        read(&mut market, skip_us, &mut readers);
        let resume_us = skip_us + skipped * SECOND_US;
        market.skip(resume_us);
        market.introduce(resume_us);
        read(&mut market, START_US + (seconds + skipped) * SECOND_US, &mut readers);
        prop_assert_eq!(readers.len(), symbols, "each was introduced");
    }
}

/// What the property holds is looked at, and not passed over.
#[test]
fn each_check_is_made_often() {
    let mut market = Market::new(&Options { symbols: 3, rate: 60, seed: 11 }, START_US);
    let mut readers = HashMap::new();
    market.introduce(START_US);
    read(&mut market, START_US + 100 * SECOND_US, &mut readers);
    let checks = checks(readers);
    for (what, least) in [
        ("best prices are the book's", 800),
        ("diffs chain", 800),
        ("klines close", 3),
        ("partial books are the diffs'", 150),
        ("tickers sum trades up", 150),
        ("trades are at best prices", 600),
        ("trades take from what waits", 250),
    ] {
        assert!(checks[what] >= least, "seed 11: {what}: {} times", checks[what]);
    }
}

#[test]
fn a_seed_gives_the_same_market_again() {
    let events = |seed| {
        let mut market = Market::new(&Options { symbols: 20, rate: 500, seed }, START_US);
        market.introduce(START_US);
        std::iter::from_fn(|| market.next(START_US + 5 * SECOND_US)).collect::<Vec<_>>()
    };
    assert!(events(7).len() > 500);
    assert_eq!(events(7), events(7));
    assert_ne!(events(7), events(8));
}

#[test]
fn a_skipped_time_is_counted_and_nothing_of_it_is_made() {
    let options = Options { symbols: 5, rate: 1000, seed: 3 };
    let mut market = Market::new(&options, START_US);
    let skipped = market.skip(START_US + 30 * SECOND_US);
    assert!((15_000..60_000).contains(&skipped), "seed 3: {skipped} in thirty seconds");
    let told: Vec<_> = std::iter::from_fn(|| market.next(START_US + 30 * SECOND_US)).collect();
    assert!(told.is_empty(), "seed 3: {told:?}");
}

/// A feed whose server comes and goes introduces its symbols each time: that must not set more and more tickers going.
#[test]
fn tickers_stay_one_a_second_however_often_symbols_are_introduced() {
    let mut market = Market::new(&Options { symbols: 1, rate: 500, seed: 12 }, START_US);
    let tickers = |market: &mut Market, until_us| {
        let told = std::iter::from_fn(|| market.next(until_us));
        told.filter(|event| event.channel.ends_with("@ticker")).count()
    };
    for turn in 1..=20 {
        tickers(&mut market, START_US + turn * SECOND_US / 2);
        market.introduce(START_US + turn * SECOND_US / 2);
    }
    let count = tickers(&mut market, START_US + 30 * SECOND_US);
    assert!((18..=22).contains(&count), "seed 12: {count} tickers in twenty seconds");
}

#[test]
fn the_busiest_market_has_a_day_behind_it_too() {
    let mut market = Market::new(&Options { symbols: 1, rate: 1_000_000, seed: 13 }, START_US);
    market.introduce(START_US);
    let told = std::iter::from_fn(|| market.next(START_US)).find(|event| event.channel.ends_with("@ticker"));
    let ticker: Value = serde_json::from_str(&told.unwrap().payload).unwrap();
    assert!(ticker["F"].as_u64().unwrap() < ticker["L"].as_u64().unwrap(), "seed 13: {ticker}");
}

/// Prices wander as they do on an exchange, each in its own way; nothing carries them off.
#[test]
fn prices_wander_and_do_not_run_away() {
    let mut market = Market::new(&Options { symbols: 20, rate: 60, seed: 6 }, START_US);
    let mut bids = HashMap::<String, Vec<f64>>::new();
    while let Some(event) = market.next(START_US + 600 * SECOND_US) {
        if event.channel.ends_with("@bookTicker") {
            let best: Value = serde_json::from_str(&event.payload).unwrap();
            bids.entry(event.channel).or_default().push(best["b"].as_str().unwrap().parse().unwrap());
        }
    }
    let changes: Vec<f64> = bids.values().map(|bids| bids[bids.len() - 1] / bids[0] - 1.0).collect();
    assert!(changes.iter().all(|change| change.abs() < 0.03), "seed 6, ten minutes: {changes:?}");
    assert!(changes.iter().any(|change| change.abs() > 0.001), "seed 6, ten minutes: {changes:?}");
    let ranges = bids.values().map(|bids| {
        let most = bids.iter().copied().fold(0.0, f64::max);
        most / bids.iter().copied().fold(f64::MAX, f64::min) - 1.0
    });
    assert!(ranges.into_iter().all(|range| range > 0.0005), "seed 6: a price that stands still");
}
