//! What a commit changes in the index of words: gathered document by document, written as one change for each chunk of
//! each word.

use std::collections::HashMap;

use crate::id::Slot;
use crate::store::draft::Draft;
use crate::store::family::Families;
use crate::text::analyzer::WordCounts;
use crate::text::list::{ChunkChange, Posting, split};

/// Changes of a commit in the making, word by word and chunk by chunk.
#[derive(Default)]
pub(crate) struct WordEntries {
    changes: HashMap<Box<str>, Vec<(u32, ChunkChange)>>,
    n_documents: i64,
    n_words: i64,
}

/// What memory has to take over from a commit.
#[derive(Default)]
pub(crate) struct Applied {
    pub(super) changes: HashMap<Box<str>, Vec<(u32, ChunkChange)>>,
    /// By how many there are more documents that have words, and more words.
    pub(super) n_documents: i64,
    pub(super) n_words: i64,
}

impl WordEntries {
    /// A slot is given these words.
    pub(crate) fn put(&mut self, slot: Slot, words: WordCounts) {
        let length = words.length;
        if length == 0 {
            return;
        }
        let (chunk, place) = split(slot.0);
        let everyone = (Box::from(""), 1);
        for (word, n_times) in words.counts.into_iter().chain([everyone]) {
            self.change(word, chunk).put.push(Posting { place, n_times, length });
        }
        self.n_documents += 1;
        self.n_words += i64::from(length);
    }

    /// A slot loses these words. Call it before a `put` that gives the slot others.
    pub(crate) fn remove(&mut self, slot: Slot, words: WordCounts) {
        let length = words.length;
        if length == 0 {
            return;
        }
        let (chunk, place) = split(slot.0);
        for word in words.counts.into_iter().map(|(word, _)| word).chain([Box::from("")]) {
            self.change(word, chunk).removed.push(place);
        }
        self.n_documents -= 1;
        self.n_words -= i64::from(length);
    }

    fn change(&mut self, word: Box<str>, chunk: u32) -> &mut ChunkChange {
        let chunks = self.changes.entry(word).or_default();
        let at = chunks.iter().rposition(|(number, _)| *number == chunk).unwrap_or_else(|| {
            chunks.push((chunk, ChunkChange::default()));
            chunks.len() - 1
        });
        &mut chunks[at].1
    }

    /// Puts the changes into a draft, and returns them for memory.
    pub(crate) fn draft_into(self, draft: &mut Draft, families: &Families) -> Applied {
        let WordEntries { mut changes, n_documents, n_words } = self;
        for (word, chunks) in &mut changes {
            for (chunk, change) in chunks {
                change.settle();
                draft.word(families, word, *chunk, change);
            }
        }
        Applied { changes, n_documents, n_words }
    }
}
