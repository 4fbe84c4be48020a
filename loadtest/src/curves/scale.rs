//! An axis' range and its ticks, logarithmic or from zero.
//!
//! Pure. Must not draw. Invariant: every value it was made over lies within, and `low < high`.

use super::curve::{Axis, Column, Scale};

/// An axis over its values.
#[derive(Clone)]
pub(super) struct Scaled {
    pub(super) label: &'static str,
    pub(super) low: f64,
    pub(super) high: f64,
    /// Values and what is written at them.
    pub(super) ticks: Vec<(f64, String)>,
    scale: Scale,
}

/// Room beyond the outermost values of a logarithmic axis.
const ROOM: f64 = 1.25;
/// Room for what was cut off: points that were not held.
const CUT_ROOM: f64 = 4.0;
/// Ticks that a linear axis has about.
const LINEAR_TICKS: f64 = 6.0;

impl Scaled {
    /// An axis over `values`; with `is_cut` it leaves room for points that are known to lie further up.
    pub(super) fn over(axis: &Axis, values: &[f64], is_cut: bool) -> Self {
        let is_swept = matches!(axis.column, Column::At);
        let room = if is_cut && !is_swept { CUT_ROOM } else { ROOM };
        let highest = values.iter().copied().fold(0.0, f64::max);
        let highest = if highest > 0.0 { highest } else { 1.0 };
        match axis.scale {
            Scale::Linear => Self::linear(axis.label, highest, is_swept),
            Scale::Log => Self::log(axis.label, values, highest, room),
        }
    }

    /// Where a value lies along the axis.
    pub(super) fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.clamp(self.low, self.high).log10(),
        }
    }

    fn linear(label: &'static str, highest: f64, is_swept: bool) -> Self {
        let high = if is_swept { highest + 0.5 } else { highest * 1.15 };
        let step = nice_step(high / LINEAR_TICKS).max(if is_swept { 1.0 } else { 0.0 });
        let count = (high / step) as usize;
        let ticks = (0..=count).map(|tick| tick as f64 * step).map(|value| (value, short(value))).collect();
        Self { label, low: 0.0, high, ticks, scale: Scale::Linear }
    }

    /// Zero has no place on it: where there is one, it stands a decade below the lowest value, and says so.
    fn log(label: &'static str, values: &[f64], highest: f64, room: f64) -> Self {
        let lowest = values.iter().copied().filter(|value| *value > 0.0).fold(highest, f64::min);
        let has_zero = values.contains(&0.0);
        let low = if has_zero { lowest / 10.0 } else { lowest / ROOM };
        let high = highest * room;
        let mut ticks = log_ticks(lowest / ROOM, high);
        if has_zero {
            ticks.insert(0, (low, "0".to_owned()));
        }
        Self { label, low, high, ticks, scale: Scale::Log }
    }
}

/// Ticks at each decade, and between where there are few.
fn log_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let digits: &[f64] = match high / low {
        ..5.0 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
        5.0..1_000.0 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let decades = low.log10().floor() as i32..=high.log10().floor() as i32;
    let values = decades.flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade)));
    values.filter(|value| (low..=high).contains(value)).map(|value| (value, short(value))).collect()
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn nice_step(step: f64) -> f64 {
    let decade = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|digit| digit * decade)
        .into_iter()
        .find(|nice| *nice >= step)
        .unwrap_or(decade * 10.0)
}

/// A number as a tick has it: `250k`, `1.5M`, `0.2`.
pub(super) fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        1e6.. => (value / 1e6, "M"),
        1e4.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.3}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale, column: Column) -> Axis {
        Axis { label: "x", scale, column }
    }

    fn texts(scaled: &Scaled) -> Vec<&str> {
        scaled.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn numbers_are_written_as_one_reads_them() {
        let texts = [0.0, 0.05, 1.5, 200.0, 1_000.0, 15_000.0, 250_000.0, 1.5e6].map(short);
        assert_eq!(texts, ["0", "0.05", "1.5", "200", "1000", "15k", "250k", "1.5M"]);
    }

    #[test]
    fn a_log_axis_holds_its_values_and_has_ticks_at_decades() {
        let scaled = Scaled::over(&axis(Scale::Log, Column::At), &[100.0, 15_000.0], false);
        assert!(scaled.low < 100.0 && scaled.high > 15_000.0);
        assert_eq!(texts(&scaled), ["100", "200", "500", "1000", "2000", "5000", "10k"]);
        let wide = Scaled::over(&axis(Scale::Log, Column::At), &[10.0, 100_000.0], false);
        assert_eq!(texts(&wide), ["10", "100", "1000", "10k", "100k"]);
    }

    #[test]
    fn zero_stands_before_the_lowest_value_of_a_log_axis() {
        let scaled = Scaled::over(&axis(Scale::Log, Column::At), &[0.0, 100.0, 10_000.0], false);
        assert_eq!(texts(&scaled), ["0", "100", "200", "500", "1000", "2000", "5000", "10k"]);
        assert_eq!(scaled.place(0.0), 1.0);
    }

    #[test]
    fn shards_are_whole_numbers() {
        let scaled = Scaled::over(&axis(Scale::Linear, Column::At), &[1.0, 2.0], false);
        assert_eq!(texts(&scaled), ["0", "1", "2"]);
    }

    #[test]
    fn nothing_at_all_has_an_axis_too() {
        for scale in [Scale::Log, Scale::Linear] {
            let scaled = Scaled::over(&axis(scale, Column::Figure(|_| 0.0)), &[], false);
            assert!(scaled.low < scaled.high && !scaled.ticks.is_empty());
        }
    }
}
