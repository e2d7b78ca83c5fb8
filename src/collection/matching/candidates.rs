//! Candidates: sets of documents to search, and iterating over them. A set lists the slots in it,
//! or those not in it.
//!
//! All candidates are of one namespace at one commit: they are made from a [`Moment`], or are a
//! part of other candidates.

use std::sync::{Arc, OnceLock};

use roaring::RoaringBitmap;

use crate::collection::moment::Moment;
use crate::filter::slots::{Bits, SlotSet};
use crate::id::Slot;

/// A set with fewer than one slot in `DENSE_SHARE` is iterated by its list of slots, others by
/// their bits.
const DENSE_SHARE: usize = 64;
/// Slots taken at once for callers that ask for them one by one.
const BUFFER: usize = 64;

/// A set of documents to search.
pub(crate) struct Candidates {
    slots: SlotSet,
    n: usize,
    /// The slots in the set, where `slots` lists those not in it and they are few. Some may have no
    /// document.
    few: Option<RoaringBitmap>,
    bits: OnceLock<Bits>,
}

impl Candidates {
    /// The documents of the moment's namespace whose slots are in `slots`. Every slot that `slots`
    /// lists as in it must hold a document.
    pub(in crate::collection) fn new(slots: SlotSet, moment: &Moment) -> Self {
        Candidates::of_own(own(slots, moment), moment)
    }

    /// The candidates whose slots are in `slots` too.
    pub(super) fn narrowed(&self, slots: SlotSet, moment: &Moment) -> Self {
        Candidates::of_own(self.slots.clone().and(slots), moment)
    }

    /// Makes candidates of `slots`, which lists slots of the moment's namespace. If that has all
    /// documents, `slots` may list those not in the set.
    fn of_own(slots: SlotSet, moment: &Moment) -> Self {
        let (mut few, n_documents) = (None, moment.n_documents());
        let n = match &slots {
            SlotSet::Only(slots) => slots.len() as usize,
            SlotSet::AllBut(others) => {
                let n = n_documents.saturating_sub(others.len() as usize);
                // Going through few slots is faster than skipping many.
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

    /// The number of documents in the set.
    pub(in crate::collection) fn n(&self) -> usize {
        self.n
    }

    /// The slots of the set. If it lists those not in it, it also has slots without a document.
    pub(in crate::collection) fn slots(&self) -> &SlotSet {
        &self.slots
    }

    /// The slots in the set, if they are listed.
    pub(in crate::collection) fn listed(&self) -> Option<&RoaringBitmap> {
        match &self.slots {
            SlotSet::Only(slots) => Some(slots),
            SlotSet::AllBut(_) => self.few.as_ref(),
        }
    }

    /// The set as bits, for callers that test many slots.
    pub(in crate::collection) fn bits(&self) -> &Bits {
        self.bits.get_or_init(|| Bits::new(&self.slots))
    }

    /// Up to `n` candidates from all over the set, as entry points of a walk.
    pub(in crate::collection) fn spread(&self, n: usize, moment: &Moment) -> Vec<u32> {
        let end = moment.n_slots() as u32;
        let starts = (0..end).step_by((end as usize).div_ceil(n).max(1));
        let mut spread: Vec<u32> = starts.filter_map(|start| self.bits().first_from(start, end)).collect();
        spread.dedup();
        spread.retain(|slot| moment.has(Slot(*slot)));
        spread
    }

    /// All candidates, in the order of their slots.
    pub(in crate::collection) fn each<'c>(&'c self, moment: &'c Moment) -> Picks<'c> {
        let n_slots = moment.n_slots();
        let set = match self.listed() {
            Some(listed) if self.n < n_slots / DENSE_SHARE => CandidateSet::Listed(listed.iter()),
            _ => CandidateSet::Bits { bits: self.bits(), next_word: 0, n_slots: n_slots as u32 },
        };
        // A set that lists its slots has no others than those with documents.
        let may_be_absent = matches!(self.slots, SlotSet::AllBut(_));
        Picks { set, present_at: may_be_absent.then_some(moment), buffer: Vec::new(), n_returned: 0 }
    }
}

/// The slots of a set that belong to the moment's namespace. If that has all documents, a list of
/// slots not in the set stays one.
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

/// An iterator over a set: one by one over slots that have a document, or over many slots at once.
pub(crate) struct Picks<'c> {
    set: CandidateSet<'c>,
    /// The moment that tells which slots have a document; `None` if all do.
    present_at: Option<&'c Moment>,
    buffer: Vec<u32>,
    n_returned: usize,
}

enum CandidateSet<'c> {
    Slots(std::slice::Iter<'c, Slot>),
    Listed(roaring::bitmap::Iter<'c>),
    Bits { bits: &'c Bits, next_word: u32, n_slots: u32 },
}

impl<'c> Picks<'c> {
    /// Iterates over listed slots, all of which have a document.
    pub(in crate::collection) fn of(slots: &'c [Slot]) -> Self {
        Picks { set: CandidateSet::Slots(slots.iter()), present_at: None, buffer: Vec::new(), n_returned: 0 }
    }

    /// Puts about `n` next slots into a buffer, with and without documents; none after the last.
    /// Must not be mixed with [`next`](Iterator::next).
    pub(crate) fn take_into(&mut self, n: usize, slots: &mut Vec<u32>) {
        slots.clear();
        match &mut self.set {
            CandidateSet::Slots(each) => slots.extend(each.take(n).map(|slot| slot.0)),
            CandidateSet::Listed(each) => slots.extend(each.take(n)),
            CandidateSet::Bits { bits, next_word, n_slots } => {
                while slots.len() < n && *next_word < n_slots.div_ceil(64) {
                    bits.take_word(*next_word, slots);
                    *next_word += 1;
                }
                // A list of slots not in the set lets the set go on beyond the last slot.
                slots.truncate(slots.partition_point(|slot| slot < n_slots));
            }
        }
    }

    /// Removes slots that have no document.
    pub(crate) fn keep_present(&self, slots: &mut Vec<u32>) {
        if let Some(moment) = self.present_at {
            slots.retain(|slot| moment.has(Slot(*slot)));
        }
    }

    /// Puts about `n` next slots that have a document into a buffer; none after the last.
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
