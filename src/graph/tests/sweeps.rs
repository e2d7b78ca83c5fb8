//! Removing dead points, and using their slots again.

use super::*;

/// Sweeps all regions and returns the removed slots, in ascending order.
pub(super) fn sweep(graph: &Graph, toy: &Toy, linking: &mut Linking<Vec<f32>>) -> Vec<u32> {
    sweep_among(graph, toy, |_| true, linking)
}

/// Sweeps some regions and returns the removed slots, in ascending order.
pub(super) fn sweep_among(
    graph: &Graph,
    toy: &Toy,
    is_swept: impl Fn(u32) -> bool,
    linking: &mut Linking<Vec<f32>>,
) -> Vec<u32> {
    let sweep = graph.begin_sweep(toy, &is_swept, linking);
    let points: Vec<u32> = graph.points().filter(|&slot| is_swept(slot)).collect();
    points.into_iter().for_each(|slot| graph.bypass(toy, &sweep, slot, linking));
    let mut gone = graph.finish_sweep(sweep, linking);
    gone.sort_unstable();
    gone
}

/// Sweeps, and checks that exactly the dead slots are gone and that no link leads to them.
fn check_sweep(graph: &Graph, toy: &Toy, linked: &mut BTreeSet<u32>, what: &str) -> Vec<u32> {
    let dead: Vec<u32> = linked.iter().copied().filter(|&slot| !toy.is_alive(slot)).collect();
    let gone = sweep(graph, toy, &mut Linking::default());
    assert_eq!(gone, dead, "{what}");
    linked.retain(|slot| toy.is_alive(*slot));
    for point in graph.points() {
        for level in 0..=graph.level_of(point) {
            let to_gone = graph.links(point, level).into_iter().find(|link| gone.binary_search(link).is_ok());
            assert_eq!(to_gone, None, "{what}: point {point} at level {level} links to a slot that is gone");
        }
    }
    check_sound(graph, toy, linked, what);
    gone
}

fn kill_some(toy: &Toy, linked: &BTreeSet<u32>, share: f64, rng: &mut StdRng) {
    linked.iter().filter(|_| rng.random_bool(share)).for_each(|&slot| toy.kill(slot));
}

/// The recall of a new graph of the living slots alone.
fn recall_anew(shape: GraphShape, toy: &Toy, rng: &mut StdRng) -> f64 {
    let living = (0..toy.n_slots()).filter(|&slot| toy.is_alive(slot));
    let anew = Toy::new(toy.dimension, living.flat_map(|slot| toy.vector(slot)).copied().collect());
    recall(&built(shape, &anew, 1), &anew, rng)
}

fn check_half_dead(shape: GraphShape, seed: u64) {
    let what = format!("seed {seed}, m={}", shape.m);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut toy = Toy::new(24, clustered(&mut rng, 3_000, 24));
    let graph = built(shape, &toy, 1);
    let mut linked: BTreeSet<u32> = (0..3_000).collect();
    kill_some(&toy, &linked, 0.5, &mut rng);
    let gone = check_sweep(&graph, &toy, &mut linked, &what);
    check_recall_as_anew(&graph, shape, &toy, &mut rng, &what);

    let others = clustered(&mut rng, gone.len(), 24);
    gone.iter().zip(others.chunks(24)).for_each(|(&slot, vector)| toy.put(slot, vector));
    link_all(&graph, &toy, &gone, 1);
    linked.extend(gone);
    check_sound(&graph, &toy, &linked, &what);
    check_recall_as_anew(&graph, shape, &toy, &mut rng, &what);
}

fn check_recall_as_anew(graph: &Graph, shape: GraphShape, toy: &Toy, rng: &mut StdRng, what: &str) {
    let (got, anew) = (recall(graph, toy, &mut rng.clone()), recall_anew(shape, toy, rng));
    assert!(got >= anew - 0.01, "{what}: expected a recall of {anew} as of a graph built anew, got {got}");
}

#[test]
fn when_half_is_dead_the_living_are_found_as_in_a_fresh_graph() {
    for shape in [SHAPE, NARROW] {
        check_half_dead(shape, 21);
    }
}

#[test]
fn churn_wears_nothing_out() {
    let seed = 22;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut toy = Toy::new(24, clustered(&mut rng, 2_000, 24));
    let graph = built(SHAPE, &toy, 1);
    let mut linked: BTreeSet<u32> = (0..2_000).collect();
    for round in 0..10 {
        let what = format!("seed {seed}, round {round}");
        kill_some(&toy, &linked, 0.2, &mut rng);
        let gone = check_sweep(&graph, &toy, &mut linked, &what);
        let others = clustered(&mut rng, gone.len(), 24);
        gone.iter().zip(others.chunks(24)).for_each(|(&slot, vector)| toy.put(slot, vector));
        link_all(&graph, &toy, &gone, 2);
        linked.extend(gone);
        check_sound(&graph, &toy, &linked, &what);
    }
    check_recall_as_anew(&graph, SHAPE, &toy, &mut rng, &format!("seed {seed}"));
}

/// Kills some slots of a crowd and sweeps, twice.
fn check_crowd(what: &str, kill: impl Fn(&Crowd, &mut StdRng)) {
    let seed = 23;
    let mut rng = StdRng::seed_from_u64(seed);
    let crowd = crowd(500, 100, seed);
    let mut linked: BTreeSet<u32> = (0..600).collect();
    for time in 1..=2 {
        kill(&crowd, &mut rng);
        let what = format!("seed {seed}, {what}, time {time}");
        let Crowd { toy, graph, same, others } = &crowd;
        check_sweep(graph, toy, &mut linked, &what);
        let living =
            |slots: &[u32]| slots.iter().copied().filter(|&slot| toy.is_alive(slot)).collect::<BTreeSet<u32>>();
        let (same, others) = (living(same), living(others));
        let found = search(graph, toy, &[0.25; 16], EF);
        assert_eq!(found.iter().take(same.len()).copied().collect::<BTreeSet<_>>(), same, "{what}");
        assert_eq!(graph.points().count(), others.len() + usize::from(!same.is_empty()), "{what}");
    }
}

fn point_of(crowd: &Crowd) -> Option<u32> {
    crowd.same.iter().copied().find(|&slot| crowd.graph.row(slot, 0).is_point())
}

#[test]
fn duplicates_die_with_and_without_their_point() {
    check_crowd("some duplicates", |crowd, rng| {
        let point = point_of(crowd);
        let duplicates = crowd.same.iter().filter(|&&slot| Some(slot) != point && rng.random_bool(0.5));
        duplicates.for_each(|&slot| crowd.toy.kill(slot));
    });
    check_crowd("the point", |crowd, _| point_of(crowd).into_iter().for_each(|slot| crowd.toy.kill(slot)));
    check_crowd("the point and the first duplicates", |crowd, _| {
        let point = point_of(crowd).unwrap();
        crowd.graph.duplicates(point).take(3).for_each(|slot| crowd.toy.kill(slot));
        crowd.toy.kill(point);
    });
    check_crowd("the point and some duplicates", |crowd, rng| {
        crowd.same.iter().filter(|_| rng.random_bool(0.5)).for_each(|&slot| crowd.toy.kill(slot));
        point_of(crowd).into_iter().for_each(|slot| crowd.toy.kill(slot));
    });
    check_crowd("all of one vector", |crowd, _| crowd.same.iter().for_each(|&slot| crowd.toy.kill(slot)));
    check_crowd("all but one vector", |crowd, _| crowd.others.iter().for_each(|&slot| crowd.toy.kill(slot)));
    check_crowd("everything", |crowd, _| (0..600).for_each(|slot| crowd.toy.kill(slot)));
}

#[test]
fn the_slot_of_a_dead_duplicate_starts_without_duplicates() {
    let seed = 24;
    let Crowd { mut toy, graph, same, .. } = crowd(20, 30, seed);
    let point = same.iter().copied().find(|&slot| graph.row(slot, 0).is_point()).unwrap();
    let duplicates: Vec<u32> = graph.duplicates(point).collect();
    let (first, second) = (duplicates[3], duplicates[8]);
    let mut linked: BTreeSet<u32> = (0..50).collect();
    [first, second].into_iter().for_each(|slot| toy.kill(slot));
    assert_eq!(check_sweep(&graph, &toy, &mut linked, "two dead duplicates").len(), 2);
    toy.put(first, &[0.75; 16]);
    toy.put(second, &[0.75; 16]);
    link_all(&graph, &toy, &[first, second], 1);
    assert_eq!(graph.duplicates(first).collect::<Vec<_>>(), [second]);
    assert_eq!(graph.duplicates(second).next(), None);
    linked.extend([first, second]);
    check_sound(&graph, &toy, &linked, &format!("seed {seed}"));
}

/// A walk that reached a point before its removal continues from there.
#[test]
fn what_is_taken_out_still_leads_on() {
    let seed = 27;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut toy = Toy::new(8, clustered(&mut rng, 500, 8));
    let graph = built(NARROW, &toy, 1);
    let mut linked: BTreeSet<u32> = (0..500).collect();
    let entry = graph.entry().unwrap();
    let links = graph.links(entry.slot, 0);
    toy.kill(entry.slot);
    assert_eq!(check_sweep(&graph, &toy, &mut linked, "a dead entry"), [entry.slot]);
    assert_eq!(graph.links(entry.slot, 0), links, "seed {seed}");

    let vector = toy.vector(links[0]).to_vec();
    toy.put(entry.slot, &vector);
    link_all(&graph, &toy, &[entry.slot], 1);
    assert!(graph.links(entry.slot, 0).is_empty(), "seed {seed}: it is a duplicate now");
    linked.insert(entry.slot);
    check_sound(&graph, &toy, &linked, &format!("seed {seed}"));
}

// The entry point dies too.

#[test]
fn a_dead_entry_still_leads_on() {
    let seed = 25;
    let mut rng = StdRng::seed_from_u64(seed);
    let toy = Toy::new(8, clustered(&mut rng, 500, 8));
    let graph = built(NARROW, &toy, 1);
    let mut linked: BTreeSet<u32> = (0..500).collect();
    for time in 0..20 {
        let what = format!("seed {seed}, time {time}");
        toy.kill(graph.entry().unwrap().slot);
        let found = |slot: u32| search(&graph, &toy, toy.vector(slot), EF).first() == Some(&slot);
        let n_found = linked.iter().filter(|&&slot| toy.is_alive(slot) && found(slot)).count();
        assert_eq!(n_found, linked.len() - 1, "{what}");
        check_sweep(&graph, &toy, &mut linked, &what);
    }
}

#[test]
fn what_comes_after_all_are_dead_is_found() {
    let seed = 26;
    let mut rng = StdRng::seed_from_u64(seed);
    for (n_dead, n_new, swept) in [(1, 1, false), (1, 1, true), (1, 50, false), (200, 50, false), (200, 50, true)] {
        let what = format!("seed {seed}: {n_new} after {n_dead} dead, swept: {swept}");
        let toy = Toy::new(8, clustered(&mut rng, n_dead + n_new, 8));
        let graph = empty(NARROW, toy.n_slots());
        let (old, new): (Vec<u32>, Vec<u32>) = (0..toy.n_slots()).partition(|&slot| slot < n_dead as u32);
        link_all(&graph, &toy, &old, 1);
        old.iter().for_each(|&slot| toy.kill(slot));
        let mut linked: BTreeSet<u32> = old.into_iter().collect();
        if swept {
            check_sweep(&graph, &toy, &mut linked, &what);
            assert_eq!(graph.entry(), None, "{what}");
            assert_eq!(graph.audit(|_| 0), Audit::default(), "{what}");
        }
        for &slot in &new {
            link_all(&graph, &toy, &[slot], 1);
            linked.insert(slot);
            let found = search(&graph, &toy, toy.vector(slot), EF.max(toy.n_slots() as usize));
            assert_eq!(found.first(), Some(&slot), "{what}");
        }
        check_sweep(&graph, &toy, &mut linked, &what);
        for slot in new {
            assert_eq!(search(&graph, &toy, toy.vector(slot), EF).first(), Some(&slot), "{what}");
        }
    }
}
