//! A collection's memory as recovered, before it is an open collection.

use super::graph_log::PersistState;
use crate::collection::memory::Memory;
use crate::collection::metadata::FieldCatalog;
use crate::collection::slots::namespaces::Names;
use crate::config::CollectionConfig;
use crate::graph::GraphChange;
use crate::id::Commit;
use crate::opening::Opening;
use crate::store::format::words::WordsRow;

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
}
