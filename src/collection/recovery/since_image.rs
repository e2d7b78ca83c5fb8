//! Incremental catch-up at open: slots that the commit log names after an image are read and
//! checked against the log.

use std::collections::HashSet;

use rayon::prelude::*;

use super::full_scan::{FETCH, check_namespace, check_vector, comparable, damaged};
use crate::collection::derived::source::RowSource;
use crate::collection::memory::{Memory, NewRow, Tenancy};
use crate::error::Result;
use crate::id::{Commit, NamespaceId, Slot};
use crate::store::format::codec::{checksum_of, read_u32};
use crate::store::format::key;
use crate::store::format::record::{DocumentHeader, VectorRow};
use crate::store::open::commit_log::{Expected, FoundSlot};
use crate::store::rocks::Family;
use crate::store::storage;

/// The values of some keys; `None` for a key without one.
type Values = Vec<Option<Vec<u8>>>;

/// The slots whose document is another one than in an image, or none.
#[derive(Default)]
pub(super) struct Changed {
    /// Slots that have been given another document, or none, since the image.
    pub(in crate::collection) moved: HashSet<Slot>,
    /// Slots in `moved` whose code is unknown, because their last document came and went since the
    /// image.
    pub(super) bare: HashSet<Slot>,
}

/// What a slot holds now.
enum SlotContent {
    Free,
    /// The document that the image has in it, last changed by this commit.
    Stayed(Commit),
    /// A document that the image does not have, and the commit that last changed it.
    Put(Box<NewRow>, Commit),
}

impl RowSource<'_> {
    /// Brings slots that have changed since an image up to date in memory, and checks them against
    /// the log.
    pub(super) fn read_changed(
        self,
        slots: &[Slot],
        memory: &Memory,
        known: &HashSet<NamespaceId>,
        expected: &mut Expected,
    ) -> Result<Changed> {
        let parts: Vec<Vec<(Slot, FoundSlot, SlotContent)>> =
            slots.par_chunks(FETCH).map(|slots| self.look_up(slots, memory, known)).collect::<Result<_>>()?;
        let (mut changed, mut rows) = (Changed::default(), Vec::with_capacity(slots.len()));
        for (slot, found, now) in parts.into_iter().flatten() {
            expected.confirm(slot, &found)?;
            match now {
                SlotContent::Free => {
                    if found.generation != memory.slots.tenancy(slot).generation {
                        changed.bare.insert(slot);
                    }
                    changed.moved.insert(slot);
                    memory.load_free(Tenancy { slot, generation: found.generation })?;
                }
                SlotContent::Stayed(version) => memory.load_version(slot, version),
                SlotContent::Put(new, version) => {
                    changed.moved.insert(slot);
                    rows.push((*new, version));
                }
            }
        }
        memory.load_rows(rows)?;
        Ok(changed)
    }

    /// Reads what `slots` hold now. Slots without any row are left out.
    fn look_up(
        self,
        slots: &[Slot],
        memory: &Memory,
        known: &HashSet<NamespaceId>,
    ) -> Result<Vec<(Slot, FoundSlot, SlotContent)>> {
        let reading = storage("reading what has changed");
        self.check_cancel()?;
        let RowSource { rocks, families, snapshot, config, .. } = self;
        let documents = self.values(&families.documents, slots, key::document)?;
        let (used, empty): (Vec<_>, Vec<_>) = slots.iter().copied().zip(documents).partition(|(_, row)| row.is_some());
        let keys: Vec<Slot> = used.iter().map(|&(slot, _)| slot).collect();
        let vectors = self.values(&families.vectors, &keys, |slot| key::vector(slot, memory.vectors().id))?;
        let mut found = Vec::with_capacity(slots.len());
        for ((slot, document), vector) in used.into_iter().zip(vectors) {
            let Some(document) = document else { continue };
            let (header, id) = DocumentHeader::decode_with_id(&document)?;
            let DocumentHeader { generation, namespace, commit } = header;
            check_namespace(slot, namespace, known)?;
            let vector = vector.ok_or_else(|| damaged(slot, "a document without a vector"))?;
            let (row_crc, vector_crc) = (Some(crc32c::crc32c(&document)), Some(checksum_of(&vector)));
            let now = match memory.slots.tenancy(slot).generation == generation && memory.slots.is_alive(slot) {
                true => SlotContent::Stayed(commit),
                false => {
                    let vector = VectorRow::decode(&vector)?;
                    check_vector(slot, &vector, generation, config)?;
                    let comparable = comparable(memory, config, namespace, vector.components);
                    let tenancy = Tenancy { slot, generation };
                    SlotContent::Put(Box::new(NewRow { tenancy, namespace, id, comparable }), commit)
                }
            };
            found.push((slot, FoundSlot { generation, row_crc, vector_crc }, now));
        }
        let keys: Vec<_> = empty.iter().map(|&(slot, _)| key::free(slot)).collect();
        let free = rocks.get_many(&families.documents, snapshot, &keys).map_err(&reading)?;
        for ((slot, _), row) in empty.into_iter().zip(free) {
            // A missing slot shows once all others have been confirmed.
            let Some(row) = row else { continue };
            let generation = read_u32("a free slot's generation", &row)?;
            found.push((slot, FoundSlot { generation, row_crc: None, vector_crc: None }, SlotContent::Free));
        }
        Ok(found)
    }

    /// Looks up rows of ascending slots. A run of neighbours is scanned, which is faster.
    fn values<const N: usize>(self, family: &Family, slots: &[Slot], key: impl Fn(Slot) -> [u8; N]) -> Result<Values> {
        let reading = storage("reading what has changed");
        let ([first, .., last] | [first @ last]) = slots else { return Ok(Vec::new()) };
        if (last.0 - first.0) as usize + 1 > slots.len() {
            let keys: Vec<_> = slots.iter().map(|&slot| key(slot)).collect();
            let values = self.rocks.get_many(family, self.snapshot, &keys).map_err(reading)?;
            return Ok(values.into_iter().map(|value| value.map(|value| value.to_vec())).collect());
        }
        let mut values = vec![None; slots.len()];
        let mut slot = *first;
        self.scan(family, (key(*first).to_vec(), [key(*last).as_slice(), &[0]].concat()), |found, value| {
            while slot < *last && key(slot).as_slice() < found {
                slot = Slot(slot.0 + 1);
            }
            if key(slot) == found {
                values[(slot.0 - first.0) as usize] = Some(value.to_vec());
            }
            Ok(())
        })?;
        Ok(values)
    }
}
