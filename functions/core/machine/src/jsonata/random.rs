//! Random numbers for one evaluation, which follow from the scope's entropy alone.

use std::cell::Cell;

use sha2::{Digest, Sha256};

use crate::env::Entropy;

/// As many of the bits of a random number as a double from 0 to 1 holds.
const MANTISSA_BITS: u32 = 53;

/// The random numbers of one evaluation. The engine's functions live longer than any borrow, so
/// they draw from here: a stream that two numbers of the scope's entropy determine.
#[derive(Clone, Debug)]
pub(super) struct Draws {
    seed: [u64; 2],
    drawn: Cell<u64>,
}

impl Draws {
    /// Draws twice from `entropy`, however many numbers the evaluation takes.
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        Self { seed: [entropy.number(), entropy.number()], drawn: Cell::new(0) }
    }

    /// The next sixteen random bytes.
    pub(super) fn bytes(&self) -> [u8; 16] {
        let draw = self.drawn.get();
        self.drawn.set(draw + 1);
        let mut hash = Sha256::new();
        for part in self.seed.into_iter().chain([draw]) {
            hash.update(part.to_be_bytes());
        }
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes
    }

    /// The next random number.
    pub(super) fn number(&self) -> u64 {
        u128::from_be_bytes(self.bytes()) as u64
    }

    /// The next random fraction, from 0 up to but without 1.
    pub(super) fn fraction(&self) -> f64 {
        (self.number() >> (u64::BITS - MANTISSA_BITS)) as f64 / (1u64 << MANTISSA_BITS) as f64
    }

    /// The next random UUID of version 4, in lower case.
    pub(super) fn uuid(&self) -> String {
        let mut bytes = self.bytes();
        bytes[6] = bytes[6] & 0x0F | 0x40;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        let hex = u128::from_be_bytes(bytes);
        let hex = format!("{hex:032x}");
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }
}

/// The fraction that the service gives for a seed: the first double of Java's `Random`, a linear
/// congruential generator whose constants its documentation gives.
pub(super) fn seeded_fraction(seed: i64) -> f64 {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const INCREMENT: u64 = 0xB;
    const STATE_BITS: u32 = 48;
    const MASK: u64 = (1 << STATE_BITS) - 1;
    let mut state = (seed as u64 ^ MULTIPLIER) & MASK;
    let mut next = |bits: u32| {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        state >> (STATE_BITS - bits)
    };
    let high = next(26);
    let low = next(27);
    ((high << 27) + low) as f64 / (1u64 << MANTISSA_BITS) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Seeded;

    #[test]
    fn a_seed_gives_the_number_that_it_gives_on_the_service() {
        assert_eq!(seeded_fraction(42), 0.7275636800328681);
        assert_eq!(seeded_fraction(0), 0.730967787376657);
        assert_eq!(seeded_fraction(7), 0.7306990420600421);
    }

    #[test]
    fn numbers_follow_from_the_entropy() {
        let draws = [Draws::new(&Seeded::new(1)), Draws::new(&Seeded::new(1))];
        assert_eq!(draws[0].uuid(), draws[1].uuid());
        assert_ne!(draws[0].uuid(), draws[0].uuid());
        assert!((0.0..1.0).contains(&draws[0].fraction()));
        let uuid = draws[0].uuid();
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
    }
}
