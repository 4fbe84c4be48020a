//! The book of one symbol: price levels on two sides, and which of them changed since the last diff.
//!
//! Pure. Must not use floats. Decides nothing about when anything is told.
//! Invariant: the best bid is below the best ask, and each change of a level takes one number of `update_id`.

use super::chance::Chance;

/// Levels that a side has about; what lies deeper is nobody's business here.
const LEVELS: usize = 240;
/// Levels that a side has at least, so that a partial book of twenty is always full.
const LEVELS_MIN: usize = 40;
/// Levels of one side that a single order may clear.
const CLEARED_MAX: usize = 30;

/// Quantities wait at a level: this many steps of the symbol's typical trade, a whole number of times.
const LOTS_MAX: u64 = 60;

/// A price, and how much waits there; or a trade's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) price: u64,
    pub(super) quantity: u64,
}

/// Which side of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Bids,
    Asks,
}

impl Side {
    pub(super) fn any(chance: &mut Chance) -> Self {
        if chance.below(2) == 0 { Self::Bids } else { Self::Asks }
    }
}

/// What changed since the diff before.
#[derive(Debug)]
pub(super) struct Diff {
    pub(super) first_id: u64,
    pub(super) last_id: u64,
    pub(super) bids: Vec<Level>,
    pub(super) asks: Vec<Level>,
}

#[derive(Clone, Debug)]
pub(super) struct Book {
    tick: u64,
    /// The usual distance between two levels, in ticks.
    gap: u64,
    /// A typical trade, in units.
    lot: u64,
    step: u64,
    bids: Ladder,
    asks: Ladder,
    update_id: u64,
    told_id: u64,
}

/// One side: levels with the best last, and the prices that changed.
#[derive(Clone, Debug)]
struct Ladder {
    side: Side,
    levels: Vec<Level>,
    changed: Vec<u64>,
}

impl Book {
    pub(super) fn new(
        price: u64,
        tick: u64,
        lot: u64,
        step: u64,
        update_id: u64,
        chance: &mut Chance,
    ) -> Self {
        let gap = 1 + price / tick / 200_000;
        let (bids, asks) = (Ladder::new(Side::Bids), Ladder::new(Side::Asks));
        let mut book = Self { tick, gap, lot, step, bids, asks, update_id, told_id: update_id };
        book.set(Side::Bids, price, chance);
        book.set(Side::Asks, price + tick, chance);
        book.deepen(Side::Bids, LEVELS, chance);
        book.deepen(Side::Asks, LEVELS, chance);
        book.diff();
        book
    }

    pub(super) fn best(&self, side: Side) -> Level {
        *self.ladder(side).levels.last().expect("a side has its levels at all times")
    }

    pub(super) fn update_id(&self) -> u64 {
        self.update_id
    }

    /// Prices that the next diff has to tell of.
    pub(super) fn changes(&self) -> usize {
        self.bids.changed.len() + self.asks.changed.len()
    }

    /// The best levels of a side, the best first.
    pub(super) fn top(&self, side: Side, levels: usize) -> impl Iterator<Item = Level> {
        self.ladder(side).levels.iter().rev().take(levels).copied()
    }

    /// Takes from the best level of a side, all of it at most; gives what was taken.
    pub(super) fn take(&mut self, side: Side, quantity: u64, chance: &mut Chance) -> Level {
        let best = self.best(side);
        let quantity = quantity.min(best.quantity);
        self.put(side, Level { price: best.price, quantity: best.quantity - quantity });
        self.deepen(side, LEVELS_MIN, chance);
        Level { price: best.price, quantity }
    }

    /// Somebody changes a best price, towards `anchor` where it stands elsewhere, or how much waits there.
    pub(super) fn quote(&mut self, anchor: u64, chance: &mut Chance) {
        let (bid, ask) = (self.best(Side::Bids).price, self.best(Side::Asks).price);
        if anchor >= ask {
            self.clear(Side::Asks, anchor, chance);
        } else if anchor <= bid {
            self.clear(Side::Bids, anchor, chance);
        } else if ask - bid > self.tick && chance.below(3) > 0 {
            self.improve(bid, ask, anchor, chance);
        } else {
            let side = Side::any(chance);
            self.set(side, self.best(side).price, chance);
        }
    }

    /// So many changes behind the best prices.
    pub(super) fn churn(&mut self, changes: usize, chance: &mut Chance) {
        for _ in 0..changes {
            let side = Side::any(chance);
            let levels = self.ladder(side).levels.len();
            // One behind the best; orders come and go mostly close to it.
            let near = (chance.below(levels as u64 - 1)).min(chance.below(levels as u64 - 1)) as usize;
            let (deepest, price) =
                (self.ladder(side).levels[0].price, self.ladder(side).levels[levels - 2 - near].price);
            match chance.below(8) {
                0..4 if levels <= LEVELS => self.fill(side, chance),
                // What the price has left behind goes too.
                0 => self.put(side, Level { price: deepest, quantity: 0 }),
                1..4 => self.put(side, Level { price, quantity: 0 }),
                _ => self.set(side, price, chance),
            }
        }
    }

    /// What changed since the last diff, each level as it is now.
    pub(super) fn diff(&mut self) -> Diff {
        let first_id = self.told_id + 1;
        self.told_id = self.update_id;
        Diff { first_id, last_id: self.update_id, bids: self.bids.told(), asks: self.asks.told() }
    }

    /// A new level somewhere behind the best, the likelier the closer.
    fn fill(&mut self, side: Side, chance: &mut Chance) {
        let reach = 1 + chance.below(LEVELS as u64 * self.gap);
        let behind = (1 + chance.below(reach)) * self.tick;
        let best = self.best(side).price;
        let price = if side == Side::Bids { best.saturating_sub(behind) } else { best + behind };
        self.set(side, price.max(self.tick), chance);
    }

    /// Removes the best levels of a side up to a price, some at most.
    fn clear(&mut self, side: Side, to: u64, chance: &mut Chance) {
        for _ in 0..CLEARED_MAX {
            let Level { price, .. } = self.best(side);
            let within = if side == Side::Bids { price >= to } else { price <= to };
            if !within {
                break;
            }
            self.put(side, Level { price, quantity: 0 });
            self.deepen(side, LEVELS_MIN, chance);
        }
    }

    /// A better price on the side that stands further from the anchor, between the best ones.
    fn improve(&mut self, bid: u64, ask: u64, anchor: u64, chance: &mut Chance) {
        let free = (ask - bid) / self.tick - 1;
        if anchor - bid >= ask - anchor {
            let room = ((anchor - bid) / self.tick).clamp(1, free);
            self.set(Side::Bids, bid + (1 + chance.below(room)) * self.tick, chance);
        } else {
            let room = ((ask - anchor) / self.tick).clamp(1, free);
            self.set(Side::Asks, ask - (1 + chance.below(room)) * self.tick, chance);
        }
    }

    /// Adds levels behind the last one until there are so many.
    fn deepen(&mut self, side: Side, levels: usize, chance: &mut Chance) {
        while self.ladder(side).levels.len() < levels {
            let Some(last) = self.ladder(side).levels.first() else { return };
            let behind = (1 + chance.below(2 * self.gap)) * self.tick;
            let price =
                if side == Side::Bids { last.price.saturating_sub(behind) } else { last.price + behind };
            if price == 0 {
                return;
            }
            self.set(side, price, chance);
        }
    }

    /// A new quantity at a price, another one than before.
    fn set(&mut self, side: Side, price: u64, chance: &mut Chance) {
        let lots = 1 + chance.below(LOTS_MAX).min(chance.below(LOTS_MAX));
        let mut quantity = lots * self.lot + chance.below(100) * self.step;
        if self.ladder(side).quantity(price) == Some(quantity) {
            quantity += self.step;
        }
        self.put(side, Level { price, quantity });
    }

    fn put(&mut self, side: Side, level: Level) {
        self.update_id += 1;
        match side {
            Side::Bids => self.bids.put(level),
            Side::Asks => self.asks.put(level),
        }
    }

    fn ladder(&self, side: Side) -> &Ladder {
        if side == Side::Bids { &self.bids } else { &self.asks }
    }
}

impl Ladder {
    fn new(side: Side) -> Self {
        Self { side, levels: Vec::with_capacity(LEVELS + LEVELS / 4), changed: Vec::new() }
    }

    /// Where a price stands, or would stand.
    fn find(&self, price: u64) -> Result<usize, usize> {
        self.levels.binary_search_by(|level| match self.side {
            Side::Bids => level.price.cmp(&price),
            Side::Asks => price.cmp(&level.price),
        })
    }

    fn quantity(&self, price: u64) -> Option<u64> {
        self.find(price).ok().map(|at| self.levels[at].quantity)
    }

    fn put(&mut self, level: Level) {
        match (self.find(level.price), level.quantity) {
            (Ok(at), 0) => drop(self.levels.remove(at)),
            (Ok(at), _) => self.levels[at] = level,
            (Err(_), 0) => {}
            (Err(at), _) => self.levels.insert(at, level),
        }
        self.changed.push(level.price);
    }

    /// The levels that changed, as they are now: the best price first, quantity 0 where there is nothing left.
    fn told(&mut self) -> Vec<Level> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        if self.side == Side::Bids {
            changed.reverse();
        }
        let now = |price| Level { price, quantity: self.quantity(price).unwrap_or(0) };
        changed.into_iter().map(now).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader makes of the diffs.
    fn apply(levels: &mut Vec<Level>, changes: Vec<Level>, side: Side) {
        for change in changes {
            levels.retain(|level| level.price != change.price);
            if change.quantity > 0 {
                levels.push(change);
            }
        }
        levels.sort_by_key(|level| level.price);
        if side == Side::Bids {
            levels.reverse();
        }
    }

    #[test]
    fn diffs_tell_the_whole_book_however_far_the_price_goes() {
        let (tick, price, mut chance) = (100, 1_000_000_u64, Chance::new(9));
        let mut book = Book::new(price, tick, 50_000, 1000, 7, &mut chance);
        let mut seen = [Side::Bids, Side::Asks].map(|side| book.top(side, usize::MAX).collect::<Vec<_>>());
        let (mut anchor, mut told_id) = (price, book.update_id());
        for turn in 0..3000 {
            // Up and down by a tenth, in steps and in jumps of a hundred ticks.
            anchor = (anchor + chance.below(21) * tick).max(10 * tick) - 10 * tick;
            anchor = if turn % 500 == 0 { anchor + 100 * tick } else { anchor }
                .clamp(price * 9 / 10, price * 11 / 10);
            match chance.below(5) {
                0 => drop(book.take(Side::any(&mut chance), chance.below(4_000_000), &mut chance)),
                1 => book.churn(chance.below(40) as usize, &mut chance),
                _ => book.quote(anchor, &mut chance),
            }
            assert!(book.best(Side::Bids).price < book.best(Side::Asks).price, "seed 9, turn {turn}");
            if book.changes() == 0 || chance.below(3) > 0 {
                continue;
            }
            let Diff { first_id, last_id, bids, asks } = book.diff();
            assert_eq!(first_id, std::mem::replace(&mut told_id, last_id) + 1, "seed 9, turn {turn}");
            for ((seen, changes), side) in seen.iter_mut().zip([bids, asks]).zip([Side::Bids, Side::Asks]) {
                apply(seen, changes, side);
                assert_eq!(
                    *seen,
                    book.top(side, usize::MAX).collect::<Vec<_>>(),
                    "seed 9, turn {turn}, {side:?}"
                );
                assert!(
                    (LEVELS_MIN..2 * LEVELS).contains(&seen.len()),
                    "seed 9, turn {turn}: {}",
                    seen.len()
                );
            }
        }
    }
}
