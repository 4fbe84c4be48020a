//! On what, when and by which command something was measured.
//!
//! Reads `/proc` and the clock once. Must not measure. Invariant: what the system does not tell is said to be unknown.

use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::path::Path;

/// Where and when it ran, and what was asked for.
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    pub(crate) command: String,
}

impl Machine {
    /// This one, now.
    pub(crate) fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            date: date(clock_gettime(ClockId::Realtime).tv_sec),
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            processor: processor(&cpuinfo),
            kernel: if kernel.is_empty() { "unknown".to_owned() } else { kernel.trim().to_owned() },
            command: command(std::env::args()),
        }
    }
}

/// Cores as one names them.
pub(crate) fn listed(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// As it would be typed; the program by its name, wherever it lies.
fn command(mut arguments: impl Iterator<Item = String>) -> String {
    let program = arguments.next().unwrap_or_default();
    let program =
        Path::new(&program).file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    let quoted = arguments.map(|word| if word.contains(' ') { format!("'{word}'") } else { word });
    std::iter::once(program).chain(quoted).collect::<Vec<_>>().join(" ")
}

fn processor(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        line.split_once(": ").map(|(_, value)| value.trim().to_owned())
    };
    let model = field("model name").unwrap_or_else(|| "unknown processor".to_owned());
    field("cpu MHz").map_or_else(|| model.clone(), |mhz| format!("{model} at {mhz} MHz"))
}

/// The day of a Unix time, UTC, as year-month-day.
fn date(unix_s: i64) -> String {
    // Days are counted from 0000-03-01, so that a leap day is the last of its year; 146,097 days are 400 years.
    let days = unix_s.div_euclid(86_400) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carried) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day_of_month:02}", era * 400 + year + carried)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(951_868_800), "2000-03-01");
        assert_eq!(date(1_735_689_599), "2024-12-31");
        assert_eq!(date(1_735_689_600), "2025-01-01");
    }

    #[test]
    fn the_command_is_what_one_types() {
        let words = ["/a/long/path/loadtest", "versus", "hot", "--peers", "a server --its,bun"];
        let command = command(words.map(str::to_owned).into_iter());
        assert_eq!(command, "loadtest versus hot --peers 'a server --its,bun'");
    }

    #[test]
    fn a_processor_is_read_where_it_is_told() {
        let told = "processor\t: 0\nmodel name\t: A Processor\ncpu MHz\t\t: 2700.0\n";
        assert_eq!(processor(told), "A Processor at 2700.0 MHz");
        assert_eq!(processor(""), "unknown processor");
    }
}
