//! Queries that users asked. Codes are measured by them too: they may lie elsewhere than documents.
//!
//! A region whose codes were measured without such queries *wants* some: some of the following
//! searches leave their query here. Once there are `N_ASKED` queries, the linker measures again and
//! forgets them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::id::NamespaceId;

/// Queries kept for each region.
pub(super) const N_ASKED: usize = 24;
/// One in `OFFERED_SHARE` searches offers its query.
pub(super) const OFFERED_SHARE: usize = 4;

/// Queries, in the form in which vectors are compared, by region.
#[derive(Default)]
pub(in crate::collection::vectors) struct QuerySample {
    /// Some region wants queries.
    is_wanting: AtomicBool,
    by_region: Mutex<BTreeMap<NamespaceId, Queries>>,
}

/// Queries one after the other. Room for all of them is allocated at once.
struct Queries {
    dimension: usize,
    components: Vec<f32>,
}

impl Queries {
    fn are_enough(&self) -> bool {
        self.components.len() >= N_ASKED * self.dimension
    }
}

impl QuerySample {
    /// Whether any region wants queries. The answer may be out of date.
    pub(super) fn is_wanting(&self) -> bool {
        self.is_wanting.load(Ordering::Relaxed)
    }

    /// Keeps queries of a region from now on.
    pub(super) fn want(&self, region: NamespaceId, dimension: usize) {
        let room = || Queries { dimension, components: Vec::with_capacity(N_ASKED * dimension) };
        let mut by_region = self.by_region.lock();
        by_region.entry(region).or_insert_with(room);
        self.tell(&by_region);
    }

    /// Offers a query of a region. Returns true once, when there are enough.
    pub(in crate::collection::vectors) fn offer(&self, region: NamespaceId, query: &[f32]) -> bool {
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

    /// The regions with enough queries.
    pub(in crate::collection::vectors) fn complete(&self) -> Vec<NamespaceId> {
        let by_region = self.by_region.lock();
        by_region.iter().filter(|(_, queries)| queries.are_enough()).map(|(region, _)| *region).collect()
    }

    /// Whether a region has enough queries.
    pub(super) fn is_complete(&self, region: NamespaceId) -> bool {
        self.by_region.lock().get(&region).is_some_and(Queries::are_enough)
    }

    /// The queries of a region, if there are enough; otherwise none.
    pub(super) fn complete_of(&self, region: NamespaceId) -> Vec<Vec<f32>> {
        let by_region = self.by_region.lock();
        let Some(queries) = by_region.get(&region).filter(|queries| queries.are_enough()) else { return Vec::new() };
        queries.components.chunks(queries.dimension).map(<[f32]>::to_vec).collect()
    }

    /// Drops the queries of the regions for which `is_gone` is true.
    pub(in crate::collection::vectors) fn forget(&self, is_gone: impl Fn(NamespaceId) -> bool) {
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
        let (sample, here, there) = (QuerySample::default(), NamespaceId(1), NamespaceId(2));
        assert!(!sample.is_wanting() && !sample.offer(here, &[0.0, 1.0]));
        sample.want(here, 2);
        assert!(sample.is_wanting() && !sample.offer(there, &[0.0, 1.0]) && !sample.offer(here, &[0.0]));
        let query = |n: usize| [n as f32, 1.0];
        let told = (0..2 * N_ASKED).filter(|&n| sample.offer(here, &query(n))).collect::<Vec<_>>();
        assert_eq!(told, [N_ASKED - 1]);
        assert!(!sample.is_wanting() && sample.is_complete(here) && !sample.is_complete(there));
        assert_eq!(sample.complete(), [here]);
        assert_eq!(sample.complete_of(here), (0..N_ASKED).map(|n| query(n).to_vec()).collect::<Vec<_>>());

        sample.want(there, 1);
        sample.offer(there, &[0.0]);
        assert!(sample.complete_of(there).is_empty() && sample.is_wanting(), "too few");
        sample.forget(|region| region == here);
        assert!(sample.complete_of(here).is_empty() && !sample.offer(here, &[0.0, 1.0]));
        sample.forget(|region| region == there);
        assert!(!sample.is_wanting());
    }
}
