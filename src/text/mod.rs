//! Words: how text becomes words, what a query asks of them, and how documents are ranked by them.
//!
//! | file | owns |
//! |---|---|
//! | [`analyzer`] | text as words |
//! | [`query`] | words, phrases and beginnings of words that are asked for |
//! | [`list`] | the documents that have a word |
//! | [`rank`] | BM25, and finding the best by it without scoring all |
//!
//! It knows slots, but neither documents nor where lists are kept.

pub(crate) mod analyzer;
pub(crate) mod list;
pub(crate) mod query;
pub(crate) mod rank;
