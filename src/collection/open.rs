//! An open collection: all its parts together.
//!
//! Owns no verb.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use super::budget::{MemoryBudget, VectorLoad};
use super::derived::bell::LinkerSignal;
use super::derived::notify::{Obstacles, Task, Waiting};
use super::derived::source::RowSource;
use super::fulltext::FullTextIndex;
use super::memory::{Comparable, Memory};
use super::metadata::MetadataIndex;
use super::metadata::admission::Admission;
use super::recovery::graph_log::Persist;
use super::recovery::loaded::Loaded;
use super::slots::namespaces::Names;
use super::vectors::VectorIndex;
use super::vectors::codes::codebook::Codebook;
use super::vectors::field::VectorField;
use super::vectors::full::Exact;
use crate::cancel::Stop;
use crate::config::{CollectionConfig, Options, Residency};
use crate::distance::{self, Comparison};
use crate::error::{Error, Result};
use crate::id::{CollectionId, Commit, NamespaceId, Slot};
use crate::opening::Opening;
use crate::store::Store;
use crate::store::family::Families;
use crate::store::files::image as images;
use crate::store::format::record::CatalogEntry;
use crate::store::rocks::EngineSnapshot;
use crate::value::Value;

/// The parts of an open collection.
pub(crate) struct OpenCollection {
    pub(crate) id: CollectionId,
    pub(crate) config: CollectionConfig,
    pub(crate) created_at_ms: u64,
    /// The collection's own metadata, an object. It changes only in the committer section.
    pub(super) metadata: ArcSwap<Value>,
    pub(crate) store: Arc<Store>,
    pub(crate) families: Families,
    pub(crate) memory: Memory,
    pub(crate) namespaces: RwLock<Names>,
    pub(crate) fields: MetadataIndex,
    pub(crate) words: FullTextIndex,
    pub(crate) admission: Admission,
    /// Wakes the linker.
    pub(crate) signal: Arc<LinkerSignal>,
    /// The errors that keep background work from going on.
    pub(super) obstacles: Obstacles,
    pub(crate) persist: Persist,
    pub(crate) budget: Arc<MemoryBudget>,
    /// The loading of exact vectors that is under way.
    pub(super) vector_load: Mutex<Option<VectorLoad>>,
    /// Notified when `vector_load` ends, whether or not all vectors came.
    pub(super) vectors_loaded: Waiting,
    /// An upper bound of the last commit that changed the collection.
    pub(super) last_change: AtomicU64,
    pub(crate) opening: Opening,
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
        let index = &self.memory.vectors().index;
        if !index.is_full() {
            return Ok(());
        }
        let began = Instant::now();
        index.waiting().wait(stop, || match self.store.check_writable().and_then(|()| self.signal.check()) {
            _ if !index.is_full() => Some(Ok(())),
            Ok(()) if stop.is_due() => Some(stop.check()),
            Ok(()) => self.obstacles.met_since(began, &[Task::Link, Task::LoadVectors]).map(Err),
            Err(error) => Some(Err(error)),
        })
    }

    /// Waits until `is_done` holds. `waiting` is notified by the background work that makes it
    /// hold.
    ///
    /// # Errors
    /// The error that one of `tasks` met since the call began; `Closed` or `Storage` if the linker
    /// has stopped.
    pub(super) fn wait_for_work(&self, waiting: &Waiting, tasks: &[Task], is_done: impl Fn() -> bool) -> Result<()> {
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
    let full = Exact::new(config.dimension);
    // A mapped file waits until it is certain that the database opens.
    if !config.has_codes() && options.residency_of(config) == Residency::Ram {
        full.hold(Residency::Ram, &images::folder(folder, id), 0)?;
    }
    let index = VectorIndex::new(config, &comparison, options.tail_bound, codebook);
    Ok(Memory::new(VectorField { id: VectorField::ONLY, comparison, full, index }))
}
