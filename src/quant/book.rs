//! What codes are made by: their kind, and what they are measured from.

use std::sync::Arc;

use serde::Serialize;

use super::centres::Centres;
use crate::id::NamespaceId;

/// What a graph is walked by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CodeKind {
    /// One byte for each component, measured from the origin.
    #[default]
    Sq8,
    /// One byte for each component, measured from the mean of the vectors.
    Sq8Centred,
    /// Two bytes for each component, measured from the mean of the vectors.
    Sq16,
    /// The vectors themselves, four bytes for each component.
    F32,
}

/// By what the codes of a collection are made. All are of one kind, as wide as any of its namespaces needs: they are
/// rows of one array.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Book {
    pub(crate) kind: CodeKind,
    /// Raised each time another takes its place.
    pub(crate) generation: u32,
    pub(crate) centres: Arc<Centres>,
}

/// Up to this dimension vectors take no more room than the shortest code, which fills a cache line.
const WHOLE_UP_TO: usize = 16;

impl Book {
    /// By what codes are made of vectors that nothing is known of.
    pub(crate) fn of_dimension(dimension: usize) -> Self {
        let kind = if dimension <= WHOLE_UP_TO { CodeKind::F32 } else { CodeKind::Sq8 };
        Book { kind, ..Book::default() }
    }

    /// The same without the own centres of namespaces that do not count.
    pub(crate) fn only(&self, counts: impl Fn(NamespaceId) -> bool) -> Self {
        if self.centres.own.keys().all(|namespace| counts(*namespace)) {
            return self.clone();
        }
        let mut centres = Centres::clone(&self.centres);
        centres.own.retain(|namespace, _| counts(*namespace));
        Book { centres: centres.into(), ..*self }
    }
}
