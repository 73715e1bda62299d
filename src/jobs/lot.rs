//! How many effects a worker leases at a time: few where they take long, so that other daemons find some; more where they are done at once,
//! since each lease is a durable write that all it takes share.

use std::time::Duration;

/// How many are held for each that is delivered at once, at least and at most; those that wait for their turn keep their leases alive.
const LEAST_FOR_EACH: u32 = 4;
const MOST_FOR_EACH: u32 = 16;

/// Held at most, however many are delivered at once, save where the least is more: their events are in memory.
const MOST: u32 = 1024;

/// Where half of what is held is done so soon, twice as many are held; where it takes so long, half as many.
const SOON: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_millis(400);

/// What one worker holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lot {
    least: u32,
    size: u32,
    most: u32,
}

impl Lot {
    /// Begins with the least for `concurrency` deliveries at once.
    pub(super) fn new(concurrency: u32) -> Self {
        let least = concurrency.saturating_mul(LEAST_FOR_EACH);
        let most = concurrency.saturating_mul(MOST_FOR_EACH).min(MOST).max(least);
        Self { least, size: least, most }
    }

    /// How many are to be leased by who holds so many: none before half of them are done, so that one write serves many while the other
    /// half is at work or waits for its turn.
    pub(super) fn room(self, held: usize) -> u32 {
        let free = self.size.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
        if free >= self.size.div_ceil(2) { free } else { 0 }
    }

    /// How long one more waits for its turn where so many are held; `None` for as long as it takes. What is held beyond the least is given
    /// back where its turn does not come soon: receivers were quick and are not any more.
    pub(super) fn patience(self, held: usize) -> Option<Duration> {
        (held >= self.least as usize).then_some(LONG)
    }

    /// Takes note that something was given back.
    pub(super) const fn was_too_much(&mut self) {
        self.size = self.least;
    }

    /// Takes note of how long it took until there was room again, after as many were leased as there was room for.
    pub(super) fn took(&mut self, time: Duration) {
        if time < SOON {
            self.size = self.size.saturating_mul(2).min(self.most);
        } else if time > LONG {
            self.size = (self.size / 2).max(self.least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_receivers_get_more_at_a_time_and_slow_ones_less() {
        let mut lot = Lot::new(32);
        assert_eq!((lot.room(0), lot.room(64), lot.room(65)), (128, 64, 0));
        lot.took(SOON / 2);
        assert_eq!(lot.room(0), 256);
        for _ in 0..9 {
            lot.took(SOON / 2);
        }
        assert_eq!(lot.room(0), 512);
        lot.took(SOON * 2);
        assert_eq!(lot.room(0), 512);
        lot.took(LONG * 2);
        assert_eq!((lot.room(0), lot.room(400)), (256, 0), "what is held is done first");
        for _ in 0..9 {
            lot.took(LONG * 2);
        }
        assert_eq!(lot.room(0), 128);
        assert_eq!((lot.patience(127), lot.patience(128)), (None, Some(LONG)), "the least wait for their turn");
        lot.took(SOON / 2);
        lot.was_too_much();
        assert_eq!((lot.room(0), lot.room(128)), (128, 0));
    }

    #[test]
    fn there_are_bounds_for_every_concurrency() {
        for concurrency in [1, 2, 100, 1000, u32::MAX] {
            let mut lot = Lot::new(concurrency);
            let least = lot.room(0);
            for _ in 0..40 {
                lot.took(Duration::ZERO);
            }
            assert!(least >= concurrency && lot.room(0) >= least && lot.room(0) <= least.max(MOST), "{concurrency}: {lot:?}");
        }
    }
}
