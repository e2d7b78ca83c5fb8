//! Keeping the graph: linking what waits, sweeping what died, mending what cannot be reached.
//!
//! All of it is done by one linker at a time, which may share the work among threads.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::Index;
use super::space::{CodeSpace, ExactSpace, Points};
use crate::collection::memory::{Memory, Slots};
use crate::graph::{Change, Graph, Linking, Space};
use crate::id::{Commit, Slot};
use crate::quant::CodeQuery;

/// Slots linked before the linker looks up again.
const BATCH: usize = 512;
/// Batches up to this long are linked without handing work to other threads.
const ALONE: usize = 2;
/// Dead slots are swept when they are more than one in so many...
const DEAD_SHARE: usize = 5;
/// ...and at least so many.
const LEAST_DEAD: usize = 256;
/// Mending is given up after so many rounds, until there are new points.
const MOST_ROUNDS: usize = 8;
/// The graph is looked through when one slot in so many is new...
const UNPROVEN_SHARE: usize = 20;
/// ...and at least so many.
const LEAST_UNPROVEN: usize = 1_024;

thread_local! {
    static OVER_CODES: RefCell<Linking<CodeQuery>> = RefCell::default();
    static OVER_VECTORS: RefCell<Linking<Vec<f32>>> = RefCell::default();
}

impl Index {
    /// Does the next piece of work there is; false if there is none. No one looks at a commit before `oldest`. `now` tells the commit that searches which begin
    /// from here on look at, at least; the caller looks at one meanwhile.
    pub(crate) fn work(
        &self,
        memory: &Memory,
        pool: &rayon::ThreadPool,
        oldest: Commit,
        now: impl Fn() -> Commit,
    ) -> bool {
        if self.is_broken() {
            let n_waiting = self.tail.len();
            self.tail.leave(n_waiting);
            return false;
        }
        let _busy = self.busy.lock();
        let slots = &memory.slots;
        let work = || match &self.points {
            Points::Codes(codes) => self.work_in(&CodeSpace { codes, slots, oldest }, &OVER_CODES, memory, pool, &now),
            Points::Exact(ranker) => {
                self.work_in(&ExactSpace { ranker, slots, oldest }, &OVER_VECTORS, memory, pool, &now)
            }
        };
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            tracing::error!("comparing vectors panicked: from now on this collection is scanned");
            self.broken.store(true, Ordering::Release);
            self.tail.ring();
            true
        })
    }

    fn work_in<S: Space>(
        &self,
        space: &S,
        linking: &'static std::thread::LocalKey<RefCell<Linking<S::Query>>>,
        memory: &Memory,
        pool: &rayon::ThreadPool,
        now: impl Fn() -> Commit,
    ) -> bool {
        let crew = Crew { graph: &self.graph, linking, pool };
        let (n_left, awaited) = (self.tail.n_left(), self.awaited.load(Ordering::Acquire));
        if n_left >= awaited && self.n_proven() < awaited {
            self.mend(space, &crew);
            return true;
        }
        let n_points = self.n_points(&memory.slots);
        let n_doomed = self.n_dead().saturating_sub(self.n_dead_waiting.load(Ordering::Relaxed));
        if n_doomed >= LEAST_DEAD && n_doomed * DEAD_SHARE >= n_points {
            self.sweep(space, &crew, memory, &now);
            return true;
        }
        let mut waiting = Vec::new();
        self.tail.take(BATCH, &mut waiting);
        if !waiting.is_empty() {
            // What died a moment ago is linked all the same, as long as a search may look at a commit at which it lived.
            let (needed, dead): (Vec<Slot>, Vec<Slot>) = waiting.iter().partition(|slot| space.is_needed(slot.0));
            self.note(crew.each(&needed, |graph, slot, linking| graph.link(space, slot.0, linking)));
            self.tail.leave(waiting.len());
            let n_waiting = self.n_dead_waiting.load(Ordering::Relaxed);
            self.n_dead_waiting.store(n_waiting.saturating_sub(dead.len()), Ordering::Relaxed);
            self.retire(memory, dead, &now);
            return true;
        }
        if n_left - self.n_proven() >= LEAST_UNPROVEN.max(n_points / UNPROVEN_SHARE) {
            self.mend(space, &crew);
            return true;
        }
        false
    }

    /// Takes dead points out of the graph and lets their slots be used again.
    fn sweep<S: Space>(&self, space: &S, crew: &Crew<'_, S::Query>, memory: &Memory, now: impl Fn() -> Commit) {
        let sweep = crew.alone(|graph, linking| graph.begin_sweep(space, linking));
        let points: Vec<Slot> = self.graph.points().map(Slot).collect();
        self.note(crew.each(&points, |graph, slot, linking| graph.bypass(space, &sweep, slot.0, linking)));
        let gone = crew.alone(|graph, linking| graph.finish_sweep(sweep, linking));
        tracing::debug!(n_gone = gone.len(), "swept dead points");
        self.retire(memory, gone.into_iter().map(Slot).collect(), now);
        self.n_dead_waiting.store(self.n_dead(), Ordering::Relaxed);
        self.mend(space, crew);
    }

    fn retire(&self, memory: &Memory, slots: Vec<Slot>, now: impl Fn() -> Commit) {
        self.n_dead.fetch_sub(slots.len().min(self.n_dead()), Ordering::Relaxed);
        // Only now, after nothing leads to them any more: searches that began before look at this commit or earlier.
        memory.retire(slots, now());
    }

    /// Links to points that no walk reaches, until there are none.
    fn mend<S: Space>(&self, space: &S, crew: &Crew<'_, S::Query>) {
        for _ in 0..MOST_ROUNDS {
            let unreachable = self.graph.unreachable();
            if unreachable.is_empty() {
                break;
            }
            tracing::debug!(n_points = unreachable.len(), "linking to points that cannot be reached");
            for &slot in &unreachable {
                crew.alone(|graph, linking| graph.mend(space, slot, linking));
            }
        }
        self.n_proven.store(self.tail.n_left(), Ordering::Release);
        self.tail.ring();
    }

    fn note(&self, changes: Counts) {
        self.n_links_added.fetch_add(changes.n_links, Ordering::Relaxed);
        self.n_rows_replaced.fetch_add(changes.n_rows, Ordering::Relaxed);
    }

    pub(super) fn n_dead(&self) -> usize {
        self.n_dead.load(Ordering::Relaxed)
    }

    fn n_proven(&self) -> usize {
        self.n_proven.load(Ordering::Acquire)
    }

    /// About how many slots are in the graph, dead ones included.
    pub(super) fn n_points(&self, slots: &Slots) -> usize {
        (slots.n_documents() + self.n_dead()).saturating_sub(self.tail.len())
    }

    /// Proves that the graph is sound and that graph and tail hold every document.
    pub(crate) fn audit(&self, memory: &Memory) -> Result<(), String> {
        let _busy = self.busy.lock();
        if self.is_broken() {
            return Ok(());
        }
        let audit = self.graph.audit();
        if let Some(fault) = audit.faults.first() {
            return Err(format!("{} faults in the graph, the first: {fault}", audit.faults.len()));
        }
        let mut held = vec![false; memory.slots.n_slots()];
        let mut hold = |slot: u32| held.get_mut(slot as usize).map_or((), |held| *held = true);
        for point in self.graph.points() {
            hold(point);
            self.graph.twins(point).for_each(&mut hold);
        }
        self.tail.each_run(|run| run.iter().for_each(|slot| hold(slot.load(Ordering::Relaxed))));
        let lost = held.iter().zip(0..).find(|&(held, slot)| !held && memory.slots.is_alive(Slot(slot)));
        lost.map_or(Ok(()), |(_, slot)| Err(format!("slot {slot} is neither in the graph nor in the tail")))
    }

    /// Waits until all that was put before is linked and can be reached, or `stopped`.
    pub(crate) fn wait(&self, wake: impl Fn(), stopped: impl Fn() -> bool) {
        let n_pushed = self.tail.n_pushed();
        self.awaited.fetch_max(n_pushed, Ordering::AcqRel);
        wake();
        self.tail.wait_until(|| self.is_broken() || stopped() || self.n_proven() >= n_pushed);
    }
}

/// How much of the graph changed.
#[derive(Default)]
struct Counts {
    n_links: usize,
    n_rows: usize,
}

impl Counts {
    fn of(changes: &[Change]) -> Self {
        let count = |counts: Counts, change: &Change| match change {
            Change::Append { .. } => Counts { n_links: counts.n_links + 1, ..counts },
            Change::Row { links, .. } => Counts { n_links: counts.n_links + links.len(), n_rows: counts.n_rows + 1 },
            Change::Twin { .. } | Change::Entry { .. } => counts,
        };
        changes.iter().fold(Counts::default(), count)
    }

    fn and(self, other: Counts) -> Counts {
        Counts { n_links: self.n_links + other.n_links, n_rows: self.n_rows + other.n_rows }
    }
}

/// Those who change a graph together, each with room of its own.
struct Crew<'c, Q: Default + Send + 'static> {
    graph: &'c Graph,
    linking: &'static std::thread::LocalKey<RefCell<Linking<Q>>>,
    pool: &'c rayon::ThreadPool,
}

impl<Q: Default + Send> Crew<'_, Q> {
    /// Does something for each slot, on all threads where there are several.
    fn each(&self, slots: &[Slot], work: impl Fn(&Graph, Slot, &mut Linking<Q>) + Sync) -> Counts {
        let (graph, key) = (self.graph, self.linking);
        let one = |slot: &Slot| {
            key.with_borrow_mut(|linking| {
                work(graph, *slot, linking);
                let counts = Counts::of(&linking.changes);
                linking.changes.clear();
                counts
            })
        };
        if slots.len() <= ALONE {
            return slots.iter().map(one).fold(Counts::default(), Counts::and);
        }
        self.pool.install(|| slots.par_iter().map(one).reduce(Counts::default, Counts::and))
    }

    fn alone<T>(&self, work: impl FnOnce(&Graph, &mut Linking<Q>) -> T) -> T {
        self.linking.with_borrow_mut(|linking| {
            let done = work(self.graph, linking);
            linking.changes.clear();
            done
        })
    }
}
