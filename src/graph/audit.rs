//! Proving that a graph is sound, and mending what cannot be reached.

use std::sync::atomic::Ordering;

use super::beam::Found;
use super::link::Linking;
use super::row::Link;
use super::{Change, Graph, Space};

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    pub(crate) n_points: usize,
    pub(crate) n_twins: usize,
    pub(crate) n_links: usize,
    /// Points that no walk can reach; each can be mended.
    pub(crate) unreachable: Vec<u32>,
    /// What must never be, in words.
    pub(crate) faults: Vec<String>,
}

impl Graph {
    /// Goes through the whole graph. Nothing may be linked meanwhile.
    pub(crate) fn audit(&self) -> Audit {
        let mut audit = Audit { unreachable: self.unreachable(), ..Audit::default() };
        for slot in self.points() {
            audit.n_points += 1;
            for level in 0..=self.level_of(slot) {
                let links = self.links(slot, level);
                audit.n_links += links.len();
                let faults = self.faults_of(slot, level, &links);
                audit.faults.extend(faults.map(|fault| format!("slot {slot} at level {level}: {fault}")));
            }
        }
        self.audit_twins(&mut audit);
        audit
    }

    /// Follows every chain of twins, as far as it is sound.
    fn audit_twins(&self, audit: &mut Audit) {
        let mut listed = vec![false; self.n_slots()];
        for point in self.points() {
            for twin in self.twins(point) {
                let fault = match listed.get_mut(twin as usize) {
                    None => "is beyond the last",
                    Some(true) => "is listed twice",
                    Some(_) if self.row(twin, 0).is_point() => "is a point itself",
                    Some(seen) => {
                        *seen = true;
                        audit.n_twins += 1;
                        continue;
                    }
                };
                audit.faults.push(format!("slot {twin}, a twin of {point}, {fault}"));
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

    /// The points that a walk may miss. It comes down the higher levels to some point, and goes on by links of level 0
    /// alone: where it may come down it need not, so that a point only counts as reached if such a link leads to it.
    pub(crate) fn unreachable(&self) -> Vec<u32> {
        let Some(entry) = self.entry() else { return self.points().collect() };
        let (mut passed, mut reached) = (vec![false; self.n_slots()], vec![false; self.n_slots()]);
        (passed[entry.slot as usize], reached[entry.slot as usize]) = (true, true);
        let mut starts = vec![entry.slot];
        let mut next = 0;
        while let Some(&slot) = starts.get(next) {
            next += 1;
            for link in (1..=self.level_of(slot)).flat_map(|level| self.row(slot, level).iter()) {
                if passed.get_mut(link as usize).is_some_and(|passed| !std::mem::replace(passed, true)) {
                    starts.push(link);
                }
            }
        }
        let mut pending = starts;
        while let Some(slot) = pending.pop() {
            for link in self.row(slot, 0).iter() {
                let Some(passed) = passed.get_mut(link as usize) else { continue };
                reached[link as usize] = true;
                if !std::mem::replace(passed, true) {
                    pending.push(link);
                }
            }
        }
        self.points().filter(|&slot| !reached[slot as usize]).collect()
    }

    /// Links to a point that cannot be reached, from the nearest point that can, by a link that is never pruned.
    pub(crate) fn mend<S: Space>(&self, space: &S, slot: u32, linking: &mut Linking<S::Query>) {
        linking.find_neighbors(self, space, slot);
        let neighbors: Vec<Found> = std::mem::take(&mut linking.candidates);
        for &Found { slot: from, .. } in neighbors.iter().filter(|found| found.slot != slot) {
            let row = self.row(from, 0).lock();
            // Half a row may be kept; the other half goes on being chosen.
            if row.links().filter(|link| link.kept).count() >= self.shape.m {
                continue;
            }
            let link = Link { slot, kept: true };
            if row.keep(slot) || row.append(link) {
                linking.changes.push(Change::Row { slot: from, level: 0 });
            } else {
                let links = row.links().chain([link]).collect();
                self.prune(space, from, 0, &row, links, linking);
            }
            break;
        }
        linking.candidates = neighbors;
    }
}
