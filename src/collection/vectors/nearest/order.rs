//! The order of results: nearest first.

use crate::distance::Comparison;
use crate::graph::Neighbor;

/// Cuts `found`, in order of measures, after the nearest `n` and those as near as the last of them.
pub(crate) fn cut(found: &mut Vec<Neighbor>, n: usize, comparison: &Comparison) {
    let Some(last) = n.checked_sub(1).map(|last| found.get(last)) else { return found.clear() };
    let Some(last) = last.map(|last| comparison.reported_distance(last.distance)) else { return };
    let n_tied = found[n..].iter().take_while(|found| comparison.reported_distance(found.distance) <= last).count();
    found.truncate(n + n_tied);
}

/// Sorts nearest first; equal distances in the order of slots.
pub(crate) fn sort(found: &mut [Neighbor]) {
    found.sort_unstable_by(in_order);
}

pub(in crate::collection::vectors) fn in_order(a: &Neighbor, b: &Neighbor) -> std::cmp::Ordering {
    a.distance.total_cmp(&b.distance).then(a.slot.cmp(&b.slot))
}
