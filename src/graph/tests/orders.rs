//! Vectors in the order of a drift, and inner products.

use super::*;

/// Vectors of a walk to and fro, with noise wider than many of its steps.
fn drifting(rng: &mut StdRng, n: usize, dimension: usize) -> Vec<Vec<f32>> {
    let paces: Vec<(f32, f32)> =
        (0..dimension).map(|_| (rng.random_range(-6.0..6.0), rng.random_range(0.0..6.3))).collect();
    let row = |step: usize| {
        let at = step as f32 / n as f32;
        paces.iter().map(|(pace, phase)| 3.0 * (pace * at * 3.0 + phase).sin() + noise(rng)).collect()
    };
    (0..n).map(row).collect()
}

fn noise(rng: &mut StdRng) -> f32 {
    (0..4).map(|_| rng.random_range(-0.35..0.35f32)).sum()
}

#[test]
fn rows_in_order_are_found_as_if_shuffled() {
    let seed = 31;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut rows = drifting(&mut rng, 6_000, 32);
    let recall_of = |rows: &[Vec<f32>], rng: &mut StdRng| {
        let toy = Toy::new(32, rows.concat());
        recall(&built(SHAPE, &toy, 1), &toy, rng)
    };
    let in_order = recall_of(&rows, &mut rng);
    rows.shuffle(&mut rng);
    let shuffled = recall_of(&rows, &mut rng);
    assert!(in_order >= shuffled - 0.005, "seed {seed}: {in_order} in order, {shuffled} shuffled");
}

/// The recall of the ten greatest inner products.
fn recall_by_product(rows: Vec<f32>, dimension: usize, queries: &[Vec<f32>]) -> f64 {
    let mut toy = Toy::new(dimension, rows);
    toy.kernel = Metric::Dot.kernel();
    let graph = built(SHAPE, &toy, 1);
    check_sound(&graph, &toy, &(0..toy.n_slots()).collect(), "inner products");
    let found = |query: &Vec<f32>| {
        let wanted = toy.nearest(query, 0..toy.n_slots(), 10);
        let found = toy.nearest(query, search(&graph, &toy, query, EF).into_iter(), 10);
        found.iter().filter(|&&distance| distance <= wanted[9]).count()
    };
    queries.iter().map(found).sum::<usize>() as f64 / (10 * queries.len()) as f64
}

#[test]
fn the_greatest_products_are_found_whatever_the_lengths() {
    let seed = 32;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut row =
        |dimension: usize, spread: f32| -> Vec<f32> { (0..dimension).map(|_| spread * noise(&mut rng)).collect() };
    // One component is a bias, which every query asks for.
    let biased = (0..5_000).flat_map(|_| [row(15, 1.0), row(1, 4.0)].concat()).collect();
    let queries: Vec<Vec<f32>> = (0..100).map(|_| [row(15, 2.0), vec![0.5]].concat()).collect();
    let recall = recall_by_product(biased, 16, &queries);
    assert!(recall >= 0.95, "seed {seed}: {recall} with a bias");
    // Lengths differ by orders of magnitude.
    let lengths: Vec<f32> = (0..5_000).map(|_| (2.0 * row(1, 1.0)[0]).exp()).collect();
    let scaled = lengths.iter().flat_map(|&length| row(16, length)).collect();
    let queries: Vec<Vec<f32>> = (0..100).map(|_| row(16, 1.0)).collect();
    let recall = recall_by_product(scaled, 16, &queries);
    assert!(recall >= 0.97, "seed {seed}: {recall} with lengths that differ");
}

#[test]
fn a_stray_is_told_and_found_again() {
    let seed = 33;
    let mut rng = StdRng::seed_from_u64(seed);
    let toy = Toy::new(8, clustered(&mut rng, 1_000, 8));
    let graph = built(SHAPE, &toy, 1);
    let mut linking = Linking::default();
    let sample = graph.sample(1_000, 100);
    assert_eq!((sample.len(), sample.iter().collect::<HashSet<_>>().len()), (100, 100));
    assert!(sample.iter().all(|&slot| !graph.is_stray(&toy, slot, &mut linking)), "seed {seed}");
    let stray = (0..1_000).find(|&slot| graph.level_of(slot) == 0).unwrap();
    for slot in graph.points() {
        let links = graph.row_links(slot, 0);
        graph.put_row(slot, 0, links.into_iter().filter(|link| link.slot != stray));
    }
    assert!(graph.is_stray(&toy, stray, &mut linking), "seed {seed}: nothing leads to it");
    graph.straighten(&toy, stray, &mut linking);
    assert!(!graph.is_stray(&toy, stray, &mut linking), "seed {seed}");
    check_sound(&graph, &toy, &(0..1_000).collect(), &format!("seed {seed}"));
    // A slot that is no point is no stray.
    assert!(!empty(SHAPE, 10).is_stray(&toy, 3, &mut linking));
}

/// Three distant clusters, and the order of linking. The cluster linked last has the 200 lowest
/// slots too.
fn far_apart(rng: &mut StdRng) -> (Toy, Vec<u32>) {
    let mut rows: Vec<f32> = Vec::new();
    let mut normal = || (0..12).map(|_| rng.random_range(-0.5..0.5f32)).sum::<f32>();
    for (n, away) in [(200, -50_000.0), (2_000, 0.0), (850, 3_000.0), (650, -50_000.0)] {
        (0..n * 32).for_each(|_| rows.push(away + normal()));
    }
    let order = (200..3_050).chain(0..200).chain(3_050..3_700).collect();
    (Toy::new(32, rows), order)
}

fn n_lost(graph: &Graph, toy: &Toy) -> usize {
    (0..toy.n_slots()).filter(|slot| !search(graph, toy, toy.vector(*slot), 50).contains(slot)).count()
}

#[test]
fn points_of_clusters_far_apart_are_led_to() {
    let mut n_before = 0;
    for seed in 0..4 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (toy, order) = far_apart(&mut rng);
        let (graph, mut linking) = (empty(SHAPE, toy.n_slots()), Linking::default());
        order.iter().for_each(|&slot| graph.link(&toy, slot, &mut linking));
        mend_all(&graph, &toy, &mut linking);
        n_before += n_lost(&graph, &toy);
        order.iter().for_each(|&slot| graph.lead_to_stray(&toy, slot, &mut linking));
        let n_lost = n_lost(&graph, &toy);
        assert_eq!(n_lost, 0, "seed {seed}");
        check_sound(&graph, &toy, &(0..toy.n_slots()).collect(), &format!("seed {seed}"));
    }
    println!("{n_before} were lost before");
}
