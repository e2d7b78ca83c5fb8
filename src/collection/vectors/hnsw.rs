//! The HNSW index (Malkov and Yashunin 2018): a graph over a collection's slots, and the tail, a
//! list of slots that wait to be linked.
//!
//! Searches and linking share no lock. The graph does not know which document a slot holds. The
//! caller makes sure that no slot is used again while a search may see it (`memory`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;

use super::codes::adapt::Adapting;
use super::codes::asked::QuerySample;
use super::codes::codebook::Codebook;
use super::codes::gauge::GOOD;
use super::codes::watch::{Doubts, LOOSE, Watches};
use super::full::Reader;
use super::layer::{Layer, Origin};
use super::nearest::cost::Cost;
use super::regions::Namespaces;
use super::space::Points;
use super::tail::Tail;
use super::{IndexBytes, IndexStats};
use crate::config::CollectionConfig;
use crate::distance::Comparison;
use crate::graph::{Graph, GraphShape};
use crate::id::{NamespaceId, Slot};
use crate::limits::MAX_TAIL;
use crate::quant::Code;

/// Bytes of codes that may wait to be linked if [`HnswIndex::new`] gets no bound.
const TAIL_BYTES: usize = 1 << 20;
/// Slots that may wait, however long their codes are, if there is no bound.
const LEAST_TAIL: usize = 1_024;

pub(crate) struct HnswIndex {
    pub(super) layer: ArcSwap<Layer>,
    /// A layer that is being built to replace `layer`.
    pub(super) next: ArcSwapOption<Layer>,
    pub(super) origin: Origin,
    /// Whether codes that do not fit are replaced by others.
    pub(super) adapts: bool,
    pub(super) adapting: Mutex<Adapting>,
    pub(super) doubts: Mutex<Doubts>,
    pub(super) query_sample: QuerySample,
    /// Codes do not fit namespaces without links. Searches compare their vectors instead.
    pub(super) misfits_loose: AtomicBool,
    pub(super) n_replaced: AtomicUsize,
    pub(super) namespaces: Namespaces,
    pub(super) tail: Tail,
    /// Slots that may wait to be linked before writers have to wait.
    pub(super) bound: usize,
    /// The value of `bound` if none is set.
    pub(super) usual_bound: usize,
    /// Costs of comparing, measured again once there are four times more documents.
    pub(super) cost: ArcSwapOption<Cost>,
    /// Slots whose documents died and that are not retired yet.
    pub(super) n_dead: AtomicUsize,
    /// Dead slots that the last sweep left: they waited in the tail, or a view needed them.
    pub(super) n_dead_waiting: AtomicUsize,
    /// The oldest commit in use at the last sweep, if it kept dead points; otherwise `u64::MAX`.
    pub(super) swept_at: AtomicU64,
    /// Slots that had left the tail when walks were last checked to reach every point.
    pub(super) n_verified: AtomicUsize,
    /// Slots that must leave the tail and be checked for
    /// [`ask_for_links`](HnswIndex::ask_for_links).
    pub(super) awaited: AtomicUsize,
    /// Points that have lost links and need new ones.
    pub(super) underfull: Mutex<Vec<u32>>,
    /// Points whose links may have to be chosen again. The linker begins at the end.
    pub(super) strays: Mutex<Vec<u32>>,
    /// Slots that had left the tail when strays were last looked for.
    pub(super) n_straightened: AtomicUsize,
    /// A sweep has removed dead points, and the search for strays after it is not over. Walks may
    /// miss living points.
    pub(super) is_unsettled: AtomicBool,
    /// Turns of the linker while slots waited.
    pub(super) n_turns: AtomicUsize,
    /// Points found unreachable at an open and not yet mended. Searches compare them one by one.
    pub(super) unreached: ArcSwap<Vec<u32>>,
    /// The graph is to be rebuilt.
    pub(super) rebuild: AtomicBool,
    /// The graph must not be walked until it is rebuilt.
    pub(super) distrusted: AtomicBool,
    pub(super) n_rebuilt: AtomicUsize,
    /// How often a sweep was asked for, however few points are dead.
    pub(super) n_sweeps_asked: AtomicUsize,
    /// The requests for a sweep that are done.
    pub(super) n_sweeps_done: AtomicUsize,
    /// Held while the graph is changed, audited or written to disk.
    pub(super) busy: Mutex<()>,
    /// A comparison panicked. From now on searches scan all documents.
    pub(super) broken: AtomicBool,
    pub(super) n_links_added: AtomicUsize,
    pub(super) n_rows_replaced: AtomicUsize,
}

impl HnswIndex {
    /// An index without slots. `codebook` tells how codes are made; `None` if the graph is walked
    /// by exact vectors.
    pub(super) fn new(
        config: &CollectionConfig,
        comparison: &Comparison,
        bound: Option<usize>,
        codebook: Option<Codebook>,
    ) -> Self {
        let shape = GraphShape { m: config.m, ef_construction: config.ef_construction };
        let origin = Origin::of(config);
        let (book, gauges) = codebook.map(|Codebook { book, gauges }| (book, gauges)).unzip();
        let gauges = gauges.unwrap_or_default();
        let misfits_loose = gauges.get(&LOOSE).is_some_and(|gauge| gauge.code_recall < GOOD);
        let layer = Layer::new(origin, comparison, shape, book);
        let bytes_per_point = layer.codes().map_or(config.dimension * size_of::<f32>(), |codes| codes.bytes_of(1));
        let usual_bound = LEAST_TAIL.max(TAIL_BYTES / bytes_per_point);
        HnswIndex {
            layer: ArcSwap::from_pointee(layer),
            next: ArcSwapOption::empty(),
            origin,
            adapts: config.adapt_codes,
            adapting: Mutex::new(Adapting::new(Watches::of(&gauges, config.adapt_codes))),
            doubts: Mutex::default(),
            query_sample: QuerySample::default(),
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
            n_verified: AtomicUsize::new(0),
            awaited: AtomicUsize::new(0),
            underfull: Mutex::default(),
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

    /// Makes room for the slots below `n_slots`.
    pub(super) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        // `next` goes first, because it may replace `layer` in between.
        self.next.load().as_ref().map_or(Ok(()), |next| next.reserve(n_slots))?;
        self.layer.load().reserve(n_slots)
    }

    /// The present graph.
    pub(crate) fn graph(&self) -> Arc<Graph> {
        self.layer.load().graph.clone()
    }

    /// The present codes or vectors of the graph.
    pub(crate) fn points(&self) -> Arc<Points> {
        self.layer.load().points.clone()
    }

    /// Whether the graph is walked by codes.
    pub(super) fn has_codes(&self) -> bool {
        !self.must_hold()
    }

    /// Whether the graph is walked by exact vectors, which must then be in memory.
    pub(crate) fn must_hold(&self) -> bool {
        matches!(*self.layer.load().points, Points::Exact(_))
    }

    /// Whether searches may walk the graph, given the vectors in `exact`.
    pub(super) fn can_walk(&self, exact: &Reader<'_>) -> bool {
        let is_held = || exact.complete().is_some() && !self.distrusted.load(Ordering::Acquire);
        !self.is_broken() && (!self.must_hold() || is_held())
    }

    /// Returns a test whether a slot is in the graph now. Nothing may be linked meanwhile.
    pub(super) fn held(&self) -> impl Fn(Slot) -> bool + use<> {
        let graph = self.graph();
        let representatives = graph.representatives();
        move |slot| graph.is_point(slot.0) || representatives.is_duplicate(slot.0)
    }

    /// Returns a test whether a slot is in the graph now or waits to be linked. Nothing may be
    /// linked meanwhile.
    pub(super) fn reached(&self) -> impl Fn(Slot) -> bool + use<> {
        let (held, mut waiting) = (self.held(), HashSet::new());
        self.tail.each_run(|run| waiting.extend(run.iter().map(|slot| Slot(slot.load(Ordering::Relaxed)))));
        move |slot| held(slot) || waiting.contains(&slot)
    }

    /// Whether a slot's code and sketch, if any, are those of `row`, a vector of `namespace`.
    pub(super) fn has_code_of(&self, slot: Slot, namespace: NamespaceId, row: &[f32]) -> bool {
        let points = self.points();
        let has_code = points.codes().is_none_or(|codes| codes.holds(slot.0, &codes.encode(row, namespace)));
        has_code && self.sketch_follows(slot)
    }

    /// Has the linker give new links to points that have lost some.
    pub(crate) fn ask_for_repair(&self, points: Vec<u32>) {
        self.underfull.lock().extend(points);
    }

    /// Has the linker make unreachable points reachable.
    pub(crate) fn ask_for_mending(&self, points: Vec<u32>) {
        self.unreached.store(Arc::new(points));
    }

    /// The number of points that wait for new links.
    pub(super) fn n_underfull(&self) -> usize {
        self.underfull.lock().len() + self.strays.lock().len()
    }

    /// The code of a vector of a namespace; `None` if the graph is walked by exact vectors.
    pub(super) fn encode(&self, row: &[f32], namespace: NamespaceId) -> Option<Code> {
        self.layer.load().codes().map(|codes| codes.encode(row, namespace))
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Counts a dead slot. The linker must remove it from tail or graph before it is used again.
    pub(super) fn note_dead_point(&self) {
        self.n_dead.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a comparison panicked, so that the graph cannot be used.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Whether writers have to wait, because the tail has reached its bound.
    pub(super) fn is_full(&self) -> bool {
        // While the graph is rebuilt, the tail may grow to `MAX_TAIL` slots.
        let bound = if self.rebuild.load(Ordering::Relaxed) { MAX_TAIL } else { self.bound };
        self.tail.len() >= bound && !self.is_broken()
    }

    /// Bytes of the codes and links of `n_slots` slots.
    pub(super) fn n_bytes(&self, n_slots: usize) -> IndexBytes {
        let of_layer = |layer: &Layer| {
            let codes = layer.codes().map_or(0, |codes| codes.bytes_of(n_slots) + codes.book().centres.n_bytes());
            IndexBytes { codes: codes + layer.sketch_layer.bytes_of(n_slots), links: layer.graph.bytes_of(n_slots) }
        };
        let (now, next) = (of_layer(&self.layer.load()), self.next.load().as_deref().map(of_layer).unwrap_or_default());
        IndexBytes { codes: now.codes + next.codes, links: now.links + next.links }
    }

    pub(super) fn stats(&self) -> IndexStats {
        IndexStats {
            codebook: self.codebook(),
            n_replaced: self.n_replaced.load(Ordering::Acquire),
            n_links_added: self.n_links_added.load(Ordering::Relaxed),
            n_rows_replaced: self.n_rows_replaced.load(Ordering::Relaxed),
            n_to_repair: self.n_underfull(),
            n_waiting: self.tail.len(),
            bound: self.bound,
            n_loose: self.n_loose(),
        }
    }
}
