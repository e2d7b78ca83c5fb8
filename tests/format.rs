//! Databases written by every format ever released must open, whole, and go on.
//!
//! `tests/fixtures/format-<N>` holds one as it was left by a clean close and one as a killed process leaves it; what
//! was added to a format or changed in it has a pair of its own, such as `format-1-graph`. With
//! `VECTROVE_WRITE_FIXTURE=<folder>` the test writes a new pair there instead.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use vectrove::{Collection, CollectionConfig, Database, Document, ErrorKind, Metric, OpenedBy, Options, Update, field};

/// What every fixture holds.
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
    if let Some(folder) = std::env::var_os("VECTROVE_WRITE_FIXTURE") {
        return write_fixtures(Path::new(&folder));
    }
    // Of the first no graph was ever written; the image of the second holds codes as they are not made any more.
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
            // What indexing documents of before takes are commits too.
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

fn write_fixtures(folder: &Path) {
    let work = tempfile::tempdir().unwrap();
    let path = work.path().join("db");
    let db = Database::open_with(&path, small()).unwrap();
    fill(&db).unwrap();
    // Until the superblock has caught up; nothing moves after that.
    std::thread::sleep(Duration::from_secs(3));
    copy_folder(&path, &folder.join("killed"));
    db.close().unwrap();
    copy_folder(&path, &folder.join("clean"));
}
