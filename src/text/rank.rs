//! BM25: scores documents by the words of a query, and finds the best without scoring all.
//!
//! The score of a document of `l` words for a query is the sum over the query's words of
//!
//! ```text
//! ln(1 + (N - n + ½) / (n + ½)) · t / (t + k1 · (1 - b + b · l / L))
//! ```
//!
//! where `n` of `N` documents have the word, the document has it `t` times, and documents have `L`
//! words on average. Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework"
//! (2009). The form is Lucene's: never negative, and without a constant factor that changes no
//! order.
//!
//! Slots lie in ranges of 64, and each range has an upper bound for the scores of its documents.
//! Ranges with the highest bounds are scored first. A range is skipped if its bound is below the
//! last of the best so far. This is block-max pruning (Mallia and others, "Faster Learned Sparse
//! Retrieval with Block-Max Pruning", 2024). The result is exactly that of scoring every document.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::list::{CHUNK, List, RANGE};
use crate::cancel::Stop;
use crate::error::Result;

/// The parameters of BM25.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bm25 {
    /// How slowly repetitions of a word saturate.
    pub(crate) k1: f64,
    /// How much the length of a document counts against it: 0 to 1.
    pub(crate) b: f64,
}

/// The statistics of all documents that have words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) n_documents: u64,
    pub(crate) n_words: u64,
}

/// The words of a query, ready to score documents.
pub(crate) struct Ranking {
    words: Vec<Weighted>,
    k1: f64,
    /// The normalisation by length, a factor of `k1`: a constant, and a part for each word of a
    /// document.
    norm: (f64, f64),
}

/// A word with its weight: its rarity (IDF) times how often the query has it.
struct Weighted {
    list: Arc<List>,
    weight: f64,
}

/// A document and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub(crate) slot: u32,
    pub(crate) score: f64,
}

impl Scored {
    /// The score as hits show it; scores that are equal so are ties.
    fn shown(&self) -> f32 {
        self.score as f32
    }

    fn is_tied(&self, other: &Self) -> bool {
        self.shown() == other.shown()
    }
}

impl Eq for Scored {}

impl Ord for Scored {
    /// The higher score is greater; of equal ones, the lower slot.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.shown().total_cmp(&other.shown()).then(other.slot.cmp(&self.slot))
    }
}

/// The best documents by scores, before ties are sorted.
#[derive(Debug, Default)]
pub(crate) struct Top {
    /// The best first: as many as were wanted, or fewer if there are no more.
    best: Vec<Scored>,
    /// Others that tie with the last of `best`, in no order. `may_be` admits all of them; `admits`
    /// was not asked about all.
    tied: Vec<Scored>,
    /// Documents that were scored.
    pub(crate) n_scored: usize,
}

impl Top {
    /// The best documents in order; `sort` puts tied ones in order.
    pub(crate) fn in_order(
        self,
        mut sort: impl FnMut(&mut [Scored]) -> Result<()>,
        mut admits: impl FnMut(Scored) -> Result<bool>,
    ) -> Result<Vec<Scored>> {
        let Top { mut best, tied, .. } = self;
        let n = best.len();
        if let Some(last) = best.last().copied().filter(|_| !tied.is_empty()) {
            // Only their order tells which of these are among the best.
            let mut rivals = best.split_off(best.partition_point(|scored| scored.shown() > last.shown()));
            rivals.extend(tied);
            sort(&mut rivals)?;
            for rival in rivals {
                if best.len() == n {
                    break;
                }
                if admits(rival)? {
                    best.push(rival);
                }
            }
        }
        for tied in best.chunk_by_mut(Scored::is_tied).filter(|tied| tied.len() > 1) {
            sort(tied)?;
        }
        Ok(best)
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Ranges that are scored first, those with the highest bounds.
const FIRST: usize = 32;
/// Ranges scored between two checks whether the search has to end.
const RANGES_UNASKED: usize = Stop::EVERY / RANGE as usize;
/// Factor that keeps bounds above the scores they bound, however sums are rounded.
const SLACK: f64 = 1.0 + 1e-12;

impl Ranking {
    /// A ranking by `words`, each with how often the query has it.
    pub(crate) fn new(words: Vec<(Arc<List>, usize)>, totals: Totals, Bm25 { k1, b }: Bm25) -> Self {
        let average = totals.n_words as f64 / totals.n_documents.max(1) as f64;
        let weighted = |(list, n_asked): (Arc<List>, usize)| {
            let n = list.len() as f64;
            // Only totals of another commit can be less than the number of documents with the word.
            let rarity = (1.0 + (totals.n_documents as f64 - n + 0.5).max(0.0) / (n + 0.5)).ln();
            Weighted { list, weight: rarity * n_asked as f64 }
        };
        let words = words.into_iter().map(weighted).filter(|word| word.list.len() > 0).collect();
        Ranking { words, k1, norm: (1.0 - b, b / average.max(f64::MIN_POSITIVE)) }
    }

    /// The share of a word in the score of a document with `length` words, `n_times` of them this
    /// one.
    fn share(&self, weight: f64, n_times: u16, length: u32) -> f64 {
        let n_times = f64::from(n_times);
        let norm = self.k1 * (self.norm.0 + self.norm.1 * f64::from(length));
        weight * n_times / (n_times + norm)
    }

    /// A document's score; 0 if it has none of the words.
    pub(crate) fn score(&self, slot: u32) -> f64 {
        let share = |word: &Weighted| {
            let posting = word.list.find(slot)?;
            Some(self.share(word.weight, posting.n_times, posting.length))
        };
        self.words.iter().filter_map(share).sum()
    }

    /// The best `n` documents that neither `may_be` nor `admits` refuses. Both are asked only about
    /// documents that would be among the best so far. `admits`, which may take longer, is not asked
    /// about ties with the last of those.
    pub(crate) fn best(
        &self,
        n: usize,
        may_be: impl Fn(u32) -> bool,
        mut admits: impl FnMut(Scored) -> Result<bool>,
        stop: &Stop,
    ) -> Result<Top> {
        let (mut best, mut tied, mut n_scored) = (BinaryHeap::new(), Vec::new(), 0);
        let mut promises = self.promises();
        if promises.len() > FIRST {
            promises.select_nth_unstable_by(FIRST, |a, b| b.most.total_cmp(&a.most));
            promises[FIRST..].sort_unstable_by_key(|bound| (bound.chunk, bound.range));
        }
        let first = FIRST.min(promises.len());
        promises[..first].sort_unstable_by(|a, b| b.most.total_cmp(&a.most));
        for (at, bound) in promises.into_iter().enumerate() {
            if at % RANGES_UNASKED == 0 {
                stop.check()?;
            }
            let is_full = best.len() >= n;
            if n == 0
                || (is_full
                    && best.peek().is_some_and(|Reverse(last): &Reverse<Scored>| (bound.most as f32) < last.shown()))
            {
                continue;
            }
            let first = bound.chunk * CHUNK + u32::from(bound.range * RANGE);
            let (scores, mut touched) = self.score_range(&bound);
            n_scored += touched.count_ones() as usize;
            while touched != 0 {
                let place = touched.trailing_zeros();
                touched &= touched - 1;
                let scored = Scored { slot: first + place, score: scores[place as usize] };
                let last = best.peek().map(|Reverse(last)| *last).filter(|_| best.len() >= n);
                let is_tied = last.is_some_and(|last| scored.is_tied(&last));
                if !(is_tied || last.is_none_or(|last| scored > last)) || !may_be(scored.slot) {
                    continue;
                }
                if is_tied {
                    tied.push(scored);
                } else if admits(scored)? {
                    best.push(Reverse(scored));
                    let left = if best.len() > n { best.pop() } else { None };
                    let is_tied =
                        |Reverse(left): &Reverse<Scored>| best.peek().is_some_and(|last| left.is_tied(&last.0));
                    match left {
                        Some(left) if is_tied(&left) => tied.push(left.0),
                        Some(_) => tied.clear(),
                        None => {}
                    }
                }
            }
        }
        let best = best.into_sorted_vec().into_iter().map(|Reverse(scored)| scored).collect();
        Ok(Top { best, tied, n_scored })
    }

    /// How many postings the lists of the words have.
    pub(crate) fn n_postings(&self) -> usize {
        self.words.iter().map(|word| word.list.len()).sum()
    }

    /// As [`best`](Ranking::best), among `slots` alone.
    pub(crate) fn best_of(
        &self,
        slots: &[u32],
        n: usize,
        may_be: impl Fn(u32) -> bool,
        mut admits: impl FnMut(Scored) -> Result<bool>,
    ) -> Result<Top> {
        let scored = slots.iter().map(|&slot| Scored { slot, score: self.score(slot) });
        let mut scored: Vec<Scored> = scored.filter(|scored| scored.score > 0.0 && may_be(scored.slot)).collect();
        scored.sort_unstable_by(|a, b| b.cmp(a));
        let mut top = Top { n_scored: slots.len(), ..Top::default() };
        for one in scored {
            match top.best.last() {
                Some(last) if top.best.len() >= n && !one.is_tied(last) => break,
                Some(_) if top.best.len() >= n => top.tied.push(one),
                _ if n > 0 && admits(one)? => top.best.push(one),
                _ => {}
            }
        }
        Ok(top)
    }

    /// The ranges that have any of the words, each with an upper bound for its documents' scores.
    fn promises(&self) -> Vec<UpperBound> {
        let mut promises = Vec::new();
        let mut at = vec![0; self.words.len()];
        loop {
            let chunks = self.words.iter().zip(&at).filter_map(|(word, at)| word.list.chunks().get(*at));
            let Some(chunk) = chunks.map(|(number, _)| *number).min() else { return promises };
            let mut most = [0.0; (CHUNK / RANGE as u32) as usize];
            for (word, at) in self.words.iter().zip(&mut at) {
                let Some((_, own)) = word.list.chunks().get(*at).filter(|(number, _)| *number == chunk) else {
                    continue;
                };
                *at += 1;
                for range in own.ranges() {
                    most[usize::from(range.number)] += self.share(word.weight, range.most_times, range.least_length);
                }
            }
            let of_range = |(range, most): (u16, f64)| UpperBound { chunk, range, most: most * SLACK };
            promises.extend((0..).zip(most).filter(|(_, most)| *most > 0.0).map(of_range));
        }
    }

    /// The scores of a range's documents, and a bit for each that has any of the words.
    fn score_range(&self, bound: &UpperBound) -> ([f64; RANGE as usize], u64) {
        let (mut scores, mut touched) = ([0.0; RANGE as usize], 0u64);
        for word in &self.words {
            let postings = word.list.chunk(bound.chunk).map_or(&[][..], |chunk| chunk.of_range(bound.range));
            for posting in postings {
                let place = posting.place % RANGE;
                scores[usize::from(place)] += self.share(word.weight, posting.n_times, posting.length);
                touched |= 1 << place;
            }
        }
        (scores, touched)
    }
}

/// An upper bound for the scores of a range's documents.
struct UpperBound {
    chunk: u32,
    range: u16,
    most: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::list::{Posting, WordChunk};
    use rand::{Rng, SeedableRng, rngs::StdRng};

    /// A list of random slots; `share` is the probability of each.
    fn list(rng: &mut StdRng, lengths: &[u32], share: f64) -> Arc<List> {
        let n_chunks = lengths.len() as u32 / CHUNK;
        let chunk = |number: u32| {
            let mut postings = Vec::new();
            for place in 0..CHUNK as u16 {
                if rng.random_bool(share) {
                    let length = lengths[(number * CHUNK + u32::from(place)) as usize];
                    postings.push(Posting { place, n_times: rng.random_range(1..5), length });
                }
            }
            (number, Arc::new(WordChunk::new(postings)))
        };
        Arc::new(List::new((0..n_chunks).map(chunk).filter(|(_, chunk)| !chunk.postings().is_empty()).collect()))
    }

    #[test]
    fn the_best_are_those_that_scoring_all_finds() {
        let mut rng = StdRng::seed_from_u64(8);
        let lengths: Vec<u32> = (0..4 * CHUNK).map(|_| rng.random_range(1..400)).collect();
        let totals = Totals { n_documents: lengths.len() as u64, n_words: lengths.iter().map(|n| u64::from(*n)).sum() };
        let (mut n_all, mut n_scored) = (0, 0);
        for round in 0..60 {
            let shares = [0.6, 0.2, 0.01, 0.001, 0.0];
            let n_words = rng.random_range(1..5);
            let words: Vec<_> =
                (0..n_words).map(|at| (list(&mut rng, &lengths, shares[(round + at) % 5]), 1 + at % 2)).collect();
            let ranking = Ranking::new(words, totals, Bm25 { k1: 1.2, b: 0.75 });
            let refused = rng.random_range(2..7);
            let admits = |slot: u32| !slot.is_multiple_of(refused);
            let mut expected: Vec<Scored> = (0..lengths.len() as u32)
                .filter(|slot| admits(*slot))
                .map(|slot| Scored { slot, score: ranking.score(slot) })
                .filter(|scored| scored.score > 0.0)
                .collect();
            expected.sort_unstable_by(|a, b| b.cmp(a));
            n_all += expected.len();
            expected.truncate(10);
            let admits = |scored: Scored| Ok(admits(scored.slot));
            let in_order = |top: Top| {
                let by_slot = |tied: &mut [Scored]| {
                    tied.sort_unstable_by_key(|scored| scored.slot);
                    Ok(())
                };
                top.in_order(by_slot, admits).unwrap()
            };
            let any = |_| true;
            let top = ranking.best(10, any, admits, Stop::NEVER).unwrap();
            n_scored += top.n_scored;
            assert_eq!(in_order(top), expected, "round {round}");
            assert!(in_order(ranking.best(0, any, |_| Ok(true), Stop::NEVER).unwrap()).is_empty());
            let all: Vec<u32> = (0..lengths.len() as u32).collect();
            assert_eq!(in_order(ranking.best_of(&all, 10, any, admits).unwrap()), expected);
            assert!(in_order(ranking.best_of(&all, 0, any, admits).unwrap()).is_empty());
        }
        assert!(n_scored * 2 < n_all, "{n_scored} of {n_all} were scored");
    }

    #[test]
    fn of_equally_good_ones_those_that_come_first_in_whatever_order_are_best() {
        let mut rng = StdRng::seed_from_u64(9);
        // Few different lengths, so that most scores are those of many documents.
        let lengths: Vec<u32> = (0..4 * CHUNK).map(|_| rng.random_range(1..4)).collect();
        let totals = Totals { n_documents: lengths.len() as u64, n_words: lengths.iter().map(|n| u64::from(*n)).sum() };
        for round in 0..60 {
            let words =
                (0..1 + round % 2).map(|_| (list(&mut rng, &lengths, [0.5, 0.02, 0.001][round % 3]), 1)).collect();
            let ranking = Ranking::new(words, totals, Bm25 { k1: 1.2, b: [0.75, 0.0][round / 3 % 2] });
            let key = |slot: u32| slot.wrapping_mul(2_654_435_761);
            let may_be = |slot: u32| !slot.is_multiple_of(5);
            let admits = |scored: Scored| {
                assert!(may_be(scored.slot), "asked of one that may not be");
                Ok(!scored.slot.is_multiple_of(3))
            };
            let scored = (0..lengths.len() as u32).map(|slot| Scored { slot, score: ranking.score(slot) });
            let mut expected: Vec<Scored> =
                scored.filter(|scored| scored.score > 0.0 && may_be(scored.slot) && admits(*scored).unwrap()).collect();
            expected.sort_by(|a, b| b.shown().total_cmp(&a.shown()).then(key(a.slot).cmp(&key(b.slot))));
            let all: Vec<u32> = (0..lengths.len() as u32).collect();
            for n in [1, 7, 50, 100_000] {
                let in_order = |top: Top| {
                    let by_key = |tied: &mut [Scored]| {
                        tied.sort_unstable_by_key(|scored| key(scored.slot));
                        Ok(())
                    };
                    top.in_order(by_key, admits).unwrap()
                };
                let expected = &expected[..n.min(expected.len())];
                for top in [ranking.best(n, may_be, admits, Stop::NEVER), ranking.best_of(&all, n, may_be, admits)] {
                    let top = top.unwrap();
                    assert!(top.tied.iter().all(|scored| may_be(scored.slot)), "round {round}, {n}");
                    assert_eq!(in_order(top), expected, "round {round}, {n}");
                }
            }
        }
    }

    #[test]
    fn scores_are_bm25() {
        let chunk = |postings: &[(u16, u16, u32)]| {
            let posting = |&(place, n_times, length): &_| Posting { place, n_times, length };
            Arc::new(List::new(vec![(0, Arc::new(WordChunk::new(postings.iter().map(posting).collect())))]))
        };
        // "a b", "a a b", "c": by hand.
        let (a, b) = (chunk(&[(0, 1, 2), (1, 2, 3)]), chunk(&[(0, 1, 2), (1, 1, 3)]));
        let totals = Totals { n_documents: 3, n_words: 6 };
        let ranking = Ranking::new(vec![(a, 1), (b, 1)], totals, Bm25 { k1: 1.5, b: 0.75 });
        let rarity = (1.0_f64 + 1.5 / 2.5).ln();
        let expected = rarity * (2.0 / (2.0 + 1.5 * (0.25 + 0.75 * 1.5)) + 1.0 / (1.0 + 1.5 * (0.25 + 0.75 * 1.5)));
        assert!((ranking.score(1) - expected).abs() < 1e-12);
        assert_eq!(ranking.score(2), 0.0);
    }
}
