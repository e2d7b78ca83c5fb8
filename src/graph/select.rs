//! Choosing links among candidates: the paper's heuristic (algorithm 4).
//!
//! A candidate is taken if it is nearer to the point than to every candidate taken before, so that links lead in
//! different directions rather than all into one cluster.

use super::beam::Found;
use super::{NOBODY, Space, View};

/// Room for choosing, to be used again.
#[derive(Default)]
pub(super) struct Selector<Q> {
    query: Q,
    ranks: Vec<f32>,
    /// The candidates taken; those of one view nearest first.
    pub(super) taken: Vec<u32>,
}

impl<Q: Default + Send> Selector<Q> {
    /// Begins with points that are taken whatever they are.
    pub(super) fn begin(&mut self, kept: impl Iterator<Item = u32>) {
        self.taken.clear();
        self.taken.extend(kept);
    }

    /// Goes on to take candidates, which stand nearest first by this view, until `most` are taken.
    pub(super) fn select<S: Space<Query = Q>>(&mut self, space: &S, view: View, candidates: &[Found], most: usize) {
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

    fn leads_elsewhere<S: Space<Query = Q>>(&mut self, space: &S, view: View, candidate: &Found) -> bool {
        if self.taken.is_empty() {
            return true;
        }
        space.query_of(candidate.slot, view, &mut self.query);
        self.ranks.resize(self.taken.len(), 0.0);
        // Few are needed to turn a candidate down, and they are mostly among the nearest.
        for (slots, ranks) in self.taken.chunks(CHUNK).zip(self.ranks.chunks_mut(CHUNK)) {
            space.rank_closely(&self.query, slots, ranks);
            if ranks.iter().any(|&rank| rank < candidate.rank) {
                return false;
            }
        }
        true
    }
}

const CHUNK: usize = 8;
