//! The 1-bit prefilter (SimHash), which rules out most distant candidates before codes are
//! compared.
//!
//! The first search that could use sketches asks for them. They are made in the background, for all
//! documents visible from then on. A search of an earlier commit does without.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::order::in_order;
use super::timing::fastest;
use super::{Effort, NearestRequest, SearchScratch, Seen};
use crate::collection::matching::candidates::Picks;
use crate::collection::memory::Slots;
use crate::collection::vectors::HnswIndex;
use crate::collection::vectors::space::CodeSpace;
use crate::graph::{Neighbor, Space};
use crate::id::{Commit, Slot};
use crate::quant::{Code, CodeQuery, Codes, Sketches};
use crate::store::View;

/// With fewer candidates, their codes are compared right away.
pub(crate) const LEAST_PREFILTERED: usize = 512;
/// About how many candidates the prefilter leaves, measured on embeddings of short texts.
pub(super) const PREFILTERED: f64 = 400.0;
/// The fraction of candidates left if all of them are away from the query.
pub(super) const LEFT_AWAY: f64 = 0.2;
/// Candidates filtered at once.
const CHUNK: usize = 1 << 15;
/// Of each chunk, about this many counts are sampled to estimate how near the nearest are.
const SAMPLED: usize = 4_096;
/// Counts compared at once.
const LANES: usize = 16;
/// Counts that are filtered into a buffer of this size before the result is copied.
const CHOSEN: usize = 32 * LANES;
/// Codes compared per hit, to learn how near the hits are.
const FIRST_PER_HIT: usize = 3;
/// Codes compared in addition, whatever the number of hits.
const FIRST: usize = 16;
/// Codes compared at once.
const BLOCK: usize = 32;
/// The most sketches compared to measure their cost.
const N_SAMPLES: usize = 1 << 16;
/// One in this many slots gives a sketch for that.
const SAMPLED_SHARE: u32 = 4;

/// The sketches of a layer, if a search asked for them.
#[derive(Default)]
pub(in crate::collection::vectors) struct SketchLayer {
    sketched: OnceLock<Sketched>,
    was_asked_for: AtomicBool,
    is_wanted: AtomicBool,
}

struct Sketched {
    sketches: Sketches,
    /// The first commit whose documents all have sketches, and the nanoseconds per comparison.
    since: OnceLock<(Commit, f64)>,
}

impl SketchLayer {
    pub(in crate::collection::vectors) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        self.sketched.get().map_or(Ok(()), |sketched| sketched.sketches.reserve(n_slots))
    }

    pub(in crate::collection::vectors) fn bytes_of(&self, n_slots: usize) -> usize {
        self.sketched.get().map_or(0, |sketched| sketched.sketches.bytes_of(n_slots))
    }

    /// Stores the sketch of a slot's new code, if there are sketches.
    pub(in crate::collection::vectors) fn put(&self, codes: &Codes, slot: Slot, code: &Code) {
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

    /// The sketches, if all documents visible at `commit` have one.
    pub(in crate::collection::vectors) fn at(&self, commit: Commit) -> Option<&Sketches> {
        self.ready().filter(|(_, since, _)| *since <= commit).map(|(sketches, ..)| sketches)
    }

    /// Nanoseconds per comparison of a sketch, once there are sketches.
    pub(in crate::collection::vectors) fn cost(&self) -> Option<f64> {
        self.ready().map(|(.., nanoseconds)| nanoseconds)
    }
}

impl HnswIndex {
    /// Asks for sketches. False if they were asked for before.
    pub(in crate::collection::vectors) fn ask_for_sketches(&self) -> bool {
        let layer = self.layer.load();
        let SketchLayer { was_asked_for, is_wanted, .. } = &*layer.sketch_layer;
        // Usually they were: the load is cheap.
        if was_asked_for.load(Ordering::Relaxed) || was_asked_for.swap(true, Ordering::AcqRel) {
            return false;
        }
        is_wanted.store(true, Ordering::Release);
        true
    }

    /// Makes sketches, if a search asked for them. No commit is applied while what `hold` returns
    /// exists. `view` returns a view of the last commit.
    pub(in crate::collection::vectors) fn make_sketches<G>(
        &self,
        slots: &Slots,
        hold: impl FnOnce() -> G,
        view: impl FnOnce() -> Arc<View>,
    ) -> std::io::Result<bool> {
        if !self.layer.load().sketch_layer.is_wanted.swap(false, Ordering::AcqRel) {
            return Ok(false);
        }
        let view = {
            let _held = hold();
            if !self.begin_sketches(slots.n_slots())? {
                return Ok(false);
            }
            view()
        };
        self.fill_sketches(slots, view.commit);
        Ok(true)
    }

    /// From now on new codes get sketches. No commit may be applied meanwhile. False if none can be
    /// made.
    fn begin_sketches(&self, n_slots: usize) -> std::io::Result<bool> {
        let layer = self.layer.load();
        let Some(sketches) = layer.codes().and_then(Sketches::new) else { return Ok(false) };
        sketches.reserve(n_slots)?;
        Ok(layer.sketch_layer.sketched.set(Sketched { sketches, since: OnceLock::new() }).is_ok())
    }

    /// Makes the sketches of all documents visible at `commit`, the last commit before sketches
    /// were begun. The caller keeps a view of it.
    fn fill_sketches(&self, slots: &Slots, commit: Commit) {
        let layer = self.layer();
        let (Some(sketched), Some(codes)) = (layer.sketch_layer.sketched.get(), layer.codes()) else { return };
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

    /// Whether a slot's sketch matches its code; true without sketches. The slot stays in use.
    pub(in crate::collection::vectors) fn sketch_follows(&self, slot: Slot) -> bool {
        let layer = self.layer();
        let (Some((sketches, ..)), Some(codes)) = (layer.sketch_layer.ready(), layer.codes()) else { return true };
        let mut signs = Vec::new();
        codes.signs(codes.bytes_at(slot.0).0, &mut signs);
        sketches.holds(slot.0, &signs)
    }
}

/// Leaves the `n_kept` nearest by codes in `scratch.found`, in no order. Few of those beyond the
/// nearest `n` may be missing. Some may no longer be visible. Returns the cost.
pub(in crate::collection::vectors) fn prefilter(
    (space, sketches): (&CodeSpace<'_>, &Sketches),
    query: &CodeQuery,
    request: NearestRequest<'_>,
    each: &mut Picks<'_>,
    (n, n_kept): (usize, usize),
    scratch: &mut SearchScratch,
) -> Effort {
    let SearchScratch { found, prefilter, .. } = scratch;
    let Prefilter { signs, slots, counts, histogram, chosen, distances } = prefilter;
    let n_excluded = request.excluded.len();
    let (n, n_kept, mut effort) = (n.max(1) + n_excluded, n_kept + n_excluded, Effort::default());
    space.codes.signs_of_query(query, signs);
    found.clear();
    loop {
        each.take_into(CHUNK, slots);
        if slots.is_empty() || request.stop.is_due() {
            break;
        }
        effort.n_prefiltered += slots.len();
        counts.resize(slots.len(), 0);
        sketches.count(signs, slots, counts);
        let mut compare = |found: &mut Vec<Neighbor>, counted: Range<u32>| {
            choose(counts, slots, counted, chosen);
            // Tested only now: sketches, unlike codes, may be read while they are written.
            each.keep_present(chosen);
            effort.n_codes += chosen.len();
            compare_all(space, query, chosen, distances, found);
        };
        // Candidates below this count of differing signs are compared already.
        let mut next = 0;
        if found.len() < n {
            histogram.resize(sketches.n_counts(), 0);
            next = count_of_nearest(counts, histogram, n * FIRST_PER_HIT + FIRST);
            compare(found, 0..next);
        }
        let end = match found.len() >= n {
            true => sketches.most_different(found.select_nth_unstable_by(n - 1, in_order).1.distance) + 1,
            false => u32::MAX,
        };
        compare(found, next..end.max(next));
        if found.len() > n_kept {
            found.select_nth_unstable_by(n_kept, in_order);
            found.truncate(n_kept);
        }
    }
    effort
}

/// Buffers of the prefilter.
#[derive(Default)]
pub(in crate::collection::vectors) struct Prefilter {
    signs: Vec<[u64; 8]>,
    slots: Vec<u32>,
    counts: Vec<u32>,
    histogram: Vec<usize>,
    chosen: Vec<u32>,
    distances: Vec<f32>,
}

/// Copies the slots whose counts lie in `range` into `chosen`.
fn choose(counts: &[u32], slots: &[u32], range: Range<u32>, chosen: &mut Vec<u32>) {
    let width = range.end - range.start;
    let is_within = |count: &u32| count.wrapping_sub(range.start) < width;
    let mut buffer = [0; CHOSEN];
    chosen.clear();
    for (counts, slots) in counts.chunks(CHOSEN).zip(slots.chunks(CHOSEN)) {
        let mut n = 0;
        for (counts, slots) in counts.chunks(LANES).zip(slots.chunks(LANES)) {
            // Most blocks have none, which one test of the whole block shows. In the others, every
            // slot is written to the buffer and kept only if it is in range. The processor could
            // not predict which.
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

/// A bound below which lie about `n` counts; `u32::MAX` if there are fewer.
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

fn compare_all(
    space: &CodeSpace<'_>,
    query: &CodeQuery,
    slots: &[u32],
    distances: &mut Vec<f32>,
    found: &mut Vec<Neighbor>,
) {
    distances.resize(BLOCK, 0.0);
    slots.iter().take(BLOCK).for_each(|&slot| space.prefetch(slot));
    for (at, block) in slots.chunks(BLOCK).enumerate() {
        slots.iter().skip((at + 1) * BLOCK).take(BLOCK).for_each(|&slot| space.prefetch(slot));
        space.compare(query, block, &mut distances[..block.len()]);
        found.extend(block.iter().zip(distances.iter()).map(|(&slot, &distance)| Neighbor { slot, distance }));
    }
}
