//! The linker: a thread that keeps the graphs of a database's collections, with others to help where there is much to do.
//!
//! It sleeps until a commit rings its bell. While it works it looks at the last commit, so that no slot it walks over is
//! used for another document meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex, RwLock};

use super::Live;
use super::index::Index;
use super::index::upkeep::Bench;
use crate::config::Options;

/// How much nicer than others the linker's threads are: they get about a tenth of a core that someone else wants too.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Wakes the linker.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
    stopped: AtomicBool,
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

    fn wait(&self) {
        let mut rung = self.rung.lock();
        while !*rung && !self.is_stopped() {
            self.changed.wait(&mut rung);
        }
        *rung = false;
    }
}

/// Stops and joins the thread when dropped.
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
                while !bell.is_stopped() {
                    if !work(&lives, &pool, &bell) {
                        bell.wait();
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("vectrove-linker".into()).spawn(run)?;
        Ok(Linker { bell, lives, thread: Some(thread) })
    }

    /// Takes on a collection.
    pub(crate) fn add(&self, live: &Arc<Live>) {
        self.lives.write().push(Arc::downgrade(live));
        self.bell.ring();
    }
}

/// Does one piece of work for each collection; false if there was none.
fn work(lives: &RwLock<Vec<Weak<Live>>>, pool: &rayon::ThreadPool, bell: &Bell) -> bool {
    let here = lives.read().clone();
    let (mut worked, mut n_gone) = (false, 0);
    for live in &here {
        let Some(live) = live.upgrade() else {
            n_gone += 1;
            continue;
        };
        if !bell.is_stopped() {
            worked |= work_on(&live, pool);
        }
    }
    if n_gone > 0 {
        lives.write().retain(|live| live.strong_count() > 0);
    }
    worked
}

/// Does one piece of work of each kind for a collection; false if there was none.
fn work_on(live: &Live, pool: &rayon::ThreadPool) -> bool {
    let mut worked = false;
    if let Some(index) = live.memory.index.as_ref().filter(|_| !live.store.is_beside()) {
        let view = live.store.view();
        worked |= index.work(&Bench {
            memory: &live.memory,
            exact: &live.reader(&view),
            pool,
            oldest: live.store.oldest_view(),
            now: &|| live.store.view().commit,
            record: &|graph, changes| live.record(graph, changes),
        });
    }
    if let Some(index) = live.memory.index.as_ref().filter(|index| index.takes_sketches()) {
        sketch(live, index).unwrap_or_else(|error| tracing::warn!("filtered searches do without sketches: {error}"));
    }
    worked |= live.bring_vectors().unwrap_or_else(|error| {
        tracing::error!("exact vectors stay on disk: {error}");
        live.memory.slots.exact.let_go();
        false
    });
    worked |= live.build_fields().unwrap_or_else(|error| {
        tracing::warn!("metadata is not indexed for now: {error}");
        false
    });
    worked |= live.build_words().unwrap_or_else(|error| {
        tracing::warn!("words are not indexed for now: {error}");
        false
    });
    if live.is_save_due()
        && let Err(error) = live.save()
    {
        tracing::warn!("the graph is not written for now: {error}");
    }
    worked
}

/// Makes the sketches of a collection.
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
        // Whoever waits for the linker has to look again.
        let lives = self.lives.read();
        let indexed = lives.iter().filter_map(Weak::upgrade);
        indexed.for_each(|live| {
            live.fields.ring();
            live.words.ring();
            live.memory.index.iter().for_each(|index| index.tail().ring());
        });
    }
}

/// Lets others go first.
fn be_nice() {
    // On Linux niceness is a thread's own; elsewhere it would be the whole process's.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!("the linker runs at ordinary priority: {error}");
    }
}
