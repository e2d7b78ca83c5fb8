//! Writing a collection's memory to disk, and recovery at open.
//!
//! | file | owns |
//! |---|---|
//! | [`graph_log`], [`image`] | writing the graph, and images of all memory |
//! | [`stored`] | reading what is stored of graph, codes and namespaces |
//! | [`load`], [`loaded`] | making memory at open; the collection made of it |
//! | [`full_scan`], [`since_image`] | reading all rows; reading only the changes since an image |
//! | [`graph_restore`] | recovery of the graph |
//! | [`graph_verify`] | the graph on disk, compared with the one in memory |
//!
//! Owns derived data only. A loss of it costs time, and no document.

pub(super) mod full_scan;
pub(crate) mod graph_log;
mod graph_restore;
mod graph_verify;
mod image;
pub(crate) mod load;
pub(crate) mod loaded;
mod since_image;
mod stored;
