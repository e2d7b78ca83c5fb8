//! Searching the graph: greedy descent from the entry point, then beam search (ef) at level 0, over
//! all points or only those that a filter admits.

use super::beam::{Beam, Neighbor, Visited};
use super::{EntryPoint, Graph, Space};
use crate::distance;

/// The cost of a walk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WalkCost {
    /// Points expanded: their rows of links were read.
    pub(crate) n_hops: usize,
    /// Points compared with the query.
    pub(crate) n_compared: usize,
}

/// Buffers for one walk at a time. Once they have grown, a walk allocates nothing.
#[derive(Default)]
pub(crate) struct Walker {
    visited: Visited,
    beam: Beam,
    fresh: Vec<u32>,
    starts: Vec<Neighbor>,
    /// Links of the current point that the filter admits.
    wanted: Vec<u32>,
    /// Links of the current point that the filter rejects; the walk steps over them.
    stones: Vec<u32>,
    distances: Vec<f32>,
    cost: WalkCost,
    /// `n_compared + n_hops` when [`Space::is_given_up`] was last called.
    asked_at: usize,
}

/// Rows of rejected points that are prefetched before they are stepped over.
const AHEAD: usize = 4;
/// Points compared or expanded between two calls of [`Space::is_given_up`].
const UNASKED: usize = 256;
/// Factor of `m`: with this many admitted links no more points are stepped over.
const ENOUGH: usize = 2;

/// The filter of a search: only admitted points are found.
pub(crate) struct Among<'a, F, G> {
    pub(crate) admits: F,
    /// A faster form of `admits` for points that are more steps away. It never admits a point that
    /// `admits` rejects, but may reject points that `admits` admits.
    pub(crate) surely_admits: G,
    /// Admitted points at which the walk begins too.
    pub(crate) seeds: &'a [u32],
}

impl Walker {
    /// The points found, nearest first.
    pub(crate) fn found(&self) -> impl Iterator<Item = Neighbor> {
        self.beam.iter()
    }

    pub(crate) fn cost(&self) -> WalkCost {
        self.cost
    }

    /// Whether the search was cancelled. Asks the space once per 256 points (`UNASKED`).
    #[inline(always)]
    fn is_given_up<S: Space>(&mut self, space: &S) -> bool {
        let n_done = self.cost.n_compared + self.cost.n_hops;
        if n_done < self.asked_at + UNASKED {
            return false;
        }
        self.asked_at = n_done;
        space.is_given_up()
    }

    /// Expands the next point and marks its links that are new. False if the walk is over.
    #[inline(always)]
    fn gather(&mut self, graph: &Graph, level: usize) -> bool {
        let Some(slot) = self.beam.pop() else { return false };
        self.visited.mark(graph.row(slot, level).iter());
        for next in self.beam.next_two() {
            graph.prefetch(next, level);
        }
        self.cost.n_hops += 1;
        true
    }

    /// Compares the newly marked points with the query and offers them to the beam.
    #[inline(always)]
    fn compare<S: Space>(&mut self, space: &S, query: &S::Query) {
        let fresh = self.visited.fresh();
        self.cost.n_compared += fresh.len();
        if self.distances.len() < fresh.len() {
            self.distances.resize(fresh.len(), 0.0);
        }
        let distances = &mut self.distances[..fresh.len()];
        space.compare(query, fresh, distances);
        for (&slot, &distance) in fresh.iter().zip(&*distances) {
            self.beam.offer(Neighbor { slot, distance });
        }
    }

    /// Collects the admitted links of a point that are new. If fewer than `m / 2` links are
    /// admitted, collects those behind rejected links too.
    #[inline(always)]
    fn gather_among<F: Fn(u32) -> bool, G: Fn(u32) -> bool>(
        &mut self,
        graph: &Graph,
        slot: u32,
        among: &Among<'_, F, G>,
    ) {
        self.fresh.clear();
        let links = graph.row(slot, 0).iter();
        // The processor could not predict whether a link is admitted, so no branch depends on it.
        self.wanted.resize(links.len(), 0);
        self.stones.resize(links.len(), 0);
        let (mut n_wanted, mut n_stones) = (0, 0);
        for next in links {
            let is_wanted = (among.admits)(next);
            (self.wanted[n_wanted], self.stones[n_stones]) = (next, next);
            n_wanted += usize::from(is_wanted);
            n_stones += usize::from(!is_wanted);
        }
        let m = graph.shape().m;
        let is_enough = n_wanted >= m / 2;
        let (wanted, stones) = (std::mem::take(&mut self.wanted), std::mem::take(&mut self.stones));
        if !is_enough {
            stones[..n_stones].iter().take(AHEAD).for_each(|&stone| graph.prefetch(stone, 0));
        }
        for &next in &wanted[..n_wanted] {
            if self.visited.see(next) {
                self.fresh.push(next);
            }
        }
        self.wanted = wanted;
        if !is_enough {
            for (place, &stone) in stones[..n_stones].iter().enumerate() {
                if let Some(&ahead) = stones[..n_stones].get(place + AHEAD) {
                    graph.prefetch(ahead, 0);
                }
                if self.visited.see(stone) {
                    n_wanted += self.step_over(graph, stone, &among.surely_admits);
                }
                if n_wanted >= ENOUGH * m {
                    break;
                }
            }
        }
        self.stones = stones;
    }

    /// Collects the new admitted links of a rejected point. Returns the number of admitted links.
    #[inline(always)]
    fn step_over(&mut self, graph: &Graph, stone: u32, admits: &impl Fn(u32) -> bool) -> usize {
        self.cost.n_hops += 1;
        let links = graph.row(stone, 0).iter();
        self.wanted.resize(links.len(), 0);
        let mut n_wanted = 0;
        for next in links {
            self.wanted[n_wanted] = next;
            n_wanted += usize::from(admits(next));
        }
        for at in 0..n_wanted {
            let next = self.wanted[at];
            if self.visited.see(next) {
                self.fresh.push(next);
            }
        }
        n_wanted
    }

    /// Compares the collected points with the query and offers them to the beam.
    #[inline(always)]
    fn compare_fresh<S: Space>(&mut self, space: &S, query: &S::Query) {
        self.cost.n_compared += self.fresh.len();
        if self.distances.len() < self.fresh.len() {
            self.distances.resize(self.fresh.len(), 0.0);
        }
        let distances = &mut self.distances[..self.fresh.len()];
        space.compare(query, &self.fresh, distances);
        for (&slot, &distance) in self.fresh.iter().zip(&*distances) {
            self.beam.offer(Neighbor { slot, distance });
        }
    }

    /// Resets beam and visited slots, and begins at `starts`.
    fn begin(&mut self, graph: &Graph, starts: &[Neighbor], ef: usize) {
        self.visited.reset(graph.n_slots());
        self.beam.reset(ef);
        for &start in starts {
            if !self.visited.mark(std::iter::once(start.slot)).is_empty() {
                self.beam.offer(start);
            }
        }
    }
}

impl Graph {
    /// Prefetches a slot's row.
    #[inline(always)]
    pub(super) fn prefetch(&self, slot: u32, level: usize) {
        let (start, n_bytes) = self.row(slot, level).start();
        distance::prefetch(start, n_bytes);
    }

    /// Finds up to `ef` points of a region nearest to a query; none without an entry point.
    pub(crate) fn search<S: Space>(
        &self,
        space: &S,
        query: &S::Query,
        (region, ef): (u32, usize),
        walker: &mut Walker,
    ) {
        (walker.cost, walker.asked_at) = (WalkCost::default(), 0);
        walker.beam.reset(ef);
        let Some(entry) = self.entry_of(region) else { return };
        let start = self.descend(space, query, entry, 0, walker);
        // Every point can be reached from the entry, but perhaps not from where the descent ended.
        let mut first = Neighbor { slot: entry.slot, distance: 0.0 };
        space.compare(query, &[entry.slot], std::slice::from_mut(&mut first.distance));
        self.walk(space, query, &[start, first], 0, ef, walker);
    }

    /// Finds up to `ef` admitted points nearest to a query. Begins at the points that a search
    /// without filter has left in the walker. Rejected points are stepped over: where a point has
    /// few admitted links, the links of its rejected neighbours count as its own.
    ///
    /// After Patel et al., "ACORN: Performant and Predicate-Agnostic Search Over Vector Embeddings
    /// and Structured Data" (2024), in the variant that needs no graph of its own (ACORN-1).
    pub(crate) fn search_among<S: Space, F: Fn(u32) -> bool, G: Fn(u32) -> bool>(
        &self,
        space: &S,
        query: &S::Query,
        ef: usize,
        among: &Among<'_, F, G>,
        walker: &mut Walker,
    ) {
        let mut starts = std::mem::take(&mut walker.starts);
        starts.clear();
        starts.extend(walker.beam.iter());
        walker.begin(self, &[], ef);
        walker.fresh.clear();
        // All starts are marked before the first is stepped over: its links may lead to other
        // starts, and a point may enter the beam only once.
        for start in &starts {
            walker.visited.see(start.slot);
        }
        for &start in &starts {
            if walker.is_given_up(space) {
                break;
            }
            match (among.admits)(start.slot) {
                true => walker.beam.offer(start),
                false => _ = walker.step_over(self, start.slot, &among.surely_admits),
            }
        }
        walker.starts = starts;
        let fresh = among.seeds.iter().copied().filter(|&seed| walker.visited.see(seed));
        walker.fresh.extend(fresh);
        walker.compare_fresh(space, query);
        while let Some(slot) = walker.beam.pop() {
            if walker.is_given_up(space) {
                break;
            }
            walker.cost.n_hops += 1;
            walker.gather_among(self, slot, among);
            for next in walker.beam.next_two() {
                self.prefetch(next, 0);
            }
            walker.compare_fresh(space, query);
        }
    }

    /// Descends greedily from `entry` through the levels above `to_level` to the nearest point met.
    pub(super) fn descend<S: Space>(
        &self,
        space: &S,
        query: &S::Query,
        entry: EntryPoint,
        to_level: usize,
        walker: &mut Walker,
    ) -> Neighbor {
        let mut nearest = Neighbor { slot: entry.slot, distance: 0.0 };
        space.compare(query, &[entry.slot], std::slice::from_mut(&mut nearest.distance));
        for level in (to_level + 1..=entry.level).rev() {
            loop {
                let before = nearest.slot;
                walker.fresh.clear();
                walker.fresh.extend(self.row(before, level).iter());
                walker.distances.resize(walker.fresh.len(), 0.0);
                space.compare(query, &walker.fresh, &mut walker.distances);
                walker.cost.n_compared += walker.fresh.len();
                walker.cost.n_hops += 1;
                for (&slot, &distance) in walker.fresh.iter().zip(&walker.distances) {
                    if distance < nearest.distance {
                        nearest = Neighbor { slot, distance };
                    }
                }
                if nearest.slot == before {
                    break;
                }
            }
        }
        nearest
    }

    /// Beam search at one level from `starts`. Leaves the nearest `ef` points in the walker's beam.
    pub(super) fn walk<S: Space>(
        &self,
        space: &S,
        query: &S::Query,
        starts: &[Neighbor],
        level: usize,
        ef: usize,
        walker: &mut Walker,
    ) {
        walker.begin(self, starts, ef);
        while !walker.is_given_up(space) && walker.gather(self, level) {
            walker.compare(space, query);
        }
    }
}
