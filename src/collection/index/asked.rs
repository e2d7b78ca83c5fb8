//! Queries that were asked: codes are measured by them too, since they may lie otherwise than documents do.
//!
//! After codes of a region were measured without such queries, a few of those that are asked next are kept, until there
//! are enough to measure once more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::id::NamespaceId;

/// Queries of a region that are kept.
pub(super) const N_ASKED: usize = 24;
/// A thread offers one of so many that it asks.
pub(super) const OFFERED_SHARE: u32 = 8;

/// Queries as vectors are compared, by region.
#[derive(Default)]
pub(super) struct Asked {
    /// Some region lacks queries.
    is_wanting: AtomicBool,
    by_region: Mutex<BTreeMap<NamespaceId, Vec<Vec<f32>>>>,
}

impl Asked {
    /// Whether queries are kept at all; may be out of date.
    pub(super) fn is_wanting(&self) -> bool {
        self.is_wanting.load(Ordering::Relaxed)
    }

    /// Keeps some that are asked in a region from now on.
    pub(super) fn want(&self, region: NamespaceId) {
        let mut by_region = self.by_region.lock();
        by_region.entry(region).or_default();
        self.tell(&by_region);
    }

    /// Offers one that was asked in a region. True once, when there are enough.
    pub(super) fn offer(&self, region: NamespaceId, query: &[f32]) -> bool {
        let mut by_region = self.by_region.lock();
        let Some(queries) = by_region.get_mut(&region).filter(|queries| queries.len() < N_ASKED) else { return false };
        queries.push(query.to_vec());
        let are_enough = queries.len() == N_ASKED;
        self.tell(&by_region);
        are_enough
    }

    /// The regions of which there are enough.
    pub(super) fn complete(&self) -> Vec<NamespaceId> {
        let by_region = self.by_region.lock();
        by_region.iter().filter(|(_, queries)| queries.len() >= N_ASKED).map(|(region, _)| *region).collect()
    }

    /// Whether there are enough of any region.
    pub(super) fn has_complete(&self) -> bool {
        self.by_region.lock().values().any(|queries| queries.len() >= N_ASKED)
    }

    /// Whether there are enough of a region.
    pub(super) fn is_complete(&self, region: NamespaceId) -> bool {
        self.by_region.lock().get(&region).is_some_and(|queries| queries.len() >= N_ASKED)
    }

    /// Those of a region, if there are enough; they are not kept any longer.
    pub(super) fn take(&self, region: NamespaceId) -> Vec<Vec<f32>> {
        let mut by_region = self.by_region.lock();
        let are_enough = by_region.get(&region).is_some_and(|queries| queries.len() >= N_ASKED);
        let queries = if are_enough { by_region.remove(&region) } else { None };
        self.tell(&by_region);
        queries.unwrap_or_default()
    }

    /// Keeps none of some regions any longer.
    pub(super) fn forget(&self, is_gone: impl Fn(NamespaceId) -> bool) {
        let mut by_region = self.by_region.lock();
        by_region.retain(|region, _| !is_gone(*region));
        self.tell(&by_region);
    }

    fn tell(&self, by_region: &BTreeMap<NamespaceId, Vec<Vec<f32>>>) {
        self.is_wanting.store(by_region.values().any(|queries| queries.len() < N_ASKED), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_kept_where_they_are_wanted_until_there_are_enough() {
        let (asked, here, there) = (Asked::default(), NamespaceId(1), NamespaceId(2));
        assert!(!asked.is_wanting() && !asked.offer(here, &[0.0]));
        asked.want(here);
        assert!(asked.is_wanting() && !asked.offer(there, &[0.0]));
        let told = (0..2 * N_ASKED).filter(|&n| asked.offer(here, &[n as f32])).collect::<Vec<_>>();
        assert_eq!(told, [N_ASKED - 1]);
        assert!(!asked.is_wanting() && asked.is_complete(here) && !asked.is_complete(there));
        assert_eq!(asked.complete(), [here]);
        let queries = asked.take(here);
        assert_eq!(queries, (0..N_ASKED).map(|n| vec![n as f32]).collect::<Vec<_>>());
        assert!(asked.take(here).is_empty() && !asked.offer(here, &[0.0]));

        asked.want(there);
        asked.offer(there, &[0.0]);
        assert!(asked.take(there).is_empty() && asked.is_wanting(), "too few are kept");
        asked.forget(|region| region == there);
        assert!(!asked.is_wanting());
    }
}
