//! Shapes: the ways one payload can look. Frames are cached by shape, not by dialect.
//!
//! Pure. Invariant: a message is `opening`, the payload as it came, `closing`; a shape that can tell gaps tells them all.

use memchr::memchr2;

/// One way a payload can look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// The payload alone.
    Payload,
    /// The exchange's combined envelope: `{"stream":…,"data":…}`.
    Combined,
    /// `{"ch":…,"seq":…,"ts":…,"data":…}`.
    Native,
    /// The same as a Server-Sent Event.
    Sse,
}

/// What goes around a message on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A WebSocket frame.
    WebSocket,
    /// Lines of an event stream: the message brings all it needs.
    EventStream,
}

/// Why a record is sent, where a shape can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// As it came.
    Live,
    /// The latest record at a subscription.
    Snapshot,
    /// This many newer-replaced values lie between this one and the last one sent.
    Skipped(u64),
    /// It holds what this many records said, and is the newest of them.
    Merged(u64),
}

/// Why records will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// The subscriber did not take them in time.
    Slow,
    /// The publisher overtook the shard.
    Lapped,
    /// The channel expired, and came again.
    Expired,
    /// The feed skipped them, by its own sequences.
    Feed,
}

impl GapReason {
    /// The wire's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Lapped => "lapped",
            Self::Expired => "expired",
            Self::Feed => "feed",
        }
    }
}

/// What is told of a channel beside its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// These will not come, both ends included.
    Gap {
        /// First.
        from: u64,
        /// Last.
        to: u64,
        /// Why.
        reason: GapReason,
    },
    /// Its feeds are gone or silent.
    Stale,
    /// They are back.
    Live,
}

/// What stands around a payload.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// Channel's name.
    pub channel: &'a str,
    /// Sequence within the channel.
    pub sequence: u64,
    /// Microseconds since 1970 at ingest.
    pub wall_us: u64,
    /// Why it is sent.
    pub mark: Mark,
    /// Where a client may go on from, once it has this and all before it: the numbering, and the feed-wide ordinal.
    pub resume: Option<(&'a str, u64)>,
}

impl Shape {
    /// How many shapes there are: the size of a table by [`Shape::index`].
    pub const COUNT: usize = 4;

    /// Every shape, in the order of [`Shape::index`].
    pub const ALL: [Self; Self::COUNT] = [Self::Payload, Self::Combined, Self::Native, Self::Sse];

    /// What goes around its messages.
    #[must_use]
    pub fn framing(self) -> Framing {
        match self {
            Self::Payload | Self::Combined | Self::Native => Framing::WebSocket,
            Self::Sse => Framing::EventStream,
        }
    }

    /// Whether it has words for what is not a record: gaps, and the state of a channel.
    #[must_use]
    pub fn can_tell(self) -> bool {
        matches!(self, Self::Native | Self::Sse)
    }

    /// Appends a message that tells something of a channel; nothing where the shape has no words for it.
    pub fn tell(self, channel: &str, notice: &Notice, out: &mut Vec<u8>) {
        match self {
            Self::Payload | Self::Combined => {}
            Self::Native => tell_native(channel, notice, out),
            Self::Sse => {
                out.extend_from_slice(b"data: ");
                tell_native(channel, notice, out);
                out.extend_from_slice(b"\n\n");
            }
        }
    }

    /// A number below [`Shape::COUNT`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Appends what stands before the payload.
    pub fn open(self, label: &Label<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Payload => {}
            Self::Combined => {
                out.extend_from_slice(br#"{"stream":""#);
                out.extend_from_slice(label.channel.as_bytes());
                out.extend_from_slice(br#"","data":"#);
            }
            Self::Native => open_native(label, out),
            Self::Sse => {
                if let Some((epoch, ordinal)) = label.resume {
                    out.extend_from_slice(b"id: ");
                    out.extend_from_slice(epoch.as_bytes());
                    out.push(b':');
                    out.extend_from_slice(itoa::Buffer::new().format(ordinal).as_bytes());
                    out.push(b'\n');
                }
                out.extend_from_slice(b"data: ");
                open_native(label, out);
            }
        }
    }

    /// Makes a payload fit that was appended to `out` from `start` on. White space of JSON may be a line's end, and that would end
    /// the line of an event: each becomes the beginning of a further line, which the client joins to the same JSON.
    pub fn fit(self, out: &mut Vec<u8>, start: usize) {
        if self != Self::Sse {
            return;
        }
        let Some(first) = memchr2(b'\n', b'\r', &out[start..]) else { return };
        let rest = out.split_off(start + first);
        for byte in rest {
            match byte {
                b'\n' | b'\r' => out.extend_from_slice(b"\ndata: "),
                _ => out.push(byte),
            }
        }
    }

    /// What stands behind the payload.
    #[must_use]
    pub fn close(self) -> &'static [u8] {
        match self {
            Self::Payload => b"",
            Self::Combined | Self::Native => b"}",
            Self::Sse => b"}\n\n",
        }
    }
}

fn open_native(label: &Label<'_>, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(br#"{"ch":""#);
    // A channel name holds nothing that JSON would escape: see `channel::validate`.
    out.extend_from_slice(label.channel.as_bytes());
    out.extend_from_slice(br#"","seq":"#);
    out.extend_from_slice(digits.format(label.sequence).as_bytes());
    out.extend_from_slice(br#","ts":"#);
    out.extend_from_slice(digits.format(label.wall_us).as_bytes());
    match label.mark {
        Mark::Live => {}
        Mark::Snapshot => out.extend_from_slice(br#","snap":true"#),
        Mark::Skipped(count) => {
            out.extend_from_slice(br#","skipped":"#);
            out.extend_from_slice(digits.format(count).as_bytes());
        }
        Mark::Merged(count) => {
            out.extend_from_slice(br#","skipped":"#);
            out.extend_from_slice(digits.format(count - 1).as_bytes());
            out.extend_from_slice(br#","merged":true"#);
        }
    }
    out.extend_from_slice(br#","data":"#);
}

fn tell_native(channel: &str, notice: &Notice, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    let op: &[u8] = if matches!(notice, Notice::Gap { .. }) { b"gap" } else { b"status" };
    out.extend_from_slice(br#"{"op":""#);
    out.extend_from_slice(op);
    out.extend_from_slice(br#"","ch":""#);
    out.extend_from_slice(channel.as_bytes());
    match notice {
        Notice::Gap { from, to, reason } => {
            out.extend_from_slice(br#"","from":"#);
            out.extend_from_slice(digits.format(*from).as_bytes());
            out.extend_from_slice(br#","to":"#);
            out.extend_from_slice(digits.format(*to).as_bytes());
            out.extend_from_slice(br#","reason":""#);
            out.extend_from_slice(reason.word().as_bytes());
        }
        Notice::Stale => out.extend_from_slice(br#"","state":"stale"#),
        Notice::Live => out.extend_from_slice(br#"","state":"live"#),
    }
    out.extend_from_slice(br#""}"#);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const PAYLOAD: &str = r#"{"e":"trade","p":"0.10","q":[1,2]}"#;

    fn encode(shape: Shape, mark: Mark) -> String {
        let label = Label {
            channel: "币安@trade",
            sequence: u64::MAX,
            wall_us: 1_723_161_254_024_619,
            mark,
            resume: None,
        };
        let mut out = Vec::new();
        shape.open(&label, &mut out);
        out.extend_from_slice(PAYLOAD.as_bytes());
        out.extend_from_slice(shape.close());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_shape_has_its_own_index_below_the_count() {
        for (index, shape) in Shape::ALL.into_iter().enumerate() {
            assert_eq!(shape.index(), index);
        }
    }

    #[test]
    fn a_payload_stands_alone_or_in_its_envelope() {
        assert_eq!(encode(Shape::Payload, Mark::Live), PAYLOAD);
        let combined = format!(r#"{{"stream":"币安@trade","data":{PAYLOAD}}}"#);
        assert_eq!(encode(Shape::Combined, Mark::Skipped(1)), combined, "no word for what was skipped");
        let head = r#"{"ch":"币安@trade","seq":18446744073709551615,"ts":1723161254024619"#;
        assert_eq!(encode(Shape::Native, Mark::Live), format!(r#"{head},"data":{PAYLOAD}}}"#));
        assert_eq!(
            encode(Shape::Native, Mark::Snapshot),
            format!(r#"{head},"snap":true,"data":{PAYLOAD}}}"#)
        );
        assert_eq!(
            encode(Shape::Native, Mark::Skipped(6)),
            format!(r#"{head},"skipped":6,"data":{PAYLOAD}}}"#)
        );
    }

    #[test]
    fn every_shape_with_every_mark_is_json() {
        for shape in [Shape::Payload, Shape::Combined, Shape::Native] {
            for mark in [Mark::Live, Mark::Snapshot, Mark::Skipped(u64::MAX), Mark::Merged(2)] {
                let message = encode(shape, mark);
                assert!(serde_json::from_str::<Value>(&message).is_ok(), "{message}");
            }
        }
    }

    #[test]
    fn what_is_not_a_record_is_told_where_there_are_words() {
        let gap = Notice::Gap { from: 1049, to: 1090, reason: GapReason::Slow };
        let said = |shape: Shape, notice: &Notice| {
            let mut out = Vec::new();
            shape.tell("btcusdt@trade", notice, &mut out);
            assert_eq!(out.is_empty(), !shape.can_tell());
            String::from_utf8(out).unwrap()
        };
        let told = r#"{"op":"gap","ch":"btcusdt@trade","from":1049,"to":1090,"reason":"slow"}"#;
        assert_eq!(said(Shape::Native, &gap), told);
        assert_eq!(said(Shape::Sse, &gap), format!("data: {told}\n\n"));
        assert_eq!(said(Shape::Combined, &gap), "");
        let stale = r#"{"op":"status","ch":"btcusdt@trade","state":"stale"}"#;
        assert_eq!(said(Shape::Native, &Notice::Stale), stale);
        assert_eq!(said(Shape::Native, &Notice::Live), stale.replace("stale", "live"));
    }

    #[test]
    fn a_payload_of_several_lines_stays_one_event() {
        let payload = "{\r\n\"a\":1,\n\r\"b\":\t\"c\\n\"\n}";
        for shape in Shape::ALL {
            let mut out = b"before\n".to_vec();
            out.extend_from_slice(payload.as_bytes());
            shape.fit(&mut out, 7);
            let fitted = String::from_utf8(out).unwrap();
            if shape != Shape::Sse {
                assert_eq!(fitted, format!("before\n{payload}"));
                continue;
            }
            let event = fitted.replacen("before\n", "data: ", 1);
            let lines = event.split('\n').map(|line| line.strip_prefix("data: ").unwrap());
            let data = lines.collect::<Vec<_>>().join("\n");
            assert!(!data.contains('\r'));
            let (got, sent) = (serde_json::from_str::<Value>(&data), serde_json::from_str::<Value>(payload));
            assert_eq!(got.unwrap(), sent.unwrap(), "{data:?}");
        }
        let mut plain = PAYLOAD.as_bytes().to_vec();
        Shape::Sse.fit(&mut plain, 0);
        assert_eq!(plain, PAYLOAD.as_bytes());
    }

    #[test]
    fn an_event_says_where_to_go_on() {
        let label =
            Label { channel: "a@b", sequence: 2, wall_us: 3, mark: Mark::Merged(3), resume: Some(("e1", 9)) };
        let mut out = Vec::new();
        Shape::Sse.open(&label, &mut out);
        let expected =
            "id: e1:9\ndata: {\"ch\":\"a@b\",\"seq\":2,\"ts\":3,\"skipped\":2,\"merged\":true,\"data\":";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
