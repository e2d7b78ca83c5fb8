//! Inserting a point into the HNSW graph: search for candidates, choose links, link back.
//!
//! # Rows that come in an order
//! Where vectors arrive in the order of a slow drift, a new point's neighbours are the points that
//! came just before it. A walk from a single start may end away from them. The new point then links
//! to other points, and later points that start there link to it. Two strands grow side by side
//! without a link between them, and a search finds the points of one only. So a walk also begins at
//! the point that the thread linked last (`last`). For vectors in random order this costs one
//! comparison and changes nothing.
//!
//! The starts of a walk, above all the nearest points of the level above, are candidates too. Among
//! many nearly equal points all other candidates are such points, and no link would lead out of
//! them.
//!
//! # Inner products
//! Links chosen by inner product lead to the longest vectors, and no link leads to most points
//! (ip-NSW: Morozov and Babenko, "Non-metric Similarity Graphs for Maximum Inner Product Search",
//! 2018). Links chosen by distance lead everywhere, but walks along them reach the longest vectors
//! slowly or never. So a point gets both: [`PLACE_SHARE`] of its links by distance, the others by
//! inner product. Searches compare by inner product alone.
//!
//! Two alternatives were rejected. A graph for each comparison takes twice the memory (ip-NSW+: Liu
//! et al., "Understanding and Improving Proximity Graph based Maximum Inner Product Search", 2020).
//! A single comparison between the two, such as a component that makes all vectors equally long,
//! suits only some data. Its recall was .04 where lengths are lognormal; where one component is a
//! bias, recall without it was .49.

use std::sync::atomic::{AtomicU64, Ordering};

use super::beam::Neighbor;
use super::row::{Link, LockedRow};
use super::select::Selector;
use super::walk::Walker;
use super::{EntryPoint, Graph, GraphChange, LinkView, Space};

/// One thread's buffers for linking, and the record of what its linking changed.
#[derive(Default)]
pub(crate) struct Linking<Q> {
    walker: Walker,
    query: Q,
    other: Q,
    selector: Selector<Q>,
    pub(super) candidates: Vec<Neighbor>,
    slots: Vec<u32>,
    distances: Vec<f32>,
    /// For each view, the points at which the walk of the next level begins.
    starts: Vec<Vec<Neighbor>>,
    rows: Vec<(usize, Vec<u32>)>,
    /// The slot linked last plus one; 0 if there is none. It may be a slot of another graph.
    last: u32,
    /// All changes since the caller last emptied this list.
    pub(crate) changes: Vec<GraphChange>,
}

/// Nearest candidates that are tested for being the same vector as the new point.
const N_TWIN_CANDIDATES: usize = 4;
/// Fraction of a point's links that [`LinkView::Place`] chooses if there is another view:
/// numerator, denominator.
const PLACE_SHARE: (usize, usize) = (2, 3);
/// Divisor of `ef_construction` for walks by [`LinkView::Search`].
const SEARCH_EF_SHARE: usize = 2;
/// The most starts of a walk that become candidates.
const N_START_CANDIDATES: usize = 8;

/// The number of links chosen, out of `most`, once `view` has chosen too.
fn most_after(view: LinkView, views: &[LinkView], most: usize) -> usize {
    if view == LinkView::Place && views.len() > 1 { most * PLACE_SHARE.0 / PLACE_SHARE.1 } else { most }
}

impl Graph {
    /// Inserts a slot: as a duplicate if a point is the same vector, otherwise as a point. Threads
    /// may insert different slots at the same time.
    pub(crate) fn link<S: Space>(&self, space: &S, slot: u32, linking: &mut Linking<S::Query>) {
        self.clear(slot);
        self.link_unless(space, slot, linking, Self::attach_as_duplicate);
    }

    /// Removes the links and duplicates of the slot's previous use.
    fn clear(&self, slot: u32) {
        for level in 0..=self.level_of(slot) {
            let row = self.row(slot, level);
            if row.iter().len() > 0 {
                row.lock().replace(&[]);
            }
        }
        if let Some(chain) = self.duplicate_cell(slot) {
            chain.store(0, Ordering::Relaxed);
        }
    }

    /// Inserts a slot as a point, even if another point is the same vector.
    pub(super) fn link_as_point<S: Space>(&self, space: &S, slot: u32, linking: &mut Linking<S::Query>) {
        self.link_unless(space, slot, linking, |_, _, _, _| false);
    }

    fn link_unless<S: Space>(
        &self,
        space: &S,
        slot: u32,
        linking: &mut Linking<S::Query>,
        settled: impl Fn(&Self, &S, u32, &mut Linking<S::Query>) -> bool,
    ) {
        let (level, region) = (self.level_of(slot), self.region_of(space, slot));
        let entry = self.entry_of(region).or_else(|| self.found(slot, (region, level), linking));
        let Some(entry) = entry else { return };
        let views = space.views();
        linking.starts.resize_with(views.len(), Vec::new);
        for (place, &view) in views.iter().enumerate() {
            space.query_of(slot, view, &mut linking.query);
            let start = self.descend(space, &linking.query, entry, level.min(entry.level), &mut linking.walker);
            linking.starts[place].clear();
            linking.starts[place].push(start);
        }
        let mut rows = std::mem::take(&mut linking.rows);
        rows.clear();
        // Above the entry's level the new point has no neighbours. The delta must list these empty
        // rows too: a replay may find links of the slot's previous use there.
        rows.extend((entry.level + 1..=level).rev().map(|level| (level, Vec::new())));
        for level in (0..=level.min(entry.level)).rev() {
            linking.selector.begin(std::iter::empty());
            for (place, &view) in views.iter().enumerate() {
                // A single view's query serves all levels.
                if views.len() > 1 {
                    space.query_of(slot, view, &mut linking.query);
                }
                linking.find_from_starts(self, space, slot, level, (place, view));
                if place == 0 && level == 0 && settled(self, space, slot, linking) {
                    linking.rows = rows;
                    return;
                }
                let Linking { selector, candidates, .. } = linking;
                selector.select(space, view, candidates, most_after(view, views, self.shape.m));
            }
            rows.push((level, linking.selector.taken.clone()));
        }
        // Level 0 is written first, so that a walk from a higher level can go on from the point.
        for (level, links) in rows.iter().rev() {
            self.set_row(slot, *level, links, linking);
        }
        for (level, links) in rows.iter().rev() {
            for &neighbor in links {
                self.link_back(space, neighbor, slot, *level, linking);
            }
        }
        self.raise_entry(region, EntryPoint { slot, level }, linking);
        (linking.rows, linking.last) = (rows, slot + 1);
    }

    /// Makes a slot the first point of an empty region; otherwise returns the region's entry.
    fn found<Q>(&self, slot: u32, (region, level): (u32, usize), linking: &mut Linking<Q>) -> Option<EntryPoint> {
        self.row(slot, 0).lock().set_point(true);
        let (empty, first) = (EntryPoint::pack(None), EntryPoint { slot, level });
        let exchange = |cell: &AtomicU64| {
            cell.compare_exchange(empty, EntryPoint::pack(Some(first)), Ordering::AcqRel, Ordering::Acquire)
        };
        match self.with_entry_of(region, exchange) {
            Ok(_) => {
                linking.changes.extend((0..=level).map(|level| GraphChange::Row { slot, level }));
                linking.changes.push(GraphChange::entry(region));
                None
            }
            Err(other) => {
                // The slot may still become a duplicate of the point that came first.
                self.row(slot, 0).lock().set_point(false);
                EntryPoint::unpack(other)
            }
        }
    }

    /// If a point is the same vector, appends the slot to its duplicates. So any number of equal
    /// vectors costs the graph one point.
    fn attach_as_duplicate<S: Space>(&self, space: &S, slot: u32, linking: &mut Linking<S::Query>) -> bool {
        let nearest = linking.candidates.iter().take(N_TWIN_CANDIDATES);
        let Some(of) = nearest.map(|found| found.slot).find(|&found| space.is_same(found, slot)) else { return false };
        let (Some(chain), Some(own)) = (self.duplicate_cell(of), self.duplicate_cell(slot)) else { return false };
        // Under the lock: a point that a sweep removed meanwhile must not get duplicates.
        let row = self.row(of, 0);
        let _locked = row.lock();
        if !row.is_point() {
            return false;
        }
        own.store(chain.load(Ordering::Relaxed), Ordering::Relaxed);
        chain.store(slot + 1, Ordering::Release);
        linking.changes.push(GraphChange::Attach { duplicate: slot, of });
        true
    }

    fn set_row<Q>(&self, slot: u32, level: usize, links: &[u32], linking: &mut Linking<Q>) {
        let row = self.row(slot, level).lock();
        let links: Vec<Link> = links.iter().map(|&slot| Link { slot, kept: false }).collect();
        row.replace(&links);
        if level == 0 {
            row.set_point(true);
        }
        linking.changes.push(GraphChange::Row { slot, level });
    }

    /// Adds a link from a neighbour to a new point. Prunes the neighbour's row if it is full.
    pub(super) fn link_back<S: Space>(
        &self,
        space: &S,
        from: u32,
        to: u32,
        level: usize,
        linking: &mut Linking<S::Query>,
    ) {
        let row = self.row(from, level).lock();
        if row.links().any(|link| link.slot == to) {
            return;
        }
        if row.append(Link { slot: to, kept: false }) {
            linking.changes.push(GraphChange::Append { slot: from, level, to });
            return;
        }
        let links = row.links().chain([Link { slot: to, kept: false }]).collect();
        self.prune(space, from, level, &row, links, linking);
    }

    /// Replaces a row by those of `links` that pruning spares and the best of the others.
    pub(super) fn prune<S: Space>(
        &self,
        space: &S,
        slot: u32,
        level: usize,
        row: &LockedRow<'_>,
        links: Vec<Link>,
        linking: &mut Linking<S::Query>,
    ) {
        let kept: Vec<Link> = links.iter().copied().filter(|link| link.kept).collect();
        let links = links.into_iter().map(|link| link.slot).collect();
        self.refill(space, slot, level, row, &kept, links, linking);
    }

    /// Replaces a row by `links`, then the best of `others` while there is room.
    #[expect(clippy::too_many_arguments, reason = "where, what, and room to do it in")]
    pub(super) fn refill<S: Space>(
        &self,
        space: &S,
        slot: u32,
        level: usize,
        row: &LockedRow<'_>,
        links: &[Link],
        others: Vec<u32>,
        linking: &mut Linking<S::Query>,
    ) {
        let Linking { other, selector, candidates, distances, .. } = linking;
        distances.resize(others.len(), 0.0);
        selector.begin(links.iter().map(|link| link.slot));
        let room = self.kept_links(level).saturating_sub(links.len());
        for &view in space.views() {
            space.query_of(slot, view, other);
            space.compare_closely(other, &others, distances);
            sort_into(candidates, &others, distances);
            selector.select(space, view, candidates, links.len() + most_after(view, space.views(), room));
        }
        let is_kept = |slot| links.contains(&Link { slot, kept: true });
        let links: Vec<Link> = selector.taken.iter().map(|&slot| Link { slot, kept: is_kept(slot) }).collect();
        row.replace(&links);
        linking.changes.push(GraphChange::Row { slot, level });
    }

    /// Makes a point the entry of a region if its level is higher than the present entry's.
    fn raise_entry<Q>(&self, region: u32, new: EntryPoint, linking: &mut Linking<Q>) {
        let raise = |packed| match EntryPoint::unpack(packed) {
            Some(entry) if entry.level >= new.level => None,
            _ => Some(EntryPoint::pack(Some(new))),
        };
        let is_higher =
            self.with_entry_of(region, |cell| cell.fetch_update(Ordering::AcqRel, Ordering::Acquire, raise).is_ok());
        if is_higher {
            linking.changes.push(GraphChange::entry(region));
        }
    }
}

impl<Q: Default + Send> Linking<Q> {
    /// Searches from the entry for the points nearest to a slot, and makes them candidates.
    pub(super) fn find_neighbors<S: Space<Query = Q>>(&mut self, graph: &Graph, space: &S, slot: u32) {
        space.query_of(slot, LinkView::Place, &mut self.query);
        let region = graph.region_of(space, slot);
        graph.search(space, &self.query, (region, graph.shape.ef_construction), &mut self.walker);
        self.compare_candidates(space, slot);
    }

    /// Searches for a point. Returns the nearest distance found, and whether the point was found.
    pub(super) fn search_for<S: Space<Query = Q>>(
        &mut self,
        graph: &Graph,
        space: &S,
        slot: u32,
        ef: usize,
    ) -> (Option<f32>, bool) {
        space.query_of(slot, LinkView::Place, &mut self.query);
        graph.search(space, &self.query, (graph.region_of(space, slot), ef), &mut self.walker);
        let nearest = self.walker.found().next().map(|found| found.distance);
        (nearest, self.walker.found().any(|found| found.slot == slot))
    }

    /// The points that the last walk found, nearest first.
    pub(super) fn found(&self) -> impl Iterator<Item = Neighbor> {
        self.walker.found()
    }

    /// The query made last to find a slot's neighbours.
    pub(super) fn query(&self) -> &Q {
        &self.query
    }

    /// Makes candidates of the points found from the region's entry at level 0, dead ones included.
    /// Uses the last query, and its rough distances.
    pub(super) fn find_from_entry<S: Space<Query = Q>>(&mut self, graph: &Graph, space: &S, slot: u32) {
        let region = graph.region_of(space, slot);
        let Some(entry) = graph.entry_of(region) else { return self.candidates.clear() };
        let mut first = Neighbor { slot: entry.slot, distance: 0.0 };
        space.compare(&self.query, &[entry.slot], std::slice::from_mut(&mut first.distance));
        graph.walk(space, &self.query, &[first], 0, graph.shape.ef_construction, &mut self.walker);
        self.candidates.clear();
        self.candidates.extend(self.walker.found().filter(|found| found.slot != slot));
    }

    /// Searches a level for the points nearest to a slot and makes them candidates. The walk's
    /// start and the entry are candidates too.
    pub(super) fn find_at<S: Space<Query = Q>>(&mut self, graph: &Graph, space: &S, slot: u32, level: usize) {
        let region = graph.region_of(space, slot);
        let Some(entry) = graph.entry_of(region) else { return self.candidates.clear() };
        space.query_of(slot, LinkView::Place, &mut self.query);
        let start = graph.descend(space, &self.query, entry, level, &mut self.walker);
        graph.walk(space, &self.query, &[start], level, graph.shape.ef_construction, &mut self.walker);
        self.take_found(space, slot);
        self.take_starts(space, slot, &[start.slot, entry.slot]);
        self.compare_slots(space);
    }

    /// Makes candidates of the points found at a level from `starts`. Uses the last query.
    pub(super) fn find_from<S: Space<Query = Q>>(
        &mut self,
        graph: &Graph,
        space: &S,
        slot: u32,
        level: usize,
        starts: &[u32],
    ) {
        self.distances.resize(starts.len(), 0.0);
        space.compare(&self.query, starts, &mut self.distances);
        let starts: Vec<Neighbor> =
            starts.iter().zip(&self.distances).map(|(&slot, &distance)| Neighbor { slot, distance }).collect();
        graph.walk(space, &self.query, &starts, level, graph.shape.ef_construction, &mut self.walker);
        self.compare_candidates(space, slot);
    }

    /// Makes candidates of the points found at a level by one view, from the starts that the level
    /// above left. At level 0 the walk also begins at the point linked last.
    fn find_from_starts<S: Space<Query = Q>>(
        &mut self,
        graph: &Graph,
        space: &S,
        slot: u32,
        level: usize,
        (place, view): (usize, LinkView),
    ) {
        let mut starts = std::mem::take(&mut self.starts[place]);
        if level == 0 {
            let last = self.last.wrapping_sub(1);
            let is_near = graph.is_point(last) && graph.region_of(space, last) == graph.region_of(space, slot);
            if last != slot && is_near && starts.iter().all(|start| start.slot != last) {
                let mut start = Neighbor { slot: last, distance: 0.0 };
                space.compare(&self.query, &[last], std::slice::from_mut(&mut start.distance));
                starts.push(start);
            }
        }
        let ef = graph.shape.ef_construction;
        let ef = if view == LinkView::Place { ef } else { (ef / SEARCH_EF_SHARE).max(graph.shape.m) };
        graph.walk(space, &self.query, &starts, level, ef, &mut self.walker);
        self.take_found(space, slot);
        starts.truncate(N_START_CANDIDATES);
        starts.iter().for_each(|start| self.take_starts(space, slot, &[start.slot]));
        starts.clear();
        starts.extend(self.walker.found());
        self.starts[place] = starts;
        self.compare_slots(space);
    }

    /// Makes candidates of the points in the walker that may be linked to.
    fn compare_candidates<S: Space<Query = Q>>(&mut self, space: &S, slot: u32) {
        self.take_found(space, slot);
        self.compare_slots(space);
    }

    fn take_found<S: Space<Query = Q>>(&mut self, space: &S, slot: u32) {
        self.slots.clear();
        let others = || self.walker.found().map(|found| found.slot).filter(|&found| found != slot);
        self.slots.extend(others().filter(|&found| space.is_alive(found)));
        if self.slots.is_empty() {
            // If all points found are dead, links lead through them until a sweep removes them.
            self.slots.extend(others());
        }
    }

    /// Adds the living among `starts` to the slots found.
    fn take_starts<S: Space<Query = Q>>(&mut self, space: &S, slot: u32, starts: &[u32]) {
        for &start in starts {
            if start != slot && space.is_alive(start) && !self.slots.contains(&start) {
                self.slots.push(start);
            }
        }
    }

    /// Makes candidates of the slots found: exact distances, nearest first.
    fn compare_slots<S: Space<Query = Q>>(&mut self, space: &S) {
        self.distances.resize(self.slots.len(), 0.0);
        space.compare_closely(&self.query, &self.slots, &mut self.distances);
        sort_into(&mut self.candidates, &self.slots, &self.distances);
    }
}

/// Fills `candidates`, nearest first; equal distances in the order of slots.
fn sort_into(candidates: &mut Vec<Neighbor>, slots: &[u32], distances: &[f32]) {
    candidates.clear();
    candidates.extend(slots.iter().zip(distances).map(|(&slot, &distance)| Neighbor { slot, distance }));
    candidates.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.slot.cmp(&b.slot)));
}
