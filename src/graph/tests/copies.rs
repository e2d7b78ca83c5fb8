//! A graph that begins with the links of another.

use super::*;

/// Checks that a copy equals the original. A copy without some slots must be sound, and as good as
/// before once these are linked again.
fn check_copy(shape: GraphShape, n_relinked: usize, seed: u64) {
    let what = format!("m={}, {n_relinked} anew, seed {seed}", shape.m);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut toy = Toy::new(12, clustered(&mut rng, 2_000, 12));
    for slot in (0..300).step_by(3) {
        let vector = toy.vector(slot).to_vec();
        toy.put(slot + 1, &vector);
    }
    let (graph, copy) = (built(shape, &toy, 2), empty(shape, toy.n_slots()));
    let mut linking = Linking::default();
    mend_all(&graph, &toy, &mut linking);
    copy.copy(&graph);
    let all: BTreeSet<u32> = (0..toy.n_slots()).collect();
    check_sound(&copy, &toy, &all, &what);
    for point in graph.points() {
        assert_eq!(copy.duplicates(point).collect::<Vec<_>>(), graph.duplicates(point).collect::<Vec<_>>(), "{what}");
        for level in 0..=graph.level_of(point) {
            assert_eq!(copy.row_links(point, level), graph.row_links(point, level), "{what}: {point} at {level}");
        }
    }
    let before = recall(&graph, &toy, &mut StdRng::seed_from_u64(seed));
    let mut slots: Vec<u32> = all.iter().copied().collect();
    slots.shuffle(&mut rng);
    // The entry must be among the slots that are linked again.
    slots.retain(|&slot| graph.entry().is_none_or(|entry| entry.slot != slot));
    let mut anew: HashSet<u32> =
        slots[..n_relinked].iter().copied().chain(graph.entry().map(|entry| entry.slot)).collect();
    anew.extend(anew.clone().iter().flat_map(|&slot| graph.duplicates(slot)));
    copy.forget(&anew, &mut copy.representatives());
    let underfull = copy.tidy(|_| 0);
    copy.settle_entries(|_| 0);
    let left = all.iter().copied().filter(|slot| !anew.contains(slot)).collect();
    check_sound(&copy, &toy, &left, &what);
    anew.iter().for_each(|&slot| copy.link(&toy, slot, &mut linking));
    underfull.iter().for_each(|&slot| copy.repair_underfull(&toy, slot, &mut linking));
    check_sound(&copy, &toy, &all, &what);
    let after = recall(&copy, &toy, &mut StdRng::seed_from_u64(seed));
    assert!(after >= before - 0.005, "{what}: expected a recall of {before} as before, got {after}");
    check_sound(&graph, &toy, &all, &what);
}

#[test]
fn a_copy_without_some_is_as_good_once_they_are_linked_anew() {
    for (n_relinked, seed) in [(0, 1), (1, 2), (300, 3), (1_200, 4), (1_999, 5)] {
        check_copy(SHAPE, n_relinked, seed);
        check_copy(NARROW, n_relinked, seed);
    }
}
