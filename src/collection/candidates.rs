//! Sets of documents to search, and going through one. A set is told by the slots it has, or by those it has not.
//!
//! All of them are of one namespace at one commit: they are made of a [`Moment`], or are a part of others that were.

use std::sync::{Arc, OnceLock};

use roaring::RoaringBitmap;

use super::moment::Moment;
use crate::filter::slots::{Bits, SlotSet};
use crate::id::Slot;

/// A set that has one slot in so many is gone through by its bits.
const DENSE_SHARE: usize = 64;
/// Slots taken out at once where they are asked for one by one.
const BUFFER: usize = 64;

/// A set of documents to search.
pub(crate) struct Candidates {
    slots: SlotSet,
    n: usize,
    /// The slots themselves, where they were told by those that are not among them and are few. Some may have no
    /// document.
    few: Option<RoaringBitmap>,
    bits: OnceLock<Bits>,
}

impl Candidates {
    /// The documents of a moment's namespace whose slots are in a set. Every slot that the set lists has to hold a
    /// document.
    pub(super) fn new(slots: SlotSet, moment: &Moment) -> Self {
        Candidates::of_own(own(slots, moment), moment)
    }

    /// Those of them whose slots are in another set too.
    pub(super) fn narrowed(&self, slots: SlotSet, moment: &Moment) -> Self {
        Candidates::of_own(self.slots.clone().and(slots), moment)
    }

    /// Of slots of the moment's namespace, or, if that has all documents, all but some.
    fn of_own(slots: SlotSet, moment: &Moment) -> Self {
        let (mut few, n_documents) = (None, moment.n_documents());
        let n = match &slots {
            SlotSet::Only(slots) => slots.len() as usize,
            SlotSet::AllBut(others) => {
                let n = n_documents.saturating_sub(others.len() as usize);
                // Few are gone through faster than many are passed over.
                few = (n * 2 <= n_documents).then(|| {
                    let mut few = RoaringBitmap::new();
                    few.insert_range(0..moment.n_slots() as u32);
                    few - &**others
                });
                n
            }
        };
        Candidates { slots, n, few, bits: OnceLock::new() }
    }

    /// How many there are.
    pub(super) fn n(&self) -> usize {
        self.n
    }

    /// Their slots. Where they are told by those that are not among them, slots without a document are among them.
    pub(super) fn slots(&self) -> &SlotSet {
        &self.slots
    }

    /// The slots, if they are known one by one.
    pub(super) fn listed(&self) -> Option<&RoaringBitmap> {
        match &self.slots {
            SlotSet::Only(slots) => Some(slots),
            SlotSet::AllBut(_) => self.few.as_ref(),
        }
    }

    /// The set, to ask for many slots one by one.
    pub(super) fn bits(&self) -> &Bits {
        self.bits.get_or_init(|| Bits::new(&self.slots))
    }

    /// Some of them, from all over, to begin a walk at.
    pub(super) fn spread(&self, n: usize, moment: &Moment) -> Vec<u32> {
        let end = moment.n_slots() as u32;
        let starts = (0..end).step_by((end as usize).div_ceil(n).max(1));
        let mut spread: Vec<u32> = starts.filter_map(|start| self.bits().first_from(start, end)).collect();
        spread.dedup();
        spread.retain(|slot| moment.has(Slot(*slot)));
        spread
    }

    /// All of them, in order.
    pub(super) fn each<'c>(&'c self, moment: &'c Moment) -> Picks<'c> {
        let n_slots = moment.n_slots();
        let set = match self.listed() {
            Some(listed) if self.n < n_slots / DENSE_SHARE => Set::Listed(listed.iter()),
            _ => Set::Bits { bits: self.bits(), next_word: 0, n_slots: n_slots as u32 },
        };
        // What is told by the slots it has has documents.
        let may_be_absent = matches!(self.slots, SlotSet::AllBut(_));
        Picks { set, present_at: may_be_absent.then_some(moment), buffer: Vec::new(), n_returned: 0 }
    }
}

/// The slots of a set that belong to a moment's namespace. Where that has all documents, a set of all but some stays
/// one.
fn own(slots: SlotSet, moment: &Moment) -> SlotSet {
    let own: RoaringBitmap = match (moment.members(), &slots) {
        _ if moment.n_members() == 0 => return SlotSet::none(),
        _ if moment.has_all() => return slots,
        (Some(members), _) => members.iter().map(|slot| slot.0).filter(|slot| slots.contains(*slot)).collect(),
        (None, SlotSet::Only(some)) => some.iter().filter(|slot| moment.has(Slot(*slot))).collect(),
        (None, SlotSet::AllBut(some)) => {
            moment.each_member().map(|slot| slot.0).filter(|slot| !some.contains(*slot)).collect()
        }
    };
    SlotSet::Only(Arc::new(own))
}

/// Goes through a set: one by one those that have a document, or many at once.
pub(crate) struct Picks<'c> {
    set: Set<'c>,
    /// Where some slots may have no document: what tells.
    present_at: Option<&'c Moment>,
    buffer: Vec<u32>,
    n_returned: usize,
}

enum Set<'c> {
    Slots(std::slice::Iter<'c, Slot>),
    Listed(roaring::bitmap::Iter<'c>),
    Bits { bits: &'c Bits, next_word: u32, n_slots: u32 },
}

impl<'c> Picks<'c> {
    /// Goes through slots that are listed, all of which have a document.
    pub(super) fn of(slots: &'c [Slot]) -> Self {
        Picks { set: Set::Slots(slots.iter()), present_at: None, buffer: Vec::new(), n_returned: 0 }
    }

    /// Leaves the next slots in a buffer, about `n`; none once all were. Those that have no document are among them.
    /// Not to be mixed with asking for slots one by one.
    pub(crate) fn take_into(&mut self, n: usize, slots: &mut Vec<u32>) {
        slots.clear();
        match &mut self.set {
            Set::Slots(each) => slots.extend(each.take(n).map(|slot| slot.0)),
            Set::Listed(each) => slots.extend(each.take(n)),
            Set::Bits { bits, next_word, n_slots } => {
                while slots.len() < n && *next_word < n_slots.div_ceil(64) {
                    bits.take_word(*next_word, slots);
                    *next_word += 1;
                }
                // Those that are not among others go on beyond the last slot.
                slots.truncate(slots.partition_point(|slot| slot < n_slots));
            }
        }
    }

    /// Leaves those slots that have a document.
    pub(crate) fn keep_present(&self, slots: &mut Vec<u32>) {
        if let Some(moment) = self.present_at {
            slots.retain(|slot| moment.has(Slot(*slot)));
        }
    }

    /// Leaves the next slots that have a document in a buffer, about `n`; none once all were.
    pub(crate) fn take_present_into(&mut self, n: usize, slots: &mut Vec<u32>) {
        loop {
            self.take_into(n, slots);
            let is_over = slots.is_empty();
            self.keep_present(slots);
            if is_over || !slots.is_empty() {
                return;
            }
        }
    }
}

impl Iterator for Picks<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        if self.n_returned == self.buffer.len() {
            let mut buffer = std::mem::take(&mut self.buffer);
            self.take_present_into(BUFFER, &mut buffer);
            (self.buffer, self.n_returned) = (buffer, 0);
        }
        let slot = self.buffer.get(self.n_returned).copied()?;
        self.n_returned += 1;
        Some(Slot(slot))
    }
}
