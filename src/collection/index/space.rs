//! What the graph compares: codes, or exact vectors by a metric or a user's distance.

use super::super::exact::{Held, Reader};
use super::super::memory::Slots;
use crate::distance::Ranker;
use crate::graph::Space;
use crate::id::{Commit, Slot};
use crate::quant::{CodeQuery, Codes, Grain};

/// What an index's graph is walked by.
pub(super) enum Points {
    Codes(Box<Codes>),
    Exact(Ranker),
}

pub(super) struct CodeSpace<'m> {
    pub(super) codes: &'m Codes,
    pub(super) slots: &'m Slots,
    /// Says whether vectors with the same code are the same.
    pub(super) exact: &'m Reader<'m>,
    /// The oldest commit that anyone looks at.
    pub(super) oldest: Commit,
}

pub(super) struct ExactSpace<'m> {
    pub(super) ranker: &'m Ranker,
    pub(super) slots: &'m Slots,
    /// All vectors.
    pub(super) held: &'m Held,
    /// The oldest commit that anyone looks at.
    pub(super) oldest: Commit,
}

/// Rows ahead of the one being compared that are fetched.
const LOOKAHEAD: usize = 3;

impl Space for CodeSpace<'_> {
    type Query = CodeQuery;

    fn query_of(&self, slot: u32, query: &mut CodeQuery) {
        self.codes.query_of(slot, query);
    }

    #[inline(always)]
    fn rank(&self, query: &CodeQuery, slots: &[u32], ranks: &mut [f32]) {
        self.codes.rank(query, Grain::Coarse, slots, ranks);
    }

    #[inline(always)]
    fn rank_closely(&self, query: &CodeQuery, slots: &[u32], ranks: &mut [f32]) {
        self.codes.rank(query, Grain::Fine, slots, ranks);
    }

    fn is_same(&self, a: u32, b: u32) -> bool {
        self.codes.is_same(a, b) && self.exact.is_same(Slot(a), Slot(b))
    }

    fn is_alive(&self, slot: u32) -> bool {
        self.slots.is_alive(Slot(slot))
    }

    fn is_needed(&self, slot: u32) -> bool {
        self.slots.is_needed(Slot(slot), self.oldest)
    }
}

impl ExactSpace<'_> {
    /// The vector of a point.
    #[inline(always)]
    fn vector(&self, slot: u32) -> &[f32] {
        // All are held, as long as the space is.
        self.held.row(Slot(slot))
    }
}

impl Space for ExactSpace<'_> {
    type Query = Vec<f32>;

    fn query_of(&self, slot: u32, query: &mut Vec<f32>) {
        query.clear();
        query.extend_from_slice(self.vector(slot));
    }

    #[inline(always)]
    fn rank(&self, query: &Vec<f32>, slots: &[u32], ranks: &mut [f32]) {
        slots.iter().take(LOOKAHEAD).for_each(|&slot| self.held.prefetch(Slot(slot)));
        for (index, (&slot, rank)) in slots.iter().zip(ranks).enumerate() {
            if let Some(&ahead) = slots.get(index + LOOKAHEAD) {
                self.held.prefetch(Slot(ahead));
            }
            *rank = self.ranker.rank(query, self.vector(slot));
        }
    }

    #[inline(always)]
    fn rank_closely(&self, query: &Vec<f32>, slots: &[u32], ranks: &mut [f32]) {
        self.rank(query, slots, ranks);
    }

    fn is_same(&self, a: u32, b: u32) -> bool {
        self.vector(a) == self.vector(b)
    }

    fn is_alive(&self, slot: u32) -> bool {
        self.slots.is_alive(Slot(slot))
    }

    fn is_needed(&self, slot: u32) -> bool {
        // One that died before its vector was brought is compared by those who look at an earlier commit, one by one.
        self.slots.is_needed(Slot(slot), self.oldest) && self.held.is_present(Slot(slot))
    }
}
