//! Stray points, which a search for them misses: detection, and choosing their links again.
//!
//! Strays arise where points are linked while most of their neighbours are missing, or while walks
//! cannot get to these. An example is thousands of nearly equal points that arrive before all
//! others. Walks end among them even above level 0, and later points get links to them rather than
//! to each other. No count of links shows that. A search for the point itself does, at a sixth of
//! the cost of linking it. So a sample of points is searched for now and then. Only if too many of
//! the sample are strays, all points are examined.

use super::beam::Neighbor;
use super::link::Linking;
use super::row::Link;
use super::{Graph, Space};

/// HNSW's ef of the search for a point.
const EF: usize = 16;
/// A point counts as found if the nearest result is nearer to it than this fraction of its distance
/// to the entry. Among many nearly equal points it does not matter which one is found.
const NEARLY_EQUAL: f32 = 0.02;

/// Points at arbitrary places from which the second walk to a stray begins.
const N_SCATTERED: usize = 8;
/// The most slots examined to find [`N_SCATTERED`] points.
const N_TRIES: u64 = 256;
/// Factor of a multiplicative (Fibonacci) hash: 2⁶⁴ divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Graph {
    /// Whether a search for a point misses it.
    pub(crate) fn is_stray<S: Space>(&self, space: &S, slot: u32, linking: &mut Linking<S::Query>) -> bool {
        let entry = self.entry_of(self.region_of(space, slot));
        let Some(entry) = entry.filter(|_| self.is_point(slot)) else { return false };
        let (nearest, is_found) = linking.search_for(self, space, slot, EF);
        if is_found {
            return false;
        }
        let Some(nearest) = nearest else { return true };
        let mut distances = [0.0; 2];
        space.compare(linking.query(), &[slot, entry.slot], &mut distances);
        let [own, far] = distances;
        nearest - own > NEARLY_EQUAL * (far - own)
    }

    /// Chooses links again for a point that a search misses, and for every point above level 0,
    /// since most walks pass there.
    pub(crate) fn straighten<S: Space>(&self, space: &S, slot: u32, linking: &mut Linking<S::Query>) {
        if self.is_point(slot) && (self.level_of(slot) > 0 || self.is_stray(space, slot, linking)) {
            self.relink(space, slot, linking);
            self.lead_to_stray(space, slot, linking);
        }
    }

    /// If a search for a point misses it, adds a link to it from where the search ends. Pruning
    /// spares this link. Between distant clusters no other links last, because pruning keeps few of
    /// the links that lead into the same cluster.
    pub(crate) fn lead_to_stray<S: Space>(&self, space: &S, slot: u32, linking: &mut Linking<S::Query>) {
        // With inner products, a point that is near to nothing need not be found.
        if space.views().len() > 1 || !self.is_stray(space, slot, linking) {
            return;
        }
        let ends: Vec<Neighbor> = linking.found().filter(|found| space.is_alive(found.slot)).collect();
        self.lead_to(space, slot, &ends, linking);
    }

    /// Chooses a point's links again, from its present links and the points near it now.
    fn relink<S: Space>(&self, space: &S, slot: u32, linking: &mut Linking<S::Query>) {
        let Some(entry) = self.entry_of(self.region_of(space, slot)) else { return };
        for level in (0..=self.level_of(slot).min(entry.level)).rev() {
            linking.find_at(self, space, slot, level);
            let mut others: Vec<u32> = linking.candidates.iter().map(|found| found.slot).collect();
            // A walk that ends among nearly equal points finds no others; one from elsewhere may.
            let scattered: Vec<u32> = self.scattered(space, slot, level).collect();
            linking.find_from(self, space, slot, level, &scattered);
            others.extend(linking.candidates.iter().map(|found| found.slot));
            let row = self.row(slot, level).lock();
            let (kept, own): (Vec<Link>, Vec<Link>) = row.links().partition(|link| link.kept);
            others.extend(own.iter().map(|link| link.slot));
            others.sort_unstable();
            others.dedup();
            self.refill(space, slot, level, &row, &kept, others, linking);
            drop(row);
            for to in self.links(slot, level) {
                self.link_back(space, to, slot, level, linking);
            }
        }
    }

    /// Up to 8 points of a level from arbitrary places in the region; each slot has its own.
    fn scattered<S: Space>(&self, space: &S, slot: u32, level: usize) -> impl Iterator<Item = u32> {
        let n_slots = self.n_slots() as u64;
        let spread = move |n: u64| (u64::from(slot) * N_TRIES + n).wrapping_mul(SPREAD) >> 32;
        let places = (1..=N_TRIES).map(move |n| (spread(n) * n_slots) >> 32);
        let points = places.map(|place| place as u32).filter(move |&far| far != slot && self.level_of(far) >= level);
        let region = self.region_of(space, slot);
        points.filter(move |&far| self.is_point(far) && self.region_of(space, far) == region).take(N_SCATTERED)
    }

    /// About `most` points, spread evenly over the slots below `n_slots`; deterministic.
    pub(crate) fn sample(&self, n_slots: usize, most: usize) -> Vec<u32> {
        // Steps by the golden ratio keep any number of slots well apart.
        let step = (n_slots as f64 * 0.618_033_988_749_895) as usize | 1;
        let slots = (0..most.min(n_slots)).map(|n| (n * step % n_slots) as u32);
        slots.filter(|&slot| self.is_point(slot)).collect()
    }
}
