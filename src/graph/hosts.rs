//! Which point each slot is a duplicate of, while a graph is rebuilt from rows and deltas.
//!
//! A slot is a point, a duplicate of one point (its *representative*), or neither. The chains of
//! duplicates alone do not tell. A slot that left a chain still leads to the slots behind it, for
//! walks that are at it just then. So every rebuild goes through this module, which leaves no chain
//! through a slot that is not in it.

use std::sync::atomic::Ordering;

use super::{Graph, NOBODY};

/// The host of each slot, by slot.
#[derive(Debug, Default)]
pub(crate) struct Representatives(Vec<u32>);

impl Representatives {
    pub(crate) fn is_duplicate(&self, slot: u32) -> bool {
        self.of(slot).is_some()
    }

    /// The host of a slot.
    pub(super) fn of(&self, slot: u32) -> Option<u32> {
        self.0.get(slot as usize).copied().filter(|&representative| representative != NOBODY)
    }

    fn set(&mut self, slot: u32, representative: u32) {
        if let Some(place) = self.0.get_mut(slot as usize) {
            *place = representative;
        }
    }
}

impl Graph {
    /// The representatives of all slots, read from the chains.
    pub(crate) fn representatives(&self) -> Representatives {
        let mut representatives = Representatives(vec![NOBODY; self.n_slots()]);
        for point in self.points() {
            self.duplicates(point).for_each(|duplicate| representatives.set(duplicate, point));
        }
        representatives
    }

    /// Makes a slot the first duplicate of a point. Does nothing if `duplicate` is a point or `of`
    /// is none.
    pub(super) fn attach(&self, duplicate: u32, of: u32, representatives: &mut Representatives) {
        if representatives.of(duplicate) == Some(of) || self.is_point(duplicate) || !self.is_point(of) {
            return;
        }
        self.detach(duplicate, representatives);
        let (Some(chain), Some(own)) = (self.duplicate_cell(of), self.duplicate_cell(duplicate)) else { return };
        own.store(chain.load(Ordering::Relaxed), Ordering::Relaxed);
        chain.store(duplicate + 1, Ordering::Release);
        representatives.set(duplicate, of);
    }

    /// Gives a point exactly these duplicates, in this order.
    pub(crate) fn attach_all(&self, duplicates: &[u32], of: u32, representatives: &mut Representatives) {
        self.let_go(of, representatives);
        duplicates.iter().rev().for_each(|&duplicate| self.attach(duplicate, of, representatives));
    }

    /// Makes a slot a point. A slot that was no point before begins without duplicates.
    pub(super) fn make_point(&self, slot: u32, representatives: &mut Representatives) {
        self.detach(slot, representatives);
        if (slot as usize) < self.n_slots() && !self.is_point(slot) {
            self.row(slot, 0).lock().set_point(true);
            self.end_chain_at(slot);
        }
    }

    /// Makes a point no point, and removes its links and duplicates.
    pub(super) fn take_out(&self, slot: u32, representatives: &mut Representatives) {
        if !self.is_point(slot) {
            return;
        }
        self.let_go(slot, representatives);
        for level in 0..=self.level_of(slot) {
            self.row(slot, level).lock().replace(&[]);
        }
        self.row(slot, 0).lock().set_point(false);
    }

    /// Removes all duplicates of a point.
    fn let_go(&self, of: u32, representatives: &mut Representatives) {
        if self.is_point(of) {
            let duplicates: Vec<u32> = self.duplicates(of).collect();
            self.end_chain_at(of);
            for duplicate in duplicates {
                self.end_chain_at(duplicate);
                representatives.set(duplicate, NOBODY);
            }
        }
    }

    /// Removes a slot from its chain, if it is in one. The slots behind it stay in the chain.
    fn detach(&self, duplicate: u32, representatives: &mut Representatives) {
        let (Some(representative), Some(own)) = (representatives.of(duplicate), self.duplicate_cell(duplicate)) else {
            return;
        };
        let is_before =
            |&slot: &u32| self.duplicate_cell(slot).is_some_and(|cell| cell.load(Ordering::Relaxed) == duplicate + 1);
        let before = std::iter::once(representative).chain(self.duplicates(representative)).find(is_before);
        if let Some(before) = before.and_then(|slot| self.duplicate_cell(slot)) {
            before.store(own.swap(0, Ordering::Relaxed), Ordering::Release);
        }
        representatives.set(duplicate, NOBODY);
    }

    fn end_chain_at(&self, slot: u32) {
        if let Some(cell) = self.duplicate_cell(slot) {
            cell.store(0, Ordering::Release);
        }
    }
}
