//! What calls return beside documents: hits, pages, counts, receipts.
//!
//! Plain data without checks.

use std::ops::Deref;

use serde::Serialize;

use crate::document::StoredDocument;
use crate::id::{Commit, DocId};
use crate::paging::{Cursor, SearchCursor};
use crate::route::{Explanation, SearchStats};
use crate::value::Value;

/// A search result.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Hit {
    /// The document's id.
    pub id: DocId,
    /// Similarity to the query; larger is nearer, for each metric. A search in words alone gives
    /// the BM25 score. A search by a vector and words gives the fused score
    /// ([`Fusion`](crate::Fusion)).
    pub score: f32,
    /// Distance from the query in the metric's own measure; smaller is nearer. Infinite in a search
    /// without a vector.
    pub distance: f32,
    /// Its metadata, or the fields of it that [`fields`](crate::Search::fields) asked for. Always
    /// an object; empty without [`with_document`](crate::Search::with_document).
    pub metadata: Value,
    /// Its text; none without [`with_document`](crate::Search::with_document).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its vector as it was put, if [`with_vector`](crate::Search::with_vector) asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<Vec<f32>>,
    /// The commit that last changed the document.
    pub version: Commit,
    /// Value of the field that hits are grouped by ([`group_by`](crate::Search::group_by)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Value>,
    /// Score and place in each ranking, for a search by a vector and words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
}

/// Place of a hit in the two rankings of a search by a vector and words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Parts {
    /// In the ranking by the vector.
    pub vector: Part,
    /// In the ranking by words.
    pub text: Part,
}

/// Place of a hit in one ranking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Part {
    /// Its score in this ranking; 0 for a document without any of the words.
    pub score: f32,
    /// Its place among the candidates of this ranking, from 1; `None` if it is not a candidate.
    pub rank: Option<usize>,
}

/// The result of a search: hits, best first, and the commit they were found at. Use it as a slice,
/// or iterate over it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Hits {
    /// The hits, nearest first; equally near hits in the order of their ids. If scores have another
    /// part than the distance, the hits are in the order of score, then distance, then id.
    pub items: Vec<Hit>,
    /// The commit that the search saw: all changes up to this commit, and none after it.
    pub commit: Commit,
    /// How the hits were found.
    pub stats: SearchStats,
    /// Cursor of the next page, if [`after`](crate::Search::after) asked for pages; `None` after
    /// the last page.
    pub next: Option<SearchCursor>,
    /// Why the search took its way, if [`explain`](crate::Search::explain) asked.
    pub explanation: Option<Box<Explanation>>,
    /// Fields of the filter that no document of the collection has, in alphabetical order: they may
    /// be misspelt. Only indexed fields are reported. If the search found hits, fields that
    /// documents had before are not reported.
    pub absent_fields: Vec<String>,
}

impl Deref for Hits {
    type Target = [Hit];

    fn deref(&self) -> &[Hit] {
        &self.items
    }
}

impl IntoIterator for Hits {
    type Item = Hit;
    type IntoIter = std::vec::IntoIter<Hit>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a> IntoIterator for &'a Hits {
    type Item = &'a Hit;
    type IntoIter = std::slice::Iter<'a, Hit>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

/// The result of an acknowledged write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The commit that holds the write. If there was nothing to change, the last commit before the
    /// call.
    pub commit: Commit,
    /// Ids of the documents, one for each operation, in order; generated ids included. Empty for
    /// `delete_where`.
    pub ids: Vec<DocId>,
    /// Documents inserted, changed or deleted. Deleting an absent document counts 0.
    pub n_changed: usize,
    /// Whether a batch with this operation id was committed before. Nothing was written now, and
    /// `ids` lists the ids of this call.
    pub repeated: bool,
}

/// A value of a field, and the number of documents with it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FacetCount {
    /// The value.
    pub value: Value,
    /// Documents with this value.
    pub n_documents: usize,
}

/// One page of documents in id order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// The documents, by id.
    pub documents: Vec<StoredDocument>,
    /// Cursor of the next page; `None` after the last. Later writes do not invalidate it.
    pub next: Option<Cursor>,
    /// The commit that the page saw: all changes up to this commit, and none after it.
    pub commit: Commit,
}
