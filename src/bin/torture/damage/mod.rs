//! The damage campaign: one file of a database is damaged. The database must then open whole, as of
//! some commit not older than the durable one, or be refused with no byte changed.

mod base;
mod superblock;
mod trial;
mod wound;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) use self::trial::child;

use self::base::Base;
use self::trial::Verdict;
use self::wound::{CLASSES, DAMAGES};
use crate::args::Args;
use crate::report::{Report, grouped};
use crate::rng::{Rng, mix};
use crate::{Outcome, folder, watchdog};

/// Trials after which a new database is written.
const TRIALS_OF_ONE_BASE: u64 = 50;

/// Numbers of verdicts for each kind of damage and of file.
#[derive(Default)]
struct Tally {
    counts: [[[u64; 4]; DAMAGES.len()]; CLASSES.len()],
    texts: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let (seed, n_trials) = (args.seed()?, args.number_or("trials", 500)?);
    // Number of the first trial with this seed, to repeat it.
    let first = args.number_or("first", 0)?;
    let memory = Path::new("/dev/shm");
    let folder = args.folder(if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() });
    // An open that takes longer than this hangs.
    let most = Duration::from_secs(args.number_or("most-seconds", 60)?);
    let mut report = Report::begin("damage", seed);
    let tally = Mutex::new(Tally::default());
    let mut n_acknowledged = 0;
    let mut next = first;
    while next < first + n_trials {
        let number = next / TRIALS_OF_ONE_BASE;
        let end = ((number + 1) * TRIALS_OF_ONE_BASE).min(first + n_trials);
        watchdog::step(format!("making database {number}"));
        let base = base::lay(&folder.join("base"), mix(&[seed, number]))?;
        report.count(base.violations.len());
        n_acknowledged += base.digests.len() as u64;
        eprintln!(
            "damage: {next} trials; database {number}: {} commits, {} durable, {} files",
            base.last(),
            base.durable()?,
            folder::files(&base.folder)?.len()
        );
        watchdog::rest();
        run_trials(&Round { base: &base, seed, folder: &folder, most, tally: &tally }, next..end)?;
        next = end;
    }
    let tally = tally.into_inner().map_err(|_| "a trial panicked")?;
    tally.texts.iter().for_each(|text| report.violation(text));
    finish(report, &tally, &folder, (n_trials, n_acknowledged))
}

fn finish(report: Report, tally: &Tally, folder: &Path, (n_trials, n_commits): (u64, u64)) -> Outcome<ExitCode> {
    tally.print();
    if report.n_violations() == 0 {
        folder::remove(folder)?;
    } else {
        eprintln!("damage: folders with violations are kept in {}", folder.display());
    }
    let total = |verdict: Verdict| grouped(tally.counts.iter().flatten().map(|counts| counts[verdict as usize]).sum());
    let summary = format!(
        "{} trials on {} commits, {} opened whole, {} without their last commits, {} refused, {} opened and reported",
        grouped(n_trials),
        grouped(n_commits),
        total(Verdict::Whole),
        total(Verdict::Shorter),
        total(Verdict::Refused),
        total(Verdict::Reported)
    );
    Ok(report.finish(&summary))
}

/// The trials of one database.
struct Round<'r> {
    base: &'r Base,
    seed: u64,
    folder: &'r Path,
    most: Duration,
    tally: &'r Mutex<Tally>,
}

fn run_trials(round: &Round<'_>, trials: std::ops::Range<u64>) -> Outcome<()> {
    let n_threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let next = AtomicU64::new(trials.start);
    std::thread::scope(|scope| {
        let run = |thread: usize| {
            loop {
                let trial = next.fetch_add(1, Ordering::Relaxed);
                if trial >= trials.end {
                    return Ok(());
                }
                round.try_once(trial, &round.folder.join(format!("trial-{thread}")))?;
            }
        };
        let threads: Vec<_> = (0..n_threads).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a trial panicked".to_owned())?)
    })
}

impl Round<'_> {
    fn try_once(&self, trial: u64, target: &PathBuf) -> Outcome<()> {
        folder::remove(target)?;
        folder::copy(&self.base.folder, target)?;
        let wound = wound::inflict(target, &self.base.older, &mut Rng::of(&[self.seed, trial]))?;
        let (verdict, text) = trial::judge(self.base, target, &wound, (mix(&[self.seed, trial]), self.most))?;
        let mut tally = self.tally.lock().map_err(|_| "a trial panicked")?;
        if verdict == Verdict::Violation {
            let kept = self.folder.join(format!("violation-{trial}"));
            std::fs::rename(target, &kept).map_err(|error| error.to_string())?;
            let text = format!("trial {trial}: {text}; folder {}", kept.display());
            eprintln!("VIOLATION: {text}");
            tally.texts.push(text);
        } else {
            tally.counts[wound.class][wound.damage][verdict as usize] += 1;
        }
        Ok(())
    }
}

impl Tally {
    /// Prints a row for each kind of file and a column for each damage. Each cell counts: opened
    /// whole, opened without the last commits, opened and reported, refused.
    fn print(&self) {
        eprintln!("damage: opened whole / without the last commits / opened and reported / refused");
        eprintln!("{:12}{}", "", DAMAGES.map(|damage| format!("{damage:>17}")).concat());
        for ((class, _), counts) in CLASSES.iter().zip(&self.counts) {
            let cell = |counts: &[u64; 4]| format!("{:>17}", counts.map(|count| count.to_string()).join("/"));
            eprintln!("{class:12}{}", counts.iter().map(cell).collect::<String>());
        }
    }
}
