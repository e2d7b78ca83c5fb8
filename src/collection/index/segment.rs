//! A run of slots that wait to be linked, as many as there is room for.
//!
//! One thread at a time pushes at the end, the linker lets slots leave at the front, and any number of searches read
//! what lies between without a lock. A place is used once. What comes after a segment that is full is not known here.

use crate::id::Slot;
use crate::sync::{AtomicU32, AtomicUsize, Ordering};

pub(super) struct Segment {
    slots: Box<[AtomicU32]>,
    /// Slots before this have left.
    first: AtomicUsize,
    /// Slots before this have come.
    end: AtomicUsize,
}

impl Segment {
    /// An empty segment with room for so many slots.
    pub(super) fn new(n_slots: usize) -> Self {
        Segment {
            slots: (0..n_slots).map(|_| AtomicU32::new(0)).collect(),
            first: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
        }
    }

    /// Adds a slot at the end; false if the segment is full.
    pub(super) fn push(&self, slot: Slot) -> bool {
        let end = self.end.load(Ordering::Relaxed);
        let Some(place) = self.slots.get(end) else { return false };
        place.store(slot.0, Ordering::Relaxed);
        self.end.store(end + 1, Ordering::Release);
        true
    }

    /// The slots that wait. Whoever sees that a slot has left sees what was done before.
    pub(super) fn waiting(&self) -> &[AtomicU32] {
        let first = self.first.load(Ordering::Acquire);
        &self.slots[first..self.end.load(Ordering::Acquire).max(first)]
    }

    /// Lets the first so many slots go, or as many as wait. Returns how many left.
    pub(super) fn leave(&self, n: usize) -> usize {
        let n_leaving = self.waiting().len().min(n);
        let first = self.first.load(Ordering::Relaxed) + n_leaving;
        self.first.store(first, Ordering::Release);
        n_leaving
    }

    /// Whether all slots that there is room for have come and left.
    pub(super) fn is_used_up(&self) -> bool {
        self.first.load(Ordering::Acquire) == self.slots.len()
    }
}
