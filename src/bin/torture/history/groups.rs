//! Comparing hits in groups with the twin.

use std::collections::BTreeMap;

use vectrove::Strategy;

use super::check::{Verdict, complain, expect};
use super::hits::{Examiner, Pair};
use super::question::Field;
use super::score::is_close;

/// Whether the groups are right, and each has the right number of hits.
pub(super) fn check(examiner: &Examiner<'_>, field: Field, per_group: usize, pairs: &[Pair<'_>]) -> Verdict {
    let search = examiner.search;
    // The distances in each group, nearest first.
    let mut groups: BTreeMap<u8, Vec<f64>> = BTreeMap::new();
    // A field that is an array puts its document into no group.
    for (_, stored) in examiner.eligible().filter(|_| field != Field::List) {
        if let [value] = field.of(stored) {
            groups.entry(*value).or_default().push(examiner.distance(stored));
        }
    }
    groups.values_mut().for_each(|distances| distances.sort_unstable_by(f64::total_cmp));
    let mut shown: Vec<(u8, Vec<f32>)> = Vec::new();
    for (hit, stored) in pairs {
        let [value] = field.of(stored) else { return complain("a document with one value", hit) };
        if hit.group.as_ref() != Some(&field.value(*value)) {
            return complain(field.value(*value), hit);
        }
        let known = shown.iter().position(|(other, _)| other == value);
        match known {
            Some(place) if place + 1 == shown.len() => shown[place].1.push(hit.distance),
            Some(_) => return complain("hits of a group together", hit),
            None => shown.push((*value, vec![hit.distance])),
        }
    }
    let n_expected = groups.len().saturating_sub(search.offset).min(search.limit);
    expect("groups", n_expected, shown.len())?;
    for (value, distances) in &shown {
        let all = groups.get(value).map_or(&[][..], Vec::as_slice);
        expect("hits of a group", all.len().min(per_group), distances.len())?;
        if !distances.is_sorted() {
            return complain("growing distances in a group", distances);
        }
        let is_same = |(got, expected): (&f32, &f64)| is_close(*got, *expected);
        if search.strategy == Some(Strategy::Exact) && !distances.iter().zip(all).all(is_same) {
            return complain(all, distances);
        }
    }
    match search.strategy {
        Some(Strategy::Exact) => check_order(&groups, search.offset, &shown),
        _ => Ok(()),
    }
}

/// Whether groups are in the order of their best hits.
fn check_order(groups: &BTreeMap<u8, Vec<f64>>, offset: usize, shown: &[(u8, Vec<f32>)]) -> Verdict {
    let mut best: Vec<f64> = groups.values().map(|distances| distances[0]).collect();
    best.sort_unstable_by(f64::total_cmp);
    let got = shown.iter().map(|(_, distances)| distances[0]);
    match best.iter().skip(offset).zip(got.clone()).all(|(expected, got)| is_close(got, *expected)) {
        true => Ok(()),
        false => complain(best, got.collect::<Vec<_>>()),
    }
}
