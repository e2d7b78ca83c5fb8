//! Models of what is shared without a lock: a checker runs every order in which threads can meet, and every value that
//! memory may show them.
//!
//! They compile the library's own files with the checker's atomics in place of the machine's, which only
//! `RUSTFLAGS="--cfg loom" cargo test --release --bin models` does (see `.ci/stress`). Each model is a file beside this
//! one; what it needs of the library is declared here.

#![cfg_attr(
    loom,
    allow(dead_code, unused_imports, reason = "the library's files are compiled here for a part of what they do")
)]

#[cfg(loom)]
#[path = "../../../../src/collection/census.rs"]
mod census;
#[cfg(all(loom, test))]
mod censuses;
#[cfg(all(loom, test))]
mod check;
#[cfg(loom)]
#[path = "../../../../src/id.rs"]
mod id;
#[cfg(loom)]
#[path = "../../../../src/collection/life.rs"]
mod life;
#[cfg(all(loom, test))]
mod lives;
#[cfg(loom)]
#[path = "../../../../src/graph/row.rs"]
mod row;
#[cfg(all(loom, test))]
mod rows;
#[cfg(loom)]
#[path = "../../../../src/collection/index/segment.rs"]
mod segment;
#[cfg(loom)]
#[path = "../../../../src/sync.rs"]
mod sync;
#[cfg(all(loom, test))]
mod tail;

fn main() {}
