//! The graph against reference implementations: brute force, counting, plain maps.

mod copies;
mod histories;
mod orders;
mod regions;
mod sweeps;

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::audit::Audit;
use super::*;
use crate::distance::{Kernel, Metric};

// A collection in miniature: rows of `f32`, and which slots live.

struct Toy {
    dimension: usize,
    rows: Vec<f32>,
    alive: Vec<AtomicBool>,
    kernel: Kernel,
    n_compared: AtomicUsize,
    /// Yields the processor after this many comparisons, so that threads interleave.
    restless: Option<usize>,
    /// Slots are dealt out to this many regions in turn.
    n_regions: u32,
}

impl Toy {
    fn new(dimension: usize, rows: Vec<f32>) -> Self {
        let alive = rows.chunks(dimension).map(|_| AtomicBool::new(true)).collect();
        let kernel = Metric::Euclidean.kernel();
        Toy { dimension, rows, alive, kernel, n_compared: AtomicUsize::new(0), restless: None, n_regions: 1 }
    }

    fn n_slots(&self) -> u32 {
        self.alive.len() as u32
    }

    fn vector(&self, slot: u32) -> &[f32] {
        &self.rows[slot as usize * self.dimension..][..self.dimension]
    }

    fn is_product(&self) -> bool {
        std::ptr::fn_addr_eq(self.kernel, Metric::Dot.kernel())
    }

    fn put(&mut self, slot: u32, vector: &[f32]) {
        self.rows[slot as usize * self.dimension..][..self.dimension].copy_from_slice(vector);
        self.alive[slot as usize] = AtomicBool::new(true);
    }

    fn kill(&self, slot: u32) {
        self.alive[slot as usize].store(false, Ordering::Release);
    }

    /// The distances of the `n` nearest living slots of `among`.
    fn nearest(&self, query: &[f32], among: impl Iterator<Item = u32>, n: usize) -> Vec<f32> {
        let mut distances: Vec<f32> =
            among.filter(|&slot| self.is_alive(slot)).map(|slot| (self.kernel)(query, self.vector(slot))).collect();
        distances.sort_unstable_by(f32::total_cmp);
        distances.truncate(n);
        distances
    }
}

impl Space for Toy {
    type Query = Vec<f32>;

    fn views(&self) -> &'static [LinkView] {
        if self.is_product() { &[LinkView::Place, LinkView::Search] } else { &[LinkView::Place] }
    }

    fn query_of(&self, slot: u32, view: LinkView, query: &mut Vec<f32>) {
        query.clear();
        query.extend_from_slice(self.vector(slot));
        // An additional component marks a query that compares by place.
        query.extend((view == LinkView::Place && self.is_product()).then_some(0.0));
    }

    fn compare(&self, query: &Vec<f32>, slots: &[u32], distances: &mut [f32]) {
        assert_eq!(slots.len(), distances.len());
        let before = self.n_compared.fetch_add(slots.len(), Ordering::Relaxed);
        if self.restless.is_some_and(|every| before / every != (before + slots.len()) / every) {
            std::thread::yield_now();
        }
        for (&slot, distance) in slots.iter().zip(distances) {
            *distance = match query.get(..self.dimension).filter(|_| query.len() > self.dimension) {
                Some(place) => Metric::Euclidean.kernel()(place, self.vector(slot)),
                None => (self.kernel)(query, self.vector(slot)),
            };
        }
    }

    fn compare_closely(&self, query: &Vec<f32>, slots: &[u32], distances: &mut [f32]) {
        self.compare(query, slots, distances);
    }

    fn is_same(&self, a: u32, b: u32) -> bool {
        self.vector(a) == self.vector(b)
    }

    fn region_of(&self, slot: u32) -> u32 {
        slot % self.n_regions
    }

    fn is_alive(&self, slot: u32) -> bool {
        self.alive[slot as usize].load(Ordering::Acquire)
    }

    fn is_needed(&self, slot: u32) -> bool {
        self.is_alive(slot)
    }
}

/// Vectors in clusters of about 40. One vector in 20 is noise over all of space instead.
fn clustered(rng: &mut StdRng, n: usize, dimension: usize) -> Vec<f32> {
    let mut row = |centre: &[f32], spread: f32| -> Vec<f32> {
        centre.iter().map(|x| x + spread * (0..4).map(|_| rng.random_range(-0.5..0.5f32)).sum::<f32>()).collect()
    };
    let origin = vec![0.0; dimension];
    let centres: Vec<Vec<f32>> = (0..n.div_ceil(40)).map(|_| row(&origin, 2.0)).collect();
    let mut rows = Vec::with_capacity(n * dimension);
    for index in 0..n {
        let is_noise = index % 20 == 0;
        rows.extend(if is_noise { row(&origin, 2.0) } else { row(&centres[index * 7 % centres.len()], 0.5) });
    }
    rows
}

const SHAPE: GraphShape = GraphShape { m: 16, ef_construction: 100 };
const NARROW: GraphShape = GraphShape { m: 4, ef_construction: 100 };
const EF: usize = 64;

fn empty(shape: GraphShape, n_slots: u32) -> Graph {
    let graph = Graph::new(shape);
    graph.reserve(n_slots as usize).unwrap();
    graph
}

/// Links slots in turn by `n_threads` threads, and returns the changes of each.
fn link_all(graph: &Graph, toy: &Toy, slots: &[u32], n_threads: usize) -> Vec<Vec<GraphChange>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut linking = Linking::default();
        while let Some(&slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
            graph.link(toy, slot, &mut linking);
        }
        linking.changes
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..n_threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    })
}

fn built(shape: GraphShape, toy: &Toy, n_threads: usize) -> Graph {
    let graph = empty(shape, toy.n_slots());
    link_all(&graph, toy, &(0..toy.n_slots()).collect::<Vec<_>>(), n_threads);
    graph
}

/// The slots found, nearest first, each point followed by its duplicates, without dead ones.
fn search(graph: &Graph, toy: &Toy, query: &[f32], ef: usize) -> Vec<u32> {
    let mut walker = Walker::default();
    graph.search(toy, &query.to_vec(), (0, ef), &mut walker);
    let points: Vec<u32> = walker.found().map(|found| found.slot).collect();
    let with_duplicates = points.into_iter().flat_map(|point| std::iter::once(point).chain(graph.duplicates(point)));
    with_duplicates.filter(|&slot| toy.is_alive(slot)).collect()
}

/// The fraction of the ten nearest, duplicates included, that searches find.
fn recall(graph: &Graph, toy: &Toy, rng: &mut StdRng) -> f64 {
    let n_queries = 200;
    let (mut n_found, mut n_wanted) = (0, 0);
    for _ in 0..n_queries {
        let near = rng.random_range(0..toy.n_slots());
        let query: Vec<f32> = toy.vector(near).iter().map(|x| x + rng.random_range(-0.2..0.2f32)).collect();
        let in_graph = graph.points().flat_map(|point| std::iter::once(point).chain(graph.duplicates(point)));
        let wanted = toy.nearest(&query, in_graph, 10);
        let found = toy.nearest(&query, search(graph, toy, &query, EF).into_iter(), 10);
        n_wanted += wanted.len();
        n_found += found.iter().filter(|distance| wanted.last().is_some_and(|worst| *distance <= worst)).count();
    }
    n_found as f64 / n_wanted as f64
}

/// Mends unreachable points, and returns the number of links that took.
fn mend_all(graph: &Graph, toy: &Toy, linking: &mut Linking<Vec<f32>>) -> usize {
    let mut n_mended = 0;
    for _ in 0..10 {
        let unreachable: HashSet<u32> = graph.unreachable().into_iter().collect();
        n_mended += unreachable.len();
        if unreachable.is_empty() {
            break;
        }
        unreachable.iter().for_each(|&slot| graph.mend(toy, slot, &unreachable, linking));
    }
    n_mended
}

/// Checks that the graph is sound and holds exactly the slots `linked`, each once. Unreachable
/// points are mended.
fn check_sound(graph: &Graph, toy: &Toy, linked: &BTreeSet<u32>, what: &str) {
    mend_all(graph, toy, &mut Linking::default());
    let Audit { n_points, n_duplicates, unreachable, faults, .. } = graph.audit(|_| 0);
    assert_eq!(faults, [""; 0], "{what}");
    assert_eq!(unreachable, [0; 0], "{what}");
    assert_eq!(n_points + n_duplicates, linked.len(), "{what}: {n_points} points and {n_duplicates} duplicates");
    let mut held = BTreeSet::new();
    for point in graph.points() {
        for slot in std::iter::once(point).chain(graph.duplicates(point)) {
            assert!(linked.contains(&slot), "{what}: slot {slot} is not linked");
            assert!(held.insert(slot), "{what}: slot {slot} is listed twice");
            assert!(toy.is_same(point, slot), "{what}: slot {slot} hangs on {point}, which is another vector");
        }
    }
    assert_eq!(graph.entry().is_some(), !linked.is_empty(), "{what}");
    assert!(graph.entry().is_none_or(|entry| graph.points().any(|point| point == entry.slot)), "{what}");
}

// Building and searching.

fn check_recall(shape: GraphShape, n_threads: usize, bound: f64) {
    let seed = 11;
    let mut rng = StdRng::seed_from_u64(seed);
    let toy = Toy::new(24, clustered(&mut rng, 3_000, 24));
    let graph = built(shape, &toy, n_threads);
    let what = format!("seed {seed}, m={}, {n_threads} threads", shape.m);
    let recall = recall(&graph, &toy, &mut rng);
    assert!(recall >= bound, "{what}: expected a recall of at least {bound}, got {recall}");
    check_sound(&graph, &toy, &(0..3_000).collect(), &what);
}

#[test]
fn searches_find_what_brute_force_finds() {
    for n_threads in [1, 4] {
        check_recall(SHAPE, n_threads, 0.99);
        check_recall(NARROW, n_threads, 0.9);
    }
}

/// Searches among every `share`th slot, and returns the recall of the ten nearest.
fn recall_among(graph: &Graph, toy: &Toy, share: u32, rng: &mut StdRng) -> f64 {
    let mut walker = Walker::default();
    let (mut n_found, mut n_wanted) = (0, 0);
    for _ in 0..100 {
        let near = rng.random_range(0..toy.n_slots());
        let query: Vec<f32> = toy.vector(near).iter().map(|x| x + rng.random_range(-0.2..0.2f32)).collect();
        let offset = rng.random_range(0..share);
        let admits = |slot: u32| slot % share == offset;
        graph.search(toy, &query, (0, 16), &mut walker);
        let seeds: Vec<u32> = (0..toy.n_slots()).filter(|&slot| admits(slot)).take(4).collect();
        graph.search_among(toy, &query, EF, &Among { admits, surely_admits: admits, seeds: &seeds }, &mut walker);
        let found: Vec<u32> = walker.found().map(|found| found.slot).collect();
        assert!(found.iter().all(|&slot| admits(slot)));
        assert_eq!(found.iter().collect::<HashSet<_>>().len(), found.len(), "a point is found once");
        let wanted = toy.nearest(&query, (0..toy.n_slots()).filter(|&slot| admits(slot)), 10);
        let found = toy.nearest(&query, found.into_iter(), 10);
        n_wanted += wanted.len();
        n_found += found.iter().filter(|distance| wanted.last().is_some_and(|worst| *distance <= worst)).count();
    }
    n_found as f64 / n_wanted as f64
}

#[test]
fn walks_among_some_find_each_once() {
    let mut rng = StdRng::seed_from_u64(12);
    let toy = Toy::new(24, clustered(&mut rng, 3_000, 24));
    for (shape, share, bound) in [(SHAPE, 2, 0.99), (SHAPE, 10, 0.99), (NARROW, 2, 0.9), (NARROW, 10, 0.8)] {
        let recall = recall_among(&built(shape, &toy, 1), &toy, share, &mut rng);
        assert!(recall >= bound, "m={}, one in {share}: expected a recall of {bound}, got {recall}", shape.m);
    }
}

fn check_levels(m: usize) {
    let graph = Graph::new(GraphShape { m, ..SHAPE });
    let n_slots = 300_000;
    let levels: Vec<usize> = (0..n_slots).map(|slot| graph.level_of(slot)).collect();
    for level in 1..=5 {
        let n = levels.iter().filter(|&&other| other >= level).count() as f64;
        let expected = f64::from(n_slots) * (m as f64).powi(-(level as i32));
        let bound = 4.0 * expected.sqrt() + 1.0;
        assert!((n - expected).abs() <= bound, "m={m}: expected {expected} ± {bound} from level {level} on, got {n}");
    }
    let again = Graph::new(GraphShape { m, ..SHAPE });
    again.reserve(1_000).unwrap();
    assert!((0..n_slots).all(|slot| again.level_of(slot) == levels[slot as usize]));
}

#[test]
fn levels_thin_out_by_m_and_stay_what_they_are() {
    for m in [2, 4, 16, 32, 100] {
        check_levels(m);
    }
}

#[test]
fn an_empty_graph_finds_nothing() {
    let toy = Toy::new(2, vec![0.0; 20]);
    let graph = empty(SHAPE, 10);
    let full = built(SHAPE, &toy, 1);
    let mut walker = Walker::default();
    full.search(&toy, &vec![0.0; 2], (0, EF), &mut walker);
    graph.search(&toy, &vec![0.0; 2], (0, EF), &mut walker);
    assert_eq!((walker.found().count(), walker.cost()), (0, WalkCost::default()));
    assert_eq!(graph.entry(), None);
    assert_eq!(graph.audit(|_| 0), Audit::default());
}

#[test]
fn growing_moves_nothing() {
    let seed = 12;
    let mut rng = StdRng::seed_from_u64(seed);
    let toy = Toy::new(8, clustered(&mut rng, 3_000, 8));
    let (at_once, grown) = (built(SHAPE, &toy, 1), Graph::new(SHAPE));
    let mut linking = Linking::default();
    for slot in 0..3_000 {
        grown.reserve(slot as usize + 1).unwrap();
        grown.link(&toy, slot, &mut linking);
    }
    assert_eq!(grown.entry(), at_once.entry(), "seed {seed}");
    for slot in 0..3_000 {
        for level in 0..=grown.level_of(slot) {
            assert_eq!(grown.links(slot, level), at_once.links(slot, level), "seed {seed}: slot {slot}, level {level}");
        }
    }
}

// Equal vectors.

/// Slots of one vector and slots of other vectors, and their graph.
struct Crowd {
    toy: Toy,
    graph: Graph,
    same: Vec<u32>,
    others: Vec<u32>,
}

fn crowd(n_same: usize, n_others: usize, seed: u64) -> Crowd {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut is_same: Vec<bool> = (0..n_same + n_others).map(|slot| slot < n_same).collect();
    is_same.shuffle(&mut rng);
    let mut others = clustered(&mut rng, n_others, 16).chunks(16).map(<[f32]>::to_vec).collect::<Vec<_>>().into_iter();
    let rows = is_same.iter().flat_map(|same| if *same { vec![0.25; 16] } else { others.next().unwrap() });
    let toy = Toy::new(16, rows.collect());
    let graph = built(SHAPE, &toy, 1);
    let (same, others) = (0..toy.n_slots()).partition(|&slot| is_same[slot as usize]);
    Crowd { toy, graph, same, others }
}

#[test]
fn the_same_vector_ten_thousand_times_is_one_point() {
    let seed = 13;
    let Crowd { toy, graph, same, others } = crowd(10_000, 100, seed);
    let n_compared = toy.n_compared.load(Ordering::Relaxed) / (same.len() + others.len());
    assert!(n_compared < 1_000, "seed {seed}: {n_compared} comparisons for each slot");
    let Audit { n_points, n_duplicates, .. } = graph.audit(|_| 0);
    assert_eq!((n_points, n_duplicates), (101, 9_999), "seed {seed}");
    let point = same.iter().copied().find(|&slot| graph.row(slot, 0).is_point()).unwrap();
    let listed: BTreeSet<u32> = std::iter::once(point).chain(graph.duplicates(point)).collect();
    assert_eq!(listed, same.iter().copied().collect(), "seed {seed}");
    check_sound(&graph, &toy, &(0..toy.n_slots()).collect(), &format!("seed {seed}"));
    for slot in others {
        assert_eq!(search(&graph, &toy, toy.vector(slot), EF)[0], slot, "seed {seed}");
    }
    assert_eq!(search(&graph, &toy, &[0.25; 16], EF)[..10_000].iter().copied().collect::<BTreeSet<_>>(), listed);
}

// Changes.

/// Checks a graph rebuilt from deltas against the original.
fn check_same(graph: &Graph, replayed: &Graph, what: &str) {
    let entries = |graph: &Graph| graph.entries().collect::<Vec<_>>();
    assert_eq!(entries(graph), entries(replayed), "{what}");
    let sorted = |graph: &Graph, slot, level| {
        let mut links = graph.row_links(slot, level);
        links.sort_unstable_by_key(|link| link.slot);
        links
    };
    assert_eq!(graph.points().collect::<Vec<_>>(), replayed.points().collect::<Vec<_>>(), "{what}");
    for slot in graph.points() {
        for level in 0..=graph.level_of(slot) {
            assert_eq!(sorted(graph, slot, level), sorted(replayed, slot, level), "{what}: slot {slot}, level {level}");
        }
        let duplicates = |graph: &Graph| graph.duplicates(slot).collect::<BTreeSet<_>>();
        assert_eq!(duplicates(graph), duplicates(replayed), "{what}: {slot}");
    }
}

/// Gives a slot the vector of another slot, or a new one.
fn put_some(toy: &mut Toy, slot: u32, rng: &mut StdRng) {
    let own: Vec<f32> = (0..toy.dimension).map(|_| rng.random_range(-1.0..1.0)).collect();
    let vector = if rng.random_bool(0.3) { toy.vector(rng.random_range(0..toy.n_slots())).to_vec() } else { own };
    toy.put(slot, &vector);
}

fn check_deltas(shape: GraphShape, n_threads: usize, seed: u64) {
    let what = format!("seed {seed}, m={}, {n_threads} threads", shape.m);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut toy = Toy::new(8, clustered(&mut rng, 2_000, 8));
    (0..2_000).for_each(|slot| put_some(&mut toy, slot, &mut rng));
    let (graph, replayed) = (empty(shape, toy.n_slots()), empty(shape, toy.n_slots()));
    let (mut linking, mut representatives) = (Linking::default(), replayed.representatives());
    let mut follow = |changes: Vec<GraphChange>, what: &str| {
        let delta = graph.delta(&changes);
        replayed.apply(&delta, &mut representatives);
        // A second time, as when rows are read that are newer than the deltas.
        replayed.apply(&delta, &mut representatives);
        check_same(&graph, &replayed, what);
        assert_eq!(replayed.audit(|_| 0).faults, [""; 0], "{what}");
    };
    let mut free: Vec<u32> = (0..toy.n_slots()).collect();
    for batch in 0..12 {
        let slots: Vec<u32> = free.drain(..free.len().min(333)).collect();
        follow(link_all(&graph, &toy, &slots, n_threads).concat(), &format!("{what}, batch {batch}"));
        mend_all(&graph, &toy, &mut linking);
        follow(std::mem::take(&mut linking.changes), &format!("{what}, mended after batch {batch}"));
        (0..toy.n_slots()).filter(|_| rng.random_bool(0.1)).for_each(|slot| toy.kill(slot));
        if batch % 2 == 1 {
            let gone = sweeps::sweep(&graph, &toy, &mut linking);
            follow(std::mem::take(&mut linking.changes), &format!("{what}, swept after batch {batch}"));
            // Slots are used again: those of duplicates as points and the reverse.
            gone.iter().for_each(|&slot| put_some(&mut toy, slot, &mut rng));
            free.splice(0..0, gone);
        }
        if batch % 4 == 3 {
            let forgotten: HashSet<u32> = graph.points().filter(|_| rng.random_bool(0.02)).collect();
            let mut changes = graph.forget(&forgotten, &mut graph.representatives());
            let rows = |slot: u32| (0..=graph.level_of(slot)).map(move |level| GraphChange::Row { slot, level });
            changes.extend(graph.tidy(|_| 0).into_iter().flat_map(rows));
            graph.settle_entries(|_| 0);
            changes.push(GraphChange::Entry);
            follow(changes, &format!("{what}, forgotten after batch {batch}"));
        }
    }
    assert!(graph.points().count() > 500 && graph.audit(|_| 0).n_duplicates > 50, "{what}");
}

#[test]
fn deltas_make_the_same_graph() {
    for shape in [SHAPE, NARROW] {
        for n_threads in [1, 4] {
            check_deltas(shape, n_threads, 14);
        }
    }
}

#[test]
fn a_point_that_lost_its_links_is_repaired() {
    let seed = 15;
    let mut rng = StdRng::seed_from_u64(seed);
    let toy = Toy::new(24, clustered(&mut rng, 2_000, 24));
    let graph = built(SHAPE, &toy, 1);
    let before = recall(&graph, &toy, &mut rng.clone());
    let lost: Vec<u32> = (0..2_000).filter(|_| rng.random_bool(0.3)).collect();
    for &slot in &lost {
        (0..=graph.level_of(slot)).for_each(|level| graph.put_row(slot, level, std::iter::empty()));
    }
    let mut linking = Linking::default();
    lost.iter().for_each(|&slot| graph.repair(&toy, slot, &mut linking));
    check_sound(&graph, &toy, &(0..2_000).collect(), &format!("seed {seed}"));
    let after = recall(&graph, &toy, &mut rng.clone());
    assert!(after >= before - 0.01, "seed {seed}: recall was {before}, is {after}");
}

#[test]
fn what_only_higher_levels_lead_to_is_mended() {
    let seed = 17;
    let mut rng = StdRng::seed_from_u64(seed);
    let toy = Toy::new(8, clustered(&mut rng, 2_000, 8));
    let graph = built(SHAPE, &toy, 1);
    let entry = graph.entry().unwrap().slot;
    let is_high = |slot: u32| slot != entry && graph.level_of(slot) > 0;
    for slot in graph.points() {
        let left = graph.row_links(slot, 0).into_iter().filter(|link| !is_high(link.slot));
        graph.put_row(slot, 0, left);
    }
    check_sound(&graph, &toy, &(0..2_000).collect(), &format!("seed {seed}"));
    let led_to: BTreeSet<u32> = graph.points().flat_map(|slot| graph.links(slot, 0)).collect();
    let missed: Vec<u32> = graph.points().filter(|slot| is_high(*slot) && !led_to.contains(slot)).collect();
    assert_eq!(missed, [0; 0], "seed {seed}");
}

/// A graph restored from copies of the arrays.
fn copied(graph: &Graph) -> Graph {
    let (copied, extent) = (Graph::new(graph.shape()), graph.extent());
    let mut arrays = graph.arrays(&extent).into_iter();
    let copy = |(to, n_rows): (&crate::arena::Rows<AtomicU32>, usize)| {
        let (from, _) = arrays.next().unwrap();
        to.reserve(n_rows)?;
        for row in 0..n_rows as u32 {
            for (to, from) in to.shared(row).iter().zip(from.shared(row)) {
                to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        Ok(())
    };
    copied.adopt(&extent, copy).unwrap();
    copied
}

#[test]
fn arrays_are_taken_up_as_they_were() {
    let seed = 16;
    let mut rng = StdRng::seed_from_u64(seed);
    let toy = Toy::new(8, clustered(&mut rng, 3_000, 8));
    let graph = built(SHAPE, &toy, 1);
    let taken = copied(&graph);
    check_same(&graph, &taken, &format!("seed {seed}"));
    assert_eq!(taken.audit(|_| 0), graph.audit(|_| 0));
    taken.reserve(5_000).unwrap();
    assert_eq!(taken.extent().n_slots, 5_000);
    assert_eq!(taken.audit(|_| 0), graph.audit(|_| 0));
}

/// Arrays also hold the links of a slot that is no longer a point, until it is linked again.
#[test]
fn deltas_leave_nothing_of_an_earlier_point() {
    let mut rng = StdRng::seed_from_u64(17);
    for least_dead in [2, 1, 0] {
        let mut toy = Toy::new(8, clustered(&mut rng, 600, 8));
        let (graph, mut linking) = (built(NARROW, &toy, 1), Linking::default());
        let is_high = |slot: u32| graph.level_of(slot) >= least_dead;
        (0..600).filter(|&slot| is_high(slot)).for_each(|slot| toy.kill(slot));
        let gone = sweeps::sweep(&graph, &toy, &mut linking);
        linking.changes.clear();
        let replayed = copied(&graph);
        let mut representatives = replayed.representatives();
        for slot in gone.into_iter().filter(|&slot| graph.level_of(slot) >= 2) {
            put_some(&mut toy, slot, &mut rng);
            graph.link(&toy, slot, &mut linking);
            replayed.apply(&graph.delta(&std::mem::take(&mut linking.changes)), &mut representatives);
            check_same(&graph, &replayed, &format!("slot {slot} after all from level {least_dead} on"));
            assert_eq!(replayed.audit(|_| 0).faults, [""; 0]);
        }
    }
}
