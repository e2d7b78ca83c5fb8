//! The vector index of a collection.
//!
//! | file | owns |
//! |---|---|
//! | [`full`] | exact vectors, wherever they are |
//! | [`hnsw`] | the HNSW index: a graph over the slots, and the tail |
//! | [`space`] | what the graph compares: codes, exact vectors, a user's distance |
//! | [`layer`] | codes or vectors and their graph, replaced together |
//! | [`regions`] | which namespaces have links of their own |
//! | [`tail`], [`segment`] | slots that wait to be linked; one run of them |
//! | [`nearest`] | searching tail and graph |
//! | [`codes`] | whether codes fit the data; replacing them |
//! | [`linking`], [`linking_context`] | linking, sweeping, mending; what these work on |
//! | [`random`] | pseudorandom numbers |

pub(crate) mod codes;
pub(super) mod full;
mod hnsw;
mod layer;
mod linking;
pub(super) mod linking_context;
pub(super) mod nearest;
pub(crate) mod random;
pub(super) mod regions;
mod segment;
mod space;
pub(crate) mod tail;

use self::full::Reader;
pub(crate) use self::hnsw::HnswIndex;
pub(crate) use self::nearest::prefilter::LEAST_PREFILTERED;
use super::memory::Slots;
use crate::distance::Comparison;
use crate::id::Commit;

/// The data that a search compares, as of its commit.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'s> {
    pub(crate) slots: &'s Slots,
    pub(crate) exact: &'s Reader<'s>,
    pub(crate) comparison: &'s Comparison,
    /// The number of documents of all namespaces.
    pub(crate) n_documents: usize,
    /// The number of documents of the namespace that is searched.
    pub(crate) n_members: usize,
    /// Codes may be compared instead of vectors in this namespace.
    pub(crate) trusts_codes: bool,
    /// Every slot with a document is below this number.
    pub(crate) n_slots: usize,
    pub(crate) commit: Commit,
}

/// Bytes of an index, by part.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IndexBytes {
    pub(crate) codes: usize,
    pub(crate) links: usize,
}
