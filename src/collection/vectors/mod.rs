//! The vectors of a collection and their index: [`VectorIndex`], of one of two kinds.
//!
//! Callers ask the enum and do not match on it. Every verb answers for every kind, so the compiler
//! lists what another kind has to answer.
//!
//! | file | owns |
//! |---|---|
//! | [`field`] | a vector field: exact vectors and their index |
//! | [`full`] | exact vectors, wherever they are |
//! | [`searching`] | the verbs of searches |
//! | [`flat`] | the flat index: no codes, no links |
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
pub(crate) mod field;
mod flat;
pub(super) mod full;
mod hnsw;
mod layer;
mod linking;
pub(super) mod linking_context;
pub(super) mod nearest;
pub(crate) mod random;
pub(super) mod regions;
mod searching;
mod segment;
mod space;
pub(crate) mod tail;

use std::sync::Arc;

use self::codes::codebook::Codebook;
use self::codes::gauge::Gauge;
use self::flat::FlatIndex;
use self::full::Reader;
pub(crate) use self::hnsw::HnswIndex;
use self::linking_context::LinkContext;
pub(crate) use self::nearest::prefilter::LEAST_PREFILTERED;
use self::space::Points;
use super::derived::notify::Waiting;
use super::memory::{Memory, Slots};
use crate::config::{self, CollectionConfig};
use crate::distance::Comparison;
use crate::error::Result;
use crate::graph::Graph;
use crate::id::{Commit, NamespaceId, Slot};
use crate::quant::Code;
use crate::store::View;

/// The index of a collection's vectors.
#[expect(clippy::large_enum_variant, reason = "a collection has one; searches save a step to a box")]
pub(crate) enum VectorIndex {
    Hnsw(HnswIndex),
    Flat(FlatIndex),
}

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

/// Figures of an index since the collection was opened.
#[derive(Default)]
pub(crate) struct IndexStats {
    /// How codes are made, and their recall; `None` without codes.
    pub(crate) codebook: Option<Codebook>,
    /// How often codes were replaced.
    pub(crate) n_replaced: usize,
    pub(crate) n_links_added: usize,
    pub(crate) n_rows_replaced: usize,
    /// Points that wait for new links.
    pub(crate) n_to_repair: usize,
    /// Documents that wait to be linked.
    pub(crate) n_waiting: usize,
    /// Documents that may wait to be linked before writers have to wait.
    pub(crate) bound: usize,
    /// Documents of namespaces without links.
    pub(crate) n_loose: usize,
}

// Making an index, and putting vectors into it.
impl VectorIndex {
    /// An index without slots, of the kind that `config` asks for. `bound` is the most slots that
    /// may wait to be linked. `codebook` tells how codes are made, where there are codes.
    pub(crate) fn new(
        config: &CollectionConfig,
        comparison: &Comparison,
        bound: Option<usize>,
        codebook: Option<Codebook>,
    ) -> Self {
        match config.index {
            config::Index::Hnsw => VectorIndex::Hnsw(HnswIndex::new(config, comparison, bound, codebook)),
            config::Index::Flat => VectorIndex::flat(),
        }
    }

    /// A flat index.
    pub(crate) fn flat() -> Self {
        VectorIndex::Flat(FlatIndex::default())
    }

    /// Asks the kind of index that this is.
    #[inline]
    fn ask<'i, T>(&'i self, of_hnsw: impl FnOnce(&'i HnswIndex) -> T, of_flat: impl FnOnce(&'i FlatIndex) -> T) -> T {
        match self {
            VectorIndex::Hnsw(hnsw) => of_hnsw(hnsw),
            VectorIndex::Flat(flat) => of_flat(flat),
        }
    }

    /// The HNSW index, for the recovery of its graph.
    pub(crate) fn hnsw(&self) -> Option<&HnswIndex> {
        self.ask(Some, |_| None)
    }

    /// Makes room for the slots below `n_slots`.
    pub(crate) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        self.ask(|hnsw| hnsw.reserve(n_slots), |_| Ok(()))
    }

    /// The code of a vector of a namespace; `None` without codes.
    pub(crate) fn encode(&self, row: &[f32], namespace: NamespaceId) -> Option<Code> {
        self.ask(|hnsw| hnsw.encode(row, namespace), |_| None)
    }

    /// Notes that a slot was given a document, after its vector and code were stored.
    pub(crate) fn note_put(&self, slot: Slot) {
        self.ask(|hnsw| hnsw.tail().push(slot), |_| ());
    }

    /// Notes that a slot's document has died. Returns whether the index retires the slot itself,
    /// once no link leads to it.
    pub(crate) fn note_death(&self, slot: Slot, namespace: NamespaceId) -> bool {
        self.ask(|hnsw| hnsw.note_death(slot, namespace), |_| false)
    }

    /// As [`note_put`](Self::note_put), while loading: for a document that the graph does not hold.
    pub(crate) fn note_unlinked(&self, slot: Slot, namespace: NamespaceId) {
        self.ask(|hnsw| hnsw.note_unlinked(slot, namespace), |_| ());
    }

    /// As [`note_death`](Self::note_death), while loading: for a slot that the graph holds.
    pub(crate) fn note_dead_point(&self) {
        self.ask(HnswIndex::note_dead_point, |_| ());
    }
}

// Work in the background, and waiting for it.
impl VectorIndex {
    /// Whether there is ever work to do in the background.
    pub(crate) fn has_upkeep(&self) -> bool {
        self.ask(|_| true, |_| false)
    }

    /// Does the next step of work. False if there is none.
    ///
    /// # Errors
    /// `OutOfMemory` if there is no room for links.
    pub(crate) fn work(&self, context: &LinkContext<'_>) -> Result<bool> {
        self.ask(|hnsw| hnsw.work(context), |_| Ok(false))
    }

    /// Makes sketches, if a search asked for them. Returns whether it did. No commit is applied
    /// while what `hold` returns exists. `view` returns a view of the last commit.
    pub(crate) fn make_sketches<G>(
        &self,
        slots: &Slots,
        hold: impl FnOnce() -> G,
        view: impl FnOnce() -> Arc<View>,
    ) -> std::io::Result<bool> {
        self.ask(|hnsw| hnsw.make_sketches(slots, hold, view), |_| Ok(false))
    }

    /// Whether writers have to wait, because too many slots wait to be linked.
    pub(crate) fn is_full(&self) -> bool {
        self.ask(HnswIndex::is_full, |_| false)
    }

    /// How many documents were linked since the collection was opened, and how many wait; `None`
    /// where none are linked.
    pub(crate) fn progress(&self) -> Option<[usize; 2]> {
        self.ask(|hnsw| Some([hnsw.tail().n_left(), hnsw.tail().len()]), |_| None)
    }

    /// The number of slots that wait to be linked.
    pub(crate) fn n_waiting(&self) -> usize {
        self.ask(|hnsw| hnsw.tail().len(), |_| 0)
    }

    /// Notified when background work has got further.
    pub(crate) fn waiting(&self) -> &Waiting {
        self.ask(|hnsw| hnsw.tail().waiting(), |flat| &flat.waiting)
    }

    /// Asks for all documents to be linked and checked to be reachable, by codes that fit. The
    /// returned function tells whether that is done.
    pub(crate) fn ask_for_links(&self) -> impl Fn() -> bool {
        or_done(self.ask(|hnsw| Some(hnsw.ask_for_links()), |_| None))
    }

    /// Asks for the graph to be rebuilt. The returned function tells whether that is done.
    pub(crate) fn ask_for_rebuild(&self) -> impl Fn() -> bool {
        or_done(self.ask(|hnsw| Some(hnsw.ask_for_rebuild()), |_| None))
    }

    /// Asks for dead points to be swept. The returned function tells whether that is done.
    pub(crate) fn ask_for_sweep(&self) -> impl Fn() -> bool {
        or_done(self.ask(|hnsw| Some(hnsw.ask_for_sweep()), |_| None))
    }

    /// Whether a comparison panicked, so that the graph cannot be used.
    pub(crate) fn is_broken(&self) -> bool {
        self.ask(HnswIndex::is_broken, |_| false)
    }

    /// Notes that exact vectors of dead documents are missing.
    pub(crate) fn distrust(&self) {
        self.ask(HnswIndex::distrust, |_| ());
    }
}

/// A function that tells whether work is done: `is_done`, or true if there is no such work.
fn or_done(is_done: Option<impl Fn() -> bool>) -> impl Fn() -> bool {
    move || is_done.as_ref().is_none_or(|is_done| is_done())
}

// Saving, loading, verifying and measuring.
impl VectorIndex {
    /// The present codes or vectors of the graph, if there is a graph.
    pub(crate) fn points(&self) -> Option<Arc<Points>> {
        self.ask(|hnsw| Some(hnsw.points()), |_| None)
    }

    /// The present graph, if there is one.
    pub(crate) fn graph(&self) -> Option<Arc<Graph>> {
        self.ask(|hnsw| Some(hnsw.graph()), |_| None)
    }

    /// Returns a test whether a link leads to a slot now, or may come to: the slot is in the graph
    /// or waits. Nothing may be linked meanwhile.
    pub(crate) fn reached(&self) -> impl Fn(Slot) -> bool + use<> {
        let reached = self.ask(|hnsw| Some(hnsw.reached()), |_| None);
        move |slot| reached.as_ref().is_some_and(|reached| reached(slot))
    }

    /// Whether walks reach every point, as long as nothing is linked.
    pub(crate) fn is_verified(&self) -> bool {
        self.ask(HnswIndex::is_verified, |_| true)
    }

    /// Whether searches need all exact vectors in memory, where vectors are held there.
    pub(crate) fn must_hold(&self) -> bool {
        self.ask(HnswIndex::must_hold, |_| true)
    }

    /// Checks that the index is sound and has every document.
    pub(crate) fn audit(&self, memory: &Memory) -> Result<(), String> {
        self.ask(|hnsw| hnsw.audit(memory), |_| Ok(()))
    }

    /// Whether a slot's code and sketch, if any, are those of `row`, a vector of `namespace`.
    pub(crate) fn has_code_of(&self, slot: Slot, namespace: NamespaceId, row: &[f32]) -> bool {
        self.ask(|hnsw| hnsw.has_code_of(slot, namespace, row), |_| true)
    }

    /// Bytes of codes and links of `n_slots` slots.
    pub(crate) fn n_bytes(&self, n_slots: usize) -> IndexBytes {
        self.ask(|hnsw| hnsw.n_bytes(n_slots), |_| IndexBytes::default())
    }

    pub(crate) fn stats(&self) -> IndexStats {
        self.ask(HnswIndex::stats, |_| IndexStats::default())
    }

    /// The recall of a namespace's codes, once it was measured.
    pub(crate) fn gauge_of(&self, namespace: NamespaceId) -> Option<Gauge> {
        self.ask(|hnsw| hnsw.gauge_of(namespace), |_| None)
    }
}
