//! The graph survives a close: by an image, by rows and deltas, or by linking again. Memory stays
//! within its bounds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{check_error, content, copy_folder, folder, quick, random, seed};
use rand::{Rng, rngs::StdRng};
use vectrove::{
    Collection, CollectionConfig, CollectionStats, Database, DocId, Document, Index, Metric, OpenedBy, Options,
    Quantization, Residency, Strategy,
};

const DIMENSION: usize = 48;

/// A database in a folder, and the expected content of its collection.
struct Ground {
    _folder: tempfile::TempDir,
    path: PathBuf,
    random: StdRng,
    expected: BTreeMap<u64, Vec<f32>>,
}

impl Ground {
    fn new() -> Self {
        let folder = folder();
        let path = folder.path().join("db");
        Ground { _folder: folder, path, random: random(seed()), expected: BTreeMap::new() }
    }

    fn open(&self, options: Options) -> (Database, Collection) {
        self.open_as(options, CollectionConfig::new(DIMENSION))
    }

    fn open_as(&self, options: Options, config: CollectionConfig) -> (Database, Collection) {
        let db = Database::open_with(&self.path, options).unwrap();
        let collection = db.get_or_create_collection("c", config).unwrap();
        (db, collection)
    }

    fn vector(&mut self) -> Vec<f32> {
        let centre = self.random.random_range(0..20u32) as f32;
        (0..DIMENSION)
            .map(|at| ((centre * 7.0 + at as f32) * 1.7).sin() + self.random.random_range(-0.4..0.4))
            .collect()
    }

    /// Puts documents under these ids.
    fn put(&mut self, collection: &Collection, ids: impl Iterator<Item = u64>) {
        self.put_in_batches(collection, ids, 500);
    }

    fn put_in_batches(&mut self, collection: &Collection, ids: impl Iterator<Item = u64>, batch_size: usize) {
        let new: Vec<(u64, Vec<f32>)> = ids.map(|id| (id, self.vector())).collect();
        for batch in new.chunks(batch_size) {
            let documents = batch.iter().map(|(id, vector)| Document::new(vector.clone()).id(*id));
            collection.upsert_many(documents).unwrap();
        }
        self.expected.extend(new);
    }

    fn delete(&mut self, collection: &Collection, ids: impl Iterator<Item = u64>) {
        let ids: Vec<u64> = ids.collect();
        collection.delete_many(ids.iter().copied()).unwrap();
        ids.iter().for_each(|id| _ = self.expected.remove(id));
    }

    /// Asserts that each document is found by its own vector, and that searches find about what
    /// exact ones do.
    fn check(&self, collection: &Collection, what: &str) {
        assert_eq!(collection.count(None).unwrap(), self.expected.len(), "{what}");
        for (&id, vector) in self.expected.iter().step_by(13) {
            let hits = collection.search(vector).limit(1).strategy(Strategy::Graph).with_document(false).run().unwrap();
            assert_eq!(hits[0].id, DocId::from(id), "{what}: {:?}", hits.stats);
            assert!(hits[0].distance < 1e-4, "{what}: {hits:?}");
        }
        let recall = recall(collection, self.expected.values().step_by(29));
        assert!(recall > 0.97, "{what}: recall {recall}");
    }

    /// A copy of the database as it is on disk now, as a killed process would leave it.
    fn copy(&self) -> tempfile::TempDir {
        let copy = folder();
        copy_folder(&self.path, &copy.path().join("db"));
        copy
    }
}

fn recall<'v>(collection: &Collection, queries: impl Iterator<Item = &'v Vec<f32>>) -> f64 {
    let (mut n_found, mut n_wanted) = (0, 0);
    for query in queries {
        let ids = |way| -> HashSet<DocId> {
            let hits = collection.search(query).strategy(way).ef(80).with_document(false).run().unwrap();
            hits.iter().map(|hit| hit.id.clone()).collect()
        };
        let truth = ids(Strategy::Exact);
        n_wanted += truth.len();
        n_found += ids(Strategy::Graph).intersection(&truth).count();
    }
    n_found as f64 / n_wanted.max(1) as f64
}

fn stats(db: &Database) -> CollectionStats {
    db.stats().unwrap().collections.remove(0)
}

fn image(path: &Path) -> PathBuf {
    path.join("images/c1/image")
}

/// Waits until all vectors are where their residency keeps them.
fn wait_loaded(db: &Database) {
    while stats(db).n_vectors_loaded < stats(db).n_documents {
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_clean_close_leaves_an_image_that_opens_as_it_was() {
    let mut ground = Ground::new();
    let (db, collection) = ground.open(quick());
    ground.put(&collection, 0..3_000);
    ground.delete(&collection, (0..3_000).step_by(7));
    ground.put(&collection, (1..3_000).step_by(11));
    collection.wait_indexed().unwrap();
    ground.check(&collection, "before");
    let before = content(&db);
    db.close().unwrap();
    for round in 0..3 {
        let (db, collection) = ground.open(quick());
        let opening = stats(&db).opening;
        assert_eq!((opening.way, opening.n_waiting, opening.n_deltas), (OpenedBy::Image, 0, 0), "round {round}");
        ground.check(&collection, &format!("round {round}"));
        assert_eq!(content(&db), before);
        db.verify().unwrap();
        db.close().unwrap();
    }
    // Writing continues, into reused slots too.
    for round in 0..4 {
        let (db, collection) = ground.open(quick());
        ground.delete(&collection, (round..3_000).step_by(5));
        ground.put(&collection, (round..3_000).step_by(3));
        ground.check(&collection, &format!("written in round {round}"));
        if round % 2 == 0 {
            collection.wait_indexed().unwrap();
        }
        db.verify().unwrap();
        db.close().unwrap();
    }
    let (db, collection) = ground.open(quick());
    ground.check(&collection, "at last");
    db.verify().unwrap();
}

#[test]
fn without_an_image_rows_are_read_and_nothing_is_linked_again() {
    let mut ground = Ground::new();
    let (db, collection) = ground.open(quick());
    ground.put(&collection, 0..3_000);
    ground.delete(&collection, 0..500);
    collection.wait_indexed().unwrap();
    db.close().unwrap();
    std::fs::remove_dir_all(ground.path.join("images")).unwrap();
    let (db, collection) = ground.open(quick());
    let opening = stats(&db).opening;
    assert_eq!((opening.way, opening.n_waiting), (OpenedBy::Rows, 0), "{opening:?}");
    ground.check(&collection, "by rows");
    collection.wait_indexed().unwrap();
    ground.check(&collection, "by rows, repaired");
    assert_eq!(stats(&db).n_to_repair, 0);
    db.verify().unwrap();
    db.close().unwrap();
    let (db, _) = ground.open(quick());
    assert_eq!(stats(&db).opening.way, OpenedBy::Image);
}

#[test]
fn a_killed_process_leaves_deltas_that_make_up_for_what_an_image_lacks() {
    let mut ground = Ground::new();
    let (db, collection) = ground.open(quick());
    ground.put(&collection, 0..2_000);
    collection.wait_indexed().unwrap();
    db.close().unwrap();
    let (db, collection) = ground.open(quick());
    ground.put(&collection, 2_000..4_000);
    ground.delete(&collection, (0..4_000).step_by(9));
    ground.put(&collection, (0..4_000).step_by(10));
    collection.wait_indexed().unwrap();
    db.flush().unwrap();
    let copy = ground.copy();
    let original = std::mem::replace(&mut ground.path, copy.path().join("db"));
    for (way, what) in [(OpenedBy::Image, "image"), (OpenedBy::Rows, "rows")] {
        if way == OpenedBy::Rows {
            std::fs::remove_dir_all(&ground.path).unwrap();
            copy_folder(&original, &ground.path);
            std::fs::remove_dir_all(ground.path.join("images")).unwrap();
        }
        let (db, collection) = ground.open(quick());
        let opening = stats(&db).opening;
        assert_eq!(opening.way, way, "{opening:?}");
        assert!(opening.n_deltas > 0 && opening.n_waiting <= 40, "{what}: {opening:?}");
        ground.check(&collection, what);
        collection.wait_indexed().unwrap();
        ground.check(&collection, &format!("{what}, repaired"));
        db.verify().unwrap();
        db.close().unwrap();
        let (db, collection) = ground.open(quick());
        ground.check(&collection, &format!("{what}, and again"));
        db.verify().unwrap();
    }
}

/// Waits until there is an image, and until no other one has been made for longer than a collection
/// rests before one is.
fn wait_imaged(db: &Database) {
    let (began, mut before, mut since) = (Instant::now(), None, Instant::now());
    while before.is_none() || since.elapsed() < Duration::from_secs(5) {
        let now = stats(db).image_commit.map(|commit| (commit, stats(db).image_bytes_written));
        if now != before {
            (before, since) = (now, Instant::now());
        }
        assert!(began.elapsed() < Duration::from_secs(120), "images are made all the time, or never: {before:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn after_a_kill_at_rest_only_what_changed_since_the_image_is_read() {
    let mut ground = Ground::new();
    let (db, collection) = ground.open(quick());
    // At once, so that no image holds a part of them.
    ground.put_in_batches(&collection, 0..12_000, 12_000);
    wait_imaged(&db);
    ground.put(&collection, 12_000..12_020);
    ground.delete(&collection, 0..5);
    db.flush().unwrap();
    let copy = ground.copy();
    let original = std::mem::replace(&mut ground.path, copy.path().join("db"));
    let (db, collection) = ground.open(quick());
    let opening = stats(&db).opening;
    assert_eq!((opening.way, opening.n_read), (OpenedBy::Image, 25), "{opening:?}");
    ground.check(&collection, "an image");
    collection.wait_indexed().unwrap();
    db.verify().unwrap();
    ground.put(&collection, 11_000..11_100);
    collection.wait_indexed().unwrap();
    db.close().unwrap();
    // Rows that were older than the image are up to date.
    std::fs::remove_dir_all(ground.path.join("images")).unwrap();
    let (db, collection) = ground.open(quick());
    let opening = stats(&db).opening;
    assert_eq!((opening.way, opening.n_waiting, opening.n_deltas), (OpenedBy::Rows, 0, 0), "{opening:?}");
    ground.check(&collection, "rows written later");
    db.verify().unwrap();
    db.close().unwrap();
    // Without the image, deltas continue from older rows.
    std::fs::remove_dir_all(&ground.path).unwrap();
    copy_folder(&original, &ground.path);
    std::fs::remove_dir_all(ground.path.join("images")).unwrap();
    let (db, _) = ground.open(quick());
    let opening = stats(&db).opening;
    assert!(opening.way == OpenedBy::Rows && opening.n_deltas > 0 && opening.n_read == 12_015, "{opening:?}");
    db.verify().unwrap();
}

#[test]
fn after_a_kill_while_a_collection_grows_a_part_is_read() {
    let mut ground = Ground::new();
    let (db, collection) = ground.open(quick());
    ground.put(&collection, 0..5_000);
    let began = Instant::now();
    while stats(&db).image_commit.is_none() {
        assert!(began.elapsed() < Duration::from_secs(2), "an image is not written before the collection rests");
        ground.put(&collection, 0..10);
    }
    ground.put(&collection, 5_000..6_000);
    db.flush().unwrap();
    let copy = ground.copy();
    ground.path = copy.path().join("db");
    let (db, collection) = ground.open(quick());
    let opening = stats(&db).opening;
    assert!(opening.way == OpenedBy::Image && opening.n_read < 4_000, "{opening:?}");
    ground.check(&collection, "an image");
    collection.wait_indexed().unwrap();
    ground.check(&collection, "an image, linked");
    db.verify().unwrap();
}

/// Puts one database in the place of another, as a killed process leaves it.
fn kill(ground: &mut Ground, db: &Database) -> tempfile::TempDir {
    db.flush().unwrap();
    let copy = ground.copy();
    ground.path = copy.path().join("db");
    copy
}

#[test]
fn two_kills_in_a_row_leave_an_image_and_deltas_that_fit() {
    let mut ground = Ground::new();
    let (db, collection) = ground.open(quick());
    ground.put_in_batches(&collection, 0..9_000, 9_000);
    wait_imaged(&db);
    ground.put(&collection, 9_000..9_300);
    collection.wait_indexed().unwrap();
    let _first = kill(&mut ground, &db);
    let (db, collection) = ground.open(quick());
    let opening = stats(&db).opening;
    assert!(opening.way == OpenedBy::Image && opening.n_read == 300 && opening.n_deltas > 0, "{opening:?}");
    ground.put(&collection, 200..700);
    ground.delete(&collection, (0..9_300).step_by(40));
    ground.put(&collection, 9_300..9_600);
    collection.wait_indexed().unwrap();
    let _second = kill(&mut ground, &db);
    let (db, collection) = ground.open(quick());
    let opening = stats(&db).opening;
    // What changed in both runs is read, and nothing else.
    assert_eq!(opening.way, OpenedBy::Image, "{opening:?}");
    assert!(opening.n_deltas > 0 && opening.n_read < 2_500, "{opening:?}");
    ground.check(&collection, "after two kills");
    collection.wait_indexed().unwrap();
    db.verify().unwrap();
}

#[test]
fn regions_and_other_codes_come_back_after_a_kill_at_rest() {
    let mut ground = Ground::new();
    let (db, collection) = ground.open(quick());
    let mut expected: Vec<BTreeMap<u64, Vec<f32>>> = vec![BTreeMap::new(); 3];
    let mut put = |ground: &mut Ground, collection: &Collection, ids: std::ops::Range<u64>, offset: f32| {
        for (n, expected) in expected.iter_mut().enumerate() {
            let namespace = collection.namespace(&format!("n{n}")).unwrap();
            let vector = |ground: &mut Ground| ground.vector().iter().map(|x| x + offset * n as f32).collect();
            let new: Vec<(u64, Vec<f32>)> = ids.clone().map(|id| (id, vector(ground))).collect();
            let documents = new.iter().map(|(id, vector)| Document::new(vector.clone()).id(*id));
            namespace.upsert_many(documents).unwrap();
            expected.extend(new);
        }
        expected.clone()
    };
    put(&mut ground, &collection, 0..2_500, 0.0);
    collection.wait_indexed().unwrap();
    wait_imaged(&db);
    let generation = |db: &Database| stats(db).codes.unwrap().generation;
    let before = generation(&db);
    // Far from what codes were made for, so that others take their place.
    put(&mut ground, &collection, 2_500..6_000, 40.0);
    collection.wait_indexed().unwrap();
    wait_imaged(&db);
    assert!(generation(&db) > before, "codes were not replaced");
    let expected = put(&mut ground, &collection, 6_000..6_020, 40.0);
    let _killed = kill(&mut ground, &db);
    let (reopened, collection) = ground.open(quick());
    let opening = stats(&reopened).opening;
    assert!(opening.way == OpenedBy::Image && opening.n_read <= 60, "{opening:?}");
    assert!(generation(&reopened) >= generation(&db), "codes of an earlier generation");
    for (n, expected) in expected.iter().enumerate() {
        let namespace = collection.namespace(&format!("n{n}")).unwrap();
        assert_eq!(namespace.count(None).unwrap(), expected.len());
        for (&id, vector) in expected.iter().step_by(97) {
            let hits = namespace.search(vector).limit(1).strategy(Strategy::Graph).with_document(false).run().unwrap();
            assert_eq!(hits[0].id, DocId::from(id), "namespace {n}: {:?}", hits.stats);
        }
    }
    reopened.verify().unwrap();
    collection.wait_indexed().unwrap();
    reopened.verify().unwrap();
}

/// Bytes of the engine's logs.
fn log_bytes(path: &Path) -> u64 {
    let files = std::fs::read_dir(path.join("data")).unwrap().map(|file| file.unwrap());
    let logs = files.filter(|file| file.file_name().to_string_lossy().ends_with(".log"));
    logs.map(|log| log.metadata().unwrap().len()).sum()
}

#[test]
fn at_rest_nothing_is_written_any_more() {
    let check = |dimension: usize, offset: f32, in_namespaces: bool| {
        let (what, folder) = (format!("{dimension}, {offset}, {in_namespaces}"), folder());
        let db = Database::open_with(folder.path(), quick()).unwrap();
        let config = CollectionConfig::new(dimension).metric(Metric::Euclidean);
        let collection = db.create_collection("c", config).unwrap();
        let mut random = random(dimension as u64);
        for batch in 0..12u64 {
            let mut writes = db.batch();
            for n in batch * 500..(batch + 1) * 500 {
                let vector: Vec<f32> = (0..dimension).map(|_| offset + random.random_range(-1.0..1.0)).collect();
                let name = format!("n{}", n % 30);
                let home = if in_namespaces { collection.namespace(&name).unwrap() } else { (*collection).clone() };
                writes.insert(&home, Document::new(vector).id(n));
            }
            writes.commit().unwrap();
        }
        collection.wait_indexed().unwrap();
        wait_imaged(&db);
        for is_vacuumed in [false, true] {
            if is_vacuumed {
                collection.vacuum().run().unwrap();
            }
            let (began, mut before) = (Instant::now(), (0, 0));
            loop {
                let now = (log_bytes(folder.path()), stats(&db).image_bytes_written);
                if now == before {
                    break;
                }
                assert!(began.elapsed() < Duration::from_secs(60), "{what}, {is_vacuumed}: {before:?}, now {now:?}");
                before = now;
                std::thread::sleep(Duration::from_secs(4));
            }
        }
        db.verify().unwrap();
    };
    std::thread::scope(|scope| {
        for (dimension, offset) in [(20, 0.0), (20, 500.0), (8, 0.0)] {
            for in_namespaces in [false, true] {
                scope.spawn(move || check(dimension, offset, in_namespaces));
            }
        }
    });
}

#[test]
fn a_damaged_image_costs_time_and_nothing_else() {
    let mut ground = Ground::new();
    let (db, collection) = ground.open(quick());
    ground.put(&collection, 0..1_500);
    collection.wait_indexed().unwrap();
    let before = content(&db);
    db.close().unwrap();
    let whole = std::fs::read(image(&ground.path)).unwrap();
    for trial in 0..30 {
        let mut bytes = whole.clone();
        let at = ground.random.random_range(0..bytes.len());
        match trial % 3 {
            0 => bytes[at] ^= 1 << ground.random.random_range(0..8u32),
            1 => bytes.truncate(at),
            _ => bytes[at..].iter_mut().take(3_000).for_each(|byte| *byte = 0xa5),
        }
        std::fs::write(image(&ground.path), &bytes).unwrap();
        let (db, collection) = ground.open(quick());
        let way = stats(&db).opening.way;
        assert_eq!(way == OpenedBy::Image, bytes == whole, "trial {trial}, byte {at}");
        if trial % 10 == 0 {
            ground.check(&collection, &format!("trial {trial}, byte {at}"));
            assert_eq!(content(&db), before);
        }
        db.close().unwrap();
        assert!(image(&ground.path).exists(), "it was made anew");
    }
}

#[test]
fn an_image_of_another_time_or_place_is_not_taken() {
    let mut ground = Ground::new();
    let (db, collection) = ground.open(quick());
    ground.put(&collection, 0..1_200);
    collection.wait_indexed().unwrap();
    db.close().unwrap();
    let old = std::fs::read(image(&ground.path)).unwrap();
    let (db, collection) = ground.open(quick());
    ground.delete(&collection, 0..400);
    ground.put(&collection, 400..1_600);
    collection.wait_indexed().unwrap();
    db.close().unwrap();
    std::fs::write(image(&ground.path), &old).unwrap();
    let (db, collection) = ground.open(quick());
    assert_eq!(stats(&db).opening.way, OpenedBy::Rows);
    ground.check(&collection, "an older image");
    db.close().unwrap();
    let mut other = Ground::new();
    let (db, collection) = other.open(quick());
    other.put(&collection, 0..1_200);
    collection.wait_indexed().unwrap();
    db.close().unwrap();
    std::fs::write(image(&other.path), &old).unwrap();
    let (db, collection) = other.open(quick());
    assert_eq!(stats(&db).opening.way, OpenedBy::Rows);
    other.check(&collection, "another database's image");
}

#[test]
fn without_persistence_everything_is_linked_again() {
    let mut ground = Ground::new();
    let (db, collection) = ground.open(quick().persist_graph(false));
    ground.put(&collection, 0..1_200);
    collection.wait_indexed().unwrap();
    assert_eq!(stats(&db).n_deltas, 0);
    db.close().unwrap();
    let (db, collection) = ground.open(quick());
    let opening = stats(&db).opening;
    assert_eq!((opening.way, opening.n_waiting), (OpenedBy::Linking, 1_200));
    ground.check(&collection, "while linking");
    collection.wait_indexed().unwrap();
    ground.check(&collection, "linked");
    db.verify().unwrap();
}

#[test]
fn every_kind_of_collection_comes_back() {
    let config = || CollectionConfig::new(DIMENSION);
    for config in [
        config().index(Index::Flat),
        config().quantization(Quantization::None),
        config().metric(Metric::Manhattan),
        config().metric(Metric::Dot),
        config().metric(Metric::Euclidean).m(4),
        config().residency(Residency::Mapped),
        config().residency(Residency::Disk),
        config().quantization(Quantization::None).residency(Residency::Mapped),
    ] {
        let mut ground = Ground::new();
        for round in 0..4u64 {
            let (db, collection) = ground.open_as(quick(), config.clone());
            ground.put(&collection, round * 300..(round + 2) * 300);
            ground.delete(&collection, round * 300..round * 300 + 50);
            if round % 2 == 1 {
                collection.wait_indexed().unwrap();
            }
            let query = ground.vector();
            let exact = collection.search(&query).limit(20).exact(true).run().unwrap();
            if config.index == Index::Hnsw {
                let walked = collection
                    .search(&query)
                    .limit(20)
                    .strategy(Strategy::Graph)
                    .ef(1_000)
                    .oversampling(20.0)
                    .run()
                    .unwrap();
                let distances = |hits: &[vectrove::Hit]| hits.iter().map(|hit| hit.distance).collect::<Vec<_>>();
                assert_eq!(distances(&walked), distances(&exact), "{config:?}");
            }
            db.verify().unwrap();
            db.close().unwrap();
            let (db, collection) = ground.open_as(quick(), config.clone());
            assert_eq!(stats(&db).opening.way, OpenedBy::Image, "{config:?}");
            let again = collection.search(&query).limit(20).exact(true).run().unwrap();
            assert_eq!(again.items, exact.items, "{config:?}");
            db.verify().unwrap();
            db.close().unwrap();
        }
    }
}

#[test]
fn hits_are_the_same_wherever_vectors_are() {
    let mut ground = Ground::new();
    let (db, collection) = ground.open(quick());
    ground.put(&collection, 0..2_500);
    collection.wait_indexed().unwrap();
    db.close().unwrap();
    let queries: Vec<Vec<f32>> = (0..20).map(|_| ground.vector()).collect();
    let mut answers = Vec::new();
    for residency in [Residency::Ram, Residency::Mapped, Residency::Disk, Residency::Mapped] {
        let (db, collection) = ground.open(quick().residency(residency));
        let ask = || -> Vec<_> {
            let search = |query| collection.search(query).strategy(Strategy::Graph).run().unwrap().items;
            let scan = |query| collection.search(query).limit(7).exact(true).run().unwrap().items;
            queries.iter().map(|query| (search(query), scan(query))).collect()
        };
        answers.push(ask());
        if residency != Residency::Disk {
            wait_loaded(&db);
            answers.push(ask());
        }
        let CollectionStats { vectors_bytes, mapped_bytes, residency: now, .. } = stats(&db);
        assert_eq!(now, residency);
        assert_eq!(
            (vectors_bytes > 400_000, mapped_bytes > 400_000),
            (residency == Residency::Ram, residency == Residency::Mapped)
        );
        db.verify().unwrap();
        db.close().unwrap();
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn memory_stays_within_its_limit_and_says_when_it_cannot() {
    let mut ground = Ground::new();
    let engine = 8 << 20;
    let (db, collection) = ground.open(quick().memory_bytes(engine));
    ground.put(&collection, 0..6_000);
    collection.wait_indexed().unwrap();
    wait_loaded(&db);
    let CollectionStats { vectors_bytes, memory_bytes, .. } = stats(&db);
    let rest = memory_bytes - vectors_bytes;
    db.close().unwrap();
    // Room for all but half of the vectors.
    let limit = engine + rest + vectors_bytes / 2;
    let options = quick().memory_bytes(engine).memory_limit(limit);
    let (db, collection) = ground.open(options.clone());
    assert_eq!(stats(&db).residency, Residency::Disk);
    ground.check(&collection, "within the limit");
    db.close().unwrap();

    // While documents are inserted, vectors leave memory first. Then writes are refused, and all
    // else works.
    let mut other = Ground::new();
    let (db, collection) = other.open(options);
    let (mut n_documents, mut left_at) = (0u64, None);
    let refused = loop {
        let before = other.expected.len();
        let vectors: Vec<_> = (0..200).map(|_| other.vector()).collect();
        let documents = vectors.iter().zip(n_documents..).map(|(vector, id)| Document::new(vector.clone()).id(id));
        match collection.insert_many(documents) {
            Ok(_) => other.expected.extend((n_documents..).zip(vectors)),
            Err(error) => break (error, before),
        }
        n_documents += 200;
        let all = db.stats().unwrap();
        assert!(all.memory_bytes <= limit, "{} of {limit}", all.memory_bytes);
        if all.collections[0].residency == Residency::Disk {
            left_at.get_or_insert(n_documents);
        }
    };
    check_error::<()>(Err(refused.0), "MemoryLimit");
    let left_at = left_at.expect("vectors left memory");
    assert!(left_at > 1_000 && n_documents > left_at + 1_000, "vectors left at {left_at} of {n_documents}");
    other.check(&collection, "at the limit");
    db.verify().unwrap();
    db.close().unwrap();
    let error = Database::open_with(&other.path, quick().memory_bytes(engine).memory_limit(engine + rest / 4));
    check_error(error, "MemoryLimit");
    let (db, collection) = other.open(quick());
    other.check(&collection, "without a limit");
    db.verify().unwrap();
}

#[test]
fn a_graph_is_made_anew_while_it_is_used() {
    let mut ground = Ground::new();
    let (db, collection) = ground.open(quick());
    ground.put(&collection, 0..3_000);
    ground.delete(&collection, (0..3_000).step_by(4));
    collection.wait_indexed().unwrap();
    let done = AtomicBool::new(false);
    let late: Vec<(u64, Vec<f32>)> = (10_000..10_400).map(|id| (id, ground.vector())).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                ground.check(&collection, "meanwhile");
                if done.load(Ordering::Acquire) {
                    break;
                }
            }
        });
        collection.rebuild_index().unwrap();
        done.store(true, Ordering::Release);
    });
    std::thread::scope(|scope| {
        scope.spawn(|| collection.rebuild_index().unwrap());
        for (id, vector) in &late {
            collection.insert(Document::new(vector.clone()).id(*id)).unwrap();
            assert_eq!(collection.search(vector).limit(1).run().unwrap()[0].id, DocId::from(*id));
        }
    });
    ground.expected.extend(late);
    collection.wait_indexed().unwrap();
    ground.check(&collection, "made anew");
    db.verify().unwrap();
    db.close().unwrap();
    let (db, collection) = ground.open(quick());
    assert_eq!(stats(&db).opening.way, OpenedBy::Image);
    ground.check(&collection, "opened again");
    db.verify().unwrap();
}

#[test]
fn a_reader_sees_whole_commits_and_goes_on_when_told() {
    let mut ground = Ground::new();
    let (db, collection) = ground.open(quick());
    ground.put(&collection, 0..1_000);
    let reader = Database::open_with(&ground.path, quick().read_only(true)).unwrap();
    let seen = reader.collection("c").unwrap();
    ground.check(&seen, "a reader");
    let before = ground.expected.clone();
    ground.put(&collection, 500..2_000);
    ground.delete(&collection, 0..100);
    db.rename_collection("c", "d").unwrap();
    db.create_collection("e", CollectionConfig::new(2)).unwrap().insert(Document::new([1.0, 0.0]).id("x")).unwrap();
    let after = std::mem::replace(&mut ground.expected, before);
    ground.check(&seen, "before it goes on");
    assert_eq!(reader.collections().unwrap(), ["c"]);
    let commit = reader.refresh().unwrap();
    assert_eq!(commit, db.stats().unwrap().commit);
    ground.expected = after;
    ground.check(&seen, "after it went on");
    assert_eq!((seen.name().as_str(), reader.collections().unwrap()), ("d", vec!["d".to_owned(), "e".to_owned()]));
    assert_eq!(content(&reader), content(&db));
    reader.verify().unwrap();

    check_error(seen.insert(Document::new(vec![1.0; DIMENSION])), "ReadOnly");
    check_error(reader.create_collection("f", CollectionConfig::new(2)), "ReadOnly");
    check_error(reader.drop_collection("d"), "ReadOnly");
    check_error(seen.rebuild_index(), "ReadOnly");
    check_error(reader.checkpoint(ground.path.with_file_name("copy")), "ReadOnly");
    check_error(reader.backup(ground.path.with_file_name("backups")), "ReadOnly");
    seen.wait_indexed().unwrap();
    reader.flush().unwrap();

    db.drop_collection("d").unwrap();
    ground.check(&seen, "dropped by the writer, seen until it goes on");
    reader.refresh().unwrap();
    check_error(seen.count(None), "CollectionNotFound");
    db.close().unwrap();
    assert_eq!(reader.refresh().unwrap(), commit.max(reader.stats().unwrap().commit));
    reader.close().unwrap();
    let missing = Database::open_with(ground.path.join("nothing"), quick().read_only(true));
    check_error(missing, "DatabaseNotFound");
}
