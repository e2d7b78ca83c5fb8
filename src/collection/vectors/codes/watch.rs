//! The state of each region: how its codes fit, and when to measure them again.
//!
//! A region is named by its namespace. All namespaces without links are watched together, as
//! [`LOOSE`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::bounds::LEAST_DOCUMENTS;
use super::gauge::{GOOD, Gauge};
use crate::id::{NamespaceId, Slot};

/// All namespaces without links, as one region.
pub(crate) const LOOSE: NamespaceId = NamespaceId::UNUSED;

/// The factor of documents after which codes are measured again.
const GROWTH: usize = 2;
/// The newest linked documents that are remembered.
pub(super) const NEWEST: usize = 512;
/// The newest are examined whenever one document in this many was linked, within the limits
/// [`LEAST_LOOKED_AT`] and [`NEWEST`]. If codes leave too few of the nearest among them, the region
/// is measured.
const LOOKED_AT_SHARE: usize = 8;
/// The least number of linked documents between two such looks.
const LEAST_LOOKED_AT: usize = 64;
/// Searches in doubt after which codes are measured, given [`DOUBT_GROWTH`] times more documents.
const DOUBTS: usize = 8;
/// The factor of documents since the last measurement for that.
const DOUBT_GROWTH: f64 = 1.1;

/// In shorter lists no duplicates are removed.
const LEAST_UNSURE: usize = 1 << 16;

/// The result of measuring the codes of a region.
pub(super) struct Finding {
    pub(in crate::collection::vectors) gauge: Gauge,
    /// These codes choose links as vectors would.
    pub(super) links_fit: bool,
    /// Other codes are being made because of it.
    pub(super) are_replaced: bool,
}

/// The state of one region.
#[derive(Default)]
pub(in crate::collection::vectors) struct Watch {
    /// The measured recall of its codes.
    pub(in crate::collection::vectors) gauge: Option<Gauge>,
    /// The number of documents at the last measurement.
    n_measured: usize,
    /// The slots linked last.
    newest: VecDeque<Slot>,
    /// How many slots were linked since `newest` was last examined.
    n_linked: usize,
    /// Slots linked since codes were last seen to choose links well: perhaps badly. `None` means
    /// that all may be linked badly.
    unsure: Option<Vec<Slot>>,
    /// The length of `unsure` at which its duplicates are removed.
    most_unsure: usize,
    /// A look at the newest since then found that links are chosen badly.
    was_unsure: bool,
    /// The newest documents suggest that codes no longer fit.
    is_suspected: bool,
    /// Searches suggest that codes no longer fit.
    is_doubted: bool,
    /// The number of documents when codes were last seen not to fit and no better ones were found.
    n_refused: usize,
    /// The number of documents when this region last caused a replacement.
    n_replaced: usize,
}

impl Watch {
    /// A watch as it was stored. Codes that did not fit are measured again, because the last close
    /// lost the layer that was to replace them.
    fn of(gauge: Gauge, adapts: bool) -> Self {
        let n_measured = if adapts && gauge.code_recall < GOOD { 0 } else { gauge.n_documents };
        Watch { gauge: Some(gauge), n_measured, ..Watch::default() }
    }

    /// Notes slots that were linked.
    fn note_linked(&mut self, slots: &[Slot]) {
        self.n_linked += slots.len();
        self.note_unsure(slots);
        self.newest.extend(slots.iter().skip(slots.len().saturating_sub(NEWEST)));
        let n_more = self.newest.len().saturating_sub(NEWEST);
        self.newest.drain(..n_more);
    }

    fn note_unsure(&mut self, slots: &[Slot]) {
        let Some(unsure) = &mut self.unsure else { return };
        unsure.extend(slots);
        // Slots are used again; without duplicates the list has at most one entry per slot.
        if unsure.len() >= self.most_unsure.max(LEAST_UNSURE) {
            unsure.sort_unstable();
            unsure.dedup();
            self.most_unsure = 2 * unsure.len();
        }
    }

    /// The newest, and how many of them were not examined before, if a look at them is due among
    /// `n_documents`.
    pub(super) fn take_look(&mut self, n_documents: usize) -> Option<(Vec<Slot>, usize)> {
        let is_look_due = self.n_linked >= (n_documents / LOOKED_AT_SHARE).clamp(LEAST_LOOKED_AT, NEWEST);
        let was_refused = n_documents < self.n_refused.saturating_mul(GROWTH);
        let is_worth_it = is_look_due && !self.is_due(n_documents) && !was_refused;
        is_worth_it.then(|| (self.newest(), std::mem::take(&mut self.n_linked)))
    }

    pub(in crate::collection::vectors) fn newest(&self) -> Vec<Slot> {
        self.newest.iter().copied().collect()
    }

    /// Whether codes are to be measured.
    pub(in crate::collection::vectors) fn is_due(&self, n_documents: usize) -> bool {
        n_documents >= LEAST_DOCUMENTS && n_documents >= self.n_measured.saturating_mul(GROWTH)
    }

    /// Has codes measured.
    pub(in crate::collection::vectors) fn measure(&mut self) {
        self.n_measured = 0;
    }

    /// Has codes measured, because something suggests that they no longer fit.
    pub(super) fn suspect(&mut self) {
        (self.is_suspected, self.was_unsure) = (true, true);
        self.n_measured = 0;
    }

    /// Has codes measured if `n_doubts` searches in doubt are enough among `n_documents`.
    pub(super) fn note_doubts(&mut self, n_doubts: usize, n_documents: usize) {
        if n_doubts >= DOUBTS && n_documents as f64 >= self.n_measured as f64 * DOUBT_GROWTH {
            self.is_doubted = true;
            self.n_measured = 0;
        }
    }

    /// Whether codes of the same kind may be made from another centre, among `n_documents`. Codes
    /// that were made recently and fit less well than expected are not made again and again.
    pub(super) fn may_repeat(&self, n_documents: usize) -> bool {
        self.is_suspected || self.is_doubted || n_documents >= self.n_replaced.saturating_mul(GROWTH)
    }

    /// Notes that codes choose links well, also those of the newest.
    fn note_good(&mut self) {
        self.was_unsure = false;
        // Some of the newest may not have been in the sample.
        self.unsure = Some(self.newest());
    }

    /// Notes whether links of the newest are chosen well. That tells nothing of earlier ones unless
    /// these were examined too.
    pub(super) fn note_look(&mut self, is_good: bool) {
        match is_good {
            true if !self.was_unsure && self.unsure.is_some() => self.note_good(),
            true => {}
            false => self.was_unsure = true,
        }
    }

    /// Notes that codes were measured with `n_documents`.
    pub(super) fn note_measured(&mut self, n_documents: usize) {
        self.n_measured = n_documents;
    }

    /// Notes the result of a measurement.
    pub(super) fn note_finding(&mut self, Finding { gauge, links_fit, are_replaced }: Finding) {
        if links_fit {
            self.note_good();
        }
        let is_suspected = std::mem::take(&mut self.is_suspected) || gauge.code_recall < GOOD;
        match are_replaced {
            true => self.n_replaced = gauge.n_documents,
            false if is_suspected => self.n_refused = gauge.n_documents,
            false => {}
        }
        self.is_doubted = false;
        self.note_measured(gauge.n_documents);
    }
}

/// The state of all regions.
#[derive(Default)]
pub(in crate::collection::vectors) struct Watches {
    by_region: BTreeMap<NamespaceId, Watch>,
    /// Regions in which something happened since they were last examined. Only these are examined.
    touched: BTreeSet<NamespaceId>,
    /// The regions of `touched` that are measured when little else waits.
    postponed: BTreeSet<NamespaceId>,
    /// Codes that do not fit are replaced, so it counts which slots they linked.
    adapts: bool,
}

impl Watches {
    /// The watches as they were stored.
    pub(in crate::collection::vectors) fn of(gauges: &BTreeMap<NamespaceId, Gauge>, adapts: bool) -> Self {
        let mut watches = Watches { adapts, ..Watches::default() };
        let known = gauges.iter().map(|(region, gauge)| (*region, Watch::of(*gauge, adapts)));
        watches.by_region = known.collect();
        watches.touch([NamespaceId::default(), LOOSE]);
        watches
    }

    pub(in crate::collection::vectors) fn gauges(&self) -> BTreeMap<NamespaceId, Gauge> {
        self.by_region.iter().filter_map(|(region, watch)| Some((*region, watch.gauge?))).collect()
    }

    pub(in crate::collection::vectors) fn gauge(&self, region: NamespaceId) -> Option<Gauge> {
        self.by_region.get(&region)?.gauge
    }

    pub(in crate::collection::vectors) fn get(&mut self, region: NamespaceId) -> &mut Watch {
        self.by_region.entry(region).or_default()
    }

    pub(super) fn touch(&mut self, regions: impl IntoIterator<Item = NamespaceId>) {
        self.touched.extend(regions);
    }

    /// Only these namespaces and the default one have links from now on.
    pub(in crate::collection::vectors) fn begin_with(&mut self, linked: BTreeSet<NamespaceId>) {
        let is_gone =
            |region: &NamespaceId| !linked.contains(region) && ![NamespaceId::default(), LOOSE].contains(region);
        let gone = self.by_region.keys().chain(&self.touched).copied().filter(is_gone).collect();
        self.forget(&gone);
        self.touch(linked);
    }

    /// The regions to examine.
    pub(super) fn touched(&self) -> Vec<NamespaceId> {
        self.touched.iter().copied().collect()
    }

    /// Whether no region has to be examined. If `is_busy`, postponed ones may wait.
    pub(super) fn are_settled(&self, is_busy: bool) -> bool {
        self.touched.iter().all(|region| is_busy && self.postponed.contains(region))
    }

    /// Notes whether a region waits until little else does.
    pub(super) fn postpone(&mut self, region: NamespaceId, waits: bool) {
        match waits {
            true => _ = self.postponed.insert(region),
            false => _ = self.postponed.remove(&region),
        }
    }

    /// Notes that all slots may be linked badly.
    pub(in crate::collection::vectors) fn doubt_links(&mut self) {
        self.by_region.values_mut().for_each(|watch| watch.unsure = None);
    }

    /// Notes that a region need not be examined any more.
    pub(in crate::collection::vectors) fn leave(&mut self, region: NamespaceId) {
        self.touched.remove(&region);
    }

    /// Notes slots of a region that were linked, or loose ones.
    pub(in crate::collection::vectors) fn note_linked(&mut self, region: NamespaceId, slots: &[Slot]) {
        let adapts = self.adapts;
        let watch = self.get(region);
        watch.note_linked(slots);
        if region == LOOSE || !adapts {
            // Loose slots have no links; without adaptation slots keep theirs.
            watch.unsure = None;
        }
        self.touched.insert(region);
    }

    /// Has the codes of all regions measured.
    pub(super) fn measure_all(&mut self) {
        self.by_region.values_mut().for_each(|watch| watch.n_measured = 0);
        self.touched.extend(self.by_region.keys());
    }

    /// Forgets all measurements, because other codes are in place.
    pub(super) fn reset(&mut self) {
        self.by_region.values_mut().for_each(|watch| watch.gauge = None);
        self.measure_all();
    }

    /// Forgets regions that no longer exist.
    pub(in crate::collection::vectors) fn forget(&mut self, regions: &BTreeSet<NamespaceId>) {
        self.by_region.retain(|region, _| !regions.contains(region));
        self.touched.retain(|region| !regions.contains(region));
    }

    /// Notes that only `n_loose` slots are still loose, so that new ones are measured sooner.
    pub(in crate::collection::vectors) fn note_fewer_loose(&mut self, n_loose: usize) {
        let watch = self.get(LOOSE);
        watch.n_measured = watch.n_measured.min(n_loose);
        watch.n_refused = watch.n_refused.min(n_loose);
    }

    /// The given slots that may have been linked by codes that did not fit.
    pub(super) fn unsure_among(&self, slots: impl Iterator<Item = (Slot, NamespaceId)>) -> Vec<Slot> {
        let lists = self.by_region.iter().filter_map(|(region, watch)| Some((*region, watch.unsure.as_ref()?)));
        let mut unsure: HashMap<NamespaceId, HashSet<Slot>> = HashMap::new();
        lists.for_each(|(region, list)| unsure.entry(region).or_default().extend(list));
        let is_unsure =
            |(slot, region): &(Slot, NamespaceId)| unsure.get(region).is_none_or(|list| list.contains(slot));
        slots.filter(is_unsure).map(|(slot, _)| slot).collect()
    }
}

/// Searches in doubt by region, since its codes were last measured.
#[derive(Default)]
pub(in crate::collection::vectors) struct Doubts {
    by_region: HashMap<NamespaceId, usize>,
    /// Regions with enough of them that were not examined yet.
    told: Vec<NamespaceId>,
}

impl Doubts {
    /// Counts a search in doubt. Returns whether the linker is to examine the region.
    pub(in crate::collection::vectors) fn add(&mut self, region: NamespaceId) -> bool {
        let n = self.by_region.entry(region).or_default();
        *n += 1;
        let are_enough = *n == DOUBTS;
        self.told.extend(are_enough.then_some(region));
        are_enough
    }

    pub(in crate::collection::vectors) fn of(&self, region: NamespaceId) -> usize {
        self.by_region.get(&region).copied().unwrap_or(0)
    }

    pub(super) fn take_told(&mut self) -> Vec<NamespaceId> {
        std::mem::take(&mut self.told)
    }

    pub(in crate::collection::vectors) fn forget(&mut self, region: NamespaceId) {
        self.by_region.remove(&region);
    }

    /// Forgets all counts, because other codes are in place.
    pub(super) fn reset(&mut self) {
        *self = Doubts::default();
    }
}
