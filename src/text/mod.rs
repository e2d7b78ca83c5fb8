//! Text: how it becomes words, how queries are parsed, and how documents are ranked (BM25).
//!
//! | file | owns |
//! |---|---|
//! | [`fold`] | text as it is compared, and kinds of characters |
//! | [`analyzer`] | text as words |
//! | [`bag`] | many words, gathered and sorted |
//! | [`counts`] | how often a document has each word |
//! | [`query`] | parsed queries: words, phrases and beginnings of words |
//! | [`list`] | posting lists |
//! | [`rank`] | BM25, and finding the best without scoring all |
//!
//! It knows slots, but neither documents nor where posting lists are stored.

pub(crate) mod analyzer;
pub(crate) mod bag;
pub(crate) mod counts;
mod fold;
pub(crate) mod list;
pub(crate) mod query;
pub(crate) mod rank;
