//! Work in the background: linking, loading vectors, indexing, saving.
//!
//! Owns when each piece of work is done, and by which thread. Knows nothing of how it is done.
//!
//! | file | owns |
//! |---|---|
//! | [`jobs`] | the list of jobs |
//! | [`linker`] | the thread that does their steps |

mod jobs;
pub(crate) mod linker;
