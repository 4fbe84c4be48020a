//! The market as somebody knows it who reads its events and nothing else: what they say must agree.
//!
//! A reader keeps one symbol's book from partial books and diffs, and sums trades up by itself. Decimals are whole numbers of 10^-8.

use std::collections::BTreeMap;

use serde_json::Value;

const ONE: u128 = 100_000_000;

/// A price and a quantity.
type Level = (u128, u128);

/// What is known of one symbol.
#[derive(Default)]
pub(crate) struct Reader {
    bids: Side,
    asks: Side,
    told_id: Option<u64>,
    best: Option<[Level; 2]>,
    best_id: u64,
    /// What trades have left of the best levels since they were told; how much waits at the price behind them is not known.
    left: Option<[(u128, Option<u128>); 2]>,
    /// Whether there were trades since the best prices were told.
    traded: bool,
    trade_id: Option<u64>,
    last: Option<Level>,
    minute: Vec<Trade>,
    opens_ms: Option<u64>,
    day: Option<(Value, Vec<Trade>)>,
    /// How often each check was made that needs something known before.
    pub(crate) checked: BTreeMap<&'static str, usize>,
}

#[derive(Clone)]
struct Trade {
    id: u64,
    price: u128,
    quantity: u128,
    buyer_is_maker: bool,
}

/// Levels down to the deepest price that was ever told: what lies behind it is not known.
#[derive(Default)]
struct Side {
    levels: BTreeMap<u128, u128>,
    deepest: Option<u128>,
}

fn units(text: &Value) -> u128 {
    let (whole, decimals) = text.as_str().expect("decimals are text").split_once('.').expect("decimals");
    assert_eq!(decimals.len(), 8, "{text}");
    whole.parse::<u128>().unwrap() * ONE + decimals.parse::<u128>().unwrap()
}

fn levels(list: &Value) -> Vec<Level> {
    list.as_array().unwrap().iter().map(|pair| (units(&pair[0]), units(&pair[1]))).collect()
}

fn number(event: &Value, field: &str) -> u64 {
    event[field].as_u64().unwrap_or_else(|| panic!("{field} of {event}"))
}

impl Side {
    fn change(&mut self, (price, quantity): Level) {
        if quantity == 0 {
            self.levels.remove(&price)
        } else {
            self.levels.insert(price, quantity)
        };
    }

    /// The levels of a partial book, the best first: where this side is known, they are the same.
    fn compare(&mut self, told: &[Level], is_bid: bool) {
        let deeper = |one: u128, other: u128| if is_bid { one < other } else { one > other };
        if let Some(deepest) = self.deepest {
            let known: Vec<_> = told.iter().filter(|(price, _)| !deeper(*price, deepest)).copied().collect();
            assert_eq!(self.top(known.len(), is_bid), known, "the diffs give another book");
        }
        told.iter().for_each(|level| self.change(*level));
        let (price, _) = told[told.len() - 1];
        if self.deepest.is_none_or(|deepest| deeper(price, deepest)) {
            // Levels that diffs told from further behind are known in part alone.
            self.levels.retain(|known, _| !deeper(*known, price));
            self.deepest = Some(price);
        }
    }

    fn top(&self, count: usize, is_bid: bool) -> Vec<Level> {
        let levels = self.levels.iter().map(|(price, quantity)| (*price, *quantity));
        if is_bid { levels.rev().take(count).collect() } else { levels.take(count).collect() }
    }

    /// The best level, where it lies in the part that is known.
    fn best(&self, is_bid: bool) -> Option<Level> {
        let best = self.top(1, is_bid).first().copied()?;
        let deepest = self.deepest?;
        (if is_bid { best.0 >= deepest } else { best.0 <= deepest }).then_some(best)
    }
}

impl Reader {
    pub(crate) fn read(&mut self, kind: &str, event: &Value) {
        match kind {
            "bookTicker" => self.best_prices(event),
            "depth" => self.diff(event),
            "depth20" => self.partial(event),
            "trade" => self.trade(event),
            "ticker" => self.ticker(event),
            "kline_1m" => self.kline(event),
            other => panic!("no such kind: {other}"),
        }
    }

    fn checked(&mut self, what: &'static str) {
        *self.checked.entry(what).or_default() += 1;
    }

    fn best_prices(&mut self, event: &Value) {
        let best =
            [["b", "B"], ["a", "A"]].map(|[price, quantity]| (units(&event[price]), units(&event[quantity])));
        assert!(0 < best[0].0 && best[0].0 < best[1].0 && best[0].1 > 0 && best[1].1 > 0, "{event}");
        let id = number(event, "u");
        assert!(id > self.best_id || (id == self.best_id && self.best == Some(best)), "{event}");
        let known = best.map(|(price, quantity)| (price, Some(quantity)));
        if let Some(left) = self.left.replace(known)
            && std::mem::take(&mut self.traded)
        {
            for (at, ((price, left), best)) in left.into_iter().zip(best).enumerate() {
                let further = if at == 0 { best.0 < price } else { best.0 > price };
                let agrees = match left {
                    Some(0) => further,
                    Some(left) => best == (price, left),
                    None => further || best.0 == price,
                };
                assert!(agrees, "{left:?} was left at {price}, {event}");
            }
            self.checked("trades take from what waits");
        }
        (self.best, self.best_id) = (Some(best), id);
    }

    fn diff(&mut self, event: &Value) {
        if let Some(told_id) = self.told_id {
            assert_eq!(number(event, "U"), told_id + 1, "{event}");
            self.checked("diffs chain");
        }
        assert!(number(event, "u") >= number(event, "U"), "{event}");
        self.told_id = Some(number(event, "u"));
        levels(&event["b"]).into_iter().for_each(|level| self.bids.change(level));
        levels(&event["a"]).into_iter().for_each(|level| self.asks.change(level));
        let (bid, ask) = (self.bids.best(true), self.asks.best(false));
        if let (Some(bid), Some(ask), Some(best)) = (bid, ask, self.best) {
            assert!(bid.0 < ask.0, "crossed: {event}");
            assert_eq!([bid, ask], best, "the best prices are not those of the book: {event}");
            self.checked("best prices are the book's");
        }
    }

    fn partial(&mut self, event: &Value) {
        let id = number(event, "lastUpdateId");
        assert!(self.told_id.is_none_or(|told| told == id), "{event}");
        self.told_id = Some(id);
        let [bids, asks] = ["bids", "asks"].map(|side| levels(&event[side]));
        assert!(bids.len() == 20 && asks.len() == 20, "{event}");
        self.bids.compare(&bids, true);
        self.asks.compare(&asks, false);
        self.checked("partial books are the diffs'");
    }

    fn trade(&mut self, event: &Value) {
        let trade = Trade {
            id: number(event, "t"),
            price: units(&event["p"]),
            quantity: units(&event["q"]),
            buyer_is_maker: event["m"].as_bool().unwrap(),
        };
        assert!(trade.quantity > 0 && self.trade_id.is_none_or(|before| trade.id == before + 1), "{event}");
        let at = usize::from(!trade.buyer_is_maker);
        if let Some(left) = self.left.as_mut().map(|left| &mut left[at]) {
            let further = if at == 0 { trade.price < left.0 } else { trade.price > left.0 };
            let agrees = match left.1 {
                Some(0) => further,
                Some(left_there) => trade.price == left.0 && trade.quantity <= left_there,
                None => further || trade.price == left.0,
            };
            assert!(agrees, "{left:?} was left, {event}");
            let left_there = left.1.filter(|left| *left > 0);
            *left = (trade.price, left_there.map(|left| left - trade.quantity));
            self.traded = true;
            self.checked("trades are at best prices");
        }
        let minute_ms = number(event, "T") / 60_000 * 60_000;
        assert!(self.opens_ms.is_none_or(|opens_ms| minute_ms == opens_ms), "no kline closed before {event}");
        (self.trade_id, self.last) = (Some(trade.id), Some((trade.price, trade.quantity)));
        if let Some((_, since)) = &mut self.day {
            since.push(trade.clone());
        }
        self.minute.push(trade);
    }

    fn kline(&mut self, event: &Value) {
        let kline = &event["k"];
        let opens_ms = number(kline, "t");
        assert!(opens_ms.is_multiple_of(60_000) && number(kline, "T") == opens_ms + 59_999, "{event}");
        assert!(self.opens_ms.is_none_or(|expected| expected == opens_ms), "{event}");
        assert_eq!(number(kline, "n"), self.minute.len() as u64, "{event}");
        let ends =
            [self.minute.first(), self.minute.last()].map(|trade| trade.map_or(-1, |trade| trade.id as i64));
        assert_eq!([kline["f"].as_i64(), kline["L"].as_i64()], ends.map(Some), "{event}");
        let prices = || self.minute.iter().map(|trade| trade.price);
        if let (Some(open), Some(close)) = (prices().next(), prices().next_back()) {
            let four = [open, prices().max().unwrap(), prices().min().unwrap(), close];
            assert_eq!(["o", "h", "l", "c"].map(|field| units(&kline[field])), four, "{event}");
        } else if let Some((last, _)) = self.last {
            assert_eq!(["o", "h", "l", "c"].map(|field| units(&kline[field])), [last; 4], "{event}");
        }
        let taken: Vec<_> = self.minute.iter().filter(|trade| !trade.buyer_is_maker).cloned().collect();
        let sums = [sums(&self.minute), sums(&taken)].concat();
        assert_eq!(["v", "q", "V", "Q"].map(|field| units(&kline[field])).to_vec(), sums, "{event}");
        if kline["x"] == true {
            (self.opens_ms, self.minute) = (Some(opens_ms + 60_000), Vec::new());
            self.checked("klines close");
        }
    }

    fn ticker(&mut self, event: &Value) {
        assert_eq!(number(event, "L") + 1 - number(event, "F"), number(event, "n"), "{event}");
        assert!(self.trade_id.is_none_or(|id| number(event, "L") == id), "{event}");
        assert!(self.last.is_none_or(|last| (units(&event["c"]), units(&event["Q"])) == last), "{event}");
        let [open, high, low, close] = ["o", "h", "l", "c"].map(|field| units(&event[field]));
        assert!((low..=high).contains(&open) && (low..=high).contains(&close), "{event}");
        assert!((low..=high).contains(&units(&event["w"])), "{event}");
        let change: f64 = event["p"].as_str().unwrap().parse().unwrap();
        assert!((change * ONE as f64 - (close as f64 - open as f64)).abs() < 1.0, "{event}");
        if let Some(best) = self.best {
            assert_eq!([units(&event["b"]), units(&event["a"])], best.map(|(price, _)| price), "{event}");
        }
        if let Some((before, since)) = &self.day
            && before["O"] == event["O"]
        {
            let [volume, quote] = ["v", "q"].map(|field| units(&event[field]) - units(&before[field]));
            assert_eq!(vec![volume, quote], sums(since), "{before}, then {event}");
            let of = |field: &str| {
                [units(&before[field])].into_iter().chain(since.iter().map(|trade| trade.price))
            };
            assert_eq!(
                (high, low),
                (of("h").max().unwrap(), of("l").min().unwrap()),
                "{before}, then {event}"
            );
            self.checked("tickers sum trades up");
        }
        self.day = Some((event.clone(), Vec::new()));
    }
}

/// Quantity, and its worth.
fn sums(trades: &[Trade]) -> Vec<u128> {
    let quantity = trades.iter().map(|trade| trade.quantity).sum();
    // Each price times each quantity is a whole number of 10^-8: nothing is rounded.
    let worth = trades.iter().map(|trade| trade.price * trade.quantity).sum::<u128>();
    assert_eq!(worth % ONE, 0);
    vec![quantity, worth / ONE]
}
