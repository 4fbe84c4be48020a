//! Where a sheet comes from: command, machine, date.
//!
//! Reads `/proc` and the clock of the day. Must not name the machine or its paths: a sheet is published.
//! Invariant: what cannot be read is said to be unknown.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// The remarks that every sheet begins with; `cores` is how many there are.
pub(super) fn remarks(cores: usize, server_cores: &[usize], tools_core: usize) -> Vec<String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let listed: Vec<String> = server_cores.iter().map(usize::to_string).collect();
    vec![
        format!("command: target/release/loadtest {}", arguments.join(" ")),
        format!(
            "machine: {cores} cores, {}, Linux {}; server on core {}, swarm and feed on core {tools_core}; loopback",
            processor(),
            kernel(),
            listed.join(", "),
        ),
        format!("date: {}", today()),
    ]
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| "processor unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or_else(|_| "unknown".to_owned(), |since| date((since.as_secs() / 86_400) as i64))
}

/// The date, `days` after 1970-01-01, in the Gregorian calendar: years are counted from March, so that the leap day
/// is a year's last one, in eras of 400 years.
fn date(days: i64) -> String {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (days, text) in
            [(0, "1970-01-01"), (11_016, "2000-02-29"), (11_017, "2000-03-01"), (20_778, "2026-11-21")]
        {
            assert_eq!(date(days), text);
        }
    }
}
