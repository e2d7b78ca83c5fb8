//! The graph: hierarchical navigable small worlds over slots.
//!
//! After Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable
//! Small World graphs" (2018). Every point has a row of links at level 0 and, one in `m` of them, at levels above. The
//! graph knows slots and asks a [`Space`] how near they are; vectors, documents and storage it does not know.
//!
//! | file | owns |
//! |---|---|
//! | [`row`] | one row of links: reading without a lock, changing under one |
//! | [`beam`] | the frontier of a walk, and what it has seen |
//! | [`walk`] | searching |
//! | [`link`], [`select`] | inserting a point; choosing links |
//! | [`sweep`] | taking dead points out |
//! | [`regions`] | parts of the graph that no link joins, and where walks of each begin |
//! | [`stray`] | points that a search for them misses: telling them, and choosing their links again |
//! | [`audit`] | proving that it is sound, and finding what cannot be reached |
//! | [`delta`] | what changed, as data, and making the same of it elsewhere |
//! | [`hosts`] | hanging twins on points while a graph is put together |
//! | [`parts`] | all of it as rows or as arrays, to be kept and taken up again |
//!
//! Readers take no lock: a row that is being changed reads as a mix of its links before and after, all of which are
//! points. A point's links are written before any row names it, and its own row at level 0 before those above.

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

pub(crate) use self::beam::Found;
pub(crate) use self::delta::{Change, Delta, Op, Tie};
pub(crate) use self::hosts::Hosts;
pub(crate) use self::link::Linking;
pub(crate) use self::parts::Extent;
use self::regions::Gates;
pub(crate) use self::row::Link;
use self::row::Row;
pub(crate) use self::walk::{Among, Tally, Walker};
use crate::arena::Rows;

/// What the graph asks about its points. Ranks compare: smaller is nearer.
pub(crate) trait Space: Sync {
    /// A vector made ready to be compared with points.
    type Query: Default + Send;

    /// The views by which links are chosen, each after the other.
    fn views(&self) -> &'static [View] {
        &[View::Place]
    }

    /// Makes a query of a point.
    fn query_of(&self, slot: u32, view: View, query: &mut Self::Query);

    /// Ranks points, roughly and fast.
    fn rank(&self, query: &Self::Query, slots: &[u32], ranks: &mut [f32]);

    /// Ranks points closely.
    fn rank_closely(&self, query: &Self::Query, slots: &[u32], ranks: &mut [f32]);

    /// Whether two points are the same vector.
    fn is_same(&self, a: u32, b: u32) -> bool;

    /// The region that a slot belongs to: points are linked only within theirs.
    fn region_of(&self, _slot: u32) -> u32 {
        0
    }

    /// Whether a point may be linked to. A point that may not is still walked through.
    fn is_alive(&self, slot: u32) -> bool;

    /// Whether anyone may still want to find a point: those that live, and those that died a moment ago.
    fn is_needed(&self, slot: u32) -> bool;

    /// Whether the search was cancelled or its deadline has passed: the walk ends at once.
    fn is_given_up(&self) -> bool {
        false
    }
}

/// What a query that is made of a point is compared by.
///
/// A metric needs one view: what is near a point is what a search for it wants. The inner product is no metric. A point
/// need not be nearest to itself, and a few long vectors are nearest to all. See [`link`] for what follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Where points lie: the nearest to a point is itself.
    Place,
    /// As searches compare.
    Search,
}

/// How a graph is built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Links that a new point gets at each level.
    pub(crate) m: usize,
    /// Candidates that a new point's links are chosen from.
    pub(crate) ef_construction: usize,
}

/// Words of a cache line; rows of level 0 fill whole lines.
const LINE_WORDS: usize = 16;
/// No point.
const NOBODY: u32 = u32::MAX;
/// Levels are bounded by this whatever the hash says.
const MAX_LEVEL: usize = 15;

pub(crate) struct Graph {
    shape: Shape,
    /// Links at level 0, by slot.
    base: Rows<AtomicU32>,
    /// Links at higher levels; a point's rows follow each other.
    upper: Rows<AtomicU32>,
    /// Each slot's first row in `upper`.
    upper_at: Rows<AtomicU32>,
    /// Chains of points that are the same vector: of a point in the graph its first twin plus one, of a twin the next.
    twins: Rows<AtomicU32>,
    /// The level and slot at which walks of region 0 begin; [`NOBODY`] as long as there is none.
    entry: AtomicU64,
    /// Where those of other regions do.
    gates: Gates,
    n_reserved: AtomicUsize,
    /// Rows of `upper` given out.
    n_upper: Mutex<usize>,
}

/// Where walks begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) slot: u32,
    pub(crate) level: usize,
}

impl Entry {
    fn pack(entry: Option<Entry>) -> u64 {
        entry.map_or(u64::from(NOBODY), |entry| (entry.level as u64) << 32 | u64::from(entry.slot))
    }

    fn unpack(packed: u64) -> Option<Entry> {
        let slot = packed as u32;
        (slot != NOBODY).then_some(Entry { slot, level: (packed >> 32) as usize })
    }
}

impl Graph {
    pub(crate) fn new(shape: Shape) -> Self {
        // A quarter more than 2·m, so that rows are pruned seldom; with the header, whole cache lines.
        let base_words = (1 + shape.m * 2 + shape.m / 2).next_multiple_of(LINE_WORDS);
        let upper_words = (1 + shape.m + shape.m / 4).next_multiple_of(4);
        Graph {
            shape,
            base: Rows::new(base_words),
            upper: Rows::new(upper_words),
            upper_at: Rows::new(1),
            twins: Rows::new(1),
            entry: AtomicU64::new(Entry::pack(None)),
            gates: Gates::default(),
            n_reserved: AtomicUsize::new(0),
            n_upper: Mutex::new(0),
        }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Makes room for so many slots. On an error what was there stays.
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
        self.twins.reserve(n_slots)?;
        for slot in n_reserved as u32..n_slots as u32 {
            if let Some(at) = self.upper_at.get(slot) {
                at.store(*n_upper as u32, Ordering::Relaxed);
            }
            *n_upper += self.level_of(slot);
        }
        self.n_reserved.store(n_slots, Ordering::Release);
        Ok(())
    }

    /// Bytes that links, twins and places take for so many slots.
    pub(crate) fn bytes_of(&self, n_slots: usize) -> usize {
        let upper = self.upper.bytes_of(*self.n_upper.lock());
        self.base.bytes_of(n_slots) + upper + n_slots * 2 * size_of::<u32>()
    }

    pub(crate) fn entry(&self) -> Option<Entry> {
        Entry::unpack(self.entry.load(Ordering::Acquire))
    }

    /// The highest level of a slot: level `l` with probability `m⁻ˡ`, by a hash of the slot, so that a slot keeps its
    /// upper rows when it is used again.
    pub(crate) fn level_of(&self, slot: u32) -> usize {
        let mut state = (u64::from(slot) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let uniform = ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        ((-uniform.ln() / (self.shape.m as f64).ln()) as usize).min(MAX_LEVEL)
    }

    /// A slot's row at a level that it has.
    #[inline(always)]
    fn row(&self, slot: u32, level: usize) -> Row<'_> {
        if level == 0 {
            return Row::new(self.base.shared(slot));
        }
        let at = self.upper_at.get(slot).map_or(0, |at| at.load(Ordering::Relaxed));
        Row::new(self.upper.shared(at + level as u32 - 1))
    }

    /// Most links a row keeps when it is pruned.
    fn kept_links(&self, level: usize) -> usize {
        if level == 0 { self.shape.m * 2 } else { self.shape.m }
    }

    fn twin_cell(&self, slot: u32) -> Option<&AtomicU32> {
        self.twins.get(slot)
    }

    /// The twins of a point in the graph, one after the other.
    pub(crate) fn twins(&self, slot: u32) -> impl Iterator<Item = u32> {
        let next = |slot: u32| self.twin_cell(slot)?.load(Ordering::Acquire).checked_sub(1);
        std::iter::successors(next(slot), move |&twin| next(twin))
    }

    /// The links of a slot at a level, as they are now.
    pub(crate) fn links(&self, slot: u32, level: usize) -> Vec<u32> {
        self.row(slot, level).iter().collect()
    }
}
