//! Searching: exact, over every row that may be a hit.
//!
//! A search sees one commit. Without a filter it scans the rows in memory under the collection's read lock. With one,
//! it notes under the lock whose slots to look at, evaluates the filter on the documents of that commit without it, and
//! takes the lock again to compare rows; a slot that was given to another document meanwhile is read from the store as
//! it was. The nearest are then completed from the documents of the same commit.

use std::collections::BinaryHeap;
use std::sync::Arc;

use rayon::prelude::*;

use super::memory::{Memory, Tenancy};
use super::{Live, Namespace, check};
use crate::config::SearchParams;
use crate::distance::Metric;
use crate::document::{Hit, Hits};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::id::{DocId, NamespaceId, Slot};
use crate::store::View;
use crate::store::record::DocumentRow;
use crate::value::Value;

/// What to search for: a vector, or a stored document.
#[derive(Debug, Clone)]
pub struct Query(Target);

#[derive(Debug, Clone)]
enum Target {
    Vector(Vec<f32>),
    Like(DocId),
}

impl Query {
    /// Documents like the one with this id, which itself is left out.
    pub fn like(id: impl Into<DocId>) -> Self {
        Query(Target::Like(id.into()))
    }
}

impl From<Vec<f32>> for Query {
    fn from(vector: Vec<f32>) -> Self {
        Query(Target::Vector(vector))
    }
}

impl From<&Vec<f32>> for Query {
    fn from(vector: &Vec<f32>) -> Self {
        Query(Target::Vector(vector.clone()))
    }
}

impl From<&[f32]> for Query {
    fn from(vector: &[f32]) -> Self {
        Query(Target::Vector(vector.to_vec()))
    }
}

impl<const N: usize> From<[f32; N]> for Query {
    fn from(vector: [f32; N]) -> Self {
        Query(Target::Vector(vector.to_vec()))
    }
}

impl<const N: usize> From<&[f32; N]> for Query {
    fn from(vector: &[f32; N]) -> Self {
        Query(Target::Vector(vector.to_vec()))
    }
}

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

/// Everything that searches of one call share: the commit they see and the slots they look at.
struct Round {
    live: Arc<Live>,
    view: Arc<View>,
    name: String,
    namespace: Option<NamespaceId>,
    candidates: Vec<Tenancy>,
    params: SearchParams,
}

/// A slot and its rank; the largest, at the top of a heap, is the farthest.
#[derive(Clone, Copy, PartialEq)]
struct Neighbor {
    rank: f32,
    slot: Slot,
}

impl Eq for Neighbor {}

impl Ord for Neighbor {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.total_cmp(&other.rank).then(self.slot.cmp(&other.slot))
    }
}

impl PartialOrd for Neighbor {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Round {
    fn begin(namespace: &Namespace, params: SearchParams) -> Result<Self> {
        params.validate()?;
        let mut scope = namespace.scope()?;
        let candidates = {
            // Memory and the view must be of one commit: under this lock no commit is half applied.
            let memory = scope.live.memory.read();
            scope.view = scope.live.store.view();
            scope.namespace = scope.live.find_namespace(namespace.namespace_name());
            let members = scope.namespace.map_or(&[][..], |namespace| memory.members(namespace));
            members.iter().map(|&slot| memory.tenancy(slot)).collect()
        };
        let mut round = Round {
            candidates,
            name: namespace.state().name(),
            namespace: scope.namespace,
            live: scope.live.clone(),
            view: scope.view.clone(),
            params,
        };
        if !round.params.filter.is_everything() {
            let mut matching = std::collections::HashSet::new();
            scope.each_matching(&round.params.filter, |slot, _| {
                matching.insert(slot);
                Ok(())
            })?;
            round.candidates.retain(|tenancy| matching.contains(&tenancy.slot));
        }
        Ok(round)
    }

    fn answer(&self, query: Query) -> Result<Hits> {
        let (vector, excluded) = self.resolve(query)?;
        check::vector(&self.name, &self.live.config, &vector)?;
        let nearest = self.nearest(&self.live.comparable(vector), excluded)?;
        Ok(Hits { items: self.complete(&nearest)?, commit: self.view.commit })
    }

    /// The vector of a query, and the slot it must not find.
    fn resolve(&self, query: Query) -> Result<(Vec<f32>, Option<Slot>)> {
        let id = match query.0 {
            Target::Vector(vector) => return Ok((vector, None)),
            Target::Like(id) => id,
        };
        check::id(&id)?;
        let slot = match self.namespace {
            Some(namespace) => self.live.find_slot(Some(&self.view.snapshot), namespace, &id)?,
            None => None,
        };
        let slot = slot.ok_or_else(|| Error::DocumentNotFound { collection: self.name.clone(), id })?;
        Ok((self.live.vector(&self.view.snapshot, slot)?, Some(slot)))
    }

    /// The nearest candidates, in order, after the offset.
    fn nearest(&self, query: &[f32], excluded: Option<Slot>) -> Result<Vec<Neighbor>> {
        let metric = self.live.config.metric;
        let kernel = metric.kernel();
        let n_wanted = self.params.offset.saturating_add(self.params.limit).min(self.candidates.len());
        let mut nearest = Nearest::new(n_wanted);
        let mut reused = Vec::new();
        {
            let memory = self.live.memory.read();
            for tenancy in self.candidates.iter().filter(|tenancy| Some(tenancy.slot) != excluded) {
                match row_of(&memory, tenancy) {
                    Some(row) => nearest.offer(Neighbor { rank: kernel(query, row), slot: tenancy.slot }),
                    None => reused.push(tenancy.slot),
                }
            }
        }
        for slot in reused {
            let row = self.live.comparable(self.live.vector(&self.view.snapshot, slot)?);
            nearest.offer(Neighbor { rank: kernel(query, &row), slot });
        }
        let within = |neighbor: &Neighbor| {
            self.params.min_score.is_none_or(|least| metric.score(neighbor.rank) >= least)
                && self.params.max_distance.is_none_or(|most| metric.distance(neighbor.rank) <= most)
        };
        Ok(nearest.into_sorted().into_iter().filter(within).skip(self.params.offset).collect())
    }

    /// Fetches the documents of neighbours.
    fn complete(&self, neighbors: &[Neighbor]) -> Result<Vec<Hit>> {
        let slots: Vec<Slot> = neighbors.iter().map(|neighbor| neighbor.slot).collect();
        let rows = self.live.fetch(&self.view.snapshot, &slots)?;
        neighbors.iter().zip(rows).map(|(neighbor, (_, row))| self.hit(neighbor, row)).collect()
    }

    fn hit(&self, neighbor: &Neighbor, row: DocumentRow) -> Result<Hit> {
        let metric: Metric = self.live.config.metric;
        let vector = match self.params.with_vector {
            true => Some(self.live.vector(&self.view.snapshot, neighbor.slot)?),
            false => None,
        };
        Ok(Hit {
            id: row.id,
            score: metric.score(neighbor.rank),
            distance: metric.distance(neighbor.rank),
            metadata: select(row.metadata, self.params.fields.as_deref()),
            text: row.text,
            vector,
            version: row.commit,
        })
    }
}

/// A candidate's row; `None` if its slot holds another document by now.
fn row_of<'m>(memory: &'m Memory, tenancy: &Tenancy) -> Option<&'m [f32]> {
    (memory.tenancy(tenancy.slot) == *tenancy).then(|| memory.row(tenancy.slot))
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

/// The nearest so many of what is offered.
struct Nearest {
    n_wanted: usize,
    heap: BinaryHeap<Neighbor>,
}

impl Nearest {
    fn new(n_wanted: usize) -> Self {
        Nearest { n_wanted, heap: BinaryHeap::with_capacity(n_wanted.min(1_024)) }
    }

    fn offer(&mut self, neighbor: Neighbor) {
        if self.heap.len() < self.n_wanted {
            self.heap.push(neighbor);
        } else if let Some(mut farthest) = self.heap.peek_mut()
            && neighbor < *farthest
        {
            *farthest = neighbor;
        }
    }

    fn into_sorted(self) -> Vec<Neighbor> {
        self.heap.into_sorted_vec()
    }
}
