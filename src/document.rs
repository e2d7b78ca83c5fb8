//! Arguments and results of calls: documents, updates, hits and receipts.
//!
//! These types are plain data and check nothing. `collection/check.rs` checks them when a call
//! begins.

use serde::Serialize;

use crate::id::{Commit, DocId};
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

    /// Its id. Default: a new UUIDv7, returned in the [`Receipt`](crate::Receipt).
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
