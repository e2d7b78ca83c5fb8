//! Settings on two levels that never mix: for ever, and per open.
//!
//! [`CollectionConfig`] is stored with the collection and checked for good when it is created. [`Options`] belong to
//! one opening of a database. Setters never fail; `validate` checks once, at the door.

use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::clock::Clock;
use crate::distance::{Distance, Distances, Metric};
use crate::error::{Error, Result};
use crate::limits::{
    MAX_DIMENSION, MAX_EF, MAX_LINK_THREADS, MAX_M, MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_TAIL, MAX_TEXT_FIELDS, MIN_M,
};
use crate::schema::Schema;
use crate::text::analyzer::Analyzer;

/// How a collection finds what is near.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Index {
    /// A graph, walked from point to point: fast, and finds nearly all of the nearest. Small collections are scanned
    /// all the same. The default.
    #[default]
    Hnsw,
    /// None: every search compares every vector, and is exact.
    Flat,
}

/// What vectors the graph is walked by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Quantization {
    /// Codes of one byte per component, made of each vector by itself. The nearest found are compared again by their
    /// exact vectors, so that distances and order are exact. Manhattan and custom distances have no such codes and walk
    /// by exact vectors. The default.
    #[default]
    Sq8,
    /// The exact vectors: slower, and no better unless vectors differ by less than codes can tell.
    None,
}

/// Where a collection's exact vectors are while it is open. They are on disk in any case; walks go by codes, and only
/// the few nearest are compared by their exact vectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Residency {
    /// In memory, 4 bytes a component. After an open they are brought there in the background. The default.
    #[default]
    Ram,
    /// In a file that is mapped into memory: the operating system decides what of it is there. The file is made of the
    /// rows on disk, and takes as much space again.
    Mapped,
    /// On disk only: those that are compared are read for each search. Needs codes to walk by
    /// ([`Quantization::Sq8`]).
    Disk,
}

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
    /// How the nearest are found. Default: a graph.
    pub index: Index,
    /// Links that each document gets in the graph at every level, and half of those it keeps at the lowest: 2 to 128.
    /// More find more and take more memory, 8 bytes each. Default: 16.
    pub m: usize,
    /// Candidates that a new document's links are chosen from: `m` to 4,096. More make a better graph, and linking
    /// slower. Default: 200.
    pub ef_construction: usize,
    /// What vectors the graph is walked by. Default: codes of one byte per component.
    pub quantization: Quantization,
    /// Whether codes that do not fit the vectors are replaced by others, in the background. Default: true.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub adapt_codes: bool,
    /// The name of the distance registered with [`Options::distance`] that compares vectors instead of `metric`.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<String>,
    /// Where exact vectors are while the collection is open, unless [`Options::residency`] says otherwise. Default: in
    /// memory.
    pub residency: Residency,
    /// The only paths of metadata that are indexed when the collection is created, each with all below it. Default: all
    /// there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_only: Option<Vec<String>>,
    /// Paths of metadata that are not indexed when the collection is created, nor what is below them. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_index: Vec<String>,
    /// Whether words of documents' texts are indexed. Default: true.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub index_text: bool,
    /// Paths of metadata whose strings count as text, beside each document's own. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text_fields: Vec<String>,
    /// How text is taken apart into words. Default: Unicode's words, in lower case.
    #[serde(default, skip_serializing_if = "Analyzer::is_plain")]
    pub analyzer: Analyzer,
    /// What metadata the collection admits when it is created; [`Collection::schema`](crate::Collection::schema) says
    /// what it admits now. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
}

fn yes() -> bool {
    true
}

fn is_yes(is: &bool) -> bool {
    *is
}

impl CollectionConfig {
    /// A collection of vectors with this many components, compared by cosine.
    pub fn new(dimension: usize) -> Self {
        CollectionConfig {
            dimension,
            metric: Metric::default(),
            normalize: false,
            index: Index::default(),
            m: 16,
            ef_construction: 200,
            quantization: Quantization::default(),
            adapt_codes: true,
            distance: None,
            residency: Residency::default(),
            index_only: None,
            no_index: Vec::new(),
            index_text: true,
            text_fields: Vec::new(),
            analyzer: Analyzer::default(),
            schema: None,
        }
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

    /// How the nearest are found. Default: a graph.
    #[must_use]
    pub fn index(mut self, index: Index) -> Self {
        self.index = index;
        self
    }

    /// Links that each document gets in the graph at every level: 2 to 128. Default: 16.
    #[must_use]
    pub fn m(mut self, m: usize) -> Self {
        self.m = m;
        self
    }

    /// Candidates that a new document's links are chosen from: `m` to 4,096. Default: 200.
    #[must_use]
    pub fn ef_construction(mut self, ef_construction: usize) -> Self {
        self.ef_construction = ef_construction;
        self
    }

    /// What vectors the graph is walked by. Default: [`Quantization::Sq8`].
    #[must_use]
    pub fn quantization(mut self, quantization: Quantization) -> Self {
        self.quantization = quantization;
        self
    }

    /// Whether codes that do not fit the vectors are replaced by others, in the background, while searches and writes
    /// go on: measured from the vectors' mean instead of the origin, then two bytes for each component, then the
    /// vectors themselves. [`CollectionStats::codes`](crate::CollectionStats) says how far codes can be trusted either
    /// way. Default: true.
    #[must_use]
    pub fn adapt_codes(mut self, adapt: bool) -> Self {
        self.adapt_codes = adapt;
        self
    }

    /// Compares vectors by a distance of your own, which every opening registers under this name with
    /// [`Options::distance`]. The metric then means nothing.
    #[must_use]
    pub fn distance(mut self, name: impl Into<String>) -> Self {
        self.distance = Some(name.into());
        self
    }

    /// Where exact vectors are while the collection is open. Default: [`Residency::Ram`].
    #[must_use]
    pub fn residency(mut self, residency: Residency) -> Self {
        self.residency = residency;
        self
    }

    /// The only paths of metadata to index, each with all below it; without any, none is. Filters on other paths look
    /// at documents themselves: slower, and as right. What is indexed can be changed later
    /// ([`Collection::add_index`](crate::Collection::add_index)). Default: all there are.
    #[must_use]
    pub fn index_only<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.index_only = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// A path of metadata not to index, with all below it. May be called again for others.
    #[must_use]
    pub fn no_index(mut self, path: impl Into<String>) -> Self {
        self.no_index.push(path.into());
        self
    }

    /// Does not index words. Searches in words still find what there is, by going through all documents.
    #[must_use]
    pub fn no_text(mut self) -> Self {
        self.index_text = false;
        self
    }

    /// A path of metadata whose strings count as text, as if they were part of it: of an array all of them. May be
    /// called again for others, up to 64.
    #[must_use]
    pub fn text_field(mut self, path: impl Into<String>) -> Self {
        self.text_fields.push(path.into());
        self
    }

    /// How text is taken apart into words. Default: Unicode's words, in lower case.
    #[must_use]
    pub fn analyzer(mut self, analyzer: Analyzer) -> Self {
        self.analyzer = analyzer;
        self
    }

    /// What metadata documents must have; others are refused. It can be changed later
    /// ([`Collection::set_schema`](crate::Collection::set_schema)). Default: all metadata is admitted.
    #[must_use]
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = Some(schema);
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        within("text_fields", self.text_fields.len(), 0, MAX_TEXT_FIELDS)?;
        let all = [
            ("index_only", self.index_only.as_deref().unwrap_or_default()),
            ("no_index", &self.no_index),
            ("text_fields", &self.text_fields),
        ];
        for (field, paths) in all {
            let bad = paths.iter().find(|path| !(1..=MAX_PATH_BYTES).contains(&path.len()));
            if let Some(path) = bad {
                let reason = format!("expected a path of 1 to {MAX_PATH_BYTES} bytes, got {}", path.len());
                return Err(Error::InvalidConfig { field, reason });
            }
        }
        if self.residency == Residency::Disk && !self.has_codes() {
            let reason = "expected ram or mapped where exact vectors are walked or scanned, got disk".into();
            return Err(Error::InvalidConfig { field: "residency", reason });
        }
        self.schema.as_ref().map_or(Ok(()), Schema::validate)?;
        within("dimension", self.dimension, 1, MAX_DIMENSION)?;
        within("m", self.m, MIN_M, MAX_M)?;
        within("ef_construction", self.ef_construction, self.m, MAX_EF)?;
        match self.distance.as_deref().map(str::len) {
            Some(length) => within("distance", length, 1, MAX_NAME_BYTES),
            None => Ok(()),
        }
    }

    /// Whether the collection has a graph that is walked by codes.
    pub(crate) fn has_codes(&self) -> bool {
        let has_codes = self.metric.has_codes() && self.distance.is_none();
        self.index == Index::Hnsw && self.quantization == Quantization::Sq8 && has_codes
    }

    /// Whether rows are compared at unit length.
    pub(crate) fn compares_directions(&self) -> bool {
        self.normalize || (self.metric.normalizes() && self.distance.is_none())
    }

    /// The first field in which two configurations differ: its name, ours, theirs.
    pub(crate) fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let fields = |config: &Self| {
            let metric = config.distance.clone().unwrap_or_else(|| config.metric.to_string());
            [
                ("dimension", config.dimension.to_string()),
                ("metric", metric),
                ("normalize", config.compares_directions().to_string()),
                ("index", format!("{:?}", config.index)),
                ("m", config.m.to_string()),
                ("ef_construction", config.ef_construction.to_string()),
                ("quantization", format!("{:?}", config.quantization)),
                ("index_text", config.index_text.to_string()),
                ("text_fields", format!("{:?}", config.text_fields)),
                ("analyzer", format!("{:?}", config.analyzer)),
            ]
        };
        let pairs = fields(self).into_iter().zip(fields(other));
        let mut different = pairs.filter(|((_, ours), (_, theirs))| ours != theirs);
        different.next().map(|((field, ours), (_, theirs))| (field, ours, theirs))
    }
}

pub(crate) fn within(field: &'static str, got: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&got) {
        return Ok(());
    }
    Err(Error::InvalidConfig { field, reason: format!("expected {least} to {most}, got {got}") })
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
    /// When writes are acknowledged, unless a [batch](crate::Batch::durability) or a
    /// [handle](crate::Namespace::with_durability) says otherwise. Default: [`Durability::Sync`].
    pub durability: Durability,
    /// Memory for caches and write buffers together, in bytes: 8 MiB or more. Default: 512 MiB. Vectors and graphs are
    /// held in memory beside it: `Database::stats` says how much they take.
    pub memory_bytes: usize,
    /// The most that caches, write buffers, vectors, codes, links and bookkeeping may take together, in bytes. Over it,
    /// exact vectors leave memory first, those of the largest collection before others, and are read from disk from
    /// then on; what would not fit even so is refused. Default: no limit.
    pub memory_limit: Option<usize>,
    /// Where exact vectors are in this opening, for all collections that walk by codes. Default: as each is configured.
    pub residency: Option<Residency>,
    /// Whether the graph's changes are written to disk as they are made. Without it a bulk load writes less, and the
    /// next open links all documents anew. Default: true.
    pub persist_graph: bool,
    /// Writes are refused while the disk has fewer free bytes than this, so that there is always room to recover.
    /// Default: 256 MiB. 0 turns the check off.
    pub min_free_bytes: u64,
    /// How many of the newest commits stay in the commit log after their data has reached its final files. Default:
    /// 1,000. Operation ids are remembered as long.
    pub log_retention: u64,
    /// Whether to open a database that has lost durable commits, giving them up; one in which two collections have the
    /// same name, which gives the second another one; and one that a forked child of its writer wrote to, without what
    /// the child wrote. Default: false.
    pub accept_loss: bool,
    /// Whether to only read, also while another process writes. What is read is the database as of one commit, until
    /// [`Database::refresh`](crate::Database::refresh) goes on to a later one. Writes are refused, nothing on disk is
    /// changed, and documents that the writer has not linked yet are compared one by one. Default: false.
    pub read_only: bool,
    /// Threads that link documents into graphs, at low priority: 1 to 256. Default: as many as there are cores.
    pub link_threads: usize,
    /// Documents of a collection that may wait to be linked; writers wait beyond that. Those that wait are found by
    /// every search, which compares them one by one. 1 to 16,777,216; default: what takes 1 MiB as codes, but at least
    /// 1,024.
    pub tail_bound: Option<usize>,
    /// Distances that collections may be created with, by name.
    pub distances: Distances,
    /// Where the time comes from. Default: the system's clock.
    pub clock: Clock,
    /// Ends the opening early once it is set, and a [`refresh`](crate::Database::refresh). Default: a flag that nobody
    /// sets.
    pub cancel: Cancel,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            create_if_missing: true,
            durability: Durability::Sync,
            memory_bytes: 512 << 20,
            memory_limit: None,
            residency: None,
            persist_graph: true,
            min_free_bytes: 256 << 20,
            log_retention: 1_000,
            accept_loss: false,
            read_only: false,
            link_threads: std::thread::available_parallelism().map_or(1, usize::from).min(MAX_LINK_THREADS),
            tail_bound: None,
            distances: Distances::default(),
            clock: Clock::default(),
            cancel: Cancel::default(),
        }
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Options::default()
    }

    /// Whether to create the database where there is none; without it opening one is refused with
    /// [`DatabaseNotFound`](Error::DatabaseNotFound), and no folder made. Default: true.
    #[must_use]
    pub fn create_if_missing(mut self, create: bool) -> Self {
        self.create_if_missing = create;
        self
    }

    /// When writes are acknowledged, unless a [batch](crate::Batch::durability) or a
    /// [handle](crate::Namespace::with_durability) says otherwise. Default: [`Durability::Sync`].
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

    /// The most that everything may take in memory, in bytes: exact vectors leave memory where it would be more.
    /// Default: no limit.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Where exact vectors are in this opening, for all collections that walk by codes. Default: as each is configured.
    #[must_use]
    pub fn residency(mut self, residency: Residency) -> Self {
        self.residency = Some(residency);
        self
    }

    /// Whether the graph's changes are written to disk as they are made. Default: true.
    #[must_use]
    pub fn persist_graph(mut self, persist: bool) -> Self {
        self.persist_graph = persist;
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
    ///
    /// Where a forked child wrote to the log too ([`Error::ForeignRecords`](crate::Error)), the chain of records that
    /// goes on for longer is kept, which a log cannot tell to be the parent's. The log as it was stays beside the data,
    /// its name ending in `.forked`. A log that RocksDB had closed since is not repaired.
    #[must_use]
    pub fn accept_loss(mut self, accept: bool) -> Self {
        self.accept_loss = accept;
        self
    }

    /// Whether to only read, also while another process writes. Default: false.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// use vectrove::{CollectionConfig, Database, Document, Options};
    /// let writer = Database::open(folder.path())?;
    /// let notes = writer.create_collection("notes", CollectionConfig::new(1))?;
    /// let reader = Database::open_with(folder.path(), Options::new().read_only(true))?;
    /// notes.insert(Document::new([1.0]).id("a"))?;
    /// assert!(!reader.collection("notes")?.contains("a")?);
    /// reader.refresh()?;
    /// assert!(reader.collection("notes")?.contains("a")?);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Threads that link documents into graphs: 1 to 256. Default: as many as there are cores.
    #[must_use]
    pub fn link_threads(mut self, n_threads: usize) -> Self {
        self.link_threads = n_threads;
        self
    }

    /// Documents of a collection that may wait to be linked before writers have to: 1 to 16,777,216. Every search
    /// compares those that wait one by one ([`Route::n_tail`](crate::Route::n_tail)): a bulk load may raise the bound,
    /// and slows searches down meanwhile; where searches must not slow down while others write, a lower one bounds by
    /// how much. Default: what takes 1 MiB as codes, but at least 1,024.
    #[must_use]
    pub fn tail_bound(mut self, n_documents: usize) -> Self {
        self.tail_bound = Some(n_documents);
        self
    }

    /// Registers a distance for collections created with [`CollectionConfig::distance`](CollectionConfig::distance)
    /// under the same name. A database whose collections name a distance that is not registered does not open.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// use vectrove::{CollectionConfig, Database, Options};
    /// let chebyshev = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    /// let db = Database::open_with(folder.path(), Options::new().distance("chebyshev", chebyshev))?;
    /// let config = CollectionConfig::new(2).distance("chebyshev");
    /// let points = db.get_or_create_collection("points", config)?;
    /// points.insert(vectrove::Document::new([3.0, 1.0]).id("a"))?;
    /// assert_eq!(points.search([0.0, 0.0]).run()?[0].distance, 3.0);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn distance(mut self, name: impl Into<String>, distance: impl Distance + 'static) -> Self {
        self.distances.register(name.into(), distance);
        self
    }

    /// Where the time comes from. Default: the system's clock.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use vectrove::{Clock, CollectionConfig, Database, Document, Options};
    /// let noon = UNIX_EPOCH + Duration::from_secs(12 * 3_600);
    /// let db = Database::open_with(folder.path(), Options::new().clock(Clock::new(move || noon)))?;
    /// let notes = db.create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert(Document::new([1.0]).id("a"))?;
    /// assert_eq!(notes.get("a")?.unwrap().created_at_ms, 12 * 3_600_000);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Ends the opening early once the flag is set, with `Cancelled`; no file was changed then. A
    /// [`refresh`](crate::Database::refresh) asks it too. Default: a flag that nobody sets.
    #[must_use]
    pub fn cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Where a collection's exact vectors are in this opening.
    pub(crate) fn residency_of(&self, config: &CollectionConfig) -> Residency {
        match self.residency.filter(|_| config.has_codes()).unwrap_or(config.residency) {
            // A mapped file is its writer's.
            Residency::Mapped if self.read_only && config.has_codes() => Residency::Disk,
            Residency::Mapped if self.read_only => Residency::Ram,
            residency => residency,
        }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        const LEAST: usize = 8 << 20;
        within("memory_bytes", self.memory_bytes, LEAST, usize::MAX)?;
        self.memory_limit.map_or(Ok(()), |limit| within("memory_limit", limit, self.memory_bytes, usize::MAX))?;
        within("link_threads", self.link_threads, 1, MAX_LINK_THREADS)?;
        self.tail_bound.map_or(Ok(()), |bound| within("tail_bound", bound, 1, MAX_TAIL))
    }
}
