//! A call between two steps of another one leaves nothing wrong: in images, graphs, catalogs and
//! folders.
//!
//! Each test holds a call at a failpoint of the library, and does something else meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use common::{copy_folder, folder, quick};
use parking_lot::Mutex;
use serde_json::json;
use vectrove::{
    Collection, CollectionConfig, Commit, Database, Document, Filter, Index, OpenedBy, Residency, Result, Strategy,
    Update, allow_at, pause_at, refuse_at,
};

/// Failpoints belong to the whole process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());
/// How long a call stays at a failpoint, and how long others wait for this.
const STAY: Duration = Duration::from_millis(600);
const THERE: Duration = Duration::from_millis(200);

fn vector(n: u64) -> Vec<f32> {
    (0..8).map(|at| ((n * 31 + at * 17) % 97) as f32 / 97.0 - 0.5).collect()
}

fn document(n: u64) -> Document {
    Document::new(vector(n)).id(n).metadata(json!({"n": n % 5}))
}

fn filled(path: &Path, n: u64) -> (Database, Collection) {
    let db = Database::open_with(path, quick()).unwrap();
    let collection = db.create_collection("c", CollectionConfig::new(8)).unwrap();
    collection.insert_many((0..n).map(document)).unwrap();
    collection.wait_indexed().unwrap();
    (db, collection)
}

/// Begins a call that stays at a failpoint, and returns once it is there.
fn staying_at(point: &str, call: impl FnOnce() -> Result<()> + Send + 'static) -> JoinHandle<Result<()>> {
    pause_at(point, STAY);
    let calling = std::thread::spawn(call);
    std::thread::sleep(THERE);
    calling
}

/// Rebuilds the indexes, which ends with a save.
fn save(collection: &Collection) -> impl FnOnce() -> Result<()> + Send + 'static {
    let collection = collection.clone();
    move || collection.rebuild_index()
}

#[test]
fn an_image_has_versions_of_its_own_commit() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let (path, lost) = (folder.path().join("db"), folder.path().join("lost"));
    let db = Database::open_with(&path, quick()).unwrap();
    let collection = db.create_collection("c", CollectionConfig::new(8).index(Index::Flat)).unwrap();
    collection.insert_many((0..300).map(document)).unwrap();
    collection.rebuild_index().unwrap();
    // The next image is due from here on.
    collection.insert(document(300)).unwrap();
    let before = collection.get(7).unwrap().unwrap().version;
    let saving = staying_at("save.flushed", save(&collection));
    // The commit of the image is known by now. A power loss loses later commits, but not the image.
    copy_folder(&path.join("data"), &lost.join("data"));
    std::fs::copy(path.join("superblock"), lost.join("superblock")).unwrap();
    let later = collection.update(Update::new(7).merge(json!({"n": -1}))).unwrap().commit;
    saving.join().unwrap().unwrap();
    copy_folder(&path.join("images"), &lost.join("images"));
    drop((collection, db));
    let db = Database::open_with(&lost, quick().accept_loss(true)).unwrap();
    let stats = db.stats().unwrap();
    assert!(stats.commit < later && stats.collections[0].opening.way == OpenedBy::Image, "{stats:?}");
    let collection = db.collection("c").unwrap();
    let hits = collection.search(vector(7)).limit(10).with_document(false).run().unwrap();
    assert_eq!(hits.iter().find(|hit| hit.id == 7.into()).unwrap().version, before);
    db.verify().unwrap();
    let mut batch = db.batch();
    batch.update(&collection, Update::new(7).merge(json!({"n": -2}))).expect_version(before);
    batch.commit().unwrap();
}

#[test]
fn a_commit_between_looking_up_view_and_counts_is_in_both_or_in_neither() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let collection = db.create_collection("c", CollectionConfig::new(8)).unwrap();
    // The first document of a namespace without a name or with one, and the last of one.
    for (name, n_before) in [("new", 0), ("new", 1), ("", 0)] {
        let namespace = if name.is_empty() { (*collection).clone() } else { collection.namespace(name).unwrap() };
        assert_eq!(namespace.count(None).unwrap(), n_before);
        let reader = namespace.clone();
        pause_at("moment.viewed", STAY);
        let reading = std::thread::spawn(move || {
            let snapshot = reader.snapshot()?;
            Ok::<_, vectrove::Error>((
                snapshot.commit(),
                snapshot.count(None)?,
                snapshot.search(vector(0)).run()?.len(),
            ))
        });
        std::thread::sleep(THERE);
        let commit = namespace.insert(document(n_before as u64)).unwrap().commit;
        let (seen, n_counted, n_found) = reading.join().unwrap().unwrap();
        let expected = if seen >= commit { n_before + 1 } else { n_before };
        assert_eq!((n_counted, n_found), (expected, expected), "{name:?} at {seen}, written at {commit}");
        if n_before == 1 {
            namespace.delete_where(Filter::everything()).unwrap();
        }
    }
}

#[test]
fn vectors_of_what_dies_while_they_are_loaded_are_seen_by_who_looked_before() {
    let (_alone, folder) = (ALONE.lock(), folder());
    for residency in [Residency::Ram, Residency::Mapped] {
        let path = folder.path().join(format!("{residency:?}"));
        drop(filled(&path, 90));
        pause_at("vectors.some", STAY);
        let db = Database::open_with(&path, quick().residency(residency)).unwrap();
        let collection = db.collection("c").unwrap();
        let before = collection.snapshot().unwrap();
        collection.delete_many(0..40u64).unwrap();
        (0..40).for_each(|n| _ = collection.insert(document(n + 1_000)).unwrap());
        std::thread::sleep(STAY + THERE);
        let stats = db.stats().unwrap();
        assert!(stats.collections[0].n_vectors_loaded >= 90, "they are loaded by now");
        for n in 0..90 {
            let hits = before.search(vector(n)).limit(90).exact(true).run().unwrap();
            let own = hits.iter().find(|hit| hit.id == n.into()).unwrap();
            assert!(own.distance < 1e-3, "document {n}: {own:?}");
        }
    }
}

#[test]
fn an_image_has_the_codes_of_what_is_linked_after_it_died() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let (path, killed) = (folder.path().join("db"), folder.path().join("killed"));
    let (db, collection) = filled(&path, 300);
    let saving = staying_at("save.flushed", save(&collection));
    // Linking waits for the save. Documents that come and go are in the tail, and a snapshot still
    // sees them.
    collection.insert_many((300..600).map(document)).unwrap();
    let before = collection.snapshot().unwrap();
    collection.delete_many(300..600u64).unwrap();
    saving.join().unwrap().unwrap();
    collection.rebuild_index().unwrap();
    collection.insert_many((600..700).map(document)).unwrap();
    collection.wait_indexed().unwrap();
    assert_eq!(before.count(None).unwrap(), 600);
    copy_folder(&path, &killed);
    drop((before, collection, db));
    let db = Database::open_with(&killed, quick()).unwrap();
    assert_eq!(db.stats().unwrap().collections[0].opening.way, OpenedBy::Image);
    let collection = db.collection("c").unwrap();
    collection.wait_indexed().unwrap();
    db.verify().unwrap();
    for n in (0..300).chain(600..700) {
        let hits = collection.search(vector(n)).limit(5).strategy(Strategy::Graph).run().unwrap();
        assert!(hits[0].distance < 1e-3, "document {n}: {hits:?}");
    }
}

#[test]
fn a_graph_made_anew_has_room_for_what_was_planned_before() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let (db, collection) = filled(folder.path(), 100);
    let writer = collection.clone();
    // Slots are planned while the graph has room for them. Then the graph is replaced, and the
    // linker makes room only for the slots it knows.
    let writing = staying_at("commit.before", move || writer.insert_many((100..90_000).map(document)).map(drop));
    pause_at("link.take", 2 * STAY);
    _ = collection.rebuild_index();
    writing.join().unwrap().unwrap();
    collection.wait_indexed().unwrap();
    let hits = collection.search(vector(80_000)).limit(5).run().unwrap();
    assert_eq!((hits.stats.strategy, hits.len()), (Strategy::Graph, 5), "the graph is walked");
    db.verify().unwrap();
}

#[test]
fn a_collection_dropped_while_it_is_saved_leaves_nothing() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let (db, collection) = filled(folder.path(), 300);
    let kept = db.create_collection("kept", CollectionConfig::new(8)).unwrap();
    let saving = staying_at("save.flushed", save(&collection));
    db.drop_collection("c").unwrap();
    _ = saving.join().unwrap();
    assert!(!folder.path().join("images/c1").exists(), "the image goes with its collection");
    // The log is not kept for an image that is gone, either.
    (0..3_000).for_each(|n| _ = kept.upsert(document(n % 10)).unwrap());
    db.flush().unwrap();
    db.close().unwrap();
    Database::open_with(folder.path(), quick()).unwrap().verify().unwrap();
}

#[test]
fn a_database_that_was_closed_can_be_opened_at_once() {
    let (_alone, folder) = (ALONE.lock(), folder());
    drop(filled(folder.path(), 300));
    for _ in 0..30 {
        let db = Database::open_with(folder.path(), quick()).unwrap();
        let collection = db.collection("c").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| while collection.search(vector(3)).run().is_ok() && collection.count(None).is_ok() {});
                scope.spawn(
                    || while collection.snapshot().and_then(|then| then.count(!Filter::everything())).is_ok() {},
                );
            }
            std::thread::sleep(Duration::from_millis(10));
            db.close().unwrap();
        });
    }
}

#[test]
fn a_copy_made_while_a_collection_comes_or_goes_is_whole() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let (db, collection) = filled(&folder.path().join("db"), 50);
    for (n, point) in ["create.entered", "create.families", "drop.marked", "drop.families"].iter().enumerate() {
        let (other, name) = (db.clone(), format!("other-{n}"));
        let changing = staying_at(point, move || {
            other.create_collection(&name, CollectionConfig::new(2))?;
            other.drop_collection(&name)
        });
        let copy = folder.path().join(format!("copy-{n}"));
        let commit = db.checkpoint(&copy).unwrap();
        let backup = db.backup(folder.path().join("backups")).unwrap();
        assert!(backup.commit >= commit && commit > Commit(0));
        changing.join().unwrap().unwrap();
        Database::open_with(&copy, quick()).unwrap().verify().unwrap();
    }
    assert_eq!(collection.count(None).unwrap(), 50);
}

/// The newest manifest's length, and the one that the superblock names (in the newer of its two
/// slots of 4 KiB).
fn lengths_of_manifest(path: &Path) -> (u64, u64) {
    let name = std::fs::read_to_string(path.join("data/CURRENT")).unwrap();
    let superblock = std::fs::read(path.join("superblock")).unwrap();
    let u64_at = |at: usize| u64::from_le_bytes(superblock[at..at + 8].try_into().unwrap());
    let newer = if u64_at(16) > u64_at(4096 + 16) { 0 } else { 4096 };
    (path.join("data").join(name.trim_end()).metadata().unwrap().len(), u64_at(newer + 64))
}

#[test]
fn a_superblock_names_no_more_of_the_manifest_than_was_synced() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let (db, collection) = filled(folder.path(), 50);
    // Upkeep runs once a second, if there is something new.
    pause_at("manifest.synced", 5 * STAY);
    collection.insert(document(50)).unwrap();
    std::thread::sleep(Duration::from_millis(1_600));
    let before = lengths_of_manifest(folder.path());
    db.create_collection("another", CollectionConfig::new(8)).unwrap();
    let grown = lengths_of_manifest(folder.path());
    assert!(grown.0 > before.0 && grown.1 == before.1, "{before:?}, then {grown:?}");
    while lengths_of_manifest(folder.path()).1 == before.1 {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(lengths_of_manifest(folder.path()).1, before.0, "what was synced, not what came after it");
}

#[test]
fn two_collections_of_one_name_are_damage_with_a_way_out() {
    let (_alone, folder) = (ALONE.lock(), folder());
    let (db, collection) = filled(folder.path(), 20);
    let other = db.create_collection("other", CollectionConfig::new(8)).unwrap();
    other.insert_many((0..30).map(document)).unwrap();
    // A state that older versions could leave: the name is free although a collection has it.
    refuse_at("rename.checked", 0);
    db.rename_collection("other", "c").unwrap();
    allow_at("rename.checked");
    drop((collection, other));
    db.close().unwrap();
    let error = Database::open_with(folder.path(), quick()).unwrap_err();
    assert!(error.to_string().contains("\"c\"") && error.to_string().contains("accept_loss"), "{error}");
    let read_only = Database::open_with(folder.path(), quick().read_only(true)).unwrap_err();
    assert!(read_only.to_string().contains("\"c\""), "{read_only}");
    let db = Database::open_with(folder.path(), quick().accept_loss(true)).unwrap();
    assert_eq!(db.collections().unwrap(), ["c", "c-2"]);
    db.close().unwrap();
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let counts = ["c", "c-2"].map(|name| db.collection(name).unwrap().count(None).unwrap());
    assert_eq!(counts, [20, 30], "nothing is hidden");
    db.verify().unwrap();
}
