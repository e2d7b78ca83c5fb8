//! The index of a collection: a graph over its slots, and the tail of slots that are not in it yet.
//!
//! | file | owns |
//! |---|---|
//! | [`codebook`], [`gauge`], [`asked`] | what codes are made by; how far they can be trusted; queries to measure by |
//! | [`adapt`], [`watch`], [`means`] | whether codes fit the data: all of it, of one region, and where its vectors lie |
//! | [`replace`] | putting other codes in their place |
//! | [`layer`] | what is walked and by what, replaced together |
//! | [`space`] | what the graph compares: codes, exact vectors, a user's distance |
//! | [`namespaces`] | which namespaces have links of their own |
//! | [`tail`], [`segment`] | slots that wait to be linked; a run of them |
//! | [`sift`] | sketches, by which most candidates are known to be far |
//! | [`cost`] | whether a scan is faster than a walk |
//! | [`seek`], [`rescore`] | finding what is nearest in tail and graph; comparing it again by exact vectors |
//! | [`upkeep`] | linking, sweeping, mending |
//!
//! Searches and linking share no lock. The graph never tells a slot's document from another's: who asks sees to it that
//! slots are not used again while they are looked at (`memory`).

mod adapt;
mod asked;
pub(crate) mod codebook;
pub(crate) mod cost;
pub(crate) mod gauge;
mod layer;
mod means;
pub(crate) mod namespaces;
mod replace;
mod rescore;
pub(crate) mod seek;
mod segment;
mod sift;
mod space;
pub(crate) mod tail;
pub(crate) mod upkeep;
pub(crate) mod watch;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;

use self::adapt::Adapting;
use self::asked::Asked;
use self::codebook::Codebook;
use self::cost::Cost;
use self::layer::{Layer, Origin};
use self::namespaces::Namespaces;
pub(crate) use self::sift::LEAST_SIFTED;
pub(crate) use self::space::Points;
use self::tail::Tail;
use self::watch::{Doubts, GOOD, LOOSE, Watches};
use super::exact::Reader;
use super::memory::Slots;
use crate::config::CollectionConfig;
use crate::distance::Ranker;
use crate::graph::{Graph, Shape};
use crate::id::{Commit, NamespaceId, Slot};
use crate::limits::MAX_TAIL;
use crate::quant::Code;

/// Bytes of codes that may wait to be linked where no bound is set.
const TAIL_BYTES: usize = 1 << 20;
/// Slots that may wait however long their codes are.
const LEAST_TAIL: usize = 1_024;

pub(crate) struct Index {
    layer: ArcSwap<Layer>,
    /// A layer that is being made to take that one's place.
    next: ArcSwapOption<Layer>,
    origin: Origin,
    /// Whether other codes take the place of those that do not fit.
    adapts: bool,
    adapting: Mutex<Adapting>,
    doubts: Mutex<Doubts>,
    asked: Asked,
    /// Codes do not fit documents of namespaces without links: their vectors are compared.
    misfits_loose: AtomicBool,
    n_replaced: AtomicUsize,
    namespaces: Namespaces,
    tail: Tail,
    /// Slots that may wait before writers do, and how many that is where nobody says so.
    bound: usize,
    usual_bound: usize,
    /// Replaced once there is much more to compare.
    cost: ArcSwapOption<Cost>,
    /// Slots whose documents died and that are not retired yet.
    n_dead: AtomicUsize,
    /// Those of them that the last sweep did not find in the graph: they waited in the tail.
    n_dead_waiting: AtomicUsize,
    /// The oldest commit that was looked at when a sweep left some of them for that; none after one that did not.
    swept_at: AtomicU64,
    /// How many slots had left the tail when the graph was last proven to reach all its points.
    n_proven: AtomicUsize,
    /// How many have to leave, and be proven, for those who wait.
    awaited: AtomicUsize,
    /// Points that have lost links, to be given others.
    short: Mutex<Vec<u32>>,
    /// Points whose links may have to be chosen again, those to begin with last.
    strays: Mutex<Vec<u32>>,
    /// How many slots had left the tail when it was last looked for such.
    n_straightened: AtomicUsize,
    /// A sweep has taken dead points out, and the search for strays after it is not over: walks may miss living points.
    is_unsettled: AtomicBool,
    /// Turns that the linker has taken while slots waited.
    n_turns: AtomicUsize,
    /// Points that no walk reaches, since an open and until they are mended; searches compare them one by one.
    unreached: ArcSwap<Vec<u32>>,
    /// The graph is to be made anew.
    rebuild: AtomicBool,
    /// And not to be walked before.
    distrusted: AtomicBool,
    n_rebuilt: AtomicUsize,
    /// How often a sweep of what is dead, however little, was asked for, and up to which of these it was done.
    n_sweeps_asked: AtomicUsize,
    n_sweeps_done: AtomicUsize,
    /// Held while the graph is changed, audited or written down.
    busy: Mutex<()>,
    /// Comparing panicked: from now on everything is scanned.
    broken: AtomicBool,
    n_links_added: AtomicUsize,
    n_rows_replaced: AtomicUsize,
}

/// What a search compares, as of the commit that it looks at.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'s> {
    pub(crate) slots: &'s Slots,
    pub(crate) exact: &'s Reader<'s>,
    pub(crate) ranker: &'s Ranker,
    /// Documents of all namespaces.
    pub(crate) n_documents: usize,
    /// Documents of the namespace that is searched.
    pub(crate) n_members: usize,
    /// Its codes may be compared instead of its vectors.
    pub(crate) trusts_codes: bool,
    /// Every slot that holds a document is below this.
    pub(crate) n_slots: usize,
    pub(crate) commit: Commit,
}

/// Bytes that an index takes, by part.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IndexBytes {
    pub(crate) codes: usize,
    pub(crate) links: usize,
}

impl Index {
    /// An index without slots. `codebook` is what codes are made by; `None` where the graph is walked by exact vectors.
    pub(crate) fn new(
        config: &CollectionConfig,
        ranker: &Ranker,
        bound: Option<usize>,
        codebook: Option<Codebook>,
    ) -> Self {
        let shape = Shape { m: config.m, ef_construction: config.ef_construction };
        let origin = Origin::of(config);
        let (book, gauges) = codebook.map(|Codebook { book, gauges }| (book, gauges)).unzip();
        let gauges = gauges.unwrap_or_default();
        let misfits_loose = gauges.get(&LOOSE).is_some_and(|gauge| gauge.code_recall < GOOD);
        let layer = Layer::new(origin, ranker, shape, book);
        let bytes_per_point = layer.codes().map_or(config.dimension * size_of::<f32>(), |codes| codes.bytes_of(1));
        let usual_bound = LEAST_TAIL.max(TAIL_BYTES / bytes_per_point);
        Index {
            layer: ArcSwap::from_pointee(layer),
            next: ArcSwapOption::empty(),
            origin,
            adapts: config.adapt_codes,
            adapting: Mutex::new(Adapting::new(Watches::of(&gauges, config.adapt_codes))),
            doubts: Mutex::default(),
            asked: Asked::default(),
            misfits_loose: AtomicBool::new(misfits_loose),
            n_replaced: AtomicUsize::new(0),
            namespaces: Namespaces::default(),
            tail: Tail::new(),
            bound: bound.unwrap_or(usual_bound),
            usual_bound,
            cost: ArcSwapOption::empty(),
            n_dead: AtomicUsize::new(0),
            n_dead_waiting: AtomicUsize::new(0),
            swept_at: AtomicU64::new(u64::MAX),
            n_proven: AtomicUsize::new(0),
            awaited: AtomicUsize::new(0),
            short: Mutex::default(),
            strays: Mutex::default(),
            n_straightened: AtomicUsize::new(0),
            is_unsettled: AtomicBool::new(false),
            n_turns: AtomicUsize::new(1),
            unreached: ArcSwap::default(),
            rebuild: AtomicBool::new(false),
            distrusted: AtomicBool::new(false),
            n_rebuilt: AtomicUsize::new(0),
            n_sweeps_asked: AtomicUsize::new(0),
            n_sweeps_done: AtomicUsize::new(0),
            busy: Mutex::new(()),
            broken: AtomicBool::new(false),
            n_links_added: AtomicUsize::new(0),
            n_rows_replaced: AtomicUsize::new(0),
        }
    }

    /// Makes room for so many slots.
    pub(crate) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        // The next first: it may take the other's place in between.
        self.next.load().as_ref().map_or(Ok(()), |next| next.reserve(n_slots))?;
        self.layer.load().reserve(n_slots)
    }

    /// The graph, as it is now.
    pub(crate) fn graph(&self) -> Arc<Graph> {
        self.layer.load().graph.clone()
    }

    /// What the graph is walked by, as it is now.
    pub(crate) fn points(&self) -> Arc<Points> {
        self.layer.load().points.clone()
    }

    /// Whether the graph is walked by codes.
    pub(crate) fn has_codes(&self) -> bool {
        !self.must_hold()
    }

    /// Whether the graph is walked by exact vectors, so that they have to be held.
    pub(crate) fn must_hold(&self) -> bool {
        matches!(*self.layer.load().points, Points::Exact(_))
    }

    /// Whether the graph can be walked by what a reader finds.
    pub(crate) fn can_walk(&self, exact: &Reader<'_>) -> bool {
        let is_held = || exact.complete().is_some() && !self.distrusted.load(Ordering::Acquire);
        !self.is_broken() && (!self.must_hold() || is_held())
    }

    /// Tells which slots are in the graph. Nothing may be linked meanwhile.
    pub(crate) fn held(&self) -> impl Fn(Slot) -> bool + use<> {
        let graph = self.graph();
        let hosts = graph.hosts();
        move |slot| graph.is_point(slot.0) || hosts.is_twin(slot.0)
    }

    /// The slots that wait to be linked. Nothing may be linked meanwhile.
    pub(crate) fn waiting(&self) -> HashSet<Slot> {
        let mut waiting = HashSet::new();
        self.tail.each_run(|run| waiting.extend(run.iter().map(|slot| Slot(slot.load(Ordering::Relaxed)))));
        waiting
    }

    /// Has points be given links in place of those they have lost.
    pub(crate) fn ask_for_repair(&self, points: Vec<u32>) {
        self.short.lock().extend(points);
    }

    /// Has points that no walk reaches be given a link.
    pub(crate) fn ask_for_mending(&self, points: Vec<u32>) {
        self.unreached.store(Arc::new(points));
    }

    /// How many points wait to be given links in place of those they have lost, or other links.
    pub(crate) fn n_short(&self) -> usize {
        self.short.lock().len() + self.strays.lock().len()
    }

    /// The code of a vector of a namespace; `None` where the graph is walked by exact vectors.
    pub(crate) fn encode(&self, row: &[f32], namespace: NamespaceId) -> Option<Code> {
        self.layer.load().codes().map(|codes| codes.encode(row, namespace))
    }

    /// Slots that may wait before writers do.
    pub(crate) fn bound(&self) -> usize {
        self.bound
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// A slot that no document is in any more has to be taken out of tail or graph before it is used again.
    pub(crate) fn note_dead_point(&self) {
        self.n_dead.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether comparing panicked, so that there is no graph to rely on.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Whether so many slots wait that writers have to wait too.
    pub(crate) fn is_full(&self) -> bool {
        // While the graph is made anew the tail is long, and no one's fault.
        let bound = if self.rebuild.load(Ordering::Relaxed) { MAX_TAIL } else { self.bound };
        self.tail.len() >= bound && !self.is_broken()
    }

    /// Bytes for so many slots.
    pub(crate) fn n_bytes(&self, n_slots: usize) -> IndexBytes {
        let of_layer = |layer: &Layer| {
            let codes = layer.codes().map_or(0, |codes| codes.bytes_of(n_slots) + codes.book().centres.n_bytes());
            IndexBytes { codes: codes + layer.sifting.bytes_of(n_slots), links: layer.graph.bytes_of(n_slots) }
        };
        let (now, next) = (of_layer(&self.layer.load()), self.next.load().as_deref().map(of_layer).unwrap_or_default());
        IndexBytes { codes: now.codes + next.codes, links: now.links + next.links }
    }

    /// Links added, and rows replaced because they were full, since the collection was opened.
    pub(crate) fn n_changes(&self) -> (usize, usize) {
        (self.n_links_added.load(Ordering::Relaxed), self.n_rows_replaced.load(Ordering::Relaxed))
    }
}
