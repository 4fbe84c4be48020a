//! What is played in one run, and what each subscriber must therefore receive: when each record is due, and
//! where its frame ends in the stream.
//!
//! Pure. Must not read a clock. Invariant: a subscriber of all channels gets every frame in the tape's order, head and
//! payload and nothing else, so its count of bytes says which records it has whole. Where a server cuts its frames as it likes,
//! the bytes are those that the records would have in frames of their own.

use crate::check::Tape;
use crate::feed::Protocol;
use crate::frame;
use crate::mqtt;
use crate::subscription::Dialect;
use crate::target::Target;
use std::io;
use std::ops::Range;

/// The length of the worst second, in time of the recording.
const WORST_NS: u64 = 1_000_000_000;

/// What a server is spoken to in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wire {
    /// By the subscribers.
    pub(super) dialect: Dialect,
    /// By the feed.
    pub(super) feed: Protocol,
}

impl Wire {
    /// Of a server; an error says why what its subscribers get cannot be known beforehand.
    pub(super) fn of(target: &Target) -> io::Result<Self> {
        let dialect = target.dialect.unwrap_or(Dialect::Binance);
        match dialect {
            Dialect::Binance | Dialect::Nchan | Dialect::Nats | Dialect::Mqtt => {
                Ok(Self { dialect, feed: target.feed })
            }
            Dialect::Combined | Dialect::Native | Dialect::SocketIo => Err(io::Error::other(
                "not played: the server parses payloads and writes them again, so the bytes that are due are not known",
            )),
        }
    }

    /// What follows a frame's head, of one record.
    fn append_content(self, out: &mut Vec<u8>, channel: &str, payload: &[u8]) {
        match self.dialect {
            Dialect::Mqtt => mqtt::append_publish(out, channel, payload),
            _ => out.extend_from_slice(payload),
        }
    }

    fn content_bytes(self, channel: &str, payload_bytes: usize) -> usize {
        match self.dialect {
            Dialect::Mqtt => mqtt::publish_bytes(channel.len(), payload_bytes),
            _ => payload_bytes,
        }
    }

    fn opcode(self) -> u8 {
        if self.dialect == Dialect::Mqtt { frame::BINARY } else { frame::TEXT }
    }
}

/// A part of a tape at a speed.
pub(super) struct Script<'a> {
    pub(super) wire: Wire,
    tape: &'a Tape,
    places: Range<usize>,
    speed: f64,
    /// Where each record's frame ends, in bytes of the stream.
    pub(super) ends: Vec<u64>,
    /// The records of the second that holds most bytes.
    pub(super) worst: Range<usize>,
}

impl<'a> Script<'a> {
    /// The records at `places`; speed 0 is as fast as they are taken.
    pub(super) fn new(tape: &'a Tape, places: Range<usize>, speed: f64, wire: Wire) -> Self {
        let records = &tape.records[places.clone()];
        let mut end = 0;
        let ends = records.iter().map(|record| {
            let bytes = wire.content_bytes(&tape.channels[record.channel], tape.payload(record).len());
            end += (frame::head_bytes(bytes) + bytes) as u64;
            end
        });
        let ends: Vec<u64> = ends.collect();
        let times: Vec<u64> = records.iter().map(|record| record.at_ns).collect();
        let worst = worst_second(&times, &ends);
        Self { wire, tape, places, speed, ends, worst }
    }

    pub(super) fn records(&self) -> usize {
        self.ends.len()
    }

    /// Names of all channels of the tape, whether this part of it has records of them or not.
    pub(super) fn channels(&self) -> &[String] {
        &self.tape.channels
    }

    pub(super) fn is_unpaced(&self) -> bool {
        self.speed == 0.0
    }

    /// When a record is due, ns after the start.
    pub(super) fn due_ns(&self, index: usize) -> u64 {
        if self.is_unpaced() {
            return 0;
        }
        let first_ns = self.tape.records[self.places.start].at_ns;
        let at_ns = self.tape.records[self.places.start + index].at_ns;
        (at_ns.saturating_sub(first_ns) as f64 / self.speed) as u64
    }

    pub(super) fn payload(&self, index: usize) -> &[u8] {
        self.tape.payload(&self.tape.records[self.places.start + index])
    }

    fn channel(&self, index: usize) -> &str {
        &self.tape.channels[self.tape.records[self.places.start + index].channel]
    }

    /// Appends a record as the feed writes it.
    pub(super) fn append_record(&self, index: usize, out: &mut Vec<u8>) {
        self.wire.feed.append(out, self.channel(index), self.payload(index));
    }

    /// Appends a record as a subscriber gets it, in a frame of its own. `content` is a buffer that is used again.
    pub(super) fn append_frame(&self, index: usize, content: &mut Vec<u8>, out: &mut Vec<u8>) {
        content.clear();
        self.wire.append_content(content, self.channel(index), self.payload(index));
        frame::append_server(out, self.wire.opcode(), content);
    }

    /// Bytes of a subscriber's whole stream.
    pub(super) fn bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Bytes of the frames of some records.
    pub(super) fn bytes_of(&self, records: &Range<usize>) -> u64 {
        bytes_of(&self.ends, records)
    }
}

/// The places recorded from `from_ns` on, for `for_ns`.
pub(super) fn places_within(tape: &Tape, from_ns: u64, for_ns: u64) -> Range<usize> {
    let before = |limit_ns: u64| tape.records.partition_point(|record| record.at_ns < limit_ns);
    before(from_ns)..before(from_ns.saturating_add(for_ns))
}

fn bytes_of(ends: &[u64], records: &Range<usize>) -> u64 {
    let end = |count: usize| count.checked_sub(1).map_or(0, |last| ends[last]);
    end(records.end) - end(records.start)
}

/// The records of the second, beginning at any record, that holds most bytes. Times must not fall.
fn worst_second(times_ns: &[u64], ends: &[u64]) -> Range<usize> {
    let (mut worst, mut end) = (0..0, 0);
    for start in 0..times_ns.len() {
        while end < times_ns.len() && times_ns[end] < times_ns[start].saturating_add(WORST_NS) {
            end += 1;
        }
        let second = start..end.max(start);
        if bytes_of(ends, &second) > bytes_of(ends, &worst) {
            worst = second;
        }
    }
    worst
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const BINANCE: Wire = Wire { dialect: Dialect::Binance, feed: Protocol::Lines };
    const S: u64 = 1_000_000_000;

    #[test]
    fn the_worst_second_is_found_wherever_it_begins() {
        // 40 bytes lie within less than a second across the border of two whole ones.
        let times = [0, S / 2, S + S / 4, S + S / 2 - 1, S + S / 2, 3 * S];
        let ends = [10, 25, 45, 50, 60, 85];
        assert_eq!(worst_second(&times, &ends), 1..4, "a second ends before its end");
        assert_eq!(bytes_of(&ends, &(1..4)), 40);
        assert_eq!(worst_second(&[], &[]), 0..0);
        assert_eq!(worst_second(&[7], &[3]), 0..1);
    }

    #[test]
    fn a_script_knows_the_stream_to_the_byte() {
        let tape = Tape::load(None, 5, 1.0, 3.0).expect("it is generated");
        let places = places_within(&tape, S, S);
        for dialect in [Dialect::Binance, Dialect::Nchan, Dialect::Mqtt] {
            let script = Script::new(&tape, places.clone(), 10.0, Wire { dialect, ..BINANCE });
            let (mut stream, mut content) = (Vec::new(), Vec::new());
            for index in 0..script.records() {
                script.append_frame(index, &mut content, &mut stream);
                assert_eq!(stream.len() as u64, script.ends[index], "{dialect:?}");
            }
        }
        let script = Script::new(&tape, places, 10.0, BINANCE);
        assert!((200..3_000).contains(&script.records()), "{} records in a second", script.records());
        assert_eq!(script.worst, 0..script.records(), "one second has one worst second");
        assert!((0..script.records()).all(|index| script.due_ns(index) <= S / 10));
        assert_eq!(script.ends.last(), Some(&script.bytes()));
        assert_eq!(Script::new(&tape, 0..9, 0.0, BINANCE).due_ns(8), 0);
    }
}
