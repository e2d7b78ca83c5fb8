//! A vector field: the vectors that a collection's documents have, in memory and their index.
//!
//! A collection has one field so far. Keys of rows have room for more.

use super::VectorIndex;
use super::full::Exact;
use crate::distance::Comparison;
use crate::error::{Error, Result};

pub(crate) struct VectorField {
    /// The field's number in keys of rows.
    pub(crate) id: u16,
    /// How vectors are compared.
    pub(crate) comparison: Comparison,
    /// Exact vectors as they are compared: at unit length where only directions count.
    pub(crate) full: Exact,
    pub(crate) index: VectorIndex,
}

impl VectorField {
    /// The number of a collection's only field.
    pub(crate) const ONLY: u16 = 0;

    /// A field like this one that keeps no vectors in memory, and no codes.
    pub(crate) fn without_vectors(&self) -> Self {
        let (full, index) = (Exact::new(self.full.dimension()), VectorIndex::flat());
        VectorField { id: self.id, comparison: self.comparison.clone(), full, index }
    }

    /// Makes room for the slots below `n_slots`.
    ///
    /// # Errors
    /// `OutOfMemory`; `ReadOnly` if the disk is full and vectors are mapped.
    pub(crate) fn reserve(&self, n_slots: usize) -> Result<()> {
        self.full.reserve(n_slots)?;
        self.index.reserve(n_slots).map_err(|source| Error::OutOfMemory { n_documents: n_slots, source })
    }
}
