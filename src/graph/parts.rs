//! A graph as its rows, one by one, or as its arrays, to be stored and restored.
//!
//! A caller that rebuilds a graph must see to it that rows name points only. [`Graph::audit`]
//! checks that.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use super::hosts::Representatives;
use super::link::Linking;
use super::row::Link;
use super::{EntryPoint, Graph, GraphChange, NOBODY, Space};
use crate::arena::Rows;

/// How much of a graph's arrays is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) n_slots: usize,
    /// Rows of all levels above 0.
    pub(crate) n_upper: usize,
    pub(crate) entry: Option<EntryPoint>,
}

impl Graph {
    /// Whether a slot is a point.
    pub(crate) fn is_point(&self, slot: u32) -> bool {
        (slot as usize) < self.n_slots() && self.row(slot, 0).is_point()
    }

    /// The links of a row with their `kept` flags. Nothing may be linked meanwhile.
    pub(crate) fn row_links(&self, slot: u32, level: usize) -> Vec<Link> {
        self.row(slot, level).lock().links().collect()
    }

    /// Replaces a row by as many of `links` as fit. At level 0 the slot becomes a point.
    pub(crate) fn put_row(&self, slot: u32, level: usize, links: impl Iterator<Item = Link>) {
        if slot as usize >= self.n_slots() || level > self.level_of(slot) {
            return;
        }
        let row = self.row(slot, level).lock();
        row.replace(&links.collect::<Vec<_>>());
        if level == 0 {
            row.set_point(true);
        }
    }

    /// Copies points, links, duplicates and entries of `other`, a graph of the same shape, for the
    /// slots that this graph has room for. Nothing may be linked in `other` meanwhile; searches may
    /// run. Nobody else may use this graph.
    pub(crate) fn copy(&self, other: &Graph) {
        let slots = (0..self.n_slots().min(other.n_slots()) as u32).into_par_iter().with_min_len(1_024);
        slots.filter(|&slot| other.is_point(slot)).for_each(|slot| {
            for level in 0..=self.level_of(slot) {
                self.put_row(slot, level, other.row_links(slot, level).into_iter());
            }
            for member in std::iter::once(slot).chain(other.duplicates(slot)) {
                if let (Some(own), Some(cell)) = (self.duplicate_cell(member), other.duplicate_cell(member)) {
                    own.store(cell.load(Ordering::Acquire), Ordering::Release);
                }
            }
        });
        other.entries().for_each(|(region, entry)| self.set_entry_of(region, Some(entry)));
    }

    /// Removes `slots` as points and as duplicates, and returns the changes. Links to them stay:
    /// see [`tidy`](Graph::tidy). Nobody else may use the graph.
    pub(crate) fn forget(&self, slots: &HashSet<u32>, representatives: &mut Representatives) -> Vec<GraphChange> {
        let duplicates = slots.iter().filter_map(|&slot| representatives.of(slot));
        let mut left: Vec<u32> = duplicates.filter(|representative| !slots.contains(representative)).collect();
        left.sort_unstable();
        left.dedup();
        let mut changes = Vec::new();
        for of in left {
            let duplicates: Vec<u32> = self.duplicates(of).filter(|duplicate| !slots.contains(duplicate)).collect();
            self.attach_all(&duplicates, of, representatives);
            changes.push(GraphChange::Duplicates { of });
        }
        for &slot in slots {
            if self.is_point(slot) {
                changes.push(GraphChange::Gone { slot });
            }
            self.take_out(slot, representatives);
        }
        changes
    }

    /// Removes every link that [`audit`](Graph::audit) would report. Returns the points that lost
    /// links. Nobody else may use the graph.
    pub(crate) fn tidy(&self, region_of: impl Fn(u32) -> u32 + Sync) -> Vec<u32> {
        let region_of = |slot: u32| if self.is_undivided() { 0 } else { region_of(slot) };
        let slots = (0..self.n_slots() as u32).into_par_iter().with_min_len(1_024);
        slots.filter(|&slot| self.is_point(slot) && self.tidy_rows(slot, &region_of)).collect()
    }

    /// Removes a point's faulty links. True if there were any.
    fn tidy_rows(&self, slot: u32, region_of: &impl Fn(u32) -> u32) -> bool {
        let (mut is_short, region) = (false, region_of(slot));
        for level in 0..=self.level_of(slot) {
            let row = self.row(slot, level).lock();
            let mut links: Vec<Link> = row.links().collect();
            let n_before = links.len();
            links.sort_unstable_by_key(|link| link.slot);
            links.dedup_by_key(|link| link.slot);
            let is_there = |link: u32| {
                self.is_point(link) && (level == 0 || self.level_of(link) >= level) && region_of(link) == region
            };
            links.retain(|link| link.slot != slot && is_there(link.slot));
            if links.len() < n_before {
                is_short = true;
                row.replace(&links);
            }
        }
        is_short
    }

    /// The numbers of points and of duplicates.
    pub(crate) fn counts(&self) -> (usize, usize) {
        self.points().fold((0, 0), |(n_points, n_duplicates), point| {
            (n_points + 1, n_duplicates + self.duplicates(point).count())
        })
    }

    pub(crate) fn set_entry(&self, entry: Option<EntryPoint>) {
        self.entry.store(EntryPoint::pack(entry), Ordering::Release);
    }

    /// Gives a point that has lost links new ones beside those left, and links back.
    pub(crate) fn repair<S: Space>(&self, space: &S, slot: u32, linking: &mut Linking<S::Query>) {
        if !self.is_point(slot) {
            return;
        }
        let Some(entry) = self.entry_of(self.region_of(space, slot)) else { return };
        for level in (0..=self.level_of(slot).min(entry.level)).rev() {
            linking.find_at(self, space, slot, level);
            let others: Vec<u32> = linking.candidates.iter().map(|found| found.slot).collect();
            let row = self.row(slot, level).lock();
            let left: Vec<Link> = row.links().collect();
            self.refill(space, slot, level, &row, &left, others, linking);
            drop(row);
            for to in self.links(slot, level) {
                self.link_back(space, to, slot, level, linking);
            }
        }
    }

    /// As [`repair`](Graph::repair), but only for a point with fewer than `m` links at level 0.
    pub(crate) fn repair_underfull<S: Space>(&self, space: &S, slot: u32, linking: &mut Linking<S::Query>) {
        if self.is_point(slot) && self.row(slot, 0).iter().len() < self.shape.m {
            self.repair(space, slot, linking);
        }
    }

    pub(crate) fn extent(&self) -> Extent {
        let n_upper = *self.n_upper.lock();
        Extent { n_slots: self.n_slots(), n_upper, entry: self.entry() }
    }

    /// The arrays, and the number of rows of each that are in use.
    pub(crate) fn arrays(&self, extent: &Extent) -> [(&Rows<AtomicU32>, usize); 4] {
        let Extent { n_slots, n_upper, .. } = *extent;
        [(&self.base, n_slots), (&self.upper, n_upper), (&self.upper_at, n_slots), (&self.duplicates, n_slots)]
    }

    /// Takes over the arrays of a graph of the same shape; `fill` reads one array per call. Only
    /// for a graph without slots.
    pub(crate) fn adopt(
        &self,
        extent: &Extent,
        fill: impl FnMut((&Rows<AtomicU32>, usize)) -> io::Result<()>,
    ) -> io::Result<()> {
        self.arrays(extent).into_iter().try_for_each(fill)?;
        *self.n_upper.lock() = extent.n_upper;
        self.n_reserved.store(extent.n_slots, Ordering::Release);
        self.set_entry(extent.entry);
        Ok(())
    }
}

impl EntryPoint {
    /// As one number: the level in bits 32–63, the slot in bits 0–31. No entry is `u32::MAX`.
    pub(crate) fn to_bits(entry: Option<EntryPoint>) -> u64 {
        EntryPoint::pack(entry)
    }

    pub(crate) fn from_bits(bits: u64) -> Option<EntryPoint> {
        debug_assert!(EntryPoint::pack(None) == u64::from(NOBODY));
        EntryPoint::unpack(bits)
    }
}
