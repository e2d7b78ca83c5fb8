//! The power campaign: a worker writes to its own ext4 file system, which is shut down without
//! writing back. Writes acknowledged as synced must be found. Of the others, only the last commits
//! may be missing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use vectrove::{Database, Options};

use crate::args::Args;
use crate::child::Start;
use crate::deed::Profile;
use crate::inspect;
use crate::ledger::{Ledger, Terms};
use crate::mount::{self, Mount};
use crate::report::{Report, grouped, skipped};
use crate::rng::{Rng, mix};
use crate::{Outcome, folder, watchdog};

const IMAGE_BYTES: u64 = 256 << 20;
/// Age from which an acknowledged write must be on disk, even without a sync.
const MOST_UNSYNCED: Duration = Duration::from_secs(2);

struct Campaign {
    seed: u64,
    rng: Rng,
    folder: PathBuf,
    report: Report,
    n_acknowledged: u64,
    n_lost: u64,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let (seed, n_trials) = (args.seed()?, args.number_or("trials", 20)?);
    if let Some(reason) = mount::obstacle(&["mount", "umount", "mkfs.ext4"], &["/dev/loop-control"]) {
        return Ok(skipped("power", &reason));
    }
    let memory = Path::new("/dev/shm");
    let folder = args.folder(if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() });
    folder::create(&folder)?;
    if let Err(error) = probe(&folder) {
        folder::remove(&folder)?;
        return Ok(skipped("power", &error));
    }
    let report = Report::begin("power", seed);
    let mut campaign = Campaign { seed, rng: Rng::of(&[seed]), folder, report, n_acknowledged: 0, n_lost: 0 };
    for trial in 0..n_trials {
        campaign.trial(trial)?;
    }
    watchdog::rest();
    let Campaign { folder, report, n_acknowledged, n_lost, .. } = campaign;
    if report.n_violations() == 0 {
        folder::remove(&folder)?;
    } else {
        eprintln!("power: images of violations are kept in {}", folder.display());
    }
    let summary = format!(
        "{n_trials} power losses, {} acknowledged writes checked, {} lost that were not yet synced",
        grouped(n_acknowledged),
        grouped(n_lost)
    );
    Ok(report.finish(&summary))
}

/// Whether an image can be mounted and shut down here.
fn probe(folder: &Path) -> Outcome<()> {
    let image = folder.join("probe.ext4");
    Mount::make_image(&image, 16 << 20)?;
    let disk = Mount::image(&image, &folder.join("disk"))?;
    disk.lose_power()?;
    disk.unmount()
}

impl Campaign {
    fn trial(&mut self, trial: u64) -> Outcome<()> {
        let (image, point) = (self.folder.join("disk.ext4"), self.folder.join("disk"));
        let syncs = trial.is_multiple_of(2);
        watchdog::step(format!("preparing trial {trial}"));
        Mount::make_image(&image, IMAGE_BYTES)?;
        let disk = Mount::image(&image, &point)?;
        let (ledger, lost_at) = self.write_until_power_is_lost(&disk, trial, syncs)?;
        disk.unmount()?;
        watchdog::step(format!("reopening after trial {trial}"));
        let disk = Mount::image(&image, &point)?;
        let mut ledger = ledger;
        let n_before = ledger.history.len() as u64;
        let last = ledger.history.iter().map(|entry| entry.commit).max().unwrap_or(ledger.base());
        let found = self.examine(&point.join("db"), &mut ledger, (syncs, lost_at));
        match found {
            Ok(commit) => {
                let n_lost = n_before - ledger.history.len() as u64;
                let mode = if syncs { "sync" } else { "wal" };
                eprintln!("power: trial {trial} ({mode}): acknowledged to {last}, found {commit}, {n_lost} lost");
                self.n_lost += n_lost;
            }
            Err(error) => ledger.violation(format!("reopening after trial {trial}: {:?}: {error}", error.kind())),
        }
        disk.unmount()?;
        self.n_acknowledged += ledger.n_acknowledged;
        self.report.count(ledger.violations.len());
        if !ledger.violations.is_empty() {
            let kept = self.folder.join(format!("violation-{trial}.ext4"));
            std::fs::rename(&image, &kept).map_err(|error| format!("keeping {}: {error}", kept.display()))?;
        }
        Ok(())
    }

    fn write_until_power_is_lost(&mut self, disk: &Mount, trial: u64, syncs: bool) -> Outcome<(Ledger, Instant)> {
        let terms = Terms { may_refuse: true, power: true, keeps_history: true };
        let ledger = Ledger::new(Profile::Power, mix(&[self.seed, trial]), terms);
        let mut worker = Start::new(Profile::Power, &disk.folder().join("db"), ledger.seed(), 1)?
            .set("durability", if syncs { "sync" } else { "wal" })
            .set("retention", self.rng.pick(&[100, 1_000]))
            .spawn(ledger)?;
        worker.wait_until(Duration::from_secs(50), |progress| progress.ready());
        let most = if syncs { 2_000 } else { 3_500 };
        worker.wait_until(Duration::from_millis(self.rng.between(100, most)), |_| false);
        let lost_at = Instant::now();
        disk.lose_power()?;
        worker.wait_until(Duration::from_millis(self.rng.below(60)), |_| false);
        worker.kill();
        let (ledger, _) = worker.finish()?;
        Ok((ledger, lost_at))
    }

    /// Returns the last commit that was found.
    fn examine(&mut self, db: &Path, ledger: &mut Ledger, (syncs, lost_at): (bool, Instant)) -> vectrove::Result<u64> {
        let opened = Database::open_with(db, Options::new().memory_bytes(8 << 20).min_free_bytes(0))?;
        let found = inspect::read(&opened)?;
        // A sync that is in progress while the file system shuts down may return without an error,
        // as its journal is discarded. After a real power loss this answer would reach nobody, so
        // later answers do not count.
        let safe = |at: Instant| if syncs { at < lost_at } else { at + MOST_UNSYNCED < lost_at };
        let must = ledger.history.iter().filter(|entry| safe(entry.at)).map(|entry| entry.commit).max();
        if let Some(must) = must
            && found.commit < must
        {
            ledger.violation(format!("commit {must} was synced, found is {}", found.commit));
        }
        for entry in ledger.history.iter().filter(|entry| syncs && entry.commit > found.commit) {
            let after = entry.at.saturating_duration_since(lost_at).as_micros();
            eprintln!("power: commit {} was acknowledged {after} µs after the power went", entry.commit);
        }
        ledger.rewind(found.commit);
        ledger.settle(&found);
        opened.verify()?;
        for fault in inspect::cross_check(&opened, &found, &mut self.rng)? {
            ledger.violation(fault);
        }
        opened.close()?;
        Ok(found.commit)
    }
}
