//! Verbs on backups.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vectrove::{Backup, Database};

use crate::args::Keep;
use crate::catalog::bytes;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::{Output, grouped};

pub(crate) fn backup(db: &Database, folder: &Path, output: &mut Output) -> Result<(), Failure> {
    let made = db.backup_with(folder, &interrupt::cancel())?;
    let (id, commit, shown) = (made.id, made.commit, folder.display());
    output.answer(&made, format_args!("backed up to commit {commit} as number {id} in {shown}"))
}

pub(crate) fn perform(verb: Keep, output: &mut Output) -> Result<(), Failure> {
    match verb {
        Keep::Backups { folder } => backups(&folder, output),
        Keep::Restore { folder, target, backup } => restore(&folder, &target, backup, output),
        Keep::PurgeBackups { folder, keep } => purge(&folder, keep, output),
    }
}

fn backups(folder: &Path, output: &mut Output) -> Result<(), Failure> {
    let backups = Database::backups(folder)?;
    if output.json {
        return backups.iter().try_for_each(|backup| output.object(backup));
    }
    table(&backups).lines().try_for_each(|line| output.line(line))
}

fn restore(folder: &Path, target: &Path, id: Option<u32>, output: &mut Output) -> Result<(), Failure> {
    interrupt::watch()?;
    let restored = Database::restore_with(folder, target, id, &interrupt::cancel());
    let left = "nothing was left of it; the same command starts again";
    let commit = restored.map_err(|error| Failure::from(error).hint_if_interrupted(left))?;
    let shown = target.display();
    output
        .answer(&json!({"path": target, "commit": commit}), format_args!("restored up to commit {commit} into {shown}"))
}

fn purge(folder: &Path, keep: usize, output: &mut Output) -> Result<(), Failure> {
    Database::purge_backups(folder, keep)?;
    let n_left = Database::backups(folder)?.len();
    output.answer(&json!({"left": n_left}), format_args!("{} backups are left", grouped(n_left as u64)))
}

/// Lists backups, one a line.
fn table(backups: &[Backup]) -> String {
    if backups.is_empty() {
        return "no backups".to_owned();
    }
    let mut table = format!("{:>6}  {:20}  {:>11}  {:>7}  {:>10}\n", "backup", "made", "commit", "files", "bytes");
    for Backup { id, commit, time_ms, n_bytes, n_files, .. } in backups {
        let (made, commit, n_bytes) = (time(*time_ms), grouped(commit.0), bytes(*n_bytes));
        // Writing to a string does not fail.
        let _ = writeln!(table, "{id:>6}  {made:20}  {commit:>11}  {n_files:>7}  {n_bytes:>10}");
    }
    table
}

/// A time to the second, in UTC.
fn time(time_ms: u64) -> String {
    let seconds = i64::try_from(time_ms / 1_000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}
