//! One trial: a child opens a damaged database, and the result is judged.
//!
//! The child prints one line for the opening, and one for a write and a second opening after it. A
//! panic, an abort or a hang shows in how the child ends.

use std::io::Read;
use std::path::Path;
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

use vectrove::{Database, Document, Error, ErrorKind, Result};

use super::base::{Base, digest_of_doc};
use super::superblock;
use super::wound::Wound;
use crate::Outcome;
use crate::args::Args;
use crate::child::{describe, myself};
use crate::deed::Profile;
use crate::folder::{self, Prints};
use crate::inspect;
use crate::opening::Opening;
use crate::rng::Rng;
use crate::state::{Doc, has_text};
use crate::walks;
use crate::world::{FIXED, Spot};

/// The verdict of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Opened with every commit.
    Whole,
    /// Opened without the last commits, none of which was durable.
    Shorter,
    /// Opened; reading or verifying reported the damage.
    Reported,
    Refused,
    Violation,
}

/// The document that is written after the damage; no worker writes it.
const AFTER: Spot = Spot { collection: FIXED[0], namespace: "", thread: 9, index: 0 };
const AFTER_STAMP: u64 = 9 << 32;

/// Most commits that rebuilding the indexes of metadata and words takes, over all collections and
/// two openings.
const MOST_ANEW: u64 = 32;

/// The work of the child.
pub(crate) fn child(args: &Args) -> Outcome<ExitCode> {
    let folder = args.text("dir").ok_or("expected --dir")?;
    let refused = |what: &str, error: Error| println!("{what} {:?} {error}", error.kind());
    let mut rng = Rng::of(&[args.number_or("seed", 0)?]);
    match look(Path::new(folder), &mut rng) {
        Ok(Some(())) => {
            if let Err(error) = go_on(Path::new(folder), &mut rng) {
                refused("went-on-refused", error);
            }
        }
        Ok(None) => {}
        Err(error) => refused("refused", error),
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens and reads all content. An error is one of opening; `None` if reading reported damage.
fn look(folder: &Path, rng: &mut Rng) -> Result<Option<()>> {
    let db = Database::open_with(folder, Opening::draw(rng).options())?;
    let outcome = inspect::read(&db).and_then(|found| {
        println!("opened {} {}", found.commit, found.digest());
        let strayed = walks::check(&db, &found, rng)?;
        db.verify()?;
        Ok(strayed)
    });
    match outcome {
        Ok(strayed) => {
            strayed.iter().for_each(|fault| println!("strayed {fault}"));
            db.close()?;
            Ok(strayed.is_empty().then_some(()))
        }
        Err(error) => {
            println!("reported {:?} {error}", error.kind());
            Ok(None)
        }
    }
}

/// Writes one document, and opens once more.
fn go_on(folder: &Path, rng: &mut Rng) -> Result<()> {
    let db = Database::open_with(folder, Opening::draw(rng).options())?;
    let collection = db.collection(AFTER.collection)?;
    let document = Document::new(AFTER.vector(AFTER_STAMP, collection.config().dimension))
        .id(AFTER.id())
        .metadata(AFTER.metadata(AFTER_STAMP));
    let text = || AFTER.text(AFTER_STAMP, Profile::Lay.text_bytes());
    let receipt = collection.insert(if has_text(AFTER_STAMP) { document.text(text()) } else { document })?;
    drop(collection);
    db.close()?;
    let db = Database::open_with(folder, Opening::draw(rng).options())?;
    let found = inspect::read(&db)?;
    let strayed = walks::check(&db, &found, rng)?;
    strayed.iter().for_each(|fault| println!("strayed {fault}"));
    db.verify()?;
    if found.commit < receipt.commit.0 {
        println!("forgot commit {}, is at {}", receipt.commit.0, found.commit);
    }
    println!("went-on {} {}", receipt.commit.0, found.digest());
    db.close()
}

/// Runs the child on a damaged folder for at most `most`, and judges. A violation comes with its
/// text.
pub(super) fn judge(
    base: &Base,
    folder: &Path,
    wound: &Wound,
    (seed, most): (u64, Duration),
) -> Outcome<(Verdict, String)> {
    let before = folder::prints(folder)?;
    let durable = std::fs::read(folder.join("superblock")).ok().and_then(|bytes| superblock::durable(&bytes));
    let mut command = myself()?;
    command.arg("trial").arg("--dir").arg(folder).args(["--seed", &seed.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| format!("starting a trial: {error}"))?;
    let said = match wait(child, most)? {
        Ok(said) => said,
        Err(text) => return Ok((Verdict::Violation, format!("{}: {text}", wound.text))),
    };
    let judged = Judge { base, durable, before }.judge(&said, folder)?;
    let judged = judged.and_then(|(verdict, text)| match verdict {
        Verdict::Whole => Ok((verdict, text)),
        _ if wound.is_of_a_copy() => Err(format!("{verdict:?}, although nothing but a copy was damaged")),
        _ => Ok((verdict, text)),
    });
    Ok(judged.unwrap_or_else(|text| (Verdict::Violation, format!("{}: {text}; it said {said:?}", wound.text))))
}

/// The child's output; or how it ended, if not in order.
fn wait(mut child: Child, most: Duration) -> Outcome<std::result::Result<String, String>> {
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if began.elapsed() > most => {
                child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
                return Ok(Err(format!("took longer than {} s", most.as_secs())));
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let (mut said, mut wailed) = (String::new(), String::new());
    if let (Some(mut output), Some(mut error)) = (child.stdout.take(), child.stderr.take()) {
        let read = output.read_to_string(&mut said).and_then(|_| error.read_to_string(&mut wailed));
        read.map_err(|error| error.to_string())?;
    }
    Ok(if status.success() { Ok(said) } else { Err(format!("{}: {said}{wailed}", describe(status))) })
}

struct Judge<'t> {
    base: &'t Base,
    /// The durable commit of the damaged folder's superblock; `None` if no slot is whole.
    durable: Option<u64>,
    before: Prints,
}

impl Judge<'_> {
    /// The inner error is a violation.
    fn judge(&self, said: &str, folder: &Path) -> Outcome<std::result::Result<(Verdict, String), String>> {
        let mut lines = said.lines();
        let first = lines.next().unwrap_or_default();
        let (head, rest) = first.split_once(' ').unwrap_or((first, ""));
        match head {
            "refused" => self.judge_refusal(rest, folder),
            "opened" => Ok(self.judge_opened(rest, lines.next().unwrap_or_default())),
            "reported" => Ok(typed(rest).map(|()| (Verdict::Reported, rest.to_owned()))),
            _ => Ok(Err("the child said nothing".to_owned())),
        }
    }

    fn judge_refusal(&self, why: &str, folder: &Path) -> Outcome<std::result::Result<(Verdict, String), String>> {
        // A mapped file holds copies of rows, each with its checksum, and may have gained some.
        let stored = |prints: &Prints| -> Prints {
            let kept = prints.iter().filter(|(name, _)| !name.ends_with("/vectors"));
            kept.map(|(name, print)| (name.clone(), *print)).collect()
        };
        if let Some(difference) = folder::difference(&stored(&self.before), &stored(&folder::prints(folder)?)) {
            return Ok(Err(format!("refused, but the folder was changed: {difference}")));
        }
        Ok(typed(why).map(|()| (Verdict::Refused, why.to_owned())))
    }

    fn judge_opened(&self, first: &str, second: &str) -> std::result::Result<(Verdict, String), String> {
        let (commit, digest) = numbers(first).ok_or("two numbers were expected")?;
        // Commits that rebuilt an index of metadata changed no document.
        let left = |commit: &u64| self.base.digests.get(commit) == Some(&digest);
        let Some(commit) = (commit.saturating_sub(MOST_ANEW)..=commit).rev().find(left) else {
            return Err(format!("opened at commit {commit} with something else than that commit left"));
        };
        match self.durable {
            Some(durable) if commit >= durable => {}
            durable => return Err(format!("opened at commit {commit}, of {} durable {durable:?}", self.base.last())),
        }
        let (head, rest) = second.split_once(' ').unwrap_or((second, ""));
        match head {
            "went-on" => {
                let (written, found) = numbers(rest).ok_or("two numbers were expected")?;
                let after = Doc::put(AFTER_STAMP, written);
                let expected = digest.wrapping_add(digest_of_doc(&AFTER, &after));
                if found != expected || !(commit + 1..=commit + 1 + MOST_ANEW).contains(&written) {
                    return Err(format!("after one more write: expected {expected} after {commit}, got {rest}"));
                }
                let verdict = if commit == self.base.last() { Verdict::Whole } else { Verdict::Shorter };
                Ok((verdict, String::new()))
            }
            "reported" => typed(rest).map(|()| (Verdict::Reported, rest.to_owned())),
            "strayed" => Err("opened, but walks do not find what is there".to_owned()),
            _ => Err("opened, but could not go on".to_owned()),
        }
    }
}

/// Whether an error says that bytes are damaged.
fn typed(error: &str) -> std::result::Result<(), String> {
    if error.starts_with(&format!("{:?} ", ErrorKind::Corruption)) {
        return Ok(());
    }
    Err(format!("expected {:?}", ErrorKind::Corruption))
}

fn numbers(text: &str) -> Option<(u64, u64)> {
    let (a, b) = text.split_once(' ')?;
    Some((a.parse().ok()?, b.parse().ok()?))
}
