//! Committing: check, plan, write once, apply.
//!
//! Everything before the write may fail, and leaves no trace. The write is atomic, and applying it
//! cannot fail. Searches of the default namespace go on meanwhile if it has all documents. Others
//! wait while the commit is applied.
//!
//! | file | owns |
//! |---|---|
//! | [`operation`] | checked operations |
//! | [`plan`] | folding them into one draft |

pub(super) mod operation;
mod plan;

use std::sync::Arc;

use uuid::Uuid;

use self::operation::{CheckedOperation, Work};
use self::plan::{BatchPlan, CollectionChanges, Planned};
use super::memory::Applying;
use super::open::OpenCollection;
use crate::cancel::Stop;
use crate::config::Durability;
use crate::error::Result;
use crate::hit::Receipt;
use crate::id::{Commit, DocId};
use crate::store::Store;
use crate::{failpoint, heap};

/// Commits operations of one database, all or none. Operations with vectors wait first while too
/// many documents wait to be linked. The wait fails, and leaves no trace, if nothing can be written
/// or `stop` ends the call.
pub(crate) fn commit(
    store: &Arc<Store>,
    work: Work,
    operation_id: Option<Uuid>,
    durability: Option<Durability>,
    stop: &Stop,
) -> Result<Receipt> {
    // A batch that was committed before needs no room, and `stop` does not end it.
    if let Some(id) = operation_id {
        let last = store.hold();
        // A commit later than `last` failed and is on disk all the same: no view shows it.
        let found = store.find_operation(id)?.filter(|commit| *commit <= *last);
        drop(last);
        if let Some(commit) = found {
            return repeat(store, commit, ids_of(&work.operations), durability);
        }
    }
    let mut before = None;
    for operation in work.operations.iter().filter(|operation| operation.prepared.has_vector()) {
        let state = operation.namespace.state();
        if before != Some(state.id) {
            state.opened()?.wait_for_room(stop)?;
            before = Some(state.id);
        }
    }
    commit_with(store, operation_id, durability, stop, || Ok(work))
}

fn ids_of(operations: &[CheckedOperation]) -> Vec<DocId> {
    operations.iter().map(|operation| operation.prepared.id().clone()).collect()
}

/// Acknowledges again what an earlier try has committed.
fn repeat(store: &Store, commit: Commit, ids: Vec<DocId>, durability: Option<Durability>) -> Result<Receipt> {
    store.acknowledge(commit, durability.unwrap_or(store.options().durability))?;
    Ok(Receipt { commit, ids, n_changed: 0, repeated: true })
}

/// Commits operations that `work` computes inside the committer section, where no other commit
/// comes between. Without a `durability`, that of the options counts. If `stop` ends the call,
/// nothing is written.
pub(crate) fn commit_with(
    store: &Arc<Store>,
    operation_id: Option<Uuid>,
    durability: Option<Durability>,
    stop: &Stop,
    work: impl FnOnce() -> Result<Work>,
) -> Result<Receipt> {
    let mut guard = store.begin_commit()?;
    let Work { operations, n_bytes } = work()?;
    let ids = ids_of(&operations);
    if let Some(id) = operation_id
        && let Some(commit) = store.find_operation(id)?
    {
        drop(guard);
        return repeat(store, commit, ids, durability);
    }
    stop.check()?;
    let durability = durability.unwrap_or(store.options().durability);
    let mut plan = BatchPlan::new(guard.last().next(), store.now_ms(), n_bytes);
    for (index, operation) in operations.into_iter().enumerate() {
        let id = operation.prepared.id().clone();
        plan.add(operation).map_err(|error| error.in_batch(index, Some(&id)))?;
    }
    let Planned { mut draft, changes, n_changed } = plan.finish()?;
    if !draft.is_empty() {
        draft.operation_id(operation_id);
        let open_collections: Vec<_> = changes.iter().map(|change| change.open.clone()).collect();
        // Searches go on: they use an earlier commit until this one is visible. Readers of counts
        // wait, so that counts in memory and rows on disk are of one commit.
        guard.commit(draft, |commit| apply(changes, &open_collections, commit))?;
        open_collections.iter().for_each(|open| open.signal.notify());
    }
    let commit = guard.last();
    drop(guard);
    heap::note_freed(n_bytes);
    failpoint::hit("commit.applied");
    store.acknowledge(commit, durability)?;
    failpoint::hit("commit.acknowledged");
    Ok(Receipt { commit, ids, n_changed, repeated: false })
}

/// Applies a commit's changes to the memory of their collections. Returns the collections' ledgers,
/// held for writing.
fn apply(
    changes: Vec<CollectionChanges>,
    open_collections: &[Arc<OpenCollection>],
    commit: Commit,
) -> Vec<Applying<'_>> {
    changes.iter().for_each(|change| change.open.note_change(commit, change.memory.slots()));
    let mut writers: Vec<_> = open_collections.iter().map(|open| open.memory.write()).collect();
    for (writer, change) in writers.iter_mut().zip(changes) {
        let mut names = change.open.namespaces.write();
        change.new_namespaces.into_iter().for_each(|(name, number)| names.insert(name, number));
        drop(names);
        change.open.indexes.fields.apply(change.fields, commit);
        change.open.indexes.words.apply(&change.words, commit);
        writer.apply(change.memory, commit);
    }
    writers
}
