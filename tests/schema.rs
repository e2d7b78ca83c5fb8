//! Documents satisfy the schema of their collection, by each way of writing and each change of the
//! schema.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use vectrove::{
    Collection, CollectionConfig, Database, Document, Error, ErrorKind, Options, Outcome, Result, Schema, Type, Update,
    Violation, field,
};

use common::{database, folder, label, quick};

fn schema() -> Schema {
    Schema::new()
        .field("kind", Type::String.one_of(["note", "task"]).required())
        .field("at", Type::Time)
        .field("size", Type::Integer)
        .field("tags", Type::String.array())
        .field("source.url", Type::String)
        .strict()
}

fn document(id: u64, metadata: Json) -> Document {
    Document::new([1.0, id as f32]).id(id).metadata(metadata)
}

fn note(id: u64) -> Document {
    document(id, json!({"kind": "note", "size": id}))
}

/// A collection with the schema and the notes 0 to 4.
fn notes(db: &Database) -> Collection {
    let notes = db.create_collection("notes", CollectionConfig::new(2).schema(schema())).unwrap();
    notes.insert_many((0..5).map(note)).unwrap();
    notes
}

/// The violation in an error, inside a batch or not.
#[track_caller]
fn violation(error: Error) -> Violation {
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidArgument, Outcome::NotApplied), "{error}");
    match error {
        Error::SchemaViolation(violation) => *violation,
        Error::InBatch { source, .. } => violation(*source),
        other => panic!("expected a violation, got {other}"),
    }
}

/// All documents, by namespace, as text.
fn content(notes: &Collection) -> String {
    let mut content = String::new();
    for namespace in [(**notes).clone(), notes.namespace("other").unwrap()] {
        let mut cursor = None;
        loop {
            let mut scroll = namespace.scroll().limit(100);
            if let Some(from) = cursor {
                scroll = scroll.after(from);
            }
            let page = scroll.run().unwrap();
            content.extend(page.documents.iter().map(|document| format!("{document:?}\n")));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    content
}

/// A way to write metadata for the document 3.
type Strategy = fn(&Database, &Collection, Json) -> Result<()>;

const WAYS: [(&str, Strategy); 11] = [
    ("insert", |_, notes, metadata| {
        let namespace = notes.namespace("other")?;
        namespace.insert(document(3, metadata)).map(drop)
    }),
    ("insert_many", |_, notes, metadata| {
        notes.namespace("other")?.insert_many([note(7), document(3, metadata)]).map(drop)
    }),
    ("upsert", |_, notes, metadata| notes.upsert(document(3, metadata)).map(drop)),
    ("upsert_many", |_, notes, metadata| notes.upsert_many([note(1), document(3, metadata), note(2)]).map(drop)),
    ("update, replacing", |_, notes, metadata| notes.update(Update::new(3).replace(metadata)).map(drop)),
    ("update, merging", |_, notes, metadata| {
        notes
            .update(Update::new(3).text("changed").vector([3.0, 3.0]).remove(["kind", "size"]).merge(metadata))
            .map(drop)
    }),
    ("batch insert", |db, notes, metadata| {
        let mut batch = db.batch();
        batch.delete(notes, 3);
        batch.insert(notes, document(3, metadata));
        batch.commit().map(drop)
    }),
    ("batch upsert", |db, notes, metadata| {
        let mut batch = db.batch();
        batch.upsert(notes, note(1));
        batch.upsert(notes, document(3, metadata));
        batch.commit().map(drop)
    }),
    ("batch update", |db, notes, metadata| {
        let mut batch = db.batch();
        batch.delete(notes, 0).must_exist();
        batch.update(notes, Update::new(3).replace(metadata));
        batch.commit().map(drop)
    }),
    ("batch, repaired later", |db, notes, metadata| {
        let mut batch = db.batch();
        batch.upsert(notes, document(3, metadata));
        batch.upsert(notes, note(3));
        batch.commit().map(drop)
    }),
    ("writer", |_, notes, metadata| notes.writer()?.send(document(3, metadata))?.wait().map(drop)),
];

/// Asserts that each way of writing such metadata is refused with this field, expectation and
/// value, and leaves no trace.
#[track_caller]
fn check_refused(metadata: Json, field: &str, expected: &str, got: &str) {
    let (_folder, db) = database();
    let notes = notes(&db);
    let before = (content(&notes), db.stats().unwrap().commit);
    for (strategy, write) in WAYS {
        let error = write(&db, &notes, metadata.clone()).expect_err(strategy);
        let message = error.to_string();
        let found = violation(error);
        assert_eq!((&*found.field, &*found.expected, &*found.got), (field, expected, got), "{strategy}");
        assert_eq!((found.collection.as_str(), found.id), ("notes", 3.into()), "{strategy}");
        let place = if found.namespace.is_empty() { "" } else { "namespace \"other\" of " };
        let end = format!(
            "schema violation: field \"{field}\" of 3 in {place}collection \"notes\": expected {expected}, got {got}"
        );
        assert!(message.ends_with(&end), "{strategy}: {message}");
        assert_eq!((content(&notes), db.stats().unwrap().commit), before, "{strategy} left a trace");
    }
    db.verify().unwrap();
}

#[test]
fn whatever_writes_a_violation_is_refused_and_leaves_no_trace() {
    let choice = "one of \"note\", \"task\"";
    check_refused(json!({}), "kind", choice, "nothing");
    check_refused(json!({"kind": null}), "kind", choice, "null");
    check_refused(json!({"kind": "nota"}), "kind", choice, "\"nota\"");
    check_refused(json!({"kind": "note", "at": "yesterday"}), "at", "a time in RFC 3339 form", "\"yesterday\"");
    check_refused(json!({"kind": "note", "size": 1.5}), "size", "an integer", "1.5");
    check_refused(json!({"kind": "note", "tags": ["a", 1]}), "tags", "an array of strings", "1 at position 1");
    check_refused(json!({"kind": "note", "source": "x"}), "source", "an object", "\"x\"");
    check_refused(json!({"kind": "note", "source": {"url": 1}}), "source.url", "a string", "1");
    check_refused(json!({"kind": "note", "source": {"uri": ""}}), "source.uri", "no undeclared field", "\"\"");
    check_refused(json!({"kind": "note", "siez": 1}), "siez", "no undeclared field", "1");
}

#[test]
fn whatever_writes_what_satisfies_the_schema_is_taken() {
    let metadata =
        json!({"kind": "task", "at": "2026-11-22T10:00:00Z", "size": 7.0, "tags": [], "source": {"url": null}});
    for (strategy, write) in WAYS {
        let (_folder, db) = database();
        let notes = notes(&db);
        write(&db, &notes, metadata.clone()).unwrap_or_else(|error| panic!("{strategy}: {error}"));
        db.verify().unwrap();
    }
}

#[test]
fn an_update_is_judged_by_what_it_leaves() {
    let (_folder, db) = database();
    let notes = notes(&db);
    let refused = |update: Update| violation(notes.update(update).unwrap_err()).field;
    assert_eq!(refused(Update::new(1).merge(json!({"size": "large"}))), "size");
    assert_eq!(refused(Update::new(1).remove(["kind"])), "kind");
    assert_eq!(refused(Update::new(1).merge(json!({"kind": null}))), "kind");
    notes.update(Update::new(1).remove(["kind"]).merge(json!({"kind": "task"}))).unwrap();
    notes.update(Update::new(1).merge(json!({"new": 1})).remove(["new"])).unwrap();
    notes.update(Update::new(1).text("text").vector([2.0, 2.0])).unwrap();
    assert_eq!(notes.get(1).unwrap().unwrap().metadata, json!({"kind": "task", "size": 1}).into());
    let unknown = notes.update(Update::new(99).merge(json!({"size": "large"}))).unwrap_err();
    assert_eq!(label(&unknown), "DocumentNotFound");
}

#[test]
fn a_stream_takes_out_what_is_refused_and_goes_on() {
    let (_folder, db) = database();
    let notes = notes(&db);
    let writer = notes.writer().unwrap();
    let tickets: Vec<_> = (10..110)
        .map(|id| (id, writer.send(if id % 7 == 0 { document(id, json!({"kind": 7})) } else { note(id) }).unwrap()))
        .collect();
    for (id, ticket) in tickets {
        match ticket.wait() {
            Ok(_) => assert_ne!(id % 7, 0),
            Err(error) => assert_eq!((violation(error).id, id % 7), (id.into(), 0)),
        }
        assert_eq!(notes.contains(id).unwrap(), id % 7 != 0);
    }
}

/// A repeated batch does no harm, even if a later schema would refuse it.
#[test]
fn a_repeated_operation_is_not_judged_again() {
    let (_folder, db) = database();
    let notes = db.create_collection("notes", CollectionConfig::new(2)).unwrap();
    let commit = || {
        let mut batch = db.batch();
        batch.upsert(&notes, document(1, json!({"old": true})));
        batch.operation_id(vectrove::Uuid::from_bytes([7; 16]));
        batch.commit()
    };
    let first = commit().unwrap();
    notes.upsert(note(1)).unwrap();
    notes.set_schema(schema()).unwrap();
    let again = commit().unwrap();
    assert_eq!((again.commit, again.repeated), (first.commit, true));
}

#[test]
fn narrowing_names_the_document_and_is_taken_after_its_repair() {
    let folder = folder();
    let open = || Database::open_with(folder.path(), quick()).unwrap();
    let db = open();
    let notes = db.create_collection("notes", CollectionConfig::new(2)).unwrap();
    assert_eq!(notes.schema().unwrap(), None);
    notes.insert_many((0..100).map(note)).unwrap();
    notes.namespace("other").unwrap().insert(document(7, json!({"kind": "nota"}))).unwrap();
    let before = db.stats().unwrap().commit;
    let found = violation(notes.set_schema(schema()).unwrap_err());
    assert_eq!((found.namespace.as_str(), found.id, found.field.as_str()), ("other", 7.into(), "kind"));
    assert_eq!((notes.schema().unwrap(), db.stats().unwrap().commit), (None, before), "nothing has changed");
    notes.insert(document(200, json!({"anything": "goes"}))).unwrap();
    notes.delete(200).unwrap();

    notes.namespace("other").unwrap().update(Update::new(7).merge(json!({"kind": "task"}))).unwrap();
    notes.set_schema(schema()).unwrap();
    assert_eq!(notes.schema().unwrap(), Some(schema()));
    assert_eq!(db.stats().unwrap().collections[0].config.schema, Some(schema()));
    violation(notes.insert(document(200, json!({"anything": "goes"}))).unwrap_err());
    db.rename_collection("notes", "renamed").unwrap();
    db.close().unwrap();

    let db = open();
    let notes = db.collection("renamed").unwrap();
    assert_eq!((notes.schema().unwrap(), &notes.config().schema), (Some(schema()), &Some(schema())));
    violation(notes.insert(document(200, json!({"anything": "goes"}))).unwrap_err());
    db.verify().unwrap();
    notes.set_schema(None).unwrap();
    notes.insert(document(200, json!({"anything": "goes"}))).unwrap();
    drop((notes, db));
    assert_eq!(open().collection("renamed").unwrap().schema().unwrap(), None);
}

#[test]
fn a_collection_is_what_it_is_asked_to_be_or_a_conflict() {
    let (_folder, db) = database();
    let config = || CollectionConfig::new(2).schema(schema());
    db.get_or_create_collection("notes", config()).unwrap();
    db.get_or_create_collection("notes", config()).unwrap();
    let notes = db.get_or_create_collection("notes", CollectionConfig::new(2)).unwrap();
    assert_eq!(notes.schema().unwrap(), Some(schema()), "who asks for no schema takes what is there");
    let error = db.get_or_create_collection("notes", CollectionConfig::new(2).schema(Schema::new())).unwrap_err();
    assert!(matches!(&error, Error::ConfigConflict { field: "schema", .. }), "{error}");
    notes.set_schema(None).unwrap();
    let error = db.get_or_create_collection("notes", config()).unwrap_err();
    assert!(error.to_string().contains("expected schema none, got {\"fields\":"), "{error}");
    notes.set_schema(schema()).unwrap();
    db.get_or_create_collection("notes", config()).unwrap();
}

#[test]
fn hostile_schemas_are_refused_at_the_door() {
    let (_folder, db) = database();
    let notes = db.create_collection("notes", CollectionConfig::new(2)).unwrap();
    let before = db.stats().unwrap().commit;
    let of = |path: String| Schema::new().field(path, Type::Any);
    for schema in [
        of(String::new()),
        of("x".repeat(1 << 20)),
        of(["a"; 100_000].join(".")),
        of("a".into()).field("a.b", Type::Any),
        (0..100_000).fold(Schema::new(), |schema, n| schema.field(n.to_string(), Type::Any)),
        Schema::new().field("a", Type::Integer.one_of(0..1_000_000)),
        Schema::new().field("a", Type::String.one_of(["x".repeat(2 << 20)])),
        Schema::new().field("a", Type::Boolean.one_of([1])),
    ] {
        let errors = [
            notes.set_schema(schema.clone()).unwrap_err(),
            db.create_collection("new", CollectionConfig::new(2).schema(schema.clone())).unwrap_err(),
            db.get_or_create_collection("notes", CollectionConfig::new(2).schema(schema)).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(&error, Error::InvalidConfig { field: "schema", .. }), "{error}");
            assert!(error.to_string().len() < 1_000);
        }
    }
    // Metadata of the greatest depth, against paths of the greatest depth.
    let (deep, dots) = (["a"; 31].join("."), ".".repeat(100_000));
    notes.set_schema(Schema::new().field(deep, Type::Integer.required()).field("o", Type::Object).strict()).unwrap();
    let nested = (0..31).fold(json!("x"), |inner, _| json!({"a": inner}));
    assert_eq!(violation(notes.insert(document(1, nested)).unwrap_err()).got, "\"x\"");
    violation(notes.insert(document(1, json!({dots: 1}))).unwrap_err());
    assert_eq!(db.stats().unwrap().commit.0, before.0 + 1);
}

/// Stops a writer when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `run` beside a writer of documents, whose metadata `metadata` makes of their ids. Returns
/// the numbers of accepted and refused documents.
fn beside_a_writer(notes: &Collection, metadata: fn(u64) -> Json, run: impl FnOnce(&AtomicU64)) -> (u64, u64) {
    let (stop, taken, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            for id in (1_000_000..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                match notes.insert(document(id, metadata(id))) {
                    Ok(_) => taken.fetch_add(1, Ordering::Relaxed),
                    Err(error) => {
                        violation(error);
                        refused.fetch_add(1, Ordering::Relaxed)
                    }
                };
            }
        });
        // Stops the writer even if a test fails.
        let _stop = Stop(&stop);
        run(&taken);
    });
    (taken.into_inner(), refused.into_inner())
}

#[test]
fn widening_beside_a_writer_refuses_nothing_that_was_admitted() {
    let (_folder, db) = database();
    let notes = notes(&db);
    let metadata = |id| json!({"kind": "note", "size": id});
    let (taken, refused) = beside_a_writer(&notes, metadata, |taken| {
        let mut schema = schema();
        for n in 0..50 {
            schema = schema.field(format!("new.{n}"), Type::Integer);
            let before = taken.load(Ordering::Relaxed);
            notes.set_schema(schema.clone()).unwrap();
            while taken.load(Ordering::Relaxed) == before {
                thread::yield_now();
            }
        }
    });
    assert_eq!(refused, 0);
    assert!(taken >= 50);
    db.verify().unwrap();
}

/// After a narrowing that succeeds, all documents satisfy the schema, those of the writer too.
#[test]
fn no_writer_slips_an_offender_past_a_narrowing() {
    let (_folder, db) = database();
    let notes = db.create_collection("notes", CollectionConfig::new(2)).unwrap();
    notes.insert_many((0..2_000).map(note)).unwrap();
    let narrow = || Schema::new().field("kind", Type::String.one_of(["note"]).required());
    let metadata = |id: u64| if id % 50 == 49 { json!({}) } else { json!({"kind": "note"}) };
    let (mut n_narrowed, mut n_refused) = (0, 0);
    beside_a_writer(&notes, metadata, |taken| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while n_narrowed < 8 && Instant::now() < deadline {
            let before = taken.load(Ordering::Relaxed);
            while taken.load(Ordering::Relaxed) < before + 30 {
                thread::yield_now();
            }
            match notes.set_schema(narrow()) {
                Ok(()) => {
                    n_narrowed += 1;
                    assert_eq!(notes.count(!field("kind").eq("note")).unwrap(), 0);
                    notes.set_schema(None).unwrap();
                }
                Err(error) => {
                    n_refused += 1;
                    assert_eq!(violation(error).field, "kind");
                    assert_eq!(notes.schema().unwrap(), None);
                    notes.delete_where(!field("kind").exists(true)).unwrap();
                }
            }
        }
    });
    assert!(n_narrowed > 0 && n_refused > 0, "{n_narrowed} narrowed, {n_refused} refused");
    db.verify().unwrap();
}

#[test]
fn a_reader_beside_the_writer_sees_schemas_after_a_refresh() {
    let folder = folder();
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let notes = notes(&db);
    let beside = Database::open_with(folder.path(), quick().read_only(true)).unwrap();
    let read = beside.collection("notes").unwrap();
    assert_eq!(read.schema().unwrap(), Some(schema()));
    let wider = schema().field("new", Type::Any);
    notes.set_schema(wider.clone()).unwrap();
    assert_eq!(read.schema().unwrap(), Some(schema()));
    beside.refresh().unwrap();
    assert_eq!(read.schema().unwrap(), Some(wider));
    assert_eq!(label(&read.set_schema(None).unwrap_err()), "ReadOnly");
}

#[test]
fn who_is_gone_has_no_schema() {
    let (_folder, db) = database();
    let notes = notes(&db);
    db.drop_collection("notes").unwrap();
    assert_eq!(label(&notes.set_schema(None).unwrap_err()), "CollectionNotFound");
    assert_eq!(label(&notes.schema().unwrap_err()), "CollectionNotFound");
    let other = db.create_collection("notes", CollectionConfig::new(2)).unwrap();
    db.close().unwrap();
    assert_eq!(label(&other.set_schema(schema()).unwrap_err()), "Closed");
}

/// The child of the next test: changes the schema again and again, and reports each change before
/// and after.
#[test]
#[ignore = "is run by another test, and killed"]
fn a_child_that_changes_its_schema() {
    let Some(folder) = std::env::var_os("VECTROVE_SCHEMA_CHILD") else { return };
    let db = Database::open_with(folder, Options::new().memory_bytes(16 << 20)).unwrap();
    let notes = db.collection("notes").unwrap();
    let begin = notes.schema().unwrap().map_or(0, |schema| schema.fields.len() as u64);
    for n in begin.. {
        let schema = notes.schema().unwrap().unwrap_or_default().field(format!("f{n}"), Type::Integer);
        println!("TRY {}", n + 1);
        notes.set_schema(schema).unwrap();
        println!("DONE {}", n + 1);
        notes.upsert(document(n, json!({format!("f{n}"): n}))).unwrap();
    }
}

#[test]
fn a_schema_survives_a_kill_at_any_moment() {
    let folder = folder();
    let path = folder.path().join("db");
    let db = Database::open_with(&path, quick()).unwrap();
    db.create_collection("notes", CollectionConfig::new(2)).unwrap();
    db.close().unwrap();
    for round in 0..5u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_child_that_changes_its_schema", "--exact", "--ignored", "--nocapture"])
            .env("VECTROVE_SCHEMA_CHILD", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(|line| line.ok());
        let (mut tried, mut done) = (0, 0);
        let mut hear = |line: String| {
            if let Some(n) = line.split("TRY ").nth(1) {
                tried = n.parse().unwrap();
            } else if let Some(n) = line.split("DONE ").nth(1) {
                done = n.parse().unwrap();
            }
        };
        lines.by_ref().take(10 + 7 * round as usize).for_each(&mut hear);
        thread::sleep(Duration::from_micros(700 * round));
        child.kill().unwrap();
        lines.for_each(&mut hear);
        child.wait().unwrap();
        let db = Database::open_with(&path, quick()).unwrap();
        let notes = db.collection("notes").unwrap();
        let n_fields = notes.schema().unwrap().unwrap().fields.len();
        assert!(done > 0 && (done..=tried).contains(&n_fields), "{done} to {tried}, got {n_fields}");
        let wrong = document(9_999, json!({format!("f{}", n_fields - 1): "x"}));
        violation(notes.insert(wrong).unwrap_err());
        db.verify().unwrap();
        db.close().unwrap();
    }
}
