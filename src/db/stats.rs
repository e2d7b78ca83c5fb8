//! What the database can tell of itself: figures, and whether all is as it should be.

use serde::Serialize;

use super::Database;
use crate::cancel::Cancel;
use crate::collection::index::Index;
use crate::collection::index::codebook::Codebook;
use crate::collection::{Collection, State};
use crate::config::{CollectionConfig, Residency};
use crate::distance::Kernels;
use crate::document::Opening;
use crate::error::Result;
use crate::failpoint;
use crate::id::Commit;
use crate::quant::CodeKind;
use crate::store::log::Account;
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
    /// How often this opening has waited for the disk: syncs of the log and of the superblock.
    pub n_syncs: u64,
    /// Why writes are refused; `None` while they are not.
    pub read_only: Option<String>,
    /// The instruction set that vectors are compared with: `avx512`, `avx2`, `neon` or `portable`.
    pub instruction_set: String,
    /// Bytes of memory the storage engine uses, its write buffers included.
    pub engine_memory_bytes: u64,
    /// Bytes of memory in the storage engine's write buffers.
    pub write_buffer_bytes: u64,
    /// Bytes of memory in the storage engine's cache of blocks of files. It may grow with the files up to
    /// [`Options::memory_bytes`](crate::Options), and blocks of files that were deleted leave it.
    pub cache_bytes: u64,
    /// Bytes of memory that count against [`Options::memory_limit`](crate::Options): what all collections take, and
    /// what the storage engine may take.
    pub memory_bytes: usize,
    /// The limit; none without one.
    pub memory_limit: Option<usize>,
    /// Each collection, by name.
    pub collections: Vec<CollectionStats>,
}

/// Figures of a collection.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CollectionStats {
    /// Its name.
    pub name: String,
    /// What it is, for ever.
    pub config: CollectionConfig,
    /// Documents in all its namespaces.
    pub n_documents: usize,
    /// Namespaces that hold documents.
    pub n_namespaces: usize,
    /// Bytes of memory it takes: vectors, codes, links and slots, free ones included; not what is mapped.
    pub memory_bytes: usize,
    /// Where exact vectors are: memory they have left to stay within [`Options::memory_limit`](crate::Options) counts
    /// as disk.
    pub residency: Residency,
    /// Bytes of memory for exact vectors.
    pub vectors_bytes: usize,
    /// Bytes of exact vectors in a mapped file.
    pub mapped_bytes: usize,
    /// Bytes of memory for codes.
    pub codes_bytes: usize,
    /// What codes there are, and how far they can be trusted; `None` where the graph is walked by exact vectors.
    pub codes: Option<CodeStats>,
    /// Bytes of memory for links.
    pub links_bytes: usize,
    /// Bytes of memory for slots: whose they are, ids and namespaces.
    pub slots_bytes: usize,
    /// Bytes of memory for postings that are held because they were asked for.
    pub postings_bytes: usize,
    /// Paths of metadata that are indexed.
    pub n_indexed_fields: usize,
    /// Whether documents that were there before are still being indexed.
    pub is_indexing: bool,
    /// How it was read when the database was opened.
    pub opening: Opening,
    /// Slots whose exact vectors have been brought to where they are held since.
    pub n_vectors_loaded: usize,
    /// Documents whose links are still incomplete.
    pub n_to_repair: usize,
    /// Batches of linked documents whose links were written since the database was opened.
    pub n_deltas: u64,
    /// Bytes written of these.
    pub delta_bytes_written: u64,
    /// Bytes written of rows of links, at checkpoints of the graph.
    pub rows_bytes_written: u64,
    /// Bytes written of images.
    pub image_bytes_written: u64,
    /// The commit up to which the newest image holds the collection; none without one.
    pub image_commit: Option<Commit>,
    /// Documents that wait to be linked; every search compares them one by one
    /// ([`Route::n_tail`](crate::Route::n_tail)).
    pub tail_length: usize,
    /// Documents of small namespaces, which have no links: searches there compare all codes of the namespace.
    pub n_unlinked: usize,
    /// Documents that may wait before writers do ([`Options::tail_bound`](crate::Options::tail_bound)).
    pub tail_bound: usize,
    /// Links added to the graph since the database was opened.
    pub n_links_added: usize,
    /// Rows of links that were chosen anew, since the database was opened, because they were full or led to the dead.
    pub n_rows_replaced: usize,
    /// Snapshots of its namespaces that are held. What was deleted or replaced since stays in memory and on the disk.
    pub n_snapshots: usize,
    /// The earliest commit that one of them sees; none without one.
    pub oldest_snapshot: Option<Commit>,
    /// Bytes of its files; what is still in the log or in write buffers is not counted.
    pub disk_bytes: u64,
}

/// What a collection's graph is walked by, and how far that can be trusted: in the namespace where it can be the least.
/// [`Namespace::namespace_stats`](crate::Namespace::namespace_stats) tells of each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CodeStats {
    /// The kind of codes in use, as wide as any namespace needs.
    pub kind: CodeKind,
    /// Counts what codes were made by, through all openings.
    pub generation: u32,
    /// Of the ten nearest of some documents, the share that codes leave among what a default search compares exactly, 0
    /// to 1; `None` until it is measured: with 100 documents of a namespace, again whenever it has twice as many, and
    /// each time once more with queries that were asked since, some hundred searches later.
    pub code_recall: Option<f32>,
    /// Of the same, the share that such a search finds; of the queries that were asked, if it finds fewer of theirs.
    pub sampled_recall: Option<f32>,
    /// Documents of the namespace when that was measured; 0 if it was not yet.
    pub n_measured: usize,
    /// How often codes were replaced since the database was opened.
    pub n_replaced: usize,
}

/// What a verification went through without finding fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Verification {
    /// Collections compared.
    pub n_collections: usize,
    /// Documents compared: rows with vectors, ids and memory.
    pub n_documents: usize,
    /// Commits of the log that were read.
    pub n_commits: u64,
    /// The commit all of it was seen at.
    pub commit: Commit,
}

impl Collection {
    /// Figures of the collection, at this moment; those of one namespace are in
    /// [`namespace_stats`](crate::Namespace::namespace_stats).
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

    /// Reads everything and compares all with all: checksums of every file, the commit log, every document with its
    /// vector, its id, its postings and memory. Writes wait meanwhile.
    ///
    /// # Errors
    /// `Corruption` or `DataLoss`, saying what and where; `Closed`.
    pub fn verify(&self) -> Result<Verification> {
        self.verify_with(&Cancel::default())
    }

    /// The same, until it is cancelled. The checksums of files are compared in one step, before which and after which
    /// the flag is looked at; everything else ends at its next row.
    ///
    /// # Errors
    /// `Cancelled`; otherwise as [`verify`](Database::verify).
    pub fn verify_with(&self, cancel: &Cancel) -> Result<Verification> {
        cancel.check()?;
        // In this order: who closes holds the catalog while waiting for the store.
        let _catalog = self.engine.lock_catalog()?;
        let store = self.engine.store()?;
        let commit = store.hold();
        failpoint::hit("verify.begun");
        store.rocks().verify_checksums().map_err(storage("verifying checksums"))?;
        cancel.check()?;
        let account = Account::read(store.rocks(), store.default_family(), Commit(0))?;
        let mut n_documents = 0;
        let states: Vec<_> = self.engine.collections.read().values().cloned().collect();
        for state in &states {
            cancel.check()?;
            n_documents += state.live()?.verify(cancel)?;
        }
        let n_commits = (account.last.0 + 1).saturating_sub(account.start.0);
        Ok(Verification { n_collections: states.len(), n_documents, n_commits, commit: *commit })
    }
}

fn collection_stats(state: &State) -> Result<CollectionStats> {
    let live = state.live()?;
    let (slots, index) = (&live.memory.slots, live.memory.index.as_ref());
    let (footprint, census) = (live.footprint(), live.memory.still().census());
    let (n_links_added, n_rows_replaced) = index.map_or((0, 0), Index::n_changes);
    let (n_snapshots, oldest_snapshot) = state.snapshots.held();
    let [delta_bytes_written, rows_bytes_written, image_bytes_written] = live.persist.written();
    Ok(CollectionStats {
        name: state.name(),
        config: live.present_config(),
        n_documents: census.n_documents,
        n_namespaces: census.n_namespaces,
        memory_bytes: footprint.total(),
        residency: slots.exact.residency(),
        vectors_bytes: footprint.vectors,
        mapped_bytes: footprint.mapped,
        codes_bytes: footprint.index.codes,
        codes: index.and_then(code_stats),
        links_bytes: footprint.index.links,
        slots_bytes: footprint.rest,
        postings_bytes: footprint.postings,
        n_indexed_fields: live.fields.indexed().len(),
        is_indexing: live.fields.is_building() || live.words.is_building(),
        opening: live.opening,
        n_vectors_loaded: slots.exact.n_loaded(slots.n_slots()),
        n_to_repair: index.map_or(0, Index::n_short),
        n_deltas: live.persist.n_deltas(),
        delta_bytes_written,
        rows_bytes_written,
        image_bytes_written,
        image_commit: live.imaged(),
        tail_length: index.map_or(0, |index| index.tail().len()),
        n_unlinked: index.map_or(0, Index::n_loose),
        tail_bound: index.map_or(0, Index::bound),
        n_links_added,
        n_rows_replaced,
        n_snapshots,
        oldest_snapshot,
        disk_bytes: live.disk_bytes(),
    })
}

fn code_stats(index: &Index) -> Option<CodeStats> {
    let codebook = index.codebook()?;
    let (Codebook { book, .. }, gauge) = (&codebook, codebook.worst());
    Some(CodeStats {
        kind: book.kind,
        generation: book.generation,
        code_recall: gauge.map(|gauge| gauge.code_recall),
        sampled_recall: gauge.map(|gauge| gauge.recall),
        n_measured: gauge.map_or(0, |gauge| gauge.n_documents),
        n_replaced: index.n_replaced(),
    })
}
