//! Builds the metadata index, and changes which paths are indexed.

use super::MetadataIndex;
use super::catalog::FieldCatalog;
use super::changes::Entries;
use super::verify;
use crate::collection::derived::context::Context;
use crate::collection::derived::index::{Apply, Condition, DerivedIndex, END, each_of_piece};
use crate::collection::derived::job::Job;
use crate::collection::derived::source::RowSource;
use crate::error::{Error, Result};
use crate::id::FieldId;
use crate::store::CommitGuard;
use crate::store::commit::draft::Draft;
use crate::store::family::Families;

impl DerivedIndex for MetadataIndex {
    fn job(&self) -> Job {
        Job::IndexMetadata
    }

    fn failpoint(&self) -> &'static str {
        "index.built"
    }

    fn condition(&self) -> &Condition {
        &self.condition
    }

    fn is_building(&self) -> bool {
        self.catalog.read().is_building() || self.condition.is_damaged()
    }

    fn n_indexed(&self, n_slots: usize) -> Option<usize> {
        let catalog = self.catalog.read();
        Some(match catalog.is_building() {
            _ if self.condition.is_damaged() => 0,
            true => catalog.row().cursor as usize,
            false => n_slots,
        })
    }

    fn n_bytes(&self) -> usize {
        self.cache.n_bytes()
    }

    fn draft_state(&self, draft: &mut Draft, families: &Families) {
        draft.index(families, self.catalog.read().row());
    }

    fn draft_empty(&self, draft: &mut Draft, families: &Families) -> Apply<'_> {
        draft.drop_all_postings(families);
        let catalog = self.catalog.read().forgotten();
        self.draft(draft, families, Entries::default(), catalog)
    }

    fn draft_piece(&self, draft: &mut Draft, context: &Context) -> Result<Apply<'_>> {
        let (mut catalog, mut entries) = (self.catalog.read().clone(), Entries::default());
        let next = each_of_piece(context, catalog.row.cursor, |slot, row| {
            entries.build(&catalog, slot, &row.metadata);
        })?;
        catalog.row.cursor = next;
        if next == END {
            catalog.row.rule.building.clear();
            catalog.row.cursor = 0;
            tracing::info!(collection = context.id.0, "metadata is indexed");
        }
        Ok(self.draft(draft, &context.families, entries, catalog))
    }

    fn verify(&self, source: RowSource<'_>) -> Result<()> {
        verify::verify(self, source)
    }
}

impl MetadataIndex {
    /// Indexes a path from now on, and in existing documents.
    pub(crate) fn add(&self, context: &Context, path: &str) -> Result<()> {
        let mut guard = context.store.begin_commit()?;
        let mut catalog = self.catalog.read().clone();
        let is_new = catalog.add(path).map_err(|above| Error::InvalidConfig {
            field: "path",
            reason: format!("expected a path that is not below \"{above}\", which is not indexed, got \"{path}\""),
        });
        if !is_new? {
            return Ok(());
        }
        self.change_rule(context, &mut guard, catalog, &[])?;
        let commit = guard.last();
        drop(guard);
        context.signal.notify();
        context.store.acknowledge_as_configured(commit)
    }

    /// Stops indexing a path.
    pub(crate) fn remove(&self, context: &Context, path: &str) -> Result<()> {
        let mut guard = context.store.begin_commit()?;
        let mut catalog = self.catalog.read().clone();
        let dropped = catalog.remove(path);
        self.change_rule(context, &mut guard, catalog, &dropped)?;
        let commit = guard.last();
        drop(guard);
        self.condition.built.notify();
        context.store.acknowledge_as_configured(commit)
    }

    fn change_rule(
        &self,
        context: &Context,
        guard: &mut CommitGuard<'_>,
        catalog: FieldCatalog,
        dropped: &[FieldId],
    ) -> Result<()> {
        let mut draft = Draft::default();
        dropped.iter().for_each(|field| draft.drop_postings(&context.families, *field));
        let apply = self.draft(&mut draft, &context.families, Entries::default(), catalog);
        guard.commit(draft, |commit| {
            context.note_commit(commit);
            apply(commit);
        })
    }

    /// Drafts postings together with the field catalog.
    fn draft(&self, draft: &mut Draft, families: &Families, entries: Entries, mut catalog: FieldCatalog) -> Apply<'_> {
        draft.index(families, catalog.row());
        let applied = entries.draft_into(draft, families);
        Box::new(move |commit| {
            // Rows as of an earlier commit lack the postings written now.
            catalog.since = commit;
            *self.catalog.write() = catalog;
            self.apply(applied, commit);
            self.cache.clear(commit);
        })
    }
}
