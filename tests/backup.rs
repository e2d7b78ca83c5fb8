//! Backups copy only new files, and restore completely or not at all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::Rng;
use serde_json::json;
use tempfile::TempDir;
use vectrove::{Backup, Collection, CollectionConfig, Commit, Database, DocId, Document, Error, ErrorKind, Metric};

use common::{check_error, content, quick, random, seed};

/// A database, and a place for its backups.
struct Setting {
    folder: TempDir,
    db: Database,
    notes: Collection,
}

impl Setting {
    /// With an empty collection `notes` of two components.
    fn new() -> Self {
        let (folder, db) = common::database();
        let notes = db.create_collection("notes", CollectionConfig::new(2).metric(Metric::Dot)).unwrap();
        Setting { folder, db, notes }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn insert(&self, id: u64) {
        self.notes.insert(numbered(id)).unwrap();
    }

    fn backup(&self) -> Backup {
        self.db.backup(self.path("backups")).unwrap()
    }

    /// Restores, opens, verifies and removes; returns the ids that were there, and the last commit.
    #[track_caller]
    fn restored(&self, id: Option<u32>) -> (Vec<DocId>, Commit) {
        let target = self.path("restored");
        let commit = Database::restore(self.path("backups"), &target, id).unwrap();
        let db = Database::open_with(&target, quick()).unwrap();
        assert_eq!(db.verify().unwrap().commit, commit);
        let ids = content(&db).into_iter().map(|(_, _, document)| document.id).collect();
        db.close().unwrap();
        fs::remove_dir_all(target).unwrap();
        (ids, commit)
    }

    /// Asserts that restoring is refused for damage, and leaves nothing.
    #[track_caller]
    fn check_refused(&self, id: Option<u32>, what: &str) {
        let target = self.path("restored");
        let error = Database::restore(self.path("backups"), &target, id).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corruption, "{what}: {error}");
        assert!(!target.exists() && !self.path("restored.unfinished").exists(), "{what}");
    }
}

fn numbered(n: u64) -> Document {
    Document::new([n as f32, 1.0]).id(n).metadata(json!({"n": n})).text(n.to_string())
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<DocId> {
    numbers.into_iter().map(DocId::from).collect()
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut pending) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn n_bytes(folder: &Path) -> u64 {
    files(folder).iter().map(|file| fs::metadata(file).unwrap().len()).sum()
}

#[test]
fn a_backup_restores_all_there_was() {
    let (folder, db) = common::database();
    db.close().unwrap();
    let furthest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let options = || quick().distance("furthest", furthest);
    let db = Database::open_with(folder.path().join("db"), options()).unwrap();
    for (name, config) in [
        ("graph", CollectionConfig::new(2)),
        ("flat", CollectionConfig::new(2).index(vectrove::Index::Flat)),
        ("own", CollectionConfig::new(2).distance("furthest")),
    ] {
        let collection = db.create_collection(name, config).unwrap();
        collection.insert_many((0..300).map(numbered)).unwrap();
        collection.namespace("agent").unwrap().insert_many((0..10).map(numbered)).unwrap();
        collection.delete(7).unwrap();
    }
    db.create_collection("gone", CollectionConfig::new(3)).unwrap();
    db.drop_collection("gone").unwrap();
    let (before, backups, target) = (content(&db), folder.path().join("deep/backups"), folder.path().join("new/copy/"));
    let made = db.backup(&backups).unwrap();
    assert_eq!(made.commit, db.stats().unwrap().commit);
    assert!(made.id == 1 && made.n_files > 5 && made.n_bytes > 10_000 && made.time_ms > 1_700_000_000_000, "{made:?}");
    assert_eq!(Database::backups(&backups).unwrap(), std::slice::from_ref(&made));
    db.collection("graph").unwrap().insert(numbered(1_000)).unwrap();

    assert_eq!(Database::restore(&backups, &target, None).unwrap(), made.commit);
    let restored = Database::open_with(&target, options()).unwrap();
    assert_eq!(content(&restored), before);
    assert_eq!(restored.verify().unwrap().n_documents, before.len());
    restored.collection("graph").unwrap().insert(numbered(2_000)).unwrap();
    check_error(Database::restore(&backups, &target, None), "Io");
    assert!(restored.collection("graph").unwrap().contains(2_000).unwrap());
}

#[test]
fn only_what_is_new_is_copied() {
    let setting = Setting::new();
    let large = setting.db.create_collection("large", CollectionConfig::new(512)).unwrap();
    let mut random = random(seed());
    large.insert_many((0..4_000u64).map(|n| Document::new([0.0; 512].map(|_: f32| random.random())).id(n))).unwrap();
    let (backups, first) = (setting.path("backups"), setting.backup());
    let once = n_bytes(&backups);
    assert!(once > 8_000_000 && once >= first.n_bytes, "{once} {first:?}");
    setting.insert(1);
    let second = setting.backup();
    let grown = n_bytes(&backups) - once;
    assert!(second.n_bytes > 8_000_000 && grown < once / 20, "{second:?}: {grown} bytes beside {once}");
    assert!(second.id > first.id && second.commit > first.commit && second.time_ms >= first.time_ms);
    assert_eq!(setting.restored(None).0.len(), 4_001);
}

#[test]
fn any_backup_restores_until_it_is_purged() {
    let setting = Setting::new();
    let made: Vec<Backup> = (0..4)
        .map(|n| {
            setting.insert(n);
            setting.backup()
        })
        .collect();
    let backups = setting.path("backups");
    assert_eq!(Database::backups(&backups).unwrap(), made);
    for (n, backup) in (1..).zip(&made) {
        assert_eq!(setting.restored(Some(backup.id)), (ids(0..n), backup.commit));
    }
    let before = files(&backups).len();
    Database::purge_backups(&backups, 9).unwrap();
    assert_eq!(files(&backups).len(), before);
    Database::purge_backups(&backups, 2).unwrap();
    assert!(files(&backups).len() < before);
    assert_eq!(Database::backups(&backups).unwrap(), made[2..]);
    check_error(Database::restore(&backups, setting.path("restored"), Some(made[0].id)), "BackupNotFound");
    assert_eq!(setting.restored(Some(made[2].id)).0, ids(0..3));
    assert!(setting.backup().id > made[3].id);
    Database::purge_backups(&backups, 0).unwrap();
    assert_eq!(Database::backups(&backups).unwrap(), []);
    check_error(Database::restore(&backups, setting.path("restored"), None), "BackupNotFound");
    setting.backup();
    assert_eq!(setting.restored(None).0, ids(0..4));
}

#[test]
fn a_restored_database_goes_on_in_the_same_folder() {
    let setting = Setting::new();
    setting.insert(1);
    let first = setting.backup();
    setting.insert(2);
    let second = setting.backup();
    let copy = setting.path("copy");
    Database::restore(setting.path("backups"), &copy, Some(first.id)).unwrap();
    // The same commit numbers again, with other content.
    let db = Database::open_with(&copy, quick()).unwrap();
    db.collection("notes").unwrap().insert(numbered(3)).unwrap();
    let third = db.backup(setting.path("backups")).unwrap();
    assert_eq!(third.commit, second.commit);
    for (backup, expected) in [(first, ids([1])), (second, ids([1, 2])), (third, ids([1, 3]))] {
        assert_eq!(setting.restored(Some(backup.id)).0, expected);
    }
}

#[test]
fn every_damage_is_refused() {
    let setting = Setting::new();
    setting.insert(1);
    setting.backup();
    let backups = setting.path("backups");
    for file in files(&backups).iter().filter(|file| !file.ends_with("owner")) {
        let (whole, shown) = (fs::read(file).unwrap(), file.display());
        for at in [0, whole.len() / 2, whole.len().saturating_sub(1)] {
            // The list of files begins with times of the engine, which nothing relies on.
            if at < whole.len() && !(at == 0 && file.ends_with("meta/1")) {
                let mut flipped = whole.clone();
                flipped[at] ^= 0x10;
                fs::write(file, flipped).unwrap();
                setting.check_refused(None, &format!("byte {at} of {shown} flipped"));
            }
        }
        fs::write(file, &whole[..whole.len() - whole.len().min(2)]).unwrap();
        if !whole.is_empty() {
            setting.check_refused(None, &format!("{shown} cut"));
        }
        fs::remove_file(file).unwrap();
        if file.ends_with("meta/1") {
            // As if the backup had never been completed.
            check_error(Database::restore(&backups, setting.path("restored"), None), "BackupNotFound");
        } else {
            setting.check_refused(None, &format!("{shown} removed"));
        }
        fs::write(file, whole).unwrap();
    }
    assert_eq!(setting.restored(None).0, ids([1]));
}

#[test]
fn a_folder_with_damage_is_only_read() {
    let setting = Setting::new();
    let made = [1, 2, 3].map(|n| {
        setting.insert(n);
        setting.backup()
    });
    let backups = setting.path("backups");
    let private = backups.join(format!("private/{}", made[1].id));
    let manifest = files(&private).into_iter().find(|file| file.to_string_lossy().contains("MANIFEST")).unwrap();
    fs::remove_file(&manifest).unwrap();
    let before = files(&backups);
    let error = check_error(Database::backups(&backups), "Corruption").to_string();
    assert!(error.contains("backups [2]") && error.contains("[1, 3] can be restored"), "{error}");
    check_error(setting.db.backup(&backups), "Corruption");
    check_error(Database::purge_backups(&backups, 1), "Corruption");
    setting.check_refused(Some(2), "the damaged one");
    assert_eq!(setting.restored(Some(1)).0, ids([1]));
    assert_eq!(setting.restored(None).0, ids([1, 2, 3]));
    assert_eq!(files(&backups), before);
    // Removes the newest backup, not the newest complete one.
    fs::remove_dir_all(backups.join("private/3")).unwrap();
    setting.check_refused(None, "the newest is damaged");
}

#[test]
fn what_cannot_be_is_refused() {
    let (setting, other) = (Setting::new(), Setting::new());
    let (backups, foreign, target) = (setting.path("backups"), setting.path("foreign"), setting.path("restored"));
    setting.backup();
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("letter"), "dear").unwrap();
    for folder in [&foreign, &setting.path("missing"), &setting.path("db"), &foreign.join("letter")] {
        let shown = folder.display();
        for error in [
            Database::backups(folder).unwrap_err(),
            Database::restore(folder, &target, None).unwrap_err(),
            Database::restore(folder, &target, Some(1)).unwrap_err(),
            Database::purge_backups(folder, 1).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{shown}: {error}");
        }
    }
    assert!(!setting.path("missing").exists() && files(&foreign).len() == 1, "looking leaves nothing");
    for (db, folder, said) in [
        (&setting.db, &foreign, "found \"letter\""),
        (&setting.db, &setting.path("db"), "expected backups or nothing"),
        (&other.db, &backups, "expected backups of store"),
    ] {
        let error = check_error(db.backup(folder), "InvalidConfig");
        assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains(said), "{error}");
    }
    assert_eq!(files(&foreign).len(), 1);
    let unknown = Database::restore(&backups, &target, Some(7)).unwrap_err();
    assert_eq!(unknown.to_string(), format!("no backup 7 in {}", backups.display()));
    assert!(matches!(unknown, Error::BackupNotFound { id: Some(7), .. }) && !target.exists());
    other.db.clone().close().unwrap();
    check_error(other.db.backup(other.path("backups")), "Closed");
}

#[test]
fn what_a_killed_backup_leaves_is_cleared() {
    let setting = Setting::new();
    setting.insert(1);
    assert_eq!(setting.backup().id, 1);
    let backups = setting.path("backups");
    let left = ["private/2/MANIFEST-000005", "shared_checksum/000099_s0_10.sst.tmp", "meta/.2.tmp", "vectrove.new"];
    fs::create_dir(backups.join("private/2")).unwrap();
    left.iter().for_each(|name| fs::write(backups.join(name), "half").unwrap());
    fs::create_dir_all(setting.path("restored.unfinished/data")).unwrap();
    assert_eq!(setting.restored(None).0, ids([1]));
    setting.insert(2);
    assert_eq!(setting.backup().id, 2);
    assert_eq!(setting.restored(None).0, ids([1, 2]));
    let kept = left.into_iter().filter(|name| fs::read(backups.join(name)).is_ok_and(|bytes| bytes == b"half"));
    assert_eq!(kept.collect::<Vec<_>>(), ["vectrove.new"]);
}

#[test]
fn backups_under_load_are_whole() {
    const WRITERS: u64 = 4;
    let setting = Setting::new();
    let there = setting.db.create_collection("there", CollectionConfig::new(2)).unwrap();
    let (done, acknowledged) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; WRITERS as usize]);
    let write = |thread: u64| {
        for n in 0.. {
            let mut batch = setting.db.batch();
            batch.insert(&setting.notes, numbered(thread << 32 | n));
            batch.insert(&there, numbered(thread << 32 | n));
            batch.commit().unwrap();
            acknowledged[thread as usize].store(n + 1, Ordering::SeqCst);
            if done.load(Ordering::Relaxed) {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        (0..WRITERS).for_each(|thread| _ = scope.spawn(move || write(thread)));
        let backups: Vec<_> = (0..6)
            .map(|_| {
                let before = [0, 1, 2, 3].map(|thread: usize| acknowledged[thread].load(Ordering::SeqCst));
                (setting.backup(), before)
            })
            .collect();
        done.store(true, Ordering::Relaxed);
        for (backup, before) in backups {
            let (found, commit) = setting.restored(Some(backup.id));
            assert!(commit >= backup.commit, "{commit} {backup:?}");
            let (notes, there) = found.split_at(found.len() / 2);
            assert_eq!(notes, there, "a part of a batch");
            for (thread, acknowledged) in (0..).zip(before) {
                let own = notes.iter().filter_map(|id| match id {
                    DocId::U64(id) => Some(*id).filter(|id| id >> 32 == thread),
                    _ => None,
                });
                let own: Vec<u64> = own.map(|id| id & 0xffff_ffff).collect();
                assert_eq!(own, (0..own.len() as u64).collect::<Vec<_>>(), "no prefix");
                assert!(own.len() as u64 >= acknowledged, "{} of {acknowledged}", own.len());
            }
        }
    });
}
