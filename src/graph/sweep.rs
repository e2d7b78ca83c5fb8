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
use super::{Change, Entry, Graph, Space};

/// The points that a sweep removes, and the work left before it may.
pub(crate) struct Sweep {
    doomed: HashSet<u32>,
    /// Slots, twins included, that no point's row names once the sweep is over.
    gone: Vec<u32>,
    /// New entries of the regions whose entry is doomed.
    entries: Vec<(u32, Option<Entry>)>,
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
        let mut sweep = Sweep { doomed: HashSet::new(), gone: Vec::new(), entries: Vec::new() };
        let mut heirs = Vec::new();
        for slot in self.points().filter(|&slot| is_swept(slot)) {
            if self.drop_dead_twins(space, slot, &mut sweep.gone) {
                linking.changes.push(Change::Twins { of: slot });
            }
            if !space.is_needed(slot) {
                sweep.doomed.insert(slot);
                sweep.gone.push(slot);
                heirs.extend(self.twins(slot).next());
            }
        }
        // The first twin that is left takes its point's place. The twins behind it stay its twins.
        for heir in heirs {
            self.link_as_point(space, heir, linking);
            linking.changes.push(Change::Twins { of: heir });
        }
        let doomed = &sweep.doomed;
        let regions = self.entries().filter(|(_, entry)| doomed.contains(&entry.slot)).map(|(region, _)| region);
        let regions: Vec<u32> = regions.collect();
        if !regions.is_empty() {
            let region_of = |slot: u32| Some(self.region_of(space, slot)).filter(|region| regions.contains(region));
            let highest = self.highest(|slot| if doomed.contains(&slot) { None } else { region_of(slot) });
            sweep.entries = regions.iter().map(|&region| (region, highest.get(&region).copied())).collect();
        }
        sweep
    }

    /// Replaces a point's links to doomed points. Threads may do so for different points at once.
    pub(crate) fn bypass<S: Space>(&self, space: &S, sweep: &Sweep, slot: u32, linking: &mut Linking<S::Query>) {
        if sweep.doomed.contains(&slot) {
            return;
        }
        for level in 0..=self.level_of(slot) {
            let row = self.row(slot, level).lock();
            if !row.links().any(|link| sweep.doomed.contains(&link.slot)) {
                continue;
            }
            let (lost, left): (Vec<Link>, Vec<Link>) = row.links().partition(|link| sweep.doomed.contains(&link.slot));
            let beyond = lost.iter().flat_map(|link| self.row(link.slot, level).iter());
            let beyond: Vec<u32> = beyond.filter(|&beyond| beyond != slot && !sweep.doomed.contains(&beyond)).collect();
            self.refill(space, slot, level, &row, &left, beyond, linking);
        }
    }

    /// Removes the doomed points. Returns the slots that no point's row names any more.
    pub(crate) fn finish_sweep<Q: Default + Send>(&self, sweep: Sweep, linking: &mut Linking<Q>) -> Vec<u32> {
        for &(region, entry) in &sweep.entries {
            self.set_entry_of(region, entry);
            linking.changes.push(Change::entry(region));
        }
        for &slot in &sweep.doomed {
            // Row and twins stay until the slot is linked again, for walks that are at it now.
            self.row(slot, 0).lock().set_point(false);
            linking.changes.push(Change::Gone { slot });
        }
        sweep.gone
    }

    /// Removes dead twins from a point's chain. False if there were none.
    fn drop_dead_twins<S: Space>(&self, space: &S, point: u32, gone: &mut Vec<u32>) -> bool {
        let n_before = gone.len();
        let _locked = self.row(point, 0).lock();
        let Some(mut before) = self.twin_cell(point) else { return false };
        while let Some(twin) = before.load(Ordering::Acquire).checked_sub(1) {
            let Some(next) = self.twin_cell(twin) else { break };
            if space.is_needed(twin) {
                before = next;
            } else {
                // The twin's own cell stays, for walks that are at it now.
                before.store(next.load(Ordering::Acquire), Ordering::Release);
                gone.push(twin);
            }
        }
        gone.len() > n_before
    }
}
