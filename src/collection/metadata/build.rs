//! Indexes the metadata of documents that existed before the index. Each piece is a commit of its
//! own, so a kill loses only the piece under way.
//!
//! Documents written meanwhile are indexed as they are written. Indexing a document twice changes
//! nothing.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use super::catalog::FieldCatalog;
use super::changes::Entries;
use crate::collection::open::OpenCollection;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::id::{FieldId, Slot};
use crate::store::commit::draft::Draft;
use crate::store::format::key;
use crate::store::format::record::DocumentRow;
use crate::store::{CommitGuard, View};

/// Documents indexed in one commit.
const PIECE: usize = 1_000;

impl OpenCollection {
    /// Indexes the next documents without postings. Returns false if there was nothing to do.
    pub(crate) fn build_fields(&self) -> Result<bool> {
        if !self.fields.is_building() || self.store.is_beside() {
            return Ok(false);
        }
        let mut guard = self.store.begin_commit()?;
        let mut draft = Draft::default();
        if self.fields.is_damaged() {
            let catalog = self.fields.catalog.read().forgotten();
            draft.drop_all_postings(&self.families);
            draft.index(&self.families, catalog.row());
            self.commit_fields(&mut guard, draft, Entries::default(), catalog)?;
            self.fields.is_damaged.store(false, Ordering::Release);
            return Ok(true);
        }
        let (view, mut catalog) = (self.store.view(), self.fields.catalog.read().clone());
        let mut entries = Entries::default();
        catalog.row.cursor = self.index_piece(&view, &catalog, &mut entries)?;
        if catalog.row.cursor == u32::MAX {
            catalog.row.rule.building.clear();
            catalog.row.cursor = 0;
            tracing::info!(collection = self.id.0, "metadata is indexed");
        }
        draft.index(&self.families, &catalog.row);
        self.commit_fields(&mut guard, draft, entries, catalog)?;
        drop(guard);
        self.fields.notify();
        failpoint::hit("index.built");
        Ok(true)
    }

    /// Indexes a path from now on, and in existing documents.
    pub(crate) fn add_index(&self, path: &str) -> Result<()> {
        let mut guard = self.store.begin_commit()?;
        let mut catalog = self.fields.catalog.read().clone();
        let is_new = catalog.add(path).map_err(|above| Error::InvalidConfig {
            field: "path",
            reason: format!("expected a path that is not below \"{above}\", which is not indexed, got \"{path}\""),
        });
        if !is_new? {
            return Ok(());
        }
        self.change_rule(&mut guard, catalog, &[])?;
        let commit = guard.last();
        drop(guard);
        self.signal.notify();
        self.store.acknowledge_as_configured(commit)
    }

    /// Stops indexing a path.
    pub(crate) fn drop_index(&self, path: &str) -> Result<()> {
        let mut guard = self.store.begin_commit()?;
        let mut catalog = self.fields.catalog.read().clone();
        let dropped = catalog.remove(path);
        self.change_rule(&mut guard, catalog, &dropped)?;
        let commit = guard.last();
        drop(guard);
        self.fields.notify();
        self.store.acknowledge_as_configured(commit)
    }

    /// Rebuilds all postings in the background.
    pub(crate) fn rebuild_fields(&self) {
        self.fields.is_damaged.store(true, Ordering::Release);
        self.signal.notify();
    }

    fn change_rule(&self, guard: &mut CommitGuard<'_>, catalog: FieldCatalog, dropped: &[FieldId]) -> Result<()> {
        let mut draft = Draft::default();
        dropped.iter().for_each(|field| draft.drop_postings(&self.families, *field));
        draft.index(&self.families, catalog.row());
        self.commit_fields(guard, draft, Entries::default(), catalog)
    }

    /// Gathers the entries of the next documents from the cursor on. Returns the slot at which the
    /// next piece begins, or `u32::MAX` after the last document.
    fn index_piece(&self, view: &View, catalog: &FieldCatalog, entries: &mut Entries) -> Result<u32> {
        let (from, to) = (key::document(Slot(catalog.row.cursor)), key::document_range().1);
        let (mut n_documents, mut next) = (0, u32::MAX);
        self.scan(&view.snapshot, (&from, &to), |key, row| {
            let slot = key::read_document(key)?;
            if n_documents == PIECE {
                next = slot.0;
                return Ok(ControlFlow::Break(()));
            }
            n_documents += 1;
            entries.build(catalog, slot, &DocumentRow::decode(row)?.metadata);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(next)
    }

    /// Commits postings together with the field catalog.
    fn commit_fields(
        &self,
        guard: &mut CommitGuard<'_>,
        mut draft: Draft,
        entries: Entries,
        mut catalog: FieldCatalog,
    ) -> Result<()> {
        let applied = entries.draft_into(&mut draft, &self.families);
        guard.commit(draft, |commit| {
            self.note_change(commit, std::iter::empty());
            // Rows as of an earlier commit lack the postings written now.
            catalog.since = commit;
            *self.fields.catalog.write() = catalog;
            self.fields.apply(applied, commit);
            self.fields.cache.clear(commit);
        })
    }
}
