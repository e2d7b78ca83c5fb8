//! Posting lists: the documents that have a word, how often each has it, and how many words each
//! has in all.
//!
//! Slots lie in chunks, so that a commit replaces only a chunk. Chunks are divided into ranges.
//! Each range has its highest frequency and its least length, which bound the scores of its
//! documents.

use std::sync::Arc;

use roaring::RoaringBitmap;

/// Slots in a chunk.
pub(crate) const CHUNK: u32 = 4_096;
/// Slots in a range.
pub(crate) const RANGE: u16 = 64;

/// The chunk that a slot lies in, and the slot's place there.
pub(crate) fn split(slot: u32) -> (u32, u16) {
    (slot / CHUNK, (slot % CHUNK) as u16)
}

/// A posting: a document that has a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posting {
    /// The slot's place in the chunk.
    pub(crate) place: u16,
    /// How often the document has the word; `u16::MAX` stands for more.
    pub(crate) n_times: u16,
    /// How many words the document has in all.
    pub(crate) length: u32,
}

/// The postings of one chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WordChunk {
    /// In the order of their places; no place comes twice.
    postings: Vec<Posting>,
    /// In order; no range is empty.
    ranges: Vec<WordRange>,
}

/// The postings of one range, with the highest frequency and the least length among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WordRange {
    /// The range's place in the chunk, counted in ranges.
    pub(crate) number: u16,
    end: u16,
    pub(crate) most_times: u16,
    pub(crate) least_length: u32,
}

impl WordChunk {
    /// A chunk of postings, which come in the order of their places.
    pub(crate) fn new(postings: Vec<Posting>) -> Self {
        let mut ranges: Vec<WordRange> = Vec::new();
        for (at, posting) in (1..).zip(&postings) {
            let Posting { place, n_times, length } = *posting;
            match ranges.last_mut() {
                Some(range) if range.number == place / RANGE => {
                    range.end = at;
                    range.most_times = range.most_times.max(n_times);
                    range.least_length = range.least_length.min(length);
                }
                _ => {
                    ranges.push(WordRange { number: place / RANGE, end: at, most_times: n_times, least_length: length })
                }
            }
        }
        WordChunk { postings, ranges }
    }

    pub(crate) fn postings(&self) -> &[Posting] {
        &self.postings
    }

    pub(crate) fn ranges(&self) -> &[WordRange] {
        &self.ranges
    }

    /// The postings of a range.
    pub(crate) fn of_range(&self, number: u16) -> &[Posting] {
        let Ok(at) = self.ranges.binary_search_by_key(&number, |range| range.number) else { return &[] };
        let start = at.checked_sub(1).map_or(0, |before| self.ranges[before].end);
        &self.postings[start.into()..self.ranges[at].end.into()]
    }
}

/// The posting list of a word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// In order; no chunk is empty.
    chunks: Vec<(u32, Arc<WordChunk>)>,
    n_postings: usize,
}

impl List {
    /// A list of numbered chunks, which come in order.
    pub(crate) fn new(chunks: Vec<(u32, Arc<WordChunk>)>) -> Self {
        let n_postings = chunks.iter().map(|(_, chunk)| chunk.postings.len()).sum();
        List { chunks, n_postings }
    }

    pub(crate) fn chunks(&self) -> &[(u32, Arc<WordChunk>)] {
        &self.chunks
    }

    pub(crate) fn chunk(&self, number: u32) -> Option<&WordChunk> {
        let at = self.chunks.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.chunks[at].1)
    }

    /// How many documents have the word.
    pub(crate) fn len(&self) -> usize {
        self.n_postings
    }

    pub(crate) fn n_bytes(&self) -> usize {
        let of_chunk = |chunk: &WordChunk| size_of_val(&*chunk.postings) + size_of_val(&*chunk.ranges) + 80;
        self.chunks.iter().map(|(_, chunk)| of_chunk(chunk)).sum()
    }

    /// The posting of a slot.
    pub(crate) fn find(&self, slot: u32) -> Option<&Posting> {
        let (number, place) = split(slot);
        let postings = self.chunk(number)?.postings();
        postings.binary_search_by_key(&place, |posting| posting.place).ok().map(|at| &postings[at])
    }

    /// All slots in order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        let of_chunk = |(number, chunk): &(u32, Arc<WordChunk>)| {
            let (first, chunk) = (number * CHUNK, chunk.clone());
            (0..chunk.postings.len()).map(move |at| first + u32::from(chunk.postings[at].place))
        };
        self.chunks.iter().flat_map(of_chunk)
    }

    pub(crate) fn to_bitmap(&self) -> RoaringBitmap {
        self.slots().collect()
    }

    /// Replaces a chunk; an empty `chunk` removes it.
    pub(crate) fn replace(&mut self, number: u32, chunk: WordChunk) {
        let at = self.chunks.binary_search_by_key(&number, |(number, _)| *number);
        self.n_postings += chunk.postings.len();
        self.n_postings -= at.map_or(0, |at| self.chunks[at].1.postings.len());
        match (at, chunk.postings.is_empty()) {
            (Ok(at), true) => _ = self.chunks.remove(at),
            (Ok(at), false) => self.chunks[at].1 = Arc::new(chunk),
            (Err(_), true) => {}
            (Err(at), false) => self.chunks.insert(at, (number, Arc::new(chunk))),
        }
    }

    /// The union of posting lists, as if they were of one word: frequencies are added up.
    pub(crate) fn union(lists: &[Arc<List>]) -> List {
        let mut numbers: Vec<u32> = lists.iter().flat_map(|list| &list.chunks).map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let of_chunk = |number: u32| {
            let chunks = lists.iter().filter_map(|list| list.chunk(number));
            let mut postings: Vec<Posting> = chunks.flat_map(|chunk| &chunk.postings).copied().collect();
            postings.sort_by_key(|posting| posting.place);
            postings.dedup_by(|next, first| {
                let is_same = next.place == first.place;
                first.n_times = first.n_times.saturating_add(if is_same { next.n_times } else { 0 });
                is_same
            });
            (number, Arc::new(WordChunk::new(postings)))
        };
        List::new(numbers.into_iter().map(of_chunk).collect())
    }
}

/// The change of a commit to a chunk: slots that have the word now, and slots that have it no
/// longer. Both are in the order of places, and no place is in both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WordChunkChange {
    pub(crate) put: Vec<Posting>,
    pub(crate) removed: Vec<u16>,
}

impl WordChunkChange {
    /// Sorts what was gathered in any order. The last `put` for a place counts, and takes
    /// precedence over a removal.
    pub(crate) fn settle(&mut self) {
        self.put.reverse();
        self.put.sort_by_key(|posting| posting.place);
        self.put.dedup_by_key(|posting| posting.place);
        self.removed.sort_unstable();
        self.removed.dedup();
        let put = &self.put;
        self.removed.retain(|place| put.binary_search_by_key(place, |posting| posting.place).is_err());
    }

    /// Whether places are in order and none is in both lists. Removed places must lie in a chunk.
    pub(crate) fn is_settled(&self) -> bool {
        let is_put = |place: &u16| self.put.binary_search_by_key(place, |posting| posting.place).is_ok();
        self.put.is_sorted_by(|a, b| a.place < b.place)
            && self.removed.is_sorted_by(|a, b| a < b)
            && self.removed.iter().all(|place| u32::from(*place) < CHUNK && !is_put(place))
    }

    /// The postings after the change; `before` is in order.
    pub(crate) fn apply(&self, before: &[Posting]) -> Vec<Posting> {
        let mut after = Vec::with_capacity(before.len() + self.put.len());
        let mut put = self.put.iter().peekable();
        for posting in before {
            after.extend(std::iter::from_fn(|| put.next_if(|new| new.place < posting.place)));
            if let Some(new) = put.next_if(|new| new.place == posting.place) {
                after.push(new);
            } else if self.removed.binary_search(&posting.place).is_err() {
                after.push(posting);
            }
        }
        after.extend(put);
        after.into_iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use std::collections::BTreeMap;

    #[test]
    fn a_list_is_a_sorted_map() {
        let mut rng = StdRng::seed_from_u64(3);
        let (mut list, mut twin) = (List::default(), BTreeMap::<u32, (u16, u32)>::new());
        for _ in 0..400 {
            let number = rng.random_range(0..4);
            let mut change = WordChunkChange::default();
            for _ in 0..rng.random_range(0..300) {
                let place = rng.random_range(0..CHUNK as u16);
                if rng.random_bool(0.6) {
                    let (n_times, length) = (rng.random_range(1..9), rng.random_range(9..99));
                    change.put.push(Posting { place, n_times, length });
                } else {
                    change.removed.push(place);
                }
            }
            change.settle();
            change.removed.iter().for_each(|place| _ = twin.remove(&(number * CHUNK + u32::from(*place))));
            for Posting { place, n_times, length } in change.put.iter().copied() {
                twin.insert(number * CHUNK + u32::from(place), (n_times, length));
            }
            let before = list.chunk(number).map_or(Vec::new(), |chunk| chunk.postings().to_vec());
            list.replace(number, WordChunk::new(change.apply(&before)));
        }
        assert_eq!(list.len(), twin.len());
        assert_eq!(list.slots().collect::<Vec<_>>(), twin.keys().copied().collect::<Vec<_>>());
        for slot in 0..5 * CHUNK {
            let found = list.find(slot).map(|posting| (posting.n_times, posting.length));
            assert_eq!(found, twin.get(&slot).copied(), "{slot}");
        }
        for (number, chunk) in list.chunks() {
            let mut n_seen = 0;
            for range in chunk.ranges() {
                let postings = chunk.of_range(range.number);
                n_seen += postings.len();
                assert!(postings.iter().all(|posting| posting.place / RANGE == range.number), "{number}");
                assert_eq!(postings.iter().map(|posting| posting.n_times).max(), Some(range.most_times));
                assert_eq!(postings.iter().map(|posting| posting.length).min(), Some(range.least_length));
            }
            assert_eq!(n_seen, chunk.postings().len());
        }
        let union = List::union(&[Arc::new(list.clone()), Arc::new(list.clone()), Arc::default()]);
        assert_eq!(union.len(), list.len());
        assert!(union.slots().all(|slot| union.find(slot).unwrap().n_times == 2 * twin[&slot].0));
    }
}
