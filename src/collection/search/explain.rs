//! Explains why a search was answered by the strategy that it was.

use std::time::Duration;

use super::scope::SearchScope;
use super::session::{Session, beam};
use crate::collection::vectors::nearest::cost::SearchPlan;
use crate::error::Result;
use crate::route::{Estimate, Explanation, FilterFigures, SearchStats, Strategy};

impl SearchPlan {
    fn strategy(self) -> Strategy {
        match self {
            SearchPlan::Vectors => Strategy::Exact,
            SearchPlan::Codes => Strategy::Codes,
            SearchPlan::Walk => Strategy::Graph,
        }
    }
}

impl Session {
    /// Explains a finished search. `searched` and `done` are durations since the search began:
    /// until its answers were found, and until its hits were complete.
    pub(super) fn explain(&self, stats: SearchStats, (searched, done): (Duration, Duration)) -> Result<Explanation> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let estimates = match stats.strategy {
            Strategy::Words => vec![Estimate { strategy: Strategy::Words, micros: None }],
            _ => self.estimates(),
        };
        Ok(Explanation {
            stats,
            estimates,
            filter: self.figures()?,
            filter_micros: micros(self.choosing),
            search_micros: micros(searched),
            documents_micros: micros(done.saturating_sub(searched)),
        })
    }

    /// The possible ways to search, with the time each was expected to take, the fastest first.
    fn estimates(&self) -> Vec<Estimate> {
        if let Some(strategy) = self.params.strategy {
            return vec![Estimate { strategy, micros: None }];
        }
        let (moment, exact) = (&self.moment, self.moment.reader());
        let (sight, n) = (moment.sight(&exact), self.params.n_nearest().min(moment.n_members()));
        let index = moment.index();
        let plans = match &self.scope {
            SearchScope::Matching(matching) => {
                let n_candidates = self.settled.get().unwrap_or(matching).possible.n();
                let (ef, _) = beam(&self.params, n, n_candidates, n_candidates);
                index.plans(sight, n_candidates, ef, index.can_walk(&exact) && moment.is_linked())
            }
            SearchScope::All if moment.is_linked() => {
                let (_, reach) = beam(&self.params, n, moment.n_members(), moment.n_walked());
                index.plans_of_all(sight, reach)
            }
            SearchScope::All | SearchScope::Listed => {
                let (ef, _) = beam(&self.params, n, moment.n_members(), moment.n_members());
                index.plans(sight, moment.n_members(), ef, false)
            }
        };
        let estimate = |(plan, nanos): (SearchPlan, f64)| Estimate {
            strategy: plan.strategy(),
            micros: nanos.is_finite().then_some(nanos / 1e3),
        };
        plans.into_iter().map(estimate).collect()
    }

    /// How many documents match the filter. Reads every document that postings leave in doubt.
    fn figures(&self) -> Result<Option<FilterFigures>> {
        let SearchScope::Matching(matching) = &self.scope else { return Ok(None) };
        let (n_possible, n_doubtful) = (matching.possible.n(), matching.n_doubtful());
        let n_matching = match self.settled.get() {
            _ if matching.is_settled() => n_possible,
            Some(settled) => settled.possible.n(),
            None => self.moment.settle(&self.params.filter, matching, &self.stop)?.possible.n(),
        };
        Ok(Some(FilterFigures { n_possible, n_doubtful, n_matching }))
    }
}
