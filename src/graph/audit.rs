//! Checking a graph's invariants, and mending points that cannot be reached.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::beam::Neighbor;
use super::link::Linking;
use super::row::Link;
use super::{EntryPoint, Graph, GraphChange, Space};

/// The result of an audit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    pub(crate) n_points: usize,
    pub(crate) n_duplicates: usize,
    pub(crate) n_links: usize,
    /// Points that no walk can reach. [`Graph::mend`] makes each reachable.
    pub(crate) unreachable: Vec<u32>,
    /// Violated invariants, in words.
    pub(crate) faults: Vec<String>,
}

impl Graph {
    /// Checks the whole graph. Nothing may be linked meanwhile.
    pub(crate) fn audit(&self, region_of: impl Fn(u32) -> u32) -> Audit {
        let region_of = |slot: u32| if self.is_undivided() { 0 } else { region_of(slot) };
        let mut audit = Audit { unreachable: self.unreachable(), ..Audit::default() };
        for slot in self.points() {
            audit.n_points += 1;
            for level in 0..=self.level_of(slot) {
                let links = self.links(slot, level);
                audit.n_links += links.len();
                let faults = self.faults_of(slot, level, &links);
                audit.faults.extend(faults.map(|fault| format!("slot {slot} at level {level}: {fault}")));
                let others = links.iter().filter(|&&link| region_of(link) != region_of(slot));
                audit.faults.extend(others.map(|link| format!("slot {slot} links to slot {link} of another region")));
            }
        }
        self.audit_duplicates(&mut audit, &region_of);
        for (region, entry) in self.entries() {
            if !self.is_point(entry.slot) || region_of(entry.slot) != region {
                audit.faults.push(format!(
                    "walks of region {region} begin at slot {}, which is none of its points",
                    entry.slot
                ));
            }
        }
        audit
    }

    /// Follows every chain of duplicates up to its first fault.
    fn audit_duplicates(&self, audit: &mut Audit, region_of: &impl Fn(u32) -> u32) {
        let mut listed = vec![false; self.n_slots()];
        for point in self.points() {
            for duplicate in self.duplicates(point) {
                let fault = match listed.get_mut(duplicate as usize) {
                    None => "is beyond the last",
                    Some(true) => "is listed twice",
                    Some(_) if self.row(duplicate, 0).is_point() => "is a point itself",
                    Some(_) if region_of(duplicate) != region_of(point) => "is of another region",
                    Some(seen) => {
                        *seen = true;
                        audit.n_duplicates += 1;
                        continue;
                    }
                };
                audit.faults.push(format!("slot {duplicate}, a duplicate of {point}, {fault}"));
                break;
            }
        }
    }

    fn faults_of<'a>(&'a self, slot: u32, level: usize, links: &'a [u32]) -> impl Iterator<Item = String> + 'a {
        links.iter().enumerate().filter_map(move |(index, &link)| {
            if link as usize >= self.n_slots() {
                Some(format!("links to slot {link}, beyond the last"))
            } else if link == slot {
                Some("links to itself".to_owned())
            } else if links[..index].contains(&link) {
                Some(format!("links to slot {link} twice"))
            } else if !self.row(link, 0).is_point() {
                Some(format!("links to slot {link}, which is no point"))
            } else if self.level_of(link) < level {
                Some(format!("links to slot {link}, which has no such level"))
            } else {
                None
            }
        })
    }

    pub(super) fn n_slots(&self) -> usize {
        self.n_reserved.load(Ordering::Acquire)
    }

    /// The slots that are points.
    pub(crate) fn points(&self) -> impl Iterator<Item = u32> {
        (0..self.n_slots() as u32).filter(|&slot| self.row(slot, 0).is_point())
    }

    /// The points that walks may miss: no path of level-0 links leads to them from an entry. Level
    /// 0 decides alone, because every walk at level 0 begins at its region's entry too.
    pub(crate) fn unreachable(&self) -> Vec<u32> {
        self.missed(self.points(), self.entries().map(|(_, entry)| entry.slot).collect())
    }

    /// As [`unreachable`](Graph::unreachable), for one region: `points` that still are points.
    pub(crate) fn unreachable_in(&self, region: u32, points: &[u32]) -> Vec<u32> {
        let points = points.iter().copied().filter(|&slot| self.is_point(slot));
        self.missed(points, self.entry_of(region).map(|entry| entry.slot).into_iter().collect())
    }

    /// The `points` that no path of level-0 links reaches from `pending`.
    fn missed(&self, points: impl Iterator<Item = u32>, mut pending: Vec<u32>) -> Vec<u32> {
        let mut reached = vec![false; self.n_slots()];
        pending.retain(|&slot| reached.get_mut(slot as usize).is_some_and(|reached| !std::mem::replace(reached, true)));
        while let Some(slot) = pending.pop() {
            for link in self.row(slot, 0).iter() {
                if reached.get_mut(link as usize).is_some_and(|reached| !std::mem::replace(reached, true)) {
                    pending.push(link);
                }
            }
        }
        points.filter(|&slot| reached.get(slot as usize) == Some(&false)).collect()
    }

    /// Adds a link to an unreachable point from the nearest reachable one. Pruning spares this
    /// link. `unreachable` holds all unreachable points.
    pub(crate) fn mend<S: Space>(
        &self,
        space: &S,
        slot: u32,
        unreachable: &HashSet<u32>,
        linking: &mut Linking<S::Query>,
    ) {
        let region = self.region_of(space, slot);
        if self.entry_of(region).is_none() {
            self.set_entry_of(region, Some(EntryPoint { slot, level: self.level_of(slot) }));
            return linking.changes.push(GraphChange::entry(region));
        }
        linking.find_neighbors(self, space, slot);
        let is_reached = |found: &Neighbor| found.slot != slot && !unreachable.contains(&found.slot);
        if !linking.candidates.iter().any(is_reached) {
            linking.find_from_entry(self, space, slot);
        }
        let mut neighbors: Vec<Neighbor> = std::mem::take(&mut linking.candidates);
        // A link from another unreachable point would not help.
        neighbors.retain(is_reached);
        self.lead_to(space, slot, &neighbors, linking);
        linking.candidates = neighbors;
    }

    /// Adds a link, which pruning spares, to a point from the first of `others` with room.
    pub(super) fn lead_to<S: Space>(&self, space: &S, slot: u32, others: &[Neighbor], linking: &mut Linking<S::Query>) {
        for &Neighbor { slot: from, .. } in others {
            let row = self.row(from, 0).lock();
            // Pruning spares at most `m` links of a row, and goes on choosing the others.
            if row.links().filter(|link| link.kept).count() >= self.shape.m {
                continue;
            }
            let link = Link { slot, kept: true };
            if row.keep(slot) || row.append(link) {
                linking.changes.push(GraphChange::Row { slot: from, level: 0 });
            } else {
                let links = row.links().chain([link]).collect();
                self.prune(space, from, 0, &row, links, linking);
            }
            break;
        }
    }
}
