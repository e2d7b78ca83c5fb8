//! The background thread: runs the store's ticks, and gives back unused memory.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, Sender, bounded};

use crate::collection::budget::MemoryBudget;
use crate::collection::derived::bell::LinkerSignal;
use crate::heap;
use crate::store::Store;

/// Time between syncs of commits nobody waited for. `Durability::Wal` promises twice this.
const TICK: Duration = Duration::from_millis(100);
/// The slower upkeep runs once in this many ticks.
const SLOW: u32 = 10;

/// The background thread, stopped and joined on drop.
pub(super) struct Worker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(
        store: &Arc<Store>,
        budget: &Arc<MemoryBudget>,
        signal: &Arc<LinkerSignal>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let (store, budget, signal): (Weak<Store>, _, _) = (Arc::downgrade(store), budget.clone(), signal.clone());
        let run = move || {
            let mut n_ticks: u32 = 0;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                let Some(store) = store.upgrade() else { return };
                store.sync_tick();
                n_ticks = n_ticks.wrapping_add(1);
                if n_ticks.is_multiple_of(SLOW) {
                    store.slow_tick();
                    budget.fit_cache(&store);
                    if heap::is_due() {
                        trim_apart(&signal);
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("vectrove".into()).spawn(run)?;
        Ok(Worker { stop: Some(stop), thread: Some(thread) })
    }
}

/// Gives freed memory back on a thread of its own: that may take longer than a sync may wait.
fn trim_apart(signal: &Arc<LinkerSignal>) {
    let signal = signal.clone();
    let trim = move || {
        heap::trim();
        // The linker's threads wake, and give back what they keep.
        signal.notify();
    };
    if let Err(error) = std::thread::Builder::new().name("vectrove-trim".into()).spawn(trim) {
        tracing::debug!("freed memory is not given back: {error}");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the background thread had panicked");
        }
    }
}
