//! Queries that users asked. Codes are measured by them too, because queries may lie elsewhere than documents do.
//!
//! When the codes of a region were measured without such queries, the region *wants* some: of the searches that follow,
//! some leave their query here. With `N_ASKED` of them the linker measures again and forgets them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::id::NamespaceId;

/// Queries of a region that are kept.
pub(super) const N_ASKED: usize = 24;
/// One in `OFFERED_SHARE` searches offers its query.
pub(super) const OFFERED_SHARE: usize = 4;

/// Queries as vectors are compared, by region.
#[derive(Default)]
pub(super) struct Asked {
    /// Some region lacks queries.
    is_wanting: AtomicBool,
    by_region: Mutex<BTreeMap<NamespaceId, Queries>>,
}

/// Queries one after the other; there is room for all from the beginning.
struct Queries {
    dimension: usize,
    components: Vec<f32>,
}

impl Queries {
    fn are_enough(&self) -> bool {
        self.components.len() >= N_ASKED * self.dimension
    }
}

impl Asked {
    /// Whether queries are kept at all; may be out of date.
    pub(super) fn is_wanting(&self) -> bool {
        self.is_wanting.load(Ordering::Relaxed)
    }

    /// Keeps some that are asked in a region from now on.
    pub(super) fn want(&self, region: NamespaceId, dimension: usize) {
        let room = || Queries { dimension, components: Vec::with_capacity(N_ASKED * dimension) };
        let mut by_region = self.by_region.lock();
        by_region.entry(region).or_insert_with(room);
        self.tell(&by_region);
    }

    /// Offers one that was asked in a region. True once, when there are enough.
    pub(super) fn offer(&self, region: NamespaceId, query: &[f32]) -> bool {
        let mut by_region = self.by_region.lock();
        let queries = by_region.get_mut(&region);
        let Some(queries) = queries.filter(|queries| !queries.are_enough() && queries.dimension == query.len()) else {
            return false;
        };
        queries.components.extend_from_slice(query);
        let are_enough = queries.are_enough();
        if are_enough {
            self.tell(&by_region);
        }
        are_enough
    }

    /// The regions of which there are enough.
    pub(super) fn complete(&self) -> Vec<NamespaceId> {
        let by_region = self.by_region.lock();
        by_region.iter().filter(|(_, queries)| queries.are_enough()).map(|(region, _)| *region).collect()
    }

    /// Whether there are enough of a region.
    pub(super) fn is_complete(&self, region: NamespaceId) -> bool {
        self.by_region.lock().get(&region).is_some_and(Queries::are_enough)
    }

    /// Those of a region, if there are enough.
    pub(super) fn complete_of(&self, region: NamespaceId) -> Vec<Vec<f32>> {
        let by_region = self.by_region.lock();
        let Some(queries) = by_region.get(&region).filter(|queries| queries.are_enough()) else { return Vec::new() };
        queries.components.chunks(queries.dimension).map(<[f32]>::to_vec).collect()
    }

    /// Keeps none of some regions any longer.
    pub(super) fn forget(&self, is_gone: impl Fn(NamespaceId) -> bool) {
        let mut by_region = self.by_region.lock();
        by_region.retain(|region, _| !is_gone(*region));
        self.tell(&by_region);
    }

    fn tell(&self, by_region: &BTreeMap<NamespaceId, Queries>) {
        self.is_wanting.store(by_region.values().any(|queries| !queries.are_enough()), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_kept_where_they_are_wanted_until_there_are_enough() {
        let (asked, here, there) = (Asked::default(), NamespaceId(1), NamespaceId(2));
        assert!(!asked.is_wanting() && !asked.offer(here, &[0.0, 1.0]));
        asked.want(here, 2);
        assert!(asked.is_wanting() && !asked.offer(there, &[0.0, 1.0]) && !asked.offer(here, &[0.0]));
        let query = |n: usize| [n as f32, 1.0];
        let told = (0..2 * N_ASKED).filter(|&n| asked.offer(here, &query(n))).collect::<Vec<_>>();
        assert_eq!(told, [N_ASKED - 1]);
        assert!(!asked.is_wanting() && asked.is_complete(here) && !asked.is_complete(there));
        assert_eq!(asked.complete(), [here]);
        assert_eq!(asked.complete_of(here), (0..N_ASKED).map(|n| query(n).to_vec()).collect::<Vec<_>>());

        asked.want(there, 1);
        asked.offer(there, &[0.0]);
        assert!(asked.complete_of(there).is_empty() && asked.is_wanting(), "too few");
        asked.forget(|region| region == here);
        assert!(asked.complete_of(here).is_empty() && !asked.offer(here, &[0.0, 1.0]));
        asked.forget(|region| region == there);
        assert!(!asked.is_wanting());
    }
}
