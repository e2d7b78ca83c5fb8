//! Regions: parts of a graph that no link joins. Walks of each begin at an entry of its own.
//!
//! A [`Space`] says which region a slot belongs to. Region 0 has its entry in the graph itself; any other has a gate
//! from its first point on until it is disbanded. In an *undivided* graph, as older versions made them, points of all
//! regions are linked with each other, and every walk begins at the entry of region 0.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::{Change, Entry, Graph, Space};

/// Where walks begin in regions other than 0.
#[derive(Default)]
pub(super) struct Gates {
    /// Packed entries, by region. The map is copied when a region comes or goes.
    by_region: ArcSwap<HashMap<u32, Arc<AtomicU64>>>,
    is_undivided: AtomicBool,
}

impl Graph {
    /// Whether points of all regions are linked with each other.
    pub(crate) fn is_undivided(&self) -> bool {
        self.gates.is_undivided.load(Ordering::Acquire)
    }

    /// Says that points of all regions are linked with each other. No one else may use the graph.
    pub(crate) fn set_undivided(&self) {
        self.gates.is_undivided.store(true, Ordering::Release);
    }

    /// The region that a slot is linked in.
    pub(crate) fn region_of<S: Space>(&self, space: &S, slot: u32) -> u32 {
        if self.is_undivided() { 0 } else { space.region_of(slot) }
    }

    /// Where walks of a region begin.
    pub(crate) fn entry_of(&self, region: u32) -> Option<Entry> {
        match region {
            0 => self.entry(),
            _ => Entry::unpack(self.gates.by_region.load().get(&region)?.load(Ordering::Acquire)),
        }
    }

    /// Whether a region other than 0 has a gate.
    pub(crate) fn has_gate(&self, region: u32) -> bool {
        self.gates.by_region.load().contains_key(&region)
    }

    /// The regions other than 0 that have a gate, in order.
    pub(crate) fn gates(&self) -> Vec<u32> {
        let mut regions: Vec<u32> = self.gates.by_region.load().keys().copied().collect();
        regions.sort_unstable();
        regions
    }

    /// The entries of all regions.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, Entry)> {
        let others = self.gates().into_iter().filter_map(|region| Some((region, self.entry_of(region)?)));
        self.entry().map(|entry| (0, entry)).into_iter().chain(others)
    }

    /// Lets walks of a region begin elsewhere. Without an entry the gate of a region other than 0 is gone.
    pub(crate) fn set_entry_of(&self, region: u32, entry: Option<Entry>) {
        match (region, entry) {
            (0, entry) => self.set_entry(entry),
            (_, Some(_)) => self.at_gate(region, |gate| gate.store(Entry::pack(entry), Ordering::Release)),
            (_, None) => self.close_gates(&HashSet::from([region])),
        }
    }

    /// Does something with the packed entry of a region, which has a gate from now on.
    pub(super) fn at_gate<T>(&self, region: u32, work: impl FnOnce(&AtomicU64) -> T) -> T {
        if region == 0 {
            return work(&self.entry);
        }
        if let Some(gate) = self.gates.by_region.load().get(&region) {
            return work(gate);
        }
        self.gates.by_region.rcu(|gates| {
            let mut gates = HashMap::clone(gates);
            gates.entry(region).or_insert_with(|| Arc::new(AtomicU64::new(Entry::pack(None))));
            gates
        });
        // Only the linker closes gates, and not while it links.
        match self.gates.by_region.load().get(&region) {
            Some(gate) => work(gate),
            None => work(&AtomicU64::new(Entry::pack(None))),
        }
    }

    fn close_gates(&self, regions: &HashSet<u32>) {
        self.gates.by_region.rcu(|gates| {
            let left = gates.iter().filter(|(region, _)| !regions.contains(region));
            left.map(|(region, gate)| (*region, gate.clone())).collect::<HashMap<_, _>>()
        });
    }

    /// Lets walks of each region begin at the highest of its points, if they do not begin at one of them. Returns what
    /// changed. No one else may use the graph.
    pub(crate) fn settle_entries(&self, region_of: impl Fn(u32) -> u32) -> Vec<Change> {
        let region_of = |slot: u32| if self.is_undivided() { 0 } else { region_of(slot) };
        let is_sound = |(region, Entry { slot, level }): (u32, Entry)| {
            self.is_point(slot) && level <= self.level_of(slot) && region_of(slot) == region
        };
        let sound: HashSet<u32> = self.entries().filter(|&entry| is_sound(entry)).map(|(region, _)| region).collect();
        let highest = self.highest(|slot| Some(region_of(slot)).filter(|region| !sound.contains(region)));
        let unsound = self.gates().into_iter().chain([0]).filter(|region| !sound.contains(region));
        let regions: HashSet<u32> = unsound.chain(highest.keys().copied()).collect();
        let mut changes = Vec::new();
        for region in regions {
            let entry = highest.get(&region).copied();
            if entry != self.entry_of(region) || self.has_gate(region) && entry.is_none() {
                self.set_entry_of(region, entry);
                changes.push(Change::entry(region));
            }
        }
        changes
    }

    /// The highest of the points of each region; the lowest slot of several.
    pub(super) fn highest(&self, region_of: impl Fn(u32) -> Option<u32>) -> HashMap<u32, Entry> {
        let mut highest: HashMap<u32, Entry> = HashMap::new();
        for slot in self.points() {
            let Some(region) = region_of(slot) else { continue };
            let entry = Entry { slot, level: self.level_of(slot) };
            let best = highest.entry(region).or_insert(entry);
            if entry.level > best.level {
                *best = entry;
            }
        }
        highest
    }

    /// Takes all points of some regions out, and their gates. Returns the slots that are gone, twins included, which no
    /// other point's row names, and what changed. Nothing may be linked meanwhile; walks go on.
    pub(crate) fn disband(&self, regions: &HashSet<u32>, region_of: impl Fn(u32) -> u32) -> (Vec<u32>, Vec<Change>) {
        self.close_gates(regions);
        let points: Vec<u32> = self.points().filter(|&slot| regions.contains(&region_of(slot))).collect();
        let mut changes: Vec<Change> = points.iter().map(|&slot| Change::Gone { slot }).collect();
        changes.extend(regions.iter().map(|&region| Change::entry(region)));
        let gone = points.iter().flat_map(|&slot| std::iter::once(slot).chain(self.twins(slot))).collect();
        for slot in points {
            // Its links and twins stay until it is linked again: walks that are just there go on from it.
            self.row(slot, 0).lock().set_point(false);
        }
        (gone, changes)
    }
}
