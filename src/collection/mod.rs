//! One collection: where documents meet the store and memory.
//!
//! [`Collection`] and [`Namespace`] are handles; [`State`] is the collection they share; [`Live`] is what it consists
//! of while it is open. Only this floor knows both vectors in memory and rows on disk.
//!
//! | file | owns |
//! |---|---|
//! | [`check`] | what may come in |
//! | [`batch`], [`plan`], [`commit`] | operations; folding them into one draft; committing it |
//! | [`mod@write`], [`writer`], [`read`], [`facet`], [`search`], [`query`], [`diversity`], [`figures`] | the verbs |
//! | [`fetch`] | rows, by id or by slot |
//! | [`memory`], [`names`], [`census`] | what is held in memory |
//! | [`moment`], [`snapshot`] | a namespace at one commit: what the verbs that read are given; reading one more than once |
//! | [`life`] | when a slot's document exists |
//! | [`fields`], [`matching`] | the index of metadata; which documents match a filter |
//! | [`schema`], [`own_metadata`] | what metadata documents may have; the collection's own |
//! | [`exact`], [`residency`] | exact vectors, wherever they are; how much is in memory |
//! | [`index`], [`linker`], [`waiting`] | graph and tail; who links; waiting for that, and what keeps it from going on |
//! | [`persist`], [`image`] | writing down the graph, and all that is in memory |
//! | [`load`], [`rows`], [`changed`], [`regraph`] | taking it up at open |
//! | [`vacuum`] | giving space back at once |
//! | [`verify`] | comparing all of it |
//!
//! Locks, in the order in which they may be taken: `Admission::changing`, the store's committer section, `Index::busy`,
//! `Persist::state`, a memory's ledger (several collections' by number), a memory's retired slots. `Live::namespaces`
//! is held only to read or replace its value, and so are what is known of fields and words; their caches only to look
//! something up or to change one entry. A search of the only namespace, if that is the default one, takes none but
//! these, and without filter and words none at all.

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
use self::fields::Fields;
use self::index::Index;
use self::index::codebook::Codebook;
use self::linker::Bell;
use self::load::{Loaded, Source};
use self::memory::{Comparable, Memory};
use self::moment::{Listing, Moment};
use self::names::Names;
use self::persist::Persist;
use self::residency::{Bringing, Budget};
use self::schema::Admission;
use self::snapshot::Snapshots;
use self::waiting::{Obstacles, Task, Waiting};
use self::words::Words;
use crate::cancel::Stop;
use crate::config::{self, CollectionConfig, Durability, Options, Residency};
use crate::distance::{self, Ranker};
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
pub(crate) type Keeper = Arc<dyn Any + Send + Sync>;

/// A named set of documents with one configuration, and its default namespace.
///
/// A handle, cheap to clone and to send between threads. Documents live in namespaces, whose ids are apart from each
/// other: a `Collection` speaks to its default namespace, and through it has all the verbs of [`Namespace`];
/// [`namespace`](Collection::namespace) speaks to another.
#[derive(Clone)]
pub struct Collection {
    default: Namespace,
}

/// A partition of a collection, such as one agent's or one session's documents.
///
/// Namespaces share their collection's configuration and cost nothing while empty; there may be millions. A namespace
/// sees only its own documents: an id in one has nothing to do with the same id in another. It comes into being with
/// its first document.
#[derive(Clone)]
pub struct Namespace {
    state: Arc<State>,
    /// Empty for the default namespace.
    name: Arc<str>,
    /// When what is written through the handle is acknowledged, if not as the database's options say.
    durability: Option<Durability>,
    keeper: Keeper,
}

/// A collection as all its handles see it.
pub(crate) struct State {
    pub(crate) id: CollectionId,
    pub(crate) config: CollectionConfig,
    name: ArcSwap<String>,
    presence: ArcSwap<Presence>,
    pub(crate) snapshots: Snapshots,
}

enum Presence {
    Here(Arc<Live>),
    Dropped,
    Closed,
}

/// What an open collection consists of.
pub(crate) struct Live {
    pub(crate) id: CollectionId,
    pub(crate) config: CollectionConfig,
    pub(crate) created_at_ms: u64,
    /// The collection's own; an object. Changed in the committer section.
    metadata: ArcSwap<Value>,
    pub(crate) store: Arc<Store>,
    pub(crate) families: Families,
    pub(crate) ranker: Ranker,
    pub(crate) memory: Memory,
    pub(crate) namespaces: RwLock<Names>,
    pub(crate) fields: Fields,
    pub(crate) words: Words,
    pub(crate) admission: Admission,
    /// Wakes the linker.
    pub(crate) bell: Arc<Bell>,
    /// What keeps work in the background from going on.
    obstacles: Obstacles,
    pub(crate) persist: Persist,
    pub(crate) budget: Arc<Budget>,
    /// Exact vectors that are on their way to where they are held.
    bringing: Mutex<Option<Bringing>>,
    /// Rung when they are there, or will not come.
    brought: Waiting,
    /// A commit up to which all that changed the collection lies.
    last_change: AtomicU64,
    pub(crate) opening: Opening,
}

/// What all collections of a database have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) store: Arc<Store>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) budget: Arc<Budget>,
}

impl Collection {
    pub(crate) fn new(state: Arc<State>, keeper: Keeper) -> Self {
        Collection { default: Namespace { state, name: "".into(), durability: None, keeper } }
    }

    /// The collection's name, as it is now.
    pub fn name(&self) -> String {
        self.state.name()
    }

    /// What the collection is, for ever. What metadata it indexes and admits is what it began with.
    pub fn config(&self) -> &CollectionConfig {
        &self.state.config
    }

    /// The namespace with a name of 1 to 256 bytes. It need not exist yet.
    ///
    /// # Errors
    /// `InvalidName` for an empty or overlong name.
    pub fn namespace(&self, name: &str) -> Result<Namespace> {
        check::namespace_name(name)?;
        Ok(Namespace { name: name.into(), ..self.default.clone() })
    }

    /// The same collection, through a handle whose writes, and those of its namespaces, are acknowledged otherwise; see
    /// [`Namespace::with_durability`].
    #[must_use]
    pub fn with_durability(&self, durability: Durability) -> Collection {
        Collection { default: self.default.with_durability(durability) }
    }

    /// The names of the namespaces that hold documents and begin with a prefix, in order; with an empty one, of all.
    /// The default namespace has no name and is not listed.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was.
    pub fn namespaces(&self, prefix: &str) -> Result<Vec<String>> {
        let live = self.state.live()?;
        // In this order: a namespace has its name before it has a document.
        let inhabited: std::collections::HashSet<_> = live.memory.inhabited().into_iter().collect();
        let namespaces = live.namespaces.read();
        let named = namespaces.from(prefix).take_while(|(name, _)| name.starts_with(prefix));
        let named = named.filter(|(name, number)| !name.is_empty() && inhabited.contains(number));
        Ok(named.map(|(name, _)| name.to_string()).collect())
    }

    /// Deletes every document of a namespace, all in one commit; there is no such namespace then. One that has none is
    /// no error.
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

    /// The same namespace, through a handle whose writes are acknowledged otherwise than
    /// [`Options::durability`](crate::Options::durability) says: those of its own verbs and of its
    /// [`writer`](Namespace::writer). A [`Batch`](crate::Batch) has a
    /// [durability of its own](crate::Batch::durability).
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

    pub(crate) fn state(&self) -> &Arc<State> {
        &self.state
    }

    pub(crate) fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// The namespace as of the last commit.
    pub(crate) fn moment(&self, listing: Listing) -> Result<Moment> {
        Ok(Moment::last(self.state.live()?, &self.name, listing))
    }
}

impl State {
    pub(crate) fn new(name: String, live: Arc<Live>) -> Self {
        State {
            id: live.id,
            config: live.config.clone(),
            name: ArcSwap::from_pointee(name),
            presence: ArcSwap::from_pointee(Presence::Here(live)),
            snapshots: Snapshots::default(),
        }
    }

    pub(crate) fn name(&self) -> String {
        String::clone(&self.name.load())
    }

    /// From now on every handle looks at this; calls under way go on with what they began with.
    pub(crate) fn look_at(&self, live: Arc<Live>) {
        self.presence.store(Arc::new(Presence::Here(live)));
    }

    pub(crate) fn rename(&self, name: &str) {
        self.name.store(Arc::new(name.to_owned()));
    }

    /// The open collection, or why there is none. Every verb comes by here before it takes a lock.
    pub(crate) fn live(&self) -> Result<Arc<Live>> {
        process::check()?;
        match &**self.presence.load() {
            Presence::Here(live) => Ok(live.clone()),
            Presence::Dropped => Err(Error::CollectionNotFound { name: self.name() }),
            Presence::Closed => Err(Error::Closed),
        }
    }

    /// From now on every handle says that the collection was dropped. Returns what it consisted of.
    pub(crate) fn leave_dropped(&self) -> Option<Arc<Live>> {
        self.leave(Presence::Dropped)
    }

    /// From now on every handle says that the database is closed.
    pub(crate) fn leave_closed(&self) -> Option<Arc<Live>> {
        self.leave(Presence::Closed)
    }

    fn leave(&self, presence: Presence) -> Option<Arc<Live>> {
        let before = self.presence.swap(Arc::new(presence));
        self.snapshots.let_go();
        match &*before {
            Presence::Here(live) => Some(live.clone()),
            Presence::Dropped | Presence::Closed => None,
        }
    }
}

impl Live {
    /// A collection without documents.
    ///
    /// # Errors
    /// `InvalidConfig` for a distance that is not registered.
    pub(crate) fn new(
        common: Common,
        id: CollectionId,
        entry: CatalogEntry,
        memory: Memory,
        families: Families,
    ) -> Result<Self> {
        Loaded::empty(memory, &entry.config).into_live(common, id, entry, families)
    }

    /// Where the collection's rows are read from.
    pub(crate) fn source<'l>(&'l self, snapshot: Option<&'l EngineSnapshot>) -> Source<'l> {
        Source { rocks: self.store.rocks(), families: &self.families, snapshot, config: &self.config, cancel: None }
    }

    /// Takes note of a commit that changed the collection, and these of its slots. In the committer section.
    pub(crate) fn note_change(&self, commit: Commit, slots: impl Iterator<Item = Slot>) {
        self.persist.note_changed(slots);
        self.last_change.fetch_max(commit.0, Ordering::AcqRel);
    }

    /// A commit up to which all that changed the collection lies.
    pub(crate) fn last_change(&self) -> Commit {
        Commit(self.last_change.load(Ordering::Acquire))
    }

    /// The number of a namespace; one that nothing has if the name has never had a document.
    pub(crate) fn find_namespace(&self, name: &str) -> NamespaceId {
        if name.is_empty() {
            return NamespaceId::default();
        }
        self.namespaces.read().find(name).unwrap_or(NamespaceId::UNUSED)
    }

    /// Waits while too many documents wait to be linked.
    ///
    /// # Errors
    /// What keeps writing or linking from going on: `ReadOnly`, `OutOfMemory`, `MemoryLimit`; what ends the wait:
    /// `Deadline`, `Cancelled`.
    pub(crate) fn wait_for_room(&self, stop: &Stop) -> Result<()> {
        self.store.check_writable()?;
        match &self.memory.index {
            Some(index) if index.is_full() => {
                let began = Instant::now();
                index.tail().waiting().wait(stop, || {
                    match self.store.check_writable().and_then(|()| self.bell.check()) {
                        _ if !index.is_full() => Some(Ok(())),
                        Ok(()) if stop.is_due() => Some(stop.check()),
                        Ok(()) => self.obstacles.met_since(began, &[Task::Link, Task::BringVectors]).map(Err),
                        Err(error) => Some(Err(error)),
                    }
                })
            }
            _ => Ok(()),
        }
    }

    /// Waits until work in the background is done.
    ///
    /// # Errors
    /// What one of the tasks that it takes has met since; `Closed` if the linker has stopped.
    fn wait_for_work(&self, waiting: &Waiting, tasks: &[Task], is_done: impl Fn() -> bool) -> Result<()> {
        let began = Instant::now();
        self.bell.ring();
        waiting.wait(Stop::NEVER, || match self.bell.check() {
            _ if is_done() => Some(Ok(())),
            Ok(()) => self.obstacles.met_since(began, tasks).map(Err),
            Err(error) => Some(Err(error)),
        })
    }

    /// A vector of a namespace as it is compared, and its code. That is made again when it is put, should codes or the
    /// namespace's number be other ones by then.
    pub(crate) fn prepare(&self, namespace: NamespaceId, vector: &[f32], norm: f64) -> Comparable {
        let row = self.comparable_by(vector.to_vec(), norm);
        let code = self.memory.index.as_ref().and_then(|index| index.encode(&row, namespace));
        Comparable { row, code }
    }

    /// A vector whose norm is known, as it is compared.
    pub(crate) fn comparable_by(&self, mut vector: Vec<f32>, norm: f64) -> Vec<f32> {
        if self.config.compares_directions() {
            distance::normalize_by(&mut vector, norm);
        }
        vector
    }
}

/// How a collection compares vectors.
///
/// # Errors
/// `InvalidConfig` for a distance that is not registered.
pub(crate) fn ranker_of(config: &CollectionConfig, options: &Options) -> Result<Ranker> {
    let Some(name) = &config.distance else { return Ok(Ranker::of_metric(config.metric)) };
    let distance = options.distances.find(name).ok_or_else(|| Error::InvalidConfig {
        field: "distance",
        reason: format!(
            "expected a distance registered as {name:?} (`Options::distance`), got {:?}",
            options.distances.names().collect::<Vec<_>>()
        ),
    })?;
    Ok(Ranker::Custom(distance))
}

/// Memory for a collection without documents. `folder` is the database's, `codebook` what codes are made by, where
/// there are some. Vectors are held where nothing else can be compared; elsewhere once it is known that there is room
/// for them (`Budget::add`).
pub(crate) fn new_memory(
    config: &CollectionConfig,
    options: &Options,
    folder: &Path,
    id: CollectionId,
    codebook: Option<Codebook>,
) -> Result<Memory> {
    let ranker = ranker_of(config, options)?;
    let exact = Exact::new(config.dimension);
    // A mapped file waits until it is certain that the database opens.
    if !config.has_codes() && options.residency_of(config) == Residency::Ram {
        exact.hold(Residency::Ram, &images::folder(folder, id), 0)?;
    }
    let index = match config.index {
        config::Index::Hnsw => Some(Index::new(config, &ranker, options.tail_bound, codebook)),
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
