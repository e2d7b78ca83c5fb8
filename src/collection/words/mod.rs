//! The index of words: which slots have which word, and how often.
//!
//! Postings are written in the batch of the documents they are of, and read as of the commit that a search sees; what
//! is asked for often is held in memory. All of it is derived: what is not indexed yet, or damaged, is told from the
//! documents themselves.
//!
//! | file | owns |
//! |---|---|
//! | [`entries`] | what a commit changes |
//! | [`cache`] | what is held in memory |
//! | [`lookup`] | the documents that have the words of a query |
//! | [`build`] | indexing documents that were there before |
//! | [`proof`] | holding postings against documents |
//!
//! It knows texts, slots and rows of the store, but neither vectors nor how documents are ranked.

mod build;
mod cache;
pub(crate) mod entries;
pub(crate) mod lookup;
mod proof;

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use self::cache::Cache;
use self::entries::Applied;
use super::waiting::Waiting;
use crate::config::CollectionConfig;
use crate::filter::Filter;
use crate::filter::extract::strings_of;
use crate::id::Commit;
use crate::store::record::DocumentRow;
use crate::store::words::WordsRow;
use crate::text::analyzer::{Analysis, Token, VERSION};
use crate::text::counts::WordCounts;
use crate::text::query::Parsed;
use crate::value::Value;

/// A collection's index of words, as far as it is in memory.
pub(crate) struct Words {
    pub(crate) analysis: Analysis,
    /// Paths of metadata whose strings count as text.
    fields: Vec<String>,
    /// Whether words are indexed at all.
    is_wanted: bool,
    progress: RwLock<Progress>,
    cache: Cache,
    /// A row could not be read: nothing is told from postings until they have been made anew.
    is_damaged: AtomicBool,
    built: Waiting,
}

/// How far the index is.
#[derive(Debug, Clone, Copy)]
struct Progress {
    row: WordsRow,
    /// From this commit on.
    since: Commit,
}

impl WordsRow {
    /// Of an index that has everything.
    pub(crate) fn whole() -> Self {
        WordsRow { analyzer_version: VERSION, cursor: u32::MAX }
    }

    /// Of an index that has nothing.
    fn nothing() -> Self {
        WordsRow { analyzer_version: VERSION, cursor: 0 }
    }

    fn is_whole(self) -> bool {
        self == WordsRow::whole()
    }
}

impl Words {
    /// What is known of a collection's words, and room for so many bytes of postings. Without anything known, or where
    /// it is of other rules, all is made anew.
    pub(crate) fn new(row: Option<WordsRow>, config: &CollectionConfig, most_bytes: usize) -> Self {
        let row = row.filter(|row| row.analyzer_version == VERSION);
        Words {
            analysis: Analysis::new(config.analyzer),
            fields: config.text_fields.clone(),
            is_wanted: config.index_text,
            is_damaged: row.is_none().into(),
            progress: RwLock::new(Progress { row: row.unwrap_or(WordsRow::nothing()), since: Commit(0) }),
            cache: Cache::new(most_bytes),
            built: Waiting::default(),
        }
    }

    /// The words of a document, or none where they are not indexed.
    pub(crate) fn count(&self, text: Option<&str>, metadata: &Value) -> WordCounts {
        match self.is_wanted {
            true => WordCounts::of(&self.analysis, self.texts(text, metadata)),
            false => WordCounts::default(),
        }
    }

    /// Whether metadata is part of what is indexed.
    pub(crate) fn reads_metadata(&self) -> bool {
        self.is_wanted && !self.fields.is_empty()
    }

    fn texts<'d>(&'d self, text: Option<&'d str>, metadata: &'d Value) -> impl Iterator<Item = &'d str> {
        text.into_iter().chain(self.fields.iter().flat_map(|path| strings_of(metadata, path)))
    }

    /// What each of a document's texts is made of, in order.
    pub(crate) fn tokens(&self, row: &DocumentRow) -> Vec<Vec<Token<Box<str>>>> {
        self.texts(row.text.as_deref(), &row.metadata).map(|text| self.analysis.tokens(text)).collect()
    }

    /// Shows what a document's texts are made of, in order.
    fn each_token(&self, row: &DocumentRow, mut show: impl FnMut(Token<&str>)) {
        let texts = self.texts(row.text.as_deref(), &row.metadata);
        texts.for_each(|text| self.analysis.each_token(text, &mut show));
    }

    /// Whether a document matches a filter, also where that asks for words.
    pub(crate) fn match_filter(&self, filter: &Filter, row: &DocumentRow) -> bool {
        filter.matches_with(&row.metadata, &|text| Parsed::new(&self.analysis, text).is_all_in(&self.tokens(row)))
    }

    /// Takes over what a commit that is not published yet has changed.
    pub(crate) fn apply(&self, applied: &Applied, commit: Commit) {
        self.cache.apply(applied, commit);
    }

    /// Whether postings are still being made.
    pub(crate) fn is_building(&self) -> bool {
        self.is_wanted && (self.is_damaged() || !self.progress.read().row.is_whole())
    }

    /// Whether postings tell everything as of a commit.
    fn is_whole(&self, commit: Commit) -> bool {
        let progress = *self.progress.read();
        self.is_wanted && !self.is_damaged() && progress.row.is_whole() && progress.since <= commit
    }

    fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Acquire)
    }

    /// Where to wait until postings have been made.
    pub(crate) fn waiting(&self) -> &Waiting {
        &self.built
    }

    /// Has those who wait look again.
    pub(crate) fn ring(&self) {
        self.built.ring();
    }

    /// Bytes of memory for postings that are held.
    pub(crate) fn n_bytes(&self) -> usize {
        self.cache.n_bytes()
    }
}
