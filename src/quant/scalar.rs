//! Scalar quantisation to one byte per component (SQ8): encoding vectors, ranking codes.
//!
//! Vectors of length one that are measured from the origin share a scale. All others bring their
//! own, and the other [`Facts`] that distances need. Vectors may be measured from a centre instead
//! of the origin. This changes no distance, and it changes all inner products with one query by the
//! same amount.
#![expect(unsafe_code, reason = "codes are read by integer kernels through pointers into the arena")]

use std::fs::File;
use std::mem::MaybeUninit;
use std::sync::Arc;

use super::book::{Book, CodeKind};
use super::centres::Centres;
use super::codes::{Code, CodeQuery, FACTS_BYTES, Facts, Grain, SQUARE_VARIANCE, STEP_VARIANCE};
use super::rotation::Rotation;
use super::sketch::LINE;
use crate::arena::Rows;
use crate::distance::{self, Kernels, Metric};
use crate::id::NamespaceId;

/// From this dimension on, codes are two planes.
const PLANES_FROM: usize = 256;
/// The largest component of a code in two planes, in standard deviations. A larger limit makes the
/// steps of the high plane coarser; a smaller one cuts off more.
const CLIP: f32 = 2.9;
/// The largest component of a code in bytes, in standard deviations, for vectors of length one.
const BYTES_CLIP: f32 = 4.0;
/// From this dimension on, codes of unit vectors get equal length. Below it a step counts too much.
const LEVEL_FROM: usize = 64;
/// Codes compared in one call of a kernel.
const BLOCK: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Bytes,
    Planes,
}

/// How a distance is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Geometry {
    /// Vectors of length one: 1 minus the inner product.
    Unit,
    /// The negative inner product.
    Dot,
    /// The squared Euclidean distance.
    Euclidean,
}

/// The codes of a collection, by slot.
pub(super) struct ScalarCodes {
    dimension: usize,
    /// Components of a code, padding included.
    width: usize,
    layout: Layout,
    geometry: Geometry,
    /// The size of a step, for vectors of length one.
    pub(super) unit_scale: f32,
    rotation: Rotation,
    centres: Arc<Centres>,
    /// The rotated centres if distances are inner products; otherwise none.
    turned: Centres,
    kernels: &'static Kernels,
    rows: Rows<u8>,
    /// Only where vectors are not of length one, or are measured from a centre.
    facts: Option<Rows<Facts>>,
}

impl ScalarCodes {
    /// Codes of vectors under a metric; `None` for a metric that codes do not support. `unit`: all
    /// vectors are of length one.
    pub(super) fn new(dimension: usize, metric: Metric, unit: bool, book: &Book) -> Option<Self> {
        let geometry = match metric {
            _ if !metric.has_codes() => return None,
            // For vectors of length one the nearest are those at the smallest distance, from
            // whichever centre they are measured.
            _ if unit && book.kind == CodeKind::Sq8 => Geometry::Unit,
            _ if unit => Geometry::Euclidean,
            // Vectors of any length are not compared by their directions.
            Metric::Cosine | Metric::Manhattan => return None,
            Metric::Dot => Geometry::Dot,
            Metric::Euclidean => Geometry::Euclidean,
        };
        let (rotation, kernels) = (Rotation::new(dimension), Kernels::detected());
        let turned = match geometry {
            Geometry::Dot => rotation.turn(&book.centres, kernels),
            Geometry::Unit | Geometry::Euclidean => Centres::default(),
        };
        let layout = if dimension >= PLANES_FROM { Layout::Planes } else { Layout::Bytes };
        let deviation = 1.0 / (dimension as f32).sqrt();
        let clip = if layout == Layout::Planes { CLIP } else { BYTES_CLIP };
        let width = dimension.next_multiple_of(if layout == Layout::Planes { 128 } else { 64 });
        Some(ScalarCodes {
            dimension,
            width,
            layout,
            geometry,
            unit_scale: clip.min(1.0 / deviation) * deviation / 127.5,
            rotation,
            centres: book.centres.clone(),
            turned,
            kernels,
            rows: Rows::new(width),
            facts: (geometry != Geometry::Unit).then(|| Rows::new(1)),
        })
    }

    /// Makes room for the slots below `n_slots`.
    pub(super) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        self.rows.reserve(n_slots)?;
        self.facts.as_ref().map_or(Ok(()), |facts| facts.reserve(n_slots))
    }

    /// The number of slots there is room for.
    pub(super) fn room(&self) -> usize {
        self.facts.as_ref().map_or(usize::MAX, Rows::n_rows).min(self.rows.n_rows())
    }

    /// Bytes of the codes of `n_slots` slots.
    pub(super) fn bytes_of(&self, n_slots: usize) -> usize {
        self.rows.bytes_of(n_slots) + self.facts.as_ref().map_or(0, |facts| facts.bytes_of(n_slots))
    }

    /// Makes the code of a vector of a namespace.
    pub(super) fn encode(&self, vector: &[f32], namespace: NamespaceId) -> Code {
        let mut rotated = vector.to_vec();
        rotated.iter_mut().zip(self.centres.of(namespace)).for_each(|(component, centre)| *component -= centre);
        self.rotation.apply(&mut rotated, self.kernels);
        let scale = match self.geometry {
            Geometry::Unit => self.unit_scale,
            Geometry::Dot | Geometry::Euclidean => self.own_scale(&rotated),
        };
        let mut steps = vec![0; self.width];
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        for (step, &component) in steps.iter_mut().zip(&rotated) {
            *step = round((component * inverse).clamp(-127.0, 127.0)) as u8 ^ 0x80;
        }
        if self.geometry == Geometry::Unit && self.dimension >= LEVEL_FROM {
            let (steps, square) = (&mut steps[..self.dimension], 1.0 / f64::from(scale * scale));
            if self.layout == Layout::Planes {
                level_coarse(steps, square);
            }
            level_fine(steps, square, self.layout);
        }
        let facts = match self.facts {
            Some(_) => self.facts_of(&steps[..self.dimension], scale),
            None => Facts::default(),
        };
        let bytes = match self.layout {
            Layout::Bytes => steps,
            Layout::Planes => pack(&steps),
        };
        Code::of(bytes, facts)
    }

    /// Writes the vector that a slot's code stands for. The code is written and does not change.
    pub(super) fn decode(&self, slot: u32, namespace: NamespaceId, vector: &mut Vec<f32>) {
        let mut query = CodeQuery::default();
        self.place_of(slot, &mut query);
        vector.clear();
        vector.extend(query.codes[..self.dimension].iter().map(|&code| f32::from(code) * query.scale));
        self.rotation.undo(vector, self.kernels);
        vector.iter_mut().zip(self.centres.of(namespace)).for_each(|(component, centre)| *component += centre);
    }

    fn facts_of(&self, steps: &[u8], scale: f32) -> Facts {
        let square = |stands_for: fn(u8) -> f32| {
            steps.iter().map(|&step| stands_for(step)).map(|value| value * value).sum::<f32>() * scale * scale
        };
        let coarse = square(|step| f32::from(step & 0xf0) - COARSE_ZERO);
        [scale, coarse, square(|step| f32::from(step) - FINE_ZERO), 0.0]
    }

    /// Stores the code of a slot.
    ///
    /// # Safety
    /// Nobody else reads or writes this slot's code meanwhile.
    pub(super) unsafe fn put(&self, slot: u32, code: &Code) {
        // SAFETY: by the caller's promise nobody else reads or writes the slot's rows.
        unsafe { self.rows.write(slot, &code.bytes) };
        if let Some(facts) = &self.facts {
            // SAFETY: as above.
            unsafe { facts.write(slot, &[code.facts]) };
        }
    }

    /// The bytes of a slot's code, and those of its [`Facts`]. The code is written and does not
    /// change meanwhile.
    pub(super) fn bytes_at(&self, slot: u32) -> (&[u8], [u8; FACTS_BYTES]) {
        let mut bytes = [0; FACTS_BYTES];
        if let Some(facts) = &self.facts {
            // SAFETY: by the caller's promise nobody writes this slot.
            let facts = unsafe { facts.row(slot)[0] };
            bytes.as_chunks_mut().0.iter_mut().zip(facts).for_each(|(bytes, fact)| *bytes = fact.to_ne_bytes());
        }
        // SAFETY: as above.
        (unsafe { self.rows.row(slot) }, bytes)
    }

    /// Prefetches what a coarse distance of a slot needs.
    #[inline(always)]
    pub(super) fn prefetch(&self, slot: u32) {
        let n_bytes = if self.layout == Layout::Planes { self.width / 2 } else { self.width };
        distance::prefetch(self.rows.start(slot).cast(), n_bytes);
    }

    /// Whether distances are those of vectors of length one, measured from the origin.
    pub(super) fn are_of_unit_length(&self) -> bool {
        self.geometry == Geometry::Unit
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// Cache lines of one sketch.
    pub(super) fn n_sign_lines(&self) -> usize {
        self.width.div_ceil(64 * LINE)
    }

    /// Writes the signs of a code's components into `signs`, one bit each: 1 if positive. Padding
    /// has 0.
    pub(super) fn signs(&self, code: &[u8], signs: &mut Vec<[u64; LINE]>) {
        match self.layout {
            Layout::Bytes => self.fill(signs, code.as_chunks::<64>().0.iter().map(|block| bits(block, 0x80))),
            Layout::Planes => {
                let high = code[..code.len() / 2].as_chunks::<64>().0;
                self.fill(signs, high.iter().flat_map(|block| [bits(block, 0x08), bits(block, 0x80)]));
            }
        }
    }

    /// As [`signs`](ScalarCodes::signs), for a query.
    pub(super) fn signs_of_query(&self, query: &CodeQuery, signs: &mut Vec<[u64; LINE]>) {
        let blocks = query.codes.as_chunks::<64>().0.iter();
        self.fill(signs, blocks.map(|block| bits(&block.map(|code| !code as u8), 0x80)));
    }

    fn fill(&self, signs: &mut Vec<[u64; LINE]>, words: impl Iterator<Item = u64>) {
        signs.clear();
        signs.resize(self.n_sign_lines(), [0; LINE]);
        for (at, (signs, word)) in signs.as_flattened_mut().iter_mut().zip(words).enumerate() {
            // Padding has no sign.
            *signs = match self.dimension.saturating_sub(at * 64) {
                0 => 0,
                n @ 1..64 => word & ((1 << n) - 1),
                _ => word,
            };
        }
    }

    /// Bytes of one code.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Whether distances need [`Facts`] beside codes.
    pub(super) fn has_facts(&self) -> bool {
        self.facts.is_some()
    }

    /// Takes over the codes of the first `n_slots` slots from a file. Codes begin at byte
    /// `codes_at`, [`Facts`] at byte `facts_at`.
    pub(super) fn adopt(&self, file: &File, codes_at: u64, facts_at: u64, n_slots: usize) -> std::io::Result<()> {
        self.rows.adopt(file, codes_at, n_slots)?;
        self.facts.as_ref().map_or(Ok(()), |facts| facts.adopt(file, facts_at, n_slots))
    }

    /// The size of a step for one vector. Bytes hold its largest component. Planes cut off
    /// outliers, to keep the steps of the high plane small.
    pub(super) fn own_scale(&self, rotated: &[f32]) -> f32 {
        let largest = rotated.iter().fold(0.0f32, |largest, component| largest.max(component.abs()));
        let clip = match self.layout {
            Layout::Bytes => largest,
            Layout::Planes => {
                let deviation = (distance::norm(rotated) / (rotated.len() as f64).sqrt()) as f32;
                largest.min(CLIP * deviation)
            }
        };
        clip / 127.5
    }

    /// Prepares a vector for ranking codes of a namespace.
    pub(super) fn query(&self, vector: &[f32], namespace: NamespaceId, query: &mut CodeQuery) {
        query.scratch.clear();
        query.scratch.extend_from_slice(vector);
        if self.geometry != Geometry::Dot {
            let components = query.scratch.iter_mut().zip(self.centres.of(namespace));
            components.for_each(|(component, centre)| *component -= centre);
        }
        self.rotation.apply(&mut query.scratch, self.kernels);
        self.round_query(query);
    }

    /// Rounds the components in the query's `scratch` to its `codes`.
    fn round_query(&self, query: &mut CodeQuery) {
        let largest = query.scratch.iter().fold(0.0f32, |largest, component| largest.max(component.abs()));
        query.scale = largest / 127.0;
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        query.codes.clear();
        query.codes.extend(query.scratch.iter().map(|component| round(component * inverse) as i8));
        query.codes.resize(self.width, 0);
        query.by_distance = self.geometry != Geometry::Dot;
        finish(query);
    }

    pub(super) fn compares_by_product(&self) -> bool {
        self.geometry == Geometry::Dot
    }

    /// Prepares a stored code for ranking codes of its namespace.
    pub(super) fn query_of(&self, slot: u32, namespace: NamespaceId, query: &mut CodeQuery) {
        self.place_of(slot, query);
        query.by_distance = self.geometry != Geometry::Dot;
        let turned = self.turned.of(namespace);
        if !turned.is_empty() {
            // Only rows are measured from the centre; a query is not.
            let own = query.codes.iter().zip(turned);
            query.scratch.clear();
            query.scratch.extend(own.map(|(&code, centre)| f32::from(code) * query.scale + centre));
            self.round_query(query);
        }
    }

    /// Prepares a stored code for ranking by distance.
    pub(super) fn place_of(&self, slot: u32, query: &mut CodeQuery) {
        query.by_distance = true;
        // SAFETY: the slot is a point of the graph, and those are not written.
        let code = unsafe { self.rows.row(slot) };
        query.codes.resize(self.width, 0);
        let sum = match self.layout {
            Layout::Bytes => {
                query.codes.iter_mut().zip(code).for_each(|(code, &step)| *code = (step ^ 0x80) as i8);
                query.codes.iter().fold(0i32, |sum, &code| sum.wrapping_add(i32::from(code)))
            }
            Layout::Planes => (self.kernels.join_planes)(code, &mut query.codes),
        };
        // Padding stands for nothing.
        let padding = &mut query.codes[self.dimension..];
        query.sum = (sum - padding.iter().map(|&code| i32::from(code)).sum::<i32>()) as f32;
        padding.fill(0);
        (query.scale, query.square) = match &self.facts {
            // SAFETY: as above.
            Some(facts) => unsafe { (facts.row(slot)[0][0], facts.row(slot)[0][2]) },
            None => (self.unit_scale, 0.0),
        };
    }

    /// See [`Codes::noise`](super::Codes::noise).
    pub(super) fn noise(&self, query: &CodeQuery, slot: u32) -> f32 {
        let scale = match &self.facts {
            // SAFETY: by the caller's promise nobody writes this slot.
            Some(facts) => unsafe { facts.row(slot)[0][0] },
            None => self.unit_scale,
        };
        let step = if self.layout == Layout::Planes { scale * COARSE.0 } else { scale };
        if !query.by_distance {
            // Half a product's noise: points nearest by product need not lie near each other.
            return (query.square * STEP_VARIANCE).sqrt() * step / 2.0;
        }
        let variance = (step * step + query.scale * query.scale) * STEP_VARIANCE;
        let rounding = variance * (SQUARE_VARIANCE * self.dimension as f32).sqrt();
        // Far from the centre, squares are large and their differences small.
        let arithmetic = query.square * f32::EPSILON;
        match self.geometry {
            Geometry::Unit => rounding.hypot(arithmetic) / 2.0,
            Geometry::Dot | Geometry::Euclidean => rounding.hypot(arithmetic),
        }
    }

    /// Writes the distances of the slots' codes into `distances`; smaller is nearer. All are
    /// written.
    #[inline]
    pub(super) fn compare(&self, query: &CodeQuery, grain: Grain, slots: &[u32], distances: &mut [f32]) {
        let coarse = self.layout == Layout::Planes && grain == Grain::Coarse;
        let (kernel, stands_for) = match self.layout {
            Layout::Bytes => (self.kernels.dot_u8, FINE),
            Layout::Planes if coarse => (self.kernels.dot_u4, COARSE),
            Layout::Planes => (self.kernels.dot_u44, FINE),
        };
        let mut starts = [MaybeUninit::uninit(); BLOCK];
        let mut sums = [0; BLOCK];
        for (slots, distances) in slots.chunks(BLOCK).zip(distances.chunks_mut(BLOCK)) {
            for (start, &slot) in starts.iter_mut().zip(slots) {
                start.write(self.rows.start(slot));
                if let Some(facts) = &self.facts {
                    distance::prefetch(facts.start(slot).cast(), size_of::<Facts>());
                }
            }
            let (starts, sums) = (&starts[..slots.len()], &mut sums[..slots.len()]);
            // SAFETY: one start for each slot was just written.
            let starts = unsafe { assume_written(starts) };
            // SAFETY: rows are `width` bytes (or two planes of half of it), as the length of the
            // query's codes requires, and the kernels are those of this machine.
            unsafe { kernel(&query.codes, starts, sums) };
            self.finish(query, coarse, stands_for, slots, sums, distances);
        }
    }

    /// Computes distances from the kernels' sums of products.
    #[inline(always)]
    fn finish(
        &self,
        query: &CodeQuery,
        coarse: bool,
        (step, zero): (f32, f32),
        slots: &[u32],
        sums: &[i32],
        distances: &mut [f32],
    ) {
        let base = zero * query.sum;
        let Some(facts) = &self.facts else {
            let factor = query.scale * self.unit_scale;
            for (distance, &sum) in distances.iter_mut().zip(sums) {
                *distance = 1.0 - factor * (step * sum as f32 - base);
            }
            return;
        };
        for ((distance, &sum), &slot) in distances.iter_mut().zip(sums).zip(slots) {
            // SAFETY: the slot's code is written, and its facts with it.
            let [scale, square_coarse, square_fine, _] = unsafe { facts.row(slot)[0] };
            let product = query.scale * scale * (step * sum as f32 - base);
            let square = if coarse { square_coarse } else { square_fine };
            *distance = match query.by_distance {
                true => (query.square + square - 2.0 * product).max(0.0),
                false => -product,
            };
        }
    }
}

/// The byte that stands for zero in a whole code.
const FINE_ZERO: f32 = 128.0;
/// The value that stands for zero in a high plane, whose nibbles count 16 each: the middle of a
/// coarse step.
const COARSE_ZERO: f32 = 120.5;
/// Of a whole code: the size of a step, and its zero.
const FINE: (f32, f32) = (1.0, FINE_ZERO);
/// Of a high plane: the size of a step, and its zero.
const COARSE: (f32, f32) = (16.0, COARSE_ZERO);

/// The elements of a slice that was written in full.
///
/// # Safety
/// Every element was written.
unsafe fn assume_written<T>(written: &[MaybeUninit<T>]) -> &[T] {
    // SAFETY: `MaybeUninit<T>` is laid out as `T`.
    unsafe { std::slice::from_raw_parts(written.as_ptr().cast(), written.len()) }
}

/// Computes the sum and the squared length of a query's codes. No sum overflows: 65,536 products of
/// two bytes fit.
fn finish(query: &mut CodeQuery) {
    let codes = &query.codes;
    let sum = codes.iter().fold(0i32, |sum, &code| sum.wrapping_add(i32::from(code)));
    let square = codes.iter().fold(0i32, |sum, &code| sum.wrapping_add(i32::from(i16::from(code) * i16::from(code))));
    query.sum = sum as f32;
    query.square = square as f32 * query.scale * query.scale;
}

/// One bit of each of 64 bytes: whether it has a bit of `mask`.
fn bits(block: &[u8; 64], mask: u8) -> u64 {
    block.iter().enumerate().fold(0, |bits, (at, byte)| bits | u64::from(byte & mask != 0) << at)
}

/// The nearest integer, for magnitudes below 2²². Adding 1.5 · 2²³ leaves it in the low bits, so
/// that no function is called on machines without a rounding instruction.
#[inline(always)]
fn round(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i32
}

/// The sum of the squares of what `steps` stand for. The sum of a chunk does not overflow.
#[inline(always)]
fn sum_of_squares(steps: &[u8], stands_for: impl Fn(u8) -> i32) -> i64 {
    const CHUNK: usize = 1 << 14;
    let add = |sum: i32, &step: &u8| {
        let value = stands_for(step);
        sum.wrapping_add(value.wrapping_mul(value))
    };
    steps.chunks(CHUNK).map(|chunk| i64::from(chunk.iter().fold(0, add))).sum()
}

/// Moves steps near the border of two coarse steps across it, until the squared length of the
/// coarse code is close to `target`. The unit is one step.
///
/// If all codes are equally long, the order by inner product is the order by distance, and its
/// error falls with the distance. No value has to be stored beside the code.
fn level_coarse(steps: &mut [u8], target: f64) {
    // Coarse zero lies between two steps, so values are doubled here, and squares count four times.
    const TWICE_ZERO: i32 = (2.0 * COARSE_ZERO) as i32;
    let twice = |coarse: u8| (2 * i32::from(coarse)).wrapping_sub(TWICE_ZERO);
    let target = 4.0 * target;
    let tolerance = (target * TOLERANCE) as i64;
    let mut excess = sum_of_squares(steps, |step| twice(step & 0xf0)) - target as i64;
    for margin in 1..=MOST_MARGIN {
        for step in steps.iter_mut() {
            if excess.abs() <= tolerance {
                return;
            }
            let (coarse, fine) = (*step & 0xf0, *step & 0x0f);
            let across = match fine {
                _ if fine < margin && coarse > 0 => coarse - 1,
                _ if fine > 15 - margin && coarse < 0xf0 => coarse + 16,
                _ => continue,
            };
            let (before, after) = (twice(coarse), twice(across & 0xf0));
            let change = i64::from(after * after - before * before);
            if (excess + change).abs() < excess.abs() {
                excess += change;
                *step = across;
            }
        }
    }
}

/// Moves steps by one until the squared length of the whole code is close to `target`. The unit is
/// one step. In two planes a step stays within its coarse step.
fn level_fine(steps: &mut [u8], target: f64, layout: Layout) {
    let stands_for = |step: u8| i32::from(step).wrapping_sub(FINE_ZERO as i32);
    let tolerance = (target * FINE_TOLERANCE) as i64;
    let mut excess = sum_of_squares(steps, stands_for) - target as i64;
    for _ in 0..MOST_ROUNDS {
        for step in steps.iter_mut() {
            if excess.abs() <= tolerance {
                return;
            }
            let inwards = excess > 0;
            let moved = if inwards == (*step > 128) { step.saturating_sub(1).max(1) } else { step.saturating_add(1) };
            if layout == Layout::Planes && moved & 0xf0 != *step & 0xf0 {
                continue;
            }
            let (before, after) = (stands_for(*step), stands_for(moved));
            let change = i64::from(after * after - before * before);
            if (excess + change).abs() < excess.abs() {
                excess += change;
                *step = moved;
            }
        }
    }
}

/// Passes over all steps. One is not enough where much was cut off.
const MOST_ROUNDS: usize = 8;
/// The relative difference allowed between the squared length of a whole code and its target.
const FINE_TOLERANCE: f64 = 1e-5;
/// The relative difference allowed between the squared length of a coarse code and its target.
const TOLERANCE: f64 = 2e-4;
/// The largest distance from a border, in fine steps, for [`level_coarse`].
const MOST_MARGIN: u8 = 4;

/// Packs steps into two planes of nibbles.
pub(super) fn pack(steps: &[u8]) -> Vec<u8> {
    let mut packed = vec![0; steps.len()];
    let (high, low) = packed.split_at_mut(steps.len() / 2);
    let blocks = steps.as_chunks::<128>().0.iter().zip(high.as_chunks_mut::<64>().0).zip(low.as_chunks_mut::<64>().0);
    for ((steps, high), low) in blocks {
        for at in 0..64 {
            let (first, second) = (steps[at], steps[64 + at]);
            high[at] = first >> 4 | second & 0xf0;
            low[at] = first & 0x0f | second << 4;
        }
    }
    packed
}
