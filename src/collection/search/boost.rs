//! Adding to scores, before the best are cut off.
//!
//! More than is wanted is found by the plain score, and put in the order of the boosted one. Where it is known how much
//! boosts can add at most, more and more is found until nothing else could be among the best.

use std::collections::HashMap;

use super::round::{Asked, Best, Round};
use crate::boost::Boost;
use crate::error::Result;
use crate::id::Slot;
use crate::route::Route;

/// Found before boosts are added: so many for each hit wanted, and at least so many.
const PER_HIT: usize = 10;
const LEAST: usize = 100;
/// How much more is found each time that was not enough.
const MORE: usize = 4;

impl Round {
    /// The best `n` by their scores with boosts.
    pub(super) fn boosted(&self, asked: &Asked, n: usize) -> Result<Best> {
        if self.params.boosts.is_empty() {
            return self.best(asked, n);
        }
        let most: Option<f64> = self.params.boosts.iter().map(Boost::most).sum();
        // What ranks add up to says nothing of what was not found.
        let most = most.filter(|_| !matches!(asked, Asked::Both(..)));
        let n_slots = self.moment.n_members();
        let (mut boosts, now) = (HashMap::new(), self.moment.now_ns());
        let mut n_found = self.params.boosted_candidates.unwrap_or_else(|| n.saturating_mul(PER_HIT).max(LEAST)).max(n);
        let mut spent = Route::default();
        loop {
            let Best { mut answers, route, is_all } = self.best(asked, n_found)?;
            let unseen = answers.last().map(|last| f64::from(last.score)).zip(most).map(|(last, most)| last + most);
            self.look_up_boosts(answers.iter().map(|answer| answer.slot), now, &mut boosts)?;
            for answer in &mut answers {
                let boosted = f64::from(answer.score) + boosts.get(&answer.slot).copied().unwrap_or_default();
                answer.score = boosted.clamp(f32::MIN.into(), f32::MAX.into()) as f32;
            }
            self.order(&mut answers)?;
            let last = n.checked_sub(1).and_then(|at| answers.get(at)).map(|answer| answer.score);
            // One that scores as the last may come before it by its id.
            let is_sure = unseen.zip(last).is_some_and(|(unseen, last)| (unseen as f32) < last);
            let route = route.with(spent);
            if is_all || is_sure || most.is_none() || n == 0 || n_found >= n_slots {
                let is_all = is_all && answers.len() <= n;
                answers.truncate(n);
                return Ok(Best { answers, route, is_all });
            }
            spent = route;
            n_found = n_found.saturating_mul(MORE);
        }
    }

    /// What boosts add for slots that have not been looked at yet.
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

impl Route {
    /// What this and an earlier search took together.
    pub(super) fn with(self, earlier: Route) -> Self {
        Route {
            n_scanned: self.n_scanned + earlier.n_scanned,
            n_visited: self.n_visited + earlier.n_visited,
            n_sifted: self.n_sifted + earlier.n_sifted,
            n_hops: self.n_hops + earlier.n_hops,
            ef: self.ef.max(earlier.ef),
            n_checked: self.n_checked + earlier.n_checked,
            gave_up: self.gave_up || earlier.gave_up,
            ..self
        }
    }
}
