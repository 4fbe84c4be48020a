//! A small market of its own for the demo: a dozen symbols that walk at random, as Binance would tell of them.
//!
//! [`Market`] is pure: seed and time in, events out. [`run`] publishes them over the lines protocol, on the runtime of
//! whoever started it. Must not use floats: prices are integers, and text made from integers.
//! Invariant: a ticker tells of the trades that were given out before it, and of no others.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::symbol::{Listing, ONE, Symbol, TICKER_EVERY_MS};
use super::client::{self, Client};

mod symbol;

/// Events a second that [`run`] publishes.
pub const EVENTS_PER_SECOND: u32 = 200;

const TURN: Duration = Duration::from_millis(20);
const EVENTS_PER_TURN: u32 = EVENTS_PER_SECOND / 50;

const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

const SEED: u64 = 2;

const LISTINGS: [Listing; 12] = [
    Listing { name: "BTCUSDT", price: 61_730 * ONE, tick: ONE / 100, quantity: ONE / 50 },
    Listing { name: "ETHUSDT", price: 2_684 * ONE, tick: ONE / 100, quantity: ONE / 2 },
    Listing { name: "SOLUSDT", price: 153 * ONE, tick: ONE / 100, quantity: 8 * ONE },
    Listing { name: "BNBUSDT", price: 522 * ONE, tick: ONE / 10, quantity: 2 * ONE },
    Listing { name: "XRPUSDT", price: 61 * ONE / 100, tick: ONE / 10_000, quantity: 900 * ONE },
    Listing { name: "ADAUSDT", price: 34 * ONE / 100, tick: ONE / 10_000, quantity: 1_500 * ONE },
    Listing { name: "DOGEUSDT", price: 103 * ONE / 1000, tick: ONE / 100_000, quantity: 5_000 * ONE },
    Listing { name: "AVAXUSDT", price: 22 * ONE, tick: ONE / 100, quantity: 40 * ONE },
    Listing { name: "LINKUSDT", price: 10 * ONE, tick: ONE / 1000, quantity: 60 * ONE },
    Listing { name: "DOTUSDT", price: 45 * ONE / 10, tick: ONE / 1000, quantity: 150 * ONE },
    Listing { name: "LTCUSDT", price: 59 * ONE, tick: ONE / 100, quantity: 9 * ONE },
    Listing { name: "ETHBTC", price: 4_348 * ONE / 100_000, tick: ONE / 100_000, quantity: ONE / 3 },
];

/// Publishes the market to a feed listener until `shutdown` says true. A connection that fails or breaks is tried again,
/// after a tenth of a second at first and five seconds at most.
pub async fn run(to: SocketAddr, mut shutdown: watch::Receiver<bool>) {
    let stopped = async move {
        // A sender that is gone can never say more: that is an end too.
        let _ = shutdown.wait_for(|stop| *stop).await;
    };
    let to = to.to_string();
    tokio::select! {
        () = stopped => {}
        () = publish_for_ever(&to) => {}
    }
}

async fn publish_for_ever(to: &str) {
    let mut market = Market::new(SEED, wall_ms());
    let mut back_off = BACK_OFF_MIN;
    loop {
        if let Ok(mut client) = Client::connect(to, None).await {
            let Err(error) = publish(&mut market, &mut client, &mut back_off).await;
            tracing::warn!(%error, "the built-in feed lost its connection and tries again");
        }
        sleep(back_off).await;
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

async fn publish(
    market: &mut Market,
    client: &mut Client,
    back_off: &mut Duration,
) -> Result<Infallible, client::Error> {
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        turns.tick().await;
        for _ in 0..EVENTS_PER_TURN {
            let (channel, payload) = market.next(wall_ms());
            client.push(&channel, &payload);
        }
        client.flush().await?;
        for refusal in client.take_refusals() {
            tracing::warn!(refusal, "a record of the built-in feed was refused");
        }
        *back_off = BACK_OFF_MIN;
    }
}

fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The market: its symbols, and the source of chance.
#[derive(Clone, Debug)]
pub struct Market {
    chance: Chance,
    symbols: Vec<Symbol>,
}

impl Market {
    /// A market that opens at `now_ms` (milliseconds since 1970). The same seed and times give the same events.
    #[must_use]
    pub fn new(seed: u64, now_ms: u64) -> Self {
        let mut chance = Chance(seed);
        let symbols = LISTINGS
            .iter()
            .map(|listing| Symbol::new(listing, now_ms + chance.below(TICKER_EVERY_MS)))
            .collect();
        Self { chance, symbols }
    }

    /// The next event at `now_ms`: a ticker where one is due, else a trade or a change of the best prices.
    /// Gives the channel and the payload.
    pub fn next(&mut self, now_ms: u64) -> (String, String) {
        let ticker = self.symbols.iter_mut().find_map(|symbol| symbol.ticker_if_due(now_ms));
        if let Some(ticker) = ticker {
            return ticker;
        }
        // The smaller of two draws: the first symbols are the busiest, as in a real market.
        let count = self.symbols.len() as u64;
        let pick = self.chance.below(count).min(self.chance.below(count));
        let symbol = &mut self.symbols[pick as usize];
        if self.chance.below(3) == 0 {
            symbol.trade(now_ms, &mut self.chance)
        } else {
            symbol.book_ticker(&mut self.chance)
        }
    }
}

/// Where chance comes from: `SplitMix64` (Steele, Lea, Flood 2014). Seeded, so that a market can be had again.
#[derive(Clone, Debug)]
struct Chance(u64);

impl Chance {
    /// A number from 0 to `end - 1`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// What a reader of the events knows of one symbol: units of 10^-8.
    #[derive(Default)]
    struct Seen {
        best: Option<(u64, u64)>,
        update_id: u64,
        trades: Vec<(u64, u64)>,
        trade_id: Option<u64>,
    }

    fn units(event: &Value, field: &str) -> u64 {
        let text = event[field].as_str().expect("decimals are text");
        let (whole, decimals) = text.split_once('.').expect("decimals");
        assert_eq!(decimals.len(), 8, "{text}");
        whole.parse::<u64>().unwrap() * ONE + decimals.parse::<u64>().unwrap()
    }

    impl Seen {
        fn check(&mut self, kind: &str, event: &Value) {
            match kind {
                "bookTicker" => self.check_book(event),
                "trade" => self.check_trade(event),
                "ticker" => self.check_ticker(event),
                other => panic!("no such kind: {other}"),
            }
        }

        fn check_book(&mut self, event: &Value) {
            let (bid, ask) = (units(event, "b"), units(event, "a"));
            assert!(0 < bid && bid < ask);
            assert!(event["u"].as_u64().unwrap() > self.update_id);
            self.update_id = event["u"].as_u64().unwrap();
            self.best = Some((bid, ask));
        }

        fn check_trade(&mut self, event: &Value) {
            let (price, id) = (units(event, "p"), event["t"].as_u64().unwrap());
            if let Some((bid, ask)) = self.best {
                assert_eq!(price, if event["m"] == true { bid } else { ask });
            }
            assert!(self.trade_id.is_none_or(|before| id == before + 1));
            self.trade_id = Some(id);
            self.trades.push((price, units(event, "q")));
        }

        fn check_ticker(&self, event: &Value) {
            let prices = || self.trades.iter().map(|(price, _)| *price);
            let (open, last) = (self.trades[0].0, self.trades[self.trades.len() - 1]);
            assert_eq!((units(event, "c"), units(event, "Q")), last);
            assert_eq!(units(event, "o"), open);
            assert_eq!(Some(units(event, "h")), prices().max());
            assert_eq!(Some(units(event, "l")), prices().min());
            assert_eq!(units(event, "v"), self.trades.iter().map(|(_, quantity)| quantity).sum::<u64>());
            assert!((units(event, "l")..=units(event, "h")).contains(&units(event, "w")));
            assert_eq!(event["n"], self.trades.len());
            assert_eq!(event["L"].as_u64(), self.trade_id);
            let change: f64 = event["p"].as_str().unwrap().parse().unwrap();
            assert!((change * ONE as f64 - (last.0 as f64 - open as f64)).abs() < 1.0);
            if let Some(best) = self.best {
                assert_eq!((units(event, "b"), units(event, "a")), best);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn events_are_valid_and_agree_with_each_other(seed: u64, steps in prop::collection::vec(0..40_u64, 2000)) {
            let (mut now_ms, mut seen) = (1_700_000_000_000, HashMap::<String, Seen>::new());
            let mut market = Market::new(seed, now_ms);
            for step in steps {
                now_ms += step;
                let (channel, payload) = market.next(now_ms);
                prop_assert!(crate::channel::validate(&channel).is_ok());
                let event: Value = serde_json::from_str(&payload).unwrap();
                let (symbol, kind) = channel.split_once('@').unwrap();
                prop_assert_eq!(event["s"].as_str().unwrap().to_lowercase(), symbol);
                seen.entry(symbol.to_owned()).or_default().check(kind, &event);
            }
            prop_assert!(seen.len() == LISTINGS.len());
        }
    }

    #[test]
    fn a_seed_gives_the_same_market_again() {
        let events = |seed| {
            let mut market = Market::new(seed, 0);
            (0..1000).map(|step| market.next(step * 5)).collect::<Vec<_>>()
        };
        assert_eq!(events(7), events(7));
        assert_ne!(events(7), events(8));
    }
}
