//! The HNSW graph (hierarchical navigable small world) over slots.
//!
//! After Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using
//! Hierarchical Navigable Small World graphs" (2018). A slot that the graph links is a *point*.
//! Every point has a row of links at level 0; one point in `m` has rows at higher levels too. The
//! graph knows slots only and asks a [`Space`] for distances. It does not know vectors,
//! documents and storage.
//!
//! | file | owns |
//! |---|---|
//! | [`row`] | one row of links: read without a lock, changed under one |
//! | [`beam`] | the candidates of a beam search, and the slots it has visited |
//! | [`walk`] | searching, with and without a filter |
//! | [`link`], [`select`] | inserting a point; choosing its links |
//! | [`sweep`] | removing dead points |
//! | [`regions`] | parts of the graph without links between them, and the entry point of each |
//! | [`stray`] | points that a search for them misses: detection, and choosing their links again |
//! | [`audit`] | checking the graph's invariants, and mending unreachable points |
//! | [`delta`] | changes as data, and replaying them on another graph |
//! | [`hosts`] | attaching duplicates to points while a graph is rebuilt |
//! | [`parts`] | the graph as rows or as arrays, to be stored and restored |
//!
//! Readers take no lock. A row that is being changed reads as a mix of its links before and after;
//! all of them are points. A point's own rows are written before another row names the point, level
//! 0 first.

pub(crate) mod audit;
mod beam;
pub(crate) mod delta;
mod hosts;
pub(crate) mod link;
pub(crate) mod parts;
mod regions;
mod row;
mod select;
mod stray;
mod sweep;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

pub(crate) use self::beam::Neighbor;
pub(crate) use self::delta::{Delta, DeltaLink, GraphChange, Op};
pub(crate) use self::hosts::Representatives;
pub(crate) use self::link::Linking;
pub(crate) use self::parts::Extent;
use self::regions::RegionEntries;
pub(crate) use self::row::Link;
use self::row::LinkRow;
pub(crate) use self::walk::{Among, WalkCost, Walker};
use crate::arena::Rows;

/// Answers the graph's questions about its points. A smaller distance is nearer.
pub(crate) trait Space: Sync {
    /// A vector prepared for comparison with points.
    type Query: Default + Send;

    /// The views by which a point's links are chosen, in this order.
    fn views(&self) -> &'static [LinkView] {
        &[LinkView::Place]
    }

    /// Prepares the vector of `slot` as a query.
    fn query_of(&self, slot: u32, view: LinkView, query: &mut Self::Query);

    /// Writes the distances of `slots` into `distances`, rough and fast.
    fn compare(&self, query: &Self::Query, slots: &[u32], distances: &mut [f32]);

    /// Writes the distances of `slots` into `distances`, more exactly than
    /// [`compare`](Space::compare).
    fn compare_closely(&self, query: &Self::Query, slots: &[u32], distances: &mut [f32]);

    /// Whether two slots hold the same vector.
    fn is_same(&self, a: u32, b: u32) -> bool;

    /// The region of a slot. Points are linked only within their region.
    fn region_of(&self, _slot: u32) -> u32 {
        0
    }

    /// Whether new links may lead to a point. Walks pass through other points too.
    fn is_alive(&self, slot: u32) -> bool;

    /// Whether a search may still have to find a point: it lives, or an open view still sees it.
    fn is_needed(&self, slot: u32) -> bool;

    /// Whether the search was cancelled or its deadline has passed. The walk then ends early.
    fn is_given_up(&self) -> bool {
        false
    }
}

/// The comparison for which a point's vector is prepared as a query.
///
/// A metric needs one view: points near a point are what a search for it wants. The inner product
/// is no metric. A point need not be nearest to itself, and a few long vectors are nearest to all.
/// [`link`] describes the consequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkView {
    /// By place: each point is nearest to itself.
    Place,
    /// By the same comparison as searches.
    Search,
}

/// How a graph is built: HNSW's two parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GraphShape {
    /// HNSW's M: links that a new point gets at each level.
    pub(crate) m: usize,
    /// HNSW's efConstruction: candidates from which a new point's links are chosen.
    pub(crate) ef_construction: usize,
}

/// Words of 4 bytes in a cache line of 64 bytes. Rows of level 0 fill whole lines.
const LINE_WORDS: usize = 16;
/// The number that stands for "no slot".
const NOBODY: u32 = u32::MAX;
/// The highest level, whatever the hash of a slot gives.
const MAX_LEVEL: usize = 15;

pub(crate) struct Graph {
    shape: GraphShape,
    /// Rows of level 0, by slot.
    base: Rows<AtomicU32>,
    /// Rows of higher levels. A point's rows are adjacent, lowest level first.
    upper: Rows<AtomicU32>,
    /// The index in `upper` of each slot's first row.
    upper_at: Rows<AtomicU32>,
    /// Chains of duplicates, by slot: a point's cell holds its first duplicate plus one, a
    /// duplicate's cell the next duplicate plus one. 0 ends a chain.
    duplicates: Rows<AtomicU32>,
    /// The packed entry point of region 0; [`NOBODY`] while there is none.
    entry: AtomicU64,
    /// The entry points of all other regions.
    region_entries: RegionEntries,
    n_reserved: AtomicUsize,
    /// Rows of `upper` in use.
    n_upper: Mutex<usize>,
}

/// An entry point: where walks of a region begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryPoint {
    pub(crate) slot: u32,
    pub(crate) level: usize,
}

impl EntryPoint {
    fn pack(entry: Option<EntryPoint>) -> u64 {
        entry.map_or(u64::from(NOBODY), |entry| (entry.level as u64) << 32 | u64::from(entry.slot))
    }

    fn unpack(packed: u64) -> Option<EntryPoint> {
        let slot = packed as u32;
        (slot != NOBODY).then_some(EntryPoint { slot, level: (packed >> 32) as usize })
    }
}

impl Graph {
    pub(crate) fn new(shape: GraphShape) -> Self {
        // Room for 2.5·m links, a quarter more than the 2·m kept, so that rows are seldom pruned.
        // With the header, rows fill whole cache lines.
        let base_words = (1 + shape.m * 2 + shape.m / 2).next_multiple_of(LINE_WORDS);
        let upper_words = (1 + shape.m + shape.m / 4).next_multiple_of(4);
        Graph {
            shape,
            base: Rows::new(base_words),
            upper: Rows::new(upper_words),
            upper_at: Rows::new(1),
            duplicates: Rows::new(1),
            entry: AtomicU64::new(EntryPoint::pack(None)),
            region_entries: RegionEntries::default(),
            n_reserved: AtomicUsize::new(0),
            n_upper: Mutex::new(0),
        }
    }

    pub(crate) fn shape(&self) -> GraphShape {
        self.shape
    }

    /// Makes room for the slots below `n_slots`. After an error the graph keeps the room it had.
    pub(crate) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        let mut n_upper = self.n_upper.lock();
        let n_reserved = self.n_reserved.load(Ordering::Relaxed);
        if n_slots <= n_reserved {
            return Ok(());
        }
        let n_new: usize = (n_reserved..n_slots).map(|slot| self.level_of(slot as u32)).sum();
        self.base.reserve(n_slots)?;
        self.upper.reserve(*n_upper + n_new)?;
        self.upper_at.reserve(n_slots)?;
        self.duplicates.reserve(n_slots)?;
        for slot in n_reserved as u32..n_slots as u32 {
            if let Some(at) = self.upper_at.get(slot) {
                at.store(*n_upper as u32, Ordering::Relaxed);
            }
            *n_upper += self.level_of(slot);
        }
        self.n_reserved.store(n_slots, Ordering::Release);
        Ok(())
    }

    /// Bytes of memory for the links, chains and row indexes of `n_slots` slots. The rows of higher
    /// levels are counted in full.
    pub(crate) fn bytes_of(&self, n_slots: usize) -> usize {
        let upper = self.upper.bytes_of(*self.n_upper.lock());
        self.base.bytes_of(n_slots) + upper + n_slots * 2 * size_of::<u32>()
    }

    pub(crate) fn entry(&self) -> Option<EntryPoint> {
        EntryPoint::unpack(self.entry.load(Ordering::Acquire))
    }

    /// The highest level of a slot, by a hash of the slot: at least `l` with probability `m⁻ˡ`. A
    /// slot keeps its level, and so its upper rows, when it is used again.
    pub(crate) fn level_of(&self, slot: u32) -> usize {
        let mut state = (u64::from(slot) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let uniform = ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        ((-uniform.ln() / (self.shape.m as f64).ln()) as usize).min(MAX_LEVEL)
    }

    /// The row of a slot at a level up to its highest.
    #[inline(always)]
    fn row(&self, slot: u32, level: usize) -> LinkRow<'_> {
        if level == 0 {
            return LinkRow::new(self.base.shared(slot));
        }
        let at = self.upper_at.get(slot).map_or(0, |at| at.load(Ordering::Relaxed));
        LinkRow::new(self.upper.shared(at + level as u32 - 1))
    }

    /// The most links that pruning leaves in a row: 2·m at level 0, `m` above.
    fn kept_links(&self, level: usize) -> usize {
        if level == 0 { self.shape.m * 2 } else { self.shape.m }
    }

    fn duplicate_cell(&self, slot: u32) -> Option<&AtomicU32> {
        self.duplicates.get(slot)
    }

    /// The duplicates of a point, in the order of its chain.
    pub(crate) fn duplicates(&self, slot: u32) -> impl Iterator<Item = u32> {
        let next = |slot: u32| self.duplicate_cell(slot)?.load(Ordering::Acquire).checked_sub(1);
        std::iter::successors(next(slot), move |&duplicate| next(duplicate))
    }

    /// The links of a slot at a level at this moment.
    pub(crate) fn links(&self, slot: u32, level: usize) -> Vec<u32> {
        self.row(slot, level).iter().collect()
    }
}
