//! Records in RocksDB's logs that a forked child of the writer put there.
//!
//! A child shares its parent's place in the open log. Records that it writes with its copy of
//! RocksDB land between the parent's, under sequence numbers that the parent uses again. RocksDB
//! refuses to replay such a log, or applies two batches under one number. Handles refuse to work in
//! a child ([`crate::process`]); a log with such records was written by other means, and is
//! repaired here.
//!
//! Sequence numbers ascend from record to record. Where one falls back within a log, two chains
//! overlap. The log does not tell which chain is the parent's. The repair keeps the chain that
//! later numbers continue for longer, and the later chain if both are equal. If that is the
//! parent's chain, exactly the parent's records remain. If not, writes of the parent are lost. The
//! log as it was is kept beside the data.
//!
//! A log may begin with a number at which an earlier one ended: replay stopped there.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::wal_scan::{HEADER_BYTES, unmask};
use crate::error::{Error, Result};
use crate::store::files::atomic_dir::sync_folder;

/// Bytes of a batch's header: its sequence number, and how many numbers it takes.
const BATCH_HEADER_BYTES: usize = 12;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
/// Kinds of records about the log itself, which have no sequence number.
const ABOUT: [u8; 2] = [9, 10];
/// Further kinds of records about the log have this bit set.
const ABOUT_BIT: u8 = 128;
/// Overlaps removed from one folder's logs at most. A child does not make more.
const MOST_OVERLAPS: usize = 10_000;

/// A log in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Log {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// A batch in a log: its place in bytes, and the sequence numbers that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LogEntry {
    log: usize,
    from: usize,
    to: usize,
    sequence: u64,
    next_sequence: u64,
}

/// Two chains that overlap: the entry at which the second begins, and the number expected there.
struct Overlap {
    at: usize,
    expected: u64,
}

/// Fails with `ForeignRecords` if records of two processes overlap in the logs.
pub(in crate::store) fn check(data: &Path) -> Result<()> {
    let logs = read_logs(data)?;
    let entries = entries(&logs);
    let Some(Overlap { at, expected }) = find_overlap(&entries) else { return Ok(()) };
    let LogEntry { log, from, sequence, .. } = entries[at];
    let name = logs[log].path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Err(Error::ForeignRecords { log: name, offset: from, expected, got: sequence })
}

/// Removes a forked child's records from the logs. `folder` keeps each changed log as it was, with
/// a name that ends in `.forked`.
pub(in crate::store) fn remove(folder: &Path, data: &Path) -> Result<()> {
    let before = read_logs(data)?;
    let after = without_overlaps(before.clone());
    for (before, after) in before.iter().zip(&after).filter(|(before, after)| before != after) {
        replace(folder, &before.path, &after.bytes)?;
        let (n_bytes, path) = (before.bytes.len() - after.bytes.len(), before.path.display());
        tracing::warn!("took {n_bytes} bytes out of {path} that a forked child had written");
    }
    Ok(())
}

/// Replaces the bytes of a log; `folder` keeps the log as it was.
fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (kept, draft) = (folder.join(format!("{name}.forked")), folder.join(format!("{name}.new")));
    match fs::hard_link(path, &kept) {
        // An earlier attempt that was cut short had kept the log.
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::io("keeping", path, error));
        }
        _ => {}
    }
    File::create(&draft)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|error| Error::io("writing", &draft, error))?;
    sync_folder(folder)?;
    fs::rename(&draft, path).map_err(|error| Error::io("replacing", path, error))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// The logs of a folder, oldest first.
fn read_logs(data: &Path) -> Result<Vec<Log>> {
    let entries = fs::read_dir(data).map_err(|error| Error::io("reading", data, error))?;
    let mut numbered: Vec<(u64, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            Some((name.to_str()?.strip_suffix(".log")?.parse().ok()?, entry.path()))
        })
        .collect();
    numbered.sort();
    let read = |(_, path): (u64, PathBuf)| match fs::read(&path) {
        Ok(bytes) => Ok(Log { path, bytes }),
        Err(error) => Err(Error::io("reading", path, error)),
    };
    numbered.into_iter().map(read).collect()
}

/// All batches, in the order of replay. Damage ends its log here.
fn entries(logs: &[Log]) -> Vec<LogEntry> {
    let mut entries = Vec::new();
    for (number, log) in logs.iter().enumerate() {
        let mut offset = 0;
        while let Some((entry, end)) = next_entry(number, &log.bytes, offset) {
            entries.extend(entry);
            offset = end;
        }
    }
    entries
}

/// The record that begins at an offset, and the offset after it. The entry is `None` for a record
/// that is no batch. The result is `None` at the end and at damage.
fn next_entry(log: usize, bytes: &[u8], offset: usize) -> Option<(Option<LogEntry>, usize)> {
    let (mut head, mut at, mut from) = (Vec::with_capacity(BATCH_HEADER_BYTES), offset, None);
    loop {
        let Fragment { kind, from: begin, data, to } = next_fragment(bytes, at)?;
        if kind & ABOUT_BIT != 0 || ABOUT.contains(&kind) {
            return Some((None, to));
        }
        // A batch begins with `FULL` or `FIRST`; anything else in its place is damage.
        let may_begin = [FULL, FIRST].contains(&kind);
        if from.is_none() != may_begin || !(may_begin || [MIDDLE, LAST].contains(&kind)) {
            return None;
        }
        let from = *from.get_or_insert(begin);
        head.extend(data.iter().take(BATCH_HEADER_BYTES - head.len()));
        if [FULL, LAST].contains(&kind) {
            let (sequence, count) = head.split_first_chunk::<8>()?;
            let (sequence, count) = (u64::from_le_bytes(*sequence), u32::from_le_bytes(count.try_into().ok()?));
            let next_sequence = sequence.saturating_add(u64::from(count));
            return Some((Some(LogEntry { log, from, to, sequence, next_sequence }), to));
        }
        at = to;
    }
}

/// A record or a part of one.
struct Fragment<'b> {
    kind: u8,
    from: usize,
    data: &'b [u8],
    to: usize,
}

/// The fragment at an offset, or behind the zeros that fill a block. The boundaries of blocks do
/// not count: a process that writes after another one is wrong about them.
fn next_fragment(bytes: &[u8], offset: usize) -> Option<Fragment<'_>> {
    let n_zeros = bytes.get(offset..)?.iter().take(HEADER_BYTES - 1).take_while(|byte| **byte == 0).count();
    (offset..=offset + n_zeros).find_map(|from| {
        let &[a, b, c, d, low, high, kind] = bytes.get(from..)?.first_chunk::<HEADER_BYTES>()?;
        let to = from + HEADER_BYTES + usize::from(u16::from_le_bytes([low, high]));
        let checked = bytes.get(from + HEADER_BYTES - 1..to)?;
        let is_whole = unmask(u32::from_le_bytes([a, b, c, d])) == crc32c::crc32c(checked);
        is_whole.then_some(Fragment { kind, from, data: &checked[1..], to })
    })
}

fn find_overlap(entries: &[LogEntry]) -> Option<Overlap> {
    let (mut expected, mut ends, mut log) = (0, Vec::new(), 0);
    for (at, entry) in entries.iter().enumerate() {
        let begins_log = entry.log != log;
        if begins_log {
            ends.push(expected);
            log = entry.log;
        }
        if entry.sequence < expected && !(begins_log && ends.contains(&entry.sequence)) {
            return Some(Overlap { at, expected });
        }
        expected = entry.next_sequence;
    }
    None
}

/// The logs with one chain of sequence numbers. Of two chains that overlap, the one remains that
/// the logs continue for longer.
fn without_overlaps(mut logs: Vec<Log>) -> Vec<Log> {
    for _ in 0..MOST_OVERLAPS {
        let entries = entries(&logs);
        let Some(Overlap { at, expected }) = find_overlap(&entries) else { break };
        let sequence = entries[at].sequence;
        let first = entries[..at].iter().position(|entry| entry.next_sequence > sequence).unwrap_or(at);
        let second_ends = at + entries[at..].iter().take_while(|entry| entry.sequence < expected).count();
        let without_first = without(&logs, &entries[first..at]);
        let without_second = without(&logs, &entries[at..second_ends]);
        let is_second_longer = reach(&without_first, first) >= reach(&without_second, first);
        logs = if is_second_longer { without_first } else { without_second };
    }
    logs
}

/// The sequence number that is reached without a gap, from entry `first` on.
fn reach(logs: &[Log], first: usize) -> u64 {
    let mut reached = None;
    for entry in entries(logs).iter().skip(first.saturating_sub(1)) {
        if reached.is_some_and(|reached| reached != entry.sequence) {
            break;
        }
        reached = Some(entry.next_sequence);
    }
    reached.unwrap_or(0)
}

/// The logs without the bytes of some batches.
fn without(logs: &[Log], removed: &[LogEntry]) -> Vec<Log> {
    let mut logs = logs.to_vec();
    for entry in removed.iter().rev() {
        logs[entry.log].bytes.drain(entry.from..entry.to);
    }
    logs
}

#[cfg(test)]
mod tests {
    use super::super::wal_scan::BLOCK_BYTES;
    use super::*;

    #[test]
    fn a_log_may_begin_where_replay_of_an_earlier_one_stopped() {
        let batch = |log, sequence, next_sequence| LogEntry { log, from: 0, to: 0, sequence, next_sequence };
        let healthy = [batch(0, 1, 101), batch(1, 110, 121), batch(2, 101, 102), batch(2, 102, 103)];
        assert!(find_overlap(&healthy).is_none());
        // Batches that replay did not reach lie between, cut in the middle or not.
        let again = [batch(0, 1, 101), batch(1, 105, 121), batch(2, 130, 140), batch(3, 121, 122), batch(4, 101, 102)];
        assert!(find_overlap(&again).is_none());
        for (others, at) in [
            (&[batch(0, 1, 101), batch(0, 100, 102)][..], 1),
            (&[batch(0, 1, 101), batch(0, 101, 102), batch(1, 101, 103)], 2),
            (&[batch(0, 1, 101), batch(1, 101, 105), batch(1, 101, 102)], 2),
        ] {
            assert_eq!(find_overlap(others).map(|overlap| overlap.at), Some(at), "{others:?}");
        }
    }

    /// A writer of one log, as RocksDB has it. It does not check its place in a block: a child's
    /// copy goes on from where the parent was.
    #[derive(Clone)]
    struct LogWriter {
        in_block: usize,
        sequence: u64,
    }

    impl LogWriter {
        fn new() -> Self {
            LogWriter { in_block: 0, sequence: 1 }
        }

        fn write(&mut self, log: &mut Vec<u8>, count: u32, n_bytes: usize) {
            let mut batch = [&self.sequence.to_le_bytes()[..], &count.to_le_bytes()].concat();
            batch.resize(BATCH_HEADER_BYTES + n_bytes, count as u8);
            self.sequence += u64::from(count);
            let (mut rest, mut is_first) = (&batch[..], true);
            loop {
                let left = BLOCK_BYTES as usize - self.in_block;
                if left < HEADER_BYTES {
                    log.extend(vec![0; left]);
                    self.in_block = 0;
                    continue;
                }
                let (part, others) = rest.split_at(rest.len().min(left - HEADER_BYTES));
                let kind = match (is_first, others.is_empty()) {
                    (true, true) => FULL,
                    (true, false) => FIRST,
                    (false, false) => MIDDLE,
                    (false, true) => LAST,
                };
                let crc = crc32c::crc32c_append(crc32c::crc32c(&[kind]), part);
                log.extend(crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes());
                log.extend((part.len() as u16).to_le_bytes());
                log.push(kind);
                log.extend(part);
                self.in_block = (self.in_block + HEADER_BYTES + part.len()) % BLOCK_BYTES as usize;
                (rest, is_first) = (others, false);
                if rest.is_empty() {
                    return;
                }
            }
        }
    }

    fn log(bytes: &[u8]) -> Vec<Log> {
        vec![Log { path: PathBuf::from("000007.log"), bytes: bytes.to_vec() }]
    }

    /// Checks that of a parent's and a child's writes exactly the parent's remain.
    fn check_taken_apart(what: &str, before: &[(u32, usize)], turns: &[(bool, u32, usize)]) {
        let (mut parent, mut both, mut alone) = (LogWriter::new(), Vec::new(), Vec::new());
        for (count, n_bytes) in before {
            parent.clone().write(&mut both, *count, *n_bytes);
            parent.write(&mut alone, *count, *n_bytes);
        }
        let mut child = parent.clone();
        for (is_child, count, n_bytes) in turns {
            if *is_child {
                child.write(&mut both, *count, *n_bytes);
            } else {
                parent.clone().write(&mut both, *count, *n_bytes);
                parent.write(&mut alone, *count, *n_bytes);
            }
        }
        assert!(find_overlap(&entries(&log(&alone))).is_none(), "{what}");
        assert!(find_overlap(&entries(&log(&both))).is_some(), "{what}: the overlap is found");
        assert!(without_overlaps(log(&both))[0].bytes == alone, "{what}");
    }

    #[test]
    fn what_a_child_wrote_is_taken_out() {
        let before = [(3, 100), (5, 40_000), (1, 20)];
        let parents = |n: usize| (0..n).map(|n| (false, 1 + n as u32 % 4, 50 + n * 700 % 3_000));
        let child = |count, n_bytes| std::iter::once((true, count, n_bytes));
        for (what, turns) in [
            ("child first, same count", child(1, 50).chain(parents(20)).collect::<Vec<_>>()),
            ("child first, more", child(9, 50).chain(parents(20)).collect()),
            ("child first, fewer", parents(0).chain(child(1, 5)).chain(parents(40).skip(1)).collect()),
            ("child after a few", parents(5).chain(child(4, 70)).chain(parents(20)).collect()),
            ("child last", parents(5).chain(child(4, 70)).collect()),
            ("child three times", (0..3).flat_map(|_| child(2, 30)).chain(parents(30)).collect()),
            ("child over blocks", child(2, 100_000).chain(parents(30)).collect()),
            ("many blocks after", child(2, 300).chain(parents(60)).collect()),
        ] {
            check_taken_apart(what, &before, &turns);
        }
        check_taken_apart("nothing before", &[], &[(true, 2, 10), (false, 1, 10), (false, 1, 10), (false, 1, 10)]);
    }

    #[test]
    fn an_overlap_goes_from_log_to_log() {
        let (mut parent, mut older, mut newer) = (LogWriter::new(), Vec::new(), Vec::new());
        parent.write(&mut older, 4, 100);
        let mut child = parent.clone();
        parent.write(&mut older, 2, 100);
        let alone = older.clone();
        child.write(&mut older, 7, 30);
        parent.in_block = 0;
        (0..5).for_each(|_| parent.write(&mut newer, 3, 100));
        let logs = [log(&older), log(&newer)].concat();
        assert!(find_overlap(&entries(&logs)).is_some());
        let after = without_overlaps(logs);
        assert_eq!((&after[0].bytes, &after[1].bytes), (&alone, &newer));
    }

    #[test]
    fn a_log_without_a_child_is_left_alone() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1/killed/data");
        check(&path).unwrap();
        assert!(!entries(&read_logs(&path).unwrap()).is_empty(), "the log was read");
        // The repair leaves damaged and cut records to RocksDB.
        let (mut writer, mut bytes) = (LogWriter::new(), Vec::new());
        (0..40).for_each(|n| writer.write(&mut bytes, 2, n * 100));
        for cut in [1, 6, 7, 8, 19, 20, bytes.len() - 1] {
            let cut = log(&bytes[..cut]);
            assert_eq!(without_overlaps(cut.clone()), cut);
        }
        for position in (0..bytes.len()).step_by(97) {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x40;
            assert_eq!(without_overlaps(log(&damaged)), log(&damaged), "byte {position}");
        }
        let zeros = log(&[&bytes[..], &[0; 5_000]].concat());
        assert_eq!(without_overlaps(zeros.clone()), zeros);
    }

    #[test]
    fn a_log_that_was_changed_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let (mut writer, mut both) = (LogWriter::new(), Vec::new());
        writer.write(&mut both, 1, 10);
        writer.clone().write(&mut both, 1, 11);
        (0..3).for_each(|_| writer.write(&mut both, 1, 12));
        fs::write(data.join("000007.log"), &both).unwrap();
        let error = check(&data).unwrap_err().to_string();
        assert!(error.contains("000007.log") && error.contains("forked") && error.contains("accept_loss"), "{error}");
        remove(folder.path(), &data).unwrap();
        check(&data).unwrap();
        assert_eq!(fs::read(folder.path().join("000007.log.forked")).unwrap(), both);
        remove(folder.path(), &data).unwrap();
        assert_eq!(fs::read(folder.path().join("000007.log.forked")).unwrap(), both, "nothing more to take out");
    }
}
