//! Numbers of a seed: which fault, which moment, which claim.

use std::sync::{Arc, Mutex, PoisonError};

/// A stream of numbers. Clones are one stream.
#[derive(Clone)]
pub struct Draws(Arc<Mutex<u64>>);

impl Draws {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// Any number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        // SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators".
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    /// Any number from `from` on and below `to`.
    pub fn between(&self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from))
    }

    /// Any one of them.
    pub fn one_of<'a, T>(&self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).expect("an index")]
    }
}
