//! Arguments and results of calls: documents, updates, hits and receipts.
//!
//! These types are plain data and check nothing. `collection/check.rs` checks them when a call
//! begins.

use std::ops::Deref;

use serde::Serialize;

use crate::id::{Commit, DocId};
use crate::paging::{Cursor, SearchCursor};
use crate::route::{Explanation, SearchStats};
use crate::value::{Unchecked, Value};

/// Bytes of an operation beside its vector, metadata and text: keys, headers and its line of the
/// log.
const OVERHEAD: usize = 192;

/// A document to insert or upsert.
///
/// ```
/// use serde_json::json;
/// use vectrove::Document;
/// let document = Document::new(vec![0.1, 0.2])
///     .id("note-17")
///     .text("LSM trees like big batches")
///     .metadata(json!({"tag": "rust", "at": "2026-11-22T10:00:00Z"}));
/// ```
#[derive(Debug, Clone)]
pub struct Document {
    pub(crate) id: Option<DocId>,
    pub(crate) vector: Vec<f32>,
    pub(crate) metadata: Unchecked,
    pub(crate) text: Option<String>,
}

impl Document {
    /// A document with a vector and nothing else. The vector has one finite component for each of
    /// the collection's dimensions; under cosine, not all of them are zero.
    pub fn new(vector: impl Into<Vec<f32>>) -> Self {
        Document { id: None, vector: vector.into(), metadata: Unchecked::default(), text: None }
    }

    /// Its id. Default: a new UUIDv7, returned in the [`Receipt`].
    #[must_use]
    pub fn id(mut self, id: impl Into<DocId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Its metadata: a JSON object of at most 1 MiB, nested at most 32 deep. Default: empty.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<Value>) -> Self {
        self.metadata = Unchecked(metadata.into());
        self
    }

    /// Its text, at most 4 MiB. Default: none.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }
}

impl Document {
    /// Approximate size of the document, in bytes.
    pub(crate) fn size_hint(&self) -> usize {
        let text = self.text.as_ref().map_or(0, String::len);
        OVERHEAD + size_of_val(self.vector.as_slice()) + self.metadata.0.size_hint() + text
    }
}

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StoredDocument {
    /// Its id.
    pub id: DocId,
    /// The vector exactly as it was put, even if it is compared at unit length. Empty if the call
    /// did not ask for vectors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vector: Vec<f32>,
    /// Its metadata, always an object.
    pub metadata: Value,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The commit that last changed the document; [`expect_version`](crate::Write::expect_version)
    /// compares with it.
    pub version: Commit,
    /// Time of the first insert: milliseconds since 1970 in UTC.
    pub created_at_ms: u64,
    /// Time of the last change: milliseconds since 1970 in UTC.
    pub updated_at_ms: u64,
}

impl From<StoredDocument> for Document {
    /// The same document for another insert. The insert sets a new version and new times.
    fn from(stored: StoredDocument) -> Self {
        Document { id: Some(stored.id), vector: stored.vector, metadata: Unchecked(stored.metadata), text: stored.text }
    }
}

/// A change to the vector, the metadata or the text of one document, or to several of them. The
/// other parts stay.
///
/// ```
/// use serde_json::json;
/// use vectrove::Update;
/// let change = Update::new("note-17").merge(json!({"read": true})).remove(["draft"]);
/// ```
#[derive(Debug, Clone)]
pub struct Update {
    pub(crate) id: DocId,
    pub(crate) vector: Option<Vec<f32>>,
    pub(crate) metadata: Vec<MetadataChange>,
    pub(crate) text: Option<Option<String>>,
}

/// One step of a metadata change; steps apply in the order in which they were given.
#[derive(Debug, Clone)]
pub(crate) enum MetadataChange {
    Merge(Unchecked),
    Replace(Unchecked),
    Remove(Vec<String>),
}

impl Update {
    /// A change to the document with this id, which must exist.
    pub fn new(id: impl Into<DocId>) -> Self {
        Update { id: id.into(), vector: None, metadata: Vec::new(), text: None }
    }

    /// Replaces the vector.
    #[must_use]
    pub fn vector(mut self, vector: impl Into<Vec<f32>>) -> Self {
        self.vector = Some(vector.into());
        self
    }

    /// Sets the given keys of the metadata; other keys stay. A null is stored as null:
    /// [`remove`](Update::remove) takes a key away.
    #[must_use]
    pub fn merge(mut self, metadata: impl Into<Value>) -> Self {
        self.metadata.push(MetadataChange::Merge(Unchecked(metadata.into())));
        self
    }

    /// Replaces the whole metadata.
    #[must_use]
    pub fn replace(mut self, metadata: impl Into<Value>) -> Self {
        self.metadata.push(MetadataChange::Replace(Unchecked(metadata.into())));
        self
    }

    /// Removes keys from the metadata; a key that is not there is no error.
    #[must_use]
    pub fn remove<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.metadata.push(MetadataChange::Remove(keys.into_iter().map(Into::into).collect()));
        self
    }

    /// Replaces the text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(Some(text.into()));
        self
    }

    /// Removes the text.
    #[must_use]
    pub fn remove_text(mut self) -> Self {
        self.text = Some(None);
        self
    }
}

impl Update {
    /// Approximate size of the update, in bytes.
    pub(crate) fn size_hint(&self) -> usize {
        let steps = self.metadata.iter().map(|change| match change {
            MetadataChange::Merge(value) | MetadataChange::Replace(value) => value.0.size_hint(),
            MetadataChange::Remove(keys) => keys.iter().map(String::len).sum(),
        });
        let text = self.text.iter().flatten().map(String::len).sum::<usize>();
        OVERHEAD + self.vector.as_deref().map_or(0, size_of_val) + steps.sum::<usize>() + text
    }
}

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

/// How a collection was loaded when the database was opened, and what work was left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Opening {
    /// Where the graph came from.
    pub way: OpenedBy,
    /// Rows read: all documents, or the slots changed since the image, with or without a document.
    pub n_read: usize,
    /// Deltas (batches of linked documents) that were replayed on the graph.
    pub n_deltas: u64,
    /// Documents that were not in the graph yet.
    pub n_waiting: usize,
    /// Documents with missing links, which are linked again.
    pub n_repaired: usize,
    /// Time for reading, in microseconds.
    pub micros: u64,
}

/// Where a collection's graph came from when the database was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OpenedBy {
    /// The collection was created in this opening.
    #[default]
    Creation,
    /// From an image of memory.
    Image,
    /// From the link rows on disk.
    Rows,
    /// From nothing: all documents are linked again.
    Linking,
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
