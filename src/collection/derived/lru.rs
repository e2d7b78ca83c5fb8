//! A least-recently-used cache (LRU) of rows. Each entry says since which commit it has been as it
//! is.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::id::Commit;

/// Approximate bytes of an entry beside its slots.
pub(in crate::collection) const OVERHEAD: usize = 160;

/// Cached values of one kind.
pub(in crate::collection) struct LruCache<K, V> {
    pub(in crate::collection) held: HashMap<K, LruEntry<V>>,
    pub(in crate::collection) n_bytes: usize,
}

pub(in crate::collection) struct LruEntry<V> {
    pub(in crate::collection) value: Arc<V>,
    pub(in crate::collection) since: Commit,
    pub(in crate::collection) n_bytes: usize,
    /// The number of the request that used the entry last.
    pub(in crate::collection) last_used: u64,
}

impl<K, V> Default for LruCache<K, V> {
    fn default() -> Self {
        LruCache { held: HashMap::new(), n_bytes: 0 }
    }
}

impl<K: Hash + Eq + Clone, V> LruCache<K, V> {
    pub(in crate::collection) fn find(&mut self, key: &K, commit: Commit, last_used: u64) -> Option<Arc<V>> {
        let held = self.held.get_mut(key).filter(|held| held.since <= commit)?;
        held.last_used = last_used;
        Some(held.value.clone())
    }

    pub(in crate::collection) fn insert(&mut self, key: K, held: LruEntry<V>) {
        self.n_bytes += held.n_bytes;
        self.n_bytes -= self.held.insert(key, held).map_or(0, |before| before.n_bytes);
    }

    pub(in crate::collection) fn remove(&mut self, key: &K) {
        self.n_bytes -= self.held.remove(key).map_or(0, |held| held.n_bytes);
    }

    pub(in crate::collection) fn retain(&mut self, keep: impl Fn(&K, &LruEntry<V>) -> bool) {
        let gone: Vec<K> =
            self.held.iter().filter(|(key, held)| !keep(key, held)).map(|(key, _)| key.clone()).collect();
        gone.iter().for_each(|key| self.remove(key));
    }

    /// When each entry was used last, and its bytes.
    pub(in crate::collection) fn ages(&self) -> impl Iterator<Item = (u64, usize)> {
        self.held.values().map(|held| (held.last_used, held.n_bytes))
    }

    /// Evicts the entries that were last used by request `last` or earlier.
    pub(in crate::collection) fn evict(&mut self, last: u64) {
        self.retain(|_, held| held.last_used > last);
    }

    /// Changes the value under a key, if there is one. Whoever holds the value keeps the old one.
    pub(in crate::collection) fn change(
        &mut self,
        key: &K,
        commit: Commit,
        change: impl FnOnce(&mut V),
        n_bytes: impl FnOnce(&V) -> usize,
    ) where
        V: Clone,
    {
        let Some(held) = self.held.get_mut(key) else { return };
        change(Arc::make_mut(&mut held.value));
        held.since = commit;
        let before = std::mem::replace(&mut held.n_bytes, OVERHEAD + n_bytes(&held.value));
        self.n_bytes = self.n_bytes + held.n_bytes - before;
    }
}

/// The request up to whose uses entries are evicted so that at most `most_bytes` are left: the
/// least recently used go first. `ages` has all entries, in any order.
pub(in crate::collection) fn last_evicted(mut ages: Vec<(u64, usize)>, most_bytes: usize) -> Option<u64> {
    ages.sort_unstable();
    let mut n_left: usize = ages.iter().map(|(_, n_bytes)| n_bytes).sum();
    let evicted = ages.into_iter().take_while(|(_, n_bytes)| {
        let goes = n_left > most_bytes;
        n_left -= if goes { *n_bytes } else { 0 };
        goes
    });
    evicted.last().map(|(last_used, _)| last_used)
}
