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
        let (moment, exact) = (&self.moment, self.moment.reader());
        let (sight, n) = (moment.sight(&exact), self.params.n_nearest().min(moment.n_members()));
        let estimate = |(strategy, nanos): (Strategy, f64)| Estimate {
            strategy,
            micros: nanos.is_finite().then_some(nanos / 1e3),
        };
        let index = moment.index().filter(|_| self.params.strategy.is_none());
        let strategies = match (&self.scope, index) {
            (SearchScope::Matching(matching), Some(index)) => {
                let n_candidates = self.settled.get().unwrap_or(matching).possible.n();
                let (ef, _) = beam(&self.params, n, n_candidates, n_candidates);
                let can_walk = index.can_walk(&exact) && moment.is_linked();
                let plans = index.plans(sight, n_candidates, ef, can_walk);
                plans.into_iter().map(|(plan, nanos)| (plan.strategy(), nanos)).collect()
            }
            (SearchScope::All, Some(index)) if moment.is_linked() => {
                let (_, reach) = beam(&self.params, n, moment.n_members(), moment.n_walked());
                let costs = index.scan_or_walk(sight, moment.n_members(), reach);
                let mut strategies = match costs {
                    Some([scan, walk]) => vec![(Strategy::Exact, scan), (Strategy::Graph, walk)],
                    None => vec![(Strategy::Exact, f64::NAN)],
                };
                strategies.sort_by(|a, b| a.1.total_cmp(&b.1));
                strategies
            }
            (SearchScope::All | SearchScope::Listed, Some(index)) => {
                let (ef, _) = beam(&self.params, n, moment.n_members(), moment.n_members());
                let plans = index.plans(sight, moment.n_members(), ef, false);
                plans.into_iter().map(|(plan, nanos)| (plan.strategy(), nanos)).collect()
            }
            _ => vec![(self.params.strategy.unwrap_or_default(), f64::NAN)],
        };
        strategies.into_iter().map(estimate).collect()
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
