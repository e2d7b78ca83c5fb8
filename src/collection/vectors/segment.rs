//! A run of slots that wait to be linked, of fixed capacity.
//!
//! One thread at a time pushes at the end, and the linker removes slots at the front. Any number of
//! searches read the slots between without a lock. A place is used once. A segment does not know
//! its successor.

use crate::id::Slot;
use crate::sync::{AtomicU32, AtomicUsize, Ordering};

pub(super) struct Segment {
    slots: Box<[AtomicU32]>,
    /// Slots before this index have left.
    first: AtomicUsize,
    /// Slots before this index were pushed.
    end: AtomicUsize,
}

impl Segment {
    /// An empty segment with room for `n_slots` slots.
    pub(super) fn new(n_slots: usize) -> Self {
        Segment {
            slots: (0..n_slots).map(|_| AtomicU32::new(0)).collect(),
            first: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
        }
    }

    /// Adds a slot at the end. False if the segment is full.
    pub(super) fn push(&self, slot: Slot) -> bool {
        let end = self.end.load(Ordering::Relaxed);
        let Some(place) = self.slots.get(end) else { return false };
        place.store(slot.0, Ordering::Relaxed);
        self.end.store(end + 1, Ordering::Release);
        true
    }

    /// The slots that wait. A reader that sees that a slot has left also sees the linker's writes
    /// before.
    pub(super) fn waiting(&self) -> &[AtomicU32] {
        let first = self.first.load(Ordering::Acquire);
        &self.slots[first..self.end.load(Ordering::Acquire).max(first)]
    }

    /// Removes the first `n` slots, or all if fewer wait. Returns how many left.
    pub(super) fn leave(&self, n: usize) -> usize {
        let n_leaving = self.waiting().len().min(n);
        let first = self.first.load(Ordering::Relaxed) + n_leaving;
        self.first.store(first, Ordering::Release);
        n_leaving
    }

    /// Whether the segment was full and all its slots have left.
    pub(super) fn is_used_up(&self) -> bool {
        self.first.load(Ordering::Acquire) == self.slots.len()
    }
}
