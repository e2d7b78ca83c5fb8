//! The searches of one call: finding the nearest documents of the search scope, and answering.
//!
//! Without a filter a search walks the HNSW graph, or compares every vector where that is faster.
//! With a filter it takes the cheapest way by measured costs: compare vectors or codes of all
//! matching documents, or walk among them. Documents that postings leave in doubt are read once
//! they are found, nearest first, until there are enough.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::answer::ScoredHit;
use super::mmr;
use super::query::{Query, Resolved};
use super::scope::SearchScope;
use crate::cancel::Stop;
use crate::collection::check;
use crate::collection::matching::Matching;
use crate::collection::matching::candidates::{Candidates, Picks};
use crate::collection::moment::{Listing, Moment};
use crate::collection::snapshot::ReadPoint;
use crate::collection::vectors::nearest::cost::SearchPlan;
use crate::collection::vectors::nearest::order::cut;
use crate::collection::vectors::nearest::{Effort, NearestRequest, SearchScratch, Target, WIDER};
use crate::collection::vectors::{LEAST_PREFILTERED, Sight};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::filter::slots::SlotSet;
use crate::graph::Neighbor;
use crate::hit::Hits;
use crate::id::Slot;
use crate::paging::SearchCursor;
use crate::params::SearchParams;
use crate::route::{SearchStats, Strategy};
use crate::text::query::Parsed;

/// The state that the searches of one call share: the commit they see, and their scope.
pub(super) struct Session {
    pub(super) moment: Arc<Moment>,
    pub(super) params: SearchParams,
    pub(super) place: ReadPoint,
    pub(super) scope: SearchScope,
    /// The flag or deadline that ends the searches early.
    pub(super) stop: Stop,
    /// The documents that match, once one of the searches had to read all in doubt.
    pub(super) settled: OnceLock<Matching>,
    /// How long it took to determine the scope.
    pub(super) choosing: Duration,
}

/// A checked query in the form in which vectors are compared, and the slots it must not find, in
/// order.
pub(super) struct VectorQuery {
    pub(super) row: Vec<f32>,
    pub(super) excluded: Vec<Slot>,
}

/// The parts of a query: a vector, words, or both.
pub(super) enum PreparedQuery {
    Near(VectorQuery),
    Words(Parsed),
    Both(VectorQuery, Parsed),
}

/// The answers of a search.
pub(super) struct SearchResults {
    /// The best first.
    pub(super) hits: Vec<ScoredHit>,
    pub(super) stats: SearchStats,
    /// Whether there is nothing more to find.
    pub(super) is_all: bool,
}

impl Effort {
    fn stats(self, strategy: Strategy) -> SearchStats {
        let Effort { walk, ef, n_tail, n_rescored, n_codes, n_prefiltered, .. } = self;
        let Effort { is_doubtful: doubtful, was_widened: widened, .. } = self;
        let (n_visited, n_hops) = (walk.n_compared + n_codes, walk.n_hops);
        let stats =
            SearchStats { strategy, n_scanned: n_rescored, n_visited, n_prefiltered, n_hops, ..SearchStats::default() };
        SearchStats { ef, n_tail, doubtful, widened, ..stats }
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

impl Session {
    pub(super) fn begin(place: ReadPoint, params: SearchParams, stop: Stop) -> Result<Self> {
        params.validate()?;
        stop.check()?;
        let began = Instant::now();
        let (moment, scope) = choose(&place, &params, &stop)?;
        let (settled, choosing) = (OnceLock::new(), began.elapsed());
        Ok(Session { moment, place, scope, stop, params, settled, choosing })
    }

    /// Answers a query. With `after` the answer is one page: the first if `after` holds no cursor.
    pub(super) fn answer(&self, query: Query, after: Option<Option<SearchCursor>>) -> Result<Hits> {
        self.stop.check()?;
        let (name, began) = (|| self.place.collection(), Instant::now());
        let pages = after.map(|after| self.turn_to(&query, after)).transpose()?;
        let Resolved { vector, text, examples } = query.resolve(&self.moment, &name)?;
        let prepare = |vector: Vec<f32>| -> Result<VectorQuery> {
            let norm = check::vector(name, self.moment.config(), &vector)?;
            Ok(VectorQuery { row: self.moment.comparable_by(vector, norm), excluded: examples })
        };
        let prepared = match (vector.map(prepare).transpose()?, text) {
            (Some(query), None) => PreparedQuery::Near(query),
            (Some(query), Some(text)) => PreparedQuery::Both(query, self.parse(&text)?),
            (None, text) => PreparedQuery::Words(self.parse(&text.unwrap_or_default())?),
        };
        let (hits, stats, given) = match &pages {
            Some(pages) => self.next_page(&prepared, pages)?,
            None => {
                let (hits, stats) = self.page(&prepared)?;
                (hits, stats, None)
            }
        };
        let absent_fields = self.moment.absent_fields(&self.params.filter, !hits.is_empty());
        // Those that the search settled later are in its statistics.
        let n_read = if let SearchScope::Matching(matching) = &self.scope { matching.n_read } else { 0 };
        let n_checked = stats.n_checked + n_read;
        let stats = SearchStats { n_absent_fields: absent_fields.len(), n_checked, ..stats };
        let searched = began.elapsed();
        let items = self.complete(hits)?;
        let next = pages.zip(given).map(|(pages, given)| pages.next(&items, given));
        let explanation = match self.params.explain {
            true => Some(Box::new(self.explain(stats, (searched, began.elapsed()))?)),
            false => None,
        };
        Ok(Hits { items, commit: self.moment.commit(), stats, next, explanation, absent_fields })
    }

    /// The best `n` answers in order; a fused search returns all its candidates.
    pub(super) fn best(&self, prepared: &PreparedQuery, n: usize) -> Result<SearchResults> {
        self.stop.check()?;
        match prepared {
            PreparedQuery::Near(query) => self.nearest(query, n),
            PreparedQuery::Words(parsed) => self.best_by_words(parsed, n),
            PreparedQuery::Both(query, parsed) => self.fused(query, parsed, n),
        }
    }

    /// The `n` answers nearest to a vector, in order; with MMR, those chosen to differ from each
    /// other.
    fn nearest(&self, query: &VectorQuery, n: usize) -> Result<SearchResults> {
        SearchScratch::with(|scratch| {
            let n_wanted = self.params.mmr.map_or(n, |mmr| mmr.candidates);
            let stats = self.find(query, n_wanted, scratch)?;
            let is_all = scratch.found.len() < n_wanted;
            self.settle(&mut scratch.found, n_wanted)?;
            scratch.found.retain(|found| self.is_near(found.distance));
            if let Some(mmr) = self.params.mmr {
                // A candidate below `min_score` is no hit, so hits need not differ from it.
                let comparison = self.moment.comparison();
                let is_good = |measure| self.params.min_score.is_none_or(|least| comparison.score(measure) >= least);
                scratch.found.retain(|found| is_good(found.distance));
                let exact = self.moment.reader();
                mmr::choose(comparison, &exact, mmr, n, &mut scratch.found, &self.stop)?;
            }
            let hits = scratch.found.iter().map(|found| self.hit_of(found)).collect();
            Ok(SearchResults { hits, stats, is_all })
        })
    }

    /// Drops answers below `min_score`.
    pub(super) fn keep_good(&self, hits: &mut Vec<ScoredHit>) {
        hits.retain(|hit| self.params.min_score.is_none_or(|least| hit.score >= least));
    }

    /// This round with its scope narrowed to documents that also match `filter`.
    ///
    /// # Errors
    /// `LimitExceeded` if both filters together are too large.
    pub(super) fn within(&self, filter: Filter) -> Result<Self> {
        let params = SearchParams { filter: self.params.filter.clone().and(filter.clone()), ..self.params.clone() };
        params.filter.check()?;
        let scope = SearchScope::Matching(self.moment.matching_within(self.matching(), &filter));
        let (moment, place, stop) = (self.moment.clone(), self.place.clone(), self.stop.clone());
        Ok(Session { moment, place, scope, stop, params, settled: OnceLock::new(), choosing: self.choosing })
    }

    /// Leaves the nearest `n` in `scratch`, in the order of measures, followed by those as near as
    /// the last of them.
    pub(super) fn find(&self, query: &VectorQuery, n: usize, scratch: &mut SearchScratch) -> Result<SearchStats> {
        let exact = self.moment.reader();
        let (sight, n) = (self.moment.sight(&exact), n.min(self.moment.n_members()));
        match &self.scope {
            SearchScope::Listed if self.moment.is_linked() => {
                self.scan(sight, query, n, self.moment.members().into_iter().flatten().copied(), scratch)
            }
            SearchScope::Listed => self.find_each(sight, query, n, scratch),
            SearchScope::All => self.find_in_namespace(sight, query, n, scratch),
            SearchScope::Matching(matching) => {
                let stats = match matching.is_settled() {
                    true => self.find_among(sight, query, n, &matching.possible, scratch)?,
                    false => self.find_in_doubt(sight, query, n, matching, scratch)?,
                };
                let n_matching = self.settled.get().unwrap_or(matching).possible.n();
                Ok(SearchStats { n_matching: Some(n_matching), ..stats })
            }
        }
    }

    fn find_in_namespace(
        &self,
        sight: Sight<'_>,
        query: &VectorQuery,
        n: usize,
        scratch: &mut SearchScratch,
    ) -> Result<SearchStats> {
        let moment = &self.moment;
        let (ef, reach) = beam(&self.params, n, moment.n_members(), moment.n_walked());
        if !walks(moment, sight, &self.params, reach) {
            return match moment.is_linked() {
                true => self.scan(sight, query, n, moment.each_member(), scratch),
                false => self.find_each(sight, query, n, scratch),
            };
        }
        let (index, request) = (moment.index(), self.request(query, n, ef));
        index.search(sight, request, Target::All, scratch)?;
        if index.note_search(request, scratch) {
            moment.notify();
        }
        let stats = scratch.effort.stats(Strategy::Graph);
        // Excluded documents are of this namespace.
        let n_expected = (moment.n_members() - query.excluded.len()).min(n);
        if scratch.found.len() >= n_expected && !scratch.effort.was_given_up {
            return Ok(stats);
        }
        let again = match scratch.effort.wants_vectors {
            true => self.scan(sight, query, n, moment.each_member(), scratch)?,
            // Fewer than there are: too many found points are deleted or of other namespaces.
            false => self.find_each(sight, query, n, scratch)?,
        };
        let (n_visited, n_hops) = (stats.n_visited + again.n_visited, stats.n_hops);
        Ok(SearchStats { n_visited, n_hops, ef: stats.ef, gave_up: true, ..again })
    }

    /// Finds the nearest of all documents of the namespace without a graph walk.
    fn find_each(
        &self,
        sight: Sight<'_>,
        query: &VectorQuery,
        n: usize,
        scratch: &mut SearchScratch,
    ) -> Result<SearchStats> {
        let (moment, index, n_members) = (&self.moment, self.moment.index(), self.moment.n_members());
        let (ef, _) = beam(&self.params, n, n_members, n_members);
        let by_codes = match self.params.strategy {
            Some(Strategy::Exact) => false,
            Some(Strategy::Codes) => index.has_codes(),
            _ => index.prefers_codes_of_all(sight, n_members, ef),
        };
        let listed;
        let members = match moment.members() {
            Some(members) => members,
            None if moment.has_all() => {
                let all = Candidates::new(SlotSet::all(), moment);
                return match by_codes {
                    true => self.scan_codes(sight, query, self.request(query, n, ef), &all, scratch),
                    false => self.scan(sight, query, n, moment.each_member(), scratch),
                };
            }
            None => {
                listed = moment.list();
                &listed
            }
        };
        if !by_codes {
            return self.scan(sight, query, n, members.iter().copied(), scratch);
        }
        let target = Target::Each { slots: &mut Picks::of(members), prefilters: n_members >= LEAST_PREFILTERED };
        index.search(sight, self.request(query, n, ef), target, scratch)?;
        Ok(scratch.effort.stats(Strategy::Codes))
    }

    /// Finds the nearest of `candidates` the cheapest way.
    fn find_among(
        &self,
        sight: Sight<'_>,
        query: &VectorQuery,
        n: usize,
        candidates: &Candidates,
        scratch: &mut SearchScratch,
    ) -> Result<SearchStats> {
        let (moment, index) = (&self.moment, self.moment.index());
        let n_excluded = query.excluded.iter().filter(|slot| candidates.slots().contains(slot.0)).count();
        let n_expected = candidates.n().saturating_sub(n_excluded).min(n);
        let (ef, _) = beam(&self.params, n, candidates.n(), candidates.n());
        let request = self.request(query, n.min(candidates.n()), ef);
        let plan = self.plan(sight, candidates.n(), ef);
        if plan != SearchPlan::Vectors && candidates.n() >= LEAST_PREFILTERED && index.ask_for_sketches() {
            moment.notify();
        }
        if plan == SearchPlan::Walk {
            // Links may not connect a few candidates, so the walk begins at all of them.
            let seeds = match candidates.n() <= MOST_SEEDS {
                true => candidates.each(moment).map(|slot| slot.0).collect(),
                false => candidates.spread(N_SEEDS, moment),
            };
            let may_give_up = self.params.strategy.is_none() && index.prefers_codes(sight, candidates.n(), ef * WIDER);
            let target = Target::Among { bits: candidates.bits(), seeds: &seeds, may_give_up };
            index.search(sight, request, target, scratch)?;
            let stats = scratch.effort.stats(Strategy::Graph);
            if scratch.found.len() >= n_expected && !scratch.effort.was_given_up {
                return Ok(stats);
            }
            let again = self.scan_codes(sight, query, request, candidates, scratch)?;
            let (n_visited, n_hops) = (stats.n_visited + again.n_visited, stats.n_hops);
            return Ok(SearchStats { n_visited, n_hops, ef: stats.ef, gave_up: true, ..again });
        }
        match plan {
            SearchPlan::Codes => self.scan_codes(sight, query, request, candidates, scratch),
            _ => self.scan(sight, query, n, candidates.each(moment), scratch),
        }
    }

    fn scan_codes(
        &self,
        sight: Sight<'_>,
        query: &VectorQuery,
        request: NearestRequest<'_>,
        candidates: &Candidates,
        scratch: &mut SearchScratch,
    ) -> Result<SearchStats> {
        let index = self.moment.index();
        if !index.has_codes() {
            return self.scan(sight, query, request.n, candidates.each(&self.moment), scratch);
        }
        let prefilters = candidates.n() >= LEAST_PREFILTERED;
        let target = Target::Each { slots: &mut candidates.each(&self.moment), prefilters };
        index.search(sight, request, target, scratch)?;
        Ok(scratch.effort.stats(Strategy::Codes))
    }

    /// Finds the nearest where documents must be read to know whether they match. Finds more than
    /// wanted, until enough of them match.
    fn find_in_doubt(
        &self,
        sight: Sight<'_>,
        query: &VectorQuery,
        n: usize,
        matching: &Matching,
        scratch: &mut SearchScratch,
    ) -> Result<SearchStats> {
        let (mut n_found, mut n_checked) = (n.saturating_mul(MORE_FOR_DOUBT), 0);
        while n_found <= MOST_DOUBTED && self.settled.get().is_none() {
            self.stop.check()?;
            let stats = self.find_among(sight, query, n_found, &matching.possible, scratch)?;
            let is_all = scratch.found.len() < n_found;
            n_checked += self.check(matching, scratch)?;
            if scratch.found.len() >= n || (is_all && scratch.found.len() >= matching.possible.n()) {
                cut(&mut scratch.found, n, sight.comparison);
                return Ok(SearchStats { n_checked, ..stats });
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
        let stats = self.find_among(sight, query, n, &settled.possible, scratch)?;
        Ok(SearchStats { n_checked, ..stats })
    }

    /// Drops candidates that do not match. Returns how many documents were read.
    fn check(&self, matching: &Matching, scratch: &mut SearchScratch) -> Result<usize> {
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

    fn request<'q>(&'q self, query: &'q VectorQuery, n: usize, ef: usize) -> NearestRequest<'q> {
        NearestRequest {
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
    fn plan(&self, sight: Sight<'_>, n_candidates: usize, ef: usize) -> SearchPlan {
        let index = self.moment.index();
        let can_walk = index.can_walk(sight.exact) && self.moment.is_linked();
        match self.params.strategy {
            Some(Strategy::Graph) if can_walk => SearchPlan::Walk,
            Some(Strategy::Codes) if index.has_codes() => SearchPlan::Codes,
            Some(_) => SearchPlan::Vectors,
            None => index.plan(sight, n_candidates, ef, can_walk),
        }
    }

    /// Compares the exact vectors of `slots`, one by one.
    fn scan(
        &self,
        sight: Sight<'_>,
        query: &VectorQuery,
        n: usize,
        slots: impl Iterator<Item = Slot>,
        scratch: &mut SearchScratch,
    ) -> Result<SearchStats> {
        let (mut n_scanned, mut absent) = (0, Vec::new());
        let Sight { exact, comparison, .. } = sight;
        scratch.collect_nearest(n, comparison, |offer| -> Result<()> {
            let measure = |vector: &[f32]| comparison.measure(&query.row, vector);
            for slot in slots.filter(|slot| query.excluded.binary_search(slot).is_err()) {
                if n_scanned % Stop::EVERY == 0 {
                    self.stop.check()?;
                }
                n_scanned += 1;
                match exact.get(slot) {
                    Some(vector) => offer(Neighbor { slot: slot.0, distance: measure(vector) }),
                    None => absent.push(slot),
                }
            }
            // Vectors that are not in memory are read in the order of their rows.
            exact.each(&self.stop, &absent, |place, vector| {
                offer(Neighbor { slot: absent[place].0, distance: measure(vector) })
            })
        })?;
        Ok(SearchStats { strategy: Strategy::Exact, n_scanned, ..SearchStats::default() })
    }

    pub(super) fn is_near(&self, measure: f32) -> bool {
        self.params.max_distance.is_none_or(|most| self.moment.comparison().reported_distance(measure) <= most)
    }

    /// Refuses a parameter that only searches by a vector alone support.
    pub(super) fn refuse_with_words(&self, field: &'static str) -> Result<()> {
        let reason = "expected a search by a vector alone, got one by words".into();
        Err(Error::InvalidConfig { field, reason })
    }
}

/// Takes a moment of the namespace, and determines the search scope. If all documents of a
/// namespace that shares its collection are to be compared, takes another moment, which lists them.
fn choose(place: &ReadPoint, params: &SearchParams, stop: &Stop) -> Result<(Arc<Moment>, SearchScope)> {
    if !params.filter.is_everything() {
        let moment = place.moment(Listing::IfFew)?;
        let scope = SearchScope::Matching(moment.matching(&params.filter, stop)?);
        return Ok((moment, scope));
    }
    // A grouped search makes one search for each group, each among other candidates.
    let listing = if params.group_by.is_some() { Listing::IfFew } else { Listing::IfSmall };
    let moment = place.moment(listing)?;
    let walks = {
        // Every page begins with the search for the first one.
        let n = params.mmr.map_or(params.limit, |mmr| mmr.candidates);
        let (_, reach) = beam(params, n, moment.n_members(), moment.n_walked());
        walks(&moment, moment.sight(&moment.reader()), params, reach)
    };
    if walks || moment.has_all() {
        return Ok((moment, SearchScope::All));
    }
    if moment.members().is_some() {
        return Ok((moment, SearchScope::Listed));
    }
    let moment = place.moment(Listing::IfShared)?;
    let scope = if moment.members().is_some() { SearchScope::Listed } else { SearchScope::All };
    Ok((moment, scope))
}

/// Whether the graph is walked for the documents of a namespace rather than all of them scanned.
fn walks(moment: &Moment, sight: Sight<'_>, params: &SearchParams, reach: f64) -> bool {
    let index = moment.index();
    let can_walk = index.can_walk(sight.exact) && moment.is_linked();
    match params.strategy {
        Some(Strategy::Graph) => can_walk,
        Some(_) => false,
        None => can_walk && !index.prefers_scan(sight, moment.n_members(), reach),
    }
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
