//! Progress of a long run, as text for people: one updating line on a terminal, plain lines elsewhere.
//!
//! Runs where the run does, with the time as an argument; whoever runs it writes the text out. It asks the terminal how wide it is, and nothing else.
//! Invariant: at most one line a second, and on a terminal none that is wider than it.

use std::io;
use std::time::Duration;

use rustix::termios::tcgetwinsize;

/// Time between two lines on a terminal, and before the first one anywhere.
pub const EVERY: Duration = Duration::from_secs(1);

/// Time between two lines elsewhere: what goes to a file is read later, and kept.
const EVERY_ELSEWHERE: Duration = Duration::from_secs(10);

/// When to print, and how.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    columns: fn() -> usize,
    next: Duration,
    shown_chars: usize,
}

impl Progress {
    /// Progress on a terminal, which is stderr's, or anywhere else.
    #[must_use]
    pub fn new(terminal: bool) -> Self {
        Self::on(terminal, stderr_columns)
    }

    fn on(terminal: bool, columns: fn() -> usize) -> Self {
        Self { terminal, columns, next: EVERY, shown_chars: 0 }
    }

    /// What to print now, if anything: `line` is asked for only then.
    pub fn update(&mut self, now: Duration, line: impl FnOnce() -> String) -> Option<String> {
        if now < self.next {
            return None;
        }
        self.next = now + if self.terminal { EVERY } else { EVERY_ELSEWHERE };
        let line = line();
        if !self.terminal {
            return Some(line + "\n");
        }
        // The last column stays free: what stands there may move the cursor to the next line.
        let columns = (self.columns)().saturating_sub(1);
        let cut: String = line.chars().take(columns).collect();
        Some(self.overwrite(&cut, columns))
    }

    /// A line that stays, whatever the time.
    pub fn note(&mut self, line: &str) -> String {
        if !self.terminal {
            return format!("{line}\n");
        }
        let text = self.overwrite(line, (self.columns)());
        self.shown_chars = 0;
        text + "\n"
    }

    /// Ends an updating line, so that other text may follow.
    pub fn finish(&mut self) -> &'static str {
        if std::mem::take(&mut self.shown_chars) > 0 { "\n" } else { "" }
    }

    /// A shorter line is padded over what the longer one before it left there; a terminal that became narrower has cut that already.
    fn overwrite(&mut self, line: &str, columns: usize) -> String {
        let width = self.shown_chars.min(columns);
        self.shown_chars = line.chars().count();
        format!("\r{line:<width$}")
    }
}

/// Columns of the terminal that stderr is. Of one that does not know (0, as a serial line says), no line is cut.
fn stderr_columns() -> usize {
    let size = tcgetwinsize(io::stderr()).ok().filter(|size| size.ws_col > 0);
    size.map_or(usize::MAX, |size| size.ws_col.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn shown_in(terminal: bool, seconds: u64) -> Vec<u64> {
        let mut progress = Progress::new(terminal);
        (0..seconds * 1000).filter(|ms| progress.update(at(*ms), || "x".into()).is_some()).collect()
    }

    #[test]
    fn a_line_a_second_and_fewer_where_they_are_kept() {
        assert_eq!(shown_in(true, 5), [1000, 2000, 3000, 4000]);
        assert_eq!(shown_in(false, 22), [1000, 11_000, 21_000]);
    }

    #[test]
    fn a_terminals_line_is_overwritten_whole() {
        let mut progress = Progress::on(true, || 80);
        assert_eq!(progress.update(at(1000), || "12345".into()).as_deref(), Some("\r12345"));
        assert_eq!(progress.update(at(2000), || "123".into()).as_deref(), Some("\r123  "));
        assert_eq!(progress.note("bad"), "\rbad\n");
        assert_eq!(progress.finish(), "", "a note ended the line already");
        assert_eq!(progress.update(at(3000), || "1".into()).as_deref(), Some("\r1"));
        assert_eq!(progress.finish(), "\n");
    }

    #[test]
    fn a_line_that_is_wider_than_the_terminal_is_cut_and_a_note_is_not() {
        let mut progress = Progress::on(true, || 6);
        assert_eq!(progress.update(at(1000), || "äöüäöüäöü".into()).as_deref(), Some("\räöüäö"));
        assert_eq!(progress.note("1234567890"), "\r1234567890\n");
        // From a time when it was wider.
        progress.shown_chars = 100;
        assert_eq!(progress.update(at(2000), || "1".into()).as_deref(), Some("\r1    "));
    }

    #[test]
    fn elsewhere_lines_are_plain_and_whole() {
        let mut progress = Progress::on(false, || 2);
        assert_eq!(progress.update(at(1500), || "123".into()).as_deref(), Some("123\n"));
        assert_eq!(progress.note("bad"), "bad\n");
        assert_eq!(progress.finish(), "");
    }
}
