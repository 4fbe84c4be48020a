//! What is to happen: the work that waits, and how a run of messages becomes actions on symbols.
//!
//! Pure. Must not know what a symbol does with an action. Invariant: an action stands for a known number of messages, so that the mix of
//! kinds and the rate hold over a long time, however the runs come.

use super::Market;

/// Shares of the messages: the rest are best prices.
pub(super) const TRADE_SHARE: f64 = 0.166;
const DEPTH_SHARE: f64 = 0.210;
/// Trades that one order makes, in the mean; one message of best prices follows them.
pub(super) const TRADES_AN_ORDER: f64 = 2.0;

/// A diff's bytes in a combined stream: the mean and the spread of their logarithm, and their bound.
const DEPTH_BYTES: (f64, f64) = (6.57, 0.87);
const DEPTH_BYTES_MAX: f64 = 10_000.0;
/// What a diff has of them without levels, and for each level.
const DEPTH_BYTES_EMPTY: f64 = 140.0;
const LEVEL_BYTES: f64 = 31.0;

/// Of two messages one behind the other in a run, so many are of the same symbol.
const SAME_SYMBOL: f64 = 0.8;

/// Something to do, in the order in which it is due, then by kind, then as it was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Work {
    pub(super) due_us: u64,
    pub(super) task: Task,
    pub(super) number: u64,
    pub(super) symbol: usize,
}

/// A minute ends before anything else happens at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    CloseMinute,
    Introduce,
    Ticker,
    Kline,
    Act(Action),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// An order that trades at once: how often, and the length of the run that it sets off, or 1.
    Order {
        trades: u64,
        run: u64,
    },
    Quote,
    Depth {
        levels: u64,
    },
}

impl Action {
    pub(super) fn messages(self) -> u64 {
        match self {
            Self::Order { trades, .. } => trades + 1,
            Self::Quote | Self::Depth { .. } => 1,
        }
    }
}

impl Market {
    /// Plans the actions of the run that is next. What sets a run off is an order, where it has one.
    pub(super) fn plan_run(&mut self) {
        let (due_us, wanted) = (self.run_us(), self.next_run.messages);
        let (mut actions, mut messages) = (Vec::new(), 0);
        while messages < wanted {
            let action = self.action();
            messages += action.messages();
            actions.push(action);
        }
        if let Some(at) = actions.iter().position(|action| matches!(action, Action::Order { .. })) {
            actions.swap(0, at);
        }
        if let Action::Order { run, .. } = &mut actions[0] {
            *run = wanted;
        }
        let (mut at_us, mut symbol) = (due_us as f64, self.crowd.pick(due_us, &mut self.chance));
        for action in actions {
            self.plan(at_us as u64, Task::Act(action), symbol);
            at_us += (0..action.messages()).map(|_| self.arrivals.gap_us()).sum::<f64>();
            if !self.chance.is(SAME_SYMBOL) {
                symbol = self.crowd.pick(due_us, &mut self.chance);
            }
        }
        self.next_run = self.arrivals.next(messages - wanted);
    }

    /// An action, each kind so often that the messages have their shares.
    fn action(&mut self) -> Action {
        // For each message: so many orders, and the best prices that do not follow an order.
        let orders = TRADE_SHARE / TRADES_AN_ORDER;
        let quotes = 1.0 - TRADE_SHARE - DEPTH_SHARE - orders;
        let draw = self.chance.unit() * (orders + quotes + DEPTH_SHARE);
        if draw <= orders {
            Action::Order { trades: self.chance.count(TRADES_AN_ORDER), run: 1 }
        } else if draw <= orders + quotes {
            Action::Quote
        } else {
            let bytes = (DEPTH_BYTES.0 + DEPTH_BYTES.1 * self.chance.normal()).exp().min(DEPTH_BYTES_MAX);
            Action::Depth { levels: ((bytes - DEPTH_BYTES_EMPTY) / LEVEL_BYTES).round().max(1.0) as u64 }
        }
    }
}
