//! One symbol: its book, its trades, what they add up to, and the events that tell of them.
//!
//! Pure: time and chance are arguments. Must not use floats: prices and quantities are whole steps of 10^-8.
//! Invariant: a trade happens at a best price and takes from what waits there, and who reads all events knows the same as the symbol.

use super::book::{Book, Level, Side};
use super::candle::{Candle, Day, MINUTE_MS};
use super::chance::Chance;
use super::listing::Listing;
use super::text::{ONE, Object, decimal};

/// Levels a side of the partial book.
const PARTIAL_LEVELS: usize = 20;
/// Changes that wait for a diff at most: then it comes as the next change of the book.
pub(super) const CHANGES_MAX: usize = 300;

/// A typical trade is worth about this, in the currency of the price.
const TRADE_WORTH: u64 = 300;

/// How far a symbol's own value can leave its first one, in parts of 10^9, and how slowly it comes back.
const OWN_MAX: i64 = 300_000_000;
const BACK_PART: i64 = 1 << 20;

/// What an event tells, as the channel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    BookTicker,
    Depth,
    Depth20,
    Kline,
    Ticker,
    Trade,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::BookTicker => "bookTicker",
            Self::Depth => "depth",
            Self::Depth20 => "depth20",
            Self::Kline => "kline_1m",
            Self::Ticker => "ticker",
            Self::Trade => "trade",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Symbol {
    name: String,
    lower: String,
    first_price: u64,
    lot: u64,
    step: u64,
    book: Book,
    trade_id: u64,
    own: i64,
    minute: Candle,
    day: Day,
}

impl Symbol {
    pub(super) fn new(listing: &Listing, trades_an_hour: u64, now_ms: u64, chance: &mut Chance) -> Self {
        let Listing { name, price, tick, step, .. } = listing;
        let steps = u128::from(TRADE_WORTH * ONE) * u128::from(ONE) / u128::from(*price) / u128::from(*step);
        let lot = steps.max(50) as u64 * step;
        // More than the day behind it has trades.
        let trade_id = 1_000_000_000 + 48 * trades_an_hour + chance.below(ONE);
        let trade = Level { price: *price, quantity: lot };
        Self {
            lower: name.to_ascii_lowercase(),
            name: name.clone(),
            first_price: *price,
            lot,
            step: *step,
            book: Book::new(*price, *tick, lot, *step, 10 * ONE * (10 + chance.below(40)), chance),
            trade_id,
            own: 0,
            minute: Candle::new(now_ms - now_ms % MINUTE_MS, *price),
            day: Day::behind(now_ms, trade, *tick, trades_an_hour, trade_id + 1, chance),
        }
    }

    pub(super) fn channel(&self, kind: Kind) -> String {
        format!("{}@{}", self.lower, kind.name())
    }

    /// An order pushes the symbol's own value, by parts of 10^9; gives which way. Quotes follow.
    pub(super) fn push(&mut self, taken: Side, impact: i64) -> i64 {
        let pushed = if taken == Side::Asks { 1 } else { -1 };
        self.own = (self.own + pushed * impact - self.own / BACK_PART).clamp(-OWN_MAX, OWN_MAX);
        pushed
    }

    /// A trade at the best price of a side, taking from it.
    pub(super) fn trade(&mut self, taken: Side, now_ms: u64, chance: &mut Chance) -> String {
        let (quantity, buyer_is_maker) = (self.trade_quantity(chance), taken == Side::Bids);
        let trade = self.book.take(taken, quantity, chance);
        self.trade_id += 1;
        self.minute.take(trade, self.trade_id, buyer_is_maker);
        self.day.take(trade, self.trade_id, buyer_is_maker, now_ms);
        Object::new()
            .text("e", "trade")
            .value("E", now_ms)
            .text("s", &self.name)
            .value("t", self.trade_id)
            .text("p", decimal(trade.price))
            .text("q", decimal(trade.quantity))
            .value("T", now_ms)
            .value("m", buyer_is_maker)
            .value("M", true)
            .end()
    }

    /// Somebody changes a best price, or how much waits there. `index` is how far the whole market has moved since it opened, in parts of 10^9.
    pub(super) fn quote(&mut self, index: i64, chance: &mut Chance) {
        self.book.quote(self.anchor(index), chance);
    }

    pub(super) fn book_ticker(&self) -> String {
        let event = Object::new().value("u", self.book.update_id()).text("s", &self.name);
        self.best_prices(event).end()
    }

    /// The changes since the last diff, filled up with orders behind the best prices where there are fewer than `levels`.
    pub(super) fn depth(&mut self, levels: usize, now_ms: u64, chance: &mut Chance) -> String {
        let missing = levels.saturating_sub(self.book.changes());
        self.book.churn(if self.book.changes() == 0 { missing.max(1) } else { missing }, chance);
        let diff = self.book.diff();
        let pairs = |levels: Vec<Level>| levels.into_iter().map(|level| (level.price, level.quantity));
        Object::new()
            .text("e", "depthUpdate")
            .value("E", now_ms)
            .text("s", &self.name)
            .value("U", diff.first_id)
            .value("u", diff.last_id)
            .levels("b", pairs(diff.bids))
            .levels("a", pairs(diff.asks))
            .end()
    }

    /// The partial book. It agrees with what the diffs say as soon as these are told to its end.
    pub(super) fn depth20(&self) -> String {
        let top = |side| self.book.top(side, PARTIAL_LEVELS).map(|level| (level.price, level.quantity));
        Object::new()
            .value("lastUpdateId", self.book.update_id())
            .levels("bids", top(Side::Bids))
            .levels("asks", top(Side::Asks))
            .end()
    }

    pub(super) fn ticker(&mut self, now_ms: u64) -> String {
        let [bid, ask] = [Side::Bids, Side::Asks].map(|side| self.book.best(side));
        self.day.ticker(&self.name, now_ms, |event| best_prices(event, bid, ask))
    }

    /// The running minute's kline.
    pub(super) fn kline(&self, now_ms: u64) -> String {
        self.minute.kline(&self.name, now_ms, false)
    }

    /// Whether the running minute has trades to tell of.
    pub(super) fn has_kline(&self) -> bool {
        !self.minute.is_empty()
    }

    /// The running minute ends, and the next one begins.
    pub(super) fn close_minute(&mut self, now_ms: u64) -> String {
        let closed = self.minute.kline(&self.name, now_ms, true);
        self.minute = Candle::new(self.minute.open_ms + MINUTE_MS, self.day.last().price);
        closed
    }

    /// Changes of the book that no diff has told yet.
    pub(super) fn changes(&self) -> usize {
        self.book.changes()
    }

    /// Where the price is drawn to.
    fn anchor(&self, index: i64) -> u64 {
        let parts = 1_000_000_000 + self.own + index;
        (i128::from(self.first_price) * i128::from(parts) / 1_000_000_000) as u64
    }

    /// Most are small; one in eight is ten times as large, and one in sixty a hundred times.
    fn trade_quantity(&self, chance: &mut Chance) -> u64 {
        let steps = 1 + chance.below(self.lot / self.step);
        let times = match chance.below(64) {
            0 => 100,
            1..=8 => 10,
            _ => 1,
        };
        steps * times * self.step
    }

    fn best_prices(&self, event: Object) -> Object {
        best_prices(event, self.book.best(Side::Bids), self.book.best(Side::Asks))
    }
}

fn best_prices(event: Object, bid: Level, ask: Level) -> Object {
    event
        .text("b", decimal(bid.price))
        .text("B", decimal(bid.quantity))
        .text("a", decimal(ask.price))
        .text("A", decimal(ask.quantity))
}
