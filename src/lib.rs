#![doc = include_str!("../README.md")]

// The modules stand in the order of their floors. Each module may use only modules above it;
// `tests/architecture.rs` checks this.

// Floor 0: words, and what belongs to the whole process (clock, heap, forks). No database I/O.
mod cancel;
mod clock;
mod document;
mod error;
mod failpoint;
mod heap;
mod hit;
mod id;
pub mod limits;
mod opening;
mod paging;
mod process;
mod route;
mod sync;
mod value;

// Floor 1: computation without RocksDB. Only `arena` touches files: it maps them into memory.
mod arena;
mod boost;
mod config;
mod distance;
mod filter;
mod graph;
mod params;
mod quant;
mod schema;
mod text;

// Floor 2: durable bytes. Only this floor names `rocksdb` or `bincode`.
mod store;

// Floor 3: one collection, where documents meet the store and memory.
mod collection;

// Floor 4: the database.
mod db;

// Floor 5: doors. No module below uses them.
#[cfg(feature = "json")]
pub mod json;

pub use crate::boost::Boost;
pub use crate::cancel::Cancel;
pub use crate::clock::Clock;
pub use crate::collection::derived::job::{Job, JobState, JobStats};
pub use crate::collection::handle::{Collection, Namespace};
pub use crate::collection::search::Search;
pub use crate::collection::search::query::{Example, Query};
pub use crate::collection::snapshot::Snapshot;
pub use crate::collection::verbs::batch::{Batch, Write};
pub use crate::collection::verbs::facet::Facet;
pub use crate::collection::verbs::read::Scroll;
pub use crate::collection::verbs::sample::Sample;
pub use crate::collection::verbs::stats::NamespaceStats;
pub use crate::collection::verbs::vacuum::{Vacuum, Vacuumed};
pub use crate::collection::verbs::writer::{Ticket, TrySendError, Writer};
pub use crate::config::{CollectionConfig, Durability, Index, Options, Quantization, Residency};
pub use crate::db::{Backup, CodeStats, CollectionStats, Database, Stats, Verification};
pub use crate::distance::{Distance, Distances, Metric};
pub use crate::document::{Document, StoredDocument, Update};
pub use crate::error::{Error, ErrorKind, Outcome, Result, Violation};
pub use crate::filter::{Field, Filter, field};
pub use crate::hit::{FacetCount, Hit, Hits, Page, Part, Parts, Receipt};
pub use crate::id::{Commit, DocId};
pub use crate::opening::{OpenedBy, Opening};
pub use crate::paging::{Cursor, SearchCursor};
pub use crate::params::{FusedBy, Fusion, GroupBy, Mmr, SearchParams};
pub use crate::quant::CodeKind;
pub use crate::route::{Estimate, Explanation, FilterFigures, SearchStats, Strategy};
pub use crate::schema::{Choice, FieldRule, Schema, Type};
pub use crate::text::analyzer::{Analyzer, Language};
pub use crate::value::Value;
pub use uuid::Uuid;

#[cfg(feature = "failpoints")]
#[doc(hidden)]
pub use crate::failpoint::{allow_at, pause_at, refuse_at};
