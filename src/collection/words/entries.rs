//! What a commit changes in the index of words: gathered document by document, written as one change for each chunk of
//! each word, in the order of their rows.

use crate::id::Slot;
use crate::store::draft::Draft;
use crate::store::family::Families;
use crate::text::bag::{Bag, Entry};
use crate::text::counts::WordCounts;
use crate::text::list::{ChunkChange, Posting, split};

/// Changes of a commit in the making.
#[derive(Default)]
pub(crate) struct WordEntries {
    changes: Bag<Change>,
    n_documents: i64,
    n_words: i64,
}

/// What memory has to take over from a commit.
#[derive(Default)]
pub(crate) struct Applied {
    /// Sorted.
    pub(super) changes: Bag<Change>,
    /// By how many there are more documents that have words, and more words.
    pub(super) n_documents: i64,
    pub(super) n_words: i64,
}

/// A word's change in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    chunk: u32,
    place: u16,
    is_removed: bool,
    n_times: u16,
    length: u32,
}

impl WordEntries {
    /// A slot is given these words.
    pub(crate) fn put(&mut self, slot: Slot, words: &WordCounts) {
        let length = words.length;
        if length == 0 {
            return;
        }
        self.change(slot, words, false);
        self.n_documents += 1;
        self.n_words += i64::from(length);
    }

    /// A slot loses these words. A `put` that gives it others counts for those it has again.
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
            self.changes.push(["", word], Change { chunk, place, is_removed, n_times, length });
        }
    }

    /// Puts the changes into a draft, and returns them for memory.
    pub(crate) fn draft_into(self, draft: &mut Draft, families: &Families) -> Applied {
        let WordEntries { mut changes, n_documents, n_words } = self;
        changes.sort();
        for (word, entries) in changes.groups() {
            for (chunk, change) in by_chunk(entries) {
                draft.word(families, word, chunk, &change);
            }
        }
        Applied { changes, n_documents, n_words }
    }
}

/// The changes of one word, chunk by chunk.
pub(super) fn by_chunk(entries: &[Entry<Change>]) -> impl Iterator<Item = (u32, ChunkChange)> {
    entries.chunk_by(|a, b| a.with.chunk == b.with.chunk).map(|entries| {
        let mut change = ChunkChange::default();
        for Entry { with: Change { place, is_removed, n_times, length, .. }, .. } in entries {
            match is_removed {
                true => change.removed.push(*place),
                false => change.put.push(Posting { place: *place, n_times: *n_times, length: *length }),
            }
        }
        change.settle();
        (entries[0].with.chunk, change)
    })
}
