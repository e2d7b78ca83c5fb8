//! Tools of several tests: folders, seeds, labels of errors, the data set, generators, and the
//! twin.
#![allow(dead_code, reason = "each test binary uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod condition;
pub(crate) mod dataset;
pub(crate) mod generate;
pub(crate) mod oracle;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use vectrove::{Database, Durability, Error, Options, StoredDocument};

/// A folder that is removed with the test, in memory where the system has such a place.
pub(crate) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { disk_folder() }
}

/// A folder that is removed with the test, on a disk.
pub(crate) fn disk_folder() -> TempDir {
    TempDir::new().unwrap()
}

/// Options for tests that do not depend on durability.
pub(crate) fn quick() -> Options {
    Options::new().durability(Durability::Wal).memory_bytes(16 << 20)
}

/// A database in a folder of its own. Keep the folder as long as the database.
pub(crate) fn database() -> (TempDir, Database) {
    let folder = folder();
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    (folder, db)
}

/// A number from the environment, or the default.
pub(crate) fn number_from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// The seed of this run: `SEED`, or a fixed one. Printed, so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let seed = number_from_env("SEED", 20_261_122);
    eprintln!("SEED={seed}");
    seed
}

/// The generator for a seed.
pub(crate) fn random(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// The label of an error: its variant, after its position if it is in a batch, such as `2
/// DocumentExists`.
pub(crate) fn label(error: &Error) -> String {
    match error {
        Error::InBatch { index, source, .. } | Error::InQuery { index, source, .. } => {
            format!("{index} {}", label(source))
        }
        error => format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect(),
    }
}

/// Asserts that a call was refused with the error of this label.
#[track_caller]
pub(crate) fn check_error<T: std::fmt::Debug>(outcome: Result<T, Error>, expected: &str) -> Error {
    match outcome {
        Err(error) if label(&error) == expected => error,
        other => panic!("expected {expected}, got {other:?}"),
    }
}

/// The content of a database, in order: collection, namespace, document.
pub(crate) fn content(db: &Database) -> Vec<(String, String, StoredDocument)> {
    let mut all = Vec::new();
    for name in db.collections().unwrap() {
        let collection = db.collection(&name).unwrap();
        for namespace in std::iter::once(String::new()).chain(collection.namespaces("").unwrap()) {
            let handle = match namespace.as_str() {
                "" => (*collection).clone(),
                named => collection.namespace(named).unwrap(),
            };
            let page = handle.scroll().limit(usize::MAX).with_vector(true).run().unwrap();
            all.extend(page.documents.into_iter().map(|document| (name.clone(), namespace.clone(), document)));
        }
    }
    all
}

/// The bits of a vector, so that zeros of either sign are told apart.
pub(crate) fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|component| component.to_bits()).collect()
}

/// Copies a folder with everything in it. Of an open database the copy is what a kill would leave, the files of one
/// moment: it is made again if files of the engine came or went meanwhile, as they do while it merges some. Only logs
/// may grow.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    for _ in 0..200 {
        let before = engine_files(from);
        copy_once(from, to);
        if engine_files(from) == before {
            return;
        }
        std::fs::remove_dir_all(to).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("files come and go all the time: {:?}", engine_files(from));
}

fn copy_once(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let target = to.join(entry.file_name().unwrap());
        match entry.is_dir() {
            true => copy_once(&entry, &target),
            // A file that RocksDB has deleted meanwhile belongs to no later state.
            false => _ = std::fs::copy(&entry, target),
        }
    }
}

/// The names and sizes of a database's engine files, or of those of a folder, without logs.
fn engine_files(path: &Path) -> BTreeMap<PathBuf, u64> {
    let data = path.join("data");
    let entries = std::fs::read_dir(if data.is_dir() { &data } else { path }).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_none_or(|extension| extension != "log"));
    files.filter_map(|file| Some((file.clone(), file.metadata().ok()?.len()))).collect()
}
