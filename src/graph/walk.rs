//! Searching: from the entry point down the levels, then along the beam at level 0, past all points or among some.

use super::beam::{Beam, Found, Visited};
use super::{Entry, Graph, Space};
use crate::distance;

/// What a walk has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Points expanded.
    pub(crate) n_hops: usize,
    /// Points ranked.
    pub(crate) n_ranked: usize,
}

/// Room for one walk at a time, to be used again: once it has grown, a walk allocates nothing.
#[derive(Default)]
pub(crate) struct Walker {
    visited: Visited,
    beam: Beam,
    fresh: Vec<u32>,
    starts: Vec<Found>,
    /// Links of a point that are wanted.
    wanted: Vec<u32>,
    /// Points on the way that are not wanted themselves.
    stones: Vec<u32>,
    ranks: Vec<f32>,
    tally: Tally,
    /// How much was done when it was last asked whether anyone wants what is found.
    asked_at: usize,
}

/// Rows of points to be stepped over that are fetched ahead.
const AHEAD: usize = 4;
/// Points ranked, or stepped over, until a walk asks again whether anyone still wants what it finds.
const UNASKED: usize = 256;
/// Links that are wanted, in parts of `m`, after which no more points are stepped over.
const ENOUGH: usize = 2;

/// Points to be found, and none but those.
pub(crate) struct Among<'a, F, G> {
    pub(crate) admits: F,
    /// The same, asked of so many that it may know less: some points it does not admit are among them.
    pub(crate) surely_admits: G,
    /// Some of them to begin at too.
    pub(crate) seeds: &'a [u32],
}

impl Walker {
    /// The points found, nearest first.
    pub(crate) fn found(&self) -> impl Iterator<Item = Found> {
        self.beam.iter()
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether nobody wants what is found any more, as far as was asked.
    #[inline(always)]
    fn is_given_up<S: Space>(&mut self, space: &S) -> bool {
        let n_done = self.tally.n_ranked + self.tally.n_hops;
        if n_done < self.asked_at + UNASKED {
            return false;
        }
        self.asked_at = n_done;
        space.is_given_up()
    }

    /// Takes the next point and notes those of its links that were not seen before. False if the walk is over.
    #[inline(always)]
    fn gather(&mut self, graph: &Graph, level: usize) -> bool {
        let Some(slot) = self.beam.pop() else { return false };
        self.visited.mark(graph.row(slot, level).iter());
        for next in self.beam.next_two() {
            graph.prefetch(next, level);
        }
        self.tally.n_hops += 1;
        true
    }

    /// Ranks what was gathered.
    #[inline(always)]
    fn rank<S: Space>(&mut self, space: &S, query: &S::Query) {
        let fresh = self.visited.fresh();
        self.tally.n_ranked += fresh.len();
        if self.ranks.len() < fresh.len() {
            self.ranks.resize(fresh.len(), 0.0);
        }
        let ranks = &mut self.ranks[..fresh.len()];
        space.rank(query, fresh, ranks);
        for (&slot, &rank) in fresh.iter().zip(&*ranks) {
            self.beam.offer(Found { rank, slot });
        }
    }

    /// Notes the links of a point that are wanted and were not seen before. Where few are wanted, also those behind the
    /// ones that are not.
    #[inline(always)]
    fn gather_among<F: Fn(u32) -> bool, G: Fn(u32) -> bool>(
        &mut self,
        graph: &Graph,
        slot: u32,
        among: &Among<'_, F, G>,
    ) {
        self.fresh.clear();
        let links = graph.row(slot, 0).iter();
        // Whether a link is wanted is anyone's guess, so no branch depends on it.
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

    /// Notes the links of a point that is not wanted. Returns how many of them are.
    #[inline(always)]
    fn step_over(&mut self, graph: &Graph, stone: u32, admits: &impl Fn(u32) -> bool) -> usize {
        self.tally.n_hops += 1;
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

    /// Ranks what was noted.
    #[inline(always)]
    fn rank_fresh<S: Space>(&mut self, space: &S, query: &S::Query) {
        self.tally.n_ranked += self.fresh.len();
        if self.ranks.len() < self.fresh.len() {
            self.ranks.resize(self.fresh.len(), 0.0);
        }
        let ranks = &mut self.ranks[..self.fresh.len()];
        space.rank(query, &self.fresh, ranks);
        for (&slot, &rank) in self.fresh.iter().zip(&*ranks) {
            self.beam.offer(Found { rank, slot });
        }
    }

    /// Empties beam and memory, and begins at some points.
    fn begin(&mut self, graph: &Graph, starts: &[Found], ef: usize) {
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
    /// Begins to fetch a slot's row.
    #[inline(always)]
    pub(super) fn prefetch(&self, slot: u32, level: usize) {
        let (start, n_bytes) = self.row(slot, level).start();
        distance::prefetch(start, n_bytes);
    }

    /// Finds the points of a region nearest to a query, up to `ef`: none if there are none.
    pub(crate) fn search<S: Space>(
        &self,
        space: &S,
        query: &S::Query,
        (region, ef): (u32, usize),
        walker: &mut Walker,
    ) {
        (walker.tally, walker.asked_at) = (Tally::default(), 0);
        walker.beam.reset(ef);
        let Some(entry) = self.entry_of(region) else { return };
        let start = self.descend(space, query, entry, 0, walker);
        // From the entry every point can be reached; from where the walk came down perhaps not.
        let mut first = Found { rank: 0.0, slot: entry.slot };
        space.rank(query, &[entry.slot], std::slice::from_mut(&mut first.rank));
        self.walk(space, query, &[start, first], 0, ef, walker);
    }

    /// Finds the points nearest to a query among some, up to `ef`. Goes on from what a search among all has left in the
    /// walker. Points that are not among them are stepped over: where a point has few links to those that are, the
    /// links of its other neighbours count as its own.
    ///
    /// After Patel et al., "ACORN: Performant and Predicate-Agnostic Search Over Vector Embeddings and Structured Data"
    /// (2024), as the variant that needs no other graph.
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
        // All of them before any is stepped over, whose links lead to others: a point is in the beam once.
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
        walker.rank_fresh(space, query);
        while let Some(slot) = walker.beam.pop() {
            if walker.is_given_up(space) {
                break;
            }
            walker.tally.n_hops += 1;
            walker.gather_among(self, slot, among);
            for next in walker.beam.next_two() {
                self.prefetch(next, 0);
            }
            walker.rank_fresh(space, query);
        }
    }

    /// Walks greedily from the entry down to just above a level, and returns the nearest point met.
    pub(super) fn descend<S: Space>(
        &self,
        space: &S,
        query: &S::Query,
        entry: Entry,
        to_level: usize,
        walker: &mut Walker,
    ) -> Found {
        let mut nearest = Found { rank: 0.0, slot: entry.slot };
        space.rank(query, &[entry.slot], std::slice::from_mut(&mut nearest.rank));
        for level in (to_level + 1..=entry.level).rev() {
            loop {
                let before = nearest.slot;
                walker.fresh.clear();
                walker.fresh.extend(self.row(before, level).iter());
                walker.ranks.resize(walker.fresh.len(), 0.0);
                space.rank(query, &walker.fresh, &mut walker.ranks);
                walker.tally.n_ranked += walker.fresh.len();
                walker.tally.n_hops += 1;
                for (&slot, &rank) in walker.fresh.iter().zip(&walker.ranks) {
                    if rank < nearest.rank {
                        nearest = Found { rank, slot };
                    }
                }
                if nearest.slot == before {
                    break;
                }
            }
        }
        nearest
    }

    /// Walks a level from some points on, leaving the nearest `ef` in the walker's beam.
    pub(super) fn walk<S: Space>(
        &self,
        space: &S,
        query: &S::Query,
        starts: &[Found],
        level: usize,
        ef: usize,
        walker: &mut Walker,
    ) {
        walker.begin(self, starts, ef);
        while !walker.is_given_up(space) && walker.gather(self, level) {
            walker.rank(space, query);
        }
    }
}
