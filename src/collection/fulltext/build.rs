//! Builds the full-text index.

use super::changes::WordEntries;
use super::{BuildProgress, FullTextIndex, verify};
use crate::collection::derived::context::Context;
use crate::collection::derived::index::{Apply, Condition, DerivedIndex, each_of_piece};
use crate::collection::derived::job::Job;
use crate::collection::derived::source::RowSource;
use crate::error::Result;
use crate::store::commit::draft::Draft;
use crate::store::family::Families;
use crate::store::format::words::WordsRow;

impl DerivedIndex for FullTextIndex {
    fn job(&self) -> Job {
        Job::IndexText
    }

    fn failpoint(&self) -> &'static str {
        "words.built"
    }

    fn condition(&self) -> &Condition {
        &self.condition
    }

    fn is_building(&self) -> bool {
        self.is_wanted && (self.condition.is_damaged() || !self.progress.read().row.is_whole())
    }

    fn n_indexed(&self, n_slots: usize) -> Option<usize> {
        let n_done = match self.progress.read().row {
            _ if self.condition.is_damaged() => 0,
            row if row.is_whole() => n_slots,
            row => row.cursor as usize,
        };
        self.is_wanted.then_some(n_done)
    }

    fn n_bytes(&self) -> usize {
        self.cache.n_bytes()
    }

    fn draft_state(&self, draft: &mut Draft, families: &Families) {
        draft.words(families, self.progress.read().row);
    }

    fn draft_empty(&self, draft: &mut Draft, families: &Families) -> Apply<'_> {
        draft.drop_all_words(families);
        self.draft(draft, families, WordEntries::default(), WordsRow::nothing())
    }

    fn draft_piece(&self, draft: &mut Draft, context: &Context) -> Result<Apply<'_>> {
        let (before, mut entries) = (self.progress.read().row, WordEntries::default());
        let cursor = each_of_piece(context, before.cursor, |slot, row| {
            entries.put(slot, &self.count(row.text.as_deref(), &row.metadata));
        })?;
        let after = WordsRow { cursor, ..before };
        if after.is_whole() {
            tracing::info!(collection = context.id.0, "words are indexed");
        }
        Ok(self.draft(draft, &context.families, entries, after))
    }

    fn verify(&self, source: RowSource<'_>) -> Result<()> {
        verify::verify(self, source)
    }
}

impl FullTextIndex {
    /// Drafts postings, and how far the index is with them.
    fn draft(&self, draft: &mut Draft, families: &Families, entries: WordEntries, row: WordsRow) -> Apply<'_> {
        draft.words(families, row);
        entries.draft_into(draft, families);
        Box::new(move |commit| {
            // Rows as of an earlier commit lack the postings written now.
            *self.progress.write() = BuildProgress { row, since: commit };
            self.cache.clear(commit);
        })
    }
}
