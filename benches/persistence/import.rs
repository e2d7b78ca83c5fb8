//! Inserting rows, in a process that counts its writes, and that closes or is killed.

use std::path::PathBuf;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use vectrove::{Database, Document, Durability, Options};

use crate::common::{machine_seconds, processor_seconds, written_bytes};
use crate::data::{Exam, NAME, Source, document};
use crate::task::{die, settle_disk};

/// Rows of a commit by default.
const BATCH: usize = 1_000;

/// Inserts rows into a database.
#[derive(Serialize, Deserialize)]
pub(crate) struct Import {
    folder: PathBuf,
    source: Source,
    /// The first row to insert; the last is that of the source.
    from: usize,
    batch: usize,
    persist_graph: bool,
    is_synced: bool,
    /// Kills itself after the last insert was acknowledged.
    dies: bool,
    exam: Option<PathBuf>,
}

impl Import {
    /// Inserts into a new database, a thousand rows at a time, each commit synced before the next.
    pub(crate) fn new(folder: PathBuf, source: Source) -> Self {
        Import { folder, source, from: 0, batch: BATCH, persist_graph: true, is_synced: true, dies: false, exam: None }
    }

    /// Begins at a row.
    pub(crate) fn from(self, from: usize) -> Self {
        Import { from, ..self }
    }

    /// Whether the graph is written to disk.
    pub(crate) fn persist_graph(self, persist_graph: bool) -> Self {
        Import { persist_graph, ..self }
    }

    /// One row at a time, each passed to the operating system before the next.
    pub(crate) fn one_by_one(self) -> Self {
        Import { batch: 1, is_synced: false, ..self }
    }

    pub(crate) fn dies(self) -> Self {
        Import { dies: true, ..self }
    }

    pub(crate) fn exam(self, exam: PathBuf) -> Self {
        Import { exam: Some(exam), ..self }
    }

    pub(crate) fn run(self) -> Json {
        let (rows, config) = (self.source.load().rows, self.source.config());
        let documents: Vec<Document> = rows[self.from..].iter().map(document).collect();
        let (n, exam) = (documents.len(), self.exam.as_deref().map(Exam::read));
        drop(rows);
        settle_disk();
        let n_written = written_bytes().unwrap_or(0);
        let durability = if self.is_synced { Durability::Sync } else { Durability::Wal };
        let options = Options::new().durability(durability).persist_graph(self.persist_graph);
        let db = Database::open_with(&self.folder, options).expect("opens");
        let collection = db.get_or_create_collection(NAME, config).expect("is created");
        let (begin, before) = (Instant::now(), processors());
        let mut documents = documents.into_iter();
        while !documents.as_slice().is_empty() {
            collection.insert_many(documents.by_ref().take(self.batch)).expect("is inserted");
        }
        if self.dies {
            die();
        }
        let insert_s = begin.elapsed().as_secs_f64();
        collection.wait_indexed().expect("is linked");
        let linked_s = begin.elapsed().as_secs_f64();
        let after = processors();
        let [own, all, there] = [0, 1, 2].map(|at| after[at] - before[at]);
        db.flush().expect("is flushed");
        settle_disk();
        let n_linked = written_bytes().unwrap_or(0);
        let recall = exam.map(|exam| exam.recall(&collection));
        let stats = db.stats().expect("is open").collections.remove(0);
        let begin = Instant::now();
        db.close().expect("closes");
        let close_s = begin.elapsed().as_secs_f64();
        settle_disk();
        let n_closed = written_bytes().unwrap_or(0);
        json!({
            "insert_rate": n as f64 / insert_s,
            "linked_rate": n as f64 / linked_s,
            "processor_us": own * 1e6 / n as f64,
            "others": (all - own) / there,
            "close_s": close_s,
            "written_linked": n_linked - n_written,
            "written_closed": n_closed - n_written,
            "n_deltas": stats.n_deltas,
            "delta_bytes": stats.delta_bytes_written,
            "rows_bytes": stats.rows_bytes_written,
            "image_bytes": stats.image_bytes_written,
            "recall": recall,
        })
    }
}

/// Processor seconds of this process, of all processes, and in all.
fn processors() -> [f64; 3] {
    let (all, there) = machine_seconds().unwrap_or((f64::NAN, f64::NAN));
    [processor_seconds().unwrap_or(f64::NAN), all, there]
}
