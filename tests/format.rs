//! Databases of each released format must open completely, and accept writes.
//!
//! `tests/fixtures/format-<N>` holds one database as a clean close left it, and one as a killed
//! process left it. Each addition to a format, or change of it, has such a pair too, such as
//! `format-1-graph`. With `VECTROVE_WRITE_FIXTURE=<folder>` the test writes a new pair there
//! instead.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::json;
use vectrove::{
    Collection, CollectionConfig, Database, Document, ErrorKind, Filter, Metric, OpenedBy, Options, Query, Update,
    field,
};

/// One test at a time. A child that another test starts has the files of this one open until it
/// runs its own program, and a closed database is still locked until then.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock()
}

/// The content of each fixture.
fn fill(db: &Database) -> vectrove::Result<()> {
    let notes = db.create_collection("notes", CollectionConfig::new(4))?;
    notes.insert_many((0..20u64).map(numbered))?;
    notes.insert(Document::new([3.0, 0.0, -4.0, 0.5]).id("long").text("kept as it was put").metadata(json!({
        "null": null, "flag": true, "large": u64::MAX, "float": 0.1, "list": [1, "two", {"three": 3.5}], "a.b": "dotted",
    })))?;
    notes.namespace("agent-7")?.insert(Document::new([0.0, 1.0, 0.0, 0.0]).id("long"))?;
    notes.update(Update::new(3).merge(json!({"changed": true})))?;
    notes.update(Update::new(4).vector([9.0, 9.0, 9.0, 9.0]))?;
    notes.delete_many([0u64, 1, 2])?;
    let config = CollectionConfig::new(2).metric(Metric::Euclidean);
    db.create_collection("gone", config.clone())?;
    db.drop_collection("gone")?;
    db.create_collection("plane", config)?.insert(Document::new([1.0, 2.0]).id("p"))?;
    db.rename_collection("plane", "flat")
}

fn numbered(number: u64) -> Document {
    let vector = [1.0, number as f32, 0.5, -1.0];
    Document::new(vector).id(number).metadata(json!({"number": number, "at": "2026-11-22T10:00:00Z"}))
}

fn check_content(db: &Database) {
    assert_eq!(db.collections().unwrap(), ["flat", "notes"]);
    let notes = db.collection("notes").unwrap();
    assert_eq!(notes.config(), &CollectionConfig::new(4));
    assert_eq!(db.collection("flat").unwrap().config().metric, Metric::Euclidean);
    assert_eq!(notes.namespaces("").unwrap(), ["agent-7"]);
    check_notes(&notes);
    let hits = db.collection("flat").unwrap().search([1.0, 4.0]).run().unwrap();
    assert_eq!((hits.len(), hits[0].distance), (1, 2.0));
}

fn check_notes(notes: &Collection) {
    assert_eq!(notes.count(None).unwrap(), 18);
    assert_eq!(notes.count(field("at").gt("2026-11-22T09:00:00+00:00")).unwrap(), 17);
    for number in 0..20u64 {
        assert_eq!(notes.contains(number).unwrap(), number > 2, "{number}");
    }
    let long = notes.get("long").unwrap().unwrap();
    assert_eq!(long.vector, [3.0, 0.0, -4.0, 0.5]);
    assert_eq!(long.text.as_deref(), Some("kept as it was put"));
    assert_eq!(long.metadata["large"].as_u64(), Some(u64::MAX));
    assert_eq!(long.metadata["list"][2]["three"].as_f64(), Some(3.5));
    assert_eq!(notes.get(3).unwrap().unwrap().metadata["changed"].as_bool(), Some(true));
    assert_eq!(notes.get(4).unwrap().unwrap().vector, [9.0; 4]);
    let other = notes.namespace("agent-7").unwrap();
    assert_eq!(other.search([0.0, 2.0, 0.0, 0.0]).run().unwrap()[0].score, 1.0);
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if entry.is_dir() {
            copy_folder(&entry, &to.join(name));
        } else if name != "owner" && name != "LOCK" {
            std::fs::copy(&entry, to.join(name)).unwrap();
        }
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn small() -> Options {
    Options::new().memory_bytes(8 << 20)
}

#[test]
fn every_released_format_opens_and_goes_on() {
    let _alone = alone();
    if let Some(folder) = std::env::var_os("VECTROVE_WRITE_FIXTURE") {
        return write_fixtures(Path::new(&folder));
    }
    // No graph was written for the first; the image of the second holds codes of an old kind.
    let linking = [OpenedBy::Linking, OpenedBy::Linking];
    let rows = [OpenedBy::Rows, OpenedBy::Rows];
    let image = [OpenedBy::Image, OpenedBy::Rows];
    for (format, ways) in [("format-1", linking), ("format-1-graph", rows), ("format-1-codes", image)] {
        for (state, way) in ["clean", "killed"].into_iter().zip(ways) {
            let folder = tempfile::tempdir().unwrap();
            copy_folder(&fixtures().join(format).join(state), folder.path());
            let db = Database::open_with(folder.path(), small().create_if_missing(false)).unwrap();
            let notes = db.stats().unwrap().collections.into_iter().find(|stats| stats.name == "notes").unwrap();
            assert_eq!(notes.opening.way, way, "{format} {state}");
            check_content(&db);
            // Indexing the existing documents takes commits too.
            for stats in db.stats().unwrap().collections {
                db.collection(&stats.name).unwrap().wait_indexed().unwrap();
            }
            check_content(&db);
            let before = db.verify().unwrap();
            assert_eq!(before.n_documents, 20, "{format} {state}");
            let notes = db.collection("notes").unwrap();
            let receipt = notes.upsert(numbered(100)).unwrap();
            assert_eq!(receipt.commit.0, before.commit.0 + 1);
            db.close().unwrap();
            let db = Database::open_with(folder.path(), small()).unwrap();
            assert!(db.collection("notes").unwrap().contains(100).unwrap());
            db.collection("notes").unwrap().delete(100).unwrap();
            check_content(&db);
        }
    }
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&fixtures().join("format-1/clean"), folder.path());
    let path = folder.path().join("superblock");
    let mut bytes = std::fs::read(&path).unwrap();
    for slot in bytes.chunks_mut(4096) {
        slot[8] = 2;
        let crc = crc32c::crc32c(&slot[..4092]);
        slot[4092..].copy_from_slice(&crc.to_le_bytes());
    }
    std::fs::write(&path, &bytes).unwrap();
    let error = Database::open_with(folder.path(), small()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.to_string().contains("expected at most 1, got 2"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_lost_tail_is_refused_untouched_and_given_up_only_on_demand() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&fixtures().join("format-1/killed"), folder.path());
    let log = folder.path().join("data/000012.log");
    let bytes = std::fs::read(&log).unwrap();
    let cut = &bytes[..bytes.len() - 50];
    std::fs::write(&log, cut).unwrap();
    let error = Database::open_with(folder.path(), small()).unwrap_err();
    let vectrove::Error::DataLoss { from, to } = error else { panic!("expected DataLoss, got {error}") };
    assert!(from <= to);
    assert_eq!(std::fs::read(&log).unwrap(), cut);

    let db = Database::open_with(folder.path(), small().accept_loss(true)).unwrap();
    assert_eq!(db.verify().unwrap().commit.0 + 1, from.0);
    db.collection("notes").unwrap().upsert(numbered(100)).unwrap();
    db.close().unwrap();
    let db = Database::open_with(folder.path(), small()).unwrap();
    assert!(db.collection("notes").unwrap().contains(100).unwrap());
    db.verify().unwrap();
}

/// The text of document `n` in `tests/fixtures/format-1-words`. It was written when indexes had no
/// stop words, no forms beside their stems, and no pairs of characters.
fn old_text(n: u64) -> String {
    const ENGLISH: [&str; 5] = [
        "AI and ML fix problems in the file system",
        "IT help desk",
        "Go and JS: order number, value",
        "The Who played",
        "generalization of organizations, indexing twice",
    ];
    const OTHERS: [&str; 3] = ["我们在北京大学", "ベクトルデータベース", "שָׁלוֹם 🔥"];
    format!("{}; {}", ENGLISH[n as usize % 5], OTHERS[n as usize % 3])
}

/// Asserts that each document is found by each of its words, and by no others.
#[track_caller]
fn check_old_words(notes: &Collection, n: u64) {
    for (query, rest, of) in [
        ("AI", 0, 5),
        ("fix problem", 0, 5),
        ("IT help", 1, 5),
        ("Go JS", 2, 5),
        ("the who", 3, 5),
        ("organiz*", 4, 5),
        ("大学", 0, 3),
        ("データ", 1, 3),
        ("שלום", 2, 3),
        ("🔥", 2, 3),
        ("played \"データベース\"", 13, 15),
    ] {
        let expected = (0..n).filter(|n| n % of == rest).count();
        assert_eq!(notes.count(Filter::text(query)).unwrap(), expected, "{query}");
        let hits = notes.search(Query::text(query)).limit(3).run().unwrap();
        assert_eq!(hits.len(), expected.min(3), "{query}");
        for hit in &hits {
            let text = hit.text.as_ref().unwrap();
            assert!((0..15).filter(|n| n % of == rest).any(|n| *text == old_text(n)), "{query}: {text}");
        }
    }
}

#[test]
fn words_that_older_versions_indexed_are_indexed_anew() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&fixtures().join("format-1-words"), folder.path());
    let reader = Database::open_with(folder.path(), small().read_only(true)).unwrap();
    check_old_words(&reader.collection("notes").unwrap(), N_OLD);
    drop(reader);
    for _ in 0..2 {
        let db = Database::open_with(folder.path(), small()).unwrap();
        let notes = db.collection("notes").unwrap();
        // Whether they are indexed yet or not.
        check_old_words(&notes, N_OLD);
        notes.wait_indexed().unwrap();
        check_old_words(&notes, N_OLD);
        db.verify().unwrap();
        db.close().unwrap();
    }
}

/// Number of documents in this database.
const N_OLD: u64 = 2_400;

#[test]
#[ignore = "started by another test, which kills it"]
fn a_child_that_indexes_words_anew() {
    let Some(folder) = std::env::var_os("VECTROVE_WORDS_CHILD") else { return };
    let db = Database::open_with(folder, small()).unwrap();
    let notes = db.collection("notes").unwrap();
    for n in N_OLD.. {
        notes.insert(Document::new([1.0, 1.0]).id(n).text(old_text(n))).unwrap();
        println!("DONE {}", n + 1);
    }
}

#[test]
fn indexing_words_anew_survives_a_kill_at_any_moment() {
    let _alone = alone();
    for round in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&fixtures().join("format-1-words"), folder.path());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_child_that_indexes_words_anew", "--exact", "--ignored", "--nocapture"])
            .env("VECTROVE_WORDS_CHILD", folder.path())
            // Milliseconds for a piece, in builds with failpoints.
            .env("VECTROVE_PAUSE", "words.built:60")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut n_done = N_OLD;
        let mut hear = |line: String| {
            if let Some(n) = line.split("DONE ").nth(1) {
                n_done = n.parse().unwrap();
            }
        };
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(|line| line.ok());
        lines.by_ref().take(1 + 10 * round).for_each(&mut hear);
        std::thread::sleep(Duration::from_millis(25 * round as u64));
        child.kill().unwrap();
        lines.for_each(&mut hear);
        child.wait().unwrap();
        let db = Database::open_with(folder.path(), small()).unwrap();
        let notes = db.collection("notes").unwrap();
        let n = notes.count(None).unwrap() as u64;
        assert!(n == n_done || n == n_done + 1, "{n_done} were acknowledged, got {n}");
        check_old_words(&notes, n);
        notes.wait_indexed().unwrap();
        check_old_words(&notes, n);
        db.verify().unwrap();
    }
}

fn write_fixtures(folder: &Path) {
    let work = tempfile::tempdir().unwrap();
    let path = work.path().join("db");
    let db = Database::open_with(&path, small()).unwrap();
    fill(&db).unwrap();
    // Waits until the superblock is up to date; no file changes after this.
    std::thread::sleep(Duration::from_secs(3));
    copy_folder(&path, &folder.join("killed"));
    db.close().unwrap();
    copy_folder(&path, &folder.join("clean"));
}
