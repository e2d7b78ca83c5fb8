//! Codes come to fit the data, during all other work, and report how far they can be trusted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "../benches/common/shapes/mod.rs"]
mod shapes;

use std::path::Path;
use std::time::Duration;

use common::{copy_folder, folder, quick};
use parking_lot::Mutex;
use serde_json::json;
use shapes::truth::Truth;
use shapes::{Dice, SEED, Shape};
use vectrove::{
    CodeKind, CodeStats, Collection, CollectionConfig, Database, DocId, Document, Hits, Metric, Namespace, OpenedBy,
    Options, Residency, Snapshot, Strategy, Update, field, pause_at,
};

/// Failpoints belong to the whole process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());
/// How long the linker stays at a failpoint, and how long others wait for this.
const STAY: Duration = Duration::from_millis(700);
const THERE: Duration = Duration::from_millis(250);

const DIMENSION: usize = 32;
const N_ROWS: u64 = 2_000;
/// Queries for a measurement of recall.
const N_QUERIES: u64 = 60;
const GOOD: f64 = 0.98;
/// A beam that finds all points whose codes fit, where many points are dead.
const WIDE: usize = 400;

/// Row `n` of a cluster of spread 1 about a point `away` from the origin in every component.
fn row_of(dimension: usize, n: u64, away: f64) -> Vec<f32> {
    let mut dice = Dice::new(n);
    (0..dimension).map(|_| (away + dice.normal()) as f32).collect()
}

fn row(n: u64, away: f64) -> Vec<f32> {
    row_of(DIMENSION, n, away)
}

fn document(n: u64, away: f64) -> Document {
    Document::new(row(n, away)).id(n).metadata(json!({"n": n % 5}))
}

fn config() -> CollectionConfig {
    CollectionConfig::new(DIMENSION).metric(Metric::Euclidean)
}

/// Inserts the rows `from..to`.
fn insert(collection: &Collection, from: u64, to: u64, away: f64) {
    collection.insert_many((from..to).map(|n| document(n, away))).unwrap();
}

fn codes(db: &Database) -> CodeStats {
    db.stats().unwrap().collections[0].codes.unwrap()
}

/// Waits until all documents are linked and codes fit.
fn settled(db: &Database, collection: &Collection) -> CodeStats {
    collection.wait_indexed().unwrap();
    codes(db)
}

/// The recall at 10 of graph searches near a cluster.
fn recall(room: &Namespace, away: f64) -> f64 {
    recall_by(away, |query, way| room.search(query).limit(10).strategy(way).with_document(false).run().unwrap())
}

fn recall_then(then: &Snapshot, away: f64) -> f64 {
    recall_by(away, |query, way| then.search(query).limit(10).strategy(way).with_document(false).run().unwrap())
}

fn recall_by(away: f64, search: impl Fn(&[f32], Strategy) -> Hits) -> f64 {
    let n_found = |query: u64| {
        let query = row(1_000_000 + query, away);
        let (truth, found) = (search(&query, Strategy::Exact), search(&query, Strategy::Graph));
        assert_eq!(truth.len(), found.len());
        let farthest = truth[truth.len() - 1].distance * 1.000_01;
        found.iter().filter(|hit| hit.distance <= farthest).count() as f64 / truth.len() as f64
    };
    (0..N_QUERIES).map(n_found).sum::<f64>() / N_QUERIES as f64
}

/// Asserts that each row is its own nearest, at its own distance.
#[track_caller]
fn check_selves(from: u64, to: u64, away: f64, search: impl Fn(&[f32]) -> Hits) {
    let is_lost = |n: &u64| {
        let hits = search(&row(*n, away));
        !hits.first().is_some_and(|hit| hit.id == DocId::from(*n) && hit.distance < 1e-3)
    };
    let lost: Vec<u64> = (from..to).step_by(7).filter(is_lost).collect();
    assert!(
        lost.is_empty(),
        "{} of {} are not found, as {:?}",
        lost.len(),
        (to - from) / 7,
        &lost[..lost.len().min(5)]
    );
}

/// A collection whose codes are about to be replaced: the linker stays at a failpoint before it.
fn replacing_at(path: &Path, options: Options, point: &str) -> (Database, Collection) {
    let db = Database::open_with(path, options).unwrap();
    let collection = db.create_collection("c", config()).unwrap();
    pause_at(point, STAY);
    insert(&collection, 0, N_ROWS, 1_000.0);
    std::thread::sleep(THERE);
    (db, collection)
}

#[test]
fn vectors_of_few_components_are_walked_as_they_are() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let path = folder.path().join("db");
    let place = |n: u64| row_of(2, n, 52.0);
    let db = Database::open_with(&path, quick()).unwrap();
    let collection = db.create_collection("c", CollectionConfig::new(2).metric(Metric::Euclidean)).unwrap();
    collection.insert(Document::new(place(0)).id(0)).unwrap();
    assert_eq!((codes(&db).kind, codes(&db).generation), (CodeKind::F32, 0));
    collection.insert_many((1..500).map(|n| Document::new(place(n)).id(n))).unwrap();
    let killed = folder.path().join("killed");
    copy_folder(&path, &killed);
    drop((collection, db));
    for path in [&killed, &path] {
        let db = Database::open_with(path, quick()).unwrap();
        let collection = db.collection("c").unwrap();
        assert_eq!(codes(&db).kind, CodeKind::F32);
        for n in 0..500 {
            let hits = collection.search(place(n)).limit(1).run().unwrap();
            assert_eq!((&hits[0].id, hits[0].distance), (&DocId::from(n), 0.0));
        }
        assert_eq!(settled(&db, &collection).n_replaced, 0);
        db.verify().unwrap();
    }
}

#[test]
fn an_opening_without_anything_linked_keeps_the_kind_of_codes() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let db = Database::open_with(folder.path(), quick()).unwrap();
    db.create_collection("c", CollectionConfig::new(2).metric(Metric::Euclidean)).unwrap();
    drop(db);
    for _ in 0..2 {
        let db = Database::open_with(folder.path(), quick()).unwrap();
        assert_eq!((codes(&db).kind, codes(&db).generation), (CodeKind::F32, 0));
    }
}

#[test]
fn far_from_the_origin_codes_are_measured_from_the_mean() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let path = folder.path().join("db");
    let db = Database::open_with(&path, quick()).unwrap();
    let collection = db.create_collection("c", config()).unwrap();
    insert(&collection, 0, N_ROWS, 1_000.0);
    let told = settled(&db, &collection);
    assert_eq!((told.kind, told.generation, told.n_replaced), (CodeKind::Sq8Centred, 1, 1), "{told:?}");
    assert!(told.n_measured >= 1_000 && told.code_recall.unwrap() > 0.98 && told.sampled_recall.unwrap() > 0.98);
    assert!(recall(&collection, 1_000.0) >= 0.99);
    db.verify().unwrap();
    drop((collection, db));
    for way in [OpenedBy::Image, OpenedBy::Rows] {
        if way == OpenedBy::Rows {
            std::fs::remove_dir_all(path.join("images")).unwrap();
        }
        let db = Database::open_with(&path, quick()).unwrap();
        let collection = db.collection("c").unwrap();
        assert_eq!(db.stats().unwrap().collections[0].opening.way, way);
        assert!(recall(&collection, 1_000.0) >= 0.99, "right after an open by {way:?}");
        let again = settled(&db, &collection);
        assert_eq!((again.kind, again.generation, again.n_replaced), (told.kind, told.generation, 0));
        assert!(again.code_recall.is_some() && again.n_measured > 0);
        db.verify().unwrap();
    }
}

/// Data sets for a collection whose codes may not be replaced.
const AWKWARD: &str = "geo2dworld utm5 uni16 offset100 offset1000 tabular12 tabular24 cone0.99 cone0.9999 wildnorms \
                       mips_bias drift neardup binary256";

#[test]
fn a_gauge_is_honest_where_codes_may_not_be_replaced() {
    const N_ROWS: usize = 3_000;
    let _alone = ALONE.lock();
    let mut complaints = Vec::new();
    for name in AWKWARD.split_whitespace() {
        let shape = Shape::named(name).unwrap_or_else(|| panic!("no set {name}"));
        let data = shape.draw(N_ROWS, 200, SEED);
        let folder = folder();
        let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
        let config = CollectionConfig::new(shape.dimension).metric(shape.metric).adapt_codes(false);
        let collection = db.create_collection("c", config).unwrap();
        let document = |(n, row): (usize, &Vec<f32>)| Document::new(row.as_slice()).id(n as u64);
        collection.insert_many(data.rows.iter().enumerate().map(document)).unwrap();
        let measured_before = settled(&db, &collection);
        let truth = Truth::of(shape.metric, &data);
        let recall = truth.recall(0..data.queries.len(), |query| {
            let hits =
                collection.search(&data.queries[query]).limit(10).with_document(false).strategy(Strategy::Graph).run();
            hits.unwrap()
                .iter()
                .map(|hit| match hit.id {
                    DocId::U64(row) => row as usize,
                    ref other => panic!("nobody stored {other}"),
                })
                .collect::<Vec<_>>()
        });
        // Queries have measured the codes by now, and may lie where documents do not.
        let told = settled(&db, &collection);
        let sampled = told.sampled_recall.map_or(f64::NAN, f64::from);
        let line = format!("{name:12} {:?} recall {recall:.3}, gauge {sampled:.3}, {told:?}", told.kind);
        println!("{line}");
        if shape.dimension > 16 {
            assert_eq!((told.kind, told.n_replaced), (CodeKind::Sq8, 0), "{line}");
        }
        let is_honest = sampled <= recall + 0.03 && (recall >= 0.9 || sampled < 0.9);
        assert!(measured_before.sampled_recall.is_some(), "{line}");
        if told.sampled_recall.is_none() || !is_honest {
            complaints.push(line);
        }
        drop((collection, db));
        let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
        let again = settled(&db, &db.collection("c").unwrap());
        assert_eq!((again.kind, again.n_replaced), (told.kind, 0));
    }
    assert!(complaints.is_empty(), "not honest:\n{}", complaints.join("\n"));
}

#[test]
fn whatever_happens_while_codes_are_replaced_answers_are_right() {
    let _alone = ALONE.lock();
    for point in ["codes.begun", "codes.some", "codes.filled", "codes.made"] {
        let folder = folder();
        let (db, collection) = replacing_at(folder.path(), quick(), point);
        let then = collection.snapshot().unwrap();
        insert(&collection, N_ROWS, N_ROWS + 300, 1_000.0);
        collection.delete_many(0..300u64).unwrap();
        let moved = Update::new(500).vector(row(9_999, 1_000.0));
        collection.update(moved).unwrap();
        collection.update(Update::new(501).merge(json!({"n": 77}))).unwrap();
        let filtered = collection.search(row(502, 1_000.0)).filter(field("n").eq(77)).limit(3).run().unwrap();
        assert_eq!(filtered.iter().map(|hit| hit.id.clone()).collect::<Vec<_>>(), [DocId::from(501)]);
        let told = settled(&db, &collection);
        assert!(told.kind == CodeKind::Sq8Centred && told.n_replaced > 0, "{point}: {told:?}");
        db.verify().unwrap();
        assert!(recall(&collection, 1_000.0) >= GOOD, "{point}");
        let search = |query: &[f32]| collection.search(query).limit(3).strategy(Strategy::Graph).run().unwrap();
        check_selves(600, N_ROWS + 300, 1_000.0, search);
        let hits = search(&row(9_999, 1_000.0));
        assert_eq!(hits[0].id, DocId::from(500));
        let filtered = collection.search(row(700, 1_000.0)).filter(field("n").eq(0)).limit(1).run().unwrap();
        assert_eq!(filtered[0].id, DocId::from(700));
        assert!(search(&row(7, 1_000.0))[0].id != DocId::from(7), "it was deleted");
        check_selves(0, N_ROWS, 1_000.0, |query| then.search(query).limit(3).ef(WIDE).run().unwrap());
        // Few links lead to points that were dead when they were linked: recall is .89 instead of
        // .99.
        let past = recall_then(&then, 1_000.0);
        assert!(past >= 0.85, "{point}: {past} of the commit before");
        drop((then, collection, db));
        let db = Database::open_with(folder.path(), quick()).unwrap();
        assert!(recall(&db.collection("c").unwrap(), 1_000.0) >= GOOD);
        db.verify().unwrap();
    }
}

#[test]
fn what_died_while_codes_are_replaced_is_found_by_those_who_looked_before() {
    let _alone = ALONE.lock();
    for residency in [Residency::Ram, Residency::Disk] {
        let folder = folder();
        let (db, collection) = replacing_at(folder.path(), quick().residency(residency), "codes.some");
        let then = collection.snapshot().unwrap();
        collection.delete_many(0..N_ROWS / 2).unwrap();
        let told = settled(&db, &collection);
        assert_eq!(told.n_replaced, 1, "{told:?}");
        check_selves(0, N_ROWS, 1_000.0, |query| then.search(query).limit(3).ef(WIDE).run().unwrap());
        let recall = recall_then(&then, 1_000.0);
        // As in a graph that is rebuilt while half of its points are dead.
        collection.rebuild_index().unwrap();
        let anew = recall_then(&then, 1_000.0);
        assert!(recall >= anew - 0.04, "{residency:?}: {recall}, {anew} made anew");
    }
}

#[test]
fn a_graph_made_anew_while_codes_are_replaced_does_not_keep_them_from_it() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let (db, collection) = replacing_at(folder.path(), quick(), "codes.some");
    collection.rebuild_index().unwrap();
    let told = settled(&db, &collection);
    let recall = recall(&collection, 1_000.0);
    assert!(told.kind == CodeKind::Sq8Centred && recall >= GOOD, "recall {recall}, {told:?}");
}

#[test]
fn what_a_close_or_a_kill_kept_from_being_replaced_is_replaced_after_the_next_open() {
    let _alone = ALONE.lock();
    for is_killed in [false, true] {
        let folder = folder();
        let (path, killed) = (folder.path().join("db"), folder.path().join("killed"));
        let (db, collection) = replacing_at(&path, quick(), "codes.some");
        if is_killed {
            copy_folder(&path, &killed);
        }
        drop(collection);
        db.close().unwrap();
        let db = Database::open_with(if is_killed { &killed } else { &path }, quick()).unwrap();
        let collection = db.collection("c").unwrap();
        let told = settled(&db, &collection);
        let recall = recall(&collection, 1_000.0);
        assert!(told.kind == CodeKind::Sq8Centred && recall >= GOOD, "killed: {is_killed}, recall {recall}, {told:?}");
    }
}

#[test]
fn a_collection_dropped_while_its_codes_are_replaced_is_gone() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let (db, collection) = replacing_at(folder.path(), quick(), "codes.some");
    db.drop_collection("c").unwrap();
    assert!(collection.wait_indexed().is_err());
    let other = db.create_collection("c", config()).unwrap();
    insert(&other, 0, 300, 0.0);
    assert!(recall(&other, 0.0) >= GOOD);
    drop((collection, other));
    db.close().unwrap();
    Database::open_with(folder.path(), quick()).unwrap().verify().unwrap();
}

#[test]
fn a_search_that_began_before_codes_were_replaced_passes_what_came_after() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let (db, collection) = replacing_at(folder.path(), quick(), "codes.made");
    pause_at("seek.layer", 4 * STAY);
    let reader = collection.clone();
    let searching = std::thread::spawn(move || reader.search(row(7, 1_000.0)).limit(3).strategy(Strategy::Graph).run());
    std::thread::sleep(2 * STAY);
    assert_eq!(codes(&db).kind, CodeKind::Sq8Centred, "they were replaced meanwhile");
    // More documents than there was room for, and none of them is linked.
    pause_at("link.take", 4 * STAY);
    insert(&collection, N_ROWS, 6 * N_ROWS, 1_000.0);
    assert_eq!(searching.join().unwrap().unwrap().len(), 3);
}

#[test]
fn a_verification_while_codes_are_replaced_ends() {
    let (_alone, folder) = (ALONE.lock(), folder());
    for point in ["codes.begun", "codes.some", "codes.made"] {
        let (db, collection) = replacing_at(&folder.path().join(point), quick(), point);
        let (told, ended) = std::sync::mpsc::channel();
        let verifier = db.clone();
        std::thread::spawn(move || told.send(verifier.verify()));
        ended.recv_timeout(Duration::from_secs(20)).expect("it ends").unwrap();
        insert(&collection, N_ROWS, N_ROWS + 1, 1_000.0);
        assert_eq!(settled(&db, &collection).kind, CodeKind::Sq8Centred);
    }
}

#[test]
fn readers_follow_the_codebook() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let collection = db.create_collection("c", config()).unwrap();
    insert(&collection, 0, 90, 1_000.0);
    collection.wait_indexed().unwrap();
    let reader = Database::open_with(folder.path(), quick().read_only(true)).unwrap();
    assert_eq!(codes(&reader).kind, CodeKind::Sq8);
    insert(&collection, 90, N_ROWS, 1_000.0);
    collection.wait_indexed().unwrap();
    // The graph is written to disk with the codebook.
    collection.rebuild_index().unwrap();
    reader.refresh().unwrap();
    assert_eq!((codes(&reader).kind, codes(&reader).generation), (CodeKind::Sq8Centred, 1));
    assert!(recall(&reader.collection("c").unwrap(), 1_000.0) >= GOOD);
}

#[test]
fn where_vectors_may_not_be_held_codes_take_two_bytes_at_most() {
    let _alone = ALONE.lock();
    // Room for the present vectors, but not for a second copy.
    let limited = quick().memory_limit((16 << 20) + 1_200_000);
    let all = [(quick().residency(Residency::Disk), "disk"), (limited, "limited"), (quick(), "ram")];
    for (options, name) in all {
        let folder = folder();
        let path = folder.path().join("db");
        let db = Database::open_with(&path, options).unwrap();
        let collection = db.create_collection("c", config()).unwrap();
        insert(&collection, 0, N_ROWS / 2, 0.0);
        collection.wait_indexed().unwrap();
        insert(&collection, N_ROWS / 2, N_ROWS, 6e4);
        let told = settled(&db, &collection);
        println!("{name}: {told:?}, recall {} {}", recall(&collection, 0.0), recall(&collection, 6e4));
        assert_eq!(told.kind, if name == "ram" { CodeKind::F32 } else { CodeKind::Sq16 }, "{told:?}");
        assert!(told.n_replaced <= 3, "{told:?}");
    }
}

#[test]
fn codes_of_four_bytes_shrink_where_vectors_may_not_be_held() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let collection = db.create_collection("c", config()).unwrap();
    insert(&collection, 0, N_ROWS / 2, 0.0);
    insert(&collection, N_ROWS / 2, N_ROWS, 6e4);
    assert_eq!(settled(&db, &collection).kind, CodeKind::F32);
    drop((collection, db));
    let db = Database::open_with(folder.path(), quick().residency(Residency::Disk)).unwrap();
    let collection = db.collection("c").unwrap();
    for _ in 0..200 {
        if codes(&db).kind == CodeKind::Sq16 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let told = settled(&db, &collection);
    assert!(told.kind == CodeKind::Sq16 && told.n_replaced >= 1 && told.code_recall.is_some(), "{told:?}");
}

#[test]
fn codes_follow_data_that_move_without_growing() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let collection = db.create_collection("c", config()).unwrap();
    insert(&collection, 0, N_ROWS, 0.0);
    assert_eq!(settled(&db, &collection).kind, CodeKind::Sq8);
    for n in 0..N_ROWS / 200 {
        insert(&collection, N_ROWS + 200 * n, N_ROWS + 200 * (n + 1), 1_000.0);
        collection.delete_many(200 * n..200 * (n + 1)).unwrap();
    }
    let told = settled(&db, &collection);
    let recall = recall(&collection, 1_000.0);
    assert!(recall >= GOOD, "recall {recall}, {told:?}");
}

#[test]
fn a_few_documents_far_away_from_many_are_found() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let collection = db.create_collection("c", config()).unwrap();
    insert(&collection, 0, N_ROWS, 0.0);
    collection.wait_indexed().unwrap();
    insert(&collection, N_ROWS, N_ROWS + 500, 1_000.0);
    let told = settled(&db, &collection);
    let recall = recall(&collection, 1_000.0);
    assert!(recall >= GOOD, "recall {recall}, {told:?}");
}

#[test]
fn documents_that_begin_a_cluster_far_away_are_found_at_once() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let collection = db.create_collection("c", config()).unwrap();
    insert(&collection, 0, N_ROWS, 0.0);
    collection.wait_indexed().unwrap();
    for (from, to) in [(0, 100), (100, 150), (150, 250), (250, 400)] {
        insert(&collection, N_ROWS + from, N_ROWS + to, -20_000.0);
        // Before and after linking, with codes replaced or not.
        for _ in 0..3 {
            let recall = recall(&collection, -20_000.0);
            assert!(recall >= 0.97, "{to} documents: recall {recall}, {:?}", codes(&db));
            collection.wait_indexed().unwrap();
        }
    }
}

#[test]
fn searches_for_none_and_for_very_many_end() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let collection = db.create_collection("c", config().adapt_codes(false)).unwrap();
    insert(&collection, 0, N_ROWS, 0.0);
    insert(&collection, N_ROWS, 2 * N_ROWS, 6e4);
    collection.wait_indexed().unwrap();
    for away in [0.0, 6e4] {
        for ef in 1..6 {
            let search = collection.search(row(1, away)).limit(0).ef(ef).strategy(Strategy::Graph);
            assert_eq!(search.run().unwrap().len(), 0);
        }
        for limit in [1_000, 2_025, 2_100, 3_999, 5_000] {
            let hits = collection.search(row(1, away)).limit(limit).strategy(Strategy::Graph).run().unwrap();
            assert_eq!(hits.len(), limit.min(2 * N_ROWS as usize), "{limit}, {:?}", hits.stats);
        }
    }
}

#[test]
fn links_that_were_made_by_codes_that_fitted_stay() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let collection = db.create_collection("c", config()).unwrap();
    insert(&collection, 0, 2 * N_ROWS, 0.0);
    // Some are deleted, some occur twice.
    collection.delete_many(0..200).unwrap();
    collection.insert_many((0..100).map(|n| Document::new(row(1_000 + n, 0.0)).id(1_000_000 + n))).unwrap();
    assert_eq!(settled(&db, &collection).n_replaced, 0);
    let before = recall(&collection, 0.0);
    for (cluster, away) in [(1, 3_000.0), (2, -50_000.0)] {
        let from = 10_000 * cluster;
        insert(&collection, from, from + 900, away);
        collection.delete_many(from..from + 50).unwrap();
        let told = settled(&db, &collection);
        assert!(told.n_replaced > 0, "{told:?}");
        db.verify().unwrap();
        for (what, away) in [("old", 0.0), ("new", away)] {
            let recall = recall(&collection, away);
            assert!(
                recall >= before.min(GOOD),
                "{what}, cluster {cluster}: recall {recall}, {before} before, {told:?}"
            );
        }
        check_selves(from + 50, from + 900, away, |row| {
            collection.search(row).limit(1).strategy(Strategy::Graph).run().unwrap()
        });
        check_selves(1_200, 4_000, 0.0, |row| collection.search(row).limit(1).strategy(Strategy::Graph).run().unwrap());
    }
}

/// The vector of row `n` in `tests/fixtures/format-1-places`, written when all codes had one byte
/// for each component.
fn old_place(n: u64) -> Vec<f32> {
    vec![52.5 + (n * 37 % 300) as f32 / 8_192.0, 13.375 + (n * 91 % 300) as f32 / 8_192.0]
}

#[test]
fn codes_that_older_versions_made_are_replaced() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1-places");
    for way in [OpenedBy::Image, OpenedBy::Rows] {
        let path = folder.path().join(format!("{way:?}"));
        copy_folder(&fixture, &path);
        if way == OpenedBy::Rows {
            std::fs::remove_dir_all(path.join("images")).unwrap();
        }
        for n_replaced in [1, 0] {
            let reader = Database::open_with(&path, quick().read_only(true)).unwrap();
            assert_eq!(codes(&reader).kind, if n_replaced == 1 { CodeKind::Sq8 } else { CodeKind::F32 });
            assert_eq!(reader.collection("c").unwrap().search(old_place(0)).limit(3).run().unwrap().len(), 3);
            drop(reader);
            let db = Database::open_with(&path, quick()).unwrap();
            let collection = db.collection("c").unwrap();
            if n_replaced == 1 {
                assert_eq!(db.stats().unwrap().collections[0].opening.way, way);
            }
            let told = settled(&db, &collection);
            assert_eq!((told.kind, told.generation, told.n_replaced), (CodeKind::F32, 1, n_replaced));
            check_old_places(&collection);
            db.verify().unwrap();
        }
    }
}

/// Asserts that, with each kind of codes, the nearest is found at its right distance.
#[track_caller]
fn check_old_places(collection: &Collection) {
    for n in 0..300 {
        let hits = collection.search(old_place(n)).limit(3).run().unwrap();
        assert_eq!((&hits[0].id, hits[0].distance), (&DocId::from(n), 0.0));
    }
}
