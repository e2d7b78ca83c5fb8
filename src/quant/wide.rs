//! Codes that tell apart what one byte per component cannot: two bytes, or the vectors themselves.
//!
//! The kernels for vectors compare them. For `Sq16` the vector is measured from the centre and
//! rotated. Its largest component then sets the size of its steps.
//!
//! ```text
//! Sq16   scale f32, then i16 for each component, padded to 64 bytes
//! F32    f32 for each component
//! ```
#![expect(unsafe_code, reason = "rows of bytes are read as the numbers that were written there")]

use std::fs::File;
use std::sync::Arc;

use super::book::{Book, CodeKind};
use super::centres::Centres;
use super::codes::{Code, CodeQuery, FACTS_BYTES, Facts, SQUARE_VARIANCE, STEP_VARIANCE};
use super::rotation::Rotation;
use crate::arena::Rows;
use crate::distance::{self, Kernel, Kernels, Metric};
use crate::id::NamespaceId;

/// Rows that are prefetched ahead of the one being compared.
const LOOKAHEAD: usize = 4;
/// Components that are converted to `f32` at once.
const WIDENED: usize = 128;
/// Bytes of a row before its steps.
const SCALE_BYTES: usize = size_of::<f32>();
/// The largest step.
const LARGEST: f32 = 32_767.0;

/// The codes of a collection, by slot.
pub(super) struct WideCodes {
    dimension: usize,
    /// Bytes of a code.
    width: usize,
    is_whole: bool,
    /// Whether distances are inner products. Queries are then not measured from the centre.
    is_product: bool,
    kernel: Kernel,
    /// The kernel that compares by distance.
    distance: Kernel,
    rotation: Rotation,
    centres: Arc<Centres>,
    /// The rotated centres if distances are inner products; otherwise none.
    turned: Centres,
    kernels: &'static Kernels,
    rows: Rows<u8>,
}

impl WideCodes {
    /// Codes of vectors under a metric; `None` for a metric that codes do not support. `unit`: all
    /// vectors are of length one.
    pub(super) fn new(dimension: usize, metric: Metric, unit: bool, book: &Book) -> Option<Self> {
        if !metric.has_codes() {
            return None;
        }
        let is_whole = book.kind == CodeKind::F32;
        // For vectors of length one the distance and the inner product give the same order.
        let compared = if unit && !is_whole { Metric::Euclidean } else { metric };
        let (rotation, kernels) = (Rotation::new(dimension), Kernels::detected());
        let is_product = compared == Metric::Dot && !unit;
        let turned = match is_product && !is_whole {
            true => rotation.turn(&book.centres, kernels),
            false => Centres::default(),
        };
        let width = match is_whole {
            true => dimension * size_of::<f32>(),
            false => (SCALE_BYTES + dimension * size_of::<i16>()).next_multiple_of(64),
        };
        Some(WideCodes {
            dimension,
            width,
            is_whole,
            is_product,
            kernel: compared.kernel(),
            distance: Metric::Euclidean.kernel(),
            rotation,
            centres: book.centres.clone(),
            turned,
            kernels,
            rows: Rows::new(width),
        })
    }

    pub(super) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        self.rows.reserve(n_slots)
    }

    pub(super) fn room(&self) -> usize {
        self.rows.n_rows()
    }

    pub(super) fn bytes_of(&self, n_slots: usize) -> usize {
        self.rows.bytes_of(n_slots)
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(super) fn encode(&self, vector: &[f32], namespace: NamespaceId) -> Code {
        let mut bytes = Vec::with_capacity(self.width);
        if self.is_whole {
            vector.iter().for_each(|component| bytes.extend(component.to_ne_bytes()));
            return Code::of(bytes, Facts::default());
        }
        let mut turned = vector.to_vec();
        turned.iter_mut().zip(self.centres.of(namespace)).for_each(|(component, centre)| *component -= centre);
        self.rotation.apply(&mut turned, self.kernels);
        let largest = turned.iter().fold(0.0f32, |largest, component| largest.max(component.abs()));
        let inverse = if largest > 0.0 { LARGEST / largest } else { 0.0 };
        bytes.extend((largest / LARGEST).to_ne_bytes());
        turned.iter().for_each(|component| bytes.extend(((component * inverse).round() as i16).to_ne_bytes()));
        bytes.resize(self.width, 0);
        Code::of(bytes, Facts::default())
    }

    /// # Safety
    /// Nobody else reads or writes this slot's code meanwhile.
    pub(super) unsafe fn put(&self, slot: u32, code: &Code) {
        // SAFETY: by the caller's promise nobody else reads or writes the slot's row.
        unsafe { self.rows.write(slot, &code.bytes) };
    }

    pub(super) fn bytes_at(&self, slot: u32) -> (&[u8], [u8; FACTS_BYTES]) {
        // SAFETY: by the caller's promise nobody writes this slot.
        (unsafe { self.rows.row(slot) }, [0; FACTS_BYTES])
    }

    #[inline(always)]
    pub(super) fn prefetch(&self, slot: u32) {
        distance::prefetch(self.rows.start(slot), self.width);
    }

    pub(super) fn adopt(&self, file: &File, codes_at: u64, n_slots: usize) -> std::io::Result<()> {
        self.rows.adopt(file, codes_at, n_slots)
    }

    /// The row of a slot as numbers, for codes that are vectors.
    #[inline(always)]
    fn floats(&self, slot: u32) -> &[f32] {
        let start: *const f32 = self.rows.start(slot).cast();
        // SAFETY: chunks begin at pages and rows are multiples of four bytes long, so every row is
        // aligned for `f32`. Each has `dimension` numbers, and by the caller's promise nobody
        // writes this one.
        unsafe { std::slice::from_raw_parts(start, self.dimension) }
    }

    /// The scale and the steps of a row.
    #[inline(always)]
    fn steps(&self, slot: u32) -> (f32, &[i16]) {
        let start = self.rows.start(slot);
        // SAFETY: rows begin at multiples of 64 bytes and hold a scale and `dimension` steps. By
        // the caller's promise nobody writes this one.
        unsafe {
            (start.cast::<f32>().read(), std::slice::from_raw_parts(start.add(SCALE_BYTES).cast(), self.dimension))
        }
    }

    /// Writes into `vector` what a slot's code stands for.
    pub(super) fn decode(&self, slot: u32, namespace: NamespaceId, vector: &mut Vec<f32>) {
        vector.clear();
        if self.is_whole {
            vector.extend_from_slice(self.floats(slot));
            return;
        }
        let (scale, steps) = self.steps(slot);
        vector.extend(steps.iter().map(|&step| f32::from(step) * scale));
        self.rotation.undo(vector, self.kernels);
        vector.iter_mut().zip(self.centres.of(namespace)).for_each(|(component, centre)| *component += centre);
    }

    pub(super) fn compares_by_product(&self) -> bool {
        self.is_product
    }

    pub(super) fn query(&self, vector: &[f32], namespace: NamespaceId, query: &mut CodeQuery) {
        query.by_distance = !self.is_product;
        let components = &mut query.scratch;
        components.clear();
        components.extend_from_slice(vector);
        if !self.is_whole {
            if !self.is_product {
                let centre = self.centres.of(namespace);
                components.iter_mut().zip(centre).for_each(|(component, centre)| *component -= centre);
            }
            self.rotation.apply(components, self.kernels);
        }
    }

    pub(super) fn query_of(&self, slot: u32, namespace: NamespaceId, query: &mut CodeQuery) {
        self.place_of(slot, query);
        query.by_distance = !self.is_product;
        // Only rows are measured from the centre; a query is not.
        let centre = self.turned.of(namespace);
        query.scratch.iter_mut().zip(centre).for_each(|(component, centre)| *component += centre);
    }

    /// Prepares a stored code for ranking by distance.
    pub(super) fn place_of(&self, slot: u32, query: &mut CodeQuery) {
        query.by_distance = true;
        let components = &mut query.scratch;
        components.clear();
        if self.is_whole {
            components.extend_from_slice(self.floats(slot));
            return;
        }
        let (scale, steps) = self.steps(slot);
        components.extend(steps.iter().map(|&step| f32::from(step) * scale));
    }

    /// See [`Codes::noise`](super::Codes::noise).
    pub(super) fn noise(&self, query: &CodeQuery, slot: u32) -> f32 {
        if self.is_whole {
            return 0.0;
        }
        let (step, _) = self.steps(slot);
        match query.by_distance {
            true => step * step * STEP_VARIANCE * (SQUARE_VARIANCE * self.dimension as f32).sqrt(),
            // Half a product's noise: points nearest by product need not lie near each other.
            false => distance::norm(&query.scratch) as f32 * step * STEP_VARIANCE.sqrt() / 2.0,
        }
    }

    #[inline]
    pub(super) fn compare(&self, query: &CodeQuery, slots: &[u32], distances: &mut [f32]) {
        // For vectors of length one both kernels give the same order.
        let kernel = if query.by_distance && self.is_product { self.distance } else { self.kernel };
        slots.iter().take(LOOKAHEAD).for_each(|&slot| self.prefetch(slot));
        for (at, (&slot, distance)) in slots.iter().zip(distances).enumerate() {
            if let Some(&ahead) = slots.get(at + LOOKAHEAD) {
                self.prefetch(ahead);
            }
            *distance = match self.is_whole {
                true => kernel(&query.scratch, self.floats(slot)),
                false => self.compare_steps(kernel, &query.scratch, slot),
            };
        }
    }

    #[inline(always)]
    fn compare_steps(&self, kernel: Kernel, query: &[f32], slot: u32) -> f32 {
        let (scale, steps) = self.steps(slot);
        let mut wide = [0.0; WIDENED];
        let parts = query.chunks(WIDENED).zip(steps.chunks(WIDENED)).map(|(query, steps)| {
            let wide = &mut wide[..steps.len()];
            wide.iter_mut().zip(steps).for_each(|(wide, &step)| *wide = f32::from(step) * scale);
            kernel(query, wide)
        });
        parts.sum()
    }
}
