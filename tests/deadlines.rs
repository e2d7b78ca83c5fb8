//! A call that is ended early returns an error and no part of an answer, writes nothing, and does
//! no harm.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{check_error, database, folder, quick, random};
use rand::Rng;
use serde_json::json;
use vectrove::{
    Boost, Cancel, Collection, CollectionConfig, Database, Document, ErrorKind, Query, Search, Strategy, field,
};

/// Documents in one namespace, linked, some with numbers that are not indexed.
fn filled(db: &Database, n: u64, dimension: usize) -> Collection {
    let config = CollectionConfig::new(dimension).no_index("raw");
    let collection = db.create_collection("c", config).unwrap();
    let mut random = random(5);
    let mut document = |n: u64| {
        let vector: Vec<f32> = (0..dimension).map(|_| random.random_range(-1.0..1.0)).collect();
        let metadata = json!({"n": n, "few": n % 50, "raw": n % 3, "kind": n % 7});
        let text = if n.is_multiple_of(2) { "red green" } else { "blue green" };
        Document::new(vector).id(n).metadata(metadata).text(text)
    };
    let documents: Vec<Document> = (0..n).map(&mut document).collect();
    documents.chunks(1_000).for_each(|documents| _ = collection.insert_many(documents.to_vec()).unwrap());
    collection.wait_indexed().unwrap();
    collection
}

/// Searches for each way.
fn searches(collection: &Collection) -> Vec<(&'static str, Search)> {
    let query = vec![0.5; collection.config().dimension];
    let near = || collection.search(&query);
    vec![
        ("as is fastest", near()),
        ("by the graph", near().strategy(Strategy::Graph)),
        ("by codes", near().strategy(Strategy::Codes)),
        ("one by one", near().exact(true)),
        ("among some", near().filter(field("few").lt(5))),
        ("among some, by the graph", near().filter(field("few").lt(25)).strategy(Strategy::Graph)),
        ("among some that are looked at", near().filter(field("raw").eq(1))),
        ("by words", collection.search(Query::text("green"))),
        ("by a phrase", collection.search(Query::text("\"blue green\""))),
        ("by both", near().text("red")),
        ("in groups", near().group_by("kind", 3)),
        ("boosted", near().boost(Boost::field("n").weight(1e-4))),
        ("a page far off", near().offset(500)),
        ("the first page", near().after(None)),
        ("many hits", near().limit(2_000)),
        ("ids alone", near().limit(2_000).with_document(false)),
        ("explained", near().filter(field("raw").eq(1)).explain(true)),
    ]
}

#[test]
fn what_is_over_before_it_begins_gives_nothing() {
    let (_folder, db) = database();
    let collection = filled(&db, 3_000, 24);
    let (cancelled, cancel) = (Cancel::new(), Cancel::new());
    cancelled.cancel();
    let later = Instant::now() + Duration::from_secs(3_600);
    for (what, search) in searches(&collection) {
        let plain = search.clone().run().unwrap();
        let unhurried = search.clone().deadline(later).cancel(&cancel).run().unwrap();
        assert_eq!(unhurried.items, plain.items, "{what}");
        let late = search.clone().deadline(Instant::now()).run().unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Deadline, "{what}");
        assert_eq!(search.cancel(&cancelled).run().unwrap_err().kind(), ErrorKind::Cancelled, "{what}");
    }
    let many = || collection.search_many([[0.5; 24], [0.1; 24]]);
    assert_eq!(many().cancel(&cancel).deadline(later).run().unwrap().len(), 2);
    assert_eq!(many().cancel(&cancelled).run().unwrap_err().kind(), ErrorKind::Cancelled);
    check_error(collection.scroll().cancel(&cancelled).run(), "Cancelled");
    check_error(collection.scroll().order_by("n").deadline(Instant::now()).run(), "Deadline");
    check_error(collection.sample(3).cancel(&cancelled).run(), "Cancelled");
    check_error(collection.facet("kind").deadline(Instant::now()).run(), "Deadline");
    assert_eq!(collection.scroll().cancel(&cancel).deadline(later).limit(9).run().unwrap().documents.len(), 9);
    assert_eq!(collection.sample(300).cancel(&cancel).deadline(later).run().unwrap().len(), 300);
    assert_eq!(collection.facet("kind").cancel(&cancel).deadline(later).run().unwrap().len(), 7);
    for given_up in ["Deadline", "Cancelled"] {
        let mut batch = db.batch();
        batch.upsert(&collection, Document::new(vec![1.0; 24]).id(9_000u64));
        batch.delete(&collection, 1u64);
        match given_up {
            "Deadline" => batch.deadline(Instant::now()),
            _ => batch.cancel(&cancelled),
        };
        check_error(batch.commit(), given_up);
    }
    // A batch that was committed before is acknowledged again, at any time.
    let id = vectrove::Uuid::from_u128(7);
    for is_late in [false, true] {
        let mut batch = db.batch();
        batch.operation_id(id);
        batch.upsert(&collection, Document::new(vec![1.0; 24]).id(9_001u64));
        if is_late {
            batch.deadline(Instant::now()).cancel(&cancelled);
        }
        assert_eq!(batch.commit().unwrap().repeated, is_late);
    }
    assert!(collection.contains(1u64).unwrap() && !collection.contains(9_000u64).unwrap());
    let mut batch = db.batch();
    batch.delete(&collection, 1u64);
    batch.deadline(later).cancel(&cancel);
    assert_eq!(batch.commit().unwrap().n_changed, 1);
}

/// Counts distances, and sets a flag after `n_until` of them.
#[derive(Default)]
struct Counter {
    cancel: Mutex<Cancel>,
    n_until: AtomicUsize,
    n: AtomicUsize,
}

impl Counter {
    /// Begins to count; the flag is set after `n_until` distances.
    fn begin(&self, n_until: usize) -> Cancel {
        let cancel = Cancel::new();
        *self.cancel.lock().unwrap() = cancel.clone();
        self.n_until.store(n_until, Ordering::Relaxed);
        self.n.store(0, Ordering::Relaxed);
        cancel
    }

    fn count(&self) {
        if self.n.fetch_add(1, Ordering::Relaxed) == self.n_until.load(Ordering::Relaxed) {
            self.cancel.lock().unwrap().cancel();
        }
    }
}

#[test]
fn a_search_ends_within_a_few_hundred_distances() {
    let folder = folder();
    let counter = Arc::new(Counter::default());
    let counting = {
        let counter = counter.clone();
        move |a: &[f32], b: &[f32]| {
            counter.count();
            a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>()
        }
    };
    let db = Database::open_with(folder.path().join("db"), quick().distance("counting", counting)).unwrap();
    let collection = db.create_collection("c", CollectionConfig::new(8).distance("counting")).unwrap();
    let mut random = random(3);
    let mut document = |n: u64| {
        let vector: Vec<f32> = (0..8).map(|_| random.random_range(-1.0..1.0)).collect();
        Document::new(vector).id(n).metadata(json!({"few": n % 4, "rare": n % 20}))
    };
    let documents: Vec<Document> = (0..20_000).map(&mut document).collect();
    documents.chunks(1_000).for_each(|documents| _ = collection.insert_many(documents.to_vec()).unwrap());
    collection.wait_indexed().unwrap();
    let near = || collection.search([0.1f32; 8]).with_document(false);
    for (what, search) in [
        ("one by one", near().exact(true)),
        ("by the graph", near().strategy(Strategy::Graph).ef(4_000)),
        ("among some", near().strategy(Strategy::Graph).filter(field("few").eq(1)).ef(4_000)),
        ("among some, one by one", near().filter(field("few").eq(1)).exact(true)),
        ("among few, by the graph", near().strategy(Strategy::Graph).filter(field("rare").eq(1)).ef(4_000)),
        ("unlike each other", near().exact(true).mmr(0.5, 4_000).limit(10)),
    ] {
        let cancel = counter.begin(usize::MAX);
        search.clone().cancel(&cancel).run().unwrap();
        let n_all = counter.n.load(Ordering::Relaxed);
        assert!(n_all > 1_200, "{what}: {n_all}");
        for n_until in [0, 500, n_all / 2, n_all - 1_100] {
            let cancel = counter.begin(n_until);
            let outcome = search.clone().cancel(&cancel).run();
            let n = counter.n.load(Ordering::Relaxed);
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled, "{what}, {n_until}");
            assert!(n <= n_until + 1_000, "{what}: {n} distances, {n_until} until the flag was set");
        }
    }
}

#[test]
fn a_writer_that_waits_gives_up_and_has_written_nothing() {
    let folder = folder();
    let db = Database::open_with(folder.path().join("db"), quick().tail_bound(64)).unwrap();
    let collection = db.create_collection("c", CollectionConfig::new(256)).unwrap();
    let (cancel, n_given_up, n_written) = (Cancel::new(), AtomicUsize::new(0), AtomicUsize::new(0));
    let document = |n: u64| {
        let mut random = random(n);
        Document::new((0..256).map(|_| random.random_range(-1.0..1.0)).collect::<Vec<f32>>()).id(n)
    };
    // The writes are faster than linking, so that some documents wait.
    thread::scope(|scope| {
        for writer in 0..4u64 {
            let (db, collection, cancel, document) = (&db, &collection, &cancel, &document);
            let (n_given_up, n_written) = (&n_given_up, &n_written);
            scope.spawn(move || {
                for n in 0..400 {
                    let mut batch = db.batch();
                    let ids = (0..8).map(|i| writer * 1_000_000 + n * 8 + i);
                    ids.clone().for_each(|id| _ = batch.insert(collection, document(id)));
                    match n % 3 {
                        0 => batch.deadline(Instant::now() + Duration::from_micros(200)),
                        1 => batch.cancel(cancel),
                        _ => &mut batch,
                    };
                    match batch.commit() {
                        Ok(receipt) => {
                            n_written.fetch_add(receipt.n_changed, Ordering::Relaxed);
                        }
                        Err(error) => {
                            assert!(matches!(error.kind(), ErrorKind::Deadline | ErrorKind::Cancelled), "{error}");
                            assert_eq!(error.outcome(), vectrove::Outcome::NotApplied);
                            assert!(ids.clone().all(|id| !collection.contains(id).unwrap()));
                            n_given_up.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    if writer == 0 && n == 200 {
                        cancel.cancel();
                    }
                }
            });
        }
    });
    assert!(n_given_up.load(Ordering::Relaxed) > 0);
    assert_eq!(collection.count(None).unwrap(), n_written.load(Ordering::Relaxed));
    collection.wait_indexed().unwrap();
    db.verify().unwrap();
}
