//! Lines of a feed, taken from chunks as they come.
//!
//! Pure. Must not validate: a peer is measured without what it does not do.
//! Invariant: a line is handed out once and whole; the cut rest waits for the next chunk.

/// A feed's connection as the peers see it.
#[derive(Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    accepted: u64,
}

/// What one line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Record {
        channel: &'a [u8],
        payload: &'a [u8],
    },
    /// PING, with the answer it wants.
    Ping(String),
}

impl Lines {
    /// Hands out the whole lines of `chunk`, with what the last one left.
    pub(super) fn take(&mut self, chunk: &[u8], mut visit: impl FnMut(Line<'_>)) {
        let mut chunk = chunk;
        if !self.rest.is_empty() {
            let Some(end) = memchr::memchr(b'\n', chunk) else {
                self.rest.extend_from_slice(chunk);
                return;
            };
            let mut first = std::mem::take(&mut self.rest);
            first.extend_from_slice(&chunk[..end]);
            self.line(&first, &mut visit);
            chunk = &chunk[end + 1..];
        }
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            self.line(&chunk[..end], &mut visit);
            chunk = &chunk[end + 1..];
        }
        self.rest.extend_from_slice(chunk);
    }

    fn line(&mut self, line: &[u8], visit: &mut impl FnMut(Line<'_>)) {
        if line == b"PING" {
            visit(Line::Ping(format!("+PONG {}\n", self.accepted)));
        } else if let Some(space) = memchr::memchr(b' ', line) {
            self.accepted += 1;
            visit(Line::Record { channel: &line[..space], payload: &line[space + 1..] });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cut_anywhere_come_out_whole() {
        let text = b"a@b {\"x\":1}\nPING\nc@d 2\nPING\n";
        for cut in 0..=text.len() {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            for part in [&text[..cut], &text[cut..]] {
                lines.take(part, |line| {
                    seen.push(match line {
                        Line::Record { channel, payload } => {
                            String::from_utf8_lossy(&[channel, b" ", payload].concat()).into_owned()
                        }
                        Line::Ping(answer) => answer,
                    });
                });
            }
            assert_eq!(seen, ["a@b {\"x\":1}", "+PONG 1\n", "c@d 2", "+PONG 2\n"], "cut at {cut}");
        }
    }
}
