//! Whether codes fit the data, and which would fit better. A region is measured as it grows, when
//! its newest documents lie elsewhere, and when searches are in doubt.
//!
//! All regions have codes of one kind, the widest that any of them needs. Each may have its own
//! centre.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::asked::OFFERED_SHARE;
use super::bounds::{LEAST_DOCUMENTS, MOST_COMPARED, MOST_TRIED};
use super::codebook::Codebook;
use super::gauge::{DriftCheck, GOOD, Gauge, GaugeSample, glance};
use super::means::Members;
use super::replace::Replacing;
use super::watch::{Finding, LOOSE, Watches};
use crate::collection::memory::Slots;
use crate::collection::vectors::HnswIndex;
use crate::collection::vectors::layer::Layer;
use crate::collection::vectors::linking::BATCH;
use crate::collection::vectors::linking_context::LinkContext;
use crate::collection::vectors::nearest::{NearestRequest, SearchScratch};
use crate::collection::vectors::space::Points;
use crate::error::{ErrorKind, Result};
use crate::id::{NamespaceId, Slot};
use crate::quant::{Book, Centres, CodeKind, Codes};

/// The least gain in recall for which codes are replaced.
const BETTER: f32 = 0.005;
/// Byte codes get another centre if vectors share at least this fraction of their squared length:
/// the shared part does not tell one vector from another.
const COMMON: f64 = 0.7;
/// The loss in recall that a new centre may cost.
const WORSE: f32 = 0.005;
/// The newest documents do not fit if codes leave a smaller fraction of the nearest among them.
const SUSPECT: f32 = 0.9;
/// A region is large if it holds at least one document in `LARGE_SHARE`. A replacement makes the
/// codes of all regions again, so the linker measures smaller regions only when fewer than a batch
/// of slots wait in the tail.
const LARGE_SHARE: usize = 32;

/// The linker's state of measuring and replacing codes.
#[derive(Default)]
pub(in crate::collection::vectors) struct Adapting {
    pub(super) replacing: Option<Replacing>,
    /// The book of a layer to build once nobody holds commits off.
    pub(in crate::collection::vectors) wanted: Option<Book>,
    pub(in crate::collection::vectors) watches: Watches,
    n_rounds: u64,
}

impl Adapting {
    pub(in crate::collection::vectors) fn new(watches: Watches) -> Self {
        Adapting { watches, ..Adapting::default() }
    }

    /// Whether every measurement that is due was made. If `is_busy`, small regions may wait.
    fn are_settled(&self, is_busy: bool) -> bool {
        self.wanted.is_none() && self.watches.are_settled(is_busy)
    }
}

impl HnswIndex {
    /// How codes are made, and their recall; `None` without codes.
    pub(crate) fn codebook(&self) -> Option<Codebook> {
        let book = self.layer.load().codes()?.book().clone();
        Some(Codebook { book, gauges: self.adapting.lock().watches.gauges() })
    }

    /// The recall of a namespace's codes, once it was measured.
    pub(in crate::collection::vectors) fn gauge_of(&self, namespace: NamespaceId) -> Option<Gauge> {
        let region = if self.links(namespace) { namespace } else { LOOSE };
        self.adapting.lock().watches.gauge(region)
    }

    /// Whether codes fit as well as they can, as far as was measured.
    pub(in crate::collection::vectors) fn fits(&self) -> bool {
        let is_measured = || !self.is_replacing() && self.adapting.lock().are_settled(self.is_busy());
        self.is_broken() || self.must_hold() || is_measured() && !self.is_outdated()
    }

    /// Whether at least a batch of slots waits to be linked.
    fn is_busy(&self) -> bool {
        self.tail.len() >= BATCH
    }

    /// Whether older versions made codes of vectors that take no more room themselves.
    fn is_outdated(&self) -> bool {
        let kind = self.layer.load().codes().map(|codes| codes.book().kind);
        let begin = Book::of_dimension(self.origin.dimension).kind;
        self.adapts && kind.is_some_and(|kind| kind != CodeKind::F32 && begin == CodeKind::F32)
    }

    /// Whether codes are the vectors themselves although narrower codes exist for the dimension.
    fn are_whole(&self) -> bool {
        let kind = self.layer.load().codes().map(|codes| codes.book().kind);
        kind == Some(CodeKind::F32) && Book::of_dimension(self.origin.dimension).kind != CodeKind::F32
    }

    /// Whether other codes are being made.
    pub(in crate::collection::vectors) fn is_replacing(&self) -> bool {
        self.next.load().is_some()
    }

    /// Notes slots that were linked.
    pub(in crate::collection::vectors) fn note_linked(&self, slots: &Slots, linked: &[Slot]) {
        let mut adapting = self.adapting.lock();
        if let Some(replacing) = &mut adapting.replacing {
            replacing.note_linked(linked);
        }
        for part in linked.chunk_by(|a, b| slots.namespace(*a) == slots.namespace(*b)) {
            part.first().iter().for_each(|slot| adapting.watches.note_linked(slots.namespace(**slot), part));
        }
    }

    /// Notes slots of namespaces without links.
    pub(in crate::collection::vectors) fn note_loosened(&self, slots: &[Slot]) {
        if !slots.is_empty() {
            self.adapting.lock().watches.note_linked(LOOSE, slots);
        }
    }

    /// Counts a search that codes could hardly answer, and offers its query for measurements.
    /// Returns whether to wake the linker.
    pub(in crate::collection::vectors) fn note_search(
        &self,
        NearestRequest { namespace, query, .. }: NearestRequest<'_>,
        scratch: &mut SearchScratch,
    ) -> bool {
        let is_doubt = scratch.effort.is_doubtful && self.doubts.lock().add(namespace);
        let sample = &self.query_sample;
        let is_offered = sample.is_wanting() && scratch.is_drawn(OFFERED_SHARE) && sample.offer(namespace, query);
        if is_offered {
            self.adapting.lock().watches.touch([namespace]);
        }
        is_offered || is_doubt
    }

    /// Does the next step for better codes. False if there is none.
    pub(in crate::collection::vectors) fn adapt(&self, context: &LinkContext<'_>) -> Result<bool> {
        let layer = self.layer();
        let Points::Codes(codes) = &*layer.points else { return Ok(false) };
        if layer.graph.is_undivided() {
            return Ok(false);
        }
        let mut adapting = self.adapting.lock();
        if let Some(mut replacing) = adapting.replacing.take() {
            drop(adapting);
            let is_done = self.replace_some(context, &layer, &mut replacing);
            match &is_done {
                Ok(true) => {}
                // The layer's views keep old versions alive, so an unreadable vector ends the work.
                Err(error) if error.kind() != ErrorKind::Unavailable => {
                    tracing::warn!("other codes are given up: {error}");
                    self.next.store(None);
                }
                // Without memory the layer is kept, to go on later.
                Ok(false) | Err(_) => self.adapting.lock().replacing = Some(replacing),
            }
            return is_done.map(|_| true);
        }
        if let Some(book) = adapting.wanted.clone() {
            drop(adapting);
            return self.begin_replacing(context, book).map(|()| true);
        }
        adapting.watches.touch(self.doubts.lock().take_told());
        adapting.watches.touch(self.query_sample.complete());
        let touched = adapting.watches.touched();
        drop(adapting);
        if self.is_outdated() {
            let generation = codes.book().generation + 1;
            let book = Book { kind: CodeKind::F32, generation, ..Book::default() };
            return self.begin_replacing(context, book).map(|()| true);
        }
        if self.adapts && self.are_whole() && context.is_on_disk {
            let (generation, centres) = (codes.book().generation + 1, self.centres(context)?.into());
            let book = Book { kind: CodeKind::Sq16, generation, centres };
            return self.begin_replacing(context, book).map(|()| true);
        }
        for region in touched {
            if self.look_at_codes(context, &layer, region)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Measures the codes of a region, if that is due. Returns whether it did.
    fn look_at_codes(&self, context: &LinkContext<'_>, layer: &Layer, region: NamespaceId) -> Result<bool> {
        // Namespaces that are small, or linked with others as by older versions, are no regions.
        let is_region = region == LOOSE || self.links(region);
        let n_documents = self.n_documents_of(context, region);
        if is_region {
            self.glance_at(context, layer, region, n_documents);
        }
        if !is_region || !self.is_due(region, n_documents) {
            self.leave(region, is_region);
            return Ok(false);
        }
        // Measuring waits while vectors are loaded, because memory is faster than the disk.
        let may_wait = self.is_busy() && !is_large(context, n_documents);
        self.adapting.lock().watches.postpone(region, may_wait);
        if !context.is_settled || may_wait {
            return Ok(false);
        }
        self.measure_region(context, layer, region)
    }

    /// Notes that a region need not be examined any more, or no longer exists. Wakes the threads
    /// that wait for codes that fit.
    fn leave(&self, region: NamespaceId, is_there: bool) {
        let mut adapting = self.adapting.lock();
        match is_there {
            true => adapting.watches.leave(region),
            false => {
                adapting.watches.forget(&BTreeSet::from([region]));
                self.query_sample.forget(|other| other == region);
            }
        }
        if adapting.are_settled(self.is_busy()) {
            drop(adapting);
            self.tail.notify();
        }
    }

    /// Examines the newest documents of a region, if that is due: they may lie elsewhere.
    fn glance_at(&self, context: &LinkContext<'_>, layer: &Layer, region: NamespaceId, n_documents: usize) {
        let look = self.adapting.lock().watches.get(region).take_look(n_documents);
        let Some((newest, n_new)) = look else { return };
        if region == LOOSE {
            // Documents of several namespaces cannot be compared. One of these is quickly measured.
            return self.adapting.lock().watches.get(region).measure();
        }
        let kind = layer.codes().map(|codes| codes.book().kind);
        match glance(context, layer, (region, &newest), n_new) {
            Some(DriftCheck { left, .. }) if left < SUSPECT && kind != Some(CodeKind::F32) => {
                tracing::debug!(region = region.0, left, "the newest documents lie elsewhere");
                self.adapting.lock().watches.get(region).suspect();
            }
            Some(DriftCheck { linked, .. }) => self.adapting.lock().watches.get(region).note_look(linked >= GOOD),
            None => {}
        }
    }

    /// Whether the codes of a region that holds `n_documents` are to be measured.
    fn is_due(&self, region: NamespaceId, n_documents: usize) -> bool {
        let (n_doubts, is_asked) = (self.doubts.lock().of(region), self.query_sample.is_complete(region));
        let mut adapting = self.adapting.lock();
        let watch = adapting.watches.get(region);
        watch.note_doubts(n_doubts, n_documents);
        if is_asked {
            watch.measure();
        }
        watch.is_due(n_documents)
    }

    /// Measures the codes of a region, and begins to make others if they do not fit. True if there
    /// was work.
    fn measure_region(&self, context: &LinkContext<'_>, layer: &Layer, region: NamespaceId) -> Result<bool> {
        let (newest, salt) = {
            let mut adapting = self.adapting.lock();
            adapting.n_rounds += 1;
            (adapting.watches.get(region).newest(), adapting.n_rounds)
        };
        // As of the linker's commit: later documents are not measured.
        let members = Members::of(self, context, region, &newest, salt);
        let sampled = self.query_sample.complete_of(region);
        let sample_of = |most: usize| match &members {
            Some(members) => GaugeSample::take(self, context, (members, most), (&sampled, &newest), salt),
            None => Ok(None),
        };
        let n_documents = match &members {
            Some(members) => members.n_documents,
            None => self.n_documents_of(context, region),
        };
        let Some(sample) = sample_of(MOST_COMPARED)? else {
            self.adapting.lock().watches.get(region).note_measured(n_documents);
            return Ok(!self.is_due(region, self.n_documents_of(context, region)));
        };
        let (gauge, links_fit) = sample.measure(self, context, layer, n_documents)?;
        self.note_gauge(region, gauge);
        let is_narrow = self.are_narrow(context, layer, region, &sample);
        drop(sample);
        if (gauge.code_recall < GOOD || is_narrow)
            && self.adapts
            && let Some(sample) = sample_of(MOST_TRIED)?
        {
            let now = sample.code_recall_of(context, layer);
            let least = if is_narrow { now - WORSE } else { now + BETTER };
            if let Some((better, then)) = self.better_book(context, layer, (region, &sample), least)? {
                tracing::info!(to = ?better.kind, now, then, "codes do not fit: others are made");
                self.begin_replacing(context, better)?;
            }
        }
        let mut adapting = self.adapting.lock();
        let are_replaced = adapting.replacing.is_some() || adapting.wanted.is_some();
        adapting.watches.get(region).note_finding(Finding { gauge, links_fit, are_replaced });
        drop(adapting);
        self.doubts.lock().forget(region);
        // A region measured without asked queries wants some. After a measurement with asked
        // queries, these are dropped; the next follows once the region has grown.
        match sampled.is_empty() {
            true if region != LOOSE => self.query_sample.want(region, self.origin.dimension),
            true => {}
            false => self.query_sample.forget(|other| other == region),
        }
        Ok(true)
    }

    /// Notes the measured recall of a region.
    fn note_gauge(&self, region: NamespaceId, gauge: Gauge) {
        let Gauge { code_recall, recall, n_documents } = gauge;
        tracing::debug!(region = region.0, code_recall, recall, n_documents, "measured how far codes can be trusted");
        self.adapting.lock().watches.get(region).gauge = Some(gauge);
        if region == LOOSE {
            self.misfits_loose.store(code_recall < GOOD, Ordering::Release);
        }
    }

    /// Whether vectors of a region share most of their distance from the centre, so that another
    /// centre is better. [`LOOSE`] does not count, because several namespaces share its centre.
    /// Small regions do not count either.
    fn are_narrow(&self, context: &LinkContext<'_>, layer: &Layer, region: NamespaceId, sample: &GaugeSample) -> bool {
        let Some(Book { kind, centres, .. }) = layer.codes().map(Codes::book) else { return false };
        let is_by_bytes = matches!(kind, CodeKind::Sq8 | CodeKind::Sq8Centred);
        let is_asked = is_by_bytes && region != LOOSE && is_large(context, self.n_documents_of(context, region));
        is_asked && sample.centre(context, centres.of(region)).1 >= COMMON
    }

    /// The book that fits a region's sample better, and its code recall: of the first kind that
    /// reaches `GOOD`, otherwise of the best. `None` if no kind reaches `least`.
    fn better_book(
        &self,
        context: &LinkContext<'_>,
        layer: &Layer,
        (region, sample): (NamespaceId, &GaugeSample),
        least: f32,
    ) -> Result<Option<(Book, f32)>> {
        let Some(now) = layer.codes().map(Codes::book) else { return Ok(None) };
        let shared = if region == LOOSE { self.loose_centre(context)? } else { None };
        let centre = shared.unwrap_or_else(|| sample.centre(context, &[]).0);
        let (trial, generation) = (Centres::shared_by_all(centre), now.generation + 1);
        let book_of = |kind: CodeKind, centres: Centres| {
            let centres = if kind == CodeKind::F32 { Centres::default() } else { centres };
            Book { kind, generation, centres: centres.into() }
        };
        let mut best: Option<(CodeKind, f32)> = None;
        for kind in self.kinds_to_try(context, now.kind, region) {
            let Some(then) = sample.try_book(self, context, book_of(kind, trial.clone())) else { continue };
            tracing::debug!(?kind, then, "tried other codes");
            if then >= best.as_ref().map_or(least, |(_, best)| *best + BETTER) {
                best = Some((kind, then));
            }
            if then >= GOOD {
                break;
            }
        }
        let n_documents = self.n_documents_of(context, region);
        let may_repeat = self.adapting.lock().watches.get(region).may_repeat(n_documents);
        let Some((kind, then)) = best.filter(|(kind, _)| *kind != now.kind || may_repeat) else { return Ok(None) };
        Ok(Some((book_of(kind, self.centres(context)?), then)))
    }

    /// The kinds of codes that may fit a region better than the kind `now`, the narrowest first.
    fn kinds_to_try(&self, context: &LinkContext<'_>, now: CodeKind, region: NamespaceId) -> Vec<CodeKind> {
        let mut kinds = vec![CodeKind::Sq8Centred, CodeKind::Sq16, CodeKind::F32];
        kinds.retain(|kind| *kind != CodeKind::F32 || context.may_hold_all);
        if self.has_regions() {
            // Another region may need codes as wide as the present ones.
            kinds.retain(|kind| *kind >= now);
        }
        if region == LOOSE && context.exact.complete().is_some() {
            // Searches of loose namespaces do without wider codes: they compare vectors.
            kinds.retain(|kind| *kind <= now.max(CodeKind::Sq8Centred));
        }
        kinds
    }

    /// Whether codes serve more than the default namespace.
    fn has_regions(&self) -> bool {
        !self.linked_namespaces().is_empty() || self.n_loose() >= LEAST_DOCUMENTS
    }
}

fn is_large(context: &LinkContext<'_>, n_documents: usize) -> bool {
    n_documents.saturating_mul(LARGE_SHARE) >= context.memory.census().n_documents
}
