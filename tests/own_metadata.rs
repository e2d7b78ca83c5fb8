//! The metadata of a collection itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{check_error, database, folder, quick};
use serde_json::json;
use vectrove::limits::{MAX_COLLECTION_METADATA_BYTES, MAX_METADATA_DEPTH};
use vectrove::{Collection, CollectionConfig, Database, Document, Options, Schema, Value};

fn noted(n: u64) -> Value {
    json!({"embedder": "e5-small", "exact": u64::MAX, "n": n, "none": null, "list": [1, "é", 0.1]}).into()
}

#[test]
fn it_stays_whatever_becomes_of_the_collection() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let db = Database::open_with(at("db"), quick()).unwrap();
    let notes = db.create_collection("notes", CollectionConfig::new(1)).unwrap();
    let others = db.create_collection("others", CollectionConfig::new(1)).unwrap();
    assert_eq!(notes.metadata().unwrap(), Value::object());
    let before = db.stats().unwrap().durable_commit;
    notes.set_metadata(noted(1)).unwrap();
    assert!(db.stats().unwrap().durable_commit > before, "a change that returned is on the disk");
    let reader = Database::open_with(at("db"), Options::new().read_only(true)).unwrap();
    let read = reader.collection("notes").unwrap();
    assert_eq!(read.metadata().unwrap(), noted(1));
    check_error(read.set_metadata(noted(2)), "ReadOnly");

    notes.set_schema(Schema::new()).unwrap();
    notes.insert(Document::new([1.0]).metadata(json!({"n": 1}))).unwrap();
    notes.add_index("n").unwrap();
    db.rename_collection("notes", "memories").unwrap();
    assert_eq!(notes.metadata().unwrap(), noted(1));
    db.backup(at("backups")).unwrap();
    notes.set_metadata(noted(2)).unwrap();
    assert_eq!(read.metadata().unwrap(), noted(1));
    reader.refresh().unwrap();
    assert_eq!(reader.collection("memories").unwrap().metadata().unwrap(), noted(2));
    assert_eq!(others.metadata().unwrap(), Value::object());
    drop((notes, others));
    db.close().unwrap();

    let check = |path: &str, n| {
        let db = Database::open_with(at(path), quick()).unwrap();
        let memories = db.get_or_create_collection("memories", CollectionConfig::new(1)).unwrap();
        assert_eq!(memories.metadata().unwrap(), noted(n), "{path}");
        memories.set_metadata(json!({})).unwrap();
        assert_eq!(memories.metadata().unwrap(), Value::object());
        db.verify().unwrap();
        db.drop_collection("memories").unwrap();
        check_error(memories.metadata(), "CollectionNotFound");
        check_error(memories.set_metadata(noted(3)), "CollectionNotFound");
        assert_eq!(
            db.create_collection("memories", CollectionConfig::new(1)).unwrap().metadata().unwrap(),
            Value::object()
        );
    };
    check("db", 2);
    Database::restore(at("backups"), at("restored"), None).unwrap();
    check("restored", 1);
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let (_folder, db) = database();
    let notes = db.create_collection("notes", CollectionConfig::new(1)).unwrap();
    notes.set_metadata(noted(1)).unwrap();
    let padded = |n_bytes: usize| json!({"pad": "x".repeat(n_bytes - r#"{"pad":""}"#.len())});
    notes.set_metadata(padded(MAX_COLLECTION_METADATA_BYTES)).unwrap();
    notes.set_metadata(noted(1)).unwrap();
    check_error(notes.set_metadata(padded(MAX_COLLECTION_METADATA_BYTES + 1)), "LimitExceeded");
    for other in [json!(7), json!("text"), json!([1])] {
        check_error(notes.set_metadata(other), "InvalidMetadata");
    }
    let nested =
        |depth: usize| (1..depth).fold(Value::object(), |inner, _| Value::Object([("a".into(), inner)].into()));
    check_error(notes.set_metadata(nested(MAX_METADATA_DEPTH + 1)), "LimitExceeded");
    check_error(notes.set_metadata(nested(100_000)), "LimitExceeded");
    check_error(notes.set_metadata(Value::Object([("x".into(), Value::F64(f64::NAN))].into())), "InvalidMetadata");
    assert_eq!(notes.metadata().unwrap(), noted(1), "nothing has changed");
    notes.set_metadata(json!(null)).unwrap();
    assert_eq!(notes.metadata().unwrap(), Value::object());
    notes.set_metadata(nested(MAX_METADATA_DEPTH)).unwrap();
    assert_eq!(notes.metadata().unwrap(), nested(MAX_METADATA_DEPTH));
}

#[test]
fn changes_of_name_and_schema_at_the_same_time_lose_nothing() {
    let folder = folder();
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let notes = db.create_collection("a", CollectionConfig::new(1)).unwrap();
    let stop = AtomicBool::new(false);
    let until_stopped = |work: &dyn Fn(u64)| {
        let mut n = 0;
        while !stop.load(Ordering::Relaxed) {
            work(n);
            n += 1;
        }
    };
    thread::scope(|scope| {
        let (db, notes): (&Database, &Collection) = (&db, &notes);
        let until_stopped = &until_stopped;
        scope.spawn(move || {
            until_stopped(&|n| {
                let (from, to) = if n.is_multiple_of(2) { ("a", "b") } else { ("b", "a") };
                db.rename_collection(from, to).unwrap();
            });
        });
        scope.spawn(move || {
            until_stopped(&|n| notes.set_schema(n.is_multiple_of(2).then(Schema::new)).unwrap());
        });
        for n in 0..40 {
            notes.set_metadata(noted(n)).unwrap();
            assert_eq!(notes.metadata().unwrap(), noted(n));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let name = notes.name();
    drop(notes);
    db.close().unwrap();
    let db = Database::open_with(folder.path(), quick()).unwrap();
    assert_eq!(db.collection(&name).unwrap().metadata().unwrap(), noted(39));
}
