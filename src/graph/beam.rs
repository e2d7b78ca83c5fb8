//! The candidates of a beam search (`Beam`), and the slots it has visited (`Visited`).

/// A point and its distance from the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Neighbor {
    pub(crate) slot: u32,
    pub(crate) distance: f32,
}

/// The nearest points found so far, in one array sorted nearest first. Its limit is HNSW's ef.
///
/// An entry is a `u64`: the distance's bits, mapped so that integers compare like distances, then
/// the slot, then in bit 0 whether the point was expanded.
#[derive(Default)]
pub(super) struct Beam {
    entries: Vec<u64>,
    limit: usize,
    /// All entries before this index are expanded.
    cursor: usize,
}

const EXPANDED: u64 = 1;
/// Up to this `limit` a linear insertion is faster than a binary search.
const SHORT: usize = 48;

#[inline(always)]
fn pack(found: Neighbor) -> u64 {
    let bits = found.distance.to_bits();
    let ordered = bits ^ (((bits as i32) >> 31) as u32 | 1 << 31);
    u64::from(ordered) << 32 | u64::from(found.slot) << 1
}

#[inline(always)]
fn unpack(entry: u64) -> Neighbor {
    let ordered = (entry >> 32) as u32;
    let bits = ordered ^ (((!ordered as i32) >> 31) as u32 | 1 << 31);
    Neighbor { slot: (entry as u32) >> 1, distance: f32::from_bits(bits) }
}

impl Beam {
    /// Empties the beam and sets its limit.
    pub(super) fn reset(&mut self, limit: usize) {
        self.entries.clear();
        self.entries.reserve(limit + 1);
        self.limit = limit;
        self.cursor = 0;
    }

    /// Adds a point if it is among the `limit` nearest.
    #[inline(always)]
    pub(super) fn offer(&mut self, found: Neighbor) {
        let entry = pack(found);
        if self.entries.len() >= self.limit {
            match self.entries.last() {
                Some(&worst) if entry < worst => _ = self.entries.pop(),
                _ => return,
            }
        }
        let place = self.place_of(entry);
        self.cursor = self.cursor.min(place);
    }

    /// Inserts an entry in order and returns its index.
    #[inline(always)]
    fn place_of(&mut self, entry: u64) -> usize {
        if self.limit > SHORT {
            let place = self.entries.partition_point(|&other| other < entry);
            self.entries.insert(place, entry);
            return place;
        }
        let mut place = self.entries.len();
        self.entries.push(entry);
        while place > 0 && self.entries[place - 1] > entry {
            self.entries[place] = self.entries[place - 1];
            place -= 1;
        }
        self.entries[place] = entry;
        place
    }

    /// Marks the nearest point that is not yet expanded as expanded, and returns it.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<u32> {
        while let Some(entry) = self.entries.get_mut(self.cursor) {
            self.cursor += 1;
            if *entry & EXPANDED == 0 {
                *entry |= EXPANDED;
                return Some((*entry as u32) >> 1);
            }
        }
        None
    }

    /// The next points that [`pop`](Beam::pop) would return, at most two.
    #[inline(always)]
    pub(super) fn next_two(&self) -> impl Iterator<Item = u32> {
        let rest = &self.entries[self.cursor.min(self.entries.len())..];
        let waiting = rest.iter().filter(|&&entry| entry & EXPANDED == 0);
        waiting.take(2).map(|&entry| (entry as u32) >> 1)
    }

    /// All points, nearest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Neighbor> {
        self.entries.iter().map(|&entry| unpack(entry))
    }
}

/// The slots that a walk has visited: one bit each, and a journal of them. A reset clears only the
/// bits of slots in the journal.
#[derive(Default)]
pub(super) struct Visited {
    words: Vec<u64>,
    /// Longer than `n_seen`, so that it seldom grows. Only its first `n_seen` slots count.
    journal: Vec<u32>,
    n_seen: usize,
    /// The value of `n_seen` before the last [`mark`](Visited::mark).
    n_before: usize,
}

/// The least number of slots by which the journal grows.
const JOURNAL: usize = 1_024;

impl Visited {
    /// Forgets all visits. From now on slots below `n_slots` can be marked.
    pub(super) fn reset(&mut self, n_slots: usize) {
        for &slot in &self.journal[..self.n_seen] {
            self.words[slot as usize / 64] = 0;
        }
        (self.n_seen, self.n_before) = (0, 0);
        let n_words = n_slots.div_ceil(64);
        if self.words.len() < n_words {
            self.words.resize(n_words, 0);
        }
    }

    /// The slots that the last [`mark`](Visited::mark) saw for the first time.
    #[inline(always)]
    pub(super) fn fresh(&self) -> &[u32] {
        &self.journal[self.n_before..self.n_seen]
    }

    /// Marks one slot as visited. Returns false if it was visited before or is out of range.
    #[inline(always)]
    pub(super) fn see(&mut self, slot: u32) -> bool {
        let Some(word) = self.words.get_mut(slot as usize / 64) else { return false };
        let bit = 1u64 << (slot % 64);
        if *word & bit != 0 {
            return false;
        }
        *word |= bit;
        if self.journal.len() <= self.n_seen {
            self.journal.resize(self.n_seen + JOURNAL, 0);
        }
        self.journal[self.n_seen] = slot;
        self.n_seen += 1;
        true
    }

    /// Marks slots as visited and returns those that are new. Slots out of range are skipped.
    ///
    /// No branch depends on whether a slot was visited, because the processor could not predict it.
    #[inline(always)]
    pub(super) fn mark(&mut self, slots: impl ExactSizeIterator<Item = u32>) -> &[u32] {
        self.n_before = self.n_seen;
        if self.journal.len() < self.n_seen + slots.len() {
            self.journal.resize(self.n_seen + slots.len() + JOURNAL, 0);
        }
        let places = &mut self.journal[self.n_seen..];
        let mut n_fresh = 0;
        for slot in slots {
            let Some(word) = self.words.get_mut(slot as usize / 64) else { continue };
            let bit = 1u64 << (slot % 64);
            places[n_fresh] = slot;
            n_fresh += usize::from(*word & bit == 0);
            *word |= bit;
        }
        self.n_seen += n_fresh;
        self.fresh()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    #[test]
    fn packing_keeps_order_and_value() {
        let distances = [f32::NEG_INFINITY, -3.5, -1e-30, 0.0, 1e-30, 0.25, 7.0, f32::INFINITY];
        let entries = distances.map(|distance| pack(Neighbor { slot: (1 << 31) - 1, distance }));
        assert!(entries.is_sorted());
        for (distance, entry) in distances.into_iter().zip(entries) {
            assert_eq!(unpack(entry), Neighbor { slot: (1 << 31) - 1, distance });
            assert_eq!(unpack(entry | EXPANDED).slot, (1 << 31) - 1);
        }
    }

    #[test]
    fn a_beam_keeps_the_nearest_and_pops_each_once() {
        let mut rng = StdRng::seed_from_u64(3);
        for limit in [1, 2, 10, 64] {
            let mut beam = Beam::default();
            beam.reset(limit);
            let mut all: Vec<Neighbor> =
                (0..500).map(|slot| Neighbor { slot, distance: rng.random_range(-1.0..1.0) }).collect();
            let mut popped = Vec::new();
            for &found in &all {
                beam.offer(found);
                if rng.random_bool(0.3) {
                    let next = beam.next_two().next();
                    assert_eq!(beam.pop(), next);
                    popped.extend(next);
                }
            }
            while let Some(slot) = beam.pop() {
                popped.push(slot);
            }
            all.sort_by(|a, b| a.distance.total_cmp(&b.distance));
            let kept: Vec<Neighbor> = beam.iter().collect();
            assert_eq!(kept, all[..limit]);
            assert!(kept.iter().all(|found| popped.iter().filter(|&&slot| slot == found.slot).count() == 1));
        }
    }

    #[test]
    fn visited_forgets_what_it_saw() {
        let mut visited = Visited::default();
        visited.reset(1_000);
        assert_eq!(visited.mark([999, 999, 5_000, 0].into_iter()), [999, 0], "beyond the end nothing is new");
        assert_eq!(visited.mark([0, 1].into_iter()), [1]);
        visited.reset(10_000);
        assert_eq!(visited.mark([999, 5_000].into_iter()), [999, 5_000]);
    }
}
