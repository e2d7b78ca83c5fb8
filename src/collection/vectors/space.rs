//! The spaces of the graph: codes, or exact vectors by a metric or a user's distance.

use super::full::{HeldVectors, Reader};
use crate::cancel::Stop;
use crate::collection::memory::Slots;
use crate::distance::{Comparison, Kernel, Metric};
use crate::graph::{LinkView, Space};
use crate::id::{Commit, Slot};
use crate::quant::{CodeQuery, Codes, Grain};

/// The points of a graph, as walks compare them.
pub(crate) enum Points {
    Codes(Box<Codes>),
    Exact(Comparison),
}

impl Points {
    pub(crate) fn codes(&self) -> Option<&Codes> {
        match self {
            Points::Codes(codes) => Some(codes),
            Points::Exact(_) => None,
        }
    }
}

pub(super) struct CodeSpace<'m> {
    pub(super) codes: &'m Codes,
    pub(super) slots: &'m Slots,
    /// Tells whether vectors with equal codes are equal.
    pub(super) exact: &'m Reader<'m>,
    /// The oldest commit that anyone looks at.
    pub(super) oldest: Commit,
    /// Links may lead to dead points that an open view still sees. This is so while a graph is
    /// built, because it has no links made while those points lived.
    pub(super) reaches_dead: bool,
    /// Ends a search early.
    pub(super) stop: &'m Stop,
}

pub(super) struct ExactSpace<'m> {
    pub(super) comparison: &'m Comparison,
    pub(super) slots: &'m Slots,
    /// The vectors, all in memory.
    pub(super) held: &'m HeldVectors,
    /// The oldest commit that anyone looks at.
    pub(super) oldest: Commit,
    /// As [`CodeSpace::reaches_dead`].
    pub(super) reaches_dead: bool,
    /// Ends a search early.
    pub(super) stop: &'m Stop,
}

/// A vector with which others are compared.
#[derive(Default)]
pub(super) struct ExactQuery {
    vector: Vec<f32>,
    /// The kernel, if it is not that of searches.
    kernel: Option<Kernel>,
}

impl ExactQuery {
    /// Makes `vector` the query of a search.
    pub(super) fn set(&mut self, vector: &[f32]) {
        self.vector.clear();
        self.vector.extend_from_slice(vector);
        self.kernel = None;
    }
}

/// The views by which links are chosen. Inner products need two.
fn views(compares_by_product: bool) -> &'static [LinkView] {
    if compares_by_product { &[LinkView::Place, LinkView::Search] } else { &[LinkView::Place] }
}

/// Vectors that are prefetched ahead of the one being compared.
const LOOKAHEAD: usize = 3;

impl Space for CodeSpace<'_> {
    type Query = CodeQuery;

    fn views(&self) -> &'static [LinkView] {
        views(self.codes.compares_by_product())
    }

    fn query_of(&self, slot: u32, view: LinkView, query: &mut CodeQuery) {
        match view {
            LinkView::Place => self.codes.place_of(slot, query),
            LinkView::Search => self.codes.query_of(slot, self.slots.namespace(Slot(slot)), query),
        }
    }

    #[inline(always)]
    fn compare(&self, query: &CodeQuery, slots: &[u32], distances: &mut [f32]) {
        self.codes.compare(query, Grain::Coarse, slots, distances);
    }

    #[inline(always)]
    fn compare_closely(&self, query: &CodeQuery, slots: &[u32], distances: &mut [f32]) {
        self.codes.compare(query, Grain::Fine, slots, distances);
    }

    fn is_same(&self, a: u32, b: u32) -> bool {
        self.codes.is_same(a, b) && (self.codes.are_exact() || self.exact.is_same(Slot(a), Slot(b)))
    }

    fn region_of(&self, slot: u32) -> u32 {
        self.slots.namespace(Slot(slot)).0
    }

    fn is_alive(&self, slot: u32) -> bool {
        self.slots.is_alive(Slot(slot)) || self.reaches_dead && self.is_needed(slot)
    }

    fn is_needed(&self, slot: u32) -> bool {
        self.slots.is_needed(Slot(slot), self.oldest)
    }

    #[inline(always)]
    fn is_given_up(&self) -> bool {
        self.stop.is_due()
    }
}

impl ExactSpace<'_> {
    fn compares_by_product(&self) -> bool {
        matches!(self.comparison, Comparison::Metric(Metric::Dot, _))
    }

    /// The vector of a slot.
    #[inline(always)]
    fn vector(&self, slot: u32) -> &[f32] {
        // All vectors stay in memory as long as the space exists.
        self.held.row(Slot(slot))
    }
}

impl Space for ExactSpace<'_> {
    type Query = ExactQuery;

    fn views(&self) -> &'static [LinkView] {
        views(self.compares_by_product())
    }

    fn query_of(&self, slot: u32, view: LinkView, query: &mut ExactQuery) {
        query.set(self.vector(slot));
        query.kernel = (view == LinkView::Place && self.compares_by_product()).then(|| Metric::Euclidean.kernel());
    }

    #[inline(always)]
    fn compare(&self, query: &ExactQuery, slots: &[u32], distances: &mut [f32]) {
        slots.iter().take(LOOKAHEAD).for_each(|&slot| self.held.prefetch(Slot(slot)));
        for (index, (&slot, distance)) in slots.iter().zip(distances).enumerate() {
            if let Some(&ahead) = slots.get(index + LOOKAHEAD) {
                self.held.prefetch(Slot(ahead));
            }
            *distance = match query.kernel {
                None => self.comparison.compare(&query.vector, self.vector(slot)),
                Some(kernel) => kernel(&query.vector, self.vector(slot)),
            };
        }
    }

    #[inline(always)]
    fn compare_closely(&self, query: &ExactQuery, slots: &[u32], distances: &mut [f32]) {
        self.compare(query, slots, distances);
    }

    fn is_same(&self, a: u32, b: u32) -> bool {
        self.vector(a) == self.vector(b)
    }

    fn region_of(&self, slot: u32) -> u32 {
        self.slots.namespace(Slot(slot)).0
    }

    fn is_alive(&self, slot: u32) -> bool {
        self.slots.is_alive(Slot(slot)) || self.reaches_dead && self.is_needed(slot)
    }

    fn is_needed(&self, slot: u32) -> bool {
        // A document may die before its vector is loaded. It is not linked; searches of earlier
        // commits compare it one by one.
        self.slots.is_needed(Slot(slot), self.oldest) && self.held.is_present(Slot(slot))
    }

    #[inline(always)]
    fn is_given_up(&self) -> bool {
        self.stop.is_due()
    }
}
