//! Asking: the handle that a question is put to, and the answer as the database gives it.

use vectrove::{
    Collection, Cursor, DocId, Error, Facet, FacetCount, Filter, Fusion, Hits, Namespace, Page, Query, Sample, Scroll,
    SearchParams, Snapshot, StoredDocument,
};

use super::document::id_of;
use super::question::{Ordered, Question, Search, Wanted};

/// The handle that a question is put to. Each variant has all the verbs below.
pub(super) enum Source {
    /// The namespace, as of the commit that each call sees.
    Namespace(Namespace),
    /// The namespace as of one commit.
    Snapshot(Snapshot),
}

/// An answer.
#[derive(Debug)]
pub(super) enum Answer {
    Documents(Vec<Option<StoredDocument>>),
    Flag(bool),
    Number(usize),
    Facets(Vec<FacetCount>),
    Page(Page),
    Sampled(Vec<StoredDocument>),
    Names(Vec<String>),
    /// One list of hits for each search.
    Hits(Vec<Hits>),
}

impl Answer {
    /// Number of answers that it counts for.
    pub(super) fn n_answers(&self) -> u64 {
        match self {
            Answer::Hits(all) => all.len() as u64,
            _ => 1,
        }
    }

    /// The commit that the answer itself names.
    pub(super) fn commit(&self) -> Option<u64> {
        match self {
            Answer::Hits(all) => all.first().map(|hits| hits.commit.0),
            Answer::Page(page) => Some(page.commit.0),
            _ => None,
        }
    }
}

/// The verbs.
impl Source {
    fn get(&self, id: DocId) -> Result<Option<StoredDocument>, Error> {
        match self {
            Source::Namespace(namespace) => namespace.get(id),
            Source::Snapshot(snapshot) => snapshot.get(id),
        }
    }

    fn get_many(&self, ids: impl Iterator<Item = DocId>) -> Result<Vec<Option<StoredDocument>>, Error> {
        match self {
            Source::Namespace(namespace) => namespace.get_many(ids),
            Source::Snapshot(snapshot) => snapshot.get_many(ids),
        }
    }

    fn contains(&self, id: DocId) -> Result<bool, Error> {
        match self {
            Source::Namespace(namespace) => namespace.contains(id),
            Source::Snapshot(snapshot) => snapshot.contains(id),
        }
    }

    fn count(&self, filter: Option<Filter>) -> Result<usize, Error> {
        match self {
            Source::Namespace(namespace) => namespace.count(filter),
            Source::Snapshot(snapshot) => snapshot.count(filter),
        }
    }

    fn facet(&self, path: &str) -> Facet {
        match self {
            Source::Namespace(namespace) => namespace.facet(path),
            Source::Snapshot(snapshot) => snapshot.facet(path),
        }
    }

    fn scroll(&self) -> Scroll {
        match self {
            Source::Namespace(namespace) => namespace.scroll(),
            Source::Snapshot(snapshot) => snapshot.scroll(),
        }
    }

    fn sample(&self, n: usize) -> Sample {
        match self {
            Source::Namespace(namespace) => namespace.sample(n),
            Source::Snapshot(snapshot) => snapshot.sample(n),
        }
    }

    fn search(&self, query: Query) -> vectrove::Search {
        match self {
            Source::Namespace(namespace) => namespace.search(query),
            Source::Snapshot(snapshot) => snapshot.search(query),
        }
    }

    fn search_many(&self, queries: impl Iterator<Item = Query>) -> vectrove::Search<Vec<Query>> {
        match self {
            Source::Namespace(namespace) => namespace.search_many(queries),
            Source::Snapshot(snapshot) => snapshot.search_many(queries),
        }
    }
}

impl Source {
    /// Asks the question. Names of namespaces are asked of the collection.
    pub(super) fn ask(&self, collection: &Collection, question: &Question) -> Result<Answer, Error> {
        Ok(match question {
            Question::Get { index } => Answer::Documents(vec![self.get(id_of(*index))?]),
            Question::GetMany { indexes } => {
                Answer::Documents(self.get_many(indexes.iter().map(|index| id_of(*index)))?)
            }
            Question::Contains { index } => Answer::Flag(self.contains(id_of(*index))?),
            Question::Count { condition } if condition.is_everything() => Answer::Number(self.count(None)?),
            Question::Count { condition } => Answer::Number(self.count(Some(condition.filter()))?),
            Question::Facet { field, condition, limit } => {
                Answer::Facets(self.facet(field.path()).filter(condition.filter()).limit(*limit).run()?)
            }
            Question::Scroll { condition, after, limit, with_vector } => {
                let after = after.map(|index| Cursor::after(id_of(index)));
                let scroll = self.scroll().filter(condition.filter()).limit(*limit).after(after);
                Answer::Page(scroll.with_vector(*with_vector).run()?)
            }
            Question::Ordered(Ordered { field, is_descending, condition, after, limit }) => {
                let after = after.as_ref().map(|(cursor, ..)| cursor.clone());
                let scroll = self.scroll().order_by(field.path()).filter(condition.filter()).limit(*limit);
                let scroll = if *is_descending { scroll.descending() } else { scroll };
                Answer::Page(scroll.after(after).run()?)
            }
            Question::Sample { n, condition, with_vector } => {
                Answer::Sampled(self.sample(*n).filter(condition.filter()).with_vector(*with_vector).run()?)
            }
            Question::Namespaces => Answer::Names(collection.namespaces("")?),
            Question::Search(search) => Answer::Hits(self.run(search)?),
        })
    }

    fn run(&self, search: &Search) -> Result<Vec<Hits>, Error> {
        let mut queries = search.wanted.iter().map(Wanted::query);
        if search.is_many {
            return search.with_groups(self.search_many(queries).params(search.params())).run();
        }
        let query = queries.next().unwrap_or_else(|| Query::text(""));
        let hits = search.with_groups(self.search(query).params(search.params())).run()?;
        Ok(vec![hits])
    }
}

impl Wanted {
    fn query(&self) -> Query {
        match self {
            Wanted::Vector(vector) => Query::from(vector),
            Wanted::Words(wording) => Query::text(wording.text()),
            Wanted::Both(vector, wording) => Query::from(vector).with_text(wording.text()),
            Wanted::Examples { positive, negative } => match (positive.as_slice(), negative.as_slice()) {
                ([one], []) => Query::like(id_of(*one)),
                _ => {
                    let ids = |indexes: &[u32]| indexes.iter().map(|index| id_of(*index)).collect::<Vec<_>>();
                    Query::recommend(ids(positive)).negative(ids(negative))
                }
            },
        }
    }
}

impl Search {
    fn params(&self) -> SearchParams {
        let mut params = SearchParams::default();
        params.limit = self.limit;
        params.offset = self.offset;
        params.filter = self.condition.filter();
        params.min_score = self.min_score;
        params.max_distance = self.max_distance;
        params.with_vector = self.with_vector;
        params.with_document = self.with_document;
        params.strategy = self.strategy;
        params.ef = self.ef;
        params.explain = self.explain;
        params.boosts = self.boosts.iter().map(super::score::Boost::boost).collect();
        params.fusion = if self.fuses_scores { Fusion::scores() } else { Fusion::rrf() };
        params
    }

    /// Sets what has a setter of its own.
    fn with_groups<Q>(&self, search: vectrove::Search<Q>) -> vectrove::Search<Q> {
        let search = match self.mmr {
            Some((lambda, candidates)) => search.mmr(lambda, candidates),
            None => search,
        };
        match self.group_by {
            Some((field, per_group)) => search.group_by(field.path(), per_group),
            None => search,
        }
    }
}
