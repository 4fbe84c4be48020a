//! Progress of a long run, as text for people: one updating line on a terminal, plain lines elsewhere.
//!
//! Pure, with the time as an argument; whoever runs it writes the text out.
//! Invariant: at most one line a second.

use std::time::Duration;

/// Time between two lines.
pub const EVERY: Duration = Duration::from_secs(1);

/// When to print, and how.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    next: Duration,
    shown_chars: usize,
}

impl Progress {
    /// Progress on a terminal, or anywhere else.
    #[must_use]
    pub fn new(terminal: bool) -> Self {
        Self { terminal, next: EVERY, shown_chars: 0 }
    }

    /// What to print now, if anything: `line` is asked for only then.
    pub fn update(&mut self, now: Duration, line: impl FnOnce() -> String) -> Option<String> {
        if now < self.next {
            return None;
        }
        self.next = now + EVERY;
        Some(self.show(&line()))
    }

    /// A line that stays, whatever the time.
    pub fn note(&mut self, line: &str) -> String {
        let text = self.show(line);
        if !self.terminal {
            return text;
        }
        self.shown_chars = 0;
        text + "\n"
    }

    /// Ends an updating line, so that other text may follow.
    pub fn finish(&mut self) -> &'static str {
        if std::mem::take(&mut self.shown_chars) > 0 { "\n" } else { "" }
    }

    fn show(&mut self, line: &str) -> String {
        if !self.terminal {
            return format!("{line}\n");
        }
        // A shorter line is padded over what the longer one before it left there.
        let text = format!("\r{line:<width$}", width = self.shown_chars);
        self.shown_chars = line.chars().count();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn at_most_one_line_a_second() {
        let mut progress = Progress::new(false);
        let shown: Vec<u64> =
            (0..5000).filter(|ms| progress.update(at(*ms), || "x".into()).is_some()).collect();
        assert_eq!(shown, [1000, 2000, 3000, 4000]);
    }

    #[test]
    fn a_terminals_line_is_overwritten_whole() {
        let mut progress = Progress::new(true);
        assert_eq!(progress.update(at(1000), || "12345".into()).as_deref(), Some("\r12345"));
        assert_eq!(progress.update(at(2000), || "123".into()).as_deref(), Some("\r123  "));
        assert_eq!(progress.note("bad"), "\rbad\n");
        assert_eq!(progress.finish(), "", "a note ended the line already");
        assert_eq!(progress.update(at(3000), || "1".into()).as_deref(), Some("\r1"));
        assert_eq!(progress.finish(), "\n");
    }

    #[test]
    fn elsewhere_lines_are_plain() {
        let mut progress = Progress::new(false);
        assert_eq!(progress.update(at(1500), || "12".into()).as_deref(), Some("12\n"));
        assert_eq!(progress.note("bad"), "bad\n");
        assert_eq!(progress.finish(), "");
    }
}
