//! Maintenance verbs of a collection's indexes. `add_index` and `drop_index` choose the indexed
//! metadata. No one has to call any other: indexes keep themselves up to date.

use crate::collection::check;
use crate::collection::derived::job::Job;
use crate::collection::handle::Collection;
use crate::collection::open::OpenCollection;
use crate::collection::recovery::graph_log::Saving;
use crate::config::Residency;
use crate::error::{Error, Result};

impl Collection {
    /// Indexes a path of metadata, and all paths below it. From now on every written document is
    /// indexed; existing ones follow in the background. Until that is done, filters on the path
    /// read the documents themselves, as before. A path that is indexed already stays so.
    ///
    /// # Errors
    /// `InvalidConfig` for a path that is empty, longer than 512 bytes, or below one that is not
    /// indexed; otherwise as for every write.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # use serde_json::json;
    /// let notes = db.get_or_create_collection("notes", CollectionConfig::new(1).no_index("tag"))?;
    /// notes.insert(Document::new([1.0]).metadata(json!({"tag": "a", "at": 7})))?;
    /// assert_eq!(notes.indexed_fields()?, ["at"]);
    /// notes.add_index("tag")?;
    /// notes.wait_indexed()?;
    /// assert_eq!(notes.indexed_fields()?, ["at", "tag"]);
    /// notes.drop_index("at")?;
    /// assert_eq!(notes.indexed_fields()?, ["tag"]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_index(&self, path: &str) -> Result<()> {
        check::path(path)?;
        let open = self.state.opened()?;
        open.indexes.fields.add(&open, path)
    }

    /// Stops indexing a path of metadata, and all paths below it. From then on filters on it read
    /// the documents themselves.
    ///
    /// # Errors
    /// `InvalidConfig` for a path that is empty or longer than 512 bytes; otherwise as for every
    /// write.
    pub fn drop_index(&self, path: &str) -> Result<()> {
        check::path(path)?;
        let open = self.state.opened()?;
        open.indexes.fields.remove(&open, path)
    }

    /// The paths of metadata whose index covers every document that has them, in order.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was.
    pub fn indexed_fields(&self) -> Result<Vec<String>> {
        Ok(self.state.opened()?.indexes.fields.indexed())
    }

    /// Waits until every document written before is linked into the graph and can be reached there,
    /// and until the indexes of metadata and words are complete. No one has to wait: searches find
    /// documents that are not linked or indexed yet. In a database opened read-only nothing is
    /// linked, and the call returns at once.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was, also
    /// during the wait; the error that keeps the work from going on, such as `ReadOnly` for a full
    /// disk, `OutOfMemory` or `MemoryLimit`. The work goes on by itself once the cause is gone.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert_many((0..1_000).map(|n| Document::new([n as f32 + 1.0])))?;
    /// notes.wait_indexed()?;
    /// assert_eq!(db.stats()?.collections[0].tail_length, 0);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_indexed(&self) -> Result<()> {
        let open = self.state.opened()?;
        if !open.store.is_beside() {
            open.wait_indexed()?;
        }
        drop(open);
        self.state.opened().map(drop)
    }

    /// Waits until all exact vectors are where [`residency`](crate::CollectionConfig::residency)
    /// asks for them, and returns where they are then. After an open they are loaded in the
    /// background. Until then, searches read the vectors that they compare from disk.
    /// [`Residency::Disk`] means that nothing is to be loaded, or that there was no room
    /// ([`Options::memory_limit`](crate::Options::memory_limit)). No one has to wait.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was, also
    /// during the wait; in a collection without codes, the error that keeps vectors from being
    /// loaded: `OutOfMemory`, `MemoryLimit`, `ReadOnly` or `Storage`.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// use vectrove::{CollectionConfig, Database, Document, Residency};
    /// let db = Database::open(folder.path())?;
    /// let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert_many((0..1_000).map(|n| Document::new([n as f32 + 1.0])))?;
    /// db.close()?;
    /// let notes = Database::open(folder.path())?.collection("notes")?;
    /// assert_eq!(notes.wait_resident()?, Residency::Ram);
    /// assert_eq!(notes.stats()?.n_vectors_loaded, 1_000);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_resident(&self) -> Result<Residency> {
        let open = self.state.opened()?;
        open.wait_for_jobs(&open.vectors_loaded, &[Job::LoadVectors], || open.is_settled())?;
        let residency = open.memory.vectors().full.residency();
        drop(open);
        self.state.opened().map(|_| residency)
    }

    /// Rebuilds the graph and the indexes of metadata and words from the documents. Waits until
    /// they are ready and written to disk. Searches and writes go on meanwhile, with the old graph.
    /// No one has to call this. It takes as long as linking all documents did.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was, also
    /// during the wait; `ReadOnly` or `Storage` if writing failed or comparing vectors panicked;
    /// `OutOfMemory` if there is no room for another graph. The rebuild goes on by itself once the
    /// cause is gone. Until then searches are as right as before, and perhaps slower.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert_many((0..100).map(|n| Document::new([n as f32 + 1.0])))?;
    /// notes.rebuild_index()?;
    /// assert_eq!(notes.search([3.0]).limit(100).run()?.len(), 100);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn rebuild_index(&self) -> Result<()> {
        let open = self.state.opened()?;
        open.store.check_writable()?;
        open.indexes.all().iter().for_each(|index| index.rebuild(&open));
        let (index, is_rebuilt) = (&open.memory.vectors().index, open.memory.vectors().index.ask_for_rebuild());
        open.wait_for_jobs(index.waiting(), Job::TO_LINK, is_rebuilt)?;
        if index.is_broken() {
            let source = "comparing vectors panicked: until it is opened again the collection is scanned".into();
            return Err(Error::Storage { doing: "rebuilding the graph", source });
        }
        open.wait_until_built()?;
        open.saver().save(Saving::All)?;
        drop(open);
        self.state.opened().map(drop)
    }
}

impl OpenCollection {
    fn wait_indexed(&self) -> Result<()> {
        let (index, is_linked) = (&self.memory.vectors().index, self.memory.vectors().index.ask_for_links());
        self.wait_for_jobs(index.waiting(), Job::TO_LINK, is_linked)?;
        self.wait_until_built()
    }

    fn wait_until_built(&self) -> Result<()> {
        self.indexes
            .all()
            .into_iter()
            .try_for_each(|index| self.wait_for_jobs(&index.condition().built, &[index.job()], || !index.is_building()))
    }
}
