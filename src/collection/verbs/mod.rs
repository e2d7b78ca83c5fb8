//! The verbs of collections, namespaces and snapshots, except searching.
//!
//! | file | owns |
//! |---|---|
//! | [`mod@write`], [`batch`], [`writer`] | write verbs; batches; streams of documents |
//! | [`read`], [`scroll_ordered`] | read verbs; scrolling in the order of a field |
//! | [`facet`], [`sample`], [`stats`] | facets; random samples; figures of a namespace |
//! | [`snapshot`] | read verbs of a snapshot |
//! | [`schema`], [`own_metadata`] | the schema; the collection's own metadata |
//! | [`maintenance`], [`vacuum`] | maintenance verbs of indexes; giving space back at once |
//!
//! Owns no state. A verb checks its input, then asks a moment or commits.

pub(crate) mod batch;
pub(crate) mod facet;
mod maintenance;
mod own_metadata;
pub(crate) mod read;
pub(crate) mod sample;
mod schema;
mod scroll_ordered;
mod snapshot;
pub(crate) mod stats;
pub(crate) mod vacuum;
mod write;
pub(crate) mod writer;
