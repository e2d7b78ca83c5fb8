//! The linker: the background thread that does the jobs of a database's collections, with a pool
//! of threads for large work.
//!
//! It does one step of each job of each collection in turn (`jobs`), and sleeps once there is
//! nothing to do, until a commit notifies it or a job is due. It knows nothing of what jobs do.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use parking_lot::RwLock;

use crate::collection::derived::bell::LinkerSignal;
use crate::collection::derived::job::{PATIENCE, Step};
use crate::collection::open::OpenCollection;
use crate::config::Options;
use crate::heap;

/// Niceness of the linker's threads on Linux. With 10 they get about a tenth of a core that another
/// thread wants too.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

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
                    match work(&open_collections, &pool) {
                        Step::Worked => {}
                        Step::Failed => signal.wait(Some(PATIENCE)),
                        Step::Due(Reverse(wait)) => signal.wait(Some(wait)),
                        Step::Nothing => signal.wait(None),
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

/// Does one step of each job of each collection.
fn work(open_collections: &RwLock<Vec<Weak<OpenCollection>>>, pool: &rayon::ThreadPool) -> Step {
    let here = open_collections.read().clone();
    let (mut step, mut n_gone) = (Step::Nothing, 0);
    for open in &here {
        match open.upgrade() {
            Some(open) => step = step.max(open.do_steps(pool)),
            None => n_gone += 1,
        }
    }
    if n_gone > 0 {
        open_collections.write().retain(|open| open.strong_count() > 0);
    }
    step
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
        here.iter().filter_map(Weak::upgrade).for_each(|open| open.wake_waiting());
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
