//! The counts of a collection, all of one commit.
//!
//! A commit replaces the census as a whole before its view is published. Whoever loads a view first and the census after
//! it gets the census of that view, or a later one, which tells by its commit. Nobody waits.

use arc_swap::ArcSwap;

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
}

/// The newest census of a collection.
#[derive(Default)]
pub(crate) struct Register(ArcSwap<Census>);

impl Register {
    /// The newest census. Of a commit that may not be published yet.
    pub(crate) fn newest(&self) -> Census {
        **self.0.load()
    }

    /// Takes a census in place of the one before.
    pub(crate) fn enter(&self, census: Census) {
        self.0.store(census.into());
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
}
