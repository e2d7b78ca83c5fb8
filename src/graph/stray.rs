//! Points that a search for them misses: telling them, and choosing their links again.
//!
//! A graph cannot be walked well where points were linked while most of their neighbours were not there yet, or while
//! walks could not get to them. So it is where thousands of nearly equal points come before all others: above level 0
//! too walks end among them, and those that come later are linked to them rather than to each other. No count of links
//! tells that. A search for a point itself does, at a sixth of what linking it takes. So a few points are searched for
//! now and then; only if some of them are missed does it become everyone's turn.

use super::beam::Found;
use super::link::Linking;
use super::row::Link;
use super::{Graph, Space};

/// Points that a search for a point may keep.
const EF: usize = 16;
/// A point is not missed if one is found that is nearer to it than this part of what the entry is: which of many nearly
/// equal points is found is all the same.
const NEARLY_EQUAL: f32 = 0.02;

/// Points wherever they lie at which a walk to a stray begins.
const N_SCATTERED: usize = 8;
/// Slots looked at for those.
const N_TRIES: u64 = 256;
/// Spreads numbers over 64 bits: 2⁶⁴ by the golden ratio.
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
        let mut ranks = [0.0; 2];
        space.rank(linking.query(), &[slot, entry.slot], &mut ranks);
        let [own, far] = ranks;
        nearest - own > NEARLY_EQUAL * (far - own)
    }

    /// Chooses links again for a point that is above level 0, where walks come by, or that a search for it misses.
    pub(crate) fn straighten<S: Space>(&self, space: &S, slot: u32, linking: &mut Linking<S::Query>) {
        if self.is_point(slot) && (self.level_of(slot) > 0 || self.is_stray(space, slot, linking)) {
            self.relink(space, slot, linking);
            self.lead_to_stray(space, slot, linking);
        }
    }

    /// If a search for a point misses it, links to it from where the search ends, by a link that is never pruned:
    /// between clusters that lie far apart no other links last, since all that lead to the same are chosen from.
    pub(crate) fn lead_to_stray<S: Space>(&self, space: &S, slot: u32, linking: &mut Linking<S::Query>) {
        // Among inner products a point that nothing is near need not be found.
        if space.views().len() > 1 || !self.is_stray(space, slot, linking) {
            return;
        }
        let ends: Vec<Found> = linking.found().filter(|found| space.is_alive(found.slot)).collect();
        self.lead_to(space, slot, &ends, linking);
    }

    /// Chooses a point's links again, from those it has and what is near it now.
    fn relink<S: Space>(&self, space: &S, slot: u32, linking: &mut Linking<S::Query>) {
        let Some(entry) = self.entry_of(self.region_of(space, slot)) else { return };
        for level in (0..=self.level_of(slot).min(entry.level)).rev() {
            linking.find_at(self, space, slot, level);
            let mut others: Vec<u32> = linking.candidates.iter().map(|found| found.slot).collect();
            // A walk that ends among nearly equal points finds no others; one that begins elsewhere may.
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

    /// A few points of a level wherever they lie in the slot's region; others for each slot.
    fn scattered<S: Space>(&self, space: &S, slot: u32, level: usize) -> impl Iterator<Item = u32> {
        let n_slots = self.n_slots() as u64;
        let spread = move |n: u64| (u64::from(slot) * N_TRIES + n).wrapping_mul(SPREAD) >> 32;
        let places = (1..=N_TRIES).map(move |n| (spread(n) * n_slots) >> 32);
        let points = places.map(|place| place as u32).filter(move |&far| far != slot && self.level_of(far) >= level);
        let region = self.region_of(space, slot);
        points.filter(move |&far| self.is_point(far) && self.region_of(space, far) == region).take(N_SCATTERED)
    }

    /// About `most` points, spread over all slots below `n_slots`; the same for the same graph.
    pub(crate) fn sample(&self, n_slots: usize, most: usize) -> Vec<u32> {
        // Steps of the golden ratio: wherever it ends, none are close to each other.
        let step = (n_slots as f64 * 0.618_033_988_749_895) as usize | 1;
        let slots = (0..most.min(n_slots)).map(|n| (n * step % n_slots) as u32);
        slots.filter(|&slot| self.is_point(slot)).collect()
    }
}
