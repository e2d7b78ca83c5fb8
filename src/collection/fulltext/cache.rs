//! The cache of posting lists that searches asked for. Each commit updates it. If the lists take
//! too many bytes, the least recently used ones go.
//!
//! Each list has the commit since which it has not changed. A search at an earlier commit does not
//! use it.

use std::sync::Arc;

use parking_lot::Mutex;

use super::changes::{AppliedWords, by_chunk};
use super::lookup::WordPattern;
use crate::collection::derived::lru::{LruCache, LruEntry, OVERHEAD, last_evicted};
use crate::id::Commit;
use crate::text::analyzer::FORM;
use crate::text::list::{List, WordChunk};
use crate::text::rank::Totals;

pub(super) struct WordCache {
    most_bytes: usize,
    held: Mutex<CachedWords>,
}

#[derive(Default)]
struct CachedWords {
    lists: LruCache<WordPattern, List>,
    totals: Option<(Totals, Commit)>,
    /// The last commit that was applied.
    applied: Commit,
    /// Requests so far; they order lists by their last use.
    n_uses: u64,
}

impl WordCache {
    pub(super) fn new(most_bytes: usize) -> Self {
        WordCache { most_bytes, held: Mutex::default() }
    }

    pub(super) fn n_bytes(&self) -> usize {
        self.held.lock().lists.n_bytes
    }

    pub(super) fn list(&self, wanted: &WordPattern, commit: Commit) -> Option<Arc<List>> {
        let mut all = self.held.lock();
        all.n_uses += 1;
        let last_used = all.n_uses;
        all.lists.find(wanted, commit, last_used)
    }

    pub(super) fn totals(&self, commit: Commit) -> Option<Totals> {
        self.held.lock().totals.filter(|(_, since)| *since <= commit).map(|(totals, _)| totals)
    }

    /// Caches a list read at `commit`, unless a later commit was applied.
    pub(super) fn put(&self, wanted: WordPattern, list: &Arc<List>, commit: Commit) {
        let n_bytes = list.n_bytes() + OVERHEAD;
        let mut all = self.held.lock();
        if all.applied > commit || n_bytes > self.most_bytes / 2 {
            return;
        }
        let last_used = all.n_uses;
        all.lists.insert(wanted, LruEntry { value: list.clone(), since: commit, n_bytes, last_used });
        if all.lists.n_bytes > self.most_bytes
            && let Some(last) = last_evicted(all.lists.ages().collect(), self.most_bytes / 4 * 3)
        {
            all.lists.evict(last);
        }
    }

    /// Caches totals read at `commit`, unless a later commit was applied.
    pub(super) fn put_totals(&self, totals: Totals, commit: Commit) {
        let mut all = self.held.lock();
        if all.applied <= commit {
            all.totals = Some((totals, commit));
        }
    }

    /// Updates cached lists to `commit`, which is not published yet. The lock is taken for one list
    /// at a time, so a search waits for one list at most. Each list has its own `since`, and no
    /// search looks at `commit` before all lists are updated.
    pub(super) fn apply(&self, applied: &AppliedWords, commit: Commit) {
        // First, so that lists read at an earlier commit are not cached from now on.
        self.held.lock().applied = commit;
        let changes = &applied.changes;
        if changes.len() == 0 {
            return;
        }
        let changed: Vec<WordPattern> = {
            let all = self.held.lock();
            let held = &all.lists.held;
            // Goes through the changes or the cached lists, whichever are fewer.
            let is_changed =
                |wanted: &&WordPattern| matches!(wanted, WordPattern::Word(word) if !changes.find(word).is_empty());
            match changes.len() < held.len() {
                true => changes.groups().map(|(word, _)| WordPattern::Word(word.into())).collect(),
                false => held.keys().filter(is_changed).cloned().collect(),
            }
        };
        for wanted in changed {
            let WordPattern::Word(word) = &wanted else { continue };
            let apply = |list: &mut List| {
                for (number, change) in by_chunk(changes.find(word)) {
                    let before = list.chunk(number).map_or(&[][..], WordChunk::postings);
                    list.replace(number, WordChunk::new(change.apply(before)));
                }
            };
            self.held.lock().lists.change(&wanted, commit, apply, List::n_bytes);
        }
        let mut all = self.held.lock();
        // The list of a beginning combines many lists, so it is dropped and read again.
        all.lists.retain(|wanted, _| match wanted {
            WordPattern::Word(_) => true,
            WordPattern::Beginning { form, stem } => {
                let has = |front: &str| changes.has_beginning(&[front, form].concat());
                !has("") && !has(FORM) && changes.find(stem).is_empty()
            }
        });
        let change = |number: u64, by: i64| number.checked_add_signed(by).unwrap_or_default();
        all.totals = all.totals.map(|(Totals { n_documents, n_words }, _)| {
            let n_documents = change(n_documents, applied.n_documents);
            (Totals { n_documents, n_words: change(n_words, applied.n_words) }, commit)
        });
    }

    /// Drops everything. Lists read at a commit before `commit` are not cached from now on.
    pub(super) fn clear(&self, commit: Commit) {
        *self.held.lock() = CachedWords { applied: commit, ..CachedWords::default() };
    }

    /// Shows every cached list.
    pub(super) fn each_list(&self, mut show: impl FnMut(&WordPattern, &Arc<List>)) {
        self.held.lock().lists.held.iter().for_each(|(wanted, held)| show(wanted, &held.value));
    }

    pub(super) fn held_totals(&self) -> Option<Totals> {
        self.held.lock().totals.map(|(totals, _)| totals)
    }
}
