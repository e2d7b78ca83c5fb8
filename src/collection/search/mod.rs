//! Searching: what can be asked for, and running it.
//!
//! A search sees one commit.
//!
//! | file | owns |
//! |---|---|
//! | [`round`] | what the searches of one call share; finding and answering |
//! | [`field`] | which documents may be hits |
//! | [`words`] | finding by words |
//! | [`fusion`] | making one answer of what is near and what has the words |
//! | [`boost`], [`group`] | adding to scores; putting hits into groups |
//! | [`ties`], [`pages`] | the order of an answer; parts of it that follow each other |
//! | [`explain`] | saying why it went so |
//! | [`hits`] | making hits of what was found |

mod boost;
mod explain;
pub(super) mod field;
mod fusion;
mod group;
mod hits;
mod pages;
mod round;
mod ties;
mod words;

use std::time::Instant;

use rayon::prelude::*;

use self::round::Round;
use super::Namespace;
use super::query::Query;
use super::snapshot::Place;
use crate::boost::Boost;
use crate::cancel::{Cancel, Stop};
use crate::document::Hits;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::paging::SearchCursor;
use crate::params::{Fusion, GroupBy, Mmr, SearchParams};
use crate::route::Way;

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
        Search::of(self.into(), query.into())
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
        Search::of(self.into(), queries.into_iter().map(Into::into).collect())
    }
}

/// A search to be run; made by [`Namespace::search`] and [`Namespace::search_many`].
#[must_use = "nothing is searched until `run`"]
#[derive(Debug, Clone)]
pub struct Search<Q = Query> {
    place: Place,
    query: Q,
    params: SearchParams,
    /// Where to go on, if pages are asked for.
    after: Option<Option<SearchCursor>>,
    /// What ends it early.
    stop: Stop,
}

impl<Q> Search<Q> {
    pub(super) fn of(place: Place, query: Q) -> Self {
        Search { place, query, params: SearchParams::default(), after: None, stop: Stop::default() }
    }

    /// Most hits to return. Default: 10.
    pub fn limit(mut self, limit: usize) -> Self {
        self.params.limit = limit;
        self
    }

    /// How many of the nearest hits, or groups, to leave out first. Default: 0.
    ///
    /// Pages with one `limit`, at offsets that lie at least so far apart, repeat nothing where they see one commit, as
    /// in a [`Snapshot`](crate::Snapshot), and the same links: nothing is linked between them
    /// ([`wait_indexed`](crate::Collection::wait_indexed)), or vectors are compared one by one
    /// ([`exact`](Search::exact)). For that the hits before the page are found again, by walks that widen `ef`; so a
    /// page at offset `n` takes up to about four times as long as a search for `n` hits. [`after`](Search::after) has
    /// none of these conditions.
    pub fn offset(mut self, offset: usize) -> Self {
        self.params.offset = offset;
        self
    }

    /// Only documents that match a filter, given by value or by reference. Default: all of the namespace.
    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.params.filter = filter.into();
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
    /// Less than 1.5 times the hits wanted ([`oversampling`](Search::oversampling)) counts as that, where the walk is
    /// by codes and without a filter; elsewhere less than the hits wanted counts as these. Default: 48 and twice the
    /// hits wanted, and more where codes leave in doubt what is nearest. [`Route::ef`](crate::Route) says what a search
    /// used; [`SearchParams::default_ef`] and [`SearchParams::least_ef`] compute both bounds.
    pub fn ef(mut self, ef: usize) -> Self {
        self.params.ef = Some(ef);
        self
    }

    /// Whether to compare every vector, so that the hits are the nearest for certain. Default: no. `exact(true)` is
    /// `way(Way::Exact)`; `exact(false)` takes that back, and leaves any other [`way`](Search::way) as it is.
    pub fn exact(mut self, exact: bool) -> Self {
        self.params.way = match exact {
            true => Some(Way::Exact),
            false => self.params.way.filter(|way| *way != Way::Exact),
        };
        self
    }

    /// Which way to go, whatever is faster. Default: whichever is faster.
    pub fn way(mut self, way: Way) -> Self {
        self.params.way = Some(way);
        self
    }

    /// How many times as many documents as are wanted are compared once more, by their exact vectors, after a walk by
    /// codes: 1 to 100. A fifth of `ef` are in any case, and more as long as codes leave in doubt what is nearest.
    /// Default: 1.5.
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

    /// Has hits come in groups that have the same value in a metadata field: `limit` groups, each of its best
    /// `per_group` hits, 1 to 4,096, those groups first whose best hit is best, at most 4,096.
    /// [`Hit::group`](crate::Hit) is the value; hits of a group stand together. Groups are those there are: not only
    /// those among what was found first.
    ///
    /// Equal values are those that a filter calls equal. Documents that do not have the field are left out, and so are
    /// those in which it is an array or an object.
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

    /// Adds to the score of each hit ([`Boost`]); may be called again for others. [`Hit::score`](crate::Hit) is the
    /// sum, the distance stays what it is.
    ///
    /// Boosts are added before the best are cut off. Where all are decays and filters, and the search is by a vector or
    /// by words alone, what is found is what adding to the scores of all documents would find, as far as the search
    /// itself finds what is nearest. Otherwise they are added to so many of the best by the plain score
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

    /// How many of the best are found before boosts are added: 1 to 4,096. Default: ten for each hit wanted, and at
    /// least 100.
    pub fn boosted_candidates(mut self, candidates: usize) -> Self {
        self.params.boosted_candidates = Some(candidates);
        self
    }

    /// How BM25 weighs in a search by words: `k1` says how slowly a word that comes again and again counts for less,
    /// `b`, 0 to 1, how much long documents do. Default: 1.2 and 0.75.
    pub fn bm25(mut self, k1: f32, b: f32) -> Self {
        (self.params.k1, self.params.b) = (k1, b);
        self
    }

    /// How a search by a vector and by words makes one answer of both. Default: by ranks, both alike.
    pub fn fusion(mut self, fusion: Fusion) -> Self {
        self.params.fusion = fusion;
        self
    }

    /// Whether the answer says why it was found as it was: the ways there were, what each was expected to take, how
    /// many documents match the filter in truth ([`Hits::explanation`]). Default: no.
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

    /// Ends the search at a time, with `Deadline` and nothing of the answer. It looks at the time every few hundred
    /// distances, or documents; while it looks up postings, only before and after. Default: never.
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

    /// Ends the search early once the flag is set, with `Cancelled` and nothing of the answer. It looks at the flag as
    /// often as at the [`deadline`](Search::deadline). Default: never.
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.stop.set_cancel(cancel);
        self
    }

    /// Sets everything at once, but for what ends the search.
    pub fn params(mut self, params: SearchParams) -> Self {
        self.params = params;
        self
    }
}

impl Search<Query> {
    /// Also by these words; see [`Query::with_text`].
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.query = self.query.with_text(text);
        self
    }

    /// Has the answer come in pages: `limit` hits, or groups, after those that earlier pages gave. `None` begins with
    /// the first page; each page says where to go on ([`Hits::next`]).
    ///
    /// No hit is on two pages, whatever is written in between and however it is found: documents that were deleted
    /// since are left out, new ones may appear. Query, parameters and namespace stay the same, `limit` and what hits
    /// carry may change. The pages of one search give at most 4,096 hits
    /// ([`MAX_PAGED`](crate::limits::MAX_PAGED)); a page beyond is refused with `LimitExceeded`.
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
    /// `DimensionMismatch` or `InvalidVector` for the query; `DocumentNotFound` for a [`Query::like`] whose document
    /// does not exist; `InvalidFilter` or `LimitExceeded` for the filter; `InvalidConfig` for a bound that is NaN, for
    /// a cursor of another search, and for an `offset` beside a cursor; `LimitExceeded` for a page that no cursor could
    /// follow, though there is more; `Deadline` or `Cancelled` if it was ended early; otherwise as for every read.
    pub fn run(self) -> Result<Hits> {
        let Search { place, query, params, after, stop } = self;
        let round = Round::begin(place, params, stop)?;
        round.answer(query, after)
    }
}

impl Search<Vec<Query>> {
    /// Runs the searches; answers stand in the order of the queries, and all see the same commit.
    ///
    /// # Errors
    /// As for one search; an error of one query is [`Error::InQuery`] with its position.
    pub fn run(self) -> Result<Vec<Hits>> {
        let Search { place, query: queries, params, stop, .. } = self;
        let round = Round::begin(place, params, stop)?;
        let answer = |(index, query)| {
            round.answer(query, None).map_err(|error| Error::InQuery { index, source: Box::new(error) })
        };
        queries.into_par_iter().enumerate().map(answer).collect()
    }
}
