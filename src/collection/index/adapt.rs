//! Whether codes fit the data, and which would fit better: measured as the collection grows, when what is linked last lies
//! elsewhere, and when searches are in doubt.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::Index;
use super::codebook::Codebook;
use super::gauge::{Gauge, Glance, LEAST_DOCUMENTS, Sample, glance, sample_to_try};
use super::replace::Replacing;
use super::space::Points;
use super::upkeep::Bench;
use crate::error::Result;
use crate::id::Slot;
use crate::quant::{Book, CodeKind};

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
pub(super) const NEWEST: usize = 512;
/// The newest are looked at whenever one document in so many was linked, in any case after as many as are noted and not
/// before so many: if codes leave fewer of the nearest among them, all is measured.
const LOOKED_AT_SHARE: usize = 8;
const LEAST_LOOKED_AT: usize = 64;
const SUSPECT: f32 = 0.9;
/// So many searches that codes could hardly answer have them measured, if there are so many times more documents than
/// when
/// that was last done.
const DOUBTS: usize = 8;
const DOUBT_GROWTH: f64 = 1.1;
/// What the linker knows of how codes fit.
#[derive(Default)]
pub(super) struct Adapting {
    pub(super) replacing: Option<Replacing>,
    /// What a layer is to be made by, once no one holds commits off.
    pub(super) wanted: Option<Book>,
    /// Slots that were linked last, and how many were since these were last looked at.
    newest: VecDeque<Slot>,
    n_linked: usize,
    /// Slots that were linked since links were last seen to be chosen by codes that fit: perhaps badly. `None` says that all may have been.
    pub(super) unsure: Option<Vec<Slot>>,
    /// A look at the newest since then did not see that.
    was_unsure: bool,
    /// Something says that codes do not fit any more.
    is_suspected: bool,
    /// Documents when that was so for the last time, and no codes were found that fit better.
    n_refused: usize,
    n_rounds: u64,
}

impl Adapting {
    /// Takes note of slots that were linked.
    fn note_linked(&mut self, slots: &[Slot]) {
        if let Some(replacing) = &mut self.replacing {
            replacing.note_linked(slots);
        }
        self.n_linked += slots.len();
        self.unsure.iter_mut().for_each(|unsure| unsure.extend(slots));
        self.newest.extend(slots.iter().skip(slots.len().saturating_sub(NEWEST)));
        let n_more = self.newest.len().saturating_sub(NEWEST);
        self.newest.drain(..n_more);
    }

    /// Whether the newest are to be looked at, among so many documents.
    fn is_look_due(&self, n_documents: usize) -> bool {
        self.n_linked >= (n_documents / LOOKED_AT_SHARE).clamp(LEAST_LOOKED_AT, NEWEST)
    }

    /// Takes note that links are chosen by codes that fit, as far as the newest are concerned too.
    fn note_good(&mut self) {
        self.was_unsure = false;
        let unsure = self.unsure.get_or_insert_default();
        // Some of the newest were perhaps not among what was measured.
        let n_sure = unsure.len().saturating_sub(NEWEST);
        unsure.drain(..n_sure);
    }

    /// The same of the newest, which says nothing of those before unless these were looked at too.
    fn note_good_look(&mut self) {
        if !self.was_unsure && self.unsure.is_some() {
            self.note_good();
        }
    }
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
        self.adapting.lock().note_linked(slots);
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
        if adapting.is_look_due(n_documents) && !self.is_due(n_documents) && !was_refused {
            let n_new = std::mem::take(&mut adapting.n_linked);
            match glance(bench, &layer, adapting.newest.make_contiguous(), n_new) {
                Some(Glance { left, .. }) if left < SUSPECT && book.kind != CodeKind::F32 => {
                    tracing::debug!(left, "the newest documents lie elsewhere");
                    (adapting.is_suspected, adapting.was_unsure) = (true, true);
                    self.n_measured.store(0, Ordering::Release);
                }
                Some(Glance { linked, .. }) if linked >= GOOD => adapting.note_good_look(),
                Some(_) => adapting.was_unsure = true,
                None => {}
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
        let links_fit = sample.link_recall_of(bench, &layer) >= GOOD;
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
        if links_fit {
            adapting.note_good();
        }
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
}
