//! An open collection: all its parts together.
//!
//! Owns no verb. Its parts get the [`Context`], never the open collection itself.
//! [`residency`] holds exact vectors, loads them and lets go of them.

mod residency;

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use crate::cancel::Stop;
use crate::collection::budget::{MemoryBudget, VectorLoad};
use crate::collection::derived::bell::LinkerSignal;
use crate::collection::derived::context::Context;
use crate::collection::derived::job::{Job, JobRecords};
use crate::collection::derived::notify::Waiting;
use crate::collection::indexes::Indexes;
use crate::collection::memory::{Comparable, Memory};
use crate::collection::metadata::admission::Admission;
use crate::collection::recovery::graph_log::{Persist, Saver};
use crate::collection::recovery::loaded::Loaded;
use crate::collection::slots::namespaces::Names;
use crate::collection::vectors::VectorIndex;
use crate::collection::vectors::codes::codebook::Codebook;
use crate::collection::vectors::field::VectorField;
use crate::collection::vectors::full::Exact;
use crate::config::{CollectionConfig, Options, Residency};
use crate::distance::{self, Comparison};
use crate::error::{Error, Result};
use crate::id::{CollectionId, Commit, NamespaceId, Slot};
use crate::opening::{OpenedBy, Opening};
use crate::store::Store;
use crate::store::family::Families;
use crate::store::files::image as images;
use crate::store::format::record::CatalogEntry;
use crate::value::Value;

/// Of the memory for caches, one part in `POSTINGS_SHARE` is for postings of a collection's
/// metadata, and one for those of its words.
const POSTINGS_SHARE: usize = 8;

/// The parts of an open collection.
pub(crate) struct OpenCollection {
    pub(crate) context: Context,
    pub(crate) created_at_ms: u64,
    /// The collection's own metadata, an object. It changes only in the committer section.
    pub(in crate::collection) metadata: ArcSwap<Value>,
    pub(crate) memory: Memory,
    pub(crate) namespaces: RwLock<Names>,
    pub(crate) indexes: Indexes,
    pub(crate) admission: Admission,
    /// The records of the jobs in the background.
    pub(in crate::collection) jobs: JobRecords,
    pub(crate) persist: Persist,
    pub(crate) budget: Arc<MemoryBudget>,
    /// The loading of exact vectors that is under way.
    pub(in crate::collection) vector_load: Mutex<Option<VectorLoad>>,
    /// Notified when `vector_load` ends, whether or not all vectors came.
    pub(in crate::collection) vectors_loaded: Waiting,
    pub(crate) opening: Opening,
}

/// Verbs of an open collection ask for the store, the families and the number of their collection.
impl Deref for OpenCollection {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

/// The parts that all collections of a database share.
#[derive(Clone)]
pub(crate) struct DatabaseContext {
    pub(crate) store: Arc<Store>,
    pub(crate) signal: Arc<LinkerSignal>,
    pub(crate) budget: Arc<MemoryBudget>,
}

impl OpenCollection {
    /// A collection without documents.
    pub(crate) fn new(
        shared: DatabaseContext,
        id: CollectionId,
        entry: CatalogEntry,
        memory: Memory,
        families: Families,
    ) -> Result<Self> {
        Loaded::empty(memory, &entry.config).into_open(shared, id, entry, families)
    }

    /// Writes graph and image.
    pub(crate) fn saver(&self) -> Saver<'_> {
        Saver { context: &self.context, memory: &self.memory, persist: &self.persist }
    }

    /// Records that `commit` changed these slots of the collection. Only in the committer section.
    pub(crate) fn note_change(&self, commit: Commit, slots: impl Iterator<Item = Slot>) {
        self.persist.note_changed(slots);
        self.note_commit(commit);
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
        let index = &self.memory.vectors().index;
        if !index.is_full() {
            return Ok(());
        }
        let began = Instant::now();
        index.waiting().wait(stop, || match self.store.check_writable().and_then(|()| self.signal.check()) {
            _ if !index.is_full() => Some(Ok(())),
            Ok(()) if stop.is_due() => Some(stop.check()),
            Ok(()) => self.jobs.met_since(began, Job::TO_LINK).map(Err),
            Err(error) => Some(Err(error)),
        })
    }

    /// Waits until `is_done` holds. `waiting` is notified by the background work that makes it
    /// hold.
    ///
    /// # Errors
    /// The error that one of `jobs` met since the call began; `Closed` or `Storage` if the linker
    /// has stopped.
    pub(in crate::collection) fn wait_for_jobs(
        &self,
        waiting: &Waiting,
        jobs: &[Job],
        is_done: impl Fn() -> bool,
    ) -> Result<()> {
        let began = Instant::now();
        self.signal.notify();
        waiting.wait(Stop::NEVER, || match self.signal.check() {
            _ if is_done() => Some(Ok(())),
            Ok(()) => self.jobs.met_since(began, jobs).map(Err),
            Err(error) => Some(Err(error)),
        })
    }

    /// Wakes all who wait for jobs, so that they look again.
    pub(in crate::collection) fn wake_waiting(&self) {
        self.indexes.all().iter().for_each(|index| index.condition().built.notify());
        self.vectors_loaded.notify();
        self.memory.vectors().index.waiting().notify();
    }

    /// A vector of a namespace as it is compared, and its code. Putting the vector encodes it again
    /// if the codebook or the namespace's number has changed by then.
    pub(crate) fn prepare(&self, namespace: NamespaceId, vector: &[f32], norm: f64) -> Comparable {
        let row = self.comparable_by(vector.to_vec(), norm);
        let code = self.memory.vectors().index.encode(&row, namespace);
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

impl Loaded {
    /// Opens the collection.
    ///
    /// # Errors
    /// `InvalidConfig` for a distance that is not registered; `ReadOnly`, `Io` or `Storage` if an
    /// image or a graph of no use cannot be removed.
    pub(crate) fn into_open(
        self,
        shared: DatabaseContext,
        id: CollectionId,
        entry: CatalogEntry,
        families: Families,
    ) -> Result<OpenCollection> {
        let DatabaseContext { store, signal, budget } = shared;
        let CatalogEntry { config, created_at_ms, metadata, .. } = entry;
        let most_bytes = store.options().memory_bytes / POSTINGS_SHARE;
        let admission = Admission::new(config.schema.clone());
        let open = OpenCollection {
            context: Context { id, config, store, families, signal, last_change: self.last_change.0.into() },
            created_at_ms,
            metadata: ArcSwap::from_pointee(metadata),
            memory: self.memory,
            namespaces: RwLock::new(self.namespaces),
            indexes: self.indexes.with_caches(most_bytes),
            admission,
            jobs: JobRecords::default(),
            persist: Persist::new(self.state),
            budget,
            vector_load: Mutex::default(),
            vectors_loaded: Waiting::default(),
            opening: self.opening,
        };
        if open.opening.way != OpenedBy::Image && open.store.is_writable() {
            // An image that was not taken up, or a mapped file, may show commits that were lost.
            open.saver().remove_images()?;
        }
        if self.discards_graph && open.store.is_writable() {
            open.saver().discard_graph()?;
        }
        if let Some(graph) = open.memory.vectors().index.graph() {
            open.saver().record(&graph, &self.changes);
        }
        Ok(open)
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
/// compared. Elsewhere [`OpenCollection::enter_memory`] decides whether there is room for them.
pub(crate) fn new_memory(
    config: &CollectionConfig,
    options: &Options,
    folder: &Path,
    id: CollectionId,
    codebook: Option<Codebook>,
) -> Result<Memory> {
    let comparison = comparison_of(config, options)?;
    let full = Exact::new(config.dimension);
    // A mapped file waits until it is certain that the database opens.
    if !config.has_codes() && options.residency_of(config) == Residency::Ram {
        full.hold(Residency::Ram, &images::folder(folder, id), 0)?;
    }
    let index = VectorIndex::new(config, &comparison, options.tail_bound, codebook);
    Ok(Memory::new(VectorField { id: VectorField::ONLY, comparison, full, index }))
}
