//! The cache of postings that searches asked for. Each commit updates terms and columns, and drops
//! ranges and value counts that it changes. If entries take too many bytes, the least recently used
//! ones go.
//!
//! Each entry has the commit since which it has not changed. A search at an earlier commit does not
//! use it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::changes::{FieldTerm, SlotChange};
use super::column::Column;
use super::value_counts::ValueCounts;
use crate::collection::derived::lru::{LruCache, LruEntry, OVERHEAD, last_evicted};
use crate::filter::term::{TermKind, TermRange, kind_of, ordinal};
use crate::id::{Commit, FieldId};

pub(super) struct PostingsCache {
    most_bytes: usize,
    held: Mutex<CachedPostings>,
}

#[derive(Default)]
struct CachedPostings {
    terms: LruCache<FieldTerm, RoaringBitmap>,
    columns: LruCache<(FieldId, TermKind), Column>,
    ranges: LruCache<(FieldId, TermRange), RoaringBitmap>,
    value_counts: LruCache<FieldId, ValueCounts>,
    /// Columns and value counts that are too large to be cached.
    too_large: HashSet<(FieldId, Option<TermKind>)>,
    /// The last commit that was applied.
    applied: Commit,
    /// Requests so far; they order entries by their last use.
    n_uses: u64,
}

impl PostingsCache {
    pub(super) fn new(most_bytes: usize) -> Self {
        PostingsCache { most_bytes, held: Mutex::default() }
    }

    pub(super) fn n_bytes(&self) -> usize {
        self.held.lock().n_bytes()
    }

    pub(super) fn term(&self, entry: &FieldTerm, commit: Commit) -> Option<Arc<RoaringBitmap>> {
        self.held.lock().ask(|all, last_used| all.terms.find(entry, commit, last_used))
    }

    pub(super) fn column(&self, key: &(FieldId, TermKind), commit: Commit) -> Option<Arc<Column>> {
        self.held.lock().ask(|all, last_used| all.columns.find(key, commit, last_used))
    }

    pub(super) fn range(&self, key: &(FieldId, TermRange), commit: Commit) -> Option<Arc<RoaringBitmap>> {
        self.held.lock().ask(|all, last_used| all.ranges.find(key, commit, last_used))
    }

    pub(super) fn value_counts(&self, field: FieldId, commit: Commit) -> Option<Arc<ValueCounts>> {
        self.held.lock().ask(|all, last_used| all.value_counts.find(&field, commit, last_used))
    }

    /// Whether a column, or without a `kind` the value counts, was once too large to be cached.
    pub(super) fn is_too_large(&self, field: FieldId, kind: Option<TermKind>) -> bool {
        self.held.lock().too_large.contains(&(field, kind))
    }

    /// Most bytes that a single entry may have.
    pub(super) fn most_bytes_of_one(&self) -> usize {
        self.most_bytes / 2
    }

    /// Notes that a column, or without a `kind` the value counts, is too large.
    pub(super) fn note_too_large(&self, field: FieldId, kind: Option<TermKind>) {
        self.held.lock().too_large.insert((field, kind));
    }

    /// Caches a term's slots read at `commit`, unless a later commit was applied.
    pub(super) fn put_term(&self, entry: FieldTerm, slots: &Arc<RoaringBitmap>, commit: Commit) {
        self.put(bytes_of(slots), commit, |all, held| all.terms.insert(entry, held(slots.clone())));
    }

    /// Caches a range's slots, under the condition of [`put_term`](PostingsCache::put_term).
    pub(super) fn put_range(&self, key: (FieldId, TermRange), slots: &Arc<RoaringBitmap>, commit: Commit) {
        self.put(bytes_of(slots), commit, |all, held| all.ranges.insert(key, held(slots.clone())));
    }

    /// Caches a column, under the condition of [`put_term`](PostingsCache::put_term), or notes that
    /// it is too large.
    pub(super) fn put_column(&self, key: (FieldId, TermKind), column: &Arc<Column>, commit: Commit) {
        if column.n_bytes() > self.most_bytes_of_one() {
            self.note_too_large(key.0, Some(key.1));
            return;
        }
        self.put(column.n_bytes(), commit, |all, held| all.columns.insert(key, held(column.clone())));
    }

    /// Caches value counts, under the condition of [`put_term`](PostingsCache::put_term).
    pub(super) fn put_value_counts(&self, field: FieldId, value_counts: &Arc<ValueCounts>, commit: Commit) {
        self.put(value_counts.n_bytes(), commit, |all, held| {
            all.value_counts.insert(field, held(value_counts.clone()))
        });
    }

    fn put<V>(
        &self,
        n_bytes: usize,
        commit: Commit,
        put: impl FnOnce(&mut CachedPostings, &dyn Fn(Arc<V>) -> LruEntry<V>),
    ) {
        let n_bytes = n_bytes + OVERHEAD;
        let mut all = self.held.lock();
        if all.applied > commit || n_bytes > self.most_bytes_of_one() {
            return;
        }
        let last_used = all.n_uses;
        put(&mut all, &|value| LruEntry { value, since: commit, n_bytes, last_used });
        if all.n_bytes() > self.most_bytes {
            all.shrink(self.most_bytes / 4 * 3);
        }
    }

    /// Updates cached entries to `commit`, which is not published yet. The lock is taken for one
    /// entry at a time, so a search waits for one entry at most. Each entry has its own `since`,
    /// and no search looks at `commit` before all entries are updated.
    pub(super) fn apply(&self, changes: &HashMap<FieldTerm, SlotChange>, commit: Commit) {
        // First, so that entries read at an earlier commit are not cached from now on.
        self.held.lock().applied = commit;
        for (entry, change) in changes {
            let mut all = self.held.lock();
            let apply = |slots: &mut RoaringBitmap| {
                slots.extend(&change.added);
                change.removed.iter().for_each(|slot| _ = slots.remove(*slot));
            };
            all.terms.change(entry, commit, apply, bytes_of);
            let (field, term) = entry;
            let (Some(kind), Some(ordinal)) = (kind_of(term.bytes()), ordinal(term.bytes())) else { continue };
            let apply = |column: &mut Column| {
                change.added.iter().for_each(|slot| column.insert(ordinal, *slot));
                change.removed.iter().for_each(|slot| column.remove(ordinal, *slot));
            };
            all.columns.change(&(*field, kind), commit, apply, Column::n_bytes);
        }
        let mut all = self.held.lock();
        if !all.ranges.held.is_empty() || !all.value_counts.held.is_empty() {
            let changed: HashSet<(FieldId, Option<TermKind>)> =
                changes.keys().map(|(field, term)| (*field, kind_of(term.bytes()))).collect();
            all.ranges.retain(|(field, range), _| !changed.contains(&(*field, Some(range.kind))));
            changed.iter().for_each(|(field, _)| all.value_counts.remove(field));
        }
    }

    /// Drops everything. Entries read at a commit before `commit` are not cached from now on.
    pub(super) fn clear(&self, commit: Commit) {
        *self.held.lock() = CachedPostings { applied: commit, ..CachedPostings::default() };
    }

    /// Shows every cached term.
    pub(super) fn each_term(&self, mut show: impl FnMut(&FieldTerm, &Arc<RoaringBitmap>)) {
        self.held.lock().terms.held.iter().for_each(|(entry, held)| show(entry, &held.value));
    }
}

impl CachedPostings {
    fn n_bytes(&self) -> usize {
        self.terms.n_bytes + self.columns.n_bytes + self.ranges.n_bytes + self.value_counts.n_bytes
    }

    fn ask<T>(&mut self, find: impl FnOnce(&mut Self, u64) -> T) -> T {
        self.n_uses += 1;
        let last_used = self.n_uses;
        find(self, last_used)
    }

    /// Drops the least recently used entries, until at most `most_bytes` are left.
    fn shrink(&mut self, most_bytes: usize) {
        let ages = self.terms.ages().chain(self.columns.ages()).chain(self.ranges.ages());
        let Some(last) = last_evicted(ages.chain(self.value_counts.ages()).collect(), most_bytes) else { return };
        self.terms.evict(last);
        self.columns.evict(last);
        self.ranges.evict(last);
        self.value_counts.evict(last);
    }
}

fn bytes_of(slots: &RoaringBitmap) -> usize {
    slots.serialized_size()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::term::Term;

    fn entry(field: u32) -> FieldTerm {
        (FieldId(field), Term::exists())
    }

    fn added(field: u32, slots: &[u32]) -> HashMap<FieldTerm, SlotChange> {
        [(entry(field), SlotChange { added: slots.to_vec(), removed: Vec::new() })].into()
    }

    #[test]
    fn what_is_held_is_told_of_its_own_time() {
        let cache = PostingsCache::new(1 << 20);
        let slots = Arc::new(RoaringBitmap::from([1, 2]));
        cache.put_term(entry(1), &slots, Commit(5));
        assert_eq!(cache.term(&entry(1), Commit(4)), None);
        assert_eq!(cache.term(&entry(1), Commit(5)), Some(slots.clone()));
        cache.apply(&added(2, &[9]), Commit(6));
        assert_eq!(cache.term(&entry(1), Commit(5)), Some(slots.clone()), "another term has changed");
        cache.apply(&added(1, &[3]), Commit(7));
        assert_eq!(cache.term(&entry(1), Commit(6)), None);
        assert_eq!(*cache.term(&entry(1), Commit(7)).unwrap(), RoaringBitmap::from([1, 2, 3]));
        assert_eq!(*slots, RoaringBitmap::from([1, 2]), "who looks at it sees it as it was");
        cache.put_term(entry(3), &slots, Commit(6));
        assert_eq!(cache.term(&entry(3), Commit(9)), None, "it was read before the last change");
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let cache = PostingsCache::new(50 * OVERHEAD);
        let slots = Arc::new(RoaringBitmap::from([1]));
        (0..30).for_each(|field| cache.put_term(entry(field), &slots, Commit(1)));
        assert!((0..30).all(|field| cache.term(&entry(field), Commit(1)).is_some()));
        assert!(cache.term(&entry(0), Commit(1)).is_some());
        (30..60).for_each(|field| cache.put_term(entry(field), &slots, Commit(1)));
        assert!(cache.n_bytes() <= 50 * OVERHEAD);
        assert!(cache.term(&entry(0), Commit(1)).is_some() && cache.term(&entry(1), Commit(1)).is_none());
        cache.clear(Commit(2));
        assert_eq!(cache.n_bytes(), 0);
    }
}
