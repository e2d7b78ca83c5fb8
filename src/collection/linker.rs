//! The linker: a background thread that maintains the graphs of a database's collections, with a
//! pool of threads for large work.
//!
//! It sleeps until a commit notifies it. While it works it holds a view of the last commit, so
//! that no slot it walks over is given another document.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::RwLock;

use super::derived::bell::LinkerSignal;
use super::derived::notify::{PATIENCE, Task};
use super::open::OpenCollection;
use super::vectors::linking_context::LinkContext;
use crate::cancel::Stop;
use crate::config::Options;
use crate::error::Result;
use crate::heap;

/// Niceness of the linker's threads on Linux. With 10 they get about a tenth of a core that another
/// thread wants too.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// The longest wait for a moment without commits. Whoever holds commits off may be waiting for the
/// linker.
const STILL: Duration = Duration::from_millis(10);

/// The linker's thread. Dropping this stops and joins it.
pub(crate) struct Linker {
    signal: Arc<LinkerSignal>,
    open_collections: Arc<RwLock<Vec<Weak<OpenCollection>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Linker {
    pub(crate) fn start(options: &Options, signal: Arc<LinkerSignal>) -> std::io::Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.link_threads)
            .thread_name(|index| format!("vectrove-link-{index}"))
            .start_handler(|_| be_nice())
            .build()
            .map_err(std::io::Error::other)?;
        let open_collections = Arc::new(RwLock::new(Vec::new()));
        let run = {
            let (signal, open_collections) = (signal.clone(), open_collections.clone());
            move || {
                be_nice();
                // This also runs if the thread panics: nobody waits for a linker that is gone.
                let _stopping = LinkerStopping { signal: &signal, open_collections: &open_collections };
                while !signal.is_stopped() {
                    if heap::answer() {
                        pool.broadcast(|_| heap::answer());
                    }
                    match work(&open_collections, &pool, &signal) {
                        LinkerProgress::Worked => {}
                        LinkerProgress::Done => signal.wait(image_due_in(&open_collections)),
                        LinkerProgress::Blocked => signal.wait(Some(PATIENCE)),
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("vectrove-linker".into()).spawn(run)?;
        Ok(Linker { signal, open_collections, thread: Some(thread) })
    }

    /// Adds a collection to the linker's work.
    pub(crate) fn add(&self, open: &Arc<OpenCollection>) {
        self.open_collections.write().push(Arc::downgrade(open));
        self.signal.notify();
    }
}

/// The result of one round of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum LinkerProgress {
    /// There was nothing to do.
    Done,
    /// Some work could not be done.
    Blocked,
    /// Some work was done, and there may be more.
    Worked,
}

/// Does one piece of work for each collection.
fn work(
    open_collections: &RwLock<Vec<Weak<OpenCollection>>>,
    pool: &rayon::ThreadPool,
    signal: &LinkerSignal,
) -> LinkerProgress {
    let here = open_collections.read().clone();
    let (mut progress, mut n_gone) = (LinkerProgress::Done, 0);
    for open in &here {
        let Some(open) = open.upgrade() else {
            n_gone += 1;
            continue;
        };
        if !signal.is_stopped() {
            progress = progress.max(work_on(&open, pool));
        }
    }
    if n_gone > 0 {
        open_collections.write().retain(|open| open.strong_count() > 0);
    }
    progress
}

/// The time until the image of some collection is due if nothing more is written.
fn image_due_in(open_collections: &RwLock<Vec<Weak<OpenCollection>>>) -> Option<Duration> {
    open_collections.read().iter().filter_map(|open| open.upgrade()?.image_due_in()).min()
}

/// Does one piece of work of each kind for a collection.
fn work_on(open: &OpenCollection, pool: &rayon::ThreadPool) -> LinkerProgress {
    let mut worked = false;
    let mut attempt =
        |task: Task, work: &dyn Fn() -> Result<bool>| worked |= open.obstacles.attempt(task, work).unwrap_or(false);
    let index = &open.memory.vectors().index;
    if index.has_upkeep() && !open.store.is_beside() {
        attempt(Task::Link, &|| {
            let view = open.store.view();
            index.work(&LinkContext {
                memory: &open.memory,
                exact: &open.reader(&view),
                pool,
                comparison: &open.memory.vectors().comparison,
                commit: view.commit,
                is_settled: !open.is_loading_vectors(),
                is_on_disk: open.keeps_on_disk(),
                may_hold_all: open.may_hold_all(),
                pin: &|work| {
                    let _held = open.store.hold_within(STILL)?;
                    work();
                    Some([open.store.oldest_view(), open.store.view()])
                },
                read_at: &|view, slot, visit| open.reader(view).each(Stop::NEVER, &[slot], |_, row| visit(row)),
                oldest: open.store.oldest_view().commit,
                now: &|| open.store.view().commit,
                is_stopped: &|| open.signal.is_stopped(),
                record: &|graph, changes| open.record(graph, changes),
            })
        });
    }
    let sketched = index.make_sketches(&open.memory.slots, || open.store.hold(), || open.store.view());
    sketched.unwrap_or_else(|error| tracing::warn!("filtered searches do without sketches: {error}"));
    attempt(Task::LoadVectors, &|| open.load_vectors());
    attempt(Task::IndexFields, &|| open.build_fields());
    attempt(Task::IndexWords, &|| open.build_words());
    if let Some(saving) = open.saving_due() {
        attempt(Task::Save, &|| open.save(saving).map(|()| false));
    }
    match worked {
        true => LinkerProgress::Worked,
        false if open.obstacles.are_there() => LinkerProgress::Blocked,
        false => LinkerProgress::Done,
    }
}

impl Drop for Linker {
    fn drop(&mut self) {
        self.signal.stopped.store(true, Ordering::Release);
        self.signal.notify();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the linker had panicked");
        }
    }
}

/// Marks the linker as gone when dropped, also by a panic, and wakes those who wait for it.
struct LinkerStopping<'l> {
    signal: &'l LinkerSignal,
    open_collections: &'l RwLock<Vec<Weak<OpenCollection>>>,
}

impl Drop for LinkerStopping<'_> {
    fn drop(&mut self) {
        self.signal.panicked.store(std::thread::panicking(), Ordering::Release);
        self.signal.stopped.store(true, Ordering::Release);
        let here = self.open_collections.read().clone();
        here.iter().filter_map(Weak::upgrade).for_each(|open| {
            open.fields.notify();
            open.words.notify();
            open.vectors_loaded.notify();
            open.memory.vectors().index.waiting().notify();
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
