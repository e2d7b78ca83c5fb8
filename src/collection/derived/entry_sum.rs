//! A sum of entries that does not depend on their order: for comparing an index with documents.

use std::hash::{BuildHasher, Hash, RandomState};

/// The number of entries, and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::collection) struct EntrySum {
    pub(in crate::collection) n_entries: u64,
    of_hashes: u128,
}

impl EntrySum {
    pub(in crate::collection) fn add(&mut self, hasher: &RandomState, entry: impl Hash) {
        let half = |salt: u8| u128::from(hasher.hash_one((salt, &entry)));
        self.n_entries += 1;
        self.of_hashes = self.of_hashes.wrapping_add(half(0) << 64 | half(1));
    }
}
