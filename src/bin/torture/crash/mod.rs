//! The crash campaign: kills a worker at a random moment, at a named point, or while it opens the
//! database. Then all acknowledged writes must be found. One database goes through a hundred kills.

mod examine;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::args::Args;
use crate::child::{End, Start};
use crate::deed::Profile;
use crate::ledger::{Ledger, Retry, Terms};
use crate::opening::Opening;
use crate::report::{Report, grouped};
use crate::rng::{Rng, mix};
use crate::{Outcome, folder, watchdog};

/// Named points that a worker passes, each with a bound on the passes before the kill.
const FAILPOINTS: [(&str, u64); 26] = [
    ("commit.before", 400),
    ("commit.written", 400),
    ("commit.applied", 400),
    ("sync.before", 100),
    ("commit.acknowledged", 400),
    ("superblock.before", 2),
    ("create.entered", 3),
    ("create.families", 3),
    ("drop.marked", 2),
    ("drop.families", 2),
    ("checkpoint.filled", 1),
    ("open.owned", 1),
    ("open.rehearsing", 1),
    ("open.promoting", 1),
    ("open.promoted", 1),
    ("open.recovered", 1),
    ("close.closed", 1),
    ("delta.before", 300),
    ("delta.written", 300),
    ("rows.before", 4),
    ("rows.written", 4),
    ("save.flushed", 4),
    ("image.block", 4),
    ("image.filled", 4),
    ("image.renamed", 4),
    ("save.trimmed", 4),
];
/// Named points between an open and the end of linking, at which an open after a kill is killed
/// too.
const SECOND_FAILPOINTS: [&str; 9] = [
    "open.owned",
    "open.rehearsing",
    "open.promoting",
    "open.promoted",
    "open.recovered",
    "delta.before",
    "delta.written",
    "rows.before",
    "image.filled",
];
/// The points in the making of a new database.
const FIRST_FAILPOINTS: [&str; 2] = ["create.begun", "create.filled"];
/// Kills after which a new database is begun.
const KILLS_OF_ONE_DATABASE: u64 = 100;

struct Campaign {
    seed: u64,
    rng: Rng,
    folder: PathBuf,
    report: Report,
    ledger: Ledger,
    retries: Vec<Retry>,
    run: u32,
    n_kills: u64,
    n_kills_here: u64,
    n_open_kills: u64,
    n_acknowledged: u64,
    n_databases: u64,
    n_points: usize,
    reached: BTreeMap<&'static str, u64>,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let (seed, n_kills) = (args.seed()?, args.number_or("kills", 50)?);
    let folder = args.folder(std::env::temp_dir());
    folder::create(&folder)?;
    let mut campaign = Campaign::new(seed, folder);
    campaign.begin_database()?;
    while campaign.n_kills < n_kills {
        if campaign.n_kills_here >= KILLS_OF_ONE_DATABASE {
            campaign.begin_database()?;
        }
        campaign.round()?;
    }
    watchdog::rest();
    campaign.finish()
}

impl Campaign {
    fn new(seed: u64, folder: PathBuf) -> Self {
        Campaign {
            seed,
            rng: Rng::of(&[seed]),
            folder,
            report: Report::begin("crash", seed),
            ledger: Ledger::new(Profile::Crash, seed, Terms::default()),
            retries: Vec::new(),
            run: 0,
            n_kills: 0,
            n_kills_here: 0,
            n_open_kills: 0,
            n_acknowledged: 0,
            n_databases: 0,
            n_points: 0,
            reached: BTreeMap::new(),
        }
    }

    fn finish(mut self) -> Outcome<ExitCode> {
        self.close_ledger();
        eprintln!("crash: named points reached: {:?}", self.reached);
        if self.report.n_violations() == 0 {
            folder::remove(&self.folder)?;
        } else {
            eprintln!("crash: databases as they were before each violation: {}", self.folder.display());
        }
        let summary = format!(
            "{} kills, {} acknowledged writes checked, {} during open",
            self.n_kills,
            grouped(self.n_acknowledged),
            self.n_open_kills
        );
        Ok(self.report.finish(&summary))
    }

    fn close_ledger(&mut self) {
        let seed = mix(&[self.seed, self.n_databases]);
        let ledger = std::mem::replace(&mut self.ledger, Ledger::new(Profile::Crash, seed, Terms::default()));
        self.n_acknowledged += ledger.n_acknowledged;
        self.report.count(ledger.violations.len());
        self.retries.clear();
    }

    /// Removes the database and begins another, sometimes with kills while it is created.
    fn begin_database(&mut self) -> Outcome<()> {
        self.n_databases += 1;
        self.close_ledger();
        self.n_kills_here = 0;
        for part in ["db", "before", "copies"] {
            folder::remove(&self.folder.join(part))?;
        }
        for point in FIRST_FAILPOINTS {
            if self.rng.chance(60) {
                let start = self.start()?.set("idle", 1).failpoint(point, 0);
                self.follow(start, Duration::from_secs(20), Some(point))?;
                self.examine()?;
            }
        }
        Ok(())
    }

    fn start(&mut self) -> Outcome<Start> {
        self.run += 1;
        let start = Start::new(Profile::Crash, &self.folder.join("db"), self.ledger.seed(), self.run)?;
        Ok(Opening::draw(&mut self.rng).tell(start))
    }

    /// Starts a worker that performs all kinds of operations.
    fn start_writing(&mut self) -> Outcome<Start> {
        let durability = if self.rng.chance(50) { "sync" } else { "wal" };
        let retries = std::mem::take(&mut self.retries);
        self.ledger.expect_retries(&retries);
        let copies = self.folder.join("copies");
        Ok(self.start()?.set("durability", durability).set("checkpoints", copies.display()).retries(&retries))
    }

    /// One or several kills, then a comparison of all content.
    fn round(&mut self) -> Outcome<()> {
        match self.rng.below(100) {
            0..24 => {
                let (start, after) = (self.start_writing()?, self.rng.between(50, 1_500));
                self.follow(start, Duration::from_millis(after), None)?;
            }
            24..32 => {
                // Roughly while the worker closes the database.
                let (after, more) = (self.rng.between(300, 1_000), self.rng.below(200));
                let start = self.start_writing()?.set("millis", after);
                self.follow(start, Duration::from_millis(after + more), None)?;
            }
            32..86 => self.kill_at_a_point()?,
            86..94 => {
                for _ in 0..self.rng.between(1, 4) {
                    let (start, after) = (self.start()?.set("idle", 1), self.rng.below(60));
                    self.follow(start, Duration::from_millis(after), None)?;
                }
            }
            _ => {
                let after = self.rng.between(50, 800);
                let start = self.start_writing()?.set("millis", after);
                self.follow(start, Duration::from_secs(30), None)?;
            }
        }
        self.examine()
    }

    /// Kills the worker at the next named point, and sometimes again while the next open recovers.
    fn kill_at_a_point(&mut self) -> Outcome<()> {
        // Points are taken in turn, so that a short campaign meets all of them.
        let (point, passes) = FAILPOINTS[self.n_points % FAILPOINTS.len()];
        self.n_points += 1;
        let passes = self.rng.below(passes);
        // The time covers the second tick of the background thread; then the database is closed.
        let start = self.start_writing()?.failpoint(point, passes).set("millis", 2_300);
        self.follow(start, Duration::from_secs(30), Some(point))?;
        let n_more = if self.rng.chance(50) { self.rng.between(1, 3) } else { 0 };
        for _ in 0..n_more {
            let point = self.rng.pick(&SECOND_FAILPOINTS);
            let start = self.start()?.set("idle", 1).set("millis", 300).failpoint(point, self.rng.below(2));
            self.follow(start, Duration::from_secs(30), Some(point))?;
        }
        Ok(())
    }

    /// Follows a worker until it ends, or kills it after `most`.
    fn follow(&mut self, start: Start, most: Duration, point: Option<&'static str>) -> Outcome<()> {
        watchdog::step(format!("run {} of a worker", self.run));
        let placeholder = Ledger::new(Profile::Crash, 0, Terms::default());
        let ledger = std::mem::replace(&mut self.ledger, placeholder);
        let mut worker = start.spawn(ledger)?;
        worker.wait_until(most, |_| false);
        worker.kill();
        let (ledger, end) = worker.finish()?;
        self.ledger = ledger;
        if let Some(End::Killed { was_ready }) = end {
            self.n_kills += 1;
            self.n_kills_here += 1;
            self.n_open_kills += u64::from(!was_ready);
            point.into_iter().for_each(|point| *self.reached.entry(point).or_default() += 1);
        }
        Ok(())
    }
}
