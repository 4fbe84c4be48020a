//! Shapes: the ways one payload can look. Frames are cached by shape, not by dialect.
//!
//! Pure. Invariant: a message is `opening`, the payload as it came, `closing`.

/// One way a payload can look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// The payload alone.
    Payload,
    /// The exchange's combined envelope: `{"stream":…,"data":…}`.
    Combined,
    /// `{"ch":…,"seq":…,"ts":…,"data":…}`.
    Native,
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
}

impl Shape {
    /// How many shapes there are: the size of a table by [`Shape::index`].
    pub const COUNT: usize = 3;

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
        }
    }

    /// What stands behind the payload.
    #[must_use]
    pub fn close(self) -> &'static [u8] {
        match self {
            Self::Payload => b"",
            Self::Combined | Self::Native => b"}",
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
    }
    out.extend_from_slice(br#","data":"#);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const PAYLOAD: &str = r#"{"e":"trade","p":"0.10","q":[1,2]}"#;

    fn encode(shape: Shape, mark: Mark) -> String {
        let label =
            Label { channel: "币安@trade", sequence: u64::MAX, wall_us: 1_723_161_254_024_619, mark };
        let mut out = Vec::new();
        shape.open(&label, &mut out);
        out.extend_from_slice(PAYLOAD.as_bytes());
        out.extend_from_slice(shape.close());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_shape_has_its_own_index_below_the_count() {
        for (index, shape) in [Shape::Payload, Shape::Combined, Shape::Native].into_iter().enumerate() {
            assert_eq!(shape.index(), index);
        }
        assert_eq!(Shape::Native.index() + 1, Shape::COUNT);
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
            for mark in [Mark::Live, Mark::Snapshot, Mark::Skipped(u64::MAX)] {
                let message = encode(shape, mark);
                assert!(serde_json::from_str::<Value>(&message).is_ok(), "{message}");
            }
        }
    }
}
