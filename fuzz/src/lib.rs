//! The parts of the library that read bytes from outside, and what they need.

#![allow(dead_code, unused_imports, reason = "each fuzzer uses a part")]

#[path = "../../src/limits.rs"]
pub mod limits;
#[path = "../../src/cancel.rs"]
pub mod cancel;
#[path = "../../src/clock.rs"]
pub mod clock;
#[path = "../../src/id.rs"]
pub mod id;
#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/value.rs"]
pub mod value;
#[path = "../../src/paging.rs"]
pub mod paging;
#[path = "../../src/route.rs"]
pub mod route;
#[path = "../../src/document.rs"]
pub mod document;
#[path = "../../src/hit.rs"]
pub mod hit;
#[path = "../../src/distance/mod.rs"]
pub mod distance;
#[path = "../../src/filter/mod.rs"]
pub mod filter;
#[path = "../../src/text/mod.rs"]
pub mod text;
#[path = "../../src/schema/mod.rs"]
pub mod schema;
#[path = "../../src/config.rs"]
pub mod config;

#[path = "../../src/sync.rs"]
pub mod sync;
#[path = "../../src/arena/mod.rs"]
pub mod arena;
#[path = "../../src/graph/mod.rs"]
pub mod graph;

pub mod lookup;
pub mod store;
