//! Which way to what is nearest is the fastest: measured on this machine with this collection's own vectors, the first time
//! it matters.

use std::hint::black_box;
use std::time::Instant;

use super::Index;
use super::sift::{LEAST_SIFTED, SIFTED};
use super::space::{CodeSpace, ExactSpace, Points};
use crate::collection::exact::{Held, Reader};
use crate::collection::memory::Slots;
use crate::distance::Ranker;
use crate::graph::Space;
use crate::id::{Commit, Slot};
use crate::quant::CodeQuery;

/// Fewer documents than this are scanned without measuring.
const FEW: usize = 64;
/// Bytes of vectors that are compared to measure: more than fit a core's own caches.
const SAMPLE_BYTES: usize = 4 << 20;
/// The fastest of so many rounds counts.
const N_ROUNDS: usize = 2;
/// Points that a walk compares for each that its beam holds, in parts of `m`: each brings `2 m` links at most, and most of
/// those were seen before.
const RANKED_SHARE: f64 = 0.7;
/// Points compared on a walk in the time that reading one vector from disk takes, at best.
const FROM_DISK: f64 = 40.0;
/// What a walk costs in all, as a multiple of comparing: there is finding links and keeping the beam too.
const WALKING: f64 = 1.6;

/// Following links to points that are not wanted themselves: nanoseconds for a row of links.
const STEP_OVER: f64 = 150.0;
/// Taking a candidate out of a set, in nanoseconds.
const PICKING: f64 = 2.0;
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
}

impl Index {
    /// Whether to scan so many documents rather than walk for so many points of the beam.
    pub(crate) fn prefers_scan(
        &self,
        (slots, exact): (&Slots, &Reader<'_>),
        ranker: &Ranker,
        n_scanned: usize,
        ef: f64,
    ) -> bool {
        if n_scanned < FEW || self.is_broken() {
            return true;
        }
        if !exact.held().is_some_and(Held::is_complete) {
            // To read one from disk takes longer than many steps of a walk.
            return self.must_hold() || n_scanned as f64 * FROM_DISK <= self.n_ranked(slots, ef);
        }
        match self.scan_or_walk((slots, exact), ranker, n_scanned, ef) {
            Some([scan, walk]) => scan <= walk,
            None => true,
        }
    }

    /// Nanoseconds that it takes to compare the vectors of so many documents, and to walk for so many points of the beam.
    /// `None` if neither can be told.
    pub(crate) fn scan_or_walk(
        &self,
        (slots, exact): (&Slots, &Reader<'_>),
        ranker: &Ranker,
        n_scanned: usize,
        ef: f64,
    ) -> Option<[f64; 2]> {
        let is_held = exact.held().is_some_and(Held::is_complete);
        let cost =
            self.cost.get().copied().or_else(|| is_held.then(|| self.measure(slots, exact, ranker)).flatten())?;
        _ = self.cost.set(cost);
        let per_vector = if is_held { cost.per_vector } else { cost.per_point * FROM_DISK };
        Some([n_scanned as f64 * per_vector, self.n_ranked(slots, ef) * cost.per_point * WALKING])
    }

    /// Points that a walk for so many points of the beam compares.
    fn n_ranked(&self, slots: &Slots, ef: f64) -> f64 {
        let m = self.graph.load().shape().m as f64;
        ef * m * RANKED_SHARE + m * (slots.n_documents().max(2) as f64).log2()
    }

    /// The ways to the nearest of so many candidates, by a walk that keeps `ef` points or without one, and the nanoseconds
    /// that each takes, the fastest first. Never empty; without figures where they are not needed or cannot be told.
    pub(crate) fn plans(
        &self,
        (slots, exact): (&Slots, &Reader<'_>),
        ranker: &Ranker,
        n_candidates: usize,
        ef: usize,
        can_walk: bool,
    ) -> Vec<(Plan, f64)> {
        if n_candidates < FEW {
            return vec![(Plan::Vectors, f64::NAN)];
        }
        let is_held = exact.held().is_some_and(Held::is_complete);
        let cost = self.cost.get().copied().or_else(|| is_held.then(|| self.measure(slots, exact, ranker)).flatten());
        let Some(cost) = cost else {
            let plan = if self.codes().is_some() { Plan::Codes } else { Plan::Vectors };
            return vec![(plan, f64::NAN)];
        };
        _ = self.cost.set(cost);
        let per_vector = if is_held { cost.per_vector } else { cost.per_point * FROM_DISK };
        let n_rescored = ef as f64 / 2.0;
        let vectors = (Plan::Vectors, n_candidates as f64 * per_vector);
        let codes = self.codes().map(|_| (Plan::Codes, self.by_codes(cost, n_candidates) + n_rescored * per_vector));
        let walk = can_walk.then(|| self.walk_among(slots, cost, n_candidates, ef)).flatten();
        let walk = walk.map(|walk| (Plan::Walk, walk + n_rescored * per_vector));
        let mut plans: Vec<(Plan, f64)> = [Some(vectors), codes, walk].into_iter().flatten().collect();
        plans.sort_by(|a, b| a.1.total_cmp(&b.1));
        plans
    }

    /// What comparing the codes of so many candidates takes, in nanoseconds, once most were sifted out where that can be.
    fn by_codes(&self, cost: Cost, n_candidates: usize) -> f64 {
        let all = n_candidates as f64 * cost.per_point;
        match self.cost_of_sketch().filter(|_| n_candidates >= LEAST_SIFTED) {
            Some(per_sketch) => all.min(n_candidates as f64 * (per_sketch + PICKING) + SIFTED as f64 * cost.per_point),
            None => all,
        }
    }

    /// Whether to compare the codes of so many candidates rather than walk among them with a beam of `ef`.
    pub(crate) fn prefers_codes(&self, slots: &Slots, n_candidates: usize, ef: usize) -> bool {
        let (Some(cost), Some(_)) = (self.cost.get().copied(), self.codes()) else { return false };
        let walk = self.walk_among(slots, cost, n_candidates, ef);
        walk.is_none_or(|walk| n_candidates as f64 * cost.per_point <= walk)
    }

    /// What a walk among so many candidates takes, in nanoseconds; `None` if they are too few.
    fn walk_among(&self, slots: &Slots, cost: Cost, n_candidates: usize, ef: usize) -> Option<f64> {
        let (n, ef) = (n_candidates as f64, ef as f64);
        let share = n / self.n_points(slots).max(n_candidates) as f64;
        let m = self.graph.load().shape().m as f64;
        let n_ranked = ef * m * RANKED_SHARE + m * n.max(2.0).log2();
        // Where a quarter of the links lead to candidates, no others are followed.
        let n_rows = if share >= 0.25 { 0.0 } else { (1.0 / share).min(2.0 * m) };
        (share >= LEAST_SHARE).then_some(n_ranked * cost.per_point * WALKING + ef * n_rows * STEP_OVER)
    }

    fn measure(&self, slots: &Slots, exact: &Reader<'_>, ranker: &Ranker) -> Option<Cost> {
        let held = exact.held()?;
        let vector = |slot: u32| held.get(Slot(slot)).unwrap_or_default();
        let (n_slots, row_bytes) = (slots.n_slots().max(1), slots.exact.dimension() * size_of::<f32>());
        let n_samples = SAMPLE_BYTES / row_bytes.max(1);
        // What is alive now stays as it is while the caller looks at the last commit.
        let alive = (0..n_slots as u32).filter(|&slot| slots.is_alive(Slot(slot)));
        let in_order: Vec<u32> = alive.take(n_samples.max(FEW)).collect();
        let n_samples = in_order.len();
        let scattered: Vec<u32> = (0..n_samples).map(|index| in_order[index * 7_919 % n_samples]).collect();
        let first = vector(*scattered.first()?);
        let per_vector =
            fastest(n_samples, || in_order.iter().map(|&slot| ranker.rank(first, vector(slot))).sum::<f32>());
        let mut ranks = vec![0.0; n_samples];
        let per_point = match &self.points {
            Points::Codes(codes) => {
                let space = CodeSpace { codes, slots, exact, oldest: Commit::default() };
                let mut query = CodeQuery::default();
                space.query_of(scattered[0], &mut query);
                fastest(n_samples, || space.rank(&query, &scattered, &mut ranks))
            }
            Points::Exact(ranker) => {
                let (space, query) = (ExactSpace { ranker, slots, held, oldest: Commit::default() }, first.to_vec());
                fastest(n_samples, || space.rank(&query, &scattered, &mut ranks))
            }
        };
        tracing::debug!(per_vector, per_point, "measured what comparing takes, in ns");
        Some(Cost { per_vector, per_point })
    }
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
