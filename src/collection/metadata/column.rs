//! A column: a field's numbers or times in order, so that a range is found without going through
//! every value.
//!
//! Entries lie sorted in blocks, and each block also has the set of its slots. A range is the union
//! of the blocks within it, and of single entries of the two blocks at its ends.

use roaring::{MultiOps, RoaringBitmap};

/// Most entries of a block; a larger one is split in two.
const MOST: usize = 4_096;

/// A field's values of one kind, as [ordinals](crate::filter::term::ordinal), with their slots.
#[derive(Debug, Clone, Default)]
pub(super) struct Column {
    /// In order; no block is empty.
    blocks: Vec<Block>,
    n_entries: usize,
}

/// An ordinal, and a slot that has it.
type ColumnEntry = (u128, u32);

#[derive(Debug, Clone)]
struct Block {
    /// Sorted.
    entries: Vec<ColumnEntry>,
    slots: RoaringBitmap,
}

impl Block {
    fn new(entries: Vec<ColumnEntry>) -> Self {
        let slots = entries.iter().map(|(_, slot)| *slot).collect();
        Block { entries, slots }
    }

    fn first(&self) -> Option<&ColumnEntry> {
        self.entries.first()
    }

    fn last(&self) -> Option<&ColumnEntry> {
        self.entries.last()
    }
}

impl Column {
    /// A column of entries in any order.
    pub(super) fn new(mut entries: Vec<ColumnEntry>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        let blocks = entries.chunks(MOST / 2).map(|chunk| Block::new(chunk.to_vec())).collect();
        Column { blocks, n_entries: entries.len() }
    }

    pub(super) fn n_bytes(&self) -> usize {
        self.n_entries * (size_of::<ColumnEntry>() + size_of::<u32>())
    }

    /// The block that an entry belongs to; 0 where there is none yet.
    fn block_of(&self, entry: &ColumnEntry) -> usize {
        self.blocks.partition_point(|block| block.first().is_some_and(|first| first <= entry)).saturating_sub(1)
    }

    pub(super) fn insert(&mut self, ordinal: u128, slot: u32) {
        let (entry, at) = ((ordinal, slot), self.block_of(&(ordinal, slot)));
        let Some(block) = self.blocks.get_mut(at) else {
            self.blocks.push(Block::new(vec![entry]));
            self.n_entries = 1;
            return;
        };
        let Err(place) = block.entries.binary_search(&entry) else { return };
        block.entries.insert(place, entry);
        block.slots.insert(slot);
        self.n_entries += 1;
        if block.entries.len() > MOST {
            let upper = Block::new(block.entries.split_off(MOST / 2));
            *block = Block::new(std::mem::take(&mut block.entries));
            self.blocks.insert(at + 1, upper);
        }
    }

    pub(super) fn remove(&mut self, ordinal: u128, slot: u32) {
        let (entry, at) = ((ordinal, slot), self.block_of(&(ordinal, slot)));
        let Some(block) = self.blocks.get_mut(at) else { return };
        let Ok(place) = block.entries.binary_search(&entry) else { return };
        block.entries.remove(place);
        self.n_entries -= 1;
        if block.entries.is_empty() {
            self.blocks.remove(at);
        } else if !block.entries.iter().any(|(_, other)| *other == slot) {
            block.slots.remove(slot);
        }
    }

    /// The slots of the entries from ordinal `first` to `last`, both included.
    pub(super) fn range(&self, first: u128, last: u128) -> RoaringBitmap {
        let is_before = |block: &Block| block.last().is_none_or(|entry| entry.0 < first);
        let from = self.blocks.partition_point(is_before);
        let (mut whole, mut edges) = (Vec::new(), RoaringBitmap::new());
        for block in &self.blocks[from..] {
            match (block.first(), block.last()) {
                (Some(low), Some(high)) if low.0 >= first && high.0 <= last => whole.push(&block.slots),
                (Some(low), _) if low.0 <= last => {
                    let begin = block.entries.partition_point(|entry| entry.0 < first);
                    let end = block.entries.partition_point(|entry| entry.0 <= last);
                    edges.extend(block.entries[begin..end.max(begin)].iter().map(|(_, slot)| *slot));
                }
                _ => break,
            }
        }
        whole.into_iter().chain([&edges]).union()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use std::collections::BTreeSet;

    #[test]
    fn a_column_is_a_sorted_set() {
        let mut rng = StdRng::seed_from_u64(5);
        for n_start in [0, 10, 20_000] {
            let some = |rng: &mut StdRng| (u128::from(rng.random_range(0..300u32)), rng.random_range(0..9_000u32));
            let start: Vec<ColumnEntry> = (0..n_start).map(|_| some(&mut rng)).collect();
            let (mut twin, mut column) = (start.iter().copied().collect::<BTreeSet<_>>(), Column::new(start));
            for step in 0..30_000 {
                let (ordinal, slot) = some(&mut rng);
                if rng.random_bool(0.6) {
                    column.insert(ordinal, slot);
                    twin.insert((ordinal, slot));
                } else {
                    let known = twin.range((ordinal, slot)..).next().copied().unwrap_or((ordinal, slot));
                    column.remove(known.0, known.1);
                    twin.remove(&known);
                }
                if step % 500 == 0 {
                    let (first, last) = (rng.random_range(0..300), rng.random_range(0..300));
                    let expected: RoaringBitmap =
                        twin.iter().filter(|(o, _)| (first..=last).contains(o)).map(|(_, slot)| *slot).collect();
                    assert_eq!(column.range(first, last), expected, "{first} to {last}");
                    assert_eq!(column.n_entries, twin.len());
                }
            }
            twin.iter().for_each(|&(ordinal, slot)| column.remove(ordinal, slot));
            assert!(column.blocks.is_empty() && column.range(0, u128::MAX).is_empty());
        }
    }
}
