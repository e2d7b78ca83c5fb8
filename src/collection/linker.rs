//! The linker: a background thread that maintains the graphs of a database's collections, with a
//! pool of threads for large work.
//!
//! It sleeps until a commit rings its bell. While it works it holds a view of the last commit, so
//! that no slot it walks over is given another document.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};

use super::Live;
use super::index::Index;
use super::index::upkeep::Bench;
use super::waiting::{PATIENCE, Task};
use crate::cancel::Stop;
use crate::config::Options;
use crate::error::{Error, Result};
use crate::heap;

/// Niceness of the linker's threads on Linux. With 10 they get about a tenth of a core that another
/// thread wants too.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// The longest wait for a moment without commits. Whoever holds commits off may be waiting for the
/// linker.
const STILL: Duration = Duration::from_millis(10);

/// Wakes the linker.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
    stopped: AtomicBool,
    panicked: AtomicBool,
}

impl Bell {
    pub(crate) fn ring(&self) {
        *self.rung.lock() = true;
        self.changed.notify_one();
    }

    /// Whether the linker has stopped, so that nothing will be linked any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Fails once the linker has stopped: nothing will be linked any more.
    pub(crate) fn check(&self) -> Result<()> {
        let gone = || Error::Storage { doing: "working in the background", source: "the linker had panicked".into() };
        match self.is_stopped() {
            false => Ok(()),
            true if self.panicked.load(Ordering::Acquire) => Err(gone()),
            true => Err(Error::Closed),
        }
    }

    /// Sleeps until the bell is rung, for at most `most`.
    fn wait(&self, most: Option<Duration>) {
        let until = most.map(|most| Instant::now() + most);
        let mut rung = self.rung.lock();
        while !*rung && !self.is_stopped() {
            match until {
                None => self.changed.wait(&mut rung),
                Some(until) if self.changed.wait_until(&mut rung, until).timed_out() => break,
                Some(_) => {}
            }
        }
        *rung = false;
    }
}

/// The linker's thread. Dropping this stops and joins it.
pub(crate) struct Linker {
    bell: Arc<Bell>,
    lives: Arc<RwLock<Vec<Weak<Live>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Linker {
    pub(crate) fn start(options: &Options, bell: Arc<Bell>) -> std::io::Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.link_threads)
            .thread_name(|index| format!("vectrove-link-{index}"))
            .start_handler(|_| be_nice())
            .build()
            .map_err(std::io::Error::other)?;
        let lives = Arc::new(RwLock::new(Vec::new()));
        let run = {
            let (bell, lives) = (bell.clone(), lives.clone());
            move || {
                be_nice();
                // This also runs if the thread panics: nobody waits for a linker that is gone.
                let _stopping = Stopping { bell: &bell, lives: &lives };
                while !bell.is_stopped() {
                    if heap::answer() {
                        pool.broadcast(|_| heap::answer());
                    }
                    match work(&lives, &pool, &bell) {
                        Progress::Worked => {}
                        Progress::Done => bell.wait(image_due_in(&lives)),
                        Progress::Blocked => bell.wait(Some(PATIENCE)),
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("vectrove-linker".into()).spawn(run)?;
        Ok(Linker { bell, lives, thread: Some(thread) })
    }

    /// Adds a collection to the linker's work.
    pub(crate) fn add(&self, live: &Arc<Live>) {
        self.lives.write().push(Arc::downgrade(live));
        self.bell.ring();
    }
}

/// The result of one round of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    /// There was nothing to do.
    Done,
    /// Some work could not be done.
    Blocked,
    /// Some work was done, and there may be more.
    Worked,
}

/// Does one piece of work for each collection.
fn work(lives: &RwLock<Vec<Weak<Live>>>, pool: &rayon::ThreadPool, bell: &Bell) -> Progress {
    let here = lives.read().clone();
    let (mut progress, mut n_gone) = (Progress::Done, 0);
    for live in &here {
        let Some(live) = live.upgrade() else {
            n_gone += 1;
            continue;
        };
        if !bell.is_stopped() {
            progress = progress.max(work_on(&live, pool));
        }
    }
    if n_gone > 0 {
        lives.write().retain(|live| live.strong_count() > 0);
    }
    progress
}

/// The time until the image of some collection is due if nothing more is written.
fn image_due_in(lives: &RwLock<Vec<Weak<Live>>>) -> Option<Duration> {
    lives.read().iter().filter_map(|live| live.upgrade()?.image_due_in()).min()
}

/// Does one piece of work of each kind for a collection.
fn work_on(live: &Live, pool: &rayon::ThreadPool) -> Progress {
    let mut worked = false;
    let mut attempt =
        |task: Task, work: &dyn Fn() -> Result<bool>| worked |= live.obstacles.attempt(task, work).unwrap_or(false);
    if let Some(index) = live.memory.index.as_ref().filter(|_| !live.store.is_beside()) {
        attempt(Task::Link, &|| {
            let view = live.store.view();
            index.work(&Bench {
                memory: &live.memory,
                exact: &live.reader(&view),
                pool,
                ranker: &live.ranker,
                commit: view.commit,
                is_settled: !live.is_bringing(),
                is_on_disk: live.keeps_on_disk(),
                may_hold_all: live.may_hold_all(),
                pin: &|work| {
                    let _held = live.store.hold_within(STILL)?;
                    work();
                    Some([live.store.oldest_view(), live.store.view()])
                },
                read_at: &|view, slot, visit| live.reader(view).each(Stop::NEVER, &[slot], |_, row| visit(row)),
                oldest: live.store.oldest_view().commit,
                now: &|| live.store.view().commit,
                is_stopped: &|| live.bell.is_stopped(),
                record: &|graph, changes| live.record(graph, changes),
            })
        });
    }
    if let Some(index) = live.memory.index.as_ref().filter(|index| index.takes_sketches()) {
        sketch(live, index).unwrap_or_else(|error| tracing::warn!("filtered searches do without sketches: {error}"));
    }
    attempt(Task::BringVectors, &|| live.bring_vectors());
    attempt(Task::IndexFields, &|| live.build_fields());
    attempt(Task::IndexWords, &|| live.build_words());
    if let Some(saving) = live.saving_due() {
        attempt(Task::Save, &|| live.save(saving).map(|()| false));
    }
    match worked {
        true => Progress::Worked,
        false if live.obstacles.are_there() => Progress::Blocked,
        false => Progress::Done,
    }
}

/// Makes the 1-bit sketches (SimHash) of a collection.
fn sketch(live: &Live, index: &Index) -> std::io::Result<()> {
    let slots = &live.memory.slots;
    let view = {
        let _held = live.store.hold();
        if !index.begin_sketches(slots.n_slots())? {
            return Ok(());
        }
        live.store.view()
    };
    index.fill_sketches(slots, view.commit);
    Ok(())
}

impl Drop for Linker {
    fn drop(&mut self) {
        self.bell.stopped.store(true, Ordering::Release);
        self.bell.ring();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the linker had panicked");
        }
    }
}

/// Marks the linker as gone when dropped, also by a panic, and wakes those who wait for it.
struct Stopping<'l> {
    bell: &'l Bell,
    lives: &'l RwLock<Vec<Weak<Live>>>,
}

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.bell.panicked.store(std::thread::panicking(), Ordering::Release);
        self.bell.stopped.store(true, Ordering::Release);
        let here = self.lives.read().clone();
        here.iter().filter_map(Weak::upgrade).for_each(|live| {
            live.fields.ring();
            live.words.ring();
            live.brought.ring();
            live.memory.index.iter().for_each(|index| index.tail().ring());
        });
    }
}

/// Lowers the calling thread's priority.
fn be_nice() {
    // On Linux niceness is a thread's own; elsewhere it would be the whole process's.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!("the linker runs at ordinary priority: {error}");
    }
}
