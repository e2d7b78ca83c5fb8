//! How codes are made: their kind, and the centres from which vectors are measured.

use std::sync::Arc;

use serde::Serialize;

use super::centres::Centres;
use crate::id::NamespaceId;

/// The kind of codes by which a graph is walked, from the narrowest to the widest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CodeKind {
    /// Scalar quantisation to one byte per component, measured from the origin.
    #[default]
    Sq8,
    /// Scalar quantisation to one byte per component, measured from the mean of the vectors.
    Sq8Centred,
    /// Scalar quantisation to two bytes per component, measured from the mean of the vectors.
    Sq16,
    /// The vectors themselves, four bytes per component.
    F32,
}

/// How the codes of a collection are made. All codes are of one kind, as wide as any of the
/// namespaces needs, because they are rows of one array.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Book {
    pub(crate) kind: CodeKind,
    /// The number of the book, one more than that of the book before it.
    pub(crate) generation: u32,
    pub(crate) centres: Arc<Centres>,
}

/// Up to this dimension a vector takes no more room than the shortest code, 64 bytes.
const WHOLE_UP_TO: usize = 16;

impl Book {
    /// The first book of a collection, before anything is known of its vectors.
    pub(crate) fn of_dimension(dimension: usize) -> Self {
        let kind = if dimension <= WHOLE_UP_TO { CodeKind::F32 } else { CodeKind::Sq8 };
        Book { kind, ..Book::default() }
    }

    /// As this book, without the centres of the namespaces for which `counts` is false.
    pub(crate) fn only(&self, counts: impl Fn(NamespaceId) -> bool) -> Self {
        if self.centres.own.keys().all(|namespace| counts(*namespace)) {
            return self.clone();
        }
        let mut centres = Centres::clone(&self.centres);
        centres.own.retain(|namespace, _| counts(*namespace));
        Book { centres: centres.into(), ..*self }
    }
}
