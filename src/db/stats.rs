//! What the database can tell of itself: figures, and whether all is as it should be.

use serde::Serialize;

use super::Database;
use crate::collection::State;
use crate::collection::index::{Index, IndexBytes};
use crate::config::CollectionConfig;
use crate::distance::Kernels;
use crate::error::Result;
use crate::id::Commit;
use crate::store::log::Account;
use crate::store::{Store, storage};

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
    /// Bytes of memory it takes: vectors, codes, links and the rest, free slots included.
    pub memory_bytes: usize,
    /// Bytes of memory for exact vectors.
    pub vectors_bytes: usize,
    /// Bytes of memory for codes.
    pub codes_bytes: usize,
    /// Bytes of memory for links.
    pub links_bytes: usize,
    /// Documents that wait to be linked; every search compares them one by one.
    pub tail_length: usize,
    /// Documents that may wait before writers do.
    pub tail_bound: usize,
    /// Links added to the graph since the database was opened.
    pub n_links_added: usize,
    /// Rows of links that were chosen anew, since the database was opened, because they were full or led to the dead.
    pub n_rows_replaced: usize,
    /// Bytes of its files; what is still in the log or in write buffers is not counted.
    pub disk_bytes: u64,
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
            collections: collections.values().map(|state| collection_stats(&store, state)).collect::<Result<_>>()?,
        })
    }

    /// Reads everything and compares all with all: checksums of every file, the commit log, every document with its
    /// vector, its id and memory. Writes wait meanwhile.
    ///
    /// # Errors
    /// `Corruption` or `DataLoss`, saying what and where; `Closed`.
    pub fn verify(&self) -> Result<Verification> {
        let store = self.engine.store()?;
        let _catalog = self.engine.catalog.lock();
        let commit = store.hold();
        store.rocks().verify_checksums().map_err(storage("verifying checksums"))?;
        let account = Account::read(store.rocks(), store.default_family())?;
        let mut n_documents = 0;
        let states: Vec<_> = self.engine.collections.read().values().cloned().collect();
        for state in &states {
            n_documents += state.live()?.verify()?;
        }
        let n_commits = (account.last.0 + 1).saturating_sub(account.start.0);
        Ok(Verification { n_collections: states.len(), n_documents, n_commits, commit: *commit })
    }
}

fn collection_stats(store: &Store, state: &State) -> Result<CollectionStats> {
    let live = state.live()?;
    let (slots, index) = (&live.memory.slots, live.memory.index.as_ref());
    let IndexBytes { codes, links } = index.map_or(IndexBytes::default(), |index| index.n_bytes(slots.n_slots()));
    let (n_links_added, n_rows_replaced) = index.map_or((0, 0), Index::n_changes);
    let vectors_bytes = slots.n_bytes_of_vectors();
    Ok(CollectionStats {
        name: state.name(),
        config: state.config.clone(),
        n_documents: slots.n_documents(),
        n_namespaces: slots.n_inhabited(),
        memory_bytes: vectors_bytes + codes + links + live.memory.n_bytes_of_rest(),
        vectors_bytes,
        codes_bytes: codes,
        links_bytes: links,
        tail_length: index.map_or(0, |index| index.tail().len()),
        tail_bound: index.map_or(0, Index::bound),
        n_links_added,
        n_rows_replaced,
        disk_bytes: live.families.all().iter().map(|family| store.rocks().family_bytes(family)).sum(),
    })
}
