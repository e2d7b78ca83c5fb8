//! All promises about documents, batches, collections and searches, one test each.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use rand::Rng;
use rayon::prelude::*;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use uuid::Uuid;
use vectrove::{
    Collection, CollectionConfig, Commit, Cursor, Database, DocId, Document, Durability, Error, ErrorKind, Example,
    Metric, Options, Query, Strategy, Update, Value, field,
};

use common::{bits, check_error, content, database, label, quick};

/// A collection of two-dimensional vectors under cosine, with its database and folder.
fn notes() -> (TempDir, Database, Collection) {
    let (folder, db) = database();
    let notes = db.create_collection("notes", CollectionConfig::new(2)).unwrap();
    (folder, db, notes)
}

fn at(id: impl Into<DocId>) -> Document {
    Document::new([1.0, 0.0]).id(id)
}

fn last_commit(db: &Database) -> u64 {
    db.stats().unwrap().commit.0
}

/// Asserts that a call changes nothing: neither the last commit nor anything stored.
#[track_caller]
fn check_untouched<T>(db: &Database, call: impl FnOnce() -> T) -> T {
    let before = (last_commit(db), content(db));
    let outcome = call();
    assert_eq!((last_commit(db), content(db)), before);
    outcome
}

// Documents.

#[track_caller]
fn check_vector_comes_back(metric: Metric, vector: &[f32]) {
    let (folder, db) = database();
    let config = CollectionConfig::new(vector.len()).metric(metric).normalize(true);
    db.create_collection("c", config).unwrap().insert(Document::new(vector).id("a")).unwrap();
    let read = |db: &Database| {
        let collection = db.collection("c").unwrap();
        let hit = collection.search(vector).with_vector(true).run().unwrap().items.pop().unwrap();
        [collection.get("a").unwrap().unwrap().vector, hit.vector.unwrap()].map(|vector| bits(&vector))
    };
    assert_eq!(read(&db), [bits(vector), bits(vector)], "{metric}");
    db.close().unwrap();
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    assert_eq!(read(&db), [bits(vector), bits(vector)], "{metric}, opened again");
}

#[test]
fn a_vector_comes_back_bit_for_bit() {
    for metric in Metric::ALL {
        check_vector_comes_back(metric, &[3.0, 4.0]);
        check_vector_comes_back(metric, &[-0.0, 1e-3, 0.0]);
        check_vector_comes_back(metric, &[f32::MIN_POSITIVE, 1e-45, -1e-45, 0.1]);
        check_vector_comes_back(metric, &[1.0 / 3.0, 8.9e18]);
    }
}

#[test]
fn a_document_without_an_id_gets_a_new_uuid() {
    let (_folder, _db, notes) = notes();
    let receipt = notes.insert_many((0..5_000).map(|_| Document::new([1.0, 0.0]))).unwrap();
    assert_eq!((receipt.n_changed, receipt.ids.len(), notes.count(None).unwrap()), (5_000, 5_000, 5_000));
    assert!(receipt.ids.is_sorted(), "ids given later are greater");
    for id in &receipt.ids {
        assert!(matches!(id, DocId::Uuid(uuid) if uuid.get_version_num() == 7), "{id}");
        assert!(notes.contains(id).unwrap());
    }
}

#[test]
fn versions_and_times_tell_who_changed_a_document_last() {
    let (_folder, _db, notes) = notes();
    let inserted = notes.insert(at("a")).unwrap();
    let first = notes.get("a").unwrap().unwrap();
    assert_eq!((first.version, first.created_at_ms), (inserted.commit, first.updated_at_ms));
    std::thread::sleep(std::time::Duration::from_millis(5));
    for change in [
        notes.update(Update::new("a").text("x")).unwrap(),
        notes.update(Update::new("a").vector([0.0, 1.0])).unwrap(),
        notes.upsert(at("a")).unwrap(),
    ] {
        let now = notes.get("a").unwrap().unwrap();
        assert!(now.version >= change.commit && now.created_at_ms == first.created_at_ms);
        assert!(now.updated_at_ms > first.updated_at_ms);
    }
    notes.delete("a").unwrap();
    notes.insert(at("a")).unwrap();
    assert!(notes.get("a").unwrap().unwrap().created_at_ms > first.created_at_ms, "a document deleted is forgotten");
}

#[track_caller]
fn check_metadata_comes_back(metadata: Json) {
    let (folder, db, notes) = notes();
    notes.insert(at("a").metadata(metadata.clone())).unwrap();
    let stored = notes.get("a").unwrap().unwrap().metadata;
    assert_eq!(stored, Value::from(metadata.clone()));
    assert_eq!(Json::from(stored), metadata);
    drop((db, notes));
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    let hits = db.collection("notes").unwrap().search([1.0, 0.0]).run().unwrap();
    assert_eq!(Json::from(hits[0].metadata.clone()), metadata);
}

#[test]
fn metadata_of_every_type_comes_back() {
    check_metadata_comes_back(json!({}));
    check_metadata_comes_back(json!({"max": u64::MAX, "above i64": 1u64 << 63, "min": i64::MIN, "zero": 0}));
    check_metadata_comes_back(json!({"odd": 9_007_199_254_740_993u64}));
    check_metadata_comes_back(json!({"float": 0.1, "large": 1e300, "small": 5e-324, "whole": 1.0, "minus": -0.0}));
    check_metadata_comes_back(json!({"null": null, "yes": true, "no": false, "empty": "", "text": "ß\u{1F980}\0\n"}));
    check_metadata_comes_back(json!({"deep": [{"a": [[], {}, [null, {"b": [1, "x"]}]]}]}));
    check_metadata_comes_back(json!({"with.dots": 1, "with": {"dots": 2}, "nul\0": 3, "": 4, "$eq": 5}));
}

#[test]
fn a_document_has_a_text_or_none() {
    let (_folder, _db, notes) = notes();
    for text in ["", "LSM trees like big batches", "\0ß\u{202E}"] {
        notes.upsert(at("a").text(text)).unwrap();
        assert_eq!(notes.get("a").unwrap().unwrap().text.as_deref(), Some(text));
        assert_eq!(notes.search([1.0, 0.0]).run().unwrap()[0].text.as_deref(), Some(text));
    }
    notes.upsert(at("a")).unwrap();
    assert_eq!(notes.get("a").unwrap().unwrap().text, None);
}

#[track_caller]
fn check_update(change: fn(Update) -> Update, metadata: Json, text: Option<&str>, vector: [f32; 2]) {
    let (_folder, _db, notes) = notes();
    notes.insert(at("a").metadata(json!({"tag": "x", "draft": true})).text("first")).unwrap();
    let receipt = notes.update(change(Update::new("a"))).unwrap();
    let stored = notes.get("a").unwrap().unwrap();
    assert_eq!((Json::from(stored.metadata), stored.text.as_deref()), (metadata, text));
    assert_eq!((stored.vector.as_slice(), stored.version), (vector.as_slice(), receipt.commit));
    assert_eq!((receipt.n_changed, receipt.ids), (1, vec![DocId::from("a")]));
    let hits = notes.search(vector).run().unwrap();
    assert_eq!((hits.len(), hits[0].score), (1, 1.0));
}

#[test]
fn an_update_changes_what_it_names() {
    let (old, east, north) = (json!({"tag": "x", "draft": true}), [1.0, 0.0], [0.0, 1.0]);
    check_update(|update| update, old.clone(), Some("first"), east);
    check_update(|update| update.vector([0.0, 1.0]), old.clone(), Some("first"), north);
    check_update(|update| update.text("second"), old.clone(), Some("second"), east);
    check_update(|update| update.remove_text(), old, None, east);
    check_update(
        |update| update.merge(json!({"tag": null, "n": {"k": 1}})),
        json!({"tag": null, "draft": true, "n": {"k": 1}}),
        Some("first"),
        east,
    );
    check_update(|update| update.replace(json!({"n": 1})), json!({"n": 1}), Some("first"), east);
    check_update(|update| update.remove(["draft", "absent"]), json!({"tag": "x"}), Some("first"), east);
    check_update(
        |update| update.replace(json!({"a": 1})).merge(json!({"b": 2, "c": 3})).remove(["b"]).vector([0.0, 1.0]),
        json!({"a": 1, "c": 3}),
        Some("first"),
        north,
    );
}

#[test]
fn an_update_needs_its_document_and_an_insert_its_absence() {
    let (_folder, db, notes) = notes();
    notes.insert(at("a")).unwrap();
    check_untouched(&db, || {
        assert_eq!(check_error(notes.insert(at("a")), "DocumentExists").kind(), ErrorKind::AlreadyExists);
        assert_eq!(check_error(notes.update(Update::new("b")), "DocumentNotFound").kind(), ErrorKind::NotFound);
        check_error(notes.insert_many([at("b"), at("c"), at("a")]), "2 DocumentExists");
        check_error(notes.insert_many([at("b"), at("b")]), "1 DocumentExists");
        check_error(notes.upsert_many([at("b"), Document::new([1.0])]), "1 DimensionMismatch");
    });
}

#[test]
fn deleting_what_is_not_there_is_no_error() {
    let (_folder, db, notes) = notes();
    notes.insert_many([at("a"), at("b"), at("c")]).unwrap();
    assert_eq!(notes.delete("a").unwrap().n_changed, 1);
    check_untouched(&db, || {
        let again = notes.delete("a").unwrap();
        assert_eq!((again.n_changed, again.commit.0), (0, last_commit(&db)));
    });
    let receipt = notes.delete_many(["a", "b", "b", "c"]).unwrap();
    assert_eq!((receipt.n_changed, receipt.ids.len(), notes.count(None).unwrap()), (2, 4, 0));
}

#[test]
fn delete_where_deletes_what_matches() {
    let (_folder, db, notes) = notes();
    notes.insert_many((0..10u64).map(|n| at(n).metadata(json!({"n": n})))).unwrap();
    let receipt = notes.delete_where(field("n").gte(7)).unwrap();
    assert_eq!((receipt.n_changed, receipt.ids.len(), notes.count(None).unwrap()), (3, 0, 7));
    check_untouched(&db, || assert_eq!(notes.delete_where(field("n").gte(7)).unwrap().n_changed, 0));
    assert_eq!(notes.delete_where(vectrove::Filter::everything()).unwrap().n_changed, 7);
}

#[test]
fn documents_can_be_taken_out_and_put_elsewhere() {
    let (_folder, db, notes) = notes();
    notes.insert(at("a").metadata(json!({"n": 1})).text("t")).unwrap();
    let other = db.create_collection("other", CollectionConfig::new(2)).unwrap();
    other.insert(notes.get("a").unwrap().unwrap().into()).unwrap();
    let (here, there) = (notes.get("a").unwrap().unwrap(), other.get("a").unwrap().unwrap());
    assert_eq!((here.vector, here.metadata, here.text), (there.vector, there.metadata, there.text));
}

// Commits and batches.

#[test]
fn commits_are_numbered_without_a_gap() {
    let (folder, db, notes) = notes();
    let first = notes.insert(at("a")).unwrap().commit.0;
    let numbers = [
        notes.upsert(at("a")).unwrap(),
        notes.update(Update::new("a")).unwrap(),
        notes.insert_many([at("b"), at("c")]).unwrap(),
        notes.delete_where(field("n").eq(1)).unwrap(),
        notes.insert_many([]).unwrap(),
        notes.delete("a").unwrap(),
    ];
    let numbers: Vec<u64> = numbers.iter().map(|receipt| receipt.commit.0 - first).collect();
    assert_eq!(numbers, [1, 2, 3, 3, 3, 4]);
    drop((db, notes));
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    assert_eq!(last_commit(&db), first + 4);
    assert_eq!(db.collection("notes").unwrap().delete("b").unwrap().commit.0, first + 5);
}

/// An expectation of one operation in a batch, and the error it meets. Document "a" exists with the
/// given version, and document "b" does not exist.
#[track_caller]
fn check_expectation(id: &str, expect: fn(&mut vectrove::Write, Commit), error: Option<&str>) {
    let (_folder, db, notes) = notes();
    let version = notes.insert(at("a")).unwrap().commit;
    let mut batch = db.batch();
    batch.insert(&notes, at("new"));
    expect(batch.upsert(&notes, at(id)), version);
    match error {
        None => assert_eq!(batch.commit().unwrap().n_changed, 2),
        Some(error) => check_untouched(&db, || _ = check_error(batch.commit(), &format!("1 {error}"))),
    }
}

#[test]
fn a_batch_with_an_expectation_that_fails_does_nothing() {
    check_expectation("a", |write, _| _ = write.must_exist(), None);
    check_expectation("b", |write, _| _ = write.must_exist(), Some("DocumentNotFound"));
    check_expectation("a", |write, _| _ = write.must_not_exist(), Some("DocumentExists"));
    check_expectation("b", |write, _| _ = write.must_not_exist(), None);
    check_expectation("a", |write, version| _ = write.expect_version(version), None);
    check_expectation("a", |write, Commit(n)| _ = write.expect_version(Commit(n - 1)), Some("VersionMismatch"));
    check_expectation("b", |write, version| _ = write.expect_version(version), Some("VersionMismatch"));
    check_expectation("a", |write, version| _ = write.must_exist().expect_version(version), None);
    check_expectation("a", |write, version| _ = write.expect_version(version).must_not_exist(), Some("DocumentExists"));
}

#[test]
fn a_refused_batch_says_which_operation_and_which_document() {
    let (_folder, db, notes) = notes();
    let mut batch = db.batch();
    batch.insert(&notes, at("a"));
    batch.update(&notes, Update::new("b"));
    let message = check_error(batch.commit(), "1 DocumentNotFound").to_string();
    assert!(message.contains("operation 1") && message.contains("id b") && message.contains("\"notes\""), "{message}");
    let version = notes.insert(at("a")).unwrap().commit;
    notes.upsert(at("a")).unwrap();
    let mut batch = db.batch();
    batch.delete(&notes, "a").expect_version(version);
    match check_error(batch.commit(), "0 VersionMismatch") {
        Error::InBatch { source, .. } => {
            assert_eq!(source.kind(), ErrorKind::Conflict);
            assert!(matches!(*source, Error::VersionMismatch { expected, got: Some(got), .. } if got > expected));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_batch_spans_collections_and_namespaces() {
    let (_folder, db, notes) = notes();
    let done = db.create_collection("done", CollectionConfig::new(3)).unwrap();
    let alice = done.namespace("alice").unwrap();
    notes.insert(at("a")).unwrap();
    let before = last_commit(&db);
    let mut batch = db.batch();
    batch.delete(&notes, "a").must_exist();
    batch.insert(&alice, Document::new([1.0, 2.0, 3.0]).id("a"));
    batch.insert(&done, Document::new([1.0, 2.0, 3.0]));
    let receipt = batch.commit().unwrap();
    assert_eq!((receipt.n_changed, receipt.commit.0, receipt.ids.len()), (3, before + 1, 3));
    assert_eq!((notes.count(None).unwrap(), alice.count(None).unwrap(), done.count(None).unwrap()), (0, 1, 1));
    let mut batch = db.batch();
    batch.insert(&notes, at("x"));
    batch.insert(&alice, Document::new([1.0, 2.0, 3.0]).id("a"));
    check_untouched(&db, || _ = check_error(batch.commit(), "1 DocumentExists"));
}

#[test]
fn a_batch_takes_no_collection_of_another_database() {
    let ((_folder, db, notes), (_other_folder, other)) = (notes(), database());
    let mut batch = other.batch();
    batch.insert(&notes, at("a"));
    check_untouched(&db, || check_untouched(&other, || _ = check_error(batch.commit(), "0 InvalidConfig")));
}

#[test]
fn operations_of_a_batch_see_those_before_them() {
    let (_folder, db, notes) = notes();
    notes.insert(at("a").text("old").metadata(json!({"n": 1}))).unwrap();
    let mut batch = db.batch();
    batch.delete(&notes, "a");
    batch.insert(&notes, Document::new([0.0, 1.0]).id("a"));
    batch.insert(&notes, at("b").metadata(json!({"n": 1}))).must_not_exist();
    batch.update(&notes, Update::new("b").merge(json!({"m": 2})).vector([0.5, 0.5])).must_exist();
    batch.insert(&notes, at("c"));
    batch.delete(&notes, "c").must_exist();
    batch.delete(&notes, "c").must_not_exist();
    let receipt = batch.commit().unwrap();
    assert_eq!((receipt.n_changed, notes.count(None).unwrap()), (2, 2));
    let [a, b] = ["a", "b"].map(|id| notes.get(id).unwrap().unwrap());
    assert_eq!((a.vector, a.text, a.metadata), (vec![0.0, 1.0], None, Value::object()));
    assert_eq!((b.vector, Json::from(b.metadata)), (vec![0.5, 0.5], json!({"n": 1, "m": 2})));
    let mut batch = db.batch();
    batch.upsert(&notes, at("d")).must_not_exist();
    batch.insert(&notes, at("d"));
    check_untouched(&db, || _ = check_error(batch.commit(), "1 DocumentExists"));
}

#[test]
fn a_batch_with_a_known_operation_id_is_not_written_again() {
    let (folder, db, notes) = notes();
    let id = Uuid::new_v4();
    let once = |db: &Database, document: Document| {
        let notes = db.collection("notes").unwrap();
        let mut batch = db.batch();
        batch.insert(&notes, document);
        batch.operation_id(id);
        batch.commit().unwrap()
    };
    let first = once(&db, at("a"));
    assert!(!first.repeated);
    notes.insert(at("between")).unwrap();
    let again = check_untouched(&db, || once(&db, at("a")));
    assert_eq!((again.repeated, again.commit, again.n_changed), (true, first.commit, 0));
    assert_eq!(again.ids, [DocId::from("a")]);
    drop((db, notes));
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    assert!(check_untouched(&db, || once(&db, at("a"))).repeated, "it is remembered across a close");
}

#[test]
fn an_operation_id_of_a_refused_batch_is_free() {
    let (_folder, db, notes) = notes();
    let id = Uuid::new_v4();
    let attempt = || {
        let mut batch = db.batch();
        batch.update(&notes, Update::new("a"));
        batch.operation_id(id);
        batch.commit()
    };
    check_error(attempt(), "0 DocumentNotFound");
    notes.insert(at("a")).unwrap();
    assert!(!attempt().unwrap().repeated);
    assert!(attempt().unwrap().repeated);
}

// Namespaces.

#[test]
fn namespaces_are_apart() {
    let (_folder, _db, notes) = notes();
    let (alice, bob) = (notes.namespace("alice").unwrap(), notes.namespace("bob").unwrap());
    assert_eq!((notes.namespace_name(), alice.namespace_name()), ("", "alice"));
    for (space, text) in [(&*notes, "everyone"), (&alice, "alice"), (&bob, "bob")] {
        space.insert(at("a").text(text)).unwrap();
    }
    assert_eq!(notes.namespaces("").unwrap(), ["alice", "bob"]);
    for (space, text) in [(&*notes, "everyone"), (&alice, "alice"), (&bob, "bob")] {
        let hits = space.search([1.0, 0.0]).run().unwrap();
        assert_eq!((hits.len(), hits[0].text.as_deref()), (1, Some(text)));
        assert_eq!(space.scroll().run().unwrap().documents.len(), 1);
    }
    assert_eq!(alice.delete_where(vectrove::Filter::everything()).unwrap().n_changed, 1);
    assert_eq!((notes.count(None).unwrap(), alice.count(None).unwrap(), bob.count(None).unwrap()), (1, 0, 1));
    assert_eq!(notes.namespaces("").unwrap(), ["bob"]);
    alice.insert(at("b")).unwrap();
    assert_eq!(notes.namespaces("").unwrap(), ["alice", "bob"], "a name emptied can be used again");
}

#[test]
fn a_namespace_that_never_held_anything_is_empty() {
    let (_folder, db, notes) = notes();
    let nobody = notes.namespace("nobody").unwrap();
    check_untouched(&db, || {
        assert_eq!((nobody.count(None).unwrap(), nobody.contains("a").unwrap()), (0, false));
        assert_eq!(nobody.count(field("a").eq(1)).unwrap(), 0);
        assert!(nobody.get("a").unwrap().is_none() && nobody.search([1.0, 0.0]).run().unwrap().is_empty());
        assert!(nobody.scroll().run().unwrap().documents.is_empty());
        assert_eq!(nobody.delete("a").unwrap().n_changed, 0);
        check_error(nobody.search(Query::like("a")).run(), "DocumentNotFound");
    });
    assert_eq!(notes.namespaces("").unwrap(), Vec::<String>::new());
}

// Collections.

#[test]
fn collections_are_listed_in_order_and_found_by_name() {
    let (folder, db) = database();
    for name in ["b", "a", "B", "a-b_9"] {
        db.create_collection(name, CollectionConfig::new(1)).unwrap();
    }
    assert_eq!(db.collections().unwrap(), ["B", "a", "a-b_9", "b"]);
    check_error(db.collection("c"), "CollectionNotFound");
    assert_eq!(db.collections().unwrap().len(), 4, "reading a collection never creates it");
    db.close().unwrap();
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    assert_eq!(db.collections().unwrap(), ["B", "a", "a-b_9", "b"]);
}

#[track_caller]
fn check_conflict(asked: CollectionConfig, conflict: Option<&str>) {
    let (_folder, db) = database();
    db.create_collection("c", CollectionConfig::new(4)).unwrap();
    match (db.get_or_create_collection("c", asked), conflict) {
        (Ok(found), None) => assert_eq!(found.config(), &CollectionConfig::new(4)),
        (Err(Error::ConfigConflict { name, field, .. }), Some(expected)) => {
            assert_eq!((&*name, field), ("c", expected))
        }
        (outcome, expected) => panic!("expected {expected:?}, got {outcome:?}"),
    }
}

#[test]
fn a_collection_is_not_taken_for_another() {
    check_conflict(CollectionConfig::new(4), None);
    check_conflict(CollectionConfig::new(4).normalize(true), None);
    check_conflict(CollectionConfig::new(5), Some("dimension"));
    check_conflict(CollectionConfig::new(4).metric(Metric::Dot), Some("metric"));
    check_conflict(CollectionConfig::new(4).metric(Metric::Dot).normalize(true), Some("metric"));
}

#[test]
fn handles_stay_good_when_a_collection_is_renamed() {
    let (folder, db, notes) = notes();
    let alice = notes.namespace("alice").unwrap();
    alice.insert(at("a")).unwrap();
    db.rename_collection("notes", "memories").unwrap();
    alice.insert(at("b")).unwrap();
    assert_eq!((notes.name().as_str(), alice.count(None).unwrap()), ("memories", 2));
    check_error(db.collection("notes"), "CollectionNotFound");
    db.create_collection("notes", CollectionConfig::new(7)).unwrap();
    check_error(db.rename_collection("notes", "memories"), "CollectionExists");
    check_error(db.rename_collection("nothing", "x"), "CollectionNotFound");
    check_error(db.rename_collection("notes", "../notes"), "InvalidName");
    db.rename_collection("notes", "notes").unwrap();
    drop((db, notes, alice));
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    assert_eq!(db.collections().unwrap(), ["memories", "notes"]);
    assert_eq!(db.collection("memories").unwrap().namespace("alice").unwrap().count(None).unwrap(), 2);
}

/// Asserts that every call on a collection is refused with one error.
#[track_caller]
fn check_every_call(notes: &Collection, expected: &str) {
    check_error(notes.insert(at("a")), expected);
    check_error(notes.insert_many([at("a")]), expected);
    check_error(notes.upsert(at("a")), expected);
    check_error(notes.update(Update::new("a")), expected);
    check_error(notes.delete("a"), expected);
    check_error(notes.delete_where(field("a").eq(1)), expected);
    check_error(notes.get("a"), expected);
    check_error(notes.contains("a"), expected);
    check_error(notes.count(None), expected);
    check_error(notes.count(field("a").eq(1)), expected);
    check_error(notes.scroll().run(), expected);
    check_error(notes.search([1.0, 0.0]).run(), expected);
    check_error(notes.search_many([[1.0, 0.0]]).run(), expected);
    check_error(notes.namespaces(""), expected);
}

#[test]
fn a_dropped_collection_is_gone_for_every_handle() {
    let (folder, db, notes) = notes();
    notes.insert(at("a")).unwrap();
    let mut batch = db.batch();
    batch.delete(&notes, "a");
    db.drop_collection("notes").unwrap();
    check_every_call(&notes, "CollectionNotFound");
    check_error(batch.commit(), "0 CollectionNotFound");
    check_error(db.drop_collection("notes"), "CollectionNotFound");
    assert_eq!((notes.name().as_str(), db.collections().unwrap().len()), ("notes", 0));
    let again = db.create_collection("notes", CollectionConfig::new(3)).unwrap();
    assert_eq!(again.count(None).unwrap(), 0);
    check_every_call(&notes, "CollectionNotFound");
    drop((db, notes, again));
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    assert_eq!(db.collection("notes").unwrap().config().dimension, 3);
}

#[test]
fn a_closed_database_is_closed_for_every_handle() {
    let (folder, db, notes) = notes();
    notes.insert(at("a")).unwrap();
    let mut batch = db.batch();
    batch.delete(&notes, "a");
    let other = db.clone();
    db.close().unwrap();
    check_every_call(&notes, "Closed");
    check_error(batch.commit(), "Closed");
    check_error(other.collections(), "Closed");
    check_error(other.collection("notes"), "Closed");
    check_error(other.create_collection("x", CollectionConfig::new(1)), "Closed");
    check_error(other.drop_collection("notes"), "Closed");
    check_error(other.rename_collection("notes", "x"), "Closed");
    check_error(other.stats(), "Closed");
    check_error(other.verify(), "Closed");
    check_error(other.flush(), "Closed");
    check_error(other.checkpoint(folder.path().join("copy")), "Closed");
    assert_eq!(check_error(notes.count(None), "Closed").kind(), ErrorKind::Unavailable);
    other.close().unwrap();
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    assert!(db.collection("notes").unwrap().contains("a").unwrap());
    check_every_call(&notes, "Closed");
}

#[test]
fn any_handle_keeps_the_database_open() {
    let (folder, db, notes) = notes();
    drop(db);
    notes.insert(at("a")).unwrap();
    let space = notes.namespace("alice").unwrap();
    drop(notes);
    space.insert(at("b")).unwrap();
    let search = space.search([1.0, 0.0]);
    drop(space);
    check_error(Database::open(folder.path().join("db")), "Busy");
    assert_eq!(search.run().unwrap().len(), 1);
    Database::open_with(folder.path().join("db"), quick()).unwrap();
}

// Searching.

/// Asserts the distance and the score of one document for a query.
#[track_caller]
fn check_distance(config: CollectionConfig, query: [f32; 2], stored: [f32; 2], distance: f32, score: f32) {
    let (_folder, db) = database();
    let collection = db.create_collection("c", config).unwrap();
    collection.insert(Document::new(stored)).unwrap();
    let hit = collection.search(query).run().unwrap().items.pop().unwrap();
    let close = |a: f32, b: f32| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
    assert!(close(hit.distance, distance) && close(hit.score, score), "{:?}: {hit:?}", collection.config());
}

#[test]
fn distances_and_scores_are_the_metrics_own() {
    let under = |metric| CollectionConfig::new(2).metric(metric);
    check_distance(under(Metric::Cosine), [1.0, 0.0], [3.0, 4.0], 0.4, 0.6);
    check_distance(under(Metric::Cosine), [2.0, 0.0], [5.0, 0.0], 0.0, 1.0);
    check_distance(under(Metric::Cosine), [2.0, 0.0], [-5.0, 0.0], 2.0, -1.0);
    check_distance(under(Metric::Dot), [2.0, 1.0], [3.0, 4.0], -10.0, 10.0);
    check_distance(under(Metric::Dot), [2.0, 1.0], [-3.0, -4.0], 10.0, -10.0);
    check_distance(under(Metric::Dot).normalize(true), [2.0, 0.0], [3.0, 4.0], -0.6, 0.6);
    check_distance(under(Metric::Euclidean), [0.0, 0.0], [3.0, 4.0], 5.0, 1.0 / 6.0);
    check_distance(under(Metric::Euclidean), [3.0, 4.0], [3.0, 4.0], 0.0, 1.0);
    check_distance(under(Metric::Euclidean).normalize(true), [9.0, 0.0], [0.0, 7.0], 2f32.sqrt(), 0.414_213_56);
    check_distance(under(Metric::Manhattan), [1.0, -1.0], [3.0, 4.0], 7.0, 0.125);
    check_distance(under(Metric::Manhattan).normalize(true), [2.0, 0.0], [3.0, 4.0], 1.2, 1.0 / 2.2);
}

/// A collection with documents 0 to 9 on a line, each at the distance of its number from zero; odd
/// ones are marked.
fn line() -> (TempDir, Database, Collection) {
    let (folder, db) = database();
    let line = db.create_collection("line", CollectionConfig::new(1).metric(Metric::Euclidean)).unwrap();
    let point = |n: u64| Document::new([n as f32]).id(n).metadata(json!({"n": n, "odd": n % 2 == 1, "a.b": "x"}));
    line.insert_many((0..10).map(point)).unwrap();
    (folder, db, line)
}

#[track_caller]
fn check_found(set: fn(vectrove::Search) -> vectrove::Search, expected: &[u64]) {
    let (_folder, _db, line) = line();
    let hits = set(line.search([0.0])).run().unwrap();
    let ids: Vec<DocId> = hits.into_iter().map(|hit| hit.id).collect();
    assert_eq!(ids, expected.iter().map(|&n| DocId::from(n)).collect::<Vec<_>>());
}

#[test]
fn limits_offsets_and_bounds_cut_the_answer() {
    let all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    check_found(|search| search, &all);
    check_found(|search| search.limit(0), &[]);
    check_found(|search| search.limit(3), &[0, 1, 2]);
    check_found(|search| search.limit(usize::MAX), &all);
    check_found(|search| search.limit(2).offset(3), &[3, 4]);
    check_found(|search| search.offset(8), &[8, 9]);
    check_found(|search| search.offset(10), &[]);
    check_found(|search| search.offset(usize::MAX).limit(usize::MAX), &[]);
    check_found(|search| search.max_distance(2.0), &[0, 1, 2]);
    check_found(|search| search.max_distance(-1.0), &[]);
    check_found(|search| search.max_distance(f32::INFINITY), &all);
    check_found(|search| search.min_score(0.25), &[0, 1, 2, 3]);
    check_found(|search| search.min_score(1.1), &[]);
    check_found(|search| search.min_score(f32::NEG_INFINITY).max_distance(5.0).offset(4), &[4, 5]);
    check_found(|search| search.filter(field("odd").eq(true)).limit(2), &[1, 3]);
    check_found(|search| search.filter(field("odd").eq(true)).offset(3), &[7, 9]);
    check_found(|search| search.filter(field("n").gt(6)).max_distance(8.0), &[7, 8]);
    check_found(|search| search.filter(field("absent").eq(1)), &[]);
}

#[track_caller]
fn check_fields(fields: &[&str], metadata: Json) {
    let (_folder, _db, line) = line();
    let hits = line.search([0.0]).fields(fields.iter().copied()).limit(1).run().unwrap();
    assert_eq!(Json::from(hits[0].metadata.clone()), metadata);
}

#[test]
fn hits_carry_the_fields_that_were_asked_for() {
    check_fields(&[], json!({}));
    check_fields(&["n"], json!({"n": 0}));
    check_fields(&["n", "n", "a.b", "absent"], json!({"n": 0, "a.b": "x"}));
    let (_folder, _db, line) = line();
    let hits = line.search([3.0]).limit(1).run().unwrap();
    assert_eq!((&hits[0].vector, hits[0].metadata.as_object().unwrap().len()), (&None, 3));
    let hits = line.search([3.0]).limit(1).with_vector(true).run().unwrap();
    assert_eq!((hits[0].vector.as_deref(), hits[0].version), (Some(&[3.0][..]), hits.commit));
}

#[test]
fn a_search_sees_what_was_just_written() {
    let (_folder, _db, line) = line();
    for n in 0..200u64 {
        let id = format!("new-{n}");
        let commit = line.insert(Document::new([-1.0 - n as f32]).id(id.as_str())).unwrap().commit;
        let hits = line.search([-1.0 - n as f32]).limit(1).run().unwrap();
        assert_eq!((&hits[0].id, hits.commit), (&DocId::from(id.as_str()), commit));
        line.update(Update::new(id.as_str()).vector([1_000.0 + n as f32])).unwrap();
        let hits = line.search([1_000.0 + n as f32]).limit(1).run().unwrap();
        assert_eq!((&hits[0].id, hits[0].distance), (&DocId::from(id.as_str()), 0.0));
        line.delete(id.as_str()).unwrap();
        assert!(line.search([1_000.0]).limit(usize::MAX).run().unwrap().iter().all(|hit| hit.id != id.as_str().into()));
    }
}

#[test]
fn documents_like_one_leave_it_out() {
    let (_folder, _db, line) = line();
    line.insert(Document::new([4.0]).id("twin of 4")).unwrap();
    let hits = line.search(Query::like(4)).limit(3).run().unwrap();
    assert_eq!((hits[0].id.clone(), hits[0].distance), (DocId::from("twin of 4"), 0.0));
    assert_eq!(hits.iter().map(|hit| hit.distance).collect::<Vec<_>>(), [0.0, 1.0, 1.0]);
    let hits = line.search(Query::like(4)).filter(field("odd").eq(true)).limit(usize::MAX).run().unwrap();
    assert_eq!(hits.len(), 5, "the document itself need not match");
    assert_eq!(line.search(Query::like(4)).limit(usize::MAX).run().unwrap().len(), 10);
    check_error(line.search(Query::like("absent")).run(), "DocumentNotFound");
    check_error(line.namespace("x").unwrap().search(Query::like(4)).run(), "DocumentNotFound");
}

#[test]
fn documents_like_several_lie_around_their_mean() {
    let (_folder, _db, line) = line();
    let found = |query: Query| -> Vec<(DocId, f32)> {
        let hits = line.search(query).limit(3).run().unwrap();
        hits.iter().map(|hit| (hit.id.clone(), hit.distance)).collect()
    };
    let at = |ids: [u64; 3], distances: [f32; 3]| -> Vec<(DocId, f32)> {
        ids.map(DocId::from).into_iter().zip(distances).collect()
    };
    let ids = |found: Vec<(DocId, f32)>| found.into_iter().map(|(id, _)| id).collect::<HashSet<_>>();
    let mean = found(Query::recommend([2, 4]));
    assert_eq!((mean[0].clone(), mean[1].1, mean[2].1), (at([3; 3], [0.0; 3])[0].clone(), 2.0, 2.0));
    assert_eq!(ids(mean), [1, 3, 5].map(DocId::from).into(), "the examples are left out");
    let away = found(Query::recommend([4]).negative([2]));
    assert_eq!(away[0], (DocId::from(6), 0.0), "twice 4 less 2");
    let further = found(Query::from([4.5]).negative([[3.0]]).negative([5]));
    assert_eq!(ids(further[..2].to_vec()), [4, 6].map(DocId::from).into(), "around 5, which is left out");
    let mixed = Query::recommend([Example::from(2), Example::from([4.5])]).negative(Vec::<Example>::new());
    assert_eq!(found(mixed)[0], (DocId::from(3), 0.25));
    assert_eq!(line.search(Query::recommend([4, 4]).negative([4])).limit(usize::MAX).run().unwrap().len(), 9);
    check_error(line.search(Query::recommend(["absent"])).run(), "DocumentNotFound");
    check_error(line.search(Query::recommend([1]).negative(["absent"])).run(), "DocumentNotFound");
    check_error(line.search(Query::recommend(Vec::<Example>::new())).run(), "InvalidVector");
    check_error(line.search(Query::recommend(Vec::<Example>::new()).negative([1])).run(), "InvalidVector");
    check_error(
        line.search(Query::recommend([Example::from(1), Example::from([1.0, 2.0])])).run(),
        "DimensionMismatch",
    );
    check_error(line.search(Query::recommend([[f32::NAN], [1.0]])).run(), "InvalidVector");
    check_error(line.search(Query::recommend([[f32::MAX]; 2]).negative([[f32::MIN]; 2])).run(), "InvalidVector");
}

#[test]
fn examples_count_at_unit_length_where_directions_are_compared() {
    let (_folder, db) = common::database();
    let compass = db.create_collection("compass", CollectionConfig::new(2)).unwrap();
    let points = [("east", [10.0, 0.0]), ("north", [0.0, 0.1]), ("northeast", [2.0, 2.0]), ("west", [-1.0, 0.0])];
    compass.insert_many(points.map(|(id, vector)| Document::new(vector).id(id))).unwrap();
    let hits = compass.search(Query::recommend(["east", "north"])).run().unwrap();
    assert_eq!(hits[0].id, "northeast".into());
    assert!((hits[0].score - 1.0).abs() < 1e-6, "{hits:?}");
    check_error(compass.search(Query::recommend(["east", "west"])).run(), "InvalidVector");
}

#[test]
fn a_walk_leaves_all_examples_out() {
    let (_folder, db) = common::database();
    let collection = db.create_collection("c", CollectionConfig::new(24)).unwrap();
    let mut random = common::random(5);
    let vectors: Vec<Vec<f32>> =
        (0..3_000).map(|_| (0..24).map(|_| random.random_range(-1.0..1.0)).collect()).collect();
    collection
        .insert_many((0..).zip(&vectors).map(|(id, vector)| Document::new(vector.clone()).id(id as u64)))
        .unwrap();
    collection.wait_indexed().unwrap();
    let near: Vec<DocId> =
        collection.search(&vectors[7]).limit(40).run().unwrap().iter().map(|hit| hit.id.clone()).collect();
    let (liked, unliked) = near.split_at(30);
    let query = Query::recommend(liked).negative(unliked);
    let walked = collection.search(query.clone()).limit(20).ef(400).strategy(Strategy::Graph).run().unwrap();
    let scanned = collection.search(query).limit(20).exact(true).run().unwrap();
    assert_eq!((walked.stats.strategy, scanned.stats.strategy), (Strategy::Graph, Strategy::Exact));
    assert_eq!((walked.len(), scanned.len()), (20, 20));
    assert!(walked.iter().chain(scanned.iter()).all(|hit| !near.contains(&hit.id)));
    let same = walked.iter().filter(|hit| scanned.iter().any(|other| other.id == hit.id)).count();
    assert!(same >= 18, "{same} of 20");
}

/// The same choice in the most obvious way, which recomputes all scores in each step.
fn chosen_by_hand(lambda: f32, near: &[(usize, f32)], score: &dyn Fn(usize, usize) -> f32) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < near.len() {
        let worth = |&&(row, to_query): &&(usize, f32)| {
            let like = chosen.iter().map(|&other| score(row, other)).fold(f32::NEG_INFINITY, f32::max);
            lambda * to_query - (1.0 - lambda) * if chosen.is_empty() { 0.0 } else { like }
        };
        let rest = near.iter().filter(|(row, _)| !chosen.contains(row));
        let best = rest.max_by(|a, b| worth(a).total_cmp(&worth(b))).unwrap().0;
        chosen.push(best);
    }
    chosen
}

#[test]
fn hits_that_differ_are_chosen_by_nearness_and_difference() {
    for metric in [Metric::Cosine, Metric::Euclidean, Metric::Dot, Metric::Manhattan] {
        let (_folder, db) = common::database();
        let collection = db.create_collection("c", CollectionConfig::new(6).metric(metric)).unwrap();
        let mut random = common::random(6);
        let vectors: Vec<Vec<f32>> =
            (0..400).map(|_| (0..6).map(|_| random.random_range(-1.0..1.0)).collect()).collect();
        let document =
            |id: usize| Document::new(vectors[id].clone()).id(id as u64).metadata(json!({"odd": id % 2 == 1}));
        collection.insert_many((0..400).map(document)).unwrap();
        let row = |id: &DocId| id.to_string().parse::<usize>().unwrap();
        let scores: Vec<HashMap<DocId, f32>> = vectors
            .iter()
            .map(|vector| {
                let hits = collection.search(vector).limit(usize::MAX).exact(true).run().unwrap();
                hits.iter().map(|hit| (hit.id.clone(), hit.score)).collect()
            })
            .collect();
        let score = |a: usize, b: usize| scores[a][&DocId::from(b as u64)];
        let query = [0.5, -0.2, 0.1, 0.9, -0.4, 0.3];
        for lambda in [0.0, 0.3, 0.7, 1.0] {
            let search = || collection.search(query).exact(true).filter(field("odd").eq(true)).mmr(lambda, 40);
            let plain = collection.search(query).exact(true).filter(field("odd").eq(true)).limit(40).run().unwrap();
            let near: Vec<(usize, f32)> = plain.iter().map(|hit| (row(&hit.id), hit.score)).collect();
            let rows = |hits: vectrove::Hits| hits.iter().map(|hit| row(&hit.id)).collect::<Vec<_>>();
            let all = rows(search().limit(usize::MAX).run().unwrap());
            // From the second choice on: with a lambda of 0, all are equal in the first.
            let by_hand = chosen_by_hand(lambda, &near, &score);
            if lambda > 0.0 {
                assert_eq!(all, by_hand, "{metric}, {lambda}");
            } else {
                assert_eq!(all[0], near[0].0, "{metric}: of equals the nearest");
            }
            assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (40, 40));
            if lambda == 1.0 {
                assert_eq!(all, near.iter().map(|&(row, _)| row).collect::<Vec<_>>(), "{metric}");
            }
            assert_eq!(rows(search().limit(5).run().unwrap()), all[..5], "{metric}, {lambda}");
            assert_eq!(rows(search().offset(3).limit(5).run().unwrap()), all[3..8], "{metric}, {lambda}");
            let least = near[10].1;
            let hits = search().min_score(least).limit(usize::MAX).run().unwrap();
            assert!(hits.len() >= 11 && hits.iter().all(|hit| hit.score >= least), "{metric}, {lambda}");
        }
    }
    let (_folder, _db, line) = line();
    for (lambda, candidates) in [(f32::NAN, 5), (-0.1, 5), (1.1, 5), (0.5, 0), (0.5, 4_097)] {
        check_error(line.search([0.0]).mmr(lambda, candidates).run(), "InvalidConfig");
    }
    assert_eq!(line.search([0.0]).mmr(0.5, 4_096).limit(0).run().unwrap().len(), 0);
    assert_eq!(line.search([0.0]).mmr(0.5, 4).limit(9).run().unwrap().len(), 4);
}

#[test]
fn many_searches_answer_as_one_by_one() {
    let (_folder, _db, line) = line();
    let queries: Vec<Query> =
        (0..50).map(|n| if n % 7 == 0 { Query::like(n % 10) } else { Query::from([n as f32 / 4.0]) }).collect();
    let set = |search| -> vectrove::Search<_> { vectrove::Search::filter(search, field("n").lt(8)).limit(4) };
    let together = line.search_many(queries.clone()).filter(field("n").lt(8)).limit(4).run().unwrap();
    let alone: Vec<_> = queries.into_iter().map(|query| set(line.search(query)).run().unwrap()).collect();
    assert_eq!(together, alone);
    assert!(line.search_many(Vec::<Query>::new()).run().unwrap().is_empty());
    let refused = line.search_many([vec![1.0], vec![2.0], vec![3.0, 4.0]]).run();
    check_error(refused, "2 DimensionMismatch");
}

// Scrolling and counting.

#[test]
fn scrolling_follows_the_order_of_ids() {
    let (_folder, _db, notes) = notes();
    let low = Uuid::nil();
    let high = Uuid::max();
    let ordered: Vec<DocId> = vec![
        DocId::from(0),
        DocId::from(2),
        DocId::from(10),
        DocId::from(256),
        DocId::from(u64::MAX),
        DocId::from(low),
        DocId::from(high),
        DocId::from("\0"),
        DocId::from("10"),
        DocId::from("2"),
        DocId::from("A"),
        DocId::from("a"),
        DocId::from("a\0"),
        DocId::from("a\0b"),
        DocId::from("a\u{1}"),
        DocId::from("aa"),
        DocId::from("x".repeat(512)),
        DocId::from("ß"),
    ];
    notes.insert_many(ordered.iter().rev().map(at)).unwrap();
    for limit in [1, 2, 5, 17, 18, 19, usize::MAX] {
        let (mut ids, mut after, mut n_pages) = (Vec::new(), None, 0);
        loop {
            let page = notes.scroll().limit(limit).after(after).run().unwrap();
            ids.extend(page.documents.into_iter().map(|document| document.id));
            n_pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(ids, ordered, "pages of {limit}");
        assert_eq!(n_pages, ordered.len().div_ceil(limit), "pages of {limit}");
    }
}

#[test]
fn a_cursor_stays_good_whatever_is_written() {
    let (_folder, _db, line) = line();
    let page = line.scroll().limit(4).run().unwrap();
    let cursor = page.next.unwrap();
    assert_eq!((cursor.id(), &cursor), (&DocId::from(3), &Cursor::after(3)));
    line.delete_many([3u64, 4]).unwrap();
    line.insert(Document::new([0.0]).id("later")).unwrap();
    let page = line.scroll().after(cursor).filter(field("odd").eq(true)).with_vector(true).run().unwrap();
    let ids: Vec<DocId> = page.documents.iter().map(|document| document.id.clone()).collect();
    assert_eq!((ids, page.next), ([5, 7, 9].map(DocId::from).to_vec(), None));
    assert_eq!(page.documents[0].vector, [5.0]);
    assert!(line.scroll().after(Cursor::after("zzz")).run().unwrap().documents.is_empty());
}

#[test]
fn an_empty_page_leads_on_from_where_it_was() {
    let (_folder, _db, line) = line();
    let page = line.scroll().limit(0).after(Cursor::after(3)).run().unwrap();
    assert_eq!((page.documents, page.next), (Vec::new(), Some(Cursor::after(3))));
}

#[test]
fn counts_follow_filters() {
    let (_folder, _db, line) = line();
    assert_eq!(line.count(None).unwrap(), 10);
    assert_eq!(line.count(vectrove::Filter::everything()).unwrap(), 10);
    assert_eq!(line.count(field("odd").eq(true)).unwrap(), 5);
    assert_eq!(line.count(!field("odd").eq(true) & field("n").between(1, 5)).unwrap(), 2);
    assert_eq!(line.count(field("a.b").eq("x")).unwrap(), 10);
}

// The database.

#[test]
fn a_checkpoint_is_a_database_of_its_own() {
    let (folder, db, notes) = notes();
    notes.insert(at("a").text("first")).unwrap();
    let before = content(&db);
    let path = folder.path().join("deep/copy");
    let commit = db.checkpoint(&path).unwrap();
    assert_eq!(commit.0, last_commit(&db));
    notes.upsert(at("a").text("second")).unwrap();
    notes.insert(at("b")).unwrap();
    check_error(db.checkpoint(&path), "Io");
    let copy = Database::open_with(&path, quick()).unwrap();
    assert_eq!(content(&copy), before);
    copy.verify().unwrap();
    copy.collection("notes").unwrap().delete("a").unwrap();
    db.drop_collection("notes").unwrap();
    assert_eq!((content(&db).len(), content(&copy).len()), (0, 0));
    assert_eq!(copy.collections().unwrap(), ["notes"]);
}

#[test]
fn a_database_is_open_once() {
    let (folder, db) = database();
    let path = folder.path().join("db");
    for spelling in [path.clone(), folder.path().join("./db/"), folder.path().join("db/../db")] {
        match check_error(Database::open_with(&spelling, quick()), "Busy") {
            error @ Error::Busy { .. } => {
                assert_eq!(error.kind(), ErrorKind::Busy);
                assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
            }
            other => panic!("{other}"),
        }
    }
    drop(db);
    Database::open_with(path, quick()).unwrap();
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| match path.is_dir() {
        true => files(&path).into_iter().collect::<Vec<_>>(),
        false => vec![(path.display().to_string(), std::fs::read(path).unwrap())],
    };
    entries.flat_map(read).collect()
}

#[test]
fn a_database_is_created_only_where_it_may_be() {
    let folder = common::folder();
    let path = folder.path().join("a/b");
    let error = check_error(Database::open_with(&path, quick().create_if_missing(false)), "DatabaseNotFound");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!folder.path().join("a").exists(), "nothing was created");
    std::fs::create_dir_all(&path).unwrap();
    check_error(Database::open_with(&path, quick().create_if_missing(false)), "DatabaseNotFound");
    assert_eq!(files(folder.path()), BTreeMap::new());
    Database::open_with(&path, quick()).unwrap().close().unwrap();
    Database::open_with(&path, quick().create_if_missing(false)).unwrap();
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let folder = common::folder();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    for name in ["letter.txt", "data/CURRENT"] {
        std::fs::write(folder.path().join(name), b"mine").unwrap();
    }
    let before = files(folder.path());
    let error = check_error(Database::open_with(folder.path(), quick()), "Corruption");
    assert!(error.to_string().contains("superblock"), "{error}");
    assert_eq!(files(folder.path()), before);
    let file = folder.path().join("letter.txt");
    assert!(Database::open_with(&file, quick()).is_err(), "a file is no folder");
    assert_eq!(files(folder.path()), before);
}

#[test]
fn figures_are_those_of_the_database() {
    let (folder, db, notes) = notes();
    notes.namespace("alice").unwrap().insert(at("a")).unwrap();
    let receipt = notes.insert_many([at("a"), at("b")]).unwrap();
    db.flush().unwrap();
    let stats = db.stats().unwrap();
    assert_eq!((stats.commit, stats.durable_commit), (receipt.commit, receipt.commit));
    assert_eq!((stats.log_start, &stats.read_only), (Commit(1), &None));
    assert!(stats.n_syncs > 0 && stats.engine_memory_bytes >= stats.write_buffer_bytes);
    let [collection] = stats.collections.as_slice() else { panic!("{stats:?}") };
    assert_eq!((collection.name.as_str(), &collection.config), ("notes", &CollectionConfig::new(2)));
    assert_eq!((collection.n_documents, collection.n_namespaces), (3, 2));
    assert!(collection.memory_bytes >= 3 * 2 * 4);
    let verified = db.verify().unwrap();
    assert_eq!((verified.n_collections, verified.n_documents), (1, 3));
    assert_eq!((verified.n_commits, verified.commit), (receipt.commit.0, receipt.commit));
    db.close().unwrap();
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    assert!(db.stats().unwrap().collections[0].disk_bytes > 0, "a close puts rows into files");
}

#[test]
fn every_durability_survives_a_close() {
    for durability in [Durability::Sync, Durability::Wal] {
        let folder = common::folder();
        let options = || Options::new().durability(durability);
        let db = Database::open_with(folder.path(), options()).unwrap();
        let notes = db.get_or_create_collection("notes", CollectionConfig::new(2)).unwrap();
        let commit = notes.insert(at("a")).unwrap().commit;
        if durability == Durability::Sync {
            assert_eq!(db.stats().unwrap().durable_commit, commit);
        }
        drop((db, notes));
        let db = Database::open_with(folder.path(), options()).unwrap();
        assert_eq!(db.stats().unwrap().durable_commit, commit);
        assert!(db.collection("notes").unwrap().contains("a").unwrap());
    }
}

#[test]
fn the_log_forgets_what_is_older_than_its_retention() {
    let folder = common::folder();
    let options = || quick().log_retention(10);
    for _ in 0..3 {
        let db = Database::open_with(folder.path(), options()).unwrap();
        let notes = db.get_or_create_collection("notes", CollectionConfig::new(2)).unwrap();
        (0..400u64).for_each(|n| _ = notes.upsert(at(n)).unwrap());
    }
    let db = Database::open_with(folder.path(), options()).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while db.stats().unwrap().log_start == Commit(1) && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let stats = db.stats().unwrap();
    assert!(stats.log_start > Commit(1), "the log of {} commits in files was not trimmed", stats.commit);
    assert!(stats.commit.0 - stats.log_start.0 >= 10);
    db.verify().unwrap();
    db.close().unwrap();
    let db = Database::open_with(folder.path(), options()).unwrap();
    assert_eq!(db.collection("notes").unwrap().count(None).unwrap(), 400);
}

// The full data set.

/// Asserts that searches find the true nearest; a document as near as the tenth counts as found.
fn check_recall(collection: &Collection, data: &common::dataset::DataSet) {
    const K: usize = 10;
    let queries = &data.query.vectors[..250];
    let answers = collection.search_many(queries).limit(K).exact(true).run().unwrap();
    let distance = |query: &[f32], row: u32| {
        common::oracle::distance(collection.config(), query, &data.base.vectors[row as usize])
    };
    let n_right = |(query, (truth, hits)): (&Vec<f32>, (&Vec<u32>, &vectrove::Hits))| {
        let bound = distance(query, truth[K - 1]) + 1e-6;
        assert_eq!(hits.len(), K);
        assert_eq!(hits[0].text.as_ref().map(|text| text.contains(&hits[0].id.to_string())), Some(true));
        hits.iter().filter(|hit| f64::from(hit.distance) <= bound).count()
    };
    let n_right: usize = queries.iter().zip(data.truth.iter().zip(&answers)).map(n_right).sum();
    let recall = n_right as f64 / (queries.len() * K) as f64;
    assert!(recall >= 0.999, "recall@{K} of {recall}");
}

#[test]
fn the_full_data_set_is_searched_exactly() {
    let Some(data) = common::dataset::load("the_full_data_set_is_searched_exactly") else { return };
    let (folder, db) = database();
    let packages = db.create_collection("packages", CollectionConfig::new(384)).unwrap();
    let rows: Vec<usize> = (0..data.base.vectors.len()).collect();
    for rows in rows.chunks(1_000) {
        packages.insert_many(rows.iter().map(|&row| data.base.document(row))).unwrap();
    }
    assert_eq!(packages.count(None).unwrap(), data.base.vectors.len());
    check_recall(&packages, &data);
    drop((db, packages));
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    let packages = db.collection("packages").unwrap();
    check_recall(&packages, &data);
    let in_libs = data.base.metadata.par_iter().filter(|row| row["section"] == "libs").count();
    assert_eq!(packages.count(field("section").eq("libs")).unwrap(), in_libs);
    assert_eq!(db.verify().unwrap().n_documents, data.base.vectors.len());
}

#[test]
fn errors_of_one_write_have_no_position() {
    let (_folder, _db, notes) = notes();
    let outcome = notes.insert(Document::new([1.0]).id("a"));
    assert_eq!(outcome.map_err(|error| label(&error)).unwrap_err(), "DimensionMismatch");
}

#[test]
fn each_of_many_hits_is_the_document_that_was_found() {
    const N: u64 = 1_000;
    let (_folder, db) = database();
    let line = db.create_collection("line", CollectionConfig::new(1).metric(Metric::Euclidean)).unwrap();
    line.insert_many((0..N).map(|n| Document::new([n as f32]).id(n))).unwrap();
    for with_document in [true, false] {
        let hits = line.search([0.0]).limit(N as usize).exact(true).with_document(with_document).run().unwrap();
        let found: Vec<(Option<u64>, f32)> = hits.iter().map(|hit| (hit.id.as_u64(), hit.distance)).collect();
        assert_eq!(found, (0..N).map(|n| (Some(n), n as f32)).collect::<Vec<_>>());
    }
}
