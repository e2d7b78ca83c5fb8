//! Comparing again, by exact vectors, what was found by codes: hits are told apart by their measures.
//!
//! How many are compared follows from how wrong codes were about those before: each search measures that itself.

use super::Sight;
use super::seek::{Look, Scratch, Target, Wanted, cut, gather, in_order, sort};
use crate::collection::exact::Reader;
use crate::collection::memory::Slots;
use crate::distance::Ranker;
use crate::error::Result;
use crate::graph::Found;
use crate::id::Slot;
use crate::quant::{CodeQuery, Codes};

/// At least one in `RESCORED_SHARE` of the points in the beam is compared by its exact vector.
pub(super) const RESCORED_SHARE: usize = 5;
/// Standard deviations of the codes' errors within which the next candidate is in doubt.
const DOUBT: f64 = 2.25;
/// As long as the next candidate is in doubt, one more is compared for every `STEP` compared before.
const STEP: usize = 4;
/// Codes are blind if the variance of their errors is at least this part of the variance of the exact ranks. Where
/// codes rank everything alike, the two are equal.
const BLIND: f64 = 0.9;

/// What codes leave in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    No,
    /// Whether what comes after all that were compared belongs among the hits.
    Next,
    /// Which are the nearest at all.
    Nearest,
}

/// Compares the nearest by codes by their exact vectors: `n_least`, and more as long as the codes' own errors say that
/// the next may belong among the hits.
pub(super) fn rescore_while_doubted(
    look: Look<'_>,
    (codes, query): (&Codes, &CodeQuery),
    n_least: usize,
    scratch: &mut Scratch,
) -> Result<Doubt> {
    let Look { layer, sight: Sight { slots, exact, ranker, .. }, wanted } = look;
    let at_most = scratch.pool.most;
    // With the one after them.
    gather(&layer.graph, slots, wanted, &Target::All, (n_least + 1).min(at_most), scratch);
    let (mut all, mut pairs) = (std::mem::take(&mut scratch.rough), std::mem::take(&mut scratch.pairs));
    std::mem::swap(&mut all, &mut scratch.found);
    let noise = all.first().map_or(0.0, |nearest| codes.noise(query, nearest.slot));
    let (mut n, mut has_all) = (n_least, all.len() <= n_least);
    scratch.found.clear();
    pairs.clear();
    // So that searches that come to need it allocate nothing.
    scratch.ranks.clear();
    scratch.ranks.reserve(at_most);
    pairs.reserve(at_most);
    let compared = loop {
        let compared = compare_more(exact, ranker, wanted, &all[..n.min(all.len())], &mut pairs, scratch);
        let farthest = scratch.found.get(wanted.n.saturating_sub(1)).map_or(f32::INFINITY, |found| found.rank);
        match all.get(n) {
            Some(next) if compared.is_ok() && is_doubted(&pairs, noise, next.rank, farthest) => {}
            _ => break compared,
        }
        if !has_all {
            gather(&layer.graph, slots, wanted, &Target::All, at_most, scratch);
            std::mem::swap(&mut all, &mut scratch.found);
            has_all = true;
            // From the beginning: some may have come to be linked in between.
            scratch.found.clear();
            pairs.clear();
        }
        n += n.div_ceil(STEP).max(1);
    };
    let doubt = match n >= all.len() {
        true => doubt_of(&pairs, noise, wanted.n, all.len() >= at_most, &mut scratch.ranks),
        false => Doubt::No,
    };
    (scratch.rough, scratch.pairs) = (all, pairs);
    cut(&mut scratch.found, wanted.n, ranker);
    compared.map(|()| doubt)
}

/// Compares by their exact vectors those of some candidates that come after as many as there are pairs of ranks, and
/// puts them in order among those found.
fn compare_more(
    exact: &Reader<'_>,
    ranker: &Ranker,
    wanted: Wanted<'_>,
    candidates: &[Found],
    pairs: &mut Vec<(f32, f32)>,
    scratch: &mut Scratch,
) -> Result<()> {
    let Scratch { found, effort, slots, .. } = scratch;
    let (n_before, new) = (pairs.len(), &candidates[pairs.len().min(candidates.len())..]);
    slots.clear();
    slots.extend(new.iter().map(|found| Slot(found.slot)));
    if let Some(held) = exact.held() {
        slots.iter().for_each(|&slot| held.prefetch(slot));
    }
    pairs.extend(new.iter().map(|found| (found.rank, f32::INFINITY)));
    effort.n_rescored += new.len();
    exact.each(wanted.stop, slots, |place, vector| {
        let rank = ranker.measure(wanted.query, vector);
        pairs[n_before + place].1 = rank;
        found.push(Found { rank, slot: slots[place].0 });
    })?;
    sort(found);
    Ok(())
}

/// What is in doubt once all candidates for `n` hits were compared; `has_more` says that there are farther ones,
/// `ranks` is room for ranks.
fn doubt_of(pairs: &[(f32, f32)], noise: f32, n: usize, has_more: bool, ranks: &mut Vec<f32>) -> Doubt {
    ranks.clear();
    ranks.extend(pairs.iter().map(|(_, exact)| *exact));
    ranks.sort_unstable_by(f32::total_cmp);
    if are_blind(pairs, ranks, noise, n) {
        return Doubt::Nearest;
    }
    let farthest = ranks.get(n.saturating_sub(1)).copied().unwrap_or(f32::INFINITY);
    match pairs.last() {
        Some((next, _)) if has_more && is_doubted(pairs, noise, *next, farthest) => Doubt::Next,
        _ => Doubt::No,
    }
}

/// Whether the next candidate, of this rank by its code, may be nearer than the farthest of the hits so far, by what
/// codes were wrong about the candidates before: pairs of ranks by code and exact ranks.
fn is_doubted(pairs: &[(f32, f32)], noise: f32, next: f32, farthest: f32) -> bool {
    let errors = pairs.iter().map(|&(by_code, exact)| f64::from(exact) - f64::from(by_code));
    let mean = errors.clone().sum::<f64>() / pairs.len().max(1) as f64;
    // Those nearest by code may all be so by a like error, and tell nothing of it.
    let deviation = variance(errors).sqrt().max(f64::from(noise));
    f64::from(next) + mean - DOUBT * deviation < f64::from(farthest)
}

/// Whether codes told next to nothing about which of some candidates for `n` hits are the nearest: they were wrong by
/// as much as there was to tell, or cannot tell apart what is nearest. `ranks` are the exact ones in order.
fn are_blind(pairs: &[(f32, f32)], ranks: &[f32], noise: f32, n: usize) -> bool {
    if pairs.len() <= n {
        return false;
    }
    let to_tell = |ranks: &[f32]| variance(ranks.iter().map(|rank| f64::from(*rank)));
    let all = to_tell(ranks);
    let errors = pairs.iter().map(|&(by_code, exact)| f64::from(exact) - f64::from(by_code));
    if all > 0.0 && variance(errors) >= BLIND * all {
        return true;
    }
    // What else is among the candidates may lie far away, so that it is told from those easily.
    let near = to_tell(&ranks[..(pairs.len() / 2).max(n + 1).min(ranks.len())]);
    near > 0.0 && f64::from(noise).powi(2) >= BLIND * near
}

fn variance(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / n;
    values.map(|value| (value - mean).powi(2)).sum::<f64>() / n
}

/// How many of some candidates, nearest first by code, a search for the nearest `n` compares by their exact vectors.
pub(super) fn n_trusted(pairs: &[(f32, f32)], noise: f32, n: usize) -> usize {
    let mut n_compared = (pairs.len() / RESCORED_SHARE).max(n);
    let mut nearest: Vec<f32> = Vec::new();
    while n_compared < pairs.len() {
        nearest.clear();
        nearest.extend(pairs[..n_compared].iter().map(|(_, exact)| *exact));
        nearest.sort_unstable_by(f32::total_cmp);
        let farthest = nearest.get(n.saturating_sub(1)).copied().unwrap_or(f32::INFINITY);
        if !is_doubted(&pairs[..n_compared], noise, pairs[n_compared].0, farthest) {
            break;
        }
        n_compared += n_compared.div_ceil(STEP).max(1);
    }
    n_compared.min(pairs.len())
}

/// Compares what was found by its exact vectors.
fn rescore(exact: &Reader<'_>, ranker: &Ranker, wanted: Wanted<'_>, scratch: &mut Scratch) -> Result<()> {
    let Scratch { found, effort, slots, .. } = scratch;
    effort.n_rescored = found.len();
    slots.clear();
    slots.extend(found.iter().map(|found| Slot(found.slot)));
    if let Some(held) = exact.held() {
        slots.iter().for_each(|&slot| held.prefetch(slot));
    }
    exact.each(wanted.stop, slots, |place, vector| found[place].rank = ranker.measure(wanted.query, vector))?;
    sort(found);
    cut(found, wanted.n, ranker);
    Ok(())
}

/// Leaves of what was found, in the order of ranks that are those of vectors themselves, the nearest by their measures,
/// and those that are as near as the last of them. Vectors are looked at only where ranks are too rough.
pub(super) fn measure_ranked(look: Look<'_>, scratch: &mut Scratch) -> Result<()> {
    let (Sight { exact, ranker, slots: seen, .. }, wanted) = (look.sight, look.wanted);
    let Wanted { query, n, .. } = wanted;
    let Scratch { found, slots, .. } = scratch;
    // What was compared one by one may not be seen any more.
    found.retain(|found| look.wanted.may_be(seen, found.slot));
    found.iter_mut().for_each(|found| found.rank = ranker.measure_of(found.rank));
    slots.clear();
    let rough = found.iter().take_while(|found| ranker.is_rough(found.rank, query.len()));
    slots.extend(rough.map(|found| Slot(found.slot)));
    if !slots.is_empty() {
        exact.each(wanted.stop, slots, |place, vector| found[place].rank = ranker.measure(query, vector))?;
        sort(found);
    }
    cut(found, n, ranker);
    Ok(())
}

/// Compares what was found by its exact vectors, those that are nearest by their codes first, until those that come
/// later make no difference. What matches a filter may lie far from the query, where codes can hardly tell one from
/// another.
pub(super) fn rescore_until_sure(
    (slots, exact): (&Slots, &Reader<'_>),
    ranker: &Ranker,
    wanted: Wanted<'_>,
    n_least: usize,
    scratch: &mut Scratch,
) -> Result<()> {
    let (mut all, mut nearest) = (std::mem::take(&mut scratch.rough), std::mem::take(&mut scratch.nearest));
    std::mem::swap(&mut all, &mut scratch.found);
    nearest.clear();
    let mut n_rescored = 0;
    while n_rescored < all.len() {
        let rest = &mut all[n_rescored..];
        let n_next = n_least.max(n_rescored).clamp(1, rest.len());
        wanted.stop.check()?;
        rest.select_nth_unstable_by(n_next - 1, in_order);
        scratch.found.clear();
        scratch.found.extend(rest[..n_next].iter().filter(|found| wanted.may_be(slots, found.slot)));
        rescore(exact, ranker, wanted, scratch)?;
        n_rescored += n_next;
        let had_enough = nearest.len() >= wanted.n;
        let farthest = nearest.last().copied();
        nearest.append(&mut scratch.found);
        sort(&mut nearest);
        cut(&mut nearest, wanted.n, ranker);
        if had_enough && nearest.last().copied() == farthest {
            break;
        }
    }
    scratch.effort.n_rescored = n_rescored;
    std::mem::swap(&mut nearest, &mut scratch.found);
    (scratch.rough, scratch.nearest) = (all, nearest);
    Ok(())
}
