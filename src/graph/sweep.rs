//! Taking dead points out: links that lead to them are led past them.
//!
//! After FreshDiskANN's consolidation (Singh et al., 2021): a point that links to dead ones takes their links as
//! candidates to fill its row up again. Unlike there, it keeps its other links: they are not worse than before. Points
//! are swept many at a time, because each sweep looks at every row of their regions.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::link::Linking;
use super::row::Link;
use super::{Change, Entry, Graph, Space};

/// Points to be taken out, and what has to happen before.
pub(crate) struct Sweep {
    doomed: HashSet<u32>,
    /// Slots that no point's row names any more once the sweep is over, twins included.
    gone: Vec<u32>,
    /// Where walks begin from then on, of regions where they begin at a doomed point now.
    entries: Vec<(u32, Option<Entry>)>,
}

impl Graph {
    /// Begins a sweep of what is dead now, of points for which `is_swept` holds: all of some regions. Until it is over
    /// nothing may be linked; walks go on.
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
        // A twin takes its point's place, and keeps the twins behind it.
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

    /// Leads a point's links past the doomed. May run for many points at once.
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

    /// Takes the doomed out and returns the slots that are gone: no point's row names them.
    pub(crate) fn finish_sweep<Q: Default + Send>(&self, sweep: Sweep, linking: &mut Linking<Q>) -> Vec<u32> {
        for &(region, entry) in &sweep.entries {
            self.set_entry_of(region, entry);
            linking.changes.push(Change::entry(region));
        }
        for &slot in &sweep.doomed {
            // Its links and twins stay until it is linked again: walks that are just there go on from it.
            self.row(slot, 0).lock().set_point(false);
            linking.changes.push(Change::Gone { slot });
        }
        sweep.gone
    }

    /// Takes dead twins out of a point's chain; false if there were none.
    fn drop_dead_twins<S: Space>(&self, space: &S, point: u32, gone: &mut Vec<u32>) -> bool {
        let n_before = gone.len();
        let _locked = self.row(point, 0).lock();
        let Some(mut before) = self.twin_cell(point) else { return false };
        while let Some(twin) = before.load(Ordering::Acquire).checked_sub(1) {
            let Some(next) = self.twin_cell(twin) else { break };
            if space.is_needed(twin) {
                before = next;
            } else {
                // The twin itself still leads on, for walks that are just there.
                before.store(next.load(Ordering::Acquire), Ordering::Release);
                gone.push(twin);
            }
        }
        gone.len() > n_before
    }
}
