//! Settings on two levels that never mix: those of a collection, and those of one opening.
//!
//! [`CollectionConfig`] is stored with the collection and validated once, when the collection is
//! created. [`Options`] apply to one opening of a database. Setters never fail; `validate` checks
//! all values before they are used.

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

/// How a collection finds the nearest vectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Index {
    /// A graph: HNSW (Malkov and Yashunin, 2018). Searches are fast and find nearly all of the
    /// nearest. Small collections are scanned instead. The default.
    #[default]
    Hnsw,
    /// No index: every search compares every vector and is exact.
    Flat,
}

/// The vectors that the graph compares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Quantization {
    /// Scalar quantization (SQ8): codes of one byte for each component, made of each vector by
    /// itself. The nearest by codes are compared again by their exact vectors, so that distances
    /// and order are exact. Manhattan and registered distances have no such codes; their graphs
    /// compare exact vectors. The default.
    #[default]
    Sq8,
    /// Exact vectors. They are slower, and better only where vectors differ by less than codes
    /// resolve.
    None,
}

/// Where a collection keeps its exact vectors while it is open. Each option also has them on disk.
/// A graph search compares codes, and exact vectors only of the few nearest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Residency {
    /// In memory, 4 bytes for each component. After an open they are loaded in the background. The
    /// default.
    #[default]
    Ram,
    /// In a memory-mapped file, of which the operating system keeps parts in memory. The file is a
    /// copy of the rows on disk and takes the same space once more.
    Mapped,
    /// On disk only. Each search reads the vectors it compares. This needs codes for the graph
    /// ([`Quantization::Sq8`]).
    Disk,
}

/// The configuration of a collection, stored with it when it is created.
///
/// ```
/// use vectrove::{CollectionConfig, Metric};
/// let config = CollectionConfig::new(384).metric(Metric::Dot);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CollectionConfig {
    /// Components of each vector: 1 to 65,536.
    pub dimension: usize,
    /// How two vectors are compared. Default: cosine.
    pub metric: Metric,
    /// Whether vectors are compared at unit length. Cosine always does so; the default for other
    /// metrics is false. A document keeps its vector as it was put in either case.
    pub normalize: bool,
    /// How the nearest are found. Default: [`Index::Hnsw`].
    pub index: Index,
    /// HNSW's M: links of a document at each level of the graph, 2 to 128. Level 0 has up to 2·`m`.
    /// A larger `m` improves recall and takes 8 bytes of memory more for each unit and document.
    /// Default: 16.
    pub m: usize,
    /// HNSW's efConstruction: candidates from which a new document's links are chosen, `m` to
    /// 4,096. A larger value makes a better graph and slower linking. Default: 200.
    pub ef_construction: usize,
    /// The vectors that the graph compares. Default: [`Quantization::Sq8`].
    pub quantization: Quantization,
    /// Whether codes that fit the vectors badly are replaced in the background. Default: true.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub adapt_codes: bool,
    /// The name of a distance registered with [`Options::distance`], which compares vectors instead
    /// of `metric`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<String>,
    /// Where exact vectors are while the collection is open, unless [`Options::residency`] sets
    /// another place. Default: [`Residency::Ram`].
    pub residency: Residency,
    /// The only metadata paths that are indexed from the start, each with all paths below it.
    /// Default: all paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_only: Option<Vec<String>>,
    /// Metadata paths that are not indexed from the start, nor any path below them. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_index: Vec<String>,
    /// Whether the words of documents' texts are indexed. Default: true.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub index_text: bool,
    /// Metadata paths whose strings are indexed as text beside the document's own. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text_fields: Vec<String>,
    /// How text is split into words. Default: Unicode's words, in lower case.
    #[serde(default, skip_serializing_if = "Analyzer::is_plain")]
    pub analyzer: Analyzer,
    /// The metadata that the collection admits from the start.
    /// [`Collection::schema`](crate::Collection::schema) returns what it admits now. Default: all
    /// metadata.
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
    /// A collection of vectors with `dimension` components, compared by cosine.
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

    /// How two vectors are compared. Default: cosine.
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }

    /// Whether vectors are compared at unit length. Cosine always does so. Default: false.
    #[must_use]
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.normalize = normalize;
        self
    }

    /// How the nearest are found. Default: [`Index::Hnsw`].
    #[must_use]
    pub fn index(mut self, index: Index) -> Self {
        self.index = index;
        self
    }

    /// HNSW's M: links of a document at each level of the graph, 2 to 128. Default: 16.
    #[must_use]
    pub fn m(mut self, m: usize) -> Self {
        self.m = m;
        self
    }

    /// HNSW's efConstruction: candidates for a new document's links, `m` to 4,096. Default: 200.
    #[must_use]
    pub fn ef_construction(mut self, ef_construction: usize) -> Self {
        self.ef_construction = ef_construction;
        self
    }

    /// The vectors that the graph compares. Default: [`Quantization::Sq8`].
    #[must_use]
    pub fn quantization(mut self, quantization: Quantization) -> Self {
        self.quantization = quantization;
        self
    }

    /// Whether codes that fit the vectors badly are replaced in the background, while searches and
    /// writes continue. The replacements, in order: codes measured from the mean of the vectors
    /// instead of the origin, codes of two bytes for each component, exact vectors.
    /// [`CollectionStats::codes`](crate::CollectionStats) shows how well codes fit, with this on or
    /// off. Default: true.
    #[must_use]
    pub fn adapt_codes(mut self, adapt: bool) -> Self {
        self.adapt_codes = adapt;
        self
    }

    /// Compares vectors by a distance of your own. Each opening registers it under this name with
    /// [`Options::distance`]. The collection's metric is then ignored.
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

    /// The only metadata paths to index, each with all paths below it; an empty list indexes none.
    /// A filter on another path reads the documents themselves: slower, with the same answer.
    /// [`Collection::add_index`](crate::Collection::add_index) adds paths later. Default: all
    /// paths.
    #[must_use]
    pub fn index_only<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.index_only = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Leaves a metadata path, and all paths below it, without an index. Call again for more paths.
    #[must_use]
    pub fn no_index(mut self, path: impl Into<String>) -> Self {
        self.no_index.push(path.into());
        self
    }

    /// Turns the word index off. A search in words then reads all documents.
    #[must_use]
    pub fn no_text(mut self) -> Self {
        self.index_text = false;
        self
    }

    /// Indexes the strings at a metadata path as a part of the document's text; in an array, all
    /// its strings. Call again for more paths, up to 64.
    #[must_use]
    pub fn text_field(mut self, path: impl Into<String>) -> Self {
        self.text_fields.push(path.into());
        self
    }

    /// How text is split into words. Default: Unicode's words, in lower case.
    #[must_use]
    pub fn analyzer(mut self, analyzer: Analyzer) -> Self {
        self.analyzer = analyzer;
        self
    }

    /// The metadata that documents must have; others are refused.
    /// [`Collection::set_schema`](crate::Collection::set_schema) changes it later. Default: all
    /// metadata is admitted.
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

    /// Whether the collection has a graph that compares codes.
    pub(crate) fn has_codes(&self) -> bool {
        let has_codes = self.metric.has_codes() && self.distance.is_none();
        self.index == Index::Hnsw && self.quantization == Quantization::Sq8 && has_codes
    }

    /// Whether vectors are compared at unit length.
    pub(crate) fn compares_directions(&self) -> bool {
        self.normalize || (self.metric.normalizes() && self.distance.is_none())
    }

    /// The first field in which two configurations differ: its name, our value, the other's value.
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

/// When a write is acknowledged, and so what an acknowledged write survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// When the write is on disk. It survives a power loss. Writers that wait together share one
    /// sync.
    #[default]
    Sync,
    /// When the operating system has the write, which is on disk at most 200 ms later. It survives
    /// a killed process, but not a power loss.
    Wal,
}

/// Settings of one opening of a database.
///
/// ```
/// use vectrove::{Durability, Options};
/// let options = Options::new().memory_bytes(256 << 20).durability(Durability::Wal);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Whether to create a database in a folder that has none. Default: true.
    pub create_if_missing: bool,
    /// When writes are acknowledged, unless a [batch](crate::Batch::durability) or a
    /// [handle](crate::Namespace::with_durability) sets another level. Default:
    /// [`Durability::Sync`].
    pub durability: Durability,
    /// Memory of the storage engine's caches and write buffers together, in bytes: 8 MiB or more.
    /// Vectors and graphs take memory beside it, shown by `Database::stats`. Default: 512 MiB.
    pub memory_bytes: usize,
    /// Most memory of caches, write buffers, vectors, codes, links and bookkeeping together, in
    /// bytes. At the limit exact vectors leave memory, those of the largest collection first, and
    /// are read from disk afterwards. Only collections with codes can do without. A write or an
    /// open that exceeds the limit even so is refused with [`Error::MemoryLimit`]. Default: no
    /// limit.
    pub memory_limit: Option<usize>,
    /// Where exact vectors are in this opening, for all collections with codes. Default: as each
    /// collection is configured.
    pub residency: Option<Residency>,
    /// Whether changes of the graph are written to disk as they happen. Without this a bulk load
    /// writes less, and the next open links all documents again. Default: true.
    pub persist_graph: bool,
    /// Free space on the disk, in bytes, below which writes are refused. The reserve leaves room to
    /// recover. 0 turns the check off. Default: 256 MiB.
    pub min_free_bytes: u64,
    /// Newest commits that stay in the commit log after their data has reached its final files.
    /// Operation ids are remembered for the same commits. Default: 1,000.
    pub log_retention: u64,
    /// Whether to open a damaged database and give up what is lost: durable commits that are
    /// missing, or files of unexpected sizes. If two collections have the same name, the second
    /// gets another one. If a forked child of the writer wrote to the database, its writes are
    /// dropped. Default: false.
    pub accept_loss: bool,
    /// Whether to open for reading only, which is possible while another process writes. Reads see
    /// one commit, until [`Database::refresh`](crate::Database::refresh) moves to a later one.
    /// Writes are refused, and no file is changed. Documents that the writer has not linked yet are
    /// compared one by one. Default: false.
    pub read_only: bool,
    /// Threads that link documents into graphs, at low priority: 1 to 256. Default: one for each
    /// core.
    pub link_threads: usize,
    /// Documents of a collection that may wait to be linked, 1 to 16,777,216; at the bound, writers
    /// wait. Each search finds waiting documents by comparing them one by one. Default: 1 MiB of
    /// codes, but at least 1,024 documents.
    pub tail_bound: Option<usize>,
    /// Registered distances by name, for collections that are configured with one.
    pub distances: Distances,
    /// The clock of the database. Default: the system's clock.
    pub clock: Clock,
    /// A flag that ends the opening, or a [`refresh`](crate::Database::refresh), early. Default: a
    /// flag that is never set.
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

    /// Whether to create a database in a folder that has none. If false, opening such a folder
    /// fails with [`DatabaseNotFound`](Error::DatabaseNotFound) and makes no folder. Default: true.
    #[must_use]
    pub fn create_if_missing(mut self, create: bool) -> Self {
        self.create_if_missing = create;
        self
    }

    /// When writes are acknowledged, unless a [batch](crate::Batch::durability) or a
    /// [handle](crate::Namespace::with_durability) sets another level. Default:
    /// [`Durability::Sync`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Memory of the storage engine's caches and write buffers together, in bytes: 8 MiB or more.
    /// Default: 512 MiB.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: usize) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Most memory of the whole database, in bytes. At the limit exact vectors leave memory.
    /// Default: no limit.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Where exact vectors are in this opening, for all collections with codes. Default: as each
    /// collection is configured.
    #[must_use]
    pub fn residency(mut self, residency: Residency) -> Self {
        self.residency = Some(residency);
        self
    }

    /// Whether changes of the graph are written to disk as they happen. Default: true.
    #[must_use]
    pub fn persist_graph(mut self, persist: bool) -> Self {
        self.persist_graph = persist;
        self
    }

    /// Free space on the disk, in bytes, below which writes are refused; 0 turns the check off.
    /// Default: 256 MiB.
    #[must_use]
    pub fn min_free_bytes(mut self, bytes: u64) -> Self {
        self.min_free_bytes = bytes;
        self
    }

    /// Newest commits that stay in the commit log beyond what recovery needs. Default: 1,000.
    #[must_use]
    pub fn log_retention(mut self, commits: u64) -> Self {
        self.log_retention = commits;
        self
    }

    /// Whether to open a database that has lost durable commits, and give them up. The opened
    /// database is consistent: it holds whole commits, up to the last one before the first missing
    /// one. Default: false.
    ///
    /// If a forked child wrote to the log too ([`Error::ForeignRecords`](crate::Error)), the longer
    /// chain of records is kept. The log does not show which chain is the parent's. The original
    /// log stays beside the data, under a name that ends in `.forked`. A log that RocksDB has
    /// closed since is not repaired.
    #[must_use]
    pub fn accept_loss(mut self, accept: bool) -> Self {
        self.accept_loss = accept;
        self
    }

    /// Whether to open for reading only, which is possible while another process writes. Default:
    /// false.
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

    /// Threads that link documents into graphs: 1 to 256. Default: one for each core.
    #[must_use]
    pub fn link_threads(mut self, n_threads: usize) -> Self {
        self.link_threads = n_threads;
        self
    }

    /// Documents of a collection that may wait to be linked, 1 to 16,777,216; at the bound, writers
    /// wait.
    ///
    /// Each search compares waiting documents one by one
    /// ([`SearchStats::n_tail`](crate::SearchStats::n_tail)). A higher bound speeds up a bulk load,
    /// and slows down searches meanwhile. A lower bound limits how much writes slow down searches.
    /// Default: 1 MiB of codes, but at least 1,024 documents.
    #[must_use]
    pub fn tail_bound(mut self, n_documents: usize) -> Self {
        self.tail_bound = Some(n_documents);
        self
    }

    /// Registers a distance under a name, for collections created with
    /// [`CollectionConfig::distance`](CollectionConfig::distance). A database does not open if one
    /// of its collections needs a distance that is not registered.
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

    /// The clock of the database. Default: the system's clock.
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

    /// A flag that ends the opening early, with `Cancelled` and before any file was changed. A
    /// [`refresh`](crate::Database::refresh) checks the flag too. Default: a flag that is never
    /// set.
    #[must_use]
    pub fn cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Where the exact vectors of a collection are in this opening.
    pub(crate) fn residency_of(&self, config: &CollectionConfig) -> Residency {
        match self.residency.filter(|_| config.has_codes()).unwrap_or(config.residency) {
            // The writer alone uses a mapped file.
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
