//! Searching the index: the tail, then the graph; or candidates one by one.
//!
//! The tail goes first, because a slot leaves it only after it is linked. Results found by codes
//! are rescored by exact vectors (`rescore`).
//!
//! | file | owns |
//! |---|---|
//! | [`rescore`] | comparing results again by exact vectors |
//! | [`mod@prefilter`] | the 1-bit prefilter (SimHash sketches) |
//! | [`cost`], [`timing`] | whether a scan is faster than a graph walk; measuring that |
//! | [`order`] | the order of results |

pub(in crate::collection) mod cost;
pub(in crate::collection) mod order;
pub(super) mod prefilter;
pub(super) mod rescore;
mod timing;

use std::cell::RefCell;
use std::sync::Arc;

use self::order::{cut, sort};
use self::prefilter::{Prefilter, prefilter};
use self::rescore::{Doubt, RESCORED_SHARE, measure_found, rescore_until_sure, rescore_while_doubted};
use super::layer::Layer;
use super::random::SplitMix;
use super::regions::region_in;
use super::space::{CodeSpace, ExactQuery, ExactSpace, Points};
use super::{HnswIndex, Sight};
use crate::cancel::Stop;
use crate::collection::matching::candidates::Picks;
use crate::collection::memory::Slots;
use crate::distance::Comparison;
use crate::error::Result;
use crate::failpoint;
use crate::filter::slots::Bits;
use crate::graph::{Among, Graph, Neighbor, Space, WalkCost, Walker};
use crate::id::{Commit, NamespaceId, Slot};
use crate::limits::MAX_EF;
use crate::params::n_oversampled;
use crate::quant::CodeQuery;
use crate::sync::Ordering;

/// Points nearest to the query that are tested against a filter. If none matches, matches lie away.
pub(super) const NEIGHBOURHOOD: usize = 16;
/// The factor by which `ef` then grows.
pub(crate) const WIDER: usize = 12;
/// The factor by which `ef` grows if codes can hardly tell the nearest ([`Doubt::Nearest`]).
const WIDER_IN_DOUBT: usize = 8;
/// The largest factor of `ef` for [`Doubt::Next`], where `ef` doubles each time.
const MOST_WIDENED: usize = 4;
/// If the widest walk leaves doubt, a scan of all vectors may take as long as this many such walks.
const WORTH_SCANNING: usize = 4;
/// The factor by which more candidates are kept than `ef`, for rescoring where codes cannot tell.
const DOUBTED: usize = 8;
/// Points beyond the hits wanted that a walk by vectors keeps: they may be as near as the last hit.
const TIED: usize = 16;
/// The most points beyond the hits wanted, if `TIED` are not enough or all candidates are compared.
const MOST_TIED: usize = 1_024;
/// Each further walk keeps `MORE_TIED` times as many points as the one before.
const MORE_TIED: usize = 4;
/// Slots of the tail compared at once.
const BLOCK: usize = 64;

/// The request of a search.
#[derive(Clone, Copy)]
pub(crate) struct NearestRequest<'q> {
    /// The query, in the form in which vectors are compared.
    pub(crate) query: &'q [f32],
    pub(crate) n: usize,
    pub(crate) ef: usize,
    /// Whether a walk may use a larger `ef` if codes can hardly tell the nearest.
    pub(crate) widens: bool,
    pub(crate) oversampling: f32,
    /// Documents that must not be found, in ascending order of slots.
    pub(crate) excluded: &'q [Slot],
    pub(crate) namespace: NamespaceId,
    pub(crate) commit: Commit,
    /// Ends the search early.
    pub(crate) stop: &'q Stop,
}

impl NearestRequest<'_> {
    /// How many points to keep if distances are those of vectors: some beyond the hits, which may
    /// be as near as the last hit. A walk cannot keep more than `ef`.
    fn n_by_vectors(&self, target: &Target<'_>) -> usize {
        match target {
            Target::Each { .. } => self.n.saturating_add(MOST_TIED),
            Target::All | Target::Among { .. } => self.n.saturating_add(TIED).min(self.ef.max(self.n)),
        }
    }

    pub(super) fn may_be(&self, slots: &Slots, slot: u32) -> bool {
        slots.is_visible(Slot(slot), self.namespace, self.commit) && self.excluded.binary_search(&Slot(slot)).is_err()
    }
}

/// A search on one layer.
#[derive(Clone, Copy)]
pub(super) struct SearchContext<'l> {
    pub(super) layer: &'l Arc<Layer>,
    pub(super) sight: Sight<'l>,
    pub(super) request: NearestRequest<'l>,
}

/// How the farthest point found compares with the last hit wanted, if distances are those of
/// vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closeness {
    Apart,
    /// As near as the last hit wanted, as copies are.
    Equal,
    /// So near that rounding may have decided the order. The nearest points may be missing.
    Rounded,
}

/// Where to search.
pub(crate) enum Target<'t> {
    /// All documents of the namespace. The walk goes on past dead points around the query.
    All,
    /// The documents in `bits`, by a walk that begins at `seeds` too. If none of them is near the
    /// query, the walk keeps more, or gives up if `may_give_up`.
    Among { bits: &'t Bits, seeds: &'t [u32], may_give_up: bool },
    /// These documents, one by one, by their codes. With `prefilters` the 1-bit prefilter removes
    /// distant ones first, if that is worth it.
    Each { slots: &'t mut Picks<'t>, prefilters: bool },
}

impl Target<'_> {
    fn admits(&self, slot: u32) -> bool {
        match self {
            Target::Among { bits, .. } => bits.contains(slot),
            Target::All | Target::Each { .. } => true,
        }
    }
}

/// The cost of a search, and how it went.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Effort {
    pub(crate) walk: WalkCost,
    /// Points that the walk kept (`ef`); 0 without a walk.
    pub(crate) ef: usize,
    /// Slots of the tail that were compared.
    pub(crate) n_tail: usize,
    /// Exact vectors that were compared after the walk.
    pub(crate) n_rescored: usize,
    /// Codes that were compared one by one.
    pub(crate) n_codes: usize,
    /// Sketches that were compared by the 1-bit prefilter.
    pub(crate) n_prefiltered: usize,
    /// The results do not count: no candidate is near the query, no walk reaches the namespace, or
    /// `wants_vectors`.
    pub(crate) was_given_up: bool,
    /// Codes are too coarse: comparing all vectors is better.
    pub(crate) wants_vectors: bool,
    /// The walk went on past dead points, or used a larger `ef` after a sweep.
    pub(crate) was_widened: bool,
    /// Codes were too coarse to tell which of the points found are the nearest.
    pub(crate) is_doubtful: bool,
}

impl Effort {
    /// Adds the cost of an earlier walk of the same search.
    fn add(&mut self, other: Effort) {
        self.walk.n_hops += other.walk.n_hops;
        self.walk.n_compared += other.walk.n_compared;
        self.n_rescored += other.n_rescored;
    }
}

/// A thread's buffers for one search at a time. Once they have grown, a search allocates nothing.
#[derive(Default)]
pub(crate) struct SearchScratch {
    walker: Walker,
    code_query: CodeQuery,
    exact_query: ExactQuery,
    pub(super) pool: Pool,
    pub(super) prefilter: Prefilter,
    pub(super) slots: Vec<Slot>,
    pub(super) rough: Vec<Neighbor>,
    pub(super) nearest: Vec<Neighbor>,
    /// Distances by codes, and exact distances.
    pub(super) pairs: Vec<(f32, f32)>,
    pub(super) distances: Vec<f32>,
    sampling: Sampling,
    /// The points found, nearest first. After a search their distances are measures.
    pub(crate) found: Vec<Neighbor>,
    /// The cost of the last search.
    pub(crate) effort: Effort,
}

/// Random numbers by which searches are sampled. Each thread has its own sequence.
struct Sampling(SplitMix);

impl Default for Sampling {
    fn default() -> Self {
        static N_THREADS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        Sampling(SplitMix(N_THREADS.fetch_add(1, Ordering::Relaxed) << 32))
    }
}

thread_local! {
    static SCRATCH: RefCell<SearchScratch> = RefCell::default();
}

impl SearchScratch {
    /// Lends the thread's scratch; a new one to a search that a user's distance runs inside a
    /// search.
    pub(crate) fn with<T>(work: impl FnOnce(&mut SearchScratch) -> T) -> T {
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => work(&mut scratch),
            Err(_) => work(&mut SearchScratch::default()),
        })
    }
}

impl SearchScratch {
    /// Leaves the answer of a search that found nothing, and to which comparing all vectors is
    /// better.
    pub(super) fn give_up(&mut self) {
        self.found.clear();
        self.effort = Effort { was_given_up: true, wants_vectors: true, ..Effort::default() };
    }

    /// True for one search in `share`, at random.
    pub(super) fn is_drawn(&mut self, share: usize) -> bool {
        self.sampling.0.below(share) == 0
    }

    /// Leaves in `found` the `n` nearest of all points offered, in order, and those as near as the
    /// last of them. Distances are measures.
    pub(crate) fn collect_nearest<T>(
        &mut self,
        n: usize,
        comparison: &Comparison,
        offer_all: impl FnOnce(&mut dyn FnMut(Neighbor)) -> T,
    ) -> T {
        let offered = self.collect_near(n, Some(comparison), offer_all);
        sort(&mut self.found);
        cut(&mut self.found, n, comparison);
        offered
    }

    /// Leaves in `found` the `n` nearest of all points offered, in no order, and some that are
    /// farther. With a comparison, distances are measures, and all points as near as the last of
    /// them are kept.
    fn collect_near<T>(
        &mut self,
        n: usize,
        measured_by: Option<&Comparison>,
        offer_all: impl FnOnce(&mut dyn FnMut(Neighbor)) -> T,
    ) -> T {
        let found = &mut self.found;
        found.clear();
        let (mut farthest, mut most) = (f32::INFINITY, n.saturating_mul(2).saturating_add(BLOCK));
        offer_all(&mut |new| {
            if n == 0 || (found.len() >= n && new.distance > farthest) {
                return;
            }
            found.push(new);
            if found.len() > most {
                farthest = found.select_nth_unstable_by(n - 1, |a, b| a.distance.total_cmp(&b.distance)).1.distance;
                match measured_by {
                    None => found.truncate(n),
                    Some(comparison) => {
                        farthest = comparison.reach(farthest);
                        found.retain(|found| found.distance <= farthest);
                        most = most.max(found.len().saturating_mul(2));
                    }
                }
            }
        })
    }
}

/// The nearest `most` of all points offered.
#[derive(Default)]
pub(super) struct Pool {
    pub(super) most: usize,
    /// Nearest first.
    found: Vec<Neighbor>,
    slots: Vec<u32>,
    ahead: Vec<u32>,
    distances: Vec<f32>,
}

impl Pool {
    fn reset(&mut self, most: usize) {
        self.most = most;
        self.found.clear();
    }

    /// Whether a distance is too far to be kept.
    fn is_beyond(&self, distance: f32) -> bool {
        self.found.len() >= self.most && self.found.last().is_none_or(|last| last.distance <= distance)
    }

    fn offer(&mut self, found: Neighbor) {
        if self.is_beyond(found.distance) {
            return;
        }
        self.found.truncate(self.most.saturating_sub(1));
        let place = self.found.partition_point(|other| other.distance <= found.distance);
        self.found.insert(place, found);
    }
}

impl HnswIndex {
    /// Searches `target`. Leaves the nearest `request.n` in `scratch.found`, and those found that
    /// are as near as the last of them. Distances are measures.
    pub(super) fn search(
        &self,
        sight: Sight<'_>,
        request: NearestRequest<'_>,
        mut target: Target<'_>,
        scratch: &mut SearchScratch,
    ) -> Result<()> {
        loop {
            let layer = self.layer.load();
            failpoint::hit("seek.layer");
            let (Sight { slots, exact, .. }, oldest, stop) = (sight, Commit::default(), request.stop);
            let context = SearchContext { layer: &layer, sight, request };
            match &*layer.points {
                Points::Codes(codes) => {
                    let mut query = std::mem::take(&mut scratch.code_query);
                    codes.query(request.query, request.namespace, &mut query);
                    let space = CodeSpace { codes, slots, exact, oldest, reaches_dead: false, stop };
                    let is_current = self.search_by_codes(context, &space, &query, &mut target, scratch);
                    scratch.code_query = query;
                    if !is_current? {
                        continue;
                    }
                }
                Points::Exact(comparison) => {
                    scratch.found.clear();
                    let Some(held) = exact.complete() else { return Ok(()) };
                    let mut query = std::mem::take(&mut scratch.exact_query);
                    query.set(request.query);
                    let space = ExactSpace { comparison, slots, held, oldest, reaches_dead: false, stop };
                    let is_current = self.search_by_vectors(context, &space, &query, &mut target, scratch);
                    scratch.exact_query = query;
                    if !is_current? {
                        continue;
                    }
                }
            }
            return Ok(());
        }
    }

    /// As [`search`](HnswIndex::search), by vectors. False if another layer has replaced this
    /// one.
    fn search_by_vectors<S: Space + Seen>(
        &self,
        mut context: SearchContext<'_>,
        space: &S,
        query: &S::Query,
        target: &mut Target<'_>,
        scratch: &mut SearchScratch,
    ) -> Result<bool> {
        let (most, mut n_kept) = (context.request.n.saturating_add(MOST_TIED), context.request.n_by_vectors(target));
        let mut spent = Effort::default();
        loop {
            if !self.collect(context, space, query, target, n_kept, scratch) {
                return Ok(false);
            }
            context.request.stop.check()?;
            self.gather_all(context, target, scratch);
            let is_walk = !matches!(target, Target::Each { .. }) && !scratch.effort.was_given_up;
            if !is_walk || n_kept >= most || scratch.found.len() < n_kept {
                break;
            }
            let closeness = Self::closeness_of(context, scratch);
            if closeness == Closeness::Rounded {
                n_kept = n_kept.saturating_mul(MORE_TIED).min(most);
                context.request.ef = context.request.ef.max(n_kept);
                spent.add(scratch.effort);
                continue;
            }
            if closeness == Closeness::Equal {
                gather(&context.layer.graph, context.sight.slots, context.request, target, most, scratch);
            }
            break;
        }
        scratch.effort.add(spent);
        measure_found(context, scratch)?;
        Ok(true)
    }

    /// As [`search`](HnswIndex::search), by codes. False if another layer has replaced this one.
    fn search_by_codes(
        &self,
        context: SearchContext<'_>,
        space: &CodeSpace<'_>,
        query: &CodeQuery,
        target: &mut Target<'_>,
        scratch: &mut SearchScratch,
    ) -> Result<bool> {
        let (SearchContext { layer, request, .. }, Sight { slots, exact, comparison, .. }) = (context, context.sight);
        let codes = space.codes;
        if codes.are_exact() {
            return self.search_by_vectors(context, space, query, target, scratch);
        }
        let oversampled = n_oversampled(request.n, request.oversampling);
        // Short vectors have coarse codes and are quickly compared: the whole beam is rescored.
        let is_short = size_of_val(request.query) <= codes.width();
        let n_least = oversampled.max(if is_short { request.ef } else { request.ef / RESCORED_SHARE });
        if let Target::All = target {
            return self.search_all(context, space, query, n_least, scratch);
        }
        let n_kept = n_least.max(request.ef) * DOUBTED;
        let sketches = layer.sketch_layer.at(request.commit);
        if let (Target::Each { slots, prefilters: true }, Some(sketches)) = (&mut *target, sketches) {
            let limits = (n_least.max(request.n), n_kept);
            scratch.effort = prefilter((space, sketches), query, request, slots, limits, scratch);
        } else if !self.collect(context, space, query, target, n_kept, scratch) {
            return Ok(false);
        } else if !matches!(target, Target::Each { .. }) {
            self.gather_all(context, target, scratch);
        }
        request.stop.check()?;
        rescore_until_sure((slots, exact), comparison, request, n_least.max(request.ef / 2), scratch)?;
        Ok(true)
    }

    /// As [`search_by_codes`](HnswIndex::search_by_codes), among all documents of the namespace.
    /// Uses a larger `ef` if codes leave the nearest in doubt, or gives up if comparing all vectors
    /// takes no longer.
    fn search_all(
        &self,
        mut context: SearchContext<'_>,
        space: &CodeSpace<'_>,
        query: &CodeQuery,
        n_least: usize,
        scratch: &mut SearchScratch,
    ) -> Result<bool> {
        let NearestRequest { n, widens, .. } = context.request;
        let is_unsettled = widens && self.is_unsettled.load(Ordering::Acquire);
        if is_unsettled {
            // A narrow walk may end where a sweep has just removed points.
            context.request.ef = (context.request.ef * WIDER_IN_DOUBT).min(MAX_EF).max(context.request.ef);
        }
        let ef_asked = context.request.ef;
        loop {
            let (before, ef) = (scratch.effort, context.request.ef);
            if !self.collect(context, space, query, &mut Target::All, n_least.max(ef), scratch) {
                return Ok(false);
            }
            context.request.stop.check()?;
            if scratch.effort.was_given_up {
                return Ok(true);
            }
            let n_least = n_least.max(n).min(scratch.pool.most);
            let doubt = rescore_while_doubted(context, (space.codes, query), n_least, scratch)?;
            if ef > ef_asked {
                scratch.effort.add(before);
            }
            let wider = match doubt {
                Doubt::Nearest => (ef * WIDER_IN_DOUBT).min(MAX_EF).max(ef),
                Doubt::Next if ef < ef_asked * MOST_WIDENED => (ef * 2).min(MAX_EF).max(ef),
                Doubt::Next | Doubt::No => ef,
            };
            scratch.effort.is_doubtful = doubt == Doubt::Nearest;
            scratch.effort.was_widened |= is_unsettled;
            if !widens || doubt != Doubt::Nearest && wider == ef {
                return Ok(true);
            }
            let worth = if wider > ef { wider } else { ef * WORTH_SCANNING };
            if self.prefers_scan(context.sight, context.sight.n_members, worth as f64) {
                (scratch.effort.was_given_up, scratch.effort.wants_vectors) = (true, true);
                return Ok(true);
            }
            if wider == ef {
                return Ok(true);
            }
            context.request.ef = wider;
        }
    }

    /// Finds the nearest `n_kept` points of tail and graph, compared as the graph compares. For
    /// [`Target::Each`] they are in `scratch.found`; otherwise [`gather`] puts them there. False if
    /// another layer has replaced this one: slots that have left the tail may be only in the other.
    fn collect<S: Space + Seen>(
        &self,
        SearchContext { layer, sight, request }: SearchContext<'_>,
        space: &S,
        query: &S::Query,
        target: &mut Target<'_>,
        n_kept: usize,
        scratch: &mut SearchScratch,
    ) -> bool {
        scratch.pool.reset(n_kept);
        if let Target::Each { slots, .. } = target {
            let n_codes = scan_each(space, query, slots, n_kept + request.excluded.len(), scratch);
            scratch.effort = Effort { n_codes, ..Effort::default() };
            return true;
        }
        let target = &*target;
        let (graph, n_endings) = (&*layer.graph, self.namespaces.n_endings());
        let give_up = |scratch: &mut SearchScratch| {
            let walk = scratch.walker.cost();
            scratch.effort = Effort { walk, was_given_up: true, ..Effort::default() };
            scratch.found.clear();
            true
        };
        if !self.is_linked_in(graph, request.namespace, request.commit) {
            return give_up(scratch);
        }
        let n_tail = self.scan_tail(space, query, request, target, &mut scratch.pool);
        // Checked after the tail: slots that have left it are in this graph.
        if !self.is_present(layer) {
            return false;
        }
        // With a filter, points kept beyond the beam come from the tail.
        let ef = if let Target::Among { .. } = target { request.ef } else { request.ef.max(n_kept) };
        let ef = self.beam_of(sight, ef);
        let region = region_in(graph, request.namespace);
        let (mut was_widened, mut n_walked) = (false, ef);
        match target {
            Target::Among { bits, seeds, may_give_up } => {
                // A point stands for its duplicates too.
                let admits =
                    |slot: u32| bits.contains(slot) || graph.duplicates(slot).any(|duplicate| bits.contains(duplicate));
                let surely_admits = |slot: u32| bits.contains(slot);
                graph.search(space, query, (region, NEIGHBOURHOOD), &mut scratch.walker);
                let is_away = !scratch.walker.found().any(|point| admits(point.slot));
                if is_away && *may_give_up {
                    return give_up(scratch);
                }
                let among = Among { admits, surely_admits, seeds };
                n_walked = if is_away { (ef * WIDER).min(MAX_EF * 4) } else { ef };
                graph.search_among(space, query, n_walked, &among, &mut scratch.walker);
            }
            Target::All | Target::Each { .. } => {
                graph.search(space, query, (region, ef), &mut scratch.walker);
                let may_be = |slot: u32| request.may_be(space.slots(), slot);
                // A point stands for its duplicates too.
                let admits = |slot: u32| may_be(slot) || graph.duplicates(slot).any(may_be);
                if self.n_dead() > 0 && is_starved(request, ef, &admits, scratch) {
                    if self.prefers_codes(sight, sight.n_members, request.ef) {
                        return give_up(scratch);
                    }
                    let among = Among { admits, surely_admits: may_be, seeds: &[] };
                    graph.search_among(space, query, ef, &among, &mut scratch.walker);
                    was_widened = true;
                }
            }
        }
        // A namespace that lost its links during the walk may have been missed.
        if n_endings != self.namespaces.n_endings() && !graph.is_undivided() {
            return give_up(scratch);
        }
        scratch.effort = Effort { walk: scratch.walker.cost(), ef: n_walked, n_tail, was_widened, ..Effort::default() };
        true
    }

    /// Joins the results of tail and walk in order, or sorts candidates compared one by one.
    fn gather_all(&self, context: SearchContext<'_>, target: &Target<'_>, scratch: &mut SearchScratch) {
        if matches!(target, Target::Each { .. }) {
            sort(&mut scratch.found);
        } else if !scratch.effort.was_given_up {
            gather(&context.layer.graph, context.sight.slots, context.request, target, scratch.pool.most, scratch);
        }
    }

    /// How the farthest point found compares with the last hit wanted.
    fn closeness_of(context: SearchContext<'_>, scratch: &SearchScratch) -> Closeness {
        let (found, comparison, dimension) = (&scratch.found, context.sight.comparison, context.request.query.len());
        let Some(last) = found.last() else { return Closeness::Apart };
        let request = context.request.n.checked_sub(1).and_then(|at| found.get(at)).unwrap_or(last);
        let (measure, beyond) = (comparison.measure_of(request.distance), comparison.measure_of(last.distance));
        if comparison.is_rough(beyond, dimension) && beyond - measure <= comparison.rounding(dimension) {
            return Closeness::Rounded;
        }
        if request.distance == last.distance { Closeness::Equal } else { Closeness::Apart }
    }

    /// Compares the slots of the tail and the unreachable points. Returns their number.
    fn scan_tail<S: Space + Seen>(
        &self,
        space: &S,
        query: &S::Query,
        request: NearestRequest<'_>,
        target: &Target<'_>,
        pool: &mut Pool,
    ) -> usize {
        let mut n_scanned = 0;
        // Slots pushed since the layer was replaced may have no room in it. They are too new to be
        // seen.
        let room = space.room();
        let (mut slots, mut distances) = (std::mem::take(&mut pool.slots), std::mem::take(&mut pool.distances));
        let mut compare = |slots: &[u32]| {
            n_scanned += slots.len();
            distances.resize(slots.len(), 0.0);
            space.compare(query, slots, &mut distances);
            for (&slot, &distance) in slots.iter().zip(&distances) {
                if !pool.is_beyond(distance) && target.admits(slot) && request.may_be(space.slots(), slot) {
                    pool.offer(Neighbor { slot, distance });
                }
            }
        };
        self.tail.each_run(|run| {
            for run in run.chunks(BLOCK) {
                if space.is_given_up() {
                    return;
                }
                slots.clear();
                let all = run.iter().map(|slot| slot.load(Ordering::Relaxed));
                slots.extend(all.filter(|&slot| (slot as usize) < room));
                compare(&slots);
            }
        });
        self.unreached.load().chunks(BLOCK).for_each(compare);
        (pool.slots, pool.distances) = (slots, distances);
        n_scanned
    }

    /// The `ef` with which a beam holds about `n_points` living points beside dead ones.
    pub(super) fn beam_of(&self, sight: Sight<'_>, n_points: usize) -> usize {
        let n_linked = self.n_points(sight.n_documents).max(1);
        let n_dead = self.n_dead().min(n_linked);
        // If most are dead, as for a view of long ago, each living point needs the room of several.
        let by_share = n_points * n_linked / (n_linked - n_dead).max(1);
        let widened = (n_points + n_points * n_dead * 2 / n_linked).max(by_share);
        widened.min(MAX_EF * 4)
    }
}

/// Whether dead points fill a beam of `ef`, so that it holds fewer admitted points than wanted.
fn is_starved(request: NearestRequest<'_>, ef: usize, admits: &impl Fn(u32) -> bool, scratch: &SearchScratch) -> bool {
    let (mut n_met, mut n_left) = (0, request.n.saturating_sub(scratch.pool.found.len()));
    for point in scratch.walker.found() {
        if n_left == 0 {
            return false;
        }
        n_met += 1;
        n_left -= usize::from(admits(point.slot));
    }
    n_left > 0 && n_met >= ef
}

/// Compares slots one by one. Leaves the nearest `n_kept` in `scratch.found`, in no order, and some
/// that are farther or no longer visible. Returns the number compared.
fn scan_each<S: Space + Seen>(
    space: &S,
    query: &S::Query,
    each: &mut Picks<'_>,
    n_kept: usize,
    scratch: &mut SearchScratch,
) -> usize {
    let mut n_scanned = 0;
    let (mut slots, mut distances) =
        (std::mem::take(&mut scratch.pool.slots), std::mem::take(&mut scratch.pool.distances));
    let mut ahead = std::mem::take(&mut scratch.pool.ahead);
    // Rows lie apart: the next block is prefetched while this one is compared.
    let mut fetch = |block: &mut Vec<u32>| {
        each.take_present_into(BLOCK / 2, block);
        block.iter().for_each(|&slot| space.prefetch(slot));
    };
    fetch(&mut ahead);
    scratch.collect_near(n_kept, None, |offer| {
        while !ahead.is_empty() && !space.is_given_up() {
            std::mem::swap(&mut slots, &mut ahead);
            fetch(&mut ahead);
            n_scanned += slots.len();
            distances.resize(slots.len(), 0.0);
            space.compare(query, &slots, &mut distances);
            for (&slot, &distance) in slots.iter().zip(&distances) {
                offer(Neighbor { slot, distance });
            }
        }
    });
    (scratch.pool.slots, scratch.pool.distances, scratch.pool.ahead) = (slots, distances, ahead);
    n_scanned
}

/// Puts the nearest points of tail and walk together, at most `most` of each.
pub(super) fn gather(
    graph: &Graph,
    slots: &Slots,
    request: NearestRequest<'_>,
    target: &Target<'_>,
    most: usize,
    scratch: &mut SearchScratch,
) {
    let SearchScratch { walker, pool, found, .. } = scratch;
    found.clear();
    found.extend(pool.found.iter().take(most));
    let n_tail = found.len();
    walker.found().take(most).for_each(|point| slots.prefetch_cell(Slot(point.slot)));
    for point in walker.found() {
        let room = most.saturating_sub(found.len() - n_tail);
        if room == 0 {
            break;
        }
        let same = std::iter::once(point.slot).chain(graph.duplicates(point.slot));
        let hits = same.filter(|&slot| target.admits(slot) && request.may_be(slots, slot));
        // A walk that began at a duplicate meets it at its point too. A walk meets a duplicate
        // twice if it takes a dead point's place.
        let mut as_near = found.len();
        while as_near > n_tail && found[as_near - 1].distance == point.distance {
            as_near -= 1;
        }
        let n_before = found.len();
        for slot in hits {
            if found[as_near..n_before].iter().all(|met| met.slot != slot) {
                found.push(Neighbor { slot, ..point });
                if found.len() - n_before == room {
                    break;
                }
            }
        }
    }
    // A slot that was just linked is in both.
    sort(found);
    found.dedup_by_key(|found| found.slot);
    found.truncate(most);
}

/// Spaces over a collection's slots.
pub(super) trait Seen {
    fn slots(&self) -> &Slots;

    /// Slots below this can be compared.
    fn room(&self) -> usize;

    /// Prefetches what a distance of the slot needs.
    fn prefetch(&self, slot: u32);
}

impl Seen for CodeSpace<'_> {
    fn slots(&self) -> &Slots {
        self.slots
    }

    fn room(&self) -> usize {
        self.codes.room()
    }

    #[inline(always)]
    fn prefetch(&self, slot: u32) {
        self.codes.prefetch(slot);
    }
}

impl Seen for ExactSpace<'_> {
    fn slots(&self) -> &Slots {
        self.slots
    }

    fn room(&self) -> usize {
        usize::MAX
    }

    #[inline(always)]
    fn prefetch(&self, slot: u32) {
        self.held.prefetch(Slot(slot));
    }
}
