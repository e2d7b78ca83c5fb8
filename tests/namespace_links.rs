//! A large namespace has links of its own, a small one none. In both, a search finds only its own
//! documents: the asked number, and nearly always the nearest. This holds while namespaces grow and
//! shrink, after each kind of open, and in databases of older versions, which linked all namespaces
//! with each other.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{folder, quick, random, seed};
use parking_lot::Mutex;
use rand::{Rng, rngs::StdRng};
use serde_json::json;
use vectrove::{
    Collection, CollectionConfig, CollectionStats, Database, Document, Hits, Metric, Namespace, OpenedBy, Quantization,
    Strategy, allow_at, field, refuse_at,
};

const DIMENSION: usize = 24;
const N_CLUSTERS: u32 = 20;
/// Well above the size at which a namespace gets links, and well below the size at which it loses
/// them.
const LARGE: u64 = 1_500;
const SMALL: u64 = 300;

/// Failpoints belong to the whole process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A database in a folder, and the expected content of its collection's namespaces.
struct Ground {
    _folder: tempfile::TempDir,
    path: PathBuf,
    config: CollectionConfig,
    random: StdRng,
    expected: BTreeMap<String, BTreeMap<u64, Vec<f32>>>,
}

impl Ground {
    fn new(config: CollectionConfig) -> Self {
        let folder = folder();
        let path = folder.path().join("db");
        Ground { _folder: folder, path, config, random: random(seed()), expected: BTreeMap::new() }
    }

    fn open(&self) -> (Database, Collection) {
        open(&self.path, &self.config)
    }

    /// A vector of a cluster, by the document's number.
    fn vector(&mut self, cluster: u32) -> Vec<f32> {
        let own = |at: usize| ((cluster as f32 * 7.0 + at as f32) * 1.7).sin();
        (0..DIMENSION).map(|at| own(at) + self.random.random_range(-0.4..0.4)).collect()
    }

    /// Puts documents under these ids in several namespaces by turns.
    fn put(&mut self, collection: &Collection, names: &[&str], ids: impl Iterator<Item = u64>) {
        for id in ids {
            for name in names {
                let vector = self.vector(cluster(id));
                self.expected.entry((*name).to_owned()).or_default().insert(id, vector);
            }
            if id % 100 == 99 {
                self.write(collection, names, id - 99..=id);
            }
        }
    }

    fn write(&self, collection: &Collection, names: &[&str], ids: std::ops::RangeInclusive<u64>) {
        for name in names {
            let own = self.expected[*name].range(ids.clone());
            let documents = own.map(|(&id, vector)| document(id, vector));
            namespace(collection, name).upsert_many(documents).unwrap();
        }
    }

    fn delete(&mut self, collection: &Collection, name: &str, is_doomed: impl Fn(u64) -> bool) {
        let own = self.expected.get_mut(name).unwrap();
        let ids: Vec<u64> = own.keys().copied().filter(|&id| is_doomed(id)).collect();
        own.retain(|id, _| !is_doomed(*id));
        namespace(collection, name).delete_many(ids).unwrap();
    }

    /// Asserts that each namespace has its documents and finds about what exact searches find.
    fn check(&self, collection: &Collection, what: &str) {
        for (name, own) in &self.expected {
            let (what, namespace) = (format!("{what}, in {name:?} of {}", own.len()), namespace(collection, name));
            assert_eq!(namespace.count(None).unwrap(), own.len(), "{what}");
            let step = (own.len() / 40).max(1);
            for (id, vector) in own.iter().step_by(step) {
                let hits = namespace.search(vector).limit(1).with_document(false).run().unwrap();
                // Under the inner product another document may be nearer.
                let is_metric = self.config.metric != Metric::Dot;
                assert!(!is_metric || hits[0].id == (*id).into(), "{what}: id {id}, {hits:?}");
            }
            let every: Vec<Vec<f32>> =
                self.expected.values().flat_map(|own| own.values().step_by(97)).cloned().collect();
            for way in [None, Some(Strategy::Graph)] {
                let recall = recall(&namespace, every.iter().take(60), own.len(), way);
                assert!(recall > 0.97, "{what}: recall {recall} by {way:?}");
            }
        }
    }
}

fn open(path: &Path, config: &CollectionConfig) -> (Database, Collection) {
    let db = Database::open_with(path, quick()).unwrap();
    let collection = db.get_or_create_collection("c", config.clone()).unwrap();
    (db, collection)
}

fn namespace(collection: &Collection, name: &str) -> Namespace {
    if name.is_empty() { (**collection).clone() } else { collection.namespace(name).unwrap() }
}

fn cluster(id: u64) -> u32 {
    (id * 31 % u64::from(N_CLUSTERS)) as u32
}

fn document(id: u64, vector: &[f32]) -> Document {
    Document::new(vector.to_vec()).id(id).metadata(json!({"tenth": id % 10, "half": id % 2}))
}

fn nearest(namespace: &Namespace, query: &[f32], way: Option<Strategy>) -> Hits {
    let search = namespace.search(query).limit(10).with_document(false);
    way.map_or(search.clone(), |way| search.strategy(way)).run().unwrap()
}

/// The recall at 10 of a search, which must find as many hits as there are.
fn recall<'v>(
    namespace: &Namespace,
    queries: impl Iterator<Item = &'v Vec<f32>>,
    n: usize,
    way: Option<Strategy>,
) -> f64 {
    let (mut n_found, mut n_wanted) = (0, 0);
    for query in queries {
        let (found, exact) = (nearest(namespace, query, way), nearest(namespace, query, Some(Strategy::Exact)));
        assert_eq!((found.len(), exact.len()), (n.min(10), n.min(10)), "{:?}", found.stats);
        n_wanted += exact.len();
        let farthest = exact.iter().last().map_or(0.0, |hit| hit.distance + 1e-6);
        n_found += found.iter().filter(|hit| hit.distance <= farthest).count();
    }
    if n_wanted == 0 { 1.0 } else { n_found as f64 / n_wanted as f64 }
}

fn stats(db: &Database) -> CollectionStats {
    db.stats().unwrap().collections.swap_remove(0)
}

/// Waits until linking is done, with the expected number of documents left unlinked.
fn wait_settled(db: &Database, n_unlinked: u64) {
    for _ in 0..2_000 {
        let stats = stats(db);
        if (stats.tail_length, stats.n_unlinked as u64) == (0, n_unlinked) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let CollectionStats { tail_length, n_unlinked: got, .. } = stats(db);
    panic!("expected {n_unlinked} without links, got {got}, and {tail_length} that wait");
}

/// A copy of a database as it is on disk now, as a killed process would leave it.
fn copy(path: &Path) -> (tempfile::TempDir, PathBuf) {
    let (folder, mut pending) = (folder(), vec![(path.to_owned(), PathBuf::from("db"))]);
    while let Some((from, to)) = pending.pop() {
        std::fs::create_dir_all(folder.path().join(&to)).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => pending.push((entry.path(), to)),
                false => _ = std::fs::copy(entry.path(), folder.path().join(to)).unwrap(),
            }
        }
    }
    let path = folder.path().join("db");
    (folder, path)
}

fn configs() -> [CollectionConfig; 3] {
    [
        CollectionConfig::new(DIMENSION),
        CollectionConfig::new(DIMENSION).metric(Metric::Euclidean).quantization(Quantization::None),
        CollectionConfig::new(DIMENSION).metric(Metric::Dot),
    ]
}

#[test]
fn equal_vectors_in_many_namespaces_are_each_their_own() {
    let _alone = ALONE.lock();
    let ground = Ground::new(CollectionConfig::new(DIMENSION));
    let (db, collection) = ground.open();
    let vector = vec![0.5; DIMENSION];
    // Some are linked, most are not.
    let size = |at: u64| if at.is_multiple_of(25) { LARGE } else { 41 };
    let name = |at: u64| if at == 0 { String::new() } else { format!("n{at}") };
    let put = |at: u64, from: u64, to: u64| {
        let documents = (from..to).map(|id| document(id, &vector));
        namespace(&collection, &name(at)).upsert_many(documents).unwrap();
    };
    for at in 0..100 {
        put(at, 0, size(at).min(800));
    }
    (0..100).filter(|&at| size(at) > 800).for_each(|at| put(at, 800, size(at)));
    let check = |has: &dyn Fn(u64) -> bool, what: &str| {
        for at in 0..100 {
            let hits = namespace(&collection, &name(at)).search(&vector).limit(4_000).with_document(false);
            let hits = hits.run().unwrap();
            let expected = if has(at) { size(at) as usize } else { 0 };
            let ids: std::collections::BTreeSet<_> = hits.iter().map(|hit| hit.id.clone()).collect();
            assert_eq!((hits.len(), ids.len()), (expected, expected), "{what}, namespace {at}: {:?}", hits.stats);
        }
        db.verify().unwrap();
    };
    check(&|_| true, "at once");
    wait_settled(&db, 96 * 41);
    check(&|_| true, "linked");
    let is_left = |at: u64| at.is_multiple_of(50) || at.is_multiple_of(3);
    let dropped = (0..100).filter(|&at| !is_left(at));
    dropped.for_each(|at| _ = collection.drop_namespace(&name(at)).unwrap());
    check(&is_left, "others dropped");
    wait_settled(&db, (0..100).filter(|&at| is_left(at) && size(at) < LARGE).count() as u64 * 41);
    check(&is_left, "others gone");
    collection.rebuild_index().unwrap();
    check(&is_left, "linked again");
}

fn check_growing_and_shrinking(config: CollectionConfig) {
    let mut ground = Ground::new(config);
    let (mut db, mut collection) = ground.open();
    ground.put(&collection, &["", "a", "b"], 0..SMALL);
    wait_settled(&db, 2 * SMALL);
    ground.check(&collection, "small");
    ground.put(&collection, &["a"], SMALL..LARGE);
    ground.check(&collection, "growing");
    wait_settled(&db, SMALL);
    ground.check(&collection, "one has grown");
    db.verify().unwrap();
    assert_eq!(nearest(&namespace(&collection, "b"), &ground.vector(0), Some(Strategy::Graph)).len(), 10);

    let killed = copy(&ground.path);
    {
        let (db, collection) = open(&killed.1, &ground.config);
        ground.check(&collection, "killed");
        wait_settled(&db, SMALL);
        db.verify().unwrap();
    }
    drop(collection);
    db.close().unwrap();
    (db, collection) = ground.open();
    assert_eq!(stats(&db).opening.way, OpenedBy::Image);
    assert_eq!(stats(&db).opening.n_waiting, 0);
    ground.check(&collection, "opened by an image");
    drop(collection);
    db.close().unwrap();
    std::fs::remove_dir_all(ground.path.join("images")).unwrap();
    (db, collection) = ground.open();
    assert_eq!(stats(&db).opening.way, OpenedBy::Rows);
    ground.check(&collection, "opened by rows");
    wait_settled(&db, SMALL);
    db.verify().unwrap();

    ground.delete(&collection, "a", |id| cluster(id) < 17);
    ground.check(&collection, "shrinking");
    wait_settled(&db, SMALL + ground.expected["a"].len() as u64);
    ground.check(&collection, "shrunk");
    ground.put(&collection, &["a", "b"], LARGE..2 * LARGE);
    let killed = copy(&ground.path);
    wait_settled(&db, 0);
    ground.check(&collection, "grown again");
    db.verify().unwrap();
    {
        let (db, collection) = open(&killed.1, &ground.config);
        wait_settled(&db, 0);
        ground.check(&collection, "killed while it grew");
        db.verify().unwrap();
    }
    collection.drop_namespace("a").unwrap();
    ground.expected.remove("a");
    drop(collection);
    db.close().unwrap();
    (db, collection) = ground.open();
    wait_settled(&db, 0);
    ground.put(&collection, &["c"], 0..LARGE);
    ground.check(&collection, "slots used again");
    wait_settled(&db, 0);
    db.verify().unwrap();
    collection.rebuild_index().unwrap();
    ground.check(&collection, "rebuilt");
    db.verify().unwrap();
}

#[test]
fn namespaces_grow_and_shrink() {
    let _alone = ALONE.lock();
    configs().into_iter().for_each(check_growing_and_shrinking);
}

fn check_many(k: u64, n: u64) {
    let mut ground = Ground::new(CollectionConfig::new(DIMENSION));
    let (db, collection) = ground.open();
    let names: Vec<String> = (0..k).map(|at| format!("n{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    ground.put(&collection, &names, 0..n);
    wait_settled(&db, if n >= LARGE { 0 } else { k * n });
    let what = format!("{k} namespaces");
    ground.check(&collection, &what);
    // Whole clusters of one namespace are deleted, and a filter still finds its matches.
    ground.delete(&collection, "n1", |id| cluster(id).is_multiple_of(2));
    ground.check(&collection, &format!("{what}, half of one deleted"));
    for name in ["n0", "n1"] {
        for filter in [field("tenth").eq(3), field("half").eq(1)] {
            let namespace = namespace(&collection, name);
            let query = ground.vector(4);
            let search = || namespace.search(&query).limit(10).filter(filter.clone());
            let (found, exact) = (search().run().unwrap(), search().strategy(Strategy::Exact).run().unwrap());
            let n_same = found.iter().filter(|hit| exact.iter().any(|other| other.id == hit.id)).count();
            assert!(n_same * 10 >= exact.len() * 9 && !exact.is_empty(), "{what}, {name}: {n_same} {:?}", found.stats);
        }
    }
    db.verify().unwrap();
}

#[test]
fn searches_in_each_of_many_namespaces_find_the_nearest() {
    let _alone = ALONE.lock();
    check_many(2, 4_000);
    check_many(10, 1_600);
    check_many(100, 100);
}

/// A search compares no exact vectors of others, and continues past deleted documents.
#[test]
fn a_search_looks_at_its_own_namespace_alone() {
    let _alone = ALONE.lock();
    let mut ground = Ground::new(CollectionConfig::new(DIMENSION));
    let (db, collection) = ground.open();
    ground.put(&collection, &["", "a"], 0..4_000);
    ground.put(&collection, &["b"], 0..SMALL);
    wait_settled(&db, SMALL);
    // Documents that a snapshot sees stay in the graph.
    let _then = collection.snapshot().unwrap();
    ground.delete(&collection, "a", |id| cluster(id) < 6);
    let n_left = ground.expected["a"].len();
    let mut widened = 0;
    for at in 0..40 {
        let query = ground.vector(at % N_CLUSTERS);
        for (name, n_own) in [("", 4_000), ("a", n_left), ("b", SMALL as usize)] {
            let hits = nearest(&namespace(&collection, name), &query, Some(Strategy::Graph));
            assert_eq!(hits.len(), 10, "{:?}", hits.stats);
            assert!(hits.stats.n_scanned <= n_own, "in {name:?}: {:?}", hits.stats);
            widened += usize::from(hits.stats.widened || hits.stats.gave_up);
            let is_small = name == "b";
            assert!(hits.stats.strategy != Strategy::Graph || !is_small, "in {name:?}: {:?}", hits.stats);
        }
    }
    assert!(widened > 0, "some went on past what was deleted");
    ground.check(&collection, "clusters deleted");
}

/// If a namespace has lost many of its documents, links to them are soon replaced, even if they are
/// few among all documents of the collection.
#[test]
fn what_was_deleted_in_one_of_many_namespaces_is_taken_out_of_its_links() {
    let _alone = ALONE.lock();
    for doomed in ["n1", ""] {
        let mut ground = Ground::new(CollectionConfig::new(DIMENSION));
        let (db, collection) = ground.open();
        let names = ["", "n1", "n2", "n3", "n4", "n5", "n6"];
        ground.put(&collection, &names, 0..1_600);
        wait_settled(&db, 0);
        collection.wait_indexed().unwrap();
        let n_before = stats(&db).n_rows_replaced;
        ground.delete(&collection, doomed, |id| cluster(id).is_multiple_of(2));
        let is_swept = || stats(&db).n_rows_replaced >= n_before + 100;
        for _ in 0..2_000 {
            if is_swept() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(is_swept(), "{doomed:?}: {} rows replaced, {n_before} before", stats(&db).n_rows_replaced);
        ground.check(&collection, &format!("half of {doomed:?} swept"));
        // Other documents take their slots, and are found.
        ground.put(&collection, &["n2"], 10_000..10_700);
        wait_settled(&db, 0);
        ground.check(&collection, &format!("half of {doomed:?} used again"));
        db.verify().unwrap();
    }
}

/// Snapshots still see documents that were deleted while their namespace had no links.
#[test]
fn a_snapshot_finds_what_there_was_whatever_is_linked_since() {
    let _alone = ALONE.lock();
    let mut ground = Ground::new(CollectionConfig::new(DIMENSION));
    let (db, collection) = ground.open();
    ground.put(&collection, &["", "a"], 0..SMALL);
    wait_settled(&db, SMALL);
    let small = namespace(&collection, "a").snapshot().unwrap();
    ground.delete(&collection, "a", |id| id % 3 == 0);
    ground.put(&collection, &["a"], SMALL..LARGE);
    wait_settled(&db, 0);
    let large = namespace(&collection, "a").snapshot().unwrap();
    let vector = ground.vector(3);
    let check = |what: &str| {
        for (snapshot, n) in [(&small, SMALL), (&large, LARGE - SMALL / 3)] {
            for way in [None, Some(Strategy::Graph)] {
                let search = snapshot.search(&vector).limit(4_000).with_document(false);
                let hits = way.map_or(search.clone(), |way| search.strategy(way)).run().unwrap();
                assert_eq!(hits.len() as u64, n, "{what}, {way:?}: {:?}", hits.stats);
            }
        }
    };
    check("grown");
    ground.delete(&collection, "a", |id| id >= SMALL);
    wait_settled(&db, ground.expected["a"].len() as u64);
    ground.put(&collection, &["b"], 0..LARGE);
    check("shrunk");
    wait_settled(&db, ground.expected["a"].len() as u64);
    ground.check(&collection, "beside snapshots");
    check("others came");
    db.verify().unwrap();
}

/// Older versions linked points of all namespaces with each other.
#[test]
fn an_older_database_is_linked_apart() {
    let _alone = ALONE.lock();
    let mut ground = Ground::new(CollectionConfig::new(DIMENSION));
    refuse_at("divide", 0);
    let (db, collection) = ground.open();
    ground.put(&collection, &["", "a", "b"], 0..LARGE);
    ground.put(&collection, &["c", "d"], 0..SMALL);
    wait_settled(&db, 0);
    ground.check(&collection, "undivided");
    let killed = copy(&ground.path);
    drop(collection);
    db.close().unwrap();
    allow_at("divide");
    let closed = copy(&ground.path);
    for (what, path) in [("closed", &closed.1), ("killed", &killed.1)] {
        {
            // Killed again before it is linked apart, or at any time until then.
            let (_db, collection) = open(path, &ground.config);
            ground.check(&collection, &format!("{what}, at once"));
            let again = copy(path);
            let (db, collection) = open(&again.1, &ground.config);
            collection.wait_indexed().unwrap();
            wait_settled(&db, 2 * SMALL);
            ground.check(&collection, &format!("{what}, killed again"));
            db.verify().unwrap();
        }
        let (db, collection) = open(path, &ground.config);
        collection.wait_indexed().unwrap();
        wait_settled(&db, 2 * SMALL);
        ground.check(&collection, &format!("{what}, linked apart"));
        db.verify().unwrap();
        drop(collection);
        db.close().unwrap();
        let (db, collection) = open(path, &ground.config);
        wait_settled(&db, 2 * SMALL);
        assert_eq!(stats(&db).opening.way, OpenedBy::Image);
        ground.check(&collection, &format!("{what}, opened again"));
    }
}
