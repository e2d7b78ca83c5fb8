//! The tail: slots that wait to be linked, in the order of their arrival.
//!
//! It is a list of segments. One thread at a time pushes at the end, and the linker takes from the
//! front. Any number of searches read the slots between without a lock. A slot leaves the front
//! only after it is linked. So a search that scans the tail first and then walks the graph misses
//! no slot.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::segment::Segment;
use crate::collection::derived::notify::Waiting;
use crate::id::Slot;
use crate::sync::{AtomicU32, AtomicUsize, Ordering};

/// Slots per segment.
const SEGMENT: usize = 4_096;

pub(crate) struct Tail {
    /// The first segment with a waiting slot, or the last segment.
    front: ArcSwap<SegmentNode>,
    back: Mutex<Arc<SegmentNode>>,
    n_pushed: AtomicUsize,
    n_left: AtomicUsize,
    /// Notified when slots leave.
    left: Waiting,
}

/// A segment and its successor.
struct SegmentNode {
    segment: Segment,
    next: OnceLock<Arc<SegmentNode>>,
}

impl SegmentNode {
    fn new() -> Self {
        SegmentNode { segment: Segment::new(SEGMENT), next: OnceLock::new() }
    }
}

impl Drop for SegmentNode {
    /// Drops the list in a loop. Dropping each node inside the one before could overflow the stack.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut node) = next.and_then(Arc::into_inner) {
            next = node.next.take();
        }
    }
}

impl Tail {
    pub(crate) fn new() -> Self {
        let node = Arc::new(SegmentNode::new());
        Tail {
            front: ArcSwap::new(node.clone()),
            back: Mutex::new(node),
            n_pushed: AtomicUsize::new(0),
            n_left: AtomicUsize::new(0),
            left: Waiting::default(),
        }
    }

    /// Adds a slot at the end.
    pub(crate) fn push(&self, slot: Slot) {
        let mut back = self.back.lock();
        while !back.segment.push(slot) {
            let next = back.next.get_or_init(|| Arc::new(SegmentNode::new())).clone();
            *back = next;
        }
        self.n_pushed.fetch_add(1, Ordering::Release);
    }

    /// The number of slots that wait.
    pub(crate) fn len(&self) -> usize {
        let n_left = self.n_left.load(Ordering::Acquire);
        self.n_pushed.load(Ordering::Acquire).saturating_sub(n_left)
    }

    /// The number of slots ever pushed.
    pub(crate) fn n_pushed(&self) -> usize {
        self.n_pushed.load(Ordering::Acquire)
    }

    /// The number of slots that have left.
    pub(crate) fn n_left(&self) -> usize {
        self.n_left.load(Ordering::Acquire)
    }

    /// Calls `visit` with runs of all waiting slots. Some may be linked by then.
    pub(crate) fn each_run(&self, mut visit: impl FnMut(&[AtomicU32])) {
        let mut node = self.front.load_full();
        loop {
            let waiting = node.segment.waiting();
            if !waiting.is_empty() {
                visit(waiting);
            }
            match node.next.get() {
                Some(next) => node = next.clone(),
                None => return,
            }
        }
    }

    /// Copies the first `most` waiting slots into `taken`. Only the linker calls this. It calls
    /// [`leave`](Tail::leave) when they are linked.
    pub(crate) fn take(&self, most: usize, taken: &mut Vec<Slot>) {
        taken.clear();
        self.each_run(|run| {
            let wanted = most - taken.len().min(most);
            taken.extend(run.iter().take(wanted).map(|slot| Slot(slot.load(Ordering::Relaxed))));
        });
    }

    /// Removes the first `n` slots: they are linked, or need not be.
    pub(crate) fn leave(&self, n: usize) {
        let mut node = self.front.load_full();
        let mut rest = n;
        loop {
            rest -= node.segment.leave(rest);
            match node.next.get() {
                Some(next) if node.segment.is_used_up() => node = next.clone(),
                _ => break,
            }
        }
        debug_assert_eq!(rest, 0, "no more leave than waited");
        self.front.store(node);
        self.n_left.fetch_add(n, Ordering::Release);
        self.left.notify();
    }

    /// The condition on which threads wait for slots to leave.
    pub(crate) fn waiting(&self) -> &Waiting {
        &self.left
    }

    /// Wakes the waiting threads, so that they check again.
    pub(crate) fn notify(&self) {
        self.left.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(tail: &Tail) -> Vec<u32> {
        let mut all = Vec::new();
        tail.each_run(|run| all.extend(run.iter().map(|slot| slot.load(Ordering::Relaxed))));
        all
    }

    #[test]
    fn slots_leave_in_the_order_they_came() {
        let tail = Tail::new();
        let mut taken = Vec::new();
        for round in 0..5u32 {
            (0..5_000).for_each(|slot| tail.push(Slot(round * 5_000 + slot)));
            tail.take(4_999, &mut taken);
            assert_eq!(taken.len(), 4_999);
            assert!(taken.is_sorted());
            tail.leave(4_999);
            assert_eq!(tail.len(), round as usize + 1);
            assert_eq!(waiting(&tail).len(), tail.len());
        }
        assert_eq!(waiting(&tail), [24_995, 24_996, 24_997, 24_998, 24_999]);
        tail.leave(5);
        assert!(waiting(&tail).is_empty() && tail.len() == 0);
        tail.push(Slot(7));
        assert_eq!(waiting(&tail), [7]);
    }

    #[test]
    fn a_long_tail_is_dropped_without_deep_recursion() {
        let tail = Tail::new();
        (0..2_000_000).for_each(|slot| tail.push(Slot(slot)));
        drop(tail);
    }
}
