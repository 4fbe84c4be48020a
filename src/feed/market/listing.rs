//! What is listed: names, first prices and steps of the symbols, the busiest first.
//!
//! Pure. Invariant: names are distinct, and a price times a quantity is a whole number of 10^-8, so that sums are exact.

use super::text::ONE;

/// Symbols at most: what the made-up names reach, and the law of popularity is known for fewer.
pub const SYMBOLS_MAX: usize = 5000;

/// What a symbol begins with.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    /// In upper case, as payloads have it.
    pub(super) name: String,
    pub(super) price: u64,
    /// The smallest step of a price.
    pub(super) tick: u64,
    /// The smallest step of a quantity.
    pub(super) step: u64,
    /// How much of the messages it has, in some unit.
    pub(super) weight: f64,
}

/// Known coins, by how much they are traded: price in ticks, and the decimals of a tick.
const KNOWN: [(&str, u64, u32); 44] = [
    ("BTC", 6_183_763, 2),
    ("ETH", 268_380, 2),
    ("SOL", 15_342, 2),
    ("XRP", 61_450, 5),
    ("DOGE", 103_420, 6),
    ("BNB", 52_260, 2),
    ("FTM", 34_720, 5),
    ("SUI", 86_420, 5),
    ("ADA", 34_510, 5),
    ("TRX", 12_840, 5),
    ("AVAX", 22_140, 3),
    ("LINK", 10_384, 3),
    ("TON", 65_210, 4),
    ("WIF", 16_340, 4),
    ("LTC", 59_830, 3),
    ("DOT", 46_520, 4),
    ("NEAR", 40_310, 4),
    ("BCH", 34_260, 2),
    ("FET", 89_410, 5),
    ("GALA", 18_370, 6),
    ("UNI", 60_150, 4),
    ("APT", 62_380, 4),
    ("SEI", 30_140, 5),
    ("ARB", 55_620, 5),
    ("FIL", 37_180, 4),
    ("INJ", 18_240, 3),
    ("RENDER", 51_930, 4),
    ("OP", 14_270, 4),
    ("ATOM", 47_610, 4),
    ("TIA", 53_470, 4),
    ("ICP", 80_120, 4),
    ("STX", 15_180, 4),
    ("ETC", 19_460, 3),
    ("AAVE", 98_350, 3),
    ("XLM", 99_820, 6),
    ("HBAR", 56_140, 6),
    ("VET", 22_730, 6),
    ("ALGO", 12_690, 5),
    ("GRT", 14_850, 5),
    ("IMX", 12_470, 4),
    ("ENA", 31_960, 5),
    ("RUNE", 35_840, 4),
    ("JUP", 84_270, 5),
    ("LDO", 10_930, 4),
];

/// Names beyond those are made of these: sounds that give no word one would not want to read.
const FIRST: &[u8] = b"BDLMNRSTV";
const VOWELS: &[u8] = b"AEIOU";
const LAST: [&str; 5] = ["", "N", "R", "L", "X"];

/// The listings, the busiest first.
pub(super) fn listings(symbols: usize) -> impl Iterator<Item = Listing> {
    let known = KNOWN.iter().map(|(coin, ticks, decimals)| ((*coin).to_owned(), *ticks, *decimals));
    let coined = (0..).map(|number| (coin(number), 10_000 + number * 7919 % 90_000, 2 + (number % 6) as u32));
    let listed = known.chain(coined.filter(|(coin, ..)| !KNOWN.iter().any(|(known, ..)| known == coin)));
    (1..)
        .zip(listed)
        .take(symbols)
        .map(|(rank, (coin, ticks, decimals))| listing(rank, &coin, ticks, decimals))
}

fn listing(rank: u32, coin: &str, ticks: u64, decimals: u32) -> Listing {
    let tick = ONE / 10_u64.pow(decimals);
    // The finer the price, the coarser the quantity, as exchanges have it.
    let step = (ONE / tick).max(ONE / 100_000);
    Listing { name: format!("{coin}USDT"), price: ticks * tick, tick, step, weight: popularity(rank) }
}

/// A symbol's share of a market by its rank, as counted over the whole of Binance spot.
fn popularity(rank: u32) -> f64 {
    let rank = f64::from(rank);
    rank.powf(-0.64) * (-rank / 260.0).exp()
}

/// A coin that does not exist; another one for each number below 10,125.
fn coin(number: u64) -> String {
    let (sounds, vowels) = (FIRST.len() as u64, VOWELS.len() as u64);
    // Neighbours should not look alike; the step shares no factor with the count of names.
    let mut rest = number * 4_001 % (sounds * vowels * sounds * vowels * LAST.len() as u64);
    let mut take = |of: u64| {
        let taken = rest % of;
        rest /= of;
        taken as usize
    };
    let [a, b] = [take(sounds), take(sounds)].map(|at| FIRST[at] as char);
    let [x, y] = [take(vowels), take(vowels)].map(|at| VOWELS[at] as char);
    format!("{a}{x}{b}{y}{}", LAST[take(5)])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_steps_fit() {
        let all: Vec<_> = listings(SYMBOLS_MAX).collect();
        assert_eq!(all.len(), SYMBOLS_MAX);
        assert_eq!(all.iter().map(|listing| &listing.name).collect::<HashSet<_>>().len(), SYMBOLS_MAX);
        for Listing { name, price, tick, step, .. } in &all {
            assert!(price % tick == 0 && price / tick >= 10_000, "{name}: prices move in small steps");
            assert!(u128::from(*tick) * u128::from(*step) % u128::from(ONE) == 0, "{name}");
        }
        assert_eq!([&all[0].name, &all[1].name], ["BTCUSDT", "ETHUSDT"]);
    }

    #[test]
    fn popularity_has_the_shares_that_were_counted() {
        let weights: Vec<_> = listings(1300).map(|listing| listing.weight).collect();
        let share = |top: usize| weights[..top].iter().sum::<f64>() / weights.iter().sum::<f64>();
        for (top, counted) in [(1, 0.061), (10, 0.257), (100, 0.684), (500, 0.965)] {
            assert!((share(top) - counted).abs() < 0.01, "the first {top} have {}", share(top));
        }
    }
}
