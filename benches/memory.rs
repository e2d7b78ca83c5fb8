//! Whether memory is given back: resident memory while documents come and go, and the account of
//! `stats`.
//!
//! `cargo bench --bench memory -- [PART…]`, the first three parts by default, each in a process of
//! its own:
//!
//! - `rounds`: the data set is loaded, then a tenth of it replaced, again and again;
//! - `opened`: 117,000 documents are opened and searched, with exact vectors in memory and mapped;
//! - `window`: documents pass through a window of 5,000;
//! - `texts`: texts of 4 MiB are inserted, and the same rows written to a bare RocksDB.
//!
//! Environment variables change sizes: `ROWS` documents (57,829; 117,000; 1,500,000; 20), `ROUNDS`
//! (20). `FOLDER` is where the database to be opened is made once and left.

#[path = "common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rocksdb::{DB, Options as EngineOptions, WriteBatch};
use serde_json::Value as Json;
use vectrove::{Collection, CollectionConfig, Database, Document, Durability, Options, Residency, Stats};

use crate::common::{Row, anonymous_bytes, peak_resident_bytes, queries, resident_bytes, rows};

const NAME: &str = "rows";
const MIB: f64 = (1 << 20) as f64;
/// Documents written together.
const BATCH: usize = 1_000;
/// Each round replaces one document in `SHARE`.
const SHARE: usize = 10;
/// Documents that a window holds.
const WINDOW: usize = 5_000;
const WINDOW_DIMENSION: usize = 128;
/// Bytes of a large text, and the words that it is made of.
const TEXT_BYTES: usize = 4 << 20;
const N_WORDS: usize = 700_000;

fn main() {
    // Cargo passes `--bench` to each benchmark.
    let parts: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => ["rounds", "opened", "window"].into_iter().for_each(run),
        ["rounds"] => rounds(),
        ["opened"] => {
            make_opened();
            ["ram", "mapped"].into_iter().for_each(run);
        }
        ["make"] => load_opened(),
        ["ram"] => opened(Residency::Ram),
        ["mapped"] => opened(Residency::Mapped),
        ["window"] => window(),
        ["texts"] => ["texts-vectrove", "texts-rocksdb"].into_iter().for_each(run),
        ["texts-vectrove"] => texts(),
        ["texts-rocksdb"] => bare_texts(),
        ref parts => parts.iter().copied().for_each(run),
    }
}

/// Runs a part in a process of its own, so that it begins with fresh memory.
fn run(part: &str) {
    let program = std::env::current_exe().expect("this program");
    let status = Command::new(program).arg(part).status().expect("starts");
    assert!(status.success(), "{part} failed: {status}");
}

fn size(name: &str, default: usize) -> usize {
    let number = |text: String| text.parse().unwrap_or_else(|_| panic!("expected {name} to be a number, got {text}"));
    std::env::var(name).map_or(default, number)
}

/// Resident memory at the beginning.
struct Watch {
    at_start: u64,
    began: Instant,
}

impl Watch {
    fn begin() -> Self {
        Watch { at_start: resident_bytes().unwrap_or(0), began: Instant::now() }
    }

    /// Prints the resident MiB, and the share of their growth that `stats` accounts for. Returns
    /// the resident MiB.
    fn print(&self, what: &str, db: &Database) -> f64 {
        let stats = db.stats().expect("is open");
        let resident = resident_bytes().unwrap_or(0);
        let (accounted, more) = (accounted(&stats) as f64, resident.saturating_sub(self.at_start) as f64);
        let mib = |bytes: u64| bytes as f64 / MIB;
        println!(
            "  {what:<28} {:>7.1} MiB resident, {:>7.1} anonymous, {:>7.1} at most; stats {:>7.1} MiB, {:.0} % of {:.1} \
             MiB more; engine {:.1} MiB; {:.1} s",
            mib(resident),
            mib(anonymous_bytes().unwrap_or(0)),
            mib(peak_resident_bytes().unwrap_or(0)),
            accounted / MIB,
            accounted / more.max(1.0) * 100.0,
            more / MIB,
            mib(stats.engine_memory_bytes),
            self.began.elapsed().as_secs_f64(),
        );
        mib(resident)
    }
}

/// Bytes of memory that `stats` accounts for.
fn accounted(stats: &Stats) -> u64 {
    let collections = stats.collections.iter().map(|collection| collection.memory_bytes + collection.mapped_bytes);
    stats.engine_memory_bytes + collections.sum::<usize>() as u64
}

fn options() -> Options {
    Options::new().durability(Durability::Wal)
}

fn document(row: &Row, vector: Vec<f32>) -> Document {
    Document::new(vector).id(row.id.clone()).text(row.text.clone()).metadata(Json::Object(row.metadata.clone()))
}

/// A vector near another.
fn near(vector: &[f32], rng: &mut StdRng) -> Vec<f32> {
    vector.iter().map(|component| component + rng.random_range(-0.01..0.01)).collect()
}

fn settle(collection: &Collection) {
    collection.wait_indexed().expect("is linked");
    // Background work has run by now.
    std::thread::sleep(std::time::Duration::from_secs(3));
}

fn rounds() {
    let (name, rows) = rows(size("ROWS", 57_829));
    let n_rounds = size("ROUNDS", 20);
    println!("rounds: {} documents of {name}; a tenth replaced {n_rounds} times", rows.len());
    let (folder, mut rng) = (tempfile::tempdir().expect("a folder"), StdRng::seed_from_u64(7));
    let db = Database::open_with(folder.path().join("db"), options()).expect("opens");
    let collection = db.create_collection(NAME, CollectionConfig::new(rows[0].vector.len())).expect("is created");
    // Memory freed after reading the rows must not count as resident.
    db.vacuum().run().expect("is vacuumed");
    let watch = Watch::begin();
    for batch in rows.chunks(BATCH) {
        collection.insert_many(batch.iter().map(|row| document(row, row.vector.clone()))).expect("is inserted");
    }
    settle(&collection);
    let loaded = watch.print("loaded", &db);
    // Memory that running work keeps for later depends on the moment, so it is given back first.
    db.vacuum().run().expect("is vacuumed");
    let first = watch.print("vacuumed", &db);
    for round in 1..=n_rounds {
        let replaced: Vec<&Row> = rows.iter().skip(round % SHARE).step_by(SHARE).collect();
        for batch in replaced.chunks(BATCH) {
            let documents = batch.iter().map(|row| document(row, near(&row.vector, &mut rng)));
            collection.upsert_many(documents).expect("is replaced");
        }
        if round % 5 == 0 {
            settle(&collection);
            watch.print(&format!("after {round} rounds"), &db);
        }
    }
    // Freed memory goes back to the system once a minute at most.
    std::thread::sleep(std::time::Duration::from_secs(65));
    let rested = watch.print("a minute later", &db);
    db.vacuum().run().expect("is vacuumed");
    let (last, rows_mib) = (watch.print("vacuumed", &db), watch.at_start as f64 / MIB);
    println!(
        "  a minute later {:.2} times what it was after the load; vacuumed {:.2} times, {:.2} times without the \
         {rows_mib:.0} MiB of this program",
        rested / loaded,
        last / first,
        (last - rows_mib) / (first - rows_mib)
    );
}

fn window() {
    let n_documents = size("ROWS", 1_500_000);
    println!("window: {n_documents} documents of {WINDOW_DIMENSION} components through a window of {WINDOW}");
    let folder = tempfile::tempdir().expect("a folder");
    let watch = Watch::begin();
    let db = Database::open_with(folder.path().join("db"), options()).expect("opens");
    let collection = db.create_collection(NAME, CollectionConfig::new(WINDOW_DIMENSION)).expect("is created");
    let mut rng = StdRng::seed_from_u64(7);
    for first in (0..n_documents).step_by(BATCH) {
        let vector =
            |rng: &mut StdRng| (0..WINDOW_DIMENSION).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f32>>();
        let ids = first as u64..(first + BATCH) as u64;
        collection.insert_many(ids.clone().map(|id| Document::new(vector(&mut rng)).id(id))).expect("is inserted");
        if let Some(from) = ids.start.checked_sub(WINDOW as u64) {
            collection.delete_many(from..from + BATCH as u64).expect("is deleted");
        }
        if (first / BATCH).is_multiple_of((n_documents / BATCH / 5).max(1)) {
            watch.print(&format!("after {first}"), &db);
        }
    }
    settle(&collection);
    watch.print("at the end", &db);
    report_files(folder.path());
    db.vacuum().run().expect("is vacuumed");
    watch.print("vacuumed", &db);
    report_files(folder.path());
}

fn report_files(folder: &Path) {
    println!("  {:.1} MiB of files", folder_bytes(folder) as f64 / MIB);
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries
        .map(|path| if path.is_dir() { folder_bytes(&path) } else { path.metadata().map_or(0, |file| file.len()) })
        .sum()
}

fn opened_folder() -> PathBuf {
    std::env::var_os("FOLDER").map_or_else(|| std::env::temp_dir().join("vectrove-memory"), PathBuf::from)
}

/// Creates the database to be opened, unless it exists.
fn make_opened() {
    if !opened_folder().exists() {
        run("make");
    }
}

fn load_opened() {
    let (_, rows) = rows(size("ROWS", 117_000));
    let mut rng = StdRng::seed_from_u64(7);
    let db = Database::open_with(opened_folder(), options()).expect("opens");
    let collection = db.create_collection(NAME, CollectionConfig::new(rows[0].vector.len())).expect("is created");
    for batch in rows.chunks(BATCH) {
        let documents = batch.iter().map(|row| document(row, near(&row.vector, &mut rng)));
        collection.insert_many(documents).expect("is inserted");
    }
    collection.wait_indexed().expect("is linked");
    db.close().expect("closes");
}

fn opened(residency: Residency) {
    let queries = queries();
    let watch = Watch::begin();
    let db = Database::open_with(opened_folder(), options().residency(residency)).expect("opens");
    let collection = db.collection(NAME).expect("is there");
    println!("opened: {} documents, exact vectors {residency:?}", collection.count(None).expect("is counted"));
    watch.print("opened", &db);
    collection.wait_resident().expect("is brought");
    watch.print("vectors are there", &db);
    for query in queries.iter().take(1_000) {
        assert_eq!(collection.search(query).limit(10).run().expect("is searched").len(), 10);
    }
    watch.print("after 1,000 searches", &db);
}

/// The text of a document: words, some of which occur in no other text.
fn text(rng: &mut StdRng) -> String {
    let mut text = String::with_capacity(TEXT_BYTES);
    while text.len() < TEXT_BYTES - 8 {
        text += &format!("{:05} ", rng.random_range(0..N_WORDS));
    }
    text
}

fn texts() {
    let n_documents = size("ROWS", 20);
    println!("texts: {n_documents} texts of 4 MiB, {N_WORDS} words");
    let (folder, mut rng) = (tempfile::tempdir().expect("a folder"), StdRng::seed_from_u64(7));
    let watch = Watch::begin();
    let db = Database::open_with(folder.path().join("db"), options()).expect("opens");
    let collection = db.create_collection(NAME, CollectionConfig::new(8)).expect("is created");
    let mut seconds = 0.0;
    for n in 0..n_documents {
        let document = Document::new([1.0; 8]).id(n as u64).text(text(&mut rng));
        let begin = Instant::now();
        collection.insert(document).expect("is inserted");
        seconds += begin.elapsed().as_secs_f64();
    }
    watch.print("inserted", &db);
    println!("  {seconds:.1} s for the inserts");
    settle(&collection);
    watch.print("settled", &db);
    report_files(folder.path());
}

/// Writes about the same rows: a text, and for each of its words a key and a few bytes.
fn bare_texts() {
    let n_documents = size("ROWS", 20);
    println!("texts: the same in a bare RocksDB");
    let (folder, mut rng) = (tempfile::tempdir().expect("a folder"), StdRng::seed_from_u64(7));
    let mut options = EngineOptions::default();
    options.create_if_missing(true);
    let db = DB::open(&options, folder.path().join("db")).expect("opens");
    let mut seconds = 0.0;
    for n in 0..n_documents {
        let text = text(&mut rng);
        let mut words: Vec<&str> = text.split(' ').collect();
        let begin = Instant::now();
        words.sort_unstable();
        words.dedup();
        let mut batch = WriteBatch::default();
        batch.put(format!("d{n}"), &text);
        words.iter().for_each(|word| batch.put(format!("w{word}\0\0\0\0{n:04}"), [0; 10]));
        db.write(batch).expect("writes");
        seconds += begin.elapsed().as_secs_f64();
    }
    println!(
        "  {seconds:.1} s for the inserts; {:.1} MiB resident, {:.1} at most",
        resident_bytes().unwrap_or(0) as f64 / MIB,
        peak_resident_bytes().unwrap_or(0) as f64 / MIB
    );
    report_files(folder.path());
}
