//! Codes fit the vectors of each namespace, wherever others lie: a namespace finds what it would
//! find alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "../benches/common/shapes/mod.rs"]
mod shapes;

use std::path::Path;
use std::time::Duration;

use common::{copy_folder, folder, quick};
use parking_lot::RwLock;
use shapes::truth::Truth;
use shapes::{Data, Dice, SEED, Shape};
use vectrove::{
    CodeKind, CodeStats, Collection, CollectionConfig, Database, DocId, Document, Hits, Metric, Namespace, OpenedBy,
    Strategy, pause_at,
};

/// Failpoints belong to the whole process: a test that sets some is alone, and others run side by
/// side.
static POINTS: RwLock<()> = RwLock::new(());
/// How long the linker stays at a failpoint, and how long others wait for this.
const STAY: Duration = Duration::from_millis(450);
const THERE: Duration = Duration::from_millis(250);

/// Namespaces that are filled together.
const N: usize = 10;
/// Documents of a namespace with links, and of one without.
const LARGE: usize = 1_500;
const SMALL: usize = 400;
const N_QUERIES: usize = 200;
/// Share of hits that a measurement may miss by chance.
const CHANCE: f64 = 0.005;

/// A set of vectors, and how they are compared.
struct Set {
    metric: Metric,
    data: Data,
}

fn direction(dice: &mut Dice, dimension: usize) -> Vec<f64> {
    let direction = dice.normals(dimension);
    let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    direction.into_iter().map(|x| x / length).collect()
}

fn rounded(row: impl IntoIterator<Item = f64>) -> Vec<f32> {
    row.into_iter().map(|x| x as f32).collect()
}

fn drawn(metric: Metric, n: usize, mut row: impl FnMut() -> Vec<f32>) -> Set {
    let rows = (0..n).map(|_| row()).collect();
    Set { metric, data: Data { rows, queries: (0..N_QUERIES).map(|_| row()).collect() } }
}

/// Clusters about a direction of their own, so that the mean cosine of pairs is .99.
fn cone(number: usize, n: usize) -> Set {
    const DIMENSION: usize = 64;
    let mut dice = Dice::new(100 + number as u64);
    let mean = direction(&mut dice, DIMENSION);
    let centres: Vec<Vec<f64>> = (0..30).map(|_| direction(&mut dice, DIMENSION)).collect();
    drawn(Metric::Cosine, n, || {
        let (centre, own) = (&centres[dice.below(centres.len())], direction(&mut dice, DIMENSION));
        let parts = mean.iter().zip(centre).zip(&own);
        rounded(parts.map(|((mean, centre), own)| 0.99f64.sqrt() * mean + 0.1 * (0.7 * centre + 0.7 * own)))
    })
}

/// A cluster of spread 1, some thousands away from the origin in a direction of its own; at the
/// origin without a number.
fn cluster(number: Option<usize>, n: usize) -> Set {
    cluster_of(32, number, n)
}

fn cluster_of(dimension: usize, number: Option<usize>, n: usize) -> Set {
    let mut dice = Dice::new(200 + number.map_or(0, |number| 1 + number as u64));
    let away = if number.is_some() { 1_000.0 } else { 0.0 };
    let mean: Vec<f64> = dice.normals(dimension).into_iter().map(|x| away * x).collect();
    drawn(Metric::Euclidean, n, || rounded(mean.iter().map(|mean| mean + dice.normal())))
}

/// Places in a city.
fn city(number: usize, n: usize) -> Set {
    let shape = Shape::named("geo2d").unwrap();
    let mut data = shape.draw(n, N_QUERIES, SEED + number as u64);
    let (north, east) = (number as f32 * 11.0 - 50.0, number as f32 * 31.0 - 140.0);
    for place in data.rows.iter_mut().chain(&mut data.queries) {
        place.iter_mut().zip([north, east]).for_each(|(x, by)| *x += by);
    }
    Set { metric: shape.metric, data }
}

impl Set {
    fn config(&self) -> CollectionConfig {
        CollectionConfig::new(self.data.rows[0].len()).metric(self.metric)
    }

    fn put(&self, room: &Namespace, rows: std::ops::Range<usize>) {
        let document = |at: usize| Document::new(self.data.rows[at].as_slice()).id(at as u64);
        room.insert_many(rows.map(document)).unwrap();
    }

    fn put_all(&self, room: &Namespace) {
        self.put(room, 0..self.data.rows.len());
    }

    /// The recall at 10 of a search.
    fn recall_by(&self, search: impl Fn(&[f32]) -> Hits) -> f64 {
        let row = |id: &DocId| match id {
            DocId::U64(row) => *row as usize,
            other => panic!("nobody stored {other}"),
        };
        let truth = Truth::of(self.metric, &self.data);
        truth.recall(0..N_QUERIES, |query| {
            let hits = search(&self.data.queries[query]);
            hits.iter().map(|hit| row(&hit.id)).collect::<Vec<_>>()
        })
    }

    /// The lower recall of default searches in a namespace and of graph searches.
    fn recall(&self, room: &Namespace) -> f64 {
        let search = |query: &[f32]| room.search(query).limit(Truth::K).with_document(false);
        let default = self.recall_by(|query| search(query).run().unwrap());
        default.min(self.recall_by(|query| search(query).strategy(Strategy::Graph).run().unwrap()))
    }

    /// The recall in a collection of its own.
    fn recall_alone(&self) -> f64 {
        let folder = folder();
        let db = Database::open_with(folder.path(), quick()).unwrap();
        let alone = db.create_collection("alone", self.config()).unwrap();
        self.put_all(&alone);
        alone.wait_indexed().unwrap();
        self.recall(&alone)
    }
}

fn room(collection: &Collection, number: usize) -> Namespace {
    collection.namespace(&format!("room-{number}")).unwrap()
}

fn open(path: &Path, config: &CollectionConfig) -> (Database, Collection) {
    let db = Database::open_with(path, quick()).unwrap();
    let collection = db.get_or_create_collection("c", config.clone()).unwrap();
    (db, collection)
}

fn codes(db: &Database) -> CodeStats {
    db.stats().unwrap().collections[0].codes.unwrap()
}

/// Asserts that each namespace finds what it would find alone, except by chance.
#[track_caller]
fn check_as_alone(collection: &Collection, sets: &[Set], alone: &[f64], what: &str) {
    let recalls: Vec<f64> = sets.iter().enumerate().map(|(at, set)| set.recall(&room(collection, at))).collect();
    println!("{what}: {recalls:.4?}, alone {alone:.4?}");
    for (at, (recall, alone)) in recalls.iter().zip(alone).enumerate() {
        assert!(*recall >= alone - CHANCE, "{what}, room {at}: recall {recall}, alone {alone}");
    }
}

/// Fills namespaces one after the other, and by turns.
fn check_rooms(sets: &[Set], kind: CodeKind) {
    let alone: Vec<f64> = sets.iter().map(Set::recall_alone).collect();
    for by_turns in [false, true] {
        let folder = folder();
        let (db, collection) = open(folder.path(), &sets[0].config());
        match by_turns {
            false => sets.iter().enumerate().for_each(|(at, set)| set.put_all(&room(&collection, at))),
            true => (0..LARGE).step_by(20).for_each(|from| {
                sets.iter().enumerate().for_each(|(at, set)| set.put(&room(&collection, at), from..from + 20));
            }),
        }
        collection.wait_indexed().unwrap();
        let told = codes(&db);
        let what = if by_turns { "by turns" } else { "one after the other" };
        println!("{what}: {told:?}");
        assert_eq!(told.kind, kind, "{what}: {told:?}");
        check_as_alone(&collection, sets, &alone, what);
        db.verify().unwrap();
    }
}

#[test]
fn cones_about_ten_means_are_found_as_each_alone() {
    let _points = POINTS.read();
    let sets: Vec<Set> = (0..N).map(|number| cone(number, LARGE)).collect();
    check_rooms(&sets, CodeKind::Sq8Centred);
}

#[test]
fn clusters_in_ten_far_places_are_found_as_each_alone() {
    let _points = POINTS.read();
    let sets: Vec<Set> = (0..N).map(|number| cluster(Some(number), LARGE)).collect();
    check_rooms(&sets, CodeKind::Sq8Centred);
}

#[test]
fn ten_cities_are_found_as_each_alone() {
    let _points = POINTS.read();
    let sets: Vec<Set> = (0..N).map(|number| city(number, LARGE)).collect();
    check_rooms(&sets, CodeKind::F32);
}

#[test]
fn one_namespace_that_codes_do_not_fit_is_noticed_though_it_is_the_smallest() {
    let _points = POINTS.read();
    let folder = folder();
    let good: Vec<Set> = (0..N - 1).map(|_| cluster(None, LARGE)).collect();
    let bad = cluster(Some(7), 1_100);
    let (db, collection) = open(folder.path(), &bad.config());
    good.iter().enumerate().for_each(|(at, set)| set.put_all(&room(&collection, at)));
    collection.wait_indexed().unwrap();
    assert_eq!((codes(&db).kind, codes(&db).n_replaced), (CodeKind::Sq8, 0), "{:?}", codes(&db));
    let smallest = collection.namespace("smallest").unwrap();
    bad.put_all(&smallest);
    collection.wait_indexed().unwrap();
    let (told, figures, recall) = (codes(&db), smallest.namespace_stats().unwrap(), bad.recall(&smallest));
    assert!(told.kind == CodeKind::Sq8Centred && recall >= 0.985, "recall {recall}, {told:?}, {figures:?}");
    assert!(figures.is_linked && figures.code_recall.unwrap() >= 0.985 && figures.n_measured >= 1_000, "{figures:?}");
    let recall = good[3].recall(&room(&collection, 3));
    assert!(recall >= 0.985, "{recall} in one of the others");
}

#[test]
fn small_namespaces_are_found_beside_large_ones_far_away() {
    let _points = POINTS.read();
    let folder = folder();
    let large: Vec<Set> = (0..3).map(|number| cluster(Some(number), LARGE)).collect();
    let near: Vec<Set> = (0..3).map(|_| cluster(None, SMALL)).collect();
    let far: Vec<Set> = (5..8).map(|number| cluster(Some(number), SMALL)).collect();
    let (db, collection) = open(folder.path(), &large[0].config());
    let put = |sets: &[Set], first: usize| {
        sets.iter().enumerate().for_each(|(at, set)| set.put_all(&room(&collection, first + at)));
        collection.wait_indexed().unwrap();
    };
    put(&near, 10);
    put(&large, 0);
    for first in [10, 20] {
        put(&far, 20);
        for (sets, first) in [(&large, 0), (&near, 10), (&far, 20)].iter().filter(|(_, own)| *own <= first) {
            for (at, set) in sets.iter().enumerate() {
                let recall = set.recall(&room(&collection, first + at));
                assert!(recall >= 0.985, "room {}: recall {recall}, {:?}", first + at, codes(&db));
            }
        }
        (0..3).for_each(|at| _ = collection.drop_namespace(&format!("room-{}", 20 + at)).unwrap());
    }
    assert_eq!(codes(&db).kind, CodeKind::Sq8Centred, "{:?}", codes(&db));
}

/// In this many components comparing codes is faster than comparing vectors, if codes can be
/// trusted.
#[test]
fn a_small_namespace_that_codes_do_not_fit_is_searched_by_its_vectors() {
    const MEMBERS: usize = 1_000;
    let (_points, folder) = (POINTS.read(), folder());
    let near: Vec<Set> = (0..2).map(|_| cluster_of(384, None, MEMBERS)).collect();
    let far = cluster_of(384, Some(3), MEMBERS);
    let (db, collection) = open(folder.path(), &far.config());
    let search = |at: usize, set: &Set| {
        let room = room(&collection, at);
        let hits = room.search(&set.data.queries[0]).limit(10).with_document(false).run().unwrap();
        (set.recall(&room), hits.stats.strategy)
    };
    near.iter().enumerate().for_each(|(at, set)| set.put_all(&room(&collection, at)));
    collection.wait_indexed().unwrap();
    let before = search(0, &near[0]);
    assert!(before.0 >= 0.985 && before.1 == Strategy::Codes, "{before:?}");
    far.put_all(&room(&collection, 2));
    collection.wait_indexed().unwrap();
    let (told, figures) = (codes(&db), room(&collection, 2).namespace_stats().unwrap());
    assert!(!figures.is_linked && figures.code_recall.unwrap() < 0.9, "{figures:?}");
    assert_eq!((told.kind, told.n_replaced), (CodeKind::Sq8, 0), "{told:?}");
    let after = search(2, &far);
    assert!(after.0 >= 0.985 && after.1 == Strategy::Exact, "{after:?}");
}

#[test]
fn kinds_and_centres_are_there_after_every_kind_of_open() {
    let _points = POINTS.read();
    let folder = folder();
    let (path, killed) = (folder.path().join("db"), folder.path().join("killed"));
    let sets: Vec<Set> = (0..3).map(|number| cluster(Some(number), LARGE)).collect();
    let alone: Vec<f64> = sets.iter().map(Set::recall_alone).collect();
    let (db, collection) = open(&path, &sets[0].config());
    sets.iter().enumerate().for_each(|(at, set)| set.put(&room(&collection, at), 0..LARGE / 2));
    copy_folder(&path, &killed);
    sets.iter().enumerate().for_each(|(at, set)| set.put(&room(&collection, at), LARGE / 2..LARGE));
    collection.wait_indexed().unwrap();
    let told = codes(&db);
    assert_eq!(told.kind, CodeKind::Sq8Centred);
    check_as_alone(&collection, &sets, &alone, "before");
    drop(collection);
    db.close().unwrap();
    for way in [OpenedBy::Image, OpenedBy::Rows] {
        if way == OpenedBy::Rows {
            std::fs::remove_dir_all(path.join("images")).unwrap();
        }
        let (db, collection) = open(&path, &sets[0].config());
        assert_eq!(db.stats().unwrap().collections[0].opening.way, way);
        check_as_alone(&collection, &sets, &alone, &format!("at once after an open by {way:?}"));
        collection.wait_indexed().unwrap();
        let again = codes(&db);
        assert_eq!((again.kind, again.generation, again.n_replaced), (told.kind, told.generation, 0), "{again:?}");
        assert!(room(&collection, 1).namespace_stats().unwrap().code_recall.is_some(), "as it was written down");
        db.verify().unwrap();
    }
    let (db, collection) = open(&killed, &sets[0].config());
    sets.iter().enumerate().for_each(|(at, set)| set.put(&room(&collection, at), LARGE / 2..LARGE));
    collection.wait_indexed().unwrap();
    assert_eq!(codes(&db).kind, CodeKind::Sq8Centred);
    check_as_alone(&collection, &sets, &alone, "a copy made midway");
    db.verify().unwrap();
}

/// A save that is stopped at a failpoint leaves the old centres, or the new ones.
#[test]
fn wherever_a_kill_comes_centres_and_codes_belong_together() {
    let _points = POINTS.write();
    let sets: Vec<Set> = (0..2).map(|number| cluster(Some(number), LARGE)).collect();
    for point in ["codes.made", "rows.before", "rows.written", "save.flushed"] {
        let folder = folder();
        let (path, killed) = (folder.path().join("db"), folder.path().join("killed"));
        let (db, collection) = open(&path, &sets[0].config());
        sets[0].put_all(&room(&collection, 0));
        collection.wait_indexed().unwrap();
        collection.rebuild_index().unwrap();
        pause_at(point, STAY);
        sets[1].put_all(&room(&collection, 1));
        let writer = collection.clone();
        let saving = std::thread::spawn(move || writer.wait_indexed().and_then(|()| writer.rebuild_index()));
        std::thread::sleep(THERE);
        copy_folder(&path, &killed);
        saving.join().unwrap().unwrap();
        drop((collection, db));
        let (db, collection) = open(&killed, &sets[0].config());
        db.verify().unwrap();
        for is_settled in [false, true] {
            if is_settled {
                collection.wait_indexed().unwrap();
                db.verify().unwrap();
                assert_eq!(codes(&db).kind, CodeKind::Sq8Centred, "{point}");
            }
            for (at, set) in sets.iter().enumerate().filter(|(at, _)| is_settled || *at == 0) {
                let recall = set.recall(&room(&collection, at));
                assert!(recall >= 0.985, "{point}, room {at}, settled: {is_settled}: recall {recall}");
            }
        }
    }
}

#[test]
fn a_namespace_that_is_dropped_leaves_the_others_as_they_are() {
    let _points = POINTS.read();
    let folder = folder();
    let sets: Vec<Set> = (0..3).map(|number| cluster(Some(number), LARGE)).collect();
    let (db, collection) = open(folder.path(), &sets[0].config());
    sets.iter().enumerate().for_each(|(at, set)| set.put_all(&room(&collection, at)));
    collection.wait_indexed().unwrap();
    let then = room(&collection, 1).snapshot().unwrap();
    collection.drop_namespace("room-1").unwrap();
    let past = sets[1].recall_by(|query| then.search(query).limit(10).ef(400).with_document(false).run().unwrap());
    assert!(past >= 0.985, "{past} of what was dropped, by who looked before");
    drop(then);
    collection.wait_indexed().unwrap();
    drop(collection);
    db.close().unwrap();
    let (db, collection) = open(folder.path(), &sets[0].config());
    assert_eq!(db.stats().unwrap().collections[0].opening.way, OpenedBy::Image);
    assert_eq!(room(&collection, 1).namespace_stats().unwrap().n_measured, 0);
    for at in [0, 2] {
        let recall = sets[at].recall(&room(&collection, at));
        assert!(recall >= 0.985, "room {at}: recall {recall}");
    }
    // The namespace comes back, elsewhere.
    let other = cluster(Some(8), LARGE);
    other.put_all(&room(&collection, 1));
    collection.wait_indexed().unwrap();
    let recall = other.recall(&room(&collection, 1));
    assert!(recall >= 0.985, "recall {recall}, {:?}", codes(&db));
    db.verify().unwrap();
}

#[test]
fn readers_follow_the_centres() {
    let _points = POINTS.read();
    let folder = folder();
    let sets: Vec<Set> = (0..2).map(|number| cluster(Some(number), LARGE)).collect();
    let (_db, collection) = open(folder.path(), &sets[0].config());
    sets.iter().enumerate().for_each(|(at, set)| set.put(&room(&collection, at), 0..50));
    collection.wait_indexed().unwrap();
    let reader = Database::open_with(folder.path(), quick().read_only(true)).unwrap();
    assert_eq!(codes(&reader).kind, CodeKind::Sq8);
    sets.iter().enumerate().for_each(|(at, set)| set.put(&room(&collection, at), 50..LARGE));
    collection.wait_indexed().unwrap();
    // The graph is written to disk with the codebook.
    collection.rebuild_index().unwrap();
    reader.refresh().unwrap();
    let read = reader.collection("c").unwrap();
    assert_eq!(codes(&reader).kind, CodeKind::Sq8Centred);
    for (at, set) in sets.iter().enumerate() {
        let recall = set.recall(&room(&read, at));
        assert!(recall >= 0.985, "room {at}: recall {recall}");
    }
}
