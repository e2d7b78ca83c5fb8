//! The counts of a collection, all of one commit.
//!
//! A commit replaces the census as a whole before its view is published. Whoever loads a view first and the census after
//! it gets the census of that view, or a later one, which tells by its commit. Nobody waits.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use crate::id::{Commit, NamespaceId};

/// How many documents, namespaces and slots a collection has from one commit on, until the next census.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// The commit that made the counts what they are.
    pub(crate) since: Commit,
    /// Documents of all namespaces.
    pub(crate) n_documents: usize,
    /// Namespaces that hold documents.
    pub(crate) n_namespaces: usize,
    /// Every slot that was ever given a document is below this.
    pub(crate) n_slots: usize,
    /// The namespace that holds all documents; `None` if there are none, or several namespaces share them.
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

    /// Whether several namespaces share the documents.
    pub(crate) fn is_shared(&self) -> bool {
        self.n_namespaces > 1
    }
}

/// The newest census of a collection: a sequence lock, which one writer at a time enters and any number read.
///
/// After H.-J. Boehm, "Can seqlocks get along with programming language memory models?" (2012).
#[derive(Default)]
pub(crate) struct Register {
    /// Odd while a census is being entered.
    sequence: AtomicU64,
    since: AtomicU64,
    n_documents: AtomicUsize,
    n_namespaces: AtomicUsize,
    n_slots: AtomicUsize,
    /// One more than the number; 0 for none.
    sole: AtomicU64,
}

impl Register {
    /// The newest census. Of a commit that may not be published yet.
    pub(crate) fn newest(&self) -> Census {
        loop {
            if let Some(census) = self.read() {
                return census;
            }
            std::hint::spin_loop();
        }
    }

    /// The newest census; `None` while another one is being entered.
    fn read(&self) -> Option<Census> {
        let before = self.sequence.load(Ordering::Acquire);
        let sole = self.sole.load(Ordering::Relaxed);
        let census = Census {
            since: Commit(self.since.load(Ordering::Relaxed)),
            n_documents: self.n_documents.load(Ordering::Relaxed),
            n_namespaces: self.n_namespaces.load(Ordering::Relaxed),
            n_slots: self.n_slots.load(Ordering::Relaxed),
            sole: sole.checked_sub(1).map(|number| NamespaceId(number as u32)),
        };
        fence(Ordering::Acquire);
        (before % 2 == 0 && self.sequence.load(Ordering::Relaxed) == before).then_some(census)
    }

    /// Takes a census in place of the one before. Nobody else does meanwhile.
    pub(crate) fn enter(&self, census: Census) {
        let Census { since, n_documents, n_namespaces, n_slots, sole } = census;
        let before = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(before + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.since.store(since.0, Ordering::Relaxed);
        self.n_documents.store(n_documents, Ordering::Relaxed);
        self.n_namespaces.store(n_namespaces, Ordering::Relaxed);
        self.n_slots.store(n_slots, Ordering::Relaxed);
        self.sole.store(sole.map_or(0, |number| u64::from(number.0) + 1), Ordering::Relaxed);
        self.sequence.store(before + 2, Ordering::Release);
    }
}

#[cfg(test)]
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
        let (register, most) = (Register::default(), 200_000);
        let census = |n: usize| Census {
            since: Commit(n as u64),
            n_documents: n,
            n_namespaces: n,
            n_slots: n,
            sole: (n > 0).then_some(NamespaceId(n as u32)),
        };
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=most).for_each(|n| register.enter(census(n))));
            let mut last = 0;
            while last < most {
                let found = register.newest();
                assert!(found == census(found.n_documents) && found.n_documents >= last);
                last = found.n_documents;
            }
        });
    }
}
