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
