//! The centres from which vectors are measured. A namespace may have its own; all others share one.
//!
//! Vectors of two namespaces are never compared, and a distance is the same from whichever centre
//! both ends are measured. So each namespace has the centre that makes its codes the most exact.

use std::collections::BTreeMap;

use crate::id::NamespaceId;

/// Centres, each with as many components as the vectors. An empty one is the origin.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Centres {
    pub(crate) shared: Vec<f32>,
    /// The centres of namespaces that do not use the shared one.
    pub(crate) own: BTreeMap<NamespaceId, Vec<f32>>,
}

impl Centres {
    /// One centre for all namespaces.
    pub(crate) fn shared_by_all(shared: Vec<f32>) -> Self {
        Centres { shared, own: BTreeMap::new() }
    }

    /// The centre of a namespace.
    #[inline]
    pub(crate) fn of(&self, namespace: NamespaceId) -> &[f32] {
        if self.own.is_empty() {
            return &self.shared;
        }
        self.own.get(&namespace).unwrap_or(&self.shared)
    }

    /// The namespace itself if it has its own centre; `None` if it uses the shared one.
    pub(super) fn owner(&self, namespace: NamespaceId) -> Option<NamespaceId> {
        self.own.contains_key(&namespace).then_some(namespace)
    }

    /// All centres, each changed by `change`.
    pub(super) fn map(&self, change: impl Fn(&[f32]) -> Vec<f32>) -> Self {
        let own = self.own.iter().map(|(namespace, centre)| (*namespace, change(centre))).collect();
        Centres { shared: change(&self.shared), own }
    }

    /// Bytes of all components.
    pub(crate) fn n_bytes(&self) -> usize {
        let n_own: usize = self.own.values().map(Vec::len).sum();
        (self.shared.len() + n_own) * size_of::<f32>()
    }
}
