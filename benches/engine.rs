//! Behaviour of RocksDB that our design relies on, so that an upgrade that changes it shows.
//!
//! Each line names an action on a bare RocksDB, and its result. None of this uses vectrove.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rocksdb::{DB, DBRecoveryMode, IteratorMode, Options, WriteBatch, WriteOptions};

const N_KEYS: usize = 1_000;

/// The change made to a log.
type Damage = fn(&mut Vec<u8>);

fn main() {
    println!("engine: a bare RocksDB with {N_KEYS} synced keys, killed, its log damaged; keys after a successful open");
    println!("  {:<34}{:>12}{:>12}{:>12}{:>12}", "damage", "tolerate", "absolute", "in time", "skip any");
    let damages: [(&str, Damage); 7] = [
        ("none", |_| {}),
        ("tail cut by 50 bytes", |log| log.truncate(log.len() - 50)),
        ("4 KiB of garbage appended", |log| {
            log.extend((0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8))
        }),
        ("one bit flipped in the middle", |log| flip(log, 50)),
        ("one bit flipped near the end", |log| flip(log, 99)),
        ("last 4 KiB zeroed", |log| zero(log, 100)),
        ("4 KiB zeroed in the middle", |log| zero(log, 50)),
    ];
    for (name, damage) in damages {
        let modes = [
            DBRecoveryMode::TolerateCorruptedTailRecords,
            DBRecoveryMode::AbsoluteConsistency,
            DBRecoveryMode::PointInTime,
            DBRecoveryMode::SkipAnyCorruptedRecord,
        ];
        let found = modes.map(|mode| after_log_damage(mode, damage));
        println!("  {name:<34}{:>12}{:>12}{:>12}{:>12}", found[0], found[1], found[2], found[3]);
    }
    println!("  manifest cut by a fifth: {}", after_manifest_cut());
    println!("  a batch that names a dropped family: {}", after_dropped_family(false));
    println!("  the same, ignoring missing families: {}", after_dropped_family(true));
    println!("  another descriptor of LOCK closed: {}", after_lock_closed());
    for n_families in [60, 120, 240, 400] {
        println!("  {n_families} families created one by one: {:.2} s", seconds_to_create(n_families));
    }
}

fn flip(log: &mut [u8], percent: usize) {
    let position = log.len() * percent / 100 - 1;
    log[position] ^= 1;
}

fn zero(log: &mut [u8], percent: usize) {
    let end = (log.len() * percent / 100).max(4096);
    log[end - 4096..end].fill(0);
}

/// A folder as a killed process leaves it: everything in the log.
fn killed(folder: &Path) -> PathBuf {
    let (live, dead) = (folder.join("live"), folder.join("dead"));
    let db = DB::open(&create(), &live).expect("opens");
    let mut sync = WriteOptions::default();
    sync.set_sync(true);
    for number in 0..N_KEYS {
        db.put_opt(format!("key-{number:06}"), [7; 100], &sync).expect("writes");
    }
    copy(&live, &dead);
    dead
}

fn create() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a file");
    }
}

fn file(folder: &Path, is_it: impl Fn(&str) -> bool) -> PathBuf {
    let names = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let wanted = names.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&is_it));
    wanted.max_by_key(|path| fs::metadata(path).map_or(0, |file| file.len())).expect("such a file")
}

fn count(db: &DB) -> String {
    let n_keys = db.iterator(IteratorMode::Start).take_while(Result::is_ok).count();
    let holes = match db.get(format!("key-{:06}", n_keys.saturating_sub(1))) {
        Ok(Some(_)) => "",
        _ => ", hole",
    };
    format!("{n_keys}{holes}")
}

fn after_log_damage(mode: DBRecoveryMode, damage: Damage) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dead = killed(folder.path());
    let path = file(&dead, |name| name.ends_with(".log"));
    let mut log = fs::read(&path).expect("the log");
    damage(&mut log);
    fs::write(&path, log).expect("the log");
    let mut options = Options::default();
    options.set_wal_recovery_mode(mode);
    DB::open(&options, &dead).map_or_else(|_| "refused".into(), |db| count(&db))
}

fn after_manifest_cut() -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let live = folder.path().join("live");
    let db = DB::open(&create(), &live).expect("opens");
    for round in 0..3 {
        db.put(format!("key-{round:06}"), [7; 100]).expect("writes");
        db.flush().expect("flushes");
    }
    drop(db);
    let tables = || {
        fs::read_dir(&live)
            .expect("a folder")
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|x| x == "sst"))
            .count()
    };
    let before = tables();
    let path = file(&live, |name| name.starts_with("MANIFEST"));
    let manifest = fs::read(&path).expect("the manifest");
    fs::write(&path, &manifest[..manifest.len() * 4 / 5]).expect("the manifest");
    match DB::open(&Options::default(), &live) {
        Ok(db) => format!("opens with {} of 3 keys; {} of {before} table files left", count(&db), tables()),
        Err(error) => format!("refused: {error}"),
    }
}

fn after_dropped_family(ignore: bool) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = DB::open(&create(), folder.path()).expect("opens");
    db.create_cf("gone", &Options::default()).expect("is created");
    let family = db.cf_handle("gone").expect("is there");
    db.drop_cf("gone").expect("is dropped");
    let mut batch = WriteBatch::default();
    batch.put("other", "value");
    batch.put_cf(&family, "key", "value");
    let mut options = WriteOptions::default();
    options.set_ignore_missing_column_families(ignore);
    let said = |outcome: Result<(), rocksdb::Error>| outcome.map_or_else(|e| format!("error ({e})"), |()| "ok".into());
    let first = said(db.write_opt(batch, &options));
    let visible = db.get("other").ok().flatten().is_some();
    format!("{first}; its other key visible: {visible}; the next write: {}", said(db.put("next", "value")))
}

fn after_lock_closed() -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = DB::open(&create(), folder.path()).expect("opens");
    drop(fs::File::open(folder.path().join("LOCK")).expect("the lock's file"));
    // The lock belongs to the process, so another one has to ask.
    let path = folder.path().join("LOCK");
    let asked = std::process::Command::new("python3")
        .args(["-c", "import fcntl,sys\ntry: fcntl.lockf(open(sys.argv[1],'r+'),fcntl.LOCK_EX|fcntl.LOCK_NB); print('a second process gets the lock')\nexcept OSError: print('still locked')"])
        .arg(&path)
        .output();
    drop(db);
    asked.map_or_else(
        |error| format!("not tried: {error}"),
        |output| String::from_utf8_lossy(&output.stdout).trim().into(),
    )
}

fn seconds_to_create(n_families: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = DB::open(&create(), folder.path()).expect("opens");
    let start = Instant::now();
    for number in 0..n_families {
        db.create_cf(format!("family-{number}"), &Options::default()).expect("is created");
    }
    start.elapsed().as_secs_f64()
}
