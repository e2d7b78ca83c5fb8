//! Snapshots of several collections at one commit.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::{check_error, database, folder, quick};
use serde_json::json;
use vectrove::{Collection, CollectionConfig, Database, Document, Namespace, Options, Query, Snapshot, field};

const N: u64 = 300;

fn document(n: u64) -> Document {
    Document::new([1.0, n as f32]).id(n).metadata(json!({"n": n})).text("word")
}

/// Number of documents in a snapshot, the same by each verb.
fn counted(snapshot: &Snapshot) -> usize {
    let n = snapshot.count(None).unwrap();
    let ids = 0..N;
    assert_eq!(snapshot.search([1.0, 7.0]).limit(N as usize).exact(true).run().unwrap().len(), n);
    assert_eq!(snapshot.search(Query::text("word")).limit(N as usize).run().unwrap().len(), n);
    assert_eq!(snapshot.scroll().limit(N as usize).run().unwrap().documents.len(), n);
    assert_eq!(snapshot.count(field("n").gte(0)).unwrap(), n);
    assert_eq!(snapshot.get_many(ids).unwrap().iter().flatten().count(), n);
    let facet = snapshot.facet("n").limit(N as usize).run().unwrap();
    assert_eq!(facet.iter().map(|count| count.n_documents).sum::<usize>(), n);
    n
}

fn three(db: &Database) -> [Namespace; 3] {
    let config = || CollectionConfig::new(2);
    let [a, b] = ["a", "b"].map(|name| db.get_or_create_collection(name, config()).unwrap());
    let agent = a.namespace("agent").unwrap();
    [Namespace::clone(&a), Namespace::clone(&b), agent]
}

#[test]
fn documents_on_the_move_are_seen_once() {
    let folder = folder();
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let all = three(&db);
    all[0].insert_many((0..N).map(document)).unwrap();
    let (stop, n_checked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for mover in 0..2u64 {
            let (db, all, stop) = (&db, &all, &stop);
            scope.spawn(move || {
                // Each thread moves documents of its own, in a circle.
                for round in 0.. {
                    for n in (mover..N).step_by(2) {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let mut batch = db.batch();
                        batch.delete(&all[round % 3], n).must_exist();
                        batch.insert(&all[(round + 1) % 3], document(n));
                        batch.commit().unwrap();
                    }
                }
            });
        }
        let looks = |db: &Database, all: &[Namespace; 3], n_rounds: usize, before: &dyn Fn()| {
            for _ in 0..n_rounds {
                before();
                let snapshots = db.snapshot(all).unwrap();
                assert!(snapshots.iter().all(|snapshot| snapshot.commit() == snapshots[0].commit()));
                assert_eq!(snapshots.iter().map(counted).sum::<usize>(), N as usize);
                n_checked.fetch_add(1, Ordering::Relaxed);
            }
        };
        looks(&db, &all, 60, &|| {});
        let reader = Database::open_with(folder.path(), Options::new().read_only(true)).unwrap();
        let [a, b] = ["a", "b"].map(|name| reader.collection(name).unwrap());
        let agent = a.namespace("agent").unwrap();
        let read = [Namespace::clone(&a), Namespace::clone(&b), agent];
        looks(&reader, &read, 6, &|| _ = reader.refresh().unwrap());
        // Meanwhile another thread refreshes the reader.
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    reader.refresh().unwrap();
                }
            });
            looks(&reader, &read, 6, &|| {});
            done.store(true, Ordering::Relaxed);
        });
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(n_checked.load(Ordering::Relaxed), 72);
    db.verify().unwrap();
}

#[test]
fn what_is_held_is_told() {
    let (_folder, db) = database();
    let all = three(&db);
    all[0].insert(document(1)).unwrap();
    let held = |name: &str| {
        let stats = db.collection(name).unwrap().stats().unwrap();
        (stats.n_snapshots, stats.oldest_snapshot)
    };
    assert_eq!((held("a"), held("b")), ((0, None), (0, None)));
    let first = db.snapshot(&all).unwrap();
    all[0].insert(document(2)).unwrap();
    let second = all[0].snapshot().unwrap();
    assert!(first[0].commit() < second.commit());
    assert_eq!(held("a"), (3, Some(first[0].commit())));
    assert_eq!(held("b"), (1, Some(first[0].commit())));
    let clone = second.clone();
    drop(first);
    assert_eq!((held("a"), held("b")), ((1, Some(second.commit())), (0, None)));
    drop(second);
    assert_eq!(held("a").0, 1);
    drop(clone);
    assert_eq!(held("a"), (0, None));
    assert!(db.snapshot(Vec::<Namespace>::new()).unwrap().is_empty());
}

#[test]
fn what_cannot_be_shown_together_is_refused() {
    let (_folder, db) = database();
    let (_other_folder, other) = database();
    let (all, foreign) = (three(&db), three(&other));
    let both: [&Namespace; 2] = [&all[0], &foreign[0]];
    check_error(db.snapshot(both), "InvalidConfig");
    let collections: [Collection; 2] = ["a", "b"].map(|name| db.collection(name).unwrap());
    assert_eq!(db.snapshot(&collections).unwrap().len(), 2);
    let held = db.snapshot(&collections).unwrap();
    db.drop_collection("b").unwrap();
    check_error(db.snapshot(&collections), "CollectionNotFound");
    assert_eq!(held[0].count(None).unwrap(), 0);
    check_error(held[1].count(None), "CollectionNotFound");
    // Handles keep the database open; it is closed for all of them.
    db.close().unwrap();
    check_error(held[0].count(None), "Closed");
}
