//! Diverse hits by maximal marginal relevance (MMR; Carbonell and Goldstein 1998).
//!
//! This module owns only the choice. The candidates were found before, nearest first.

use crate::cancel::Stop;
use crate::collection::vectors::full::Reader;
use crate::distance::Comparison;
use crate::error::Result;
use crate::graph::Neighbor;
use crate::id::Slot;
use crate::params::Mmr;

/// Keeps the `n` candidates of `found` that MMR chooses, in the order of the choice, and drops the
/// others.
pub(in crate::collection) fn choose(
    comparison: &Comparison,
    exact: &Reader<'_>,
    mmr: Mmr,
    n: usize,
    found: &mut Vec<Neighbor>,
    stop: &Stop,
) -> Result<()> {
    let slots: Vec<Slot> = found.iter().map(|found| Slot(found.slot)).collect();
    let mut vectors = vec![Vec::new(); found.len()];
    exact.each(stop, &slots, |place, vector| vectors[place] = vector.to_vec())?;
    let near: Vec<f32> = found.iter().map(|found| comparison.score(found.distance)).collect();
    // Each candidate's greatest score against those chosen; `None` before the first choice.
    let mut like = vec![None::<f32>; found.len()];
    let mut rest: Vec<usize> = (0..found.len()).collect();
    let mut chosen = Vec::with_capacity(n.min(found.len()));
    while chosen.len() < n && !rest.is_empty() {
        // Adding zero turns -0.0 into 0.0, so that both compare as equal.
        let worth = |place: usize| mmr.lambda * near[place] - (1.0 - mmr.lambda) * like[place].unwrap_or(0.0) + 0.0;
        // Of equally good candidates the first is taken, which is the nearest.
        let best = (0..rest.len()).rev().max_by(|&a, &b| worth(rest[a]).total_cmp(&worth(rest[b])));
        let Some(best) = best else { break };
        let place = rest.remove(best);
        chosen.push(found[place]);
        for (at, &other) in rest.iter().enumerate() {
            if at % Stop::EVERY == 0 {
                stop.check()?;
            }
            let score = comparison.score(comparison.measure(&vectors[place], &vectors[other]));
            like[other] = Some(like[other].map_or(score, |most| most.max(score)));
        }
    }
    *found = chosen;
    Ok(())
}
