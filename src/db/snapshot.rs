//! Reading several collections at one commit.

use std::sync::Arc;

use super::Database;
use crate::collection::handle::Namespace;
use crate::collection::snapshot::Snapshot;
use crate::error::{Error, Result};

impl Database {
    /// Snapshots of namespaces of any collections of this database, all as of one commit, in the
    /// order given. [`Namespace::snapshot`] says how to read them. Commits wait meanwhile.
    ///
    /// # Errors
    /// `CollectionNotFound` if a collection was dropped; `Closed`; `InvalidConfig` for a namespace
    /// of another database.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// use vectrove::{CollectionConfig, Document};
    /// let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// let done = db.get_or_create_collection("done", CollectionConfig::new(1))?;
    /// notes.insert(Document::new([1.0]).id("a"))?;
    /// let before = db.snapshot([&notes, &done])?;
    /// let mut batch = db.batch();
    /// batch.delete(&notes, "a");
    /// batch.insert(&done, Document::new([1.0]).id("a"));
    /// batch.commit()?;
    /// assert_eq!(before[0].commit(), before[1].commit());
    /// assert!(before[0].contains("a")? && !before[1].contains("a")?);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot<N: AsRef<Namespace>>(&self, namespaces: impl IntoIterator<Item = N>) -> Result<Vec<Snapshot>> {
        let namespaces: Vec<N> = namespaces.into_iter().collect();
        for namespace in namespaces.iter().map(AsRef::as_ref) {
            if !Arc::ptr_eq(namespace.keep_alive(), &self.keep_alive()) {
                let reason = format!("collection \"{}\" belongs to another database", namespace.state().name());
                return Err(Error::InvalidConfig { field: "snapshot", reason });
            }
        }
        loop {
            let store = self.engine.store()?;
            let held = store.hold();
            let snapshots = namespaces.iter().map(|namespace| namespace.as_ref().snapshot());
            let snapshots = snapshots.collect::<Result<Vec<Snapshot>>>()?;
            drop(held);
            // A reader may have gone to a later commit in between.
            if snapshots.windows(2).all(|pair| pair[0].commit() == pair[1].commit()) {
                return Ok(snapshots);
            }
        }
    }
}
