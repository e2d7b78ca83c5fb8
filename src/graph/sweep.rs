//! Removing dead points: links to them are replaced by links past them.
//!
//! After the consolidation of FreshDiskANN (Singh et al., 2021): a point with links to dead points
//! takes the links of those as candidates to refill its row. Unlike there, the point keeps its
//! other links, because they are as good as before. A sweep removes many points at once, because it
//! reads every row of their regions.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::link::Linking;
use super::row::Link;
use super::{EntryPoint, Graph, GraphChange, Space};

/// The points that a sweep removes, and the work left before it may.
pub(crate) struct Sweep {
    removed: HashSet<u32>,
    /// Slots, duplicates included, that no point's row names once the sweep is over.
    gone: Vec<u32>,
    /// New entries of the regions whose entry is removed.
    entries: Vec<(u32, Option<EntryPoint>)>,
}

impl Graph {
    /// Begins a sweep of the points that are no longer needed. `is_swept` selects all points of
    /// some regions. Nothing may be linked until [`finish_sweep`](Graph::finish_sweep); searches
    /// may run.
    pub(crate) fn begin_sweep<S: Space>(
        &self,
        space: &S,
        is_swept: impl Fn(u32) -> bool,
        linking: &mut Linking<S::Query>,
    ) -> Sweep {
        let mut sweep = Sweep { removed: HashSet::new(), gone: Vec::new(), entries: Vec::new() };
        let mut successors = Vec::new();
        for slot in self.points().filter(|&slot| is_swept(slot)) {
            if self.drop_dead_duplicates(space, slot, &mut sweep.gone) {
                linking.changes.push(GraphChange::Duplicates { of: slot });
            }
            if !space.is_needed(slot) {
                sweep.removed.insert(slot);
                sweep.gone.push(slot);
                successors.extend(self.duplicates(slot).next());
            }
        }
        // The first duplicate that is left takes its point's place. The duplicates behind it stay
        // its duplicates.
        for successor in successors {
            self.link_as_point(space, successor, linking);
            linking.changes.push(GraphChange::Duplicates { of: successor });
        }
        let removed = &sweep.removed;
        let regions = self.entries().filter(|(_, entry)| removed.contains(&entry.slot)).map(|(region, _)| region);
        let regions: Vec<u32> = regions.collect();
        if !regions.is_empty() {
            let region_of = |slot: u32| Some(self.region_of(space, slot)).filter(|region| regions.contains(region));
            let highest = self.highest(|slot| if removed.contains(&slot) { None } else { region_of(slot) });
            sweep.entries = regions.iter().map(|&region| (region, highest.get(&region).copied())).collect();
        }
        sweep
    }

    /// Replaces a point's links to removed points. Threads may do so for different points at once.
    pub(crate) fn bypass<S: Space>(&self, space: &S, sweep: &Sweep, slot: u32, linking: &mut Linking<S::Query>) {
        if sweep.removed.contains(&slot) {
            return;
        }
        for level in 0..=self.level_of(slot) {
            let row = self.row(slot, level).lock();
            if !row.links().any(|link| sweep.removed.contains(&link.slot)) {
                continue;
            }
            let (lost, left): (Vec<Link>, Vec<Link>) = row.links().partition(|link| sweep.removed.contains(&link.slot));
            let beyond = lost.iter().flat_map(|link| self.row(link.slot, level).iter());
            let beyond: Vec<u32> =
                beyond.filter(|&beyond| beyond != slot && !sweep.removed.contains(&beyond)).collect();
            self.refill(space, slot, level, &row, &left, beyond, linking);
        }
    }

    /// Takes out the removed points. Returns the slots that no point's row names any more.
    pub(crate) fn finish_sweep<Q: Default + Send>(&self, sweep: Sweep, linking: &mut Linking<Q>) -> Vec<u32> {
        for &(region, entry) in &sweep.entries {
            self.set_entry_of(region, entry);
            linking.changes.push(GraphChange::entry(region));
        }
        for &slot in &sweep.removed {
            // Row and duplicates stay until the slot is linked again, for walks that are at it now.
            self.row(slot, 0).lock().set_point(false);
            linking.changes.push(GraphChange::Gone { slot });
        }
        sweep.gone
    }

    /// Removes dead duplicates from a point's chain. False if there were none.
    fn drop_dead_duplicates<S: Space>(&self, space: &S, point: u32, gone: &mut Vec<u32>) -> bool {
        let n_before = gone.len();
        let _locked = self.row(point, 0).lock();
        let Some(mut before) = self.duplicate_cell(point) else { return false };
        while let Some(duplicate) = before.load(Ordering::Acquire).checked_sub(1) {
            let Some(next) = self.duplicate_cell(duplicate) else { break };
            if space.is_needed(duplicate) {
                before = next;
            } else {
                // The duplicate's own cell stays, for walks that are at it now.
                before.store(next.load(Ordering::Acquire), Ordering::Release);
                gone.push(duplicate);
            }
        }
        gone.len() > n_before
    }
}
