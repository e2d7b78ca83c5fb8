//! The jobs of a collection, which work in the background, and the errors that keep them
//! from going on.
//!
//! Nobody waits for a job that fails. A waiting thread gives up with the error that the job met
//! since the wait began.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::{Error, Result};

/// How long a job that failed is left alone before its next try.
pub(in crate::collection) const PATIENCE: Duration = Duration::from_millis(200);

/// Work that a collection does in the background, without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    /// Links documents into the graph, and maintains the graph and its codes.
    Link,
    /// Makes 1-bit sketches (SimHash), once a filtered search could use them.
    Sketch,
    /// Brings exact vectors to where [`residency`](crate::CollectionConfig::residency) asks for
    /// them.
    LoadVectors,
    /// Indexes the metadata of existing documents, after
    /// [`add_index`](crate::Collection::add_index) or when the index is rebuilt.
    IndexMetadata,
    /// Indexes the words of existing documents, when the full-text index is rebuilt.
    IndexText,
    /// Writes the graph and an image of memory to disk.
    Save,
}

impl Job {
    /// The jobs that link documents. Where the graph compares exact vectors, these are loaded
    /// first.
    pub(in crate::collection) const TO_LINK: &[Job] = &[Job::Link, Job::LoadVectors];
}

/// What a step of a job came to. Of several steps, the greatest decides when the linker goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::collection) enum Step {
    /// There was nothing to do.
    Nothing,
    /// There is something to do after this time, if nothing is written before.
    Due(Reverse<Duration>),
    /// The job fails: it was tried just now, or less than [`PATIENCE`] ago.
    Failed,
    /// Something was done, and there may be more.
    Worked,
}

impl From<bool> for Step {
    fn from(worked: bool) -> Self {
        if worked { Step::Worked } else { Step::Nothing }
    }
}

/// What is known of a collection's jobs.
#[derive(Default)]
pub(crate) struct JobRecords(Mutex<BTreeMap<Job, JobRecord>>);

#[derive(Default)]
struct JobRecord {
    /// Why the last try failed.
    obstacle: Option<Obstacle>,
}

struct Obstacle {
    error: Arc<Error>,
    /// When the last try began.
    began: Instant,
    /// When the last try ended.
    ended: Instant,
}

impl JobRecords {
    /// Tries a step of a job, unless the job failed less than [`PATIENCE`] ago.
    pub(in crate::collection) fn attempt(&self, job: Job, step: impl FnOnce() -> Result<Step>) -> Step {
        let is_recent = |obstacle: &Obstacle| obstacle.ended.elapsed() < PATIENCE;
        if self.0.lock().entry(job).or_default().obstacle.as_ref().is_some_and(is_recent) {
            return Step::Failed;
        }
        let (began, outcome) = (Instant::now(), step());
        let mut records = self.0.lock();
        let record = records.entry(job).or_default();
        record.note(job, began, outcome)
    }

    /// The error that one of `jobs` met in a try that began at `moment` or later.
    pub(in crate::collection) fn met_since(&self, moment: Instant, jobs: &[Job]) -> Option<Error> {
        let records = self.0.lock();
        let met = |job: &Job| records.get(job)?.obstacle.as_ref().filter(|obstacle| obstacle.began >= moment);
        jobs.iter().find_map(met).map(|obstacle| obstacle.error.restated())
    }
}

impl JobRecord {
    /// Notes the outcome of a step that began at `began`.
    fn note(&mut self, job: Job, began: Instant, outcome: Result<Step>) -> Step {
        let step = outcome.as_ref().map_or(Step::Failed, |step| *step);
        match outcome {
            // It was not tried, so the obstacle may still be there.
            Ok(Step::Due(_)) => {}
            Ok(_) => {
                if self.obstacle.take().is_some() {
                    tracing::info!(?job, "work in the background goes on");
                }
            }
            Err(error) => {
                let is_known = self.obstacle.as_ref().is_some_and(|known| known.error.kind() == error.kind());
                if !is_known {
                    tracing::warn!(?job, "work in the background stands still: {error}");
                }
                self.obstacle = Some(Obstacle { error: Arc::new(error), began, ended: Instant::now() });
            }
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Result<Step> {
        Err(Error::ReadOnly { reason: "full".into() })
    }

    #[test]
    fn an_obstacle_counts_once_it_was_met_again() {
        let jobs = JobRecords::default();
        assert_eq!(jobs.attempt(Job::Link, full), Step::Failed);
        let began = Instant::now();
        assert!(jobs.met_since(began, &[Job::Link]).is_none(), "it may be gone by now");
        assert_eq!(jobs.attempt(Job::Link, || Ok(Step::Worked)), Step::Failed, "it is left alone for a moment");
        assert_eq!(jobs.attempt(Job::Save, || Ok(Step::Worked)), Step::Worked, "another job is not");
        std::thread::sleep(PATIENCE);
        jobs.attempt(Job::Link, full);
        assert!(matches!(jobs.met_since(began, &[Job::Save, Job::Link]), Some(Error::ReadOnly { .. })));
        assert!(jobs.met_since(began, &[Job::Save]).is_none());
        std::thread::sleep(PATIENCE);
        assert_eq!(jobs.attempt(Job::Link, || Ok(Step::Worked)), Step::Worked);
        assert!(jobs.met_since(began, &[Job::Link]).is_none());
    }

    #[test]
    fn what_was_done_counts_more_than_what_failed_and_that_more_than_what_is_due() {
        let due = |millis| Step::Due(Reverse(Duration::from_millis(millis)));
        let mut steps = [due(2), Step::Worked, Step::Nothing, due(1), Step::Failed];
        steps.sort_unstable();
        assert_eq!(steps, [Step::Nothing, due(2), due(1), Step::Failed, Step::Worked]);
    }
}
