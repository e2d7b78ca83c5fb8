//! Which point each slot is a duplicate (`twin`) of, while a graph is rebuilt from rows and deltas.
//!
//! A slot is a point, a twin of one point (its *host*), or neither. The chains of twins alone do
//! not tell. A slot that left a chain still leads to the slots behind it, for walks that are at it
//! just then. So every rebuild goes through this module, which leaves no chain through a slot that
//! is not in it.

use std::sync::atomic::Ordering;

use super::{Graph, NOBODY};

/// The host of each slot, by slot.
#[derive(Debug, Default)]
pub(crate) struct Hosts(Vec<u32>);

impl Hosts {
    pub(crate) fn is_twin(&self, slot: u32) -> bool {
        self.of(slot).is_some()
    }

    /// The host of a slot.
    pub(super) fn of(&self, slot: u32) -> Option<u32> {
        self.0.get(slot as usize).copied().filter(|&host| host != NOBODY)
    }

    fn set(&mut self, slot: u32, host: u32) {
        if let Some(place) = self.0.get_mut(slot as usize) {
            *place = host;
        }
    }
}

impl Graph {
    /// The hosts of all slots, read from the chains.
    pub(crate) fn hosts(&self) -> Hosts {
        let mut hosts = Hosts(vec![NOBODY; self.n_slots()]);
        for point in self.points() {
            self.twins(point).for_each(|twin| hosts.set(twin, point));
        }
        hosts
    }

    /// Makes a slot the first twin of a point. Does nothing if `twin` is a point or `of` is none.
    pub(super) fn hang(&self, twin: u32, of: u32, hosts: &mut Hosts) {
        if hosts.of(twin) == Some(of) || self.is_point(twin) || !self.is_point(of) {
            return;
        }
        self.unhook(twin, hosts);
        let (Some(chain), Some(own)) = (self.twin_cell(of), self.twin_cell(twin)) else { return };
        own.store(chain.load(Ordering::Relaxed), Ordering::Relaxed);
        chain.store(twin + 1, Ordering::Release);
        hosts.set(twin, of);
    }

    /// Gives a point exactly these twins, in this order.
    pub(crate) fn hang_all(&self, twins: &[u32], of: u32, hosts: &mut Hosts) {
        self.let_go(of, hosts);
        twins.iter().rev().for_each(|&twin| self.hang(twin, of, hosts));
    }

    /// Makes a slot a point. A slot that was no point before begins without twins.
    pub(super) fn make_point(&self, slot: u32, hosts: &mut Hosts) {
        self.unhook(slot, hosts);
        if (slot as usize) < self.n_slots() && !self.is_point(slot) {
            self.row(slot, 0).lock().set_point(true);
            self.end_chain_at(slot);
        }
    }

    /// Makes a point no point, and removes its links and twins.
    pub(super) fn take_out(&self, slot: u32, hosts: &mut Hosts) {
        if !self.is_point(slot) {
            return;
        }
        self.let_go(slot, hosts);
        for level in 0..=self.level_of(slot) {
            self.row(slot, level).lock().replace(&[]);
        }
        self.row(slot, 0).lock().set_point(false);
    }

    /// Removes all twins of a point.
    fn let_go(&self, of: u32, hosts: &mut Hosts) {
        if self.is_point(of) {
            let twins: Vec<u32> = self.twins(of).collect();
            self.end_chain_at(of);
            for twin in twins {
                self.end_chain_at(twin);
                hosts.set(twin, NOBODY);
            }
        }
    }

    /// Removes a slot from its chain, if it is in one. The slots behind it stay in the chain.
    fn unhook(&self, twin: u32, hosts: &mut Hosts) {
        let (Some(host), Some(own)) = (hosts.of(twin), self.twin_cell(twin)) else { return };
        let is_before = |&slot: &u32| self.twin_cell(slot).is_some_and(|cell| cell.load(Ordering::Relaxed) == twin + 1);
        let before = std::iter::once(host).chain(self.twins(host)).find(is_before);
        if let Some(before) = before.and_then(|slot| self.twin_cell(slot)) {
            before.store(own.swap(0, Ordering::Relaxed), Ordering::Release);
        }
        hosts.set(twin, NOBODY);
    }

    fn end_chain_at(&self, slot: u32) {
        if let Some(cell) = self.twin_cell(slot) {
            cell.store(0, Ordering::Release);
        }
    }
}
