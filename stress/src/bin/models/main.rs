//! Models of lock-free shared state. A checker (loom) runs each order in which threads can meet,
//! and each value that memory may show them.
//!
//! They compile the library's own files with the checker's atomics in place of the machine's. Only
//! `RUSTFLAGS="--cfg loom" cargo test --release --bin models` does so (see `.ci/stress`). Each
//! model is a file beside this one. The parts of the library that they need are declared here.

#![cfg_attr(
    loom,
    allow(dead_code, unused_imports, reason = "the library's files are compiled here for a part of what they do")
)]

#[cfg(loom)]
#[path = "../../../../src/collection/slots/census.rs"]
mod census;
#[cfg(all(loom, test))]
mod censuses;
#[cfg(all(loom, test))]
mod check;
#[cfg(loom)]
#[path = "../../../../src/id.rs"]
mod id;
#[cfg(loom)]
#[path = "../../../../src/collection/slots/visibility.rs"]
mod life;
#[cfg(all(loom, test))]
mod lives;
#[cfg(loom)]
#[path = "../../../../src/graph/row.rs"]
mod row;
#[cfg(all(loom, test))]
mod rows;
#[cfg(loom)]
#[path = "../../../../src/collection/vectors/segment.rs"]
mod segment;
#[cfg(loom)]
#[path = "../../../../src/sync.rs"]
mod sync;
#[cfg(all(loom, test))]
mod tail;

fn main() {}
