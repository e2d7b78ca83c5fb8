//! Regions of a graph: no link joins them.

use super::*;

const N_REGIONS: u32 = 4;
/// Queries for each region. A single query that ends in the wrong cluster counts little among 200.
const N_QUERIES: usize = 200;

fn region(slot: u32) -> u32 {
    slot % N_REGIONS
}

/// The distances of the nearest points that a search of a region finds.
fn found_in(graph: &Graph, toy: &Toy, of: u32, query: &[f32]) -> Vec<f32> {
    let mut walker = Walker::default();
    graph.search(toy, &query.to_vec(), (of, EF), &mut walker);
    let points: Vec<u32> = walker.found().map(|found| found.slot).collect();
    let slots = points.into_iter().flat_map(|point| std::iter::once(point).chain(graph.duplicates(point)));
    let own = slots.inspect(|&slot| assert_eq!(region(slot), of, "slot {slot}"));
    toy.nearest(query, own, 10)
}

/// Checks that regions hold exactly their living slots, and that searches find them.
fn check_regions(graph: &Graph, toy: &Toy, rng: &mut StdRng, inhabited: &[u32], what: &str) {
    mend_all(graph, toy, &mut Linking::default());
    let Audit { unreachable, faults, .. } = graph.audit(region);
    assert_eq!((faults, unreachable), (Vec::new(), Vec::new()), "{what}");
    for of in 0..N_REGIONS {
        let (mut n_wanted, mut n_found) = (0, 0);
        for _ in 0..N_QUERIES {
            let query = toy.vector(rng.random_range(0..toy.n_slots())).to_vec();
            let own = (0..toy.n_slots()).filter(|&slot| region(slot) == of && inhabited.contains(&of));
            let (wanted, found) = (toy.nearest(&query, own, 10), found_in(graph, toy, of, &query));
            n_wanted += wanted.len();
            n_found += found.iter().filter(|distance| wanted.last().is_some_and(|worst| *distance <= worst)).count();
        }
        assert!(n_found * 100 >= n_wanted * 97, "{what}: region {of} has {n_found} of {n_wanted}");
        assert_eq!(n_wanted > 0, inhabited.contains(&of), "{what}");
    }
}

fn check_region_histories(n_threads: usize, seed: u64) {
    let what = format!("seed {seed}, {n_threads} threads");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut toy = Toy::new(6, clustered(&mut rng, 2_000, 6));
    toy.n_regions = N_REGIONS;
    // All regions hold the same vectors.
    for slot in (0..400).step_by(N_REGIONS as usize) {
        let vector = toy.vector(slot / 8 * 8).to_vec();
        (0..N_REGIONS).for_each(|region| toy.put(slot + region, &vector));
    }
    let (graph, replayed) = (empty(NARROW, 2_000), empty(NARROW, 2_000));
    let (mut representatives, mut linking) = (Default::default(), Linking::default());
    let mut follow = |changes: Vec<GraphChange>, graph: &Graph| {
        if replayed.points().next().is_none() {
            representatives = replayed.representatives();
        }
        replayed.apply(&graph.delta(&changes), &mut representatives);
        check_same(graph, &replayed, &what);
    };
    follow(link_all(&graph, &toy, &(0..2_000).collect::<Vec<_>>(), n_threads).concat(), &graph);
    mend_all(&graph, &toy, &mut linking);
    follow(std::mem::take(&mut linking.changes), &graph);
    check_regions(&graph, &toy, &mut rng, &[0, 1, 2, 3], &what);
    assert!(graph.counts().1 > 100 && graph.regions_with_entry() == [1, 2, 3], "{what}");

    // Some points of two regions die, their entries too. Only one of these regions is swept.
    let is_dying = |slot: &u32| [1, 3].contains(&region(*slot)) && slot.is_multiple_of(3);
    let entry_of = |region: u32| graph.entry_of(region).map(|entry| entry.slot);
    let dying: Vec<u32> = (0..2_000).filter(|slot| is_dying(slot) || entry_of(region(*slot)) == Some(*slot)).collect();
    dying.iter().for_each(|&slot| toy.kill(slot));
    let gone = sweeps::sweep_among(&graph, &toy, |slot| region(slot) == 1, &mut linking);
    follow(std::mem::take(&mut linking.changes), &graph);
    assert_eq!(gone, dying.iter().copied().filter(|slot| region(*slot) == 1).collect::<Vec<_>>(), "{what}");
    check_regions(&graph, &toy, &mut rng, &[0, 1, 2, 3], &format!("{what}, one swept"));

    // All points of one region die, and the entries of all others.
    let entries: Vec<u32> = graph.entries().map(|(_, entry)| entry.slot).collect();
    (0..2_000).filter(|slot| region(*slot) == 2 || entries.contains(slot)).for_each(|slot| toy.kill(slot));
    sweeps::sweep(&graph, &toy, &mut linking);
    follow(std::mem::take(&mut linking.changes), &graph);
    check_regions(&graph, &toy, &mut rng, &[0, 1, 3], &format!("{what}, swept"));
    assert_eq!(graph.regions_with_entry(), [1, 3], "{what}");

    let (gone, changes) = graph.disband(&HashSet::from([3]), region);
    let alive: Vec<u32> = (0..2_000).filter(|&slot| region(slot) == 3 && toy.is_alive(slot)).collect();
    assert_eq!(gone.iter().copied().collect::<BTreeSet<_>>(), alive.iter().copied().collect(), "{what}");
    follow(changes, &graph);
    check_regions(&graph, &toy, &mut rng, &[0, 1], &format!("{what}, disbanded"));

    follow(link_all(&graph, &toy, &alive, n_threads).concat(), &graph);
    mend_all(&graph, &toy, &mut linking);
    follow(std::mem::take(&mut linking.changes), &graph);
    check_regions(&graph, &toy, &mut rng, &[0, 1, 3], &format!("{what}, linked again"));

    // Lost entries are found again from the points.
    graph.set_entry_of(3, None);
    graph.set_entry_of(1, Some(EntryPoint { slot: alive[0], level: 0 }));
    assert_eq!(graph.settle_entries(region).len(), 2, "{what}");
    check_regions(&graph, &toy, &mut rng, &[0, 1, 3], &format!("{what}, settled"));
    assert_eq!(graph.settle_entries(region), [], "{what}");
}

#[test]
fn regions_have_nothing_to_do_with_each_other() {
    (21..24).for_each(|seed| check_region_histories(1, seed));
    check_region_histories(4, 24);
}

#[test]
fn an_undivided_graph_has_one_entry() {
    let mut rng = StdRng::seed_from_u64(25);
    let mut toy = Toy::new(6, clustered(&mut rng, 500, 6));
    toy.n_regions = N_REGIONS;
    let graph = empty(NARROW, 500);
    graph.set_undivided();
    link_all(&graph, &toy, &(0..500).collect::<Vec<_>>(), 1);
    assert!(graph.regions_with_entry().is_empty());
    mend_all(&graph, &toy, &mut Linking::default());
    assert_eq!(graph.audit(region).faults, [""; 0]);
    assert!(recall(&graph, &toy, &mut rng) > 0.97);
}
