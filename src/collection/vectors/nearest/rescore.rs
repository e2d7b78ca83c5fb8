//! Rescoring: results found by codes are compared again by exact vectors, which give the measures.
//!
//! Each search decides how many to rescore, by how wrong codes were about those before.

use super::order::{cut, in_order, sort};
use super::{NearestRequest, SearchContext, SearchScratch, Target, gather};
use crate::collection::memory::Slots;
use crate::collection::vectors::Sight;
use crate::collection::vectors::full::Reader;
use crate::distance::Comparison;
use crate::error::Result;
use crate::graph::Neighbor;
use crate::id::Slot;
use crate::quant::{CodeQuery, Codes};

/// At least one in `RESCORED_SHARE` of the points in the beam is compared by its exact vector.
pub(super) const RESCORED_SHARE: usize = 5;
/// The next candidate is in doubt within this many standard deviations of the codes' errors.
const DOUBT: f64 = 2.25;
/// As long as the next candidate is in doubt, one more is compared for every `STEP` compared
/// before.
const STEP: usize = 4;
/// Codes are blind if the variance of their errors is at least this fraction of the variance of the
/// exact distances. The two are equal if codes tell nothing apart.
const BLIND: f64 = 0.9;

/// The doubt that codes leave about the hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    No,
    /// Whether the candidate after all compared ones is a hit.
    Next,
    /// Which candidates are the nearest at all.
    Nearest,
}

/// Rescores the `n_least` nearest by codes. Rescores more as long as the codes' errors suggest that
/// the next candidate may be a hit.
pub(super) fn rescore_while_doubted(
    context: SearchContext<'_>,
    (codes, query): (&Codes, &CodeQuery),
    n_least: usize,
    scratch: &mut SearchScratch,
) -> Result<Doubt> {
    let SearchContext { layer, sight: Sight { slots, exact, comparison, .. }, request } = context;
    let at_most = scratch.pool.most;
    // The candidate after these is needed too.
    gather(&layer.graph, slots, request, &Target::All, (n_least + 1).min(at_most), scratch);
    let (mut all, mut pairs) = (std::mem::take(&mut scratch.rough), std::mem::take(&mut scratch.pairs));
    std::mem::swap(&mut all, &mut scratch.found);
    let noise = all.first().map_or(0.0, |nearest| codes.noise(query, nearest.slot));
    let (mut n, mut has_all) = (n_least, all.len() <= n_least);
    scratch.found.clear();
    pairs.clear();
    // Reserved now, so that later searches allocate nothing.
    scratch.distances.clear();
    scratch.distances.reserve(at_most);
    pairs.reserve(at_most);
    let compared = loop {
        let compared = compare_more(exact, comparison, request, &all[..n.min(all.len())], &mut pairs, scratch);
        let farthest = scratch.found.get(request.n.saturating_sub(1)).map_or(f32::INFINITY, |found| found.distance);
        match all.get(n) {
            Some(next) if compared.is_ok() && is_doubted(&pairs, noise, next.distance, farthest) => {}
            _ => break compared,
        }
        if !has_all {
            gather(&layer.graph, slots, request, &Target::All, at_most, scratch);
            std::mem::swap(&mut all, &mut scratch.found);
            has_all = true;
            // Starts again, because some candidates may have been linked in between.
            scratch.found.clear();
            pairs.clear();
        }
        n += n.div_ceil(STEP).max(1);
    };
    let doubt = match n >= all.len() {
        true => doubt_of(&pairs, noise, request.n, all.len() >= at_most, &mut scratch.distances),
        false => Doubt::No,
    };
    (scratch.rough, scratch.pairs) = (all, pairs);
    cut(&mut scratch.found, request.n, comparison);
    compared.map(|()| doubt)
}

/// Rescores the candidates that `pairs` does not hold yet, and sorts them into `scratch.found`.
fn compare_more(
    exact: &Reader<'_>,
    comparison: &Comparison,
    request: NearestRequest<'_>,
    candidates: &[Neighbor],
    pairs: &mut Vec<(f32, f32)>,
    scratch: &mut SearchScratch,
) -> Result<()> {
    let SearchScratch { found, effort, slots, .. } = scratch;
    let (n_before, new) = (pairs.len(), &candidates[pairs.len().min(candidates.len())..]);
    slots.clear();
    slots.extend(new.iter().map(|found| Slot(found.slot)));
    if let Some(held) = exact.held() {
        slots.iter().for_each(|&slot| held.prefetch(slot));
    }
    pairs.extend(new.iter().map(|found| (found.distance, f32::INFINITY)));
    effort.n_rescored += new.len();
    exact.each(request.stop, slots, |place, vector| {
        let distance = comparison.measure(request.query, vector);
        pairs[n_before + place].1 = distance;
        found.push(Neighbor { slot: slots[place].0, distance });
    })?;
    sort(found);
    Ok(())
}

/// The doubt left after all candidates for `n` hits were compared. `has_more`: there are farther
/// ones. `distances` is a buffer.
fn doubt_of(pairs: &[(f32, f32)], noise: f32, n: usize, has_more: bool, distances: &mut Vec<f32>) -> Doubt {
    distances.clear();
    distances.extend(pairs.iter().map(|(_, exact)| *exact));
    distances.sort_unstable_by(f32::total_cmp);
    if are_blind(pairs, distances, noise, n) {
        return Doubt::Nearest;
    }
    let farthest = distances.get(n.saturating_sub(1)).copied().unwrap_or(f32::INFINITY);
    match pairs.last() {
        Some((next, _)) if has_more && is_doubted(pairs, noise, *next, farthest) => Doubt::Next,
        _ => Doubt::No,
    }
}

/// Whether the next candidate may be nearer than the farthest hit so far. `next` is its distance by
/// code. `pairs` holds the distances by code and the exact distances of the candidates before.
fn is_doubted(pairs: &[(f32, f32)], noise: f32, next: f32, farthest: f32) -> bool {
    let errors = pairs.iter().map(|&(by_code, exact)| f64::from(exact) - f64::from(by_code));
    let mean = errors.clone().sum::<f64>() / pairs.len().max(1) as f64;
    // The nearest by code may share one error, so their errors alone could be too small.
    let deviation = variance(errors).sqrt().max(f64::from(noise));
    f64::from(next) + mean - DOUBT * deviation < f64::from(farthest)
}

/// Whether codes told almost nothing about which candidates are the `n` nearest. Their errors vary
/// as much as the exact distances do, or their noise hides the differences between the nearest.
/// `distances` holds the exact distances in order.
fn are_blind(pairs: &[(f32, f32)], distances: &[f32], noise: f32, n: usize) -> bool {
    if pairs.len() <= n {
        return false;
    }
    let to_tell = |distances: &[f32]| variance(distances.iter().map(|distance| f64::from(*distance)));
    let all = to_tell(distances);
    let errors = pairs.iter().map(|&(by_code, exact)| f64::from(exact) - f64::from(by_code));
    if all > 0.0 && variance(errors) >= BLIND * all {
        return true;
    }
    // Other candidates may lie far away and are easily told apart, so only the nearest half counts.
    let near = to_tell(&distances[..(pairs.len() / 2).max(n + 1).min(distances.len())]);
    near > 0.0 && f64::from(noise).powi(2) >= BLIND * near
}

fn variance(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / n;
    values.map(|value| (value - mean).powi(2)).sum::<f64>() / n
}

/// How many of `pairs`, nearest first by code, a search for the nearest `n` rescores.
pub(in crate::collection::vectors) fn n_trusted(pairs: &[(f32, f32)], noise: f32, n: usize) -> usize {
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

/// Rescores all of `scratch.found`.
fn rescore(
    exact: &Reader<'_>,
    comparison: &Comparison,
    request: NearestRequest<'_>,
    scratch: &mut SearchScratch,
) -> Result<()> {
    let SearchScratch { found, effort, slots, .. } = scratch;
    effort.n_rescored = found.len();
    slots.clear();
    slots.extend(found.iter().map(|found| Slot(found.slot)));
    if let Some(held) = exact.held() {
        slots.iter().for_each(|&slot| held.prefetch(slot));
    }
    exact
        .each(request.stop, slots, |place, vector| found[place].distance = comparison.measure(request.query, vector))?;
    sort(found);
    cut(found, request.n, comparison);
    Ok(())
}

/// Sorts `scratch.found`, whose distances are those of vectors, by measures. Leaves the nearest `n`
/// and those as near as the last of them. Reads vectors only where distances are too rough.
pub(super) fn measure_found(context: SearchContext<'_>, scratch: &mut SearchScratch) -> Result<()> {
    let (Sight { exact, comparison, slots: seen, .. }, request) = (context.sight, context.request);
    let NearestRequest { query, n, .. } = request;
    let SearchScratch { found, slots, .. } = scratch;
    // Slots that were compared one by one may no longer be visible.
    found.retain(|found| context.request.may_be(seen, found.slot));
    found.iter_mut().for_each(|found| found.distance = comparison.measure_of(found.distance));
    slots.clear();
    let rough = found.iter().take_while(|found| comparison.is_rough(found.distance, query.len()));
    slots.extend(rough.map(|found| Slot(found.slot)));
    if !slots.is_empty() {
        exact.each(request.stop, slots, |place, vector| found[place].distance = comparison.measure(query, vector))?;
        sort(found);
    }
    cut(found, n, comparison);
    Ok(())
}

/// Rescores `scratch.found` in rounds, nearest by codes first, until a round changes no hit.
/// Matches of a filter may be far from the query, where codes can hardly tell one from another.
pub(super) fn rescore_until_sure(
    (slots, exact): (&Slots, &Reader<'_>),
    comparison: &Comparison,
    request: NearestRequest<'_>,
    n_least: usize,
    scratch: &mut SearchScratch,
) -> Result<()> {
    let (mut all, mut nearest) = (std::mem::take(&mut scratch.rough), std::mem::take(&mut scratch.nearest));
    std::mem::swap(&mut all, &mut scratch.found);
    nearest.clear();
    let mut n_rescored = 0;
    while n_rescored < all.len() {
        let rest = &mut all[n_rescored..];
        let n_next = n_least.max(n_rescored).clamp(1, rest.len());
        request.stop.check()?;
        rest.select_nth_unstable_by(n_next - 1, in_order);
        scratch.found.clear();
        scratch.found.extend(rest[..n_next].iter().filter(|found| request.may_be(slots, found.slot)));
        rescore(exact, comparison, request, scratch)?;
        n_rescored += n_next;
        let had_enough = nearest.len() >= request.n;
        let farthest = nearest.last().copied();
        nearest.append(&mut scratch.found);
        sort(&mut nearest);
        cut(&mut nearest, request.n, comparison);
        if had_enough && nearest.last().copied() == farthest {
            break;
        }
    }
    scratch.effort.n_rescored = n_rescored;
    std::mem::swap(&mut nearest, &mut scratch.found);
    (scratch.rough, scratch.nearest) = (all, nearest);
    Ok(())
}
