//! The worker process, which campaigns kill. It opens the database, writes from several threads,
//! and reports each operation to its parent before and after.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vectrove::{Database, Durability, Error, Options, Result};

use crate::Outcome;
use crate::args::Args;
use crate::deed::{Deed, Profile};
use crate::line::{Line, Linked};
use crate::opening;
use crate::perform::{look, perform, read_version};
use crate::rng::Rng;
use crate::world::{FIXED, Stamp, fixed_config};

/// The settings of the worker.
struct Orders {
    profile: Profile,
    seed: u64,
    run: u32,
    /// Operations of each thread, after which the database is closed.
    n_operations: u32,
    duration: Option<Duration>,
    /// Opens and waits, without operations.
    idle: bool,
    /// Is killed instead of closing.
    ends_killed: bool,
    /// Pauses half way and flushes everything, so that the commit log is trimmed.
    lingers: bool,
    /// Operations of earlier runs to try again, with the versions they expect.
    retries: Vec<(Stamp, u64)>,
    /// Folder of checkpoints; `None` for no checkpoints.
    checkpoints: Option<String>,
}

/// The pipe that lines are written to.
#[derive(Clone)]
pub(crate) struct Tell(Arc<File>);

impl Tell {
    fn new() -> Outcome<Self> {
        let pipe = std::io::stdout().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
        Ok(Tell(Arc::new(File::from(pipe))))
    }

    /// Writes one line at once. Without a parent the worker ends.
    pub(crate) fn line(&self, line: &Line) {
        if (&*self.0).write_all(line.encode().as_bytes()).is_err() {
            std::process::exit(0);
        }
    }
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let orders = Orders::read(args)?;
    let tell = Tell::new()?;
    let folder = args.text("dir").ok_or("expected --dir")?;
    let options = options(args)?;
    // A panic in any thread is a fault of its own, and must not look like a kill.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("worker: {panic}");
        std::process::abort();
    }));
    match work(Path::new(folder), options, &orders, &tell) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tell.line(&Line::Fault(format!("{:?}: {error}", error.kind())));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn options(args: &Args) -> Outcome<Options> {
    let durability = match args.text("durability") {
        Some("wal") => Durability::Wal,
        _ => Durability::Sync,
    };
    Ok(opening::told(args)?
        .durability(durability)
        .min_free_bytes(args.number_or("min-free", 0)?)
        .log_retention(args.number_or("retention", 1_000)?))
}

impl Orders {
    fn read(args: &Args) -> Outcome<Self> {
        let profile = args.text("profile").and_then(Profile::named).ok_or("expected --profile")?;
        let retry = |text: &str| -> Option<(Stamp, u64)> {
            let mut parts = text.split('.').map(|part| part.parse::<u64>().ok());
            let mut part = || parts.next().flatten();
            let stamp = Stamp { run: part()? as u32, thread: part()? as u8, n: part()? as u32 };
            Some((stamp, part()?))
        };
        Ok(Orders {
            profile,
            seed: args.number_or("seed", 0)?,
            run: args.number_or("run", 0)? as u32,
            n_operations: args.number_or("operations", u64::from(u32::MAX))? as u32,
            duration: args.number("millis")?.map(Duration::from_millis),
            idle: args.text("idle").is_some(),
            ends_killed: args.text("end") == Some("killed"),
            lingers: args.text("linger").is_some(),
            retries: args.all("retry").filter_map(retry).collect(),
            checkpoints: args.text("checkpoints").map(str::to_owned),
        })
    }
}

fn work(folder: &Path, options: Options, orders: &Orders, tell: &Tell) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    stop_with_parent(stop.clone());
    let db = Database::open_with(folder, options)?;
    for name in FIXED {
        db.get_or_create_collection(name, fixed_config(name))?;
    }
    tell.line(&Line::Ready { commit: db.stats()?.commit.0 });
    let began = Instant::now();
    let until = || stop.load(Ordering::Relaxed) || orders.duration.is_some_and(|most| began.elapsed() > most);
    while orders.idle && !until() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::scope(|scope| {
        for thread in 0..orders.profile.n_threads() {
            let (db, until) = (&db, &until);
            scope.spawn(move || Hand { db, orders, tell, thread }.run(until));
        }
        if orders.profile == Profile::Fill {
            scope.spawn(|| keep_reading(&db, tell, &until));
        }
    });
    if orders.ends_killed {
        let me = rustix::process::getpid();
        let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
    }
    db.close()?;
    tell.line(&Line::Closed);
    Ok(())
}

/// Stops the worker when the parent closes the pipe, or dies.
fn stop_with_parent(stop: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        stop.store(true, Ordering::Relaxed);
    });
}

/// Reads until the end; each error is a fault.
fn keep_reading(db: &Database, tell: &Tell, until: &dyn Fn() -> bool) {
    let mut rng = Rng::new(1);
    while !until() {
        if let Err(error) = look(db, &mut rng, Profile::Fill) {
            tell.line(&Line::Fault(format!("reading failed: {:?}: {error}", error.kind())));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One writing thread.
struct Hand<'w> {
    db: &'w Database,
    orders: &'w Orders,
    tell: &'w Tell,
    thread: u8,
}

impl Hand<'_> {
    fn run(&self, until: &dyn Fn() -> bool) {
        let Orders { profile, seed, run, idle, .. } = *self.orders;
        if idle {
            return;
        }
        let mut rng = Rng::of(&[seed, u64::from(run), u64::from(self.thread)]);
        for (stamp, read) in self.orders.retries.iter().filter(|(stamp, _)| stamp.thread == self.thread) {
            self.try_deed(*stamp, Some(*read));
        }
        let mut was_refused = false;
        for n in 0..self.orders.n_operations {
            if until() {
                return;
            }
            was_refused |= !self.try_deed(Stamp { run, thread: self.thread, n }, None);
            if was_refused {
                // The disk is full, or was. A pause leaves freed space unused for a moment.
                std::thread::sleep(Duration::from_millis(20));
            }
            self.do_something_else(n, &mut rng);
            if profile == Profile::Freeze {
                self.tell_linked(&mut rng);
            }
            if self.orders.lingers && n == self.orders.n_operations / 2 {
                self.linger(n);
            }
        }
    }

    /// One operation and its two lines. Returns whether the database accepted it, or refused it for
    /// its content.
    fn try_deed(&self, stamp: Stamp, known_read: Option<u64>) -> bool {
        let Orders { profile, seed, .. } = *self.orders;
        let deed = Deed::draw(profile, seed, stamp);
        let read = known_read.map_or_else(|| read_version(self.db, &deed), Ok).unwrap_or(0);
        self.tell.line(&Line::Intent { stamp, read });
        match perform(self.db, &deed, (stamp, seed, read), profile.text_bytes()) {
            Ok((commit, n_changed, repeated)) => {
                self.tell.line(&Line::Done { stamp, commit, n_changed, repeated });
                true
            }
            Err(error) => {
                let commit = if let Error::Commit { commit, .. } = &error { commit.0 } else { 0 };
                let (outcome, kind, message) = (error.outcome(), format!("{:?}", error.kind()), error.to_string());
                self.tell.line(&Line::Failed { stamp, outcome, kind, commit, message });
                !matches!(error, Error::ReadOnly { .. } | Error::Commit { .. } | Error::Storage { .. })
            }
        }
    }

    /// Reports the progress of linking now and then. Only this thread writes.
    fn tell_linked(&self, rng: &mut Rng) {
        if rng.chance(10) {
            std::thread::sleep(Duration::from_millis(rng.below(30)));
        }
        match self.db.stats() {
            Ok(stats) => {
                let of = |name: &&str| stats.collections.iter().find(|collection| collection.name == *name);
                let linked = FIXED
                    .iter()
                    .filter_map(of)
                    .map(|stats| Linked { n_deltas: stats.n_deltas, n_waiting: stats.tail_length as u64 });
                self.tell.line(&Line::Linked { commit: stats.commit.0, collections: linked.collect() });
            }
            Err(error) => self.must_work(Err(error)),
        }
    }

    /// Now and then: reading, flushing, a checkpoint.
    fn do_something_else(&self, n: u32, rng: &mut Rng) {
        let profile = self.orders.profile;
        match rng.below(200) {
            0..20 if profile == Profile::Crash => self.must_work(look(self.db, rng, profile)),
            20 if profile != Profile::Fill => self.must_work(self.db.flush()),
            21 => self.checkpoint(n),
            _ => {}
        }
    }

    /// Copies the database into the folder of checkpoints, if there is one. This also writes all
    /// data to files.
    fn checkpoint(&self, n: u32) {
        let Orders { run, ref checkpoints, .. } = *self.orders;
        if let Some(folder) = checkpoints {
            self.must_work(self.db.checkpoint(format!("{folder}/{run}-{}-{n}", self.thread)).map(drop));
        }
    }

    /// Lets the background thread examine the log before and after its data is written to files.
    fn linger(&self, n: u32) {
        std::thread::sleep(Duration::from_millis(1_200));
        self.checkpoint(n);
        std::thread::sleep(Duration::from_millis(2_200));
    }

    fn must_work(&self, outcome: Result<()>) {
        match outcome {
            Err(error) if !matches!(self.orders.profile, Profile::Fill | Profile::Power) => {
                self.tell.line(&Line::Fault(format!("{:?}: {error}", error.kind())));
            }
            _ => {}
        }
    }
}
