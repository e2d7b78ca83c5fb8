//! Telling from sketches most of what is far from a query, before codes are compared.
//!
//! Sketches are made when a search first wants them, in the background, of what is seen from then on: a search that
//! looks at an earlier commit does without.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Index;
use super::cost::fastest;
use super::seek::{Effort, Scratch, Seen, Wanted, in_order};
use super::space::CodeSpace;
use crate::collection::candidates::Picks;
use crate::collection::memory::Slots;
use crate::graph::{Found, Space};
use crate::id::{Commit, Slot};
use crate::quant::{Code, CodeQuery, Codes, Sketches};

/// Fewer candidates are compared by their codes right away.
pub(crate) const LEAST_SIFTED: usize = 512;
/// Candidates whose codes are compared all the same, about: measured on embeddings of short texts. Of those that lie
/// away from the query, such a part.
pub(super) const SIFTED: f64 = 400.0;
pub(super) const LEFT_AWAY: f64 = 0.2;
/// Candidates sifted at once.
const CHUNK: usize = 1 << 15;
/// Of these so many are looked at to know how near the nearest are, about.
const SAMPLED: usize = 4_096;
/// Counts compared at once.
const LANES: usize = 16;
/// Counts that slots are chosen by before these are put with the others.
const CHOSEN: usize = 32 * LANES;
/// For each hit so many codes are compared to know how near hits are, and so many more.
const FIRST_PER_HIT: usize = 3;
const FIRST: usize = 16;
/// Codes ranked at once.
const BLOCK: usize = 32;
/// Sketches that are compared to measure, at most: of one slot in so many.
const N_SAMPLES: usize = 1 << 16;
const SAMPLED_SHARE: u32 = 4;

/// The sketches of an index, if anyone wanted some.
#[derive(Default)]
pub(super) struct Sifting {
    sketched: OnceLock<Sketched>,
    was_asked_for: AtomicBool,
    is_wanted: AtomicBool,
}

struct Sketched {
    sketches: Sketches,
    /// The commit from which on all that is seen has a sketch, and the nanoseconds that comparing one takes.
    since: OnceLock<(Commit, f64)>,
}

impl Sifting {
    pub(super) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        self.sketched.get().map_or(Ok(()), |sketched| sketched.sketches.reserve(n_slots))
    }

    pub(super) fn bytes_of(&self, n_slots: usize) -> usize {
        self.sketched.get().map_or(0, |sketched| sketched.sketches.bytes_of(n_slots))
    }

    /// Makes the sketch of a slot's new code, where there are such.
    pub(super) fn put(&self, codes: &Codes, slot: Slot, code: &Code) {
        if let Some(Sketched { sketches, .. }) = self.sketched.get() {
            let mut signs = Vec::new();
            codes.signs(code.bytes(), &mut signs);
            sketches.put(slot.0, &signs);
        }
    }

    fn ready(&self) -> Option<(&Sketches, Commit, f64)> {
        let Sketched { sketches, since } = self.sketched.get()?;
        since.get().map(|(commit, nanoseconds)| (sketches, *commit, *nanoseconds))
    }

    /// The sketches of all that is seen at a commit, if there are such.
    pub(super) fn at(&self, commit: Commit) -> Option<&Sketches> {
        self.ready().filter(|(_, since, _)| *since <= commit).map(|(sketches, ..)| sketches)
    }

    /// Nanoseconds that comparing a sketch takes, once there are such.
    pub(super) fn cost(&self) -> Option<f64> {
        self.ready().map(|(.., nanoseconds)| nanoseconds)
    }
}

impl Index {
    /// Has sketches be made, if that was not asked for before; false if it was.
    pub(crate) fn ask_for_sketches(&self) -> bool {
        let layer = self.layer.load();
        let Sifting { was_asked_for, is_wanted, .. } = &*layer.sifting;
        // Mostly it was: a look is cheap.
        if was_asked_for.load(Ordering::Relaxed) || was_asked_for.swap(true, Ordering::AcqRel) {
            return false;
        }
        is_wanted.store(true, Ordering::Release);
        true
    }

    /// Whether sketches are to be made. That is told once.
    pub(crate) fn takes_sketches(&self) -> bool {
        self.layer.load().sifting.is_wanted.swap(false, Ordering::AcqRel)
    }

    /// From now on what is put is given a sketch. No commit may be applied meanwhile. False if there is nothing to
    /// fill.
    pub(crate) fn begin_sketches(&self, n_slots: usize) -> std::io::Result<bool> {
        let layer = self.layer.load();
        let Some(sketches) = layer.codes().and_then(Sketches::new) else { return Ok(false) };
        sketches.reserve(n_slots)?;
        Ok(layer.sifting.sketched.set(Sketched { sketches, since: OnceLock::new() }).is_ok())
    }

    /// Makes the sketches of all that is seen at a commit, the last one when they were begun; someone looks at it
    /// meanwhile.
    pub(crate) fn fill_sketches(&self, slots: &Slots, commit: Commit) {
        let layer = self.layer();
        let (Some(sketched), Some(codes)) = (layer.sifting.sketched.get(), layer.codes()) else { return };
        let (mut signs, mut sample) = (Vec::new(), Vec::new());
        for slot in (0..slots.n_slots() as u32).filter(|&slot| slots.exists_at(Slot(slot), commit)) {
            codes.signs(codes.bytes_at(slot).0, &mut signs);
            sketched.sketches.put(slot, &signs);
            if sample.len() < N_SAMPLES && slot % SAMPLED_SHARE == 0 {
                sample.push(slot);
            }
        }
        let mut counts = vec![0; sample.len()];
        let nanoseconds = fastest(sample.len().max(1), || sketched.sketches.count(&signs, &sample, &mut counts));
        tracing::debug!(nanoseconds, "made sketches");
        _ = sketched.since.set((commit, nanoseconds));
    }

    /// Whether a slot's sketch, if there are such, is that of its code. It has a document that stays meanwhile.
    pub(crate) fn sketch_follows(&self, slot: Slot) -> bool {
        let layer = self.layer();
        let (Some((sketches, ..)), Some(codes)) = (layer.sifting.ready(), layer.codes()) else { return true };
        let mut signs = Vec::new();
        codes.signs(codes.bytes_at(slot.0).0, &mut signs);
        sketches.holds(slot.0, &signs)
    }
}

/// Leaves in `scratch.found` the nearest `n_kept` by their codes, in no order, but for few that are farther than the
/// nearest `n`; some may not be seen any more. Returns what that took.
pub(super) fn sift(
    (space, sketches): (&CodeSpace<'_>, &Sketches),
    query: &CodeQuery,
    wanted: Wanted<'_>,
    each: &mut Picks<'_>,
    (n, n_kept): (usize, usize),
    scratch: &mut Scratch,
) -> Effort {
    let Scratch { found, sieve, .. } = scratch;
    let Sieve { signs, slots, counts, histogram, chosen, ranks } = sieve;
    let n_excluded = wanted.excluded.len();
    let (n, n_kept, mut effort) = (n.max(1) + n_excluded, n_kept + n_excluded, Effort::default());
    space.codes.signs_of_query(query, signs);
    found.clear();
    loop {
        each.take_into(CHUNK, slots);
        if slots.is_empty() || wanted.stop.is_due() {
            break;
        }
        effort.n_sifted += slots.len();
        counts.resize(slots.len(), 0);
        sketches.count(signs, slots, counts);
        let mut rank = |found: &mut Vec<Found>, counted: Range<u32>| {
            choose(counts, slots, counted, chosen);
            // Only now: whoever reads a sketch is not disturbed by those who write it.
            each.keep_present(chosen);
            effort.n_codes += chosen.len();
            rank_all(space, query, chosen, ranks, found);
        };
        // Those that differ in fewer signs were ranked.
        let mut next = 0;
        if found.len() < n {
            histogram.resize(sketches.n_counts(), 0);
            next = count_of_nearest(counts, histogram, n * FIRST_PER_HIT + FIRST);
            rank(found, 0..next);
        }
        let end = match found.len() >= n {
            true => sketches.most_different(found.select_nth_unstable_by(n - 1, in_order).1.rank) + 1,
            false => u32::MAX,
        };
        rank(found, next..end.max(next));
        if found.len() > n_kept {
            found.select_nth_unstable_by(n_kept, in_order);
            found.truncate(n_kept);
        }
    }
    effort
}

/// Room for sifting.
#[derive(Default)]
pub(super) struct Sieve {
    signs: Vec<[u64; 8]>,
    slots: Vec<u32>,
    counts: Vec<u32>,
    histogram: Vec<usize>,
    chosen: Vec<u32>,
    ranks: Vec<f32>,
}

/// Leaves in a buffer the slots whose counts lie within a range.
fn choose(counts: &[u32], slots: &[u32], range: Range<u32>, chosen: &mut Vec<u32>) {
    let width = range.end - range.start;
    let is_within = |count: &u32| count.wrapping_sub(range.start) < width;
    let mut buffer = [0; CHOSEN];
    chosen.clear();
    for (counts, slots) in counts.chunks(CHOSEN).zip(slots.chunks(CHOSEN)) {
        let mut n = 0;
        for (counts, slots) in counts.chunks(LANES).zip(slots.chunks(LANES)) {
            // Of most blocks none is, which is told of all at once; of others each is taken, and left again if it is
            // not: which are cannot be foreseen.
            if counts.iter().fold(false, |any, count| any | is_within(count)) {
                for (count, slot) in counts.iter().zip(slots) {
                    buffer[n % CHOSEN] = *slot;
                    n += usize::from(is_within(count));
                }
            }
        }
        chosen.extend_from_slice(&buffer[..n]);
    }
}

/// A number below which lie about `n` counts; beyond all if there are not so many.
fn count_of_nearest(counts: &[u32], histogram: &mut [usize], n: usize) -> u32 {
    let step = counts.len().div_ceil(SAMPLED);
    histogram.fill(0);
    counts.iter().step_by(step).for_each(|count| histogram[*count as usize] += step);
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
