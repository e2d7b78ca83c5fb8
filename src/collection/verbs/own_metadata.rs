//! The metadata of a collection itself: notes of programs, such as which model made its vectors.

use std::sync::Arc;

use crate::collection::handle::Collection;
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::limits::MAX_COLLECTION_METADATA_BYTES;
use crate::store::commit::draft::Draft;
use crate::value::{Unchecked, Value};

impl Collection {
    /// The collection's own metadata, an object; empty until it is set.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was.
    pub fn metadata(&self) -> Result<Value> {
        Ok(Value::clone(&self.state().opened()?.metadata.load()))
    }

    /// Replaces the collection's own metadata, while reads and writes go on. The new metadata is an
    /// object of at most 64 KiB as JSON ([`MAX_COLLECTION_METADATA_BYTES`]), nested at most as
    /// deeply as documents' metadata. Backups contain it, and a rename keeps it. When the call
    /// returns, the change is on the disk.
    ///
    /// # Errors
    /// `InvalidMetadata` if `metadata` is neither an object nor null, which stands for the empty
    /// object; `LimitExceeded` if it is too large or too deep; otherwise as for every write.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::CollectionConfig;
    /// # use serde_json::json;
    /// let notes = db.get_or_create_collection("notes", CollectionConfig::new(384))?;
    /// notes.set_metadata(json!({"embedder": "e5-small", "version": 2}))?;
    /// assert_eq!(notes.metadata()?.get("version").and_then(|version| version.as_u64()), Some(2));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_metadata(&self, metadata: impl Into<Value>) -> Result<()> {
        let metadata = Unchecked(metadata.into()).into_metadata()?;
        check_size(&metadata)?;
        let open = self.state().opened()?;
        open.store.check_writable()?;
        let mut guard = open.store.begin_commit()?;
        // The collection may have been dropped before the section was entered.
        self.state().opened()?;
        let (mut draft, mut entry) = (Draft::default(), open.entry(&self.name()));
        entry.metadata = metadata.clone();
        draft.catalog(open.id, &entry);
        guard.commit(draft, |_| open.metadata.store(Arc::new(metadata)))?;
        guard.acknowledge(Durability::Sync).map(drop)
    }
}

fn check_size(metadata: &Value) -> Result<()> {
    let n_bytes = serde_json::to_vec(metadata).map_or(usize::MAX, |json| json.len());
    match n_bytes > MAX_COLLECTION_METADATA_BYTES {
        true => Err(Error::LimitExceeded {
            what: "metadata of the collection in bytes",
            limit: MAX_COLLECTION_METADATA_BYTES,
            got: n_bytes,
        }),
        false => Ok(()),
    }
}
