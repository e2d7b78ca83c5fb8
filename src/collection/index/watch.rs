//! What is known of how codes fit one region of the graph, and when that is to be looked at again.
//!
//! A region is named by its namespace. All namespaces that have no links are watched together, as [`LOOSE`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::gauge::{Gauge, LEAST_DOCUMENTS};
use crate::id::{NamespaceId, Slot};

/// The namespaces without links, all together.
pub(crate) const LOOSE: NamespaceId = NamespaceId::UNUSED;

/// Codes that leave fewer of the nearest are replaced.
pub(super) const GOOD: f32 = 0.99;
/// Codes are measured again once there are so many times more documents.
const GROWTH: usize = 2;
/// Of the documents linked last so many are taken note of.
pub(super) const NEWEST: usize = 512;
/// The newest are looked at whenever one document in so many was linked, in any case after as many as are noted and not
/// before so many: if codes leave fewer of the nearest among them, all is measured.
const LOOKED_AT_SHARE: usize = 8;
const LEAST_LOOKED_AT: usize = 64;
/// So many searches that codes could hardly answer have them measured, if there are so many times more documents than
/// when that was last done.
const DOUBTS: usize = 8;
const DOUBT_GROWTH: f64 = 1.1;

/// Of fewer slots none are struck off a list.
const LEAST_UNSURE: usize = 1 << 16;

/// What came of measuring codes of a region.
pub(super) struct Finding {
    pub(super) gauge: Gauge,
    /// Links are chosen by these codes as they would be by vectors.
    pub(super) links_fit: bool,
    /// Others are made because of it.
    pub(super) are_replaced: bool,
}

/// What is known of one region.
#[derive(Default)]
pub(super) struct Watch {
    /// How far codes can be trusted, once that was measured.
    pub(super) gauge: Option<Gauge>,
    /// Documents when codes were last measured.
    n_measured: usize,
    /// Slots that were linked last, and how many were since these were last looked at.
    newest: VecDeque<Slot>,
    n_linked: usize,
    /// Slots that were linked since links were last seen to be chosen by codes that fit: perhaps badly. `None` says
    /// that all may have been.
    unsure: Option<Vec<Slot>>,
    /// Once there are so many, those that are listed twice are struck off.
    most_unsure: usize,
    /// A look at the newest since then did not see that.
    was_unsure: bool,
    /// The newest documents say that codes do not fit any more.
    is_suspected: bool,
    /// Searches do.
    is_doubted: bool,
    /// Documents when codes were last seen not to fit, and none were found that fit better.
    n_refused: usize,
    /// Documents when others were last made because of this region.
    n_replaced: usize,
}

impl Watch {
    /// As it was written down. Where codes did not fit they are measured again: what was to take their place was lost
    /// with the last opening.
    fn of(gauge: Gauge, adapts: bool) -> Self {
        let n_measured = if adapts && gauge.code_recall < GOOD { 0 } else { gauge.n_documents };
        Watch { gauge: Some(gauge), n_measured, ..Watch::default() }
    }

    /// Takes note of slots that were linked.
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
        // Slots are used again and again: the list is as long as there are others at most.
        if unsure.len() >= self.most_unsure.max(LEAST_UNSURE) {
            unsure.sort_unstable();
            unsure.dedup();
            self.most_unsure = 2 * unsure.len();
        }
    }

    /// The newest, and how many of them were not looked at, if that is due among so many documents.
    pub(super) fn take_look(&mut self, n_documents: usize) -> Option<(Vec<Slot>, usize)> {
        let is_look_due = self.n_linked >= (n_documents / LOOKED_AT_SHARE).clamp(LEAST_LOOKED_AT, NEWEST);
        let was_refused = n_documents < self.n_refused.saturating_mul(GROWTH);
        let is_worth_it = is_look_due && !self.is_due(n_documents) && !was_refused;
        is_worth_it.then(|| (self.newest(), std::mem::take(&mut self.n_linked)))
    }

    pub(super) fn newest(&self) -> Vec<Slot> {
        self.newest.iter().copied().collect()
    }

    /// Whether codes are to be measured.
    pub(super) fn is_due(&self, n_documents: usize) -> bool {
        n_documents >= LEAST_DOCUMENTS && n_documents >= self.n_measured.saturating_mul(GROWTH)
    }

    /// Has codes be measured.
    pub(super) fn measure(&mut self) {
        self.n_measured = 0;
    }

    /// Has codes be measured: something says that they do not fit any more.
    pub(super) fn suspect(&mut self) {
        (self.is_suspected, self.was_unsure) = (true, true);
        self.n_measured = 0;
    }

    /// The same of so many searches in doubt, among so many documents.
    pub(super) fn note_doubts(&mut self, n_doubts: usize, n_documents: usize) {
        if n_doubts >= DOUBTS && n_documents as f64 >= self.n_measured as f64 * DOUBT_GROWTH {
            self.is_doubted = true;
            self.n_measured = 0;
        }
    }

    /// Whether codes of the same kind from another centre may be made among so many documents. Where they were made a
    /// moment ago, and do not fit as well as it seemed, they are not made again and again.
    pub(super) fn may_repeat(&self, n_documents: usize) -> bool {
        self.is_suspected || self.is_doubted || n_documents >= self.n_replaced.saturating_mul(GROWTH)
    }

    /// Takes note that links are chosen by codes that fit, as far as the newest are concerned too.
    fn note_good(&mut self) {
        self.was_unsure = false;
        // Some of the newest were perhaps not among what was measured.
        self.unsure = Some(self.newest());
    }

    /// Takes note whether that is so of the newest, which says nothing of those before unless these were looked at too.
    pub(super) fn note_look(&mut self, is_good: bool) {
        match is_good {
            true if !self.was_unsure && self.unsure.is_some() => self.note_good(),
            true => {}
            false => self.was_unsure = true,
        }
    }

    /// Takes note that codes were measured with so many documents.
    pub(super) fn note_measured(&mut self, n_documents: usize) {
        self.n_measured = n_documents;
    }

    /// Takes note of what was measured.
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

/// What is known of all regions.
#[derive(Default)]
pub(super) struct Watches {
    by_region: BTreeMap<NamespaceId, Watch>,
    /// Regions that something happened in since they were last looked at. All others need not be.
    touched: BTreeSet<NamespaceId>,
    /// Those of them that are measured when little else waits.
    postponed: BTreeSet<NamespaceId>,
    /// Other codes take the place of those that do not fit, so that it counts which slots were linked by these.
    adapts: bool,
}

impl Watches {
    /// As it was written down.
    pub(super) fn of(gauges: &BTreeMap<NamespaceId, Gauge>, adapts: bool) -> Self {
        let mut watches = Watches { adapts, ..Watches::default() };
        let known = gauges.iter().map(|(region, gauge)| (*region, Watch::of(*gauge, adapts)));
        watches.by_region = known.collect();
        watches.touch([NamespaceId::default(), LOOSE]);
        watches
    }

    pub(super) fn gauges(&self) -> BTreeMap<NamespaceId, Gauge> {
        self.by_region.iter().filter_map(|(region, watch)| Some((*region, watch.gauge?))).collect()
    }

    pub(super) fn gauge(&self, region: NamespaceId) -> Option<Gauge> {
        self.by_region.get(&region)?.gauge
    }

    pub(super) fn get(&mut self, region: NamespaceId) -> &mut Watch {
        self.by_region.entry(region).or_default()
    }

    pub(super) fn touch(&mut self, regions: impl IntoIterator<Item = NamespaceId>) {
        self.touched.extend(regions);
    }

    /// From now on these namespaces and the default one have links, and no others.
    pub(super) fn begin_with(&mut self, linked: BTreeSet<NamespaceId>) {
        let is_gone =
            |region: &NamespaceId| !linked.contains(region) && ![NamespaceId::default(), LOOSE].contains(region);
        let gone = self.by_region.keys().chain(&self.touched).copied().filter(is_gone).collect();
        self.forget(&gone);
        self.touch(linked);
    }

    /// The regions to look at.
    pub(super) fn touched(&self) -> Vec<NamespaceId> {
        self.touched.iter().copied().collect()
    }

    /// Whether there are none, but for those that wait where much else does.
    pub(super) fn are_settled(&self, is_busy: bool) -> bool {
        self.touched.iter().all(|region| is_busy && self.postponed.contains(region))
    }

    /// Takes note whether a region waits until little else does.
    pub(super) fn postpone(&mut self, region: NamespaceId, waits: bool) {
        match waits {
            true => _ = self.postponed.insert(region),
            false => _ = self.postponed.remove(&region),
        }
    }

    /// Takes note that all slots may have been linked badly.
    pub(super) fn doubt_links(&mut self) {
        self.by_region.values_mut().for_each(|watch| watch.unsure = None);
    }

    /// Takes note that a region need not be looked at any more.
    pub(super) fn leave(&mut self, region: NamespaceId) {
        self.touched.remove(&region);
    }

    /// Takes note of slots of a region that were linked, or of loose ones.
    pub(super) fn note_linked(&mut self, region: NamespaceId, slots: &[Slot]) {
        let adapts = self.adapts;
        let watch = self.get(region);
        watch.note_linked(slots);
        if region == LOOSE || !adapts {
            // They have no links, or keep those they have.
            watch.unsure = None;
        }
        self.touched.insert(region);
    }

    /// Has codes of all regions be measured.
    pub(super) fn measure_all(&mut self) {
        self.by_region.values_mut().for_each(|watch| watch.n_measured = 0);
        self.touched.extend(self.by_region.keys());
    }

    /// Forgets what was measured: other codes are in place.
    pub(super) fn begin_anew(&mut self) {
        self.by_region.values_mut().for_each(|watch| watch.gauge = None);
        self.measure_all();
    }

    /// Forgets regions that are gone.
    pub(super) fn forget(&mut self, regions: &BTreeSet<NamespaceId>) {
        self.by_region.retain(|region, _| !regions.contains(region));
        self.touched.retain(|region| !regions.contains(region));
    }

    /// Takes note that so many are loose now, others being linked since: what comes is measured again sooner.
    pub(super) fn note_fewer_loose(&mut self, n_loose: usize) {
        let watch = self.get(LOOSE);
        watch.n_measured = watch.n_measured.min(n_loose);
        watch.n_refused = watch.n_refused.min(n_loose);
    }

    /// Of some slots, those that were perhaps linked by codes that did not fit.
    pub(super) fn unsure_among(&self, slots: impl Iterator<Item = (Slot, NamespaceId)>) -> Vec<Slot> {
        let lists = self.by_region.iter().filter_map(|(region, watch)| Some((*region, watch.unsure.as_ref()?)));
        let mut unsure: HashMap<NamespaceId, HashSet<Slot>> = HashMap::new();
        lists.for_each(|(region, list)| unsure.entry(region).or_default().extend(list));
        let is_unsure =
            |(slot, region): &(Slot, NamespaceId)| unsure.get(region).is_none_or(|list| list.contains(slot));
        slots.filter(is_unsure).map(|(slot, _)| slot).collect()
    }
}

/// Searches that codes could hardly answer, since they were last measured.
#[derive(Default)]
pub(super) struct Doubts {
    by_region: HashMap<NamespaceId, usize>,
    /// Regions in which there are enough of them to look, and which were not looked at for it.
    told: Vec<NamespaceId>,
}

impl Doubts {
    /// Takes note of another. Whether the linker is to look.
    pub(super) fn add(&mut self, region: NamespaceId) -> bool {
        let n = self.by_region.entry(region).or_default();
        *n += 1;
        let are_enough = *n == DOUBTS;
        self.told.extend(are_enough.then_some(region));
        are_enough
    }

    pub(super) fn of(&self, region: NamespaceId) -> usize {
        self.by_region.get(&region).copied().unwrap_or(0)
    }

    pub(super) fn take_told(&mut self) -> Vec<NamespaceId> {
        std::mem::take(&mut self.told)
    }

    pub(super) fn forget(&mut self, region: NamespaceId) {
        self.by_region.remove(&region);
    }

    /// Forgets all: other codes are in place.
    pub(super) fn begin_anew(&mut self) {
        *self = Doubts::default();
    }
}
