//! A collection's memory as recovered, before it is an open collection.

use super::graph_log::PersistState;
use crate::collection::indexes::Indexes;
use crate::collection::memory::Memory;
use crate::collection::slots::namespaces::Names;
use crate::config::CollectionConfig;
use crate::graph::GraphChange;
use crate::id::Commit;
use crate::opening::Opening;

/// A collection's memory, read from its families.
pub(crate) struct Loaded {
    pub(crate) memory: Memory,
    pub(crate) namespaces: Names,
    /// The derived indexes. They cache nothing yet.
    pub(crate) indexes: Indexes,
    /// The state of the graph on disk.
    pub(crate) state: PersistState,
    /// Whether the graph on disk is of no use.
    pub(crate) discards_graph: bool,
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
            indexes: Indexes::new(config),
            state: PersistState::default(),
            discards_graph: false,
            last_change: Commit(0),
            changes: Vec::new(),
            opening: Opening::default(),
        }
    }
}
