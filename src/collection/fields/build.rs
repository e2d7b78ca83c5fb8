//! Indexes the metadata of documents that existed before the index. Each piece is a commit of its
//! own, so a kill loses only the piece under way.
//!
//! Documents written meanwhile are indexed as they are written. Indexing a document twice changes
//! nothing.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use super::entries::Entries;
use super::rule::Known;
use crate::collection::Live;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::id::{FieldId, Slot};
use crate::store::draft::Draft;
use crate::store::record::DocumentRow;
use crate::store::{Turn, View, key};

/// Documents indexed in one commit.
const PIECE: usize = 1_000;

impl Live {
    /// Indexes the next documents without postings. Returns false if there was nothing to do.
    pub(crate) fn build_fields(&self) -> Result<bool> {
        if !self.fields.is_building() || self.store.is_beside() {
            return Ok(false);
        }
        let mut turn = self.store.turn()?;
        let mut draft = Draft::default();
        if self.fields.is_damaged() {
            let known = self.fields.known.read().forgotten();
            draft.drop_all_postings(&self.families);
            draft.index(&self.families, known.row());
            self.commit_fields(&mut turn, draft, Entries::default(), known)?;
            self.fields.is_damaged.store(false, Ordering::Release);
            return Ok(true);
        }
        let (view, mut known) = (self.store.view(), self.fields.known.read().clone());
        let mut entries = Entries::default();
        known.row.cursor = self.index_piece(&view, &known, &mut entries)?;
        if known.row.cursor == u32::MAX {
            known.row.rule.building.clear();
            known.row.cursor = 0;
            tracing::info!(collection = self.id.0, "metadata is indexed");
        }
        draft.index(&self.families, &known.row);
        self.commit_fields(&mut turn, draft, entries, known)?;
        drop(turn);
        self.fields.ring();
        failpoint::hit("index.built");
        Ok(true)
    }

    /// Indexes a path from now on, and in existing documents.
    pub(crate) fn add_index(&self, path: &str) -> Result<()> {
        let mut turn = self.store.turn()?;
        let mut known = self.fields.known.read().clone();
        let is_new = known.add(path).map_err(|above| Error::InvalidConfig {
            field: "path",
            reason: format!("expected a path that is not below \"{above}\", which is not indexed, got \"{path}\""),
        });
        if !is_new? {
            return Ok(());
        }
        self.change_rule(&mut turn, known, &[])?;
        let commit = turn.last();
        drop(turn);
        self.bell.ring();
        self.store.acknowledge_as_configured(commit)
    }

    /// Stops indexing a path.
    pub(crate) fn drop_index(&self, path: &str) -> Result<()> {
        let mut turn = self.store.turn()?;
        let mut known = self.fields.known.read().clone();
        let dropped = known.remove(path);
        self.change_rule(&mut turn, known, &dropped)?;
        let commit = turn.last();
        drop(turn);
        self.fields.ring();
        self.store.acknowledge_as_configured(commit)
    }

    /// Rebuilds all postings in the background.
    pub(crate) fn rebuild_fields(&self) {
        self.fields.is_damaged.store(true, Ordering::Release);
        self.bell.ring();
    }

    fn change_rule(&self, turn: &mut Turn<'_>, known: Known, dropped: &[FieldId]) -> Result<()> {
        let mut draft = Draft::default();
        dropped.iter().for_each(|field| draft.drop_postings(&self.families, *field));
        draft.index(&self.families, known.row());
        self.commit_fields(turn, draft, Entries::default(), known)
    }

    /// Gathers the entries of the next documents from the cursor on. Returns the slot at which the
    /// next piece begins, or `u32::MAX` after the last document.
    fn index_piece(&self, view: &View, known: &Known, entries: &mut Entries) -> Result<u32> {
        let (from, to) = (key::document(Slot(known.row.cursor)), key::document_range().1);
        let (mut n_documents, mut next) = (0, u32::MAX);
        self.scan(&view.snapshot, (&from, &to), |key, row| {
            let slot = key::read_document(key)?;
            if n_documents == PIECE {
                next = slot.0;
                return Ok(ControlFlow::Break(()));
            }
            n_documents += 1;
            entries.build(known, slot, &DocumentRow::decode(row)?.metadata);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(next)
    }

    /// Commits postings together with the field catalog.
    fn commit_fields(&self, turn: &mut Turn<'_>, mut draft: Draft, entries: Entries, mut known: Known) -> Result<()> {
        let applied = entries.draft_into(&mut draft, &self.families);
        turn.commit(draft, |commit| {
            self.note_change(commit, std::iter::empty());
            // Rows as of an earlier commit lack the postings written now.
            known.since = commit;
            *self.fields.known.write() = known;
            self.fields.apply(applied, commit);
            self.fields.cache.clear(commit);
        })
    }
}
