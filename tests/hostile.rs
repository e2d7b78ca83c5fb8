//! Each input gets a right answer or an error of the right kind; a refused call changes nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::fmt::Debug;

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use vectrove::{
    Collection, CollectionConfig, Cursor, Database, DocId, Document, Error, ErrorKind, Filter, Metric, Options, Query,
    Update, Value, field, limits,
};

use common::oracle::{close, compares_directions, distance};
use common::{bits, check_error, content, quick};

/// A database with a few documents under every metric, and what it held at the start.
struct World {
    db: Database,
    collections: Vec<Collection>,
    _folder: TempDir,
}

const DIMENSION: usize = 3;

impl World {
    fn new() -> Self {
        let (folder, db) = common::database();
        let create = |(metric, normalize): (Metric, bool)| {
            let config = CollectionConfig::new(DIMENSION).metric(metric).normalize(normalize);
            let collection = db.create_collection(&format!("{metric}-{normalize}"), config).unwrap();
            let document = |n: u64| Document::new([1.0, n as f32, -1.0]).id(n).metadata(json!({"n": n})).text("t");
            collection.insert_many((0..3).map(document)).unwrap();
            collection
        };
        let kinds = Metric::ALL.into_iter().flat_map(|metric| [(metric, false), (metric, true)]);
        let collections = kinds.map(create).collect();
        World { db, collections, _folder: folder }
    }

    fn one(&self) -> &Collection {
        &self.collections[0]
    }

    /// Asserts that a call leaves everything as it was.
    #[track_caller]
    fn check_untouched<T>(&self, call: impl FnOnce() -> T) -> T {
        let before = (self.db.stats().unwrap().commit, content(&self.db));
        let outcome = call();
        assert_eq!((self.db.stats().unwrap().commit, content(&self.db)), before);
        outcome
    }

    /// Asserts that a call is refused as the caller's mistake, and leaves everything as it was.
    #[track_caller]
    fn check_refused<T: Debug>(&self, expected: &str, call: impl FnOnce() -> Result<T, Error>) -> Error {
        let error = self.check_untouched(|| check_error(call(), expected));
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().len() < 2_000, "the message does not repeat what was huge");
        error
    }

    /// Asserts that a document is refused by every verb that takes one.
    #[track_caller]
    fn check_document_refused(&self, expected: &str, collection: &Collection, document: &Document) {
        let in_batch = format!("1 {expected}");
        let fine = || Document::new([1.0, 0.0, 0.0]).id("fine");
        self.check_refused(expected, || collection.insert(document.clone()));
        self.check_refused(expected, || collection.upsert(document.clone()));
        self.check_refused(&in_batch, || collection.insert_many([fine(), document.clone()]));
        self.check_refused(&in_batch, || collection.upsert_many([fine(), document.clone()]));
        self.check_refused(&in_batch, || {
            let mut batch = self.db.batch();
            batch.delete(collection, 0);
            batch.insert(collection, document.clone());
            batch.commit()
        });
    }
}

// Vectors.

fn check_vector_refused(world: &World, collection: &Collection, expected: &str, vector: &[f32]) {
    world.check_document_refused(expected, collection, &Document::new(vector));
    world.check_refused(expected, || collection.update(Update::new(0).vector(vector)));
    world.check_refused(expected, || collection.search(vector).run());
    world.check_refused(expected, || collection.search(vector).limit(0).filter(field("n").eq(1)).run());
    world.check_refused(&format!("0 {expected}"), || collection.search_many([vector]).run());
    world.check_refused(expected, || collection.namespace("empty")?.search(vector).run());
}

/// Whether a vector is too short to be compared: its direction is rounding noise, or squares of it
/// vanish.
fn is_too_short(config: &CollectionConfig, vector: &[f32]) -> bool {
    let length = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    match config.metric {
        _ if compares_directions(config) => length < limits::MIN_NORM,
        Metric::Dot | Metric::Euclidean => length > 0.0 && length < limits::MIN_LENGTH,
        _ => false,
    }
}

/// Asserts that a vector is stored, comes back, and is found at its true distance.
fn check_vector_taken(collection: &Collection, vector: &[f32]) {
    collection.upsert(Document::new(vector).id("taken")).unwrap();
    assert_eq!(bits(&collection.get("taken").unwrap().unwrap().vector), bits(vector));
    let query = [1.0, 2.0, 2.0];
    let hits = collection.search(query).limit(usize::MAX).run().unwrap();
    let hit = hits.iter().find(|hit| hit.id == "taken".into()).unwrap();
    let expected = distance(collection.config(), &query, vector);
    assert!(close(f64::from(hit.distance), expected), "{collection:?} {vector:?}: expected {expected}, got {hit:?}");
    let hits = collection.search(vector).run().unwrap();
    assert!(hits.iter().all(|hit| hit.distance.is_finite() && hit.score.is_finite()), "{collection:?} {hits:?}");
    collection.delete("taken").unwrap();
}

#[test]
fn vectors_without_a_distance_are_refused() {
    let world = World::new();
    for collection in &world.collections {
        for odd in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            (0..DIMENSION).for_each(|position| {
                let mut vector = [1.0; DIMENSION];
                vector[position] = odd;
                check_vector_refused(&world, collection, "InvalidVector", &vector);
            });
        }
        for huge in [[f32::MAX; 3], [0.0, f32::MIN, 0.0], [f32::MAX, f32::MIN, 0.0], [9.1e18, 0.0, 0.0]] {
            check_vector_refused(&world, collection, "InvalidVector", &huge);
        }
        for length in [0, DIMENSION - 1, DIMENSION + 1, limits::MAX_DIMENSION + 1] {
            check_vector_refused(&world, collection, "DimensionMismatch", &vec![1.0; length]);
        }
    }
}

#[test]
fn vectors_that_are_too_short_are_refused() {
    let world = World::new();
    for collection in &world.collections {
        let tiny =
            [[0.0; 3], [-0.0; 3], [1e-45, 0.0, 0.0], [1e-31, -1e-31, 0.0], [1e-29, 0.0, 0.0], [1.1e-12, 0.0, 0.0]];
        for tiny in tiny {
            match is_too_short(collection.config(), &tiny) {
                true => check_vector_refused(&world, collection, "InvalidVector", &tiny),
                false => check_vector_taken(collection, &tiny),
            }
        }
    }
}

#[test]
fn odd_vectors_are_compared_rightly() {
    let world = World::new();
    for collection in &world.collections {
        for odd in [
            [-0.0, 1.0, -0.0],
            [1e-45, 1.0, f32::MIN_POSITIVE / 2.0],
            [2e-12, 0.0, 0.0],
            [8.9e18, 0.0, 0.0],
            [-5e18, 5e18, -5e18],
            [1e18, 1e-18, 0.0],
        ] {
            check_vector_taken(collection, &odd);
        }
    }
}

#[test]
fn dimensions_are_one_to_the_largest() {
    let world = World::new();
    for dimension in [0, limits::MAX_DIMENSION + 1, 1 << 32, usize::MAX] {
        let config = CollectionConfig::new(dimension);
        world.check_refused("InvalidConfig", || world.db.create_collection("x", config.clone()));
        world.check_refused("InvalidConfig", || world.db.get_or_create_collection("x", config.clone()));
        world.check_refused("InvalidConfig", || world.db.get_or_create_collection("cosine-true", config));
    }
    for dimension in [1, limits::MAX_DIMENSION] {
        let name = format!("d{dimension}");
        let collection = world.db.create_collection(&name, CollectionConfig::new(dimension)).unwrap();
        collection.insert(Document::new(vec![0.5; dimension])).unwrap();
        let hits = collection.search(vec![1.0; dimension]).run().unwrap();
        assert!((hits[0].score - 1.0).abs() < 1e-4, "{hits:?}");
    }
}

/// The largest batch there may be, all of one vector, between a nearer document and a farther one.
fn check_ties(metric: Metric) {
    let (_folder, db) = common::database();
    let collection = db.create_collection("c", CollectionConfig::new(2).metric(metric)).unwrap();
    let n_equal = limits::MAX_BATCH_OPERATIONS;
    collection.insert(Document::new([5.0, 0.0]).id("near")).unwrap();
    collection.insert_many((0..n_equal as u64).map(|n| Document::new([3.0, 3.0]).id(n))).unwrap();
    collection.insert(Document::new([0.0, 4.0]).id("far")).unwrap();
    let search = |offset, limit| collection.search([5.0, 0.0]).offset(offset).limit(limit).run().unwrap();
    let hits = search(0, 10);
    assert_eq!((hits.len(), &hits[0].id), (10, &"near".into()));
    assert!(hits[1..].iter().all(|hit| hit.distance == hits[1].distance && hit.distance > hits[0].distance));
    let all = search(0, usize::MAX);
    let ids: std::collections::HashSet<_> = all.iter().map(|hit| &hit.id).collect();
    assert_eq!((all.len(), ids.len()), (n_equal + 2, n_equal + 2));
    assert_eq!(search(n_equal + 1, 10)[0].id, "far".into());
    assert_eq!(collection.count(None).unwrap(), n_equal + 2);
    db.verify().unwrap();
}

#[test]
fn a_hundred_thousand_equal_vectors_are_all_found() {
    check_ties(Metric::Cosine);
    check_ties(Metric::Euclidean);
}

#[test]
fn an_outlier_does_not_hide_the_others() {
    for metric in [Metric::Dot, Metric::Euclidean, Metric::Manhattan] {
        let (_folder, db) = common::database();
        let collection = db.create_collection("c", CollectionConfig::new(2).metric(metric)).unwrap();
        let point = |n: u64| Document::new([n as f32 / 1_000.0, 1.0]).id(n);
        collection.insert_many((0..1_000).map(point)).unwrap();
        collection.insert(Document::new([8.9e18, 0.0]).id("outlier")).unwrap();
        let nearest = |query: [f32; 2]| collection.search(query).limit(1).run().unwrap().items.pop().unwrap();
        assert_eq!(nearest([8.9e18, 0.0]).id, "outlier".into(), "{metric}");
        let expected = if metric == Metric::Dot { DocId::from(0) } else { DocId::from(500) };
        let query = if metric == Metric::Dot { [-1.0, 0.0] } else { [0.5, 1.0] };
        assert_eq!(nearest(query).id, expected, "{metric}");
    }
}

// Parameters.

/// Numbers at which counting has failed before.
const SIZES: [usize; 9] = [0, 1, 2, 3, 4, 1 << 32, 1 << 63, usize::MAX - 1, usize::MAX];

#[test]
fn limits_and_offsets_are_cut_to_what_there_is() {
    let world = World::new();
    world.check_untouched(|| {
        for limit in SIZES {
            for offset in SIZES {
                let expected = limit.min(3usize.saturating_sub(offset));
                let search = world.one().search([1.0, 0.0, 0.0]).limit(limit).offset(offset);
                assert_eq!(search.run().unwrap().len(), expected, "limit {limit}, offset {offset}");
                let many = world.one().search_many([[1.0, 0.0, 0.0]; 2]).limit(limit).offset(offset).run().unwrap();
                assert!(many.iter().all(|hits| hits.len() == expected), "limit {limit}, offset {offset}");
            }
            let page = world.one().scroll().limit(limit).run().unwrap();
            assert_eq!(page.documents.len(), limit.min(3));
        }
    });
}

#[test]
fn bounds_are_numbers() {
    let world = World::new();
    let search = || world.one().search([1.0, 0.0, 0.0]);
    world.check_refused("InvalidConfig", || search().min_score(f32::NAN).run());
    world.check_refused("InvalidConfig", || search().max_distance(f32::NAN).run());
    world.check_refused("InvalidConfig", || world.one().search_many([[1.0, 0.0, 0.0]]).max_distance(f32::NAN).run());
    for bound in [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN] {
        assert_eq!(search().max_distance(bound).run().unwrap().len(), if bound > 0.0 { 3 } else { 0 });
        assert_eq!(search().min_score(bound).run().unwrap().len(), if bound > 0.0 { 0 } else { 3 });
    }
}

#[test]
fn many_or_large_fields_may_be_asked_for() {
    let world = World::new();
    let fields = (0..100_000).map(|n| format!("field {n}")).chain(["n".to_owned(), "x".repeat(1 << 20), String::new()]);
    let hits = world.one().search([1.0, 0.0, 0.0]).fields(fields).run().unwrap();
    assert!(hits.iter().all(|hit| hit.metadata.as_object().unwrap().len() == 1));
}

#[test]
fn options_out_of_range_are_refused_before_anything_is_made() {
    let folder = common::folder();
    let path = folder.path().join("db");
    for memory_bytes in [0, 1, (8 << 20) - 1] {
        let error = check_error(Database::open_with(&path, quick().memory_bytes(memory_bytes)), "InvalidConfig");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(!path.exists());
    }
    for options in [
        Options::new().memory_bytes(8 << 20).log_retention(0),
        Options::new().memory_bytes(usize::MAX).log_retention(u64::MAX).min_free_bytes(0),
    ] {
        let db = Database::open_with(&path, options.clone()).unwrap();
        let notes = db.get_or_create_collection("notes", CollectionConfig::new(1)).unwrap();
        notes.upsert(Document::new([1.0]).id("a")).unwrap();
        assert_eq!(notes.count(None).unwrap(), 1, "{options:?}");
    }
}

#[test]
fn a_disk_that_is_never_free_enough_takes_no_writes() {
    let folder = common::folder();
    Database::open_with(folder.path(), quick()).unwrap().create_collection("notes", CollectionConfig::new(1)).unwrap();
    let db = Database::open_with(folder.path(), quick().min_free_bytes(u64::MAX)).unwrap();
    let notes = db.collection("notes").unwrap();
    let before = db.stats().unwrap().commit;
    let error = check_error(notes.insert(Document::new([1.0])), "ReadOnly");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    check_error(db.create_collection("more", CollectionConfig::new(1)), "ReadOnly");
    check_error(db.drop_collection("notes"), "ReadOnly");
    check_error(db.rename_collection("notes", "more"), "ReadOnly");
    assert_eq!((db.stats().unwrap().commit, db.collections().unwrap()), (before, vec!["notes".to_owned()]));
    assert!(notes.search([1.0]).run().unwrap().is_empty(), "reads go on");
    drop((db, notes));
    let db = Database::open_with(folder.path(), quick()).unwrap();
    db.collection("notes").unwrap().insert(Document::new([1.0])).unwrap();
    db.verify().unwrap();
}

// Batches.

#[test]
fn empty_batches_change_nothing() {
    let world = World::new();
    world.check_untouched(|| {
        let receipt = world.db.batch().commit().unwrap();
        assert_eq!((receipt.n_changed, receipt.ids.len(), receipt.repeated), (0, 0, false));
        assert_eq!(world.one().insert_many([]).unwrap().n_changed, 0);
        assert_eq!(world.one().upsert_many([]).unwrap().n_changed, 0);
        assert_eq!(world.one().delete_many(Vec::<DocId>::new()).unwrap().n_changed, 0);
        assert!(world.one().get_many(Vec::<DocId>::new()).unwrap().is_empty());
    });
}

#[test]
fn batches_of_too_many_operations_are_refused() {
    let world = World::new();
    for n_operations in [limits::MAX_BATCH_OPERATIONS + 1, 1_000_000] {
        let mut batch = world.db.batch();
        (0..n_operations as u64).for_each(|n| _ = batch.delete(world.one(), n));
        world.check_refused("LimitExceeded", || batch.commit());
    }
    let mut batch = world.db.batch();
    (10..10 + limits::MAX_BATCH_OPERATIONS as u64).for_each(|n| _ = batch.delete(world.one(), n));
    assert_eq!(world.check_untouched(|| batch.commit()).unwrap().n_changed, 0, "the largest that is allowed");
}

#[test]
fn input_without_end_is_refused_when_it_is_too_much() {
    let world = World::new();
    let n_taken = Cell::new(0);
    let endless = || {
        n_taken.set(0);
        (0u64..).inspect(|_| n_taken.set(n_taken.get() + 1))
    };
    let document = |_| Document::new([1.0, 0.0, 0.0]);
    world.check_refused("LimitExceeded", || world.one().insert_many(endless().map(document)));
    assert_eq!(n_taken.get(), limits::MAX_BATCH_OPERATIONS + 1);
    world.check_refused("LimitExceeded", || world.one().delete_many(endless()));
    assert_eq!(n_taken.get(), limits::MAX_BATCH_OPERATIONS + 1);
}

#[test]
fn batches_of_too_many_bytes_are_refused() {
    let world = World::new();
    let n_taken = Cell::new(0);
    let large = |_| {
        n_taken.set(n_taken.get() + 1);
        Document::new([1.0, 0.0, 0.0]).text("x".repeat(1 << 20))
    };
    world.check_refused("LimitExceeded", || world.one().insert_many((0..600).map(large)));
    let most = (limits::MAX_BATCH_BYTES >> 20) + 1;
    assert!(n_taken.get() <= most, "took {} MiB before refusing more than {most}", n_taken.get());
    let mut batch = world.db.batch();
    (0..300).for_each(|n| _ = batch.insert(world.one(), large(n)));
    world.check_refused("LimitExceeded", || batch.commit());
}

#[test]
fn one_id_may_come_twice_in_a_batch() {
    let world = World::new();
    let collection = world.one();
    let with = |text: &str| Document::new([1.0, 0.0, 0.0]).id("x").text(text);
    world.check_untouched(|| check_error(collection.insert_many([with("a"), with("b")]), "1 DocumentExists"));
    let receipt = collection.upsert_many([with("a"), with("b"), with("c")]).unwrap();
    assert_eq!((receipt.n_changed, collection.get("x").unwrap().unwrap().text.as_deref()), (1, Some("c")));
    let mut batch = world.db.batch();
    (0..1_000).for_each(|n| {
        batch.delete(collection, "x").must_exist();
        batch.insert(collection, with(&n.to_string())).must_not_exist();
    });
    assert_eq!(batch.commit().unwrap().n_changed, 1);
    assert_eq!(collection.get("x").unwrap().unwrap().text.as_deref(), Some("999"));
    let mut batch = world.db.batch();
    batch.insert(collection, with("y").id("y"));
    batch.delete(collection, "y");
    assert_eq!(world.check_untouched(|| batch.commit()).unwrap().n_changed, 0);
    world.db.verify().unwrap();
}

#[test]
fn a_batch_may_open_thousands_of_namespaces() {
    let world = World::new();
    let mut batch = world.db.batch();
    for n in 0..5_000 {
        let namespace = world.one().namespace(&format!("agent {n}")).unwrap();
        batch.insert(&namespace, Document::new([1.0, 0.0, 0.0]));
    }
    assert_eq!(batch.commit().unwrap().n_changed, 5_000);
    assert_eq!(world.one().namespaces("").unwrap().len(), 5_000);
    world.db.verify().unwrap();
}

// Metadata and text.

/// Arrays or objects inside each other, `levels` in all. Made and dropped without recursion.
fn nested(levels: usize, wrap: fn(Json) -> Json) -> Json {
    (0..levels).fold(Json::Null, |inner, _| wrap(inner))
}

fn unmake(mut json: Json) {
    while let Some(inner) = match &mut json {
        Json::Array(items) => items.pop(),
        Json::Object(map) => map.keys().next().cloned().and_then(|key| map.remove(&key)),
        _ => None,
    } {
        json = inner;
    }
}

fn in_array(inner: Json) -> Json {
    Json::Array(vec![inner])
}

fn in_object(inner: Json) -> Json {
    Json::Object([("k".to_owned(), inner)].into_iter().collect())
}

fn check_metadata_refused(world: &World, expected: &str, metadata: &Value) {
    let document = Document::new([1.0, 0.0, 0.0]).metadata(metadata.clone());
    world.check_document_refused(expected, world.one(), &document);
    world.check_refused(expected, || world.one().update(Update::new(0).merge(metadata.clone())));
    world.check_refused(expected, || world.one().update(Update::new(0).replace(metadata.clone())));
}

fn check_metadata_taken(world: &World, metadata: Json) {
    world.one().upsert(Document::new([1.0, 0.0, 0.0]).id("m").metadata(metadata.clone())).unwrap();
    assert_eq!(Json::from(world.one().get("m").unwrap().unwrap().metadata), metadata);
}

#[test]
fn metadata_is_a_bounded_object_of_finite_values() {
    let world = World::new();
    for other in [json!([1]), json!(1), json!("x"), json!(true)] {
        check_metadata_refused(&world, "InvalidMetadata", &other.into());
    }
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let inside = Value::Array(vec![Value::Null, Value::F64(odd)]);
        check_metadata_refused(&world, "InvalidMetadata", &Value::Object([("x".to_owned(), inside)].into()));
    }
    let largest = limits::MAX_METADATA_BYTES - 100;
    for (key, length) in [("x".repeat(limits::MAX_METADATA_BYTES), 0), ("x".to_owned(), limits::MAX_METADATA_BYTES)] {
        check_metadata_refused(&world, "LimitExceeded", &json!({key: "y".repeat(length)}).into());
    }
    check_metadata_refused(&world, "LimitExceeded", &json!({"x": vec![0; limits::MAX_METADATA_BYTES / 8]}).into());
    check_metadata_taken(&world, json!({"x".repeat(largest): 1}));
    check_metadata_taken(&world, json!({"x": "y".repeat(largest)}));
    world.one().upsert(Document::new([1.0, 0.0, 0.0]).id("m").metadata(Json::Null)).unwrap();
    assert_eq!(world.one().get("m").unwrap().unwrap().metadata, Value::object());
}

#[test]
fn metadata_may_not_grow_too_large_step_by_step() {
    let world = World::new();
    let half = || json!({"a": "x".repeat(600 << 10)});
    world.one().update(Update::new(0).merge(half())).unwrap();
    world.check_refused("LimitExceeded", || {
        world.one().update(Update::new(0).merge(json!({"b": "x".repeat(600 << 10)})))
    });
    world.one().update(Update::new(0).merge(half())).unwrap();
    world.one().update(Update::new(0).remove((0..100_000).map(|n| n.to_string()).chain(["a".to_owned()]))).unwrap();
    assert_eq!(world.one().get(0).unwrap().unwrap().metadata, json!({"n": 0}).into());
}

#[test]
fn metadata_of_any_depth_is_measured_not_followed() {
    let world = World::new();
    for wrap in [in_array, in_object] {
        check_metadata_taken(&world, in_object(nested(limits::MAX_METADATA_DEPTH - 2, wrap)));
        for levels in [limits::MAX_METADATA_DEPTH, 1_000_000] {
            let metadata = || Document::new([1.0, 0.0, 0.0]).metadata(in_object(nested(levels, wrap)));
            world.check_refused("LimitExceeded", || world.one().insert(metadata()));
            world.check_refused("LimitExceeded", || {
                world.one().update(Update::new(0).merge(in_object(nested(levels, wrap))))
            });
        }
    }
    let deep = (0..1_000_000).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    let document = Document::new([1.0, 0.0, 0.0]).metadata(Value::Object([("k".to_owned(), deep)].into()));
    world.check_refused("LimitExceeded", || world.one().insert(document));
    assert!(serde_json::from_str::<Value>(&"[".repeat(1_000_000)).is_err());
}

#[test]
fn texts_are_bounded() {
    let world = World::new();
    let largest = "x".repeat(limits::MAX_TEXT_BYTES);
    let document = |text: String| Document::new([1.0, 0.0, 0.0]).id("t").text(text);
    world.check_document_refused("LimitExceeded", world.one(), &document(format!("{largest}x")));
    world.check_refused("LimitExceeded", || world.one().update(Update::new(0).text(format!("{largest}x"))));
    world.one().insert(document(largest.clone())).unwrap();
    assert_eq!(world.one().get("t").unwrap().unwrap().text, Some(largest));
}

// Filters.

/// Asserts that a filter made by its builder is refused wherever one is used.
#[track_caller]
fn check_filter_refused(world: &World, expected: &str, filter: &Filter) {
    let collection = world.one();
    world.check_refused(expected, || collection.search([1.0, 0.0, 0.0]).filter(filter.clone()).run());
    world.check_refused(expected, || collection.search_many([[1.0, 0.0, 0.0]]).filter(filter.clone()).run());
    world.check_refused(expected, || collection.count(filter.clone()));
    world.check_refused(expected, || collection.count(!filter.clone()));
    world.check_refused(expected, || collection.scroll().filter(filter.clone()).run());
    world.check_refused(expected, || collection.delete_where(filter.clone()));
    world.check_refused(expected, || collection.namespace("empty")?.count(filter.clone()));
    assert!(!filter.matches(&Value::object()) && !filter.to_string().is_empty());
}

#[track_caller]
fn check_json_refused(expected: &str, json: Json) {
    let error = check_error(Filter::from_json(&json), expected);
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().len() < 2_000, "the message does not repeat what was huge");
    unmake(json);
}

#[track_caller]
fn check_text_refused(expected: &str, text: &str) {
    let error = check_error(text.parse::<Filter>(), expected);
    assert!(error.to_string().len() < 2_000, "the message does not repeat what was huge");
}

#[test]
fn filters_of_any_depth_are_measured_not_followed() {
    let world = World::new();
    let most = limits::MAX_FILTER_DEPTH;
    let deep = |levels: usize, wrap: fn(Json) -> Json| (0..levels).fold(json!({"n": 1}), |inner, _| wrap(inner));
    assert_eq!(
        world.one().count(Filter::from_json(&deep(most - 1, |inner| one_key("$not", inner))).unwrap()).unwrap(),
        2
    );
    for levels in [most, 128, 1_000_000] {
        check_json_refused("LimitExceeded", deep(levels, |inner| one_key("$not", inner)));
        check_json_refused("LimitExceeded", deep(levels, |inner| one_key("$and", Json::Array(vec![inner]))));
        check_json_refused("LimitExceeded", one_key("n", operators_below(levels)));
    }
    check_text_refused("InvalidFilter", &"{\"$not\":".repeat(500_000));
    check_text_refused("InvalidFilter", &"[".repeat(1_000_000));
    check_json_refused("InvalidFilter", one_key("n", nested(1_000_000, in_array)));
    check_json_refused("InvalidFilter", one_key("n", one_key("$eq", nested(1_000_000, in_object))));
}

fn one_key(key: &str, inner: Json) -> Json {
    Json::Object([(key.to_owned(), inner)].into_iter().collect())
}

fn operators_below(levels: usize) -> Json {
    (0..levels).fold(json!({"$gt": 1}), |inner, _| one_key("$not", inner))
}

#[test]
fn filters_of_any_length_are_measured() {
    let world = World::new();
    let test = |n: u64| field("n").eq(n);
    check_filter_refused(&world, "LimitExceeded", &(1..100_000).map(test).fold(test(0), Filter::or));
    check_filter_refused(&world, "LimitExceeded", &(1..100_000).map(test).fold(test(0), Filter::and));
    check_filter_refused(&world, "LimitExceeded", &(1..100_000).map(test).fold(test(0), |all, one| one.or(all)));
    check_filter_refused(&world, "LimitExceeded", &field("n").is_in(0u64..100_000));
    check_filter_refused(&world, "LimitExceeded", &field("n").not_in(0u64..));
    check_filter_refused(&world, "LimitExceeded", &field("n").eq("x".repeat(limits::MAX_FILTER_BYTES + 1)));
    let terms: Json = (0..100_000).map(|n| json!({"n": n})).collect();
    check_json_refused("LimitExceeded", json!({"$or": terms}));
    check_json_refused("LimitExceeded", json!({"n": {"$in": (0..100_000).collect::<Vec<_>>()}}));
    check_text_refused("LimitExceeded", &" ".repeat(limits::MAX_FILTER_BYTES + 1));
    let most = (1..limits::MAX_FILTER_NODES as u64 - 1).map(test).fold(test(0), Filter::or);
    assert_eq!(world.one().count(most).unwrap(), 3);
    assert_eq!(world.one().count(field("n").is_in(1..=limits::MAX_FILTER_VALUES as u64)).unwrap(), 2);
}

#[test]
fn filters_that_break_the_grammar_say_where() {
    for (text, place) in [
        ("", "JSON"),
        ("{\"n\": 1e400}", "JSON"),
        ("{\"tag\": \"\\ud800\"}", "JSON"),
        ("{\"n\": NaN}", "JSON"),
        ("[]", "filter"),
        ("{\"tag\": [1]}", "tag"),
        ("{\"tag\": {}}", "tag"),
        ("{\"tag\": {\"x\": 1}}", "tag"),
        ("{\"$and\": {}}", "$and"),
        ("{\"$and\": [{\"n\": 1}, {\"n\": {\"$gt\": [1]}}]}", "$and[1].n.$gt"),
        ("{\"n\": {\"$in\": [1, [2]]}}", "n.$in[1]"),
        ("{\"n\": {\"$between\": [1]}}", "n.$between"),
        ("{\"n\": {\"$exists\": 1}}", "n.$exists"),
        ("{\"n\": {\"$regex\": \"(a+)+$\"}}", "n.$regex"),
        ("{\"n\": {\"$gt\": null}}", "n.$gt"),
        ("{\"$where\": \"1\"}", "$where"),
        ("{\"\": 1}", "field path"),
    ] {
        let message = check_error(text.parse::<Filter>(), "InvalidFilter").to_string();
        assert!(message.contains(place), "{text}: {message}");
    }
    check_json_refused("InvalidFilter", json!({"x".repeat(1 << 20): 1}));
    check_json_refused("InvalidFilter", json!({"n": {format!("${}", "x".repeat(1 << 20)): 1}}));
}

#[test]
fn builders_with_operands_that_are_none_are_refused_when_used() {
    let world = World::new();
    for filter in [
        field("n").gt(f64::NAN),
        field("n").eq(f64::INFINITY),
        field("n").lt(true),
        field("n").eq(Value::object()),
        field("n").is_in([Value::Array(Vec::new())]),
        field("n").between(Value::Null, 1),
        field("").eq(1),
        field("$n").eq(1),
        field("x".repeat(1 << 20)).eq(1),
        field("n").eq(1).and(field("n").gt(f64::NAN)),
        field("n").contains((0..1_000_000).fold(Value::Null, |inner, _| Value::Array(vec![inner]))),
    ] {
        check_filter_refused(&world, "InvalidFilter", &filter);
    }
}

#[track_caller]
fn check_matches(filter: &str, metadata: Json, expected: bool) {
    let filter: Filter = filter.parse().unwrap();
    assert_eq!(filter.matches(&metadata.clone().into()), expected, "{filter} {metadata}");
}

#[test]
fn odd_values_match_what_they_equal() {
    let large = 9_007_199_254_740_993u64;
    check_matches("{\"n\": 9007199254740993}", json!({"n": large}), true);
    check_matches("{\"n\": 9007199254740993}", json!({"n": large - 1}), false);
    check_matches("{\"n\": 9007199254740993}", json!({"n": 9_007_199_254_740_992.0}), false);
    check_matches("{\"n\": {\"$gt\": 9007199254740992.0}}", json!({"n": large}), true);
    check_matches("{\"n\": 18446744073709551615}", json!({"n": u64::MAX}), true);
    check_matches("{\"n\": {\"$lt\": 18446744073709551616}}", json!({"n": u64::MAX}), true);
    check_matches("{\"n\": -0.0}", json!({"n": 0}), true);
    check_matches("{\"tag\": \"a\", \"tag\": \"b\"}", json!({"tag": "b"}), true);
    check_matches("{\"a.b\": 1}", json!({"a.b": 1, "a": {"b": 2}}), true);
    check_matches("{\"a.b\": 2}", json!({"a.b": 1, "a": {"b": 2}}), false);
    check_matches("{\"nul\\u0000\": 1}", json!({"nul\0": 1}), true);
    check_matches("{\"n\": \"1\"}", json!({"n": 1}), false);
    check_matches("{\"e\": \"é\"}", json!({"e": "e\u{301}"}), false);
}

#[test]
fn fields_may_hold_different_types() {
    let (_folder, db) = common::database();
    let collection = db.create_collection("c", CollectionConfig::new(1)).unwrap();
    let values = [
        json!(1),
        json!(1.0),
        json!("1"),
        json!(true),
        json!(null),
        json!([1, "1"]),
        json!({"k": 1}),
        json!([]),
        json!(2),
    ];
    collection.insert_many(values.map(|value| Document::new([1.0]).metadata(json!({"n": value})))).unwrap();
    collection.insert(Document::new([1.0])).unwrap();
    for (filter, expected) in [
        (field("n").eq(1), 3),
        (field("n").ne(1), 7),
        (field("n").eq("1"), 2),
        (field("n").gt(0), 4),
        (field("n").gt(""), 2),
        (field("n").is_null(true), 1),
        (field("n").exists(false), 1),
        (field("n.k").eq(1), 1),
        (field("n").is_in([Value::from(1), Value::from("1"), Value::Null]), 5),
    ] {
        assert_eq!(collection.count(filter.clone()).unwrap(), expected, "{filter}");
        assert_eq!(collection.search([1.0]).filter(filter).run().unwrap().len(), expected);
    }
}

// Ids and names.

#[test]
fn empty_and_overlong_ids_are_refused() {
    let world = World::new();
    let collection = world.one();
    for id in [String::new(), "x".repeat(limits::MAX_ID_BYTES + 1), "x".repeat(64 << 10)] {
        let id = DocId::from(id);
        world.check_document_refused("InvalidId", collection, &Document::new([1.0, 0.0, 0.0]).id(&id));
        world.check_refused("InvalidId", || collection.update(Update::new(&id)));
        world.check_refused("InvalidId", || collection.delete(&id));
        world.check_refused("1 InvalidId", || collection.delete_many([&DocId::from(1), &id]));
        world.check_refused("InvalidId", || collection.get(&id));
        world.check_refused("InvalidId", || collection.get_many([&DocId::from(1), &id]));
        world.check_refused("InvalidId", || collection.contains(&id));
        world.check_refused("InvalidId", || collection.search(Query::like(&id)).run());
        world.check_refused("InvalidId", || collection.namespace("empty")?.get(&id));
        let page = world.check_untouched(|| collection.scroll().after(Cursor::after(id)).run());
        assert_eq!(page.unwrap().documents.len(), 0, "numbers come before every string");
    }
}

#[test]
fn ids_that_look_alike_are_different_documents() {
    let world = World::new();
    let collection = world.db.create_collection("ids", CollectionConfig::new(1)).unwrap();
    let ids: Vec<DocId> = [
        "a",
        "A",
        "a ",
        " a",
        "a\n",
        "a\0",
        "\0",
        "\u{202E}a",
        "é",
        "e\u{301}",
        "ß",
        "ss",
        "7",
        "07",
        "+7",
        "../x",
        ".",
        "..",
        "/etc/passwd",
        "C:\\x",
        "\\\\",
        "%2e%2e",
        "CON",
        "{}",
        "$id",
        "null",
        "67e5504410b1426f9247bb680e5fe0c8",
        "67E5504410B1426F9247BB680E5FE0C8",
    ]
    .into_iter()
    .map(DocId::from)
    .chain([DocId::from(7), DocId::from("x".repeat(limits::MAX_ID_BYTES))])
    .collect();
    let documents = ids.iter().enumerate().map(|(n, id)| Document::new([1.0]).id(id).metadata(json!({"n": n})));
    assert_eq!(collection.insert_many(documents).unwrap().n_changed, ids.len());
    for (n, id) in ids.iter().enumerate() {
        let found = collection.get(id).unwrap().unwrap();
        assert_eq!((&found.id, &found.metadata), (id, &json!({"n": n}).into()));
    }
    let page = collection.scroll().limit(usize::MAX).run().unwrap();
    assert_eq!(page.documents.len(), ids.len());
    assert!(page.documents.is_sorted_by(|a, b| a.id < b.id));
}

#[test]
fn one_uuid_is_one_document() {
    let world = World::new();
    world.one().insert(Document::new([1.0, 0.0, 0.0]).id("67e55044-10b1-426f-9247-bb680e5fe0c8")).unwrap();
    for spelling in [
        "67E55044-10B1-426F-9247-BB680E5FE0C8",
        "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
        "urn:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8",
    ] {
        let document = Document::new([1.0, 0.0, 0.0]).id(spelling);
        world.check_untouched(|| check_error(world.one().insert(document), "DocumentExists"));
        assert!(world.one().contains(spelling).unwrap(), "{spelling}");
    }
}

#[test]
fn names_of_collections_are_plain() {
    let world = World::new();
    let long = "x".repeat(limits::MAX_NAME_BYTES + 1);
    let names = [
        "",
        "-a",
        ".",
        "..",
        "../x",
        "a/b",
        "/",
        "a\\b",
        "C:",
        "a b",
        "a\0",
        "a\n",
        "é",
        "\u{202E}a",
        "%2e%2e",
        "a.b",
        &long,
    ];
    for name in names.iter().map(|name| (*name).to_owned()).chain(["x".repeat(1 << 20)]) {
        let config = CollectionConfig::new(1);
        world.check_refused("InvalidName", || world.db.create_collection(&name, config.clone()));
        world.check_refused("InvalidName", || world.db.get_or_create_collection(&name, config));
        world.check_refused("InvalidName", || world.db.rename_collection("cosine-true", &name));
        world.check_untouched(|| check_error(world.db.collection(&name), "CollectionNotFound"));
        world.check_untouched(|| check_error(world.db.drop_collection(&name), "CollectionNotFound"));
    }
    for name in ["CON", "nul", "_", "0", "A", "a", &long[1..]] {
        let collection = world.db.create_collection(name, CollectionConfig::new(1)).unwrap();
        collection.insert(Document::new([1.0]).text(name)).unwrap();
    }
    for name in ["CON", "nul", "_", "0", "A", "a", &long[1..]] {
        let hits = world.db.collection(name).unwrap().search([1.0]).run().unwrap();
        assert_eq!((hits.len(), hits[0].text.as_deref()), (1, Some(name)));
    }
}

#[test]
fn names_of_namespaces_are_any_text() {
    let world = World::new();
    let (long, longer) = ("x".repeat(limits::MAX_NAMESPACE_BYTES), "x".repeat(limits::MAX_NAMESPACE_BYTES + 1));
    for name in ["", &longer] {
        world.check_refused("InvalidName", || world.one().namespace(name));
    }
    let names = ["a", "A", "..", "../x", "/", "a/b", "\0", "a\0", "a\n", "é", "e\u{301}", "\u{202E}a", " ", &long];
    for name in names {
        world.one().namespace(name).unwrap().insert(Document::new([1.0, 0.0, 0.0]).id("x").text(name)).unwrap();
    }
    let mut expected = names.map(str::to_owned);
    expected.sort();
    assert_eq!(world.one().namespaces("").unwrap(), expected);
    for name in names {
        let found = world.one().namespace(name).unwrap().get("x").unwrap().unwrap();
        assert_eq!(found.text.as_deref(), Some(name));
    }
}

#[test]
fn there_are_at_most_so_many_collections() {
    let (_folder, db) = common::database();
    let name = |n: usize| format!("c{n}");
    for n in 0..limits::MAX_COLLECTIONS {
        let collection = db.create_collection(&name(n), CollectionConfig::new(1)).unwrap();
        collection.insert(Document::new([1.0])).unwrap();
    }
    let before = db.stats().unwrap().commit;
    let error = check_error(db.create_collection("more", CollectionConfig::new(1)), "LimitExceeded");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    check_error(db.get_or_create_collection("more", CollectionConfig::new(1)), "LimitExceeded");
    check_error(db.create_collection(&name(0), CollectionConfig::new(1)), "CollectionExists");
    assert_eq!((db.stats().unwrap().commit, db.collections().unwrap().len()), (before, limits::MAX_COLLECTIONS));
    db.drop_collection(&name(7)).unwrap();
    db.create_collection("more", CollectionConfig::new(1)).unwrap();
    check_error(db.create_collection(&name(7), CollectionConfig::new(1)), "LimitExceeded");
}
