//! The array of words: bytes in, bytes out, by position; it wraps where its end is met.
//!
//! Any thread. Every access here is relaxed; what makes one entry's words visible or invalid stands in `shared`.
//! Invariant: a position and its word go together modulo the size, and no inner loop asks where the end is.

use super::entry::Position;
use super::sync::{AtomicU64, Ordering};

/// One store in each of these touches every page (of 4 KiB).
const PAGE_WORDS: usize = 512;

/// A power-of-two array of words.
#[derive(Debug)]
pub(super) struct Words {
    words: Box<[AtomicU64]>,
}

impl Words {
    /// Words that are really there: an allocator may hand out pages that fault at their first use.
    pub(super) fn touched(count: u64) -> Self {
        debug_assert!(count.is_power_of_two());
        let words: Box<[_]> = (0..count).map(|_| AtomicU64::new(0)).collect();
        // The compiler may turn the line above into "ask for zeroed pages"; an atomic store it leaves alone.
        for word in words.iter().step_by(PAGE_WORDS) {
            word.store(0, Ordering::Relaxed);
        }
        Self { words }
    }

    /// The words from a position on.
    pub(super) fn load<const N: usize>(&self, position: Position) -> [u64; N] {
        std::array::from_fn(|i| self.at(position + i as u64).load(Ordering::Relaxed))
    }

    /// Appends so many bytes, read from a position on.
    pub(super) fn append_to(&self, position: Position, bytes: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + bytes, 0);
        let (whole, tail) = out[start..].as_chunks_mut::<8>();
        let (here, there) = self.run(position, bytes.div_ceil(8));
        let (first, second) = whole.split_at_mut(whole.len().min(here.len()));
        load_run(here, first);
        load_run(there, second);
        if let Some(last) = there.last().or_else(|| here.last()) {
            let last = last.load(Ordering::Relaxed).to_le_bytes();
            tail.iter_mut().zip(last).for_each(|(byte, value)| *byte = value);
        }
    }

    /// Copies so many words from one position to another; they must not overlap.
    pub(super) fn copy(&self, from: Position, to: Position, count: u64) {
        for i in 0..count {
            let word = self.at(from + i).load(Ordering::Relaxed);
            self.at(to + i).store(word, Ordering::Relaxed);
        }
    }

    /// What stores so many words from a position on.
    pub(super) fn packer(&self, position: Position, count: u64) -> Packer<'_> {
        let (here, there) = self.run(position, count as usize);
        Packer { here, there, carry: 0, carried: 0 }
    }

    fn at(&self, position: Position) -> &AtomicU64 {
        &self.words[position as usize & (self.words.len() - 1)]
    }

    /// Words from a position on as up to two slices: up to the array's end, and from its beginning.
    fn run(&self, position: Position, count: usize) -> (&[AtomicU64], &[AtomicU64]) {
        let start = position as usize & (self.words.len() - 1);
        let (before, from_start) = self.words.split_at(start);
        match from_start.get(..count) {
            Some(here) => (here, &[]),
            None => (from_start, &before[..count - from_start.len()]),
        }
    }
}

/// Joins pieces of bytes to little-endian words; the last word is filled up with zeros.
pub(super) struct Packer<'a> {
    here: &'a [AtomicU64],
    there: &'a [AtomicU64],
    /// The word begun, and how many bytes of it there are. In a register: bytes that are stored and then loaded
    /// as one word make the load wait for the stores (a third of a publish).
    carry: u64,
    carried: usize,
}

impl Packer<'_> {
    pub(super) fn words<const N: usize>(&mut self, words: [u64; N]) {
        debug_assert_eq!(self.carried, 0, "words stand before the pieces");
        self.put(&words.map(u64::to_le_bytes));
    }

    pub(super) fn piece(&mut self, piece: &[u8]) {
        let (words, rest) = self.top_up(piece).as_chunks::<8>();
        self.put(words);
        if !rest.is_empty() {
            self.carry(rest);
        }
    }

    pub(super) fn finish(mut self) {
        if self.carried > 0 {
            self.flush();
        }
    }

    /// Completes the word that the piece before has begun, as far as this one goes; gives what is left of it.
    fn top_up<'b>(&mut self, piece: &'b [u8]) -> &'b [u8] {
        if self.carried == 0 {
            return piece;
        }
        let (now, rest) = piece.split_at(piece.len().min(8 - self.carried));
        self.carry(now);
        if self.carried == 8 {
            self.flush();
        }
        rest
    }

    fn carry(&mut self, bytes: &[u8]) {
        let word = bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        self.carry |= word << (8 * self.carried);
        self.carried += bytes.len();
    }

    fn flush(&mut self) {
        self.put(&[self.carry.to_le_bytes()]);
        self.carry = 0;
        self.carried = 0;
    }

    fn put(&mut self, words: &[[u8; 8]]) {
        let (now, later) = words.split_at(words.len().min(self.here.len()));
        self.here = store_run(self.here, now);
        if !later.is_empty() {
            self.here = store_run(self.there, later);
            self.there = &[];
        }
    }
}

/// Stores as many words as are given; what is left of the places comes back.
fn store_run<'a>(places: &'a [AtomicU64], words: &[[u8; 8]]) -> &'a [AtomicU64] {
    let (now, rest) = places.split_at(words.len());
    for (place, word) in now.iter().zip(words) {
        place.store(u64::from_le_bytes(*word), Ordering::Relaxed);
    }
    rest
}

fn load_run(places: &[AtomicU64], words: &mut [[u8; 8]]) {
    for (place, word) in places.iter().zip(words) {
        *word = place.load(Ordering::Relaxed).to_le_bytes();
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    /// Every cut of a body into three pieces, at every place in an array of eight words.
    #[test]
    fn pieces_come_back_joined_wherever_they_wrap() {
        let words = Words::touched(8);
        let body: Vec<u8> = (1..=29).collect();
        for position in 0..16 {
            for first in 0..body.len() {
                for second in first..body.len() {
                    let mut packer = words.packer(position, 4);
                    packer.piece(&body[..first]);
                    packer.piece(&body[first..second]);
                    packer.piece(&body[second..]);
                    packer.finish();
                    let mut out = vec![99];
                    words.append_to(position, body.len(), &mut out);
                    assert_eq!(out[1..], body, "at {position}, cut at {first} and {second}");
                }
            }
        }
    }

    #[test]
    fn the_last_word_is_filled_up_with_zeros() {
        let words = Words::touched(8);
        for byte in [0xff, 0x01] {
            let mut packer = words.packer(7, 2);
            packer.words([5]);
            packer.piece(&[byte]);
            packer.finish();
        }
        assert_eq!(words.load(7), [5, 1]);
    }

    #[test]
    fn copying_follows_the_wrap_on_both_sides() {
        let words = Words::touched(8);
        words.packer(6, 3).words([1, 2, 3]);
        words.copy(6, 11, 3);
        assert_eq!(words.load(11), [1, 2, 3]);
    }
}
