//! Memory and files fit the content: the cache follows the files, and memory of deleted documents
//! is given back.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::{check_error, content, database, folder, quick, random, seed};
use parking_lot::{Mutex, MutexGuard};
use rand::Rng;
use rand::rngs::StdRng;
use vectrove::{Cancel, Collection, CollectionConfig, Database, Document, Options};

const DIMENSION: usize = 64;
const MIB: u64 = 1 << 20;

/// One test at a time: they measure the memory of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock()
}

fn config() -> CollectionConfig {
    CollectionConfig::new(DIMENSION)
}

fn documents(ids: std::ops::Range<u64>, random: &mut StdRng) -> Vec<Document> {
    let document = |id| {
        let vector: Vec<f32> = (0..DIMENSION).map(|_| random.random_range(-1.0..1.0)).collect();
        let text = format!("{} {}", random.random::<u64>(), "text ".repeat(20));
        Document::new(vector).id(id).text(text)
    };
    ids.map(document).collect()
}

/// Replaces documents, a thousand at a time.
fn upsert(collection: &Collection, ids: std::ops::Range<u64>, random: &mut StdRng) {
    let end = ids.end;
    for first in ids.step_by(1_000) {
        collection.upsert_many(documents(first..(first + 1_000).min(end), random)).unwrap();
    }
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}

#[test]
fn a_vacuum_gives_back_the_space_of_what_was_deleted() {
    let _alone = alone();
    let (mut random, (_folder, db)) = (random(seed()), database());
    let collection = db.create_collection("c", config()).unwrap();
    upsert(&collection, 0..20_000, &mut random);
    collection.delete_many(0..18_000u64).unwrap();
    let before = content(&db);
    let vacuumed = collection.vacuum().run().unwrap();
    assert_eq!(vacuumed.n_collections, 1);
    let fresh = {
        let (_folder, db) = database();
        let collection = db.create_collection("c", config()).unwrap();
        upsert(&collection, 0..2_000, &mut random);
        collection.vacuum().run().unwrap().disk_bytes_after
    };
    let after = vacuumed.disk_bytes_after;
    assert!(after < 2 * fresh, "expected about {fresh} bytes of files, got {after} of {}", vacuumed.disk_bytes_before);
    assert_eq!(collection.stats().unwrap().disk_bytes, after);
    assert!(db.stats().unwrap().cache_bytes < MIB);
    assert_eq!(content(&db), before);
    db.verify().unwrap();
    let query = vec![1.0; DIMENSION];
    let nearest = |exact| collection.search(&query).limit(10).exact(exact).run().unwrap();
    assert_eq!(nearest(false).len(), 10);
    assert_eq!(nearest(true).len(), 10);
}

#[test]
fn a_vacuum_leaves_what_a_snapshot_shows() {
    let _alone = alone();
    let (mut random, (_folder, db)) = (random(seed()), database());
    let collection = db.create_collection("c", config()).unwrap();
    upsert(&collection, 0..2_000, &mut random);
    let snapshot = collection.snapshot().unwrap();
    collection.delete_many(0..1_990u64).unwrap();
    std::thread::scope(|scope| {
        // While documents are written.
        let writer = scope.spawn(|| upsert(&collection, 5_000..9_000, &mut random));
        db.vacuum().run().unwrap();
        writer.join().unwrap();
    });
    assert_eq!(snapshot.count(None).unwrap(), 2_000);
    let hits = snapshot.search(vec![1.0; DIMENSION]).limit(2_000).run().unwrap();
    assert_eq!(hits.len(), 2_000, "{:?}", hits.stats);
    drop(snapshot);
    db.vacuum().run().unwrap();
    assert_eq!(collection.count(None).unwrap(), 4_010);
    db.verify().unwrap();
}

#[test]
fn a_vacuum_that_cannot_be_says_why() {
    let _alone = alone();
    let folder = folder();
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    let collection = db.create_collection("c", config()).unwrap();
    let cancel = Cancel::new();
    assert_eq!(db.vacuum().cancel(&cancel).run().unwrap().n_collections, 1);
    cancel.cancel();
    check_error(db.vacuum().cancel(&cancel).run(), "Cancelled");
    let (late, whole) = (collection.vacuum(), db.vacuum());
    db.drop_collection("c").unwrap();
    check_error(late.run(), "CollectionNotFound");
    assert_eq!(whole.run().unwrap().n_collections, 0);
    let late = db.vacuum();
    db.close().unwrap();
    check_error(late.run(), "Closed");
    let reader = Database::open_with(folder.path().join("db"), quick().read_only(true)).unwrap();
    check_error(reader.vacuum().run(), "ReadOnly");
}

#[test]
fn the_cache_follows_the_files() {
    let _alone = alone();
    let (mut random, folder) = (random(seed()), folder());
    let db = Database::open_with(folder.path().join("db"), Options::new().memory_bytes(256 << 20)).unwrap();
    let collection = db.create_collection("c", config()).unwrap();
    for _ in 0..12 {
        upsert(&collection, 0..10_000, &mut random);
    }
    collection.wait_indexed().unwrap();
    // The memory of twelve times as many documents is given back, a second later.
    let began = Instant::now();
    loop {
        let stats = db.stats().unwrap();
        let (cached, most) = (stats.cache_bytes, 8 * MIB + stats.collections[0].disk_bytes + stats.write_buffer_bytes);
        if cached <= most && most < 64 * MIB {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{cached} bytes in the cache, expected {most} at most");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn documents_that_pass_through_leave_nothing_behind() {
    let _alone = alone();
    const WINDOW: u64 = 2_000;
    let (mut random, folder) = (random(seed()), folder());
    let at_start = resident_bytes();
    let db = Database::open_with(folder.path().join("db"), Options::new()).unwrap();
    let collection = db.create_collection("c", config()).unwrap();
    for first in (0..100_000).step_by(1_000) {
        collection.insert_many(documents(first..first + 1_000, &mut random)).unwrap();
        if let Some(from) = first.checked_sub(WINDOW) {
            collection.delete_many(from..from + 1_000).unwrap();
        }
    }
    collection.wait_indexed().unwrap();
    db.vacuum().run().unwrap();
    let more = resident_bytes().saturating_sub(at_start);
    let stats = db.stats().unwrap();
    assert!(more < 64 * MIB, "{more} bytes more for {WINDOW} documents: {stats:?}");
    assert!(stats.collections[0].disk_bytes < 4 * MIB, "{stats:?}");
    assert_eq!(collection.count(None).unwrap() as u64, WINDOW);
}
