//! Regions: parts of a graph without links between them. Each has an entry point of its own.
//!
//! A [`Space`] tells the region of a slot. The entry of region 0 is in the graph itself. Every
//! other region has an entry of its own, from its first point until it is disbanded.
//! Older versions made *undivided* graphs: points of all regions are linked with each other, and
//! every walk begins at the entry of region 0.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::{EntryPoint, Graph, GraphChange, Space};

/// The entry points of regions other than 0.
#[derive(Default)]
pub(super) struct RegionEntries {
    /// Packed entries, by region. The map is copied when a region is added or removed.
    by_region: ArcSwap<HashMap<u32, Arc<AtomicU64>>>,
    is_undivided: AtomicBool,
}

impl Graph {
    /// Whether points of all regions are linked with each other.
    pub(crate) fn is_undivided(&self) -> bool {
        self.region_entries.is_undivided.load(Ordering::Acquire)
    }

    /// Marks the graph as undivided. Nobody else may use the graph.
    pub(crate) fn set_undivided(&self) {
        self.region_entries.is_undivided.store(true, Ordering::Release);
    }

    /// The region in which a slot is linked.
    pub(crate) fn region_of<S: Space>(&self, space: &S, slot: u32) -> u32 {
        if self.is_undivided() { 0 } else { space.region_of(slot) }
    }

    /// The entry point of a region.
    pub(crate) fn entry_of(&self, region: u32) -> Option<EntryPoint> {
        match region {
            0 => self.entry(),
            _ => EntryPoint::unpack(self.region_entries.by_region.load().get(&region)?.load(Ordering::Acquire)),
        }
    }

    /// Whether a region other than 0 has an entry.
    pub(crate) fn has_entry(&self, region: u32) -> bool {
        self.region_entries.by_region.load().contains_key(&region)
    }

    /// The regions other than 0 with an entry, in ascending order.
    pub(crate) fn regions_with_entry(&self) -> Vec<u32> {
        let mut regions: Vec<u32> = self.region_entries.by_region.load().keys().copied().collect();
        regions.sort_unstable();
        regions
    }

    /// The entries of all regions.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, EntryPoint)> {
        let others = self.regions_with_entry().into_iter().filter_map(|region| Some((region, self.entry_of(region)?)));
        self.entry().map(|entry| (0, entry)).into_iter().chain(others)
    }

    /// Sets the entry of a region. Without an entry, a region other than 0 loses its own.
    pub(crate) fn set_entry_of(&self, region: u32, entry: Option<EntryPoint>) {
        match (region, entry) {
            (0, entry) => self.set_entry(entry),
            (_, Some(_)) => self.with_entry_of(region, |cell| cell.store(EntryPoint::pack(entry), Ordering::Release)),
            (_, None) => self.drop_entries(&HashSet::from([region])),
        }
    }

    /// Calls `work` with the packed entry of a region. Adds an entry if the region has none.
    pub(super) fn with_entry_of<T>(&self, region: u32, work: impl FnOnce(&AtomicU64) -> T) -> T {
        if region == 0 {
            return work(&self.entry);
        }
        if let Some(cell) = self.region_entries.by_region.load().get(&region) {
            return work(cell);
        }
        self.region_entries.by_region.rcu(|region_entries| {
            let mut region_entries = HashMap::clone(region_entries);
            region_entries.entry(region).or_insert_with(|| Arc::new(AtomicU64::new(EntryPoint::pack(None))));
            region_entries
        });
        // Only the linker takes entries away, and never while it links.
        match self.region_entries.by_region.load().get(&region) {
            Some(cell) => work(cell),
            None => work(&AtomicU64::new(EntryPoint::pack(None))),
        }
    }

    fn drop_entries(&self, regions: &HashSet<u32>) {
        self.region_entries.by_region.rcu(|region_entries| {
            let left = region_entries.iter().filter(|(region, _)| !regions.contains(region));
            left.map(|(region, cell)| (*region, cell.clone())).collect::<HashMap<_, _>>()
        });
    }

    /// Makes its highest point the entry of each region whose entry is missing or none of its
    /// points. Returns the changes. Nobody else may use the graph.
    pub(crate) fn settle_entries(&self, region_of: impl Fn(u32) -> u32) -> Vec<GraphChange> {
        let region_of = |slot: u32| if self.is_undivided() { 0 } else { region_of(slot) };
        let is_sound = |(region, EntryPoint { slot, level }): (u32, EntryPoint)| {
            self.is_point(slot) && level <= self.level_of(slot) && region_of(slot) == region
        };
        let sound: HashSet<u32> = self.entries().filter(|&entry| is_sound(entry)).map(|(region, _)| region).collect();
        let highest = self.highest(|slot| Some(region_of(slot)).filter(|region| !sound.contains(region)));
        let unsound = self.regions_with_entry().into_iter().chain([0]).filter(|region| !sound.contains(region));
        let regions: HashSet<u32> = unsound.chain(highest.keys().copied()).collect();
        let mut changes = Vec::new();
        for region in regions {
            let entry = highest.get(&region).copied();
            if entry != self.entry_of(region) || self.has_entry(region) && entry.is_none() {
                self.set_entry_of(region, entry);
                changes.push(GraphChange::entry(region));
            }
        }
        changes
    }

    /// The highest point of each region; of several, the lowest slot.
    pub(super) fn highest(&self, region_of: impl Fn(u32) -> Option<u32>) -> HashMap<u32, EntryPoint> {
        let mut highest: HashMap<u32, EntryPoint> = HashMap::new();
        for slot in self.points() {
            let Some(region) = region_of(slot) else { continue };
            let entry = EntryPoint { slot, level: self.level_of(slot) };
            let best = highest.entry(region).or_insert(entry);
            if entry.level > best.level {
                *best = entry;
            }
        }
        highest
    }

    /// Removes all points and entries of some regions. Returns the removed slots, duplicates
    /// included, and the changes. No other point's row names these slots. Nothing may be linked
    /// meanwhile; searches may run.
    pub(crate) fn disband(
        &self,
        regions: &HashSet<u32>,
        region_of: impl Fn(u32) -> u32,
    ) -> (Vec<u32>, Vec<GraphChange>) {
        self.drop_entries(regions);
        let points: Vec<u32> = self.points().filter(|&slot| regions.contains(&region_of(slot))).collect();
        let mut changes: Vec<GraphChange> = points.iter().map(|&slot| GraphChange::Gone { slot }).collect();
        changes.extend(regions.iter().map(|&region| GraphChange::entry(region)));
        let gone = points.iter().flat_map(|&slot| std::iter::once(slot).chain(self.duplicates(slot))).collect();
        for slot in points {
            // Row and duplicates stay until the slot is linked again, for walks that are at it now.
            self.row(slot, 0).lock().set_point(false);
        }
        (gone, changes)
    }
}
