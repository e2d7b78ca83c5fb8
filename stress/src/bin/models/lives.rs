//! Visibility intervals of slots: a reader at a commit sees what exists at it, whatever part of
//! later commits is applied.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::check::check;
use crate::life::Life;
use crate::sync::{AtomicU64, Ordering};

/// A slot, and the commit that new readers look at.
struct Place {
    life: Life,
    /// The commit that put the document.
    data: UnsafeCell<u64>,
    published: AtomicU64,
}

impl Place {
    fn new() -> Arc<Place> {
        Arc::new(Place { life: Life::default(), data: UnsafeCell::new(0), published: AtomicU64::new(0) })
    }

    fn put(&self, commit: u64) {
        // SAFETY: no reader looks at a commit at which the last document existed; the checker
        // verifies this.
        self.data.with_mut(|data| unsafe { *data = commit });
        self.life.begin(commit);
    }

    fn publish(&self, commit: u64) {
        self.published.store(commit, Ordering::Release);
    }

    /// The commit that put the document that exists at the given commit.
    fn look_at(&self, commit: u64) -> Option<u64> {
        // SAFETY: a document that exists at a commit that is looked at is not written; the checker
        // verifies this.
        self.life.exists_at(commit).then(|| self.data.with(|data| unsafe { *data }))
    }
}

/// Makes commits while a reader looks at the last published one. `expected` lists each commit that
/// the reader can meet, with what it sees there.
fn check_looks(before: fn(&Place), meanwhile: fn(&Place), expected: &[(u64, Option<u64>)]) {
    let looks = check(move || {
        let place = Place::new();
        before(&place);
        let reader = {
            let place = place.clone();
            thread::spawn(move || {
                let commit = place.published.load(Ordering::Acquire);
                let seen = place.look_at(commit);
                assert_eq!(place.look_at(commit), seen, "commit {commit} changed while it was looked at");
                (commit, seen)
            })
        };
        meanwhile(&place);
        reader.join().unwrap()
    });
    assert_eq!(looks.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_document_is_seen_from_its_commit_on_with_what_was_written_before() {
    check_looks(
        |place| place.publish(1),
        |place| {
            place.put(2);
            place.publish(2);
        },
        &[(1, None), (2, Some(2))],
    );
}

#[test]
fn a_document_that_ends_stays_for_those_who_look_at_a_commit_before() {
    check_looks(
        |place| {
            place.put(4);
            place.publish(5);
        },
        |place| {
            place.life.end(6);
            place.publish(6);
        },
        &[(5, Some(4)), (6, None)],
    );
}

/// A document that is gone from commit 5 on, and whose slot may be used again.
fn put_and_end(place: &Place) {
    place.put(3);
    place.life.end(5);
    place.publish(5);
}

#[test]
fn a_slot_that_is_used_again_is_not_seen_at_commits_between() {
    check_looks(
        put_and_end,
        |place| {
            place.publish(6);
            place.put(7);
            place.publish(7);
        },
        &[(5, None), (6, None), (7, Some(7))],
    );
}

#[test]
fn a_life_that_begins_and_ends_again_is_not_taken_for_the_one_before() {
    check_looks(
        put_and_end,
        |place| {
            place.put(7);
            place.publish(7);
            place.life.end(8);
            place.publish(8);
        },
        &[(5, None), (7, Some(7)), (8, None)],
    );
}

#[test]
fn a_life_goes_on_until_it_ends() {
    check(|| {
        let life = Life::default();
        assert!(!life.goes_on() && !life.exists_at(0) && !life.exists_at(u64::MAX - 1));
        life.begin(0);
        assert!(life.goes_on() && life.exists_at(0) && life.exists_at(u64::MAX - 1));
        life.end(2);
        assert!(!life.goes_on() && life.exists_at(1) && !life.exists_at(2));
        life.begin(3);
        assert!(life.goes_on() && !life.exists_at(2) && life.exists_at(3));
    });
}
