//! Choosing links among candidates: the neighbour selection heuristic of HNSW (Malkov and Yashunin
//! 2018, algorithm 4).
//!
//! A candidate is taken unless it is nearer to a candidate taken before than to the point. So links
//! lead in different directions rather than all into one cluster.

use super::beam::Neighbor;
use super::{LinkView, NOBODY, Space};

/// Buffers for choosing links, reused for each choice.
#[derive(Default)]
pub(super) struct Selector<Q> {
    query: Q,
    distances: Vec<f32>,
    /// The slots taken: those of [`begin`](Selector::begin), then each view's, nearest first.
    pub(super) taken: Vec<u32>,
}

impl<Q: Default + Send> Selector<Q> {
    /// Starts a choice with points that are taken unconditionally.
    pub(super) fn begin(&mut self, kept: impl Iterator<Item = u32>) {
        self.taken.clear();
        self.taken.extend(kept);
    }

    /// Takes candidates, sorted nearest first by `view`, until `most` points are taken in all.
    pub(super) fn select<S: Space<Query = Q>>(
        &mut self,
        space: &S,
        view: LinkView,
        candidates: &[Neighbor],
        most: usize,
    ) {
        let n_before = self.taken.len();
        let mut last = NOBODY;
        for candidate in candidates {
            if self.taken.len() >= most {
                break;
            }
            if candidate.slot == last || self.taken[..n_before].contains(&candidate.slot) {
                continue;
            }
            last = candidate.slot;
            if self.leads_elsewhere(space, view, candidate) {
                self.taken.push(candidate.slot);
            }
        }
    }

    fn leads_elsewhere<S: Space<Query = Q>>(&mut self, space: &S, view: LinkView, candidate: &Neighbor) -> bool {
        if self.taken.is_empty() {
            return true;
        }
        space.query_of(candidate.slot, view, &mut self.query);
        self.distances.resize(self.taken.len(), 0.0);
        // Chunks of 8: few taken points are needed to reject a candidate, mostly near ones.
        for (slots, distances) in self.taken.chunks(CHUNK).zip(self.distances.chunks_mut(CHUNK)) {
            space.compare_closely(&self.query, slots, distances);
            if distances.iter().any(|&distance| distance < candidate.distance) {
                return false;
            }
        }
        true
    }
}

const CHUNK: usize = 8;
