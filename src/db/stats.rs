//! What a database reports of itself: figures, and whether all parts agree.

use serde::Serialize;

use super::Database;
use crate::cancel::Cancel;
use crate::collection::budget::MemoryUser;
use crate::collection::derived::job::JobStats;
use crate::collection::handle::{Collection, CollectionState};
use crate::collection::vectors::IndexStats;
use crate::collection::vectors::codes::codebook::Codebook;
use crate::collection::vectors::field::VectorField;
use crate::config::{CollectionConfig, Residency};
use crate::distance::Kernels;
use crate::error::Result;
use crate::failpoint;
use crate::id::Commit;
use crate::opening::Opening;
use crate::quant::CodeKind;
use crate::store::open::commit_log::LogSummary;
use crate::store::storage;

/// Figures of a database, at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// The last commit.
    pub commit: Commit,
    /// The last commit known to be on the disk.
    pub durable_commit: Commit,
    /// The first commit the commit log still holds.
    pub log_start: Commit,
    /// Syncs of the log and of the superblock in this opening.
    pub n_syncs: u64,
    /// Why the database refuses writes; `None` while it takes them.
    pub read_only: Option<String>,
    /// The instruction set of the distance kernels: `avx512`, `avx2`, `neon` or `portable`.
    pub instruction_set: String,
    /// Memory that the storage engine uses, in bytes, with its write buffers.
    pub engine_memory_bytes: u64,
    /// Memory in the storage engine's write buffers, in bytes.
    pub write_buffer_bytes: u64,
    /// Memory in the storage engine's cache of file blocks, in bytes. The cache grows with the
    /// files, up to [`Options::memory_bytes`](crate::Options). Blocks of deleted files leave it.
    pub cache_bytes: u64,
    /// Memory that counts against [`Options::memory_limit`](crate::Options), in bytes: what all
    /// collections use, and what the storage engine may use.
    pub memory_bytes: usize,
    /// [`Options::memory_limit`](crate::Options) in bytes; `None` without a limit.
    pub memory_limit: Option<usize>,
    /// Figures of each collection, in the order of names.
    pub collections: Vec<CollectionStats>,
}

/// Figures of a collection.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CollectionStats {
    /// The collection's name.
    pub name: String,
    /// The configuration at creation, with the present schema.
    pub config: CollectionConfig,
    /// Documents in all its namespaces.
    pub n_documents: usize,
    /// Namespaces that hold documents.
    pub n_namespaces: usize,
    /// Memory that the collection uses, in bytes: vectors, codes, links, held postings, and slots,
    /// free slots included. Mapped vectors do not count.
    pub memory_bytes: usize,
    /// Where exact vectors are. Vectors that left memory to stay within
    /// [`Options::memory_limit`](crate::Options) count as on disk.
    pub residency: Residency,
    /// Memory for exact vectors, in bytes.
    pub vectors_bytes: usize,
    /// Exact vectors in a mapped file, in bytes.
    pub mapped_bytes: usize,
    /// Memory for codes, in bytes.
    pub codes_bytes: usize,
    /// The kind of codes and their measured recall; `None` if the graph is walked by exact vectors.
    pub codes: Option<CodeStats>,
    /// Memory for links, in bytes.
    pub links_bytes: usize,
    /// Memory for slots with their ids and namespaces, in bytes.
    pub slots_bytes: usize,
    /// Memory for postings that are held because a call asked for them, in bytes.
    pub postings_bytes: usize,
    /// Paths of metadata that are indexed.
    pub n_indexed_fields: usize,
    /// Whether the metadata index or the full-text index is still being built.
    pub is_indexing: bool,
    /// How the collection was read when the database was opened.
    pub opening: Opening,
    /// Slots whose exact vectors are held in memory or in the mapped file.
    pub n_vectors_loaded: usize,
    /// Points that wait for other links, in place of lost ones or of ones that miss neighbours.
    pub n_to_repair: usize,
    /// Deltas of the graph written since the database was opened, one for each batch of linked
    /// documents.
    pub n_deltas: u64,
    /// Bytes of deltas written since the database was opened.
    pub delta_bytes_written: u64,
    /// Bytes of rows of links written since the database was opened, at checkpoints of the graph.
    pub rows_bytes_written: u64,
    /// Bytes of images written since the database was opened.
    pub image_bytes_written: u64,
    /// The commit up to which the newest image holds the collection; `None` without an image.
    pub image_commit: Option<Commit>,
    /// Documents that wait to be linked. Every search compares them one by one
    /// ([`SearchStats::n_tail`](crate::SearchStats::n_tail)).
    pub tail_length: usize,
    /// Documents of small namespaces without links; searches there compare all of a namespace's
    /// codes.
    pub n_unlinked: usize,
    /// Documents that may wait to be linked before writers have to wait too
    /// ([`Options::tail_bound`](crate::Options::tail_bound)).
    pub tail_bound: usize,
    /// Links added to the graph since the database was opened.
    pub n_links_added: usize,
    /// Rows of links that were chosen again since the database was opened, because they were full
    /// or led to dead points.
    pub n_rows_replaced: usize,
    /// Snapshots of its namespaces that are held. Documents deleted or replaced since then stay in
    /// memory and on the disk.
    pub n_snapshots: usize,
    /// The earliest commit that a held snapshot sees; `None` without one.
    pub oldest_snapshot: Option<Commit>,
    /// Bytes of the collection's files, without data that is still in the log or in write buffers.
    pub disk_bytes: u64,
    /// The work in the background, one entry for each [`Job`](crate::Job).
    pub jobs: Vec<JobStats>,
}

/// The codes by which a collection's graph is walked, and their recall in the namespace where it is
/// lowest. [`Namespace::namespace_stats`](crate::Namespace::namespace_stats) reports each
/// namespace.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CodeStats {
    /// The kind of codes in use: the widest that any namespace needs.
    pub kind: CodeKind,
    /// The number of the present codebook, counted through all openings.
    pub generation: u32,
    /// Recall@10 of codes, 0 to 1: the share of the ten nearest that codes leave among the
    /// candidates which a default search compares exactly. `None` until it is measured, at 100
    /// documents of a namespace. It is measured again whenever the namespace has doubled, and when
    /// codes seem not to fit any more. About a hundred searches later each measurement is repeated
    /// with some of their queries.
    pub code_recall: Option<f32>,
    /// Recall@10 of default searches, 0 to 1, from the same measurement. If searches with users'
    /// queries find fewer, it is the recall of those.
    pub sampled_recall: Option<f32>,
    /// Documents of the namespace when it was measured; 0 before the first measurement.
    pub n_measured: usize,
    /// How often codes were replaced since the database was opened.
    pub n_replaced: usize,
}

/// What a verification compared without finding fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Verification {
    /// Collections compared.
    pub n_collections: usize,
    /// Documents compared: rows, vectors, ids and memory.
    pub n_documents: usize,
    /// Commits of the log that were read.
    pub n_commits: u64,
    /// The commit as of which everything was compared.
    pub commit: Commit,
}

impl Collection {
    /// Figures of the collection, at this moment.
    /// [`namespace_stats`](crate::Namespace::namespace_stats) has those of one namespace.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert(Document::new([1.0]))?;
    /// let stats = notes.stats()?;
    /// assert_eq!((stats.n_documents, stats.tail_length <= stats.tail_bound), (1, true));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> Result<CollectionStats> {
        collection_stats(self.state())
    }
}

impl Database {
    /// Figures, at this moment.
    ///
    /// # Errors
    /// `Closed`.
    pub fn stats(&self) -> Result<Stats> {
        let store = self.engine.store()?;
        let figures = store.figures();
        let collections = self.engine.collections.read();
        Ok(Stats {
            commit: figures.last,
            durable_commit: figures.durable,
            log_start: figures.log_start,
            n_syncs: figures.n_syncs,
            read_only: figures.read_only,
            instruction_set: Kernels::detected().isa.to_string(),
            engine_memory_bytes: figures.engine_memory_bytes,
            write_buffer_bytes: figures.write_buffer_bytes,
            cache_bytes: figures.cache_bytes,
            memory_bytes: self.engine.budget.used(),
            memory_limit: store.options().memory_limit,
            collections: collections.values().map(|state| collection_stats(state)).collect::<Result<_>>()?,
        })
    }

    /// Reads everything and compares it: checksums of every file, the commit log, and every
    /// document with its vector, its id, its postings and memory. Writes wait meanwhile.
    ///
    /// # Errors
    /// `Corruption` or `DataLoss`, saying what and where; `Closed`.
    pub fn verify(&self) -> Result<Verification> {
        self.verify_with(&Cancel::default())
    }

    /// As [`verify`](Database::verify), until `cancel` is set. Comparing checksums of files is one
    /// step, which runs to its end. Everything else ends at its next row.
    ///
    /// # Errors
    /// `Cancelled`; otherwise as [`verify`](Database::verify).
    pub fn verify_with(&self, cancel: &Cancel) -> Result<Verification> {
        cancel.check()?;
        // Lock order: a closing thread holds the catalog while it waits for the store.
        let _catalog = self.engine.lock_catalog()?;
        let store = self.engine.store()?;
        let commit = store.hold();
        failpoint::hit("verify.begun");
        store.rocks().verify_checksums().map_err(storage("verifying checksums"))?;
        cancel.check()?;
        let summary = LogSummary::read(store.rocks(), store.default_family(), Commit(0))?;
        let mut n_documents = 0;
        let states: Vec<_> = self.engine.collections.read().values().cloned().collect();
        for state in &states {
            cancel.check()?;
            n_documents += state.opened()?.verify(cancel)?;
        }
        let n_commits = (summary.last.0 + 1).saturating_sub(summary.start.0);
        Ok(Verification { n_collections: states.len(), n_documents, n_commits, commit: *commit })
    }
}

fn collection_stats(state: &CollectionState) -> Result<CollectionStats> {
    let open = state.opened()?;
    let VectorField { full, index, .. } = open.memory.vectors();
    let index = index.stats();
    let (footprint, census) = (open.footprint(), open.memory.still().census());
    let (n_snapshots, oldest_snapshot) = state.snapshots.held();
    let [delta_bytes_written, rows_bytes_written, image_bytes_written] = open.persist.written();
    Ok(CollectionStats {
        name: state.name(),
        config: open.present_config(),
        n_documents: census.n_documents,
        n_namespaces: census.n_namespaces,
        memory_bytes: footprint.total(),
        residency: full.residency(),
        vectors_bytes: footprint.vectors,
        mapped_bytes: footprint.mapped,
        codes_bytes: footprint.index.codes,
        codes: code_stats(&index),
        links_bytes: footprint.index.links,
        slots_bytes: footprint.rest,
        postings_bytes: footprint.postings,
        n_indexed_fields: open.indexes.fields.indexed().len(),
        is_indexing: open.indexes.all().iter().any(|index| index.is_building()),
        opening: open.opening,
        n_vectors_loaded: full.n_loaded(open.memory.slots.n_slots()),
        n_to_repair: index.n_to_repair,
        n_deltas: open.persist.n_deltas(),
        delta_bytes_written,
        rows_bytes_written,
        image_bytes_written,
        image_commit: open.persist.imaged(),
        tail_length: index.n_waiting,
        n_unlinked: index.n_loose,
        tail_bound: index.bound,
        n_links_added: index.n_links_added,
        n_rows_replaced: index.n_rows_replaced,
        n_snapshots,
        oldest_snapshot,
        disk_bytes: open.disk_bytes(),
        jobs: open.job_stats(),
    })
}

fn code_stats(index: &IndexStats) -> Option<CodeStats> {
    let codebook = index.codebook.as_ref()?;
    let (Codebook { book, .. }, gauge) = (codebook, codebook.worst());
    Some(CodeStats {
        kind: book.kind,
        generation: book.generation,
        code_recall: gauge.map(|gauge| gauge.code_recall),
        sampled_recall: gauge.map(|gauge| gauge.recall),
        n_measured: gauge.map_or(0, |gauge| gauge.n_documents),
        n_replaced: index.n_replaced,
    })
}
