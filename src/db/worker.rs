//! The background thread: ticks of the store, and looks at what memory is held in vain, until told to stop.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, Sender, bounded};

use crate::collection::residency::Budget;
use crate::heap;
use crate::store::Store;

/// How often what no one waited for is synced; the promise of `Durability::Wal` is twice this.
const TICK: Duration = Duration::from_millis(100);
/// Every so many ticks the slower upkeep runs.
const SLOW: u32 = 10;

/// Stops and joins the thread when dropped.
pub(super) struct Worker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(store: &Arc<Store>, budget: &Arc<Budget>) -> std::io::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let (store, budget): (Weak<Store>, _) = (Arc::downgrade(store), budget.clone());
        let run = move || {
            let mut n_ticks: u32 = 0;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                let Some(store) = store.upgrade() else { return };
                store.sync_tick();
                n_ticks = n_ticks.wrapping_add(1);
                if n_ticks.is_multiple_of(SLOW) {
                    store.slow_tick();
                    budget.fit_cache(&store);
                    heap::trim_if_due();
                }
            }
        };
        let thread = std::thread::Builder::new().name("vectrove".into()).spawn(run)?;
        Ok(Worker { stop: Some(stop), thread: Some(thread) })
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
