//! Calls beside documents and hits: durability of each write, figures, limits, waiting.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../examples/everyday.rs"]
mod everyday;

mod common;

use std::time::Duration;

use common::{check_error, disk_folder, folder, quick, random, seed};
use rand::Rng;
use serde_json::json;
use vectrove::{
    CollectionConfig, CollectionStats, Database, DocId, Document, Durability, Index, Job, JobState, Metric, Options,
    Quantization, Residency, SearchParams, Strategy, field,
};

#[test]
fn the_example_of_every_day_does_what_it_says() {
    everyday::main().unwrap();
}

/// Writes through a handle by each verb. Returns the number of waits for the disk.
fn n_syncs_of_writes(db: &Database, through: &vectrove::Collection) -> u64 {
    let before = db.stats().unwrap().n_syncs;
    for n in 0..50u64 {
        through.upsert(Document::new([1.0]).id(n)).unwrap();
        through.update(vectrove::Update::new(n).text("a")).unwrap();
        through.delete_many([n]).unwrap();
        through.insert(Document::new([1.0]).id(n)).unwrap();
        through.delete_where(field("missing").exists(false)).unwrap();
        through.namespace("agent").unwrap().upsert(Document::new([1.0]).id(n)).unwrap();
    }
    db.stats().unwrap().n_syncs - before
}

#[test]
fn each_write_is_as_durable_as_it_is_asked_to_be() {
    let folder = disk_folder();
    for durability in [Durability::Sync, Durability::Wal] {
        let db = Database::open_with(folder.path(), Options::new().durability(durability)).unwrap();
        let notes = db.get_or_create_collection("notes", CollectionConfig::new(1)).unwrap();
        // With each default of the database.
        let (synced, quick) = (notes.with_durability(Durability::Sync), notes.with_durability(Durability::Wal));
        let (n_quick, n_synced) = (n_syncs_of_writes(&db, &quick), n_syncs_of_writes(&db, &synced));
        assert!(n_synced >= 300 && n_quick < 150, "{durability:?}: {n_synced} and {n_quick} syncs");
        for n in 0..20u64 {
            let receipt = synced.upsert(Document::new([1.0]).id(n).text(n.to_string())).unwrap();
            assert!(db.stats().unwrap().durable_commit >= receipt.commit);
            let mut batch = db.batch();
            batch.upsert(&quick, Document::new([1.0]).id(n).text("again"));
            batch.durability(Durability::Sync);
            let receipt = batch.commit().unwrap();
            assert!(db.stats().unwrap().durable_commit >= receipt.commit, "the batch's own counts");
        }
        let n_syncs = |namespace: &vectrove::Namespace| {
            let before = db.stats().unwrap().n_syncs;
            let writer = namespace.writer().unwrap();
            for n in 0..50u64 {
                writer.send(Document::new([1.0]).id(n)).unwrap().wait().unwrap();
            }
            db.stats().unwrap().n_syncs - before
        };
        let (n_quick, n_synced) = (n_syncs(&quick), n_syncs(&synced));
        assert!(n_synced >= 50 && n_quick < 25, "{durability:?}: {n_synced} and {n_quick} syncs of a writer");
        let n_batches = |durability| {
            let before = db.stats().unwrap().n_syncs;
            for n in 0..50u64 {
                let mut batch = db.batch();
                batch.upsert(&notes, Document::new([1.0]).id(n));
                batch.durability(durability);
                batch.commit().unwrap();
            }
            db.stats().unwrap().n_syncs - before
        };
        let (n_quick, n_synced) = (n_batches(Durability::Wal), n_batches(Durability::Sync));
        assert!(n_synced >= 50 && n_quick < 25, "{durability:?}: {n_synced} and {n_quick} syncs of batches");
        db.close().unwrap();
    }
}

#[test]
fn what_a_search_used_can_be_read() {
    let folder = folder();
    let db = Database::open_with(folder.path(), quick()).unwrap();
    for (name, dimension, quantization) in [("bytes", 64, Quantization::Sq8), ("vectors", 64, Quantization::None)] {
        let config = CollectionConfig::new(dimension).quantization(quantization);
        let collection = db.create_collection(name, config).unwrap();
        let mut random = random(seed());
        let mut vector = || (0..dimension).map(|_| random.random_range(-1.0..1.0)).collect::<Vec<f32>>();
        let query = vector();
        let documents = (0..3_000u64).map(|n| Document::new(vector()).id(n).metadata(json!({"half": n % 2})));
        collection.insert_many(documents.collect::<Vec<_>>()).unwrap();
        collection.wait_indexed().unwrap();
        let params = SearchParams::default();
        assert_eq!((SearchParams::default_ef(10), params.least_ef(10), params.least_ef(11)), (68, 15, 17));
        let ef = |limit, ef: Option<usize>| {
            let search = collection.search(&query).strategy(Strategy::Graph).limit(limit);
            ef.map_or(search.clone(), |ef| search.ef(ef)).run().unwrap().stats.ef
        };
        for limit in [1, 10, 100] {
            assert!(ef(limit, None) >= SearchParams::default_ef(limit), "{name}");
            let least = if quantization == Quantization::Sq8 { params.least_ef(limit) } else { limit };
            assert_eq!(ef(limit, Some(1)), least, "{name}, {limit}");
            assert_eq!(ef(limit, Some(least - 1 + usize::from(least == 1))), least, "{name}, {limit}");
            assert_eq!(ef(limit, Some(least + 1)), least + 1, "{name}, {limit}");
        }
        let filtered =
            collection.search(&query).strategy(Strategy::Graph).filter(field("half").eq(1)).ef(1).run().unwrap();
        assert!(filtered.stats.ef >= 10, "{name}: {:?}", filtered.stats);
        assert_eq!(collection.search(&query).exact(true).run().unwrap().stats.ef, 0);
        let explained = collection.search(&query).strategy(Strategy::Graph).ef(99).explain(true).run().unwrap();
        assert!(explained.explanation.unwrap().to_string().contains("with ef 99"));
    }
}

#[test]
fn a_search_says_how_many_documents_wait_to_be_linked() {
    let folder = folder();
    {
        let db = Database::open_with(folder.path(), quick().tail_bound(1 << 20)).unwrap();
        let collection = db.create_collection("c", CollectionConfig::new(32).metric(Metric::Euclidean)).unwrap();
        collection.insert_many((0..3_000u64).map(|n| Document::new(vec![n as f32; 32]).id(n))).unwrap();
        collection.wait_indexed().unwrap();
        let waiting = || collection.search(vec![1.0; 32]).strategy(Strategy::Graph).run().unwrap().stats.n_tail;
        assert_eq!((waiting(), collection.stats().unwrap().tail_length), (0, 0));
        // The writes are faster than linking.
        collection.insert_many((3_000..40_000u64).map(|n| Document::new(vec![n as f32; 32]).id(n))).unwrap();
        let (before, n, after) = (collection.stats().unwrap().tail_length, waiting(), collection.stats().unwrap());
        assert!(before >= n && n >= after.tail_length && before > 0, "{before}, {n}, {}", after.tail_length);
        assert_eq!(after.tail_bound, 1 << 20);
        collection.wait_indexed().unwrap();
        assert_eq!(waiting(), 0);
    }
    let db = Database::open_with(folder.path(), quick().tail_bound(100)).unwrap();
    let collection = db.collection("c").unwrap();
    for n in 0..1_000u64 {
        collection.upsert(Document::new(vec![n as f32; 32]).id(n)).unwrap();
        let n_tail = collection.search(vec![1.0; 32]).strategy(Strategy::Graph).run().unwrap().stats.n_tail;
        assert!(n_tail <= 101, "a bound bounds what a search compares: {n_tail}");
    }
}

#[test]
fn while_many_documents_are_linked_the_job_works_and_fewer_are_left() {
    let folder = folder();
    let db = Database::open_with(folder.path(), quick().tail_bound(1 << 20)).unwrap();
    let collection = db.create_collection("c", CollectionConfig::new(32).metric(Metric::Euclidean)).unwrap();
    let link = || collection.stats().unwrap().jobs.into_iter().find(|job| job.name == Job::Link).unwrap();
    assert_eq!((link().n_done, link().n_left, link().error), (Some(0), Some(0), None));
    let n = 20_000;
    // The writes are faster than linking.
    collection.insert_many((0..n as u64).map(|n| Document::new(vec![n as f32; 32]).id(n))).unwrap();
    let mut seen = vec![link()];
    while seen.last().unwrap().n_left > Some(0) {
        std::thread::sleep(Duration::from_millis(1));
        seen.push(link());
    }
    assert!(seen.is_sorted_by_key(|job| (std::cmp::Reverse(job.n_left), job.n_done, job.n_steps)));
    let midway: Vec<_> = seen.iter().filter(|job| job.n_left > Some(0) && job.n_done > Some(0)).collect();
    assert!(midway.len() > 2 && midway.iter().all(|job| job.state == JobState::Working), "{midway:?}");
    assert!(midway[0].n_left > midway[midway.len() - 1].n_left && midway[0].error.is_none());
    collection.wait_indexed().unwrap();
    assert_eq!((link().n_done, link().n_left), (Some(n), Some(0)));
    while link().state != JobState::Idle {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(link().n_steps > midway[0].n_steps);
}

#[test]
fn jobs_have_names_in_json() {
    let folder = folder();
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let flat = CollectionConfig::new(2).index(Index::Flat).no_text();
    let [all, few] = [CollectionConfig::new(2), flat].map(|config| {
        let collection = db.create_collection(&format!("{:?}", config.index), config).unwrap();
        collection.insert_many((0..7u64).map(|n| Document::new([1.0, n as f32]).id(n))).unwrap();
        collection.wait_indexed().unwrap();
        json!(collection.stats().unwrap().jobs).as_array().unwrap().clone()
    });
    let names = ["link", "sketch", "load_vectors", "index_metadata", "index_text", "save"];
    for jobs in [&all, &few] {
        assert_eq!(jobs.iter().map(|job| job["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
    }
    for (place, n_done) in [(0, json!(7)), (1, json!(null)), (2, json!(7)), (3, json!(7)), (4, json!(7))] {
        let n_left = if n_done.is_null() { json!(null) } else { json!(0) };
        assert_eq!((&all[place]["n_done"], &all[place]["n_left"]), (&n_done, &n_left), "{}", all[place]);
    }
    assert!(few[0]["n_left"].is_null() && few[4]["n_left"].is_null(), "neither a graph nor words are wanted");
    let index = &all[3];
    assert_eq!((&index["state"], &index["error"]), (&json!("idle"), &json!(null)));
}

#[test]
fn figures_of_one_collection_are_those_of_all() {
    let folder = folder();
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let [a, b] = ["a", "b"].map(|name| db.create_collection(name, CollectionConfig::new(2)).unwrap());
    a.insert_many((0..70u64).map(|n| Document::new([1.0, n as f32]).id(n))).unwrap();
    a.namespace("agent").unwrap().insert(Document::new([1.0, 1.0])).unwrap();
    a.wait_indexed().unwrap();
    let all = db.stats().unwrap().collections;
    for (own, other) in [a.stats().unwrap(), b.stats().unwrap()].into_iter().zip(&all) {
        let figures =
            |stats: &CollectionStats| (stats.name.clone(), stats.n_documents, stats.n_namespaces, stats.tail_bound);
        assert_eq!((figures(&own), &own.config), (figures(other), &other.config));
    }
    assert_eq!((all[0].n_documents, all[0].n_namespaces, all[1].n_documents), (71, 2, 0));
    db.rename_collection("a", "z").unwrap();
    assert_eq!(a.stats().unwrap().name, "z");
    db.drop_collection("b").unwrap();
    check_error(b.stats(), "CollectionNotFound");
    db.close().unwrap();
    check_error(a.stats(), "Closed");
}

#[test]
fn documents_come_without_their_vectors_if_nobody_wants_them() {
    let folder = folder();
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let notes = db.create_collection("notes", CollectionConfig::new(2)).unwrap();
    let document = |n: u64| Document::new([1.0, n as f32]).id(n).text("t").metadata(json!({"n": n}));
    notes.insert_many((0..5).map(document)).unwrap();
    let snapshot = notes.snapshot().unwrap();
    notes.delete(1u64).unwrap();
    let (with, without) =
        (notes.get_many([0u64, 1, 4]).unwrap(), notes.get_many_without_vectors([0u64, 1, 4]).unwrap());
    for (with, without) in with.into_iter().zip(without) {
        assert_eq!(with.is_some(), without.is_some());
        let (Some(mut with), Some(without)) = (with, without) else { continue };
        assert_eq!(std::mem::take(&mut with.vector).len(), 2);
        assert_eq!(with, without);
    }
    assert!(snapshot.get_many_without_vectors([1u64]).unwrap()[0].as_ref().unwrap().vector.is_empty());
    check_error(notes.get_many_without_vectors([""]), "InvalidId");
}

#[test]
fn ids_are_read_as_what_they_are() {
    let uuid = DocId::generate();
    for (id, expected) in [
        (DocId::from(7), (Some(7), None, false)),
        (DocId::from("7"), (None, Some("7"), false)),
        (DocId::from(uuid.to_string()), (None, None, true)),
    ] {
        assert_eq!((id.as_u64(), id.as_str(), id.as_uuid().is_some()), expected, "{id}");
    }
    assert_eq!(uuid.as_uuid().map(DocId::from), Some(uuid));
}

#[test]
fn a_filter_is_taken_by_value_and_by_reference() {
    let folder = folder();
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let notes = db.create_collection("notes", CollectionConfig::new(1)).unwrap();
    notes.insert_many((0..10u64).map(|n| Document::new([1.0]).id(n).metadata(json!({"n": n})))).unwrap();
    let few = field("n").lt(3);
    for _ in 0..2 {
        assert_eq!(notes.search([1.0]).filter(&few).run().unwrap().len(), 3);
        assert_eq!(notes.scroll().filter(&few).run().unwrap().documents.len(), 3);
        assert_eq!(notes.facet("n").filter(&few).run().unwrap().len(), 3);
        assert_eq!(notes.sample(9).filter(&few).run().unwrap().len(), 3);
        assert_eq!((notes.count(&few).unwrap(), notes.count(few.clone()).unwrap()), (3, 3));
    }
    assert_eq!(notes.search([1.0]).filter(few).run().unwrap().len(), 3);
}

#[test]
fn whoever_waits_for_vectors_finds_them_where_they_are_to_be() {
    let folder = folder();
    let n = 20_000;
    {
        let db = Database::open_with(folder.path(), quick()).unwrap();
        let collection = db.create_collection("c", CollectionConfig::new(64)).unwrap();
        assert_eq!(collection.wait_resident().unwrap(), Residency::Ram, "there is nothing to be brought");
        collection.insert_many((0..n).map(|n| Document::new(vec![n as f32 + 1.0; 64]))).unwrap();
        db.create_collection("dropped", CollectionConfig::new(1)).unwrap();
    }
    let mut used = 0;
    for residency in [Residency::Ram, Residency::Mapped, Residency::Disk] {
        let db = Database::open_with(folder.path(), quick().residency(residency)).unwrap();
        let collection = db.collection("c").unwrap();
        assert_eq!(collection.wait_resident().unwrap(), residency);
        let n_loaded = if residency == Residency::Disk { 0 } else { n as usize };
        assert_eq!(
            (collection.stats().unwrap().n_vectors_loaded, collection.stats().unwrap().residency),
            (n_loaded, residency)
        );
        if residency == Residency::Disk {
            let dropped = db.collection("dropped").unwrap();
            db.drop_collection("dropped").unwrap();
            check_error(dropped.wait_resident(), "CollectionNotFound");
        }
        used = db.stats().unwrap().memory_bytes;
        let closed = collection.clone();
        db.close().unwrap();
        check_error(closed.wait_resident(), "Closed");
    }
    // There is no room for these documents.
    let limited = quick().memory_limit(used + (2 << 20));
    let db = Database::open_with(folder.path(), limited).unwrap();
    assert_eq!(db.collection("c").unwrap().wait_resident().unwrap(), Residency::Disk);
}
