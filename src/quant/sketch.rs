//! 1-bit sketches (SimHash): the sign of each component of a rotated vector.
//!
//! The fraction of signs in which two vectors of length one differ is about angle / π (Charikar,
//! "Similarity estimation techniques from rounding algorithms", 2002). Counting differing bits
//! takes a tenth of the time of comparing codes, and rules out most of the distant vectors.
//! Sketches are computed from codes: `Sq8` codes of vectors of length one only.

use std::f64::consts::PI;
use std::sync::atomic::{AtomicU64, Ordering};

use super::codes::Codes;
use crate::arena::Rows;
use crate::distance::{self, Kernels};

/// With fewer components, signs tell too little.
const LEAST_DIMENSION: usize = 256;
/// Standard deviations added to the expected number of differing signs, as if signs were
/// independent. A vector with more differing signs counts as farther away. The bound comes from
/// more candidates than the hits wanted, so this loses about 0.5 % of the hits.
const DEVIATIONS: f64 = 1.5;
/// Words of 8 bytes in a cache line. Sketches fill whole lines.
pub(super) const LINE: usize = 8;
/// Sketches compared in one call of a kernel.
const BLOCK: usize = 16;

static NONE: [AtomicU64; LINE] = [const { AtomicU64::new(0) }; LINE];

/// The sketches of a collection, by slot.
pub(crate) struct Sketches {
    dimension: usize,
    rows: Rows<[AtomicU64; LINE]>,
    kernels: &'static Kernels,
}

impl Sketches {
    /// No sketches yet, with room for those of `codes`; `None` if these codes cannot have sketches.
    pub(crate) fn new(codes: &Codes) -> Option<Self> {
        let codes = codes.sketched().filter(|codes| codes.dimension() >= LEAST_DIMENSION)?;
        let rows = Rows::new(codes.n_sign_lines());
        Some(Sketches { dimension: codes.dimension(), rows, kernels: Kernels::detected() })
    }

    /// Makes room for the slots below `n_slots`.
    pub(crate) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        self.rows.reserve(n_slots)
    }

    /// Bytes of the sketches of `n_slots` slots.
    pub(crate) fn bytes_of(&self, n_slots: usize) -> usize {
        self.rows.bytes_of(n_slots)
    }

    /// Stores the signs of a slot.
    pub(crate) fn put(&self, slot: u32, signs: &[[u64; LINE]]) {
        let words = self.rows.shared(slot).as_flattened().iter().zip(signs.as_flattened());
        words.for_each(|(word, signs)| word.store(*signs, Ordering::Relaxed));
    }

    /// Whether a slot has exactly these signs.
    pub(crate) fn holds(&self, slot: u32, signs: &[[u64; LINE]]) -> bool {
        let mut words = self.rows.shared(slot).as_flattened().iter().zip(signs.as_flattened());
        words.all(|(word, signs)| word.load(Ordering::Relaxed) == *signs)
    }

    /// Writes into `counts`, for each slot, the number of its signs that differ from `signs`.
    pub(crate) fn count(&self, signs: &[[u64; LINE]], slots: &[u32], counts: &mut [u32]) {
        counts.fill(0);
        for (line, signs) in signs.iter().enumerate() {
            let mut lines = [[&NONE; BLOCK]; 2];
            self.fetch(line, slots, &mut lines[0]);
            for (block, counts) in counts.chunks_mut(BLOCK).enumerate() {
                // The next block is prefetched while this one is compared.
                let ahead = slots.get((block + 1) * BLOCK..).unwrap_or_default();
                self.fetch(line, ahead, &mut lines[(block + 1) % 2]);
                (self.kernels.differing)(signs, &lines[block % 2][..counts.len()], counts);
            }
        }
    }

    #[inline(always)]
    fn fetch<'r>(&'r self, line: usize, slots: &[u32], lines: &mut [&'r [AtomicU64; LINE]; BLOCK]) {
        self.rows.each_shared(&slots[..slots.len().min(BLOCK)], |place, row| {
            distance::prefetch(row[line].as_ptr().cast(), size_of_val(&row[line]));
            lines[place] = &row[line];
        });
    }

    /// The number of differing signs that few vectors at this distance or a smaller one exceed.
    pub(crate) fn most_different(&self, distance: f32) -> u32 {
        let (part, n) = ((1.0 - f64::from(distance)).clamp(-1.0, 1.0).acos() / PI, self.dimension as f64);
        (n * part + DEVIATIONS * (n * part * (1.0 - part)).sqrt()).ceil() as u32
    }

    /// One more than the largest possible count.
    pub(crate) fn n_counts(&self) -> usize {
        self.dimension + 1
    }
}
