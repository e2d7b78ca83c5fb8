//! Searching: how much a search asks for, which way it goes, and what it returns.
//!
//! A search sees one commit. Without a filter it walks the graph, or compares every vector where that is faster. With
//! one, it evaluates the filter on the documents of that commit and compares those that match. The nearest are completed
//! from the documents of the same commit, or, where only ids are wanted, from memory.

use std::sync::Arc;

use rayon::prelude::*;

use super::exact::{Held, Reader};
use super::index::Index;
use super::index::seek::{Effort, Scratch, Wanted};
use super::query::Query;
use super::{Live, Namespace, Scope, State, check, diversity};
use crate::document::{Hit, Hits, Route, Way};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::graph::Found;
use crate::id::{Commit, DocId, NamespaceId, Slot};
use crate::params::{Mmr, SearchParams};
use crate::store::View;
use crate::store::record::DocumentRow;
use crate::value::Value;

impl Namespace {
    /// The documents nearest to a vector, or to a stored document.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, Query, field};
    /// # use serde_json::json;
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// notes.insert(Document::new([1.0, 0.0]).id("east").metadata(json!({"cold": false})))?;
    /// notes.insert(Document::new([0.0, 1.0]).id("north").metadata(json!({"cold": true})))?;
    /// let hits = notes.search([0.9, 0.1]).limit(1).run()?;
    /// assert_eq!(hits[0].id, "east".into());
    /// let hits = notes.search([0.9, 0.1]).filter(field("cold").eq(true)).run()?;
    /// assert_eq!(hits[0].id, "north".into());
    /// let hits = notes.search(Query::like("east")).run()?;
    /// assert_eq!((hits.len(), &hits[0].id), (1, &"north".into()));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn search(&self, query: impl Into<Query>) -> Search {
        Search { namespace: self.clone(), query: query.into(), params: SearchParams::default() }
    }

    /// The documents nearest to each of several queries, worked out on all cores.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// notes.insert(Document::new([1.0, 0.0]).id("east"))?;
    /// let answers = notes.search_many([[1.0, 0.0], [0.0, 1.0]]).limit(1).run()?;
    /// assert_eq!((answers.len(), answers[1][0].score), (2, 0.0));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn search_many<Q: Into<Query>>(&self, queries: impl IntoIterator<Item = Q>) -> Search<Vec<Query>> {
        let query = queries.into_iter().map(Into::into).collect();
        Search { namespace: self.clone(), query, params: SearchParams::default() }
    }
}

/// A search to be run; made by [`Namespace::search`] and [`Namespace::search_many`].
#[must_use = "nothing is searched until `run`"]
#[derive(Debug, Clone)]
pub struct Search<Q = Query> {
    namespace: Namespace,
    query: Q,
    params: SearchParams,
}

impl<Q> Search<Q> {
    /// Most hits to return. Default: 10.
    pub fn limit(mut self, limit: usize) -> Self {
        self.params.limit = limit;
        self
    }

    /// How many of the nearest to leave out first. Default: 0.
    pub fn offset(mut self, offset: usize) -> Self {
        self.params.offset = offset;
        self
    }

    /// Only documents that match. Default: all of the namespace.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.params.filter = filter;
        self
    }

    /// Only hits with at least this score. Default: any.
    pub fn min_score(mut self, score: f32) -> Self {
        self.params.min_score = Some(score);
        self
    }

    /// Only hits at most this far away, in the metric's own distance. Default: any.
    pub fn max_distance(mut self, distance: f32) -> Self {
        self.params.max_distance = Some(distance);
        self
    }

    /// Whether hits carry their vectors. Default: no.
    pub fn with_vector(mut self, with_vector: bool) -> Self {
        self.params.with_vector = with_vector;
        self
    }

    /// The metadata fields hits carry, by their names at the top level. Default: all.
    pub fn fields<F: Into<String>>(mut self, fields: impl IntoIterator<Item = F>) -> Self {
        self.params.fields = Some(fields.into_iter().map(Into::into).collect());
        self
    }

    /// Whether hits carry their metadata and text. Default: yes. Without them a search reads nothing from disk.
    pub fn with_document(mut self, with_document: bool) -> Self {
        self.params.with_document = with_document;
        self
    }

    /// How many points the walk through the graph keeps: more find more of the nearest, and take longer. 1 to 4,096.
    /// Default: 48 and twice the hits wanted.
    pub fn ef(mut self, ef: usize) -> Self {
        self.params.ef = Some(ef);
        self
    }

    /// Whether to compare every vector, so that the hits are the nearest for certain. Default: no.
    pub fn exact(mut self, exact: bool) -> Self {
        self.params.way = exact.then_some(Way::Exact);
        self
    }

    /// Which way to go, whatever is faster. Default: whichever is faster.
    pub fn way(mut self, way: Way) -> Self {
        self.params.way = Some(way);
        self
    }

    /// How many times as many documents as are wanted are compared once more, by their exact vectors, after a walk by
    /// codes: 1 to 100. A quarter of `ef` are in any case, and all of it up to 16 components. Default: 1.5.
    pub fn oversampling(mut self, oversampling: f32) -> Self {
        self.params.oversampling = oversampling;
        self
    }

    /// Has hits differ from each other: they are chosen from so many `candidates`, by how near they are and how unlike
    /// those chosen before ([`Mmr`]). Default: the nearest, however like each other they are.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// notes.insert(Document::new([1.0, 0.1]).id("first"))?;
    /// notes.insert(Document::new([1.0, 0.11]).id("much the same"))?;
    /// notes.insert(Document::new([1.0, -0.5]).id("something else"))?;
    /// let hits = notes.search([1.0, 0.0]).mmr(0.5, 3).limit(2).run()?;
    /// assert_eq!((&hits[0].id, &hits[1].id), (&"first".into(), &"something else".into()));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn mmr(mut self, lambda: f32, candidates: usize) -> Self {
        self.params.mmr = Some(Mmr::new(lambda, candidates));
        self
    }

    /// Sets everything at once.
    pub fn params(mut self, params: SearchParams) -> Self {
        self.params = params;
        self
    }
}

impl Search<Query> {
    /// Runs the search.
    ///
    /// # Errors
    /// `DimensionMismatch` or `InvalidVector` for the query; `DocumentNotFound` for a [`Query::like`] whose document
    /// does not exist; `InvalidFilter` or `LimitExceeded` for the filter; `InvalidConfig` for a bound that is NaN;
    /// otherwise as for every read.
    pub fn run(self) -> Result<Hits> {
        let Search { namespace, query, params } = self;
        let round = Round::begin(&namespace, params)?;
        round.answer(query)
    }
}

impl Search<Vec<Query>> {
    /// Runs the searches; answers stand in the order of the queries, and all see the same commit.
    ///
    /// # Errors
    /// As for one search; an error of one query is [`Error::InQuery`] with its position.
    pub fn run(self) -> Result<Vec<Hits>> {
        let Search { namespace, query: queries, params } = self;
        let round = Round::begin(&namespace, params)?;
        let answer =
            |(index, query)| round.answer(query).map_err(|error| Error::InQuery { index, source: Box::new(error) });
        queries.into_par_iter().enumerate().map(answer).collect()
    }
}

/// Everything that searches of one call share: the commit they see and what may be a hit.
struct Round {
    live: Arc<Live>,
    view: Arc<View>,
    state: Arc<State>,
    /// `None` if the namespace has never had a document.
    namespace: Option<NamespaceId>,
    field: Field,
    params: SearchParams,
}

/// A query that was checked, as vectors are compared, and the slots it must not find, in order.
struct Prepared {
    row: Vec<f32>,
    excluded: Vec<Slot>,
}

impl Effort {
    fn route(self) -> Route {
        let Effort { walk, n_tail, n_rescored } = self;
        Route { way: Way::Graph, n_scanned: n_rescored, n_visited: walk.n_ranked, n_hops: walk.n_hops, n_tail }
    }
}

/// What may be a hit.
enum Field {
    /// Every document of the namespace, and those are all there are.
    All,
    /// Every document of the namespace, which has so many.
    Members(usize),
    /// These and no others; they exist at the commit that is looked at.
    Listed(Vec<Slot>),
}

impl Round {
    fn begin(namespace: &Namespace, params: SearchParams) -> Result<Self> {
        params.validate()?;
        let mut scope = namespace.scope()?;
        let field = match scope.namespace {
            None => Field::Listed(Vec::new()),
            Some(_) if !params.filter.is_everything() => Field::Listed(matching(&scope, &params)?),
            Some(number) => choose_field(&mut scope, number, &params),
        };
        let Scope { live, view, namespace: number } = scope;
        Ok(Round { live, view, state: namespace.state().clone(), namespace: number, field, params })
    }

    fn answer(&self, query: Query) -> Result<Hits> {
        let name = || self.state.name();
        let (vector, excluded) = query.resolve(&self.live, &self.view.snapshot, self.namespace, &name)?;
        let norm = check::vector(name, &self.live.config, &vector)?;
        let query = Prepared { row: self.live.comparable_by(vector, norm), excluded };
        Scratch::with(|scratch| {
            let route = self.find(&query, scratch)?;
            scratch.found.retain(|found| self.is_within(found.rank));
            if let Some(mmr) = self.params.mmr {
                let exact = self.live.reader(Some(&self.view.snapshot));
                let n = self.params.offset.saturating_add(self.params.limit);
                diversity::choose(&self.live.ranker, &exact, mmr, n, &mut scratch.found)?;
            }
            let items = self.complete(scratch.found.iter().skip(self.params.offset).take(self.params.limit))?;
            Ok(Hits { items, commit: self.view.commit, route })
        })
    }

    /// Leaves the nearest in the scratch, in order.
    fn find(&self, query: &Prepared, scratch: &mut Scratch) -> Result<Route> {
        let exact = self.live.reader(Some(&self.view.snapshot));
        let slots = &self.live.memory.slots;
        let n = self.params.n_nearest().min(slots.n_slots());
        let n_candidates = match &self.field {
            Field::Listed(listed) => listed.len(),
            Field::All => slots.n_documents(),
            Field::Members(n_members) => *n_members,
        };
        let graph = match &self.field {
            Field::Listed(_) => None,
            Field::All | Field::Members(_) => self.graph(&exact, n_candidates),
        };
        let Some((index, ef)) = graph else {
            let n_scanned = self.scan(&exact, query, n, scratch)?;
            return Ok(Route { way: Way::Exact, n_scanned, ..Route::default() });
        };
        index.seek((slots, &exact), &self.live.ranker, self.wanted(query, n.min(n_candidates), ef), scratch)?;
        let route = scratch.effort.route();
        let n_expected = n_candidates.saturating_sub(query.excluded.len()).min(n);
        if scratch.found.len() >= n_expected {
            return Ok(route);
        }
        // Fewer than there are: too much of what was found is dead or someone else's.
        Ok(Route { way: Way::Exact, n_scanned: self.scan(&exact, query, n, scratch)?, ..route })
    }

    fn wanted<'q>(&self, query: &'q Prepared, n: usize, ef: usize) -> Wanted<'q> {
        Wanted {
            query: &query.row,
            n,
            ef,
            oversampling: self.params.oversampling,
            excluded: &query.excluded,
            namespace: self.namespace.unwrap_or_default(),
            commit: self.view.commit,
        }
    }

    /// The index to walk and the beam to walk it with; `None` if everything is to be scanned.
    fn graph(&self, exact: &Reader<'_>, n_candidates: usize) -> Option<(&Index, usize)> {
        let memory = &self.live.memory;
        let (ef, reach) = beam(&self.params, n_candidates, memory.slots.n_documents());
        let index = walked(&self.live, exact, &self.params, n_candidates, reach)?;
        Some((index, ef))
    }

    /// Compares every candidate, one by one. Returns how many those were.
    fn scan(&self, exact: &Reader<'_>, query: &Prepared, n: usize, scratch: &mut Scratch) -> Result<usize> {
        let slots = &self.live.memory.slots;
        let (ranker, namespace, commit) = (&self.live.ranker, self.namespace.unwrap_or_default(), self.view.commit);
        let (mut n_scanned, mut absent) = (0, Vec::new());
        scratch.collect_nearest(n, |offer| {
            let rank = |vector: &[f32]| ranker.rank(&query.row, vector);
            let mut compare = |slot: Slot| {
                if query.excluded.binary_search(&slot).is_err() {
                    n_scanned += 1;
                    match exact.get(slot) {
                        Some(vector) => offer(Found { rank: rank(vector), slot: slot.0 }),
                        None => absent.push(slot),
                    }
                }
            };
            match &self.field {
                Field::Listed(listed) => listed.iter().for_each(|&slot| compare(slot)),
                Field::All | Field::Members(_) => {
                    let all = (0..slots.n_slots() as u32).map(Slot);
                    all.filter(|&slot| slots.is_visible(slot, namespace, commit)).for_each(compare);
                }
            }
            // What is not in memory is read in the order of the rows.
            exact.each(&absent, |place, vector| offer(Found { rank: rank(vector), slot: absent[place].0 }))
        })?;
        Ok(n_scanned)
    }

    fn is_within(&self, rank: f32) -> bool {
        let ranker = &self.live.ranker;
        self.params.min_score.is_none_or(|least| ranker.score(rank) >= least)
            && self.params.max_distance.is_none_or(|most| ranker.distance(rank) <= most)
    }

    /// Makes hits of what was found.
    fn complete<'f>(&self, found: impl Iterator<Item = &'f Found>) -> Result<Vec<Hit>> {
        if self.params.with_document {
            let found: Vec<&Found> = found.collect();
            let slots: Vec<Slot> = found.iter().map(|found| Slot(found.slot)).collect();
            let rows = self.live.fetch(&self.view.snapshot, &slots)?;
            return found.into_iter().zip(rows).map(|(found, (_, row))| self.hit(found, row)).collect();
        }
        found.map(|found| self.bare_hit(found)).collect()
    }

    /// A hit without its document, from memory where it has not changed since.
    fn bare_hit(&self, found: &Found) -> Result<Hit> {
        let slot = Slot(found.slot);
        let (id, version) = match self.live.memory.slots.identity(slot, self.view.commit) {
            Some(identity) => identity,
            None => {
                let mut rows = self.live.fetch(&self.view.snapshot, &[slot])?;
                let row = rows.pop().map(|(_, row)| (row.id, row.commit));
                row.ok_or_else(|| Error::corruption(format!("slot {}", slot.0), "expected a document, found none"))?
            }
        };
        let (metadata, text) = (Value::object(), None);
        Ok(Hit { vector: self.vector_of(slot)?, ..self.assemble(found, id, version, metadata, text) })
    }

    fn hit(&self, found: &Found, row: DocumentRow) -> Result<Hit> {
        let metadata = select(row.metadata, self.params.fields.as_deref());
        let hit = self.assemble(found, row.id, row.commit, metadata, row.text);
        Ok(Hit { vector: self.vector_of(Slot(found.slot))?, ..hit })
    }

    fn assemble(&self, found: &Found, id: DocId, version: Commit, metadata: Value, text: Option<String>) -> Hit {
        let ranker = &self.live.ranker;
        let (score, distance) = (ranker.score(found.rank), ranker.distance(found.rank));
        Hit { id, score, distance, metadata, text, vector: None, version }
    }

    fn vector_of(&self, slot: Slot) -> Result<Option<Vec<f32>>> {
        match self.params.with_vector {
            true => self.live.vector(&self.view.snapshot, slot).map(Some),
            false => Ok(None),
        }
    }
}

/// Where a namespace's documents are looked for. Takes a lock only if there are other namespaces: then the view is
/// looked up again under it, so that members and view are of one commit.
fn choose_field(scope: &mut Scope, namespace: NamespaceId, params: &SearchParams) -> Field {
    let live = scope.live.clone();
    let (memory, slots) = (&live.memory, &live.memory.slots);
    if slots.n_inhabited() <= 1 {
        return Field::All;
    }
    memory.with_members(namespace, |members| {
        scope.view = live.store.view();
        let (_, reach) = beam(params, members.len(), slots.n_documents());
        let exact = live.reader(Some(&scope.view.snapshot));
        match walked(&live, &exact, params, members.len(), reach) {
            Some(_) => Field::Members(members.len()),
            None => Field::Listed(members.to_vec()),
        }
    })
}

/// The index, if it is walked for so many candidates rather than all of them scanned.
fn walked<'l>(
    live: &'l Live,
    exact: &Reader<'_>,
    params: &SearchParams,
    n_candidates: usize,
    reach: f64,
) -> Option<&'l Index> {
    let index = live.memory.index.as_ref()?;
    let can_walk = !index.is_broken() && (!index.must_hold() || exact.held().is_some_and(Held::is_complete));
    let walks = match params.way {
        Some(Way::Exact) => false,
        Some(Way::Graph) => can_walk,
        None => can_walk && !index.prefers_scan((&live.memory.slots, exact), &live.ranker, n_candidates, reach),
    };
    walks.then_some(index)
}

/// The beam of a search among so many candidates of so many documents, and how many points its walk has to keep in all
/// sizes: what is not a candidate takes up room too.
fn beam(params: &SearchParams, n_candidates: usize, n_documents: usize) -> (usize, f64) {
    let n = params.n_nearest().min(n_candidates);
    let ef = params.ef.unwrap_or(LEAST_EF + EF_PER_HIT * n).max(n);
    let share = n_documents.max(1) as f64 / n_candidates.max(1) as f64;
    let reach = ef as f64 * share.max(1.0);
    (reach.min(f64::from(u32::MAX)) as usize, reach)
}

/// The beam of a search that sets none: so much, and so much for each hit.
const LEAST_EF: usize = 48;
const EF_PER_HIT: usize = 2;

/// The slots of the documents that match a filter.
fn matching(scope: &Scope, params: &SearchParams) -> Result<Vec<Slot>> {
    let mut slots = Vec::new();
    scope.each_matching(&params.filter, |slot, _| {
        slots.push(slot);
        Ok(())
    })?;
    Ok(slots)
}

/// The fields of metadata that were asked for.
fn select(metadata: Value, fields: Option<&[String]>) -> Value {
    match (metadata, fields) {
        (Value::Object(map), Some(fields)) => {
            Value::Object(map.into_iter().filter(|(key, _)| fields.contains(key)).collect())
        }
        (metadata, _) => metadata,
    }
}
