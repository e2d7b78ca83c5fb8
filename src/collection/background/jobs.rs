//! The list of jobs: all that a collection does in the background, in small steps.
//!
//! The linker walks [`JOBS`] and does one step of each. A step does one bounded piece of work and
//! says whether it did something. The linker's stop flag ends jobs between two steps. A long step
//! looks at it too ([`LinkContext::is_stopped`]). Whatever a stopped job left undone is found again
//! at the next open.
//!
//! Adding a job takes a name ([`Job`]), a function, and a line of [`JOBS`].

use std::cmp::Reverse;
use std::time::Duration;

use rayon::ThreadPool;

use crate::cancel::Stop;
use crate::collection::derived::index::DerivedIndex;
use crate::collection::derived::job::{Job, JobStats, Step};
use crate::collection::open::OpenCollection;
use crate::collection::vectors::linking_context::LinkContext;
use crate::config::Residency;
use crate::error::Result;

/// The longest wait for a moment without commits. Whoever holds commits off may be waiting for the
/// linker.
const STILL: Duration = Duration::from_millis(10);

/// How a job is done.
struct JobRow {
    job: Job,
    /// Does one step. Large work may use the threads of the pool.
    step: fn(&OpenCollection, &ThreadPool) -> Result<Step>,
    /// The documents that are done and those that are left; `None` if they are not counted.
    amount: fn(&OpenCollection) -> Option<[usize; 2]>,
}

/// All jobs, in the order in which the linker does their steps.
const JOBS: [JobRow; 6] = [
    JobRow { job: Job::Link, step: link, amount: to_link },
    JobRow { job: Job::Sketch, step: |open, _| Ok(sketch(open)), amount: |_| None },
    JobRow { job: Job::LoadVectors, step: |open, _| open.load_vectors().map(Step::from), amount: to_load },
    JobRow {
        job: Job::IndexMetadata,
        step: |open, _| build(open, &open.indexes.fields),
        amount: |open| to_index(open, &open.indexes.fields),
    },
    JobRow {
        job: Job::IndexText,
        step: |open, _| build(open, &open.indexes.words),
        amount: |open| to_index(open, &open.indexes.words),
    },
    JobRow { job: Job::Save, step: |open, _| save(open), amount: |_| None },
];

impl OpenCollection {
    /// Does one step of each job, unless the linker is to stop.
    pub(in crate::collection) fn do_steps(&self, pool: &ThreadPool) -> Step {
        let mut step = Step::Nothing;
        for row in JOBS.iter().take_while(|_| !self.signal.is_stopped()) {
            step = step.max(self.jobs.attempt(row.job, || (row.step)(self, pool)));
        }
        step
    }

    /// All jobs as they are now, in the order of their steps.
    pub(crate) fn job_stats(&self) -> Vec<JobStats> {
        JOBS.iter().map(|row| self.jobs.stats(row.job, (row.amount)(self))).collect()
    }
}

/// Links documents, and maintains the graph.
fn link(open: &OpenCollection, pool: &ThreadPool) -> Result<Step> {
    let index = &open.memory.vectors().index;
    if !index.has_upkeep() || open.store.is_beside() {
        return Ok(Step::Nothing);
    }
    // The view keeps slots that linking walks over from being given another document.
    let view = open.store.view();
    let worked = index.work(&LinkContext {
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
        record: &|graph, changes| open.saver().record(graph, changes),
    });
    worked.map(Step::from)
}

/// Makes the 1-bit sketches (SimHash) of a collection.
fn sketch(open: &OpenCollection) -> Step {
    let index = &open.memory.vectors().index;
    match index.make_sketches(&open.memory.slots, || open.store.hold(), || open.store.view()) {
        Ok(made) => Step::from(made),
        Err(error) => {
            tracing::warn!("filtered searches do without sketches: {error}");
            Step::Nothing
        }
    }
}

/// Indexes some of the existing documents that a derived index lacks.
fn build(open: &OpenCollection, index: &dyn DerivedIndex) -> Result<Step> {
    index.build(open).map(Step::from)
}

/// Writes graph and image, if that is due.
fn save(open: &OpenCollection) -> Result<Step> {
    match open.saver().next_save() {
        None => Ok(Step::Nothing),
        Some((Duration::ZERO, saving)) => open.saver().save_due(saving).map(|()| Step::Worked),
        Some((wait, _)) => Ok(Step::Due(Reverse(wait))),
    }
}

fn to_link(open: &OpenCollection) -> Option<[usize; 2]> {
    open.memory.vectors().index.progress()
}

fn to_load(open: &OpenCollection) -> Option<[usize; 2]> {
    let (full, n_slots) = (&open.memory.vectors().full, open.memory.slots.n_slots());
    // Without codes, vectors that could not be held yet are tried again.
    let is_wanted = full.residency() != Residency::Disk || !open.config.has_codes();
    let n_wanted = if is_wanted { n_slots } else { 0 };
    Some(split(n_wanted, full.n_loaded(n_wanted)))
}

fn to_index(open: &OpenCollection, index: &dyn DerivedIndex) -> Option<[usize; 2]> {
    let n_slots = open.memory.slots.n_slots();
    index.n_indexed(n_slots).map(|n_done| split(n_slots, n_done))
}

/// Those that are done, of `n` in all, and the rest.
fn split(n: usize, n_done: usize) -> [usize; 2] {
    let n_done = n_done.min(n);
    [n_done, n - n_done]
}
