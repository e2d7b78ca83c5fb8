//! Censuses: a reader that loads a view and then the censuses finds the view's own whole, or learns
//! that it is gone.

use loom::sync::Arc;
use loom::thread;

use crate::census::{Census, SequenceLock};
use crate::check::check;
use crate::id::{Commit, NamespaceId};
use crate::sync::{AtomicU64, Ordering};

/// The census of a commit, each of whose numbers identifies the commit.
fn census(commit: u64) -> Census {
    let n = commit as usize;
    let sole = Some(NamespaceId(commit as u32));
    Census { since: Commit(commit), n_documents: n, n_namespaces: n, n_slots: n, sole }
}

/// A collection's censuses, and the last commit that is published.
struct Place {
    lock: SequenceLock,
    published: AtomicU64,
}

impl Place {
    fn commit(&self, commit: u64) {
        self.lock.enter(census(commit));
        self.published.store(commit, Ordering::Release);
    }
}

/// Makes commits from the second on while a reader looks at the last published one. Returns the
/// commits that were looked at, each with its census.
fn looks(n_commits: u64) -> Vec<(u64, Option<u64>)> {
    let looks = check(move || {
        let place = Arc::new(Place { lock: SequenceLock::default(), published: AtomicU64::new(0) });
        place.commit(1);
        let reader = {
            let place = place.clone();
            thread::spawn(move || {
                let commit = place.published.load(Ordering::Acquire);
                let found = place.lock.at(Commit(commit));
                assert!(found.is_none_or(|found| found == census(found.since.0)), "{found:?} is torn");
                (commit, found.map(|found| found.since.0))
            })
        };
        (2..2 + n_commits).for_each(|commit| place.commit(commit));
        reader.join().unwrap()
    });
    looks.into_iter().collect()
}

#[test]
fn the_census_of_a_view_is_whole_and_its_own() {
    assert_eq!(looks(1), [(1, Some(1)), (2, Some(2))]);
}

#[test]
fn a_census_that_two_others_have_followed_is_gone() {
    assert_eq!(looks(2), [(1, None), (1, Some(1)), (2, Some(2)), (3, Some(3))]);
}
