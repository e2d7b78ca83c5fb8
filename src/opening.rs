//! How a collection was read when its database was opened.

use serde::Serialize;

/// How a collection was loaded when the database was opened, and what work was left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Opening {
    /// Where the graph came from.
    pub way: OpenedBy,
    /// Rows read: all documents, or the slots changed since the image, with or without a document.
    pub n_read: usize,
    /// Deltas (batches of linked documents) that were replayed on the graph.
    pub n_deltas: u64,
    /// Documents that were not in the graph yet.
    pub n_waiting: usize,
    /// Documents with missing links, which are linked again.
    pub n_repaired: usize,
    /// Time for reading, in microseconds.
    pub micros: u64,
}

/// Where a collection's graph came from when the database was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OpenedBy {
    /// The collection was created in this opening.
    #[default]
    Creation,
    /// From an image of memory.
    Image,
    /// From the link rows on disk.
    Rows,
    /// From nothing: all documents are linked again.
    Linking,
}
