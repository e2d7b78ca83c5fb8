//! Rows of links: the target of a link is written, no link is lost, and none is made up.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::check::check;
use crate::row::{Link, LinkRow};
use crate::sync::AtomicU32;

/// A row of a few links, and the data of the points that it may link to.
struct Point {
    words: Vec<AtomicU32>,
    data: Vec<UnsafeCell<u32>>,
}

/// The data written for a point before it is linked.
const WRITTEN: u32 = 7;

fn link(slot: u32) -> Link {
    Link { slot, kept: false }
}

impl Point {
    fn new(n_links: usize) -> Arc<Point> {
        let words = (0..=n_links).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Point { words, data: (0..6).map(|_| UnsafeCell::new(0)).collect() })
    }

    fn row(&self) -> LinkRow<'_> {
        LinkRow::new(&self.words)
    }

    fn write(&self, slot: u32) {
        // SAFETY: one thread writes a slot, before it links it; the checker verifies this.
        self.data[slot as usize].with_mut(|data| unsafe { *data = WRITTEN });
    }

    /// Writes a point's data, then links to it; false if the row is full.
    fn append(&self, slot: u32) -> bool {
        self.write(slot);
        self.row().lock().append(link(slot))
    }

    /// Reads the data of every point linked to, as a search does.
    fn check_links(&self) -> Vec<u32> {
        let links: Vec<u32> = self.row().iter().collect();
        for &slot in &links {
            assert_ne!(slot, 0, "a link that no one made");
            self.check_data(slot);
        }
        links
    }

    fn check_data(&self, slot: u32) {
        // SAFETY: the data was written before any link led there; the checker verifies this.
        assert_eq!(self.data[slot as usize].with(|data| unsafe { *data }), WRITTEN);
    }
}

/// A thread that reads a row while others write.
fn reader(point: &Arc<Point>) -> thread::JoinHandle<Vec<u32>> {
    let point = point.clone();
    thread::spawn(move || point.check_links())
}

#[test]
fn a_link_leads_to_what_was_written_before() {
    check(|| {
        let point = Point::new(3);
        let reader = reader(&point);
        assert!(point.append(1) && point.append(2));
        let links = reader.join().unwrap();
        assert!([1, 2].starts_with(&links), "links come in order");
        assert_eq!(point.check_links(), [1, 2]);
    });
}

#[test]
fn a_row_that_is_replaced_reads_as_links_before_and_after() {
    check(|| {
        let point = Point::new(3);
        assert!(point.append(1) && point.append(2));
        let reader = reader(&point);
        [3, 4, 5].into_iter().for_each(|slot| point.write(slot));
        point.row().lock().replace(&[3, 4, 5].map(link));
        point.row().lock().replace(&[link(4)]);
        assert!(point.row().lock().append(link(1)));
        reader.join().unwrap();
        assert_eq!(point.check_links(), [4, 1]);
    });
}

#[test]
fn links_by_several_are_all_there() {
    check(|| {
        let point = Point::new(3);
        let other = {
            let point = point.clone();
            thread::spawn(move || {
                assert!(point.append(2));
                point.check_links();
            })
        };
        assert!(point.append(1));
        other.join().unwrap();
        let mut links = point.check_links();
        links.sort_unstable();
        assert_eq!(links, [1, 2]);
    });
}

#[test]
fn a_full_row_is_replaced_by_one_and_never_overrun() {
    check(|| {
        let point = Point::new(1);
        let link_or_replace = |point: &Point, slot: u32| {
            point.write(slot);
            let row = point.row().lock();
            if !row.append(link(slot)) {
                row.replace(&[link(slot)]);
            }
        };
        let other = {
            let point = point.clone();
            thread::spawn(move || link_or_replace(&point, 2))
        };
        let reader = reader(&point);
        link_or_replace(&point, 1);
        other.join().unwrap();
        reader.join().unwrap();
        let links = point.check_links();
        assert!(links == [1] || links == [2], "{links:?}");
    });
}

#[test]
fn keeping_a_link_and_marking_a_point_lose_nothing() {
    check(|| {
        let point = Point::new(3);
        assert!(point.append(1));
        let keeper = {
            let point = point.clone();
            thread::spawn(move || assert!(point.row().lock().keep(1)))
        };
        point.row().lock().set_point(true);
        assert!(point.append(2));
        assert_eq!(point.check_links(), [1, 2]);
        keeper.join().unwrap();
        assert!(point.row().is_point());
        let links: Vec<Link> = point.row().lock().links().collect();
        assert_eq!(links, [Link { slot: 1, kept: true }, link(2)]);
    });
}

#[test]
fn whoever_sees_a_point_sees_its_links() {
    check(|| {
        let point = Point::new(3);
        let reader = {
            let point = point.clone();
            thread::spawn(move || {
                if point.row().is_point() {
                    point.check_data(1);
                    assert_eq!(point.check_links(), [1]);
                }
            })
        };
        point.write(1);
        let row = point.row().lock();
        row.replace(&[link(1)]);
        row.set_point(true);
        drop(row);
        reader.join().unwrap();
    });
}
