//! A layer: codes or vectors, and the graph that was linked by them. Both are replaced together.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::linking_context::LinkContext;
use super::nearest::prefilter::SketchLayer;
use super::space::Points;
use super::{HnswIndex, VectorIndex};
use crate::config::CollectionConfig;
use crate::distance::{Comparison, Metric};
use crate::error::Result;
use crate::failpoint;
use crate::graph::{Graph, GraphShape};
use crate::id::{NamespaceId, Slot};
use crate::quant::{Book, Code, Codes};
use crate::store::View;

#[derive(Clone)]
pub(super) struct Layer {
    pub(super) points: Arc<Points>,
    pub(super) graph: Arc<Graph>,
    pub(super) sketch_layer: Arc<SketchLayer>,
}

/// The vectors of which codes are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) dimension: usize,
    metric: Metric,
    /// All vectors are of length one.
    pub(super) unit: bool,
}

impl Origin {
    pub(super) fn of(config: &CollectionConfig) -> Self {
        Origin { dimension: config.dimension, metric: config.metric, unit: config.compares_directions() }
    }

    /// Codes by a book; `None` for a metric that codes do not support.
    pub(super) fn codes(self, book: Book) -> Option<Codes> {
        Codes::new(self.dimension, self.metric, self.unit, book)
    }
}

impl Layer {
    /// An empty layer: by codes if `book` is given and supports the metric, otherwise by vectors.
    pub(super) fn new(origin: Origin, comparison: &Comparison, shape: GraphShape, book: Option<Book>) -> Self {
        let codes = book.and_then(|book| origin.codes(book));
        let points = codes.map_or(Points::Exact(comparison.clone()), |codes| Points::Codes(Box::new(codes)));
        let graph = Graph::new(shape);
        if failpoint::refuse("divide").is_err() {
            graph.set_undivided();
        }
        Layer { points: Arc::new(points), graph: Arc::new(graph), sketch_layer: Arc::default() }
    }

    /// This layer with another graph.
    pub(super) fn with_graph(&self, graph: Arc<Graph>) -> Self {
        Layer { graph, ..self.clone() }
    }

    pub(super) fn codes(&self) -> Option<&Codes> {
        self.points.codes()
    }

    /// Makes room for the slots below `n_slots`.
    pub(super) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        self.codes().map_or(Ok(()), |codes| codes.reserve(n_slots))?;
        self.sketch_layer.reserve(n_slots)?;
        self.graph.reserve(n_slots)
    }

    /// Stores the code of a slot for a document of `namespace`. Makes another code if `code` is
    /// missing, or of another book or centre.
    ///
    /// # Safety
    /// Nobody else reads or writes this slot's code meanwhile.
    #[expect(unsafe_code, reason = "passes the promise on")]
    unsafe fn put(&self, slot: Slot, namespace: NamespaceId, vector: &[f32], code: Option<&Code>) {
        let Some(codes) = self.codes() else { return };
        let made;
        let code = match code.filter(|code| codes.have_made(code, namespace)) {
            Some(code) => code,
            None => {
                made = codes.encode(vector, namespace);
                &made
            }
        };
        // SAFETY: the caller makes the same promise to this function.
        unsafe { codes.put(slot.0, code) };
        self.sketch_layer.put(codes, slot, code);
    }

    /// Makes this layer's codes of `slots`, for all documents visible from the older view to the
    /// newer one. Nobody reads this layer yet. `old` is the layer in use.
    pub(super) fn fill(
        &self,
        context: &LinkContext<'_>,
        old: &Layer,
        slots: Range<u32>,
        [oldest, newest]: &[Arc<View>; 2],
    ) -> Result<()> {
        let memory = context.memory;
        let (Some(codes), Some(old)) = (self.codes(), old.codes()) else { return Ok(()) };
        let needed = slots.map(Slot).filter(|&slot| memory.slots.is_needed(slot, oldest.commit));
        // Documents after the newest view have a code already.
        let needed: Vec<Slot> = needed.filter(|&slot| memory.slots.existed_by(slot, newest.commit)).collect();
        let put = |slot: Slot, vector: &[f32]| {
            let code = codes.encode(vector, memory.slots.namespace(slot));
            #[expect(unsafe_code, reason = "slots are filled where nobody looks yet")]
            // SAFETY: nobody reads the new layer yet. The slot's document is visible at a commit
            // since the oldest pinned view, so the slot is given no other document meanwhile. The
            // thread that gave the slot its document did so before the new layer existed.
            unsafe {
                codes.put(slot.0, &code);
            }
        };
        let fill_one = |&slot: &Slot| {
            if let Some(vector) = context.exact.get(slot) {
                put(slot, vector);
                return Ok(());
            }
            // The document may have died since.
            let seen_at = [newest, oldest].into_iter().find(|view| memory.slots.exists_at(slot, view.commit));
            let mut vector = Vec::new();
            match seen_at {
                Some(view) => (context.read_at)(view, slot, &mut |row| vector.extend_from_slice(row))?,
                // It came and went between the views. Its old code stands for a vector close by.
                None => old.decode(slot.0, memory.slots.namespace(slot), &mut vector),
            }
            put(slot, &vector);
            Ok(())
        };
        context.pool.install(|| needed.par_iter().try_for_each(fill_one))
    }
}

impl HnswIndex {
    /// The present layer.
    pub(super) fn layer(&self) -> Arc<Layer> {
        self.layer.load_full()
    }

    /// Whether a layer is the present one.
    pub(super) fn is_present(&self, layer: &Arc<Layer>) -> bool {
        Arc::ptr_eq(&self.layer.load(), layer)
    }

    /// Stores the code of a slot for a document of `namespace`, in the present layer and in the one
    /// being built.
    ///
    /// # Safety
    /// Nobody else reads or writes this slot's code meanwhile.
    #[expect(unsafe_code, reason = "passes the promise on")]
    unsafe fn put_code(&self, slot: Slot, namespace: NamespaceId, vector: &[f32], code: Option<&Code>) {
        // SAFETY: the caller makes the same promise to this function.
        unsafe { self.layer.load().put(slot, namespace, vector, code) };
        if let Some(next) = &*self.next.load() {
            // SAFETY: as above.
            unsafe { next.put(slot, namespace, vector, code) };
        }
    }
}

impl VectorIndex {
    /// Stores the code of a slot for a document of `namespace`, if there are codes. Makes another
    /// code if `code` is missing or out of date.
    ///
    /// # Safety
    /// Nobody else reads or writes this slot's code meanwhile.
    #[expect(unsafe_code, reason = "passes the promise on")]
    pub(crate) unsafe fn put_code(&self, slot: Slot, namespace: NamespaceId, vector: &[f32], code: Option<&Code>) {
        match self {
            // SAFETY: the caller makes the same promise to this function.
            VectorIndex::Hnsw(hnsw) => unsafe { hnsw.put_code(slot, namespace, vector, code) },
            VectorIndex::Flat(_) => {}
        }
    }
}
