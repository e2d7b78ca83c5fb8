//! One byte for each component: encoding vectors, and ranking codes against queries.
//!
//! Codes of vectors of length one that are measured from the origin share a scale. All others bring their own, and what
//! else ranks need beside. Vectors may be measured from a centre instead: distances stay what they are, and inner
//! products change by the same for all that a query is compared with.
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

/// From this dimension on codes are kept as two planes.
const PLANES_FROM: usize = 256;
/// The largest component that two planes stand for, in standard deviations: more would make the high plane's steps
/// coarser, less would cut off more.
const CLIP: f32 = 2.9;
/// The same of bytes in vectors of length one.
const BYTES_CLIP: f32 = 4.0;
/// From this dimension on codes are made equally long: below it a step of one component counts too much.
const LEVEL_FROM: usize = 64;
/// Codes ranked in one call of a kernel.
const BLOCK: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Bytes,
    Planes,
}

/// What a rank is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Geometry {
    /// Vectors of length one: one less the inner product.
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
    /// What a step is worth in a vector of length one.
    pub(super) unit_scale: f32,
    rotation: Rotation,
    centres: Arc<Centres>,
    /// The same rotated, where ranks are products; otherwise none.
    turned: Centres,
    kernels: &'static Kernels,
    rows: Rows<u8>,
    /// Only where vectors are not of length one.
    facts: Option<Rows<Facts>>,
}

impl ScalarCodes {
    /// Codes for vectors under a metric; `None` for a metric that codes do not serve. `unit` says that all vectors are
    /// of length one.
    pub(super) fn new(dimension: usize, metric: Metric, unit: bool, book: &Book) -> Option<Self> {
        let geometry = match metric {
            _ if !metric.has_codes() => return None,
            // Of vectors of length one the nearest are those at the smallest distance, wherever that is measured from.
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

    /// Makes room for so many slots.
    pub(super) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        self.rows.reserve(n_slots)?;
        self.facts.as_ref().map_or(Ok(()), |facts| facts.reserve(n_slots))
    }

    /// Slots that there is room for.
    pub(super) fn room(&self) -> usize {
        self.facts.as_ref().map_or(usize::MAX, Rows::n_rows).min(self.rows.n_rows())
    }

    /// Bytes that the codes of so many slots take.
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

    /// The vector of a namespace that a slot's code stands for. The code is written and stays as it is.
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
        // SAFETY: by the caller's promise the slot is ours alone.
        unsafe { self.rows.write(slot, &code.bytes) };
        if let Some(facts) = &self.facts {
            // SAFETY: as above.
            unsafe { facts.write(slot, &[code.facts]) };
        }
    }

    /// The code of a slot, which is written and stays as it is, as bytes: components, then what ranks need beside.
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

    /// Begins to fetch what a slot is ranked roughly by.
    #[inline(always)]
    pub(super) fn prefetch(&self, slot: u32) {
        let n_bytes = if self.layout == Layout::Planes { self.width / 2 } else { self.width };
        distance::prefetch(self.rows.start(slot).cast(), n_bytes);
    }

    /// Whether all vectors are of length one.
    pub(super) fn are_of_unit_length(&self) -> bool {
        self.geometry == Geometry::Unit
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// Cache lines that the signs of a code take.
    pub(super) fn n_sign_lines(&self) -> usize {
        self.width.div_ceil(64 * LINE)
    }

    /// The signs of a code's components, one bit each, positive ones set; zeros for what pads it.
    pub(super) fn signs(&self, code: &[u8], signs: &mut Vec<[u64; LINE]>) {
        match self.layout {
            Layout::Bytes => self.fill(signs, code.as_chunks::<64>().0.iter().map(|block| bits(block, 0x80))),
            Layout::Planes => {
                let high = code[..code.len() / 2].as_chunks::<64>().0;
                self.fill(signs, high.iter().flat_map(|block| [bits(block, 0x08), bits(block, 0x80)]));
            }
        }
    }

    /// The same of a query.
    pub(super) fn signs_of_query(&self, query: &CodeQuery, signs: &mut Vec<[u64; LINE]>) {
        let blocks = query.codes.as_chunks::<64>().0.iter();
        self.fill(signs, blocks.map(|block| bits(&block.map(|code| !code as u8), 0x80)));
    }

    fn fill(&self, signs: &mut Vec<[u64; LINE]>, words: impl Iterator<Item = u64>) {
        signs.clear();
        signs.resize(self.n_sign_lines(), [0; LINE]);
        for (at, (signs, word)) in signs.as_flattened_mut().iter_mut().zip(words).enumerate() {
            // What pads a code has none.
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

    /// Whether ranks need something beside codes.
    pub(super) fn has_facts(&self) -> bool {
        self.facts.is_some()
    }

    /// Takes the codes of the first so many slots from a file that holds, each from some byte on, codes one after the
    /// other, and what ranks need beside.
    pub(super) fn adopt(&self, file: &File, codes_at: u64, facts_at: u64, n_slots: usize) -> std::io::Result<()> {
        self.rows.adopt(file, codes_at, n_slots)?;
        self.facts.as_ref().map_or(Ok(()), |facts| facts.adopt(file, facts_at, n_slots))
    }

    /// A scale for one vector: bytes hold its largest component; planes cut off what is far out, to keep the steps of
    /// the high plane small.
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

    /// Makes a query of a vector, to rank codes of a namespace.
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

    /// Rounds what is in a query's scratch.
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

    pub(super) fn ranks_by_product(&self) -> bool {
        self.geometry == Geometry::Dot
    }

    /// Makes a query of a stored code, to rank codes of its namespace.
    pub(super) fn query_of(&self, slot: u32, namespace: NamespaceId, query: &mut CodeQuery) {
        self.place_of(slot, query);
        query.by_distance = self.geometry != Geometry::Dot;
        let turned = self.turned.of(namespace);
        if !turned.is_empty() {
            // Only rows are measured from the centre.
            let own = query.codes.iter().zip(turned);
            query.scratch.clear();
            query.scratch.extend(own.map(|(&code, centre)| f32::from(code) * query.scale + centre));
            self.round_query(query);
        }
    }

    /// Makes a query of a stored code that ranks by distance.
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
        // What pads a code stands for nothing.
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
            // Of what the products of rounding errors are, half: the nearest by product need not lie near each other.
            return (query.square * STEP_VARIANCE).sqrt() * step / 2.0;
        }
        let variance = (step * step + query.scale * query.scale) * STEP_VARIANCE;
        let rounding = variance * (SQUARE_VARIANCE * self.dimension as f32).sqrt();
        // Squares are large where the centre is far away, and their differences small.
        let arithmetic = query.square * f32::EPSILON;
        match self.geometry {
            Geometry::Unit => rounding.hypot(arithmetic) / 2.0,
            Geometry::Dot | Geometry::Euclidean => rounding.hypot(arithmetic),
        }
    }

    /// Ranks codes against a query; smaller is nearer. The slots' codes are written.
    #[inline]
    pub(super) fn rank(&self, query: &CodeQuery, grain: Grain, slots: &[u32], ranks: &mut [f32]) {
        let coarse = self.layout == Layout::Planes && grain == Grain::Coarse;
        let (kernel, stands_for) = match self.layout {
            Layout::Bytes => (self.kernels.dot_u8, FINE),
            Layout::Planes if coarse => (self.kernels.dot_u4, COARSE),
            Layout::Planes => (self.kernels.dot_u44, FINE),
        };
        let mut starts = [MaybeUninit::uninit(); BLOCK];
        let mut sums = [0; BLOCK];
        for (slots, ranks) in slots.chunks(BLOCK).zip(ranks.chunks_mut(BLOCK)) {
            for (start, &slot) in starts.iter_mut().zip(slots) {
                start.write(self.rows.start(slot));
                if let Some(facts) = &self.facts {
                    distance::prefetch(facts.start(slot).cast(), size_of::<Facts>());
                }
            }
            let (starts, sums) = (&starts[..slots.len()], &mut sums[..slots.len()]);
            // SAFETY: as many starts as there are slots were just written.
            let starts = unsafe { assume_written(starts) };
            // SAFETY: rows are `width` bytes (or two planes of half of it), as long as the query's codes ask for, and
            // the kernels are those of this machine.
            unsafe { kernel(&query.codes, starts, sums) };
            self.finish(query, coarse, stands_for, slots, sums, ranks);
        }
    }

    /// Ranks, from sums of products.
    #[inline(always)]
    fn finish(
        &self,
        query: &CodeQuery,
        coarse: bool,
        (step, zero): (f32, f32),
        slots: &[u32],
        sums: &[i32],
        ranks: &mut [f32],
    ) {
        let base = zero * query.sum;
        let Some(facts) = &self.facts else {
            let factor = query.scale * self.unit_scale;
            for (rank, &sum) in ranks.iter_mut().zip(sums) {
                *rank = 1.0 - factor * (step * sum as f32 - base);
            }
            return;
        };
        for ((rank, &sum), &slot) in ranks.iter_mut().zip(sums).zip(slots) {
            // SAFETY: the slot's code is written, and its facts with it.
            let [scale, square_coarse, square_fine, _] = unsafe { facts.row(slot)[0] };
            let product = query.scale * scale * (step * sum as f32 - base);
            let square = if coarse { square_coarse } else { square_fine };
            *rank = match query.by_distance {
                true => (query.square + square - 2.0 * product).max(0.0),
                false => -product,
            };
        }
    }
}

/// What stands for zero in a whole code, and in a high plane (as multiples of 16, from the middle of a step).
const FINE_ZERO: f32 = 128.0;
const COARSE_ZERO: f32 = 120.5;
/// What a step is worth, and zero.
const FINE: (f32, f32) = (1.0, FINE_ZERO);
const COARSE: (f32, f32) = (16.0, COARSE_ZERO);

/// Elements all of which were written.
///
/// # Safety
/// They were.
unsafe fn assume_written<T>(written: &[MaybeUninit<T>]) -> &[T] {
    // SAFETY: `MaybeUninit<T>` is laid out as `T`.
    unsafe { std::slice::from_raw_parts(written.as_ptr().cast(), written.len()) }
}

/// Computes what ranks need of a query's codes. Sums wrap nowhere: 65,536 products of two bytes fit.
fn finish(query: &mut CodeQuery) {
    let codes = &query.codes;
    let sum = codes.iter().fold(0i32, |sum, &code| sum.wrapping_add(i32::from(code)));
    let square = codes.iter().fold(0i32, |sum, &code| sum.wrapping_add(i32::from(i16::from(code) * i16::from(code))));
    query.sum = sum as f32;
    query.square = square as f32 * query.scale * query.scale;
}

/// Of each of 64 bytes one bit.
fn bits(block: &[u8; 64], mask: u8) -> u64 {
    block.iter().enumerate().fold(0, |bits, (at, byte)| bits | u64::from(byte & mask != 0) << at)
}

/// The nearest integer, without a call where there is no instruction for it: adding 1.5 · 2²³ leaves it in the low
/// bits. For magnitudes below 2²².
#[inline(always)]
fn round(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i32
}

/// The sum of squares of what steps stand for. Sums of a chunk wrap nowhere.
#[inline(always)]
fn sum_of_squares(steps: &[u8], stands_for: impl Fn(u8) -> i32) -> i64 {
    const CHUNK: usize = 1 << 14;
    let add = |sum: i32, &step: &u8| {
        let value = stands_for(step);
        sum.wrapping_add(value.wrapping_mul(value))
    };
    steps.chunks(CHUNK).map(|chunk| i64::from(chunk.iter().fold(0, add))).sum()
}

/// Moves steps that lie at the border of two coarse ones across it, until the coarse code has a squared length of
/// `target`, in steps, as nearly as can be.
///
/// Where all codes are equally long, ranking by inner product is ranking by distance, whose error falls with the
/// distance; and nothing has to be stored beside the code.
fn level_coarse(steps: &mut [u8], target: f64) {
    // Coarse steps stand for halves: all is counted twice, its squares four times.
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

/// Moves steps by one, within their coarse step where there are such, until the whole code has a squared length of
/// `target`, in steps, as nearly as can be.
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

/// Rounds of moving fine steps: where much was cut off, one is not enough.
const MOST_ROUNDS: usize = 8;
/// What squared lengths of whole codes may differ by.
const FINE_TOLERANCE: f64 = 1e-5;
/// What squared lengths may differ by.
const TOLERANCE: f64 = 2e-4;
/// Fine steps from a border within which [`level_coarse`] moves across it.
const MOST_MARGIN: u8 = 4;

/// Steps as two planes of nibbles.
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
