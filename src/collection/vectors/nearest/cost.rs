//! Which way to the nearest is the fastest. Costs are measured on this machine with the
//! collection's own vectors, the first time they matter, and again once there are four times more
//! documents.

use std::sync::Arc;

use super::NEIGHBOURHOOD;
use super::prefilter::{LEAST_PREFILTERED, LEFT_AWAY, PREFILTERED};
use super::timing::fastest;
use crate::cancel::Stop;
use crate::collection::vectors::space::{CodeSpace, ExactSpace, Points};
use crate::collection::vectors::{HnswIndex, Sight};
use crate::graph::{Graph, LinkView, Space, Walker};
use crate::id::{Commit, Slot};

/// With fewer documents, all are scanned without measuring.
const FEW: usize = 64;
/// Bytes of vectors or codes compared to measure, more than the caches of one core hold.
const SAMPLE_BYTES: usize = 4 << 20;
/// Walks of one measurement.
const N_WALKS: usize = 16;
/// The `ef` of these walks.
const WALKED: usize = 64;
/// Factor of documents after which costs are measured again: more comparisons then miss the caches.
const GROWTH: usize = 4;
/// Points that a walk compares per point of its beam, as a fraction of `m`. Each point brings at
/// most `2 m` links, most of which were seen before.
const RANKED_SHARE: f64 = 0.7;
/// Points compared on a walk in the time of reading one vector from disk, at best.
const FROM_DISK: f64 = 40.0;
/// The cost of a walk per point, as a multiple of a comparison, if there is no graph to measure.
const WALKING: f64 = 3.0;
/// The cost of a walk with a filter, as a multiple of one without: it looks up each link.
const CHOOSING: f64 = 2.0;
/// The cost of stepping over a rejected point, as a multiple of a walk's cost per point.
const STEP_OVER: f64 = 7.0;
/// Nanoseconds for reading a candidate from a set and testing its count of differing signs.
const PICKING: f64 = 5.0;
/// Fixed nanoseconds of comparing by codes: preparing the query and choosing what is rescored.
const BY_CODES: f64 = 8_000.0;
/// With candidates below this fraction of all points, no walk is tried: no links may connect them.
const LEAST_SHARE: f64 = 0.02;

/// How to find the nearest of a set of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SearchPlan {
    /// Compare their vectors.
    Vectors,
    /// Compare their codes, then the vectors of the best.
    Codes,
    /// Walk the graph among them.
    Walk,
}

impl SearchPlan {
    /// The plan where there is but one, of unknown cost.
    pub(in crate::collection::vectors) fn only() -> Vec<(SearchPlan, f64)> {
        vec![(SearchPlan::Vectors, f64::NAN)]
    }
}

/// Nanoseconds per comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// An exact vector, in the order of slots.
    per_vector: f64,
    /// A point of the graph, in random order.
    per_point: f64,
    /// A point on a walk, with all work of getting to it.
    per_step: f64,
    /// The number of documents at the measurement.
    n_documents: usize,
}

impl HnswIndex {
    /// Whether to scan `n_scanned` documents rather than walk with a beam of `ef`.
    pub(in crate::collection::vectors) fn prefers_scan(&self, sight: Sight<'_>, n_scanned: usize, ef: f64) -> bool {
        if n_scanned < FEW || self.is_broken() {
            return true;
        }
        if sight.exact.complete().is_none() {
            // Reading one vector from disk takes longer than many steps of a walk.
            return self.must_hold() || n_scanned as f64 * FROM_DISK <= self.n_compared(sight, ef);
        }
        match self.scan_or_walk(sight, n_scanned, ef) {
            Some([scan, walk]) => scan <= walk,
            None => true,
        }
    }

    /// Nanoseconds for comparing the vectors of `n_scanned` documents, and for a walk with a beam
    /// of `ef`. `None` if costs are unknown.
    fn scan_or_walk(&self, sight: Sight<'_>, n_scanned: usize, ef: f64) -> Option<[f64; 2]> {
        let cost = self.cost(sight)?;
        Some([n_scanned as f64 * cost.per_vector, self.n_compared(sight, ef) * cost.per_step])
    }

    /// The number of points that a walk with a beam of `ef` compares.
    fn n_compared(&self, sight: Sight<'_>, ef: f64) -> f64 {
        let m = self.layer.load().graph.shape().m as f64;
        let ef = ef.max(self.beam_of(sight, ef as usize) as f64);
        let n = if self.is_undivided() { sight.n_documents } else { sight.n_members };
        ef * m * RANKED_SHARE + m * (n.max(2) as f64).log2()
    }

    /// About how many points are linked with those of the namespace that is searched.
    fn n_linked_with(&self, sight: Sight<'_>) -> usize {
        let is_all = sight.n_members >= sight.n_documents || self.is_undivided();
        if is_all { self.n_points(sight.n_documents) } else { sight.n_members }
    }

    /// The plans to find the nearest of `n_candidates`, and the nanoseconds of each, the fastest
    /// first. A walk keeps `ef` points; without `can_walk` there is none. Never empty. Costs are
    /// NaN if they are not needed or unknown.
    pub(in crate::collection::vectors) fn plans(
        &self,
        sight: Sight<'_>,
        n_candidates: usize,
        ef: usize,
        can_walk: bool,
    ) -> Vec<(SearchPlan, f64)> {
        if n_candidates < FEW {
            return SearchPlan::only();
        }
        let Some(cost) = self.cost(sight) else {
            let plan = if self.has_codes() && sight.trusts_codes { SearchPlan::Codes } else { SearchPlan::Vectors };
            return vec![(plan, f64::NAN)];
        };
        let rescoring = ef as f64 / 2.0 * cost.per_vector;
        let vectors = (SearchPlan::Vectors, n_candidates as f64 * cost.per_vector);
        let codes = (SearchPlan::Codes, self.by_codes(cost, n_candidates, PREFILTERED) + rescoring);
        let codes = (self.has_codes() && sight.trusts_codes).then_some(codes);
        let walk = can_walk.then(|| self.walk_among(sight, cost, n_candidates, ef)).flatten();
        let walk = walk.map(|walk| (SearchPlan::Walk, walk + rescoring));
        let mut plans: Vec<(SearchPlan, f64)> = [Some(vectors), codes, walk].into_iter().flatten().collect();
        plans.sort_by(|a, b| a.1.total_cmp(&b.1));
        plans
    }

    /// As [`plans`](HnswIndex::plans), to find the nearest of all documents of the namespace, which
    /// is linked.
    pub(in crate::collection::vectors) fn plans_of_all(&self, sight: Sight<'_>, ef: f64) -> Vec<(SearchPlan, f64)> {
        let Some([scan, walk]) = self.scan_or_walk(sight, sight.n_members, ef) else { return SearchPlan::only() };
        let mut plans = vec![(SearchPlan::Vectors, scan), (SearchPlan::Walk, walk)];
        plans.sort_by(|a, b| a.1.total_cmp(&b.1));
        plans
    }

    /// Whether to compare the codes of all documents of a namespace rather than their vectors.
    pub(in crate::collection::vectors) fn prefers_codes_of_all(
        &self,
        sight: Sight<'_>,
        n_members: usize,
        ef: usize,
    ) -> bool {
        let plans = self.plans(sight, n_members, ef, false);
        match plans.iter().find(|(plan, _)| *plan == SearchPlan::Vectors) {
            Some((_, vectors)) => {
                plans.iter().any(|(plan, codes)| *plan == SearchPlan::Codes && codes + BY_CODES < *vectors)
            }
            None => sight.trusts_codes,
        }
    }

    /// Nanoseconds for comparing the codes of `n_candidates`. The prefilter, if any, leaves
    /// `n_left`.
    fn by_codes(&self, cost: Cost, n_candidates: usize, n_left: f64) -> f64 {
        let n = n_candidates as f64;
        let all = n * cost.per_point;
        match self.layer.load().sketch_layer.cost().filter(|_| n_candidates >= LEAST_PREFILTERED) {
            Some(per_sketch) => all.min(n * (per_sketch + PICKING) + n_left * cost.per_point),
            None => all,
        }
    }

    /// Whether to compare the codes of `n_candidates`, all away from the query, rather than walk
    /// among them with a beam of `ef`.
    pub(in crate::collection::vectors) fn prefers_codes(
        &self,
        sight: Sight<'_>,
        n_candidates: usize,
        ef: usize,
    ) -> bool {
        let Some(cost) = self.known_cost().filter(|_| self.has_codes()) else { return false };
        let walk = self.walk_among(sight, cost, n_candidates, ef);
        walk.is_none_or(|walk| self.by_codes(cost, n_candidates, n_candidates as f64 * LEFT_AWAY) <= walk)
    }

    /// Nanoseconds of a walk among `n_candidates`; `None` if they are too few.
    fn walk_among(&self, sight: Sight<'_>, cost: Cost, n_candidates: usize, ef: usize) -> Option<f64> {
        let (n, ef) = (n_candidates as f64, ef as f64);
        let share = n / self.n_linked_with(sight).max(n_candidates) as f64;
        let m = self.layer.load().graph.shape().m as f64;
        let n_compared = self.n_compared(sight, ef + NEIGHBOURHOOD as f64);
        // If a quarter of the links lead to candidates, no rejected point is stepped over.
        let n_rows = if share >= 0.25 { 0.0 } else { (1.0 / share).min(2.0 * m) };
        (share >= LEAST_SHARE).then_some((n_compared * CHOOSING + ef * n_rows * STEP_OVER) * cost.per_step)
    }

    fn known_cost(&self) -> Option<Cost> {
        self.cost.load().as_deref().copied()
    }

    /// The costs, measured if they are not yet. `None` if they cannot be measured.
    fn cost(&self, sight: Sight<'_>) -> Option<Cost> {
        let is_held = sight.exact.complete().is_some();
        let cost = match self.known_cost() {
            Some(cost) if sight.n_documents / GROWTH <= cost.n_documents || !is_held => cost,
            _ if is_held => {
                let cost = self.measure(sight)?;
                self.cost.store(Some(Arc::new(cost)));
                cost
            }
            _ => return None,
        };
        let per_vector = if is_held { cost.per_vector } else { cost.per_point * FROM_DISK };
        Some(Cost { per_vector, ..cost })
    }

    fn measure(&self, sight: Sight<'_>) -> Option<Cost> {
        let Sight { slots, exact, comparison, n_documents, n_slots, commit, .. } = sight;
        let (held, layer) = (exact.complete()?, self.layer());
        let vector = |slot: u32| held.row(Slot(slot));
        let row_bytes = (self.origin.dimension * size_of::<f32>()).max(1);
        let n_samples = |bytes: usize| (SAMPLE_BYTES / bytes).max(FEW);
        let alive = (0..n_slots as u32).filter(|&slot| slots.exists_at(Slot(slot), commit));
        let alive: Vec<u32> =
            alive.take(n_samples(layer.codes().map_or(row_bytes, |codes| codes.width() / 2))).collect();
        let in_order = &alive[..n_samples(row_bytes).min(alive.len())];
        let first = vector(*in_order.first()?);
        let per_vector = fastest(in_order.len(), || {
            in_order.iter().map(|&slot| comparison.compare(first, vector(slot))).sum::<f32>()
        });
        let oldest = Commit::default();
        let [per_point, per_step] = match &*layer.points {
            Points::Codes(codes) => measure_points(
                &layer.graph,
                &CodeSpace { codes, slots, exact, oldest, reaches_dead: false, stop: Stop::NEVER },
                &alive,
            ),
            Points::Exact(comparison) => measure_points(
                &layer.graph,
                &ExactSpace { comparison, slots, held, oldest, reaches_dead: false, stop: Stop::NEVER },
                &alive,
            ),
        };
        tracing::debug!(per_vector, per_point, per_step, "measured what comparing takes, in ns");
        Some(Cost { per_vector, per_point, per_step, n_documents })
    }
}

/// Nanoseconds per point of the graph: compared one after the other, and on walks.
fn measure_points<S: Space>(graph: &Graph, space: &S, points: &[u32]) -> [f64; 2] {
    let scattered: Vec<u32> = (0..points.len()).map(|index| points[index * 7_919 % points.len()]).collect();
    let (mut query, mut distances) = (S::Query::default(), vec![0.0; scattered.len()]);
    space.query_of(scattered[0], LinkView::Search, &mut query);
    let per_point = fastest(scattered.len(), || space.compare(&query, &scattered, &mut distances));
    let (mut walker, mut n_compared) = (Walker::default(), 0);
    let walking = fastest(1, || {
        n_compared = 0;
        for &point in scattered.iter().take(N_WALKS) {
            space.query_of(point, LinkView::Search, &mut query);
            graph.search(space, &query, (graph.region_of(space, point), WALKED), &mut walker);
            n_compared += walker.cost().n_compared;
        }
    });
    [per_point, if n_compared > 0 { walking / n_compared as f64 } else { per_point * WALKING }]
}
