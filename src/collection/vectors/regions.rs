//! Which namespaces have links of their own: they get links as they grow and lose them as they
//! shrink.
//!
//! The default namespace always has links. Any other gets them when it is so large that walking is
//! faster than comparing the codes of all members. Slots of smaller namespaces are *loose*: they
//! have left the tail and are not in the graph, and searches compare the members one by one. Links
//! of a namespace lead only to its own points: the namespace is a region of the graph.
//!
//! Only the linker changes this. When a namespace gets links, its loose slots return to the tail
//! before any search looks for them in the graph. When it loses them, it leaves the list of linked
//! namespaces before its points leave the graph. A walk that finds it gone from the list afterwards
//! does not count.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::HnswIndex;
use super::linking_context::LinkContext;
use crate::collection::memory::{Memory, Slots};
use crate::failpoint;
use crate::graph::{Graph, GraphChange};
use crate::id::{Commit, NamespaceId, Slot};

/// The number of documents from which a namespace has links. With 384 components, comparing the
/// codes of 1,000 documents takes 20 to 30 µs, as a walk does. With 128 components, comparing 1,000
/// vectors takes 15 µs, a walk 20 µs.
const USUAL: usize = 1_024;
/// A namespace with fewer than 1 / `KEPT_SHARE` of that number loses its links.
const KEPT_SHARE: usize = 2;

/// The number of documents from which a namespace has links.
pub(crate) fn least_linked() -> usize {
    failpoint::least_linked(USUAL)
}

fn least_kept() -> usize {
    least_linked() / KEPT_SHARE
}

/// The state of the namespaces other than the default one.
#[derive(Default)]
pub(super) struct Namespaces {
    /// Namespaces whose documents are all in graph or tail, for searches since the given commit.
    linked: ArcSwap<Linked>,
    loose: Mutex<Loose>,
    n_loose: AtomicUsize,
    /// How often namespaces lost their links.
    n_endings: AtomicUsize,
    /// Documents that died since the linker last looked.
    deaths: Mutex<Vec<(Slot, NamespaceId)>>,
    /// Dead documents of namespaces since their last sweep. Some died before they were linked.
    dead: Mutex<HashMap<NamespaceId, Dead>>,
    /// Documents of the default namespace that died since the linker last looked.
    n_dead_in_default: AtomicUsize,
    due: Mutex<Due>,
    /// All namespaces were examined since the collection was opened.
    is_surveyed: AtomicBool,
    /// Some namespaces got links since walks were last checked to reach all points.
    has_begun: AtomicBool,
}

/// Namespaces with links, each with the commit from which on walks find its documents.
type Linked = HashMap<NamespaceId, Commit>;

/// The dead documents of a namespace.
#[derive(Default)]
struct Dead {
    n: usize,
    /// The oldest commit in use at its last sweep. Documents visible then were left.
    swept_at: Commit,
}

/// The namespaces that are to get links or lose them.
#[derive(Default)]
struct Due {
    begin: BTreeSet<NamespaceId>,
    end: BTreeSet<NamespaceId>,
}

/// A set of slots.
#[derive(Default)]
struct Loose(Vec<u64>);

impl Loose {
    /// Adds a slot. False if it was there.
    fn insert(&mut self, slot: Slot) -> bool {
        let (word, bit) = (slot.0 as usize / 64, 1 << (slot.0 % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    /// Removes a slot. False if it was not there.
    fn remove(&mut self, slot: Slot) -> bool {
        let was_there = self.contains(slot);
        if was_there {
            self.0[slot.0 as usize / 64] &= !(1 << (slot.0 % 64));
        }
        was_there
    }

    fn iter(&self) -> impl Iterator<Item = Slot> {
        let bits = |(at, &word): (usize, &u64)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| Slot((at * 64) as u32 + bit))
        };
        self.0.iter().enumerate().flat_map(bits)
    }

    fn contains(&self, slot: Slot) -> bool {
        self.0.get(slot.0 as usize / 64).is_some_and(|word| word >> (slot.0 % 64) & 1 == 1)
    }
}

impl Namespaces {
    fn has_links(&self, namespace: NamespaceId) -> bool {
        namespace == NamespaceId::default() || self.linked.load().contains_key(&namespace)
    }

    /// As [`has_links`](Namespaces::has_links), for searches of a commit.
    fn has_links_at(&self, namespace: NamespaceId, commit: Commit) -> bool {
        let is_since = || self.linked.load().get(&namespace).is_some_and(|since| *since <= commit);
        namespace == NamespaceId::default() || is_since()
    }

    fn change(&self, change: impl Fn(&mut Linked)) {
        let mut linked = HashMap::clone(&self.linked.load());
        change(&mut linked);
        self.linked.store(Arc::new(linked));
    }

    fn loosen(&self, slot: Slot) {
        self.n_loose.fetch_add(usize::from(self.loose.lock().insert(slot)), Ordering::Relaxed);
    }

    fn bind(&self, slot: Slot) -> bool {
        let was_loose = self.loose.lock().remove(slot);
        self.n_loose.fetch_sub(usize::from(was_loose), Ordering::Relaxed);
        was_loose
    }

    pub(super) fn n_endings(&self) -> usize {
        self.n_endings.load(Ordering::Acquire)
    }

    pub(super) fn n_loose(&self) -> usize {
        self.n_loose.load(Ordering::Relaxed)
    }

    pub(super) fn is_loose(&self, slot: Slot) -> bool {
        self.loose.lock().contains(slot)
    }

    /// Whether a namespace other than the default one has links.
    pub(super) fn are_several(&self) -> bool {
        !self.linked.load().is_empty()
    }

    /// Counts documents that died.
    fn note_dead(&self, deaths: &[(Slot, NamespaceId)]) {
        if !self.are_several() {
            return;
        }
        let mut dead = self.dead.lock();
        let with_links = deaths.iter().filter(|(_, namespace)| self.has_links(*namespace));
        with_links.for_each(|(_, namespace)| dead.entry(*namespace).or_default().n += 1);
        let in_default = self.n_dead_in_default.swap(0, Ordering::Relaxed);
        dead.entry(NamespaceId::default()).or_default().n += in_default;
    }

    /// Forgets the counts of dead documents: all regions are being swept, or the graph rebuilt.
    pub(super) fn forget_dead(&self) {
        self.dead.lock().clear();
        self.n_dead_in_default.store(0, Ordering::Relaxed);
    }

    /// A namespace that needs a sweep of its own. At least `least` of its documents are dead,
    /// `are_many` holds for their number, and no view of its last sweep is in use any more:
    /// `oldest`, the oldest commit in use, is later.
    pub(super) fn crowded(
        &self,
        least: usize,
        oldest: Commit,
        are_many: impl Fn(NamespaceId, usize) -> bool,
    ) -> Option<NamespaceId> {
        let dead = self.dead.lock();
        let is_crowded = |namespace, dead: &Dead| {
            dead.n >= least && dead.swept_at < oldest && self.has_links(namespace) && are_many(namespace, dead.n)
        };
        dead.iter().find(|(namespace, dead)| is_crowded(**namespace, dead)).map(|(namespace, _)| *namespace)
    }

    /// Notes that a namespace was swept, and how many dead points stayed for a view of `oldest`.
    pub(super) fn note_swept(&self, namespace: NamespaceId, oldest: Commit, n_left: usize) {
        self.dead.lock().insert(namespace, Dead { n: n_left, swept_at: oldest });
    }

    /// Whether namespaces got links since the last call.
    pub(super) fn take_begun(&self) -> bool {
        self.has_begun.swap(false, Ordering::Relaxed)
    }
}

/// The region in which a namespace's points are linked.
pub(super) fn region_in(graph: &Graph, namespace: NamespaceId) -> u32 {
    if graph.is_undivided() { 0 } else { namespace.0 }
}

impl HnswIndex {
    /// Whether all documents that a namespace had at a commit are in graph or tail, so that a walk
    /// finds them.
    pub(super) fn is_linked(&self, namespace: NamespaceId, commit: Commit) -> bool {
        self.is_linked_in(&self.layer.load().graph, namespace, commit)
    }

    pub(super) fn is_linked_in(&self, graph: &Graph, namespace: NamespaceId, commit: Commit) -> bool {
        self.namespaces.has_links_at(namespace, commit) || graph.is_undivided()
    }

    /// Whether new documents of a namespace are linked.
    pub(super) fn links(&self, namespace: NamespaceId) -> bool {
        self.namespaces.has_links(namespace) || self.is_undivided()
    }

    /// Whether points of all namespaces are linked with each other, as older versions left them.
    pub(super) fn is_undivided(&self) -> bool {
        self.layer.load().graph.is_undivided()
    }

    /// The number of documents in neither graph nor tail.
    pub(super) fn n_loose(&self) -> usize {
        self.namespaces.n_loose()
    }

    /// Notes which namespaces have links in the graph. If they are linked with each other, has the
    /// graph rebuilt. Only while loading.
    pub(crate) fn note_regions(&self) {
        let regions = self.graph().regions_with_entry();
        self.set_linked(regions.into_iter().map(|region| (NamespaceId(region), Commit(0))).collect());
        if self.is_undivided() {
            tracing::info!("namespaces are to be linked apart");
            _ = self.ask_for_rebuild();
        }
    }

    /// The namespaces other than the default one that have links.
    pub(super) fn linked_namespaces(&self) -> Vec<NamespaceId> {
        self.namespaces.linked.load().keys().copied().collect()
    }

    /// The slots whose namespaces have no links.
    pub(super) fn loose_slots(&self) -> Vec<Slot> {
        self.namespaces.loose.lock().iter().collect()
    }

    /// Notes a document that the graph does not hold: it waits, or is loose if its namespace has no
    /// links. Only while loading.
    pub(super) fn note_unlinked(&self, slot: Slot, namespace: NamespaceId) {
        match self.links(namespace) {
            true => self.tail.push(slot),
            false => self.namespaces.loosen(slot),
        }
    }

    /// Notes that a slot's document has died. Returns true: the linker removes the slot from tail
    /// or graph before it is used again.
    pub(super) fn note_death(&self, slot: Slot, namespace: NamespaceId) -> bool {
        self.note_dead_point();
        match namespace == NamespaceId::default() {
            true => _ = self.namespaces.n_dead_in_default.fetch_add(1, Ordering::Relaxed),
            false => self.namespaces.deaths.lock().push((slot, namespace)),
        }
        true
    }

    /// Examines deaths, and once all namespaces. Gives links to some, or takes them away. True if
    /// there was work.
    pub(super) fn keep_namespaces(&self, graph: &Graph, context: &LinkContext<'_>) -> bool {
        let LinkContext { memory, .. } = *context;
        let deaths = std::mem::take(&mut *self.namespaces.deaths.lock());
        let was_loose = |&(slot, _): &(Slot, NamespaceId)| !memory.slots.is_alive(slot) && self.namespaces.bind(slot);
        self.retire(context, deaths.iter().filter(|death| was_loose(death)).map(|(slot, _)| *slot).collect());
        if graph.is_undivided() {
            return false;
        }
        self.namespaces.note_dead(&deaths);
        let shrunk: BTreeSet<NamespaceId> = deaths.into_iter().map(|(_, namespace)| namespace).collect();
        self.look_at(shrunk.into_iter().map(|namespace| (namespace, memory.n_members(namespace))));
        if !self.namespaces.is_surveyed.swap(true, Ordering::Relaxed) {
            self.look_at(memory.populations().into_iter());
            let linked: Vec<NamespaceId> = self.namespaces.linked.load().keys().copied().collect();
            self.look_at(linked.into_iter().map(|namespace| (namespace, memory.n_members(namespace))));
        }
        // Slots that the new layer copied would be removed from one graph only.
        if !self.is_replacing() && self.end_some(graph, context) {
            return true;
        }
        self.begin_some(memory)
    }

    /// Notes which namespaces are due to get links or lose them, from their sizes.
    fn look_at(&self, sizes: impl Iterator<Item = (NamespaceId, usize)>) {
        let mut due = self.namespaces.due.lock();
        let others = sizes.filter(|(namespace, _)| *namespace != NamespaceId::default());
        others.for_each(|(namespace, n)| match self.namespaces.has_links(namespace) {
            false if n >= least_linked() => _ = due.begin.insert(namespace),
            true if n < least_kept() => _ = due.end.insert(namespace),
            _ => {}
        });
    }

    /// Divides slots about to leave the tail into those to link and loose ones. Namespaces that
    /// have become large get links first.
    pub(super) fn sort_out(&self, graph: &Graph, memory: &Memory, slots: Vec<Slot>) -> (Vec<Slot>, Vec<Slot>) {
        if graph.is_undivided() {
            return (slots, Vec::new());
        }
        let mut others: Vec<NamespaceId> = slots.iter().map(|&slot| memory.slots.namespace(slot)).collect();
        others.sort_unstable();
        others.dedup();
        others.retain(|&namespace| !self.namespaces.has_links(namespace));
        if others.is_empty() {
            return (slots, Vec::new());
        }
        self.look_at(others.into_iter().map(|namespace| (namespace, memory.n_members(namespace))));
        while self.begin_some(memory) {}
        slots.into_iter().partition(|&slot| self.namespaces.has_links(memory.slots.namespace(slot)))
    }

    /// Makes slots that left the tail unlinked loose, if they have a document. Retires the others.
    pub(super) fn let_loose(&self, context: &LinkContext<'_>, slots: Vec<Slot>) {
        let (alive, dead): (Vec<Slot>, Vec<Slot>) =
            slots.into_iter().partition(|&slot| context.memory.slots.is_alive(slot));
        alive.iter().for_each(|slot| self.namespaces.loosen(*slot));
        self.note_loosened(&alive);
        self.retire(context, dead);
    }

    /// Gives links to one namespace, unless the tail is too long. False if none is due.
    fn begin_some(&self, memory: &Memory) -> bool {
        // Some waiting slots may have left the tail before and be in it again.
        if self.tail.len() > self.bound {
            return false;
        }
        let Some(namespace) = self.namespaces.due.lock().begin.pop_first() else { return false };
        if memory.n_members(namespace) < least_linked() || self.namespaces.has_links(namespace) {
            return true;
        }
        let since = {
            // This precedes the change of the list: a search that finds the namespace there finds
            // its documents in the tail.
            let still = memory.still();
            let loose = still.members(namespace).iter().filter(|&&slot| self.namespaces.bind(slot));
            loose.for_each(|&slot| self.tail.push(slot));
            // Only searches of earlier commits see loose documents that died before.
            still.census().since
        };
        self.adapting.lock().watches.note_fewer_loose(self.n_loose());
        self.namespaces.change(|linked| _ = linked.insert(namespace, since));
        self.namespaces.has_begun.store(true, Ordering::Relaxed);
        tracing::debug!(namespace = namespace.0, "a namespace gets links of its own");
        true
    }

    /// Removes the points of namespaces that have become small. False if there are none.
    fn end_some(&self, graph: &Graph, context: &LinkContext<'_>) -> bool {
        let mut due = std::mem::take(&mut self.namespaces.due.lock().end);
        due.retain(|&namespace| {
            context.memory.n_members(namespace) < least_kept() && self.namespaces.has_links(namespace)
        });
        if due.is_empty() {
            return false;
        }
        self.namespaces.n_endings.fetch_add(1, Ordering::AcqRel);
        self.namespaces.change(|linked| linked.retain(|namespace, _| !due.contains(namespace)));
        self.namespaces.dead.lock().retain(|namespace, _| !due.contains(namespace));
        self.adapting.lock().watches.forget(&due);
        due.iter().for_each(|namespace| self.doubts.lock().forget(*namespace));
        self.query_sample.forget(|namespace| due.contains(&namespace));
        let regions: HashSet<u32> = due.iter().map(|namespace| namespace.0).collect();
        let (gone, changes) = graph.disband(&regions, region_of(&context.memory.slots));
        self.note_changes(graph, context, &changes);
        tracing::debug!(n_namespaces = due.len(), n_slots = gone.len(), "namespaces have become too small for links");
        self.let_loose(context, gone.into_iter().map(Slot).collect());
        true
    }

    /// Divides the slots of a graph from which another is built: those to link, loose ones, and the
    /// namespaces with links.
    pub(super) fn divide(&self, memory: &Memory, slots: Vec<Slot>) -> (Vec<Slot>, Vec<Slot>, Linked) {
        let mut linked = HashMap::clone(&self.namespaces.linked.load());
        if self.is_undivided() {
            let large = memory.populations().into_iter().filter(|(_, n)| *n >= least_linked());
            linked = large.map(|(namespace, _)| (namespace, Commit(0))).collect();
        }
        let has_links = |slot: &Slot| {
            let namespace = memory.slots.namespace(*slot);
            namespace == NamespaceId::default() || linked.contains_key(&namespace)
        };
        let (to_link, loose) = slots.into_iter().partition(has_links);
        (to_link, loose, linked)
    }

    /// Sets which namespaces have links.
    pub(super) fn set_linked(&self, linked: Linked) {
        self.adapting.lock().watches.begin_with(linked.keys().copied().collect());
        self.query_sample.forget(|region| region != NamespaceId::default() && !linked.contains_key(&region));
        self.namespaces.linked.store(Arc::new(linked));
        self.namespaces.is_surveyed.store(false, Ordering::Relaxed);
    }

    /// Counts the changes of a graph and has them logged.
    pub(super) fn note_changes(&self, graph: &Graph, context: &LinkContext<'_>, changes: &[GraphChange]) {
        let n_rows = changes.iter().filter(|change| matches!(change, GraphChange::Row { .. })).count();
        let n_links = changes.iter().filter(|change| matches!(change, GraphChange::Append { .. })).count();
        self.n_links_added.fetch_add(n_links, Ordering::Relaxed);
        self.n_rows_replaced.fetch_add(n_rows, Ordering::Relaxed);
        (context.record)(graph, changes);
    }
}

/// The region of each slot, by its namespace.
pub(crate) fn region_of(slots: &Slots) -> impl Fn(u32) -> u32 + Sync {
    |slot| slots.namespace(Slot(slot)).0
}
