//! The counts of a collection (census), all as of one commit.
//!
//! A commit replaces the census before its view is published, and the census before stays beside
//! it. A reader loads a view first and the censuses after it. It finds the view's own census,
//! unless two more commits came between.

use crossbeam::utils::Backoff;

use crate::id::{Commit, NamespaceId};
use crate::sync::{self, AtomicU64, AtomicUsize, Ordering, fence};

/// The documents, namespaces and slots of a collection from one commit on, until the next census.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// The commit since which the counts hold.
    pub(crate) since: Commit,
    /// Documents of all namespaces.
    pub(crate) n_documents: usize,
    /// Namespaces that hold documents.
    pub(crate) n_namespaces: usize,
    /// Every slot that was ever given a document is below this.
    pub(crate) n_slots: usize,
    /// The namespace that holds all documents; `None` without documents, or if several share them.
    pub(crate) sole: Option<NamespaceId>,
}

impl Census {
    /// How many documents a namespace has; `None` if the census alone cannot tell.
    pub(crate) fn n_members(&self, namespace: NamespaceId) -> Option<usize> {
        match self.sole {
            Some(sole) if sole == namespace => Some(self.n_documents),
            Some(_) => Some(0),
            None if self.n_documents == 0 => Some(0),
            None => None,
        }
    }
}

/// The newest census of a collection and the one before, in a sequence lock (seqlock): one writer
/// at a time, any number of readers.
///
/// After H.-J. Boehm, "Can seqlocks get along with programming language memory models?" (2012).
#[derive(Default)]
pub(crate) struct SequenceLock {
    /// Twice the number of censuses entered, plus one while another is being entered in the place
    /// of the older one.
    sequence: AtomicU64,
    places: [CensusCell; 2],
}

#[derive(Default)]
struct CensusCell {
    since: AtomicU64,
    n_documents: AtomicUsize,
    n_namespaces: AtomicUsize,
    n_slots: AtomicUsize,
    /// The namespace's number plus one; 0 for none.
    sole: AtomicU64,
}

impl SequenceLock {
    /// The newest census. Its commit may not be published yet.
    pub(crate) fn newest(&self) -> Census {
        self.read(|newest, _| newest)
    }

    /// The census as of a commit that was published before the call; `None` if later censuses have
    /// replaced it.
    pub(crate) fn at(&self, commit: Commit) -> Option<Census> {
        let fits = |census: Census| (census.since <= commit).then_some(census);
        self.read(|newest, before| fits(newest).or_else(|| fits(before)))
    }

    /// Whether several namespaces share the documents. A hint: the answer may be of another commit
    /// than the caller's view.
    pub(crate) fn hints_at_several(&self) -> bool {
        let newest = self.newest_place(self.sequence.load(Ordering::Relaxed));
        self.places[newest].n_namespaces.load(Ordering::Relaxed) > 1
    }

    fn read<T>(&self, choose: impl Fn(Census, Census) -> T) -> T {
        let backoff = Backoff::new();
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let newest = self.newest_place(before);
            let chosen = choose(self.places[newest].read(), self.places[1 - newest].read());
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Ordering::Relaxed) == before {
                return chosen;
            }
            sync::wait(&backoff);
        }
    }

    /// Enters a census in the place of the older one. One thread at a time.
    pub(crate) fn enter(&self, census: Census) {
        let before = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(before + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.places[1 - self.newest_place(before)].write(census);
        self.sequence.store(before + 2, Ordering::Release);
    }

    /// The place of the newest census.
    fn newest_place(&self, sequence: u64) -> usize {
        (sequence / 2 % 2) as usize
    }
}

impl CensusCell {
    fn read(&self) -> Census {
        let sole = self.sole.load(Ordering::Relaxed);
        Census {
            since: Commit(self.since.load(Ordering::Relaxed)),
            n_documents: self.n_documents.load(Ordering::Relaxed),
            n_namespaces: self.n_namespaces.load(Ordering::Relaxed),
            n_slots: self.n_slots.load(Ordering::Relaxed),
            sole: sole.checked_sub(1).map(|number| NamespaceId(number as u32)),
        }
    }

    fn write(&self, Census { since, n_documents, n_namespaces, n_slots, sole }: Census) {
        self.since.store(since.0, Ordering::Relaxed);
        self.n_documents.store(n_documents, Ordering::Relaxed);
        self.n_namespaces.store(n_namespaces, Ordering::Relaxed);
        self.n_slots.store(n_slots, Ordering::Relaxed);
        self.sole.store(sole.map_or(0, |number| u64::from(number.0) + 1), Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_census_tells_members_only_where_one_namespace_has_all() {
        let (one, other) = (NamespaceId(0), NamespaceId(7));
        let census = |n_documents, sole| Census { n_documents, sole, ..Census::default() };
        assert_eq!(census(0, None).n_members(one), Some(0));
        assert_eq!(census(5, Some(other)).n_members(other), Some(5));
        assert_eq!(census(5, Some(other)).n_members(one), Some(0));
        assert_eq!(census(5, Some(other)).n_members(NamespaceId::UNUSED), Some(0));
        assert_eq!(census(5, None).n_members(one), None);
    }

    #[test]
    fn a_census_is_never_torn() {
        let (lock, most) = (SequenceLock::default(), 200_000);
        let census = |n: usize| Census {
            since: Commit(n as u64),
            n_documents: n,
            n_namespaces: n,
            n_slots: n,
            sole: (n > 0).then_some(NamespaceId(n as u32)),
        };
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=most).for_each(|n| lock.enter(census(n))));
            let mut last = 0;
            while last < most {
                let found = lock.newest();
                assert!(found == census(found.n_documents) && found.n_documents >= last);
                last = found.n_documents;
                assert!(lock.at(found.since).is_none_or(|again| again == found));
            }
        });
    }

    #[test]
    fn the_census_before_is_there_until_the_next() {
        let lock = SequenceLock::default();
        let census = |n| Census { since: Commit(n), n_documents: n as usize, ..Census::default() };
        lock.enter(census(5));
        lock.enter(census(9));
        assert_eq!(
            [4, 5, 8, 9, 20].map(|at| lock.at(Commit(at)).map(|census| census.since.0)),
            [None, Some(5), Some(5), Some(9), Some(9)]
        );
        lock.enter(census(11));
        assert_eq!([8, 9, 11].map(|at| lock.at(Commit(at)).map(|census| census.since.0)), [None, Some(9), Some(11)]);
    }
}
