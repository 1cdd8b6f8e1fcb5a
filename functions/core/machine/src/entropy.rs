//! Randomness as a value: the same seed, branch and revision give the same numbers, so a step
//! that is repeated after a crash gives out the same tokens and identifiers again.

use std::cell::Cell;

use fluxus_schema::BranchId;
use sha2::{Digest, Sha256};

use crate::env;

/// What every random choice of one execution grows from. Kept secret: it makes task tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seed(pub [u8; 16]);

/// What random numbers are for. Numbers for one purpose say nothing about those for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A step's tokens, `States.UUID`, jitter.
    Step,
    /// Choosing who gets the task that the step asked for.
    Delegation,
    /// The seed of an execution that the step starts.
    Nested,
    /// The name of a Map run.
    MapRun,
    /// How long a retry waits for its turn.
    Retry,
}

/// The random numbers of one step.
#[derive(Debug)]
pub struct Entropy<'a> {
    seed: Seed,
    purpose: Purpose,
    branch_id: &'a BranchId,
    revision: u32,
    drawn: Cell<u64>,
}

impl<'a> Entropy<'a> {
    /// The numbers of the step that makes `revision` of this branch.
    pub fn new(seed: Seed, purpose: Purpose, branch_id: &'a BranchId, revision: u32) -> Self {
        Self { seed, purpose, branch_id, revision, drawn: Cell::new(0) }
    }

    /// The next sixteen random bytes.
    pub fn bytes(&self) -> [u8; 16] {
        let draw = self.drawn.get();
        self.drawn.set(draw + 1);
        let mut hash = Sha256::new();
        // All but the branch's id have a fixed length, so that no two sources hash the same bytes.
        hash.update(self.seed.0);
        hash.update([self.purpose as u8]);
        hash.update(self.branch_id.as_str());
        hash.update(self.revision.to_be_bytes());
        hash.update(draw.to_be_bytes());
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes
    }

    /// The next random fraction, from 0 up to but without 1.
    pub fn fraction(&self) -> f64 {
        const MANTISSA: u32 = 53;
        (env::Entropy::number(self) >> (u64::BITS - MANTISSA)) as f64 / (1u64 << MANTISSA) as f64
    }
}

impl env::Entropy for Entropy<'_> {
    fn number(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.bytes()[..8]);
        u64::from_be_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_numbers_of_its_own() {
        let root = BranchId::root();
        let child = root.child(1, 0);
        let seed = Seed([7; 16]);
        let sources = [
            Entropy::new(seed, Purpose::Step, &root, 1),
            Entropy::new(seed, Purpose::Delegation, &root, 1),
            Entropy::new(seed, Purpose::Step, &root, 2),
            Entropy::new(seed, Purpose::Step, &child, 1),
            Entropy::new(Seed::default(), Purpose::Step, &root, 1),
        ];
        let mut drawn: Vec<_> = sources.iter().flat_map(|one| [one.bytes(), one.bytes()]).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 2 * sources.len());
        let again = Entropy::new(seed, Purpose::Step, &root, 1);
        assert!(drawn.binary_search(&again.bytes()).is_ok());
        assert!((0.0..1.0).contains(&again.fraction()));
    }
}
