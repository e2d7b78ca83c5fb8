//! Codes and their distances against vectors and their exact distances.
//!
//! Bounds follow from the steps: rounding to steps of size `s` moves a component by `s / √12` at
//! random. What lies beyond the last step and is cut off is counted exactly.
#![expect(unsafe_code, reason = "codes are stored by a promise, which tests of one thread keep")]

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::rotation::Rotation;
use super::scalar::{ScalarCodes, pack};
use super::*;
use crate::distance::{self, Kernels, Metric};
use crate::id::NamespaceId;

const HERE: NamespaceId = NamespaceId(0);

const GEOMETRIES: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::Euclidean];
const LONGER: [usize; 10] = [96, 100, 128, 255, 256, 300, 384, 768, 1000, 1536];

fn normal(rng: &mut StdRng) -> f32 {
    (0..12).map(|_| rng.random_range(-0.5..0.5f32)).sum()
}

fn normals(rng: &mut StdRng, dimension: usize) -> Vec<f32> {
    (0..dimension).map(|_| normal(rng)).collect()
}

/// Vectors and their codes.
struct Store {
    metric: Metric,
    codes: Codes,
    vectors: Vec<Vec<f32>>,
}

impl Store {
    fn new(metric: Metric, mut vectors: Vec<Vec<f32>>) -> Self {
        let codes = Codes::new(vectors[0].len(), metric, metric.normalizes(), Book::default()).unwrap();
        codes.reserve(vectors.len()).unwrap();
        if metric.normalizes() {
            vectors.iter_mut().for_each(|vector| distance::normalize(vector));
        }
        for (slot, vector) in (0..).zip(&vectors) {
            // SAFETY: one thread.
            unsafe { codes.put(slot, &codes.encode(vector, HERE)) };
        }
        Store { metric, codes, vectors }
    }

    fn query(&self, vector: &[f32]) -> CodeQuery {
        let mut query = CodeQuery::default();
        self.codes.query(vector, HERE, &mut query);
        query
    }

    fn query_of(&self, slot: usize) -> CodeQuery {
        let mut query = CodeQuery::default();
        self.codes.query_of(slot as u32, HERE, &mut query);
        query
    }

    /// The distances of all slots.
    fn distances(&self, query: &CodeQuery, grain: Grain) -> Vec<f32> {
        let slots: Vec<u32> = (0..self.vectors.len() as u32).collect();
        let mut distances = vec![f32::NAN; slots.len()];
        self.codes.compare(query, grain, &slots, &mut distances);
        distances
    }

    /// The distance in double precision.
    fn truth(&self, a: &[f32], b: &[f32]) -> f64 {
        let pairs = a.iter().zip(b).map(|(&x, &y)| (f64::from(x), f64::from(y)));
        match self.metric {
            Metric::Cosine => 1.0 - pairs.map(|(x, y)| x * y).sum::<f64>(),
            Metric::Euclidean => pairs.map(|(x, y)| (x - y) * (x - y)).sum(),
            _ => -pairs.map(|(x, y)| x * y).sum::<f64>(),
        }
    }

    /// The size of a step of a vector's code, from its rotated components.
    fn scale(&self, rotated: &[f32]) -> f32 {
        let scalar = ScalarCodes::new(rotated.len(), self.metric, self.metric.normalizes(), &Book::default()).unwrap();
        if self.metric.normalizes() { scalar.unit_scale } else { scalar.own_scale(rotated) }
    }

    /// A slot's vector, rotated, without what its code cuts off.
    fn kept(&self, slot: usize) -> Vec<f32> {
        let rotated = rotate(&self.vectors[slot]);
        let largest = 127.5 * self.scale(&rotated);
        rotated.into_iter().map(|component| component.clamp(-largest, largest)).collect()
    }

    /// The standard deviation of a distance's rounding error. Both vectors are rotated.
    fn expected_error(&self, query: &[f32], vector: &[f32], grain: Grain) -> f64 {
        let n = vector.len() as f64;
        let is_coarse = grain == Grain::Coarse && vector.len() >= 256;
        let largest = f64::from(query.iter().fold(0.0f32, |largest, x| largest.max(x.abs())));
        let of_query = largest / 127.0 / 12f64.sqrt();
        let of_code = f64::from(self.scale(vector)) * if is_coarse { 16.0 } else { 1.0 } / 12f64.sqrt();
        let (a, b) = (distance::norm(query), distance::norm(vector));
        // Distances are computed in single precision.
        let lost = 1e-6 * (a + b).powi(2);
        match self.metric {
            Metric::Euclidean => {
                let deviation = of_query.hypot(of_code);
                (2.0 * self.truth(query, vector).sqrt() * deviation).hypot(n * deviation * deviation) + lost
            }
            _ => (a * of_code).hypot(b * of_query).hypot(n.sqrt() * of_query * of_code) + lost,
        }
    }
}

fn rotate(vector: &[f32]) -> Vec<f32> {
    let mut rotated = vector.to_vec();
    Rotation::new(vector.len()).apply(&mut rotated, Kernels::detected());
    rotated
}

/// Random vectors, vectors near each other, and vectors along few axes.
fn mixed(rng: &mut StdRng, dimension: usize) -> Vec<Vec<f32>> {
    let mut vectors: Vec<Vec<f32>> = (0..40).map(|_| normals(rng, dimension)).collect();
    vectors.extend_from_within(..20);
    vectors[40..].iter_mut().flatten().for_each(|x| *x += 0.1 * normal(rng));
    vectors.push(vec![0.5; dimension]);
    vectors.extend((0..4).map(|i| (0..dimension).map(|at| f32::from(at == i * dimension / 4)).collect()));
    vectors
}

// How exact distances are.

/// Compares distances with exact ones: each error is within twenty times the expected one, and all
/// errors together are as expected.
fn check_distances(metric: Metric, dimension: usize, grain: Grain) {
    let what = format!("{metric} d={dimension} {grain:?}");
    let store = Store::new(metric, mixed(&mut StdRng::seed_from_u64(dimension as u64), dimension));
    let kept: Vec<Vec<f32>> = (0..store.vectors.len()).map(|slot| store.kept(slot)).collect();
    let rotated: Vec<Vec<f32>> = store.vectors.iter().map(|vector| rotate(vector)).collect();
    let (mut squares, mut expected_squares) = (0.0, 0.0);
    for query in &store.vectors {
        let (distances, query) = (store.distances(&store.query(query), grain), rotate(query));
        for ((vector, kept), distance) in rotated.iter().zip(&kept).zip(distances) {
            // Codes of vectors of length one regain their length if something was cut off.
            let reference = if metric.normalizes() { vector } else { kept };
            let cut = vector.iter().zip(kept).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>().sqrt();
            let cut = if metric.normalizes() { cut } else { 0.0 };
            let truth = store.truth(&query, reference);
            let expected = store.expected_error(&query, kept, grain).hypot(cut);
            let error = (f64::from(distance) - truth).abs();
            assert!(error <= 20.0 * expected, "{what}: expected {truth}, give or take {expected}, got {distance}");
            squares += error * error;
            expected_squares += expected * expected;
        }
    }
    let ratio = (squares / expected_squares).sqrt();
    // Adjusting codes to equal length moves some steps by one more.
    assert!(ratio < 1.6, "{what}: errors are {ratio} times what is expected");
}

#[test]
fn distances_are_as_exact_as_the_steps_are_fine() {
    for dimension in (1..=70).chain(LONGER) {
        for metric in GEOMETRIES {
            check_distances(metric, dimension, Grain::Fine);
            check_distances(metric, dimension, Grain::Coarse);
        }
    }
}

/// Measures the fraction of the vectors' length that codes cut off.
fn check_cut(metric: Metric, dimension: usize, vectors: Vec<Vec<f32>>, bound: f64) {
    let store = Store::new(metric, vectors);
    let share_of = |slot: usize| {
        let rotated = rotate(&store.vectors[slot]);
        let cut: Vec<f32> = rotated.iter().zip(store.kept(slot)).map(|(whole, kept)| whole - kept).collect();
        distance::norm(&cut) / distance::norm(&rotated)
    };
    let squares = (0..store.vectors.len()).map(|slot| share_of(slot).powi(2)).sum::<f64>();
    let share = (squares / store.vectors.len() as f64).sqrt();
    assert!(
        share <= bound,
        "{metric} d={dimension}: expected at most {bound} of the length to be cut off, got {share}"
    );
}

#[test]
fn codes_cut_off_little() {
    for dimension in [32, 64, 96, 128, 256, 384, 512, 768, 1000, 1024, 1536, 3072] {
        let mut rng = StdRng::seed_from_u64(dimension as u64);
        let spread: Vec<Vec<f32>> = (0..50).map(|_| normals(&mut rng, dimension)).collect();
        // Most of the length lies in the first components, as in embeddings made to be shortened.
        let fades = |vector: &Vec<f32>| {
            let faded = vector.iter().enumerate().map(|(at, x)| x * (-8.0 * at as f32 / dimension as f32).exp());
            faded.collect::<Vec<f32>>()
        };
        let faded: Vec<Vec<f32>> = spread.iter().map(fades).collect();
        for metric in GEOMETRIES {
            check_cut(metric, dimension, spread.clone(), 0.035);
            check_cut(metric, dimension, faded.clone(), if dimension == 1000 { 0.1 } else { 0.035 });
        }
    }
}

/// Looks for the ten nearest among the twenty nearest by codes. Clusters lie at `offset` times
/// their own distances from the origin.
fn check_order(metric: Metric, dimension: usize, offset: f32) {
    let mut rng = StdRng::seed_from_u64(dimension as u64);
    let centres: Vec<Vec<f32>> = (0..20).map(|_| normals(&mut rng, dimension)).collect();
    let origin: Vec<f32> = normals(&mut rng, dimension).into_iter().map(|x| offset * x).collect();
    let mut vector = || -> Vec<f32> {
        let centre = &centres[rng.random_range(0..centres.len())];
        centre.iter().zip(&origin).map(|(x, origin)| origin + x + 0.5 * normal(&mut rng)).collect()
    };
    let store = Store::new(metric, (0..1_000).map(|_| vector()).collect());
    let mut n_found = 0;
    for _ in 0..50 {
        let mut query = vector();
        if metric.normalizes() {
            distance::normalize(&mut query);
        }
        let truth: Vec<f64> = store.vectors.iter().map(|vector| store.truth(&query, vector)).collect();
        let mut nearest: Vec<usize> = (0..truth.len()).collect();
        nearest.sort_by(|&a, &b| truth[a].total_cmp(&truth[b]));
        let distances = store.distances(&store.query(&query), Grain::Fine);
        let mut by_codes: Vec<usize> = (0..truth.len()).collect();
        by_codes.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
        n_found += nearest[..10].iter().filter(|slot| by_codes[..20].contains(slot)).count();
    }
    assert!(n_found >= 475, "{metric} d={dimension}, {offset} from the origin: {n_found} of 500 are found");
}

#[test]
fn the_nearest_are_among_those_that_codes_say_are_nearest() {
    for dimension in [8, 24, 100, 256, 384, 768] {
        for offset in [0.0, 3.0, 10.0] {
            check_order(Metric::Euclidean, dimension, offset);
            check_order(Metric::Dot, dimension, offset);
        }
        // Directions this close differ by less than codes of length one can tell.
        check_order(Metric::Cosine, dimension, 0.0);
        check_order(Metric::Cosine, dimension, 1.0);
    }
}

// Queries made from codes.

/// The step of a component, from a code in two planes.
fn step_of(planes: &[u8], at: usize) -> u8 {
    let (byte, shift) = (at / 128 * 64 + at % 64, at % 128 / 64 * 4);
    let (high, low) = planes.split_at(planes.len() / 2);
    (high[byte] >> shift & 15) << 4 | low[byte] >> shift & 15
}

/// The vector that a slot's code stands for.
fn decoded(store: &Store, slot: usize) -> Vec<f32> {
    let (vector, code) = (&store.vectors[slot], store.codes.encode(&store.vectors[slot], HERE));
    let scale = store.scale(&rotate(vector));
    let is_planes = vector.len() >= 256;
    let step = |at: usize| if is_planes { step_of(&code.bytes, at) } else { code.bytes[at] };
    let rotated: Vec<f32> = (0..vector.len()).map(|at| (f32::from(step(at)) - 128.0) * scale).collect();
    // The transpose of a rotation reverses it.
    let axis = |at: usize| rotate(&(0..vector.len()).map(|i| f32::from(i == at)).collect::<Vec<_>>());
    (0..vector.len()).map(|at| axis(at).iter().zip(&rotated).map(|(x, y)| x * y).sum()).collect()
}

/// Compares the distances of a query made from a code with those of the vector that the code stands
/// for.
fn check_query_of(metric: Metric, dimension: usize) {
    let store = Store::new(metric, mixed(&mut StdRng::seed_from_u64(dimension as u64), dimension));
    for slot in [0, 1, 17, 40] {
        let vector = decoded(&store, slot);
        for grain in [Grain::Fine, Grain::Coarse] {
            let (got, want) =
                (store.distances(&store.query_of(slot), grain), store.distances(&store.query(&vector), grain));
            for (other, (got, want)) in got.into_iter().zip(want).enumerate() {
                let expected = store.expected_error(&rotate(&vector), &store.kept(other), Grain::Fine);
                let error = f64::from(got - want).abs();
                let what = format!("{metric} d={dimension} {grain:?}, {slot} and {other}");
                assert!(error <= 10.0 * expected, "{what}: expected {want}, give or take {expected}, got {got}");
            }
        }
    }
}

#[test]
fn a_query_of_a_code_compares_as_the_vector_it_stands_for() {
    for dimension in [1, 2, 3, 7, 24, 63, 64, 65, 100, 255, 256, 257, 384, 1000] {
        for metric in GEOMETRIES {
            check_query_of(metric, dimension);
        }
    }
}

#[test]
fn a_code_is_nearest_to_itself() {
    for dimension in [2, 16, 100, 256, 384, 1000] {
        let store = Store::new(Metric::Euclidean, mixed(&mut StdRng::seed_from_u64(3), dimension));
        for slot in 0..store.vectors.len() {
            let distances = store.distances(&store.query_of(slot), Grain::Fine);
            let own = distances[slot];
            assert!(
                distances.iter().all(|&distance| own <= distance),
                "d={dimension}: slot {slot} has itself at {own}"
            );
            assert!(f64::from(own) <= 1e-6 * distance::norm(&store.vectors[slot]).powi(2), "d={dimension}: {own}");
        }
    }
}

// Centres of namespaces.

/// Vectors of three namespaces, in distant clusters. The book has a centre of its own for the first
/// two only.
fn check_centres(metric: Metric, kind: CodeKind) {
    let (dimension, away) = (96, 1_000.0);
    let mut rng = StdRng::seed_from_u64(17);
    let means: Vec<Vec<f32>> =
        (0..3).map(|_| normals(&mut rng, dimension).into_iter().map(|x| away * x).collect()).collect();
    let own = [1, 2].map(|at| (NamespaceId(at as u32), means[at].clone()));
    let centres = Centres { shared: means[0].clone(), own: own.into() };
    let book = Book { kind, generation: 3, centres: centres.into() };
    let codes = Codes::new(dimension, metric, false, book).unwrap();
    codes.reserve(300).unwrap();
    let near = |rng: &mut StdRng, mean: &[f32]| -> Vec<f32> { mean.iter().map(|x| x + normal(rng)).collect() };
    for (namespace, mean) in (0..).map(NamespaceId).zip(&means) {
        let vectors: Vec<Vec<f32>> = (0..100).map(|_| near(&mut rng, mean)).collect();
        let slots: Vec<u32> = (0..100).map(|at| namespace.0 * 100 + at).collect();
        for (&slot, vector) in slots.iter().zip(&vectors) {
            let code = codes.encode(vector, namespace);
            assert!(codes.have_made(&code, namespace));
            assert_eq!(codes.have_made(&code, NamespaceId(7)), namespace.0 == 0, "others use the shared centre");
            // SAFETY: one thread.
            unsafe { codes.put(slot, &code) };
            let mut again = Vec::new();
            codes.decode(slot, namespace, &mut again);
            let error = vector.iter().zip(&again).map(|(x, y)| (x - y).abs()).fold(0.0f32, f32::max);
            assert!(error < 0.1, "{metric} {kind:?} {namespace:?}: {error}");
        }
        let (mut query, mut distances) = (CodeQuery::default(), vec![0.0; 100]);
        let truth = |vector: &[f32], other: &[f32]| metric.kernel()(vector, other);
        for (slot, vector) in slots.iter().zip(&vectors) {
            let own: Vec<f32> = vectors.iter().map(|other| truth(vector, other)).collect();
            for is_stored in [false, true] {
                match is_stored {
                    false => codes.query(vector, namespace, &mut query),
                    true => codes.query_of(*slot, namespace, &mut query),
                }
                codes.compare(&query, Grain::Fine, &slots, &mut distances);
                // By products, all distances are wrong by the same amount.
                let off = own.iter().zip(&distances).map(|(truth, distance)| truth - distance).sum::<f32>() / 100.0;
                // Such queries are not measured from the centre, so their rounding counts.
                let most = if metric == Metric::Dot { 0.5 * away } else { 5.0 };
                let is_off = |(truth, distance): (&f32, &f32)| (truth - distance - off).abs() > most;
                assert_eq!(own.iter().zip(&distances).filter(|&pair| is_off(pair)).count(), 0, "{metric} {kind:?}");
                assert!(metric == Metric::Dot || off.abs() < 5.0, "{metric} {kind:?}: {off}");
            }
        }
    }
}

#[test]
fn vectors_of_each_namespace_are_measured_from_its_own_centre() {
    for metric in [Metric::Euclidean, Metric::Dot] {
        for kind in [CodeKind::Sq8Centred, CodeKind::Sq16] {
            check_centres(metric, kind);
        }
    }
}

// Edge cases.

#[test]
fn zero_vectors_are_where_they_are() {
    for dimension in [1, 3, 64, 100, 256, 300] {
        let mut rng = StdRng::seed_from_u64(dimension as u64);
        let vectors = vec![vec![0.0; dimension], normals(&mut rng, dimension), vec![0.0; dimension]];
        for metric in [Metric::Dot, Metric::Euclidean] {
            let store = Store::new(metric, vectors.clone());
            for grain in [Grain::Fine, Grain::Coarse] {
                for query in [store.query(&vectors[0]), store.query_of(0)] {
                    let distances = store.distances(&query, grain);
                    let square = if metric == Metric::Euclidean { distance::norm(&vectors[1]).powi(2) } else { 0.0 };
                    assert_eq!((distances[0], distances[2]), (0.0, 0.0), "{metric} d={dimension} {grain:?}");
                    let bound = if grain == Grain::Fine { 0.02 } else { 0.05 } * square;
                    let error = (f64::from(distances[1]) - square).abs();
                    assert!(
                        error <= bound,
                        "{metric} d={dimension} {grain:?}: expected {square}, got {}",
                        distances[1]
                    );
                }
                let distances = store.distances(&store.query(&vectors[1]), grain);
                assert_eq!(distances[0], distances[2], "{metric} d={dimension} {grain:?}");
                assert!(
                    metric == Metric::Dot || distances[1] < distances[0],
                    "{metric} d={dimension} {grain:?}: {distances:?}"
                );
            }
        }
    }
}

#[test]
fn lengths_at_the_edge_give_distances() {
    let lengths = [1e-45f32, 1e-40, 1e-38, 1e-30, 1e-20, 1.0, 1e18, crate::limits::MAX_NORM as f32];
    for dimension in [1, 2, 5, 64, 100, 256, 384, 1000] {
        let mut rng = StdRng::seed_from_u64(dimension as u64);
        let mut vectors = Vec::new();
        for length in lengths {
            let mut spread = normals(&mut rng, dimension);
            distance::normalize(&mut spread);
            let along =
                |sign: f32| (0..dimension).map(|at| if at == dimension / 2 { sign * length } else { 0.0 }).collect();
            vectors.extend([spread.iter().map(|x| x * length).collect(), along(1.0), along(-1.0)]);
        }
        for metric in [Metric::Dot, Metric::Euclidean] {
            let store = Store::new(metric, vectors.clone());
            for slot in 0..vectors.len() {
                for grain in [Grain::Fine, Grain::Coarse] {
                    let of_vector = store.distances(&store.query(&vectors[slot]), grain);
                    let of_code = store.distances(&store.query_of(slot), grain);
                    for (other, distance) in of_vector.into_iter().chain(of_code).enumerate() {
                        let (a, b) = (lengths[slot / 3], lengths[other % vectors.len() / 3]);
                        assert!(
                            distance.is_finite(),
                            "{metric} d={dimension} {grain:?}, lengths {a} and {b}: {distance}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn planes_hold_what_was_packed() {
    let mut rng = StdRng::seed_from_u64(5);
    for width in [128, 256, 1_024] {
        let steps: Vec<u8> = (0..width).map(|_| rng.random()).collect();
        let packed = pack(&steps);
        assert_eq!(packed.len(), width);
        for (at, &step) in steps.iter().enumerate() {
            assert_eq!(step_of(&packed, at), step, "component {at} of {width}");
        }
    }
}

// Sketches.

#[test]
fn signs_of_codes_and_queries_are_counted_alike() {
    let mut rng = StdRng::seed_from_u64(21);
    for dimension in [256, 300, 384, 1000] {
        let near = normals(&mut rng, dimension);
        let mixed = |rng: &mut StdRng, part: f32| -> Vec<f32> { near.iter().map(|x| x + part * normal(rng)).collect() };
        let vectors: Vec<Vec<f32>> = (0..400).map(|n| mixed(&mut rng, 0.2 + n as f32 / 100.0)).collect();
        let store = Store::new(Metric::Cosine, vectors);
        let sketches = Sketches::new(&store.codes).unwrap();
        sketches.reserve(store.vectors.len()).unwrap();
        let mut signs = Vec::new();
        for slot in 0..store.vectors.len() as u32 {
            store.codes.signs(store.codes.bytes_at(slot).0, &mut signs);
            sketches.put(slot, &signs);
            assert!(sketches.holds(slot, &signs));
        }
        let mut query = near.clone();
        distance::normalize(&mut query);
        store.codes.signs_of_query(&store.query(&query), &mut signs);
        assert!(signs.as_flattened().iter().map(|word| word.count_ones()).sum::<u32>() < dimension as u32);
        let (slots, mut counts) = ((0..400).collect::<Vec<u32>>(), vec![0; 400]);
        sketches.count(&signs, &slots, &mut counts);
        let distances: Vec<f32> =
            store.vectors.iter().map(|vector| 1.0 + Metric::Cosine.kernel()(&query, vector)).collect();
        let is_within = |(distance, count): &(&f32, &u32)| **count <= sketches.most_different(**distance);
        let n_within = distances.iter().zip(&counts).filter(is_within).count();
        assert!((365..=400).contains(&n_within), "{dimension}: {n_within} of 400");
        // Other bounds are less exact: half of the candidates lie beyond the middle.
        let n_below = distances.iter().zip(&counts).filter(|(distance, count)| {
            f64::from(**count) * std::f64::consts::PI
                < f64::from(1.0 - **distance).clamp(-1.0, 1.0).acos() * dimension as f64
        });
        assert!((100..300).contains(&n_below.count()), "{dimension}");
    }
    for (metric, dimension) in [(Metric::Cosine, 128), (Metric::Dot, 384), (Metric::Euclidean, 384)] {
        let store = Store::new(metric, vec![normals(&mut rng, dimension)]);
        assert!(Sketches::new(&store.codes).is_none(), "{metric} {dimension}");
    }
}
