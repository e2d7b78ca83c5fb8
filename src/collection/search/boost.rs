//! Boosts: what a search adds to scores before it cuts off the best `n`.
//!
//! A boosted search finds more candidates than it needs by their plain scores, and sorts them by
//! their boosted ones. Where boosts have an upper bound, it finds more until no unseen document
//! could be among the best.

use std::collections::HashMap;

use super::session::{PreparedQuery, SearchResults, Session};
use crate::boost::Boost;
use crate::error::Result;
use crate::id::Slot;
use crate::route::SearchStats;

/// Candidates found for each hit wanted, before boosts are added.
const PER_HIT: usize = 10;
/// Fewest candidates found before boosts are added.
const LEAST: usize = 100;
/// Factor by which the number of candidates grows while they are not enough.
const MORE: usize = 4;

impl Session {
    /// The best `n` answers by their boosted scores.
    pub(super) fn boosted(&self, prepared: &PreparedQuery, n: usize) -> Result<SearchResults> {
        if self.params.boosts.is_empty() {
            return self.best(prepared, n);
        }
        let most: Option<f64> = self.params.boosts.iter().map(Boost::most).sum();
        // The fused score of the last candidate does not bound those of documents that were not
        // found.
        let most = most.filter(|_| !matches!(prepared, PreparedQuery::Both(..)));
        let n_slots = self.moment.n_members();
        let (mut boosts, now) = (HashMap::new(), self.moment.now_ns());
        let mut n_found = self.params.boosted_candidates.unwrap_or_else(|| n.saturating_mul(PER_HIT).max(LEAST)).max(n);
        let mut spent = SearchStats::default();
        loop {
            let SearchResults { mut hits, stats, is_all } = self.best(prepared, n_found)?;
            let unseen = hits.last().map(|last| f64::from(last.score)).zip(most).map(|(last, most)| last + most);
            self.look_up_boosts(hits.iter().map(|hit| hit.slot), now, &mut boosts)?;
            for hit in &mut hits {
                let boosted = f64::from(hit.score) + boosts.get(&hit.slot).copied().unwrap_or_default();
                hit.score = boosted.clamp(f32::MIN.into(), f32::MAX.into()) as f32;
            }
            self.order(&mut hits)?;
            let last = n.checked_sub(1).and_then(|at| hits.get(at)).map(|hit| hit.score);
            // A document that scores as the last one may come before it by its id.
            let is_sure = unseen.zip(last).is_some_and(|(unseen, last)| (unseen as f32) < last);
            let stats = stats.with(spent);
            if is_all || is_sure || most.is_none() || n == 0 || n_found >= n_slots {
                let is_all = is_all && hits.len() <= n;
                hits.truncate(n);
                return Ok(SearchResults { hits, stats, is_all });
            }
            spent = stats;
            n_found = n_found.saturating_mul(MORE);
        }
    }

    /// Looks up what boosts add for slots that are not in `known` yet.
    fn look_up_boosts(
        &self,
        slots: impl Iterator<Item = Slot>,
        now: i128,
        known: &mut HashMap<Slot, f64>,
    ) -> Result<()> {
        let new: Vec<Slot> = slots.filter(|slot| !known.contains_key(slot)).collect();
        for (slot, row) in self.moment.fetch_unless(&self.stop, &new)? {
            let matches = |filter: &_| self.moment.words().match_filter(filter, &row);
            let all = self.params.boosts.iter().map(|boost| boost.of(&row.metadata, now, &matches));
            known.insert(slot, all.sum());
        }
        Ok(())
    }
}

impl SearchStats {
    /// This search's statistics with the costs of an `earlier` one added; `ef` is the larger of
    /// both.
    pub(super) fn with(self, earlier: SearchStats) -> Self {
        SearchStats {
            n_scanned: self.n_scanned + earlier.n_scanned,
            n_visited: self.n_visited + earlier.n_visited,
            n_prefiltered: self.n_prefiltered + earlier.n_prefiltered,
            n_hops: self.n_hops + earlier.n_hops,
            ef: self.ef.max(earlier.ef),
            n_checked: self.n_checked + earlier.n_checked,
            gave_up: self.gave_up || earlier.gave_up,
            ..self
        }
    }
}
