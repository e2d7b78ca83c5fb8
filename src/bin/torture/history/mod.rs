//! The history campaign: each answer of each verb that reads belongs to exactly one commit and one
//! namespace.
//!
//! In rounds, writers change documents while readers ask. A twin replays the commits, and each
//! answer is compared with the twin at the answer's commit. Between rounds the database is
//! verified, closed and opened again with other options. So many answers are given while vectors
//! and graphs are loaded.
//!
//! | file | owns |
//! |---|---|
//! | [`document`], [`condition`], [`score`] | contents of documents; filters and scores, computed a second time |
//! | [`twin`], [`progress`] | effects of each commit; writes in progress |
//! | [`shapes`], [`round`] | the collections and options; state that the threads of a round share |
//! | [`writers`], [`draft`], [`director`] | changing documents; changing collections |
//! | [`question`], [`kind`], [`draw`], [`source`] | the questions; drawing one; asking it |
//! | [`readers`], [`beside`], [`copies`] | asking and checking; the same beside the writer, and of copies |
//! | [`check`], [`hits`], [`groups`] | comparing answers with the twin |

mod beside;
mod check;
mod condition;
mod copies;
mod director;
mod document;
mod draft;
mod draw;
mod groups;
mod hits;
mod kind;
mod progress;
mod question;
mod readers;
mod round;
mod score;
mod shapes;
mod source;
mod twin;
mod writers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use vectrove::{Collection, Database, Error, Options, Residency};

use self::kind::Kind;
use self::progress::Progress;
use self::readers::Reader;
use self::round::{Findings, Round, Site};
use self::shapes::{CHURN, SHAPES, fixed_config, is_life, options};
use self::twin::Lifetime;
use self::writers::Writer;
use crate::args::Args;
use crate::report::{Report, grouped};
use crate::rng::Rng;
use crate::{Outcome, folder, watchdog};

const N_WRITERS: usize = 4;
const N_READERS: usize = 4;
/// Number of the director's thread. Threads are numbered in this order: writers, director, readers,
/// the reader beside the writer, the thread that makes copies.
const DIRECTOR: usize = N_WRITERS;
const FIRST_READER: usize = DIRECTOR + 1;
const BESIDE: usize = FIRST_READER + N_READERS;
const COPIER: usize = BESIDE + 1;
const N_THREADS: usize = COPIER + 1;
/// Answers among which every kind occurs.
const ENOUGH_ANSWERS: u64 = 10_000;
/// Rounds of one database.
const ROUNDS_OF_ONE_DATABASE: u64 = 6;

struct Campaign {
    rng: Rng,
    folder: PathBuf,
    findings: Findings,
    kinds: Vec<Kind>,
    n_rounds: u64,
    /// The fixed collections, in the order of [`SHAPES`]; none before there is a database.
    fixed: Vec<Arc<Lifetime>>,
    churn: Option<Arc<Lifetime>>,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let (seed, seconds) = (args.seed()?, args.number_or("seconds", 60)?);
    let kinds = match args.text("only") {
        Some(names) => Kind::read(names)?,
        None => Kind::ALL.map(|(kind, ..)| kind).to_vec(),
    };
    let folder = args.folder(std::env::temp_dir());
    folder::create(&folder)?;
    let mut report = Report::begin("history", seed);
    let mut campaign = Campaign::new(seed, folder, kinds);
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end && !campaign.findings.is_enough() {
        campaign.round(end)?;
    }
    watchdog::rest();
    folder::remove(&campaign.folder)?;
    let Campaign { findings, kinds, n_rounds, .. } = campaign;
    let (n_answers, n_commits) = (findings.n_answers(), findings.n_commits.load(Ordering::Relaxed));
    for kind in findings.print_table(&kinds) {
        if n_answers >= ENOUGH_ANSWERS {
            findings.violation(&format!("no question of the kind {kind} was answered"));
        }
    }
    report.count(findings.n_violations());
    let n_copies = findings.n_copies.load(Ordering::Relaxed);
    let [n_answers, n_commits, n_copies] = [n_answers, n_commits, n_copies].map(grouped);
    let summary = format!("{n_answers} answers, {n_commits} commits, {n_copies} copies, {n_rounds} rounds");
    Ok(report.finish(&summary))
}

impl Campaign {
    fn new(seed: u64, folder: PathBuf, kinds: Vec<Kind>) -> Self {
        Campaign {
            rng: Rng::of(&[seed]),
            folder,
            findings: Findings::new(seed),
            kinds,
            n_rounds: 0,
            fixed: Vec::new(),
            churn: None,
        }
    }

    /// Opens the database, runs all threads, then verifies the database and compares it with the
    /// twin.
    fn round(&mut self, end: Instant) -> Outcome<()> {
        if self.n_rounds.is_multiple_of(ROUNDS_OF_ONE_DATABASE) {
            folder::remove(&self.folder.join("db"))?;
            (self.fixed, self.churn) = (Vec::new(), None);
        }
        self.n_rounds += 1;
        watchdog::step(format!("opening for round {}", self.n_rounds));
        let options = self.options();
        let holds_vectors = options.residency != Some(Residency::Disk);
        let db = self.open(options)?;
        let is_new = self.fixed.is_empty();
        let (fixed, churn) = self.sites(&db)?;
        let length = match self.kinds.as_slice() {
            [Kind::Loading] => Duration::from_millis(1_500),
            _ => Duration::from_millis(self.rng.between(3_000, 8_000)),
        };
        let round = Round {
            number: self.n_rounds,
            db,
            fixed,
            churn: RwLock::new(churn),
            progress: Progress::new(DIRECTOR + 1),
            kinds: &self.kinds,
            holds_vectors,
            is_over: AtomicBool::new(false),
            findings: &self.findings,
            beats: (0..N_THREADS).map(|_| AtomicU64::new(0)).collect(),
            began: Instant::now(),
            loading: AtomicBool::new(holds_vectors),
        };
        if is_new {
            fill(&round);
        }
        run_threads(&round, &self.folder, length.min(end.saturating_duration_since(Instant::now())));
        watchdog::step(format!("looking at what round {} left", self.n_rounds));
        look(&round);
        self.churn = round.churn.read().as_ref().map(|site| site.lifetime.clone());
        watchdog::step(format!("closing after round {}", self.n_rounds));
        let Round { db, .. } = round;
        db.close().map_err(|error| format!("closing: {error}"))
    }

    fn options(&mut self) -> Options {
        let mut options = options(&mut self.rng);
        if self.kinds == [Kind::Loading] {
            options.memory_limit = None;
            options.residency = Some(self.rng.pick(&[Residency::Ram, Residency::Mapped]));
        }
        options
    }

    fn open(&self, options: Options) -> Outcome<Database> {
        let path = self.folder.join("db");
        let opened = match Database::open_with(&path, options.clone()) {
            Err(Error::MemoryLimit { .. }) => {
                let mut unlimited = options;
                unlimited.memory_limit = None;
                Database::open_with(&path, unlimited)
            }
            opened => opened,
        };
        opened.map_err(|error| format!("seed {}, round {}: opening: {error}", self.findings.seed, self.n_rounds))
    }

    /// The collections of the database that was opened, with their twins.
    fn sites(&mut self, db: &Database) -> Outcome<(Vec<Site>, Option<Site>)> {
        if self.fixed.is_empty() {
            let numbered = (0..).zip(&SHAPES);
            let lifetime = |(number, shape): (u64, &shapes::Shape)| {
                Lifetime::new(number, fixed_config(shape.name), shape.capacities)
            };
            self.fixed = numbered.map(lifetime).map(Arc::new).collect();
        }
        let open = |(shape, lifetime): (&shapes::Shape, &Arc<Lifetime>)| {
            let collection = db.get_or_create_collection(shape.name, lifetime.config.clone());
            collection.map(|collection| Site { lifetime: lifetime.clone(), collection })
        };
        let fixed: Result<Vec<Site>, Error> = SHAPES.iter().zip(&self.fixed).map(open).collect();
        let fixed = fixed.map_err(|error| format!("opening a collection: {error}"))?;
        let mut churn = None;
        for collection in CHURN.iter().filter_map(|name| db.collection(name).ok()) {
            match self.churn.take_if(|lifetime| is_life(collection.config(), lifetime.number)) {
                Some(lifetime) => churn = Some(Site { lifetime, collection }),
                None => drop_stray(db, &collection)?,
            }
        }
        if self.churn.is_some() {
            self.findings.violation("a collection is gone after an open");
        }
        Ok((fixed, churn))
    }
}

/// Drops a collection whose creation was refused after the collection was made.
fn drop_stray(db: &Database, collection: &Collection) -> Outcome<()> {
    db.drop_collection(&collection.name()).map_err(|error| format!("dropping a collection: {error}"))
}

/// Puts the first documents.
fn fill(round: &Round<'_>) {
    let mut writer = Writer::new(round, DIRECTOR);
    if round.asks_large() {
        writer.fill_large(round.large());
    }
    for site in round.fixed.iter().filter(|site| !site.lifetime.is_large()) {
        writer.fill(site, 0);
    }
}

/// Lets all threads run until the round is over.
fn run_threads(round: &Round<'_>, folder: &Path, length: Duration) {
    std::thread::scope(|scope| {
        let mut threads: Vec<ScopedJoinHandle<'_, ()>> = Vec::new();
        for thread in 0..N_WRITERS {
            threads.push(scope.spawn(move || Writer::new(round, thread).run()));
        }
        threads.push(scope.spawn(move || director::run(round, DIRECTOR)));
        for thread in FIRST_READER..BESIDE {
            let asks_loading = thread == FIRST_READER || round.is_of_loading();
            threads.push(scope.spawn(move || Reader::new(round, thread).run(asks_loading)));
        }
        threads.push(scope.spawn(move || beside::run(round, BESIDE, &folder.join("db"))));
        threads.push(scope.spawn(move || copies::run(round, COPIER, folder)));
        threads.push(scope.spawn(|| round.watch_loading()));
        let mut seen: Vec<u64> = vec![0; N_THREADS];
        watchdog::step(format!("a call in round {}", round.number));
        while threads.iter().any(|thread| !thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(5));
            if round.began.elapsed() > length {
                round.is_over.store(true, Ordering::Relaxed);
            }
            // A step ends once each thread has done something, which shows that none hangs.
            let beats: Vec<u64> = round.beats.iter().map(|beat| beat.load(Ordering::Relaxed)).collect();
            if beats.iter().zip(&seen).all(|(now, before)| now > before) {
                watchdog::step(format!("a call in round {}", round.number));
                seen = beats;
            }
        }
        for (number, thread) in threads.into_iter().enumerate() {
            if thread.join().is_err() {
                round.violation(&format!("thread {number} panicked"));
            }
        }
    });
}

/// Verifies the database, and compares all documents with the twin.
fn look(round: &Round<'_>) {
    if round.is_of_loading()
        && let Err(error) = round.large().collection.wait_indexed()
    {
        // Documents that wait to be linked would delay loading in the next round.
        round.violation(&format!("wait_indexed: {error}"));
    }
    if let Err(error) = round.db.verify() {
        round.violation(&format!("verify: {error}"));
    }
    let churn = round.churn.read().clone();
    let mut reader = Reader::new(round, FIRST_READER);
    for site in round.fixed.iter().chain(&churn) {
        reader.compare_all(site, None);
        for wrong in site.lifetime.settle() {
            round.violation(&format!("collection {:?}, {wrong}", site.collection.name()));
        }
    }
}
