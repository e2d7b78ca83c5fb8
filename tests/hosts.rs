//! Unusual hosts: wrong clocks, low limits, dangling links, times without a zone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unsafe_code, reason = "only the C library sets limits")]

mod common;

use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::number_from_env;
use serde_json::json;
use vectrove::{
    Boost, Clock, Collection, CollectionConfig, Database, DocId, Document, Durability, Error, ErrorKind, Options,
    Update, Uuid, field,
};

const FOLDER: &str = "VECTROVE_TEST_FOLDER";
const LIMIT: &str = "VECTROVE_TEST_LIMIT";
const DAY: i64 = 86_400;

/// Runs this test program again, to play a part under a limit.
fn play(part: &str, folder: &Path, limit: u64) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", part, "--ignored", "--nocapture", "--test-threads", "1"]);
    command.env(FOLDER, folder).env(LIMIT, limit.to_string()).output().unwrap()
}

/// The folder and limit of a process that plays a part; `None` in an ordinary run.
fn part() -> Option<(PathBuf, u64)> {
    Some((std::env::var_os(FOLDER)?.into(), std::env::var(LIMIT).ok()?.parse().ok()?))
}

/// Sets both limits of this process.
fn limit(what: libc::__rlimit_resource_t, most: u64) {
    let both = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the limits are a local.
    assert_eq!(unsafe { libc::setrlimit(what, &both) }, 0);
}

fn small() -> Options {
    Options::new().durability(Durability::Wal).min_free_bytes(0)
}

fn document(n: u64) -> Document {
    Document::new([1.0, n as f32]).id(n).metadata(json!({"n": n}))
}

// Clocks.

/// A clock that the test sets, in seconds since 1970.
fn clock() -> (Arc<AtomicI64>, Clock) {
    let seconds = Arc::new(AtomicI64::new(0));
    let told = seconds.clone();
    let now = move || -> SystemTime {
        let seconds = told.load(Ordering::Relaxed);
        let away = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { UNIX_EPOCH - away } else { UNIX_EPOCH + away }
    };
    (seconds, Clock::new(now))
}

#[test]
fn a_clock_may_stand_before_1970_and_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let (seconds, clock) = clock();
    let (in_1922, now) = (-48 * 365 * DAY, 56 * 365 * DAY);
    seconds.store(in_1922, Ordering::Relaxed);
    let db = Database::open_with(folder.path().join("db"), small().clock(clock.clone())).unwrap();
    let notes = db.create_collection("notes", CollectionConfig::new(2)).unwrap();
    let mut ids: Vec<DocId> = Vec::new();
    for time in [in_1922, now, now - DAY, now + DAY, in_1922, -1, 0, 1, now, i64::from(u32::MAX) * 1_000] {
        seconds.store(time, Ordering::Relaxed);
        for _ in 0..3 {
            ids.extend(notes.insert(Document::new([1.0, 2.0])).unwrap().ids);
        }
        let last = ids.last().unwrap().clone();
        let expected = u64::try_from(time).unwrap_or(0) * 1_000;
        assert_eq!(notes.get(last.clone()).unwrap().unwrap().created_at_ms, expected, "{time}");
        notes.update(Update::new(last).merge(json!({"at": "1922-01-01T00:00:00Z"}))).unwrap();
        let boost = Boost::decay("at", Duration::from_secs(60));
        assert_eq!(notes.search([1.0, 2.0]).boost(boost).limit(3).run().unwrap().len(), 3);
        if [in_1922, 1].contains(&time) {
            assert_eq!(db.backup(folder.path().join("backups")).unwrap().time_ms, expected);
        }
    }
    assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]), "ids ascend: {ids:?}");
    assert!(ids.iter().all(|id| matches!(id, DocId::Uuid(id) if id.get_version_num() == 7)));
    db.verify().unwrap();
    drop(notes);
    db.close().unwrap();
    seconds.store(in_1922, Ordering::Relaxed);
    let db = Database::open_with(folder.path().join("db"), small().clock(clock)).unwrap();
    let notes = db.collection("notes").unwrap();
    let page = notes.scroll().limit(100).run().unwrap();
    assert_eq!(page.documents.iter().map(|document| &document.id).collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
}

#[test]
fn ids_name_the_time_that_the_clock_says() {
    let folder = tempfile::tempdir().unwrap();
    let (seconds, clock) = clock();
    // Ids never go back, nor behind those of other tests: no test uses this time.
    let time = 4_000_000_000_000;
    seconds.store(time / 1_000, Ordering::Relaxed);
    let db = Database::open_with(folder.path(), small().clock(clock)).unwrap();
    let notes = db.create_collection("notes", CollectionConfig::new(2)).unwrap();
    let id: Vec<DocId> = notes.insert(Document::new([1.0, 2.0])).unwrap().ids;
    let DocId::Uuid(id) = &id[0] else { panic!("expected a UUID, got {id:?}") };
    let ms = |id: &Uuid| (id.as_u128() >> 80) as i64;
    assert!(ms(id) >= time, "{id}");
}

// Links.

#[track_caller]
fn check_dangling<T>(link: &Path, outcome: vectrove::Result<T>) {
    let Err(error @ Error::DanglingLink { .. }) = outcome else {
        panic!("{}: expected a dangling link, got {:?}", link.display(), outcome.err())
    };
    let said = error.to_string();
    assert!(said.contains(link.to_str().unwrap()) && said.contains("dangling link"), "{said}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_link_to_nothing_is_called_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    symlink(at("nothing"), at("dangling")).unwrap();
    symlink("nowhere", at("relative")).unwrap();
    symlink(at("circle"), at("circle")).unwrap();
    let db = Database::open(at("db")).unwrap();
    db.backup(at("backups")).unwrap();
    for link in ["dangling", "relative", "circle"].map(at) {
        for path in [link.clone(), link.join("below"), link.join("deep/below")] {
            check_dangling(&link, Database::open(&path));
            check_dangling(&link, Database::open_with(&path, Options::new().create_if_missing(false)));
            check_dangling(&link, Database::open_with(&path, Options::new().read_only(true)));
            check_dangling(&link, db.checkpoint(&path));
            check_dangling(&link, db.backup(&path));
            check_dangling(&link, Database::backups(&path));
            check_dangling(&link, Database::restore(at("backups"), &path, None));
        }
        assert!(link.is_symlink() && !link.exists());
    }
    assert!(!at("nothing").exists() && !at("nowhere").exists());
    db.close().unwrap();
    // A link to something is as good as its target.
    symlink(at("db"), at("good")).unwrap();
    Database::open(at("good")).unwrap().close().unwrap();
    std::fs::create_dir(at("nothing")).unwrap();
    Database::open(at("dangling")).unwrap().close().unwrap();
    assert!(at("nothing/superblock").exists());
}

// Descriptors.

/// Collections of a run, and documents of each: `COLLECTIONS=256 DOCUMENTS=1000 DESCRIPTORS=1024`
/// is a long one.
fn n_collections() -> u64 {
    number_from_env("COLLECTIONS", 36)
}

fn n_documents() -> u64 {
    number_from_env("DOCUMENTS", 20)
}

fn each_collection(db: &Database, mut visit: impl FnMut(u64, Collection)) {
    for number in 0..n_collections() {
        visit(number, db.collection(&format!("c{number}")).unwrap());
    }
}

fn n_open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Creates, fills, searches, copies and opens a database with far more families than files may be
/// open.
#[test]
#[ignore = "a part of other tests"]
fn part_of_one_with_few_descriptors() {
    let Some((folder, most)) = part() else { return };
    limit(libc::RLIMIT_NOFILE, most);
    let before = n_open_files();
    let db = Database::open_with(folder.join("db"), small()).unwrap();
    for number in 0..n_collections() {
        let collection = db.create_collection(&format!("c{number}"), CollectionConfig::new(2)).unwrap();
        collection.insert_many((0..n_documents()).map(document)).unwrap();
    }
    db.checkpoint(folder.join("copy")).unwrap();
    db.close().unwrap();
    for path in ["db", "copy"] {
        let db = Database::open_with(folder.join(path), small()).unwrap();
        each_collection(&db, |number, collection| {
            let n = number % n_documents();
            let hits = collection.search([1.0, n as f32]).filter(field("n").eq(n)).run().unwrap();
            assert_eq!((hits.len(), &hits[0].id), (1, &DocId::from(n)));
            assert_eq!(collection.get(n).unwrap().unwrap().vector, [1.0, n as f32]);
            collection.upsert(document(n_documents())).unwrap();
        });
        db.verify().unwrap();
        let n_held = n_open_files() - before;
        assert!(n_held <= most as usize / 4 + 24, "{n_held} files are open of {most}");
        db.close().unwrap();
    }
    assert!(n_open_files() <= before + 8, "all were closed but those of threads: {} of {before}", n_open_files());
}

#[test]
fn many_collections_need_few_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    // Far fewer than the families, of which there are four for each collection.
    let played = play("part_of_one_with_few_descriptors", folder.path(), number_from_env("DESCRIPTORS", 96));
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stdout));
}

/// Takes all descriptors, and tries to open a database with none free, then with three more each
/// time.
#[test]
#[ignore = "a part of other tests"]
fn part_of_one_with_hardly_any_descriptors() {
    let Some((folder, most)) = part() else { return };
    limit(libc::RLIMIT_NOFILE, most);
    let path = folder.join("db");
    let (mut n_refused, mut n_opened) = (0, 0);
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    while !taken.is_empty() && n_opened < 3 {
        let opened = Database::open_with(&path, small().create_if_missing(false)).and_then(|db| {
            let collection = db.collection("c")?;
            collection.search([1.0, 2.0]).run()?;
            collection.insert(Document::new([1.0, 3.0]))?;
            drop(collection);
            db.close()
        });
        match opened {
            Ok(()) => n_opened += 1,
            Err(error) => {
                let said = error.to_string();
                let is_said = error.kind() == ErrorKind::Exhausted && said.contains("out of file descriptors")
                    || said.contains("Too many open files");
                assert!(is_said, "{} are left: {error:?}", most as usize - taken.len());
                n_refused += 1;
            }
        }
        taken.truncate(taken.len().saturating_sub(3));
    }
    assert!(n_refused > 0 && n_opened == 3, "{n_refused} refused, {n_opened} opened");
}

#[test]
fn a_want_of_descriptors_is_said_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::open_with(folder.path().join("db"), small()).unwrap();
    let collection = db.create_collection("c", CollectionConfig::new(2)).unwrap();
    collection.insert_many((0..50).map(document)).unwrap();
    drop(collection);
    db.close().unwrap();
    let played = play("part_of_one_with_hardly_any_descriptors", folder.path(), 96);
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stdout));
    let db = Database::open_with(folder.path().join("db"), small()).unwrap();
    assert!(db.collection("c").unwrap().count(None).unwrap() >= 53);
    db.verify().unwrap();
}

// Address space.

#[test]
#[ignore = "a part of other tests"]
fn part_of_one_with_little_address_space() {
    let Some((folder, most)) = part() else { return };
    limit(libc::RLIMIT_AS, most);
    match Database::open_with(folder.join("db"), small()) {
        Ok(db) => {
            let notes = db.get_or_create_collection("notes", CollectionConfig::new(2)).unwrap();
            notes.upsert_many((0..100).map(document)).unwrap();
            notes.wait_indexed().unwrap();
            db.close().unwrap();
            println!("opened");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
            assert!(error.to_string().contains("address space"), "{error}");
            println!("refused");
        }
    }
}

#[test]
fn too_little_address_space_is_an_error_at_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut outcomes = Vec::new();
    for mib in [200, 300, 400_000 >> 10, 700, 1_500, 4_000, 16_000] {
        let played = play("part_of_one_with_little_address_space", folder.path(), mib << 20);
        let said = String::from_utf8_lossy(&played.stdout).into_owned();
        assert_eq!(played.status.signal(), None, "{mib} MiB: {said} {}", String::from_utf8_lossy(&played.stderr));
        assert!(played.status.success(), "{mib} MiB: {said}");
        outcomes.push(said.contains("refused"));
    }
    assert!(outcomes[2] && !outcomes[outcomes.len() - 1] && outcomes.is_sorted_by(|a, b| a >= b), "{outcomes:?}");
}

// Times.

#[test]
fn times_without_a_zone_are_in_utc_with_and_without_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::open_with(folder.path(), small()).unwrap();
    for (name, config) in [("indexed", CollectionConfig::new(1)), ("not", CollectionConfig::new(1).no_index("t"))] {
        let notes = db.create_collection(name, config).unwrap();
        let times = [
            ("none", "2026-01-01T00:00:00"),
            ("zero", "2026-01-01T00:00:00+0000"),
            ("later", "2025-12-31T20:00:00-05:00"),
            ("before", "2025-12-31T23:59"),
            ("day", "2026-01-02"),
        ];
        for (id, time) in times {
            notes.insert(Document::new([1.0]).id(id).metadata(json!({"t": time}))).unwrap();
        }
        for (filter, expected) in [
            (field("t").lt("2026-01-01T00:00:00Z"), "before"),
            (field("t").gte("2026-01-01"), "day later none zero"),
            (field("t").eq("2026-01-01T01:00:00+0100"), "none zero"),
            (field("t").gt("2026-01-01T00:59:59.9"), "day later"),
            (field("t").between("2026-01-01", "2026-01-01T01:00Z"), "later none zero"),
            (field("t").is_in(["2026-01-02 00:00", "x"]), "day"),
            (field("t").prefix("2026-01-01T"), "none zero"),
        ] {
            let page = notes.scroll().filter(filter.clone()).run().unwrap();
            let ids: Vec<String> = page.documents.iter().map(|document| document.id.to_string()).collect();
            assert_eq!(ids.join(" "), expected, "{name}: {filter}");
            assert_eq!(notes.count(filter.clone()).unwrap(), ids.len(), "{name}: {filter}");
            assert_eq!(notes.search([1.0]).filter(filter.clone()).run().unwrap().len(), ids.len(), "{name}: {filter}");
        }
        let page = notes.scroll().order_by("t").run().unwrap();
        let ids: Vec<String> = page.documents.iter().map(|document| document.id.to_string()).collect();
        assert_eq!((ids[0].as_str(), ids[3].as_str(), ids[4].as_str()), ("before", "later", "day"), "{name}");
    }
    db.verify().unwrap();
}

// Fields.

#[test]
fn a_field_that_no_document_has_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::open_with(folder.path(), small()).unwrap();
    let notes = db.create_collection("notes", CollectionConfig::new(1).no_index("raw")).unwrap();
    for n in 0..20u64 {
        let metadata = json!({"section": "net", "n": n, "raw": n, "author": {"name": "x"}, "a.b": 1});
        notes.insert(Document::new([1.0]).id(n).metadata(metadata)).unwrap();
    }
    notes.insert(Document::new([1.0]).id("once").metadata(json!({"once": 1}))).unwrap();
    notes.namespace("other").unwrap().insert(Document::new([1.0]).metadata(json!({"elsewhere": 1}))).unwrap();
    let check = |filter: serde_json::Value, expected: &[&str]| {
        let filter = vectrove::Filter::from_json(&filter).unwrap();
        let hits = notes.search([1.0]).filter(filter.clone()).explain(true).run().unwrap();
        assert_eq!(
            (&hits.absent_fields[..], hits.stats.n_absent_fields),
            (expected_of(expected).as_slice(), expected.len()),
            "{filter}"
        );
        let explained = hits.explanation.unwrap().to_string();
        assert_eq!(explained.contains("no document has"), !expected.is_empty(), "{explained}");
        assert_eq!(notes.absent_fields(&filter).unwrap(), expected, "{filter}");
    };
    check(json!({"sectoin": "net"}), &["sectoin"]);
    check(json!({"section": "net"}), &[]);
    check(json!({"section": "other"}), &[]);
    check(json!({"$or": [{"section": "net"}, {"m": 1}, {"$not": {"k": 2}}, {"m": 3}]}), &["k", "m"]);
    check(json!({"sectoin": {"$ne": "net"}}), &["sectoin"]);
    check(json!({"sectoin": {"$exists": false}}), &["sectoin"]);
    check(json!({"author.name": "x"}), &[]);
    check(json!({"author.nam": "x"}), &["author.nam"]);
    check(json!({"a.b": 1}), &[]);
    // Whether documents have a field that is not indexed is unknown, and words are not a field.
    check(json!({"raw": 3, "$text": "x"}), &[]);
    check(json!({"raw.deeper": 3}), &[]);
    check(json!({"elsewhere": 1}), &[]);
    check(json!({}), &[]);
    check(json!({"once": 1}), &[]);
    notes.delete("once").unwrap();
    check(json!({"once": 1}), &["once"]);
    let hits = notes.search([1.0]).filter(field("sectoin").ne("net")).run().unwrap();
    assert_eq!((hits.len(), hits.absent_fields.len()), (10, 1), "a misspelt field does no harm to what is found");
}

fn expected_of(fields: &[&str]) -> Vec<String> {
    fields.iter().map(|field| (*field).to_owned()).collect()
}
