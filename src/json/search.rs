//! Searches: a query and its parameters, in one object.

use std::fmt;
use std::result::Result as StdResult;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};

use super::FromJson;
use super::read::{Components, FieldValue, ObjectFields, Read, Trace, Vector, object};
use super::values::WrittenFilter;
use crate::collection::handle::Namespace;
use crate::collection::search::Search;
use crate::collection::search::query::{Example, ExampleSource, Query};
use crate::error::Result;
use crate::hit::Hits;
use crate::id::DocId;
use crate::limits::{MAX_BOOSTS, MAX_EXAMPLES, MAX_FIELDS};
use crate::paging::SearchCursor;
use crate::params::SearchParams;
use crate::route::Strategy;

/// The ways that a request may choose.
const STRATEGIES: [(&str, Strategy); 3] =
    [("exact", Strategy::Exact), ("graph", Strategy::Graph), ("codes", Strategy::Codes)];

/// A search as JSON: a query and parameters.
///
/// | key | meaning |
/// |---|---|
/// | `vector` | a query vector |
/// | `like` | the id of a document, whose vector is the query |
/// | `recommend` | `{"positive": […], "negative": […]}`, each an array of ids and vectors ([`Query::recommend`]) |
/// | `text` | words ([`Query::text`]), alone or with one of the keys above |
/// | `limit`, `offset`, `filter`, `min_score`, `max_distance`, `ef`, `oversampling`, `explain`, … | the fields of [`SearchParams`] |
/// | `exact`, `strategy` | `true`; or `"exact"`, `"graph"` or `"codes"` |
/// | `mmr` | `{"lambda": 0.5, "candidates": 50}` |
/// | `group_by` | `{"field": …, "per_group": 1}` |
/// | `boosts` | an array of `{"decay": {"field": …, "half_life_ms": …, "origin": time}}`, `{"number": {"field": …, "log": true}}` and `{"when": filter}`, each with a `"weight"` |
/// | `fusion` | `{"by": "rrf", "k": 5, "vector_weight": 1, "text_weight": 1, "candidates": 64}`, or by `"scores"` |
/// | `pages` | `true` for an answer with the cursor of the next page |
/// | `after` | the cursor of the page before |
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let db = vectrove::Database::open(folder.path())?;
/// use vectrove::json::{self, SearchRequest};
/// # use vectrove::{CollectionConfig, Document};
/// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
/// # notes.insert_many((0..5u64).map(|n| Document::new([1.0, n as f32]).id(n).text("rust")))?;
/// let first: SearchRequest = json::from_str(r#"{"vector": [1, 0], "text": "rust", "limit": 3, "pages": true}"#)?;
/// let answer = serde_json::to_value(&first.run(&notes)?)?;
/// assert_eq!(answer["hits"].as_array().map(Vec::len), Some(3));
/// let next = serde_json::json!({"vector": [1, 0], "text": "rust", "limit": 3, "after": answer["next"]});
/// let rest = json::from_value::<SearchRequest>(&next)?.run(&notes)?;
/// assert_eq!((rest.len(), rest.next), (2, None));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SearchRequest {
    /// The query.
    pub query: Query,
    /// The parameters.
    pub params: SearchParams,
    /// Whether the answer holds the cursor of the next page. Default: no, unless `after` is given.
    pub pages: bool,
    /// The cursor of the page before. Default: none, which begins at the first hit.
    pub after: Option<SearchCursor>,
}

impl SearchRequest {
    /// A search with the default parameters.
    pub fn new(query: impl Into<Query>) -> Self {
        SearchRequest { query: query.into(), params: SearchParams::default(), pages: false, after: None }
    }

    /// The search in a namespace; a deadline or a cancel flag can be added to it.
    pub fn search(self, namespace: &Namespace) -> Search {
        let SearchRequest { query, params, pages, after } = self;
        let search = namespace.search(query).params(params);
        if pages || after.is_some() { search.after(after) } else { search }
    }

    /// Searches in a namespace.
    ///
    /// # Errors
    /// As [`Search::run`](crate::Search::run).
    pub fn run(self, namespace: &Namespace) -> Result<Hits> {
        self.search(namespace).run()
    }
}

impl FromJson for SearchRequest {
    const NAME: &'static str = "search";
}

impl Read for SearchRequest {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        object::<SearchFields, _>(from, trace)
    }
}

#[derive(Default)]
struct SearchFields {
    vector: Option<Vector>,
    like: Option<DocId>,
    recommend: Option<Examples>,
    text: Option<String>,
    params: SearchParams,
    exact: Option<bool>,
    pages: Option<bool>,
    after: Option<SearchCursor>,
}

impl ObjectFields for SearchFields {
    type Of = SearchRequest;
    const KEYS: &'static [&'static str] = &[
        "vector",
        "like",
        "recommend",
        "text",
        "limit",
        "offset",
        "filter",
        "min_score",
        "max_distance",
        "with_vector",
        "fields",
        "with_document",
        "ef",
        "exact",
        "strategy",
        "oversampling",
        "explain",
        "mmr",
        "group_by",
        "boosts",
        "boosted_candidates",
        "k1",
        "b",
        "fusion",
        "pages",
        "after",
    ];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> StdResult<(), A::Error> {
        let params = &mut self.params;
        match key {
            "vector" => self.vector = value.read()?,
            "like" => self.like = value.read()?,
            "recommend" => self.recommend = value.read()?,
            "text" => self.text = value.read()?,
            "limit" => set(&mut params.limit, value.read()?),
            "offset" => set(&mut params.offset, value.read()?),
            "filter" => set(&mut params.filter, value.read()?),
            "min_score" => params.min_score = value.read()?,
            "max_distance" => params.max_distance = value.read()?,
            "with_vector" => set(&mut params.with_vector, value.read()?),
            "fields" => params.fields = value.read_at_most(MAX_FIELDS, "fields of hits")?,
            "with_document" => set(&mut params.with_document, value.read()?),
            "ef" => params.ef = value.read()?,
            "exact" => self.exact = value.read()?,
            "strategy" => params.strategy = value.choose(&STRATEGIES)?,
            "oversampling" => set(&mut params.oversampling, value.read()?),
            "explain" => set(&mut params.explain, value.read()?),
            "mmr" => params.mmr = value.read()?,
            "group_by" => params.group_by = value.read()?,
            "boosts" => set(&mut params.boosts, value.read_at_most(MAX_BOOSTS, "boosts")?),
            "boosted_candidates" => params.boosted_candidates = value.read()?,
            "k1" => set(&mut params.k1, value.read()?),
            "b" => set(&mut params.b, value.read()?),
            "fusion" => set(&mut params.fusion, value.read()?),
            "pages" => self.pages = value.read()?,
            _ => self.after = value.read()?,
        }
        Ok(())
    }

    fn finish(self) -> StdResult<SearchRequest, String> {
        let SearchFields { vector, like, recommend, text, mut params, exact, pages, after } = self;
        let queries = [
            vector.map(|Vector(vector)| Query::from(vector)),
            like.map(Query::like),
            recommend.map(|Examples { positive, negative }| Query::recommend(positive).negative(negative)),
        ];
        let mut queries = queries.into_iter().flatten();
        let query = match (queries.next(), queries.next(), text) {
            (_, Some(_), _) => return Err("expected one of vector, like and recommend, got several".into()),
            (Some(query), None, Some(text)) => query.with_text(text),
            (Some(query), None, None) => query,
            (None, None, Some(text)) => Query::text(text),
            (None, None, None) => return Err("expected vector, like, recommend or text, got none of them".into()),
        };
        if exact == Some(true) {
            if params.strategy.is_some_and(|strategy| strategy != Strategy::Exact) {
                return Err("expected exact or another strategy, got both".into());
            }
            params.strategy = Some(Strategy::Exact);
        }
        Ok(SearchRequest { query, params, pages: pages == Some(true), after })
    }
}

/// Sets a parameter, unless the value is null.
fn set<T>(param: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *param = value;
    }
}

const EXAMPLES: &str = "examples of the query";

/// Positive and negative examples of the query.
#[derive(Default)]
struct Examples {
    positive: Vec<Example>,
    negative: Vec<Example>,
}

impl Read for Examples {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> StdResult<Self, D::Error> {
        object::<Examples, _>(from, trace)
    }
}

impl ObjectFields for Examples {
    type Of = Examples;
    const KEYS: &'static [&'static str] = &["positive", "negative"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> StdResult<(), A::Error> {
        match key {
            "positive" => set(&mut self.positive, value.read_at_most(MAX_EXAMPLES, EXAMPLES)?),
            _ => set(&mut self.negative, value.read_at_most(MAX_EXAMPLES, EXAMPLES)?),
        }
        Ok(())
    }

    fn finish(self) -> StdResult<Examples, String> {
        Ok(self)
    }
}

impl Read for Example {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> StdResult<Self, D::Error> {
        from.deserialize_any(ExampleVisitor(trace))
    }
}

struct ExampleVisitor<'t>(&'t Trace);

impl<'de> Visitor<'de> for ExampleVisitor<'_> {
    type Value = Example;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id or a vector")
    }

    fn visit_u64<E>(self, number: u64) -> StdResult<Example, E> {
        Ok(Example::from(number))
    }

    fn visit_str<E>(self, text: &str) -> StdResult<Example, E> {
        Ok(Example::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> StdResult<Example, A::Error> {
        Components(self.0).visit_seq(access).map(|Vector(vector)| Example::from(vector))
    }
}

impl Serialize for Example {
    fn serialize<S: Serializer>(&self, serializer: S) -> StdResult<S::Ok, S::Error> {
        match &self.0 {
            ExampleSource::Vector(vector) => vector.serialize(serializer),
            ExampleSource::Document(id) => id.serialize(serializer),
        }
    }
}

impl Serialize for SearchRequest {
    /// Leaves out parameters with their default.
    fn serialize<S: Serializer>(&self, serializer: S) -> StdResult<S::Ok, S::Error> {
        let SearchRequest { query, params, pages, after } = self;
        let mut map = serializer.serialize_map(None)?;
        write_query(query, &mut map)?;
        write_params(params, &mut map)?;
        if *pages {
            map.serialize_entry("pages", pages)?;
        }
        entry(&mut map, "after", after.as_ref())?;
        map.end()
    }
}

fn write_query<M: SerializeMap>(query: &Query, map: &mut M) -> StdResult<(), M::Error> {
    let Query { positive, negative, text } = query;
    match (positive.as_slice(), negative.as_slice(), text) {
        ([], [], Some(_)) => {}
        ([Example(ExampleSource::Vector(vector))], [], _) => map.serialize_entry("vector", vector)?,
        ([Example(ExampleSource::Document(id))], [], _) => map.serialize_entry("like", id)?,
        _ => {
            let examples = [("positive", positive), ("negative", negative)];
            let examples = examples.into_iter().filter(|(_, examples)| !examples.is_empty());
            map.serialize_entry("recommend", &examples.collect::<std::collections::BTreeMap<_, _>>())?;
        }
    }
    entry(map, "text", text.as_ref())
}

fn write_params<M: SerializeMap>(params: &SearchParams, map: &mut M) -> StdResult<(), M::Error> {
    let plain = SearchParams::default();
    let SearchParams { limit, offset, filter, min_score, max_distance, with_vector, fields, with_document, .. } =
        params;
    let SearchParams { ef, strategy, oversampling, explain, mmr, group_by, boosts, boosted_candidates, .. } = params;
    let SearchParams { k1, b, fusion, .. } = params;
    entry(map, "limit", differing(limit, &plain.limit))?;
    entry(map, "offset", differing(offset, &plain.offset))?;
    entry(map, "filter", (!filter.is_everything()).then_some(WrittenFilter(filter)).as_ref())?;
    entry(map, "min_score", finite("min_score", min_score)?)?;
    entry(map, "max_distance", finite("max_distance", max_distance)?)?;
    entry(map, "with_vector", differing(with_vector, &plain.with_vector))?;
    entry(map, "fields", fields.as_ref())?;
    entry(map, "with_document", differing(with_document, &plain.with_document))?;
    entry(map, "ef", ef.as_ref())?;
    if *strategy == Some(Strategy::Words) {
        return Err(M::Error::custom("expected a strategy that a search can be told to use, got words"));
    }
    entry(map, "strategy", strategy.as_ref())?;
    entry(map, "oversampling", differing(oversampling, &plain.oversampling))?;
    entry(map, "explain", differing(explain, &plain.explain))?;
    entry(map, "mmr", mmr.as_ref())?;
    entry(map, "group_by", group_by.as_ref())?;
    entry(map, "boosts", Some(boosts).filter(|boosts| !boosts.is_empty()))?;
    entry(map, "boosted_candidates", boosted_candidates.as_ref())?;
    entry(map, "k1", differing(k1, &plain.k1))?;
    entry(map, "b", differing(b, &plain.b))?;
    entry(map, "fusion", differing(fusion, &plain.fusion))
}

/// A number that JSON can write. Others would be written as null, which means no bound.
fn finite<'a, E: serde::ser::Error>(key: &str, number: &'a Option<f32>) -> StdResult<Option<&'a f32>, E> {
    match number {
        Some(number) if !number.is_finite() => {
            Err(E::custom(format_args!("expected a finite number as {key}, got {number}")))
        }
        number => Ok(number.as_ref()),
    }
}

fn differing<'a, T: PartialEq>(value: &'a T, plain: &T) -> Option<&'a T> {
    Some(value).filter(|value| *value != plain)
}

/// Writes a key, if it has a value.
pub(super) fn entry<M: SerializeMap, T: Serialize>(
    map: &mut M,
    key: &'static str,
    value: Option<&T>,
) -> StdResult<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, value))
}
