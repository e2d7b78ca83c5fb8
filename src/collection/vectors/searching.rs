//! The verbs of searches: which way to the nearest vectors is the fastest, and going it.
//!
//! A flat index has nothing to walk. Searches of it compare exact vectors, which they do
//! themselves.

use super::nearest::cost::SearchPlan;
use super::nearest::{NearestRequest, SearchScratch, Target};
use super::{HnswIndex, Sight, VectorIndex};
use crate::collection::vectors::full::Reader;
use crate::error::Result;
use crate::id::{Commit, NamespaceId};

impl VectorIndex {
    /// Searches `target`. Leaves the nearest `request.n` in `scratch.found`, and those found that
    /// are as near as the last of them. Distances are measures. Without codes and links it finds
    /// nothing and says so: comparing all vectors is better.
    #[inline]
    pub(crate) fn search(
        &self,
        sight: Sight<'_>,
        request: NearestRequest<'_>,
        target: Target<'_>,
        scratch: &mut SearchScratch,
    ) -> Result<()> {
        match self {
            VectorIndex::Hnsw(hnsw) => hnsw.search(sight, request, target, scratch),
            VectorIndex::Flat(_) => {
                scratch.give_up();
                Ok(())
            }
        }
    }

    /// Whether hits are found by comparing all vectors, and in no other way.
    pub(crate) fn is_exhaustive(&self) -> bool {
        self.ask(|_| false, |_| true)
    }

    /// Whether there are codes to compare.
    pub(crate) fn has_codes(&self) -> bool {
        self.ask(HnswIndex::has_codes, |_| false)
    }

    /// Whether codes may be compared instead of vectors in a namespace, where there are codes.
    pub(crate) fn trusts_codes_of(&self, namespace: NamespaceId) -> bool {
        self.ask(|hnsw| hnsw.trusts_codes_of(namespace), |_| true)
    }

    /// Whether searches may walk a graph, given the vectors in `exact`.
    pub(crate) fn can_walk(&self, exact: &Reader<'_>) -> bool {
        self.ask(|hnsw| hnsw.can_walk(exact), |_| false)
    }

    /// Whether all documents that a namespace had at a commit are linked as far as the index links
    /// documents.
    pub(crate) fn is_linked(&self, namespace: NamespaceId, commit: Commit) -> bool {
        self.ask(|hnsw| hnsw.is_linked(namespace, commit), |_| true)
    }

    /// Whether documents of all namespaces are linked with each other.
    pub(crate) fn is_undivided(&self) -> bool {
        self.ask(HnswIndex::is_undivided, |_| false)
    }

    /// Whether to scan `n_scanned` documents rather than walk with a beam of `ef`.
    pub(crate) fn prefers_scan(&self, sight: Sight<'_>, n_scanned: usize, ef: f64) -> bool {
        self.ask(|hnsw| hnsw.prefers_scan(sight, n_scanned, ef), |_| true)
    }

    /// Whether to compare the codes of all documents of a namespace rather than their vectors.
    pub(crate) fn prefers_codes_of_all(&self, sight: Sight<'_>, n_members: usize, ef: usize) -> bool {
        self.ask(|hnsw| hnsw.prefers_codes_of_all(sight, n_members, ef), |_| false)
    }

    /// Whether to compare the codes of `n_candidates`, all away from the query, rather than walk
    /// among them with a beam of `ef`.
    pub(crate) fn prefers_codes(&self, sight: Sight<'_>, n_candidates: usize, ef: usize) -> bool {
        self.ask(|hnsw| hnsw.prefers_codes(sight, n_candidates, ef), |_| false)
    }

    /// The fastest plan to find the nearest of `n_candidates`. A walk keeps `ef` points; without
    /// `can_walk` there is none.
    pub(crate) fn plan(&self, sight: Sight<'_>, n_candidates: usize, ef: usize, can_walk: bool) -> SearchPlan {
        let fastest = |hnsw: &HnswIndex| hnsw.plans(sight, n_candidates, ef, can_walk).first().map(|(plan, _)| *plan);
        self.ask(fastest, |_| None).unwrap_or(SearchPlan::Vectors)
    }

    /// As [`plan`](Self::plan): all plans and the nanoseconds of each, the fastest first. Costs are
    /// NaN if they are not needed or unknown.
    pub(crate) fn plans(
        &self,
        sight: Sight<'_>,
        n_candidates: usize,
        ef: usize,
        can_walk: bool,
    ) -> Vec<(SearchPlan, f64)> {
        self.ask(|hnsw| hnsw.plans(sight, n_candidates, ef, can_walk), |_| SearchPlan::only())
    }

    /// As [`plans`](Self::plans), to find the nearest of all documents of a namespace that is
    /// linked.
    pub(crate) fn plans_of_all(&self, sight: Sight<'_>, ef: f64) -> Vec<(SearchPlan, f64)> {
        self.ask(|hnsw| hnsw.plans_of_all(sight, ef), |_| SearchPlan::only())
    }

    /// Asks for sketches. False if they were asked for before, or would be of no use.
    pub(crate) fn ask_for_sketches(&self) -> bool {
        self.ask(HnswIndex::ask_for_sketches, |_| false)
    }

    /// Notes a search of a whole namespace, so that codes are measured by its query or because of
    /// its doubts. Returns whether to wake the linker.
    pub(crate) fn note_search(&self, request: NearestRequest<'_>, scratch: &mut SearchScratch) -> bool {
        self.ask(|hnsw| hnsw.note_search(request, scratch), |_| false)
    }
}
