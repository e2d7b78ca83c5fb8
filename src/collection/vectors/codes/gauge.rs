//! The recall of codes, measured on a sample of the collection's own vectors against all others.
//!
//! A query is a document's vector, moved by the difference of two of its links, so that queries lie
//! as documents do. Up to half of the queries are ones that users asked, if some were kept. The
//! truth is the ten nearest by exact vectors. [`Gauge::code_recall`] is the fraction of the truth
//! that codes leave among the points that a default search compares exactly. [`Gauge::recall`] is
//! the fraction that such a search finds, of asked or made queries, whichever is less.

use std::ops::Range;

use rayon::prelude::*;

use super::bounds::{LEAST_DOCUMENTS, MOST_READ};
use super::means::Members;
use crate::cancel::Stop;
use crate::collection::vectors::layer::Layer;
use crate::collection::vectors::linking_context::LinkContext;
use crate::collection::vectors::nearest::order::in_order;
use crate::collection::vectors::nearest::rescore::n_trusted;
use crate::collection::vectors::nearest::{NearestRequest, SearchScratch, Target};
use crate::collection::vectors::random::SplitMix;
use crate::collection::vectors::{HnswIndex, Sight};
use crate::distance;
use crate::error::Result;
use crate::graph::Neighbor;
use crate::id::{NamespaceId, Slot};
use crate::limits::MIN_NORM;
use crate::params::{EF_PER_HIT, LEAST_EF};
use crate::quant::{Book, Code, CodeQuery, Codes, Grain};

/// Queries per measurement.
const N_QUERIES: usize = 48;
/// Hits per query.
const N_HITS: usize = 10;
/// The beam of a default search for that many hits.
const WALKED: usize = LEAST_EF + EF_PER_HIT * N_HITS;
/// The mean is computed from at most this many documents.
const MOST_AVERAGED: usize = 1 << 12;
/// A query's true hits should be among the `LINKED_AMONG * N_HITS` nearest by whole codes, by which
/// links are chosen.
const LINKED_AMONG: usize = 2;
/// The most documents that a thread compares at once.
const CHUNK: usize = 8_192;
const BLOCK: usize = 16;
/// The relative difference within which two distances count as equal.
const TIE: f32 = 1e-6;

/// The measured recall of the codes of a region.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Gauge {
    /// The fraction of the nearest that codes leave among the points compared exactly.
    pub(crate) code_recall: f32,
    /// The fraction of the nearest that default searches find.
    pub(crate) recall: f32,
    /// The number of documents at the measurement.
    pub(crate) n_documents: usize,
}

/// Documents of one namespace, and queries with their true hits.
pub(in crate::collection::vectors) struct GaugeSample {
    dimension: usize,
    namespace: NamespaceId,
    slots: Vec<u32>,
    /// Vectors one after the other, if they are not in memory.
    copied: Vec<f32>,
    /// Vectors in the form in which they are compared, asked queries first.
    queries: Vec<Vec<f32>>,
    n_asked: usize,
    /// For each query the true hits by exact distances, nearest first. Their slots are places.
    truth: Vec<Vec<Neighbor>>,
    /// The sample has all documents of the namespace.
    is_whole: bool,
}

impl GaugeSample {
    /// Takes a sample of up to about `most` members. `None` if they are too few. Half of the
    /// queries that were not asked lie at documents of `newest`, if it has that many.
    pub(in crate::collection::vectors) fn take(
        index: &HnswIndex,
        context: &LinkContext<'_>,
        (members, most): (&Members, usize),
        (asked, newest): (&[Vec<f32>], &[Slot]),
        salt: u64,
    ) -> Result<Option<GaugeSample>> {
        let Members { namespace, slots: members, .. } = members;
        let (slots, namespace, mut random) = (&context.memory.slots, *namespace, SplitMix(salt));
        let is_member = |slot: &Slot| slots.is_visible(*slot, namespace, context.commit);
        let is_held = context.exact.complete().is_some();
        let most = if is_held { most } else { most.min(MOST_READ) };
        let step = members.len().div_ceil(most).max(1);
        let mut taken: Vec<u32> = members.iter().copied().step_by(step).collect();
        if step > 1 {
            taken.extend(newest.iter().filter(|slot| is_member(slot)).map(|slot| slot.0));
            taken.sort_unstable();
            taken.dedup();
        }
        if taken.len() < LEAST_DOCUMENTS {
            return Ok(None);
        }
        let mut places: Vec<u32> = newest.iter().filter(|slot| is_member(slot)).map(|slot| slot.0).collect();
        let n_made = N_QUERIES - asked.len().min(N_QUERIES / 2);
        while places.len() > n_made / 2 {
            places.swap_remove(random.below(places.len()));
        }
        places.extend((places.len()..n_made).map(|_| taken[random.below(taken.len())]));
        let mut queries = asked[..N_QUERIES - n_made].to_vec();
        let n_asked = queries.len();
        for slot in places {
            queries.push(query_at(index, context, Slot(slot), &mut random)?);
        }
        let (dimension, mut copied) = (context.memory.vectors().full.dimension(), Vec::new());
        if !is_held {
            copied.resize(taken.len() * dimension, 0.0);
            let wanted: Vec<Slot> = taken.iter().copied().map(Slot).collect();
            context
                .exact
                .each(Stop::NEVER, &wanted, |at, row| copied[at * dimension..][..dimension].copy_from_slice(row))?;
        }
        let is_whole = step == 1;
        let (truth, slots) = (Vec::new(), taken);
        let mut sample = GaugeSample { dimension, namespace, slots, copied, queries, n_asked, truth, is_whole };
        let rows = |places: Range<usize>| places.map(|at| sample.row(context, at)).collect::<Vec<_>>();
        sample.truth = sample.nearest(context, N_HITS, rows, |query, rows, distances| {
            let query = &sample.queries[query];
            distances
                .iter_mut()
                .zip(rows)
                .for_each(|(distance, row)| *distance = context.comparison.compare(query, row));
        });
        Ok(Some(sample))
    }

    /// The vector at a place of the sample.
    fn row<'r>(&'r self, context: &'r LinkContext<'_>, at: usize) -> &'r [f32] {
        match context.exact.complete() {
            Some(held) if self.copied.is_empty() => held.row(Slot(self.slots[at])),
            _ => &self.copied[at * self.dimension..][..self.dimension],
        }
    }

    /// For each query the `n` nearest places, nearest first. `look_up` returns what `compare`
    /// compares for a range of places.
    fn nearest<T>(
        &self,
        context: &LinkContext<'_>,
        n: usize,
        look_up: impl Fn(Range<usize>) -> Vec<T> + Sync,
        compare: impl Fn(usize, &[T], &mut [f32]) + Sync,
    ) -> Vec<Vec<Neighbor>> {
        let chunk = self.slots.len().div_ceil(context.pool.current_num_threads()).clamp(BLOCK, CHUNK);
        let starts: Vec<usize> = (0..self.slots.len()).step_by(chunk).collect();
        let in_chunk = |&start: &usize| {
            let places = start..(start + chunk).min(self.slots.len());
            let mut distances = [0.0; BLOCK];
            let mut nearest: Vec<Nearest> = self.queries.iter().map(|_| Nearest::of(n)).collect();
            // All queries are compared with a block while its vectors are in the processor's cache.
            for from in places.clone().step_by(BLOCK) {
                let block = look_up(from..(from + BLOCK).min(places.end));
                let distances = &mut distances[..block.len()];
                for (query, nearest) in nearest.iter_mut().enumerate() {
                    compare(query, &block, distances);
                    nearest.offer(
                        distances.iter().zip(from as u32..).map(|(&distance, slot)| Neighbor { slot, distance }),
                    );
                }
            }
            nearest.into_iter().map(Nearest::into_found).collect::<Vec<_>>()
        };
        let chunks: Vec<Vec<Vec<Neighbor>>> = context.pool.install(|| starts.par_iter().map(in_chunk).collect());
        let mut nearest = vec![Vec::new(); self.queries.len()];
        for chunk in chunks {
            nearest.iter_mut().zip(chunk).for_each(|(all, found)| all.extend(found));
        }
        for found in &mut nearest {
            keep_nearest(found, n);
            found.sort_unstable_by(in_order);
        }
        nearest
    }

    /// The code recall of this sample. `code_of` tells the slot of the code of a place.
    fn code_recall(&self, context: &LinkContext<'_>, codes: &Codes, code_of: impl Fn(usize) -> u32 + Sync) -> f32 {
        if codes.are_exact() {
            return 1.0;
        }
        let near = self.nearest_by_code(context, codes, WALKED, &code_of);
        self.code_recall_among(context, codes, &near, code_of)
    }

    /// As [`code_recall`](GaugeSample::code_recall), from each query's nearest by codes.
    fn code_recall_among(
        &self,
        context: &LinkContext<'_>,
        codes: &Codes,
        near: &[(CodeQuery, Vec<Neighbor>)],
        code_of: impl Fn(usize) -> u32,
    ) -> f32 {
        let found = near.iter().zip(&self.queries).zip(&self.truth).map(|(((as_code, found), query), truth)| {
            let exact = |found: &Neighbor| context.comparison.compare(query, self.row(context, found.slot as usize));
            let walked = &found[..found.len().min(WALKED)];
            let pairs: Vec<(f32, f32)> = walked.iter().map(|found| (found.distance, exact(found))).collect();
            let noise = found.first().map_or(0.0, |nearest| codes.noise(as_code, code_of(nearest.slot as usize)));
            let compared = &pairs[..n_trusted(&pairs, noise, N_HITS).min(pairs.len())];
            count_within(compared.iter().map(|(_, exact)| *exact), truth)
        });
        self.share_of_all(found)
    }

    /// The fraction of the true hits among the nearest by whole codes. It tells whether codes
    /// choose links as vectors would. `near` holds each query's nearest by codes.
    fn link_recall_among(&self, context: &LinkContext<'_>, codes: &Codes, near: &[(CodeQuery, Vec<Neighbor>)]) -> f32 {
        let found = near.iter().zip(&self.queries).zip(&self.truth).map(|(((as_code, near), query), truth)| {
            let slots: Vec<u32> = near.iter().map(|found| self.slots[found.slot as usize]).collect();
            let mut distances = vec![0.0; slots.len()];
            codes.compare(as_code, Grain::Fine, &slots, &mut distances);
            let closely = near.iter().zip(&distances).map(|(found, &distance)| Neighbor { distance, ..*found });
            let mut closely: Vec<Neighbor> = closely.collect();
            keep_nearest(&mut closely, LINKED_AMONG * N_HITS);
            let exact =
                closely.iter().map(|found| context.comparison.compare(query, self.row(context, found.slot as usize)));
            count_within(exact, truth)
        });
        self.share_of_all(found)
    }

    /// Each query, prepared for codes, and its `n` nearest places by codes.
    fn nearest_by_code(
        &self,
        context: &LinkContext<'_>,
        codes: &Codes,
        n: usize,
        code_of: impl Fn(usize) -> u32 + Sync,
    ) -> Vec<(CodeQuery, Vec<Neighbor>)> {
        let as_codes = |query: &Vec<f32>| {
            let mut made = CodeQuery::default();
            codes.query(query, self.namespace, &mut made);
            made
        };
        let queries: Vec<CodeQuery> = self.queries.iter().map(as_codes).collect();
        let slots = |places: Range<usize>| places.map(&code_of).collect::<Vec<_>>();
        let near = self.nearest(context, n, slots, |query, slots, distances| {
            codes.compare(&queries[query], Grain::Coarse, slots, distances);
        });
        queries.into_iter().zip(near).collect()
    }

    /// The fraction of the true hits of some queries that were found: `n_found` for each query.
    fn share(&self, n_found: &[usize], queries: Range<usize>) -> f32 {
        let n_expected = self.truth[queries.clone()].iter().map(Vec::len).sum::<usize>();
        n_found[queries].iter().sum::<usize>() as f32 / n_expected.max(1) as f32
    }

    /// As [`share`](GaugeSample::share), of all queries.
    fn share_of_all(&self, n_found: impl Iterator<Item = usize>) -> f32 {
        self.share(&n_found.collect::<Vec<_>>(), 0..self.queries.len())
    }

    /// The code recall with codes that `book` would make; `None` if it cannot make any.
    pub(super) fn try_book(&self, index: &HnswIndex, context: &LinkContext<'_>, book: Book) -> Option<f32> {
        let mut codes = index.origin.codes(book)?;
        codes.reserve(self.slots.len()).ok()?;
        let encode = |at: usize| codes.encode(self.row(context, at), self.namespace);
        let made: Vec<Code> = context.pool.install(|| (0..self.slots.len()).into_par_iter().map(encode).collect());
        made.iter().zip(0..).for_each(|(code, at)| codes.put_alone(at, code));
        Some(self.code_recall(context, &codes, |at| at as u32))
    }

    /// The mean of the vectors, and the fraction of their squared distance from `origin` that all
    /// share. It is 0 if the origin is their mean, near 1 if they lie far from it in one direction.
    /// An empty origin is zero.
    pub(super) fn centre(&self, context: &LinkContext<'_>, origin: &[f32]) -> (Vec<f32>, f64) {
        let (mut sums, mut squares, mut n) = (vec![0.0f64; self.dimension], 0.0, 0.0);
        for at in (0..self.slots.len()).step_by(self.slots.len().div_ceil(MOST_AVERAGED).max(1)) {
            n += 1.0;
            for (place, (sum, &component)) in sums.iter_mut().zip(self.row(context, at)).enumerate() {
                let component = f64::from(component) - f64::from(origin.get(place).copied().unwrap_or(0.0));
                *sum += component;
                squares += component * component;
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= n);
        let common = n * sums.iter().map(|mean| mean * mean).sum::<f64>() / squares.max(f64::MIN_POSITIVE);
        let from = |place: usize| f64::from(origin.get(place).copied().unwrap_or(0.0));
        (sums.iter().enumerate().map(|(place, mean)| (mean + from(place)) as f32).collect(), common)
    }

    /// The code recall of a layer on this sample.
    pub(super) fn code_recall_of(&self, context: &LinkContext<'_>, layer: &Layer) -> f32 {
        layer.codes().map_or(1.0, |codes| self.code_recall(context, codes, |at| self.slots[at]))
    }

    /// The recall of a layer's codes and of searches by them, in a region of `n_documents`. Also
    /// whether these codes choose links as vectors would.
    pub(in crate::collection::vectors) fn measure(
        &self,
        index: &HnswIndex,
        context: &LinkContext<'_>,
        layer: &Layer,
        n_documents: usize,
    ) -> Result<(Gauge, bool)> {
        let (code_recall, link_recall) = match layer.codes().filter(|codes| !codes.are_exact()) {
            Some(codes) => {
                let code_of = |at: usize| self.slots[at];
                let near =
                    self.nearest_by_code(context, codes, layer.graph.shape().ef_construction.max(WALKED), code_of);
                let code_recall = self.code_recall_among(context, codes, &near, code_of);
                (code_recall, self.link_recall_among(context, codes, &near))
            }
            None => (1.0, 1.0),
        };
        let recall = self.recall(index, context)?.unwrap_or(code_recall);
        Ok((Gauge { code_recall, recall, n_documents }, link_recall >= GOOD))
    }

    /// The fraction of the true hits that searches find, of asked or made queries, whichever is
    /// less. `None` if the sample lacks documents of the namespace, or walks do not reach it.
    pub(super) fn recall(&self, index: &HnswIndex, context: &LinkContext<'_>) -> Result<Option<f32>> {
        if !self.is_whole {
            return Ok(None);
        }
        if !index.is_linked(self.namespace, context.commit) {
            return Ok(None);
        }
        let census = context.memory.census();
        let sight = Sight {
            slots: &context.memory.slots,
            exact: context.exact,
            comparison: context.comparison,
            n_documents: census.n_documents,
            n_members: self.slots.len(),
            trusts_codes: true,
            n_slots: census.n_slots,
            commit: context.commit,
        };
        let n_walked = if index.is_undivided() { census.n_documents.max(1) } else { self.slots.len() };
        let share = n_walked as f32 / self.slots.len() as f32;
        let ef = (WALKED as f32 * share.max(1.0)) as usize;
        let mut n_found = Vec::with_capacity(self.queries.len());
        for (query, truth) in self.queries.iter().zip(&self.truth) {
            let request = NearestRequest {
                stop: Stop::NEVER,
                query,
                n: N_HITS,
                ef,
                widens: false,
                oversampling: 1.0,
                excluded: &[],
                namespace: self.namespace,
                commit: context.commit,
            };
            n_found.push(SearchScratch::with(|scratch| -> Result<usize> {
                index.search(sight, request, Target::All, scratch)?;
                let limit =
                    truth.last().map(|last| context.comparison.measure_of(last.distance) + TIE * last.distance.abs());
                let is_near = |measure: f32| limit.is_some_and(|limit| measure <= limit);
                Ok(scratch.found.iter().filter(|found| is_near(found.distance)).count().min(truth.len()))
            })?);
        }
        let (of_asked, of_made) = (0..self.n_asked, self.n_asked..self.queries.len());
        let recall = self.share(&n_found, of_made);
        Ok(Some(if self.n_asked == 0 { recall } else { recall.min(self.share(&n_found, of_asked)) }))
    }
}

/// A query at a document, moved by the difference of two of its links.
fn query_at(index: &HnswIndex, context: &LinkContext<'_>, slot: Slot, random: &mut SplitMix) -> Result<Vec<f32>> {
    let (links, slots) = (index.graph().links(slot.0, 0).into_iter().map(Slot), &context.memory.slots);
    // A slot without links may have some of an earlier document.
    let namespace = slots.namespace(slot);
    let links: Vec<Slot> = links.filter(|&link| slots.is_visible(link, namespace, context.commit)).collect();
    let mut named = vec![slot];
    if links.len() >= 2 {
        let first = random.below(links.len());
        let second = (first + 1 + random.below(links.len() - 1)) % links.len();
        named.extend([links[first], links[second]]);
    }
    let mut rows = vec![Vec::new(); named.len()];
    context.exact.each(Stop::NEVER, &named, |at, row| rows[at] = row.to_vec())?;
    let mut query = std::mem::take(&mut rows[0]);
    if let [_, first, second] = &rows[..] {
        let moved = query.iter_mut().zip(first.iter().zip(second));
        moved.for_each(|(component, (first, second))| *component += first - second);
    }
    let norm = distance::norm(&query);
    if index.origin.unit && norm >= MIN_NORM {
        distance::normalize_by(&mut query, norm);
    }
    Ok(query)
}

/// A quick look at the newest documents: whether they lie elsewhere than the others.
pub(super) struct DriftCheck {
    /// The fraction of the nearest among them that codes leave.
    pub(in crate::collection::vectors) left: f32,
    /// The fraction of the nearest among them from which links are chosen.
    pub(in crate::collection::vectors) linked: f32,
}

/// Examines the newest documents of a namespace, by queries at the last `n_new` of them. `None` if
/// they are too few or vectors are not in memory.
pub(super) fn glance(
    context: &LinkContext<'_>,
    layer: &Layer,
    (namespace, newest): (NamespaceId, &[Slot]),
    n_new: usize,
) -> Option<DriftCheck> {
    const N_GLANCES: usize = 4;
    let (codes, held, slots) = (layer.codes()?, context.exact.complete()?, &context.memory.slots);
    let alive = newest.iter().copied().filter(|&slot| slots.is_visible(slot, namespace, context.commit));
    let alive: Vec<u32> = alive.map(|slot| slot.0).collect();
    let n_compared = WALKED / 2;
    if alive.len() < 2 * n_compared {
        return None;
    }
    let new = &alive[alive.len().saturating_sub(n_new)..];
    let (mut query, mut distances) = (CodeQuery::default(), vec![0.0; alive.len()]);
    let (mut n_left, mut n_linked, mut n_expected) = (0, 0, 0);
    for &at in new.iter().step_by(new.len().div_ceil(N_GLANCES)) {
        let row = held.row(Slot(at));
        let exact = |slot: u32| context.comparison.compare(row, held.row(Slot(slot)));
        let mut truth: Vec<Neighbor> = alive.iter().map(|&slot| Neighbor { slot, distance: exact(slot) }).collect();
        keep_nearest(&mut truth, N_HITS);
        truth.sort_unstable_by(in_order);
        codes.query(row, namespace, &mut query);
        let mut n_found = |grain, n| {
            codes.compare(&query, grain, &alive, &mut distances);
            let mut near: Vec<Neighbor> =
                alive.iter().zip(&distances).map(|(&slot, &distance)| Neighbor { slot, distance }).collect();
            keep_nearest(&mut near, n);
            count_within(near.iter().map(|found| exact(found.slot)), &truth)
        };
        n_left += n_found(Grain::Coarse, n_compared);
        n_linked += n_found(Grain::Fine, LINKED_AMONG * N_HITS);
        n_expected += truth.len();
    }
    let share = |n: usize| n as f32 / n_expected.max(1) as f32;
    Some(DriftCheck { left: share(n_left), linked: share(n_linked) })
}

/// How many of `distances` are as near as the farthest true hit.
fn count_within(distances: impl Iterator<Item = f32>, truth: &[Neighbor]) -> usize {
    let Some(last) = truth.last() else { return 0 };
    let limit = last.distance + TIE * last.distance.abs();
    distances.filter(|distance| *distance <= limit).count().min(truth.len())
}

fn keep_nearest(found: &mut Vec<Neighbor>, n: usize) {
    if found.len() > n {
        found.select_nth_unstable_by(n - 1, in_order);
        found.truncate(n);
    }
}

/// The `n` nearest of all points offered, and for a while some more.
struct Nearest {
    n: usize,
    found: Vec<Neighbor>,
    /// Points farther than this are not kept.
    limit: f32,
}

impl Nearest {
    fn of(n: usize) -> Self {
        Nearest { n, found: Vec::with_capacity(2 * n + BLOCK), limit: f32::INFINITY }
    }

    fn offer(&mut self, found: impl Iterator<Item = Neighbor>) {
        let limit = self.limit;
        self.found.extend(found.filter(|found| found.distance <= limit));
        if self.found.len() >= 2 * self.n {
            keep_nearest(&mut self.found, self.n);
            self.limit = self.found.last().map_or(limit, |last| last.distance);
        }
    }

    fn into_found(mut self) -> Vec<Neighbor> {
        keep_nearest(&mut self.found, self.n);
        self.found
    }
}

/// Codes with a lower code recall are replaced.
pub(in crate::collection::vectors) const GOOD: f32 = 0.99;
