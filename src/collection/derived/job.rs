//! The jobs of a collection, which work in the background, and what is known of each: its steps,
//! its state, its last error.
//!
//! Nobody waits for a job that fails. A waiting thread gives up with the error that the job met
//! since the wait began.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::error::{Error, Result};

/// How long a job that failed is left alone before its next try.
pub(in crate::collection) const PATIENCE: Duration = Duration::from_millis(200);
/// A shorter step may find nothing to do. If no documents are left, the job does not count as
/// working during it.
const BRIEF: Duration = Duration::from_millis(10);

/// Work that a collection does in the background, without being asked.
///
/// Its `Display` form is its name in JSON, such as `load_vectors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Job {
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

/// What a [`Job`] is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum JobState {
    /// It has nothing to do, or waits for other work.
    Idle,
    /// It is in the middle of a step, or its last step may not have been all.
    Working,
    /// Its last try failed. It is tried again several times a second, and goes on by itself once
    /// the cause is gone.
    Failing,
}

/// A job of a collection, at one moment; [`CollectionStats::jobs`](crate::CollectionStats::jobs)
/// lists all.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let db = vectrove::Database::open(folder.path())?;
/// use vectrove::{CollectionConfig, Document, Job};
/// let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
/// notes.insert_many((0..1_000).map(|n| Document::new([n as f32 + 1.0])))?;
/// notes.wait_indexed()?;
/// for job in notes.stats()?.jobs {
///     println!("{} is {}", job.name, job.state);
///     if job.name == Job::Link {
///         assert_eq!((job.n_done, job.n_left, job.error), (Some(1_000), Some(0), None));
///     }
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobStats {
    /// Which job it is.
    pub name: Job,
    /// What it is doing.
    pub state: JobState,
    /// Steps that did something since the database was opened.
    pub n_steps: u64,
    /// Documents that are linked (since the database was opened), loaded or indexed. `None` where
    /// the work is not counted in documents.
    pub n_done: Option<usize>,
    /// Documents that still have to be linked, loaded or indexed; `None` where `n_done` is. Room
    /// that deleted documents left counts too.
    pub n_left: Option<usize>,
    /// The error of the last try, while the job fails.
    pub error: Option<String>,
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

/// The steps, the state and the last error of each job of a collection.
#[derive(Default)]
pub(crate) struct JobRecords(Mutex<BTreeMap<Job, JobRecord>>);

#[derive(Default)]
struct JobRecord {
    n_steps: u64,
    /// Whether the last step did something.
    worked: bool,
    /// When the present step began.
    began: Option<Instant>,
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
        let began = Instant::now();
        {
            let mut records = self.0.lock();
            let record = records.entry(job).or_default();
            if record.obstacle.as_ref().is_some_and(|obstacle| obstacle.ended.elapsed() < PATIENCE) {
                return Step::Failed;
            }
            record.began = Some(began);
        }
        let outcome = step();
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

    /// A job as it is now. `amount`, if known, counts what is done and what is left.
    pub(in crate::collection) fn stats(&self, job: Job, amount: Option<[usize; 2]>) -> JobStats {
        let mut records = self.0.lock();
        let record = records.entry(job).or_default();
        JobStats {
            name: job,
            state: record.state(amount.is_some_and(|[_, n_left]| n_left > 0)),
            n_steps: record.n_steps,
            n_done: amount.map(|[n_done, _]| n_done),
            n_left: amount.map(|[_, n_left]| n_left),
            error: record.obstacle.as_ref().map(|obstacle| obstacle.error.to_string()),
        }
    }
}

impl JobRecord {
    /// What the job is doing. `are_left` tells whether documents are left for it.
    fn state(&self, are_left: bool) -> JobState {
        match self.began {
            _ if self.obstacle.is_some() => JobState::Failing,
            _ if self.worked => JobState::Working,
            Some(began) if are_left || began.elapsed() >= BRIEF => JobState::Working,
            _ => JobState::Idle,
        }
    }

    /// Notes the outcome of a step that began at `began`.
    fn note(&mut self, job: Job, began: Instant, outcome: Result<Step>) -> Step {
        self.began = None;
        let step = outcome.as_ref().map_or(Step::Failed, |step| *step);
        self.worked = step == Step::Worked;
        self.n_steps += u64::from(self.worked);
        match outcome {
            // It was not tried, so the obstacle may still be there.
            Ok(Step::Due(_)) => {}
            Ok(_) => {
                if self.obstacle.take().is_some() {
                    tracing::info!(%job, "work in the background goes on");
                }
            }
            Err(error) => {
                let is_known = self.obstacle.as_ref().is_some_and(|known| known.error.kind() == error.kind());
                if !is_known {
                    tracing::warn!(%job, "work in the background stands still: {error}");
                }
                self.obstacle = Some(Obstacle { error: Arc::new(error), began, ended: Instant::now() });
            }
        }
        step
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
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
        let state = |job| jobs.stats(job, None).state;
        assert_eq!(jobs.attempt(Job::Link, full), Step::Failed);
        let began = Instant::now();
        assert!(jobs.met_since(began, &[Job::Link]).is_none(), "it may be gone by now");
        assert_eq!(jobs.attempt(Job::Link, || Ok(Step::Worked)), Step::Failed, "it is left alone for a moment");
        assert_eq!(jobs.attempt(Job::Save, || Ok(Step::Worked)), Step::Worked, "another job is not");
        std::thread::sleep(PATIENCE);
        jobs.attempt(Job::Link, full);
        assert!(matches!(jobs.met_since(began, &[Job::Save, Job::Link]), Some(Error::ReadOnly { .. })));
        assert!(jobs.met_since(began, &[Job::Save]).is_none() && state(Job::Link) == JobState::Failing);
        std::thread::sleep(PATIENCE);
        assert_eq!(jobs.attempt(Job::Link, || Ok(Step::Worked)), Step::Worked);
        assert!(jobs.met_since(began, &[Job::Link]).is_none() && state(Job::Link) == JobState::Working);
    }

    #[test]
    fn a_job_is_idle_once_a_step_found_nothing_to_do() {
        let jobs = JobRecords::default();
        let told = || (jobs.stats(Job::Save, None).state, jobs.stats(Job::Save, None).n_steps);
        assert_eq!(told(), (JobState::Idle, 0), "it was never tried");
        for (step, expected) in [
            (Step::Worked, (JobState::Working, 1)),
            (Step::Nothing, (JobState::Idle, 1)),
            (Step::Worked, (JobState::Working, 2)),
            (Step::Due(Reverse(PATIENCE)), (JobState::Idle, 2)),
        ] {
            assert_eq!((jobs.attempt(Job::Save, || Ok(step)), told()), (step, expected));
        }
        jobs.attempt(Job::Save, || {
            assert_eq!(told().0, JobState::Idle, "a step has just begun");
            assert_eq!(jobs.stats(Job::Save, Some([0, 1])).state, JobState::Working, "it has something to do");
            std::thread::sleep(BRIEF);
            assert_eq!(told().0, JobState::Working);
            Ok(Step::Nothing)
        });
        assert_eq!(told(), (JobState::Idle, 2));
    }

    #[test]
    fn a_job_fails_until_it_was_tried_again() {
        let jobs = JobRecords::default();
        jobs.attempt(Job::Save, full);
        std::thread::sleep(PATIENCE);
        jobs.attempt(Job::Save, || Ok(Step::Due(Reverse(PATIENCE))));
        let JobStats { state, error, n_done, .. } = jobs.stats(Job::Save, Some([3, 4]));
        assert_eq!((state, n_done), (JobState::Failing, Some(3)));
        assert!(error.unwrap().contains("full"));
        jobs.attempt(Job::Save, || Ok(Step::Nothing));
        let JobStats { state, error, .. } = jobs.stats(Job::Save, None);
        assert_eq!((state, error), (JobState::Idle, None));
    }

    #[test]
    fn what_was_done_counts_more_than_what_failed_and_that_more_than_what_is_due() {
        let due = |millis| Step::Due(Reverse(Duration::from_millis(millis)));
        let mut steps = [due(2), Step::Worked, Step::Nothing, due(1), Step::Failed];
        steps.sort_unstable();
        assert_eq!(steps, [Step::Nothing, due(2), due(1), Step::Failed, Step::Worked]);
    }
}
