//! The freeze campaign: from some moment on, the graph is not written to disk, as if the disk
//! refused it. Later the worker is killed, or closes the database. The next open must find each
//! document from its first search on. It may have no more to link than was left unwritten, and its
//! graph must be as good as a rebuilt one.

mod look;
mod recall;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use vectrove::{Database, OpenedBy};

use self::recall::Recall;
use crate::args::Args;
use crate::child::{End, Progress, Start};
use crate::deed::Profile;
use crate::ledger::{Ledger, Terms};
use crate::opening::Opening;
use crate::report::{Report, grouped};
use crate::rng::{Rng, mix};
use crate::world::FIXED;
use crate::{Outcome, folder, inspect, walks, watchdog};

/// Queries of each collection that recall is measured by.
const N_QUERIES: u64 = 200;
/// Most recall that a graph may lose against a rebuilt one.
const MOST_LOST: f64 = 0.02;

struct Campaign {
    seed: u64,
    rng: Rng,
    folder: PathBuf,
    report: Report,
    n_acknowledged: u64,
    n_waiting: u64,
    n_kills: u64,
    least: Recall,
}

/// Numbers of derived writes that still happen; `None` is no limit.
#[derive(Debug, Clone, Copy)]
struct Freeze {
    deltas: Option<u64>,
    saves: Option<u64>,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let (seed, n_trials) = (args.seed()?, args.number_or("trials", 24)?);
    // Number of the first trial with this seed, to repeat it.
    let first = args.number_or("first", 0)?;
    let folder = args.folder(std::env::temp_dir());
    folder::create(&folder)?;
    let report = Report::begin("freeze", seed);
    let (n_acknowledged, n_waiting, n_kills, least) = (0, 0, 0, Recall { before: 1.0, anew: 1.0 });
    let rng = Rng::of(&[seed]);
    let mut campaign = Campaign { seed, rng, folder, report, n_acknowledged, n_waiting, n_kills, least };
    for trial in first..first + n_trials {
        campaign.rng = Rng::of(&[seed, trial]);
        campaign.trial(trial)?;
    }
    watchdog::rest();
    let Campaign { folder, report, n_acknowledged, n_waiting, n_kills, least, .. } = campaign;
    if report.n_violations() == 0 {
        folder::remove(&folder)?;
    } else {
        eprintln!("freeze: databases as they were before each violation: {}", folder.display());
    }
    let summary = format!(
        "{n_trials} trials, {n_kills} kills, {} acknowledged writes checked, {} documents waited at open, recall at \
         least {:.3}, {:.3} anew",
        grouped(n_acknowledged),
        grouped(n_waiting),
        least.before,
        least.anew
    );
    Ok(report.finish(&summary))
}

impl Freeze {
    /// Draws limits; `n_deltas` is about the number of deltas without them.
    fn draw(n_deltas: u64, rng: &mut Rng) -> Self {
        let deltas = rng.pick(&[Some(0), Some(n_deltas.div_ceil(100)), Some(n_deltas / 10), None]);
        Freeze { deltas, saves: rng.pick(&[None, Some(0), Some(1)]) }
    }

    fn limits(self) -> String {
        let limit = |(name, n): (&str, Option<u64>)| n.map(|n| format!("{name}={n}"));
        let limits: Vec<String> =
            [("delta", self.deltas), ("save", self.saves)].into_iter().filter_map(limit).collect();
        limits.join(",")
    }
}

impl Campaign {
    fn trial(&mut self, trial: u64) -> Outcome<()> {
        let (db, before) = (self.folder.join("db"), self.folder.join("before"));
        folder::remove(&db)?;
        folder::remove(&before)?;
        let terms = Terms { keeps_history: true, ..Terms::default() };
        let mut ledger = Ledger::new(Profile::Freeze, mix(&[self.seed, trial]), terms);
        let n_runs = self.rng.between(1, 4);
        for run in 0..n_runs {
            ledger = self.write(ledger, &db, (run as u32, run + 1 == n_runs))?;
        }
        folder::copy(&db, &before)?;
        watchdog::step(format!("opening after trial {trial}"));
        if let Err(error) = self.examine(&db, &mut ledger) {
            ledger.violation(format!("opening after trial {trial}: {:?}: {error}", error.kind()));
        }
        self.n_acknowledged += ledger.n_acknowledged;
        self.report.count(ledger.violations.len());
        if !ledger.violations.is_empty() {
            let kept = self.folder.join(format!("violation-{trial}"));
            folder::remove(&kept)?;
            std::fs::rename(&before, &kept).map_err(|error| format!("keeping {}: {error}", kept.display()))?;
        }
        Ok(())
    }

    /// One run of a worker, frozen at some moment.
    fn write(&mut self, ledger: Ledger, db: &Path, (run, is_last): (u32, bool)) -> Outcome<Ledger> {
        watchdog::step(format!("run {run} of a worker"));
        let n_operations = self.rng.between(40, 300);
        // Where the linker falls behind, it takes several batches at once.
        let freeze = Freeze::draw(n_operations * 3 / 4, &mut self.rng);
        let mut start = Start::new(Profile::Freeze, db, ledger.seed(), run)?
            .set("operations", n_operations)
            .set("durability", self.rng.pick(&["sync", "wal", "wal"]))
            .set("retention", self.rng.pick(&[0, 1_000]))
            .freeze(&freeze.limits());
        start = Opening::draw(&mut self.rng).persisting().tell(start);
        if self.rng.chance(65) {
            start = start.set("end", "killed");
        }
        let mut worker = start.spawn(ledger)?;
        // Operations without an answer after such a kill must be settled before another run.
        if is_last && self.rng.chance(50) {
            let enough = self.rng.below(n_operations);
            // Before the worker is first ready, the folder may not exist.
            let has_enough = |progress: &Progress| progress.n_done() >= enough && (run > 0 || progress.ready());
            worker.wait_until(Duration::from_secs(50), has_enough);
            worker.wait_until(Duration::from_millis(self.rng.below(40)), |_| false);
            worker.kill();
        }
        worker.wait_until(Duration::from_secs(50), |_| false);
        worker.kill();
        let (ledger, end) = worker.finish()?;
        self.n_kills += u64::from(matches!(end, Some(End::Killed { .. })));
        eprintln!("freeze: run {run}, {}: {end:?}", freeze.limits());
        Ok(ledger)
    }

    fn examine(&mut self, db: &Path, ledger: &mut Ledger) -> vectrove::Result<()> {
        let opened = Database::open_with(db, Opening::draw(&mut self.rng).persisting().options())?;
        look::find_selves(&opened, ledger, &mut self.rng)?;
        self.n_waiting += look::check_waiting(&opened, ledger)?;
        let found = inspect::read(&opened)?;
        ledger.settle(&found);
        let mut faults = inspect::cross_check(&opened, &found, &mut self.rng)?;
        opened.verify()?;
        faults.extend(walks::check_linked(&opened, &found, &mut self.rng)?);
        opened.verify()?;
        for name in FIXED {
            let recall = Recall::measure(&opened.collection(name)?, &found, &mut self.rng)?;
            let Recall { before, anew } = recall;
            eprintln!("freeze: {name}: recall {before:.3}, {anew:.3} anew");
            if before < anew - MOST_LOST {
                faults.push(format!("{name}: recall {before:.3}, {anew:.3} of a graph made anew"));
            }
            self.least = Recall { before: before.min(self.least.before), anew: anew.min(self.least.anew) };
        }
        opened.verify()?;
        // Rebuilding the metadata index makes commits, and changes no document.
        let anew = inspect::read(&opened)?;
        if anew.commit < found.commit || anew.digest() != found.digest() {
            faults.push(format!("made anew it differs: commit {}, was {}", anew.commit, found.commit));
        }
        opened.close()?;
        let opened = Database::open_with(db, Opening::draw(&mut self.rng).persisting().options())?;
        for stats in opened.stats()?.collections {
            if stats.n_documents > 0 && (stats.opening.way, stats.opening.n_waiting) != (OpenedBy::Image, 0) {
                faults.push(format!("{}: all was written down, but {:?}", stats.name, stats.opening));
            }
        }
        let same = inspect::read(&opened)?;
        if (same.commit, same.digest()) != (anew.commit, anew.digest()) {
            faults.push(format!("opened again it differs: commit {}, was {}", same.commit, anew.commit));
        }
        faults.extend(walks::check(&opened, &same, &mut self.rng)?);
        opened.verify()?;
        opened.close()?;
        faults.into_iter().for_each(|fault| ledger.violation(fault));
        Ok(())
    }
}
