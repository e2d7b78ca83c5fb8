//! Checked operations, before planning.

use crate::collection::check::{CheckedDocument, CheckedUpdate};
use crate::collection::handle::Namespace;
use crate::id::{Commit, DocId};

/// A condition on the stored document (optimistic concurrency control).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expectation {
    MustExist,
    MustNotExist,
    Version(Commit),
}

/// A checked write on its way to be planned.
pub(crate) struct CheckedOperation {
    pub(crate) namespace: Namespace,
    pub(crate) prepared: CheckedAction,
    pub(crate) expectations: Vec<Expectation>,
}

/// Checked writes, and approximately how many bytes they hold.
pub(crate) struct Work {
    pub(crate) operations: Vec<CheckedOperation>,
    pub(crate) n_bytes: usize,
}

/// What a checked write does.
pub(crate) enum CheckedAction {
    Insert(CheckedDocument),
    Upsert(CheckedDocument),
    Update(CheckedUpdate),
    Delete(DocId),
}

impl CheckedAction {
    pub(crate) fn id(&self) -> &DocId {
        match self {
            CheckedAction::Insert(document) | CheckedAction::Upsert(document) => &document.id,
            CheckedAction::Update(update) => &update.id,
            CheckedAction::Delete(id) => id,
        }
    }

    /// Whether the write brings a vector, which is to be linked.
    pub(super) fn has_vector(&self) -> bool {
        match self {
            CheckedAction::Insert(_) | CheckedAction::Upsert(_) => true,
            CheckedAction::Update(update) => update.vector.is_some(),
            CheckedAction::Delete(_) => false,
        }
    }
}
