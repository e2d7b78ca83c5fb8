//! Whether resident memory grows over many openings, or while documents come and go.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use vectrove::{Collection, Database, Durability, Options};

use crate::Place;
use crate::common::{Row, anonymous_bytes, queries, resident_bytes};
use crate::data::{Exam, N_QUERIES, NAME, Source, document, walk};
use crate::import::Import;
use crate::report::{Report, figure, late_slope};
use crate::task::Task;

const PART: &str = "memory";
/// Documents of the database that is opened again and again.
const FEW: usize = 2_000;
/// Documents that come and go in one commit.
const BATCH: usize = 50;
/// Memory for caches and write buffers while documents come and go: little enough to be used up
/// soon.
const ENGINE: usize = 64 << 20;
const KIB: f64 = 1024.0;

/// Opens a database, searches, and closes it, many times.
#[derive(Serialize, Deserialize)]
pub(crate) struct Cycle {
    folder: PathBuf,
    n_cycles: usize,
}

impl Cycle {
    pub(crate) fn run(self) -> Json {
        let query = queries().remove(0);
        let (mut resident, mut anonymous, begin) = (Vec::new(), Vec::new(), Instant::now());
        for _ in 0..self.n_cycles {
            let db = Database::open(&self.folder).expect("opens");
            let collection = db.collection(NAME).expect("is there");
            assert_eq!(walk(&collection, &query).len(), crate::data::K);
            drop(collection);
            db.close().expect("closes");
            resident.push(resident_bytes().unwrap_or(0) as f64 / KIB);
            anonymous.push(anonymous_bytes().unwrap_or(0) as f64 / KIB);
        }
        let ms = begin.elapsed().as_secs_f64() * 1e3 / self.n_cycles as f64;
        json!({ "resident": resident, "anonymous": anonymous, "ms": ms })
    }
}

/// Inserts and deletes documents at the same rate, as fast as possible, and searches meanwhile.
#[derive(Serialize, Deserialize)]
pub(crate) struct Soak {
    folder: PathBuf,
    source: Source,
    /// Documents present at any time.
    n_documents: usize,
    seconds: usize,
}

impl Soak {
    pub(crate) fn run(self) -> Json {
        let data = self.source.load();
        let options = Options::new().durability(Durability::Wal).memory_bytes(ENGINE);
        let db = Database::open_with(&self.folder, options).expect("opens");
        let collection = db.create_collection(NAME, self.source.config()).expect("is created");
        for batch in data.rows[..self.n_documents].chunks(1_000) {
            collection.insert_many(batch.iter().map(document)).expect("is inserted");
        }
        collection.wait_indexed().expect("is linked");
        let (stop, n_searches) = (AtomicBool::new(false), AtomicUsize::new(0));
        let is_stopped = || stop.load(Ordering::Relaxed);
        let mut samples = Vec::new();
        let first = thread::scope(|scope| {
            let writer = scope.spawn(|| replace(&collection, &data.rows, self.n_documents, &is_stopped));
            scope.spawn(|| {
                for query in data.queries.iter().cycle().take_while(|_| !is_stopped()) {
                    _ = walk(&collection, query);
                    n_searches.fetch_add(1, Ordering::Relaxed);
                }
            });
            for _ in 0..self.seconds {
                thread::sleep(Duration::from_secs(1));
                samples.push(sample(&db));
            }
            stop.store(true, Ordering::Relaxed);
            writer.join().expect("the writer ends")
        });
        let live: Vec<Row> =
            (first..first + self.n_documents).map(|at| data.rows[at % data.rows.len()].clone()).collect();
        let exam = Exam::new(&live, &data.queries[..N_QUERIES.min(data.queries.len())], self.source.metric());
        collection.wait_indexed().expect("is linked");
        let recall = exam.recall(&collection);
        drop(collection);
        db.close().expect("closes");
        json!({
            "samples": samples, "recall": recall, "n_replaced": first, "n_searches": n_searches.into_inner(),
        })
    }
}

/// Replaces the oldest rows by new ones until stopped. Returns the oldest row left.
fn replace(collection: &Collection, rows: &[Row], n_documents: usize, is_stopped: &dyn Fn() -> bool) -> usize {
    let mut first = 0;
    while !is_stopped() {
        let at = |from: usize| (from..from + BATCH).map(|at| &rows[at % rows.len()]);
        collection.insert_many(at(first + n_documents).map(document)).expect("is inserted");
        collection.delete_many(at(first).map(|row| row.id.as_str())).expect("is deleted");
        first += BATCH;
    }
    first
}

/// Memory in use, in KiB.
fn sample(db: &Database) -> Json {
    let stats = db.stats().expect("is open");
    let of = |bytes: u64| bytes as f64 / KIB;
    let collection = &stats.collections[0];
    json!({
        "resident": of(resident_bytes().unwrap_or(0)),
        "anonymous": of(anonymous_bytes().unwrap_or(0)),
        "engine": of(stats.engine_memory_bytes),
        "collection": of(collection.memory_bytes as u64),
        "documents": collection.n_documents,
        "waiting": collection.tail_length,
    })
}

pub(crate) fn measure(report: Report, place: &Place) {
    measure_cycles(report, place);
    measure_soak(report, place);
}

fn measure_cycles(report: Report, place: &Place) {
    let n_cycles = crate::size("CYCLES", 200);
    report
        .title(&format!("memory: {n_cycles} times open, search and close, {FEW} documents; slopes of the second half"));
    let folder = place.clear("cycles");
    Task::Import(Import::new(folder.clone(), Source::Packages(FEW))).run();
    let answer = Task::Cycle(Cycle { folder, n_cycles }).run();
    place.clear("cycles");
    report.line(PART, "a cycle", &[("ms", answer["ms"].clone())]);
    for what in ["resident", "anonymous"] {
        let samples: Vec<f64> = answer[what].as_array().into_iter().flatten().filter_map(Json::as_f64).collect();
        report_growth(report, what, &samples, ("KiB per 100 cycles", 100.0));
    }
}

fn measure_soak(report: Report, place: &Place) {
    let seconds = crate::size("SOAK_SECONDS", 60);
    let n_documents = crate::size("SOAK_ROWS", 20_000);
    // Twice the number of documents, and a batch: each inserted row was deleted long before.
    let source = Source::Packages(2 * n_documents + BATCH);
    report.title(&format!(
        "memory: {n_documents} documents, {BATCH} at a time replaced as fast as it goes, and searches, for {seconds} s; \
         {} MiB for the storage engine; slopes of the second half",
        ENGINE >> 20
    ));
    let folder = place.clear("soak");
    let answer = Task::Soak(Soak { folder, source, n_documents, seconds }).run();
    place.clear("soak");
    let samples = answer["samples"].as_array().cloned().unwrap_or_default();
    let (n_replaced, n_searches) = (figure(&answer, "n_replaced"), figure(&answer, "n_searches"));
    let figures = [
        ("replaced a second", json!(n_replaced / seconds as f64)),
        ("times over", json!(n_replaced / n_documents as f64)),
        ("searches a second", json!(n_searches / seconds as f64)),
        ("recall@10 at the end", answer["recall"].clone()),
        ("waiting at the end", samples.last().map_or(Json::Null, |sample| sample["waiting"].clone())),
    ];
    report.line(PART, "at work", &figures);
    for what in ["resident", "anonymous", "engine", "collection"] {
        let samples: Vec<f64> = samples.iter().map(|sample| figure(sample, what)).collect();
        report_growth(report, what, &samples, ("KiB a minute", 60.0));
    }
}

/// Prints the growth of figures: at the beginning, in the middle, at the end, and the slope.
fn report_growth(report: Report, what: &str, samples: &[f64], (unit, n_samples): (&str, f64)) {
    let at = |index: usize| json!(samples.get(index).map(|kib| kib / KIB));
    let figures = [
        ("first MiB", at(0)),
        ("middle MiB", at(samples.len() / 2)),
        ("last MiB", at(samples.len().saturating_sub(1))),
        (unit, json!(late_slope(samples) * n_samples)),
    ];
    report.line(PART, what, &figures);
}
