//! A refusal comes soon, leaves nothing half done, and ends with its cause. Each wait ends with the
//! error that prevents its success. A change of the catalog happens completely or not at all.
//!
//! The causes are failpoints of the library, which last until a test ends them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use common::{check_error, folder, label, quick};
use parking_lot::{Mutex, MutexGuard};
use serde_json::json;
use vectrove::{
    Collection, CollectionConfig, Database, Document, Durability, Error, Job, JobState, JobStats, Options, Outcome,
    Quantization, Residency, Result, Update, allow_at, field, refuse_at,
};

/// Failpoints belong to the whole process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());
/// Longest time of each wait and of each recovery: a multiple of the promise, for busy machines.
const SOON: Duration = Duration::from_secs(6);

/// Refuses work at points until it is dropped.
struct Refusal(&'static [&'static str]);

impl Refusal {
    fn at(points: &'static [&'static str]) -> Self {
        points.iter().for_each(|point| refuse_at(point, 0));
        Refusal(points)
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        self.0.iter().for_each(|point| allow_at(point));
    }
}

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock()
}

/// The result of a call, which must return soon.
#[track_caller]
fn soon<T: Send + 'static>(what: &str, call: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send(call()));
    receiver.recv_timeout(SOON).unwrap_or_else(|_| panic!("{what} takes too long"))
}

/// Repeats a call until it succeeds, which must be soon.
#[track_caller]
fn works_soon<T>(what: &str, mut call: impl FnMut() -> Result<T>) -> T {
    let began = std::time::Instant::now();
    loop {
        match call() {
            Ok(done) => return done,
            Err(error) => assert!(began.elapsed() < SOON, "{what} does not come back: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn vector(n: u64) -> Vec<f32> {
    (0..8).map(|at| ((n * 31 + at * 17) % 97) as f32 / 97.0 - 0.5).collect()
}

fn document(n: u64) -> Document {
    Document::new(vector(n)).id(n).metadata(json!({"n": n % 5})).text(format!("number {n}"))
}

fn open(path: &Path, options: Options) -> Database {
    Database::open_with(path, options).unwrap()
}

fn filled(path: &Path, config: CollectionConfig, n: u64) -> (Database, Collection) {
    let db = open(path, quick().tail_bound(64));
    let collection = db.create_collection("c", config).unwrap();
    (0..n).for_each(|n| _ = collection.insert(document(n)).unwrap());
    (db, collection)
}

fn check_whole(db: &Database, collection: &Collection, n: usize) {
    collection.wait_indexed().unwrap();
    assert_eq!((collection.count(None).unwrap(), collection.count(!field("n").eq(9)).unwrap()), (n, n));
    assert_eq!(collection.search(vector(3)).limit(2 * n).run().unwrap().len(), n);
    db.verify().unwrap();
}

#[test]
fn a_writer_that_waits_for_room_is_told_why_there_is_none() {
    let (_alone, folder) = (alone(), folder());
    for point in ["link", "write", "space"] {
        let (db, collection) = filled(&folder.path().join(point), CollectionConfig::new(8), 10);
        collection.wait_indexed().unwrap();
        let refusal = Refusal::at(if point == "link" { &["link"] } else { &["link", "write", "space"] });
        let writer = collection.clone();
        let (n, error) =
            soon(point, move || (10..).find_map(|n| writer.insert(document(n)).err().map(|error| (n, error))).unwrap());
        assert!(["ReadOnly", "Commit"].contains(&label(&error).as_str()), "{point}: {error}");
        assert_eq!(n > 10, point == "link", "{point}: {n}");
        let ticket = collection.writer().unwrap().send(document(n)).unwrap();
        assert!(soon("a ticket", move || ticket.wait()).is_err(), "{point}");
        drop(refusal);
        works_soon("writing", || collection.upsert(document(n)));
        check_whole(&db, &collection, n as usize + 1);
    }
}

#[test]
fn writes_without_a_vector_do_not_wait_for_room() {
    let (_alone, folder) = (alone(), folder());
    let (db, collection) = filled(folder.path(), CollectionConfig::new(8), 10);
    collection.wait_indexed().unwrap();
    let refusal = Refusal::at(&["link"]);
    let n = (10..).find(|&n| collection.insert(document(n)).is_err()).unwrap();
    let writer = collection.clone();
    soon("deleting", move || writer.delete_many(0..5u64)).unwrap();
    let writer = collection.clone();
    soon("updating", move || writer.update(Update::new(7).merge(json!({"n": 3})))).unwrap();
    drop(refusal);
    check_whole(&db, &collection, n as usize - 5);
}

#[test]
fn who_only_reads_is_told_so_however_many_wait_to_be_linked() {
    let (_alone, folder) = (alone(), folder());
    let refusal = Refusal::at(&["link"]);
    let (db, collection) = filled(folder.path(), CollectionConfig::new(8), 40);
    db.close().unwrap();
    drop((refusal, collection));
    let db = open(folder.path(), quick().tail_bound(1).read_only(true));
    let collection = db.collection("c").unwrap();
    let writer = collection.clone();
    check_error(soon("writing", move || writer.insert(document(99))), "ReadOnly");
    let waiter = collection.clone();
    soon("waiting", move || waiter.wait_indexed()).unwrap();
    check_error(collection.rebuild_index(), "ReadOnly");
    assert_eq!(collection.search(vector(3)).limit(100).run().unwrap().len(), 40);
}

#[test]
fn work_in_the_background_says_what_keeps_it_and_goes_on_by_itself() {
    let _alone = alone();
    for points in [&["link"][..], &["space"], &["space", "link"], &["write"]] {
        let folder = folder();
        let (db, collection) = filled(folder.path(), CollectionConfig::new(8), 50);
        collection.wait_indexed().unwrap();
        // The points live as long as the program.
        let refusal = Refusal::at(points.to_vec().leak());
        let waiter = collection.clone();
        let error = soon("rebuilding indexes", move || waiter.rebuild_index()).unwrap_err();
        assert_eq!(label(&error), "ReadOnly", "{points:?}");
        let waiter = collection.clone();
        let waited = soon("waiting", move || waiter.wait_indexed());
        assert!(waited.is_err() || points == ["link"], "{points:?}");
        assert_eq!(collection.count(field("n").eq(3)).unwrap(), 10, "{points:?}");
        assert_eq!(collection.search(vector(3)).limit(100).run().unwrap().len(), 50, "{points:?}");
        drop(refusal);
        works_soon("waiting", || {
            let waiter = collection.clone();
            soon("waiting", move || waiter.wait_indexed())
        });
        works_soon("writing", || collection.upsert(document(0)));
        check_whole(&db, &collection, 50);
    }
}

/// A job, once it is as wanted, which must be soon.
#[track_caller]
fn job_soon(collection: &Collection, job: Job, wanted: impl Fn(&JobStats) -> bool) -> JobStats {
    let began = std::time::Instant::now();
    loop {
        let found = collection.stats().unwrap().jobs.into_iter().find(|found| found.name == job).unwrap();
        if wanted(&found) {
            return found;
        }
        assert!(began.elapsed() < SOON, "{found:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_job_that_is_refused_is_seen_failing_with_its_reason_and_then_idle() {
    let _alone = alone();
    for (job, points) in
        [(Job::Link, &["link"][..]), (Job::IndexMetadata, &["write"]), (Job::IndexText, &["space", "write"])]
    {
        let folder = folder();
        let (db, collection) = filled(folder.path(), CollectionConfig::new(8), 50);
        collection.wait_indexed().unwrap();
        let before = job_soon(&collection, job, |found| found.state == JobState::Idle);
        assert_eq!((before.n_left, &before.error), (Some(0), &None), "{before:?}");
        let refusal = Refusal::at(points.to_vec().leak());
        let waiter = collection.clone();
        soon("rebuilding indexes", move || waiter.rebuild_index()).unwrap_err();
        let failing = job_soon(&collection, job, |found| found.state == JobState::Failing);
        assert!(failing.error.unwrap().contains(&format!("refused at \"{}\"", points[0])), "{points:?}");
        assert!(job == Job::Link || failing.n_left == Some(50), "nothing of it is indexed: {:?}", failing.n_left);
        let others: Vec<_> = collection.stats().unwrap().jobs.into_iter().filter(|other| other.name != job).collect();
        assert!(job != Job::Link || others.iter().all(|other| other.error.is_none()), "{others:?}");
        drop(refusal);
        let after = job_soon(&collection, job, |found| found.state == JobState::Idle && found.n_left == Some(0));
        assert!(after.error.is_none() && after.n_steps > before.n_steps, "{before:?}, {after:?}");
        check_whole(&db, &collection, 50);
    }
}

#[test]
fn an_index_that_needs_vectors_says_that_there_are_none() {
    let (_alone, folder) = (alone(), folder());
    let config = CollectionConfig::new(8).quantization(Quantization::None).residency(Residency::Mapped);
    let (db, collection) = filled(folder.path(), config, 200);
    db.close().unwrap();
    drop(collection);
    let refusal = Refusal::at(&["vectors"]);
    let db = open(folder.path(), quick());
    let collection = db.collection("c").unwrap();
    // Some documents in the graph are deleted before their vectors are loaded.
    (0..50).for_each(|n| _ = collection.delete(n).unwrap());
    collection.insert(document(1_000)).unwrap();
    let waiter = collection.clone();
    check_error(soon("waiting", move || waiter.wait_indexed()), "ReadOnly");
    let failing = job_soon(&collection, Job::LoadVectors, |job| job.state == JobState::Failing);
    assert!(failing.error.unwrap().contains("refused at \"vectors\"") && failing.n_left > Some(0));
    assert_eq!(collection.search(vector(60)).limit(300).run().unwrap().len(), 151);
    drop(refusal);
    works_soon("waiting", || {
        let waiter = collection.clone();
        soon("waiting", move || waiter.wait_indexed())
    });
    check_whole(&db, &collection, 151);
}

#[test]
fn a_mapped_file_that_cannot_be_made_is_made_later() {
    let (_alone, folder) = (alone(), folder());
    let config = CollectionConfig::new(8).quantization(Quantization::None).residency(Residency::Mapped);
    let (db, collection) = filled(folder.path(), config, 200);
    db.close().unwrap();
    drop(collection);
    // A folder takes the place of the file.
    let file = folder.path().join("images/c1/vectors");
    _ = std::fs::remove_file(&file);
    std::fs::create_dir_all(&file).unwrap();
    let db = open(folder.path(), quick());
    let collection = db.collection("c").unwrap();
    let before = collection.snapshot().unwrap();
    (0..50).for_each(|n| _ = collection.delete(n).unwrap());
    collection.insert(document(1_000)).unwrap();
    let waiter = collection.clone();
    let error = soon("waiting", move || waiter.wait_indexed()).unwrap_err();
    assert!(error.to_string().contains("vectors"), "{error}");
    std::fs::remove_dir(&file).unwrap();
    works_soon("waiting", || {
        let waiter = collection.clone();
        soon("waiting", move || waiter.wait_indexed())
    });
    check_whole(&db, &collection, 151);
    let hits = before.search(vector(3)).limit(200).run().unwrap();
    let dead = hits.iter().find(|hit| hit.id == 3.into()).unwrap();
    assert!(hits.len() == 200 && dead.distance < 1e-3, "seen before: {dead:?}");
}

#[test]
fn a_disk_that_does_not_confirm_is_told_and_tried_again() {
    let (_alone, folder) = (alone(), folder());
    let db = open(folder.path(), quick().durability(Durability::Sync));
    let collection = db.create_collection("c", CollectionConfig::new(8)).unwrap();
    let refusal = Refusal::at(&["sync"]);
    let writer = collection.clone();
    let error = soon("writing", move || writer.insert(document(0))).unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotDurable);
    let writer = collection.clone();
    check_error(soon("writing", move || writer.insert(document(1))), "ReadOnly");
    drop(refusal);
    works_soon("writing", || collection.upsert(document(1)));
    check_whole(&db, &collection, 2);
}

/// Points at which creating a collection can fail.
const STEPS: [&str; 7] = ["create.entry", "create.families", "create.active", "memory", "space", "write", "sync"];

#[test]
fn a_collection_is_created_whole_or_not_at_all() {
    let _alone = alone();
    for step in STEPS {
        for n_passes in 0..3 {
            let folder = folder();
            let path = folder.path().join("db");
            let db = open(&path, quick());
            let other = db.create_collection("other", CollectionConfig::new(8)).unwrap();
            other.insert_many((0..20).map(document)).unwrap();
            refuse_at(step, n_passes);
            let created = db.create_collection("new", CollectionConfig::new(8).metric(vectrove::Metric::Dot));
            allow_at(step);
            check_created(&db, created.map(drop), &format!("{step} after {n_passes}"));
            let names = db.collections().unwrap();
            drop(other);
            db.close().unwrap();
            let db = open(&path, quick());
            assert_eq!(db.collections().unwrap(), names, "{step} after {n_passes}");
            assert_eq!(db.collection("new").unwrap().count(None).unwrap(), 20, "{step} after {n_passes}");
            db.verify().unwrap();
        }
    }
}

/// Asserts that the collection exists, or its name is free: another one can take it, with documents
/// of its own.
fn check_created(db: &Database, created: Result<()>, what: &str) {
    let is_there = match created {
        Ok(()) => true,
        Err(error) => error.outcome() == Outcome::NotDurable && db.collection("new").is_ok(),
    };
    assert_eq!(db.collection("new").is_ok(), is_there, "{what}");
    works_soon("writing", || db.collection("other")?.upsert(document(0)));
    if is_there {
        check_error(db.create_collection("new", CollectionConfig::new(8)), "CollectionExists");
        db.drop_collection("new").unwrap();
    }
    db.rename_collection("other", "new").unwrap();
    db.checkpoint(db.path().with_extension(format!("{}.copy", what.replace(' ', "-")))).unwrap();
    db.verify().unwrap();
}

#[test]
fn a_collection_is_dropped_and_renamed_whole_or_not_at_all() {
    let _alone = alone();
    for step in ["space", "write", "sync"] {
        for n_passes in 0..3 {
            let (folder, what) = (folder(), format!("{step} after {n_passes}"));
            let db = open(folder.path(), quick());
            let [old, kept] = ["old", "kept"].map(|name| db.create_collection(name, CollectionConfig::new(8)).unwrap());
            kept.insert_many((0..20).map(document)).unwrap();
            refuse_at(step, n_passes);
            let dropped = db.drop_collection("old");
            let renamed = db.rename_collection("kept", "new");
            allow_at(step);
            let names = db.collections().unwrap();
            assert!(dropped.is_err() || !names.contains(&"old".to_owned()), "{what}");
            assert!(renamed.is_err() || names.contains(&"new".to_owned()), "{what}");
            assert_eq!(old.count(None).is_ok(), names.contains(&"old".to_owned()), "{what}");
            assert_eq!(kept.count(None).unwrap(), 20, "{what}");
            works_soon("writing", || kept.upsert(document(0)));
            drop((old, kept));
            db.close().unwrap();
            let db = open(folder.path(), quick());
            assert_eq!(db.collections().unwrap(), names, "{what}");
            db.verify().unwrap();
        }
    }
}

#[test]
fn calls_that_cannot_be_done_leave_schema_and_indexes_as_they_were() {
    let (_alone, folder) = (alone(), folder());
    let (db, collection) = filled(folder.path(), CollectionConfig::new(8), 20);
    collection.wait_indexed().unwrap();
    for step in ["space", "write"] {
        let refusal = Refusal::at(if step == "space" { &["space"] } else { &["write"] });
        let schema = vectrove::Schema::new().field("n", vectrove::Type::Integer);
        assert!(collection.set_schema(schema).is_err() && collection.drop_index("n").is_err(), "{step}");
        assert_eq!((collection.schema().unwrap(), collection.indexed_fields().unwrap()), (None, vec!["n".to_owned()]));
        drop(refusal);
        works_soon("writing", || collection.upsert(document(0)));
    }
    check_whole(&db, &collection, 20);
    assert!(matches!(Database::open(folder.path()), Err(Error::Busy { .. })), "at once");
}
