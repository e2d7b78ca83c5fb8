//! One collection: its documents, their rows in the store, and its state in memory.
//!
//! [`Collection`](handle::Collection) and [`Namespace`](handle::Namespace) are handles. All handles
//! of a collection share one [`CollectionState`](handle::CollectionState). It points to
//! [`OpenCollection`](open::OpenCollection), the parts of the open collection. Only this floor
//! knows both vectors in memory and rows on disk.
//!
//! | file | owns |
//! |---|---|
//! | [`derived`] | the seam of derived indexes; the context and the source of rows; background work |
//! | [`slots`] | when a slot's document exists; counts; numbers of namespaces |
//! | [`vectors`] | the vector index: exact vectors, codes, graph and tail |
//! | [`memory`] | the state in memory, by slot |
//! | [`metadata`] | the metadata index; the schemas that writes must satisfy |
//! | [`fulltext`] | the full-text index |
//! | [`indexes`] | the list of derived indexes |
//! | [`budget`] | the memory limit |
//! | [`recovery`] | writing memory to disk; recovery at open |
//! | [`open`] | an open collection; holding exact vectors, loading them, letting go of them |
//! | [`background`] | the jobs in the background; the thread that does their steps |
//! | [`verify`] | comparing all of it |
//! | [`moment`] | a namespace at one commit, which every read verb gets |
//! | [`matching`] | which documents match a filter |
//! | [`check`] | input checks |
//! | [`handle`], [`snapshot`] | handles; reading one commit more than once |
//! | [`commit`] | checked operations; folding them into one draft; committing it |
//! | [`search`], [`verbs`] | the verbs |
//!
//! Threads take locks in this order: `Admission::changing`, the store's committer section,
//! `HnswIndex::busy`, `Persist::state`, a memory's ledger (of several collections by their
//! number), a memory's retired slots. Three locks are held only to read or replace their value:
//! `OpenCollection::namespaces`, the field catalog, and the progress of the full-text index. The
//! caches of both indexes are locked only to look something up or to change one entry. Where the
//! default namespace holds all documents, a search takes no lock but these. Without filter and
//! words it takes none at all, unless two commits come between its view and its counts.

// The order counts: a module uses only modules above it. `tests/architecture.rs` checks this, and
// lists the pairs that break the rule so far.

// Shared by the parts: the context, the source of rows, derived indexes, background work.
pub(crate) mod derived;

// When a slot's document exists; counts; numbers of namespaces.
mod slots;

// The vector index.
pub(crate) mod vectors;

// The state in memory, by slot.
pub(crate) mod memory;

// The metadata index, and the schemas that writes must satisfy.
pub(crate) mod metadata;

// The full-text index.
mod fulltext;

// The list of derived indexes.
mod indexes;

// The memory limit.
pub(crate) mod budget;

// Writing memory to disk, and recovery at open.
pub(crate) mod recovery;

// An open collection: the parts above, together.
pub(crate) mod open;

// Work in the background: linking, loading, indexing, saving.
pub(crate) mod background;

// Verification of all parts.
pub(crate) mod verify;

// One namespace at one commit.
mod moment;

// Which documents match a filter.
mod matching;

// Input checks.
pub(crate) mod check;

// Handles of collections and namespaces.
pub(crate) mod handle;

// Handles of one commit.
pub(crate) mod snapshot;

// From checked operations to a commit.
pub(crate) mod commit;

// Searching.
pub(crate) mod search;

// All other verbs.
pub(crate) mod verbs;
