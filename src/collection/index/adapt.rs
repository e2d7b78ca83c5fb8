//! Fitting codes to the data: measuring how far they can be trusted, and putting others in their place where that is
//! not
//! far enough.
//!
//! A new layer is made beside the one that is walked: first the codes of all documents, then a graph. Whoever gives a
//! slot
//! a document meanwhile gives it a code in both, and what is linked in the one is linked in the other after. Both are
//! done a little at a time, between other work. Then the new layer takes the other's place at once.
//!
//! A crash on the way costs what was done of it: what is on disk is the old layer until a save has written the new one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Index;
use super::codebook::Codebook;
use super::gauge::{Gauge, LEAST_DOCUMENTS, Sample, glance, sample_to_try};
use super::layer::Layer;
use super::space::{CodeSpace, Points};
use super::upkeep::{BATCH, Bench, Crew, OVER_CODES};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::graph::{Change, Space};
use crate::id::Slot;
use crate::quant::{Book, CodeKind};
use crate::store::View;

/// Codes that leave fewer of the nearest are replaced.
const GOOD: f32 = 0.985;
/// The least gain in recall for which codes are replaced.
const BETTER: f32 = 0.005;
/// Codes by bytes are measured from another centre where so large a part of what they measure is the same for all
/// vectors,
/// unless that leaves fewer of the nearest by more than so many: it is lost to telling one from another.
const COMMON: f64 = 0.7;
const WORSE: f32 = 0.005;
/// Codes are measured again once there are so many times more documents.
const GROWTH: usize = 2;
/// Of the documents linked last so many are taken note of.
const NEWEST: usize = 256;
/// Whenever so many were, these are looked at: if codes leave fewer of the nearest among them, all is measured.
const LOOKED_AT: usize = 512;
const SUSPECT: f32 = 0.9;
/// So many searches that codes could hardly answer have them measured, if there are so many times more documents than
/// when
/// that was last done.
const DOUBTS: usize = 8;
const DOUBT_GROWTH: f64 = 1.1;
/// Codes made at once.
const FILLED: usize = 4_096;

/// What the linker knows of how codes fit.
#[derive(Default)]
pub(super) struct Adapting {
    replacing: Option<Replacing>,
    /// What a layer is to be made by, once no one holds commits off.
    wanted: Option<Book>,
    /// Slots that were linked last, and how many were since these were last looked at.
    newest: VecDeque<Slot>,
    n_linked: usize,
    /// Something says that codes do not fit any more.
    is_suspected: bool,
    /// Documents when that was so for the last time, and no codes were found that fit better.
    n_refused: usize,
    n_rounds: u64,
}

/// A layer on its way.
struct Replacing {
    layer: Arc<Layer>,
    /// Kept until all codes are there, so that no slot that has none yet is given another document: the oldest view
    /// that
    /// anyone looked at when this was begun, and the newest.
    views: Option<[Arc<View>; 2]>,
    /// Slots that have a code, and those that there were.
    n_filled: usize,
    n_slots: usize,
    /// Slots to link, in order.
    waiting: VecDeque<Slot>,
}

impl Index {
    /// What codes are made by, and how far they can be trusted; `None` where there are none.
    pub(crate) fn codebook(&self) -> Option<Codebook> {
        let book = self.layer.load().codes()?.book().clone();
        Some(Codebook { book, gauge: *self.gauge.lock() })
    }

    /// How often codes were replaced since the collection was opened.
    pub(crate) fn n_replaced(&self) -> usize {
        self.n_replaced.load(Ordering::Acquire)
    }

    /// Whether codes fit so many documents as well as they can, as far as that was measured.
    pub(crate) fn fits(&self, n_documents: usize) -> bool {
        let is_wanted = || self.adapting.lock().wanted.is_some();
        let is_measured = || !self.is_due(n_documents) && !self.is_replacing() && !is_wanted();
        self.is_broken() || self.must_hold() || is_measured() && !self.is_outdated()
    }

    /// Whether codes are to be measured.
    fn is_due(&self, n_documents: usize) -> bool {
        let n_measured = self.n_measured.load(Ordering::Acquire);
        n_documents >= LEAST_DOCUMENTS && n_documents >= n_measured.saturating_mul(GROWTH)
    }

    /// Whether codes are what older versions made of vectors that take no more room themselves.
    fn is_outdated(&self) -> bool {
        let kind = self.layer.load().codes().map(|codes| codes.book().kind);
        let begin = Book::of_dimension(self.origin.dimension).kind;
        self.adapts && kind.is_some_and(|kind| kind != CodeKind::F32 && begin == CodeKind::F32)
    }

    /// Whether other codes are being made.
    pub(super) fn is_replacing(&self) -> bool {
        self.next.load().is_some()
    }

    /// Takes note of slots that were linked.
    pub(super) fn note_linked(&self, slots: &[Slot]) {
        let mut adapting = self.adapting.lock();
        if let Some(replacing) = &mut adapting.replacing {
            replacing.waiting.extend(slots);
        }
        adapting.n_linked += slots.len();
        adapting.newest.extend(slots.iter().skip(slots.len().saturating_sub(NEWEST)));
        let n_more = adapting.newest.len().saturating_sub(NEWEST);
        adapting.newest.drain(..n_more);
    }

    /// Gives up a layer that is being made. Codes are measured again, and another is begun if they still do not fit.
    pub(super) fn stop_replacing(&self) {
        let mut adapting = self.adapting.lock();
        if adapting.replacing.take().is_some() | adapting.wanted.take().is_some() {
            self.n_measured.store(0, Ordering::Release);
        }
        self.next.store(None);
    }

    /// Documents when codes were last measured, as it was written down: none where they did not fit. What was to take
    /// their
    /// place was lost with the last opening.
    pub(super) fn measured_before(gauge: Option<Gauge>, adapts: bool) -> usize {
        gauge.filter(|gauge| !adapts || gauge.code_recall >= GOOD).map_or(0, |gauge| gauge.n_documents)
    }

    /// Does the next piece of work there is for better codes; false if there is none.
    pub(super) fn adapt(&self, bench: &Bench<'_>) -> Result<bool> {
        let layer = self.layer();
        let Points::Codes(codes) = &*layer.points else { return Ok(false) };
        if layer.graph.is_undivided() {
            return Ok(false);
        }
        let mut adapting = self.adapting.lock();
        if let Some(mut replacing) = adapting.replacing.take() {
            drop(adapting);
            let is_done = self.replace_some(bench, &layer, &mut replacing);
            // After a failure it goes on where it was.
            if !matches!(is_done, Ok(true)) {
                self.adapting.lock().replacing = Some(replacing);
            }
            return is_done.map(|_| true);
        }
        if let Some(book) = adapting.wanted.clone() {
            drop(adapting);
            return self.begin_replacing(bench, book).map(|()| true);
        }
        let n_documents = bench.memory.census().n_documents;
        let book = codes.book();
        if self.is_outdated() {
            let book = Book { kind: CodeKind::F32, generation: book.generation + 1, centre: Vec::new() };
            drop(adapting);
            return self.begin_replacing(bench, book).map(|()| true);
        }
        let n_measured = self.n_measured.load(Ordering::Acquire);
        let was_refused = n_documents < adapting.n_refused.saturating_mul(GROWTH);
        if adapting.n_linked >= LOOKED_AT && !self.is_due(n_documents) && !was_refused {
            adapting.n_linked = 0;
            let newest = Vec::from(adapting.newest.clone());
            let left = glance(bench, &layer, &newest);
            if left < SUSPECT && book.kind != CodeKind::F32 {
                tracing::debug!(left, "the newest documents lie elsewhere");
                adapting.is_suspected = true;
                self.n_measured.store(0, Ordering::Release);
            }
        }
        if self.n_doubts.load(Ordering::Relaxed) >= DOUBTS && n_documents as f64 >= n_measured as f64 * DOUBT_GROWTH {
            self.n_measured.store(0, Ordering::Release);
        }
        // While vectors are on their way into memory, they are read from there soon.
        if !self.is_due(n_documents) || !bench.is_settled {
            return Ok(false);
        }
        // As of the commit that is looked at: what came since was not measured.
        let slots = &bench.memory.slots;
        let is_seen = |slot: &u32| slots.exists_at(Slot(*slot), bench.commit);
        let n_documents = (0..slots.n_slots() as u32).filter(is_seen).count();
        adapting.n_rounds += 1;
        let (newest, salt) = (Vec::from(adapting.newest.clone()), adapting.n_rounds);
        drop(adapting);
        let measured = self.measure_trust(bench, &newest, salt)?;
        let Some((sample, gauge)) = measured else {
            self.note_measured(n_documents);
            return Ok(false);
        };
        *self.gauge.lock() = Some(gauge);
        let Gauge { code_recall, recall, .. } = gauge;
        tracing::debug!(kind = ?book.kind, code_recall, recall, n_documents, "measured how far codes can be trusted");
        let is_narrow = match book.kind {
            CodeKind::Sq8 | CodeKind::Sq8Centred => sample.centre(bench, &book.centre).1 >= COMMON,
            CodeKind::Sq16 | CodeKind::F32 => false,
        };
        drop(sample);
        if (code_recall < GOOD || is_narrow)
            && self.adapts
            && let Some(sample) = sample_to_try(self, bench, &newest, salt)?
        {
            let now = sample.code_recall_of(bench, &layer);
            let least = if is_narrow { now - WORSE } else { now + BETTER };
            if let Some((better, then)) = self.better_book(bench, book, &sample, least) {
                tracing::info!(from = ?book.kind, to = ?better.kind, now, then, "codes do not fit: others are made");
                self.begin_replacing(bench, better)?;
            }
        }
        let mut adapting = self.adapting.lock();
        let was_suspected = std::mem::take(&mut adapting.is_suspected) || code_recall < GOOD;
        if was_suspected && adapting.replacing.is_none() && adapting.wanted.is_none() {
            adapting.n_refused = n_documents;
        }
        drop(adapting);
        self.note_measured(n_documents);
        Ok(true)
    }

    /// Takes note that codes were measured with so many documents; whoever waits for codes that fit looks again.
    fn note_measured(&self, n_documents: usize) {
        self.n_measured.store(n_documents, Ordering::Release);
        self.n_doubts.store(0, Ordering::Relaxed);
        self.tail.ring();
    }

    /// Takes note of a search that codes could hardly answer. Returns whether the linker is to look.
    pub(crate) fn note_doubt(&self) -> bool {
        self.n_doubts.fetch_add(1, Ordering::Relaxed) + 1 == DOUBTS
    }

    /// What codes had better be made by, and what these would leave of the nearest: the first that is good enough,
    /// otherwise
    /// the best. None that leaves less than `least`.
    fn better_book(&self, bench: &Bench<'_>, now: &Book, sample: &Sample, least: f32) -> Option<(Book, f32)> {
        let ((centre, _), generation) = (sample.centre(bench, &[]), now.generation + 1);
        let mut best: Option<(Book, f32)> = None;
        let kinds = [CodeKind::Sq8Centred, CodeKind::Sq16, CodeKind::F32];
        for kind in kinds.into_iter().filter(|kind| *kind != CodeKind::F32 || bench.may_hold_all) {
            let centre = if kind == CodeKind::F32 { Vec::new() } else { centre.clone() };
            let book = Book { kind, generation, centre };
            let Some(then) = sample.try_book(self, bench, book.clone()) else { continue };
            tracing::debug!(?kind, then, "tried other codes");
            if then >= best.as_ref().map_or(least, |(_, best)| *best + BETTER) {
                best = Some((book, then));
            }
            if then >= GOOD {
                break;
            }
        }
        best
    }

    /// Begins to make a layer by a book, or takes note that one is to be made.
    fn begin_replacing(&self, bench: &Bench<'_>, book: Book) -> Result<()> {
        let slots = &bench.memory.slots;
        let layer = Arc::new(Layer::new(self.origin, bench.ranker, self.graph().shape(), Some(book.clone())));
        failpoint::refuse("link")?;
        let n_slots = slots.n_slots();
        layer.reserve(n_slots).map_err(|source| Error::OutOfMemory { n_documents: n_slots, source })?;
        failpoint::hit("codes.begun");
        let mut n_then = n_slots;
        let mut failed = None;
        // No commit comes between: what is put from here on is given a code there too.
        let views = (bench.pin)(&mut || {
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
        let held = self.held();
        let waiting = (0..n_then as u32).map(Slot).filter(|&slot| held(slot)).collect();
        let replacing = Replacing { layer, views: Some(views), n_filled: 0, n_slots: n_then, waiting };
        let mut adapting = self.adapting.lock();
        (adapting.replacing, adapting.wanted) = (Some(replacing), None);
        Ok(())
    }

    /// Does a little more for a layer that is being made. Returns whether it has taken the other's place.
    fn replace_some(&self, bench: &Bench<'_>, old: &Layer, replacing: &mut Replacing) -> Result<bool> {
        failpoint::hit("codes.some");
        if let Some(views) = &replacing.views {
            let end = (replacing.n_filled + FILLED).min(replacing.n_slots);
            replacing.layer.fill(bench, old, replacing.n_filled as u32..end as u32, views)?;
            replacing.n_filled = end;
            if end == replacing.n_slots {
                replacing.views = None;
                failpoint::hit("codes.filled");
            }
            return Ok(false);
        }
        let Points::Codes(codes) = &*replacing.layer.points else { return Ok(true) };
        let Bench { memory, exact, oldest, .. } = *bench;
        let space = CodeSpace { codes, slots: &memory.slots, exact, oldest, reaches_dead: true };
        let crew = Crew { graph: &replacing.layer.graph, linking: &OVER_CODES, bench };
        let n_slots = memory.slots.n_slots();
        replacing.layer.reserve(n_slots).map_err(|source| Error::OutOfMemory { n_documents: n_slots, source })?;
        // More than is linked in the other meanwhile, so that it comes to an end however much is written.
        let batch: Vec<Slot> = replacing.waiting.drain(..(2 * BATCH).min(replacing.waiting.len())).collect();
        let needed: Vec<Slot> = batch.into_iter().filter(|slot| space.is_needed(slot.0)).collect();
        let _: Vec<Change> = crew.each(&needed, |graph, slot, linking| graph.link(&space, slot.0, linking));
        if !replacing.waiting.is_empty() {
            return Ok(false);
        }
        self.mend_in(&space, &crew);
        self.take_place(bench, &replacing.layer);
        Ok(true)
    }

    /// Puts a layer that is done in the other's place.
    fn take_place(&self, bench: &Bench<'_>, layer: &Arc<Layer>) {
        failpoint::hit("codes.made");
        let held = self.held();
        {
            // Whoever gives a slot a code gives it one in both, or in the new one.
            let _still = bench.memory.still();
            self.layer.store(layer.clone());
            // By other codes everything may be otherwise: measured again, and once more as they grow. Before whoever
            // waits
            // can see that nothing is being made any more.
            *self.gauge.lock() = None;
            self.n_measured.store(0, Ordering::Release);
            self.next.store(None);
        }
        let held_now = self.held();
        let slots = (0..bench.memory.slots.n_slots() as u32).map(Slot);
        let dead = slots.filter(|&slot| held(slot) && !held_now(slot)).collect();
        self.short.lock().clear();
        self.strays.lock().clear();
        self.n_straightened.store(0, Ordering::Relaxed);
        self.unreached.store(Arc::default());
        self.cost.store(None);
        self.retire(bench, dead);
        self.n_proven.store(self.tail.n_left(), Ordering::Release);
        self.n_rebuilt.fetch_add(1, Ordering::Release);
        self.n_replaced.fetch_add(1, Ordering::Release);
        self.tail.ring();
        let kind = layer.codes().map(|codes| codes.book().kind);
        tracing::info!(?kind, "other codes are in place");
        failpoint::hit("codes.replaced");
    }
}
