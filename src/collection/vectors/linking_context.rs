//! What the linker works on, and with.

use std::sync::Arc;

use super::full::Reader;
use crate::collection::memory::Memory;
use crate::distance::Comparison;
use crate::error::Result;
use crate::graph::{Graph, GraphChange};
use crate::id::{Commit, Slot};
use crate::store::View;

/// Calls a function while no commit can happen. Returns the oldest view in use and the newest.
/// Returns `None`, without the call, if others hold commits off: they may be waiting for the
/// linker.
type Pin<'p> = dyn Fn(&mut dyn FnMut()) -> Option<[Arc<View>; 2]> + Sync + 'p;

/// Calls a function with the vector of a slot that holds a document at a view.
type ReadAt<'r> = dyn Fn(&View, Slot, &mut dyn FnMut(&[f32])) -> Result<()> + Sync + 'r;

/// The data and services that the linker works with.
pub(crate) struct LinkContext<'w> {
    pub(crate) memory: &'w Memory,
    /// Vectors as of the linker's commit.
    pub(crate) exact: &'w Reader<'w>,
    pub(crate) pool: &'w rayon::ThreadPool,
    pub(crate) comparison: &'w Comparison,
    /// Nobody looks at a commit before this one.
    pub(crate) oldest: Commit,
    /// The linker's commit.
    pub(crate) commit: Commit,
    /// No vectors are being loaded into memory.
    pub(crate) is_settled: bool,
    /// The user wants exact vectors to stay on disk.
    pub(crate) is_on_disk: bool,
    /// There is room in memory for all exact vectors once more.
    pub(crate) may_hold_all: bool,
    pub(crate) pin: &'w Pin<'w>,
    pub(crate) read_at: &'w ReadAt<'w>,
    /// Tells the oldest commit that a search beginning now may see.
    pub(crate) now: &'w (dyn Fn() -> Commit + Sync),
    /// Tells whether the linker is to stop.
    pub(crate) is_stopped: &'w (dyn Fn() -> bool + Sync),
    /// Logs changes of the graph, before slots are used again because of them.
    pub(crate) record: &'w (dyn Fn(&Graph, &[GraphChange]) + Sync),
}
