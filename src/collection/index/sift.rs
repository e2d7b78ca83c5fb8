//! Telling from sketches most of what is far from a query, before codes are compared.
//!
//! Sketches are made when a search first wants them, in the background, of what is seen from then on: a search that looks
//! at an earlier commit does without.

use std::sync::OnceLock;

use super::Index;
use super::cost::fastest;
use super::seek::{Scratch, Seen, Wanted, sort};
use super::space::CodeSpace;
use crate::collection::memory::Slots;
use crate::graph::{Found, Space};
use crate::id::{Commit, Slot};
use crate::quant::{CodeQuery, Sketches};
use crate::sync::Ordering;

/// Fewer candidates are compared by their codes right away.
pub(crate) const LEAST_SIFTED: usize = 512;
/// Candidates whose codes are compared all the same, about: measured on embeddings of short texts.
pub(super) const SIFTED: usize = 500;
/// Candidates sifted at once.
const CHUNK: usize = 1 << 15;
/// For each hit so many codes are compared to know how near hits are, and so many more.
const FIRST_PER_HIT: usize = 3;
const FIRST: usize = 16;
/// Codes ranked at once.
const BLOCK: usize = 32;
/// Sketches that are compared to measure.
const N_SAMPLES: usize = 8_192;

pub(super) struct Sketched {
    pub(super) sketches: Sketches,
    /// The commit from which on all that is seen has a sketch, and the nanoseconds that comparing one takes.
    since: OnceLock<(Commit, f64)>,
}

impl Index {
    /// Has sketches be made, if that was not asked for before; false if it was.
    pub(crate) fn ask_for_sketches(&self) -> bool {
        // Mostly it was: a look is cheap.
        if self.asked_for_sketches.load(Ordering::Relaxed) || self.asked_for_sketches.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.wants_sketches.store(true, Ordering::Release);
        true
    }

    /// Whether sketches are to be made. That is told once.
    pub(crate) fn takes_sketches(&self) -> bool {
        self.wants_sketches.swap(false, Ordering::AcqRel)
    }

    /// From now on what is put is given a sketch. No commit may be applied meanwhile. False if there is nothing to fill.
    pub(crate) fn begin_sketches(&self, n_slots: usize) -> std::io::Result<bool> {
        let Some(sketches) = self.codes().and_then(Sketches::new) else { return Ok(false) };
        sketches.reserve(n_slots)?;
        Ok(self.sketched.set(Sketched { sketches, since: OnceLock::new() }).is_ok())
    }

    /// Makes the sketches of all that is seen at a commit, the last one when they were begun; someone looks at it meanwhile.
    pub(crate) fn fill_sketches(&self, slots: &Slots, commit: Commit) {
        let (Some(Sketched { sketches, since }), Some(codes)) = (self.sketched.get(), self.codes()) else { return };
        let (mut signs, mut sample) = (Vec::new(), Vec::new());
        for slot in (0..slots.n_slots() as u32).filter(|&slot| slots.exists_at(Slot(slot), commit)) {
            codes.signs(codes.bytes_at(slot).0, &mut signs);
            sketches.put(slot, &signs);
            if sample.len() < N_SAMPLES {
                sample.push(slot);
            }
        }
        let mut counts = vec![0; sample.len()];
        let nanoseconds = fastest(sample.len().max(1), || sketches.count(&signs, &sample, &mut counts));
        tracing::debug!(nanoseconds, "made sketches");
        _ = since.set((commit, nanoseconds));
    }

    /// Whether a slot's sketch, if there are such, is that of its code. It has a document that stays meanwhile.
    pub(crate) fn sketch_follows(&self, slot: Slot) -> bool {
        let sketched = self.sketched.get().filter(|sketched| sketched.since.get().is_some());
        let (Some(Sketched { sketches, .. }), Some(codes)) = (sketched, self.codes()) else { return true };
        let mut signs = Vec::new();
        codes.signs(codes.bytes_at(slot.0).0, &mut signs);
        sketches.holds(slot.0, &signs)
    }

    /// The sketches of all that is seen at a commit, if there are such.
    pub(super) fn sketches_at(&self, commit: Commit) -> Option<&Sketches> {
        let sketched = self.sketched.get()?;
        sketched.since.get().is_some_and(|(since, _)| *since <= commit).then_some(&sketched.sketches)
    }

    /// Nanoseconds that comparing a sketch takes, once there are such.
    pub(super) fn cost_of_sketch(&self) -> Option<f64> {
        self.sketched.get()?.since.get().map(|(_, nanoseconds)| *nanoseconds)
    }
}

/// Leaves in `scratch.found` the nearest `n_kept` by their codes, but for few that are farther than the nearest `n`. Returns
/// how many sketches were compared.
pub(super) fn sift(
    (space, sketches): (&CodeSpace<'_>, &Sketches),
    query: &CodeQuery,
    wanted: Wanted<'_>,
    each: &mut dyn Iterator<Item = Slot>,
    (n, n_kept): (usize, usize),
    scratch: &mut Scratch,
) -> usize {
    let Scratch { found, sieve, .. } = scratch;
    let Sieve { signs, slots, counts, chosen, ranks } = sieve;
    space.codes.signs_of_query(query, signs);
    found.clear();
    let mut n_sifted = 0;
    loop {
        slots.clear();
        slots.extend(each.take(CHUNK).map(|slot| slot.0));
        if slots.is_empty() {
            break;
        }
        n_sifted += slots.len();
        counts.resize(slots.len(), 0);
        sketches.count(signs, slots, counts);
        // Those that differ in so many signs or more are left.
        let mut left = 0;
        let mut rank = |found: &mut Vec<Found>, from: u32, below: u32| {
            let among = slots.iter().zip(counts.iter()).filter(|(_, count)| (from..below).contains(*count));
            chosen.clear();
            chosen.extend(among.map(|(slot, _)| *slot).filter(|slot| wanted.may_be(space.slots, *slot)));
            rank_all(space, query, chosen, ranks, found);
        };
        if found.len() < n {
            left = nearest_below(counts, sketches.n_counts(), n * FIRST_PER_HIT + FIRST);
            rank(found, 0, left);
        }
        let most = match found.len() >= n.max(1) {
            true => sketches.most_different(found.select_nth_unstable_by(n.max(1) - 1, by_rank).1.rank),
            false => u32::MAX - 1,
        };
        rank(found, left, (most + 1).max(left));
        if found.len() > n_kept {
            found.select_nth_unstable_by(n_kept, by_rank);
            found.truncate(n_kept);
        }
    }
    sort(found);
    n_sifted
}

/// Room for sifting.
#[derive(Default)]
pub(super) struct Sieve {
    signs: Vec<u64>,
    slots: Vec<u32>,
    counts: Vec<u32>,
    chosen: Vec<u32>,
    ranks: Vec<f32>,
}

fn by_rank(a: &Found, b: &Found) -> std::cmp::Ordering {
    a.rank.total_cmp(&b.rank)
}

/// The least number below which lie `n` counts or more; beyond all if there are not so many.
fn nearest_below(counts: &[u32], n_counts: usize, n: usize) -> u32 {
    let mut histogram = vec![0usize; n_counts];
    counts.iter().for_each(|count| histogram[*count as usize] += 1);
    let mut n_below = 0;
    let at = histogram.iter().position(|n_here| {
        n_below += n_here;
        n_below >= n
    });
    at.map_or(u32::MAX, |at| at as u32 + 1)
}

fn rank_all(space: &CodeSpace<'_>, query: &CodeQuery, slots: &[u32], ranks: &mut Vec<f32>, found: &mut Vec<Found>) {
    ranks.resize(BLOCK, 0.0);
    slots.iter().take(BLOCK).for_each(|&slot| space.prefetch(slot));
    for (at, block) in slots.chunks(BLOCK).enumerate() {
        slots.iter().skip((at + 1) * BLOCK).take(BLOCK).for_each(|&slot| space.prefetch(slot));
        space.rank(query, block, &mut ranks[..block.len()]);
        found.extend(block.iter().zip(ranks.iter()).map(|(&slot, &rank)| Found { rank, slot }));
    }
}
