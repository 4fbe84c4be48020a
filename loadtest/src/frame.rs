//! Frame heads: walks what a server sent, and makes the few frames that a subscriber sends.
//!
//! Pure. Must not look into payloads beyond handing them out.
//! Invariant: what [`walk`] takes is whole frames; the cut tail stays with the caller.

/// Opcodes of RFC 6455, section 5.2.
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// One whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// Bytes on the wire, head included.
    pub(crate) wire_bytes: usize,
}

/// A server sent what no server may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// RFC 6455, section 5.1: a server must not mask.
    Masked,
    /// The tools ask for no compression and the peers send no fragments.
    FragmentedOrCompressed,
}

/// Hands each whole frame in `bytes` to `visit` and returns how many bytes those were.
pub(crate) fn walk(bytes: &[u8], mut visit: impl FnMut(Frame<'_>)) -> Result<usize, FrameError> {
    let mut taken = 0;
    while let Some(frame) = first(&bytes[taken..])? {
        taken += frame.wire_bytes;
        visit(frame);
    }
    Ok(taken)
}

fn first(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let Some(Head { opcode, head_bytes, payload_bytes }) = head(bytes)? else { return Ok(None) };
    let wire_bytes = head_bytes + payload_bytes;
    let payload = bytes.get(head_bytes..wire_bytes);
    Ok(payload.map(|payload| Frame { opcode, payload, wire_bytes }))
}

/// The head of a frame that may not be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) opcode: u8,
    pub(crate) head_bytes: usize,
    pub(crate) payload_bytes: usize,
}

/// Reads the head of the frame at the front of `bytes`; `None` if it is cut.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>, FrameError> {
    let [start, length, ..] = *bytes else { return Ok(None) };
    if start & 0xF0 != FIN {
        return Err(FrameError::FragmentedOrCompressed);
    }
    if length & MASKED != 0 {
        return Err(FrameError::Masked);
    }
    let sizes = sizes(length, &bytes[2..]);
    Ok(sizes.map(|(head_bytes, payload_bytes)| Head { opcode: start & 0x0F, head_bytes, payload_bytes }))
}

fn sizes(length: u8, rest: &[u8]) -> Option<(usize, usize)> {
    match length {
        126 => Some((4, u16::from_be_bytes(*rest.first_chunk()?).into())),
        127 => Some((10, usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?)),
        short => Some((2, short.into())),
    }
}

/// Bytes of the head in front of a server's payload.
pub(crate) const fn head_bytes(payload_bytes: usize) -> usize {
    match payload_bytes {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

/// Appends a server's frame: unmasked.
pub(crate) fn append_server(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    append_head(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

/// Appends a client's frame: masked, as RFC 6455, section 5.3 demands.
pub(crate) fn append_client(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    append_head(out, opcode, payload.len(), MASKED);
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

fn append_head(out: &mut Vec<u8>, opcode: u8, payload_bytes: usize, masked: u8) {
    out.push(FIN | opcode);
    match head_bytes(payload_bytes) {
        2 => out.push(masked | payload_bytes as u8),
        4 => {
            out.push(masked | 126);
            out.extend_from_slice(&(payload_bytes as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
}

/// Takes the first whole client frame off `bytes`: opcode, unmasked payload, bytes on the wire.
///
/// For the peers only, which read small subscriptions from our own swarm.
pub(crate) fn take_client(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let [start, length, ..] = *bytes else { return None };
    let (head_bytes, payload_bytes) = sizes(length & !MASKED, &bytes[2..])?;
    let mask: [u8; 4] = *bytes.get(head_bytes..)?.first_chunk()?;
    let wire_bytes = head_bytes + mask.len() + payload_bytes;
    let masked = bytes.get(head_bytes + mask.len()..wire_bytes)?;
    let payload = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((start & 0x0F, payload, wire_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn frames_cut_anywhere_come_out_whole(
            sizes in prop::collection::vec(prop_oneof![9 => 0usize..300, 1 => 65_500usize..65_600], 1..8),
            cuts in prop::collection::vec(prop_oneof![1usize..20, 1_000usize..90_000], 2..20),
        ) {
            let frames: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, n)| vec![i as u8; *n]).collect();
            let mut wire = Vec::new();
            for payload in &frames {
                append_server(&mut wire, TEXT, payload);
            }
            prop_assert_eq!(in_chunks(&wire, &cuts), frames);
        }

        #[test]
        fn a_client_frame_reads_back(size in prop_oneof![0usize..300, 65_500usize..65_600], byte in any::<u8>()) {
            let payload: Vec<u8> = (0..size).map(|at| byte.wrapping_add(at as u8)).collect();
            let mut wire = Vec::new();
            append_client(&mut wire, PONG, &payload);
            prop_assert_eq!(take_client(&wire), Some((PONG, payload, wire.len())));
            prop_assert_eq!(take_client(&wire[..wire.len() - 1]), None);
        }
    }

    fn in_chunks(wire: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
        let (mut seen, mut carry, mut at) = (Vec::new(), Vec::new(), 0);
        for cut in cuts.iter().cycle() {
            let end = wire.len().min(at + cut);
            carry.extend_from_slice(&wire[at..end]);
            let taken = walk(&carry, |frame| seen.push(frame.payload.to_vec())).expect("well formed");
            carry.drain(..taken);
            at = end;
            if at == wire.len() {
                break;
            }
        }
        seen
    }

    #[test]
    fn what_no_server_may_send_is_refused() {
        assert_eq!(walk(&[0x81, 0x80, 0, 0, 0, 0], |_| ()), Err(FrameError::Masked));
        assert_eq!(walk(&[0x01, 0x00], |_| ()), Err(FrameError::FragmentedOrCompressed));
        assert_eq!(walk(&[0xC1, 0x00], |_| ()), Err(FrameError::FragmentedOrCompressed));
    }

    #[test]
    fn wire_bytes_are_head_and_payload() {
        for payload_bytes in [0, 125, 126, 0xFFFF, 0x1_0000] {
            let mut wire = Vec::new();
            append_server(&mut wire, TEXT, &vec![0; payload_bytes]);
            assert_eq!(wire.len(), head_bytes(payload_bytes) + payload_bytes);
        }
    }
}
