//! Changes of a graph as data: small enough to be logged for every batch of new points, and enough
//! to replay them on a graph that was equal before.
//!
//! While points are linked, a list of [`Change`]s records what was touched. A [`Delta`] holds the
//! outcome: the final links of each replaced row, and single links that were appended. Most
//! appended links lead back to a new point from its neighbours, so one bit of the new point's row
//! stands for each.

use std::collections::{BTreeSet, HashSet};

use super::hosts::Hosts;
use super::row::Link;
use super::{Entry, Graph};

/// One change of a graph, without the new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A row was replaced.
    Row { slot: u32, level: usize },
    /// A row got one more link, which pruning does not spare.
    Append { slot: u32, level: usize, to: u32 },
    /// A slot became a twin of a point.
    Hang { twin: u32, of: u32 },
    /// The twins of a point changed.
    Twins { of: u32 },
    /// A slot is no longer a point.
    Gone { slot: u32 },
    /// The entry of region 0 changed.
    Entry,
    /// The entry of another region changed.
    Gate { region: u32 },
}

impl Change {
    /// The change of a region's entry.
    pub(super) fn entry(region: u32) -> Change {
        if region == 0 { Change::Entry } else { Change::Gate { region } }
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
    Row { slot: u32, level: usize, ties: Vec<Tie> },
    /// The row has one more link.
    Append { slot: u32, level: usize, to: u32 },
    /// The slot is the first twin of a point.
    Hang { twin: u32, of: u32 },
    /// The point has exactly these twins, in this order.
    Twins { of: u32, twins: Vec<u32> },
    /// The slot is no longer a point, and has no twins.
    Gone { slot: u32 },
    /// The entry of region 0.
    Entry(Option<Entry>),
    /// The entry of another region.
    Gate { region: u32, entry: Option<Entry> },
}

/// A link, and whether the row of the slot it leads to got a link back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tie {
    pub(crate) link: Link,
    pub(crate) back: bool,
}

impl Graph {
    /// The delta of a list of changes. Nothing may be linked meanwhile.
    pub(crate) fn delta(&self, changes: &[Change]) -> Delta {
        let (mut rows, mut seen) = (Vec::new(), HashSet::new());
        let (mut chains, mut gone, mut moved) = (Vec::new(), HashSet::new(), false);
        let mut gates = BTreeSet::new();
        for &change in changes {
            match change {
                Change::Row { slot, level } if seen.insert((slot, level)) => rows.push((slot, level)),
                Change::Twins { of } if !chains.contains(&of) => chains.push(of),
                Change::Gone { slot } => _ = gone.insert(slot),
                Change::Entry => moved = true,
                Change::Gate { region } => _ = gates.insert(region),
                Change::Row { .. } | Change::Append { .. } | Change::Hang { .. } | Change::Twins { .. } => {}
            }
        }
        let appended = changes.iter().filter_map(|change| match *change {
            Change::Append { slot, level, to } if !seen.contains(&(slot, level)) => Some((slot, level, to)),
            _ => None,
        });
        let mut appended: HashSet<(u32, usize, u32)> = appended.collect();
        let mut delta = Delta::default();
        for (slot, level) in rows {
            if gone.contains(&slot) {
                continue;
            }
            let mut tie = |link: Link| Tie { link, back: appended.remove(&(link.slot, level, slot)) };
            let ties = self.row_links(slot, level).into_iter().map(&mut tie).collect();
            delta.ops.push(Op::Row { slot, level, ties });
        }
        let mut rest: Vec<_> = appended.into_iter().filter(|(slot, ..)| !gone.contains(slot)).collect();
        rest.sort_unstable();
        delta.ops.extend(rest.into_iter().map(|(slot, level, to)| Op::Append { slot, level, to }));
        for &change in changes {
            if let Change::Hang { twin, of } = change
                && !chains.contains(&of)
            {
                delta.ops.push(Op::Hang { twin, of });
            }
        }
        let chains = chains.into_iter().filter(|of| self.is_point(*of));
        delta.ops.extend(chains.map(|of| Op::Twins { of, twins: self.twins(of).collect() }));
        let mut gone: Vec<u32> = gone.into_iter().collect();
        gone.sort_unstable();
        delta.ops.extend(gone.into_iter().map(|slot| Op::Gone { slot }));
        if moved {
            delta.ops.push(Op::Entry(self.entry()));
        }
        delta.ops.extend(gates.into_iter().map(|region| Op::Gate { region, entry: self.entry_of(region) }));
        delta
    }

    /// Replays a delta. Skips slots that the graph has no room for. Replaying what the graph
    /// already contains does no harm, provided that all later deltas are replayed too. Nobody else
    /// may use the graph.
    pub(crate) fn apply(&self, delta: &Delta, hosts: &mut Hosts) {
        for op in &delta.ops {
            match op {
                Op::Row { slot, level, ties } => {
                    if *level == 0 {
                        self.make_point(*slot, hosts);
                    }
                    self.put_row(*slot, *level, ties.iter().map(|tie| tie.link));
                    let back = || ties.iter().filter(|tie| tie.back).map(|tie| tie.link.slot);
                    if *level == 0 {
                        let here = back().filter(|&slot| (slot as usize) < self.n_slots());
                        here.for_each(|slot| self.prefetch(slot, 0));
                    }
                    back().for_each(|from| self.put_link(from, *level, *slot));
                }
                Op::Append { slot, level, to } => self.put_link(*slot, *level, *to),
                Op::Hang { twin, of } => self.hang(*twin, *of, hosts),
                Op::Twins { of, twins } => self.hang_all(twins, *of, hosts),
                Op::Gone { slot } => self.take_out(*slot, hosts),
                Op::Entry(entry) => self.set_entry(*entry),
                Op::Gate { region, entry } => self.set_entry_of(*region, *entry),
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
