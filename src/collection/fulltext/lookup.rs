//! Posting lists for the words of a query, as of one commit.
//!
//! Lists that are cached since before that commit are used. Others are read from the rows of the
//! commit, and cached. Where the index is incomplete or damaged, all documents are read instead.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::FullTextIndex;
use crate::cancel::Stop;
use crate::collection::derived::context::Context;
use crate::collection::derived::index::DerivedIndex;
use crate::collection::derived::source::RowSource;
use crate::error::Result;
use crate::filter::slots::{Bounds, SlotSet};
use crate::store::View;
use crate::store::format::key;
use crate::store::format::record::DocumentRow;
use crate::store::format::words::read_chunk;
use crate::text::analyzer::{Analysis, FORM, Token, stem_begins};
use crate::text::list::{CHUNK, List, Posting, WordChunk, split};
use crate::text::query::{Parsed, QueryItem};
use crate::text::rank::Totals;

/// The posting lists of a query, as of one commit.
pub(crate) struct QueryLists {
    /// The posting list of each different word, and how often the query has the word, in the
    /// query's order.
    pub(crate) lists: Vec<(Arc<List>, usize)>,
    pub(crate) totals: Totals,
    /// Documents that have all words of the query's phrases, perhaps not side by side. `None`
    /// without phrases.
    pub(crate) required: Option<RoaringBitmap>,
}

/// A word, or a beginning of words (`form`) with its stem.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum WordPattern {
    Word(Box<str>),
    Beginning { form: Box<str>, stem: Box<str> },
}

impl WordPattern {
    fn of(item: &QueryItem) -> Vec<WordPattern> {
        match item {
            QueryItem::Word(word) => vec![WordPattern::Word(word.clone())],
            QueryItem::Beginning { form, stem } => {
                vec![WordPattern::Beginning { form: form.clone(), stem: stem.clone() }]
            }
            QueryItem::Phrase(phrase) => phrase.words.iter().cloned().map(WordPattern::Word).collect(),
        }
    }

    fn is(&self, token: &Token<&str>) -> bool {
        match self {
            WordPattern::Word(word) => token.is(word),
            WordPattern::Beginning { form, stem } => token.begins(form, stem),
        }
    }
}

/// The posting lists of a collection at a commit.
#[derive(Clone, Copy)]
pub(crate) struct WordLookup<'l> {
    pub(in crate::collection) index: &'l FullTextIndex,
    pub(in crate::collection) context: &'l Context,
    pub(in crate::collection) view: &'l View,
}

impl WordLookup<'_> {
    /// The posting lists of a query's words.
    pub(crate) fn ask(&self, parsed: &Parsed, stop: &Stop) -> Result<QueryLists> {
        let mut counts: Vec<(WordPattern, usize)> = Vec::new();
        for wanted in parsed.items.iter().flat_map(WordPattern::of) {
            match counts.iter_mut().find(|(other, _)| *other == wanted) {
                Some((_, n_asked)) => *n_asked += 1,
                None => counts.push((wanted, 1)),
            }
        }
        let wanted: Vec<&WordPattern> = counts.iter().map(|(wanted, _)| wanted).collect();
        let (lists, totals) = match self.told_lists(&wanted) {
            Some(told) => told,
            None => self.lists_of_documents(&wanted, stop)?,
        };
        let list_of = |word: &str| {
            let at = counts.iter().position(|(wanted, _)| *wanted == WordPattern::Word(word.into()));
            at.map_or_else(RoaringBitmap::new, |at| lists[at].to_bitmap())
        };
        let required =
            parsed.phrases().flat_map(|phrase| &phrase.words).map(|word| list_of(word)).reduce(|all, one| all & one);
        let lists = lists.into_iter().zip(&counts).map(|(list, (_, n_asked))| (list, *n_asked)).collect();
        Ok(QueryLists { lists, totals, required })
    }

    /// The slots whose documents have all that `text` asks for, as definite and possible matches.
    pub(crate) fn bounds(&self, text: &str) -> Bounds {
        let parsed = Parsed::new(&self.index.analysis, text);
        let wanted: Vec<WordPattern> = parsed.items.iter().flat_map(WordPattern::of).collect();
        let Some((lists, _)) = self.told_lists(&wanted.iter().collect::<Vec<_>>()) else {
            return Bounds::at_most(SlotSet::all());
        };
        let all = lists.iter().map(|list| list.to_bitmap()).reduce(|all, one| all & one).unwrap_or_default();
        let slots = SlotSet::Only(Arc::new(all));
        match parsed.has_long_phrases() {
            true => Bounds::at_most(slots),
            false => Bounds::exactly(slots),
        }
    }

    /// Posting lists from the index; `None` if it is incomplete or damaged.
    fn told_lists(&self, wanted: &[&WordPattern]) -> Option<(Vec<Arc<List>>, Totals)> {
        if !self.index.is_whole(self.view.commit) {
            return None;
        }
        let told = || {
            let lists = wanted.iter().map(|wanted| self.list(wanted));
            Ok((lists.collect::<Result<_>>()?, self.totals()?))
        };
        told()
            .inspect_err(|error: &crate::error::Error| {
                tracing::error!("the full-text index is rebuilt, and searches read documents meanwhile: {error}");
                self.index.rebuild(self.context);
            })
            .ok()
    }

    fn list(&self, wanted: &WordPattern) -> Result<Arc<List>> {
        if let Some(list) = self.index.cache.list(wanted, self.view.commit) {
            return Ok(list);
        }
        let list = Arc::new(self.source().list(&self.index.analysis, wanted)?);
        self.index.cache.put(wanted.clone(), &list, self.view.commit);
        Ok(list)
    }

    fn totals(&self) -> Result<Totals> {
        if let Some(totals) = self.index.cache.totals(self.view.commit) {
            return Ok(totals);
        }
        let totals = totals_of(&self.source().list_of_word("")?);
        self.index.cache.put_totals(totals, self.view.commit);
        Ok(totals)
    }

    fn source(&self) -> RowSource<'_> {
        self.context.source(Some(&self.view.snapshot))
    }

    /// Posting lists made by reading all documents.
    fn lists_of_documents(&self, wanted: &[&WordPattern], stop: &Stop) -> Result<(Vec<Arc<List>>, Totals)> {
        let mut gathered: Vec<Vec<(u32, Posting)>> = vec![Vec::new(); wanted.len()];
        let mut totals = Totals::default();
        let (from, to) = key::document_range();
        self.source().each_document((&from, &to), |key, value| {
            // Checked for each document, since a long one takes time.
            stop.check()?;
            let (slot, row) = (key::read_document(key)?, DocumentRow::decode(value)?);
            let (mut length, mut n_times) = (0u32, vec![0u16; wanted.len()]);
            self.index.each_token(&row, |token| {
                length = length.saturating_add(token.length());
                for (n_times, wanted) in n_times.iter_mut().zip(wanted) {
                    *n_times = n_times.saturating_add(wanted.is(&token).into());
                }
            });
            totals.n_documents += u64::from(length > 0);
            totals.n_words += u64::from(length);
            let (chunk, place) = split(slot.0);
            for (postings, n_times) in gathered.iter_mut().zip(n_times).filter(|(_, n_times)| *n_times > 0) {
                postings.push((chunk, Posting { place, n_times, length }));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        // Documents come in the order of their slots, so postings are in order.
        let list = |postings: Vec<(u32, Posting)>| {
            let chunks = postings.chunk_by(|a, b| a.0 == b.0).map(|own| {
                let postings = own.iter().map(|(_, posting)| *posting).collect();
                (own[0].0, Arc::new(WordChunk::new(postings)))
            });
            Arc::new(List::new(chunks.collect()))
        };
        Ok((gathered.into_iter().map(list).collect(), totals))
    }
}

impl RowSource<'_> {
    /// A posting list, read from rows.
    pub(super) fn list(self, analysis: &Analysis, wanted: &WordPattern) -> Result<List> {
        match wanted {
            WordPattern::Word(word) => self.list_of_word(word),
            WordPattern::Beginning { form, stem } => self.list_of_beginning(analysis, form, stem),
        }
    }

    /// The posting list of a word, read from rows.
    pub(super) fn list_of_word(self, word: &str) -> Result<List> {
        let mut chunks = Vec::new();
        self.each_word_row(key::word_range(word), |_, chunk, postings| {
            if !postings.is_empty() {
                chunks.push((chunk, Arc::new(WordChunk::new(postings))));
            }
        })?;
        Ok(List::new(chunks))
    }

    /// The list of all words that begin with `form`, in their form or by their stem, or that have
    /// the stem `stem`. An occurrence counts once: the rows of a form are skipped if those of its
    /// stem count.
    fn list_of_beginning(self, analysis: &Analysis, form: &str, stem: &str) -> Result<List> {
        let mut lists: HashMap<Box<str>, Vec<(u32, Arc<WordChunk>)>> = HashMap::new();
        let mut add = |word: &str, chunk, postings: Vec<Posting>| {
            if !postings.is_empty() {
                lists.entry(word.into()).or_default().push((chunk, Arc::new(WordChunk::new(postings))));
            }
        };
        self.each_word_row(key::words_range(form), &mut add)?;
        if analysis.stems() {
            self.each_word_row(key::words_range(&[FORM, form].concat()), |marked, chunk, postings| {
                let own = analysis.stem(marked.trim_start_matches(FORM));
                if !stem_begins(&own, form, stem) {
                    add(marked, chunk, postings);
                }
            })?;
            if !stem.starts_with(form) {
                self.each_word_row(key::word_range(stem), &mut add)?;
            }
        }
        Ok(List::union(&lists.into_values().map(|chunks| Arc::new(List::new(chunks))).collect::<Vec<_>>()))
    }

    fn each_word_row(self, (from, to): key::KeyRange, mut show: impl FnMut(&str, u32, Vec<Posting>)) -> Result<()> {
        self.each_posting((&from, &to), |key, row| {
            let (word, chunk) = key::read_word(key)?;
            show(word, chunk, read_chunk(row)?);
            Ok(ControlFlow::Continue(()))
        })
    }
}

/// The totals, computed from the list of the empty word, which has all documents.
pub(super) fn totals_of(list: &List) -> Totals {
    let lengths = list.chunks().iter().flat_map(|(_, chunk)| chunk.postings()).map(|posting| u64::from(posting.length));
    debug_assert!(list.chunks().iter().all(|(_, chunk)| chunk.postings().len() <= CHUNK as usize));
    Totals { n_documents: list.len() as u64, n_words: lengths.sum() }
}
