//! Write verbs: each call is a batch of its own.

use std::sync::Arc;

use super::batch::Batch;
use crate::cancel::Stop;
use crate::collection::commit;
use crate::collection::commit::operation::{CheckedAction, CheckedOperation, Work};
use crate::collection::handle::Namespace;
use crate::collection::moment::Listing;
use crate::document::{Document, Update};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::hit::Receipt;
use crate::id::DocId;

/// Approximate bytes that deleting one document adds to a commit.
const BYTES_OF_A_DELETE: usize = 128;

/// Write verbs. Every call is atomic. It returns once the write is as durable as the handle
/// ([`with_durability`](Namespace::with_durability)) or
/// [`Options::durability`](crate::Options::durability) asks. The next search finds what it wrote.
///
/// # Errors
/// All write verbs: `CollectionNotFound` if the collection was dropped; `Closed` if the database
/// was; `ReadOnly` while the disk is full or failing; `MemoryLimit` or `OutOfMemory` if there is no
/// memory for documents; [`Error::Commit`], whose [`outcome`](Error::outcome) says what became of
/// the write. Those that take documents: `DimensionMismatch`, `InvalidVector`, `InvalidId`,
/// `InvalidMetadata`, `SchemaViolation` and `LimitExceeded`. Those that take many: the same inside
/// [`Error::InBatch`], with the position; nothing was written then.
impl Namespace {
    /// Inserts a document.
    ///
    /// # Errors
    /// `DocumentExists` if the namespace has one with its id.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, ErrorKind};
    /// let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// let receipt = notes.insert(Document::new(vec![1.0, 0.0]).id("a"))?;
    /// assert_eq!(receipt.n_changed, 1);
    /// let again = notes.insert(Document::new(vec![1.0, 0.0]).id("a")).unwrap_err();
    /// assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn insert(&self, document: Document) -> Result<Receipt> {
        self.alone(|batch| _ = batch.insert(self, document))
    }

    /// Inserts documents, all or none.
    ///
    /// # Errors
    /// `DocumentExists`, with the position, if the namespace has one of the ids or one is given
    /// twice.
    pub fn insert_many(&self, documents: impl IntoIterator<Item = Document>) -> Result<Receipt> {
        self.together(documents, |batch, document| batch.insert(self, document))
    }

    /// Inserts a document, or replaces the one with its id. A replaced document keeps its time of
    /// creation.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// notes.upsert(Document::new(vec![1.0, 0.0]).id("a"))?;
    /// notes.upsert(Document::new(vec![0.0, 1.0]).id("a"))?;
    /// assert_eq!(notes.get("a")?.unwrap().vector, [0.0, 1.0]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn upsert(&self, document: Document) -> Result<Receipt> {
        self.alone(|batch| _ = batch.upsert(self, document))
    }

    /// Inserts or replaces documents, all or none. Of several with the same id the last stays.
    pub fn upsert_many(&self, documents: impl IntoIterator<Item = Document>) -> Result<Receipt> {
        self.together(documents, |batch, document| batch.upsert(self, document))
    }

    /// Inserts or replaces documents that are vectors alone, all or none: `vectors` holds one row
    /// of [`dimension`](crate::CollectionConfig::dimension) components for each id, one row after
    /// the other. Of several rows with the same id the last stays.
    ///
    /// # Errors
    /// `InvalidConfig` if `vectors` does not have one row for each id. An error of one row names
    /// its position, as in [`upsert_many`](Namespace::upsert_many).
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::CollectionConfig;
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// let matrix = [1.0, 0.0, 0.0, 1.0, 0.5, 0.5];
    /// assert_eq!(notes.upsert_vectors(["a", "b", "c"], &matrix)?.n_changed, 3);
    /// assert_eq!(notes.get("b")?.unwrap().vector, [0.0, 1.0]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn upsert_vectors<I: Into<DocId>>(&self, ids: impl IntoIterator<Item = I>, vectors: &[f32]) -> Result<Receipt> {
        let (ids, dimension) = (ids.into_iter().map(Into::into).collect::<Vec<DocId>>(), self.state.config.dimension);
        if ids.len().checked_mul(dimension) != Some(vectors.len()) {
            let (n, n_components) = (ids.len(), vectors.len());
            let reason = format!("expected {n} rows of {dimension} components, got {n_components} components");
            return Err(Error::InvalidConfig { field: "vectors", reason });
        }
        let rows = vectors.chunks_exact(dimension.max(1));
        self.upsert_many(ids.into_iter().zip(rows).map(|(id, row)| Document::new(row.to_vec()).id(id)))
    }

    /// Changes a document's vector, metadata or text. Parts that the update does not name stay.
    ///
    /// # Errors
    /// `DocumentNotFound` if the namespace has no such document.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, Update};
    /// # use serde_json::json;
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// notes.insert(Document::new(vec![1.0, 0.0]).id("a").metadata(json!({"tag": "x", "draft": true})))?;
    /// notes.update(Update::new("a").merge(json!({"tag": "y"})).remove(["draft"]))?;
    /// assert_eq!(notes.get("a")?.unwrap().metadata, json!({"tag": "y"}).into());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn update(&self, update: Update) -> Result<Receipt> {
        self.alone(|batch| _ = batch.update(self, update))
    }

    /// Deletes a document. A document that does not exist is no error: `n_changed` is 0 then.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// notes.insert(Document::new(vec![1.0, 0.0]).id("a"))?;
    /// assert_eq!(notes.delete("a")?.n_changed, 1);
    /// assert_eq!(notes.delete("a")?.n_changed, 0);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete(&self, id: impl Into<DocId>) -> Result<Receipt> {
        self.alone(|batch| _ = batch.delete(self, id))
    }

    /// Deletes documents, all in one commit.
    pub fn delete_many<I: Into<DocId>>(&self, ids: impl IntoIterator<Item = I>) -> Result<Receipt> {
        self.together(ids, |batch, id| batch.delete(self, id))
    }

    /// Deletes every document that matches a filter, in one commit. The filter is evaluated inside
    /// that commit, whatever is written at the same time. The receipt names no ids.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, field};
    /// # use serde_json::json;
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert_many((0..10).map(|n| Document::new([1.0]).metadata(json!({"n": n}))))?;
    /// assert_eq!(notes.delete_where(field("n").gte(7))?.n_changed, 3);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete_where(&self, filter: Filter) -> Result<Receipt> {
        filter.check()?;
        let open = self.state.opened()?;
        let receipt = commit::commit_with(&open.store, None, self.durability, Stop::NEVER, || {
            let mut operations = Vec::new();
            self.moment(Listing::IfFew)?.each_matching(&filter, |_, row| {
                let prepared = CheckedAction::Delete(row.id);
                operations.push(CheckedOperation { namespace: self.clone(), prepared, expectations: Vec::new() });
                Ok(())
            })?;
            Ok(Work { n_bytes: operations.len() * BYTES_OF_A_DELETE, operations })
        });
        receipt.map(|receipt| Receipt { ids: Vec::new(), ..receipt })
    }

    fn batch(&self) -> Result<Batch> {
        let open = self.state.opened()?;
        let mut batch = Batch::new(Arc::downgrade(&open.store), self.keep_alive().clone());
        if let Some(durability) = self.durability {
            batch.durability(durability);
        }
        Ok(batch)
    }

    /// Commits one operation. Its error is returned without [`Error::InBatch`] around it.
    fn alone(&self, add: impl FnOnce(&mut Batch)) -> Result<Receipt> {
        let mut batch = self.batch()?;
        add(&mut batch);
        batch.commit().map_err(|error| match error {
            Error::InBatch { source, .. } => *source,
            error => error,
        })
    }

    fn together<I>(
        &self,
        items: impl IntoIterator<Item = I>,
        add: impl Fn(&mut Batch, I) -> &mut super::batch::Write,
    ) -> Result<Receipt> {
        let mut batch = self.batch()?;
        for item in items {
            add(&mut batch, item);
            batch.check_size()?;
        }
        batch.commit()
    }
}
