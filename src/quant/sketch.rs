//! Sketches: of each component of a rotated vector its sign, in one bit.
//!
//! Of two vectors of length one about as large a part of the signs differ as the angle between them is of half a turn
//! (Charikar, "Similarity estimation techniques from rounding algorithms", 2002). So many differing bits are counted in
//! a tenth of the time that codes take to be compared, and tell most of what is far away. Sketches follow from codes,
//! for vectors of length one only.

use std::f64::consts::PI;
use std::sync::atomic::{AtomicU64, Ordering};

use super::codes::Codes;
use crate::arena::Rows;
use crate::distance::{self, Kernels};

/// Of fewer components signs tell too little.
const LEAST_DIMENSION: usize = 256;
/// Standard deviations of the number of signs that differ, were they independent, beyond which a vector counts as
/// farther away. As the bound is set from more than the hits that are wanted, this leaves out half of one in a hundred
/// of them.
const DEVIATIONS: f64 = 1.5;
/// Words of a cache line: sketches have whole ones.
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
    /// Sketches of codes, none yet; `None` for codes that they do not serve.
    pub(crate) fn new(codes: &Codes) -> Option<Self> {
        let codes = codes.sketched().filter(|codes| codes.dimension() >= LEAST_DIMENSION)?;
        let rows = Rows::new(codes.n_sign_lines());
        Some(Sketches { dimension: codes.dimension(), rows, kernels: Kernels::detected() })
    }

    /// Makes room for so many slots.
    pub(crate) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        self.rows.reserve(n_slots)
    }

    /// Bytes that the sketches of so many slots take.
    pub(crate) fn bytes_of(&self, n_slots: usize) -> usize {
        self.rows.bytes_of(n_slots)
    }

    /// Stores a slot's signs.
    pub(crate) fn put(&self, slot: u32, signs: &[[u64; LINE]]) {
        let words = self.rows.shared(slot).as_flattened().iter().zip(signs.as_flattened());
        words.for_each(|(word, signs)| word.store(*signs, Ordering::Relaxed));
    }

    /// Whether a slot has these signs.
    pub(crate) fn holds(&self, slot: u32, signs: &[[u64; LINE]]) -> bool {
        let mut words = self.rows.shared(slot).as_flattened().iter().zip(signs.as_flattened());
        words.all(|(word, signs)| word.load(Ordering::Relaxed) == *signs)
    }

    /// Counts for each slot the signs that differ from some.
    pub(crate) fn count(&self, signs: &[[u64; LINE]], slots: &[u32], counts: &mut [u32]) {
        counts.fill(0);
        for (line, signs) in signs.iter().enumerate() {
            let mut lines = [[&NONE; BLOCK]; 2];
            self.fetch(line, slots, &mut lines[0]);
            for (block, counts) in counts.chunks_mut(BLOCK).enumerate() {
                // While those of a block are compared, those of the next are on their way.
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

    /// The most signs in which a vector of this rank or a smaller one differs, but for few.
    pub(crate) fn most_different(&self, rank: f32) -> u32 {
        let (part, n) = ((1.0 - f64::from(rank)).clamp(-1.0, 1.0).acos() / PI, self.dimension as f64);
        (n * part + DEVIATIONS * (n * part * (1.0 - part)).sqrt()).ceil() as u32
    }

    /// One more than the most signs that can differ.
    pub(crate) fn n_counts(&self) -> usize {
        self.dimension + 1
    }
}
