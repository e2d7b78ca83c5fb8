//! Upkeep of the graph: linking what waits, sweeping what died, mending what cannot be reached.
//!
//! One linker at a time does all of it. It may share the work among threads.

use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::HnswIndex;
use super::linking_context::LinkContext;
use super::regions::region_of;
use super::space::{CodeSpace, ExactQuery, ExactSpace, Points};
use crate::cancel::Stop;
use crate::collection::memory::Memory;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::graph::{Graph, GraphChange, Linking, Space};
use crate::id::{Commit, Slot};
use crate::quant::CodeQuery;

/// Slots linked in one step of the linker.
pub(super) const BATCH: usize = 512;
/// Up to this many slots are linked without other threads.
const ALONE: usize = 2;
/// While slots wait to be linked, one step in this many serves points that need other links.
const TURNS: usize = 8;
/// While codes are replaced, slots stay in the tail until it holds this fraction (1 /
/// `HELD_BACK_SHARE`) of its bound.
const HELD_BACK_SHARE: usize = 2;
/// The graph is swept when at least one slot in this many is dead, and at least [`LEAST_DEAD`] are.
const DEAD_SHARE: usize = 5;
/// The least number of dead slots for a sweep, of the graph or of one namespace.
const LEAST_DEAD: usize = 256;
/// A namespace is swept alone if its dead are at least one in this many slots of the collection,
/// because finding them examines all slots.
const SLOTS_PER_DEAD: usize = 1_024;
/// Rounds after which mending is given up until there are new points.
const MOST_ROUNDS: usize = 8;
/// Walks are checked to reach all points when one in this many is new, at least
/// [`LEAST_UNVERIFIED`].
const UNVERIFIED_SHARE: usize = 20;
/// The least number of new slots for that check.
const LEAST_UNVERIFIED: usize = 1_024;
/// Strays are looked for when one slot in this many is new, and at least [`LEAST_UNVERIFIED`] are.
const UNSTRAIGHTENED_SHARE: usize = 8;
/// One point is searched for per this many new slots.
const PER_SAMPLE: usize = 16;
/// The most points searched for.
const MOST_SAMPLED: usize = 256;
/// If one sampled point in this many is a stray, all points are examined.
const STRAY_SHARE: usize = 100;
/// Up to this many strays in a sample count as chance.
const FEW_STRAYS: usize = 1;

thread_local! {
    pub(super) static OVER_CODES: RefCell<Linking<CodeQuery>> = RefCell::default();
    static OVER_VECTORS: RefCell<Linking<ExactQuery>> = RefCell::default();
}

impl HnswIndex {
    /// Does the next step of work. False if there is none.
    ///
    /// # Errors
    /// `OutOfMemory` if there is no room for links.
    pub(super) fn work(&self, context: &LinkContext<'_>) -> Result<bool> {
        if self.is_broken() {
            let n_waiting = self.tail.len();
            self.tail.leave(n_waiting);
            return Ok(false);
        }
        let _busy = self.busy.lock();
        let LinkContext { memory, exact, oldest, .. } = *context;
        let reaches_dead = self.rebuild.load(Ordering::Acquire);
        let slots = &memory.slots;
        self.make_room(slots.n_slots())?;
        let layer = self.layer();
        let work = || match (&*layer.points, exact.complete()) {
            (Points::Codes(codes), _) => self.work_in(
                &CodeSpace { codes, slots, exact, oldest, reaches_dead, stop: Stop::NEVER },
                &OVER_CODES,
                context,
            ),
            (Points::Exact(comparison), Some(held)) => self.work_in(
                &ExactSpace { comparison, slots, held, oldest, reaches_dead, stop: Stop::NEVER },
                &OVER_VECTORS,
                context,
            ),
            // Linking waits for vectors.
            (Points::Exact(_), None) => Ok(false),
        };
        let both = || -> Result<bool> {
            let has_worked = work()?;
            Ok(self.adapt(context)? || has_worked)
        };
        catch_unwind(AssertUnwindSafe(both)).unwrap_or_else(|_| {
            tracing::error!("comparing vectors panicked: from now on this collection is scanned");
            self.broken.store(true, Ordering::Release);
            self.tail.notify();
            Ok(true)
        })
    }

    /// Makes room for the slots below `n_slots`.
    fn make_room(&self, n_slots: usize) -> Result<()> {
        failpoint::refuse("link")?;
        self.reserve(n_slots).map_err(|source| Error::OutOfMemory { n_documents: n_slots, source })
    }

    fn work_in<S: Space>(
        &self,
        space: &S,
        linking: &'static std::thread::LocalKey<RefCell<Linking<S::Query>>>,
        context: &LinkContext<'_>,
    ) -> Result<bool> {
        let graph = self.graph();
        let (memory, workers) = (context.memory, Workers { graph: &graph, linking, context });
        let mut refused = None;
        if self.rebuild.load(Ordering::Acquire) {
            self.stop_replacing();
            match self.rebuild_graph(space, &workers) {
                Ok(()) => return Ok(true),
                Err(error) if self.distrusted.load(Ordering::Acquire) => return Err(error),
                // The present graph stays in use: waiting slots are linked to it.
                Err(error) => refused = Some(error),
            }
        }
        if !self.unreached.load().is_empty() {
            // Before anything else: no slot may be used again while it is listed.
            self.mend(space, &workers);
            self.unreached.store(Arc::default());
            self.tail.notify();
            return Ok(true);
        }
        if self.keep_namespaces(&graph, context) {
            return Ok(true);
        }
        // Waiting slots go first, except in one step of `TURNS`, because some writers never pause.
        let is_turn = self.tail.len() == 0 || self.n_turns.fetch_add(1, Ordering::Relaxed).is_multiple_of(TURNS);
        if is_turn && (self.repair(space, &workers) || self.straighten(space, &workers)) {
            return Ok(true);
        }
        let (n_left, awaited) = (self.tail.n_left(), self.awaited.load(Ordering::Acquire));
        if n_left >= awaited && self.n_verified() < awaited {
            self.mend(space, &workers);
            return Ok(true);
        }
        let n_points = self.n_points(memory.census().n_documents);
        if context.oldest > Commit(self.swept_at.load(Ordering::Relaxed)) {
            // Views that kept dead points at the last sweep may be closed by now.
            self.n_dead_waiting.fetch_min(self.tail.len(), Ordering::Relaxed);
        }
        let n_doomed = self.n_dead().saturating_sub(self.n_dead_waiting.load(Ordering::Relaxed));
        let n_asked = self.n_sweeps_asked.load(Ordering::Acquire);
        if n_asked > self.n_sweeps_done.load(Ordering::Acquire) && !self.is_replacing() {
            if n_doomed > 0 {
                self.sweep(space, &workers);
            }
            self.n_sweeps_done.store(n_asked, Ordering::Release);
            self.tail.notify();
            return Ok(true);
        }
        // A layer that is being built may have links to slots that died since.
        if n_doomed >= LEAST_DEAD && n_doomed * DEAD_SHARE >= n_points && !self.is_replacing() {
            self.sweep(space, &workers);
            return Ok(true);
        }
        if is_turn && !self.is_replacing() && self.sweep_crowded(space, &workers) {
            return Ok(true);
        }
        let mut waiting = Vec::new();
        failpoint::hit("link.take");
        // Codes that do not fit would link them badly, so they wait while there is room.
        if !self.is_replacing() || self.tail.len() * HELD_BACK_SHARE >= self.bound.min(self.usual_bound) {
            self.tail.take(BATCH, &mut waiting);
        }
        if !waiting.is_empty() {
            // The commit reserved room in the graph of its time, which may have been another one.
            let last = waiting.iter().max().map_or(0, |slot| slot.0 as usize);
            self.make_room(last + 1)?;
            // Dead documents are linked as long as a search may look at a commit at which they
            // lived.
            let (needed, dead): (Vec<Slot>, Vec<Slot>) = waiting.iter().partition(|slot| space.is_needed(slot.0));
            let (needed, loose) = self.sort_out(&graph, memory, needed);
            let mut changes = workers.each(&needed, |graph, slot, linking| graph.link(space, slot.0, linking));
            if n_points < LEAST_UNVERIFIED {
                // A small graph is checked every time, before anything relies on it.
                changes.extend(self.mend_in(space, &workers));
            }
            self.note(&workers, &changes);
            self.note_linked(&memory.slots, &needed);
            self.tail.leave(waiting.len());
            let n_waiting = self.n_dead_waiting.load(Ordering::Relaxed);
            self.n_dead_waiting.store(n_waiting.saturating_sub(dead.len()), Ordering::Relaxed);
            self.retire(context, dead);
            self.let_loose(context, loose);
            return Ok(true);
        }
        if n_left - self.n_verified() >= LEAST_UNVERIFIED.max(n_points / UNVERIFIED_SHARE) {
            self.mend(space, &workers);
            return Ok(true);
        }
        if n_left > self.n_verified() && self.namespaces.take_begun() {
            // A namespace that was just linked is checked soon.
            self.mend(space, &workers);
            return Ok(true);
        }
        refused.map_or(Ok(false), Err)
    }

    /// Gives new links to some points that have lost theirs. False if there are none.
    fn repair<S: Space>(&self, space: &S, workers: &Workers<'_, S::Query>) -> bool {
        let underfull: Vec<Slot> = {
            let underfull = self.underfull.lock();
            underfull.iter().rev().take(BATCH).copied().map(Slot).collect()
        };
        if underfull.is_empty() {
            return false;
        }
        self.note(workers, &workers.each(&underfull, |graph, slot, linking| graph.repair(space, slot.0, linking)));
        let n_left = {
            let mut pending = self.underfull.lock();
            let n_left = pending.len().saturating_sub(underfull.len());
            pending.truncate(n_left);
            n_left
        };
        if n_left == 0 {
            // Other points may have been reachable only by the lost links.
            self.mend(space, workers);
        }
        true
    }

    /// Chooses links again for some of the points in `strays`. False if there are none.
    fn straighten<S: Space>(&self, space: &S, workers: &Workers<'_, S::Query>) -> bool {
        let batch: Vec<Slot> = self.strays.lock().iter().rev().take(BATCH).copied().map(Slot).collect();
        if batch.is_empty() {
            return false;
        }
        self.note(workers, &workers.each(&batch, |graph, slot, linking| graph.straighten(space, slot.0, linking)));
        let n_left = {
            let mut strays = self.strays.lock();
            let n_left = strays.len().saturating_sub(batch.len());
            strays.truncate(n_left);
            n_left
        };
        if n_left == 0 {
            // Other points may have been reachable only by links that are gone.
            self.mend(space, workers);
            self.is_unsettled.store(!self.strays.lock().is_empty(), Ordering::Release);
        }
        true
    }

    /// Once the graph has grown, searches for a sample of points. If too many are missed, has all
    /// points examined.
    fn look_for_strays<S: Space>(&self, space: &S, workers: &Workers<'_, S::Query>) {
        let n_left = self.tail.n_left();
        let n_new = n_left.saturating_sub(self.n_straightened.load(Ordering::Relaxed));
        let n_slots = workers.context.memory.slots.n_slots();
        // With inner products, a point that is near to nothing need not be found.
        let is_metric = space.views().len() == 1;
        let is_new = n_new >= LEAST_UNVERIFIED.max(n_slots / UNSTRAIGHTENED_SHARE);
        if !is_metric || !is_new || !self.strays.lock().is_empty() {
            return;
        }
        self.n_straightened.store(n_left, Ordering::Relaxed);
        let sample = workers.graph.sample(n_slots, (n_new / PER_SAMPLE).min(MOST_SAMPLED));
        self.look_for_strays_in(space, workers, sample, || workers.graph.points().collect());
    }

    /// Searches for the points of a sample. If too many are missed, has all of `points` examined.
    fn look_for_strays_in<S: Space>(
        &self,
        space: &S,
        workers: &Workers<'_, S::Query>,
        sample: Vec<u32>,
        points: impl FnOnce() -> Vec<u32>,
    ) {
        let sample: Vec<Slot> = sample.into_iter().map(Slot).collect();
        let n_strays = AtomicUsize::new(0);
        workers.each(&sample, |graph, slot, linking| {
            n_strays.fetch_add(usize::from(graph.is_stray(space, slot.0, linking)), Ordering::Relaxed);
        });
        let n_strays = n_strays.into_inner();
        if n_strays <= FEW_STRAYS || n_strays * STRAY_SHARE < sample.len() {
            return;
        }
        tracing::debug!(n_strays, n_sampled = sample.len(), "choosing links again of points that searches miss");
        // The linker takes from the end: points above level 0 first, where walks pass.
        let mut points = points();
        points.sort_by_key(|&point| workers.graph.level_of(point));
        self.strays.lock().extend(points);
    }

    /// Removes dead points from the graph and lets their slots be used again.
    fn sweep<S: Space>(&self, space: &S, workers: &Workers<'_, S::Query>) {
        self.namespaces.forget_dead();
        self.sweep_among(space, workers, |_| true);
        self.n_dead_waiting.store(self.n_dead(), Ordering::Relaxed);
        // Another sweep would keep the same points until the oldest view is closed.
        let (now, oldest) = ((workers.context.now)(), workers.context.oldest);
        self.swept_at.store(if oldest < now { oldest.0 } else { u64::MAX }, Ordering::Relaxed);
        self.mend(space, workers);
        self.look_at_swept(space, workers, workers.graph.points().collect());
    }

    /// As [`sweep`](HnswIndex::sweep), for one namespace that has lost many points, without
    /// waiting for the others. False if there is none.
    fn sweep_crowded<S: Space>(&self, space: &S, workers: &Workers<'_, S::Query>) -> bool {
        if workers.graph.is_undivided() || !self.namespaces.are_several() {
            return false;
        }
        let LinkContext { memory, oldest, .. } = *workers.context;
        let least = LEAST_DEAD.max(memory.slots.n_slots() / SLOTS_PER_DEAD);
        let are_many = |namespace, n_dead| n_dead * DEAD_SHARE >= memory.n_members(namespace) + n_dead;
        let Some(namespace) = self.namespaces.crowded(least, oldest, are_many) else { return false };
        let is_own = |slot: u32| space.region_of(slot) == namespace.0;
        let points = self.sweep_among(space, workers, is_own);
        let n_left = points.iter().filter(|slot| workers.graph.is_point(slot.0) && !space.is_alive(slot.0)).count();
        self.namespaces.note_swept(namespace, oldest, n_left);
        let points: Vec<u32> = points.into_iter().map(|slot| slot.0).collect();
        let changes = self.mend_until_none(space, workers, || workers.graph.unreachable_in(namespace.0, &points));
        self.note(workers, &changes);
        self.look_at_swept(space, workers, points);
        true
    }

    /// Looks for strays among the points left by a sweep. Where whole clusters are gone, walks may
    /// end before the clusters behind them.
    fn look_at_swept<S: Space>(&self, space: &S, workers: &Workers<'_, S::Query>, mut points: Vec<u32>) {
        if space.views().len() > 1 {
            // With inner products, a point that is near to nothing need not be found.
            return self.is_unsettled.store(false, Ordering::Release);
        }
        points.retain(|&slot| workers.graph.is_point(slot));
        let step = points.len().div_ceil(MOST_SAMPLED).max(1);
        let sample = points.iter().copied().step_by(step).collect();
        self.look_for_strays_in(space, workers, sample, || points);
        self.is_unsettled.store(!self.strays.lock().is_empty(), Ordering::Release);
        self.tail.notify();
    }

    /// Removes the dead among all points for which `is_swept` holds, which are those of some
    /// regions. Lets their slots be used again. Returns the points left.
    fn sweep_among<S: Space>(
        &self,
        space: &S,
        workers: &Workers<'_, S::Query>,
        is_swept: impl Fn(u32) -> bool,
    ) -> Vec<Slot> {
        self.is_unsettled.store(true, Ordering::Release);
        let (sweep, mut changes) = workers.alone(|graph, linking| graph.begin_sweep(space, &is_swept, linking));
        // Points that took the place of dead ones are included.
        let points: Vec<Slot> = workers.graph.points().filter(|&slot| is_swept(slot)).map(Slot).collect();
        changes.extend(workers.each(&points, |graph, slot, linking| graph.bypass(space, &sweep, slot.0, linking)));
        let (gone, last) = workers.alone(|graph, linking| graph.finish_sweep(sweep, linking));
        changes.extend(last);
        self.note(workers, &changes);
        tracing::debug!(n_gone = gone.len(), "swept dead points");
        self.retire(workers.context, gone.into_iter().map(Slot).collect());
        points
    }

    /// Replaces the graph by a new one of the same slots. Searches walk the old one meanwhile.
    fn rebuild_graph<S: Space>(&self, space: &S, workers: &Workers<'_, S::Query>) -> Result<()> {
        let (slots, rebuilt) = (&workers.context.memory.slots, Arc::new(Graph::new(workers.graph.shape())));
        let n_slots = slots.n_slots();
        failpoint::refuse("link")?;
        rebuilt.reserve(n_slots).map_err(|source| Error::OutOfMemory { n_documents: n_slots, source })?;
        let held = self.held();
        let (needed, dead): (Vec<Slot>, Vec<Slot>) =
            (0..slots.n_slots() as u32).map(Slot).filter(|&slot| held(slot)).partition(|slot| space.is_needed(slot.0));
        let (needed, loose, linked) = self.divide(workers.context.memory, needed);
        tracing::info!(n_documents = needed.len(), "rebuilding the graph");
        let new_workers = Workers { graph: &rebuilt, ..*workers };
        for batch in needed.chunks(BATCH) {
            if (workers.context.is_stopped)() {
                return Err(Error::Closed);
            }
            new_workers.each(batch, |graph, slot, linking| graph.link(space, slot.0, linking));
        }
        self.mend_in(space, &new_workers);
        self.set_linked(linked);
        self.layer.store(Arc::new(self.layer().with_graph(rebuilt.clone())));
        self.underfull.lock().clear();
        self.strays.lock().clear();
        self.n_straightened.store(0, Ordering::Relaxed);
        self.namespaces.forget_dead();
        self.is_unsettled.store(false, Ordering::Release);
        // Before their slots are used again: these points are linked now, or dead.
        self.unreached.store(Arc::default());
        self.retire(workers.context, dead);
        self.let_loose(workers.context, loose);
        // The codes that linked them may not fit.
        self.adapting.lock().watches.doubt_links();
        self.distrusted.store(false, Ordering::Release);
        self.rebuild.store(false, Ordering::Release);
        self.n_rebuilt.fetch_add(1, Ordering::Release);
        self.tail.notify();
        Ok(())
    }

    /// Asks the linker to rebuild the graph. The returned function tells whether that is done.
    pub(super) fn ask_for_rebuild(&self) -> impl Fn() -> bool {
        let n_before = self.n_rebuilt.load(Ordering::Acquire);
        self.rebuild.store(true, Ordering::Release);
        move || self.is_broken() || self.n_rebuilt.load(Ordering::Acquire) > n_before
    }

    /// Asks for a sweep, however few points are dead. The returned function tells whether it is
    /// done.
    pub(super) fn ask_for_sweep(&self) -> impl Fn() -> bool {
        let n_asked = self.n_sweeps_asked.fetch_add(1, Ordering::AcqRel) + 1;
        move || self.is_broken() || self.n_sweeps_done.load(Ordering::Acquire) >= n_asked
    }

    /// Keeps searches from walking the graph until it is rebuilt: some points have no vectors.
    pub(super) fn distrust(&self) {
        self.distrusted.store(true, Ordering::Release);
        self.rebuild.store(true, Ordering::Release);
    }

    /// How often a new graph has replaced the old one.
    pub(crate) fn n_rebuilt(&self) -> usize {
        self.n_rebuilt.load(Ordering::Acquire)
    }

    pub(super) fn retire(&self, context: &LinkContext<'_>, slots: Vec<Slot>) {
        self.n_dead.fetch_sub(slots.len().min(self.n_dead()), Ordering::Relaxed);
        // No link leads to them any more. Searches that began before look at this commit or an
        // earlier one.
        context.memory.retire(slots, (context.now)());
    }

    /// Makes unreachable points reachable, and looks for strays.
    fn mend<S: Space>(&self, space: &S, workers: &Workers<'_, S::Query>) {
        let changes = self.mend_in(space, workers);
        self.note(workers, &changes);
        self.look_for_strays(space, workers);
        self.n_verified.store(self.tail.n_left(), Ordering::Release);
        self.tail.notify();
    }

    /// Makes unreachable points of the workers' graph reachable. Returns the changes.
    pub(super) fn mend_in<S: Space>(&self, space: &S, workers: &Workers<'_, S::Query>) -> Vec<GraphChange> {
        self.mend_until_none(space, workers, || workers.graph.unreachable())
    }

    /// As [`mend_in`](HnswIndex::mend_in), for the points that `unreachable` returns.
    fn mend_until_none<S: Space>(
        &self,
        space: &S,
        workers: &Workers<'_, S::Query>,
        unreachable: impl Fn() -> Vec<u32>,
    ) -> Vec<GraphChange> {
        let mut changes = Vec::new();
        for _ in 0..MOST_ROUNDS {
            let unreachable: HashSet<u32> = unreachable().into_iter().collect();
            if unreachable.is_empty() {
                break;
            }
            tracing::debug!(n_points = unreachable.len(), "linking to points that cannot be reached");
            for &slot in &unreachable {
                changes.extend(workers.alone(|graph, linking| graph.mend(space, slot, &unreachable, linking)).1);
            }
        }
        changes
    }

    /// Counts the changes and has them logged.
    fn note<Q: Default + Send>(&self, workers: &Workers<'_, Q>, changes: &[GraphChange]) {
        self.note_changes(workers.graph, workers.context, changes);
    }

    /// Keeps the graph from changing until the guard is dropped.
    pub(crate) fn hold(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.busy.lock()
    }

    pub(super) fn n_dead(&self) -> usize {
        self.n_dead.load(Ordering::Relaxed)
    }

    /// Whether walks reach every point, as long as nothing is linked.
    pub(crate) fn is_verified(&self) -> bool {
        self.n_verified() >= self.tail.n_left() && self.n_underfull() == 0 && self.unreached.load().is_empty()
    }

    fn n_verified(&self) -> usize {
        self.n_verified.load(Ordering::Acquire)
    }

    /// About how many slots the graph holds in a collection of `n_documents`, dead ones included.
    pub(super) fn n_points(&self, n_documents: usize) -> usize {
        (n_documents + self.n_dead()).saturating_sub(self.tail.len() + self.namespaces.n_loose())
    }

    /// Checks that the graph is sound, and that every document is in graph or tail, or loose.
    pub(super) fn audit(&self, memory: &Memory) -> Result<(), String> {
        let _busy = self.busy.lock();
        if self.is_broken() {
            return Ok(());
        }
        let graph = self.graph();
        let audit = graph.audit(region_of(&memory.slots));
        if let Some(fault) = audit.faults.first() {
            return Err(format!("{} faults in the graph, the first: {fault}", audit.faults.len()));
        }
        let mut held = vec![false; memory.slots.n_slots()];
        let mut hold = |slot: u32| held.get_mut(slot as usize).map_or((), |held| *held = true);
        for point in graph.points() {
            hold(point);
            graph.duplicates(point).for_each(&mut hold);
        }
        self.tail.each_run(|run| run.iter().for_each(|slot| hold(slot.load(Ordering::Relaxed))));
        for (held, slot) in held.into_iter().zip((0..).map(Slot)).filter(|(_, slot)| memory.slots.is_alive(*slot)) {
            let is_loose = self.namespaces.is_loose(slot);
            if !held && !is_loose {
                return Err(format!("slot {} is neither in the graph nor in the tail, nor loose", slot.0));
            }
            if is_loose && (held || self.links(memory.slots.namespace(slot))) {
                return Err(format!("slot {} is loose, but its namespace or itself is linked", slot.0));
            }
        }
        Ok(())
    }

    /// Asks for all slots pushed so far to be linked and checked to be reachable. The returned
    /// function tells whether that is done, codes fit, and namespaces are linked apart.
    pub(super) fn ask_for_links(&self) -> impl Fn() -> bool {
        let n_pushed = self.tail.n_pushed();
        self.awaited.fetch_max(n_pushed, Ordering::AcqRel);
        move || {
            let is_verified =
                self.n_verified() >= n_pushed && self.n_underfull() == 0 && self.unreached.load().is_empty();
            self.is_broken() || is_verified && self.fits() && !self.is_undivided()
        }
    }
}

/// The threads that change one graph together, each with buffers of its own.
pub(super) struct Workers<'c, Q: Default + Send + 'static> {
    pub(super) graph: &'c Graph,
    pub(super) linking: &'static std::thread::LocalKey<RefCell<Linking<Q>>>,
    pub(super) context: &'c LinkContext<'c>,
}

impl<Q: Default + Send> Workers<'_, Q> {
    /// Calls `work` for each slot, on several threads if there are many. Returns the changes.
    pub(super) fn each(&self, slots: &[Slot], work: impl Fn(&Graph, Slot, &mut Linking<Q>) + Sync) -> Vec<GraphChange> {
        let (graph, key) = (self.graph, self.linking);
        let one = |slot: &Slot| {
            key.with_borrow_mut(|linking| {
                work(graph, *slot, linking);
                std::mem::take(&mut linking.changes)
            })
        };
        if slots.len() <= ALONE {
            return slots.iter().flat_map(one).collect();
        }
        let all: Vec<Vec<GraphChange>> = self.context.pool.install(|| slots.par_iter().map(one).collect());
        all.concat()
    }

    /// Calls `work` on this thread. Returns its result and the changes.
    fn alone<T>(&self, work: impl FnOnce(&Graph, &mut Linking<Q>) -> T) -> (T, Vec<GraphChange>) {
        self.linking.with_borrow_mut(|linking| {
            let done = work(self.graph, linking);
            (done, std::mem::take(&mut linking.changes))
        })
    }
}
