//! What the swarm's connections share: the read buffer, the window, the figures of the parsed ones.
//!
//! Runs on the swarm's thread. Must not know a connection.
//! Invariant: a latency is taken if its record was stamped within the window, whenever it arrives, so
//! what is late at the window's end is not left out.

use crate::clock;
use crate::latency::Latencies;
use crate::payload::Stamped;
use crate::subscription::Dialect;
use std::ops::Range;

/// Bytes taken by one read at most.
const READ_BYTES_MAX: usize = 1024 * 1024;

/// Shared by all connections of a swarm.
pub(super) struct Context {
    pub(super) dialect: Dialect,
    /// Bytes of a record's frame; `None` where they differ, and everything is parsed.
    pub(super) record_wire_bytes: Option<usize>,
    pub(super) scratch: Vec<u8>,
    /// Stamps whose latency counts, ns.
    pub(super) window_ns: Range<u64>,
    pub(super) latencies: Latencies,
    /// Bytes read so far, whatever they were.
    pub(super) bytes: u64,
    /// Frames of the parsed connections so far, and the reads that brought them.
    pub(super) frames_parsed: u64,
    pub(super) reads_parsed: u64,
    /// Records of the parsed connections.
    pub(super) records_parsed: u64,
    /// Records whose channel nobody subscribed to.
    pub(super) strangers: u64,
    /// What the first close frame said: code and reason.
    pub(super) close_said: Option<String>,
    payload_bytes: usize,
    /// Sequences seen, a channel: what a feed elsewhere must have published.
    seen: Vec<Option<Range<u64>>>,
    read_at_ns: u64,
}

impl Context {
    /// For records of `payload_bytes` on `channels` channels.
    pub(super) fn new(
        dialect: Dialect,
        record_wire_bytes: Option<usize>,
        payload_bytes: usize,
        channels: u32,
    ) -> Self {
        Self {
            dialect,
            record_wire_bytes,
            scratch: vec![0; READ_BYTES_MAX],
            window_ns: 0..0,
            latencies: Latencies::new(),
            bytes: 0,
            frames_parsed: 0,
            records_parsed: 0,
            reads_parsed: 0,
            strangers: 0,
            close_said: None,
            payload_bytes,
            seen: vec![None; channels as usize],
            read_at_ns: 0,
        }
    }

    /// The clock is read before each read that is parsed, not for each frame.
    pub(super) fn read_clock(&mut self) {
        self.read_at_ns = clock::now_ns();
    }

    /// The place of a payload within a text frame.
    pub(super) fn payload_of<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let end = text.len().checked_sub(self.dialect.tail_bytes())?;
        text.get(end.checked_sub(self.payload_bytes)?..end)
    }

    /// Takes a record that was parsed.
    pub(super) fn record(&mut self, stamped: Stamped, known: bool) {
        self.records_parsed += 1;
        if self.window_ns.contains(&stamped.stamp_ns) {
            self.latencies.record(self.read_at_ns.saturating_sub(stamped.stamp_ns));
        }
        match self.seen.get_mut(stamped.channel as usize) {
            Some(seen) if known => {
                let range = seen.get_or_insert(stamped.sequence..stamped.sequence);
                range.end = range.end.max(stamped.sequence + 1);
            }
            _ => self.strangers += 1,
        }
    }

    pub(super) fn note_close(&mut self, payload: &[u8]) {
        if let (None, Some((code, reason))) = (&self.close_said, payload.split_first_chunk()) {
            let reason = String::from_utf8_lossy(reason);
            self.close_said = Some(format!("{} {reason}", u16::from_be_bytes(*code)));
        }
    }

    /// Keeps the first reason that a server gave in words before it closed.
    pub(super) fn note_said(&mut self, why: &[u8]) {
        self.close_said.get_or_insert_with(|| String::from_utf8_lossy(why).into_owned());
    }

    /// Records published a channel, as far as the parsed connections show it.
    pub(super) fn seen_per_channel(&self) -> impl Iterator<Item = Option<u64>> + '_ {
        self.seen.iter().map(|seen| seen.as_ref().map(|range| range.end - range.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload;

    const PAYLOAD: &str = r#"{"t":"00000000000000000150","c":"00003","n":"0000000009"}"#;
    const RECORD: Stamped = Stamped { stamp_ns: 150, channel: 3, sequence: 9 };

    fn context(dialect: Dialect) -> Context {
        Context::new(dialect, None, PAYLOAD.len(), 5)
    }

    #[test]
    fn payloads_are_found_in_each_dialect() {
        let frames = [
            (Dialect::Binance, PAYLOAD.to_owned()),
            (Dialect::Combined, format!(r#"{{"stream":"s00003@trade","data":{PAYLOAD}}}"#)),
            (
                Dialect::Native,
                format!(r#"{{"ch":"s00003@trade","seq":1048,"ts":1723161254024619,"data":{PAYLOAD}}}"#),
            ),
        ];
        for (dialect, text) in frames {
            let context = context(dialect);
            let found = context.payload_of(text.as_bytes()).and_then(payload::read);
            assert_eq!(found, Some(RECORD), "{dialect:?}");
            assert!(context.payload_of(b"{}").is_none());
        }
    }

    #[test]
    fn a_record_stamped_within_the_window_counts_whenever_it_arrives() {
        let mut context = context(Dialect::Binance);
        context.window_ns = 100..200;
        context.read_at_ns = 10_150;
        context.record(RECORD, true);
        context.record(Stamped { stamp_ns: 200, ..RECORD }, true);
        assert_eq!(context.latencies.summary().count, 1);
        assert!(context.latencies.summary().max.abs_diff(10_000) < 16);
        assert_eq!(context.seen_per_channel().nth(3), Some(Some(1)));
    }

    #[test]
    fn the_first_close_is_kept() {
        let mut context = context(Dialect::Binance);
        context.note_close(&[0x03, 0xF0, b's', b'l', b'o', b'w']);
        context.note_close(&[0x03, 0xE8]);
        assert_eq!(context.close_said.as_deref(), Some("1008 slow"));
    }
}
