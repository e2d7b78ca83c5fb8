//! One collection: its documents, their rows in the store, and its state in memory.
//!
//! [`Collection`] and [`Namespace`] are handles. All handles of a collection share one
//! [`CollectionState`]. It points to [`OpenCollection`], the parts of the open collection. Only
//! this floor knows both vectors in memory and rows on disk.
//!
//! | file | owns |
//! |---|---|
//! | [`check`] | input checks |
//! | [`batch`], [`plan`], [`commit`] | gathering operations; folding them into one draft; committing it |
//! | [`mod@write`], [`writer`], [`read`], [`order`], [`facet`], [`sample`], [`search`], [`query`], [`diversity`], [`figures`], [`indexes`] | the verbs |
//! | [`fetch`] | rows, by id or by slot |
//! | [`memory`], [`names`], [`census`] | state in memory: slots; names of namespaces; counts |
//! | [`moment`], [`snapshot`] | a namespace at one commit, which every read verb gets; reading one commit more than once |
//! | [`life`] | the visibility interval of a slot's document |
//! | [`fields`], [`words`], [`shelf`] | the metadata index; the full-text index; the LRU cache of both |
//! | [`matching`] | which documents match a filter |
//! | [`schema`], [`own_metadata`] | which metadata documents may have; the collection's own metadata |
//! | [`exact`], [`residency`] | exact vectors, wherever they are; the memory limit |
//! | [`index`], [`linker`], [`waiting`] | graph and tail; the thread that links; waiting for it, and what keeps it from going on |
//! | [`persist`], [`image`] | writing the graph, and images of all memory |
//! | [`load`], [`rows`], [`changed`], [`regraph`] | recovery at open |
//! | [`vacuum`] | giving space back at once |
//! | [`verify`] | comparing all of it |
//!
//! Threads take locks in this order: `Admission::changing`, the store's committer section,
//! `VectorIndex::busy`, `Persist::state`, a memory's ledger (of several collections by their
//! number), a memory's retired slots. Three locks are held only to read or replace their value:
//! `OpenCollection::namespaces`, the field catalog, and the progress of the full-text index. The
//! caches of both indexes are locked only to look something up or to change one entry. Where the
//! default namespace holds all documents, a search takes no lock but these. Without filter and
//! words it takes none at all, unless two commits come between its view and its counts.

pub(crate) mod batch;
mod candidates;
mod census;
mod changed;
pub(crate) mod check;
pub(crate) mod commit;
mod diversity;
mod exact;
pub(crate) mod facet;
mod fetch;
pub(crate) mod fields;
pub(crate) mod figures;
mod image;
pub(crate) mod index;
mod indexes;
mod life;
pub(crate) mod linker;
pub(crate) mod load;
mod matching;
pub(crate) mod memory;
mod moment;
mod names;
mod order;
mod own_metadata;
pub(crate) mod persist;
pub(crate) mod plan;
pub(crate) mod query;
pub(crate) mod read;
mod regraph;
pub(crate) mod residency;
mod rows;
pub(crate) mod sample;
pub(crate) mod schema;
pub(crate) mod search;
mod shelf;
pub(crate) mod snapshot;
pub(crate) mod vacuum;
pub(crate) mod verify;
mod waiting;
mod words;
mod write;
pub(crate) mod writer;

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use self::exact::Exact;
use self::fields::MetadataIndex;
use self::index::VectorIndex;
use self::index::codebook::Codebook;
use self::linker::LinkerSignal;
use self::load::{Loaded, RowSource};
use self::memory::{Comparable, Memory};
use self::moment::{Listing, Moment};
use self::names::Names;
use self::persist::Persist;
use self::residency::{MemoryBudget, VectorLoad};
use self::schema::Admission;
use self::snapshot::Snapshots;
use self::waiting::{Obstacles, Task, Waiting};
use self::words::FullTextIndex;
use crate::cancel::Stop;
use crate::config::{self, CollectionConfig, Durability, Options, Residency};
use crate::distance::{self, Comparison};
use crate::document::{Opening, Receipt};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::id::{CollectionId, Commit, NamespaceId, Slot};
use crate::process;
use crate::store::family::Families;
use crate::store::record::CatalogEntry;
use crate::store::rocks::EngineSnapshot;
use crate::store::{Store, image as images};
use crate::value::Value;

/// Keeps the database open as long as a handle holds it.
pub(crate) type KeepAlive = Arc<dyn Any + Send + Sync>;

/// A named set of documents with one configuration, and a handle to its default namespace.
///
/// The handle is cheap to clone and to send between threads. Documents live in namespaces, and each
/// namespace has ids of its own. A `Collection` has all verbs of [`Namespace`], which act on its
/// default namespace; [`namespace`](Collection::namespace) returns a handle to another one.
#[derive(Clone)]
pub struct Collection {
    default: Namespace,
}

/// A partition of a collection, such as the documents of one agent or one session.
///
/// Namespaces share the configuration of their collection. A collection may have millions of them,
/// and an empty one costs nothing. A namespace sees only its own documents: the same id in two
/// namespaces names two documents. The first document written to a namespace creates it.
#[derive(Clone)]
pub struct Namespace {
    state: Arc<CollectionState>,
    /// Empty for the default namespace.
    name: Arc<str>,
    /// The durability of writes through this handle; `None` takes that of the database's `Options`.
    durability: Option<Durability>,
    keep_alive: KeepAlive,
}

/// The part of a collection that all its handles share.
pub(crate) struct CollectionState {
    pub(crate) id: CollectionId,
    pub(crate) config: CollectionConfig,
    name: ArcSwap<String>,
    status: ArcSwap<CollectionStatus>,
    pub(crate) snapshots: Snapshots,
}

enum CollectionStatus {
    Open(Arc<OpenCollection>),
    Dropped,
    Closed,
}

/// The parts of an open collection.
pub(crate) struct OpenCollection {
    pub(crate) id: CollectionId,
    pub(crate) config: CollectionConfig,
    pub(crate) created_at_ms: u64,
    /// The collection's own metadata, an object. It changes only in the committer section.
    metadata: ArcSwap<Value>,
    pub(crate) store: Arc<Store>,
    pub(crate) families: Families,
    pub(crate) comparison: Comparison,
    pub(crate) memory: Memory,
    pub(crate) namespaces: RwLock<Names>,
    pub(crate) fields: MetadataIndex,
    pub(crate) words: FullTextIndex,
    pub(crate) admission: Admission,
    /// Wakes the linker.
    pub(crate) signal: Arc<LinkerSignal>,
    /// The errors that keep background work from going on.
    obstacles: Obstacles,
    pub(crate) persist: Persist,
    pub(crate) budget: Arc<MemoryBudget>,
    /// The loading of exact vectors that is under way.
    vector_load: Mutex<Option<VectorLoad>>,
    /// Notified when `vector_load` ends, whether or not all vectors came.
    vectors_loaded: Waiting,
    /// An upper bound of the last commit that changed the collection.
    last_change: AtomicU64,
    pub(crate) opening: Opening,
}

/// The parts that all collections of a database share.
#[derive(Clone)]
pub(crate) struct DatabaseContext {
    pub(crate) store: Arc<Store>,
    pub(crate) signal: Arc<LinkerSignal>,
    pub(crate) budget: Arc<MemoryBudget>,
}

impl Collection {
    pub(crate) fn new(state: Arc<CollectionState>, keep_alive: KeepAlive) -> Self {
        Collection { default: Namespace { state, name: "".into(), durability: None, keep_alive } }
    }

    /// The collection's current name.
    pub fn name(&self) -> String {
        self.state.name()
    }

    /// The configuration of the collection. Its indexed paths are those of the creation, and its
    /// schema is that of the last opening. [`indexed_fields`](Collection::indexed_fields) and
    /// [`schema`](Collection::schema) return the current ones.
    pub fn config(&self) -> &CollectionConfig {
        &self.state.config
    }

    /// A handle to the namespace with this name of 1 to 256 bytes. The namespace need not exist
    /// yet.
    ///
    /// # Errors
    /// `InvalidName` for an empty or overlong name.
    pub fn namespace(&self, name: &str) -> Result<Namespace> {
        check::namespace_name(name)?;
        Ok(Namespace { name: name.into(), ..self.default.clone() })
    }

    /// A handle to the same collection whose writes use `durability`, also those through its
    /// namespaces; see [`Namespace::with_durability`].
    #[must_use]
    pub fn with_durability(&self, durability: Durability) -> Collection {
        Collection { default: self.default.with_durability(durability) }
    }

    /// The names of the namespaces that hold documents and begin with `prefix`, in byte order. An
    /// empty prefix lists all of them. The default namespace has no name and is not listed.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was.
    pub fn namespaces(&self, prefix: &str) -> Result<Vec<String>> {
        let open = self.state.opened()?;
        // Documents first, names second: a namespace gets its name before its first document.
        let inhabited: std::collections::HashSet<_> = open.memory.inhabited().into_iter().collect();
        let namespaces = open.namespaces.read();
        let named = namespaces.from(prefix).take_while(|(name, _)| name.starts_with(prefix));
        let named = named.filter(|(name, number)| !name.is_empty() && inhabited.contains(number));
        Ok(named.map(|(name, _)| name.to_string()).collect())
    }

    /// Deletes every document of a namespace in one commit, and with them the namespace. A
    /// namespace without documents is no error.
    ///
    /// # Errors
    /// `InvalidName` for an empty or overlong name; otherwise as for every write.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// for agent in ["agent-1", "agent-2", "session-9"] {
    ///     notes.namespace(agent)?.insert(Document::new([1.0]).id("a"))?;
    /// }
    /// assert_eq!(notes.namespaces("agent-")?, ["agent-1", "agent-2"]);
    /// assert_eq!(notes.drop_namespace("agent-1")?.n_changed, 1);
    /// assert_eq!(notes.namespaces("")?, ["agent-2", "session-9"]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn drop_namespace(&self, name: &str) -> Result<Receipt> {
        self.namespace(name)?.delete_where(Filter::everything())
    }
}

impl AsRef<Namespace> for Namespace {
    fn as_ref(&self) -> &Namespace {
        self
    }
}

impl AsRef<Namespace> for Collection {
    fn as_ref(&self) -> &Namespace {
        &self.default
    }
}

impl Deref for Collection {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.default
    }
}

impl Namespace {
    /// The namespace's name; empty for the default namespace.
    pub fn namespace_name(&self) -> &str {
        &self.name
    }

    /// A handle to the same namespace whose writes use `durability` instead of
    /// [`Options::durability`](crate::Options::durability). This holds for its own verbs and for
    /// its [`writer`](Namespace::writer). A [`Batch`](crate::Batch) has a [durability of its
    /// own](crate::Batch::durability).
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, Durability};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// let scratch = notes.namespace("scratch")?.with_durability(Durability::Wal);
    /// scratch.upsert(Document::new([1.0]).id("a"))?; // survives a killed process, not a power loss
    /// notes.upsert(Document::new([1.0]).id("a"))?; // survives both
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_durability(&self, durability: Durability) -> Namespace {
        Namespace { durability: Some(durability), ..self.clone() }
    }

    pub(crate) fn state(&self) -> &Arc<CollectionState> {
        &self.state
    }

    pub(crate) fn keep_alive(&self) -> &KeepAlive {
        &self.keep_alive
    }

    /// The namespace as of the last commit.
    pub(crate) fn moment(&self, listing: Listing) -> Result<Moment> {
        Ok(Moment::last(self.state.opened()?, &self.name, listing))
    }
}

impl CollectionState {
    pub(crate) fn new(name: String, open: Arc<OpenCollection>) -> Self {
        CollectionState {
            id: open.id,
            config: open.config.clone(),
            name: ArcSwap::from_pointee(name),
            status: ArcSwap::from_pointee(CollectionStatus::Open(open)),
            snapshots: Snapshots::default(),
        }
    }

    pub(crate) fn name(&self) -> String {
        String::clone(&self.name.load())
    }

    /// Makes every handle use `open` from now on. Calls under way finish with the one they began
    /// with.
    pub(crate) fn look_at(&self, open: Arc<OpenCollection>) {
        self.status.store(Arc::new(CollectionStatus::Open(open)));
    }

    pub(crate) fn rename(&self, name: &str) {
        self.name.store(Arc::new(name.to_owned()));
    }

    /// The open collection, or the error that says why there is none. Every verb calls this before
    /// it takes a lock.
    pub(crate) fn opened(&self) -> Result<Arc<OpenCollection>> {
        process::check()?;
        match &**self.status.load() {
            CollectionStatus::Open(open) => Ok(open.clone()),
            CollectionStatus::Dropped => Err(Error::CollectionNotFound { name: self.name() }),
            CollectionStatus::Closed => Err(Error::Closed),
        }
    }

    /// Marks the collection as dropped, for every handle. Returns its parts if it was open.
    pub(crate) fn leave_dropped(&self) -> Option<Arc<OpenCollection>> {
        self.leave(CollectionStatus::Dropped)
    }

    /// Marks the database as closed, for every handle. Returns the collection's parts if it was
    /// open.
    pub(crate) fn leave_closed(&self) -> Option<Arc<OpenCollection>> {
        self.leave(CollectionStatus::Closed)
    }

    fn leave(&self, status: CollectionStatus) -> Option<Arc<OpenCollection>> {
        let before = self.status.swap(Arc::new(status));
        self.snapshots.let_go();
        match &*before {
            CollectionStatus::Open(open) => Some(open.clone()),
            CollectionStatus::Dropped | CollectionStatus::Closed => None,
        }
    }
}

impl OpenCollection {
    /// A collection without documents.
    ///
    /// # Errors
    /// `InvalidConfig` for a distance that is not registered.
    pub(crate) fn new(
        shared: DatabaseContext,
        id: CollectionId,
        entry: CatalogEntry,
        memory: Memory,
        families: Families,
    ) -> Result<Self> {
        Loaded::empty(memory, &entry.config).into_open(shared, id, entry, families)
    }

    /// The rows of the collection: those of the snapshot, or without one the present ones.
    pub(crate) fn source<'l>(&'l self, snapshot: Option<&'l EngineSnapshot>) -> RowSource<'l> {
        RowSource { rocks: self.store.rocks(), families: &self.families, snapshot, config: &self.config, cancel: None }
    }

    /// Records that `commit` changed these slots of the collection. Only in the committer section.
    pub(crate) fn note_change(&self, commit: Commit, slots: impl Iterator<Item = Slot>) {
        self.persist.note_changed(slots);
        self.last_change.fetch_max(commit.0, Ordering::AcqRel);
    }

    /// An upper bound of the last commit that changed the collection.
    pub(crate) fn last_change(&self) -> Commit {
        Commit(self.last_change.load(Ordering::Acquire))
    }

    /// The number of a namespace; [`NamespaceId::UNUSED`] if the name never had a document.
    pub(crate) fn find_namespace(&self, name: &str) -> NamespaceId {
        if name.is_empty() {
            return NamespaceId::default();
        }
        self.namespaces.read().find(name).unwrap_or(NamespaceId::UNUSED)
    }

    /// Waits while too many documents wait to be linked: while the tail is full.
    ///
    /// # Errors
    /// The error that keeps writing or linking from going on, such as `ReadOnly`, `OutOfMemory` or
    /// `MemoryLimit`; `Closed` or `Storage` if the linker has stopped; `Deadline` or `Cancelled` if
    /// `stop` ends the wait.
    pub(crate) fn wait_for_room(&self, stop: &Stop) -> Result<()> {
        self.store.check_writable()?;
        match &self.memory.index {
            Some(index) if index.is_full() => {
                let began = Instant::now();
                index.tail().waiting().wait(stop, || {
                    match self.store.check_writable().and_then(|()| self.signal.check()) {
                        _ if !index.is_full() => Some(Ok(())),
                        Ok(()) if stop.is_due() => Some(stop.check()),
                        Ok(()) => self.obstacles.met_since(began, &[Task::Link, Task::LoadVectors]).map(Err),
                        Err(error) => Some(Err(error)),
                    }
                })
            }
            _ => Ok(()),
        }
    }

    /// Waits until `is_done` holds. `waiting` is notified by the background work that makes it
    /// hold.
    ///
    /// # Errors
    /// The error that one of `tasks` met since the call began; `Closed` or `Storage` if the linker
    /// has stopped.
    fn wait_for_work(&self, waiting: &Waiting, tasks: &[Task], is_done: impl Fn() -> bool) -> Result<()> {
        let began = Instant::now();
        self.signal.notify();
        waiting.wait(Stop::NEVER, || match self.signal.check() {
            _ if is_done() => Some(Ok(())),
            Ok(()) => self.obstacles.met_since(began, tasks).map(Err),
            Err(error) => Some(Err(error)),
        })
    }

    /// A vector of a namespace as it is compared, and its code. Putting the vector encodes it again
    /// if the codebook or the namespace's number has changed by then.
    pub(crate) fn prepare(&self, namespace: NamespaceId, vector: &[f32], norm: f64) -> Comparable {
        let row = self.comparable_by(vector.to_vec(), norm);
        let code = self.memory.index.as_ref().and_then(|index| index.encode(&row, namespace));
        Comparable { row, code }
    }

    /// A vector as it is compared: at unit length where only directions count. `norm` is its
    /// length.
    pub(crate) fn comparable_by(&self, mut vector: Vec<f32>, norm: f64) -> Vec<f32> {
        if self.config.compares_directions() {
            distance::normalize_by(&mut vector, norm);
        }
        vector
    }
}

/// The distance function by which a collection compares vectors.
///
/// # Errors
/// `InvalidConfig` for a distance that is not registered.
pub(crate) fn comparison_of(config: &CollectionConfig, options: &Options) -> Result<Comparison> {
    let Some(name) = &config.distance else { return Ok(Comparison::of_metric(config.metric)) };
    let distance = options.distances.find(name).ok_or_else(|| Error::InvalidConfig {
        field: "distance",
        reason: format!(
            "expected a distance registered as {name:?} (`Options::distance`), got {:?}",
            options.distances.names().collect::<Vec<_>>()
        ),
    })?;
    Ok(Comparison::Custom(distance))
}

/// Memory for a collection without documents. `folder` is the database's; `codebook` says how codes
/// are made, where there are codes. Vectors are held from the start where nothing else can be
/// compared. Elsewhere [`MemoryBudget::add`] decides whether there is room for them.
pub(crate) fn new_memory(
    config: &CollectionConfig,
    options: &Options,
    folder: &Path,
    id: CollectionId,
    codebook: Option<Codebook>,
) -> Result<Memory> {
    let comparison = comparison_of(config, options)?;
    let exact = Exact::new(config.dimension);
    // A mapped file waits until it is certain that the database opens.
    if !config.has_codes() && options.residency_of(config) == Residency::Ram {
        exact.hold(Residency::Ram, &images::folder(folder, id), 0)?;
    }
    let index = match config.index {
        config::Index::Hnsw => Some(VectorIndex::new(config, &comparison, options.tail_bound, codebook)),
        config::Index::Flat => None,
    };
    Ok(Memory::new(exact, index))
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection").field("name", &self.name()).field("config", self.config()).finish()
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("collection", &self.state.name()).field("name", &self.name).finish()
    }
}
