//! What goes in and what comes out: documents, updates, hits and receipts.
//!
//! Plain data; nothing here is checked. The checks stand at the door, in `collection/check.rs`.

use std::ops::Deref;

use serde::Serialize;

use crate::id::{Commit, DocId};
use crate::paging::{Cursor, SearchCursor};
use crate::route::{Explanation, Route};
use crate::value::{Unchecked, Value};

/// Bytes that an operation takes beside its vector, metadata and text: keys, headers, its line of the log.
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
    /// A document with a vector, and nothing else yet. The vector has as many components as the collection's
    /// dimension; they are finite, and under cosine not all zero.
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
    /// About how many bytes the document holds.
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
    /// The vector exactly as it was put, also where it is compared at unit length. Empty where it was not asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vector: Vec<f32>,
    /// Its metadata, always an object.
    pub metadata: Value,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The commit that last changed it: what [`expect_version`](crate::Write::expect_version) compares with.
    pub version: Commit,
    /// When it was first inserted: milliseconds since 1970 in UTC.
    pub created_at_ms: u64,
    /// When it was last changed: milliseconds since 1970 in UTC.
    pub updated_at_ms: u64,
}

impl From<StoredDocument> for Document {
    /// The document to insert again, elsewhere or later; its version and times are given anew.
    fn from(stored: StoredDocument) -> Self {
        Document { id: Some(stored.id), vector: stored.vector, metadata: Unchecked(stored.metadata), text: stored.text }
    }
}

/// A change to one document: its vector, its metadata, its text, each alone or together. What is not named stays.
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

/// One step of changing metadata; steps apply in the order they were given.
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

    /// Sets the keys of an object in the metadata; other keys stay. A value of null is stored as null: use
    /// [`remove`](Update::remove) to take a key away.
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
    /// About how many bytes the update holds.
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
    /// How similar it is; larger is nearer, whatever the metric. Of a search in words its BM25 score, of one by both
    /// what [`Fusion`](crate::Fusion) makes of them.
    pub score: f32,
    /// How far it is in the metric's own measure; smaller is nearer. Infinite if there is no vector to be near to.
    pub distance: f32,
    /// Its metadata, or the fields of it that were asked for. Always an object; empty without
    /// [`with_document`](crate::Search::with_document).
    pub metadata: Value,
    /// Its text; none without [`with_document`](crate::Search::with_document).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its vector as it was put, if [`with_vector`](crate::Search::with_vector) asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<Vec<f32>>,
    /// The commit that last changed it.
    pub version: Commit,
    /// The value of the field that hits were grouped by ([`group_by`](crate::Search::group_by)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Value>,
    /// How it stands by vector and by words, if it was searched by both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
}

/// How a hit stands in each side of a search by a vector and by words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Parts {
    /// By the vector.
    pub vector: Part,
    /// By the words.
    pub text: Part,
}

/// How a hit stands in one side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Part {
    /// Its score there; 0 for words if it has none of them.
    pub score: f32,
    /// Its place among the candidates of that side, beginning with 1; `None` if it is not one.
    pub rank: Option<usize>,
}

/// What a search returns: hits, nearest first, and the state of the database they were found in. Use it as a slice or
/// iterate over it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Hits {
    /// The hits, nearest first, and equally near ones in the order of their ids; if something else than the distance
    /// counts, those with the highest score first, of equal ones the nearest, and then in the order of ids.
    pub items: Vec<Hit>,
    /// The last commit the search saw; it saw that one and all before it, and nothing later.
    pub commit: Commit,
    /// How the hits were found.
    pub route: Route,
    /// Where the next page begins, if pages were asked for ([`after`](crate::Search::after)); `None` after the last.
    pub next: Option<SearchCursor>,
    /// Why they were found so, if [`explain`](crate::Search::explain) asked.
    pub explanation: Option<Box<Explanation>>,
    /// The fields that the filter names and no document of the collection has, in order: misspelt, perhaps. Fields that
    /// are not indexed, or not yet, are not among them. Where there are hits, nor are those that documents had once.
    pub absent_fields: Vec<String>,
}

/// How a collection was read when the database was opened, and what that left to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Opening {
    /// Where its graph came from.
    pub way: OpenedBy,
    /// Documents, and slots without one, that were read from rows: all, or what has changed since the image.
    pub n_read: usize,
    /// Batches of linked documents that the graph was brought up to date by.
    pub n_deltas: u64,
    /// Documents that were not in the graph yet.
    pub n_waiting: usize,
    /// Documents whose links were incomplete, to be linked again.
    pub n_repaired: usize,
    /// How long reading took, in microseconds.
    pub micros: u64,
}

/// Where a collection's graph came from when the database was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OpenedBy {
    /// The collection was made in this opening.
    #[default]
    Creation,
    /// An image of memory was taken up.
    Image,
    /// Links were read row by row.
    Rows,
    /// Nothing: all documents are linked anew.
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

/// What a write returns once it is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The commit that carries the write; for a write that had nothing to change, the last commit before it.
    pub commit: Commit,
    /// The id of the document of each operation, in order, generated ids included. Empty for `delete_where`.
    pub ids: Vec<DocId>,
    /// How many documents were inserted, changed or deleted. Deleting what is not there counts nothing.
    pub n_changed: usize,
    /// Whether this answers a batch whose operation id was committed before: nothing was written now, and `ids` is
    /// what the repeated call named.
    pub repeated: bool,
}

/// A value of a field, and how many documents have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FacetCount {
    /// The value.
    pub value: Value,
    /// Documents that have it.
    pub n_documents: usize,
}

/// One page of documents in id order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// The documents, by id.
    pub documents: Vec<StoredDocument>,
    /// Where the next page begins; `None` after the last. It stays good whatever is written in between.
    pub next: Option<Cursor>,
    /// The last commit that the page saw; it saw that one and all before it, and nothing later.
    pub commit: Commit,
}
