//! What a collection holds in memory: a row of components per slot, whose slot it is, and which slots are free.
//!
//! Everything here is derived from the store and remade at open. It changes only by [`Memory::apply`], which cannot
//! fail and runs after its commit is written. Rows of a normalising collection are of unit length; the vectors as they
//! were put stand in the store.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::id::{NamespaceId, Slot};

/// Rows in one block: growing never moves a row that is there, nor copies more than a block.
const BLOCK_ROWS: usize = 1_024;

pub(crate) struct Memory {
    dimension: usize,
    blocks: Vec<Box<[f32]>>,
    slots: Vec<SlotState>,
    free: Vec<Slot>,
    members: HashMap<NamespaceId, Vec<Slot>>,
}

#[derive(Debug, Clone, Copy)]
struct SlotState {
    generation: u32,
    /// The namespace and place in its list of members; `None` for a free slot.
    home: Option<(NamespaceId, u32)>,
}

/// A slot at one time of its life: if the generation has moved on, the slot holds another document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tenancy {
    pub(crate) slot: Slot,
    pub(crate) generation: u32,
}

/// What a commit changes in memory.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) freed: Vec<Slot>,
    pub(crate) put: Vec<NewRow>,
}

/// A slot that is given a document.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub(crate) tenancy: Tenancy,
    pub(crate) namespace: NamespaceId,
    pub(crate) row: Vec<f32>,
}

/// Slots to give out in one commit. Nothing is taken until the commit is applied.
pub(crate) struct Allocation<'m> {
    memory: &'m Memory,
    n_taken: usize,
}

impl Memory {
    pub(crate) fn new(dimension: usize) -> Self {
        Memory { dimension, blocks: Vec::new(), slots: Vec::new(), free: Vec::new(), members: HashMap::new() }
    }

    /// Begins giving out slots: free ones first.
    pub(crate) fn allocate(&self) -> Allocation<'_> {
        Allocation { memory: self, n_taken: 0 }
    }

    /// Applies a commit. New slots must come from one [`Allocation`] made since the last call, in its order.
    pub(crate) fn apply(&mut self, changes: Changes) {
        let n_reused = changes.put.len().min(self.free.len());
        self.free.truncate(self.free.len() - n_reused);
        for new in changes.put {
            self.put(new);
        }
        for slot in changes.freed {
            self.release(slot);
        }
    }

    /// Gives a slot to a document, growing the arrays to hold it.
    fn put(&mut self, new: NewRow) {
        let NewRow { tenancy: Tenancy { slot, generation }, namespace, row } = new;
        let index = slot.0 as usize;
        while self.slots.len() <= index {
            self.slots.push(SlotState { generation: 0, home: None });
        }
        while self.blocks.len() * BLOCK_ROWS <= index {
            self.blocks.push(vec![0.0; BLOCK_ROWS * self.dimension].into_boxed_slice());
        }
        let members = self.members.entry(namespace).or_default();
        self.slots[index] = SlotState { generation, home: Some((namespace, members.len() as u32)) };
        members.push(slot);
        self.row_mut(slot).copy_from_slice(&row);
    }

    /// Makes a slot free. Its row stays until the slot is used again: a search that began earlier may still want it.
    fn release(&mut self, slot: Slot) {
        let Some((namespace, place)) = self.slots[slot.0 as usize].home.take() else { return };
        self.free.push(slot);
        let Some(members) = self.members.get_mut(&namespace) else { return };
        members.swap_remove(place as usize);
        match members.get(place as usize).copied() {
            Some(moved) => self.slots[moved.0 as usize].home = Some((namespace, place)),
            None if members.is_empty() => drop(self.members.remove(&namespace)),
            None => {}
        }
    }

    /// Puts a row while loading; slots may come in any order.
    pub(super) fn load_row(&mut self, new: NewRow) {
        self.put(new);
    }

    /// Notes a free slot while loading.
    pub(super) fn load_free(&mut self, Tenancy { slot, generation }: Tenancy) {
        while self.slots.len() <= slot.0 as usize {
            self.slots.push(SlotState { generation: 0, home: None });
        }
        self.slots[slot.0 as usize].generation = generation;
        self.free.push(slot);
    }

    /// The first slot below the highest that was neither put nor noted as free; `None` if there is none.
    pub(super) fn first_unknown(&self) -> Option<Slot> {
        let unknown = self.slots.iter().position(|state| state.generation == 0);
        unknown.map(|index| Slot(index as u32))
    }

    /// How many documents there are, in all namespaces.
    pub(crate) fn n_documents(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The slots of a namespace, in no order.
    pub(crate) fn members(&self, namespace: NamespaceId) -> &[Slot] {
        self.members.get(&namespace).map_or(&[], Vec::as_slice)
    }

    /// The namespaces that have documents.
    pub(crate) fn inhabited(&self) -> impl Iterator<Item = NamespaceId> {
        self.members.keys().copied()
    }

    /// A slot as it is now.
    pub(crate) fn tenancy(&self, slot: Slot) -> Tenancy {
        Tenancy { slot, generation: self.slots.get(slot.0 as usize).map_or(0, |state| state.generation) }
    }

    /// Whether a slot holds a document now, and of which namespace.
    pub(crate) fn namespace_of(&self, slot: Slot) -> Option<NamespaceId> {
        self.slots.get(slot.0 as usize)?.home.map(|(namespace, _)| namespace)
    }

    /// The components of a slot's row.
    pub(crate) fn row(&self, slot: Slot) -> &[f32] {
        let (block, from) = self.place(slot);
        &self.blocks[block][from..from + self.dimension]
    }

    fn row_mut(&mut self, slot: Slot) -> &mut [f32] {
        let (block, from) = self.place(slot);
        &mut self.blocks[block][from..from + self.dimension]
    }

    fn place(&self, slot: Slot) -> (usize, usize) {
        (slot.0 as usize / BLOCK_ROWS, slot.0 as usize % BLOCK_ROWS * self.dimension)
    }

    /// Bytes held.
    pub(crate) fn n_bytes(&self) -> usize {
        let members: usize = self.members.values().map(|members| members.capacity() * size_of::<Slot>()).sum();
        self.blocks.len() * BLOCK_ROWS * self.dimension * size_of::<f32>()
            + self.slots.capacity() * size_of::<SlotState>()
            + self.free.capacity() * size_of::<Slot>()
            + members
    }
}

impl Allocation<'_> {
    /// The next slot, with the generation its new document gets.
    pub(crate) fn take(&mut self) -> Result<Tenancy> {
        let free = &self.memory.free;
        let tenancy = match free.len().checked_sub(self.n_taken + 1).map(|last| free[last]) {
            Some(slot) => Tenancy { slot, generation: self.memory.tenancy(slot).generation + 1 },
            None => {
                let fresh = self.memory.slots.len() + (self.n_taken - free.len());
                let slot = u32::try_from(fresh).ok().filter(|&slot| slot < u32::MAX).ok_or(Error::LimitExceeded {
                    what: "documents in the collection",
                    limit: u32::MAX as usize - 1,
                    got: fresh,
                })?;
                Tenancy { slot: Slot(slot), generation: 1 }
            }
        };
        self.n_taken += 1;
        Ok(tenancy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: NamespaceId = NamespaceId(0);
    const THERE: NamespaceId = NamespaceId(1);

    fn put(memory: &mut Memory, namespace: NamespaceId, values: &[f32]) -> Vec<Tenancy> {
        let mut allocation = memory.allocate();
        let tenancies: Vec<_> = values.iter().map(|_| allocation.take().unwrap()).collect();
        let rows = tenancies.iter().zip(values);
        let put = rows.map(|(&tenancy, &value)| NewRow { tenancy, namespace, row: vec![value; 2] }).collect();
        memory.apply(Changes { put, freed: Vec::new() });
        tenancies
    }

    #[test]
    fn slots_are_reused_under_a_new_generation() {
        let mut memory = Memory::new(2);
        let first = put(&mut memory, HERE, &[1.0, 2.0, 3.0]);
        memory.apply(Changes { put: Vec::new(), freed: vec![first[1].slot] });
        assert_eq!(memory.n_documents(), 2);
        assert_eq!(memory.row(first[1].slot), [2.0, 2.0], "the row stays until the slot is used again");
        let second = put(&mut memory, THERE, &[4.0, 5.0]);
        assert_eq!(second[0], Tenancy { slot: first[1].slot, generation: 2 });
        assert_eq!(second[1], Tenancy { slot: Slot(3), generation: 1 });
        assert_eq!(memory.members(THERE), [first[1].slot, Slot(3)]);
        assert_eq!(memory.row(Slot(3)), [5.0, 5.0]);
    }

    #[test]
    fn members_follow_every_free() {
        let mut memory = Memory::new(2);
        let all = put(&mut memory, HERE, &[1.0, 2.0, 3.0, 4.0]);
        for gone in [0, 3, 1, 2] {
            memory.apply(Changes { put: Vec::new(), freed: vec![all[gone].slot] });
            assert!(!memory.members(HERE).contains(&all[gone].slot));
            assert_eq!(memory.members(HERE).len(), memory.n_documents());
        }
        assert_eq!(memory.inhabited().count(), 0);
    }

    #[test]
    fn rows_cross_blocks() {
        let mut memory = Memory::new(2);
        let values: Vec<f32> = (0..3_000).map(|value| value as f32).collect();
        let all = put(&mut memory, HERE, &values);
        for (tenancy, value) in all.iter().zip(values) {
            assert_eq!(memory.row(tenancy.slot), [value; 2]);
        }
    }
}
