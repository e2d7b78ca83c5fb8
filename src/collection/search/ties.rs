//! The order of answers: by score, then by distance, then by id. So the order does not depend on
//! how documents were found, or on where they lie in memory.

use std::cmp::Ordering;

use super::answer::ScoredHit;
use super::session::Session;
use crate::error::Result;
use crate::graph::Neighbor;
use crate::id::Slot;

impl ScoredHit {
    /// Puts the better answer first: the higher score, of equal ones the smaller distance.
    fn compare(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.distance.total_cmp(&other.distance))
    }
}

impl Session {
    /// Sorts answers, the best first.
    pub(super) fn order(&self, hits: &mut Vec<ScoredHit>) -> Result<()> {
        self.order_by(hits, |hit| hit)
    }

    /// Sorts items by their answers.
    pub(super) fn order_by<T>(&self, items: &mut Vec<T>, hit: impl Fn(&T) -> &ScoredHit) -> Result<()> {
        items.sort_by(|a, b| hit(a).compare(hit(b)));
        let is_tied = |a: &T, b: &T| hit(a).compare(hit(b)).is_eq();
        self.order_ties(items, usize::MAX, is_tied, |item| hit(item).slot)
    }

    /// Leaves the first `n` of `found`, which is sorted by measures. Sorts equally near ones by id.
    pub(super) fn settle(&self, found: &mut Vec<Neighbor>, n: usize) -> Result<()> {
        let comparison = self.moment.comparison();
        let is_tied = |a: &Neighbor, b: &Neighbor| {
            comparison.reported_distance(a.distance) == comparison.reported_distance(b.distance)
        };
        self.order_ties(found, n, is_tied, |found| Slot(found.slot))
    }

    /// Leaves the first `n` of sorted items. Sorts tied ones by id.
    pub(super) fn order_ties<T>(
        &self,
        items: &mut Vec<T>,
        n: usize,
        is_tied: impl Fn(&T, &T) -> bool,
        slot: impl Fn(&T) -> Slot,
    ) -> Result<()> {
        let mut begin = 0;
        while begin < items.len().min(n) {
            let n_tied = 1 + items[begin..].windows(2).take_while(|pair| is_tied(&pair[0], &pair[1])).count();
            if n_tied > 1 {
                self.sort_by_ids(&mut items[begin..begin + n_tied], &slot)?;
            }
            begin += n_tied;
        }
        items.truncate(n);
        Ok(())
    }

    /// Sorts items by the ids of their documents.
    pub(super) fn sort_by_ids<T>(&self, items: &mut [T], slot: impl Fn(&T) -> Slot) -> Result<()> {
        let mut failed = None;
        items.sort_by_cached_key(|item| match self.moment.id_of(slot(item)) {
            Ok(id) => Some(id),
            Err(error) => {
                failed.get_or_insert(error);
                None
            }
        });
        failed.map_or(Ok(()), Err)
    }
}
