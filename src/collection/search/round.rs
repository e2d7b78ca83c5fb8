//! The searches of one call: finding the nearest documents of the search scope, and answering.
//!
//! Without a filter a search walks the HNSW graph, or compares every vector where that is faster.
//! With a filter it takes the cheapest way by measured costs: compare vectors or codes of all
//! matching documents, or walk among them. Documents that postings leave in doubt are read once
//! they are found, nearest first, until there are enough.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::field::Field;
use super::hits::Answer;
use crate::cancel::Stop;
use crate::collection::candidates::{Candidates, Picks};
use crate::collection::index::cost::Plan;
use crate::collection::index::seek::{Effort, Scratch, Target, WIDER, Wanted, cut};
use crate::collection::index::{Index, LEAST_SIFTED, Sight};
use crate::collection::matching::Matching;
use crate::collection::moment::{Listing, Moment};
use crate::collection::query::{Query, Resolved};
use crate::collection::snapshot::Place;
use crate::collection::{check, diversity};
use crate::document::Hits;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::filter::slots::SlotSet;
use crate::graph::Found;
use crate::id::Slot;
use crate::paging::SearchCursor;
use crate::params::SearchParams;
use crate::route::{Route, Way};
use crate::text::query::Parsed;

/// The state that the searches of one call share: the commit they see, and their scope.
pub(super) struct Round {
    pub(super) moment: Arc<Moment>,
    pub(super) params: SearchParams,
    pub(super) place: Place,
    pub(super) field: Field,
    /// The flag or deadline that ends the searches early.
    pub(super) stop: Stop,
    /// The documents that match, once one of the searches had to read all in doubt.
    pub(super) settled: OnceLock<Matching>,
    /// How long it took to determine the scope.
    pub(super) choosing: Duration,
}

/// A checked query in the form in which vectors are compared, and the slots it must not find, in
/// order.
pub(super) struct Prepared {
    pub(super) row: Vec<f32>,
    pub(super) excluded: Vec<Slot>,
}

/// The parts of a query: a vector, words, or both.
pub(super) enum Asked {
    Near(Prepared),
    Words(Parsed),
    Both(Prepared, Parsed),
}

/// The answers of a search.
pub(super) struct Best {
    /// The best first.
    pub(super) answers: Vec<Answer>,
    pub(super) route: Route,
    /// Whether there is nothing more to find.
    pub(super) is_all: bool,
}

impl Effort {
    fn route(self, way: Way) -> Route {
        let Effort { walk, ef, n_tail, n_rescored, n_codes, n_sifted, .. } = self;
        let Effort { is_doubtful: doubtful, was_widened: widened, .. } = self;
        let (n_visited, n_hops) = (walk.n_ranked + n_codes, walk.n_hops);
        let route = Route { way, n_scanned: n_rescored, n_visited, n_sifted, n_hops, ..Route::default() };
        Route { ef, n_tail, doubtful, widened, ..route }
    }
}

/// Candidates found for each hit wanted where matches are in doubt; also the factor by which
/// candidates grow while too few match.
const MORE_FOR_DOUBT: usize = 4;
/// Most candidates found before all documents in doubt are read instead.
const MOST_DOUBTED: usize = 2_048;
/// Candidates, spread over all of them, at which a filtered walk begins.
const N_SEEDS: usize = 16;
/// Most candidates for a filtered walk to begin at all of them.
const MOST_SEEDS: usize = 64;

impl Round {
    pub(super) fn begin(place: Place, params: SearchParams, stop: Stop) -> Result<Self> {
        params.validate()?;
        stop.check()?;
        let began = Instant::now();
        let (moment, field) = choose(&place, &params, &stop)?;
        let (settled, choosing) = (OnceLock::new(), began.elapsed());
        Ok(Round { moment, place, field, stop, params, settled, choosing })
    }

    /// Answers a query. With `after` the answer is one page: the first if `after` holds no cursor.
    pub(super) fn answer(&self, query: Query, after: Option<Option<SearchCursor>>) -> Result<Hits> {
        self.stop.check()?;
        let (name, began) = (|| self.place.collection(), Instant::now());
        let pages = after.map(|after| self.turn_to(&query, after)).transpose()?;
        let Resolved { vector, text, examples } = query.resolve(&self.moment, &name)?;
        let prepare = |vector: Vec<f32>| -> Result<Prepared> {
            let norm = check::vector(name, self.moment.config(), &vector)?;
            Ok(Prepared { row: self.moment.comparable_by(vector, norm), excluded: examples })
        };
        let asked = match (vector.map(prepare).transpose()?, text) {
            (Some(query), None) => Asked::Near(query),
            (Some(query), Some(text)) => Asked::Both(query, self.parse(&text)?),
            (None, text) => Asked::Words(self.parse(&text.unwrap_or_default())?),
        };
        let (answers, route, given) = match &pages {
            Some(pages) => self.next_page(&asked, pages)?,
            None => {
                let (answers, route) = self.page(&asked)?;
                (answers, route, None)
            }
        };
        let absent_fields = self.moment.absent_fields(&self.params.filter, !answers.is_empty());
        let n_checked = route.n_checked + self.matching().map_or(0, |matching| matching.n_read);
        let route = Route { n_absent_fields: absent_fields.len(), n_checked, ..route };
        let searched = began.elapsed();
        let items = self.complete(answers)?;
        let next = pages.zip(given).map(|(pages, given)| pages.next(&items, given));
        let explanation = match self.params.explain {
            true => Some(Box::new(self.explain(route, (searched, began.elapsed()))?)),
            false => None,
        };
        Ok(Hits { items, commit: self.moment.commit(), route, next, explanation, absent_fields })
    }

    /// The best `n` answers in order; a fused search returns all its candidates.
    pub(super) fn best(&self, asked: &Asked, n: usize) -> Result<Best> {
        self.stop.check()?;
        match asked {
            Asked::Near(query) => self.nearest(query, n),
            Asked::Words(parsed) => self.best_by_words(parsed, n),
            Asked::Both(query, parsed) => self.fused(query, parsed, n),
        }
    }

    /// The `n` answers nearest to a vector, in order; with MMR, those chosen to differ from each
    /// other.
    fn nearest(&self, query: &Prepared, n: usize) -> Result<Best> {
        Scratch::with(|scratch| {
            let n_wanted = self.params.mmr.map_or(n, |mmr| mmr.candidates);
            let route = self.find(query, n_wanted, scratch)?;
            let is_all = scratch.found.len() < n_wanted;
            self.settle(&mut scratch.found, n_wanted)?;
            scratch.found.retain(|found| self.is_near(found.rank));
            if let Some(mmr) = self.params.mmr {
                // A candidate below `min_score` is no hit, so hits need not differ from it.
                let ranker = self.moment.ranker();
                let is_good = |rank| self.params.min_score.is_none_or(|least| ranker.score(rank) >= least);
                scratch.found.retain(|found| is_good(found.rank));
                let exact = self.moment.reader();
                diversity::choose(ranker, &exact, mmr, n, &mut scratch.found, &self.stop)?;
            }
            let answers = scratch.found.iter().map(|found| self.answer_of(found)).collect();
            Ok(Best { answers, route, is_all })
        })
    }

    /// Drops answers below `min_score`.
    pub(super) fn keep_good(&self, answers: &mut Vec<Answer>) {
        answers.retain(|answer| self.params.min_score.is_none_or(|least| answer.score >= least));
    }

    /// This round with its scope narrowed to documents that also match `filter`.
    ///
    /// # Errors
    /// `LimitExceeded` if both filters together are too large.
    pub(super) fn within(&self, filter: Filter) -> Result<Self> {
        let params = SearchParams { filter: self.params.filter.clone().and(filter.clone()), ..self.params.clone() };
        params.filter.check()?;
        let field = Field::Matching(self.moment.matching_within(self.matching(), &filter));
        let (moment, place, stop) = (self.moment.clone(), self.place.clone(), self.stop.clone());
        Ok(Round { moment, place, field, stop, params, settled: OnceLock::new(), choosing: self.choosing })
    }

    /// Leaves the nearest `n` in `scratch`, in the order of measures, followed by those as near as
    /// the last of them.
    pub(super) fn find(&self, query: &Prepared, n: usize, scratch: &mut Scratch) -> Result<Route> {
        let exact = self.moment.reader();
        let (sight, n) = (self.moment.sight(&exact), n.min(self.moment.n_members()));
        match &self.field {
            Field::Listed if self.moment.is_linked() => {
                self.scan(sight, query, n, self.moment.members().into_iter().flatten().copied(), scratch)
            }
            Field::Listed => self.find_each(sight, query, n, scratch),
            Field::All => self.find_in_namespace(sight, query, n, scratch),
            Field::Matching(matching) => {
                let route = match matching.is_settled() {
                    true => self.find_among(sight, query, n, &matching.possible, scratch)?,
                    false => self.find_in_doubt(sight, query, n, matching, scratch)?,
                };
                let n_matching = self.settled.get().unwrap_or(matching).possible.n();
                Ok(Route { n_matching: Some(n_matching), ..route })
            }
        }
    }

    fn find_in_namespace(&self, sight: Sight<'_>, query: &Prepared, n: usize, scratch: &mut Scratch) -> Result<Route> {
        let moment = &self.moment;
        let (ef, reach) = beam(&self.params, n, moment.n_members(), moment.n_walked());
        let Some(index) = walked(moment, sight, &self.params, reach) else {
            return match moment.is_linked() {
                true => self.scan(sight, query, n, moment.each_member(), scratch),
                false => self.find_each(sight, query, n, scratch),
            };
        };
        let wanted = self.wanted(query, n, ef);
        index.seek(sight, wanted, Target::All, scratch)?;
        let is_doubt = scratch.effort.is_doubtful && index.note_doubt(moment.namespace());
        if index.note_query(moment.namespace(), wanted.query, scratch) || is_doubt {
            moment.ring();
        }
        let route = scratch.effort.route(Way::Graph);
        // Excluded documents are of this namespace.
        let n_expected = (moment.n_members() - query.excluded.len()).min(n);
        if scratch.found.len() >= n_expected && !scratch.effort.was_given_up {
            return Ok(route);
        }
        let again = match scratch.effort.wants_vectors {
            true => self.scan(sight, query, n, moment.each_member(), scratch)?,
            // Fewer than there are: too many found points are deleted or of other namespaces.
            false => self.find_each(sight, query, n, scratch)?,
        };
        let (n_visited, n_hops) = (route.n_visited + again.n_visited, route.n_hops);
        Ok(Route { n_visited, n_hops, ef: route.ef, gave_up: true, ..again })
    }

    /// Finds the nearest of all documents of the namespace without a graph walk.
    fn find_each(&self, sight: Sight<'_>, query: &Prepared, n: usize, scratch: &mut Scratch) -> Result<Route> {
        let moment = &self.moment;
        let n_members = moment.n_members();
        let (ef, _) = beam(&self.params, n, n_members, n_members);
        let by_codes = moment.index().filter(|index| match self.params.way {
            Some(Way::Exact) => false,
            Some(Way::Codes) => index.has_codes(),
            _ => index.prefers_codes_of_all(sight, n_members, ef),
        });
        let listed;
        let members = match moment.members() {
            Some(members) => members,
            None if moment.has_all() => {
                let all = Candidates::new(SlotSet::all(), moment);
                return match by_codes {
                    Some(index) => self.scan_codes(index, sight, query, self.wanted(query, n, ef), &all, scratch),
                    None => self.scan(sight, query, n, moment.each_member(), scratch),
                };
            }
            None => {
                listed = moment.list();
                &listed
            }
        };
        let Some(index) = by_codes else { return self.scan(sight, query, n, members.iter().copied(), scratch) };
        let target = Target::Each { slots: &mut Picks::of(members), sifts: n_members >= LEAST_SIFTED };
        index.seek(sight, self.wanted(query, n, ef), target, scratch)?;
        Ok(scratch.effort.route(Way::Codes))
    }

    /// Finds the nearest of `candidates` the cheapest way.
    fn find_among(
        &self,
        sight: Sight<'_>,
        query: &Prepared,
        n: usize,
        candidates: &Candidates,
        scratch: &mut Scratch,
    ) -> Result<Route> {
        let moment = &self.moment;
        let n_excluded = query.excluded.iter().filter(|slot| candidates.slots().contains(slot.0)).count();
        let n_expected = candidates.n().saturating_sub(n_excluded).min(n);
        let (ef, _) = beam(&self.params, n, candidates.n(), candidates.n());
        let wanted = self.wanted(query, n.min(candidates.n()), ef);
        let plan = self.plan(sight, candidates.n(), ef);
        if let (Some(index), Plan::Walk | Plan::Codes) = (moment.index(), plan)
            && candidates.n() >= LEAST_SIFTED
            && index.ask_for_sketches()
        {
            moment.ring();
        }
        if let (Some(index), Plan::Walk) = (moment.index(), plan) {
            // Links may not connect a few candidates, so the walk begins at all of them.
            let seeds = match candidates.n() <= MOST_SEEDS {
                true => candidates.each(moment).map(|slot| slot.0).collect(),
                false => candidates.spread(N_SEEDS, moment),
            };
            let may_give_up = self.params.way.is_none() && index.prefers_codes(sight, candidates.n(), ef * WIDER);
            let target = Target::Among { bits: candidates.bits(), seeds: &seeds, may_give_up };
            index.seek(sight, wanted, target, scratch)?;
            let route = scratch.effort.route(Way::Graph);
            if scratch.found.len() >= n_expected && !scratch.effort.was_given_up {
                return Ok(route);
            }
            let again = self.scan_codes(index, sight, query, wanted, candidates, scratch)?;
            let (n_visited, n_hops) = (route.n_visited + again.n_visited, route.n_hops);
            return Ok(Route { n_visited, n_hops, ef: route.ef, gave_up: true, ..again });
        }
        match (moment.index(), plan) {
            (Some(index), Plan::Codes) => self.scan_codes(index, sight, query, wanted, candidates, scratch),
            _ => self.scan(sight, query, n, candidates.each(moment), scratch),
        }
    }

    fn scan_codes(
        &self,
        index: &Index,
        sight: Sight<'_>,
        query: &Prepared,
        wanted: Wanted<'_>,
        candidates: &Candidates,
        scratch: &mut Scratch,
    ) -> Result<Route> {
        if !index.has_codes() {
            return self.scan(sight, query, wanted.n, candidates.each(&self.moment), scratch);
        }
        let sifts = candidates.n() >= LEAST_SIFTED;
        let target = Target::Each { slots: &mut candidates.each(&self.moment), sifts };
        index.seek(sight, wanted, target, scratch)?;
        Ok(scratch.effort.route(Way::Codes))
    }

    /// Finds the nearest where documents must be read to know whether they match. Finds more than
    /// wanted, until enough of them match.
    fn find_in_doubt(
        &self,
        sight: Sight<'_>,
        query: &Prepared,
        n: usize,
        matching: &Matching,
        scratch: &mut Scratch,
    ) -> Result<Route> {
        let (mut n_found, mut n_checked) = (n.saturating_mul(MORE_FOR_DOUBT), 0);
        while n_found <= MOST_DOUBTED && self.settled.get().is_none() {
            self.stop.check()?;
            let route = self.find_among(sight, query, n_found, &matching.possible, scratch)?;
            let is_all = scratch.found.len() < n_found;
            n_checked += self.check(matching, scratch)?;
            if scratch.found.len() >= n || (is_all && scratch.found.len() >= matching.possible.n()) {
                cut(&mut scratch.found, n, sight.ranker);
                return Ok(Route { n_checked, ..route });
            }
            if is_all {
                break;
            }
            n_found *= MORE_FOR_DOUBT;
        }
        if self.settled.get().is_none() {
            let settled = self.moment.settle(&self.params.filter, matching, &self.stop)?;
            n_checked += settled.n_read;
            _ = self.settled.set(settled);
        }
        let settled = self.settled.get().unwrap_or(matching);
        let route = self.find_among(sight, query, n, &settled.possible, scratch)?;
        Ok(Route { n_checked, ..route })
    }

    /// Drops candidates that do not match. Returns how many documents were read.
    fn check(&self, matching: &Matching, scratch: &mut Scratch) -> Result<usize> {
        let slots = scratch.found.iter().map(|found| Slot(found.slot));
        let doubtful: Vec<Slot> = slots.filter(|slot| !matching.is_sure_of(*slot)).collect();
        let (rows, words) = (self.moment.fetch_unless(&self.stop, &doubtful)?, self.moment.words());
        let refused: HashSet<u32> = rows
            .iter()
            .filter(|(_, row)| !words.match_filter(&self.params.filter, row))
            .map(|(slot, _)| slot.0)
            .collect();
        scratch.found.retain(|found| !refused.contains(&found.slot));
        Ok(doubtful.len())
    }

    fn wanted<'q>(&'q self, query: &'q Prepared, n: usize, ef: usize) -> Wanted<'q> {
        Wanted {
            query: &query.row,
            n,
            ef,
            widens: self.params.ef.is_none(),
            oversampling: self.params.oversampling,
            excluded: &query.excluded,
            namespace: self.moment.namespace(),
            commit: self.moment.commit(),
            stop: &self.stop,
        }
    }

    /// How to find the nearest of `n_candidates` documents of the scope with a beam of `ef`.
    fn plan(&self, sight: Sight<'_>, n_candidates: usize, ef: usize) -> Plan {
        let Some(index) = self.moment.index() else { return Plan::Vectors };
        let can_walk = index.can_walk(sight.exact) && self.moment.is_linked();
        match self.params.way {
            Some(Way::Graph) if can_walk => Plan::Walk,
            Some(Way::Codes) if index.has_codes() => Plan::Codes,
            Some(_) => Plan::Vectors,
            None => {
                let plans = index.plans(sight, n_candidates, ef, can_walk);
                plans.first().map_or(Plan::Vectors, |(plan, _)| *plan)
            }
        }
    }

    /// Compares the exact vectors of `slots`, one by one.
    fn scan(
        &self,
        sight: Sight<'_>,
        query: &Prepared,
        n: usize,
        slots: impl Iterator<Item = Slot>,
        scratch: &mut Scratch,
    ) -> Result<Route> {
        let (mut n_scanned, mut absent) = (0, Vec::new());
        let Sight { exact, ranker, .. } = sight;
        scratch.collect_nearest(n, ranker, |offer| -> Result<()> {
            let rank = |vector: &[f32]| ranker.measure(&query.row, vector);
            for slot in slots.filter(|slot| query.excluded.binary_search(slot).is_err()) {
                if n_scanned % Stop::EVERY == 0 {
                    self.stop.check()?;
                }
                n_scanned += 1;
                match exact.get(slot) {
                    Some(vector) => offer(Found { rank: rank(vector), slot: slot.0 }),
                    None => absent.push(slot),
                }
            }
            // Vectors that are not in memory are read in the order of their rows.
            exact.each(&self.stop, &absent, |place, vector| offer(Found { rank: rank(vector), slot: absent[place].0 }))
        })?;
        Ok(Route { way: Way::Exact, n_scanned, ..Route::default() })
    }

    pub(super) fn is_near(&self, measure: f32) -> bool {
        self.params.max_distance.is_none_or(|most| self.moment.ranker().distance(measure) <= most)
    }

    /// Refuses a parameter that only searches by a vector alone support.
    pub(super) fn refuse_with_words(&self, field: &'static str) -> Result<()> {
        let reason = "expected a search by a vector alone, got one by words".into();
        Err(Error::InvalidConfig { field, reason })
    }
}

/// Takes a moment of the namespace, and determines the search scope. If all documents of a
/// namespace that shares its collection are to be compared, takes another moment, which lists them.
fn choose(place: &Place, params: &SearchParams, stop: &Stop) -> Result<(Arc<Moment>, Field)> {
    if !params.filter.is_everything() {
        let moment = place.moment(Listing::IfFew)?;
        let field = Field::Matching(moment.matching(&params.filter, stop)?);
        return Ok((moment, field));
    }
    // A grouped search makes one search for each group, each among other candidates.
    let listing = if params.group_by.is_some() { Listing::IfFew } else { Listing::IfSmall };
    let moment = place.moment(listing)?;
    let walks = {
        // Every page begins with the search for the first one.
        let n = params.mmr.map_or(params.limit, |mmr| mmr.candidates);
        let (_, reach) = beam(params, n, moment.n_members(), moment.n_walked());
        walked(&moment, moment.sight(&moment.reader()), params, reach).is_some()
    };
    if walks || moment.has_all() {
        return Ok((moment, Field::All));
    }
    if moment.members().is_some() {
        return Ok((moment, Field::Listed));
    }
    let moment = place.moment(Listing::IfShared)?;
    let field = if moment.members().is_some() { Field::Listed } else { Field::All };
    Ok((moment, field))
}

/// The index, if its graph is walked for the documents of a namespace rather than all of them
/// scanned.
fn walked<'m>(moment: &'m Moment, sight: Sight<'_>, params: &SearchParams, reach: f64) -> Option<&'m Index> {
    let index = moment.index()?;
    let can_walk = index.can_walk(sight.exact) && moment.is_linked();
    let walks = match params.way {
        Some(Way::Graph) => can_walk,
        Some(_) => false,
        None => can_walk && !index.prefers_scan(sight, moment.n_members(), reach),
    };
    walks.then_some(index)
}

/// How many points a walk keeps (`ef`) to find the nearest `n` of `n_candidates`, of `n_documents`
/// that are linked with each other. Points that are no candidates take up room too, in proportion.
/// Returned as an integer of at most `u32::MAX`, and as a float.
pub(super) fn beam(params: &SearchParams, n: usize, n_candidates: usize, n_documents: usize) -> (usize, f64) {
    let n = n.min(n_candidates);
    let ef = params.ef.unwrap_or(SearchParams::default_ef(n)).max(n);
    let share = n_documents.max(1) as f64 / n_candidates.max(1) as f64;
    let reach = ef as f64 * share.max(1.0);
    (reach.min(f64::from(u32::MAX)) as usize, reach)
}
