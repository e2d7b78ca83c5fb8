//! The full-disk campaign: writers fill a small disk. Each failed write must report its failure,
//! and reads must continue. Once space is freed, writes must succeed again without a reopen, with
//! no loss.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use vectrove::{Database, Options};

use crate::args::Args;
use crate::child::{Start, Worker};
use crate::deed::Profile;
use crate::inspect;
use crate::ledger::{Ledger, Terms};
use crate::mount::{self, Mount};
use crate::report::{Report, grouped, skipped};
use crate::rng::{Rng, mix};
use crate::{Outcome, folder, watchdog};

const DISK_BYTES: u64 = 96 << 20;
const BALLAST_BYTES: u64 = 28 << 20;
const MIN_FREE_BYTES: u64 = 16 << 20;
/// Milliseconds of a sync, as on a disk. In memory, a sync would end before another thread's write
/// meets the full disk.
const SYNC_MILLIS: u64 = 3;
/// Longest time from freed space to the first write. RocksDB looks each five seconds, may meet a
/// full disk once more during a compaction, and shares the machine.
const MOST_TO_RECOVER: Duration = Duration::from_secs(20);

struct Campaign {
    seed: u64,
    rng: Rng,
    folder: PathBuf,
    report: Report,
    n_acknowledged: u64,
    n_failed: u64,
    slowest: Duration,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let (seed, n_rounds) = (args.seed()?, args.number_or("rounds", 3)?);
    if let Some(reason) = mount::obstacle(&["mount", "umount"], &[]) {
        return Ok(skipped("disk-full", &reason));
    }
    let folder = args.folder(std::env::temp_dir());
    match Mount::in_memory(&folder.join("probe"), 1 << 20) {
        Ok(probe) => probe.unmount()?,
        Err(error) => return Ok(skipped("disk-full", &error)),
    }
    let report = Report::begin("disk-full", seed);
    let (n_acknowledged, n_failed, slowest) = (0, 0, Duration::ZERO);
    let mut campaign = Campaign { seed, rng: Rng::of(&[seed]), folder, report, n_acknowledged, n_failed, slowest };
    for round in 0..n_rounds {
        campaign.round(round)?;
    }
    watchdog::rest();
    let Campaign { folder, report, n_acknowledged, n_failed, slowest, .. } = campaign;
    folder::remove(&folder)?;
    let summary = format!(
        "{n_rounds} rounds, {} acknowledged writes checked, {} writes refused, back after at most {:.1} s",
        grouped(n_acknowledged),
        grouped(n_failed),
        slowest.as_secs_f64()
    );
    Ok(report.finish(&summary))
}

/// The three kinds of rounds: RocksDB meets the full disk, the database stops before, or a kill
/// comes while it is full.
struct Kind {
    min_free: u64,
    killed: bool,
}

impl Campaign {
    fn round(&mut self, round: u64) -> Outcome<()> {
        let kind = Kind { min_free: if round % 3 == 1 { MIN_FREE_BYTES } else { 0 }, killed: round % 3 == 2 };
        let disk = Mount::in_memory(&self.folder.join("disk"), DISK_BYTES)?;
        let ballast = disk.folder().join("ballast");
        std::fs::write(&ballast, vec![0; BALLAST_BYTES as usize]).map_err(|error| format!("the ballast: {error}"))?;
        let db = disk.folder().join("db");
        let terms = Terms { may_refuse: true, ..Terms::default() };
        let ledger = Ledger::new(Profile::Fill, mix(&[self.seed, round]), terms);
        let durability = self.rng.pick(&["sync", "wal"]);
        let worker = Start::new(Profile::Fill, &db, ledger.seed(), round as u32)?
            .set("durability", durability)
            .set("min-free", kind.min_free)
            .pause("sync.before", SYNC_MILLIS)
            .spawn(ledger)?;
        let mut ledger = self.fill_and_free(worker, &ballast, &kind)?;
        watchdog::step(format!("reopening after round {round}"));
        if let Err(error) = self.examine(&db, &mut ledger) {
            ledger.violation(format!("reopening after round {round}: {:?}: {error}", error.kind()));
        }
        eprintln!(
            "disk-full: round {round} ({durability}, {} bytes kept free{}): {} documents, {} writes refused so far",
            kind.min_free,
            if kind.killed { ", killed" } else { "" },
            ledger.state.docs.len(),
            self.n_failed
        );
        self.n_acknowledged += ledger.n_acknowledged;
        self.report.count(ledger.violations.len());
        disk.unmount()
    }

    /// Fills the disk, keeps it full for a while, and frees it.
    fn fill_and_free(&mut self, mut worker: Worker, ballast: &Path, kind: &Kind) -> Outcome<Ledger> {
        watchdog::step("filling the disk");
        let was_full = worker.wait_until(Duration::from_secs(50), |progress| progress.n_failed() > 0);
        worker.wait_until(Duration::from_millis(self.rng.between(300, 3_500)), |_| false);
        if kind.killed {
            worker.kill();
        }
        std::fs::remove_file(ballast).map_err(|error| format!("the ballast: {error}"))?;
        let (freed, before) = (Instant::now(), worker.progress().n_done());
        let mut texts = Vec::new();
        watchdog::step("waiting for writes to come back");
        if !was_full {
            texts.push("the disk was never full".to_owned());
        } else if !kind.killed {
            if worker.wait_until(MOST_TO_RECOVER + MOST_TO_RECOVER / 2, |progress| progress.n_done() > before + 20) {
                eprintln!("disk-full: writes came back after {:.1} s", freed.elapsed().as_secs_f64());
            }
            if freed.elapsed() > MOST_TO_RECOVER {
                texts.push(format!("writes were not back {:.1} s after space was", freed.elapsed().as_secs_f64()));
            }
            self.slowest = self.slowest.max(freed.elapsed());
        }
        worker.ask_to_stop();
        self.n_failed += worker.progress().n_failed();
        let n_unknown = worker.progress().n_unknown();
        if n_unknown > 0 {
            eprintln!("disk-full: {n_unknown} writes of unknown outcome");
        }
        let (mut ledger, _) = worker.finish()?;
        texts.into_iter().for_each(|text| ledger.violation(text));
        Ok(ledger)
    }

    fn examine(&mut self, db: &Path, ledger: &mut Ledger) -> vectrove::Result<()> {
        for _ in 0..2 {
            let opened = Database::open_with(db, Options::new().memory_bytes(8 << 20).min_free_bytes(0))?;
            let found = inspect::read(&opened)?;
            ledger.settle(&found);
            opened.verify()?;
            for fault in inspect::cross_check(&opened, &found, &mut self.rng)? {
                ledger.violation(fault);
            }
            opened.close()?;
        }
        Ok(())
    }
}
