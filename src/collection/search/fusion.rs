//! Hybrid search: fuses the best answers by vector and by words, by their ranks (reciprocal rank
//! fusion, RRF) or by their scaled scores.

use super::answer::ScoredHit;
use super::session::{SearchResults, Session, VectorQuery};
use super::words::ByWords;
use crate::cancel::Stop;
use crate::collection::vectors::nearest::SearchScratch;
use crate::error::Result;
use crate::graph::Neighbor;
use crate::hit::{Part, Parts};
use crate::id::Slot;
use crate::params::{FusedBy, Fusion};
use crate::route::SearchStats;
use crate::text::query::Parsed;

impl Session {
    /// Fuses the best candidates by a vector and by words. Returns all of them, which may be more
    /// than `n`.
    pub(super) fn fused(&self, query: &VectorQuery, parsed: &Parsed, n: usize) -> Result<SearchResults> {
        if self.params.mmr.is_some() {
            self.refuse_with_words("mmr")?;
        }
        let fusion = self.params.fusion;
        let n = fusion.n_candidates(n);
        let (near, stats) = SearchScratch::with(|scratch| -> Result<_> {
            let stats = self.find(query, n, scratch)?;
            self.settle(&mut scratch.found, n)?;
            Ok((scratch.found.clone(), stats))
        })?;
        let ByWords { ranking, best, n_scored, n_checked } = self.find_by_words(parsed, n, &query.excluded)?;
        let is_all = near.len() < n && best.len() < n;
        let mut slots: Vec<Slot> =
            near.iter().map(|found| found.slot).chain(best.iter().map(|scored| scored.slot)).map(Slot).collect();
        slots.sort_unstable();
        slots.dedup();
        let comparison = self.moment.comparison();
        let mut hits = Vec::with_capacity(slots.len());
        for found in self.compare(query, &slots)? {
            let score = |score| Part { score, rank: None };
            let parts = Parts {
                vector: score(comparison.score(found.distance)),
                text: score(ranking.score(found.slot) as f32),
            };
            if self.is_near(found.distance) {
                hits.push(ScoredHit { parts: Some(parts), ..self.hit_of(&found) });
            }
        }
        set_ranks(&mut hits, near.iter().map(|found| found.slot), |parts| &mut parts.vector);
        set_ranks(&mut hits, best.iter().map(|scored| scored.slot), |parts| &mut parts.text);
        fuse(&fusion, &mut hits);
        self.order(&mut hits)?;
        let (n_visited, n_checked) = (stats.n_visited + n_scored, stats.n_checked + n_checked);
        Ok(SearchResults { hits, stats: SearchStats { n_visited, n_checked, ..stats }, is_all })
    }

    /// Measures the exact vectors of `slots`, which are in order. Returns them in that order.
    fn compare(&self, query: &VectorQuery, slots: &[Slot]) -> Result<Vec<Neighbor>> {
        let exact = self.moment.reader();
        let (mut found, mut absent) = (Vec::with_capacity(slots.len()), Vec::new());
        let measure = |vector: &[f32]| self.moment.comparison().measure(&query.row, vector);
        for (at, &slot) in slots.iter().enumerate() {
            if at % Stop::EVERY == 0 {
                self.stop.check()?;
            }
            match exact.get(slot) {
                Some(vector) => found.push(Neighbor { slot: slot.0, distance: measure(vector) }),
                None => absent.push(slot),
            }
        }
        exact.each(&self.stop, &absent, |place, vector| {
            found.push(Neighbor { slot: absent[place].0, distance: measure(vector) })
        })?;
        found.sort_unstable_by_key(|found| found.slot);
        Ok(found)
    }
}

/// Notes the rank of each slot, 1 for the best, in its answer. `slots` begin with the best;
/// `answers` are in the order of slots.
fn set_ranks(hits: &mut [ScoredHit], slots: impl Iterator<Item = u32>, part: impl Fn(&mut Parts) -> &mut Part) {
    for (rank, slot) in (1..).zip(slots) {
        let at = hits.binary_search_by_key(&slot, |hit| hit.slot.0);
        if let Some(parts) = at.ok().and_then(|at| hits[at].parts.as_mut()) {
            part(parts).rank = Some(rank);
        }
    }
}

/// Gives answers their fused scores.
fn fuse(fusion: &Fusion, hits: &mut [ScoredHit]) {
    let parts = |hit: &ScoredHit| hit.parts.unwrap_or_default();
    let weights = (fusion.vector_weight, fusion.text_weight);
    match fusion.by {
        FusedBy::Rrf { k } => {
            let share = |part: Part, weight: f32| part.rank.map_or(0.0, |rank| weight / (k + rank as f32));
            for hit in hits.iter_mut() {
                let Parts { vector, text } = parts(hit);
                hit.score = share(vector, weights.0) + share(text, weights.1);
            }
        }
        FusedBy::Scores => {
            let of = |side: fn(Parts) -> Part| Scale::of(hits.iter().map(|hit| side(parts(hit)).score));
            let (vector, text) = (of(|parts| parts.vector), of(|parts| parts.text));
            for hit in hits.iter_mut() {
                let Parts { vector: near, text: named } = parts(hit);
                hit.score = weights.0 * vector.apply(near.score) + weights.1 * text.apply(named.score);
            }
        }
    }
}

/// Min-max scaling: moves and scales scores to lie between 0 and 1.
struct Scale {
    least: f32,
    most: f32,
}

impl Scale {
    fn of(scores: impl Iterator<Item = f32>) -> Self {
        let start = Scale { least: f32::INFINITY, most: f32::NEG_INFINITY };
        scores.fold(start, |Scale { least, most }, score| Scale { least: least.min(score), most: most.max(score) })
    }

    /// Scales a score. Scores that are all equal become 1 if they are above 0, else 0.
    fn apply(&self, score: f32) -> f32 {
        match self.most > self.least {
            true => (score - self.least) / (self.most - self.least),
            false => f32::from(u8::from(score > 0.0)),
        }
    }
}
