//! Slots that wait to be linked: a reader that goes through the waiting slots and then follows
//! links misses none.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::check::check;
use crate::id::Slot;
use crate::segment::Segment;
use crate::sync::{AtomicU32, Ordering};

/// Slots from 1 on, in the order in which they are pushed.
struct World {
    segment: Segment,
    /// The data of a slot, written before it is pushed: its number.
    data: Vec<UnsafeCell<u32>>,
    /// Whether a link leads to a slot.
    linked: Vec<AtomicU32>,
    /// The last slot that new readers must find.
    published: AtomicU32,
}

/// The result of a reader.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Look {
    waiting: Vec<u32>,
    linked: Vec<u32>,
}

impl World {
    fn new(n_slots: u32) -> Arc<World> {
        Arc::new(World {
            segment: Segment::new(n_slots as usize),
            data: (0..=n_slots).map(|_| UnsafeCell::new(0)).collect(),
            linked: (0..=n_slots).map(|_| AtomicU32::new(0)).collect(),
            published: AtomicU32::new(0),
        })
    }

    fn push(&self, slot: u32) {
        // SAFETY: one thread writes a slot, before it pushes it; the checker verifies this.
        self.data[slot as usize].with_mut(|data| unsafe { *data = slot });
        assert!(self.segment.push(Slot(slot)));
        self.published.store(slot, Ordering::Release);
    }

    fn check_data(&self, slot: u32) {
        // SAFETY: the data was written before it was pushed; the checker verifies this.
        assert_eq!(self.data[slot as usize].with(|data| unsafe { *data }), slot);
    }

    /// The slots that wait, all of which were pushed.
    fn waiting(&self) -> Vec<u32> {
        let waiting: Vec<u32> = self.segment.waiting().iter().map(|slot| slot.load(Ordering::Relaxed)).collect();
        for &slot in &waiting {
            assert_ne!(slot, 0, "a slot that no one pushed");
            self.check_data(slot);
        }
        assert!(waiting.is_sorted(), "slots wait in the order they came");
        waiting
    }

    /// Links the first `most` waiting slots, as the linker does.
    fn link(&self, most: usize) {
        let mut waiting = self.waiting();
        waiting.truncate(most);
        for &slot in &waiting {
            self.linked[slot as usize].store(1, Ordering::Release);
        }
        assert_eq!(self.segment.leave(waiting.len()), waiting.len());
    }

    /// Goes through the waiting slots, then through the linked ones, as a search does.
    fn look(&self) -> Look {
        let published = self.published.load(Ordering::Acquire);
        let waiting = self.waiting();
        let is_linked = |slot: &u32| self.linked[*slot as usize].load(Ordering::Acquire) == 1;
        let linked: Vec<u32> = (1..self.linked.len() as u32).filter(is_linked).collect();
        for slot in 1..=published {
            assert!(waiting.contains(&slot) || linked.contains(&slot), "slot {slot} of {published} is in neither");
        }
        linked.iter().for_each(|&slot| self.check_data(slot));
        Look { waiting, linked }
    }
}

/// Does something to a world in a thread of its own.
fn spawn<T: 'static>(world: &Arc<World>, work: fn(&World) -> T) -> thread::JoinHandle<T> {
    let world = world.clone();
    thread::spawn(move || work(&world))
}

fn look(waiting: &[u32], linked: &[u32]) -> Look {
    Look { waiting: waiting.to_vec(), linked: linked.to_vec() }
}

#[test]
fn a_slot_is_found_waiting_or_linked() {
    let looks = check(|| {
        let world = World::new(3);
        (1..=3).for_each(|slot| world.push(slot));
        let reader = spawn(&world, World::look);
        world.link(1);
        world.link(2);
        assert!(world.segment.is_used_up());
        reader.join().unwrap()
    });
    let expected = [look(&[1, 2, 3], &[]), look(&[1, 2, 3], &[1]), look(&[2, 3], &[1]), look(&[], &[1, 2, 3])];
    expected.iter().for_each(|look| assert!(looks.contains(look), "{look:?} was never met"));
}

#[test]
fn what_waits_was_pushed() {
    let looks = check(|| {
        let world = World::new(2);
        let reader = spawn(&world, World::look);
        world.push(1);
        world.push(2);
        reader.join().unwrap()
    });
    assert_eq!(looks.into_iter().collect::<Vec<_>>(), [look(&[], &[]), look(&[1], &[]), look(&[1, 2], &[])]);
}

#[test]
fn slots_come_while_others_leave() {
    let looks = check(|| {
        let world = World::new(2);
        world.push(1);
        let linker = spawn(&world, |world| {
            world.link(1);
            world.link(1);
        });
        let reader = spawn(&world, World::look);
        world.push(2);
        linker.join().unwrap();
        reader.join().unwrap()
    });
    let expected = [look(&[1], &[]), look(&[1, 2], &[]), look(&[], &[1]), look(&[2], &[1]), look(&[], &[1, 2])];
    expected.iter().for_each(|look| assert!(looks.contains(look), "{look:?} was never met"));
}

#[test]
fn a_full_segment_takes_no_more() {
    check(|| {
        let world = World::new(2);
        world.push(1);
        world.link(1);
        world.push(2);
        assert!(!world.segment.push(Slot(3)) && !world.segment.is_used_up());
        assert_eq!(world.segment.leave(5), 1, "no more leave than wait");
        assert!(!world.segment.push(Slot(3)) && world.segment.is_used_up());
        assert!(world.segment.waiting().is_empty());
    });
}
