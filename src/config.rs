//! Settings on three levels that never mix: for ever, per open, per call.
//!
//! [`CollectionConfig`] is stored with the collection and checked for good when it is created. [`Options`] belong to
//! one opening of a database. [`SearchParams`] belong to one search. Setters never fail; `validate` checks once, at
//! the door.

use serde::{Deserialize, Serialize};

use crate::distance::Metric;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::limits::MAX_DIMENSION;

/// What a collection is, for ever.
///
/// ```
/// use vectrove::{CollectionConfig, Metric};
/// let config = CollectionConfig::new(384).metric(Metric::Dot);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CollectionConfig {
    /// Components of every vector: 1 to 65,536.
    pub dimension: usize,
    /// How vectors are compared. Default: cosine.
    pub metric: Metric,
    /// Whether vectors are compared at unit length. Cosine always does; for the other metrics the default is false.
    /// Documents keep the vector as it was put either way.
    pub normalize: bool,
}

impl CollectionConfig {
    /// A collection of vectors with this many components, compared by cosine.
    pub fn new(dimension: usize) -> Self {
        CollectionConfig { dimension, metric: Metric::default(), normalize: false }
    }

    /// How vectors are compared. Default: cosine.
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }

    /// Whether vectors are scaled to unit length before they are compared. Default: false; cosine always does.
    #[must_use]
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.normalize = normalize;
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if (1..=MAX_DIMENSION).contains(&self.dimension) {
            return Ok(());
        }
        Err(Error::InvalidConfig {
            field: "dimension",
            reason: format!("expected 1 to {MAX_DIMENSION}, got {}", self.dimension),
        })
    }

    /// Whether rows are compared at unit length.
    pub(crate) fn compares_directions(&self) -> bool {
        self.normalize || self.metric.normalizes()
    }

    /// The first field in which two configurations differ: its name, ours, theirs.
    pub(crate) fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let fields = [
            ("dimension", self.dimension.to_string(), other.dimension.to_string()),
            ("metric", self.metric.to_string(), other.metric.to_string()),
            ("normalize", self.compares_directions().to_string(), other.compares_directions().to_string()),
        ];
        fields.into_iter().find(|(_, ours, theirs)| ours != theirs)
    }
}

/// When a write is acknowledged, and hence what it survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// When it is on the disk. Survives power loss. Writers that wait at the same time share one flush of the disk.
    #[default]
    Sync,
    /// When it is in the operating system's hands; on the disk at most 200 ms later. Survives a killed process, not a
    /// power loss.
    Wal,
}

/// How one opening of a database behaves.
///
/// ```
/// use vectrove::{Durability, Options};
/// let options = Options::new().memory_bytes(256 << 20).durability(Durability::Wal);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Whether to create the database where there is none. Default: true.
    pub create_if_missing: bool,
    /// When writes are acknowledged. Default: [`Durability::Sync`].
    pub durability: Durability,
    /// Memory for caches and write buffers together, in bytes: 8 MiB or more. Default: 512 MiB. Vectors are held in
    /// memory beside it, four bytes a component.
    pub memory_bytes: usize,
    /// Writes are refused while the disk has fewer free bytes than this, so that there is always room to recover.
    /// Default: 256 MiB. 0 turns the check off.
    pub min_free_bytes: u64,
    /// How many of the newest commits stay in the commit log after their data has reached its final files. Default:
    /// 1,000. Operation ids are remembered as long.
    pub log_retention: u64,
    /// Whether to open a database that has lost durable commits, giving them up. Default: false.
    pub accept_loss: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            create_if_missing: true,
            durability: Durability::Sync,
            memory_bytes: 512 << 20,
            min_free_bytes: 256 << 20,
            log_retention: 1_000,
            accept_loss: false,
        }
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Options::default()
    }

    /// Whether to create the database where there is none. Default: true.
    #[must_use]
    pub fn create_if_missing(mut self, create: bool) -> Self {
        self.create_if_missing = create;
        self
    }

    /// When writes are acknowledged. Default: [`Durability::Sync`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Memory for caches and write buffers together, in bytes: 8 MiB or more. Default: 512 MiB.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: usize) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Free disk space, in bytes, below which writes are refused. Default: 256 MiB; 0 turns the check off.
    #[must_use]
    pub fn min_free_bytes(mut self, bytes: u64) -> Self {
        self.min_free_bytes = bytes;
        self
    }

    /// Commits kept in the log beyond what recovery needs. Default: 1,000.
    #[must_use]
    pub fn log_retention(mut self, commits: u64) -> Self {
        self.log_retention = commits;
        self
    }

    /// Whether to open a database that has lost durable commits, giving them up. Default: false. What is left is
    /// consistent: whole commits, up to the last one before the first that is missing.
    #[must_use]
    pub fn accept_loss(mut self, accept: bool) -> Self {
        self.accept_loss = accept;
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        const LEAST: usize = 8 << 20;
        if self.memory_bytes >= LEAST {
            return Ok(());
        }
        Err(Error::InvalidConfig {
            field: "memory_bytes",
            reason: format!("expected at least {LEAST}, got {}", self.memory_bytes),
        })
    }
}

/// What one search asks for. Set through the methods of [`Search`](crate::Search).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SearchParams {
    /// Most hits to return. Default: 10. More than there are documents means all of them.
    pub limit: usize,
    /// How many of the nearest to leave out first. Default: 0.
    pub offset: usize,
    /// Which documents may be hits. Default: all of the namespace.
    pub filter: Filter,
    /// The lowest score a hit may have. Default: none.
    pub min_score: Option<f32>,
    /// The largest distance a hit may have. Default: none.
    pub max_distance: Option<f32>,
    /// Whether hits carry their vector. Default: false.
    pub with_vector: bool,
    /// The metadata fields hits carry. Default: all.
    pub fields: Option<Vec<String>>,
}

impl Default for SearchParams {
    fn default() -> Self {
        SearchParams {
            limit: 10,
            offset: 0,
            filter: Filter::everything(),
            min_score: None,
            max_distance: None,
            with_vector: false,
            fields: None,
        }
    }
}

impl SearchParams {
    pub(crate) fn validate(&self) -> Result<()> {
        for (field, bound) in [("min_score", self.min_score), ("max_distance", self.max_distance)] {
            if bound.is_some_and(f32::is_nan) {
                return Err(Error::InvalidConfig { field, reason: "expected a number, got NaN".into() });
            }
        }
        self.filter.check()
    }
}
