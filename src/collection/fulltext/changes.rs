//! The changes that a commit makes to the full-text index. They are gathered document by document,
//! and written as one change for each chunk of each word, in the order of rows.

use crate::id::Slot;
use crate::store::commit::draft::Draft;
use crate::store::family::Families;
use crate::text::bag::{Bag, BagEntry};
use crate::text::counts::WordCounts;
use crate::text::list::{Posting, WordChunkChange, split};

/// The changes of a commit that is being made.
#[derive(Default)]
pub(crate) struct WordEntries {
    changes: Bag<WordChange>,
    n_documents: i64,
    n_words: i64,
}

/// The changes that memory takes over from a commit.
#[derive(Default)]
pub(crate) struct AppliedWords {
    /// Sorted by word.
    pub(super) changes: Bag<WordChange>,
    /// Growth of the number of documents that have words.
    pub(super) n_documents: i64,
    /// Growth of the number of words of all documents.
    pub(super) n_words: i64,
}

/// The change of one word in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WordChange {
    chunk: u32,
    place: u16,
    is_removed: bool,
    n_times: u16,
    length: u32,
}

impl WordEntries {
    /// Adds the words of a slot's document.
    pub(crate) fn put(&mut self, slot: Slot, words: &WordCounts) {
        let length = words.length;
        if length == 0 {
            return;
        }
        self.change(slot, words, false);
        self.n_documents += 1;
        self.n_words += i64::from(length);
    }

    /// Removes the words of a slot's document. If the same commit puts a word into the slot, the
    /// `put` counts.
    pub(crate) fn remove(&mut self, slot: Slot, words: &WordCounts) {
        let length = words.length;
        if length == 0 {
            return;
        }
        self.change(slot, words, true);
        self.n_documents -= 1;
        self.n_words -= i64::from(length);
    }

    fn change(&mut self, slot: Slot, words: &WordCounts, is_removed: bool) {
        let (n_words, n_bytes) = words.size();
        self.changes.reserve(n_words + 1, n_bytes);
        let ((chunk, place), length) = (split(slot.0), words.length);
        for (word, n_times) in words.iter().chain([("", 1)]) {
            self.changes.push(["", word], WordChange { chunk, place, is_removed, n_times, length });
        }
    }

    /// Writes the changes to `draft`, and returns them for memory.
    pub(crate) fn draft_into(self, draft: &mut Draft, families: &Families) -> AppliedWords {
        let WordEntries { mut changes, n_documents, n_words } = self;
        changes.sort();
        for (word, entries) in changes.groups() {
            for (chunk, change) in by_chunk(entries) {
                draft.word(families, word, chunk, &change);
            }
        }
        AppliedWords { changes, n_documents, n_words }
    }
}

/// The changes of one word, chunk by chunk.
pub(super) fn by_chunk(entries: &[BagEntry<WordChange>]) -> impl Iterator<Item = (u32, WordChunkChange)> {
    entries.chunk_by(|a, b| a.with.chunk == b.with.chunk).map(|entries| {
        let mut change = WordChunkChange::default();
        for BagEntry { with: WordChange { place, is_removed, n_times, length, .. }, .. } in entries {
            match is_removed {
                true => change.removed.push(*place),
                false => change.put.push(Posting { place: *place, n_times: *n_times, length: *length }),
            }
        }
        change.settle();
        (entries[0].with.chunk, change)
    })
}
