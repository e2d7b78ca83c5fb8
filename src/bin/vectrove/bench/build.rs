//! Loading the rows: the time until all are on disk and linked, and their memory.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use vectrove::{Collection, Database, Document, Error, Result};

use super::data::Rows;
use super::sweep::round;
use super::{go_on, progress, tail_length};
use crate::args;
use crate::failure::Failure;

/// Rows of a commit.
const BATCH: usize = 1_000;

/// Time between two looks at the length of the tail: short enough to add nothing to the measured
/// time.
const GLANCE: Duration = Duration::from_millis(10);

/// The figures of building.
#[derive(Debug, Serialize)]
pub(super) struct Built {
    pub(super) build_s: f64,
    pub(super) n: usize,
    pub(super) dim: usize,
    pub(super) memory: Memory,
}

/// Bytes of memory, by part.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    pub(super) codes: usize,
    pub(super) links: usize,
    pub(super) vectors: usize,
    /// Ids, versions and all else that a collection keeps.
    pub(super) rest: usize,
    /// The storage engine's caches and write buffers.
    pub(super) engine: u64,
    /// Growth of the process; `None` where the system does not report it.
    pub(super) resident: Option<u64>,
}

/// Loads the rows. Their own memory, and the time to read them, are not counted.
pub(super) fn build(args: &args::Bench, db: &Database, collection: &Collection) -> Result<Built, Failure> {
    let before = resident_bytes();
    let rows = Rows::read(&args.base, args.limit)?;
    let begin = Instant::now();
    load(collection, &rows)?;
    wait_until_linked(db, collection)?;
    db.flush()?;
    let build_s = round(begin.elapsed().as_secs_f64(), 3);
    drop(rows);
    let resident = before.zip(resident_bytes()).map(|(before, after)| after.saturating_sub(before));
    Ok(Built { build_s, ..figures(db, resident)? })
}

fn load(collection: &Collection, rows: &Rows) -> Result<(), Failure> {
    let bar = progress(rows.len(), "rows inserted");
    for first in (0..rows.len()).step_by(BATCH) {
        go_on()?;
        let batch = first..rows.len().min(first + BATCH);
        let documents = batch.clone().map(|row| Document::new(rows.row(row)).id(row as u64));
        collection.insert_many(documents).map_err(|error| in_row(first, error))?;
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Waits until all documents are linked, or a signal asks for an end.
pub(super) fn wait_until_linked(db: &Database, collection: &Collection) -> Result<(), Failure> {
    let n_waiting = tail_length(db)?;
    let bar = progress(n_waiting, "rows linked");
    loop {
        match tail_length(db)? {
            0 => break,
            length => bar.set_position(n_waiting.saturating_sub(length) as u64),
        }
        go_on()?;
        thread::sleep(GLANCE);
    }
    bar.finish_and_clear();
    Ok(collection.wait_indexed()?)
}

fn figures(db: &Database, resident: Option<u64>) -> Result<Built, Failure> {
    let stats = db.stats()?;
    let [collection] = &stats.collections[..] else { return Err(Failure::failed("expected one collection")) };
    let (codes, links, vectors) = (collection.codes_bytes, collection.links_bytes, collection.vectors_bytes);
    let rest = collection.memory_bytes.saturating_sub(codes + links + vectors);
    let memory = Memory { codes, links, vectors, rest, engine: stats.engine_memory_bytes, resident };
    Ok(Built { build_s: 0.0, n: collection.n_documents, dim: collection.config.dimension, memory })
}

/// The failure of a row in a batch whose first row is number `first`.
fn in_row(first: usize, error: Error) -> Failure {
    match error {
        Error::InBatch { index, source, .. } => Failure::from(*source).about(&format!("row {}", first + index + 1)),
        error => error.into(),
    }
}

/// Bytes of the process that are in memory now.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok().map(|kilobytes: u64| kilobytes << 10)
}
