//! The cost of keeping the graph on disk, and its benefit at the next open.
//!
//! `cargo bench --bench persistence -- [PART…] [--json]`, all parts by default:
//!
//! - `bytes`: bytes written for each document, and the part of the insert rate that writing the
//!   graph costs;
//! - `open`: time from an open to the answer of the first search, after a close, without an image,
//!   and after a kill;
//! - `residency`: recall and latency with exact vectors in memory, mapped and on disk, and under
//!   limits of memory;
//! - `memory`: whether resident memory grows over many openings, or while documents come and go.
//!
//! Each measurement is a process of its own. Environment variables change sizes, so that a part can
//! be tried quickly: `ROWS` documents (default: the full data set, or 20,000), `SIZES` of databases
//! to open (10000,20000,40000 and all), `SYNTHETIC` rows (500,000; 0 leaves them out), `INSERTS`
//! before a kill (10,000), `ROUNDS` (3), `OPENS` (15), `CYCLES` (200), `SOAK_ROWS` (20,000),
//! `SOAK_SECONDS` (60). `FOLDER` is where databases are created and left.
//!
//! `disk` runs only if it is named. After `residency` with a `FOLDER`, it searches that database
//! again with vectors on disk, all in this process, so that it can be run where memory is limited
//! from outside. `MEMORY_MIB` (64) then bounds caches and write buffers.

mod bytes;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod import;
mod memory;
mod open;
mod report;
mod residency;
mod task;

use std::path::PathBuf;
use std::thread::available_parallelism;

use serde_json::json;
use vectrove::Database;

use crate::data::Source;
use crate::report::Report;
use crate::task::Task;

fn main() {
    // Cargo passes `--bench` to each benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [word, task] = &arguments[..]
        && word == task::WORD
    {
        return Task::read(task).answer();
    }
    let (flags, mut parts): (Vec<String>, Vec<String>) = arguments.into_iter().partition(|word| word.starts_with("--"));
    let report = Report { is_json: flags.iter().any(|flag| flag == "--json") };
    if parts.is_empty() {
        parts = ["bytes", "open", "residency", "memory"].map(str::to_owned).to_vec();
    }
    begin(report);
    let place = Place::new();
    for part in parts {
        match part.as_str() {
            "bytes" => bytes::measure(report, &place),
            "open" => open::measure(report, &place),
            "residency" => residency::measure(report, &place),
            "memory" => memory::measure(report, &place),
            "disk" => residency::measure_disk(report, &place),
            other => panic!("expected bytes, open, residency, memory or disk, got {other}"),
        }
    }
}

/// Prints what is measured, and on which machine.
fn begin(report: Report) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = Database::open(folder.path()).expect("opens");
    let instruction_set = db.stats().expect("is open").instruction_set;
    let n_cores = available_parallelism().map_or(1, usize::from);
    let figures =
        [("data", json!(Source::all().name())), ("instruction set", json!(instruction_set)), ("cores", json!(n_cores))];
    report.line("persistence", "", &figures);
}

/// A size from the environment.
fn size(name: &str, default: usize) -> usize {
    let number = |text: String| text.parse().unwrap_or_else(|_| panic!("expected {name} to be a number, got {text}"));
    std::env::var(name).map_or(default, number)
}

/// Where databases are made.
pub(crate) struct Place {
    path: PathBuf,
    /// Removed when this is dropped; `None` where `FOLDER` is given and left.
    _temporary: Option<tempfile::TempDir>,
}

impl Place {
    fn new() -> Self {
        match std::env::var_os("FOLDER") {
            Some(path) => Place { path: path.into(), _temporary: None },
            None => {
                let temporary = tempfile::tempdir().expect("a temporary folder");
                Place { path: temporary.path().to_owned(), _temporary: Some(temporary) }
            }
        }
    }

    /// A path in the folder, cleared of earlier files.
    fn clear(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        let removed = std::fs::remove_dir_all(&path).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => std::fs::create_dir_all(&self.path),
            _ => Err(error),
        });
        removed.expect("a folder to measure in");
        path
    }
}
