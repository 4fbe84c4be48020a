//! Unmasking of a client's payload (RFC 6455, 5.3).
//!
//! Pure; the shard's thread. Eight bytes a step, which the compiler widens further. Invariant: applied twice with the
//! same key and offset, the payload is as before.

/// Unmasks a piece of a payload in place. `offset` is how many bytes of the same payload went before it.
pub(super) fn apply(piece: &mut [u8], key: [u8; 4], offset: usize) {
    let [a, b, c, d] = turned(key, offset);
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = piece.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

/// The key as it stands for a piece that begins at this offset.
fn turned(mut key: [u8; 4], offset: usize) -> [u8; 4] {
    key.rotate_left(offset % 4);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_offset_equals_the_rule_of_the_rfc() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for offset in 0..9 {
            for length in 0..40_usize {
                let plain: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
                let naive: Vec<u8> =
                    plain.iter().enumerate().map(|(i, byte)| byte ^ key[(offset + i) % 4]).collect();
                let mut piece = plain.clone();
                apply(&mut piece, key, offset);
                assert_eq!(piece, naive, "offset {offset}, length {length}");
            }
        }
    }
}
