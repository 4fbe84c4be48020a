//! What happens: each piece of work changes its symbol and gives out the events that tell of it.
//!
//! Pure. Invariant: an event is told as soon as what it tells of has happened, so that events of one symbol stand in its order.

use super::book::Side;
use super::candle::MINUTE_MS;
use super::plan::{Action, Task, Work};
use super::symbol::{CHANGES_MAX, Kind};
use super::{Event, Listed, Market};

/// How often Binance sends a symbol's ticker and partial book, and its kline; each only where something changed.
const SECOND_US: u64 = 1_000_000;
const KLINE_US: u64 = 2 * SECOND_US;

/// A run longer than this moves prices no further.
const RUN_FORCE: u64 = 64;
/// How far the whole market leaves where it began, in parts of 10^9.
const INDEX_MAX: i64 = 150_000_000;

impl Market {
    pub(super) fn perform(&mut self, work: Work) {
        self.now_us = work.due_us.max(self.now_us);
        let at = work.symbol;
        match work.task {
            Task::CloseMinute => {
                let closed = self.symbols[at].symbol.close_minute(self.now_us / 1000);
                self.tell(at, Kind::Kline, closed);
                self.plan(work.due_us + MINUTE_MS * 1000, Task::CloseMinute, at);
            }
            Task::Introduce => self.introduce_symbol(at),
            Task::Ticker => {
                self.symbols[at].ticker.told(self.now_us);
                self.tell_ticker(at);
            }
            Task::Kline => self.tell_kline(at),
            Task::Act(action) => self.act(at, action),
        }
    }

    fn act(&mut self, at: usize, action: Action) {
        match action {
            Action::Order { trades, run } => self.order(at, trades, run),
            Action::Quote if self.symbols[at].symbol.changes() < CHANGES_MAX => {
                self.symbols[at].symbol.quote(self.index, &mut self.chance);
                self.tell_best(at);
            }
            Action::Quote => self.tell_depth(at, 1),
            Action::Depth { levels } => self.tell_depth(at, levels as usize),
        }
        if let Some(due_us) = self.symbols[at].ticker.plan(self.now_us, SECOND_US) {
            self.plan(due_us, Task::Ticker, at);
        }
    }

    /// Trades, and the best prices after them. The order that sets off a long run is a large one, and moves the whole market along.
    fn order(&mut self, at: usize, trades: u64, run: u64) {
        let force = 1 + run.min(RUN_FORCE) as i64 / 8;
        let Listed { symbol, impact, kline, .. } = &mut self.symbols[at];
        // Either side alike: orders that went where the price goes would carry it off for good.
        let side = Side::any(&mut self.chance);
        let pushed = symbol.push(side, force * *impact);
        self.index = (self.index + pushed * force * self.index_impact).clamp(-INDEX_MAX, INDEX_MAX);
        let kline_us = kline.plan(self.now_us, KLINE_US);
        for _ in 0..trades {
            let trade = self.symbols[at].symbol.trade(side, self.now_us / 1000, &mut self.chance);
            self.tell(at, Kind::Trade, trade);
            self.told_us += self.arrivals.gap_us().round() as u64;
        }
        self.tell_best(at);
        if let Some(due_us) = kline_us {
            self.plan(due_us, Task::Kline, at);
        }
    }

    fn introduce_symbol(&mut self, at: usize) {
        // A partial book stands where the diffs end: what they have not told comes first.
        if self.symbols[at].symbol.changes() > 0 {
            self.tell_depth(at, 0);
        }
        self.tell_partial(at);
        self.tell_best(at);
        // A ticker that is planned stays so: who plans a second one beside it gets both for good.
        self.symbols[at].ticker.told_us = self.now_us;
        self.tell_ticker(at);
    }

    fn tell_depth(&mut self, at: usize, levels: usize) {
        let diff = self.symbols[at].symbol.depth(levels, self.now_us / 1000, &mut self.chance);
        self.tell(at, Kind::Depth, diff);
        if self.now_us >= self.symbols[at].partial_us + SECOND_US {
            self.tell_partial(at);
        }
    }

    fn tell_partial(&mut self, at: usize) {
        self.symbols[at].partial_us = self.now_us;
        self.tell(at, Kind::Depth20, self.symbols[at].symbol.depth20());
    }

    fn tell_best(&mut self, at: usize) {
        self.tell(at, Kind::BookTicker, self.symbols[at].symbol.book_ticker());
    }

    fn tell_ticker(&mut self, at: usize) {
        let ticker = self.symbols[at].symbol.ticker(self.now_us / 1000);
        self.tell(at, Kind::Ticker, ticker);
    }

    /// Unless the minute has ended meanwhile, and the next one is still without a trade.
    fn tell_kline(&mut self, at: usize) {
        self.symbols[at].kline.told(self.now_us);
        if self.symbols[at].symbol.has_kline() {
            self.tell(at, Kind::Kline, self.symbols[at].symbol.kline(self.now_us / 1000));
        }
    }

    fn tell(&mut self, at: usize, kind: Kind, payload: String) {
        self.told_us = self.told_us.max(self.now_us);
        let channel = self.symbols[at].symbol.channel(kind);
        self.ready.push_back(Event { due_us: self.told_us, channel, payload });
    }
}
