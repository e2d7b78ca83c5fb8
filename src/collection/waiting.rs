//! Waiting for work that others do in the background, and what keeps that work from going on.
//!
//! Nobody waits for what cannot come. Whoever waits gives up with the error that the work met since, and looks again
//! [`LOOK_AGAIN`] later at the latest, whether or not anyone rings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};

/// How long a waiting thread sleeps at most before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Where to wait, and where to ring.
#[derive(Default)]
pub(crate) struct Waiting {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Waiting {
    /// Waits until there is something to return.
    pub(crate) fn wait<T>(&self, look: impl Fn() -> Option<T>) -> T {
        let mut guard = self.lock.lock();
        loop {
            if let Some(found) = look() {
                return found;
            }
            _ = self.changed.wait_for(&mut guard, LOOK_AGAIN);
        }
    }

    /// Has those who wait look again.
    pub(crate) fn ring(&self) {
        drop(self.lock.lock());
        self.changed.notify_all();
    }
}

/// Work that is done in the background, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Linking documents into the graph.
    Link,
    /// Bringing exact vectors to where they are held.
    BringVectors,
    /// Indexing metadata.
    IndexFields,
    /// Indexing words.
    IndexWords,
    /// Writing graph and image down.
    Save,
}

const N_TASKS: usize = 5;

/// What keeps a collection's work in the background from going on, as of when it was last tried.
#[derive(Default)]
pub(crate) struct Obstacles(Mutex<[Option<Obstacle>; N_TASKS]>);

struct Obstacle {
    error: Arc<Error>,
    /// When the work was last tried.
    tried: Instant,
}

impl Obstacles {
    /// Takes note of how a piece of work went. Returns what came of it; `None` if it could not be done.
    pub(crate) fn note<T>(&self, task: Task, outcome: Result<T>) -> Option<T> {
        let place = &mut self.0.lock()[task as usize];
        match outcome {
            Ok(done) => {
                if place.take().is_some() {
                    tracing::info!(?task, "work in the background goes on");
                }
                Some(done)
            }
            Err(error) => {
                let is_known = place.as_ref().is_some_and(|known| known.error.kind() == error.kind());
                if !is_known {
                    tracing::warn!(?task, "work in the background stands still: {error}");
                }
                *place = Some(Obstacle { error: Arc::new(error), tried: Instant::now() });
                None
            }
        }
    }

    /// What one of these tasks met when it was tried since a moment.
    pub(crate) fn met_since(&self, began: Instant, tasks: &[Task]) -> Option<Error> {
        let all = self.0.lock();
        let met = |task: &Task| all[*task as usize].as_ref().filter(|obstacle| obstacle.tried >= began);
        tasks.iter().find_map(met).map(|obstacle| obstacle.error.restated())
    }

    /// Whether some work stands still.
    pub(crate) fn are_there(&self) -> bool {
        self.0.lock().iter().any(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_obstacle_counts_once_it_was_met_again() {
        let obstacles = Obstacles::default();
        let full = || -> Result<()> { Err(Error::ReadOnly { reason: "full".into() }) };
        assert_eq!(obstacles.note(Task::Link, full()), None);
        let began = Instant::now();
        assert!(obstacles.met_since(began, &[Task::Link]).is_none(), "it may be gone by now");
        obstacles.note(Task::Link, full());
        assert!(matches!(obstacles.met_since(began, &[Task::Save, Task::Link]), Some(Error::ReadOnly { .. })));
        assert!(obstacles.met_since(began, &[Task::Save]).is_none() && obstacles.are_there());
        assert_eq!(obstacles.note(Task::Link, Ok(7)), Some(7));
        assert!(obstacles.met_since(began, &[Task::Link]).is_none() && !obstacles.are_there());
    }

    #[test]
    fn whoever_waits_looks_again_although_nobody_rings() {
        let (waiting, began) = (Waiting::default(), Instant::now());
        waiting.wait(|| (began.elapsed() > LOOK_AGAIN / 2).then_some(()));
    }
}
