//! Verifies that postings and documents agree on words, both ways.
//!
//! Each side is summed up as the number of its entries, and a sum of their hashes that does not
//! depend on their order.

use std::hash::RandomState;
use std::sync::Arc;

use super::FullTextIndex;
use super::lookup::{WordPattern, totals_of};
use crate::collection::derived::entry_sum::EntrySum;
use crate::collection::derived::source::RowSource;
use crate::error::{Error, Result};
use crate::store::format::key;
use crate::store::format::record::DocumentRow;
use crate::store::format::words::{WordsRow, read_chunk};
use crate::store::storage;
use crate::text::list::{CHUNK, List};

/// Verifies every posting against the documents, every document against the postings, and cached
/// lists against the rows.
pub(super) fn verify(index: &FullTextIndex, source: RowSource<'_>) -> Result<()> {
    let (progress, stored) = (*index.progress.read(), source.words()?);
    if !index.is_wanted || index.condition.is_damaged() {
        return Ok(());
    }
    let differs = |detail: String| Error::corruption("words", detail);
    if stored != Some(progress.row) {
        return Err(differs(format!("expected {:?} on disk, got {stored:?}", progress.row)));
    }
    let (mut of_rows, mut of_documents) = (EntrySum::default(), EntrySum::default());
    let hasher = RandomState::new();
    source.scan(&source.families.postings, key::words_range(""), |key, row| {
        let (word, chunk) = key::read_word(key)?;
        for posting in read_chunk(row)? {
            let slot = chunk * CHUNK + u32::from(posting.place);
            if progress.row.is_whole() {
                of_rows.add(&hasher, (word, slot, posting.n_times, posting.length));
            }
        }
        Ok(())
    })?;
    if !progress.row.is_whole() {
        return Ok(());
    }
    source.scan(&source.families.documents, key::document_range(), |key, row| {
        let (slot, row) = (key::read_document(key)?.0, DocumentRow::decode(row)?);
        let words = index.count(row.text.as_deref(), &row.metadata);
        let length = words.length;
        for (word, n_times) in words.iter().chain((length > 0).then_some(("", 1))) {
            of_documents.add(&hasher, (word, slot, n_times, length));
        }
        Ok(())
    })?;
    if of_rows != of_documents {
        let (expected, got) = (of_documents.n_entries, of_rows.n_entries);
        return Err(differs(format!("expected {expected} entries, got {got}, or others of them")));
    }
    verify_cached(index, source)
}

/// Verifies that cached lists and totals are those on disk.
fn verify_cached(index: &FullTextIndex, source: RowSource<'_>) -> Result<()> {
    let mut cached: Vec<(WordPattern, Arc<List>)> = Vec::new();
    index.cache.each_list(|wanted, list| cached.push((wanted.clone(), list.clone())));
    for (wanted, list) in cached {
        if source.list(&index.analysis, &wanted)? != *list {
            return Err(Error::corruption("words", format!("{wanted:?} is held wrongly")));
        }
    }
    match index.cache.held_totals() {
        Some(totals) if totals != totals_of(&source.list_of_word("")?) => {
            Err(Error::corruption("words", format!("the totals are held wrongly: {totals:?}")))
        }
        _ => Ok(()),
    }
}

impl RowSource<'_> {
    /// How far the full-text index is; `None` if there is none.
    pub(crate) fn words(self) -> Result<Option<WordsRow>> {
        let row = self.rocks.get(&self.families.postings, self.snapshot, key::WORDS);
        row.map_err(storage("reading an index"))?.map(|bytes| WordsRow::decode(&bytes)).transpose()
    }
}
