//! Text of the market's events: decimals made from integers, and JSON objects with their fields in the exchange's order.
//!
//! Pure. Must not use floats. Invariant: what is written is one JSON value without a line feed.

use std::fmt::{self, Display, Write};

/// Prices and quantities are counted in units of 10^-8: the eight decimals that Binance writes.
pub(super) const ONE: u64 = 100_000_000;

/// A count of 10^-8 as text. Sums of a cheap coin's quantities are beyond 64 bits within a day.
pub(super) struct Decimal(u128);

pub(super) fn decimal(units: impl Into<u128>) -> Decimal {
    Decimal(units.into())
}

impl Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Halves of a word that fits are much the cheaper to write.
        match u64::try_from(self.0) {
            Ok(units) => write!(f, "{}.{:08}", units / ONE, units % ONE),
            Err(_) => write!(f, "{}.{:08}", self.0 / u128::from(ONE), self.0 % u128::from(ONE)),
        }
    }
}

/// A size with the sign of another number.
pub(super) struct Signed<T> {
    sign: i64,
    size: T,
}

impl<T: Display> Display for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.sign < 0 { "-" } else { "" };
        write!(f, "{sign}{}", self.size)
    }
}

/// A change of a price.
pub(super) fn change(change: i64) -> Signed<Decimal> {
    Signed { sign: change, size: decimal(change.unsigned_abs()) }
}

/// A change in percent, with Binance's three decimals.
pub(super) fn percent(change: i64, of: u64) -> Signed<String> {
    let thousandths = u128::from(change.unsigned_abs()) * 100_000 / u128::from(of.max(1));
    Signed { sign: change, size: format!("{}.{:03}", thousandths / 1000, thousandths % 1000) }
}

/// A JSON object that is being written. Texts need no escaping here: they are names of ours and numbers.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        Self(String::with_capacity(512))
    }

    pub(super) fn text(self, name: &str, text: impl Display) -> Self {
        self.field(format_args!("\"{name}\":\"{text}\""))
    }

    pub(super) fn value(self, name: &str, value: impl Display) -> Self {
        self.field(format_args!("\"{name}\":{value}"))
    }

    /// Price levels, as the exchange's pairs.
    pub(super) fn levels(mut self, name: &str, levels: impl Iterator<Item = (u64, u64)>) -> Self {
        self = self.value(name, "[");
        let mut comma = "";
        for (price, quantity) in levels {
            self.write(format_args!("{comma}[\"{}\",\"{}\"]", decimal(price), decimal(quantity)));
            comma = ",";
        }
        self.0.push(']');
        self
    }

    fn field(mut self, field: fmt::Arguments<'_>) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.write(field);
        self
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a string takes all text");
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_text_made_from_integers() {
        assert_eq!(decimal(61_730 * ONE + 5).to_string(), "61730.00000005");
        assert_eq!(decimal(u64::MAX).to_string(), "184467440737.09551615");
        assert_eq!(decimal(u128::from(u64::MAX) + 1).to_string(), "184467440737.09551616");
        assert_eq!(change(-(ONE as i64) / 2).to_string(), "-0.50000000");
        assert_eq!(percent(-123, 100_000).to_string(), "-0.123");
        assert_eq!(percent(2 * ONE as i64, ONE).to_string(), "200.000");
    }

    #[test]
    fn levels_are_pairs() {
        let text = Object::new().value("u", 5).levels("b", [(ONE, 0), (2, ONE)].into_iter());
        assert_eq!(text.end(), r#"{"u":5,"b":[["1.00000000","0.00000000"],["0.00000002","1.00000000"]]}"#);
        assert_eq!(Object::new().levels("a", [].into_iter()).end(), r#"{"a":[]}"#);
    }
}
