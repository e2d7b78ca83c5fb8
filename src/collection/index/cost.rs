//! Which way to what is nearest is the fastest: measured on this machine with this collection's own vectors, the first
//! time it matters, and again once there are many more.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use super::seek::NEIGHBOURHOOD;
use super::sift::{LEAST_SIFTED, LEFT_AWAY, SIFTED};
use super::space::{CodeSpace, ExactSpace, Points};
use super::{Index, Sight};
use crate::cancel::Stop;
use crate::graph::{Graph, Space, View, Walker};
use crate::id::{Commit, Slot};

/// Fewer documents than this are scanned without measuring.
const FEW: usize = 64;
/// Bytes of vectors, or of codes, that are compared to measure: more than fit a core's own caches.
const SAMPLE_BYTES: usize = 4 << 20;
/// The fastest of so many rounds counts.
const N_ROUNDS: usize = 4;
/// Walks that are taken to measure, and the points that each keeps.
const N_WALKS: usize = 16;
const WALKED: usize = 64;
/// Once there are so many times more documents, it is measured anew: more of what is compared comes from memory.
const GROWTH: usize = 4;
/// Points that a walk compares for each that its beam holds, in parts of `m`: each brings `2 m` links at most, and most
/// of those were seen before.
const RANKED_SHARE: f64 = 0.7;
/// Points compared on a walk in the time that reading one vector from disk takes, at best.
const FROM_DISK: f64 = 40.0;
/// What a walk takes for each point that it compares where there is none to be measured yet, as a multiple of
/// comparing.
const WALKING: f64 = 3.0;
/// The same of a walk among some, as a multiple of one among all: each link is looked up in the set.
const CHOOSING: f64 = 2.0;
/// Following the links of a point that is not wanted itself, as a multiple of what a walk takes for each that it
/// compares.
const STEP_OVER: f64 = 7.0;
/// Taking a candidate out of a set, and telling whether it is left, in nanoseconds.
const PICKING: f64 = 5.0;
/// What comparing by codes takes however few there are: making a query of them and choosing what is compared exactly,
/// in nanoseconds.
const BY_CODES: f64 = 8_000.0;
/// Fewer candidates than this part of all points are never walked among: they may hang together by nothing.
const LEAST_SHARE: f64 = 0.02;

/// How to find the nearest of documents that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Compare their vectors.
    Vectors,
    /// Compare their codes, and the vectors of the best.
    Codes,
    /// Walk among them.
    Walk,
}

/// Nanoseconds that comparing takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// One exact vector after the other.
    per_vector: f64,
    /// One point of the graph, from here and there.
    per_point: f64,
    /// One on a walk, and all that is done to get to it.
    per_step: f64,
    /// Documents when that was measured.
    n_documents: usize,
}

impl Index {
    /// Whether to scan so many documents rather than walk for so many points of the beam.
    pub(crate) fn prefers_scan(&self, sight: Sight<'_>, n_scanned: usize, ef: f64) -> bool {
        if n_scanned < FEW || self.is_broken() {
            return true;
        }
        if sight.exact.complete().is_none() {
            // To read one from disk takes longer than many steps of a walk.
            return self.must_hold() || n_scanned as f64 * FROM_DISK <= self.n_ranked(sight, ef);
        }
        match self.scan_or_walk(sight, n_scanned, ef) {
            Some([scan, walk]) => scan <= walk,
            None => true,
        }
    }

    /// Nanoseconds that it takes to compare the vectors of so many documents, and to walk for so many points of the
    /// beam. `None` if neither can be told.
    pub(crate) fn scan_or_walk(&self, sight: Sight<'_>, n_scanned: usize, ef: f64) -> Option<[f64; 2]> {
        let cost = self.cost(sight)?;
        Some([n_scanned as f64 * cost.per_vector, self.n_ranked(sight, ef) * cost.per_step])
    }

    /// Points that a walk for so many points of the beam compares.
    fn n_ranked(&self, sight: Sight<'_>, ef: f64) -> f64 {
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

    /// The ways to the nearest of so many candidates, by a walk that keeps `ef` points or without one, and the
    /// nanoseconds that each takes, the fastest first. Never empty; without figures where they are not needed or cannot
    /// be told.
    pub(crate) fn plans(&self, sight: Sight<'_>, n_candidates: usize, ef: usize, can_walk: bool) -> Vec<(Plan, f64)> {
        if n_candidates < FEW {
            return vec![(Plan::Vectors, f64::NAN)];
        }
        let Some(cost) = self.cost(sight) else {
            let plan = if self.has_codes() && sight.trusts_codes { Plan::Codes } else { Plan::Vectors };
            return vec![(plan, f64::NAN)];
        };
        let rescoring = ef as f64 / 2.0 * cost.per_vector;
        let vectors = (Plan::Vectors, n_candidates as f64 * cost.per_vector);
        let codes = (Plan::Codes, self.by_codes(cost, n_candidates, SIFTED) + rescoring);
        let codes = (self.has_codes() && sight.trusts_codes).then_some(codes);
        let walk = can_walk.then(|| self.walk_among(sight, cost, n_candidates, ef)).flatten();
        let walk = walk.map(|walk| (Plan::Walk, walk + rescoring));
        let mut plans: Vec<(Plan, f64)> = [Some(vectors), codes, walk].into_iter().flatten().collect();
        plans.sort_by(|a, b| a.1.total_cmp(&b.1));
        plans
    }

    /// Whether to compare the codes of all documents of a namespace rather than their vectors.
    pub(crate) fn prefers_codes_of_all(&self, sight: Sight<'_>, n_members: usize, ef: usize) -> bool {
        let plans = self.plans(sight, n_members, ef, false);
        match plans.iter().find(|(plan, _)| *plan == Plan::Vectors) {
            Some((_, vectors)) => plans.iter().any(|(plan, codes)| *plan == Plan::Codes && codes + BY_CODES < *vectors),
            None => sight.trusts_codes,
        }
    }

    /// What comparing the codes of so many candidates takes, in nanoseconds, once those that can be were sifted out.
    fn by_codes(&self, cost: Cost, n_candidates: usize, n_left: f64) -> f64 {
        let n = n_candidates as f64;
        let all = n * cost.per_point;
        match self.layer.load().sifting.cost().filter(|_| n_candidates >= LEAST_SIFTED) {
            Some(per_sketch) => all.min(n * (per_sketch + PICKING) + n_left * cost.per_point),
            None => all,
        }
    }

    /// Whether to compare the codes of so many candidates, all of which lie away from a query, rather than walk among
    /// them with a beam of `ef`.
    pub(crate) fn prefers_codes(&self, sight: Sight<'_>, n_candidates: usize, ef: usize) -> bool {
        let Some(cost) = self.known_cost().filter(|_| self.has_codes()) else { return false };
        let walk = self.walk_among(sight, cost, n_candidates, ef);
        walk.is_none_or(|walk| self.by_codes(cost, n_candidates, n_candidates as f64 * LEFT_AWAY) <= walk)
    }

    /// What a walk among so many candidates takes, in nanoseconds; `None` if they are too few.
    fn walk_among(&self, sight: Sight<'_>, cost: Cost, n_candidates: usize, ef: usize) -> Option<f64> {
        let (n, ef) = (n_candidates as f64, ef as f64);
        let share = n / self.n_linked_with(sight).max(n_candidates) as f64;
        let m = self.layer.load().graph.shape().m as f64;
        let n_ranked = self.n_ranked(sight, ef + NEIGHBOURHOOD as f64);
        // Where a quarter of the links lead to candidates, no others are followed.
        let n_rows = if share >= 0.25 { 0.0 } else { (1.0 / share).min(2.0 * m) };
        (share >= LEAST_SHARE).then_some((n_ranked * CHOOSING + ef * n_rows * STEP_OVER) * cost.per_step)
    }

    fn known_cost(&self) -> Option<Cost> {
        self.cost.load().as_deref().copied()
    }

    /// What comparing takes, measured if it was not yet. `None` if it cannot be.
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
        let Sight { slots, exact, ranker, n_documents, n_slots, commit, .. } = sight;
        let (held, layer) = (exact.complete()?, self.layer());
        let vector = |slot: u32| held.row(Slot(slot));
        let row_bytes = (slots.exact.dimension() * size_of::<f32>()).max(1);
        let n_samples = |bytes: usize| (SAMPLE_BYTES / bytes).max(FEW);
        let alive = (0..n_slots as u32).filter(|&slot| slots.exists_at(Slot(slot), commit));
        let alive: Vec<u32> =
            alive.take(n_samples(layer.codes().map_or(row_bytes, |codes| codes.width() / 2))).collect();
        let in_order = &alive[..n_samples(row_bytes).min(alive.len())];
        let first = vector(*in_order.first()?);
        let per_vector =
            fastest(in_order.len(), || in_order.iter().map(|&slot| ranker.rank(first, vector(slot))).sum::<f32>());
        let oldest = Commit::default();
        let [per_point, per_step] = match &*layer.points {
            Points::Codes(codes) => measure_points(
                &layer.graph,
                &CodeSpace { codes, slots, exact, oldest, reaches_dead: false, stop: Stop::NEVER },
                &alive,
            ),
            Points::Exact(ranker) => measure_points(
                &layer.graph,
                &ExactSpace { ranker, slots, held, oldest, reaches_dead: false, stop: Stop::NEVER },
                &alive,
            ),
        };
        tracing::debug!(per_vector, per_point, per_step, "measured what comparing takes, in ns");
        Some(Cost { per_vector, per_point, per_step, n_documents })
    }
}

/// Nanoseconds for each of the graph's points: compared one after the other, and on walks.
fn measure_points<S: Space>(graph: &Graph, space: &S, points: &[u32]) -> [f64; 2] {
    let scattered: Vec<u32> = (0..points.len()).map(|index| points[index * 7_919 % points.len()]).collect();
    let (mut query, mut ranks) = (S::Query::default(), vec![0.0; scattered.len()]);
    space.query_of(scattered[0], View::Search, &mut query);
    let per_point = fastest(scattered.len(), || space.rank(&query, &scattered, &mut ranks));
    let (mut walker, mut n_ranked) = (Walker::default(), 0);
    let walking = fastest(1, || {
        n_ranked = 0;
        for &point in scattered.iter().take(N_WALKS) {
            space.query_of(point, View::Search, &mut query);
            graph.search(space, &query, (graph.region_of(space, point), WALKED), &mut walker);
            n_ranked += walker.tally().n_ranked;
        }
    });
    [per_point, if n_ranked > 0 { walking / n_ranked as f64 } else { per_point * WALKING }]
}

/// Nanoseconds for one of `n`, in the fastest of some rounds.
pub(super) fn fastest<T>(n: usize, mut work: impl FnMut() -> T) -> f64 {
    let rounds = (0..N_ROUNDS).map(|_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_nanos() as f64
    });
    rounds.fold(f64::INFINITY, f64::min).max(1.0) / n as f64
}
