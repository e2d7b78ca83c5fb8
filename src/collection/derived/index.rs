//! The seam of derived indexes: building one in the background, and giving up a damaged one.
//!
//! An index is built in pieces. Each piece is a commit of its own, so a kill loses only the piece
//! under way. Documents written meanwhile are indexed as they are written. Indexing a document
//! twice changes nothing. Of a damaged index all rows are dropped, and it is built again; until
//! then searches read the documents themselves.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use super::context::Context;
use super::job::Job;
use super::notify::Waiting;
use super::source::RowSource;
use crate::error::Result;
use crate::failpoint;
use crate::id::{Commit, Slot};
use crate::store::commit::draft::Draft;
use crate::store::family::Families;
use crate::store::format::key;
use crate::store::format::record::DocumentRow;

/// Documents indexed in one commit.
const PIECE: usize = 1_000;

/// The cursor of an index that has all documents.
pub(in crate::collection) const END: u32 = u32::MAX;

/// Takes over in memory what a commit wrote, before the commit is published.
pub(in crate::collection) type Apply<'i> = Box<dyn FnOnce(Commit) + 'i>;

/// An index whose rows are derived from documents.
pub(crate) trait DerivedIndex {
    /// The job that builds it.
    fn job(&self) -> Job;

    /// The failpoint after each piece that was built.
    fn failpoint(&self) -> &'static str;

    /// Whether it can be used, and where callers wait until it is built.
    fn condition(&self) -> &Condition;

    /// Whether some of it is still being built.
    fn is_building(&self) -> bool;

    /// Of `n_slots` slots, the number that is indexed; `None` if the index is not wanted.
    fn n_indexed(&self, n_slots: usize) -> Option<usize>;

    /// Bytes of memory that cached rows take.
    fn n_bytes(&self) -> usize;

    /// Drafts the row that says how far the index has got.
    fn draft_state(&self, draft: &mut Draft, families: &Families);

    /// Drafts an empty index, which is to be built.
    fn draft_empty(&self, draft: &mut Draft, families: &Families) -> Apply<'_>;

    /// Drafts the entries of the next documents that have none.
    fn draft_piece(&self, draft: &mut Draft, context: &Context) -> Result<Apply<'_>>;

    /// Verifies every row against the documents, every document against the rows, and what is
    /// cached against the rows. The caller ensures that nothing is committed meanwhile.
    fn verify(&self, source: RowSource<'_>) -> Result<()>;

    /// Builds a piece, or empties a damaged index. Returns false if there was nothing to do.
    fn build(&self, context: &Context) -> Result<bool> {
        if !self.is_building() || context.store.is_beside() {
            return Ok(false);
        }
        let mut guard = context.store.begin_commit()?;
        let (mut draft, is_damaged) = (Draft::default(), self.condition().is_damaged());
        let apply = match is_damaged {
            true => self.draft_empty(&mut draft, &context.families),
            false => self.draft_piece(&mut draft, context)?,
        };
        guard.commit(draft, |commit| {
            context.note_commit(commit);
            apply(commit);
        })?;
        if is_damaged {
            self.condition().is_damaged.store(false, Ordering::Release);
            return Ok(true);
        }
        drop(guard);
        self.condition().built.notify();
        failpoint::hit(self.failpoint());
        Ok(true)
    }

    /// Rebuilds the whole index in the background.
    fn rebuild(&self, context: &Context) {
        self.condition().is_damaged.store(true, Ordering::Release);
        context.signal.notify();
    }
}

/// Whether an index can be used, and where callers wait until it is built.
pub(crate) struct Condition {
    /// Whether a row could not be read. Searches then use no rows until all are rebuilt.
    is_damaged: AtomicBool,
    /// Notified when a piece has been built.
    pub(in crate::collection) built: Waiting,
}

impl Condition {
    pub(in crate::collection) fn new(is_damaged: bool) -> Self {
        Condition { is_damaged: is_damaged.into(), built: Waiting::default() }
    }

    pub(in crate::collection) fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Acquire)
    }
}

/// Shows the documents of the next piece, from the slot `cursor` on. Returns the slot at which the
/// piece after it begins; [`END`] after the last document.
pub(in crate::collection) fn each_of_piece(
    context: &Context,
    cursor: u32,
    mut show: impl FnMut(Slot, &DocumentRow),
) -> Result<u32> {
    let (view, from, to) = (context.store.view(), key::document(Slot(cursor)), key::document_range().1);
    let (mut n_documents, mut next) = (0, END);
    context.source(Some(&view.snapshot)).each_document((&from, &to), |key, row| {
        let slot = key::read_document(key)?;
        if n_documents == PIECE {
            next = slot.0;
            return Ok(ControlFlow::Break(()));
        }
        n_documents += 1;
        show(slot, &DocumentRow::decode(row)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(next)
}
