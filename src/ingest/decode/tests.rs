//! Tests of channel derivation: each kind of event, then the recorded ones where the data folder is there.

use super::*;
use proptest::prelude::*;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

fn derived(event: &str) -> Option<String> {
    Decoder::default().channel(event).map(str::to_owned)
}

#[test]
fn each_kind_of_event_has_its_channel() {
    let cases = [
        (
            r#"{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1.0","q":"1","T":1,"m":true,"M":true}"#,
            "btcusdt@trade",
        ),
        (r#"{"e":"aggTrade","E":1,"a":11,"s":"BCHUSD_PERP","p":"1"}"#, "bchusd_perp@aggTrade"),
        (r#"{"e":"blockTrade","s":"BTCUSDT"}"#, "btcusdt@blockTrade"),
        (r#"{"e":"referencePrice","s":"BTCUSDT","r":null,"t":1}"#, "btcusdt@referencePrice"),
        (r#"{"e":"avgPrice","E":1,"s":"BTCUSDT","i":"5m","w":"1","T":1}"#, "btcusdt@avgPrice"),
        (r#"{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,"b":[["1","2"]],"a":[]}"#, "btcusdt@depth"),
        (r#"{"e":"kline","s":"BTCUSDT","k":{"t":1,"s":"BTCUSDT","i":"1m","o":"1"}}"#, "btcusdt@kline_1m"),
        (r#"{"e":"kline","s":"BTCUSDT","k":{"i":"1M"}}"#, "btcusdt@kline_1M"),
        (r#"{"e":"24hrTicker","s":"ETHBTC","o":"0.06"}"#, "ethbtc@ticker"),
        (r#"{"e":"24hrMiniTicker","s":"ETHBTC"}"#, "ethbtc@miniTicker"),
        (r#"{"e":"1hTicker","s":"ETHBTC"}"#, "ethbtc@ticker_1h"),
        (r#"{"e":"4hTicker","s":"ETHBTC"}"#, "ethbtc@ticker_4h"),
        (r#"{"e":"1dTicker","s":"ETHBTC"}"#, "ethbtc@ticker_1d"),
        (r#"{"e":"markPriceUpdate","s":"BTCUSDT","i":"1.0"}"#, "btcusdt@markPrice"),
        (r#"{"e":"indexPriceUpdate","i":"BTCUSD","p":"1"}"#, "btcusd@indexPrice"),
        (r#"{"e":"forceOrder","E":1,"o":{"s":"BTCUSDT","S":"SELL"}}"#, "btcusdt@forceOrder"),
        (
            r#"{"e":"continuous_kline","ps":"BTCUSDT","ct":"PERPETUAL","k":{"i":"1m"}}"#,
            "btcusdt_perpetual@continuousKline_1m",
        ),
        (r#"{"u":1,"s":"BNBUSDT","b":"25.3","B":"31","a":"25.4","A":"40"}"#, "bnbusdt@bookTicker"),
        (
            r#"{"e":"bookTicker","u":1,"s":"BNBUSDT","b":"25.3","B":"31","a":"25.4","A":"40"}"#,
            "bnbusdt@bookTicker",
        ),
        (r#"{"e":"trade","s":"币安人生USDT"}"#, "币安人生usdt@trade"),
        (r#"{"s":"\u0042TCUSDT","e":"tr\u0061de"}"#, "btcusdt@trade"),
        (r#"{"type":"ticker","code":"KRW-BTC","trade_price":1.0}"#, "KRW-BTC@ticker"),
        (r#"{"ty":"trade","cd":"KRW-BTC","c":"RISE"}"#, "KRW-BTC@trade"),
        (r#"{"ty":"orderbook","cd":"KRW-BTC.15","obu":[]}"#, "KRW-BTC.15@orderbook"),
        (r#"{"type":"candle.1s","code":"KRW-BTC"}"#, "KRW-BTC@candle.1s"),
    ];
    let mut decoder = Decoder::default();
    for (event, channel) in cases {
        assert_eq!(decoder.channel(event), Some(channel), "{event}");
    }
}

#[test]
fn what_names_no_channel_is_not_guessed() {
    for event in [
        "{}",
        "[]",
        "1",
        r#"{"lastUpdateId":1,"bids":[],"asks":[]}"#,
        r#"{"e":"trade"}"#,
        r#"{"e":"kline","s":"BTCUSDT","k":{"t":1}}"#,
        r#"{"e":"executionReport","s":"BTCUSDT"}"#,
        r#"{"e":"xxTicker","s":"BTCUSDT"}"#,
        r#"{"e":5,"s":"BTCUSDT"}"#,
        r#"{"u":1,"s":"BNBUSDT","b":"25.3","B":"31","a":"25.4"}"#,
        r#"{"type":"myOrder","code":"KRW-BTC"}"#,
        r#"{"result":null,"id":1}"#,
    ] {
        assert_eq!(derived(event), None, "{event}");
    }
}

#[test]
fn a_number_that_simd_json_refuses_refuses_nothing() {
    let event = r#"{"e":"trade","s":"BTCUSDT","p":1e400,"q":"1"}"#;
    let mut scratch = event.as_bytes().to_vec();
    assert!(simd_json::to_tape(&mut scratch).is_err(), "then the second reading is not needed");
    assert_eq!(derived(event).as_deref(), Some("btcusdt@trade"));
}

#[test]
fn arrays_over_the_market_are_one_channel() {
    let array = |events: &[&str]| Decoder::default().array_channel(events.iter().copied()).map(str::to_owned);
    let (mini, ticker) = (r#"{"e":"24hrMiniTicker","s":"A"}"#, r#"{"e":"24hrTicker","s":"A"}"#);
    assert_eq!(array(&[mini, mini]).as_deref(), Some("!miniTicker@arr"));
    assert_eq!(array(&[ticker]).as_deref(), Some("!ticker@arr"));
    assert_eq!(array(&[r#"{"e":"1hTicker","s":"A"}"#]).as_deref(), Some("!ticker_1h@arr"));
    assert_eq!(array(&[r#"{"e":"markPriceUpdate","s":"A"}"#]).as_deref(), Some("!markPrice@arr"));
    assert_eq!(array(&[mini, ticker]), None);
    assert_eq!(array(&[mini, "1"]), None);
    assert_eq!(array(&[r#"{"e":"trade","s":"A"}"#]), None);
    assert_eq!(array(&[]), None);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r#"[\{\}\[\]":,esk0-9\\u ]{0,60}"#) {
        let mut decoder = Decoder::default();
        decoder.channel(&text);
        // Whatever came before, the next event is read as if it were the first.
        prop_assert_eq!(decoder.channel(r#"{"e":"trade","s":"AB"}"#), Some("ab@trade"));
    }

    #[test]
    fn generated_events_have_their_channel(symbol in "[A-Z]{2,8}", kind in 0usize..4, price: u64, first: bool) {
        let kinds = [("trade", "trade"), ("aggTrade", "aggTrade"), ("depthUpdate", "depth"), ("24hrTicker", "ticker")];
        let (event, name) = kinds[kind];
        let text = if first {
            format!(r#"{{"e":"{event}","s":"{symbol}","p":"{price}"}}"#)
        } else {
            format!(r#"{{"p":{price},"x":["a",{{"s":1}}],"s":"{symbol}","e":"{event}"}}"#)
        };
        prop_assert_eq!(derived(&text), Some(format!("{}@{name}", symbol.to_lowercase())));
    }
}

/// Recorded messages, where they are there: `{"t":..,"venue":..,"channel":..,"raw":..}` a line.
#[test]
fn recorded_events_have_the_channel_that_was_recorded() {
    let mut decoder = Decoder::default();
    for file in [
        "binance_6inst_20240808.jsonl.gz",
        "cryptofeed_binance_spot.jsonl.gz",
        "cryptofeed_binance_usdm.jsonl.gz",
        "cryptofeed_binance_coinm.jsonl.gz",
        "crypto_msg_parser_samples.jsonl.gz",
        "cryptofeed_upbit.jsonl.gz",
    ] {
        let Some(lines) = recorded(file) else { continue };
        let mut derived = 0;
        for line in lines.map_while(Result::ok).take(20_000) {
            derived += usize::from(check_recorded(&mut decoder, &line));
        }
        assert!(derived >= 40, "{file}: only {derived} events had a channel to derive");
    }
}

#[expect(clippy::disallowed_methods, reason = "only this test asks where recordings lie")]
fn recorded(file: &str) -> Option<std::io::Lines<BufReader<flate2::read::GzDecoder<std::fs::File>>>> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data").to_owned();
    let folder = std::env::var("TAPECAST_DATA").unwrap_or_else(|_| beside());
    let file = std::fs::File::open(PathBuf::from(folder).join(file)).ok()?;
    Some(BufReader::new(flate2::read::GzDecoder::new(file)).lines())
}

#[derive(Deserialize)]
struct Recorded<'a> {
    venue: &'a str,
    channel: Option<&'a str>,
    #[serde(borrow)]
    raw: &'a serde_json::value::RawValue,
}

#[derive(Deserialize)]
struct Combined<'a> {
    #[serde(borrow)]
    data: &'a serde_json::value::RawValue,
}

/// Whether the line's event was one whose channel follows from it; if so, it must follow rightly.
fn check_recorded(decoder: &mut Decoder, line: &str) -> bool {
    let recorded: Recorded<'_> = serde_json::from_str(line).expect("a recorded line");
    let Some(channel) = recorded.channel else { return false };
    let own = channel.ends_with("@depthSnapshot")
        || channel.contains("@TRADE_ALL")
        || channel.contains("@TICKER_ALL");
    if own || !(recorded.venue.starts_with("binance") || recorded.venue == "upbit") {
        return false;
    }
    let raw = recorded.raw.get();
    let combined: Option<Combined<'_>> = serde_json::from_str(raw).ok();
    let event = combined.map_or(raw, |combined| combined.data.get());
    if event.starts_with('[') {
        let events: Vec<&serde_json::value::RawValue> = serde_json::from_str(event).expect("an array");
        assert_eq!(decoder.array_channel(events.iter().map(|event| event.get())), Some(channel), "{line}");
        return true;
    }
    let derived = decoder.channel(event);
    // The recording spells Upbit's names its own way, partial books of futures look like diffs, and what came
    // over the stream of all book tickers belongs to its symbol.
    let derived = derived.map(|name| name.to_lowercase().replace("@orderbook", "@depth"));
    let partial = channel.split_once("@depth").filter(|(_, levels)| !levels.is_empty());
    match partial {
        Some((symbol, _)) => assert!(derived.is_none_or(|name| name == format!("{symbol}@depth")), "{line}"),
        None if channel == "!bookTicker" => {
            assert!(derived.is_some_and(|name| name.ends_with("@bookticker")));
        }
        None => assert_eq!(derived, Some(channel.to_lowercase()), "{line}"),
    }
    true
}
