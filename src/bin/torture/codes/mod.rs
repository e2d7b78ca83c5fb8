//! The codes campaign: a worker writes data that codes stop fitting again and again. It is killed
//! while codes are replaced and written to disk. Then all acknowledged documents must be there, and
//! be found.

mod examine;
mod script;
mod work;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use vectrove::{CodeStats, Database};

pub(crate) use self::work::run as work;

use self::script::Script;
use crate::args::Args;
use crate::child::{describe, myself};
use crate::report::{Report, grouped};
use crate::rng::{Rng, mix};
use crate::{Outcome, folder, watchdog};

const COLLECTION: &str = "far";
/// Named points on the way to replaced and written codes, each with a bound on the passes before
/// the kill.
const FAILPOINTS: [(&str, u64); 11] = [
    ("codes.begun", 2),
    ("codes.some", 12),
    ("codes.filled", 2),
    ("codes.made", 2),
    ("codes.replaced", 2),
    ("rows.before", 3),
    ("rows.written", 3),
    ("save.flushed", 3),
    ("save.trimmed", 3),
    ("delta.before", 60),
    ("delta.written", 60),
];

struct Campaign {
    seed: u64,
    rng: Rng,
    folder: PathBuf,
    report: Report,
    violations: Vec<String>,
    script: Script,
    /// Acknowledged operations of this database.
    n_done: u64,
    run: u32,
    n_kills: u64,
    n_points: usize,
    n_databases: u64,
    n_acknowledged: u64,
    n_replaced: u64,
    n_images: u64,
    least: f64,
    reached: BTreeMap<&'static str, u64>,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let (seed, n_kills) = (args.seed()?, args.number_or("kills", 12)?);
    let folder = args.folder(std::env::temp_dir());
    folder::create(&folder)?;
    let mut campaign = Campaign {
        seed,
        rng: Rng::of(&[seed]),
        folder,
        report: Report::begin("codes", seed),
        violations: Vec::new(),
        script: Script { seed },
        n_done: 0,
        run: 0,
        n_kills: 0,
        n_points: 0,
        n_databases: 0,
        n_acknowledged: 0,
        n_replaced: 0,
        n_images: 0,
        least: 1.0,
        reached: BTreeMap::new(),
    };
    campaign.begin_database()?;
    while campaign.n_kills < n_kills {
        campaign.round()?;
    }
    watchdog::rest();
    campaign.finish()
}

/// The codes of the collection, if it exists.
fn codes_of(db: &Database) -> vectrove::Result<Option<CodeStats>> {
    Ok(db.stats()?.collections.first().and_then(|collection| collection.codes))
}

impl Campaign {
    fn begin_database(&mut self) -> Outcome<()> {
        for part in ["db", "before", "rows"] {
            folder::remove(&self.folder.join(part))?;
        }
        self.n_acknowledged += self.n_done;
        self.n_databases += 1;
        self.script = Script { seed: mix(&[self.seed, self.n_databases]) };
        self.n_done = 0;
        Ok(())
    }

    /// Kills a worker at a point, or sometimes at any moment; then examines the database.
    fn round(&mut self) -> Outcome<()> {
        if self.n_done == Script::n_operations() {
            self.begin_database()?;
        }
        self.run += 1;
        let at_random = self.rng.chance(25);
        let point = (!at_random).then(|| {
            // Points are taken in turn, so that a short campaign meets all of them.
            self.n_points += 1;
            FAILPOINTS[self.n_points % FAILPOINTS.len()]
        });
        let (end, most) = self.follow(point)?;
        eprintln!(
            "codes: run {}, {}: {end}, {} operations, {} kills, {} replacements",
            self.run,
            point.map_or_else(|| format!("after {most} ms"), |(point, _)| point.to_owned()),
            self.n_done,
            self.n_kills,
            self.n_replaced
        );
        // An earlier kill may leave no database, which the crash campaign examines.
        if self.n_done > 0 {
            self.examine()?;
        }
        Ok(())
    }

    /// Follows a worker until it ends or is killed. Returns how it ended, and after how many
    /// milliseconds a kill was planned.
    fn follow(&mut self, point: Option<(&'static str, u64)>) -> Outcome<(String, u64)> {
        watchdog::step(format!("run {} of a worker", self.run));
        let mut command = myself()?;
        command.args(["codes-worker", "--seed", &self.script.seed.to_string(), "--from", &self.n_done.to_string()]);
        command.arg("--dir").arg(self.folder.join("db")).stdout(Stdio::piped());
        if let Some((point, passes)) = point {
            command.env("VECTROVE_FAILPOINT", format!("{point}:{}", self.rng.below(passes)));
        }
        let mut child = command.spawn().map_err(|error| format!("starting a worker: {error}"))?;
        let output = child.stdout.take().ok_or("a worker without output")?;
        let following = std::thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).collect());
        let most = if point.is_some() { 30_000 } else { self.rng.between(50, 1_500) };
        let mut waited = 0;
        while waited < most && child.try_wait().is_ok_and(|end| end.is_none()) {
            std::thread::sleep(Duration::from_millis(5));
            waited += 5;
        }
        let _ = child.kill();
        let status = child.wait().map_err(|error| format!("waiting for a worker: {error}"))?;
        let lines: Vec<String> = following.join().map_err(|_| "following a worker panicked")?;
        for line in lines {
            let number = |text: &str| text.parse::<u64>().ok();
            match line.split_once(' ').and_then(|(what, rest)| Some((what, number(rest)?))) {
                Some(("done", operation)) => self.n_done = operation + 1,
                Some(("codes", generation)) => self.n_replaced += u64::from(generation > 0),
                _ => self.violation(format!("a worker said {line:?}")),
            }
        }
        match status.signal() {
            Some(9) => {
                self.n_kills += 1;
                point.into_iter().for_each(|(point, _)| *self.reached.entry(point).or_default() += 1);
            }
            _ if status.success() => {}
            _ => self.violation(format!("run {}: a worker ended by itself: {}", self.run, describe(status))),
        }
        Ok((describe(status), most))
    }

    fn violation(&mut self, text: String) {
        self.report.violation(&text);
        self.violations.push(text);
    }

    fn finish(mut self) -> Outcome<ExitCode> {
        self.n_acknowledged += self.n_done;
        eprintln!("codes: named points reached: {:?}", self.reached);
        if self.n_replaced == 0 {
            self.violation("codes were never replaced".to_owned());
        }
        if self.report.n_violations() == 0 {
            folder::remove(&self.folder)?;
        } else {
            eprintln!("codes: databases as they were before each violation: {}", self.folder.display());
        }
        let summary = format!(
            "{} kills, {} acknowledged writes checked, {} replacements, {} opens by image, recall at least {:.3}",
            self.n_kills,
            grouped(self.n_acknowledged),
            grouped(self.n_replaced),
            self.n_images,
            self.least
        );
        Ok(self.report.finish(&summary))
    }
}
