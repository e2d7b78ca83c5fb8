//! Read verbs of a snapshot.

use super::facet::Facet;
use super::read::Scroll;
use super::sample::Sample;
use crate::collection::search::Search;
use crate::collection::search::query::Query;
use crate::collection::snapshot::Snapshot;
use crate::document::StoredDocument;
use crate::error::Result;
use crate::filter::Filter;
use crate::id::DocId;

impl Snapshot {
    /// The document with an id, vector included; `None` if there is none. See
    /// [`Namespace::get`](crate::Namespace::get).
    pub fn get(&self, id: impl Into<DocId>) -> Result<Option<StoredDocument>> {
        self.moment()?.document(&id.into(), true)
    }

    /// The documents with these ids, in their order; `None` where there is none. See
    /// [`Namespace::get_many`](crate::Namespace::get_many).
    pub fn get_many<I: Into<DocId>>(&self, ids: impl IntoIterator<Item = I>) -> Result<Vec<Option<StoredDocument>>> {
        let moment = self.moment()?;
        ids.into_iter().map(|id| moment.document(&id.into(), true)).collect()
    }

    /// As [`get_many`](Snapshot::get_many), without vectors. See
    /// [`Namespace::get_many_without_vectors`](crate::Namespace::get_many_without_vectors).
    pub fn get_many_without_vectors<I: Into<DocId>>(
        &self,
        ids: impl IntoIterator<Item = I>,
    ) -> Result<Vec<Option<StoredDocument>>> {
        let moment = self.moment()?;
        ids.into_iter().map(|id| moment.document(&id.into(), false)).collect()
    }

    /// Whether there is a document with an id. See
    /// [`Namespace::contains`](crate::Namespace::contains).
    pub fn contains(&self, id: impl Into<DocId>) -> Result<bool> {
        self.moment()?.contains(&id.into())
    }

    /// How many documents match a filter; `None` counts all. See
    /// [`Namespace::count`](crate::Namespace::count).
    pub fn count(&self, filter: impl Into<Option<Filter>>) -> Result<usize> {
        self.moment()?.count(filter.into())
    }

    /// Goes through documents in the order of ids, or of a field. See
    /// [`Namespace::scroll`](crate::Namespace::scroll).
    pub fn scroll(&self) -> Scroll {
        Scroll::of(self.into())
    }

    /// How many documents have each value of a metadata field. See
    /// [`Namespace::facet`](crate::Namespace::facet).
    pub fn facet(&self, field: impl Into<String>) -> Facet {
        Facet::of(self.into(), field.into())
    }

    /// `n` documents drawn at random. See [`Namespace::sample`](crate::Namespace::sample).
    pub fn sample(&self, n: usize) -> Sample {
        Sample::of(self.into(), n)
    }

    /// The documents nearest to a vector or to examples, or with words. See
    /// [`Namespace::search`](crate::Namespace::search).
    pub fn search(&self, query: impl Into<Query>) -> Search {
        Search::of(self.into(), query.into())
    }

    /// As [`search`](Snapshot::search) for each of several queries, on all cores. See
    /// [`Namespace::search_many`](crate::Namespace::search_many).
    pub fn search_many<Q: Into<Query>>(&self, queries: impl IntoIterator<Item = Q>) -> Search<Vec<Query>> {
        Search::of(self.into(), queries.into_iter().map(Into::into).collect())
    }
}
