//! Threads and the writes of other threads that they see.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rand::Rng;
use serde_json::json;
use vectrove::{
    Collection, CollectionConfig, Commit, Database, DocId, Document, Durability, Filter, Metric, Options, Update,
    Value, field,
};

use common::{label, quick, random, seed};

/// Runs a test under a watchdog, which reports a test that never ends.
fn within_minutes(minutes: u64, test: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let runner = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match finished.recv_timeout(Duration::from_secs(60 * minutes)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("still running after {minutes} minutes: threads wait for ever"),
        _ => runner.join().unwrap(),
    }
}

/// A document with its number in vector, metadata and text.
fn numbered(id: impl Into<DocId>, n: u64) -> Document {
    Document::new([n as f32, 1.0]).id(id).metadata(json!({"n": n, "even": n.is_multiple_of(2)})).text(n.to_string())
}

/// Asserts that all parts of a document are from one write.
#[track_caller]
fn check_whole(vector: &[f32], metadata: &Value, text: Option<&str>) {
    let n = metadata["n"].as_u64().unwrap();
    assert_eq!((vector, text), ([n as f32, 1.0].as_slice(), Some(n.to_string().as_str())), "a document of two writes");
}

fn dot(db: &Database, name: &str) -> Collection {
    db.create_collection(name, CollectionConfig::new(2).metric(Metric::Dot)).unwrap()
}

// Documents are whole.

#[test]
fn readers_see_every_document_whole() {
    within_minutes(3, || {
        let (seed, (_folder, db)) = (seed(), common::database());
        let (here, there) = (dot(&db, "here"), dot(&db, "there"));
        let (numbers, done) = (AtomicU64::new(0), AtomicBool::new(false));
        let write = |thread: u64| {
            let mut random = random(seed + thread);
            for _ in 0..1_500 {
                let (id, n) = (random.random_range(0..40u64), numbers.fetch_add(1, Ordering::Relaxed));
                write_one(&db, [&here, &there], random.random_range(0..8), id, n);
            }
        };
        let read = |thread: u64| {
            let mut random = random(seed + 100 + thread);
            while !done.load(Ordering::Relaxed) {
                let id = random.random_range(0..40u64);
                read_all_ways(if random.random() { &here } else { &there }, id);
                read_pair(&here, &there, id);
            }
        };
        run_beside(8, write, 4, read, &done);
        db.verify().unwrap();
    });
}

/// Runs writers to their end, and readers until then.
fn run_beside(
    n_writers: u64,
    write: impl Fn(u64) + Sync,
    n_readers: u64,
    read: impl Fn(u64) + Sync,
    done: &AtomicBool,
) {
    thread::scope(|scope| {
        let (write, read) = (&write, &read);
        let readers: Vec<_> = (0..n_readers).map(|thread| scope.spawn(move || read(thread))).collect();
        let writers: Vec<_> = (0..n_writers).map(|thread| scope.spawn(move || write(thread))).collect();
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        written.into_iter().chain(readers.into_iter().map(|reader| reader.join())).for_each(|end| end.unwrap());
    });
}

/// Most writes go to both collections at once, so that a pair has one version; a few ids are only
/// in one.
fn write_one(db: &Database, [here, there]: [&Collection; 2], kind: u32, id: u64, n: u64) {
    let change = |id: DocId| {
        Update::new(id).vector([n as f32, 1.0]).merge(json!({"n": n, "even": n.is_multiple_of(2)})).text(n.to_string())
    };
    let mut batch = db.batch();
    match kind {
        0 => _ = here.upsert(numbered(format!("single {id}"), n)).unwrap(),
        1 => _ = here.delete(format!("single {id}")).unwrap(),
        2 => {
            _ = here.update(change(format!("single {id}").into())).map_err(|error| {
                assert_eq!(label(&error), "DocumentNotFound");
            })
        }
        3 => {
            batch.delete(here, id);
            batch.delete(there, id);
        }
        _ => {
            batch.upsert(here, numbered(id, n));
            batch.upsert(there, numbered(id, n));
        }
    }
    batch.commit().unwrap();
}

fn read_all_ways(collection: &Collection, id: u64) {
    if let Some(found) = collection.get(id).unwrap() {
        check_whole(&found.vector, &found.metadata, found.text.as_deref());
    }
    let search = || collection.search([1.0, 0.0]).limit(20).with_vector(true);
    for hits in [search().run().unwrap(), search().filter(field("even").eq(true)).run().unwrap()] {
        for hit in &hits {
            check_whole(hit.vector.as_ref().unwrap(), &hit.metadata, hit.text.as_deref());
            assert_eq!(hit.distance, -hit.vector.as_ref().unwrap()[0], "the distance of another vector");
            assert!(hit.version <= hits.commit);
        }
    }
    let page = collection.scroll().limit(20).filter(!field("even").eq(true)).with_vector(true).run().unwrap();
    for found in &page.documents {
        assert_eq!(found.metadata["even"], Value::Bool(false));
        check_whole(&found.vector, &found.metadata, found.text.as_deref());
    }
}

/// Both documents of a pair are written together: a thread that has seen one at a commit sees the
/// other at this commit or later.
fn read_pair(here: &Collection, there: &Collection, id: u64) {
    let version_of = |collection: &Collection| collection.get(id).unwrap().map(|found| found.version);
    let search = |collection: &Collection| collection.search([1.0, 0.0]).limit(usize::MAX).run().unwrap();
    if let (Some(first), Some(second)) = (version_of(here), version_of(there)) {
        assert!(second >= first, "{second} in one collection after {first} in the other");
    }
    let (first, second) = (search(there), search(here));
    assert!(second.commit >= first.commit, "{} after {}", second.commit, first.commit);
    if first.commit == second.commit {
        let ids = |hits: &vectrove::Hits| -> BTreeMap<DocId, Commit> {
            let pairs = hits.iter().filter(|hit| matches!(hit.id, DocId::U64(_)));
            pairs.map(|hit| (hit.id.clone(), hit.version)).collect()
        };
        assert_eq!(ids(&first), ids(&second), "pairs are there together or not at all");
    }
}

// What was acknowledged is seen.

#[test]
fn a_search_sees_what_was_acknowledged_before_it() {
    within_minutes(3, || {
        let (_folder, db) = common::database();
        let collection = db.create_collection("c", CollectionConfig::new(2).metric(Metric::Euclidean)).unwrap();
        let (deleted, done) = (Mutex::new(HashSet::new()), AtomicBool::new(false));
        let at = |id: u64| [id as f32, 1.0];
        let nearest = |id: u64| collection.search(at(id)).limit(1).run().unwrap().items.into_iter().next();
        let write = |thread: u64| {
            for id in (0..500).map(|n| thread * 10_000 + n) {
                let inserted = collection.insert(Document::new(at(id)).id(id).metadata(json!({"id": id}))).unwrap();
                let found = nearest(id).unwrap();
                assert_eq!((found.id, found.version), (DocId::from(id), inserted.commit));
                let filtered = collection.search([0.0, 0.0]).filter(field("id").eq(id)).run().unwrap();
                assert_eq!((filtered.len(), filtered.commit >= inserted.commit), (1, true));
                if id.is_multiple_of(2) {
                    assert_eq!(collection.delete(id).unwrap().n_changed, 1);
                    assert_ne!(nearest(id).map(|hit| hit.id), Some(DocId::from(id)), "found after it was deleted");
                    deleted.lock().unwrap().insert(DocId::from(id));
                }
            }
        };
        let read = |thread: u64| {
            while !done.load(Ordering::Relaxed) {
                let gone = deleted.lock().unwrap().clone();
                let filter = if thread.is_multiple_of(2) { Filter::everything() } else { field("id").gte(0) };
                let hits = collection.search([0.0, 1.0]).limit(usize::MAX).filter(filter).run().unwrap();
                let ghost = hits.iter().find(|hit| gone.contains(&hit.id));
                assert_eq!(ghost.map(|hit| &hit.id), None, "found after it was deleted");
            }
        };
        run_beside(8, write, 4, read, &done);
        assert_eq!(collection.count(None).unwrap(), 8 * 250);
        db.verify().unwrap();
    });
}

#[test]
fn counts_never_tear() {
    within_minutes(3, || {
        const N: u64 = 60;
        let (seed, (_folder, db)) = (seed(), common::database());
        let collection = dot(&db, "c");
        let place = |thread: u64, n: u64| format!("{thread}/{n}");
        for thread in 0..8 {
            collection.insert_many((0..N).map(|n| numbered(place(thread, n), n))).unwrap();
        }
        let done = AtomicBool::new(false);
        // Each batch deletes ten documents and puts ten others, so that their number is constant.
        let write = |thread: u64| {
            let mut random = random(seed + thread);
            let (mut here, mut elsewhere): (Vec<u64>, Vec<u64>) = ((0..N).collect(), (N..2 * N).collect());
            for _ in 0..400 {
                let mut batch = db.batch();
                for _ in 0..10 {
                    let (out, into) = (random.random_range(0..here.len()), random.random_range(0..elsewhere.len()));
                    batch.delete(&collection, place(thread, here[out])).must_exist();
                    batch.insert(&collection, numbered(place(thread, elsewhere[into]), elsewhere[into]));
                    std::mem::swap(&mut here[out], &mut elsewhere[into]);
                }
                batch.commit().unwrap();
            }
        };
        let n_documents = 8 * N as usize;
        let read = |_| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(collection.count(None).unwrap(), n_documents);
                assert_eq!(collection.count(field("n").gte(0)).unwrap(), n_documents);
                assert_eq!(collection.search([1.0, 0.0]).limit(usize::MAX).run().unwrap().len(), n_documents);
                let filtered = collection.search([1.0, 0.0]).filter(field("n").gte(0)).limit(usize::MAX).run().unwrap();
                assert_eq!(filtered.len(), n_documents);
                assert_eq!(collection.scroll().limit(usize::MAX).run().unwrap().documents.len(), n_documents);
                assert_eq!(db.stats().unwrap().collections[0].n_documents, n_documents);
            }
        };
        run_beside(8, write, 4, read, &done);
        assert_eq!(db.verify().unwrap().n_documents, n_documents);
    });
}

// Every key is a register.

/// A state of a key that a read saw, and the commits between which the read was made.
struct Seen {
    after: u64,
    before: u64,
    state: Option<(u64, u64)>,
}

/// The states of a key by the commit that made them: a number, or nothing.
type Register = BTreeMap<u64, Option<u64>>;

#[test]
fn every_key_is_a_linearizable_register() {
    within_minutes(3, || {
        const KEYS: u64 = 4;
        let (seed, (_folder, db)) = (seed(), common::database());
        let collection = dot(&db, "c");
        let registers: Vec<Mutex<Register>> = (0..KEYS).map(|_| Mutex::new([(0, None)].into())).collect();
        let reads: Vec<Mutex<Vec<Seen>>> = (0..KEYS).map(|_| Mutex::new(Vec::new())).collect();
        let acknowledged: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        let work = |thread: u64| {
            let mut random = random(seed + thread);
            for step in 0..2_000u64 {
                let (key, n) = (random.random_range(0..KEYS), thread * 10_000 + step);
                let at = key as usize;
                if random.random() {
                    reads[at].lock().unwrap().push(read_key(&db, &collection, key, &acknowledged[at]));
                    continue;
                }
                let (receipt, state) = match random.random_range(0..4) {
                    0 => (collection.delete(key).unwrap(), None),
                    _ => (collection.upsert(numbered(key, n)).unwrap(), Some(n)),
                };
                acknowledged[at].fetch_max(receipt.commit.0, Ordering::SeqCst);
                if receipt.n_changed > 0 {
                    assert_eq!(registers[at].lock().unwrap().insert(receipt.commit.0, state), None);
                }
            }
        };
        thread::scope(|scope| {
            let work = &work;
            (0..8).for_each(|thread| _ = scope.spawn(move || work(thread)));
        });
        for (register, reads) in registers.into_iter().zip(reads) {
            let register = register.into_inner().unwrap();
            reads.into_inner().unwrap().iter().for_each(|seen| check_seen(&register, seen));
        }
    });
}

fn read_key(db: &Database, collection: &Collection, key: u64, acknowledged: &AtomicU64) -> Seen {
    let after = acknowledged.load(Ordering::SeqCst);
    let found = collection.get(key).unwrap();
    let before = db.stats().unwrap().commit.0;
    let state = found.map(|found| (found.version.0, found.metadata["n"].as_u64().unwrap()));
    Seen { after, before, state }
}

/// A read sees the state of some commit that was neither overwritten before the read began nor made
/// after its end.
fn check_seen(register: &Register, seen: &Seen) {
    let begin = register.range(..=seen.after).next_back().map(|(commit, _)| *commit).unwrap_or_default();
    let mut possible = register.range(begin..=seen.before);
    let fits = match seen.state {
        Some((version, n)) => possible.any(|(commit, state)| (*commit, *state) == (version, Some(n))),
        None => possible.any(|(_, state)| state.is_none()),
    };
    assert!(fits, "saw {:?} between commits {} and {}", seen.state, seen.after, seen.before);
}

#[test]
fn of_writers_that_expect_one_version_one_wins() {
    within_minutes(3, || {
        let (_folder, db) = common::database();
        let collection = dot(&db, "c");
        collection.insert(numbered("counter", 0)).unwrap();
        let count_up = || {
            let mut n_lost = 0;
            for _ in 0..200 {
                loop {
                    let found = collection.get("counter").unwrap().unwrap();
                    let mut batch = db.batch();
                    let next = found.metadata["n"].as_u64().unwrap() + 1;
                    batch.upsert(&collection, numbered("counter", next)).expect_version(found.version);
                    match batch.commit() {
                        Ok(_) => break,
                        Err(error) => assert_eq!(label(&error), "0 VersionMismatch"),
                    }
                    n_lost += 1;
                }
            }
            n_lost
        };
        let lost: Vec<u32> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(count_up)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(collection.get("counter").unwrap().unwrap().metadata["n"], Value::from(8 * 200), "lost: {lost:?}");
    });
}

// Collections come and go.

#[test]
fn collections_may_come_and_go_under_writers() {
    within_minutes(5, || {
        let (seed, (folder, db)) = (seed(), common::database());
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let done = AtomicBool::new(false);
        let allowed = |error: vectrove::Error, labels: &[&str]| {
            let label = label(&error);
            let label = label.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            assert!(labels.contains(&label), "{error}");
        };
        let change = |thread: u64| {
            let mut random = random(seed + thread);
            for _ in 0..40 {
                let [name, other] = [0, 1].map(|_| NAMES[random.random_range(0..3)]);
                let outcome = match random.random_range(0..4) {
                    0 => db.drop_collection(name),
                    1 => db.rename_collection(name, other),
                    2 => db.create_collection(name, CollectionConfig::new(2)).map(drop),
                    _ => db.get_or_create_collection(name, CollectionConfig::new(2)).map(drop),
                };
                outcome.unwrap_or_else(|error| allowed(error, &["CollectionNotFound", "CollectionExists"]));
            }
        };
        let write = |thread: u64| {
            let mut random = random(seed + 100 + thread);
            let mut handle = None;
            while !done.load(Ordering::Relaxed) {
                // Some handles are kept for a while, so that they outlive their collection.
                if random.random_range(0..50) == 0 {
                    handle = None;
                }
                let name = NAMES[random.random_range(0..3)];
                let Some(collection) = handle.take().or_else(|| db.collection(name).ok()) else { continue };
                match use_collection(&db, &collection, random.random_range(0..100)) {
                    Ok(()) => handle = Some(collection),
                    Err(error) => allowed(error, &["CollectionNotFound"]),
                }
            }
        };
        run_beside(2, change, 4, write, &done);
        db.verify().unwrap();
        let before = common::content(&db);
        drop(db);
        let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
        assert_eq!(common::content(&db), before);
    });
}

fn use_collection(db: &Database, collection: &Collection, n: u64) -> vectrove::Result<()> {
    collection.upsert(numbered(n % 20, n))?;
    let mut batch = db.batch();
    batch.upsert(&collection.namespace("x")?, numbered(n % 20, n));
    batch.delete(collection, (n + 1) % 20);
    batch.commit()?;
    for hit in &collection.search([1.0, 0.0]).with_vector(true).run()? {
        check_whole(hit.vector.as_ref().unwrap(), &hit.metadata, hit.text.as_deref());
    }
    collection.delete_where(field("n").lt(5))?;
    collection.count(field("even").eq(true)).map(drop)
}

// Closing.

#[test]
fn closing_under_load_loses_nothing_acknowledged() {
    within_minutes(5, || {
        let folder = common::folder();
        let (mut expected, mut n_inserted) = (HashSet::new(), 0);
        for round in 0..12u64 {
            let db = Database::open_with(folder.path(), quick()).unwrap();
            let collection = db.get_or_create_collection("c", CollectionConfig::new(2)).unwrap();
            let acknowledged = Mutex::new(Vec::new());
            thread::scope(|scope| {
                for thread in 0..6 {
                    let (collection, db, acknowledged) = (collection.clone(), db.clone(), &acknowledged);
                    scope.spawn(move || insert_until_closed(&db, &collection, [round, thread], acknowledged));
                }
                for _ in 0..2 {
                    let collection = collection.clone();
                    scope.spawn(move || search_until_closed(&collection));
                }
                while acknowledged.lock().unwrap().len() < 50 * round as usize {
                    thread::yield_now();
                }
                db.close().unwrap();
            });
            expected.extend(acknowledged.into_inner().unwrap());
            let db = Database::open_with(folder.path(), quick()).unwrap();
            n_inserted = check_present(&db, &expected);
        }
        assert!(expected.len() > 500 && n_inserted >= expected.len());
    });
}

/// Where the graph compares exact vectors, linking begins once all of them are in memory, even
/// while writers wait for room.
#[test]
fn a_linker_that_begins_late_keeps_no_one_waiting() {
    within_minutes(2, || {
        let folder = common::folder();
        let db = Database::open_with(folder.path(), quick().tail_bound(1)).unwrap();
        for round in 0..40 {
            let config = CollectionConfig::new(2).metric(Metric::Manhattan);
            let collection = db.create_collection(&format!("c{round}"), config).unwrap();
            (0..8u64).for_each(|n| _ = collection.insert(Document::new([n as f32, 1.0]).id(n)).unwrap());
            db.drop_collection(&format!("c{round}")).unwrap();
        }
    });
}

fn insert_until_closed(db: &Database, collection: &Collection, name: [u64; 2], acknowledged: &Mutex<Vec<DocId>>) {
    for n in 0u64.. {
        let id = DocId::from(format!("{name:?} {n}"));
        let outcome = if n.is_multiple_of(2) {
            collection.insert(numbered(&id, n))
        } else {
            let mut batch = db.batch();
            batch.insert(collection, numbered(&id, n));
            batch.commit()
        };
        match outcome {
            Ok(_) => acknowledged.lock().unwrap().push(id),
            Err(error) => {
                assert!(["Closed", "0 Closed"].contains(&label(&error).as_str()), "{error}");
                return;
            }
        }
    }
}

fn search_until_closed(collection: &Collection) {
    loop {
        match collection.search([1.0, 0.0]).limit(5).with_vector(true).run() {
            Ok(hits) => {
                for hit in &hits {
                    check_whole(hit.vector.as_ref().unwrap(), &hit.metadata, hit.text.as_deref());
                }
            }
            Err(error) => return assert_eq!(label(&error), "Closed"),
        }
    }
}

fn check_present(db: &Database, expected: &HashSet<DocId>) -> usize {
    let collection = db.collection("c").unwrap();
    let found = collection.get_many(expected).unwrap();
    for (id, found) in expected.iter().zip(found) {
        let found = found.unwrap_or_else(|| panic!("{id} was acknowledged and is not there"));
        check_whole(&found.vector, &found.metadata, found.text.as_deref());
    }
    db.verify().unwrap();
    collection.count(None).unwrap()
}

#[test]
fn checkpoints_under_load_are_whole() {
    within_minutes(3, || {
        let (folder, db) = common::database();
        let (here, there) = (dot(&db, "here"), dot(&db, "there"));
        let done = AtomicBool::new(false);
        let write = |thread: u64| {
            for n in 0..1_500 {
                write_one(&db, [&here, &there], 4 + (n % 4) as u32, thread * 100 + n % 30, n);
            }
        };
        let copy = |_| {
            for n_copies in 0u64.. {
                let path = folder.path().join(format!("copy-{n_copies}"));
                let commit = db.checkpoint(&path).unwrap();
                check_copy(&Database::open_with(&path, quick()).unwrap(), commit);
                std::fs::remove_dir_all(path).unwrap();
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        };
        run_beside(4, write, 1, copy, &done);
    });
}

/// Asserts that a copy holds the commit that its call returned, and no part of a batch.
fn check_copy(copy: &Database, commit: Commit) {
    assert!(copy.verify().unwrap().commit >= commit);
    let documents = |name: &str| copy.collection(name).unwrap().scroll().limit(usize::MAX).run().unwrap().documents;
    let versions =
        |name: &str| -> Vec<_> { documents(name).into_iter().map(|found| (found.id, found.version)).collect() };
    assert_eq!(versions("here"), versions("there"));
}

// Threads of a pool, and waiting for the disk.

/// Threads of a pool take each other's work while they wait for their own. A thread that did so
/// with a lock held, which this work needs, would wait for itself.
#[test]
fn a_pool_of_threads_may_write_large_batches() {
    within_minutes(1, || {
        const DIMENSION: usize = 2_048;
        const BATCHES: u64 = 300;
        const ROWS: u64 = 100;
        let (_folder, db) = common::database();
        let collection = db.create_collection("c", CollectionConfig::new(DIMENSION)).unwrap();
        let write = |batch: u64| {
            let row = |n: u64| Document::new(vec![1.0 + n as f32; DIMENSION]).id(batch * 1_000 + n);
            collection.insert_many((0..ROWS).map(row)).unwrap();
        };
        let read = |n: u64| assert!(!collection.contains(n * 1_000 + ROWS).unwrap());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build().unwrap();
        pool.scope(|scope| {
            let (write, read) = (&write, &read);
            for n in 0..BATCHES {
                scope.spawn(move |_| write(n));
                (0..4).for_each(|_| scope.spawn(move |_| read(n)));
            }
        });
        assert_eq!(db.verify().unwrap().n_documents as u64, BATCHES * ROWS);
    });
}

/// Time in which the disk confirms a small write.
fn sync_time(folder: &std::path::Path) -> Duration {
    let mut file = std::fs::File::create(folder.join("probe")).unwrap();
    let begin = Instant::now();
    for _ in 0..20 {
        file.write_all(&[7; 512]).unwrap();
        file.sync_data().unwrap();
    }
    begin.elapsed() / 20
}

#[test]
fn writers_share_syncs() {
    within_minutes(5, || {
        const THREADS: u64 = 16;
        const EACH: u64 = 60;
        let folder = common::disk_folder();
        let sync_time = sync_time(folder.path());
        if sync_time < Duration::from_micros(300) {
            eprintln!(
                "SKIPPED writers_share_syncs: the disk confirms in {sync_time:?}, too soon for writers to gather"
            );
            return;
        }
        let options = Options::new().durability(Durability::Sync);
        let db = Database::open_with(folder.path().join("db"), options).unwrap();
        let collection = dot(&db, "c");
        // Whether writers meet depends on the machine too, which may be busy.
        let rounds = (0..5).map(|round| syncs_of_a_round(&db, &collection, round, [THREADS, EACH]));
        let counts: Vec<u64> = rounds.collect();
        eprintln!("{counts:?} syncs for {} inserts each; a sync takes {sync_time:?}", THREADS * EACH);
        assert!(counts.iter().any(|n_syncs| n_syncs * 5 <= THREADS * EACH), "{counts:?} syncs");
    });
}

/// Number of syncs to insert from many threads, one by one.
fn syncs_of_a_round(db: &Database, collection: &Collection, round: u64, [n_threads, n_each]: [u64; 2]) -> u64 {
    let before = db.stats().unwrap();
    thread::scope(|scope| {
        for thread in 0..n_threads {
            scope.spawn(move || {
                for n in 0..n_each {
                    let id = format!("{round} {thread} {n}");
                    let commit = collection.insert(numbered(id, n)).unwrap().commit;
                    assert!(db.stats().unwrap().durable_commit >= commit, "acknowledged before it was durable");
                }
            });
        }
    });
    let after = db.stats().unwrap();
    assert_eq!(after.commit.0 - before.commit.0, n_threads * n_each);
    after.n_syncs - before.n_syncs
}
