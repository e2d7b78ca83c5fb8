//! Searching: the builder [`Search`], and running it.
//!
//! A search sees one commit.
//!
//! | file | owns |
//! |---|---|
//! | [`query`] | queries; how examples become one vector |
//! | [`session`] | what the searches of one call share; finding and answering |
//! | [`scope`] | the search scope: which documents may be hits |
//! | [`words`] | full-text search |
//! | [`fusion`] | fusing answers by vector and by words (RRF) |
//! | [`boost`], [`group`], [`mmr`] | adding to scores; grouping hits; diverse hits (MMR) |
//! | [`ties`], [`pages`] | the order of an answer; its pages |
//! | [`explain`] | why a search went the way it did |
//! | [`answer`], [`hits`] | answers; making hits of them |

pub(crate) mod answer;
mod boost;
mod explain;
mod fusion;
mod group;
mod hits;
mod mmr;
mod pages;
pub(crate) mod query;
mod scope;
mod session;
mod ties;
mod words;

use std::time::Instant;

use rayon::prelude::*;

use self::query::Query;
use self::session::Session;
use super::handle::Namespace;
use super::snapshot::ReadPoint;
use crate::boost::Boost;
use crate::cancel::{Cancel, Stop};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::hit::Hits;
use crate::paging::SearchCursor;
use crate::params::{Fusion, GroupBy, Mmr, SearchParams};
use crate::route::Strategy;

impl Namespace {
    /// Searches for documents: those nearest to a vector, like a stored document, or with some
    /// words.
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
        Search::of(self.into(), query.into())
    }

    /// Searches for each of several queries, in parallel on all cores.
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
        Search::of(self.into(), queries.into_iter().map(Into::into).collect())
    }
}

/// A search to be run, made by [`Namespace::search`] or [`Namespace::search_many`].
#[must_use = "nothing is searched until `run`"]
#[derive(Debug, Clone)]
pub struct Search<Q = Query> {
    place: ReadPoint,
    query: Q,
    params: SearchParams,
    /// The cursor to continue after, if pages are asked for; `Some(None)` is the first page.
    after: Option<Option<SearchCursor>>,
    /// The flag or deadline that ends the search early.
    stop: Stop,
}

impl<Q> Search<Q> {
    pub(super) fn of(place: ReadPoint, query: Q) -> Self {
        Search { place, query, params: SearchParams::default(), after: None, stop: Stop::default() }
    }

    /// Most hits, or groups, to return. Default: 10.
    pub fn limit(mut self, limit: usize) -> Self {
        self.params.limit = limit;
        self
    }

    /// How many of the best hits, or groups, to skip. Default: 0.
    ///
    /// Pages repeat no hit if three conditions hold. They have one `limit`, at offsets at least
    /// `limit` apart. They see one commit, as in a [`Snapshot`](crate::Snapshot). They see the same
    /// links: nothing is linked between them ([`wait_indexed`](crate::Collection::wait_indexed)),
    /// or vectors are compared one by one ([`exact`](Search::exact)).
    ///
    /// The search finds the hits before its page again, by walks that widen `ef`. So a page at
    /// offset `n` takes up to about four times as long as a search for `n` hits.
    /// [`after`](Search::after) has none of these conditions.
    pub fn offset(mut self, offset: usize) -> Self {
        self.params.offset = offset;
        self
    }

    /// Returns only documents that match a filter, given by value or by reference. Default: all of
    /// the namespace.
    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.params.filter = filter.into();
        self
    }

    /// Returns only hits with at least this score. Default: any.
    pub fn min_score(mut self, score: f32) -> Self {
        self.params.min_score = Some(score);
        self
    }

    /// Returns only hits at most this far away, in the metric's own distance. Default: any.
    pub fn max_distance(mut self, distance: f32) -> Self {
        self.params.max_distance = Some(distance);
        self
    }

    /// Whether hits carry their vectors. Default: no.
    pub fn with_vector(mut self, with_vector: bool) -> Self {
        self.params.with_vector = with_vector;
        self
    }

    /// The top-level metadata fields that hits carry, by name. Default: all.
    pub fn fields<F: Into<String>>(mut self, fields: impl IntoIterator<Item = F>) -> Self {
        self.params.fields = Some(fields.into_iter().map(Into::into).collect());
        self
    }

    /// Whether hits carry their metadata and text. Default: yes. Without these a search need not
    /// read its hits' documents from disk.
    pub fn with_document(mut self, with_document: bool) -> Self {
        self.params.with_document = with_document;
        self
    }

    /// HNSW's `ef` (beam width): how many points the graph walk keeps, 1 to 4,096. A larger `ef`
    /// finds more of the nearest and takes longer. Default: 48 plus twice the hits wanted, and more
    /// where codes leave in doubt what is nearest.
    ///
    /// An `ef` below the hits wanted counts as their number. In a walk by codes without a filter, a
    /// smaller `ef` is raised to [`oversampling`](Search::oversampling) times the hits wanted.
    /// [`SearchStats::ef`](crate::SearchStats) is the `ef` that a search used.
    /// [`SearchParams::default_ef`] and [`SearchParams::least_ef`] compute both bounds.
    pub fn ef(mut self, ef: usize) -> Self {
        self.params.ef = Some(ef);
        self
    }

    /// Whether to compare every vector, which finds the nearest for certain. Default: no.
    /// `exact(true)` is `strategy(Strategy::Exact)`. `exact(false)` takes that back, and leaves any
    /// other [`strategy`](Search::strategy) as it is.
    pub fn exact(mut self, exact: bool) -> Self {
        self.params.strategy = match exact {
            true => Some(Strategy::Exact),
            false => self.params.strategy.filter(|strategy| *strategy != Strategy::Exact),
        };
        self
    }

    /// The way to search, even if another is faster. Default: the fastest.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.params.strategy = Some(strategy);
        self
    }

    /// After a walk by codes, the nearest are compared again by their exact vectors: `oversampling`
    /// times the hits wanted, 1 to 100. At least a fifth of `ef` are compared, and more while codes
    /// leave in doubt what is nearest. Default: 1.5.
    pub fn oversampling(mut self, oversampling: f32) -> Self {
        self.params.oversampling = oversampling;
        self
    }

    /// Returns hits that differ from each other, by maximal marginal relevance ([`Mmr`]). Hits are
    /// chosen one by one from the nearest `candidates`, 1 to 4,096. `lambda`, 0 to 1, weighs
    /// nearness to the query against unlikeness to hits chosen before. Default: the nearest,
    /// however alike they are.
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

    /// Groups hits that have the same value in a metadata field. Returns the best `limit` groups,
    /// at most 4,096, each with its best `per_group` hits, 1 to 4,096.
    ///
    /// The group with the best hit comes first, and the hits of a group stand together.
    /// [`Hit::group`](crate::Hit) is the value. Groups come from all documents that may be hits,
    /// not only from those found first. Values are equal if a filter calls them equal. Documents
    /// without the field are left out, and so are those where it is an array or an object.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # use serde_json::json;
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert_many((0..100).map(|n| Document::new([1.0]).metadata(json!({"source": n % 4}))))?;
    /// let hits = notes.search([1.0]).group_by("source", 2).limit(3).run()?;
    /// assert_eq!(hits.len(), 6);
    /// assert_eq!(hits[0].group, hits[1].group);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn group_by(mut self, field: impl Into<String>, per_group: usize) -> Self {
        self.params.group_by = Some(GroupBy::new(field, per_group));
        self
    }

    /// Adds a [`Boost`] to the score of each hit; each call adds another.
    /// [`Hit::score`](crate::Hit) is the sum; the distance does not change.
    ///
    /// Boosts are added before the best are cut off. In a search by a vector or by words alone,
    /// decays and filters give what boosting every document would give, apart from what the search
    /// itself misses. Otherwise only the best candidates by plain score are boosted
    /// ([`boosted_candidates`](Search::boosted_candidates)).
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{Boost, CollectionConfig, Document, field};
    /// # use serde_json::json;
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// notes.insert(Document::new([1.0, 0.0]).id("near"))?;
    /// notes.insert(Document::new([0.0, 1.0]).id("pinned").metadata(json!({"pinned": true})))?;
    /// let pinned = Boost::when(field("pinned").eq(true)).weight(2.0);
    /// let hits = notes.search([1.0, 0.0]).boost(pinned).limit(1).run()?;
    /// assert_eq!((&hits[0].id, hits[0].score), (&"pinned".into(), 2.0));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn boost(mut self, boost: Boost) -> Self {
        self.params.boosts.push(boost);
        self
    }

    /// How many candidates are found by plain score before boosts are added: 1 to 4,096. Default:
    /// ten for each hit wanted, and at least 100.
    pub fn boosted_candidates(mut self, candidates: usize) -> Self {
        self.params.boosted_candidates = Some(candidates);
        self
    }

    /// The parameters of BM25 in a search by words. `k1`, 0 to 1,000,000, is how slowly repetitions
    /// of a word saturate. `b`, 0 to 1, is how much the length of a document counts against it.
    /// Default: 1.2 and 0.75.
    pub fn bm25(mut self, k1: f32, b: f32) -> Self {
        (self.params.k1, self.params.b) = (k1, b);
        self
    }

    /// How a search by a vector and by words fuses the answers of both. Default: by reciprocal rank
    /// fusion (RRF), with equal weights.
    pub fn fusion(mut self, fusion: Fusion) -> Self {
        self.params.fusion = fusion;
        self
    }

    /// Whether the answer explains how it was found ([`Hits::explanation`]): the possible ways, the
    /// time each was expected to take, and how many documents match the filter. Default: no.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, field};
    /// # use serde_json::json;
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert_many((0..100).map(|n| Document::new([1.0]).metadata(json!({"n": n}))))?;
    /// let hits = notes.search([1.0]).filter(field("n").lt(7)).explain(true).run()?;
    /// let explanation = hits.explanation.expect("it was asked for");
    /// assert_eq!(explanation.filter.map(|filter| filter.n_matching), Some(7));
    /// println!("{explanation}");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(mut self, explain: bool) -> Self {
        self.params.explain = explain;
        self
    }

    /// Ends the search at a time, with the error `Deadline` and no hits. The search checks the time
    /// every few hundred distances or documents; for postings, only before and after reading them.
    /// Default: never.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, ErrorKind};
    /// use std::time::{Duration, Instant};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// # notes.insert(Document::new([1.0]))?;
    /// let hits = notes.search([1.0]).deadline(Instant::now() + Duration::from_secs(1)).run()?;
    /// assert_eq!(hits.len(), 1);
    /// let late = notes.search([1.0]).deadline(Instant::now()).run();
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::Deadline);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.stop.set_deadline(deadline);
        self
    }

    /// Ends the search early once the flag is set, with the error `Cancelled` and no hits. The
    /// search checks the flag as often as the [`deadline`](Search::deadline). Default: never.
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.stop.set_cancel(cancel);
        self
    }

    /// Replaces all parameters at once, but not `after`, `deadline` and `cancel`.
    pub fn params(mut self, params: SearchParams) -> Self {
        self.params = params;
        self
    }
}

impl Search<Query> {
    /// Searches by these words too; see [`Query::with_text`].
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.query = self.query.with_text(text);
        self
    }

    /// Returns the answer in pages: `limit` hits, or groups, after those that earlier pages gave.
    /// `None` asks for the first page. Each page has the cursor of the next ([`Hits::next`]).
    ///
    /// No hit is on two pages, whatever is written between them and whichever way they are found.
    /// Documents deleted since are left out; new ones may appear. Query, parameters and namespace
    /// must stay the same; `limit` and what hits carry may change. The pages of one search give at
    /// most 4,096 hits, or groups ([`MAX_PAGED`](crate::limits::MAX_PAGED)). A page beyond fails
    /// with `LimitExceeded`.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// notes.insert_many((0..10u64).map(|n| Document::new([1.0, n as f32]).id(n)))?;
    /// let (mut after, mut ids) = (None, Vec::new());
    /// loop {
    ///     let page = notes.search([1.0, 0.0]).limit(4).after(after).run()?;
    ///     ids.extend(page.iter().map(|hit| hit.id.to_string()));
    ///     after = page.next;
    ///     if after.is_none() {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(ids, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn after(mut self, cursor: impl Into<Option<SearchCursor>>) -> Self {
        self.after = Some(cursor.into());
        self
    }

    /// Runs the search.
    ///
    /// # Errors
    /// - `DimensionMismatch` or `InvalidVector` for the query.
    /// - `DocumentNotFound` for a [`Query::like`] whose document does not exist.
    /// - `InvalidFilter` or `LimitExceeded` for the filter.
    /// - `InvalidConfig` for a parameter out of range, a cursor of another search, an `offset`
    ///   beside a cursor, or a parameter that a search by words does not support.
    /// - `LimitExceeded` for a page that no cursor could follow, though there is more.
    /// - `Deadline` or `Cancelled` if the search was ended early.
    /// - Otherwise the errors of every read.
    pub fn run(self) -> Result<Hits> {
        let Search { place, query, params, after, stop } = self;
        let session = Session::begin(place, params, stop)?;
        session.answer(query, after)
    }
}

impl Search<Vec<Query>> {
    /// Runs the searches. The answers stand in the order of the queries and see the same commit.
    ///
    /// # Errors
    /// As for one search; an error of one query is [`Error::InQuery`] with its position.
    pub fn run(self) -> Result<Vec<Hits>> {
        let Search { place, query: queries, params, stop, .. } = self;
        let session = Session::begin(place, params, stop)?;
        let hit = |(index, query)| {
            session.answer(query, None).map_err(|error| Error::InQuery { index, source: Box::new(error) })
        };
        queries.into_par_iter().enumerate().map(hit).collect()
    }
}
