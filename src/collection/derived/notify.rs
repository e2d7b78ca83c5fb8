//! Waiting for background work, and the errors that keep that work from going on.
//!
//! Nobody waits for what cannot come. A waiting thread gives up with the error that the work met
//! since. It looks again after [`LOOK_AGAIN`] at the latest, whether or not anyone notifies it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::cancel::Stop;
use crate::error::{Error, Result};

/// How long a waiting thread sleeps at most before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long work that failed is left alone before it is tried again.
pub(crate) const PATIENCE: Duration = Duration::from_millis(200);

/// A condition that threads wait for and others ring.
#[derive(Default)]
pub(crate) struct Waiting {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Waiting {
    /// Waits until `look` returns something. It also looks at the time at which `stop` ends the
    /// call.
    pub(crate) fn wait<T>(&self, stop: &Stop, look: impl Fn() -> Option<T>) -> T {
        let mut guard = self.lock.lock();
        loop {
            if let Some(found) = look() {
                return found;
            }
            let pause = stop.left().map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN));
            _ = self.changed.wait_for(&mut guard, pause);
        }
    }

    /// Makes waiting threads look again.
    pub(crate) fn notify(&self) {
        drop(self.lock.lock());
        self.changed.notify_all();
    }
}

/// Work that is done in the background, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Linking documents into the graph.
    Link,
    /// Loading exact vectors.
    LoadVectors,
    /// Indexing metadata.
    IndexFields,
    /// Indexing words.
    IndexWords,
    /// Writing graph and image.
    Save,
}

const N_TASKS: usize = 5;

/// The errors that keep a collection's background work from going on, as of the last try of each.
#[derive(Default)]
pub(crate) struct Obstacles(Mutex<[Option<Obstacle>; N_TASKS]>);

struct Obstacle {
    error: Arc<Error>,
    /// When the last try began.
    began: Instant,
    /// When the last try ended.
    ended: Instant,
}

impl Obstacles {
    /// Tries a piece of work, unless it failed less than [`PATIENCE`] ago. Returns its result;
    /// `None` if it was not tried or failed.
    pub(crate) fn attempt<T>(&self, task: Task, work: impl FnOnce() -> Result<T>) -> Option<T> {
        let place = task as usize;
        if self.0.lock()[place].as_ref().is_some_and(|obstacle| obstacle.ended.elapsed() < PATIENCE) {
            return None;
        }
        let (began, outcome) = (Instant::now(), work());
        let place = &mut self.0.lock()[place];
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
                *place = Some(Obstacle { error: Arc::new(error), began, ended: Instant::now() });
                None
            }
        }
    }

    /// The error that one of `tasks` met in a try that began at `moment` or later.
    pub(crate) fn met_since(&self, moment: Instant, tasks: &[Task]) -> Option<Error> {
        let all = self.0.lock();
        let met = |task: &Task| all[*task as usize].as_ref().filter(|obstacle| obstacle.began >= moment);
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
        assert_eq!(obstacles.attempt(Task::Link, full), None);
        let began = Instant::now();
        assert!(obstacles.met_since(began, &[Task::Link]).is_none(), "it may be gone by now");
        assert_eq!(obstacles.attempt(Task::Link, || Ok(7)), None, "it is left alone for a moment");
        assert_eq!(obstacles.attempt(Task::Save, || Ok(7)), Some(7), "another task is not");
        std::thread::sleep(PATIENCE);
        obstacles.attempt(Task::Link, full);
        assert!(matches!(obstacles.met_since(began, &[Task::Save, Task::Link]), Some(Error::ReadOnly { .. })));
        assert!(obstacles.met_since(began, &[Task::Save]).is_none() && obstacles.are_there());
        std::thread::sleep(PATIENCE);
        assert_eq!(obstacles.attempt(Task::Link, || Ok(7)), Some(7));
        assert!(obstacles.met_since(began, &[Task::Link]).is_none() && !obstacles.are_there());
    }

    #[test]
    fn whoever_waits_looks_again_although_nobody_notifies() {
        let (waiting, began) = (Waiting::default(), Instant::now());
        waiting.wait(Stop::NEVER, || (began.elapsed() > LOOK_AGAIN / 2).then_some(()));
    }
}
