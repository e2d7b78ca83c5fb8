//! Copies of the database, made during writes. Each must open, verify, and be one whole commit.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use vectrove::{Commit, Database, ErrorKind, Options, Result};

use super::beside::{rest, sites};
use super::kind::Kind;
use super::readers::Reader;
use super::round::Round;
use crate::folder;

/// Time between two copies while other kinds of questions are asked too.
const PAUSE: Duration = Duration::from_secs(3);
/// Backups in one folder, after which a new folder is begun.
const MOST_BACKUPS: u64 = 8;

/// Makes copies until the round is over: checkpoints and backups in turn.
pub(super) fn run(round: &Round<'_>, thread: usize, folder: &Path) {
    if round.is_of_loading() || !round.kinds.contains(&Kind::Copy) {
        return rest(round, thread);
    }
    let (mut reader, paths) = (Reader::new(round, thread), Paths::of(folder));
    for n_copies in 0.. {
        if round.kinds != [Kind::Copy] {
            rest_a_while(round, thread);
        }
        round.beat(thread);
        if round.is_over() {
            return;
        }
        let made = match n_copies % 2 {
            0 => round.db.checkpoint(&paths.copy),
            _ => back_up(&round.db, &paths, n_copies / 2),
        };
        let checked = made.and_then(|commit| check(round, &mut reader, &paths.copy, commit));
        match checked {
            Ok(()) => _ = round.findings.n_copies.fetch_add(1, Ordering::Relaxed),
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(error) => round.violation(&format!("copy {n_copies}: {error}")),
        }
        if let Err(error) = folder::remove(&paths.copy) {
            round.violation(&error);
        }
    }
}

struct Paths {
    copy: PathBuf,
    backups: PathBuf,
}

impl Paths {
    fn of(folder: &Path) -> Self {
        Paths { copy: folder.join("copy"), backups: folder.join("backups") }
    }
}

fn rest_a_while(round: &Round<'_>, thread: usize) {
    let began = std::time::Instant::now();
    while began.elapsed() < PAUSE && !round.is_over() {
        round.beat(thread);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes a backup and restores it.
fn back_up(db: &Database, paths: &Paths, n_backups: u64) -> Result<Commit> {
    if n_backups.is_multiple_of(MOST_BACKUPS) {
        // A missing folder is fine: another database may have begun.
        _ = folder::remove(&paths.backups);
    }
    let backup = db.backup(&paths.backups)?;
    let restored = Database::restore(&paths.backups, &paths.copy, Some(backup.id))?;
    assert_eq!(backup.commit, restored, "a backup says which commit it has");
    Ok(restored)
}

/// Opens a copy, verifies it and compares all of it with the twin.
fn check(round: &Round<'_>, reader: &mut Reader<'_>, copy: &Path, commit: Commit) -> Result<()> {
    // The copy is opened read-only, so that it makes no commit of its own.
    let db = Database::open_with(copy, Options::new().read_only(true).memory_bytes(8 << 20))?;
    let found = db.verify()?.commit;
    if found != commit {
        round.violation(&format!("a copy of commit {commit} has commit {found}"));
    }
    round.progress.wait();
    for site in sites(round, &db) {
        reader.compare_all(&site, Some((Kind::Copy, commit.0)));
    }
    db.close()
}
