//! Indexes the words of documents that existed before the index. Each piece is a commit of its own,
//! so a kill loses only the piece under way.
//!
//! Documents written meanwhile are indexed as they are written. Indexing a document twice changes
//! nothing.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use super::BuildProgress;
use super::changes::WordEntries;
use crate::collection::open::OpenCollection;
use crate::error::Result;
use crate::failpoint;
use crate::id::Slot;
use crate::store::CommitGuard;
use crate::store::commit::draft::Draft;
use crate::store::format::key;
use crate::store::format::record::DocumentRow;
use crate::store::format::words::WordsRow;

/// Documents indexed in one commit.
const PIECE: usize = 1_000;

impl OpenCollection {
    /// Indexes the words of the next documents without postings. Returns false if there was nothing
    /// to do.
    pub(crate) fn build_words(&self) -> Result<bool> {
        if !self.words.is_building() || self.store.is_beside() {
            return Ok(false);
        }
        let mut guard = self.store.begin_commit()?;
        let mut draft = Draft::default();
        if self.words.is_damaged() {
            draft.drop_all_words(&self.families);
            self.commit_words(&mut guard, draft, WordEntries::default(), WordsRow::nothing())?;
            self.words.is_damaged.store(false, Ordering::Release);
            return Ok(true);
        }
        let mut entries = WordEntries::default();
        let row = self.index_words(self.words.progress.read().row, &mut entries)?;
        self.commit_words(&mut guard, draft, entries, row)?;
        drop(guard);
        self.words.notify();
        failpoint::hit("words.built");
        Ok(true)
    }

    /// Rebuilds the whole index in the background.
    pub(crate) fn rebuild_words(&self) {
        self.words.is_damaged.store(true, Ordering::Release);
        self.signal.notify();
    }

    /// Gathers the words of the next documents after `before`. Returns how far the index is with
    /// them.
    fn index_words(&self, before: WordsRow, entries: &mut WordEntries) -> Result<WordsRow> {
        let (from, to) = (key::document(Slot(before.cursor)), key::document_range().1);
        let (mut n_documents, mut after) = (0, WordsRow::whole());
        self.scan(&self.store.view().snapshot, (&from, &to), |key, row| {
            let slot = key::read_document(key)?;
            if n_documents == PIECE {
                after = WordsRow { cursor: slot.0, ..before };
                return Ok(ControlFlow::Break(()));
            }
            n_documents += 1;
            let row = DocumentRow::decode(row)?;
            entries.put(slot, &self.words.count(row.text.as_deref(), &row.metadata));
            Ok(ControlFlow::Continue(()))
        })?;
        if after.is_whole() {
            tracing::info!(collection = self.id.0, "words are indexed");
        }
        Ok(after)
    }

    /// Commits postings, and how far the index is with them.
    fn commit_words(
        &self,
        guard: &mut CommitGuard<'_>,
        mut draft: Draft,
        entries: WordEntries,
        row: WordsRow,
    ) -> Result<()> {
        draft.words(&self.families, row);
        entries.draft_into(&mut draft, &self.families);
        guard.commit(draft, |commit| {
            self.note_change(commit, std::iter::empty());
            // Rows as of an earlier commit lack the postings written now.
            *self.words.progress.write() = BuildProgress { row, since: commit };
            self.words.cache.clear(commit);
        })
    }
}
