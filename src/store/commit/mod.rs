//! Committing: drafts, group commit, and the store's work beside commits.
//!
//! | file | owns |
//! |---|---|
//! | [`draft`] | a commit in the making |
//! | [`group_commit`] | one sync for every writer who waits |
//! | [`health`] | whether the database takes writes, and why not |
//! | [`upkeep`] | background ticks, trimming the log, copies, closing |
//!
//! Owns no layout: [`format`](super::format) encodes the rows.

pub(crate) mod draft;
pub(super) mod group_commit;
pub(super) mod health;
pub(super) mod upkeep;
