//! The full-text index: an inverted index from words to the slots that have them, and how often.
//!
//! Postings are written in the batch of their documents, and read as of the commit that a search
//! sees. Lists that are asked for are cached. The index is derived data: where it is incomplete or
//! damaged, searches read the documents instead.
//!
//! | file | owns |
//! |---|---|
//! | [`changes`] | the changes of a commit |
//! | [`cache`] | cached posting lists |
//! | [`lookup`] | posting lists for the words of a query |
//! | [`build`] | building the index |
//! | [`verify`] | verifying postings against documents |
//!
//! It knows texts, slots and rows of the store, but neither vectors nor ranking.

mod build;
mod cache;
pub(super) mod changes;
pub(crate) mod lookup;
mod verify;

use parking_lot::RwLock;

use self::cache::WordCache;
use self::changes::AppliedWords;
use super::derived::index::{Condition, END};
use super::derived::source::RowSource;
use crate::config::CollectionConfig;
use crate::filter::Filter;
use crate::filter::extract::strings_of;
use crate::id::Commit;
use crate::store::format::record::DocumentRow;
use crate::store::format::words::WordsRow;
use crate::text::analyzer::{Analysis, Token, VERSION};
use crate::text::counts::WordCounts;
use crate::text::query::Parsed;
use crate::value::Value;

/// The in-memory part of a collection's full-text index.
pub(crate) struct FullTextIndex {
    pub(crate) analysis: Analysis,
    /// Paths of metadata whose strings count as text.
    fields: Vec<String>,
    /// Whether words are indexed at all.
    is_wanted: bool,
    progress: RwLock<BuildProgress>,
    cache: WordCache,
    condition: Condition,
}

/// How far the index is built.
#[derive(Debug, Clone, Copy)]
struct BuildProgress {
    row: WordsRow,
    /// The commit from which on `row` holds.
    since: Commit,
}

impl WordsRow {
    /// The row of a complete index.
    fn whole() -> Self {
        WordsRow { analyzer_version: VERSION, cursor: END }
    }

    /// The row of an empty index.
    fn nothing() -> Self {
        WordsRow { analyzer_version: VERSION, cursor: 0 }
    }

    fn is_whole(self) -> bool {
        self == WordsRow::whole()
    }
}

impl FullTextIndex {
    /// The index of a collection without documents.
    pub(super) fn begin(config: &CollectionConfig) -> Self {
        FullTextIndex::new(Some(WordsRow::whole()), config)
    }

    /// The index as it is stored. Without a readable state, or with one of another analyzer
    /// `VERSION`, it is rebuilt.
    pub(super) fn read(source: RowSource<'_>) -> Self {
        let row = source.words().inspect_err(|error| tracing::warn!("the full-text index is rebuilt: {error}"));
        FullTextIndex::new(row.ok().flatten(), source.config)
    }

    fn new(row: Option<WordsRow>, config: &CollectionConfig) -> Self {
        let row = row.filter(|row| row.analyzer_version == VERSION);
        FullTextIndex {
            analysis: Analysis::new(config.analyzer),
            fields: config.text_fields.clone(),
            is_wanted: config.index_text,
            condition: Condition::new(row.is_none()),
            progress: RwLock::new(BuildProgress { row: row.unwrap_or(WordsRow::nothing()), since: Commit(0) }),
            cache: WordCache::new(0),
        }
    }

    /// The index with a cache of `most_bytes` bytes.
    pub(super) fn with_cache(self, most_bytes: usize) -> Self {
        FullTextIndex { cache: WordCache::new(most_bytes), ..self }
    }

    /// The words of a document; none if words are not indexed.
    pub(crate) fn count(&self, text: Option<&str>, metadata: &Value) -> WordCounts {
        match self.is_wanted {
            true => WordCounts::of(&self.analysis, self.texts(text, metadata)),
            false => WordCounts::default(),
        }
    }

    /// Whether metadata is part of the indexed text.
    pub(crate) fn reads_metadata(&self) -> bool {
        self.is_wanted && !self.fields.is_empty()
    }

    fn texts<'d>(&'d self, text: Option<&'d str>, metadata: &'d Value) -> impl Iterator<Item = &'d str> {
        text.into_iter().chain(self.fields.iter().flat_map(|path| strings_of(metadata, path)))
    }

    /// The tokens of each of a document's texts, in order.
    pub(crate) fn tokens(&self, row: &DocumentRow) -> Vec<Vec<Token<Box<str>>>> {
        self.texts(row.text.as_deref(), &row.metadata).map(|text| self.analysis.tokens(text)).collect()
    }

    /// Shows the tokens of a document's texts, in order.
    fn each_token(&self, row: &DocumentRow, mut show: impl FnMut(Token<&str>)) {
        let texts = self.texts(row.text.as_deref(), &row.metadata);
        texts.for_each(|text| self.analysis.each_token(text, &mut show));
    }

    /// Whether a document matches a filter, including its conditions on text.
    pub(crate) fn match_filter(&self, filter: &Filter, row: &DocumentRow) -> bool {
        filter.matches_with(&row.metadata, &|text| Parsed::new(&self.analysis, text).is_all_in(&self.tokens(row)))
    }

    /// Takes over the changes of a commit that is not published yet.
    pub(crate) fn apply(&self, applied: &AppliedWords, commit: Commit) {
        self.cache.apply(applied, commit);
    }

    /// Whether postings are complete as of `commit`.
    fn is_whole(&self, commit: Commit) -> bool {
        let progress = *self.progress.read();
        self.is_wanted && !self.condition.is_damaged() && progress.row.is_whole() && progress.since <= commit
    }
}
