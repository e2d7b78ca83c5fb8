//! Words: how text becomes words, what a query asks of them, and how documents are ranked by them.
//!
//! | file | owns |
//! |---|---|
//! | [`fold`] | text as it is compared, and kinds of characters |
//! | [`analyzer`] | text as words |
//! | [`bag`] | many words, gathered and sorted |
//! | [`counts`] | how often a document has each word |
//! | [`query`] | words, phrases and beginnings of words that are asked for |
//! | [`list`] | the documents that have a word |
//! | [`rank`] | BM25, and finding the best by it without scoring all |
//!
//! It knows slots, but neither documents nor where lists are kept.

pub(crate) mod analyzer;
pub(crate) mod bag;
pub(crate) mod counts;
mod fold;
pub(crate) mod list;
pub(crate) mod query;
pub(crate) mod rank;
