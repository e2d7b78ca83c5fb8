//! Replacing codes that do not fit by others.
//!
//! A new layer is built beside the one in use: first the codes of all documents, then a graph. The
//! graph begins with a copy of the present links. Slots are linked again if they were linked since
//! codes were last seen to fit. In a small collection all are. Meanwhile each new document gets a
//! code in both layers, and each slot linked in the present layer is linked in the new one later.
//! All this is done in small steps. Then the new layer replaces the other at once.
//!
//! A crash loses the work done so far: until a save writes the new layer, the old one is on disk.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cancel::Stop;
use crate::collection::vectors::HnswIndex;
use crate::collection::vectors::layer::Layer;
use crate::collection::vectors::linking::{BATCH, OVER_CODES, Workers};
use crate::collection::vectors::linking_context::LinkContext;
use crate::collection::vectors::regions::region_of;
use crate::collection::vectors::space::{CodeSpace, Points};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::graph::{GraphChange, Space};
use crate::id::Slot;
use crate::quant::Book;
use crate::store::View;

/// Codes made in one step.
const FILLED: usize = 4_096;

/// With fewer slots, all are linked again, which takes less than a second.
const LEAST_KEPT: usize = 4_096;
/// Slots searched for in one step.
const LED_TO: usize = 8 * BATCH;

/// A layer that is being built.
pub(super) struct Replacing {
    layer: Arc<Layer>,
    /// The oldest view in use when this was begun, and the newest. They are kept until all codes
    /// are made. So no slot without a code is given another document.
    views: Option<[Arc<View>; 2]>,
    /// Slots that have a code.
    n_filled: usize,
    /// Slots at the beginning.
    n_slots: usize,
    /// Slots to link once all codes are made, in this order.
    waiting: VecDeque<Slot>,
    /// Points that lost links to such slots. They get new links if too few come back.
    underfull: Vec<Slot>,
    /// Slots that were linked; each is then searched for once.
    linked: Vec<Slot>,
}

impl Replacing {
    /// Notes slots that were linked in the present layer.
    pub(in crate::collection::vectors) fn note_linked(&mut self, slots: &[Slot]) {
        self.waiting.extend(slots);
    }
}

impl HnswIndex {
    /// Gives up the layer being built. Codes are measured again, and another layer may be begun.
    pub(in crate::collection::vectors) fn stop_replacing(&self) {
        let mut adapting = self.adapting.lock();
        if adapting.replacing.take().is_some() | adapting.wanted.take().is_some() {
            adapting.watches.measure_all();
        }
        self.next.store(None);
    }

    /// Begins to build a layer by a book, or notes that it is wanted.
    pub(super) fn begin_replacing(&self, context: &LinkContext<'_>, book: Book) -> Result<()> {
        let slots = &context.memory.slots;
        let layer = Arc::new(Layer::new(self.origin, context.comparison, self.graph().shape(), Some(book.clone())));
        failpoint::refuse("link")?;
        let n_slots = slots.n_slots();
        layer.reserve(n_slots).map_err(|source| Error::OutOfMemory { n_documents: n_slots, source })?;
        failpoint::hit("codes.begun");
        let mut n_then = n_slots;
        let mut failed = None;
        // No commit comes between: every later document gets a code in the new layer too.
        let views = (context.pin)(&mut || {
            n_then = slots.n_slots();
            match layer.reserve(n_then) {
                Ok(()) => self.next.store(Some(layer.clone())),
                Err(source) => failed = Some(source),
            }
        });
        if let Some(source) = failed {
            return Err(Error::OutOfMemory { n_documents: n_then, source });
        }
        let Some(views) = views else {
            self.adapting.lock().wanted = Some(book);
            return Ok(());
        };
        let (waiting, underfull, linked) = (VecDeque::new(), Vec::new(), Vec::new());
        let replacing =
            Replacing { layer, views: Some(views), n_filled: 0, n_slots: n_then, waiting, underfull, linked };
        let mut adapting = self.adapting.lock();
        (adapting.replacing, adapting.wanted) = (Some(replacing), None);
        Ok(())
    }

    /// Does one step of building a layer. Returns whether it has replaced the old one.
    pub(super) fn replace_some(
        &self,
        context: &LinkContext<'_>,
        old: &Layer,
        replacing: &mut Replacing,
    ) -> Result<bool> {
        failpoint::hit("codes.some");
        if let Some(views) = &replacing.views {
            let end = (replacing.n_filled + FILLED).min(replacing.n_slots);
            replacing.layer.fill(context, old, replacing.n_filled as u32..end as u32, views)?;
            replacing.n_filled = end;
            if end == replacing.n_slots {
                self.begin_links(context, old, replacing)?;
                replacing.views = None;
                failpoint::hit("codes.filled");
            }
            return Ok(false);
        }
        let Points::Codes(codes) = &*replacing.layer.points else { return Ok(true) };
        let LinkContext { memory, exact, oldest, .. } = *context;
        let space = CodeSpace { codes, slots: &memory.slots, exact, oldest, reaches_dead: true, stop: Stop::NEVER };
        let workers = Workers { graph: &replacing.layer.graph, linking: &OVER_CODES, context };
        let n_slots = memory.slots.n_slots();
        replacing.layer.reserve(n_slots).map_err(|source| Error::OutOfMemory { n_documents: n_slots, source })?;
        // More than the present layer links meanwhile, so that it ends at any rate of writes.
        let batch: Vec<Slot> = replacing.waiting.drain(..(2 * BATCH).min(replacing.waiting.len())).collect();
        let needed: Vec<Slot> = batch.into_iter().filter(|slot| space.is_needed(slot.0)).collect();
        let _: Vec<GraphChange> = workers.each(&needed, |graph, slot, linking| graph.link(&space, slot.0, linking));
        replacing.linked.extend(needed);
        if !replacing.waiting.is_empty() {
            return Ok(false);
        }
        let underfull = replacing.underfull.split_off(replacing.underfull.len().saturating_sub(2 * BATCH));
        let _: Vec<GraphChange> =
            workers.each(&underfull, |graph, slot, linking| graph.repair_underfull(&space, slot.0, linking));
        if !replacing.underfull.is_empty() {
            return Ok(false);
        }
        let linked = replacing.linked.split_off(replacing.linked.len().saturating_sub(LED_TO));
        let _: Vec<GraphChange> =
            workers.each(&linked, |graph, slot, linking| graph.lead_to_stray(&space, slot.0, linking));
        if !replacing.linked.is_empty() {
            return Ok(false);
        }
        self.mend_in(&space, &workers);
        self.take_place(context, &replacing.layer);
        Ok(true)
    }

    /// Copies the present links into the new layer, and lists the slots to link again.
    fn begin_links(&self, context: &LinkContext<'_>, old: &Layer, replacing: &mut Replacing) -> Result<()> {
        let (slots, graph) = (&context.memory.slots, &replacing.layer.graph);
        let n_slots = slots.n_slots();
        replacing.layer.reserve(n_slots).map_err(|source| Error::OutOfMemory { n_documents: n_slots, source })?;
        let held = self.held();
        let all = || (0..n_slots as u32).map(Slot).filter(|&slot| held(slot));
        let unsure = {
            let all = all().map(|slot| (slot, slots.namespace(slot)));
            self.adapting.lock().watches.unsure_among(all)
        };
        let n_held = all().count();
        if n_held < LEAST_KEPT || unsure.len() >= n_held / 2 {
            replacing.waiting = all().collect();
            return Ok(());
        }
        let oldest = replacing.views.as_ref().map_or(context.oldest, |[oldest, _]| oldest.commit);
        // A document that nobody can see has no code.
        let mut relinked: HashSet<u32> =
            all().filter(|&slot| !slots.is_needed(slot, oldest)).map(|slot| slot.0).collect();
        relinked.extend(unsure.iter().map(|slot| slot.0));
        let points = relinked.iter().filter(|&&slot| old.graph.is_point(slot));
        let duplicates: Vec<u32> = points.flat_map(|&slot| old.graph.duplicates(slot)).collect();
        relinked.extend(duplicates.into_iter().filter(|&duplicate| held(Slot(duplicate))));
        context.pool.install(|| graph.copy(&old.graph));
        let mut representatives = graph.representatives();
        graph.forget(&relinked, &mut representatives);
        let region_of = region_of(slots);
        replacing.underfull = context.pool.install(|| graph.tidy(&region_of)).into_iter().map(Slot).collect();
        graph.settle_entries(&region_of);
        let mut relinked: Vec<Slot> = relinked.into_iter().map(Slot).collect();
        relinked.sort_unstable();
        tracing::debug!(
            n_relinked = relinked.len(),
            n_underfull = replacing.underfull.len(),
            "keeping the links there are"
        );
        replacing.waiting = relinked.into();
        Ok(())
    }

    /// Makes a finished layer the present one.
    fn take_place(&self, context: &LinkContext<'_>, layer: &Arc<Layer>) {
        failpoint::hit("codes.made");
        let held = self.held();
        {
            // Until here each new document got a code in both layers; from here on in the new one.
            let _still = context.memory.still();
            self.layer.store(layer.clone());
            // With other codes all measurements are void, and are repeated as the collection grows.
            // Done before waiting threads can see that no layer is being built.
            self.adapting.lock().watches.reset();
            self.doubts.lock().reset();
            self.next.store(None);
        }
        let held_now = self.held();
        let slots = (0..context.memory.slots.n_slots() as u32).map(Slot);
        let dead = slots.filter(|&slot| held(slot) && !held_now(slot)).collect();
        self.underfull.lock().clear();
        self.strays.lock().clear();
        self.n_straightened.store(0, Ordering::Relaxed);
        self.namespaces.forget_dead();
        self.is_unsettled.store(false, Ordering::Release);
        self.unreached.store(Arc::default());
        self.cost.store(None);
        self.retire(context, dead);
        self.n_verified.store(self.tail.n_left(), Ordering::Release);
        self.n_rebuilt.fetch_add(1, Ordering::Release);
        self.n_replaced.fetch_add(1, Ordering::Release);
        self.tail.notify();
        let kind = layer.codes().map(|codes| codes.book().kind);
        tracing::info!(?kind, "other codes are in place");
        failpoint::hit("codes.replaced");
    }
}
