//! Saying why a search went the way it did.

use std::time::Duration;

use super::field::Field;
use super::round::{Round, beam, can_walk};
use crate::collection::index::cost::Plan;
use crate::collection::matching::settle;
use crate::error::Result;
use crate::route::{Estimate, Explanation, FilterFigures};
use crate::route::{Route, Way};

impl Plan {
    fn way(self) -> Way {
        match self {
            Plan::Vectors => Way::Exact,
            Plan::Codes => Way::Codes,
            Plan::Walk => Way::Graph,
        }
    }
}

impl Round {
    /// What is to be said of a search that went so; it was over after the first time, and its hits were there after the
    /// second.
    pub(super) fn explain(&self, route: Route, (searched, done): (Duration, Duration)) -> Result<Explanation> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let estimates = match route.way {
            Way::Words => vec![Estimate { way: Way::Words, micros: None }],
            _ => self.estimates(),
        };
        Ok(Explanation {
            route,
            estimates,
            filter: self.figures()?,
            filter_micros: micros(self.choosing),
            search_micros: micros(searched),
            documents_micros: micros(done.saturating_sub(searched)),
        })
    }

    /// The ways there are to what may be a hit, the fastest first.
    fn estimates(&self) -> Vec<Estimate> {
        let (slots, exact) = (&self.live.memory.slots, self.live.reader(Some(&self.view.snapshot)));
        let n = self.params.n_nearest().min(slots.n_slots());
        let estimate = |(way, nanos): (Way, f64)| Estimate { way, micros: nanos.is_finite().then_some(nanos / 1e3) };
        let index = self.live.memory.index.as_ref().filter(|_| self.params.way.is_none());
        let ways = match (&self.field, index) {
            (Field::Matching(matching), Some(index)) => {
                let n_candidates = self.settled.get().unwrap_or(matching).possible.n;
                let (ef, _) = beam(&self.params, n, n_candidates, n_candidates);
                let can_walk = can_walk(index, &exact);
                let plans = index.plans((slots, &exact), &self.live.ranker, n_candidates, ef, can_walk);
                plans.into_iter().map(|(plan, nanos)| (plan.way(), nanos)).collect()
            }
            (Field::All | Field::Members(_), Some(index)) => {
                let n_members = if let Field::Members(n) = self.field { n } else { slots.n_documents() };
                let (_, reach) = beam(&self.params, n, n_members, slots.n_documents());
                let costs = index.scan_or_walk((slots, &exact), &self.live.ranker, n_members, reach);
                let mut ways = match costs {
                    Some([scan, walk]) => vec![(Way::Exact, scan), (Way::Graph, walk)],
                    None => vec![(Way::Exact, f64::NAN)],
                };
                ways.sort_by(|a, b| a.1.total_cmp(&b.1));
                ways
            }
            _ => vec![(self.params.way.unwrap_or_default(), f64::NAN)],
        };
        ways.into_iter().map(estimate).collect()
    }

    /// How many documents match the filter. Looks at all of which postings do not tell.
    fn figures(&self) -> Result<Option<FilterFigures>> {
        let Field::Matching(matching) = &self.field else { return Ok(None) };
        let (n_possible, n_doubtful) = (matching.possible.n, matching.n_doubtful());
        let n_matching = match (&matching.sure, self.settled.get()) {
            (None, _) => n_possible,
            (Some(_), Some(settled)) => settled.possible.n,
            (Some(_), None) => settle(&self.live, &self.view, &self.params.filter, matching)?.possible.n,
        };
        Ok(Some(FilterFigures { n_possible, n_doubtful, n_matching }))
    }
}
