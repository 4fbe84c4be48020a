//! One timer wheel for pings, pong and close deadlines.
//!
//! Pure: time is an argument, in milliseconds since the shard's start. Owned by one shard's thread.
//! Invariant: an entry comes out at the first `advance` to its deadline or later, once.

use std::num::NonZeroU64;

/// Milliseconds since the shard's start.
pub(super) type Millis = u64;

/// A time that may be missing at no cost: an `Option` of it is as large as the time alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(NonZeroU64);

impl Moment {
    pub(super) fn at(ms: Millis) -> Self {
        Self(NonZeroU64::MIN.saturating_add(ms))
    }

    pub(super) fn ms(self) -> Millis {
        self.0.get() - 1
    }
}

/// A part of a span that differs from subscriber to subscriber. Serials are dense, so a multiplicative hash spreads them evenly.
pub(super) fn part_of(serial: u32, span: Millis) -> Millis {
    u64::from(serial.wrapping_mul(0x9E37_79B9)) * span.min(u64::from(u32::MAX)) / (1 << 32)
}

/// Slots of 1 ms; a deadline further away stays in its slot for another round.
const SLOTS: usize = 2048;

#[derive(Clone, Copy, Debug)]
struct Timer<T> {
    deadline: Millis,
    item: T,
}

/// A hashed timer wheel with a resolution of 1 ms.
#[derive(Debug)]
pub(super) struct Wheel<T> {
    slots: Vec<Vec<Timer<T>>>,
    now: Millis,
    len: usize,
}

impl<T: Copy> Wheel<T> {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), now: 0, len: 0 }
    }

    /// Sets a timer; a deadline that has passed comes out at the next millisecond.
    pub(super) fn set(&mut self, deadline: Millis, item: T) {
        let deadline = deadline.max(self.now + 1);
        self.slots[deadline as usize % SLOTS].push(Timer { deadline, item });
        self.len += 1;
    }

    /// Moves on to `now` and appends what is due to `due`.
    pub(super) fn advance(&mut self, now: Millis, due: &mut Vec<T>) {
        // After a pause of a whole round each slot is looked at once.
        let first = (self.now + 1).max(now.saturating_sub(SLOTS as Millis - 1));
        for tick in first..=now {
            let slot = &mut self.slots[tick as usize % SLOTS];
            let before = slot.len();
            slot.retain(|timer| {
                let stays = timer.deadline > now;
                if !stays {
                    due.push(timer.item);
                }
                stays
            });
            self.len -= before - slot.len();
        }
        self.now = self.now.max(now);
    }

    /// Milliseconds in which nothing can become due, at most `limit`.
    pub(super) fn idle_for(&self, limit: Millis) -> Millis {
        if self.len == 0 {
            return limit;
        }
        let empty = |tick: &Millis| self.slots[(self.now + tick) as usize % SLOTS].is_empty();
        (1..limit).take_while(empty).last().unwrap_or(0) + 1
    }
}

#[cfg(test)]
impl<T> Wheel<T> {
    /// How many timers are set.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn neighbours_are_spread_evenly_over_a_span() {
        let mut tenths = [0; 10];
        for serial in 12_345..22_345 {
            tenths[part_of(serial, 30_000) as usize / 3000] += 1;
        }
        assert!(tenths.iter().all(|&tenth| (950..1050).contains(&tenth)), "{tenths:?}");
        assert!(part_of(u32::MAX, u64::MAX) < u64::from(u32::MAX));
    }

    proptest! {
        /// Against a naive list: everything due comes out at the first advance to its deadline, once.
        #[test]
        fn timers_come_out_when_due(steps in prop::collection::vec((0_u64..6000, 1_u64..5000), 1..60)) {
            let mut wheel = Wheel::new();
            let (mut naive, mut now) = (Vec::new(), 0);
            for (number, (delay, step)) in steps.into_iter().enumerate() {
                wheel.set(now + delay, number);
                naive.push(((now + delay).max(now + 1), number));
                prop_assert!(naive.iter().all(|(deadline, _)| now + wheel.idle_for(100) <= (*deadline).max(now + 1)));
                now += step;
                let mut due = Vec::new();
                wheel.advance(now, &mut due);
                due.sort_unstable();
                let mut expected: Vec<_> = naive.extract_if(.., |(deadline, _)| *deadline <= now).map(|(_, n)| n).collect();
                expected.sort_unstable();
                prop_assert_eq!(due, expected);
            }
            prop_assert_eq!(wheel.len(), naive.len());
        }
    }
}
