//! A collection's memory as recovered, and the open collection made of it.

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use super::graph_log::{Persist, PersistState};
use crate::collection::derived::notify::{Obstacles, Waiting};
use crate::collection::fulltext::FullTextIndex;
use crate::collection::memory::Memory;
use crate::collection::metadata::admission::Admission;
use crate::collection::metadata::{FieldCatalog, MetadataIndex};
use crate::collection::open::{DatabaseContext, OpenCollection};
use crate::collection::slots::namespaces::Names;
use crate::config::CollectionConfig;
use crate::error::Result;
use crate::graph::GraphChange;
use crate::id::{CollectionId, Commit};
use crate::opening::{OpenedBy, Opening};
use crate::store::family::Families;
use crate::store::format::record::CatalogEntry;
use crate::store::format::words::WordsRow;

/// Of the memory for caches, one part in `POSTINGS_SHARE` is for postings of a collection's
/// metadata, and one for those of its words.
const POSTINGS_SHARE: usize = 8;

/// A collection's memory, read from its families.
pub(crate) struct Loaded {
    pub(crate) memory: Memory,
    pub(crate) namespaces: Names,
    /// The indexed fields; `None` if they cannot be read.
    pub(crate) fields: Option<FieldCatalog>,
    /// The progress of the full-text index; `None` if it cannot be read.
    pub(crate) words: Option<WordsRow>,
    /// The state of the graph on disk.
    pub(crate) state: PersistState,
    /// Whether the graph on disk is of no use.
    pub(crate) begins_anew: bool,
    /// An upper bound of the last commit that changed the collection.
    pub(crate) last_change: Commit,
    /// Changes to the graph that are not on disk yet.
    pub(crate) changes: Vec<GraphChange>,
    pub(crate) opening: Opening,
}

impl Loaded {
    /// A collection without documents.
    pub(crate) fn empty(memory: Memory, config: &CollectionConfig) -> Self {
        Loaded {
            memory,
            namespaces: Names::default(),
            fields: Some(FieldCatalog::begin(config)),
            words: Some(WordsRow::whole()),
            state: PersistState::default(),
            begins_anew: false,
            last_change: Commit(0),
            changes: Vec::new(),
            opening: Opening::default(),
        }
    }

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
        let fields = MetadataIndex::new(self.fields, &config, most_bytes);
        let words = FullTextIndex::new(self.words, &config, most_bytes);
        let admission = Admission::new(config.schema.clone());
        let open = OpenCollection {
            id,
            config,
            created_at_ms,
            metadata: ArcSwap::from_pointee(metadata),
            store,
            families,
            memory: self.memory,
            namespaces: RwLock::new(self.namespaces),
            fields,
            words,
            admission,
            signal,
            obstacles: Obstacles::default(),
            persist: Persist::new(self.state),
            budget,
            vector_load: Mutex::default(),
            vectors_loaded: Waiting::default(),
            last_change: self.last_change.0.into(),
            opening: self.opening,
        };
        if open.opening.way != OpenedBy::Image && open.store.is_writable() {
            // An image that was not taken up, or a mapped file, may show commits that were lost.
            open.remove_images()?;
        }
        if self.begins_anew && open.store.is_writable() {
            open.begin_graph_anew()?;
        }
        if let Some(graph) = open.memory.vectors().index.graph() {
            open.record(&graph, &self.changes);
        }
        Ok(open)
    }
}
