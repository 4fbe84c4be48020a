//! What trades add up to: over a minute for the kline, over a day for the ticker.
//!
//! Pure. Must not use floats: sums are whole numbers of 10^-8, since every price times every quantity is.
//! Invariant: a sum holds exactly the trades that it was told, and for the day those of the opening hours as well.

use std::collections::VecDeque;

use super::book::Level;
use super::chance::Chance;
use super::text::{ONE, Object, change, decimal, percent};

pub(super) const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// Hours that have ended and still count for the ticker.
const HOURS: u64 = 24;

/// Trades of some time, summed up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candle {
    pub(super) open_ms: u64,
    open: u64,
    high: u64,
    low: u64,
    close: u64,
    volume: u128,
    quote: u128,
    /// Of these, where the buyer came to the seller.
    taker_volume: u128,
    taker_quote: u128,
    first_id: u64,
    trades: u64,
}

impl Candle {
    /// No trades yet: it stands at the price of the last one before.
    pub(super) fn new(open_ms: u64, price: u64) -> Self {
        let (open, high, low, close) = (price, price, price, price);
        let (volume, quote, taker_volume, taker_quote, first_id, trades) = (0, 0, 0, 0, 0, 0);
        Self { open_ms, open, high, low, close, volume, quote, taker_volume, taker_quote, first_id, trades }
    }

    pub(super) fn take(&mut self, trade: Level, id: u64, buyer_is_maker: bool) {
        let quote = value(trade);
        if self.trades == 0 {
            (self.open, self.high, self.low, self.first_id) = (trade.price, trade.price, trade.price, id);
        }
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.close = trade.price;
        self.volume += u128::from(trade.quantity);
        self.quote += quote;
        if !buyer_is_maker {
            self.taker_volume += u128::from(trade.quantity);
            self.taker_quote += quote;
        }
        self.trades += 1;
    }

    /// Adds what came after.
    fn join(&mut self, later: &Self) {
        if later.trades == 0 {
            return;
        }
        if self.trades == 0 {
            *self = Self { open_ms: self.open_ms, ..*later };
            return;
        }
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume += later.volume;
        self.quote += later.quote;
        self.trades += later.trades;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.trades == 0
    }

    /// The kline event of this minute.
    pub(super) fn kline(&self, name: &str, now_ms: u64, closed: bool) -> String {
        let none = self.trades == 0;
        let id = |id: u64| if none { -1 } else { id as i64 };
        let kline = Object::new()
            .value("t", self.open_ms)
            .value("T", self.open_ms + MINUTE_MS - 1)
            .text("s", name)
            .text("i", "1m")
            .value("f", id(self.first_id))
            .value("L", id(self.last_id()))
            .text("o", decimal(self.open))
            .text("c", decimal(self.close))
            .text("h", decimal(self.high))
            .text("l", decimal(self.low))
            .text("v", decimal(self.volume))
            .value("n", self.trades)
            .value("x", closed)
            .text("q", decimal(self.quote))
            .text("V", decimal(self.taker_volume))
            .text("Q", decimal(self.taker_quote))
            .text("B", "0")
            .end();
        Object::new().text("e", "kline").value("E", now_ms).text("s", name).value("k", kline).end()
    }

    fn last_id(&self) -> u64 {
        (self.first_id + self.trades).saturating_sub(1)
    }
}

fn value(trade: Level) -> u128 {
    u128::from(trade.price) * u128::from(trade.quantity) / u128::from(ONE)
}

/// The last day's trades: the hours that have ended, and the one that runs.
#[derive(Clone, Debug)]
pub(super) struct Day {
    ended: VecDeque<Candle>,
    running: Candle,
    price_before: u64,
    last: Level,
}

impl Day {
    /// A day that lies behind already: hours of trades that nobody saw, up to a price and the id of the trade that is next.
    pub(super) fn behind(
        now_ms: u64,
        trade: Level,
        tick: u64,
        trades_an_hour: u64,
        next_id: u64,
        chance: &mut Chance,
    ) -> Self {
        let hour = now_ms - now_ms % HOUR_MS;
        let (mut ended, mut close, mut next_id) = (VecDeque::new(), trade.price, next_id);
        for back in 1..=HOURS {
            let open_ms = hour.saturating_sub(back * HOUR_MS);
            let candle = past_hour(open_ms, Level { price: close, ..trade }, tick, trades_an_hour, chance);
            next_id -= candle.trades;
            ended.push_front(Candle { first_id: next_id, ..candle });
            close = candle.open;
        }
        Self { ended, running: Candle::new(hour, trade.price), price_before: close, last: trade }
    }

    pub(super) fn take(&mut self, trade: Level, id: u64, buyer_is_maker: bool, now_ms: u64) {
        self.turn(now_ms);
        self.running.take(trade, id, buyer_is_maker);
        self.last = trade;
    }

    pub(super) fn last(&self) -> Level {
        self.last
    }

    /// The ticker's fields over the last day; `best_prices` writes those of the book.
    pub(super) fn ticker(
        &mut self,
        name: &str,
        now_ms: u64,
        best_prices: impl Fn(Object) -> Object,
    ) -> String {
        self.turn(now_ms);
        let mut sum = Candle::new(
            self.ended.front().map_or(self.running.open_ms, |first| first.open_ms),
            self.last.price,
        );
        self.ended.iter().chain([&self.running]).for_each(|candle| sum.join(candle));
        let moved = sum.close as i64 - sum.open as i64;
        let average = sum.quote * u128::from(ONE) / sum.volume.max(1);
        let event = Object::new()
            .text("e", "24hrTicker")
            .value("E", now_ms)
            .text("s", name)
            .text("p", change(moved))
            .text("P", percent(moved, sum.open))
            .text("w", decimal(average))
            .text("x", decimal(self.price_before))
            .text("c", decimal(sum.close))
            .text("Q", decimal(self.last.quantity));
        best_prices(event)
            .text("o", decimal(sum.open))
            .text("h", decimal(sum.high))
            .text("l", decimal(sum.low))
            .text("v", decimal(sum.volume))
            .text("q", decimal(sum.quote))
            .value("O", sum.open_ms)
            .value("C", now_ms)
            .value("F", sum.first_id)
            .value("L", sum.last_id())
            .value("n", sum.trades)
            .end()
    }

    /// Ends the running hour where it is over, and lets go of those that are a day old.
    fn turn(&mut self, now_ms: u64) {
        let hour = now_ms - now_ms % HOUR_MS;
        if hour <= self.running.open_ms {
            return;
        }
        self.ended.push_back(std::mem::replace(&mut self.running, Candle::new(hour, self.last.price)));
        while self.ended.front().is_some_and(|first| first.open_ms + HOURS * HOUR_MS < hour) {
            let gone = self.ended.pop_front();
            self.price_before =
                gone.filter(|gone| gone.trades > 0).map_or(self.price_before, |gone| gone.close);
        }
    }
}

/// An hour that ends at a price: up to two percent away from where it began, and a little further in between.
fn past_hour(open_ms: u64, last: Level, tick: u64, trades: u64, chance: &mut Chance) -> Candle {
    let ticks = last.price / tick;
    let away = |chance: &mut Chance| chance.below(1 + ticks / 100).min(chance.below(1 + ticks / 50));
    let open = if chance.below(2) == 0 { ticks + away(chance) } else { ticks - away(chance) };
    let (top, bottom) = (open.max(ticks), open.min(ticks));
    let (high, low) = (top + away(chance) / 3, bottom - away(chance) / 3);
    // As many trades as usual, give or take half of them, and all of a typical size at a price in the middle.
    let trades = 1 + trades / 2 + chance.below(1 + trades);
    let middle = u128::from((low + high) / 2 * tick);
    let volume = u128::from(trades) * u128::from(last.quantity);
    Candle {
        open: open * tick,
        high: high * tick,
        low: low * tick,
        close: last.price,
        volume,
        quote: middle * volume / u128::from(ONE),
        trades,
        ..Candle::new(open_ms, last.price)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn hours_of_a_day_ago_leave_the_ticker_and_no_other_trade_does() {
        let (start_ms, tick, mut chance) = (1_723_161_254_000, ONE / 100, Chance::new(4));
        let first = Level { price: 100 * ONE, quantity: ONE };
        let mut day = Day::behind(start_ms, first, tick, 50, 1_000_000, &mut chance);
        let mut trades = Vec::new();
        for number in 0..1000 {
            // A trade each four to eight minutes, over four days.
            let now_ms = start_ms + number * 6 * MINUTE_MS + chance.below(2 * MINUTE_MS);
            let price = 100 * ONE + chance.below(1000) * tick;
            let trade = Level { price, quantity: (1 + chance.below(50)) * ONE };
            day.take(trade, 1_000_000 + number, number % 3 == 0, now_ms);
            trades.push((now_ms, trade));
            let ticker: Value = serde_json::from_str(&day.ticker("AB", now_ms, |event| event)).unwrap();
            let opens_ms = ticker["O"].as_u64().unwrap();
            assert_eq!(
                opens_ms,
                now_ms / HOUR_MS * HOUR_MS - HOURS * HOUR_MS,
                "a whole day and the running hour"
            );
            if opens_ms < start_ms {
                continue;
            }
            let within = || trades.iter().filter(|(at_ms, _)| *at_ms >= opens_ms).map(|(_, trade)| trade);
            assert_eq!(ticker["n"], within().count());
            let volume: u64 = within().map(|trade| trade.quantity).sum();
            assert_eq!(ticker["v"], decimal(volume).to_string());
            let ends = [within().next(), within().max_by_key(|t| t.price), within().min_by_key(|t| t.price)];
            let [open, high, low] = ends.map(|trade| decimal(trade.unwrap().price).to_string());
            assert_eq!([&ticker["o"], &ticker["h"], &ticker["l"]], [&open, &high, &low]);
            let before = trades.iter().rfind(|(at_ms, _)| *at_ms < opens_ms);
            if let Some((_, before)) = before {
                assert_eq!(ticker["x"], decimal(before.price).to_string());
            }
        }
    }
}
