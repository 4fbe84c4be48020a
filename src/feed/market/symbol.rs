//! One symbol of the built-in market: best prices, trades, the last day's sums, and the events that tell of them.
//!
//! Pure: time and chance are arguments. Must not use floats: a decimal is an integer count of 10^-8, and text.
//! Invariant: bid < ask, and a trade happens at one of the two.

use std::fmt::{self, Display, Write};

use super::Chance;

/// Prices and quantities are counted in units of 10^-8: the eight decimals that Binance writes.
pub(super) const ONE: u64 = 100_000_000;

/// Binance sends a symbol's ticker each second, over the last day.
pub(super) const TICKER_EVERY_MS: u64 = 1000;
const WINDOW_MS: u64 = 24 * 60 * 60 * 1000;

/// A best price moves by up to two of these parts of itself: enough to see it live.
const STRIDES_IN_PRICE: u64 = 50_000;

/// What a symbol begins with.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) name: &'static str,
    pub(super) price: u64,
    /// The smallest step of a price.
    pub(super) tick: u64,
    /// A typical quantity of a trade.
    pub(super) quantity: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Symbol {
    name: &'static str,
    lower: String,
    tick: u64,
    typical_quantity: u64,
    ticker_due_ms: u64,
    bid: Level,
    ask: Level,
    update_id: u64,
    trade_id: u64,
    window: Option<Window>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    price: u64,
    quantity: u64,
}

/// The trades that a ticker sums up, the last one included.
#[derive(Clone, Debug)]
struct Window {
    open_ms: u64,
    price_before: u64,
    open: u64,
    high: u64,
    low: u64,
    volume: u64,
    /// Prices times quantities, in units of 10^-16.
    quote: u128,
    first_trade_id: u64,
    last: Level,
}

impl Symbol {
    pub(super) fn new(listing: &Listing, ticker_due_ms: u64) -> Self {
        let Listing { name, price, tick, quantity } = *listing;
        let price = price - price % tick;
        Self {
            name,
            lower: name.to_ascii_lowercase(),
            tick,
            typical_quantity: quantity,
            ticker_due_ms,
            bid: Level { price, quantity },
            ask: Level { price: price + tick, quantity },
            update_id: 1_000_000,
            trade_id: 1_000_000,
            window: None,
        }
    }

    /// A trade at one of the best prices.
    pub(super) fn trade(&mut self, now_ms: u64, chance: &mut Chance) -> (String, String) {
        let buyer_is_maker = chance.below(2) == 0;
        let price = if buyer_is_maker { self.bid.price } else { self.ask.price };
        let trade = Level { price, quantity: self.quantity(chance) };
        self.trade_id += 1;
        self.sum_up(trade, now_ms);
        let event = Object::new()
            .text("e", "trade")
            .value("E", now_ms)
            .text("s", self.name)
            .value("t", self.trade_id)
            .text("p", Decimal(trade.price))
            .text("q", Decimal(trade.quantity))
            .value("T", now_ms)
            .value("m", buyer_is_maker)
            .value("M", true);
        (self.channel("trade"), event.end())
    }

    /// The best prices move, at random and never below ten ticks.
    pub(super) fn book_ticker(&mut self, chance: &mut Chance) -> (String, String) {
        let stride = (self.bid.price / STRIDES_IN_PRICE / self.tick).max(1) * self.tick;
        let raised = self.bid.price + chance.below(5) * stride;
        let price = raised.saturating_sub(2 * stride).max(10 * self.tick);
        let spread = (1 + chance.below(3)) * self.tick;
        self.bid = Level { price, quantity: self.quantity(chance) };
        self.ask = Level { price: price + spread, quantity: self.quantity(chance) };
        self.update_id += 1 + chance.below(20);
        let event = Object::new().value("u", self.update_id).text("s", self.name);
        (self.channel("bookTicker"), self.best_prices(event).end())
    }

    /// The ticker, once a second, and not before there is a trade to tell of.
    pub(super) fn ticker_if_due(&mut self, now_ms: u64) -> Option<(String, String)> {
        if now_ms < self.ticker_due_ms {
            return None;
        }
        let window = self.window.as_ref()?;
        self.ticker_due_ms = now_ms + TICKER_EVERY_MS;
        let event =
            window.changes(Object::new().text("e", "24hrTicker").value("E", now_ms).text("s", self.name));
        let event = window.sums(self.best_prices(event));
        let event = event
            .value("O", window.open_ms)
            .value("C", now_ms)
            .value("F", window.first_trade_id)
            .value("L", self.trade_id)
            .value("n", self.trade_id - window.first_trade_id + 1);
        Some((self.channel("ticker"), event.end()))
    }

    fn channel(&self, kind: &str) -> String {
        format!("{}@{kind}", self.lower)
    }

    /// From a hundredth of the typical quantity to twice it.
    fn quantity(&self, chance: &mut Chance) -> u64 {
        let unit = (self.typical_quantity / 100).max(1);
        unit * (1 + chance.below(200))
    }

    // A day later the window begins anew: the demo's ticker covers up to a day, not always the whole of it.
    fn sum_up(&mut self, trade: Level, now_ms: u64) {
        match &mut self.window {
            Some(window) if now_ms.saturating_sub(window.open_ms) < WINDOW_MS => window.take(trade),
            older => {
                let price_before = older.as_ref().map_or(trade.price, |window| window.last.price);
                *older = Some(Window::open(now_ms, price_before, trade, self.trade_id));
            }
        }
    }

    fn best_prices(&self, event: Object) -> Object {
        event
            .text("b", Decimal(self.bid.price))
            .text("B", Decimal(self.bid.quantity))
            .text("a", Decimal(self.ask.price))
            .text("A", Decimal(self.ask.quantity))
    }
}

impl Window {
    fn open(open_ms: u64, price_before: u64, first: Level, first_trade_id: u64) -> Self {
        let Level { price, .. } = first;
        let (open, high, low) = (price, price, price);
        let mut window =
            Self { open_ms, price_before, open, high, low, volume: 0, quote: 0, first_trade_id, last: first };
        window.take(first);
        window
    }

    fn take(&mut self, trade: Level) {
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.volume += trade.quantity;
        self.quote += u128::from(trade.price) * u128::from(trade.quantity);
        self.last = trade;
    }

    fn changes(&self, event: Object) -> Object {
        let change = self.last.price as i64 - self.open as i64;
        let average = self.quote / u128::from(self.volume);
        event
            .text("p", Signed { sign: change, size: Decimal(change.unsigned_abs()) })
            .text("P", percent(change, self.open))
            .text("w", Decimal(average as u64))
            .text("x", Decimal(self.price_before))
            .text("c", Decimal(self.last.price))
            .text("Q", Decimal(self.last.quantity))
    }

    fn sums(&self, event: Object) -> Object {
        event
            .text("o", Decimal(self.open))
            .text("h", Decimal(self.high))
            .text("l", Decimal(self.low))
            .text("v", Decimal(self.volume))
            .text("q", Decimal((self.quote / u128::from(ONE)) as u64))
    }
}

/// A count of 10^-8 as text.
struct Decimal(u64);

impl Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:08}", self.0 / ONE, self.0 % ONE)
    }
}

/// A size with the sign of another number.
struct Signed<T> {
    sign: i64,
    size: T,
}

impl<T: Display> Display for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.sign < 0 { "-" } else { "" };
        write!(f, "{sign}{}", self.size)
    }
}

/// A change in percent, with Binance's three decimals.
fn percent(change: i64, of: u64) -> Signed<String> {
    let thousandths = u128::from(change.unsigned_abs()) * 100_000 / u128::from(of);
    Signed { sign: change, size: format!("{}.{:03}", thousandths / 1000, thousandths % 1000) }
}

/// A JSON object that is being written, its fields in the exchange's order. Texts need no escaping here.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self(String::with_capacity(512))
    }

    fn text(self, name: &str, text: impl Display) -> Self {
        self.field(format_args!("\"{name}\":\"{text}\""))
    }

    fn value(self, name: &str, value: impl Display) -> Self {
        self.field(format_args!("\"{name}\":{value}"))
    }

    fn field(mut self, field: fmt::Arguments<'_>) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.write_fmt(field).expect("a string takes all text");
        self
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_text_made_from_integers() {
        assert_eq!(Decimal(61_730 * ONE + 5).to_string(), "61730.00000005");
        assert_eq!(Signed { sign: -1, size: Decimal(ONE / 2) }.to_string(), "-0.50000000");
        assert_eq!(percent(-123, 100_000).to_string(), "-0.123");
        assert_eq!(percent(2 * ONE as i64, ONE).to_string(), "200.000");
    }

    #[test]
    fn a_day_later_the_window_begins_anew() {
        let listing = Listing { name: "AB", price: ONE, tick: 1, quantity: ONE };
        let (mut symbol, mut chance) = (Symbol::new(&listing, 0), Chance(1));
        assert_eq!(symbol.ticker_if_due(5), None, "no trade yet");
        symbol.trade(5, &mut chance);
        symbol.trade(5 + WINDOW_MS - 1, &mut chance);
        let (_, before) = symbol.ticker_if_due(5 + WINDOW_MS - 1).unwrap();
        symbol.trade(5 + WINDOW_MS, &mut chance);
        let (_, after) = symbol.ticker_if_due(2 * WINDOW_MS).unwrap();
        assert!(before.contains(r#""n":2"#) && after.contains(r#""n":1"#), "{before} {after}");
    }
}
