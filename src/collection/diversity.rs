//! Choosing hits that differ from each other, by maximal marginal relevance.
//!
//! Owns the choice and nothing else: what may be chosen was found before, nearest first.

use super::exact::Reader;
use crate::cancel::Stop;
use crate::distance::Ranker;
use crate::error::Result;
use crate::graph::Found;
use crate::id::Slot;
use crate::params::Mmr;

/// Puts the `n` of what was found in front that are near and unlike each other, in the order in which they are chosen,
/// and drops the others.
pub(super) fn choose(
    ranker: &Ranker,
    exact: &Reader<'_>,
    mmr: Mmr,
    n: usize,
    found: &mut Vec<Found>,
    stop: &Stop,
) -> Result<()> {
    let slots: Vec<Slot> = found.iter().map(|found| Slot(found.slot)).collect();
    let mut vectors = vec![Vec::new(); found.len()];
    exact.each(stop, &slots, |place, vector| vectors[place] = vector.to_vec())?;
    let near: Vec<f32> = found.iter().map(|found| ranker.score(found.rank)).collect();
    // How like what was chosen each is; nothing was yet.
    let mut like = vec![None::<f32>; found.len()];
    let mut rest: Vec<usize> = (0..found.len()).collect();
    let mut chosen = Vec::with_capacity(n.min(found.len()));
    while chosen.len() < n && !rest.is_empty() {
        // Adding zero makes both zeros one.
        let worth = |place: usize| mmr.lambda * near[place] - (1.0 - mmr.lambda) * like[place].unwrap_or(0.0) + 0.0;
        // Of equals the first, which is the nearest.
        let best = (0..rest.len()).rev().max_by(|&a, &b| worth(rest[a]).total_cmp(&worth(rest[b])));
        let Some(best) = best else { break };
        let place = rest.remove(best);
        chosen.push(found[place]);
        for (at, &other) in rest.iter().enumerate() {
            if at % Stop::EVERY == 0 {
                stop.check()?;
            }
            let score = ranker.score(ranker.measure(&vectors[place], &vectors[other]));
            like[other] = Some(like[other].map_or(score, |most| most.max(score)));
        }
    }
    *found = chosen;
    Ok(())
}
