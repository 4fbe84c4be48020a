//! A simulated market: many symbols, one shared burst process, and events as Binance would send them.
//!
//! [`Market`] is pure: seed and times in, events with their due times out; whoever publishes them reads the clock.
//! Must not use floats but for times, sizes and choices: prices are integers, and text made from integers.
//! Invariant: what was given out agrees with itself. Books follow from their diffs, tickers and klines from the trades.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use self::arrivals::{Arrivals, Run};
use self::candle::MINUTE_MS;
use self::chance::Chance;
use self::crowd::Crowd;
pub use self::listing::SYMBOLS_MAX;
use self::plan::{TRADE_SHARE, TRADES_AN_ORDER, Task, Work};
use self::symbol::Symbol;

mod arrivals;
mod book;
mod candle;
mod chance;
mod crowd;
mod listing;
mod perform;
mod plan;
mod symbol;
mod text;

/// How far a symbol's own value and the whole market's wander in a second, in parts of 10^9.
const OWN_A_SECOND: f64 = 40_000.0;
const INDEX_A_SECOND: f64 = 30_000.0;
/// What one order may move.
const IMPACT_MAX: f64 = 1_000_000.0;

/// What market to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many symbols, [`SYMBOLS_MAX`] at most.
    pub symbols: usize,
    /// Best prices, diffs and trades a second, in the mean. Tickers, klines and partial books come on top.
    pub rate: u32,
    /// The same seed gives the same market.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { symbols: 100, rate: 1000, seed: 1 }
    }
}

/// One record to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in microseconds since 1970; never before the event before it.
    pub due_us: u64,
    /// Where.
    pub channel: String,
    /// One JSON value.
    pub payload: String,
}

/// The market: its symbols, and what is to happen.
#[derive(Clone, Debug)]
pub struct Market {
    chance: Chance,
    arrivals: Arrivals,
    start_us: u64,
    next_run: Run,
    crowd: Crowd,
    symbols: Vec<Listed>,
    index: i64,
    index_impact: i64,
    work: BinaryHeap<Reverse<Work>>,
    planned: u64,
    ready: VecDeque<Event>,
    /// What has happened, and what was told, up to when.
    now_us: u64,
    told_us: u64,
}

/// A symbol, and when it was last told of.
#[derive(Clone, Debug)]
struct Listed {
    symbol: Symbol,
    impact: i64,
    ticker: Summary,
    kline: Summary,
    partial_us: u64,
}

/// Something that is told at most once in a time.
#[derive(Clone, Copy, Debug, Default)]
struct Summary {
    told_us: u64,
    planned: bool,
}

impl Summary {
    /// When to tell of a change, where that is not planned already.
    fn plan(&mut self, now_us: u64, every_us: u64) -> Option<u64> {
        let due_us = now_us.max(self.told_us + every_us);
        (!std::mem::replace(&mut self.planned, true)).then_some(due_us)
    }

    fn told(&mut self, now_us: u64) {
        *self = Self { told_us: now_us, planned: false };
    }
}

impl Market {
    /// A market that opens at `start_us` (microseconds since 1970), with a day of trading behind it. The same options and
    /// time give the same events.
    #[must_use]
    pub fn new(options: &Options, start_us: u64) -> Self {
        let mut chance = Chance::new(options.seed);
        let rate = f64::from(options.rate.max(1));
        let mut arrivals = Arrivals::new(rate, Chance::new(chance.below(u64::MAX)));
        let listings: Vec<_> = listing::listings(options.symbols.clamp(1, SYMBOLS_MAX)).collect();
        let crowd = Crowd::new(listings.iter().map(|listing| listing.weight), &mut chance);
        let orders = |share: f64| rate * share * TRADE_SHARE / TRADES_AN_ORDER;
        let impact = |wander: f64, share: f64| (wander / orders(share).sqrt()).min(IMPACT_MAX) as i64;
        let symbols = listings.iter().enumerate().map(|(number, listing)| {
            let share = crowd.share(number);
            let trades_an_hour = (rate * share * TRADE_SHARE * 3600.0) as u64;
            let symbol = Symbol::new(listing, trades_an_hour, start_us / 1000, &mut chance);
            let (ticker, kline) = (Summary::default(), Summary::default());
            Listed { symbol, impact: impact(OWN_A_SECOND, share), ticker, kline, partial_us: 0 }
        });
        let symbols: Vec<_> = symbols.collect();
        let next_run = arrivals.next(0);
        let mut market = Self {
            chance,
            arrivals,
            start_us,
            next_run,
            crowd,
            symbols,
            index: 0,
            index_impact: impact(INDEX_A_SECOND, 1.0),
            work: BinaryHeap::new(),
            planned: 0,
            ready: VecDeque::new(),
            now_us: start_us,
            told_us: start_us,
        };
        let minute_us = MINUTE_MS * 1000;
        let closes_us = start_us - start_us % minute_us + minute_us;
        (0..market.symbols.len()).for_each(|symbol| market.plan(closes_us, Task::CloseMinute, symbol));
        market
    }

    /// Plans to tell of each symbol as it stands: its partial book, best prices and ticker. For the beginning, and for whoever
    /// missed what came before.
    pub fn introduce(&mut self, now_us: u64) {
        (0..self.symbols.len()).for_each(|symbol| self.plan(now_us, Task::Introduce, symbol));
    }

    /// When there is something to do next.
    #[must_use]
    pub fn due_us(&self) -> u64 {
        let ready_us = self.ready.front().map(|event| event.due_us);
        let work_us = self.work.peek().map(|Reverse(work)| work.due_us);
        ready_us.into_iter().chain(work_us).fold(self.start_us + self.next_run.due_us, u64::min)
    }

    /// The next event that is due by `now_us`, if there is one.
    pub fn next(&mut self, now_us: u64) -> Option<Event> {
        while self.ready.is_empty() && self.due_us() <= now_us {
            while self.run_us() <= self.work.peek().map_or(now_us, |Reverse(work)| work.due_us) {
                self.plan_run();
            }
            if let Some(Reverse(work)) = self.work.pop() {
                self.perform(work);
            }
        }
        self.ready.pop_front()
    }

    /// Lets time pass without the messages that were due by `now_us`; gives how many there would have been.
    /// What is told afterwards agrees with what was told before: nothing has happened meanwhile.
    pub fn skip(&mut self, now_us: u64) -> u64 {
        let mut skipped = 0;
        self.work.retain(|Reverse(work)| match work.task {
            Task::Act(action) if work.due_us <= now_us => {
                skipped += action.messages();
                false
            }
            _ => true,
        });
        while self.run_us() <= now_us {
            skipped += self.next_run.messages;
            self.next_run = self.arrivals.next(0);
        }
        skipped
    }

    fn run_us(&self) -> u64 {
        self.start_us + self.next_run.due_us
    }

    fn plan(&mut self, due_us: u64, task: Task, symbol: usize) {
        self.planned += 1;
        self.work.push(Reverse(Work { due_us, task, number: self.planned, symbol }));
    }
}
