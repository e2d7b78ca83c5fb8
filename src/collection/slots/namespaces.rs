//! The names of a collection's namespaces and their numbers. Numbers are given out in order and
//! never reused.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::id::NamespaceId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    numbers: BTreeMap<Arc<str>, NamespaceId>,
    next: u32,
}

impl Default for Names {
    /// The default namespace, which has no name and every collection has.
    fn default() -> Self {
        Names { numbers: [(Arc::from(""), NamespaceId::default())].into(), next: 1 }
    }
}

impl Names {
    pub(crate) fn insert(&mut self, name: Arc<str>, number: NamespaceId) {
        self.next = self.next.max(number.0 + 1);
        self.numbers.insert(name, number);
    }

    pub(crate) fn find(&self, name: &str) -> Option<NamespaceId> {
        self.numbers.get(name).copied()
    }

    /// Names and numbers, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, NamespaceId)> {
        self.numbers.iter().map(|(name, number)| (name, *number))
    }

    /// Names and numbers from a name on.
    pub(crate) fn from<'n>(&'n self, name: &'n str) -> impl Iterator<Item = (&'n Arc<str>, NamespaceId)> {
        let range = (Bound::Included(name), Bound::Unbounded);
        self.numbers.range::<str, _>(range).map(|(name, number)| (name, *number))
    }

    /// The unused number `n` places after the next one.
    pub(crate) fn free(&self, n: usize) -> NamespaceId {
        NamespaceId(self.next + n as u32)
    }
}
