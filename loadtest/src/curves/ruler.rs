//! Our axes as plotters' coordinates: its own logarithmic one chooses ticks that nobody would write.
//!
//! Pure. Must not choose ticks: the scale did. Invariant: a value within the scale lies within the axis' pixels.

use super::scale::Scaled;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// A scale as a coordinate.
pub(super) struct Ruler(pub(super) Scaled);

impl Ranged for Ruler {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let (low, high) = (self.0.place(self.0.low), self.0.place(self.0.high));
        let share = (self.0.place(*value) - low) / (high - low);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    /// Our ticks are the bold ones; between them is nothing.
    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.0.ticks.iter().map(|(value, _)| *value).collect()
    }

    fn range(&self) -> Range<f64> {
        self.0.low..self.0.high
    }
}

impl ValueFormatter<f64> for Ruler {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.0.ticks.iter().find(|(tick, _)| tick == value);
        tick.map_or_else(String::new, |(_, text)| text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::curve::{Axis, Column, Scale};
    use super::*;

    #[test]
    fn decades_are_equally_far_apart() {
        let axis = Axis { label: "x", scale: Scale::Log, column: Column::At };
        let ruler = Ruler(Scaled::over(&axis, &[1.0, 1_000.0], false));
        let at = |value| ruler.map(&value, (0, 10_000));
        let decade = at(10.0) - at(1.0);
        assert!(
            (at(100.0) - at(10.0)).abs_diff(decade) <= 1 && (at(1_000.0) - at(100.0)).abs_diff(decade) <= 1
        );
        assert!(at(1.0) > 0 && at(1_000.0) < 10_000);
        assert_eq!(ruler.format_ext(&100.0), "100");
    }
}
