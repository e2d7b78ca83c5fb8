//! Verifies that postings and documents agree on words, both ways.
//!
//! Each side is summed up as the number of its entries, and a sum of their hashes that does not
//! depend on their order.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::lookup::{WordPattern, totals_of};
use crate::collection::derived::source::RowSource;
use crate::collection::open::OpenCollection;
use crate::error::{Error, Result};
use crate::store::format::key;
use crate::store::format::record::DocumentRow;
use crate::store::format::words::{WordsRow, read_chunk};
use crate::store::{View, storage};
use crate::text::list::{CHUNK, List, Posting, split};

/// The number of entries, and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct WordSum {
    n_entries: u64,
    of_hashes: u128,
}

impl WordSum {
    fn add(&mut self, hasher: &RandomState, word: &str, slot: u32, posting: Posting) {
        let Posting { n_times, length, .. } = posting;
        let half = |salt: u8| u128::from(hasher.hash_one((salt, word, slot, n_times, length)));
        self.n_entries += 1;
        self.of_hashes = self.of_hashes.wrapping_add(half(0) << 64 | half(1));
    }
}

impl OpenCollection {
    /// Verifies every posting against the documents, every document against the postings, and
    /// cached lists against the rows. The caller ensures that nothing is committed meanwhile.
    pub(crate) fn verify_words(&self, source: RowSource<'_>, view: &View) -> Result<()> {
        let (progress, stored) = (*self.words.progress.read(), source.words()?);
        if !self.words.is_wanted || self.words.is_damaged() {
            return Ok(());
        }
        let differs = |detail: String| Error::corruption("words", detail);
        if stored != Some(progress.row) {
            return Err(differs(format!("expected {:?} on disk, got {stored:?}", progress.row)));
        }
        let (mut of_rows, mut of_documents, hasher) = (WordSum::default(), WordSum::default(), RandomState::new());
        source.scan(&self.families.postings, key::words_range(""), |key, row| {
            let (word, chunk) = key::read_word(key)?;
            for posting in read_chunk(row)? {
                let slot = chunk * CHUNK + u32::from(posting.place);
                if progress.row.is_whole() {
                    of_rows.add(&hasher, word, slot, posting);
                }
            }
            Ok(())
        })?;
        if !progress.row.is_whole() {
            return Ok(());
        }
        source.scan(&self.families.documents, key::document_range(), |key, row| {
            let (slot, row) = (key::read_document(key)?.0, DocumentRow::decode(row)?);
            let words = self.words.count(row.text.as_deref(), &row.metadata);
            let (length, place) = (words.length, split(slot).1);
            for (word, n_times) in words.iter().chain((length > 0).then_some(("", 1))) {
                of_documents.add(&hasher, word, slot, Posting { place, n_times, length });
            }
            Ok(())
        })?;
        if of_rows != of_documents {
            let (expected, got) = (of_documents.n_entries, of_rows.n_entries);
            return Err(differs(format!("expected {expected} entries, got {got}, or others of them")));
        }
        self.verify_held_words(view)
    }

    fn verify_held_words(&self, view: &View) -> Result<()> {
        let mut held: Vec<(WordPattern, Arc<List>)> = Vec::new();
        self.words.cache.each_list(|wanted, list| held.push((wanted.clone(), list.clone())));
        for (wanted, list) in held {
            if self.read_wanted(view, &wanted)? != *list {
                return Err(Error::corruption("words", format!("{wanted:?} is held wrongly")));
            }
        }
        match self.words.cache.held_totals() {
            Some(totals) if totals != totals_of(&self.read_list(view, "")?) => {
                Err(Error::corruption("words", format!("the totals are held wrongly: {totals:?}")))
            }
            _ => Ok(()),
        }
    }
}

impl RowSource<'_> {
    /// How far the full-text index is; `None` if there is none.
    pub(crate) fn words(self) -> Result<Option<WordsRow>> {
        let row = self.rocks.get(&self.families.postings, self.snapshot, key::WORDS);
        row.map_err(storage("reading an index"))?.map(|bytes| WordsRow::decode(&bytes)).transpose()
    }
}
