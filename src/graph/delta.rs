//! Changes of a graph as data: small enough to be logged for every batch of new points, and enough
//! to replay them on a graph that was equal before.
//!
//! While points are linked, a list of [`GraphChange`]s records what was touched. A [`Delta`] holds
//! the outcome: the final links of each replaced row, and single links that were appended. Most
//! appended links lead back to a new point from its neighbours, so one bit of the new point's row
//! stands for each.

use std::collections::{BTreeSet, HashSet};

use super::hosts::Representatives;
use super::row::Link;
use super::{EntryPoint, Graph};

/// One change of a graph, without the new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GraphChange {
    /// A row was replaced.
    Row { slot: u32, level: usize },
    /// A row got one more link, which pruning does not spare.
    Append { slot: u32, level: usize, to: u32 },
    /// A slot became a duplicate of a point.
    Attach { duplicate: u32, of: u32 },
    /// The duplicates of a point changed.
    Duplicates { of: u32 },
    /// A slot is no longer a point.
    Gone { slot: u32 },
    /// The entry of region 0 changed.
    Entry,
    /// The entry of another region changed.
    RegionEntry { region: u32 },
}

impl GraphChange {
    /// The change of a region's entry.
    pub(super) fn entry(region: u32) -> GraphChange {
        if region == 0 { GraphChange::Entry } else { GraphChange::RegionEntry { region } }
    }
}

/// The outcome of a list of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    pub(crate) ops: Vec<Op>,
}

/// One step of a delta. A replay applies steps in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// The row has exactly these links. At level 0 the slot becomes a point.
    Row { slot: u32, level: usize, delta_links: Vec<DeltaLink> },
    /// The row has one more link.
    Append { slot: u32, level: usize, to: u32 },
    /// The slot is the first duplicate of a point.
    Attach { duplicate: u32, of: u32 },
    /// The point has exactly these duplicates, in this order.
    Duplicates { of: u32, duplicates: Vec<u32> },
    /// The slot is no longer a point, and has no duplicates.
    Gone { slot: u32 },
    /// The entry of region 0.
    Entry(Option<EntryPoint>),
    /// The entry of another region.
    RegionEntry { region: u32, entry: Option<EntryPoint> },
}

/// A link, and whether the row of the slot it leads to got a link back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeltaLink {
    pub(crate) link: Link,
    pub(crate) back: bool,
}

impl Graph {
    /// The delta of a list of changes. Nothing may be linked meanwhile.
    pub(crate) fn delta(&self, changes: &[GraphChange]) -> Delta {
        let (mut rows, mut seen) = (Vec::new(), HashSet::new());
        let (mut chains, mut gone, mut moved) = (Vec::new(), HashSet::new(), false);
        let mut region_entries = BTreeSet::new();
        for &change in changes {
            match change {
                GraphChange::Row { slot, level } if seen.insert((slot, level)) => rows.push((slot, level)),
                GraphChange::Duplicates { of } if !chains.contains(&of) => chains.push(of),
                GraphChange::Gone { slot } => _ = gone.insert(slot),
                GraphChange::Entry => moved = true,
                GraphChange::RegionEntry { region } => _ = region_entries.insert(region),
                GraphChange::Row { .. }
                | GraphChange::Append { .. }
                | GraphChange::Attach { .. }
                | GraphChange::Duplicates { .. } => {}
            }
        }
        let appended = changes.iter().filter_map(|change| match *change {
            GraphChange::Append { slot, level, to } if !seen.contains(&(slot, level)) => Some((slot, level, to)),
            _ => None,
        });
        let mut appended: HashSet<(u32, usize, u32)> = appended.collect();
        let mut delta = Delta::default();
        for (slot, level) in rows {
            if gone.contains(&slot) {
                continue;
            }
            let mut delta_link = |link: Link| DeltaLink { link, back: appended.remove(&(link.slot, level, slot)) };
            let delta_links = self.row_links(slot, level).into_iter().map(&mut delta_link).collect();
            delta.ops.push(Op::Row { slot, level, delta_links });
        }
        let mut rest: Vec<_> = appended.into_iter().filter(|(slot, ..)| !gone.contains(slot)).collect();
        rest.sort_unstable();
        delta.ops.extend(rest.into_iter().map(|(slot, level, to)| Op::Append { slot, level, to }));
        for &change in changes {
            if let GraphChange::Attach { duplicate, of } = change
                && !chains.contains(&of)
            {
                delta.ops.push(Op::Attach { duplicate, of });
            }
        }
        let chains = chains.into_iter().filter(|of| self.is_point(*of));
        delta.ops.extend(chains.map(|of| Op::Duplicates { of, duplicates: self.duplicates(of).collect() }));
        let mut gone: Vec<u32> = gone.into_iter().collect();
        gone.sort_unstable();
        delta.ops.extend(gone.into_iter().map(|slot| Op::Gone { slot }));
        if moved {
            delta.ops.push(Op::Entry(self.entry()));
        }
        delta
            .ops
            .extend(region_entries.into_iter().map(|region| Op::RegionEntry { region, entry: self.entry_of(region) }));
        delta
    }

    /// Replays a delta. Skips slots that the graph has no room for. Replaying what the graph
    /// already contains does no harm, provided that all later deltas are replayed too. Nobody else
    /// may use the graph.
    pub(crate) fn apply(&self, delta: &Delta, representatives: &mut Representatives) {
        for op in &delta.ops {
            match op {
                Op::Row { slot, level, delta_links } => {
                    if *level == 0 {
                        self.make_point(*slot, representatives);
                    }
                    self.put_row(*slot, *level, delta_links.iter().map(|delta_link| delta_link.link));
                    let back = || {
                        delta_links.iter().filter(|delta_link| delta_link.back).map(|delta_link| delta_link.link.slot)
                    };
                    if *level == 0 {
                        let here = back().filter(|&slot| (slot as usize) < self.n_slots());
                        here.for_each(|slot| self.prefetch(slot, 0));
                    }
                    back().for_each(|from| self.put_link(from, *level, *slot));
                }
                Op::Append { slot, level, to } => self.put_link(*slot, *level, *to),
                Op::Attach { duplicate, of } => self.attach(*duplicate, *of, representatives),
                Op::Duplicates { of, duplicates } => self.attach_all(duplicates, *of, representatives),
                Op::Gone { slot } => self.take_out(*slot, representatives),
                Op::Entry(entry) => self.set_entry(*entry),
                Op::RegionEntry { region, entry } => self.set_entry_of(*region, *entry),
            }
        }
    }

    fn put_link(&self, slot: u32, level: usize, to: u32) {
        // Level 0 is tested first: most links are of level 0, which every slot has.
        if slot as usize >= self.n_slots() || level > 0 && level > self.level_of(slot) {
            return;
        }
        let row = self.row(slot, level).lock();
        if !row.links().any(|link| link.slot == to) {
            row.append(Link { slot: to, kept: false });
        }
    }
}
