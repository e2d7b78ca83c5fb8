//! The database: its collections, its background worker, opening and closing.
//!
//! [`Database`] is a handle on an [`Engine`], which owns the store, the open collections and the
//! worker. The last handle of any kind closes the engine in order. [`Database::close`] does so at
//! once, and says whether it worked.

mod backup;
mod catalog;
mod reader;
mod snapshot;
mod stats;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock};

pub use self::stats::{CodeStats, CollectionStats, Stats, Verification};
use self::worker::Worker;
use crate::cancel::Cancel;
use crate::collection::background::linker::Linker;
use crate::collection::budget::MemoryBudget;
use crate::collection::derived::bell::LinkerSignal;
use crate::collection::derived::source::RowSource;
use crate::collection::handle::{CollectionState, KeepAlive};
use crate::collection::open::{DatabaseContext, OpenCollection, new_memory};
use crate::collection::recovery::graph_log::Saving;
use crate::collection::recovery::load::{self, Candidate};
use crate::collection::recovery::loaded::Loaded;
use crate::collection::verbs::batch::Batch;
use crate::collection::verbs::vacuum::Vacuum;
use crate::config::Options;
use crate::error::{Error, Result};
use crate::id::{CollectionId, Commit};
use crate::process;
use crate::store::Store;
pub use crate::store::backups::folder::Backup;
use crate::store::files::image::Images;
use crate::store::open::dry_open::{DryRun, DryRunCollection};

/// An open database: a folder that belongs to this process until it is closed.
///
/// A `Database` is a handle, cheap to clone and to send between threads. The database closes when
/// [`close`](Database::close) is called, or when its last handle is dropped. Collections and
/// batches count as handles.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("memories");
/// use serde_json::json;
/// use vectrove::{CollectionConfig, Database, Document, field};
///
/// let db = Database::open(&path)?;
/// let notes = db.get_or_create_collection("notes", CollectionConfig::new(3))?;
/// notes.upsert(Document::new([0.1, 0.2, 0.9]).id("note-17").metadata(json!({"tag": "rust"})))?;
/// let hits = notes.search([0.0, 0.2, 1.0]).limit(10).filter(field("tag").eq("rust")).run()?;
/// assert_eq!(hits[0].id, "note-17".into());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Database {
    engine: Arc<Engine>,
}

/// The state that all handles share.
struct Engine {
    path: PathBuf,
    /// `None` once closed. Each call takes its own reference; closing waits for the last one.
    store: RwLock<Option<Arc<Store>>>,
    collections: RwLock<BTreeMap<String, Arc<CollectionState>>>,
    /// Held while a collection is created, renamed or dropped, and while the engine's files are
    /// copied.
    catalog: Mutex<()>,
    /// Held while a backup or a checkpoint is made.
    copying: Mutex<()>,
    worker: Mutex<Option<Worker>>,
    linker: RwLock<Option<Linker>>,
    signal: Arc<LinkerSignal>,
    budget: Arc<MemoryBudget>,
}

/// An opened store, and its collections with their names.
type Opened = (Arc<Store>, Vec<(String, Arc<OpenCollection>)>);

/// Looks at a database by `begin`, reads every collection in use, and opens the store by `settle`.
/// Returns the store, and the collections with their names.
fn load_collections(
    path: &Path,
    options: &Options,
    signal: &Arc<LinkerSignal>,
    budget: &Arc<MemoryBudget>,
    begin: impl Fn(&Path, &Options) -> Result<DryRun>,
    settle: impl Fn(DryRun) -> Result<(Store, Vec<DryRunCollection>)>,
) -> Result<Opened> {
    // Started first, so that images are checked meanwhile, and are not newer than the database.
    let images = Images::open(path);
    let (dry_run, mut loaded) = load_all(begin(path, options)?, images, options)?;
    // Checked before anything is changed. Otherwise rows that were not read could pass for damage.
    options.cancel.check()?;
    let (store, active) = settle(dry_run)?;
    let store = Arc::new(store);
    let shared = DatabaseContext { store: store.clone(), signal: signal.clone(), budget: budget.clone() };
    let mut open_collections = Vec::with_capacity(active.len());
    for collection in active {
        let (Some(loaded), Some(families)) = (loaded.remove(&collection.id), collection.families) else {
            return Err(Error::corruption("the catalog", "a collection changed while the database was opened"));
        };
        let name = collection.entry.name.clone();
        let open = Arc::new(loaded.into_open(shared.clone(), collection.id, collection.entry, families)?);
        store.note_image(open.id, open.persist.imaged());
        open.enter_memory()?;
        open_collections.push((name, open));
    }
    Ok((store, open_collections))
}

/// Reads every collection that is in use.
fn load_all(
    mut dry_run: DryRun,
    mut images: Images,
    options: &Options,
) -> Result<(DryRun, BTreeMap<CollectionId, Loaded>)> {
    let (folder, store) = (dry_run.folder().to_owned(), dry_run.identity());
    let active = |dry_run: &DryRun| -> Vec<CollectionId> {
        let active = dry_run.collections.iter().filter(|collection| collection.active_families().is_some());
        active.map(|collection| collection.id).collect()
    };
    let mut candidates: BTreeMap<CollectionId, Candidate> = BTreeMap::new();
    for collection in &dry_run.collections {
        let Some(source) = source_of(&dry_run, collection) else { continue };
        let found = Candidate::find(source, &mut images, store, collection.id);
        candidates.extend(found.map(|found| (collection.id, found)));
    }
    // If every collection has an image, the log from the oldest image on suffices.
    let all_have_one = active(&dry_run).iter().all(|id| candidates.contains_key(id));
    let oldest = candidates.values().map(|candidate| candidate.covers).min().filter(|_| all_have_one);
    if !dry_run.read_log(oldest.unwrap_or_default())? {
        candidates.clear();
    }
    let last = dry_run.summary.last;
    candidates.retain(|_, candidate| candidate.covers <= last && candidate.covers >= dry_run.summary.start.before());
    let mut expected = std::mem::take(&mut dry_run.summary.collections);
    let mut loaded = BTreeMap::new();
    for collection in &dry_run.collections {
        let Some(source) = source_of(&dry_run, collection) else { continue };
        let (id, expected) = (collection.id, expected.remove(&collection.id).unwrap_or_default());
        let memory = |codebook| new_memory(&collection.entry.config, options, &folder, id, codebook);
        loaded.insert(id, load::load(source, memory, candidates.remove(&id), expected, last)?);
    }
    Ok((dry_run, loaded))
}

fn source_of<'r>(dry_run: &'r DryRun, collection: &'r DryRunCollection) -> Option<RowSource<'r>> {
    let (families, config) = (collection.active_families()?, &collection.entry.config);
    Some(RowSource { rocks: dry_run.rocks(), families, snapshot: None, config, cancel: Some(dry_run.cancel()) })
}

impl Database {
    /// Opens the database in a folder, and creates it if there is none, even if the path is
    /// misspelt. [`Options::create_if_missing`]`(false)` opens only an existing database.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// use vectrove::{Database, ErrorKind, Options};
    /// let path = folder.path().join("memories");
    /// let only_if_there = Options::new().create_if_missing(false);
    /// let error = Database::open_with(&path, only_if_there.clone()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// Database::open(&path)?.close()?;
    /// Database::open_with(&path, only_if_there)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`open_with`](Database::open_with).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// Opens the database in a folder.
    ///
    /// Before anything is changed, the database is checked against its commit log and superblock.
    ///
    /// # Errors
    /// `Busy` if another process or handle has it open; `DatabaseNotFound` if there is none and
    /// creating was not allowed; `DataLoss` if durable commits are missing; `Corruption` for any
    /// other damage; `UnsupportedFormat` if a newer version wrote it; `InvalidConfig` for an option
    /// out of range. No file was changed then.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::open_by(path.as_ref(), options, |path, options, signal, budget| match options.read_only {
            true => reader::open(path, options, signal, budget),
            false => load_collections(path, options, signal, budget, DryRun::begin, DryRun::promote),
        })
    }

    fn open_by(
        path: &Path,
        options: Options,
        open: impl FnOnce(&Path, &Options, &Arc<LinkerSignal>, &Arc<MemoryBudget>) -> Result<Opened>,
    ) -> Result<Self> {
        process::check()?;
        let path = std::path::absolute(path).map_err(|error| Error::io("finding", path, error))?;
        let _span = tracing::info_span!("open", path = %path.display()).entered();
        let (signal, budget) = (Arc::new(LinkerSignal::default()), Arc::new(MemoryBudget::new(&options)));
        let (store, open_collections) = open(&path, &options, &signal, &budget)?;
        budget.fit_cache(&store);
        let linker = Linker::start(store.options(), signal.clone());
        let linker = linker.map_err(|error| Error::io("starting the linker for", &path, error))?;
        let mut collections = BTreeMap::new();
        for (name, open) in open_collections {
            linker.add(&open);
            collections.insert(name.clone(), Arc::new(CollectionState::new(name, open)));
        }
        let worker = match options.read_only {
            true => None,
            false => Some(
                Worker::start(&store, &budget, &signal)
                    .map_err(|error| Error::io("starting the worker for", &path, error))?,
            ),
        };
        tracing::info!(path = %path.display(), n_collections = collections.len(), "database opened");
        let engine = Engine {
            path,
            store: RwLock::new(Some(store)),
            collections: RwLock::new(collections),
            catalog: Mutex::new(()),
            copying: Mutex::new(()),
            worker: Mutex::new(worker),
            linker: RwLock::new(Some(linker)),
            signal,
            budget,
        };
        Ok(Database { engine: Arc::new(engine) })
    }

    /// The database's folder.
    pub fn path(&self) -> &Path {
        &self.engine.path
    }

    /// Begins a batch over any collections of this database.
    pub fn batch(&self) -> Batch {
        let store = self.engine.store().map_or_else(|_| Weak::new(), |store| Arc::downgrade(&store));
        Batch::new(store, self.keep_alive())
    }

    /// Puts every acknowledged write on the disk, also those under
    /// [`Durability::Wal`](crate::Durability::Wal).
    ///
    /// # Errors
    /// [`Error::Commit`] with [`NotDurable`](crate::Outcome::NotDurable) if the disk does not
    /// confirm; `Closed`.
    pub fn flush(&self) -> Result<()> {
        let store = self.engine.store()?;
        if store.is_beside() { Ok(()) } else { store.sync_all() }
    }

    /// Gives back the space of deleted and replaced documents of all collections, as
    /// [`Collection::vacuum`](crate::Collection::vacuum) does for one, and of trimmed commits in
    /// the log.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert(Document::new([1.0]).id("a"))?;
    /// notes.delete("a")?;
    /// assert_eq!(db.vacuum().run()?.n_collections, 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn vacuum(&self) -> Vacuum {
        let states = self.engine.collections.read().values().cloned().collect();
        let store = self.engine.store().map_or_else(|_| Weak::new(), |store| Arc::downgrade(&store));
        Vacuum::of(states, Some(store), self.keep_alive())
    }

    /// Moves on to the last commit that another process has made, if the database was opened
    /// [read-only](Options::read_only). Searches under way finish with the commit at which they
    /// began. Returns the last commit that is visible from now on. In a database opened for writing
    /// that is the last commit, and nothing is done.
    ///
    /// Takes about as long as opening, and for a moment as much memory again.
    ///
    /// # Errors
    /// `Closed`; otherwise as [`open_with`](Database::open_with): the old commit then stays
    /// visible.
    pub fn refresh(&self) -> Result<Commit> {
        self.engine.refresh()
    }

    /// Copies the database into a folder that does not exist yet, without stopping reads or writes.
    /// Makes hard links if the folder is on the same disk, so that the copy takes little space. The
    /// copy is a database of its own, and appears whole or not at all. Returns the last commit in
    /// it.
    ///
    /// The copy is first opened and verified, as by [`verify`](Database::verify). That reads all of
    /// it, and takes the memory of a database opened read-only, without exact vectors where graphs
    /// are walked by codes. Creating, dropping and renaming collections waits while files are
    /// linked or copied.
    ///
    /// # Errors
    /// `Corruption` or `DataLoss` if the database is damaged; `Io` if the folder exists or cannot
    /// be made; `Storage` if the engine fails; `Closed`.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path().join("db"))?;
    /// # use vectrove::{CollectionConfig, Database, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert(Document::new([1.0]).id("a"))?;
    /// db.checkpoint(folder.path().join("copy"))?;
    /// notes.delete("a")?;
    /// let copy = Database::open(folder.path().join("copy"))?;
    /// assert!(copy.collection("notes")?.contains("a")?);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn checkpoint(&self, path: impl AsRef<Path>) -> Result<Commit> {
        self.checkpoint_with(path, &Cancel::default())
    }

    /// As [`checkpoint`](Database::checkpoint), until `cancel` is set: then no copy appears.
    ///
    /// # Errors
    /// `Cancelled`; otherwise as [`checkpoint`](Database::checkpoint).
    pub fn checkpoint_with(&self, path: impl AsRef<Path>, cancel: &Cancel) -> Result<Commit> {
        self.engine.checkpoint(path.as_ref(), cancel)
    }

    /// Closes the database: waits for calls under way, puts everything on the disk, and releases
    /// the folder. Other handles then answer `Closed`. Closing twice is no error.
    ///
    /// # Errors
    /// `Commit` or `Storage` if the last writes could not be put on the disk; it is closed all the
    /// same.
    pub fn close(self) -> Result<()> {
        self.engine.close()
    }

    fn keep_alive(&self) -> KeepAlive {
        self.engine.clone()
    }
}

impl Engine {
    /// The open store. Every verb calls this or [`lock_catalog`](Engine::lock_catalog) before it
    /// takes a lock.
    fn store(&self) -> Result<Arc<Store>> {
        process::check()?;
        self.store.read().clone().ok_or(Error::Closed)
    }

    /// Keeps collections from being created, renamed and dropped as long as the guard is held.
    fn lock_catalog(&self) -> Result<MutexGuard<'_, ()>> {
        process::check()?;
        Ok(self.catalog.lock())
    }

    fn close(&self) -> Result<()> {
        let _catalog = self.lock_catalog()?;
        drop(self.worker.lock().take());
        drop(self.linker.write().take());
        let Some(store) = self.store.write().take() else { return Ok(()) };
        let collections = std::mem::take(&mut *self.collections.write());
        let open_collections: Vec<Arc<OpenCollection>> =
            collections.values().filter_map(|state| state.leave_closed()).collect();
        for open in open_collections.iter().filter(|open| !open.store.is_beside()) {
            if let Err(error) = open.saver().save(Saving::All) {
                tracing::warn!("the next open reads rows instead of an image: {error}");
            }
        }
        if store.is_beside() {
            // There is nothing to put on the disk. The last call under way releases the files.
            return Ok(());
        }
        let synced = store.sync_all();
        let flushed = synced.and_then(|()| store.flush_families(open_collections.iter().map(|open| &open.families)));
        open_collections.into_iter().for_each(|open| drop(wait_for_last(open)));
        let closed = wait_for_last(store).close();
        tracing::info!(path = %self.path.display(), "database closed");
        flushed.and(closed)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if process::is_forked() {
            // A forked child leaves all to its parent: it lacks the threads, and locks may stay
            // held.
            std::mem::forget(self.worker.get_mut().take());
            std::mem::forget(self.linker.get_mut().take());
            std::mem::forget(self.store.get_mut().take());
            std::mem::forget(std::mem::take(self.collections.get_mut()));
            return;
        }
        if let Err(error) = self.close() {
            tracing::error!("closing the database failed: {error}");
        }
    }
}

/// Waits until calls under way have dropped their references.
fn wait_for_last<T>(mut shared: Arc<T>) -> T {
    loop {
        match Arc::try_unwrap(shared) {
            Ok(owned) => return owned,
            Err(still_shared) => shared = still_shared,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("path", &self.engine.path).finish()
    }
}
