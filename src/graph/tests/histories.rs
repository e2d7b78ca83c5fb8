//! Random histories of several threads. Each ends with a check that the graph is sound.
//!
//! `HISTORIES` is the number of histories, `SEED` the seed of the first. A failure names its seed.

use super::*;

const N_THREADS: usize = 3;
const N_SLOTS: u32 = 90;
const N_ROUNDS: usize = 4;
/// Few vectors, so that many slots hold equal ones.
const N_VECTORS: usize = 40;

fn from_environment(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Runs `work` on several threads that begin at the same moment.
fn together(rng: &mut StdRng, work: impl Fn(usize, &mut StdRng) + Sync) {
    let n_ready = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for index in 0..N_THREADS {
            let mut rng = StdRng::seed_from_u64(rng.random());
            let (n_ready, work) = (&n_ready, &work);
            scope.spawn(move || {
                n_ready.fetch_add(1, Ordering::Relaxed);
                // Threads spin instead of sleeping, so that none begins late.
                while n_ready.load(Ordering::Relaxed) < N_THREADS {
                    std::thread::yield_now();
                }
                work(index, &mut rng);
            });
        }
    });
}

/// Slots in the graph, and slots that are being linked.
struct Slots<'a> {
    linked: &'a BTreeSet<u32>,
    fresh: &'a [u32],
}

impl Slots<'_> {
    /// Searches for a slot. Every slot found must have been given to the graph.
    fn check_search(&self, graph: &Graph, toy: &Toy, slot: u32) {
        for found in search(graph, toy, toy.vector(slot), 10) {
            assert!(self.linked.contains(&found) || self.fresh.contains(&found), "slot {found} was never linked");
        }
    }
}

/// Links, kills and searches.
fn link(graph: &Graph, toy: &Toy, slots: &Slots<'_>, rng: &mut StdRng) {
    together(rng, |index, rng| {
        let mut linking = Linking::default();
        for &slot in slots.fresh.iter().skip(index).step_by(N_THREADS) {
            graph.link(toy, slot, &mut linking);
            let victims = slots.linked.iter().copied().chain([slot]);
            victims.filter(|_| rng.random_bool(0.03)).for_each(|slot| toy.kill(slot));
            slots.check_search(graph, toy, slot);
        }
    });
}

/// Removes dead slots, kills and searches. Returns the removed slots.
fn sweep(graph: &Graph, toy: &Toy, linked: &BTreeSet<u32>, rng: &mut StdRng) -> BTreeSet<u32> {
    let mut linking = Linking::default();
    let sweep = graph.begin_sweep(toy, |_| true, &mut linking);
    let points: Vec<u32> = graph.points().collect();
    together(rng, |index, rng| {
        let mut linking = Linking::default();
        for &slot in points.iter().skip(index).step_by(N_THREADS) {
            graph.bypass(toy, &sweep, slot, &mut linking);
            if rng.random_bool(0.03) {
                toy.kill(slot);
            }
            Slots { linked, fresh: &[] }.check_search(graph, toy, slot);
        }
    });
    graph.finish_sweep(sweep, &mut linking).into_iter().collect()
}

fn check_history(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let vectors = clustered(&mut rng, N_VECTORS, 4);
    let mut toy = Toy::new(4, vec![0.0; 4 * N_SLOTS as usize]);
    toy.restless = Some(rng.random_range(1..200));
    let m = rng.random_range(2..6);
    let graph = empty(GraphShape { m, ef_construction: rng.random_range(4..30) }, N_SLOTS);
    let mut linked = BTreeSet::new();
    for round in 0..N_ROUNDS {
        let mut free: Vec<u32> = (0..N_SLOTS).filter(|slot| !linked.contains(slot)).collect();
        free.shuffle(&mut rng);
        free.truncate(rng.random_range(1..50));
        for &slot in &free {
            let vector = rng.random_range(0..N_VECTORS) * 4;
            toy.put(slot, &vectors[vector..vector + 4]);
        }
        link(&graph, &toy, &Slots { linked: &linked, fresh: &free }, &mut rng);
        linked.extend(free);
        check_sound(&graph, &toy, &linked, &format!("SEED={seed}, round {round}, linked"));
        if rng.random_bool(0.1) {
            linked.iter().for_each(|&slot| toy.kill(slot));
        }
        let dead: BTreeSet<u32> = linked.iter().copied().filter(|&slot| !toy.is_alive(slot)).collect();
        let gone = sweep(&graph, &toy, &linked, &mut rng);
        // Slots that die during the sweep may stay until the next.
        assert!(gone.is_superset(&dead), "SEED={seed}, round {round}: expected {dead:?} to be gone, got {gone:?}");
        assert!(!gone.iter().any(|&slot| toy.is_alive(slot)), "SEED={seed}, round {round}");
        linked.retain(|slot| !gone.contains(slot));
        check_sound(&graph, &toy, &linked, &format!("SEED={seed}, round {round}, swept"));
    }
}

#[test]
fn histories_of_several_threads_leave_a_sound_graph() {
    let first = from_environment("SEED", 1);
    for seed in first..first + from_environment("HISTORIES", 1_000) {
        check_history(seed);
    }
}

/// Several threads link the same few vectors into an empty graph.
fn check_first(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut toy = Toy::new(2, (0..12).flat_map(|slot| [f32::from(slot % 2 == 0), 0.5]).collect());
    toy.restless = Some(rng.random_range(1..4));
    let graph = empty(NARROW, toy.n_slots());
    let slots: BTreeSet<u32> = (0..toy.n_slots()).collect();
    let fresh: Vec<u32> = slots.iter().copied().collect();
    link(&graph, &toy, &Slots { linked: &BTreeSet::new(), fresh: &fresh }, &mut rng);
    check_sound(&graph, &toy, &slots, &format!("SEED={seed}"));
}

#[test]
fn one_of_several_threads_is_first() {
    let first = from_environment("SEED", 1);
    for seed in first..first + from_environment("HISTORIES", 1_000) {
        check_first(seed);
    }
}
